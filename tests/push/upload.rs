//! What is sent, in which order, and what happens when it goes wrong.

use std::{path::Path, sync::Arc};

use object_store::{ObjectStore, memory::InMemory};
use secrecy::SecretString;
use tillvault::{
    archive::{Archive, journal::Tagging},
    config::RemoteKind,
    demo::webdav::{Action, Fault, WebDavOptions, WebDavServer},
    error::Kind,
    observe::{Event, SharedObserver, silent},
    ops::push::{PushOptions, plan_push, push, push_to},
    store::{
        Remote, count_snapshots,
        fault::{Faults, Faulty},
        open_remote,
        profile::ServerKind,
    },
};

use crate::site::{Recorder, Site, chain, files, snapshot};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_push_mirrors_everything_and_the_second_costs_two_requests() {
    let site = Site::new().await;
    snapshot(&site.archive, &[("Orders", 9_000), ("Tickets", 700)]).await;
    snapshot(&site.archive, &[("Orders", 9_100), ("Tickets", 700)]).await;

    let plan = plan_push(&site.archive, &site.remote(), &PushOptions::default()).await.unwrap();
    let first = site.push().await.unwrap();
    assert_eq!((first.uploaded, first.bytes, first.backlog), (plan.count(), plan.bytes(), 0));
    assert_eq!(first.requests, site.server.requests().len() as u64 - 2, "two were the plan's");
    site.assert_mirrored();

    // Chunks come before the snapshot that names them, and the archive's header before all.
    let puts: Vec<String> = site
        .server
        .take_requests()
        .into_iter()
        .filter(|request| request.method == "PUT" && request.status == Some(201))
        .map(|request| request.path)
        // What the server can do is found out first.
        .filter(|path| !path.contains("probe"))
        .collect();
    assert!(puts[0].ends_with("/tillvault-archive.json"), "{puts:?}");
    assert!(puts.last().unwrap().ends_with("/snapshots/000002.json.zst"), "{puts:?}");

    let second = site.push().await.unwrap();
    assert_eq!((second.uploaded, second.bytes, second.requests, second.backlog), (0, 0, 2, 0));
    assert_eq!(count_snapshots(&site.remote()).await.unwrap(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_more_snapshot_costs_a_request_per_new_chunk_and_three_besides_what_is_read_back() {
    let site = Site::new().await;
    snapshot(&site.archive, &[("Orders", 9_000), ("Tickets", 700)]).await;
    site.push().await.unwrap();
    let new = snapshot(&site.archive, &[("Orders", 9_050), ("Tickets", 720)]).await;
    assert!(new > 0);
    let pushed = site.push().await.unwrap();
    // This server computes no hashes: each object is read back.
    assert_eq!((pushed.uploaded, pushed.requests), (new + 1, 2 + 3 * (new + 1)));
    site.assert_mirrored();

    // Nothing has changed at the till: only the snapshot goes up.
    assert_eq!(snapshot(&site.archive, &[("Orders", 9_050), ("Tickets", 720)]).await, 0);
    let pushed = site.push().await.unwrap();
    assert_eq!((pushed.uploaded, pushed.requests), (1, 5));
    site.assert_mirrored();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_of_the_journal_are_mirrored_after_the_snapshots() {
    let site = Site::new().await;
    snapshot(&site.archive, &[("Orders", 100)]).await;
    let mut journal = site.archive.journal().unwrap();
    for tag in ["first", "second"] {
        let tagging = Tagging { snapshot: 1, tags: vec![tag.into()] };
        site.archive.write_record(&mut journal, Some(tagging), None).await.unwrap();
    }
    site.push().await.unwrap();
    let sent: Vec<String> = site
        .server
        .take_requests()
        .into_iter()
        .filter(|request| request.method == "PUT" && request.status == Some(201))
        .map(|request| request.path)
        .collect();
    let tail = &sent[sent.len() - 3..];
    assert!(tail[0].ends_with("snapshots/000001.json.zst"), "{tail:?}");
    assert!(tail[1].ends_with("journal/000001.json.zst") && tail[2].ends_with("journal/000002.json.zst"), "{tail:?}");
    site.assert_mirrored();
    let again = site.push().await.unwrap();
    assert_eq!((again.uploaded, again.requests), (0, 3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dry_run_sends_nothing_and_tells_the_backlog() {
    let site = Site::new().await;
    snapshot(&site.archive, &[("Orders", 600)]).await;
    let outcome =
        push(&site.archive, &site.remote(), &PushOptions { dry_run: true, ..PushOptions::default() }, &silent())
            .await
            .unwrap();
    let plan = plan_push(&site.archive, &site.remote(), &PushOptions::default()).await.unwrap();
    assert_eq!((outcome.uploaded, outcome.bytes, outcome.backlog), (0, 0, plan.count()));
    assert!(plan.to_string().contains("snapshots/000001.json.zst"), "{plan}");
    assert!(files(&site.mirror).is_empty());
    let json = serde_json::to_value(&outcome).unwrap();
    for key in ["uploaded", "bytes", "requests", "backlog", "seconds", "remote"] {
        assert!(json.get(key).is_some(), "{json}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_push_that_dies_at_any_request_leaves_no_incomplete_snapshot_and_is_taken_up_again() {
    let folder = tempfile::tempdir().unwrap();
    let archive = Archive::create(&folder.path().join("archive"), "Bar").unwrap();
    snapshot(&archive, &[("Orders", 5_000)]).await;
    snapshot(&archive, &[("Orders", 5_600)]).await;
    let remote = |store: Arc<dyn ObjectStore>| Remote::over("mirror", store, ServerKind::Memory).with_connections(2);
    let options = PushOptions::default();

    let calls = Faults::none();
    let whole = Faulty::new(Arc::new(InMemory::new()), Arc::clone(&calls));
    let all = push(&archive, &remote(Arc::new(whole)), &options, &silent()).await.unwrap().uploaded;
    assert!(calls.calls() > 6);
    for n in 1..=calls.calls() {
        for faults in [Faults::from_call(n), Faults::answer_lost_at(n)] {
            let memory: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
            let dying = Faulty::new(Arc::clone(&memory), faults);
            let error = push(&archive, &remote(Arc::new(dying)), &options, &silent()).await.unwrap_err();
            assert_eq!(error.kind(), Kind::Store, "{}", chain(&error));
            assert_complete(&archive, memory.as_ref()).await;

            let again = push(&archive, &remote(Arc::clone(&memory)), &options, &silent()).await.unwrap();
            assert!(again.uploaded <= all && again.backlog == 0);
            let unchanged = push(&archive, &remote(memory), &options, &silent()).await.unwrap();
            assert_eq!((unchanged.uploaded, unchanged.requests), (0, 2));
        }
    }
}

async fn assert_complete(archive: &Archive, mirror: &dyn ObjectStore) {
    use object_store::ObjectStoreExt;
    for number in archive.snapshot_numbers().unwrap() {
        let object = archive.snapshot_object(number).unwrap();
        if mirror.head(&object.path.as_str().into()).await.is_err() {
            continue;
        }
        for chunk in archive.chunk_objects(&archive.snapshot(number).unwrap()) {
            let there = mirror.head(&chunk.path.as_str().into()).await.unwrap();
            assert_eq!(there.size, chunk.bytes);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn uploads_that_were_cut_off_are_told_from_whole_ones_at_the_next_push() {
    // The first upload breaks off, and every later request about such a file fails, as when the machine is switched off.
    for (part, requests_before) in [(".parquet", 0), ("000001.json", 0), ("tillvault-archive", 1)] {
        let mut site = Site::new().await;
        snapshot(&site.archive, &[("Orders", 9_000)]).await;
        for folder in ["tables/Orders", "snapshots"] {
            std::fs::create_dir_all(site.mirror.join(folder)).unwrap();
        }
        site.server.inject(Fault::next("PUT", Action::CutUpload(60)).on(part));
        site.server.inject(Fault::next("", Action::Cut).on(part).after(requests_before).times(1000));
        let error = site.push().await.unwrap_err();
        assert!(error.is_temporary() && chain(&error).contains("still to upload"), "{}", chain(&error));
        site.assert_snapshots_complete();
        let length = |root: &Path, name: &String| std::fs::metadata(root.join(name)).unwrap().len();
        let cut = |name: &String| length(&site.mirror, name) != length(site.archive.root(), name);
        assert_eq!(files(&site.mirror).iter().filter(|name| cut(name)).count(), 1, "one half object was left");

        site.server = restart(&site).await;
        if let RemoteKind::WebDav { url, .. } = &mut site.config.kind {
            *url = site.server.url().join("till").unwrap();
        }
        assert_eq!(site.push().await.unwrap().backlog, 0);
        site.assert_mirrored();
    }
}

async fn restart(site: &Site) -> WebDavServer {
    let root = site.mirror.parent().unwrap().to_owned();
    WebDavServer::start(WebDavOptions { root: Some(root), ..WebDavOptions::default() }).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chunks_of_an_interrupted_push_are_not_sent_again() {
    let site = Site::new().await;
    snapshot(&site.archive, &[("Orders", 60_000), ("Tickets", 700)]).await;
    site.server.inject(Fault::next("PUT", Action::status(507)).on("snapshots/"));
    let error = site.push().await.unwrap_err();
    assert!(chain(&error).contains("1 of") && chain(&error).contains("quota"), "{}", chain(&error));
    assert_eq!(error.exit_code(), 1);
    site.server.take_requests();
    let pushed = site.push().await.unwrap();
    assert_eq!((pushed.uploaded, pushed.backlog), (1, 0));
    let sent: u64 = site.server.requests().iter().filter_map(|request| request.content_length).sum();
    assert!(sent < 30_000, "{sent} bytes were sent for one snapshot file");
    site.assert_mirrored();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_is_one_failed_login_and_exit_code_12() {
    let site = Site::new().await;
    snapshot(&site.archive, &[("Orders", 600)]).await;
    let mut config = site.config.clone();
    if let RemoteKind::WebDav { password, .. } = &mut config.kind {
        *password = SecretString::from("wrong-horse");
    }
    let error = push_to(&site.archive, &config, &PushOptions::default(), &silent()).await.unwrap_err();
    assert_eq!((error.kind(), error.exit_code()), (Kind::Credentials, 12));
    assert!(!chain(&error).contains("wrong-horse") && chain(&error).contains("app password"), "{}", chain(&error));
    assert_eq!(site.server.requests().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_401_in_the_middle_stops_the_push() {
    let site = Site::new().await;
    snapshot(&site.archive, &[("Orders", 60_000)]).await;
    site.server.inject(Fault::next("PUT", Action::status(401)).after(6).times(1000));
    let error = site.push().await.unwrap_err();
    assert_eq!(error.kind(), Kind::Credentials);
    let refused = site.server.requests().iter().filter(|request| request.status == Some(401)).count();
    assert!(refused <= 4, "at most the uploads under way were refused, not {refused}");
    site.assert_snapshots_complete();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_remote_of_another_archive_is_refused_and_left_alone() {
    let site = Site::new().await;
    snapshot(&site.archive, &[("Orders", 600)]).await;
    site.push().await.unwrap();
    let before = files(&site.mirror);

    let folder = tempfile::tempdir().unwrap();
    let other = Archive::create(&folder.path().join("other"), "Pool Bar").unwrap();
    snapshot(&other, &[("Orders", 700)]).await;
    let error = push(&other, &site.remote(), &PushOptions::default(), &silent()).await.unwrap_err();
    assert_eq!((error.kind(), error.exit_code()), (Kind::Refused, 20));
    assert!(chain(&error).contains("another archive"), "{}", chain(&error));
    assert_eq!(files(&site.mirror), before);

    // Snapshots without a header are nobody's.
    std::fs::remove_file(site.mirror.join("tillvault-archive.json")).unwrap();
    let error = site.push().await.unwrap_err();
    assert_eq!(error.kind(), Kind::Refused, "{}", chain(&error));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_snapshot_under_our_number_is_not_touched() {
    let site = Site::new().await;
    snapshot(&site.archive, &[("Orders", 600)]).await;
    site.push().await.unwrap();
    snapshot(&site.archive, &[("Orders", 650)]).await;
    let foreign = site.mirror.join("snapshots/000002.json.zst");
    std::fs::write(&foreign, "somebody else's snapshot").unwrap();
    let error = site.push().await.unwrap_err();
    assert!(chain(&error).contains("something else"), "{}", chain(&error));
    assert_eq!(std::fs::read_to_string(foreign).unwrap(), "somebody else's snapshot");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_snapshot_of_the_same_length_does_not_count_as_ours() {
    let site = Site::new().await;
    snapshot(&site.archive, &[("Orders", 600)]).await;
    site.push().await.unwrap();
    snapshot(&site.archive, &[("Orders", 650), ("Tickets", 30)]).await;
    let length = site.archive.snapshot_object(2).unwrap().bytes;
    let foreign = site.mirror.join("snapshots/000002.json.zst");
    std::fs::write(&foreign, vec![7; usize::try_from(length).unwrap()]).unwrap();
    snapshot(&site.archive, &[("Orders", 700), ("Tickets", 30)]).await;
    let error = site.push().await.unwrap_err();
    assert_eq!(error.kind(), Kind::Refused, "{}", chain(&error));
    assert!(chain(&error).contains("something else as snapshots/000002"), "{}", chain(&error));
    // The third would have been listed there without the tickets that the second brings.
    assert!(!site.mirror.join("snapshots/000003.json.zst").exists());
    assert!(site.push().await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_down_is_exit_code_75() {
    let site = Site::new().await;
    snapshot(&site.archive, &[("Orders", 600)]).await;
    let remote = site.remote();
    site.server.stop().await;
    let error = push(&site.archive, &remote, &PushOptions::default(), &silent()).await.unwrap_err();
    assert_eq!((error.kind(), error.exit_code()), (Kind::Store, 75), "{}", chain(&error));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_chunk_is_not_mirrored() {
    let site = Site::new().await;
    snapshot(&site.archive, &[("Orders", 600)]).await;
    let chunk = site.archive.chunk_objects(&site.archive.snapshot(1).unwrap()).remove(0);
    let file = site.archive.root().join(&chunk.path);
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[10] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let error = site.push().await.unwrap_err();
    assert_eq!((error.kind(), error.exit_code()), (Kind::Damage, 13), "{}", chain(&error));
    assert!(!files(&site.mirror).contains(&chunk.path));

    std::fs::remove_file(&file).unwrap();
    let error = site.push().await.unwrap_err();
    assert_eq!(error.kind(), Kind::Damage, "{}", chain(&error));
    assert!(count_snapshots(&site.remote()).await.unwrap() == 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_damaged_does_not_keep_later_snapshots_from_the_mirror() {
    let site = Site::new().await;
    snapshot(&site.archive, &[("Orders", 600)]).await;
    site.push().await.unwrap();
    snapshot(&site.archive, &[("Orders", 650), ("Tickets", 9_000)]).await;
    snapshot(&site.archive, &[("Orders", 700), ("Tickets", 9_000)]).await;
    let objects = |number| site.archive.chunk_objects(&site.archive.snapshot(number).unwrap());
    let later = objects(3);
    let alone = objects(2).into_iter().find(|chunk| !later.contains(chunk)).unwrap();
    let mirrored = |number: u64| site.mirror.join(format!("snapshots/{number:06}.json.zst")).exists();
    let damaged = async || {
        let error = site.push().await.unwrap_err();
        assert_eq!(error.kind(), Kind::Damage, "{}", chain(&error));
        site.assert_snapshots_complete();
    };
    // A chunk that only the second snapshot needs is lost: the third brings the rest.
    let file = site.archive.root().join(&alone.path);
    let whole = std::fs::read(&file).unwrap();
    std::fs::remove_file(&file).unwrap();
    damaged().await;
    assert!(!mirrored(2) && mirrored(3));
    damaged().await;
    std::fs::write(&file, whole).unwrap();
    site.push().await.unwrap();
    site.assert_mirrored();

    // The newest that the remote holds, and one that it lacks, cannot be read here.
    snapshot(&site.archive, &[("Orders", 750), ("Tickets", 9_000)]).await;
    snapshot(&site.archive, &[("Orders", 800), ("Tickets", 9_000)]).await;
    let file = |number: u64| site.archive.root().join(format!("snapshots/{number:06}.json.zst"));
    let good = [3, 4].map(|number| std::fs::read(file(number)).unwrap());
    for (number, good) in [3, 4].into_iter().zip(&good) {
        let mut torn = good.clone();
        torn[20] ^= 1;
        std::fs::write(file(number), torn).unwrap();
    }
    let error = site.push().await.unwrap_err();
    assert_eq!(error.kind(), Kind::Damage, "{}", chain(&error));
    assert!(!mirrored(4) && mirrored(5));
    for (number, good) in [3, 4].into_iter().zip(good) {
        std::fs::write(file(number), good).unwrap();
    }
    site.assert_snapshots_complete();
    site.push().await.unwrap();
    site.assert_mirrored();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn progress_is_reported_and_a_remote_that_is_ahead_is_warned_of() {
    let site = Site::new().await;
    snapshot(&site.archive, &[("Orders", 600)]).await;
    let recorder = Arc::new(Recorder::default());
    let observer: SharedObserver = recorder.clone();
    let remote = open_remote(&site.config, &site.archive.root().join(".remotes")).unwrap();
    let pushed = push(&site.archive, &remote, &PushOptions::default(), &observer).await.unwrap();
    let events = std::mem::take(&mut *recorder.0.lock().unwrap());
    let sent: Vec<u64> = events
        .iter()
        .filter_map(|event| match event {
            Event::Uploaded { bytes, .. } => Some(*bytes),
            _ => None,
        })
        .collect();
    assert_eq!((sent.len() as u64, sent.iter().sum::<u64>()), (pushed.uploaded, pushed.bytes));
    assert!(matches!(events[0], Event::Phase { total: Some(total), .. } if total == pushed.uploaded));

    std::fs::write(site.mirror.join("snapshots/000009.json.zst"), "from elsewhere").unwrap();
    push(&site.archive, &remote, &PushOptions::default(), &observer).await.unwrap();
    let events = std::mem::take(&mut *recorder.0.lock().unwrap());
    let warned = |event: &Event| matches!(event, Event::Warning { message } if message.contains("snapshot 9"));
    assert!(events.iter().any(warned), "{events:?}");
}
