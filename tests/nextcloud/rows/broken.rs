//! Uploads that break, are answered wrongly or not at all: rows 1 to 7, 14, 15, 40 and 41.

use std::time::Duration;

use tillvault::{
    error::Kind,
    store::{
        is_taken,
        proof::{Proof, ReadBack},
        upload::Stored,
        webdav::Timeouts,
    },
};

use super::{Rig, bytes, count, story, words};
use crate::double::{Action, Fault, Options};

const CHUNK: &str = "tables/Tickets/chunk.parquet";

#[tokio::test]
async fn row_01_reset_before_anything_was_stored() {
    let rig = Rig::new().await;
    rig.server.store("till/tables/Tickets/other", "");
    rig.server.inject(Fault::next("PUT", Action::CutAfter(50_000)).on("*chunk.parquet").times(2));
    assert_eq!(rig.put(CHUNK, &bytes(100_000)).await.unwrap(), Stored::Uploaded);
    assert_eq!(rig.content(CHUNK).unwrap(), bytes(100_000));
    let log = rig.about("chunk.parquet");
    assert_eq!(count(&log, "PUT"), 3);
    for pair in log.windows(2) {
        assert!(
            pair[0].method != "PUT" || pair[1].method != "PUT",
            "it looks before it sends again: {:?}",
            story(&log)
        );
    }
    rig.assert_clean();

    // Tries are bounded, and nothing is lost by giving up.
    rig.server.take_log();
    rig.server.inject(Fault::every("PUT", Action::CutAfter(5_000)));
    let error = rig.put("tables/Tickets/never", &bytes(15_000)).await.unwrap_err();
    assert_eq!(error.exit_code(), 75, "{}", words(&error));
    assert_eq!(count(&rig.server.log(), "PUT"), 5);
    assert_eq!(rig.content("tables/Tickets/never"), None);
    // What breaks time and again is tried in parts, where it is long enough for that.
    rig.server.heal();
    rig.server.take_log();
    rig.server.inject(Fault::every("PUT", Action::CutAfter(5_000)).on("*/files/*"));
    rig.put("tables/Tickets/parts", &bytes(100_000)).await.unwrap();
    assert_eq!(rig.content("tables/Tickets/parts").unwrap(), bytes(100_000));
    assert_eq!(rig.server.log().iter().filter(|entry| entry.method == "PUT" && !entry.is_staging()).count(), 5);
}

#[tokio::test]
async fn row_02_reset_and_a_truncated_file_stays() {
    for options in [Options::default(), Options::s3()] {
        let rig = Rig::with(options).await;
        rig.server.store("till/tables/Tickets/other", "");
        for broken in [0, 1, 99_999] {
            let chunk = format!("tables/Tickets/{broken}.parquet");
            rig.server.take_log();
            rig.server.inject(Fault::next("PUT", Action::CutVisible(broken)));
            assert_eq!(rig.put(&chunk, &bytes(100_000)).await.unwrap(), Stored::Uploaded);
            assert_eq!(rig.content(&chunk).unwrap(), bytes(100_000));
            let log = rig.about(&chunk);
            assert_eq!(count(&log, "PUT"), 2, "{:?}", story(&log));
            let delete = log.iter().find(|entry| entry.method == "DELETE").expect("the leftover is deleted");
            assert!(delete.header("if-match").is_some() && delete.header("x-nc-skip-trashbin") == Some("true"));
            let verified = log.iter().rposition(|entry| entry.method == "PATCH");
            assert!(verified > log.iter().rposition(|entry| entry.method == "PUT"), "{:?}", story(&log));
            rig.assert_clean();
        }
        assert!(rig.server.trash().is_empty());
    }
}

#[tokio::test]
async fn row_03_answer_lost_after_all_was_stored() {
    for fault in [Action::DropAnswer, Action::error(500, "OCP\\DB\\Exception", "deadlock")] {
        let rig = Rig::new().await;
        rig.server.store("till/tables/Tickets/other", "");
        if matches!(fault, Action::Answer { .. }) {
            // The error comes although the file is there.
            rig.server.store(&format!("till/{CHUNK}"), bytes(1000));
        }
        rig.server.inject(Fault::next("PUT", fault));
        rig.put(CHUNK, &bytes(1000)).await.unwrap();
        let log = rig.about(CHUNK);
        assert_eq!(log[1].short(), "PROPFIND 207", "it looks: {:?}", story(&log));
        assert_eq!(log.last().unwrap().short(), "PATCH 204", "{:?}", story(&log));
        assert_eq!((count(&log, "PUT"), count(&log, "DELETE"), count(&log, "GET")), (1, 0, 0), "{:?}", story(&log));
        assert_eq!(rig.content(CHUNK).unwrap(), bytes(1000));
    }
}

#[tokio::test]
async fn row_04_the_server_received_something_else() {
    let rig = Rig::new().await;
    rig.server.store("till/tables/Tickets/other", "");
    rig.server.inject(Fault::next("PUT", Action::CorruptReceived));
    assert_eq!(rig.put(CHUNK, &bytes(1000)).await.unwrap(), Stored::Uploaded);
    assert_eq!(rig.content(CHUNK).unwrap(), bytes(1000));
    let log = rig.about(CHUNK);
    assert_eq!((count(&log, "PUT"), count(&log, "DELETE")), (2, 1), "{:?}", story(&log));

    // A line that spoils everything is not tried for ever, and leaves nothing behind.
    rig.server.take_log();
    rig.server.inject(Fault::every("PUT", Action::CorruptReceived));
    let error = rig.put("tables/Tickets/b.parquet", &bytes(1000)).await.unwrap_err();
    assert!(words(&error).contains("in transit"), "{}", words(&error));
    assert_eq!(count(&rig.server.log(), "PUT"), 2);
    assert_eq!(rig.content("tables/Tickets/b.parquet"), None);
}

#[tokio::test]
async fn row_05_no_hash_in_the_answer() {
    // The server can hash when asked: nothing is read back.
    let rig = Rig::with(Options { x_hash: false, ..Options::default() }).await;
    rig.server.store("till/tables/Tickets/other", "");
    rig.put(CHUNK, &bytes(1000)).await.unwrap();
    assert_eq!(story(&rig.server.log()), ["PUT 201", "PROPFIND 207", "PATCH 204"]);
    rig.server.inject(Fault::every("PUT", Action::CorruptStored));
    assert!(rig.put("tables/Tickets/bad.parquet", &bytes(1000)).await.is_err());

    // It cannot: what is stored is read back, and large chunks only where the policy wants it.
    let plain = Options { x_hash: false, patch_hash: false, ..Options::default() };
    let mut rig = Rig::with(plain).await;
    rig.server.store("till/tables/Tickets/other", "");
    rig.server.store("till/snapshots/other", "");
    rig.put(CHUNK, &bytes(1000)).await.unwrap();
    assert_eq!(story(&rig.server.log()), ["PUT 201", "PROPFIND 207", "GET 200"]);
    rig.server.inject(Fault::next("PUT", Action::CorruptStored).times(5));
    assert!(rig.put("tables/Tickets/bad.parquet", &bytes(1000)).await.is_err());
    rig.server.heal();
    rig.remote.read_back = ReadBack { up_to: 100 };
    rig.server.take_log();
    rig.put("tables/Tickets/large.parquet", &bytes(1000)).await.unwrap();
    assert_eq!(count(&rig.server.log(), "GET"), 0);
    let expected = tillvault::store::proof::Expected::of(&bytes(1000)).await;
    let proof = rig.remote.prove(&"tables/Tickets/large.parquet".into(), &expected).await.unwrap();
    assert_eq!(proof, Proof::Length);
    rig.put("snapshots/000001.json.zst", &bytes(1000)).await.unwrap();
    assert_eq!(count(&rig.server.log(), "GET"), 1, "what says what exists is always read back");
}

#[tokio::test]
async fn row_06_the_name_is_taken_by_the_same() {
    let rig = Rig::new().await;
    rig.server.store(&format!("till/{CHUNK}"), bytes(1000));
    assert_eq!(rig.put(CHUNK, &bytes(1000)).await.unwrap(), Stored::Present);
    let log = rig.about(CHUNK);
    assert_eq!(log.last().unwrap().short(), "PATCH 204", "{:?}", story(&log));
    assert_eq!((count(&log, "PUT"), count(&log, "DELETE")), (1, 0));
    // Without hashes on the server it is read.
    let rig = Rig::with(Options { x_hash: false, patch_hash: false, ..Options::default() }).await;
    rig.server.store(&format!("till/{CHUNK}"), bytes(1000));
    assert_eq!(rig.put(CHUNK, &bytes(1000)).await.unwrap(), Stored::Present);
    assert_eq!(count(&rig.about(CHUNK), "GET"), 1);
}

#[tokio::test]
async fn row_07_the_name_is_taken_by_something_else() {
    let mut same_length = bytes(1000).to_vec();
    same_length[700] ^= 1;
    for foreign in [same_length, vec![9; 400], vec![9; 2000]] {
        let rig = Rig::new().await;
        rig.server.store(&format!("till/{CHUNK}"), foreign.clone());
        let error = rig.put(CHUNK, &bytes(1000)).await.unwrap_err();
        assert!(is_taken(&error), "{}", words(&error));
        assert_eq!(rig.content(CHUNK).unwrap(), foreign, "nothing of others is touched");
        assert_eq!(count(&rig.server.log(), "DELETE"), 0);
    }
    // The beginning of this very object is the rest of a broken upload.
    let rig = Rig::new().await;
    rig.server.store(&format!("till/{CHUNK}"), bytes(400));
    assert_eq!(rig.put(CHUNK, &bytes(1000)).await.unwrap(), Stored::Uploaded);
    assert_eq!(rig.content(CHUNK).unwrap(), bytes(1000));
}

#[tokio::test]
async fn row_14_an_error_that_does_not_pass_defers_one_object() {
    for status in [500, 503] {
        let rig = Rig::new().await;
        rig.server.store("till/tables/Tickets/other", "");
        let fault = Action::error(status, "OCP\\Files\\StorageNotAvailableException", "storage not available");
        rig.server.inject(Fault::every("PUT", fault).on("*/stuck.parquet"));
        let (stuck, other) = (bytes(10), bytes(20));
        let (stuck, other) = tokio::join!(rig.put("tables/Tickets/stuck.parquet", &stuck), rig.put(CHUNK, &other));
        let error = stuck.unwrap_err();
        assert_eq!((error.kind(), error.exit_code()), (Kind::Store, 75), "{}", words(&error));
        other.unwrap();
        assert_eq!(count(&rig.about("stuck.parquet"), "PUT"), 5);
    }
}

#[tokio::test]
async fn row_15_a_proxy_gives_up_on_a_put() {
    for status in [502, 504] {
        let rig = Rig::new().await;
        rig.server.store("till/tables/Tickets/other", "");
        rig.server.inject(Fault::next("PUT", Action::html(status, "Bad Gateway")));
        rig.put(CHUNK, &bytes(1000)).await.unwrap();
        let log = rig.about(CHUNK);
        assert_eq!(count(&log, "PUT"), 2);
        assert_eq!(log[1].method, "PROPFIND", "it looks first: {:?}", story(&log));
    }
    // The server behind the proxy went on and stored it all.
    let rig = Rig::new().await;
    rig.server.store("till/tables/Tickets/other", "");
    let (works, gives_up) = (Duration::from_millis(1), Duration::from_millis(500));
    rig.server.inject(Fault::next("PUT", Action::Proxy { works, gives_up }));
    rig.put(CHUNK, &bytes(1000)).await.unwrap();
    let log = rig.about(CHUNK);
    assert_eq!((log[1].short(), log.last().unwrap().short()), ("PROPFIND 207".into(), "PATCH 204".into()));
    assert_eq!((count(&log, "PUT"), count(&log, "GET")), (1, 0), "{:?}", story(&log));
}

#[tokio::test]
async fn row_40_the_connection_is_closed_between_requests() {
    let rig = Rig::new().await;
    for n in 0..5 {
        let chunk = format!("tables/Tickets/{n}.parquet");
        rig.put(&chunk, &bytes(1000)).await.unwrap();
        rig.server.close_connections();
        if n % 2 == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    // The other way to lose it: the request meets the closing.
    rig.server.inject(Fault::next("PUT", Action::Cut));
    rig.put(CHUNK, &bytes(1000)).await.unwrap();
    assert_eq!(rig.server.files().len(), 6, "{:?}", rig.server.files());
    let stored = rig.server.log().into_iter().filter(|entry| entry.short() == "PUT 201").count();
    assert_eq!(stored, 6, "nothing was stored twice");
}

#[tokio::test]
async fn row_41_no_byte_comes_from_the_server() {
    let short = Duration::from_millis(400);
    let rig = Rig::set(Options::default(), |setup| {
        setup.settings.timeouts = Timeouts { connect: short, answer: short, stall: short };
    })
    .await;
    rig.server.store("till/tables/Tickets/other", "");
    // The work was done, only the answer is late.
    rig.server.inject(Fault::next("PUT", Action::LateAnswer(Duration::from_secs(20))));
    let started = std::time::Instant::now();
    rig.put(CHUNK, &bytes(1000)).await.unwrap();
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    let log = rig.about(CHUNK);
    assert_eq!(count(&log, "PUT"), 1, "{:?}", story(&log));
    assert_eq!(rig.content(CHUNK).unwrap(), bytes(1000));
    // And for good.
    rig.server.inject(Fault::every("", Action::Delay(Duration::from_secs(20))));
    let error = rig.put("tables/Tickets/b.parquet", &bytes(10)).await.unwrap_err();
    assert_eq!(error.exit_code(), 75, "{}", words(&error));
}
