//! Reading every snapshot before something is removed (docs/FORMAT.md §11).
//!
//! Promises: either every snapshot that was ever taken is read, or known from the journal to be forgotten, and the chain of
//! parents holds from the first to the newest, and so does the journal's; or there is an error, and nothing may be removed. It
//! changes nothing.

use super::{folder::Archive, journal::Journal, layout, snapshot::Snapshot};
use crate::error::{Error, Kind, Result};

const RUN_CHECK: &str = "run `tillvault check`: it names everything that is wrong, and what can be done";

impl Archive {
    /// Shows every snapshot with the hash of its file to `seen`, ascending, and returns the journal.
    ///
    /// # Errors
    /// `Damage` when a snapshot or a record is damaged or lost, as far as anything tells, or does not follow the one before;
    /// `Store` when a newer tillvault wrote one, or the disk fails.
    pub fn survey(&self, mut seen: impl FnMut(&Snapshot, &str)) -> Result<Journal> {
        // The index first: what a run that ends meanwhile adds to it must not seem lost.
        let index = self.index();
        let journal = self.journal()?;
        journal.check_witness(index.as_ref())?;
        let listed = self.snapshot_numbers()?;
        let witnessed = index.as_ref().and_then(|index| index.snapshots.last());
        let newest = [
            listed.last().copied(),
            witnessed.map(|entry| entry.snapshot),
            journal.forgotten().last_key_value().map(|(number, _)| *number),
        ];
        let mut before: Option<String> = None;
        for number in 1..=newest.into_iter().flatten().max().unwrap_or(0) {
            let (parent, hash) = if listed.binary_search(&number).is_ok() {
                let snapshot = self.snapshot(number)?;
                let hash = self.snapshot_hash(number)?;
                seen(&snapshot, &hash);
                (snapshot.parent, hash)
            } else if let Some(forgotten) = journal.forgotten().get(&number) {
                (forgotten.parent.clone(), forgotten.hash.clone())
            } else {
                let path = layout::snapshot_path(number);
                return Err(damage(format!("{path} is lost: it is not there, and was not forgotten")));
            };
            if parent != before {
                let what = format!("snapshot {number} does not follow the one before: a file was altered or exchanged");
                return Err(damage(what));
            }
            before = Some(hash);
        }
        // No later snapshot vouches for the newest yet; the index does.
        if let (Some(entry), Some(hash)) = (witnessed, before)
            && newest.into_iter().flatten().max() == Some(entry.snapshot)
            && entry.hash != hash
        {
            return Err(damage(format!("snapshot {} is not the one that the index knows", entry.snapshot)));
        }
        Ok(journal)
    }
}

fn damage(what: String) -> Error {
    Error::new(Kind::Damage, what).hint(RUN_CHECK)
}
