//! Checksums that miss a change: the next full snapshot takes it, and says so.

use std::sync::{Arc, Mutex};

use tillvault::{
    observe::{Event, Observer, SharedObserver},
    ops::snapshot::{Collision, snapshot},
};

use crate::{
    archive, entries, notes, options,
    scripted_till::{Checksums, ScriptedTill, State},
};

/// Keeps warnings.
#[derive(Default)]
struct Warnings(Mutex<Vec<String>>);

impl Observer for Warnings {
    fn event(&self, event: Event) {
        if let Event::Warning { message } = event {
            self.0.lock().unwrap().push(message);
        }
    }
}

#[tokio::test]
async fn a_change_that_the_checksums_miss_is_found_by_the_next_full_run_and_named() {
    for isolation in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let archive = archive(folder.path());
        let warnings = Arc::new(Warnings::default());
        let observer: SharedObserver = Arc::clone(&warnings) as SharedObserver;
        let mut till = ScriptedTill {
            checksums: Checksums::Blind,
            isolation,
            ..ScriptedTill::new(State::of([notes("Orders", 1..=5_000), notes("Other", 1..=9)]))
        };
        for quick in [true, true] {
            snapshot(&archive, &mut till, &options(quick), &observer).await.unwrap();
        }
        till.state.table("Orders").rows[99][1] = "unseen".into();
        let missed = snapshot(&archive, &mut till, &options(true), &observer).await.unwrap();
        assert!(missed.unchanged && missed.rows_read == 0);
        assert!(warnings.0.lock().unwrap().is_empty());

        let before = entries(&archive);
        let found = snapshot(&archive, &mut till, &options(false), &observer).await.unwrap();
        assert_eq!(found.collisions, [Collision { table: "Orders".into(), keys: Some((1, 4_096)) }]);
        assert!(!found.unchanged && entries(&archive) != before);
        let said = std::mem::take(&mut *warnings.0.lock().unwrap());
        assert_eq!(said.len(), 1, "{said:?}");
        for word in ["Orders", "1 to 4096", "the quick checksum did not see a change"] {
            assert!(said[0].contains(word), "{said:?}");
        }
        // Once told, it is over.
        let after = snapshot(&archive, &mut till, &options(false), &observer).await.unwrap();
        assert!(after.unchanged && after.collisions.is_empty());
    }
}
