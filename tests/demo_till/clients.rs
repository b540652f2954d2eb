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
