//! What a user sees when the till misbehaves, through the program itself.

use std::{thread, time::Duration};

use tillvault::demo::{
    browser::Browser,
    fault::{Fault, When},
};

use crate::support::{self, CLOUD_PASSWORD, Site, TILL_PASSWORD, files};

/// A site whose settings are changed by replacing text.
fn changed(site: &Site, from: &str, to: &str) {
    let path = site.path("tillvault.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.contains(from));
    std::fs::write(path, text.replace(from, to)).unwrap();
}

#[test]
fn a_till_that_is_off_is_a_temporary_failure() {
    let site = Site::with_days(0);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let free = listener.local_addr().unwrap().port();
    drop(listener);
    changed(&site, &format!("sambapos_db_port = {}", site.till.port()), &format!("sambapos_db_port = {free}"));
    site.run(&["snapshot"]).failed(75, &["127.0.0.1", &free.to_string(), "next:"]);
    // The same as one JSON object.
    let ran = site.run(&["snapshot", "--json"]);
    assert_eq!(ran.json()["error"]["exit_code"], 75);
}

#[test]
fn an_unknown_host_is_named() {
    let site = Site::with_days(0);
    changed(&site, "sambapos_db_host = '127.0.0.1'", "sambapos_db_host = 'no-such-till.invalid'");
    site.run(&["snapshot"]).failed(75, &["no-such-till.invalid"]);
}

#[test]
fn a_silent_browser_is_told_apart_from_a_refused_login() {
    let site = Site::with_days(0);
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    site.write_settings(&format!("browser_port = {port}"));
    changed(&site, "sambapos_db_host = '127.0.0.1'", "sambapos_db_host = '127.0.0.1\\SQLEXPRESS'");
    site.run(&["snapshot"]).failed(75, &["Browser", "SQLEXPRESS", "UDP"]);
}

#[test]
fn a_named_instance_is_found_through_the_browser_whatever_the_port_says() {
    let site = Site::with_days(0);
    let browser = site.runtime.block_on(Browser::start(0, "SQLEXPRESS", site.till.port())).unwrap();
    site.write_settings(&format!("browser_port = {}", browser.port()));
    changed(&site, "sambapos_db_host = '127.0.0.1'", "sambapos_db_host = '127.0.0.1\\SQLEXPRESS'");
    changed(&site, &format!("sambapos_db_port = {}", site.till.port()), "sambapos_db_port = 9");
    assert_eq!(site.json(&["snapshot"])["snapshot"], 1);
}

#[test]
fn a_wrong_password_has_an_exit_code_of_its_own_and_is_not_shown() {
    let site = Site::with_days(0);
    std::fs::write(site.path("till.password"), "not-the-password").unwrap();
    let ran = site.run(&["snapshot"]).failed(12, &["tillvault"]);
    assert!(!format!("{}{}", ran.stdout, ran.stderr).contains("not-the-password"));
}

#[test]
fn a_missing_database_is_named() {
    let site = Site::with_days(0);
    changed(&site, "sambapos_db_name = 'SambaPOS5'", "sambapos_db_name = 'SambaPOS9'");
    site.run(&["snapshot"]).failed(1, &["SambaPOS9"]);
}

#[test]
fn tls_that_the_till_does_not_have_is_refused_clearly() {
    let site = Site::with_days(0);
    changed(&site, "encryption = 'off'", "encryption = 'required'");
    site.run(&["snapshot"]).failed(1, &["encrypt"]);
}

#[test]
fn a_table_without_permission_is_left_out_aloud_and_the_others_are_kept() {
    let site = Site::with_days(1);
    site.till.faults().arm(When::Table("Tasks".into()), Fault::permission_denied("SambaPOS5", "Tasks"), 9);
    let ran = site.run(&["snapshot", "--json"]);
    assert_eq!(ran.code, 3, "{ran:?}");
    let taken = ran.json();
    assert_eq!(taken["missing"][0]["table"], "Tasks");
    assert_eq!(taken["tables"].as_array().unwrap().len(), 82);
    assert!(ran.stderr.contains("Tasks") && ran.stderr.contains("warning"), "{ran:?}");
    // Allowed again, the next run has it.
    site.till.faults().clear();
    let next = site.json(&["snapshot"]);
    assert_eq!((&next["snapshot"], next["tables"].as_array().unwrap().len()), (&2.into(), 83));
}

#[test]
fn a_connection_lost_half_way_adds_no_snapshot_and_the_next_run_completes() {
    let site = Site::with_days(3);
    for fault in [Fault::DropAfter(40), Fault::DropInside(40)] {
        site.till.faults().arm(When::Table("Orders".into()), fault, 9);
        site.run(&["snapshot"]).failed(75, &["Orders"]);
        site.till.faults().clear();
        assert_eq!(site.json(&["snapshots"])["snapshots"].as_array().unwrap().len(), 0);
    }
    let taken = site.json(&["snapshot"]);
    assert_eq!((&taken["snapshot"], taken["tables"].as_array().unwrap().len()), (&1.into(), 83));
}

#[test]
fn a_killed_run_leaves_nothing_half_done_and_the_next_one_completes() {
    let site = Site::with_days(3);
    site.till.faults().arm(When::Table("Payments".into()), Fault::Stall(Duration::from_secs(60)), 1);
    let mut child = site.start(&["snapshot"]);
    // Tickets come before payments: wait until some chunks are there.
    let chunks = || files(&site.archive()).iter().filter(|name| name.ends_with(".parquet")).count();
    for _ in 0..600 {
        if chunks() > 0 {
            break;
        }
        thread::sleep(Duration::from_millis(50));
    }
    assert!(chunks() > 0);
    child.kill().unwrap();
    child.wait().unwrap();
    site.till.faults().clear();
    assert_eq!(site.json(&["snapshots"])["snapshots"].as_array().unwrap().len(), 0);
    let taken = site.json(&["snapshot"]);
    assert_eq!((&taken["snapshot"], taken["tables"].as_array().unwrap().len()), (&1.into(), 83));
    assert!(files(&site.archive()).iter().all(|name| !name.contains('#')), "leftovers stay");
}

#[test]
fn an_interrupted_run_says_so_and_frees_the_archive() {
    let site = Site::with_days(1);
    for signal in ["-INT", "-TERM"] {
        site.till.faults().take_statements();
        site.till.faults().arm(When::Table("Orders".into()), Fault::Stall(Duration::from_secs(60)), 1);
        let child = site.start(&["snapshot"]);
        let asked = || site.till.faults().take_statements().iter().any(|sql| sql.contains("[Orders]"));
        assert!((0..600).any(|_| {
            thread::sleep(Duration::from_millis(50));
            asked()
        }));
        let sent = std::process::Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
        assert!(sent.success());
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(130), "{output:?}");
        site.till.faults().clear();
    }
    assert_eq!(site.json(&["snapshots"])["snapshots"].as_array().unwrap().len(), 0);
    assert_eq!(site.json(&["snapshot"])["snapshot"], 1);
}

#[test]
fn of_two_runs_at_once_the_second_says_so() {
    let site = Site::with_days(1);
    site.till.faults().arm(When::Table("Tickets".into()), Fault::Stall(Duration::from_secs(60)), 1);
    let mut first = site.start(&["snapshot"]);
    let pid = first.id().to_string();
    // The first run asks for tickets, so it holds the lock.
    let asked = || site.till.faults().take_statements().iter().any(|sql| sql.contains("[Tickets]"));
    assert!((0..600).any(|_| {
        thread::sleep(Duration::from_millis(50));
        asked()
    }));
    site.run(&["snapshot"]).failed(11, &["another", &pid]);
    // Readers are not held up.
    assert_eq!(site.run(&["snapshots"]).code, 0);
    first.kill().unwrap();
    first.wait().unwrap();
}

#[test]
fn an_archive_of_one_database_is_not_continued_with_another() {
    let site = Site::with_days(1);
    site.json(&["snapshot"]);
    let mut options = support::options();
    options.engine.database = "Other".into();
    let other = site.runtime.block_on(tillvault::demo::DemoTill::start(options)).unwrap();
    changed(
        &site,
        &format!("sambapos_db_port = {}", site.till.port()),
        &format!("sambapos_db_port = {}", other.port()),
    );
    changed(&site, "sambapos_db_name = 'SambaPOS5'", "sambapos_db_name = 'Other'");
    site.run(&["snapshot"]).failed(20, &["SambaPOS5", "Other"]);
}

#[test]
fn no_secret_is_ever_logged() {
    let site = Site::with_days(1);
    for arguments in [&["nightly", "-vv"][..], &["doctor", "-vv"], &["push", "-vv", "--json"]] {
        let ran = site.run(arguments);
        for secret in [TILL_PASSWORD, CLOUD_PASSWORD] {
            assert!(!format!("{}{}", ran.stdout, ran.stderr).contains(secret), "{arguments:?}");
        }
    }
}

#[test]
fn a_till_that_moves_while_it_is_read_without_snapshot_isolation_is_read_again() {
    let mut options = support::options();
    (options.days, options.tickets_per_day) = (1, 20);
    options.engine.allow_snapshot_isolation = false;
    let site = Site::new(options);
    site.till.faults().take_statements();
    site.till.faults().arm(When::Table("Payments".into()), Fault::Stall(Duration::from_secs(4)), 1);
    let child = site.start(&["snapshot", "--json"]);
    let asked = || site.till.faults().take_statements().iter().any(|sql| sql.contains("[Payments]"));
    assert!((0..600).any(|_| {
        thread::sleep(Duration::from_millis(20));
        asked()
    }));
    // Tickets and lines were read before this day, payments will be after it.
    site.till.trade().trade_day().unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let taken: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(taken["consistency"], "reread");
    assert!(taken["rows_read"].as_u64() > taken["rows"].as_u64(), "{taken}");
    // Nothing of the first read is left in it: it is the state the till has now.
    let again = site.json(&["snapshot"]);
    assert_eq!((&again["unchanged"], &again["rows"]), (&true.into(), &taken["rows"]));
}
