//! Writing one file so that it is whole or absent, and turning what went wrong into one clear message per cause.

use std::io;

use bytes::Bytes;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload, path::Path};

use crate::error::{Error, Kind, OrFail, Result};

/// Writes a chunk, whose name is the hash of its bytes. Returns whether the file is new.
///
/// A file that is there already is compared byte by byte: whoever named it may have been interrupted, or the disk may have
/// altered it since. One that differs, or cannot be read, is replaced, and counts as new.
pub(super) async fn put_chunk(store: &dyn ObjectStore, path: &str, bytes: Bytes) -> Result<bool> {
    let location = location(path)?;
    match create(store, &location, bytes.clone()).await {
        Ok(()) => Ok(true),
        Err(object_store::Error::AlreadyExists { .. }) => {
            if holds(store, &location, &bytes).await {
                return Ok(false);
            }
            replace(store, &location, bytes).await.map_err(|error| failed(path, error))?;
            Ok(true)
        }
        Err(error) => Err(failed(path, error)),
    }
}

/// Whether the file can be read and has just these bytes. Why it cannot be read does not matter: the answer is to write it.
async fn holds(store: &dyn ObjectStore, location: &Path, bytes: &Bytes) -> bool {
    let Ok(found) = store.get(location).await else { return false };
    found.meta.size == bytes.len() as u64 && found.bytes().await.is_ok_and(|found| found == *bytes)
}

/// Writes a file that must not be there yet. Returns whether it was absent; leaves it alone if not.
pub(super) async fn put_once(store: &dyn ObjectStore, path: &str, bytes: Bytes) -> Result<bool> {
    let location = location(path)?;
    match create(store, &location, bytes).await {
        Ok(()) => Ok(true),
        Err(object_store::Error::AlreadyExists { .. }) => Ok(false),
        Err(error) => Err(failed(path, error)),
    }
}

/// Writes or replaces a derived file: readers see the old one or the new one.
pub(super) async fn put_derived(store: &dyn ObjectStore, path: &str, bytes: Bytes) -> Result<()> {
    replace(store, &location(path)?, bytes).await.map_err(|error| failed(path, error))
}

/// Removes a file. One that is gone already is no error.
pub(super) async fn remove(store: &dyn ObjectStore, path: &str) -> Result<()> {
    match store.delete(&location(path)?).await {
        Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
        Err(error) => Err(match io_kind(&error) {
            Some(kind) => write_error_of(path, "removed", kind).caused_by(error),
            None => Error::new(Kind::Store, format!("{path} cannot be removed")).caused_by(error),
        }),
    }
}

async fn create(store: &dyn ObjectStore, location: &Path, bytes: Bytes) -> object_store::Result<()> {
    let result = store.put_opts(location, PutPayload::from(bytes.clone()), PutOptions::from(PutMode::Create)).await;
    match result {
        // Disks without hard links (exFAT, some shares) cannot create atomically in one step. The archive's lock keeps other
        // writers out, so looking first does as well.
        Err(error) if lacks_hard_links(&error) => match store.head(location).await {
            Ok(_) => Err(object_store::Error::AlreadyExists { path: location.to_string(), source: Box::new(error) }),
            Err(object_store::Error::NotFound { .. }) => replace(store, location, bytes).await,
            Err(other) => Err(other),
        },
        other => other.map(drop),
    }
}

async fn replace(store: &dyn ObjectStore, location: &Path, bytes: Bytes) -> object_store::Result<()> {
    store.put_opts(location, PutPayload::from(bytes), PutOptions::from(PutMode::Overwrite)).await.map(drop)
}

fn location(path: &str) -> Result<Path> {
    Path::parse(path).or_fail(Kind::Bug, || format!("{path} is not a path inside an archive"))
}

/// The message for a store that failed to write or look at `path`.
pub(super) fn failed(path: &str, error: object_store::Error) -> Error {
    match io_kind(&error) {
        Some(kind) => write_error_of(path, "written", kind).caused_by(error),
        None => Error::new(Kind::Store, format!("{path} cannot be written")).caused_by(error),
    }
}

/// The message for a file that could not be written.
pub(super) fn write_error(path: &str, error: io::Error) -> Error {
    write_error_of(path, "written", error.kind()).caused_by(error)
}

fn write_error_of(path: &str, done: &str, kind: io::ErrorKind) -> Error {
    use io::ErrorKind as K;
    let (what, hint) = match kind {
        K::StorageFull | K::QuotaExceeded => {
            ("the disk is full", "free some space and run again: the archive is whole, only this run is not in it")
        }
        K::PermissionDenied => ("permission denied", "let the user who runs tillvault write to the archive folder"),
        K::ReadOnlyFilesystem => ("the disk is read-only", "mount it for writing, or move the archive"),
        K::NotADirectory => ("a file stands where a folder should be", "move that file away"),
        K::FileTooLarge => ("the file is too large for this disk", "keep the archive on another file system"),
        _ => ("the disk refused", "see the cause"),
    };
    Error::new(Kind::Store, format!("{path} cannot be {done}: {what}")).hint(hint)
}

/// The operating system's verdict somewhere down the chain of causes.
fn io_kind(error: &object_store::Error) -> Option<io::ErrorKind> {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(io) = error.downcast_ref::<io::Error>() {
            return Some(io.kind());
        }
        cause = error.source();
    }
    None
}

/// Whether making a hard link failed because the file system has none: EPERM on Linux, `Unsupported` elsewhere. The caller
/// tries a rename then, which fails for itself where permission is really missing.
fn lacks_hard_links(error: &object_store::Error) -> bool {
    matches!(io_kind(error), Some(io::ErrorKind::PermissionDenied | io::ErrorKind::Unsupported))
}

#[cfg(test)]
mod tests {
    use object_store::memory::InMemory;

    use super::*;

    #[tokio::test]
    async fn what_is_not_what_its_name_says_is_replaced_and_what_is_stays() {
        let store = InMemory::new();
        let whole = || Bytes::from_static(b"all of it");
        assert!(put_chunk(&store, "tables/T/x", Bytes::from_static(b"all")).await.unwrap());
        assert!(put_chunk(&store, "tables/T/x", whole()).await.unwrap());
        assert!(!put_chunk(&store, "tables/T/x", whole()).await.unwrap());
        // The same length, one bit off.
        store.put(&Path::from("tables/T/x"), PutPayload::from_static(b"all of iu")).await.unwrap();
        assert!(put_chunk(&store, "tables/T/x", whole()).await.unwrap());
        assert!(!put_once(&store, "tables/T/x", Bytes::from_static(b"other")).await.unwrap());
        let found = store.get(&Path::from("tables/T/x")).await.unwrap().bytes().await.unwrap();
        assert_eq!(found, whole());
    }

    #[test]
    fn each_cause_has_its_message() {
        for (kind, word) in [
            (io::ErrorKind::StorageFull, "disk is full"),
            (io::ErrorKind::PermissionDenied, "permission denied"),
            (io::ErrorKind::ReadOnlyFilesystem, "read-only"),
        ] {
            let cause = object_store::Error::Generic { store: "x", source: Box::new(io::Error::from(kind)) };
            let error = failed("snapshots/000001.json.zst", cause);
            assert_eq!(error.kind(), Kind::Store);
            assert!(error.message().contains(word), "{error}");
            assert!(error.message().contains("snapshots/000001.json.zst"), "{error}");
        }
    }
}
