//! `.sums.json`: the checksums that the till gave for rows that are in chunks (DESIGN D8).
//!
//! A quick snapshot keeps a chunk when the till's checksums of its rows are those remembered here. They are filed under the
//! content hashes of the chunks, so they hold for whatever snapshot names the same content, and under all that the sums depend
//! on apart from the rows: server, database, the table's columns, the form of the statement.
//!
//! The file is a memory, not a truth: losing it, or not trusting it, costs one full read. It is local and never mirrored.
//! It is the caller's duty to file only sums that are known to belong to just these rows.

use std::{
    collections::{BTreeMap, HashSet},
    fs,
};

use serde::{Deserialize, Serialize};

use super::{folder::Archive, layout, put, snapshot::Chunk, units::Sum};
use crate::error::{Kind, OrFail, Result};

/// Version of the file; another one counts as none.
const VERSION: u32 = 1;

/// All remembered sums.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownSums {
    version: u32,
    tables: BTreeMap<String, KnownTable>,
}

/// Those of one table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct KnownTable {
    form: String,
    /// By [`run_of`]: rows and both sums.
    units: BTreeMap<String, (u64, String, String)>,
}

/// The name of some chunks that lie one behind the other.
fn run_of(chunks: &[Chunk]) -> String {
    let mut hasher = blake3::Hasher::new();
    for chunk in chunks {
        hasher.update(chunk.content.as_bytes());
        hasher.update(&chunk.rows.to_le_bytes());
    }
    hex::encode(&hasher.finalize().as_bytes()[..16])
}

impl KnownSums {
    /// Whether nothing is known: no quick snapshot was taken yet, or the file was lost.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tables.is_empty()
    }

    /// The sums that were computed in this form over the rows of these chunks of a table.
    #[must_use]
    pub fn of(&self, table: &str, form: &str, chunks: &[Chunk]) -> Option<Sum> {
        let known = self.tables.get(table).filter(|known| known.form == form)?;
        let (rows, sum1, sum2) = known.units.get(&run_of(chunks))?;
        Some(Sum { rows: *rows, sum1: sum1.parse().ok()?, sum2: sum2.parse().ok()? })
    }

    /// Files what is known of a table now. `units` are all parts of its newest state, each with its sums where they are
    /// known to belong to the rows in its chunks; what is no part of it any more is dropped.
    pub fn file<'a>(&mut self, table: &str, form: &str, units: impl IntoIterator<Item = (&'a [Chunk], Option<Sum>)>) {
        let mut before = self.tables.remove(table).filter(|known| known.form == form).map(|known| known.units);
        let mut now = BTreeMap::new();
        for (chunks, sum) in units {
            let run = run_of(chunks);
            let sum = sum.map(|sum| (sum.rows, sum.sum1.to_string(), sum.sum2.to_string()));
            if let Some(sum) = sum.or_else(|| before.as_mut().and_then(|before| before.remove(&run))) {
                now.insert(run, sum);
            }
        }
        self.tables.insert(table.to_owned(), KnownTable { form: form.to_owned(), units: now });
    }

    /// Drops all tables but these.
    pub fn retain(&mut self, tables: &HashSet<String>) {
        self.tables.retain(|table, _| tables.contains(table));
    }
}

impl Archive {
    /// What the till's checksums were. A file that is absent or makes no sense counts as nothing known.
    #[must_use]
    pub fn known_sums(&self) -> KnownSums {
        fs::read(self.root().join(layout::SUMS_FILE))
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .filter(|known: &KnownSums| known.version == VERSION)
            .unwrap_or_default()
    }

    /// Replaces them. Call it under [`Archive::lock`].
    ///
    /// # Errors
    /// `Store` when the file cannot be written.
    pub async fn write_known_sums(&self, known: &KnownSums) -> Result<()> {
        let known = KnownSums { version: VERSION, ..known.clone() };
        if known == self.known_sums() || (known.is_empty() && !self.root().join(layout::SUMS_FILE).exists()) {
            return Ok(());
        }
        let text = serde_json::to_string(&known).or_fail(Kind::Bug, || "the known checksums are not JSON")? + "\n";
        put::put_derived(self.store.as_ref(), layout::SUMS_FILE, text.into()).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::snapshot::Block;

    fn chunk(content: &str) -> Chunk {
        Chunk { file: "f".into(), bytes: 1, rows: 3, block: Block::Whole {}, content: content.into() }
    }

    const SUM: Sum = Sum { rows: 3, sum1: -5, sum2: i128::MAX };

    #[test]
    fn sums_are_known_for_the_same_content_and_form_only() {
        let mut known = KnownSums::default();
        let (a, b) = ([chunk("a")], [chunk("b")]);
        known.file("T", "md5", [(&a[..], Some(SUM)), (&b[..], None)]);
        assert_eq!((known.of("T", "md5", &a), known.of("T", "md5", &b)), (Some(SUM), None));
        assert_eq!((known.of("T", "sha", &a), known.of("U", "md5", &a)), (None, None));
        assert_eq!(known.of("T", "md5", &[chunk("a"), chunk("b")]), None);
        // Not asked again, and still there.
        known.file("T", "md5", [(&a[..], None)]);
        assert_eq!(known.of("T", "md5", &a), Some(SUM));
        // No part of the table any more.
        known.file("T", "md5", [(&b[..], Some(SUM))]);
        assert_eq!((known.of("T", "md5", &a), known.of("T", "md5", &b)), (None, Some(SUM)));
        known.file("T", "sha", [(&b[..], None)]);
        assert_eq!(known.of("T", "sha", &b), None);
    }

    #[tokio::test]
    async fn the_file_is_a_memory_that_may_be_lost() {
        let folder = tempfile::tempdir().unwrap();
        let archive = Archive::create(folder.path(), "Test").unwrap();
        let path = folder.path().join(layout::SUMS_FILE);
        archive.write_known_sums(&KnownSums::default()).await.unwrap();
        assert!(archive.known_sums().is_empty() && !path.exists());
        let mut known = KnownSums::default();
        known.file("T", "md5", [(&[chunk("a")][..], Some(SUM))]);
        archive.write_known_sums(&known).await.unwrap();
        assert_eq!(archive.known_sums().of("T", "md5", &[chunk("a")]), Some(SUM));
        for broken in ["", "{}", r#"{"version": 2, "tables": {}}"#] {
            fs::write(&path, broken).unwrap();
            assert!(archive.known_sums().is_empty(), "{broken}");
        }
    }
}
