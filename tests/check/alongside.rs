//! A check takes no lock: it runs while snapshots are taken, forgotten and pruned, and must not take that for damage.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use tillvault::{
    archive::Archive,
    observe,
    ops::{
        check::{Level, check},
        forget::{Choice, ForgetOptions, forget},
    },
};

use crate::support::{DEEP, lines, one_night, tiny};

/// Nights that are added, each of which drives out an older one.
const NIGHTS: u64 = 14;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_others_write_and_remove_meanwhile_is_no_damage() {
    let (_folder, root) = tiny().await;
    let over = Arc::new(AtomicBool::new(false));
    let writer = {
        let (root, over) = (root.clone(), Arc::clone(&over));
        tokio::spawn(async move {
            let archive = Archive::open(&root).unwrap();
            for night in 6..=NIGHTS {
                let lock = archive.lock().unwrap();
                let snapshot = one_night(&archive, night, |_| {}).await;
                archive.write_snapshot(&snapshot).await.unwrap();
                archive.write_index(false).await.unwrap();
                drop(lock);
                let options = ForgetOptions {
                    choice: Choice::Numbers(BTreeSet::from([night - 3])),
                    lifted: Default::default(),
                    dry_run: false,
                    prune: Some(SignedDuration::ZERO),
                    zone: TimeZone::UTC,
                    now: Timestamp::now(),
                };
                forget(&archive, &options, &observe::silent()).await.unwrap();
            }
            over.store(true, Ordering::SeqCst);
        })
    };
    let archive = Arc::new(Archive::open(&root).unwrap());
    let mut checks = 0;
    while !over.load(Ordering::SeqCst) && !writer.is_finished() {
        let outcome = check(&archive, &DEEP, &observe::silent()).await.unwrap();
        assert!(outcome.findings.iter().all(|found| found.level == Level::Note), "{:#?}", outcome.findings);
        checks += 1;
    }
    writer.await.unwrap();
    assert!(checks > 2, "only {checks} checks");
    assert_eq!(lines(&check(&archive, &DEEP, &observe::silent()).await.unwrap()), [""; 0]);
}
