//! What `doctor` says of remotes, and what to do about each fault.

use std::fs;

use crate::{
    double::{Action, Fault},
    home::Home,
};

#[test]
fn a_remote_that_is_well_is_told_so_and_nothing_is_written() {
    let home = Home::new();
    let double = home.nextcloud();
    home.add_nextcloud(&double).ends(0);
    double.take_log();
    let ran = home.run(&["doctor", "--remotes", "--json"]).ends(0);
    ran.has("server", "ok", "Nextcloud 31.0.6 is up").has("login", "ok", "signed in as").has(
        "copy",
        "ok",
        "holds 0 snapshots",
    );
    ran.has("abilities", "unknown", "remote test cloud");
    assert_eq!(ran.check("copy")["object"], "cloud");
    let reads = |method: &str| matches!(method, "GET" | "HEAD" | "PROPFIND" | "OPTIONS");
    assert!(double.log().iter().all(|request| reads(&request.method)), "{:?}", double.log());
    home.run(&["remote", "test"]).ends(0);
    let ran = home.run(&["doctor", "--remotes", "--json"]).ends(0);
    ran.has("abilities", "ok", "computes hashes of what it stores");
    let text = home.run(&["doctor", "--remotes"]).ends(0).stdout;
    assert!(text.contains("Remotes: cloud\n  ok         server "), "{text}");
}

#[test]
fn faults_of_the_server_are_told_with_what_to_do() {
    let home = Home::new();
    let mut double = home.nextcloud();
    home.add_nextcloud(&double).ends(0);
    let look = || home.run(&["doctor", "--remotes", "--json"]);
    double.set_maintenance(true);
    let ran = look().ends(75);
    ran.has("server", "failed", "maintenance mode");
    assert!(ran.check("server")["fix"].as_str().unwrap().contains("Wait"), "{ran:?}");
    double.set_maintenance(false);
    double.set_disabled(true);
    look().ends(12).has("login", "failed", "disabled");
    double.set_disabled(false);
    double.set_quota(Some(10 << 20));
    let ran = look().ends(3);
    ran.has("room", "warning", "free there");
    assert!(ran.check("room")["fix"].as_str().unwrap().contains("quota"));
    double.set_quota(None);
    double.inject(
        Fault::every("GET", Action::rewrite(|text| text.replace("\"delay\":0", "\"delay\":25000")))
            .on("/ocs/v2.php/cloud/capabilities"),
    );
    look().ends(3).has("sign-ins", "warning", "25000 ms");
    double.heal();
    home.runtime.block_on(double.stop());
    let ran = look().ends(75);
    ran.has("server", "failed", "cannot connect");
    assert_eq!(ran.json()["checks"].as_array().unwrap().len(), 1, "nothing else is asked");
}

#[test]
fn another_users_folder_and_another_archive_are_told() {
    let home = Home::new();
    let double = home.nextcloud();
    home.add_nextcloud(&double).ends(0);
    let settings = home.settings();
    fs::write(home.path("tillvault.toml"), settings.replace("/files/kitchen/", "/files/somebody/")).unwrap();
    let ran = home.run(&["doctor", "--remotes", "--json"]).ends(2);
    ran.has("login", "failed", "somebody");
    assert!(ran.check("login")["fix"].as_str().unwrap().starts_with("Put kitchen in the place of somebody"));
    fs::write(home.path("tillvault.toml"), settings).unwrap();
    double.store("tillvault/tillvault-archive.json", r#"{"format":1,"archive":"0123","site":"Other"}"#);
    home.run(&["doctor", "--remotes", "--json"]).ends(20).has("copy", "failed", "another archive");
    double.store("tillvault/tillvault-archive.json", "<html>sign in</html>");
    home.run(&["doctor", "--remotes", "--json"]).ends(20).has("copy", "failed", "not an archive's header");
    double.forget("tillvault/tillvault-archive.json");
    double.store("tillvault/snapshots/000001.json.zst", "x");
    home.run(&["doctor", "--remotes", "--json"]).ends(20).has("copy", "failed", "whose they are");
}

#[test]
fn a_server_that_stores_something_else_fails_the_test_and_is_cleaned() {
    let home = Home::new();
    let double = home.nextcloud();
    home.add_nextcloud(&double).ends(0);
    home.run(&["remote", "test"]).ends(0);
    double.inject(Fault::every("GET", Action::ShortAnswer(10)).on("/remote.php/dav/files/*tillvault-test-*"));
    let ran = home.run(&["remote", "test", "--json"]);
    assert_ne!(ran.code, 0);
    assert_eq!(ran.check("read")["verdict"], "failed", "{ran:?}");
    assert!(double.files().is_empty(), "{:?}", double.files());
    double.heal();
    double.inject(Fault::every("PUT", Action::error(403, "Forbidden", "read only")).on("*tillvault-test-*"));
    let ran = home.run(&["remote", "test", "--json"]).ends(1);
    ran.has("write", "failed", "cannot write");
    assert!(ran.check("write")["fix"].is_string());
}
