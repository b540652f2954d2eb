//! Other people's clients: what they understand, a till's other readers will understand, too.

use std::{path::Path, process::Stdio};

use tillvault::demo::{Server, trade::fixture};
use tokio::process::Command;

use crate::support::server;

async fn filled() -> Server {
    let server = server().await;
    fixture::load_queries_fixture(&server.engine().connection().unwrap()).unwrap();
    server
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn python_tds_signs_in_and_reads() {
    let server = filled().await;
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let own = root.join(".tools/venv/bin/python");
    let python = if own.exists() { own } else { "python3".into() };
    let output = Command::new(python)
        .arg(root.join("tests/python/tds_client.py"))
        .args([&server.port().to_string(), "sambapos", "demo-till-1", "SambaPOS5"])
        .output()
        .await;
    let Ok(output) = output else {
        println!("skipped: there is no python3");
        return;
    };
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if output.status.code() == Some(77) {
        println!("{text}");
        return;
    }
    assert!(output.status.success(), "{text}");
}

/// The program as a user starts it: the object printed at the start says where the till is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_till_on_a_free_port_tells_which() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_tillvault"))
        .args(["--json", "--quiet", "demo", "till", "--port", "0", "--days", "1", "--tickets-per-day", "10"])
        .args(["--order-lines", "500", "--frozen"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = tokio::io::AsyncBufReadExt::lines(tokio::io::BufReader::new(child.stdout.take().unwrap()));
    let told: serde_json::Value = serde_json::from_str(&lines.next_line().await.unwrap().unwrap()).unwrap();
    let till = &told["till"];
    let mut config = tiberius::Config::new();
    config.host(till["host"].as_str().unwrap());
    config.port(u16::try_from(till["port"].as_u64().unwrap()).unwrap());
    config.database(till["database"].as_str().unwrap());
    let (user, password) = (till["user"].as_str().unwrap(), till["password"].as_str().unwrap());
    config.authentication(tiberius::AuthMethod::sql_server(user, password));
    config.encryption(tiberius::EncryptionLevel::NotSupported);
    let mut client = crate::support::connect_with(config).await.unwrap();
    let found = crate::support::rows(&mut client, "SELECT COUNT(*) FROM Orders").await;
    assert!(found[0].get::<i32, _>(0).unwrap() >= 500);
    child.start_kill().unwrap();
    child.wait().await.unwrap();
    assert_eq!(lines.next_line().await.unwrap(), None, "one object and no more");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn freetds_signs_in_and_reads() {
    let server = filled().await;
    let port = server.port().to_string();
    let child = Command::new("tsql")
        .args(["-H", "127.0.0.1", "-p", &port, "-U", "sambapos", "-P", "demo-till-1", "-D", "SambaPOS5"])
        .env("TDSVER", "7.4")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn();
    let Ok(mut child) = child else {
        println!("skipped: tsql of FreeTDS is not installed");
        return;
    };
    let mut input = child.stdin.take().unwrap();
    let script = "SELECT Id, MenuItemName, Price * Quantity AS revenue, OrderStates FROM Orders WHERE Id IN (1, 9) ORDER BY Id\n\
                  go\nSELECT nothing\ngo\nSELECT COUNT(*) FROM Tickets\ngo\nexit\n";
    tokio::io::AsyncWriteExt::write_all(&mut input, script.as_bytes()).await.unwrap();
    drop(input);
    let output = child.wait_with_output().await.unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    for part in ["Soup of the Day\t13.00000", "Fish Pie\t8.33250", "(2 rows affected)", "Msg 207", "\n7\n"] {
        assert!(text.contains(part), "{part:?} is missing in:\n{text}");
    }
}
