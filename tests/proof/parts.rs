//! Uploads in parts: resumed, complete, put together once.

use std::time::Duration;

use object_store::path::Path;
use tillvault::store::{Remote, is_full, is_taken, proof::Proof, upload::Stored, webdav::Tuning};

use crate::{
    count,
    double::{Action, Double, Event, Fault, Logged, Options},
    keeping, ready, remote, some, story,
};

const CHUNK: &str = "tables/T/large.parquet";

fn chunk() -> Path {
    Path::from(CHUNK)
}

/// On S3, where parts have a least size.
const MEBIBYTE: u64 = 1024 * 1024;
const LARGE: usize = 11 * 1024 * 1024 + 17;

async fn ready_on_s3() -> (Double, Remote) {
    let double = Double::start(Options::s3()).await;
    let tuning =
        Tuning { largest_put: 6 * MEBIBYTE, part: 5 * MEBIBYTE, smallest_part: 5 * MEBIBYTE, ..crate::quick() };
    let remote = remote(&double, tuning);
    remote.probe().await.unwrap();
    double.take_log();
    (double, remote)
}

fn stored(double: &Double) -> bool {
    double.content(&format!("till/{CHUNK}")).is_some_and(|content| content == some(22_500))
}

fn parts(log: &[Logged]) -> Vec<String> {
    let puts = log.iter().filter(|request| request.method == "PUT" && request.is_staging());
    puts.map(|request| request.path.rsplit('/').next().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn what_is_too_large_goes_in_parts_and_is_proven_from_the_storage() {
    for options in [Options::default(), Options { base: "/sub/path".into(), ..Options::default() }] {
        let (double, remote) = ready(options).await;
        assert_eq!(remote.put_proven(&chunk(), some(22_500)).await.unwrap(), (Stored::Uploaded, Proof::Rehashed));
        assert!(stored(&double) && double.staged().is_empty());
        let log = double.take_log();
        assert_eq!(parts(&log), ["00001", "00002", "00003", "00004", "00005", "00006"]);
        let moved = log.iter().find(|request| request.method == "MOVE").unwrap();
        assert_eq!((moved.header("overwrite"), moved.header("oc-total-length")), (Some("F"), Some("22500")));
        assert!(!log.iter().any(Logged::lacks_length));
        // A second time it is there.
        assert_eq!(remote.put_new(&chunk(), some(22_500)).await.unwrap(), Stored::Present);
        assert_eq!(count(&double.take_log(), "PUT"), 0);
    }
}

#[tokio::test]
async fn a_killed_upload_goes_on_where_it_was() {
    let (double, folder) = (Double::local().await, tempfile::tempdir().unwrap());
    // Killed in the fourth part.
    let first = remote(&double, keeping(folder.path()));
    first.probe().await.unwrap();
    double.inject(Fault::every("PUT", Action::Delay(Duration::from_secs(60))).on("*/00004"));
    let killed = tokio::time::timeout(Duration::from_millis(700), first.put_new(&chunk(), some(22_500))).await;
    assert!(killed.is_err());
    drop(first);
    double.heal();
    double.take_log();
    assert_eq!(
        remote(&double, keeping(folder.path())).put_new(&chunk(), some(22_500)).await.unwrap(),
        Stored::Uploaded
    );
    assert!(stored(&double) && double.staged().is_empty());
    assert_eq!(parts(&double.take_log()), ["00004", "00005", "00006"]);
    let records = std::fs::read_dir(folder.path())
        .unwrap()
        .filter(|file| file.as_ref().unwrap().file_name().to_string_lossy().ends_with(".upload.json"));
    assert_eq!(records.count(), 0, "the record goes with the upload");
}

#[tokio::test]
async fn lost_parts_are_sent_again_before_anything_is_put_together() {
    // The server says "created" and keeps only a part of a part; S3 would put the rest together without a word.
    let (double, remote) = ready(Options::default()).await;
    double.inject(Fault::next("PUT", Action::TruncateStored(10)).on("*/00002"));
    remote.put_new(&chunk(), some(22_500)).await.unwrap();
    assert!(stored(&double));
    assert_eq!(parts(&double.take_log()).iter().filter(|name| *name == "00002").count(), 2);

    let (double, remote) = ready_on_s3().await;
    let content = some(LARGE);
    double.inject(Fault::next("PUT", Action::TruncateStored(10)).on("*/00002"));
    assert_eq!(remote.put_proven(&chunk(), content.clone()).await.unwrap(), (Stored::Uploaded, Proof::Rehashed));
    assert!(double.content(&format!("till/{CHUNK}")).unwrap() == content);
}

#[tokio::test]
async fn an_upload_that_the_server_has_lost_begins_anew_at_most_three_times() {
    let (double, remote) = ready(Options::default()).await;
    double.inject(Fault::next("PUT", Action::Before(Event::StagingExpires)).on("*/00003"));
    remote.put_new(&chunk(), some(22_500)).await.unwrap();
    assert!(stored(&double));
    let made = double.take_log().into_iter().filter(|request| request.method == "MKCOL" && request.is_staging());
    assert_eq!(made.count(), 2);

    double.inject(Fault::every("MOVE", Action::error(500, "Exception", "part is missing")).on("*/.file"));
    remote.put_new(&Path::from("tables/T/other.parquet"), some(22_500)).await.unwrap_err();
    assert_eq!(count(&double.take_log(), "MOVE"), 3);
    assert!(double.staged().is_empty(), "nothing is left behind");
}

#[tokio::test]
async fn a_multipart_cache_that_was_flushed_and_a_short_object_lead_to_a_new_upload() {
    let (double, remote) = ready_on_s3().await;
    let content = some(LARGE);
    let missing = "Missing metadata for chunked upload";
    double.inject(Fault::next("PUT", Action::error(412, "PreconditionFailed", missing)).on("*/00003"));
    double.inject(Fault::next("MOVE", Action::TruncateStored(8_000)).on("*/.file"));
    remote.put_new(&chunk(), content.clone()).await.unwrap();
    assert!(double.content(&format!("till/{CHUNK}")).unwrap() == content);
    assert_eq!(count(&double.take_log(), "MOVE"), 2);
}

#[tokio::test]
async fn while_the_server_is_still_at_it_nothing_is_sent_again() {
    let (double, remote) = ready(Options::default()).await;
    let proxy = Action::Proxy { works: Duration::from_millis(600), gives_up: Duration::from_millis(50) };
    double.inject(Fault::next("MOVE", proxy).on("*/.file"));
    assert_eq!(remote.put_proven(&chunk(), some(22_500)).await.unwrap(), (Stored::Uploaded, Proof::Rehashed));
    assert!(stored(&double));
    let log = double.take_log();
    assert_eq!(parts(&log).len(), 6, "{:?}", story(&log));
}

#[tokio::test]
async fn a_lock_at_the_end_is_waited_for() {
    let (double, remote) = ready(Options::default()).await;
    double.inject(Fault::next("MOVE", Action::status(423)).on("*/.file").times(5));
    remote.put_new(&chunk(), some(22_500)).await.unwrap();
    assert!(stored(&double));
    assert_eq!(parts(&double.take_log()).len(), 6);
}

#[tokio::test]
async fn a_limit_of_the_proxy_is_learnt_and_remembered() {
    let (double, folder) = (
        Double::start(Options { largest_body: Some(3_000), ..Options::default() }).await,
        tempfile::tempdir().unwrap(),
    );
    let first = remote(&double, keeping(folder.path()));
    assert_eq!(first.put_new(&chunk(), some(9_000)).await.unwrap(), Stored::Uploaded);
    assert_eq!(double.content(&format!("till/{CHUNK}")).unwrap(), some(9_000));
    let learnt = first.profile().largest_put.unwrap();
    assert!(learnt <= 3_000, "{learnt}");
    double.take_log();
    let again = remote(&double, keeping(folder.path()));
    again.put_new(&Path::from("tables/T/b.parquet"), some(9_000)).await.unwrap();
    assert!(double.take_log().iter().all(|request| request.status != Some(413)), "it is known from the start");
    // Below the smallest part there is no way.
    let double = Double::start(Options { largest_body: Some(700), ..Options::default() }).await;
    let tight = remote(&double, crate::quick());
    let error = tight.put_new(&chunk(), some(9_000)).await.unwrap_err();
    assert!(error.next_step().unwrap().contains("limit"), "{error}");
    assert!(!error.is_temporary() && double.staged().is_empty());
}

#[tokio::test]
async fn without_room_nothing_new_is_begun_and_no_part_stays() {
    let (double, remote) = ready(Options { quota: Some(100_000), ..Options::default() }).await;
    remote.put_new(&Path::from("tables/T/small.parquet"), some(100)).await.unwrap();
    double.set_quota(Some(5_000));
    let error = remote.put_new(&chunk(), some(22_500)).await.unwrap_err();
    assert!(is_full(&error) && !error.is_temporary(), "{error:?}");
    assert!(double.staged().is_empty());
    double.take_log();
    let error = remote.put_new(&Path::from("tables/T/other.parquet"), some(100)).await.unwrap_err();
    assert!(is_full(&error));
    assert_eq!(count(&double.take_log(), "PUT"), 0, "no further object is tried");
    // Somebody makes room.
    double.set_quota(Some(1_000_000));
    remote.remove(&Path::from("tables/T/small.parquet"), tillvault::store::proof::Trash::Skip).await.unwrap();
    remote.put_new(&chunk(), some(22_500)).await.unwrap();
}

#[tokio::test]
async fn somebody_elses_object_is_neither_replaced_nor_taken_for_ours() {
    let (double, remote) = ready(Options::default()).await;
    double.store(&format!("till/{CHUNK}"), some(22_499));
    // A beginning of ours is a broken upload of it.
    assert_eq!(remote.put_new(&chunk(), some(22_500)).await.unwrap(), Stored::Uploaded);
    double.store("till/tables/T/b.parquet", vec![1; 22_500]);
    let error = remote.put_new(&Path::from("tables/T/b.parquet"), some(22_500)).await.unwrap_err();
    assert!(is_taken(&error));
    // Something that came while the parts were on their way, and went again.
    double.inject(Fault::next("MOVE", Action::status(412)).on("*/.file"));
    remote.put_new(&Path::from("tables/T/c.parquet"), some(22_500)).await.unwrap();
    assert!(double.staged().is_empty());
}
