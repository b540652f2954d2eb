//! What the server's moods mean for the whole run: rows 10 to 13, 17 and 19.

use std::time::Duration;

use secrecy::SecretString;
use tillvault::{
    error::Kind,
    store::{is_full, upload::Stored},
};

use super::{ONE_PUT, PART, Rig, Setup, bytes, count, folder, remote_at, story, words};
use crate::double::{Action, Double, Fault, Options};

#[tokio::test]
async fn row_10_a_refused_password_ends_the_run() {
    // From the first request on: one failed sign-in, however many wait.
    let server = Double::local().await;
    let mut wrong = Setup::new(folder(&server), None);
    wrong.settings.password = SecretString::from("wrong-horse");
    let remote = wrong.remote();
    let uploads = (0..8).map(|n| {
        let remote = remote.clone();
        async move { remote.put_new(&format!("tables/T/{n}").into(), bytes(1000)).await.unwrap_err() }
    });
    for error in futures::future::join_all(uploads).await {
        assert_eq!((error.kind(), error.exit_code()), (Kind::Credentials, 12), "{}", words(&error));
        assert!(words(&error).contains("app password") && !words(&error).contains("wrong-horse"));
    }
    assert_eq!(server.log().iter().filter(|entry| entry.signed).count(), 1, "{:?}", story(&server.log()));
    // In the middle of a run: what is under way may still fail, but nothing is sent after that.
    let rig = Rig::new().await;
    rig.put("tables/T/a", &bytes(10)).await.unwrap();
    rig.server.revoke();
    assert_eq!(rig.put("tables/T/b", &bytes(10)).await.unwrap_err().exit_code(), 12);
    let sent = rig.server.log().len();
    for n in 0..5 {
        assert_eq!(rig.put(&format!("tables/T/{n}"), &bytes(10)).await.unwrap_err().exit_code(), 12);
    }
    assert_eq!(rig.server.log().len(), sent);
    assert_eq!(rig.server.log().iter().filter(|entry| entry.status == Some(401)).count(), 1);
}

#[tokio::test]
async fn row_10_a_password_revoked_between_two_parts() {
    let rig = Rig::new().await;
    rig.server.store("till/tables/T/other", "");
    let refused = Action::error(401, "Sabre\\DAV\\Exception\\NotAuthenticated", "Username or password was incorrect");
    rig.server.inject(Fault::every("PUT", refused).on("*/uploads/*").nth(3));
    let error = rig.put("tables/T/big", &bytes(ONE_PUT * 2)).await.unwrap_err();
    assert_eq!(error.exit_code(), 12, "{}", words(&error));
    let log = rig.server.log();
    assert_eq!(log.last().unwrap().status, Some(401), "not even to tidy up: {:?}", story(&log));
    assert_eq!(rig.server.staged().values().next().unwrap().len(), 2, "what is there waits for the next run");
    // With the right password it is taken up again.
    rig.server.heal();
    rig.server.take_log();
    let again = remote_at(&rig.server, rig.cache.path());
    again.put_new(&"tables/T/big".into(), bytes(ONE_PUT * 2)).await.unwrap();
    let sent = rig.server.log().iter().filter(|entry| entry.method == "PUT").count();
    assert_eq!(sent, (ONE_PUT * 2).div_ceil(PART) - 2, "{:?}", story(&rig.server.log()));
    assert_eq!(rig.content("tables/T/big").unwrap(), bytes(ONE_PUT * 2));
}

#[tokio::test]
async fn row_13_a_disabled_account_is_a_refused_password() {
    let rig = Rig::new().await;
    rig.server.set_disabled(true);
    for n in 0..4 {
        let error = rig.put(&format!("tables/T/{n}"), &bytes(10)).await.unwrap_err();
        assert_eq!((error.kind(), error.exit_code()), (Kind::Credentials, 12), "{}", words(&error));
        assert!(n > 0 || words(&error).contains("disabled"), "{}", words(&error));
    }
    assert_eq!(rig.server.log().len(), 1, "{:?}", story(&rig.server.log()));
}

#[tokio::test]
async fn row_11_too_many_requests_pause_the_whole_run_once() {
    for asked in [None, Some("1")] {
        let pause = Duration::from_millis(if asked.is_some() { 1000 } else { 300 });
        let rig = Rig::new().await;
        rig.server.store("till/tables/T/other", "");
        rig.put("tables/T/first", &bytes(10)).await.unwrap();
        rig.server.take_log();
        let headers = asked.map(|asked| ("retry-after", asked.to_owned())).into_iter().collect();
        rig.server.inject(Fault::next("PUT", Action::Answer { status: 429, headers, body: String::new() }));
        rig.put("tables/T/a", &bytes(10)).await.unwrap();
        let uploads = (0..4).map(|n| {
            let rig = &rig;
            async move { rig.put(&format!("tables/T/{n}"), &bytes(10)).await.unwrap() }
        });
        futures::future::join_all(uploads).await;
        let log = rig.server.log();
        assert!(log[1].at - log[0].at >= pause, "nothing was sent meanwhile: {:?}", log[1].at - log[0].at);
        // The second time is the end; what is done is kept.
        rig.server.inject(Fault::every("PUT", Action::status(429)));
        let error = rig.put("tables/T/b", &bytes(10)).await.unwrap_err();
        assert_eq!(error.exit_code(), 75, "{}", words(&error));
        let sent = rig.server.log().len();
        rig.put("tables/T/c", &bytes(10)).await.unwrap_err();
        assert_eq!(rig.server.log().len(), sent);
    }
}

#[tokio::test]
async fn row_12_maintenance_is_waited_for() {
    let rig = Rig::new().await;
    rig.server.store("till/tables/T/other", "");
    rig.put("tables/T/first", &bytes(10)).await.unwrap();
    rig.server.set_maintenance(true);
    rig.server.take_log();
    let uploads = (0..4).map(|n| {
        let rig = &rig;
        async move { rig.put(&format!("tables/T/{n}"), &bytes(10)).await.unwrap() }
    });
    let over = async {
        while rig.server.log().iter().filter(|entry| entry.path == "/status.php").count() < 3 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        rig.server.set_maintenance(false);
    };
    tokio::join!(futures::future::join_all(uploads), over);
    let log = rig.server.log();
    let refused = log.iter().filter(|entry| entry.status == Some(503)).count();
    assert!(refused <= 4, "only those under way met it: {:?}", story(&log));
    let asked: Vec<_> = log.iter().filter(|entry| entry.path == "/status.php").collect();
    assert!((3..=20).contains(&asked.len()), "{:?}", story(&log));
    assert!(asked.iter().all(|entry| !entry.signed), "no password is needed for that");
    assert_eq!(rig.server.files().len(), 6);

    // It does not end: a temporary failure, and the work is kept.
    let short = |setup: &mut Setup| setup.tuning.patience.maintenance_most = Duration::from_millis(200);
    let rig = Rig::set(Options::default(), short).await;
    rig.server.set_maintenance(true);
    let error = rig.put("tables/T/a", &bytes(10)).await.unwrap_err();
    assert_eq!(error.exit_code(), 75, "{}", words(&error));
    assert!(words(&error).contains("maintenance"), "{}", words(&error));
}

#[tokio::test]
async fn row_17_a_lock_is_waited_for() {
    let rig = Rig::new().await;
    rig.server.store("till/tables/T/other", "");
    // Longer than the tries for anything else would take.
    let locked = || Action::error(423, "OCA\\DAV\\Connector\\Sabre\\Exception\\FileLocked", "is locked");
    rig.server.inject(Fault::next("PUT", locked()).times(7));
    rig.put("tables/T/a", &bytes(1000)).await.unwrap();
    assert_eq!(rig.content("tables/T/a").unwrap(), bytes(1000));
    assert_eq!(count(&rig.about("tables/T/a"), "PUT"), 8);
    rig.server.inject(Fault::next("MOVE", Action::Lock(Duration::from_millis(300))));
    rig.put("tables/T/big", &bytes(ONE_PUT * 2)).await.unwrap();
    assert_eq!(rig.content("tables/T/big").unwrap(), bytes(ONE_PUT * 2));
    // It does not go away: later.
    rig.server.lock("till/tables/T/c", Duration::from_secs(60));
    let error = rig.put("tables/T/c", &bytes(1000)).await.unwrap_err();
    assert_eq!(error.exit_code(), 75, "{}", words(&error));
    rig.put("tables/T/d", &bytes(1000)).await.unwrap();
}

#[tokio::test]
async fn row_17_six_uploads_of_one_name_at_once() {
    for options in [Options::default(), Options::s3(), Options { version: 30, ..Options::default() }] {
        let rig = Rig::with(options).await;
        rig.server.store("till/tables/T/other", "");
        // The first takes its time, so that the others meet its lock.
        rig.server.inject(Fault::next("PUT", Action::Slow(Duration::from_secs(1))));
        let remotes: Vec<_> = (0..6).map(|_| remote_at(&rig.server, rig.cache.path())).collect();
        let uploads = remotes
            .iter()
            .map(|remote| async { remote.put_new(&"tables/T/a.parquet".into(), bytes(1000)).await.unwrap() });
        let outcomes = futures::future::join_all(uploads).await;
        assert!(outcomes.contains(&Stored::Uploaded), "{outcomes:?}");
        assert_eq!(rig.content("tables/T/a.parquet").unwrap(), bytes(1000));
        let log = rig.about("a.parquet");
        assert_eq!(log.iter().filter(|entry| entry.short() == "PUT 201").count(), 1, "{:?}", story(&log));
        assert!(log.iter().any(|entry| entry.short() == "PUT 423"), "{:?}", story(&log));
        assert_eq!(count(&log, "DELETE"), 0, "{:?}", story(&log));
    }
}

#[tokio::test]
async fn row_19_no_room_left() {
    // On a PUT: nothing new is begun, what is there may be read and removed.
    let rig = Rig::with(Options { quota: Some(5000), ..Options::default() }).await;
    rig.put("tables/T/a", &bytes(1000)).await.unwrap();
    let error = rig.put("tables/T/b", &bytes(9000)).await.unwrap_err();
    assert!(is_full(&error) && words(&error).contains("quota"), "{}", words(&error));
    let sent = rig.server.log().len();
    assert!(is_full(&rig.put("tables/T/c", &bytes(9000)).await.unwrap_err()));
    assert_eq!(count(&rig.server.log()[sent..], "PUT"), 0, "{:?}", story(&rig.server.log()));
    assert_eq!(rig.server.files().len(), 1);
    // On the first part, and on the MOVE: the staging folder is removed.
    for method in ["PUT", "MOVE"] {
        let rig = Rig::new().await;
        rig.server.store("till/tables/T/other", "");
        let full = Action::error(507, "Sabre\\DAV\\Exception\\InsufficientStorage", "Insufficient space");
        rig.server.inject(Fault::next(method, full).on("*/uploads/*"));
        let error = rig.put("tables/T/big", &bytes(ONE_PUT * 2)).await.unwrap_err();
        assert!(is_full(&error), "{method}: {}", words(&error));
        assert!(rig.server.staged().is_empty(), "{method}: {:?}", rig.server.staged());
        assert_eq!(rig.content("tables/T/big"), None);
    }
}
