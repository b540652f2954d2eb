//! Credentials in logs, errors, process lists, redirected requests: nowhere.

use std::{fs, process::Stdio};

use crate::{
    double::{Action, Double, Fault},
    home::{Home, PASSWORD},
};

/// Base64 of `user:password`, as Basic sends it.
fn basic(password: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let text = format!("kitchen:{password}");
    // Whole groups of three are enough to be recognised.
    text.as_bytes()
        .chunks_exact(3)
        .flat_map(|group| {
            let bits = u32::from(group[0]) << 16 | u32::from(group[1]) << 8 | u32::from(group[2]);
            [18, 12, 6, 0].map(|shift| char::from(DIGITS[(bits >> shift & 63) as usize]))
        })
        .collect()
}

#[test]
fn basic_is_what_servers_get() {
    assert_eq!(basic("ab"), "a2l0Y2hlbjph");
}

#[track_caller]
fn silent(text: &str, secrets: &[&str]) {
    for secret in secrets {
        assert!(!text.contains(secret) && !text.contains(&basic(secret)), "{secret} in {text}");
    }
}

#[test]
fn the_loudest_log_tells_no_secret() {
    let home = Home::new();
    let double = home.nextcloud();
    let root = double.root().to_string();
    let add =
        ["-vv", "remote", "add", "cloud", "nextcloud", &root, "--user", "kitchen", "--password-file", "ann.password"];
    let ran = home.run(&add).ends(0);
    let app = home.app_password();
    silent(&ran.text(), &[PASSWORD, &app]);
    for arguments in [&["remote", "test"][..], &["remote", "list"], &["doctor", "--remotes"], &["push"]] {
        let ran = home.run(&[&["-vv"], arguments].concat());
        silent(&ran.text(), &[PASSWORD, &app]);
        assert!(ran.code == 0 || ran.code == 3, "{ran:?}");
    }
    double.revoke();
    for arguments in [&["remote", "test"][..], &["doctor", "--remotes"], &["push"]] {
        let ran = home.run(&[&["-vv"], arguments].concat()).ends(12);
        silent(&ran.text(), &[PASSWORD, &app]);
    }
}

#[test]
fn a_running_command_shows_no_secret_in_the_process_list() {
    let home = Home::new();
    let double = home.nextcloud();
    home.add_nextcloud(&double).ends(0);
    double.inject(Fault::every("", Action::Delay(std::time::Duration::from_millis(300))));
    let mut child = home.command(&["remote", "test"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let (mut looks, app) = (0, home.app_password());
    while child.try_wait().unwrap().is_none() {
        for name in ["cmdline", "environ"] {
            let Ok(shown) = fs::read(format!("/proc/{}/{name}", child.id())) else { continue };
            silent(&String::from_utf8_lossy(&shown), &[PASSWORD, &app]);
            looks += 1;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    assert!(looks > 4);
}

#[test]
fn nothing_follows_a_redirect() {
    let home = Home::new();
    let (double, other) = (home.nextcloud(), home.runtime.block_on(Double::local()));
    home.add_nextcloud(&double).ends(0);
    for path in ["/ocs/*", "/remote.php/*", "/status.php"] {
        let target = other.url().to_string();
        let answer = Action::Answer { status: 307, headers: vec![("location", target)], body: String::new() };
        double.inject(Fault::every("", answer).on(path));
        for arguments in [&["remote", "test"][..], &["doctor", "--remotes"], &["push"]] {
            if path != "/remote.php/*" && arguments == ["push"] {
                continue;
            }
            let ran = home.run(arguments);
            // Without its status a server is asked as any other WebDAV server.
            if path != "/status.php" {
                assert_ne!(ran.code, 0, "{path} {arguments:?}: {ran:?}");
                assert!(ran.text().contains("redirect"), "{path} {arguments:?}: {ran:?}");
            }
        }
        double.heal();
    }
    assert_eq!(other.log().len(), 0, "{:?}", other.log());
}
