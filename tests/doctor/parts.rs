//! The other parts: settings, archive, remotes, replica; and the text for people.

use std::{fs, os::unix::fs::PermissionsExt as _};

use tillvault::demo::About;

use crate::rig::{Said, about, change, site, steady};

#[test]
fn passwords_that_others_can_read_are_told() {
    let site = site(about(About::default()));
    Said::by(&site, &["--settings"]).has("file", "ok", &["tillvault.toml"]).has("secrets", "ok", &["2 files"]);
    fs::set_permissions(site.path("till.password"), fs::Permissions::from_mode(0o644)).unwrap();
    let said = Said::by(&site, &["--settings"]);
    said.has("secrets", "warning", &["till.password"]);
    assert!(said.check("secrets")["fix"].as_str().unwrap().contains("chmod 600"));
    assert_eq!(said.code, 3);
}

#[test]
fn settings_that_cannot_be_read_are_the_one_thing_told() {
    let site = site(about(About::default()));
    change(&site, "sambapos_db_host", "sambapos_db_hots");
    let said = Said::by(&site, &[]);
    said.has("file", "failed", &["sambapos_db_hots"]);
    assert_eq!((said.code, said.names()), (2, vec!["file"]));
}

#[test]
fn an_archive_that_is_behind_is_told() {
    let mut site = site(about(About::default()));
    let said = Said::by(&site, &["--archive", "--replica"]);
    said.has("snapshots", "warning", &["no snapshot yet"]).has("loaded", "ok", &["nothing to load"]);
    assert_eq!(said.code, 3);
    // The till's clock goes with its trade from here on.
    drop(site.till.trade());
    site.run(&["snapshot"]).done();
    let said = Said::by(&site, &["--archive", "--remotes", "--replica"]);
    said.has("snapshots", "ok", &["number 1, is"]);
    said.has("copy", "warning", &["holds 0 of 1 snapshots"]);
    said.has("loaded", "ok", &["will make a private PostgreSQL"]);
    site.run(&["push"]).done();
    let said = Said::by(&site, &["--archive", "--remotes"]);
    assert_eq!((said.code, said.not_ok().len()), (0, 0));
    site.till.trade().trade_day().unwrap();
    Said::by(&site, &["--till", "--archive"]).has("snapshots", "ok", &["the till made tickets until"]);
    site.cloud_off();
    let said = Said::by(&site, &["--remotes"]);
    assert_eq!(said.names(), ["server"]);
    assert_eq!(said.check("server")["object"], "cloud");
    fs::remove_dir_all(site.archive()).unwrap();
    assert_eq!(Said::by(&site, &["--archive"]).code, 10);
}

#[test]
fn the_text_is_for_people() {
    let mut options = about(About {
        database_roles: vec!["db_owner".into()],
        unreadable: vec!["Payments".into()],
        compatibility: 130,
        ..About::default()
    });
    options.engine.allow_snapshot_isolation = false;
    options.engine.version = "16.0.1000.6".into();
    let site = site(options);
    let ran = site.run(&["doctor", "--settings", "--till", "--archive"]);
    assert_eq!(ran.code, 1);
    insta::assert_snapshot!("ill", steady(&site, &ran));
}

#[test]
fn the_text_of_a_till_without_faults_is_calm() {
    let mut options = about(About::default());
    options.engine.version = "16.0.1000.6".into();
    let site = site(options);
    site.run(&["snapshot"]).done();
    site.run(&["push"]).done();
    let ran = site.run(&["doctor", "--settings", "--till", "--replica"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    insta::assert_snapshot!("well", steady(&site, &ran));
}

/// Left out in the README's example is only what a line of dots stands for.
#[test]
fn the_example_in_the_readme_is_a_real_one() {
    let readme = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let example = readme.split("```\n").find(|block| block.starts_with("Till\n")).unwrap();
    let real = include_str!("snapshots/doctor__parts__ill.snap").replace("port PORT", "port 1433");
    let mut rest: Vec<&str> = real.lines().skip_while(|line| *line != "Till").collect();
    let mut left_out = false;
    for line in example.lines() {
        if line.trim() == "..." {
            left_out = true;
            continue;
        }
        let at = rest.iter().position(|real| *real == line).unwrap_or_else(|| panic!("not in a real run: {line}"));
        assert!(at == 0 || left_out, "something is left out before: {line}");
        left_out = false;
        rest.drain(..=at);
    }
    assert!(rest.is_empty() && !left_out, "{rest:?}");
}
