//! Signing in with the browser, and with a password.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _},
    os::unix::fs::PermissionsExt as _,
    process::Stdio,
};

use crate::{
    double::{Action, Fault, Options},
    home::{Home, PASSWORD, Ran},
};

#[test]
fn the_browser_signs_in_and_the_app_password_is_kept_for_its_owner_alone() {
    let home = Home::new();
    let double = home.nextcloud_like(Options { base: "/sub/cloud".into(), uid: "u-17".into(), ..Options::default() });
    let before = home.settings();
    // What a browser shows, far below the base.
    let address = format!("{}index.php/apps/files/", double.root());
    let mut child = home
        .command(&["remote", "add", "cloud", "nextcloud", &address, "--json", "--quiet"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap());
    let mut text = String::new();
    while !text.contains("Waiting") {
        assert!(said.read_line(&mut text).unwrap() > 0, "{text}");
    }
    assert!(text.contains("/login/v2/flow/"), "{text}");
    let arguments = fs::read(format!("/proc/{}/cmdline", child.id())).unwrap();
    assert!(!String::from_utf8_lossy(&arguments).contains("flow"));
    double.confirm_logins();
    said.read_to_string(&mut text).unwrap();
    let output = child.wait_with_output().unwrap();
    let ran =
        Ran { code: output.status.code().unwrap(), stdout: String::from_utf8(output.stdout).unwrap(), stderr: text };
    let json = ran.ends(0).json();
    assert_eq!(json["user"], "The Kitchen (u-17)");
    assert_eq!(json["server"], "Nextcloud 31.0.6");
    assert!(json["address"].as_str().unwrap().ends_with("/sub/cloud/remote.php/dav/files/u-17/tillvault/"), "{json}");

    let after = home.settings();
    assert!(after.starts_with(&before) && after.contains("password_file = \"cloud.password\""), "{after}");
    assert!(after.contains("username = \"kitchen\"") && after.contains("type = \"nextcloud\""), "{after}");
    let secret = home.app_password();
    assert!(secret.len() > 20 && !after.contains(&secret));
    assert_eq!(fs::metadata(home.path("cloud.password")).unwrap().permissions().mode() & 0o777, 0o600);

    let begun = double.log().into_iter().find(|request| request.path == "/index.php/login/v2").unwrap();
    assert!(begun.header("user-agent").unwrap().starts_with("tillvault on "), "{begun:?}");
    assert!(double.log().iter().all(|request| !request.signed || request.authorised), "a wrong sign-in was tried");
    home.run(&["remote", "test", "cloud", "--json"]).has("speed", "ok", "MB/s").has("delete", "ok", "gone");
    assert!(double.files().is_empty() && double.trash().is_empty(), "{:?} {:?}", double.files(), double.trash());
}

#[test]
fn a_real_password_becomes_an_app_password() {
    let home = Home::new();
    let double = home.nextcloud();
    let json = home.add_nextcloud(&double).ends(0).json();
    assert_eq!(json["secret_file"], home.path("cloud.password").display().to_string());
    assert_ne!(home.app_password(), PASSWORD);
    home.run(&["doctor", "--remotes", "--json"]).ends(0).has("login", "ok", "signed in as The Kitchen (kitchen)");
    double.revoke();
    let ran = home.run(&["doctor", "--remotes", "--json"]).ends(12);
    ran.has("login", "failed", "refused");
    let log = double.take_log();
    assert_eq!(
        log.iter().filter(|request| request.signed && !request.authorised).count(),
        1,
        "one failed sign-in, not more"
    );
}

#[test]
fn an_app_password_stays_where_it_is() {
    let home = Home::new();
    let double = home.nextcloud();
    home.add_nextcloud(&double).ends(0);
    fs::write(home.path("mine"), home.app_password()).unwrap();
    let address = double.root().to_string();
    let arguments =
        ["remote", "add", "again", "nextcloud", &address, "--user", "kitchen", "--password-file", "mine", "--json"];
    let json = home.run(&arguments).ends(0).json();
    assert!(json.get("secret_file").is_none() && home.settings().contains("password_file = \"mine\""), "{json}");
    assert!(!home.path("again.password").exists());
}

#[test]
fn a_wrong_password_is_tried_once_and_nothing_is_written() {
    let home = Home::new();
    let double = home.nextcloud();
    fs::write(home.path("ann.password"), "wrong-pass-1\n").unwrap();
    let before = home.settings();
    let ran = home.add_nextcloud(&double).ends(12).says(&["refused", "app password"]);
    assert!(!ran.text().contains("wrong-pass-1"));
    assert_eq!(home.settings(), before);
    assert!(!home.path("cloud.password").exists());
    assert_eq!(double.log().iter().filter(|request| request.signed).count(), 1);
}

#[test]
fn what_fails_after_the_sign_in_takes_the_app_password_back() {
    let home = Home::new();
    let double = home.nextcloud();
    double.store("tillvault/tillvault-archive.json", r#"{"format":1,"archive":"ffff","site":"Other Bar"}"#);
    let before = home.settings();
    home.add_nextcloud(&double).ends(20).says(&["holds another archive", "Other Bar", "folder of its own"]);
    assert_eq!(home.settings(), before);
    assert!(!home.path("cloud.password").exists());
    let revoked = double.log().into_iter().filter(|request| request.method == "DELETE").collect::<Vec<_>>();
    assert_eq!(revoked.len(), 1);
    assert_eq!((revoked[0].path.as_str(), revoked[0].status), ("/ocs/v2.php/core/apppassword", Some(200)));
}

#[test]
fn servers_that_are_none_or_elsewhere_are_told() {
    let home = Home::new();
    let double = home.nextcloud();
    let add = |address: &str| {
        home.run(&[
            "remote",
            "add",
            "cloud",
            "nextcloud",
            address,
            "--user",
            "kitchen",
            "--password-file",
            "ann.password",
        ])
    };
    double.inject(Fault::every("GET", Action::html(200, "Welcome to the hotel network")).on("/status.php"));
    add(double.root().as_str()).ends(1).says(&["sign-in page"]);
    double.heal();
    let target = "https://cloud.example/nextcloud/status.php?token=abc".to_owned();
    double.inject(
        Fault::every("GET", Action::Answer { status: 302, headers: vec![("location", target)], body: String::new() })
            .on("/status.php"),
    );
    let ran = add(double.root().as_str()).ends(1).says(&[
        "redirects to https://cloud.example/nextcloud/status.php",
        "use the address https://cloud.example/nextcloud/",
    ]);
    assert!(!ran.text().contains("token=abc"));
    double.heal();
    assert!(double.take_log().iter().all(|request| !request.signed), "no password before the server is known");
    double.inject(Fault::every("GET", Action::status(404)).on("/status.php"));
    add(double.root().as_str()).ends(1).says(&["no Nextcloud answers", "remote add NAME webdav"]);
    add("ftp://cloud.example").ends(2).says(&["not an http or https address"]);
    add("http://127.0.0.1:9").ends(75).says(&["cannot connect"]);
}

#[test]
fn a_dry_run_writes_nothing_and_makes_no_password() {
    let home = Home::new();
    let double = home.nextcloud();
    let before = home.settings();
    let root = double.root().to_string();
    let ran = home.run(&["remote", "add", "cloud", "nextcloud", &root, "--dry-run"]).ends(0);
    assert!(ran.stdout.contains("after signing in with the browser"), "{ran:?}");
    let arguments =
        ["remote", "add", "cloud", "nextcloud", &root, "--user", "kitchen", "--password-file", "ann.password", "-n"];
    let ran = home.run(&arguments).ends(0);
    assert!(ran.stdout.contains("[[remote]]") && !ran.text().contains(PASSWORD), "{ran:?}");
    assert_eq!(home.settings(), before);
    assert!(!home.path("cloud.password").exists());
    assert!(double.log().iter().all(|request| !request.path.contains("apppassword") && request.method != "POST"));
}
