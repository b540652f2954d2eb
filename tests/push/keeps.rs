//! Remotes that lose things, fail in part, or hold something else.

use std::{fs, sync::Arc};

use tillvault::{
    archive::Archive,
    demo::webdav::{Action, Fault},
    error::{Error, Kind},
    observe::{Event, SharedObserver, silent},
    ops::{
        check::Part,
        push::{Destinations, PushOptions, PushOutcome, push, push_each},
    },
    store::fault::{Faults, Faulty},
};

use crate::site::{Pair, Recorder, Site, chain, content, files, snapshot};

async fn verified(pair: &Pair, part: Part) -> (PushOutcome, Vec<String>) {
    let recorder = Arc::new(Recorder::default());
    let observer: SharedObserver = recorder.clone();
    let options = PushOptions { verify: Some(part), ..PushOptions::default() };
    let pushed = push(&pair.archive, &pair.remote(), &options, &observer).await.unwrap();
    (pushed, recorder.warnings())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_remote_that_was_emptied_is_noticed_and_filled_again() {
    let pair = Pair::pushed().await;
    fs::remove_dir_all(&pair.mirror).unwrap();
    fs::create_dir(&pair.mirror).unwrap();
    let recorder = Arc::new(Recorder::default());
    let observer: SharedObserver = recorder.clone();
    let pushed = push(&pair.archive, &pair.remote(), &PushOptions::default(), &observer).await.unwrap();
    assert_eq!((pushed.lost.as_slice(), pushed.backlog), (&[1, 2, 3][..], 0));
    assert!(recorder.warnings()[0].contains("lost 3"), "{:?}", recorder.warnings());
    pair.assert_mirrored();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chunks_that_vanished_behind_their_snapshots_are_found_folder_by_folder() {
    let pair = Pair::pushed().await;
    let chunks: Vec<String> = files(&pair.mirror).into_iter().filter(|path| path.ends_with(".parquet")).collect();
    let orders = chunks.iter().find(|path| path.contains("/Orders/")).unwrap();
    let tickets = chunks.iter().find(|path| path.contains("/Tickets/")).unwrap();
    fs::remove_file(pair.mirror.join(orders)).unwrap();
    fs::write(pair.mirror.join(tickets), "cut").unwrap();
    // An ordinary push trusts the snapshots.
    assert_eq!(pair.push().await.unwrap().uploaded, 0);
    // Part by part, each folder is listed once, and what is missing comes back once.
    let (mut folders, mut uploaded) = (0, 0);
    for part in 1..=7 {
        let part = Part::parse(&format!("{part}/7"), jiff::Timestamp::now()).unwrap();
        let (pushed, warnings) = verified(&pair, part).await;
        let seen = pushed.verified.unwrap();
        assert_eq!(seen.missing, pushed.uploaded);
        assert_eq!(warnings.len() as u64, seen.missing.min(1), "{warnings:?}");
        folders += seen.folders;
        uploaded += pushed.uploaded;
    }
    assert_eq!((folders, uploaded), (2, 2));
    pair.assert_mirrored();
    let (pushed, warnings) = verified(&pair, Part::ALL).await;
    assert_eq!((pushed.uploaded, warnings.len()), (0, 0));
    assert_eq!(pushed.requests, 2 + 2, "a request for each folder");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_push_that_misses_a_snapshot_looks_for_chunks_too() {
    let pair = Pair::pushed().await;
    fs::remove_file(pair.mirror.join("snapshots/000002.json.zst")).unwrap();
    let chunk = pair.archive.chunk_objects(&pair.archive.snapshot(1).unwrap()).remove(0);
    fs::remove_file(pair.mirror.join(&chunk.path)).unwrap();
    let pushed = pair.push().await.unwrap();
    assert_eq!((pushed.lost.as_slice(), pushed.uploaded), (&[2][..], 2));
    pair.assert_mirrored();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_copy_that_was_put_back_is_refused_before_anything_is_sent() {
    let pair = Pair::pushed().await;
    let older = pair.folder.path().join("older");
    copy(pair.archive.root(), &older);
    snapshot(&pair.archive, &[("Orders", 800)]).await;
    pair.push().await.unwrap();
    let before = content(&pair.mirror);

    // The copy goes on from the third snapshot in its own way: longer or shorter, or of the very same length.
    for rows in [400, 900] {
        let copied = pair.folder.path().join(format!("copy-{rows}"));
        copy(&older, &copied);
        let archive = Archive::open(&copied).unwrap();
        snapshot(&archive, &[("Orders", rows), ("Tickets", 9_000), ("Payments", 3)]).await;
        snapshot(&archive, &[("Orders", rows + 1), ("Tickets", 9_000)]).await;
        let error = push(&archive, &pair.remote(), &PushOptions::default(), &silent()).await.unwrap_err();
        assert_eq!((error.kind(), error.exit_code()), (Kind::Refused, 20), "{}", chain(&error));
        assert!(chain(&error).contains("init --from-remote"), "{}", chain(&error));
        assert_eq!(content(&pair.mirror), before, "nothing was sent");
    }
    let archive = Archive::open(&older).unwrap();
    snapshot(&archive, &[("Orders", 850), ("Tickets", 9_000)]).await;
    let length = usize::try_from(archive.snapshot_object(4).unwrap().bytes).unwrap();
    fs::write(pair.mirror.join("snapshots/000004.json.zst"), vec![7; length]).unwrap();
    // What was noted of the remote came along with the copy and must not vouch for it.
    archive.note_pushed("cloud", &[1, 2, 3]).await.unwrap();
    let error = push(&archive, &pair.remote(), &PushOptions::default(), &silent()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Refused, "{}", chain(&error));
}

pub(crate) fn copy(from: &std::path::Path, to: &std::path::Path) {
    for name in files(from) {
        let target = to.join(&name);
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::copy(from.join(&name), target).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_that_stays_locked_keeps_only_its_own_snapshots_back() {
    let site = Site::new().await;
    snapshot(&site.archive, &[("Orders", 600)]).await;
    snapshot(&site.archive, &[("Orders", 650), ("Tickets", 30)]).await;
    snapshot(&site.archive, &[("Orders", 700)]).await;
    let objects = |number| site.archive.chunk_objects(&site.archive.snapshot(number).unwrap());
    let locked = objects(2).into_iter().find(|chunk| chunk.path.contains("/Tickets/")).unwrap();
    site.server.inject(Fault::next("PUT", Action::status(423)).on(&locked.path).times(1000));
    let error = site.push().await.unwrap_err();
    assert_eq!(error.exit_code(), 75, "{}", chain(&error));
    assert!(chain(&error).contains("2 of"), "{}", chain(&error));
    let mirrored = |number: u64| site.mirror.join(format!("snapshots/{number:06}.json.zst")).exists();
    assert_eq!([1, 2, 3].map(mirrored), [true, false, true]);
    site.assert_snapshots_complete();
    let noted = site.archive.pushed().remove(0);
    assert_eq!(noted.snapshots, [1, 3]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_remote_that_fails_hides_nothing_of_the_others() {
    let pair = Pair::new().await;
    let site = Site::new().await;
    let off = site.remote();
    site.server.stop().await;
    let mut remotes = Destinations {
        remotes: vec![off, pair.remote()],
        unusable: vec![("broken".into(), Error::new(Kind::Config, "its certificate file is not there"))],
    };
    let reports = push_each(&pair.archive, &mut remotes, &PushOptions::default(), &silent()).await;
    let json = serde_json::to_value(&reports).unwrap();
    assert_eq!(json[0]["error"]["exit_code"], 75, "{json}");
    assert_eq!((&json[1]["remote"], &json[1]["backlog"]), (&"cloud".into(), &0.into()));
    assert!(json[1].get("error").is_none());
    assert_eq!((&json[2]["remote"], &json[2]["error"]["exit_code"]), (&"broken".into(), &2.into()));
    pair.assert_mirrored();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn derived_files_follow_when_they_are_asked_for_and_only_when_they_differ() {
    let pair = Pair::pushed().await;
    assert!(!pair.mirror.join("README.md").exists());
    let options = PushOptions { derived: true, ..PushOptions::default() };
    let derived = async || push(&pair.archive, &pair.remote(), &options, &silent()).await.unwrap();
    let same = |name: &str| {
        assert_eq!(
            fs::read(pair.mirror.join(name)).unwrap(),
            fs::read(pair.archive.root().join(name)).unwrap(),
            "{name}"
        );
    };
    assert_eq!(derived().await.derived, ["index/snapshots.json", "README.md"]);
    let unchanged = derived().await;
    assert_eq!((unchanged.derived.len(), unchanged.requests), (0, 2));
    snapshot(&pair.archive, &[("Orders", 800)]).await;
    pair.archive.write_index(false).await.unwrap();
    assert_eq!(derived().await.derived, ["index/snapshots.json"]);
    ["index/snapshots.json", "README.md"].iter().for_each(|name| same(name));
    // A remote that lost something is not believed to have them.
    fs::remove_dir_all(&pair.mirror).unwrap();
    fs::create_dir(&pair.mirror).unwrap();
    assert_eq!(derived().await.derived.len(), 2);
    ["index/snapshots.json", "README.md"].iter().for_each(|name| same(name));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backlog_is_listed_and_counted_down() {
    let pair = Pair::new().await;
    let dry = PushOptions { dry_run: true, ..PushOptions::default() };
    let planned = push(&pair.archive, &pair.remote(), &dry, &silent()).await.unwrap();
    let objects = planned.objects.unwrap();
    assert_eq!((objects.len() as u64, objects[0].path.as_str()), (planned.backlog, "tillvault-archive.json"));
    assert_eq!(objects.iter().map(|object| object.bytes).sum::<u64>(), planned.backlog_bytes);

    let recorder = Arc::new(Recorder::default());
    let observer: SharedObserver = recorder.clone();
    push(&pair.archive, &pair.remote(), &PushOptions::default(), &observer).await.unwrap();
    let left: Vec<(u64, u64)> = recorder
        .0
        .lock()
        .unwrap()
        .iter()
        .filter_map(|event| match event {
            Event::Left { objects, bytes } => Some((*objects, *bytes)),
            _ => None,
        })
        .collect();
    assert_eq!(left[0], (planned.backlog, planned.backlog_bytes));
    assert_eq!(left.last(), Some(&(0, 0)));
    assert!(left.is_sorted_by(|a, b| a.0 >= b.0 && a.1 >= b.1), "{left:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_push_taken_up_again_lists_folders_instead_of_sending_chunks_twice() {
    let pair = Pair::new().await;
    let names: Vec<String> = (0..40).map(|number| format!("Table{number:02}")).collect();
    let tables: Vec<(&str, i32)> = names.iter().map(|name| (name.as_str(), 20)).collect();
    snapshot(&pair.archive, &tables).await;
    // Everything but the snapshot is there when it breaks off.
    let calls = Faults::none();
    let whole = pair.over(Arc::new(Faulty::new(Arc::new(object_store::memory::InMemory::new()), Arc::clone(&calls))));
    push(&pair.archive, &whole, &PushOptions::default(), &silent()).await.unwrap();
    let dying = pair.over(Arc::new(Faulty::new(pair.store(), Faults::from_call(calls.calls() - 2))));
    push(&pair.archive, &dying, &PushOptions::default(), &silent()).await.unwrap_err();
    assert!(!pair.mirror.join("snapshots/000004.json.zst").exists());
    let remote = pair.remote();
    let again = push(&pair.archive, &remote, &PushOptions::default(), &silent()).await.unwrap();
    assert!(again.uploaded <= 2, "{again:?}");
    let (lists, puts) = (remote.requests.of("LIST"), remote.requests.of("PUT"));
    assert!(lists <= 1 + 40 && puts <= 2 + 4, "{lists} lists, {puts} uploads: those under way at once may be refused");
    pair.assert_mirrored();
}
