//! What is found out about a server, and remembered.

use object_store::path::Path;
use tillvault::store::{
    Remote,
    profile::ServerKind,
    webdav::{Tuning, WebDav},
};

use crate::{
    double::{Action, Double, Fault, Options, Storage},
    keeping, quick, remote, settings, some, story,
};

#[tokio::test]
async fn a_nextcloud_is_recognised_and_nothing_of_the_probe_stays() {
    let double = Double::local().await;
    let remote = remote(&double, quick());
    assert!(!remote.profile().probed);
    let found = remote.probe().await.unwrap();
    assert_eq!(found.kind, ServerKind::Nextcloud);
    assert_eq!(found.major(), Some(31));
    assert!(found.conditional_put && found.received_hash && found.rehash && found.chunking, "{found:?}");
    assert!(found.skip_trash && found.pages && found.probed, "{found:?}");
    assert!(double.files().is_empty() && double.trash().is_empty());
    assert_eq!(remote.profile(), found);
    let anonymous = double.log().into_iter().filter(|request| request.path.ends_with("status.php"));
    assert!(anonymous.clone().count() == 1 && anonymous.clone().all(|request| !request.signed));
}

#[tokio::test]
async fn what_a_server_cannot_do_is_seen() {
    let double =
        Double::start(Options { conditions: false, x_hash: false, patch_hash: false, ..Options::default() }).await;
    let found = remote(&double, quick()).probe().await.unwrap();
    assert!(!found.conditional_put && !found.received_hash && !found.rehash, "{found:?}");
    let double = Double::start(Options { version: 30, ..Options::default() }).await;
    let found = remote(&double, quick()).probe().await.unwrap();
    assert!(!found.pages && found.rehash, "{found:?}");
    let double = Double::start(Options { storage: Storage::S3, base: "/sub/cloud".into(), ..Options::default() }).await;
    let found = remote(&double, quick()).probe().await.unwrap();
    assert!(found.rehash && found.chunking && found.kind == ServerKind::Nextcloud, "{found:?}");
}

#[tokio::test]
async fn a_profile_is_asked_for_once_and_forgotten_with_its_file() {
    let (double, folder) = (Double::local().await, tempfile::tempdir().unwrap());
    let path = Path::from("tables/T/a.parquet");
    remote(&double, keeping(folder.path())).put_new(&path, some(10)).await.unwrap();
    double.take_log();
    let again = remote(&double, keeping(folder.path()));
    assert!(again.profile().probed);
    again.put_new(&Path::from("tables/T/b.parquet"), some(10)).await.unwrap();
    assert_eq!(story(&double.take_log()), ["PUT 201"], "one object, one request");
    for file in std::fs::read_dir(folder.path()).unwrap() {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        assert!(!text.contains("app-password"), "{text}");
    }
    std::fs::remove_dir_all(folder.path()).unwrap();
    assert!(!remote(&double, keeping(folder.path())).profile().probed);
}

#[tokio::test]
async fn uploads_side_by_side_probe_once() {
    let double = Double::local().await;
    let remote = remote(&double, quick());
    let uploads = (0..6).map(|n| {
        let remote = remote.clone();
        async move { remote.put_new(&Path::from(format!("tables/T/{n}.parquet")), some(100)).await }
    });
    for stored in futures::future::join_all(uploads).await {
        stored.unwrap();
    }
    let log = double.take_log();
    assert_eq!(log.iter().filter(|request| request.method == "OPTIONS").count(), 1);
    assert_eq!(double.files().len(), 6);
}

#[tokio::test]
async fn what_turns_out_to_be_wrong_is_corrected() {
    let (double, folder) = (Double::local().await, tempfile::tempdir().unwrap());
    let first = remote(&double, keeping(folder.path()));
    first.probe().await.unwrap();
    // An administrator takes an app away: PATCH is not there any more, nor is the hash of what was received.
    double.inject(Fault::every("PATCH", Action::status(405)));
    let path = Path::from("tables/T/a.parquet");
    assert_eq!(first.hash_at(&path).await.unwrap(), None);
    assert!(!first.profile().rehash);
    assert!(!remote(&double, keeping(folder.path())).profile().rehash, "it is remembered");
    // Asking anew is what a test of the remote does.
    double.heal();
    assert!(first.probe().await.unwrap().rehash);
}

#[tokio::test]
async fn a_store_that_is_told_not_to_probe_assumes_nothing_and_reads_back() {
    let double = Double::local().await;
    let store = WebDav::tuned(&settings(&double), Tuning { probe: false, ..quick() }).unwrap();
    let remote = Remote::webdav("cloud", store);
    remote.put_new(&Path::from("a.parquet"), some(10)).await.unwrap();
    assert!(!double.log().iter().any(|request| request.method == "OPTIONS"));
}

#[tokio::test]
async fn room_is_told_or_unknown() {
    let (double, _) = crate::ready(Options { quota: Some(1_000_000), ..Options::default() }).await;
    let there = remote(&double, quick());
    let quota = there.quota().await.unwrap().unwrap();
    assert!(quota.free <= 1_000_000 && quota.free > 900_000, "{quota:?}");
    for told in [-1, -2, -3] {
        let double = Double::start(Options { quota_told: Some(told), ..Options::default() }).await;
        // The folder is not there yet: the one above it tells.
        assert_eq!(remote(&double, quick()).quota().await.unwrap(), None, "{told}");
    }
}
