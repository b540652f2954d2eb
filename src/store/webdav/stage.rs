//! The local record of an upload in parts: what a run that was killed needs to know to go on.
//!
//! It is on the disk before the server hears of the upload, and goes when the object is there. It names no secret, and losing it costs
//! the parts that were sent: the server removes those of a forgotten upload after a day (WEBDAV §4.2).

use std::{
    fs,
    ops::Range,
    path::{Path as FilePath, PathBuf},
};

use object_store::path::Path;
use serde::{Deserialize, Serialize};

use super::problem::{Code, Problem};
use crate::store::{profile::write_whole, proof::Sha256};

/// Parts that a server takes (WEBDAV §4.2).
const MOST_PARTS: u64 = 10_000;

/// One upload in parts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stage {
    /// Name of the staging folder.
    pub(super) id: String,
    /// The object.
    pub(super) path: String,
    /// Its length.
    pub(super) total: u64,
    /// Its hash: parts of another object are of no use.
    sha256: String,
    /// Length of every part but the last.
    pub(super) part: u64,
}

impl Stage {
    /// A new upload in parts of at most `part` bytes.
    pub(super) fn new(path: &Path, total: u64, hash: &Sha256, part: u64) -> Self {
        Self {
            id: format!("tillvault-{:032x}", rand::random::<u128>()),
            path: path.to_string(),
            total,
            sha256: hash.to_string(),
            part: part.max(total.div_ceil(MOST_PARTS)).max(1),
        }
    }

    /// Number of parts.
    pub(super) fn parts(&self) -> u64 {
        self.total.div_ceil(self.part)
    }

    /// The bytes of part `n`, from 1.
    pub(super) fn range(&self, n: u64) -> Range<u64> {
        (n - 1) * self.part..(n * self.part).min(self.total)
    }

    /// The name of part `n`: of equal width, since some storages put parts together in the order of their names.
    pub(super) fn name(n: u64) -> String {
        format!("{n:05}")
    }

    /// The number that a name stands for, if it is one of this upload's parts.
    pub(super) fn number(&self, name: &str) -> Option<u64> {
        let n: u64 = name.parse().ok()?;
        ((1..=self.parts()).contains(&n) && Self::name(n) == name).then_some(n)
    }

    /// The upload of this very object that an earlier run has begun.
    fn read(file: &FilePath, path: &Path, total: u64, hash: &Sha256) -> Option<Self> {
        let stage: Self = serde_json::from_slice(&fs::read(file).ok()?).ok()?;
        let same = stage.path == path.as_ref() && stage.total == total && stage.sha256 == hash.to_string();
        let sound = (1..=total).contains(&stage.part) && stage.parts() <= MOST_PARTS;
        let plain = stage.id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') && !stage.id.is_empty();
        (same && sound && plain).then_some(stage)
    }
}

/// The records of one remote: a folder and the beginning of their names. Without one nothing is kept.
#[derive(Clone, Debug, Default)]
pub(super) struct Records(pub(super) Option<(PathBuf, String)>);

impl Records {
    fn file(&self, path: &Path) -> Option<PathBuf> {
        let (folder, prefix) = self.0.as_ref()?;
        let name = blake3::hash(path.as_ref().as_bytes()).to_hex();
        Some(folder.join(format!("{prefix}.{}.upload.json", &name[..16])))
    }

    /// The upload to go on with.
    pub(super) fn open(&self, path: &Path, total: u64, hash: &Sha256) -> Option<Stage> {
        Stage::read(&self.file(path)?, path, total, hash)
    }

    /// Keeps an upload that is about to begin.
    pub(super) fn keep(&self, path: &Path, stage: &Stage) -> Result<(), Problem> {
        let Some(file) = self.file(path) else { return Ok(()) };
        let kept = serde_json::to_vec(stage).ok().is_some_and(|text| write_whole(&file, &text).is_ok());
        if kept {
            return Ok(());
        }
        Err(Problem::new(Code::Unexpected, format!("{path}: the upload's record {} cannot be written", file.display())))
    }

    /// The upload is done, or given up.
    pub(super) fn forget(&self, path: &Path) {
        if let Some(file) = self.file(path) {
            // A record that stays is found to be useless.
            let _ = fs::remove_file(file);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_cover_the_object_and_are_never_too_many() {
        let hash = Sha256::of(b"");
        let stage = Stage::new(&Path::from("a"), 25, &hash, 10);
        let ranges: Vec<_> = (1..=stage.parts()).map(|n| stage.range(n)).collect();
        assert_eq!(ranges, [0..10, 10..20, 20..25]);
        assert_eq!(Stage::new(&Path::from("a"), 20, &hash, 10).parts(), 2);
        assert!(Stage::new(&Path::from("a"), 1 << 40, &hash, 10).parts() <= MOST_PARTS);
        assert_eq!(
            ["00001", "00003", "1", "00004", ".file", "00000"].map(|name| stage.number(name)),
            [Some(1), Some(3), None, None, None, None]
        );
    }

    #[test]
    fn an_upload_is_gone_on_with_for_the_same_bytes_only() {
        let folder = tempfile::tempdir().unwrap();
        let records = Records(Some((folder.path().join("remotes"), "cloud".into())));
        let (path, hash) = (Path::from("t/a"), Sha256::of(b"a"));
        assert_eq!(records.open(&path, 25, &hash), None);
        let stage = Stage::new(&path, 25, &hash, 10);
        records.keep(&path, &stage).unwrap();
        assert_eq!(records.open(&path, 25, &hash), Some(stage));
        assert_eq!(records.open(&path, 26, &hash), None);
        assert_eq!(records.open(&path, 25, &Sha256::of(b"b")), None);
        assert_eq!(records.open(&Path::from("t/b"), 25, &hash), None);
        records.forget(&path);
        assert_eq!(records.open(&path, 25, &hash), None);
        let file = records.file(&path).unwrap();
        std::fs::write(file, "{\"id\":\"../../x\",\"path\":\"t/a\",\"total\":25,\"sha256\":\"\",\"part\":0}").unwrap();
        assert_eq!(records.open(&path, 25, &hash), None, "a record that makes no sense is not used");
    }
}
