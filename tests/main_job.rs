//! The main job from end to end, by the program as users start it: demo till → archive → WebDAV → PostgreSQL → report.

mod support;

use std::{collections::BTreeSet, fs, path::Path, process::Command};

use support::{Site, files};

fn chunk_files(site: &Site) -> BTreeSet<String> {
    files(&site.archive())
        .into_iter()
        .filter(|name| name.ends_with(".parquet") && name.starts_with("tables/"))
        .collect()
}

#[test]
fn first_run_unchanged_run_and_a_day_later() {
    let site = Site::with_days(4);
    let first = site.json(&["snapshot"]);
    assert_eq!((&first["snapshot"], &first["kind"]), (&1.into(), &"full".into()));
    assert!(first["rows"].as_u64().unwrap() > 1000, "{first}");
    assert_eq!(first["tables"].as_array().unwrap().len(), 83);
    assert_eq!(first["chunks"], first["chunks_new"]);
    let pushed = site.json(&["push"]);
    let objects = first["chunks"].as_u64().unwrap() + 2;
    // Equal chunks of different tables are different objects; the snapshot and the archive's own file come on top.
    assert_eq!(pushed["uploaded"].as_u64().unwrap(), objects, "{pushed}");
    assert_eq!(pushed["backlog"], 0);
    let loaded = site.json(&["load"]);
    assert!(loaded["inserted"].as_u64().unwrap() > 50, "{loaded}");

    // Nothing changed: nothing encoded, nothing written, nothing uploaded, nothing loaded.
    let before = files(&site.archive());
    let again = site.json(&["snapshot"]);
    assert_eq!((&again["snapshot"], &again["chunks_new"], &again["unchanged"]), (&1.into(), &0.into(), &true.into()));
    assert_eq!(files(&site.archive()), before);
    let pushed = site.json(&["push"]);
    assert_eq!((&pushed["uploaded"], &pushed["bytes"]), (&0.into(), &0.into()));
    assert!(pushed["requests"].as_u64().unwrap() <= 3, "{pushed}");
    let loaded = site.json(&["load"]);
    assert_eq!((&loaded["inserted"], &loaded["updated"]), (&0.into(), &0.into()));

    // A day later: only the open ends change.
    let old = chunk_files(&site);
    site.till.trade().trade_day().unwrap();
    let second = site.json(&["sync"]);
    let taken = &second["snapshot"];
    assert_eq!(taken["snapshot"], 2);
    let new = chunk_files(&site);
    assert!(old.is_subset(&new));
    let changed: BTreeSet<&str> = new.difference(&old).map(|name| name.split('/').nth(1).unwrap()).collect();
    for table in ["Tickets", "Orders", "Payments", "AccountTransactions", "WorkPeriods"] {
        assert!(changed.contains(table), "{changed:?}");
    }
    for table in ["MenuItems", "MenuItemPrices", "Users", "PrinterTemplates", "AppRules", "Accounts"] {
        assert!(!changed.contains(table), "{changed:?}");
    }
    let pushed = site.json(&["push"]);
    assert_eq!(pushed["uploaded"].as_u64().unwrap(), taken["chunks_new"].as_u64().unwrap() + 1, "{pushed}");
    // This server computes no hashes: each object is read back. Derived files come on top.
    assert!(pushed["requests"].as_u64().unwrap() <= 3 * pushed["uploaded"].as_u64().unwrap() + 10, "{pushed}");
}

#[test]
fn every_chunk_is_named_by_b3sum_and_length() {
    let site = Site::with_days(2);
    site.json(&["snapshot"]);
    let chunks = chunk_files(&site);
    assert!(chunks.len() > 50);
    for name in chunks {
        let path = site.archive().join(&name);
        let output =
            Command::new("b3sum").arg("--no-names").arg(&path).output().expect("b3sum: scripts/setup.sh --tests");
        let hash = String::from_utf8(output.stdout).unwrap();
        let length = fs::metadata(&path).unwrap().len();
        assert_eq!(name.rsplit('/').next().unwrap(), format!("{}-{length}.parquet", hash.trim()));
    }
}

#[test]
fn the_mirror_holds_the_same_bytes() {
    let site = Site::with_days(2);
    site.json(&["snapshot"]);
    site.json(&["push"]);
    let cloud = site.path("cloud").join("till");
    for name in
        files(&site.archive()).iter().filter(|name| name.starts_with("tables/") || name.starts_with("snapshots/"))
    {
        assert_eq!(fs::read(site.archive().join(name)).unwrap(), fs::read(cloud.join(name)).unwrap(), "{name}");
    }
}

#[test]
fn nightly_does_all_of_it_and_goes_on_where_a_part_fails() {
    let mut site = Site::with_days(2);
    let night = site.json(&["nightly", "--tag", "nightly"]);
    assert_eq!(night["snapshot"]["snapshot"], 1);
    assert_eq!(night["push"][0]["backlog"], 0);
    assert!(night["load"]["inserted"].as_u64().unwrap() > 0);

    // The cloud is away: archive and replica are served all the same, and the exit code says "try later".
    site.till.trade().trade_day().unwrap();
    site.cloud_off();
    let ran = site.run(&["nightly", "--json"]);
    assert_eq!(ran.code, 75, "{ran:?}");
    let night = ran.json();
    assert_eq!((&night["snapshot"]["snapshot"], &night["load"]["snapshot"]), (&2.into(), &2.into()));
    assert_eq!(night["failures"].as_array().unwrap().len(), 1);
}

#[test]
fn show_list_and_query_agree_with_the_till() {
    let site = Site::with_days(3);
    site.json(&["snapshot", "--tag", "first"]);
    site.till.trade().trade_day().unwrap();
    site.json(&["snapshot"]);
    let list = site.json(&["snapshots"]);
    assert_eq!(list["snapshots"].as_array().unwrap().len(), 2);
    assert_eq!(list["snapshots"][0]["tags"][0], "first");
    let shown = site.json(&["show", "1"]);
    assert_eq!(shown["snapshot"], 1);
    let orders = |arguments: &[&str]| {
        let answer = site.json(
            &[&["query", "SELECT count(*) AS n, sum(Price * Quantity) AS total FROM Orders"], arguments].concat(),
        );
        answer["rows"][0].clone()
    };
    let expected: (i64, String) = site
        .till
        .engine()
        .connection()
        .unwrap()
        .query_row("SELECT count(*), sum(Price * Quantity)::VARCHAR FROM dbo.\"Orders\"", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .unwrap();
    let now = orders(&[]);
    assert_eq!((&now["n"], &now["total"]), (&expected.0.into(), &expected.1.as_str().into()));
    assert!(orders(&["--as-of", "1"])["n"].as_i64().unwrap() < expected.0);
    site.run(&["query", "DELETE FROM Orders"]).failed(1, &["read"]);
    site.run(&["query", "SELECT * FROM read_csv('/etc/passwd')"]).failed(1, &[]);
    site.run(&["show", "9"]).failed(2, &["no snapshot 9", "1 to 2"]);
}

#[test]
fn python_reads_the_same_rows_as_the_till_holds() {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join(".tools/venv/bin/python");
    assert!(python.exists(), "no Python environment: scripts/setup.sh --tests makes it");
    let site = Site::with_days(3);
    let taken = site.json(&["snapshot"]);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python/compare_till.py");
    let mut command = Command::new(python);
    command.arg(script).arg(site.archive()).arg(site.till.port().to_string()).arg(support::TILL_PASSWORD);
    let compared = support::finished(command).done().json();
    assert_eq!((&compared["tables"], &compared["rows"]), (&83.into(), &taken["rows"]));
}

/// Runs a shell script in a mount namespace of its own, where that is allowed.
fn in_own_mounts(site: &Site, script: &str) -> Option<support::Ran> {
    let allowed = Command::new("unshare").args(["--user", "--map-root-user", "--mount", "true"]).status();
    if !allowed.is_ok_and(|status| status.success()) {
        eprintln!("skipped: this machine allows no mount namespaces");
        return None;
    }
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "sh", "-c", script]);
    command.arg(env!("CARGO_BIN_EXE_tillvault")).current_dir(site.folder.path());
    Some(support::finished(command))
}

#[test]
fn a_full_disk_is_said_and_nothing_is_lost() {
    let site = Site::with_days(3);
    // A small file system in place of the archive's tables: some chunks fit, not all.
    fs::create_dir_all(site.archive().join("tables")).unwrap();
    let script = "mount -t tmpfs -o size=100k tmpfs archive/tables && exec \"$0\" snapshot";
    if let Some(ran) = in_own_mounts(&site, script) {
        ran.failed(1, &["next:"]);
        assert_eq!(site.json(&["snapshots"])["snapshots"].as_array().unwrap().len(), 0);
    }
    assert_eq!(site.json(&["snapshot"])["snapshot"], 1);
}

#[test]
fn an_archive_that_cannot_be_written_is_named() {
    let site = Site::with_days(1);
    site.json(&["snapshot"]);
    site.till.trade().trade_day().unwrap();
    let before = files(&site.archive());
    let script = "mount --bind archive archive && mount -o remount,bind,ro archive && exec \"$0\" snapshot";
    if let Some(ran) = in_own_mounts(&site, script) {
        ran.failed(1, &["archive", "next:"]);
    }
    // A file where a folder should be needs no special rights.
    let table = site.archive().join("tables/Tickets");
    fs::rename(&table, site.path("aside")).unwrap();
    fs::write(&table, "not a folder").unwrap();
    site.run(&["snapshot"]).failed(1, &["Tickets"]);
    fs::remove_file(&table).unwrap();
    fs::rename(site.path("aside"), &table).unwrap();
    assert!(files(&site.archive()).len() >= before.len());
    assert_eq!(site.json(&["snapshot"])["snapshot"], 2);
}

#[test]
fn of_two_pushes_at_once_the_second_says_so_and_snapshots_go_on() {
    use tillvault::demo::webdav::{Action, Fault};
    let site = Site::with_days(1);
    site.json(&["snapshot"]);
    site.cloud().inject(Fault::next("PUT", Action::Stall(std::time::Duration::from_secs(60))));
    let mut first = site.start(&["push"]);
    let pid = first.id().to_string();
    assert!((0..600).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(50));
        site.archive().join(".lock-push").exists() && site.cloud().requests().iter().any(|r| r.method == "PROPFIND")
    }));
    site.run(&["push"]).failed(11, &["another run is pushing", &pid]);
    assert_eq!(site.json(&["push", "--dry-run"])["uploaded"], 0);
    site.till.trade().trade_day().unwrap();
    assert_eq!(site.json(&["snapshot"])["snapshot"], 2);
    first.kill().unwrap();
    first.wait().unwrap();
    assert_eq!(site.json(&["push"])["backlog"], 0);
}

#[test]
fn a_report_comes_from_the_till_until_something_is_loaded_and_says_so() {
    let site = Site::with_days(2);
    let from = ["report", "top-sellers", "--from", "2026-03-02", "--to", "2026-03-03"];
    let live = site.json(&from);
    assert_eq!((&live["source"], &live["snapshot"]), (&"live".into(), &serde_json::Value::Null));
    assert!(live["warnings"][0].as_str().unwrap().contains("replica"), "{live}");
    site.run(&[&from[..], &["--source", "replica"]].concat()).failed(1, &["tillvault load"]);
    site.json(&["sync"]);
    let replica = site.json(&from);
    assert_eq!((&replica["source"], &replica["snapshot"]), (&"replica".into(), &1.into()));
    assert_eq!(replica["rows"], live["rows"]);
    assert_eq!(replica["rows"][0]["category"], "Starters");
    let categories = site.json(&["report", "categories"]);
    assert_eq!(categories["rows"], site.json(&["report", "categories", "--source", "live"])["rows"]);
    site.run(&["report", "top-sellers"]).failed(2, &["--from"]);
    site.run(&["report", "top-sellers", "--from", "2026-03-03", "--to", "2026-03-02"])
        .failed(2, &["after the last day"]);
    site.run(&["report", "turnover"]).failed(2, &["categories, top-sellers"]);
}

#[test]
fn without_an_archive_the_exit_code_says_so() {
    let site = Site::with_days(0);
    fs::remove_dir_all(site.archive()).unwrap();
    for arguments in [&["snapshot"][..], &["push"], &["load"], &["snapshots"], &["query", "SELECT 1"]] {
        site.run(arguments).failed(10, &["tillvault init"]);
    }
}

#[test]
fn an_archive_put_back_from_an_older_copy_is_not_taken_for_the_one_that_was_loaded() {
    let site = Site::with_days(1);
    site.json(&["sync"]);
    let copy = |from: &std::path::Path, to: &std::path::Path| {
        assert!(std::process::Command::new("cp").arg("-a").args([from, to]).status().unwrap().success());
    };
    copy(&site.archive(), &site.path("older"));
    site.till.trade().trade_day().unwrap();
    site.json(&["sync"]);
    std::fs::remove_dir_all(site.archive()).unwrap();
    copy(&site.path("older"), &site.archive());
    // The archive ends before what was loaded.
    site.run(&["load"]).failed(1, &["snapshot 2", "older copy", "--rebuild"]);
    // Its next snapshot has a number that was loaded, and other trade.
    site.till.trade().trade_day().unwrap();
    site.run(&["sync"]).failed(1, &["snapshot 2", "older copy", "--rebuild"]);
    assert_eq!(site.json(&["snapshots"])["snapshots"].as_array().unwrap().len(), 2);
    assert_eq!(site.json(&["load", "--rebuild"])["snapshots"], 2);
    assert_eq!(site.json(&["load"])["snapshots"], 0);
}

#[test]
fn a_demo_shorter_than_a_week_tells_its_story_to_the_end() {
    let site = Site::with_days(0);
    let folder = site.path("demo");
    let folder = folder.to_str().unwrap();
    let told = site.json(&["demo", "--folder", folder, "--days", "2", "--tickets-per-day", "4"]);
    assert_eq!((&told["snapshots"], &told["report_unchanged"]), (&6.into(), &true.into()), "{told}");
}

#[test]
fn init_writes_nothing_when_what_it_is_told_cannot_work() {
    let site = Site::with_days(0);
    let folder = site.path("new");
    let init =
        ["init", "--folder", folder.to_str().unwrap(), "--host", "127.0.0.1", "--password-file", "till.password"];
    site.run(&init).failed(2, &["till.password", "next: "]);
    assert!(!folder.join("tillvault.toml").exists());
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("till.password"), support::TILL_PASSWORD).unwrap();
    site.run(&init).done();
    assert!(folder.join("archive/tillvault-archive.json").is_file());
    site.run(&["init", "--folder", "other", "--config", "mine.toml"]).failed(2, &["--folder"]);
    site.run(&["init", "--folder", "other", "--remote-url", "https://cloud.example/till"])
        .failed(2, &["--remote-username"]);
    assert!(!site.path("other").exists());
}

#[test]
fn an_answer_that_cannot_be_written_is_a_failure() {
    let site = Site::with_days(0);
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = site.command(&["snapshots"]).stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("standard output"), "{output:?}");
}

#[test]
fn a_usage_error_is_one_json_object_too() {
    let site = Site::with_days(0);
    for arguments in [&["show", "--json", "one"][..], &["--json", "nightlily"], &["snapshots", "--json", "--tag"]] {
        let ran = site.run(arguments);
        let error = &ran.json()["error"];
        assert_eq!((ran.code, &error["exit_code"], &error["kind"]), (2, &2.into(), &"usage".into()), "{ran:?}");
        assert!(!error["message"].as_str().unwrap().is_empty(), "{ran:?}");
    }
}

#[test]
fn a_log_that_cannot_be_written_stops_no_run() {
    let site = Site::with_days(1);
    let full = || fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = site.command(&["snapshot"]).stderr(full()).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(site.json(&["snapshots"])["snapshots"].as_array().unwrap().len(), 1);
    let output = site.command(&["show", "9"]).stderr(full()).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
}

#[test]
fn what_is_not_there_is_said_alike_by_every_command() {
    let site = Site::with_days(1);
    for command in [&["query", "SELECT 1"][..], &["show"], &["load"]] {
        site.run(command).failed(10, &["no snapshot", "tillvault snapshot"]);
    }
    site.json(&["snapshot"]);
    for command in [&["query", "SELECT 1", "--as-of", "9"][..], &["show", "9"]] {
        site.run(command).failed(2, &["there is no snapshot 9"]);
    }
    // A report on no category at all is empty for a reason.
    let settings = fs::read_to_string(site.path("tillvault.toml")).unwrap();
    let (before, _) = settings.split_once("[reports]").unwrap();
    fs::write(site.path("tillvault.toml"), before).unwrap();
    let report = site.run(&["report", "top-sellers", "--from", "2026-03-02", "--json"]).done();
    assert!(report.stderr.contains("--category"), "{report:?}");
    let (before, _) = before.split_once("[[remote]]").unwrap();
    fs::write(site.path("tillvault.toml"), before).unwrap();
    site.run(&["push", "--remote", "cloud"]).failed(2, &["no remote is configured"]);
}

#[test]
fn every_failure_of_a_night_is_complained_of_and_only_there() {
    let mut site = Site::with_days(1);
    site.cloud_off();
    let night = || {
        let mut command = site.command(&["nightly", "--quiet"]);
        command.env("TILLVAULT_REPLICA_URL", "postgres://nobody@127.0.0.1:1/nothing").output().unwrap()
    };
    let output = night();
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(75), "{output:?}");
    assert!(stdout.contains("snapshot 1") && !stdout.contains("remote cloud"), "{stdout}");
    assert!(stderr.contains("remote cloud") && stderr.contains("PostgreSQL at 127.0.0.1"), "{stderr}");
}

#[test]
fn each_snapshot_is_counted_once_while_loading() {
    #[derive(Default)]
    struct Loaded(std::sync::Mutex<Vec<u64>>);
    impl tillvault::observe::Observer for Loaded {
        fn event(&self, event: tillvault::observe::Event) {
            if let tillvault::observe::Event::SnapshotLoaded { snapshot } = event {
                self.0.lock().unwrap().push(snapshot);
            }
        }
    }
    let site = Site::with_days(1);
    site.json(&["snapshot"]);
    site.json(&["snapshot", "--always"]);
    let config = tillvault::config::Config::load(Some(&site.path("tillvault.toml"))).unwrap();
    let archive = tillvault::archive::Archive::open(&config.archive).unwrap();
    let seen = std::sync::Arc::new(Loaded::default());
    let observer: tillvault::observe::SharedObserver = seen.clone();
    site.runtime.block_on(tillvault::ops::load::load(&config, &archive, false, &observer)).unwrap();
    assert_eq!(*seen.0.lock().unwrap(), [1, 2]);
}

/// Every table of the replica, in an order of its own, but for when rows were loaded.
fn replica_dump(site: &Site, config: &Path) -> String {
    let config = tillvault::config::Config::load(Some(config)).unwrap();
    site.runtime.block_on(async {
        let replica = tillvault::replica::Replica::open(&config.replica, &config.data, "SambaPOS5").await.unwrap();
        // The tables that hold what was sold, without numbers that a rebuild gives anew.
        let sql = "SELECT table_name FROM information_schema.columns WHERE table_schema = 'sambapos' \
                   AND column_name = 'synced_at' AND table_name IN (SELECT tablename FROM pg_tables) ORDER BY 1";
        let mut dump = String::new();
        for row in replica.client().query(sql, &[]).await.unwrap() {
            let table: String = row.get(0);
            let sql = format!("SELECT (to_jsonb(t) - 'id' - 'synced_at' - 'ticket_id' - 'first_archive_id' - 'last_archive_id')::text FROM sambapos.\"{table}\" t ORDER BY 1");
            let rows = replica.client().query(&sql, &[]).await.unwrap();
            dump.push_str(&format!("{table}: {}\n", rows.len()));
            dump.extend(rows.iter().map(|row| row.get::<_, String>(0) + "\n"));
        }
        dump
    })
}

#[test]
fn a_new_machine_has_archive_and_replica_from_the_remote_alone() {
    let site = Site::with_days(1);
    site.json(&["sync", "--push"]);
    site.till.trade().trade_day().unwrap();
    let synced = site.json(&["sync", "--push"]);
    let pushed = &synced["push"][0];
    assert_eq!(pushed["uploaded"].as_u64().unwrap(), synced["snapshot"]["chunks_new"].as_u64().unwrap() + 1);
    site.json(&["tag", "1", "--add", "first"]);
    site.till.trade().trade_day().unwrap();
    site.json(&["nightly"]);
    let url = format!("{}till", site.cloud().url());
    let new = site.path("new");
    let folder = new.to_str().unwrap();
    let init = ["init", "--folder", folder, "--from-remote", &url, "--remote-username", "kitchen"];
    site.run(&init[..5]).failed(2, &["--remote-username"]);
    let made = site.json(&[&init[..], &["--remote-password-file", "../cloud.password"]].concat());
    assert_eq!((&made["archive_created"], &made["pull"]["snapshots"]), (&true.into(), &serde_json::json!([1, 2, 3])));
    let settings = new.join("tillvault.toml");
    let with = |arguments: &[&str]| {
        let mut all = vec!["--config", settings.to_str().unwrap()];
        all.extend(arguments);
        site.json(&all)
    };
    assert_eq!(with(&["check", "--read-data"])["counts"], serde_json::json!({"damage": 0, "warnings": 0, "notes": 0}));
    let again = with(&["pull"]);
    assert_eq!((&again["fetched"], &again["left"]), (&0.into(), &serde_json::json!([])));
    assert_eq!(with(&["load", "--rebuild"])["snapshots"], 3);
    // What was loaded night by night here is what the rebuild gives there.
    let (old, new) = (replica_dump(&site, &site.path("tillvault.toml")), replica_dump(&site, &settings));
    assert!(old.lines().count() > 100);
    assert_eq!(old, new);
    // The remote's copy is whole, and is read by its bytes.
    let checked = site.json(&["check", "--remote", "cloud", "--read-data"]);
    assert_eq!(
        (&checked["counts"]["damage"], &checked["covered"]["chunks_read"]),
        (&0.into(), &checked["covered"]["chunks"])
    );
    // A stray chunk on the remote waits for its grace, then goes.
    let stray = format!("till/tables/Tickets/{}-4.parquet", "ab".repeat(32));
    fs::write(site.path("cloud").join(&stray), "PAR1").unwrap();
    assert_eq!(site.json(&["prune", "--remote", "cloud"])["waiting"], 1);
    assert_eq!(site.json(&["prune", "--remote", "cloud", "--grace", "0"])["removed"], 1);
    assert!(!site.path("cloud").join(&stray).exists());
}

#[test]
fn a_night_forgets_nothing_that_a_remote_has_not_got() {
    let mut site = Site::with_days(1);
    for _ in 0..3 {
        site.json(&["snapshot", "--always"]);
    }
    let settings = fs::read_to_string(site.path("tillvault.toml")).unwrap();
    let rules = "[forget]\nkeep_tags = []\nkeep_within = '0'\nkeep_hourly = 0\nkeep_daily = 0\nkeep_last = 1\n";
    fs::write(site.path("tillvault.toml"), format!("{settings}{rules}")).unwrap();
    let list = site.json(&["snapshots"]);
    assert_eq!(list["backlog"][0]["snapshots"], serde_json::json!([1, 2, 3]));
    site.json(&["push"]);
    site.json(&["snapshot", "--always"]);
    site.cloud_off();
    site.till.trade().trade_day().unwrap();
    let night = site.run(&["nightly", "--json"]);
    assert_eq!(night.code, 75, "{night:?}");
    let night = night.json();
    assert_eq!(night["push"][0]["error"]["exit_code"], 75);
    assert_eq!(night["forget"]["forgotten"], serde_json::json!([1, 2, 3]), "{night}");
    let list = site.json(&["snapshots"]);
    assert_eq!(list["backlog"][0]["snapshots"], serde_json::json!([4, 5]));
    // Told to, it forgets them all the same.
    fs::write(site.path("tillvault.toml"), format!("{settings}{rules}wait_for_remotes = false\n")).unwrap();
    let night = site.run(&["nightly", "--json"]).json();
    assert_eq!(night["forget"]["forgotten"], serde_json::json!([4]), "{night}");
}

#[test]
fn a_push_to_two_remotes_tells_of_each() {
    let site = Site::with_days(1);
    site.json(&["snapshot"]);
    let settings = fs::read_to_string(site.path("tillvault.toml")).unwrap();
    let second = "[[remote]]\nname = 'off'\nurl = 'http://127.0.0.1:9/till'\nusername = 'kitchen'\npassword_file = 'cloud.password'\n";
    fs::write(site.path("tillvault.toml"), settings.replace("[reports]", &format!("{second}[reports]"))).unwrap();
    let ran = site.run(&["push", "--json", "--limit-upload", "50M"]);
    assert_eq!(ran.code, 75, "{ran:?}");
    let remotes = ran.json()["remotes"].clone();
    assert_eq!((&remotes[0]["remote"], &remotes[0]["backlog"]), (&"cloud".into(), &0.into()));
    assert_eq!((&remotes[1]["remote"], &remotes[1]["error"]["temporary"]), (&"off".into(), &true.into()));
    let ran = site.run(&["push"]);
    assert!(ran.stdout.contains("cloud: holds everything") && ran.stdout.contains("off: failed"), "{ran:?}");
    assert!(ran.stderr.contains("off"), "{ran:?}");
    site.run(&["push", "--limit-upload", "fast"]).failed(2, &["no rate"]);
    let dry = site.json(&["push", "--remote", "cloud", "--dry-run"]);
    assert_eq!(dry["objects"], serde_json::json!([]));
}

#[test]
fn the_limit_of_a_push_may_change_while_it_runs() {
    let site = Site::with_days(1);
    site.json(&["snapshot"]);
    let bytes = site.json(&["push", "--dry-run"])["backlog_bytes"].as_u64().unwrap();
    let settings = fs::read_to_string(site.path("tillvault.toml")).unwrap();
    let limited = |rate: u64| {
        let line = format!("password_file = 'cloud.password'\nrate_limit_bytes_per_second = {rate}\n");
        fs::write(site.path("tillvault.toml"), settings.replace("password_file = 'cloud.password'\n", &line)).unwrap();
    };
    // At this rate it would take five minutes.
    limited(bytes / 300);
    let started = std::time::Instant::now();
    let mut push = site.start(&["push"]);
    std::thread::sleep(std::time::Duration::from_secs(2));
    assert!(push.try_wait().unwrap().is_none(), "it went faster than it may");
    limited(0);
    assert!(push.wait().unwrap().success());
    assert!(started.elapsed() < std::time::Duration::from_secs(60), "{:?}", started.elapsed());
    assert_eq!(site.json(&["push"])["uploaded"], 0);
}

#[test]
fn a_quarter_of_an_hour_of_trade_is_few_objects() {
    let site = Site::new(tillvault::demo::TillOptions { days: 1, tickets_per_day: 120, ..support::options() });
    site.till.trade().open_day(0.5).unwrap();
    site.json(&["sync", "--push"]);
    let uploads: Vec<u64> = [0.52, 0.54, 0.56]
        .into_iter()
        .map(|until| {
            site.till.trade().open_day(until).unwrap();
            site.json(&["sync", "--push"])["push"][0]["uploaded"].as_u64().unwrap()
        })
        .collect();
    // One of them is the snapshot; each costs one request on Nextcloud, and the lists three.
    assert!(uploads.iter().all(|count| *count <= 7), "{uploads:?}");
}
