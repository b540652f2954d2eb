//! Putting write-once objects: what an existing name means, and how a broken upload is told from somebody else's object.
//!
//! An upload that was cut off may leave a shorter object behind (WEBDAV §2.1). It is our own leftover only if it is a true prefix
//! of what we upload; then, and only then, it is deleted and sent again. Anything else under the name is left alone and reported.

use bytes::Bytes;
use object_store::{
    Error, GetOptions, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload, Result, path::Path,
};

/// How often an object may arrive altered before its upload is given up.
pub(super) const CORRUPTIONS: u32 = 2;

/// How an object came to be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// It was sent.
    Uploaded,
    /// It was there already: an object of that name and length, and for proven uploads of that content.
    Present,
}

/// Stores a write-once object. An object of the same name and length counts as stored; a leftover of a broken upload is replaced.
///
/// # Errors
/// `AlreadyExists` when the name is taken by something else; otherwise what the store says.
pub async fn put_new(store: &dyn ObjectStore, path: &Path, bytes: Bytes) -> Result<Stored> {
    let payload = PutPayload::from(bytes);
    let create = || PutOptions::from(PutMode::Create);
    let taken = match store.put_opts(path, payload.clone(), create()).await {
        Ok(_) => return Ok(Stored::Uploaded),
        Err(error @ Error::AlreadyExists { .. }) => error,
        Err(error) => return Err(error),
    };
    let meta = match store.head(path).await {
        Ok(meta) => meta,
        // Gone in the meantime.
        Err(Error::NotFound { .. }) => return Err(taken),
        Err(error) => return Err(error),
    };
    if meta.size == payload.content_length() as u64 {
        return Ok(Stored::Present);
    }
    if !is_leftover(store, path, &payload, meta.size).await? {
        return Err(taken);
    }
    store.delete(path).await?;
    store.put_opts(path, payload, create()).await?;
    Ok(Stored::Uploaded)
}

/// Whether the stored object of `size` bytes is the beginning of `payload` and shorter, hence the rest of a broken upload of it.
///
/// # Errors
/// What the store says when the object cannot be read.
pub async fn is_leftover(store: &dyn ObjectStore, path: &Path, payload: &PutPayload, size: u64) -> Result<bool> {
    if size >= payload.content_length() as u64 {
        return Ok(false);
    }
    if size == 0 {
        return Ok(true);
    }
    let stored = store.get_opts(path, GetOptions::new()).await?.bytes().await?;
    let mut rest: &[u8] = &stored;
    for part in payload {
        let common = part.len().min(rest.len());
        if part[..common] != rest[..common] {
            return Ok(false);
        }
        rest = &rest[common..];
    }
    Ok(rest.is_empty())
}

#[cfg(test)]
mod tests {
    use object_store::memory::InMemory;

    use super::*;

    async fn with(content: &'static str) -> (InMemory, Path) {
        let (store, path) = (InMemory::new(), Path::from("chunk"));
        store.put(&path, content.into()).await.unwrap();
        (store, path)
    }

    #[tokio::test]
    async fn an_equal_length_counts_as_stored() {
        let (store, path) = with("abcdef").await;
        assert_eq!(put_new(&store, &path, "abcdef".into()).await.unwrap(), Stored::Present);
    }

    #[tokio::test]
    async fn a_leftover_is_replaced() {
        for leftover in ["", "a", "abcde"] {
            let (store, path) = with(leftover).await;
            assert_eq!(put_new(&store, &path, "abcdef".into()).await.unwrap(), Stored::Uploaded);
            assert_eq!(store.get(&path).await.unwrap().bytes().await.unwrap(), "abcdef");
        }
    }

    #[tokio::test]
    async fn somebody_elses_object_is_left_alone() {
        for foreign in ["abX", "abcdefg", "xyz"] {
            let (store, path) = with(foreign).await;
            let error = put_new(&store, &path, "abcdef".into()).await.unwrap_err();
            assert!(matches!(error, Error::AlreadyExists { .. }), "{error}");
            assert_eq!(store.get(&path).await.unwrap().bytes().await.unwrap(), foreign);
        }
    }

    #[tokio::test]
    async fn prefixes_are_compared_across_parts() {
        let (store, path) = with("abcd").await;
        let payload: PutPayload = [Bytes::from("ab"), Bytes::from("cdef")].into_iter().collect();
        assert!(is_leftover(&store, &path, &payload, 4).await.unwrap());
        let payload: PutPayload = [Bytes::from("abX"), Bytes::from("cdef")].into_iter().collect();
        assert!(!is_leftover(&store, &path, &payload, 4).await.unwrap());
    }
}
