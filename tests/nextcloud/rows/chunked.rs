//! Large objects, which go in parts: rows 16, 18 and 20 to 26.

use std::time::Duration;

use bytes::Bytes;
use tillvault::{
    error::Kind,
    store::{is_taken, upload::Stored},
};

use super::{ONE_PUT, PART, Rig, Setup, bytes, count, remote_at, story, words};
use crate::double::{Action, Event, Fault, Logged, Options};

const BIG: &str = "tables/Tickets/big.parquet";
const LOCKED: (u16, &str, &str) = (423, "OCA\\DAV\\Connector\\Sabre\\Exception\\FileLocked", "is locked");

fn big() -> Bytes {
    bytes(ONE_PUT * 2 + 12_345)
}

fn parts() -> usize {
    big().len().div_ceil(PART)
}

async fn rig(options: Options) -> Rig {
    let rig = Rig::with(options).await;
    rig.server.store("till/tables/Tickets/other", "");
    rig
}

/// An object store whose smallest part is as small as a test wants it.
fn s3() -> Options {
    Options { smallest_part: PART, ..Options::s3() }
}

/// Requests of a method about staged parts (or the whole, for MOVE), by their names.
fn staged(log: &[Logged], method: &str) -> Vec<String> {
    let names = log.iter().filter(|entry| entry.method == method && entry.is_staging());
    names.map(|entry| entry.path.rsplit('/').next().unwrap().to_owned()).collect()
}

fn is_whole(rig: &Rig) {
    assert_eq!(rig.content(BIG).unwrap(), big());
    assert!(rig.server.staged().is_empty(), "nothing stays in staging: {:?}", rig.server.staged());
    rig.assert_clean();
}

#[tokio::test]
async fn row_16_the_assembly_goes_on_behind_a_proxy() {
    for status_of_proxy in [None, Some(Duration::from_millis(400))] {
        let rig = Rig::set(Options::default(), |setup| {
            if let Some(limit) = status_of_proxy {
                // No proxy at all: the client itself gives up waiting for the answer.
                setup.settings.timeouts.answer = limit;
            }
        })
        .await;
        rig.server.store("till/tables/Tickets/other", "");
        let works = Duration::from_millis(700);
        let gives_up = if status_of_proxy.is_some() { Duration::from_secs(30) } else { Duration::from_millis(20) };
        rig.server.inject(Fault::next("MOVE", Action::Proxy { works, gives_up }));
        assert_eq!(rig.put(BIG, &big()).await.unwrap(), Stored::Uploaded);
        is_whole(&rig);
        let log = rig.server.log();
        assert_eq!(staged(&log, "PUT").len(), parts(), "exactly one upload: {:?}", story(&log));
        assert_eq!(log.iter().filter(|entry| entry.short() == "MKCOL 201").count(), 1);
        // Moves while the server was at it were refused as locked, and none of them failed the upload.
        let moves: Vec<_> = log.iter().filter(|entry| entry.method == "MOVE").map(|entry| entry.status).collect();
        assert!(moves[1..].iter().all(|status| matches!(status, Some(423 | 404))), "{moves:?}");
        assert!(log.iter().any(|entry| entry.method == "PATCH"), "proven from storage: {:?}", story(&log));
    }
}

#[tokio::test]
async fn row_16_the_assembly_dies_with_its_worker() {
    let rig = rig(Options::default()).await;
    // A time-out, and nobody goes on: the next MOVE is the retry.
    rig.server.inject(Fault::next("MOVE", Action::html(504, "Gateway Time-out")));
    rig.put(BIG, &big()).await.unwrap();
    is_whole(&rig);
    let log = rig.server.log();
    assert_eq!(staged(&log, "PUT").len(), parts());
    assert_eq!(staged(&log, "MOVE").len(), 2);
}

#[tokio::test]
async fn row_18_two_assemblies_of_one_object_at_once() {
    let rig = rig(Options::default()).await;
    let other_cache = tempfile::tempdir().unwrap();
    let other = remote_at(&rig.server, other_cache.path());
    let (status, exception, message) = LOCKED;
    rig.server.inject(Fault::next("MOVE", Action::error(status, exception, message)).times(2));
    let path = BIG.into();
    let (one, two) = tokio::join!(rig.remote.put_new(&path, big()), other.put_new(&path, big()));
    let outcomes = [one.unwrap(), two.unwrap()];
    assert!(outcomes.contains(&Stored::Uploaded), "{outcomes:?}");
    is_whole(&rig);
    let log = rig.server.log();
    let moved = |status: u16| log.iter().filter(|entry| entry.method == "MOVE" && entry.status == Some(status)).count();
    assert_eq!((moved(201), moved(204)), (1, 0), "{:?}", story(&log));
}

#[tokio::test]
async fn row_20_the_limit_of_a_proxy_is_learnt() {
    let rig = rig(Options { largest_body: Some(PART as u64 - 1), ..Options::default() }).await;
    let size = ONE_PUT - 1;
    rig.put("tables/Tickets/a.parquet", &bytes(size)).await.unwrap();
    assert_eq!(rig.content("tables/Tickets/a.parquet").unwrap(), bytes(size));
    let log = rig.server.log();
    let refused: Vec<u64> =
        log.iter().filter(|entry| entry.status == Some(413)).filter_map(|entry| entry.content_length).collect();
    assert_eq!(refused[0], size as u64, "one PUT was tried");
    for entry in log.iter().filter(|entry| entry.method == "PUT" && entry.is_staging()) {
        assert!(entry.content_length.unwrap() <= size as u64 / 2, "parts of at most half: {entry:?}");
    }
    // It is remembered, by this run and by the next one.
    for remote in [rig.remote.clone(), remote_at(&rig.server, rig.cache.path())] {
        rig.server.take_log();
        let name = format!("tables/Tickets/{:x}.parquet", rand::random::<u64>());
        remote.put_new(&name.as_str().into(), bytes(size)).await.unwrap();
        let log = rig.server.log();
        assert!(log.iter().all(|entry| entry.status != Some(413)), "{:?}", story(&log));
        assert!(remote.profile().largest_put.is_some_and(|limit| limit < size as u64));
    }
    // Below the smallest part nothing can be done.
    let rig = self::rig(Options { largest_body: Some(1000), ..Options::default() }).await;
    let error = rig.put(BIG, &big()).await.unwrap_err();
    assert!(!error.is_temporary() && words(&error).contains("limits the size"), "{}", words(&error));
    assert!(rig.server.staged().is_empty() && rig.content(BIG).is_none());
}

#[tokio::test]
async fn row_21_staging_expires_or_the_folder_is_gone() {
    let rig = rig(Options::default()).await;
    rig.server.inject(Fault::next("PUT", Action::Before(Event::StagingExpires)).on("*/uploads/*").nth(3));
    rig.put(BIG, &big()).await.unwrap();
    is_whole(&rig);
    let log = rig.server.log();
    let ids: Vec<String> = staged(&log, "MKCOL").into_iter().collect();
    let made = log.iter().filter(|entry| entry.is_staging() && entry.short() == "MKCOL 201").count();
    assert_eq!(made, 2, "a new folder: {ids:?}");
    // The same status when the destination's folder is missing; then the staging folder is kept.
    let rig = self::rig(Options::default()).await;
    rig.server.inject(
        Fault::next("PUT", Action::Before(Event::Vanishes("till/tables/Tickets".into()))).on("*/uploads/*").nth(3),
    );
    rig.put(BIG, &big()).await.unwrap();
    is_whole(&rig);
    let log = rig.server.log();
    assert_eq!(
        log.iter().filter(|entry| entry.is_staging() && entry.short() == "MKCOL 201").count(),
        1,
        "{:?}",
        story(&log)
    );
    let twice = staged(&log, "PUT").len() - parts();
    assert!(twice <= 5, "only what was refused is sent again: {twice}");
}

#[tokio::test]
async fn row_23_a_part_is_lost_before_the_move() {
    for options in [Options::default(), s3()] {
        let rig = rig(options).await;
        let lost = Action::Before(Event::PartIsLost("00002".into()));
        rig.server.inject(Fault::next("PROPFIND", lost).on("*/uploads/*"));
        rig.put(BIG, &big()).await.unwrap();
        is_whole(&rig);
        let log = rig.server.log();
        let sent = staged(&log, "PUT");
        assert_eq!(sent.iter().filter(|name| *name == "00002").count(), 2, "{sent:?}");
        assert_eq!(sent.len(), parts() + 1);
        assert_eq!(staged(&log, "MOVE").len(), 1, "never with parts missing: {:?}", story(&log));
    }
}

#[tokio::test]
async fn row_24_created_but_short() {
    let rig = rig(s3()).await;
    rig.server.inject(Fault::next("MOVE", Action::TruncateStored(ONE_PUT as u64)));
    assert_eq!(rig.put(BIG, &big()).await.unwrap(), Stored::Uploaded);
    is_whole(&rig);
    let log = rig.server.log();
    let made: Vec<&Logged> = log.iter().filter(|entry| entry.is_staging() && entry.short() == "MKCOL 201").collect();
    assert_eq!(made.len(), 2);
    assert_ne!(made[0].path, made[1].path, "another id");
    assert!(log.iter().any(|entry| entry.method == "DELETE" && entry.path.ends_with("big.parquet")));
    assert!(rig.server.trash().is_empty());
    // The right length, and still not what was sent: only the hash from storage tells.
    let rig = self::rig(s3()).await;
    rig.server.inject(Fault::every("MOVE", Action::CorruptStored));
    let error = rig.put(BIG, &big()).await.unwrap_err();
    assert!(!is_taken(&error), "{}", words(&error));
    assert_eq!(rig.content(BIG), None, "what is known to be wrong does not stay");
}

#[tokio::test]
async fn row_25_the_cache_of_an_object_store_is_lost() {
    let rig = rig(s3()).await;
    rig.server.inject(Fault::next("PUT", Action::Before(Event::CacheIsFlushed)).on("*/uploads/*").nth(4));
    rig.put(BIG, &big()).await.unwrap();
    is_whole(&rig);
    assert!(rig.server.log().iter().any(|entry| entry.short() == "PUT 412"));
    let rig = self::rig(s3()).await;
    rig.server.inject(Fault::next("MOVE", Action::Before(Event::CacheIsFlushed)));
    rig.put(BIG, &big()).await.unwrap();
    is_whole(&rig);
    // Every time: it is given up after three folders.
    let rig = self::rig(s3()).await;
    rig.server.inject(Fault::every("MOVE", Action::Before(Event::CacheIsFlushed)));
    let error = rig.put(BIG, &big()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Store, "{}", words(&error));
    let log = rig.server.log();
    let made = log.iter().filter(|entry| entry.is_staging() && entry.short() == "MKCOL 201").count();
    assert_eq!(made, 3, "{:?}", story(&log));
    assert!(rig.server.staged().is_empty() && rig.content(BIG).is_none());
}

#[tokio::test]
async fn row_26_parts_are_answered_with_200_201_or_204() {
    for (options, status) in [(Options::default(), 201), (s3(), 200)] {
        let rig = rig(options).await;
        rig.put(BIG, &big()).await.unwrap();
        is_whole(&rig);
        let log = rig.server.log();
        let parts: Vec<_> = log.iter().filter(|entry| entry.method == "PUT" && entry.is_staging()).collect();
        assert!(parts.iter().all(|entry| entry.status == Some(status)), "{:?}", story(&log));
        assert!(parts.iter().all(|entry| entry.header("oc-total-length") == Some(&big().len().to_string())));
        assert!(parts.iter().all(|entry| entry.header("destination").is_some()));
    }
    // A part that is there already.
    let rig = rig(Options::default()).await;
    rig.server.inject(Fault::next("PUT", Action::DropAnswer).on("*/00003"));
    rig.put(BIG, &big()).await.unwrap();
    is_whole(&rig);
    assert!(staged(&rig.server.log(), "PUT").iter().filter(|name| *name == "00003").count() <= 2);
    assert_eq!(count(&rig.server.log(), "MOVE"), 1);
}

/// Tells the process that is going to be killed the server and the folder of its local state.
const ORDER: &str = "TILLVAULT_TEST_UPLOAD";

#[tokio::test]
#[allow(clippy::disallowed_methods, reason = "a child of this test finds its order in the environment")]
async fn row_22_killed_between_two_parts() {
    if let Ok(order) = std::env::var(ORDER) {
        return upload_until_killed(&order).await;
    }
    let rig = rig(Options::default()).await;
    // One part after the other, and the fourth takes as long as it takes to be killed.
    rig.server.inject(Fault::every("PUT", Action::Delay(Duration::from_secs(60))).on("*/uploads/*").nth(4));
    let mut child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "rows::chunked::row_22_killed_between_two_parts", "--nocapture"])
        .env(ORDER, format!("{}|{}", super::folder(&rig.server), rig.cache.path().display()))
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let staged_parts = || rig.server.staged().values().map(std::collections::BTreeMap::len).sum::<usize>();
    let deadline = std::time::Instant::now() + Duration::from_secs(30);
    while staged_parts() < 3 && std::time::Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(staged_parts(), 3);
    // And one of them is lost.
    rig.server.heal();
    rig.server.happen(&Event::PartIsLost("00002".into()));

    rig.server.take_log();
    let again = remote_at(&rig.server, rig.cache.path());
    again.put_new(&BIG.into(), big()).await.unwrap();
    is_whole(&rig);
    let log = rig.server.log();
    let sent = staged(&log, "PUT");
    assert!(!sent.contains(&"00001".to_owned()) && !sent.contains(&"00003".to_owned()), "{sent:?}");
    assert_eq!(sent.len(), parts() - 2, "{:?}", story(&log));
    assert!(log.iter().all(|entry| entry.short() != "MKCOL 201"), "the same folder: {:?}", story(&log));
}

async fn upload_until_killed(order: &str) {
    let (url, cache) = order.split_once('|').unwrap();
    let remote = Setup::new(url.parse().unwrap(), Some(std::path::Path::new(cache))).remote();
    let _ = remote.put_new(&BIG.into(), big()).await;
}
