//! What becomes of the settings file.

use std::fs;

use crate::home::Home;

#[test]
fn adding_and_removing_leaves_the_settings_as_they_were() {
    let home = Home::new();
    for name in ["a", "b"] {
        fs::create_dir(home.path(name)).unwrap();
    }
    let before = home.settings();
    home.run(&["remote", "add", "one", "folder", "a"]).ends(0);
    let with_one = home.settings();
    home.run(&["remote", "add", "two", "folder", "b"]).ends(0);
    let json = home.run(&["remote", "list", "--json"]).ends(0).json();
    let remotes = json["remotes"].as_array().unwrap();
    assert_eq!(remotes.iter().map(|remote| remote["name"].as_str().unwrap()).collect::<Vec<_>>(), ["one", "two"]);
    assert_eq!((remotes[0]["type"].as_str(), remotes[0]["connections"].as_u64()), (Some("folder"), Some(4)));
    home.run(&["remote", "remove", "two", "--dry-run"]).ends(0).says(&["would take remote two"]);
    home.run(&["remote", "remove", "two"]).ends(0).says(&["what is stored there stays"]);
    assert_eq!(home.settings(), with_one);
    home.run(&["remote", "remove", "one"]).ends(0);
    assert_eq!(home.settings(), before);
    home.run(&["remote", "list"]).ends(0).says(&["the only copy"]);
    home.run(&["remote", "test"]).ends(2).says(&["no remote is configured", "remote add"]);
}

#[test]
fn names_are_checked_before_anything_is_asked() {
    let home = Home::new();
    fs::create_dir(home.path("a")).unwrap();
    home.run(&["remote", "add", "usb disk", "folder", "a"]).ends(2).says(&["no name for a remote"]);
    home.run(&["remote", "add", "usb-disk", "folder", "a"]).ends(0);
    // The same variable would hold both secrets.
    home.run(&["remote", "add", "USB_disk", "folder", "a"])
        .ends(2)
        .says(&["there is a remote \"usb-disk\"", "remote remove usb-disk"]);
    home.run(&["remote", "remove", "cloud"]).ends(2).says(&["known remotes: usb-disk"]);
    home.run(&["remote", "test", "cloud"]).ends(2).says(&["known remotes: usb-disk"]);
}

#[test]
fn a_remote_whose_password_is_lost_can_be_taken_out() {
    let home = Home::new();
    let before = home.settings();
    home.add_settings(
        "\n[[remote]]\nname = 'old'\nurl = 'https://cloud.example/x'\nusername = 'ann'\npassword_file = 'gone'\n",
    );
    home.run(&["remote", "list"]).ends(2).says(&["cannot read password_file"]);
    home.run(&["remote", "remove", "old"]).ends(0);
    assert_eq!(home.settings(), before);
}

#[test]
fn settings_in_another_folder_and_what_they_name() {
    let home = Home::new();
    fs::create_dir(home.path("etc")).unwrap();
    fs::rename(home.path("tillvault.toml"), home.path("etc/tillvault.toml")).unwrap();
    fs::create_dir(home.path("disk")).unwrap();
    home.run(&["remote", "add", "disk", "folder", "disk"]).ends(2).says(&["no tillvault.toml"]);
    let ran = home.run(&["--config", "etc/tillvault.toml", "remote", "add", "disk", "folder", "disk"]).ends(0);
    assert!(ran.stdout.contains("etc/tillvault.toml"));
    let text = fs::read_to_string(home.path("etc/tillvault.toml")).unwrap();
    assert!(text.contains(&format!("path = \"{}\"", home.path("disk").display())), "absolute: {text}");
}

#[test]
fn credentials_in_addresses_are_refused_and_not_repeated() {
    let home = Home::new();
    let ran = home.run(&["remote", "add", "cloud", "nextcloud", "https://ann:hunter2@cloud.example"]).ends(2);
    assert!(!ran.text().contains("hunter2"), "{ran:?}");
    fs::write(home.path("p"), "x").unwrap();
    let arguments =
        ["remote", "add", "nas", "webdav", "https://ann:hunter2@nas.lan/x", "--user", "ann", "--password-file", "p"];
    assert!(!home.run(&arguments).ends(2).text().contains("hunter2"));
}

#[test]
fn options_of_another_type_are_refused() {
    let home = Home::new();
    let add = |more: &[&str]| home.run(&[&["remote", "add", "nextcloud"][..], more].concat());
    add(&["folder", "a", "--region", "eu"]).ends(2).says(&["--region does not belong"]);
    add(&["s3", "s3://vault"]).ends(2).says(&["--access-key-id is missing"]);
    add(&["webdav", "https://nas.lan/x"]).ends(2).says(&["--user is missing"]);
    add(&["nextcloud", "https://cloud.example", "--password-file", "x"]).ends(2).says(&["--user"]);
    add(&["ftp", "ftp://nas.lan"]).ends(2).says(&["nextcloud", "webdav", "s3", "folder"]);
}
