//! What is wrong on the way to the till.

use std::net::{TcpListener, UdpSocket};

use tillvault::{config::Encryption, demo::About, demo::browser::Browser};

use crate::{
    rig::{Said, about, change, site},
    support::TILL_PASSWORD,
};

#[test]
fn a_till_that_is_off_is_told_and_the_rest_is_looked_at() {
    let mut site = site(about(About::default()));
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let port = site.till.port();
    change(&site, &format!("sambapos_db_port = {port}"), &format!("sambapos_db_port = {free}"));
    let said = Said::by(&site, &[]);
    said.has("host", "ok", &["127.0.0.1"]).has("port", "failed", &["refused a connection"]);
    assert!(said.check("port")["fix"].as_str().unwrap().contains("SQL Server Configuration Manager"));
    assert_eq!(said.code, 75);
    said.has("folder", "ok", &[]).has("copy", "ok", &[]);
    site.cloud_off();
    Said::by(&site, &[]).has("server", "failed", &[]);
}

#[test]
fn an_unknown_host_is_told() {
    let site = site(about(About::default()));
    change(&site, "'127.0.0.1'", "'no-such-till.invalid'");
    let said = Said::by(&site, &["--till"]);
    said.has("host", "failed", &["no-such-till.invalid is not known"]);
    assert_eq!((said.code, said.names()), (75, vec!["host"]));
}

#[test]
fn the_browser_is_asked_for_the_port_of_an_instance() {
    let site = site(about(About::default()));
    let browser = site.runtime.block_on(Browser::start(0, "SQLEXPRESS", site.till.port())).unwrap();
    change(&site, "'127.0.0.1'", "'127.0.0.1\\SQLEXPRESS'");
    change(
        &site,
        "connect_timeout_seconds = 5",
        &format!("connect_timeout_seconds = 5\nbrowser_port = {}", browser.port()),
    );
    Said::by(&site, &["--till"]).has("browser", "ok", &["SQLEXPRESS is on port"]).has("login", "ok", &[]);

    change(&site, "SQLEXPRESS", "OTHER");
    let said = Said::by(&site, &["--till"]);
    said.has("browser", "failed", &["no instance OTHER"]);
    assert!(said.check("browser")["fix"].as_str().unwrap().contains("knows: SQLEXPRESS"));

    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    change(&site, &format!("browser_port = {}", browser.port()), &format!("browser_port = {port}"));
    let said = Said::by(&site, &["--till"]);
    said.has("browser", "failed", &["did not answer"]);
    let fix = said.check("browser")["fix"].as_str().unwrap();
    assert!(fix.contains(&format!("UDP port {port} ")) && fix.contains("always on 1434"), "{fix}");
    assert_eq!((said.code, said.names()), (75, vec!["host", "browser"]));
}

#[test]
fn what_is_no_sql_server_is_told() {
    let site = site(about(About::default()));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        use std::io::Write as _;
        for stream in listener.incoming() {
            let _ = stream.unwrap().write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n");
        }
    });
    let old = site.till.port();
    change(&site, &format!("sambapos_db_port = {old}"), &format!("sambapos_db_port = {port}"));
    let said = Said::by(&site, &["--till"]);
    let told: Vec<String> = said.not_ok();
    assert_eq!(told, ["port"], "{:?}", said.check("port"));
    assert_eq!(said.code, 1);
}

#[test]
fn encryption_is_told_as_it_was_agreed() {
    let plain = site(about(About::default()));
    change(&plain, "encryption = 'off'", "encryption = 'required'");
    let said = Said::by(&plain, &["--till"]);
    said.has("encryption", "failed", &["the server offers none"]);
    assert_eq!((said.code, said.not_ok()), (1, vec!["encryption".to_owned()]));
    change(&plain, "encryption = 'required'", "encryption = 'on'");
    let said = Said::by(&plain, &["--till"]);
    said.has("encryption", "warning", &["nothing is encrypted, neither the password", "offers no encryption"]);
    assert_eq!((said.code, said.not_ok()), (3, vec!["encryption".to_owned()]));
    // A warning hides no failure behind it.
    std::fs::write(plain.path("till.password"), "wrong").unwrap();
    let said = Said::by(&plain, &["--till"]);
    assert_eq!((said.code, said.not_ok()), (12, vec!["encryption".to_owned(), "login".to_owned()]));
    std::fs::write(plain.path("till.password"), TILL_PASSWORD).unwrap();
    change(&plain, "encryption = 'on'", "encryption = 'on'\ntrust_server_certificate = false");
    let said = Said::by(&plain, &["--till"]);
    said.has("encryption", "failed", &["certificate is to be checked", "offers no encryption"]);
    assert_eq!((said.code, said.not_ok()), (1, vec!["encryption".to_owned()]));

    let mut options = about(About::default());
    options.encryption = Encryption::Required;
    let strict = site(options);
    Said::by(&strict, &["--till"]).has("encryption", "failed", &["insists"]);
    change(&strict, "encryption = 'off'", "encryption = 'on'");
    Said::by(&strict, &["--till"]).has("encryption", "ok", &["everything is encrypted", "taken unchecked"]);
    change(&strict, "encryption = 'on'", "encryption = 'required'\ntrust_server_certificate = false");
    let said = Said::by(&strict, &["--till"]);
    said.has("login", "failed", &["is not trusted"]);
}
