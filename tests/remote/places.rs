//! WebDAV and folders as remotes: added, tried, pushed to.

use std::{fs, os::unix::fs::symlink};

use tillvault::demo::webdav::{WebDavOptions, WebDavServer};

use crate::home::Home;

#[test]
fn a_folder_is_added_tried_and_pushed_to() {
    let home = Home::new();
    home.run(&["remote", "add", "disk", "folder", "backup"]).ends(1).says(&["cannot be used", "mount the disk"]);
    fs::create_dir(home.path("backup")).unwrap();
    home.run(&["remote", "add", "disk", "folder", "backup", "--connections", "2"]).ends(0).says(&["remote test disk"]);
    let ran = home.run(&["remote", "test", "--json"]).ends(0);
    ran.has("overwrite", "ok", "cannot be overwritten").has("room", "ok", "free there");
    assert_eq!(fs::read_dir(home.path("backup")).unwrap().count(), 0, "nothing is left");
    home.run(&["push"]).ends(0);
    assert!(home.path("backup/tillvault-archive.json").exists());
    home.run(&["doctor", "--remotes", "--json"]).ends(0).has("copy", "ok", "holds 0 snapshots");

    // The disk is gone: that is a failure, and no new folder.
    fs::rename(home.path("backup"), home.path("away")).unwrap();
    home.run(&["push"]).ends(1).says(&["cannot be used", "mount the disk"]);
    assert!(!home.path("backup").exists());
    // A link in the place of a part of it is not followed.
    fs::rename(home.path("away"), home.path("backup")).unwrap();
    fs::remove_file(home.path("backup/tillvault-archive.json")).unwrap();
    symlink("/etc/hostname", home.path("backup/tillvault-archive.json")).unwrap();
    home.run(&["doctor", "--remotes", "--json"]).ends(1).has("copy", "failed", "symbolic link");
}

#[test]
fn a_copy_of_another_archive_is_not_added() {
    let home = Home::new();
    fs::create_dir(home.path("backup")).unwrap();
    let header = home.path("backup/tillvault-archive.json");
    fs::write(&header, r#"{"format":1,"archive":"0123","site":"Other Bar"}"#).unwrap();
    home.run(&["remote", "add", "disk", "folder", "backup"]).ends(20).says(&["another archive", "Other Bar"]);
    fs::copy(home.path("archive/tillvault-archive.json"), &header).unwrap();
    let json = home.run(&["remote", "add", "disk", "folder", "backup", "--json"]).ends(0).json();
    assert_eq!(json["holds_archive"], true);
}

#[test]
fn webdav_takes_its_password_from_a_file_or_a_variable() {
    let home = Home::new();
    let options = WebDavOptions { prefix: "/dav".into(), ..WebDavOptions::default() };
    let server = home.runtime.block_on(WebDavServer::start(options)).unwrap();
    let url = format!("{}till", server.url());
    let arguments = ["remote", "add", "my-nas", "webdav", &url, "--user", "kitchen"];
    home.run(&arguments).ends(2).says(&["needs a secret", "TILLVAULT_REMOTE_MY_NAS_PASSWORD"]);
    let mut command = home.command(&arguments);
    command.env("TILLVAULT_REMOTE_MY_NAS_PASSWORD", "app-password");
    let ran = Home::finished(command).ends(0).says(&["TILLVAULT_REMOTE_MY_NAS_PASSWORD has to be set"]);
    assert!(!ran.text().contains("app-password"));
    assert!(!home.settings().contains("password_file = \"nas"), "{}", home.settings());
    home.run(&["remote", "remove", "my-nas"]).ends(0);

    fs::create_dir(home.path("secrets")).unwrap();
    fs::write(home.path("secrets/nas"), "app-password").unwrap();
    home.run(&[&arguments[..], &["--password-file", "secrets/nas"]].concat()).ends(0);
    assert!(home.settings().contains("password_file = \"secrets/nas\""));
    let ran = home.run(&["remote", "test", "my-nas", "--json"]).ends(0);
    ran.has("reach", "ok", "holds 0 snapshots").has("read", "ok", "as it was written").has(
        "abilities",
        "ok",
        "reading",
    );
    assert_eq!(ran.check("reach")["object"], "my-nas");
    home.run(&["push"]).ends(0);
    home.run(&["remote", "list"]).ends(0).says(&["my-nas", "webdav", "/dav/till/", "kitchen"]);
}
