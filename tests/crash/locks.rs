//! One writer at a time, readers at any time, and no lock that outlives its holder.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    path::Path,
    process::Child,
};

use tillvault::{archive::Archive, error::Kind};

use crate::{
    child,
    scene::states,
    scripted_till::archives::{plain, take},
    support::Site,
};

/// The child: takes a lock, says so, and keeps it until its standard input ends.
pub(crate) fn hold_as_told() {
    let archive = Archive::open(&child::root()).unwrap();
    let lock = if child::word("CRASH_LOCK") == "push" { archive.lock_push() } else { archive.lock() };
    let _lock = lock.unwrap();
    eprintln!("locked");
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
}

/// A process that holds a lock of the archive until it is killed.
fn holder(root: &Path, lock: &str) -> Child {
    let mut held = child::command("hold", root).env("CRASH_LOCK", lock).spawn().unwrap();
    let mut lines = BufReader::new(held.stderr.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "locked");
    held
}

fn kill(mut held: Child) {
    held.kill().unwrap();
    held.wait().unwrap();
}

#[tokio::test]
async fn a_second_writer_is_told_who_the_first_is_and_a_killed_one_leaves_no_lock() {
    let folder = tempfile::tempdir().unwrap();
    let archive = Archive::create(folder.path(), "Test").unwrap();
    let held = holder(folder.path(), "write");
    let error = take(&archive, &states()[0]).await.unwrap_err();
    assert_eq!((error.kind(), error.exit_code()), (Kind::Busy, 11));
    assert!(error.is_temporary() && error.message().contains(&format!("process {}", held.id())), "{error}");
    assert_eq!(archive.snapshot_numbers().unwrap(), Vec::<u64>::new());
    kill(held);
    assert_eq!(take(&archive, &states()[0]).await.unwrap().snapshot, 1);
}

#[tokio::test]
async fn a_push_under_way_keeps_no_snapshot_from_being_taken() {
    let folder = tempfile::tempdir().unwrap();
    Archive::create(folder.path(), "Test").unwrap();
    let archive = plain(folder.path());
    let held = holder(folder.path(), "push");
    assert_eq!(take(&archive, &states()[0]).await.unwrap().snapshot, 1);
    let error = archive.lock_push().unwrap_err();
    assert!(error.kind() == Kind::Busy && error.message().contains("pushing the archive"), "{error}");
    kill(held);
    drop(archive.lock_push().unwrap());
}

#[test]
fn the_program_waits_for_nobody_and_readers_go_on() {
    let site = Site::with_days(1);
    site.run(&["snapshot"]).done();
    let held = holder(&site.archive(), "write");
    let id = format!("process {}", held.id());
    site.run(&["snapshot"]).failed(11, &["another run is writing", &id]);
    site.run(&["sync"]).failed(11, &[&id]);
    assert_eq!(site.json(&["snapshots"])["snapshots"].as_array().unwrap().len(), 1);
    site.run(&["query", "SELECT count(*) FROM Tickets"]).done();
    site.run(&["push"]).done();
    kill(held);
    site.run(&["snapshot"]).done();
}

#[test]
fn the_program_killed_at_any_moment_goes_on_the_next_time() {
    let site = Site::with_days(2);
    site.run(&["snapshot"]).done();
    let archive = Archive::open(&site.archive()).unwrap();
    let mut killed = 0;
    for round in 0..6_u64 {
        site.till.trade().trade_day().unwrap();
        let mut run = site.start(&["snapshot"]);
        // Spread over what a run takes here, whatever that is.
        std::thread::sleep(std::time::Duration::from_millis(120 + round * 160));
        run.kill().unwrap();
        killed += u32::from(run.wait().unwrap().code().is_none());
        for number in archive.snapshot_numbers().unwrap() {
            let snapshot = archive.snapshot(number).unwrap();
            assert_eq!(archive.missing_chunks(&snapshot).unwrap(), Vec::<String>::new());
        }
        archive.verify_chain().unwrap();
    }
    assert!(killed > 0, "every run was too quick to be killed");
    site.run(&["snapshot"]).done();
    let newest = archive.latest().unwrap().unwrap();
    for (entry, chunk) in newest.tables.iter().flat_map(|entry| entry.chunks.iter().map(move |chunk| (entry, chunk))) {
        archive.read_chunk(entry, chunk).unwrap();
    }
    assert!(!crate::support::files(&site.archive()).iter().any(|name| name.contains('#')));
}
