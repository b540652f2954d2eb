//! What it takes for an object to count as stored.
//!
//! A server's "created" is no proof, and neither is a name in a listing (WEBDAV §0 rule 1). Proof is that the length there and a
//! hash of what is there equal ours. The hash is, in this order: the one the server computed of what it received (`X-Hash`), which
//! counts only for an upload that went through at the first try; the one it computes from its storage now (`PATCH`); or ours of the bytes
//! read back. Where reading back would cost too much, [`ReadBack`] says so, and the object counts with its length alone:
//! `check --remote` reads it later.

use std::{fmt, str::FromStr};

use bytes::Bytes;
use object_store::{GetOptions, ObjectStore, path::Path};
use serde::{Deserialize, Serialize};
use sha2::Digest;

/// Above this, hashing leaves the async threads alone.
const HASH_ASIDE: usize = 256 * 1024;

/// A SHA-256 digest: the hash that servers compute.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Sha256([u8; 32]);

impl Sha256 {
    /// The digest of some bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(sha2::Sha256::digest(bytes).into())
    }

    /// The digest of some bytes, computed without holding up other tasks.
    pub async fn of_bytes(bytes: &Bytes) -> Self {
        if bytes.len() <= HASH_ASIDE {
            return Self::of(bytes);
        }
        let shared = bytes.clone();
        let aside = tokio::task::spawn_blocking(move || Self::of(&shared)).await;
        // It fails only when the runtime is shutting down.
        aside.unwrap_or_else(|_| Self::of(bytes))
    }
}

impl From<sha2::Sha256> for Sha256 {
    fn from(digest: sha2::Sha256) -> Self {
        Self(digest.finalize().into())
    }
}

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Sha256 {
    type Err = hex::FromHexError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut digest = [0; 32];
        hex::decode_to_slice(text.trim(), &mut digest)?;
        Ok(Self(digest))
    }
}

/// What an object should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expected {
    /// Its length in bytes.
    pub bytes: u64,
    /// Its hash.
    pub sha256: Sha256,
}

impl Expected {
    /// Length and hash of some bytes.
    pub async fn of(bytes: &Bytes) -> Self {
        Self { bytes: bytes.len() as u64, sha256: Sha256::of_bytes(bytes).await }
    }
}

/// Why an object counts as stored, the strongest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Proof {
    /// The store computed the hash from its storage, and it is ours.
    Rehashed,
    /// The bytes were read back and have our hash.
    ReadBack,
    /// The store computed the hash of what it received, and it is ours.
    Received,
    /// Only the length was compared: the store computes no hashes, and the object is larger than [`ReadBack`] allows.
    Length,
}

/// Which objects are read back from a store that computes no hashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadBack {
    /// Objects up to this many bytes. Files of snapshots, of the journal and the archive's header are read back always.
    pub up_to: u64,
}

impl ReadBack {
    /// Everything is read back.
    pub const ALL: Self = Self { up_to: u64::MAX };

    /// Whether an object is read back.
    #[must_use]
    pub fn wants(self, path: &Path, bytes: u64) -> bool {
        bytes <= self.up_to || !path.as_ref().ends_with(".parquet")
    }
}

impl Default for ReadBack {
    /// All that the archive writes: chunks are smaller than this.
    fn default() -> Self {
        Self { up_to: 64 * 1024 * 1024 }
    }
}

/// What becomes of a removed object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trash {
    /// It goes to the server's trash bin, where there is one.
    Keep,
    /// It is gone at once, where the server allows that.
    Skip,
}

/// Room on a remote, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quota {
    /// Bytes that the account uses, if the server tells.
    pub used: Option<u64>,
    /// Bytes that are left.
    pub free: u64,
}

/// Length and hash of what is stored, by reading it.
///
/// # Errors
/// What the store says when the object is not there or cannot be read.
pub(crate) async fn read_back(store: &dyn ObjectStore, path: &Path) -> object_store::Result<Expected> {
    use futures::TryStreamExt;
    let found = store.get_opts(path, GetOptions::new()).await?;
    let (mut digest, mut bytes) = (sha2::Sha256::new(), 0);
    let mut body = found.into_stream();
    while let Some(piece) = body.try_next().await? {
        digest.update(&piece);
        bytes += piece.len() as u64;
    }
    Ok(Expected { bytes, sha256: digest.into() })
}

#[cfg(test)]
mod tests {
    use object_store::{ObjectStoreExt, memory::InMemory};

    use super::*;

    #[tokio::test]
    async fn digests_are_the_standard_ones() {
        // FIPS 180-4, "abc".
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(Sha256::of(b"abc").to_string(), abc);
        assert_eq!(abc.to_uppercase().parse::<Sha256>().unwrap(), Sha256::of(b"abc"));
        assert!("ba78".parse::<Sha256>().is_err() && "".parse::<Sha256>().is_err());
        let long = Bytes::from(vec![7; HASH_ASIDE + 1]);
        assert_eq!(Sha256::of_bytes(&long).await, Sha256::of(&long));
        let memory = InMemory::new();
        memory.put(&Path::from("a"), long.clone().into()).await.unwrap();
        assert_eq!(read_back(&memory, &Path::from("a")).await.unwrap(), Expected::of(&long).await);
    }

    #[test]
    fn what_says_what_exists_is_read_back_whatever_its_length() {
        let none = ReadBack { up_to: 0 };
        assert!(!none.wants(&Path::from("tables/T/a.parquet"), 1));
        for path in ["snapshots/000001.json.zst", "journal/000001.json.zst", "tillvault-archive.json"] {
            assert!(none.wants(&Path::from(path), 1 << 40), "{path}");
        }
        assert!(ReadBack::ALL.wants(&Path::from("tables/T/a.parquet"), u64::MAX));
    }
}
