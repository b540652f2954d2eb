//! The private PostgreSQL cluster and signing in: several processes, dead servers, wrong URLs.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod replica_support;

use std::{
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use replica_support::{DATABASE, Till, config, count, silent, text};
use tillvault::{Kind, config::ReplicaConfig, replica::Replica};

/// Names the data folder to the process that plays the second user.
const SECOND_USER: &str = "TILLVAULT_TEST_SECOND_USER";

/// A data folder the server's user can enter.
fn data() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

async fn open(data: &Path) -> Replica {
    Replica::open(&config("sambapos"), data, DATABASE).await.unwrap()
}

fn server_of(cluster: &Path) -> Option<u32> {
    let text = std::fs::read_to_string(cluster.join("cluster/postmaster.pid")).ok()?;
    text.lines().next()?.trim().parse().ok()
}

/// Whether a process runs; one that ended and that nobody has collected does not.
fn runs(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, state)| !state.trim_start().starts_with('Z'))
}

#[tokio::test]
async fn the_server_runs_while_it_is_used_and_rows_stay() {
    let data = data();
    let till = Till::with_examples();
    let mut replica = open(data.path()).await;
    replica.load(till.root(), &till.snapshot(1, 1), &silent()).await.unwrap();
    let folder = replica.cluster_folder().unwrap();
    assert!(folder.starts_with(data.path()), "{}", folder.display());
    assert_eq!(text(&replica, "SELECT concat_ws(' ', current_setting('listen_addresses'), current_setting('fsync'), current_setting('server_encoding'))").await, " on UTF8");
    let socket = replica.socket_folder().unwrap();
    assert_eq!(std::fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o700);
    let server = server_of(&folder).unwrap();
    let second = open(data.path()).await;
    second.close().await.unwrap();
    assert!(runs(server), "the server was stopped under its first user");
    replica.close().await.unwrap();
    assert!(!runs(server), "the last user left the server running");
    assert!(!socket.exists());
    let again = open(data.path()).await;
    assert_eq!(again.loaded_through().await.unwrap(), Some(1));
    assert_eq!(count(&again, "SELECT count(*) FROM sambapos_ticket_items").await, 20);
    again.close().await.unwrap();
}

/// Not a test of its own: started by the next one in a process of its own.
#[tokio::test]
#[ignore = "started by another test"]
async fn second_user() {
    let Some(data) = std::env::var_os(SECOND_USER) else { return };
    let replica = open(Path::new(&data)).await;
    assert_eq!(replica.loaded_through().await.unwrap(), Some(1));
    if std::env::args().any(|argument| argument == "--nocapture") {
        println!("ready");
        tokio::time::sleep(Duration::from_secs(120)).await;
    }
    replica.close().await.unwrap();
}

fn second_process(data: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "second_user", "--ignored"]).env(SECOND_USER, data);
    command
}

#[tokio::test]
async fn a_second_process_uses_the_same_server() {
    let data = data();
    let till = Till::with_examples();
    let mut replica = open(data.path()).await;
    replica.load(till.root(), &till.snapshot(1, 1), &silent()).await.unwrap();
    let server = server_of(&replica.cluster_folder().unwrap()).unwrap();
    let status = second_process(data.path()).stdout(Stdio::null()).status().unwrap();
    assert!(status.success());
    assert!(runs(server), "the second process stopped the server under the first");
    // Without the first user, the second starts and stops the server itself.
    replica.close().await.unwrap();
    assert!(second_process(data.path()).stdout(Stdio::null()).status().unwrap().success());
    assert!(!runs(server));
    // A user that is killed leaves the server behind; the next one takes it over and stops it in the end.
    let mut killed = second_process(data.path()).arg("--nocapture").stdout(Stdio::piped()).spawn().unwrap();
    let mut said = std::io::BufReader::new(killed.stdout.take().unwrap());
    let mut line = String::new();
    while !line.contains("ready") {
        line.clear();
        assert!(std::io::BufRead::read_line(&mut said, &mut line).unwrap() > 0, "the second process ended early");
    }
    killed.kill().unwrap();
    killed.wait().unwrap();
    let replica = open(data.path()).await;
    assert_eq!(replica.loaded_through().await.unwrap(), Some(1));
    let server = server_of(&replica.cluster_folder().unwrap()).unwrap();
    replica.close().await.unwrap();
    assert!(!runs(server));
}

#[tokio::test]
async fn a_server_that_died_is_started_again() {
    let data = data();
    let till = Till::with_examples();
    let mut replica = open(data.path()).await;
    replica.load(till.root(), &till.snapshot(1, 1), &silent()).await.unwrap();
    let server = server_of(&replica.cluster_folder().unwrap()).unwrap();
    assert!(Command::new("kill").args(["-KILL", &server.to_string()]).status().unwrap().success());
    let failure = loop {
        match replica.loaded_through().await {
            Ok(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            Err(failure) => break failure,
        }
    };
    assert_eq!((failure.kind(), failure.is_temporary()), (Kind::Replica, true), "{failure:?}");
    replica.close().await.unwrap();
    // The children of the dead server end by themselves a moment later.
    let began = Instant::now();
    let again = loop {
        match Replica::open(&config("sambapos"), data.path(), DATABASE).await {
            Ok(replica) => break replica,
            Err(failure) => assert!(began.elapsed() < Duration::from_secs(20), "{failure:?}"),
        }
    };
    assert_eq!(count(&again, "SELECT count(*) FROM sambapos_tickets").await, 7);
    again.close().await.unwrap();
}

#[tokio::test]
async fn a_folder_the_servers_user_cannot_enter_is_no_obstacle() {
    // As root: a folder of root's own. As another user there is no such folder, and the cluster lies in it.
    let data = tempfile::tempdir().unwrap();
    let replica = open(data.path()).await;
    let folder = replica.cluster_folder().unwrap();
    assert_eq!(count(&replica, "SELECT count(*) FROM sambapos_tickets").await, 0);
    replica.close().await.unwrap();
    if !folder.starts_with(data.path()) {
        let note = std::fs::read_to_string(data.path().join("postgres/README.txt")).unwrap();
        assert!(note.contains(&folder.display().to_string()), "{note}");
        std::fs::remove_dir_all(&folder).unwrap();
    }
}

#[tokio::test]
async fn programs_that_are_not_there_are_named() {
    let data = data();
    let nothing = tempfile::tempdir().unwrap();
    let failure = Replica::open(&with_programs(nothing.path()), data.path(), DATABASE).await.unwrap_err();
    assert_eq!(failure.kind(), Kind::Config);
    assert!(failure.message().contains(&nothing.path().display().to_string()), "{failure}");
}

fn with_programs(folder: &std::path::Path) -> ReplicaConfig {
    ReplicaConfig { programs: Some(folder.to_owned()), ..config("sambapos") }
}

fn with_url(url: &str) -> ReplicaConfig {
    ReplicaConfig { url: Some(url.into()), ..config("sambapos") }
}

#[tokio::test]
async fn a_wrong_url_says_what_is_wrong_and_no_secret() {
    let data = data();
    for (url, kind, temporary, words) in [
        ("postgresql://u:s3cret@127.0.0.1/x?sslmode=require", Kind::Config, false, "TLS"),
        ("postgresql://u:s3cret@127.0.0.1/x?nonsense=s3cret", Kind::Config, false, "not a PostgreSQL URL"),
        ("not a url s3cret", Kind::Config, false, "URL"),
        ("postgresql://u:s3cret@127.0.0.1:1/x", Kind::Replica, true, "127.0.0.1 cannot be reached"),
    ] {
        let failure = Replica::open(&with_url(url), data.path(), DATABASE).await.unwrap_err();
        assert_eq!((failure.kind(), failure.is_temporary()), (kind, temporary), "{url}: {failure:?}");
        assert!(failure.message().contains(words), "{url}: {failure}");
        assert!(!format!("{failure:?}").contains("s3cret"), "{failure:?}");
        assert!(failure.next_step().is_some(), "{url}");
    }
}

#[tokio::test]
async fn a_server_by_url_checks_password_database_and_rights() {
    let data = data();
    // The private cluster, made to ask everybody but its owner for passwords.
    let owner = open(data.path()).await;
    let folder = owner.cluster_folder().unwrap();
    let rules = folder.join("cluster/pg_hba.conf");
    std::fs::write(&rules, "local all tillvault trust\nlocal all all scram-sha-256\n").unwrap();
    for statement in [
        "SELECT pg_reload_conf()",
        "CREATE ROLE app LOGIN PASSWORD 'right'",
        "CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0",
    ] {
        owner.client().batch_execute(statement).await.unwrap();
    }
    let socket = owner.socket_folder().unwrap().display().to_string().replace('/', "%2F");
    let url = |user: &str, database: &str| with_url(&format!("postgresql://{user}@{socket}:5432/{database}"));
    for (user, database, kind, words) in [
        ("app:wrong", "tillvault", Kind::Credentials, "refuses the user or password"),
        ("app", "tillvault", Kind::Credentials, "asks for a password"),
        ("app:right", "absent", Kind::Replica, "no database absent"),
        ("app:right", "tillvault", Kind::Replica, "sambapos"),
        ("tillvault", "latin", Kind::Replica, "LATIN1"),
    ] {
        let failure = Replica::open(&url(user, database), data.path(), DATABASE).await.unwrap_err();
        assert_eq!(failure.kind(), kind, "{user} {database}: {failure:?}");
        assert!(failure.message().contains(words), "{user} {database}: {failure}");
        assert!(failure.next_step().is_some(), "{user} {database}");
    }
    owner.client().batch_execute("GRANT CREATE ON DATABASE tillvault TO app").await.unwrap();
    let mut own = url("app:right", "tillvault");
    own.schema = "An odd \"schema\"".into();
    let till = Till::with_examples();
    let mut replica = Replica::open(&own, data.path(), DATABASE).await.unwrap();
    assert_eq!(replica.schema(), "\"An odd \"\"schema\"\"\"");
    assert!(replica.cluster_folder().is_none());
    let outcome = replica.load(till.root(), &till.snapshot(1, 1), &silent()).await.unwrap();
    assert_eq!(outcome.inserted, 7);
    // Two kitchens in one schema do not meet.
    own.kitchen_id = 8;
    let other = Replica::open(&own, data.path(), DATABASE).await.unwrap();
    assert_eq!(other.loaded_through().await.unwrap(), None);
    other.close().await.unwrap();
    replica.close().await.unwrap();
    owner.close().await.unwrap();
}
