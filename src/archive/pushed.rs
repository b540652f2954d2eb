//! `.pushed-<remote>.json`: which snapshots a remote is known to hold, so that a listing need not ask it.
//!
//! A push leaves the file behind in the archive's folder. It is a hint and nothing rests on it: a push asks the remote itself,
//! losing the file costs nothing but the knowledge until the next push. It is never mirrored.

use std::{collections::BTreeMap, fs};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    folder::{Archive, entries},
    layout, put,
};
use crate::error::{Kind, OrFail, Result};

/// What was known of a remote when it was last pushed to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pushed {
    /// Name of the remote in the settings.
    pub remote: String,
    /// When it was seen.
    pub at: Timestamp,
    /// Snapshots that were there, ascending.
    pub snapshots: Vec<u64>,
    /// BLAKE3 of the newest of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newest: Option<String>,
    /// Files whose upload was begun and is not known to have ended: what lies there under their names may be what is left of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attempted: Vec<String>,
    /// BLAKE3 of the derived files that were there, by path.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub derived: BTreeMap<String, String>,
}

impl Pushed {
    /// Whether the remote held this snapshot.
    #[must_use]
    pub fn holds(&self, snapshot: u64) -> bool {
        self.snapshots.binary_search(&snapshot).is_ok()
    }
}

impl Archive {
    /// Notes which snapshots a remote is certain to hold, in place of what was noted before. Call it under
    /// [`Archive::lock_push`].
    ///
    /// # Errors
    /// `Store` when it cannot be written.
    pub async fn note_pushed(&self, remote: &str, snapshots: &[u64]) -> Result<()> {
        self.note_pushed_but(remote, snapshots, Vec::new()).await
    }

    /// The same when the upload of the files in `attempted` is not known to have ended.
    ///
    /// # Errors
    /// As [`Archive::note_pushed`].
    pub async fn note_pushed_but(&self, remote: &str, snapshots: &[u64], attempted: Vec<String>) -> Result<()> {
        let mut snapshots = snapshots.to_vec();
        snapshots.sort_unstable();
        snapshots.dedup();
        let newest = snapshots.last().and_then(|newest| self.snapshot_hash(*newest).ok());
        let derived = self.mirrored(remote);
        let note = Pushed { remote: remote.to_owned(), at: Timestamp::now(), snapshots, newest, attempted, derived };
        self.write_note(&note).await
    }

    /// BLAKE3 of the derived files that a remote was last known to have, by path.
    #[must_use]
    pub fn mirrored(&self, remote: &str) -> BTreeMap<String, String> {
        self.pushed().into_iter().find(|note| note.remote == remote).map(|note| note.derived).unwrap_or_default()
    }

    /// Notes which derived files a remote has. Call it under [`Archive::lock_push`].
    ///
    /// # Errors
    /// `Store` when it cannot be written.
    pub async fn note_mirrored(&self, remote: &str, derived: &BTreeMap<String, String>) -> Result<()> {
        let known = self.pushed().into_iter().find(|note| note.remote == remote);
        let new = || Pushed {
            remote: remote.to_owned(),
            at: Timestamp::now(),
            snapshots: Vec::new(),
            newest: None,
            attempted: Vec::new(),
            derived: BTreeMap::new(),
        };
        self.write_note(&Pushed { derived: derived.clone(), ..known.unwrap_or_else(new) }).await
    }

    async fn write_note(&self, note: &Pushed) -> Result<()> {
        let text = serde_json::to_vec(note).or_fail(Kind::Bug, || "a note of what was pushed is not JSON")?;
        put::put_derived(self.store.as_ref(), &layout::pushed_file(&note.remote), text.into()).await
    }

    /// What is known of every remote that was ever pushed to, by name. Notes that cannot be read count as absent.
    #[must_use]
    pub fn pushed(&self) -> Vec<Pushed> {
        let mut notes: Vec<Pushed> = entries(self.root())
            .unwrap_or_default()
            .into_iter()
            .filter_map(|entry| {
                let file = entry.file_name().into_string().ok().filter(|name| layout::is_pushed_file(name))?;
                let mut note: Pushed = serde_json::from_slice(&fs::read(entry.path()).ok()?).ok()?;
                note.snapshots.sort_unstable();
                (layout::pushed_file(&note.remote) == file).then_some(note)
            })
            .collect();
        notes.sort_unstable_by(|a, b| a.remote.cmp(&b.remote));
        notes
    }
}
