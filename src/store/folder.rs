//! A folder of this machine as a remote: another disk, a mounted share.
//!
//! The crate's `LocalFileSystem`, with what a copy of the only copy needs besides: the folder must be there at each step (a disk
//! that is not mounted is no empty remote, and nothing is written in its place), symbolic links below it are never
//! followed, what was written is on the disk before it counts as stored, and disks without hard links do.

use std::{
    fmt, fs, io,
    path::{Path as FsPath, PathBuf},
};

use async_trait::async_trait;
use futures::{StreamExt, TryStreamExt, future, stream::BoxStream};
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt,
    PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result, local::LocalFileSystem,
    path::Path,
};

use super::proof::Quota;
use crate::error::{self, Kind, OrFail as _};

const STORE: &str = "folder";

/// Opens the folder of remote `name`.
///
/// # Errors
/// `Store` when it is not there or is no folder.
pub(super) fn open(name: &str, path: &FsPath) -> error::Result<Folder> {
    Folder::new(path).map_err(|cause| {
        error::Error::new(Kind::Store, format!("the folder {} of remote {name} cannot be used", path.display()))
            .hint("connect or mount the disk; a new folder is made by you, so that a missing disk is never taken for an empty one")
            .caused_by(cause)
    })
}

/// The room on its disk.
///
/// # Errors
/// `Store` when it cannot be looked at.
pub(super) fn quota(name: &str, path: &FsPath) -> error::Result<Quota> {
    let found = rustix::fs::statvfs(path)
        .or_fail(Kind::Store, || format!("the room on the disk of remote {name} cannot be found out"))?;
    let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
    Ok(Quota { used: Some(bytes(found.f_blocks.saturating_sub(found.f_bfree))), free: bytes(found.f_bavail) })
}

/// The store.
#[derive(Clone, Debug)]
pub(super) struct Folder {
    root: PathBuf,
    inner: LocalFileSystem,
}

impl fmt::Display for Folder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Folder({})", self.root.display())
    }
}

impl Folder {
    /// A store in an existing folder.
    pub(super) fn new(path: &FsPath) -> io::Result<Self> {
        let root = fs::canonicalize(path)?;
        if !root.is_dir() {
            return Err(io::Error::from(io::ErrorKind::NotADirectory));
        }
        let inner = LocalFileSystem::new_with_prefix(&root).map_err(io::Error::other)?.with_fsync(true);
        Ok(Self { root, inner })
    }

    /// Refuses a name that a symbolic link below the folder would lead elsewhere, and any when the folder is gone.
    fn guard(&self, location: &Path) -> Result<()> {
        let gone = |source: io::Error| Error::Generic { store: STORE, source: Box::new(source) };
        fs::metadata(&self.root).map_err(|cause| {
            gone(io::Error::new(
                cause.kind(),
                format!("the folder {} is not there any more: {cause}", self.root.display()),
            ))
        })?;
        let mut path = self.root.clone();
        for part in location.parts() {
            path.push(part.as_ref());
            match fs::symlink_metadata(&path) {
                Ok(found) if found.is_symlink() => {
                    let why = format!("{} is a symbolic link; none is followed in a remote", path.display());
                    return Err(Error::PermissionDenied { path: location.to_string(), source: why.into() });
                }
                Ok(_) => {}
                // Nothing there, nothing to follow.
                Err(cause) if matches!(cause.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => break,
                Err(cause) => return Err(gone(cause)),
            }
        }
        Ok(())
    }

    /// Listings leave out what lies behind a link.
    fn is_inside(&self, location: &Path) -> Result<bool> {
        match self.guard(location) {
            Ok(()) => Ok(true),
            Err(Error::PermissionDenied { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn listed(&self, found: BoxStream<'static, Result<ObjectMeta>>) -> BoxStream<'static, Result<ObjectMeta>> {
        let store = self.clone();
        found
            .try_filter_map(move |meta| {
                future::ready(store.is_inside(&meta.location).map(|inside| inside.then_some(meta)))
            })
            .boxed()
    }

    /// The one step of `PutMode::Create` needs hard links. Without them looking first has to do: only one push runs at a time.
    async fn create_without_links(&self, location: &Path, payload: PutPayload, cause: Error) -> Result<PutResult> {
        match self.inner.head(location).await {
            Ok(_) => Err(Error::AlreadyExists { path: location.to_string(), source: Box::new(cause) }),
            Err(Error::NotFound { .. }) => {
                self.inner.put_opts(location, payload, PutOptions::from(PutMode::Overwrite)).await
            }
            Err(error) => Err(error),
        }
    }
}

/// Whether a file could not be made because its disk knows no hard links (exFAT, some shares).
fn lacks_hard_links(error: &Error) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(inner) = cause {
        if let Some(io) = inner.downcast_ref::<io::Error>() {
            return matches!(io.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::Unsupported);
        }
        cause = inner.source();
    }
    false
}

#[async_trait]
impl ObjectStore for Folder {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        self.guard(location)?;
        let create = opts.mode == PutMode::Create && opts.attributes.is_empty();
        match self.inner.put_opts(location, payload.clone(), opts).await {
            Err(error) if create && lacks_hard_links(&error) => {
                self.create_without_links(location, payload, error).await
            }
            result => result,
        }
    }

    async fn put_multipart_opts(&self, location: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.guard(location)?;
        self.inner.put_multipart_opts(location, opts).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.guard(location)?;
        self.inner.get_opts(location, options).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let store = self.clone();
        let guarded = locations.and_then(move |location| future::ready(store.guard(&location).map(|()| location)));
        self.inner.delete_stream(guarded.boxed())
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        if let Err(error) = self.guard(&Path::default()) {
            return futures::stream::iter([Err(error)]).boxed();
        }
        self.listed(self.inner.list(prefix))
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        if let Err(error) = self.guard(&Path::default()) {
            return futures::stream::iter([Err(error)]).boxed();
        }
        self.listed(self.inner.list_with_offset(prefix, offset))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.guard(prefix.unwrap_or(&Path::default()))?;
        let mut found = self.inner.list_with_delimiter(prefix).await?;
        let mut objects = Vec::with_capacity(found.objects.len());
        for meta in found.objects {
            if self.is_inside(&meta.location)? {
                objects.push(meta);
            }
        }
        let mut folders = Vec::with_capacity(found.common_prefixes.len());
        for folder in found.common_prefixes {
            if self.is_inside(&folder)? {
                folders.push(folder);
            }
        }
        (found.objects, found.common_prefixes) = (objects, folders);
        Ok(found)
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.guard(from)?;
        self.guard(to)?;
        self.inner.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.guard(from)?;
        self.guard(to)?;
        self.inner.rename_opts(from, to, options).await
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn create() -> PutOptions {
        PutOptions::from(PutMode::Create)
    }

    #[tokio::test]
    async fn a_link_is_neither_followed_nor_listed() {
        let (here, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::write(elsewhere.path().join("secret"), "x").unwrap();
        symlink(elsewhere.path(), here.path().join("out")).unwrap();
        symlink(elsewhere.path().join("secret"), here.path().join("file")).unwrap();
        let store = Folder::new(here.path()).unwrap();
        store.put_opts(&Path::from("in/a"), "1".into(), create()).await.unwrap();
        for name in ["out/secret", "file", "out/new"] {
            let path = Path::from(name);
            assert!(matches!(store.get(&path).await.unwrap_err(), Error::PermissionDenied { .. }), "{name}");
            let put = store.put_opts(&path, "y".into(), PutOptions::default()).await;
            assert!(matches!(put.unwrap_err(), Error::PermissionDenied { .. }), "{name}");
            assert!(store.delete(&path).await.is_err(), "{name}");
            assert!(store.copy(&Path::from("in/a"), &path).await.is_err(), "{name}");
        }
        assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 1);
        assert_eq!(fs::read(elsewhere.path().join("secret")).unwrap(), b"x");
        let names: Vec<String> = store.list(None).map_ok(|meta| meta.location.to_string()).try_collect().await.unwrap();
        assert_eq!(names, ["in/a"]);
        let listed = store.list_with_delimiter(None).await.unwrap();
        assert_eq!((listed.objects.len(), listed.common_prefixes), (0, vec![Path::from("in")]));
    }

    #[tokio::test]
    async fn a_folder_that_went_away_is_not_made_anew() {
        let home = tempfile::tempdir().unwrap();
        let root = home.path().join("disk");
        assert!(Folder::new(&root).is_err());
        fs::create_dir(&root).unwrap();
        let store = Folder::new(&root).unwrap();
        store.put_opts(&Path::from("a"), "1".into(), create()).await.unwrap();
        fs::remove_dir_all(&root).unwrap();
        assert!(matches!(store.put(&Path::from("b/c"), "2".into()).await.unwrap_err(), Error::Generic { .. }));
        assert!(store.list(None).try_collect::<Vec<_>>().await.is_err());
        assert!(store.list_with_delimiter(None).await.is_err());
        assert!(
            matches!(store.get(&Path::from("a")).await.unwrap_err(), Error::Generic { .. }),
            "not taken for absence"
        );
        assert!(!root.exists());
    }

    #[tokio::test]
    async fn a_disk_without_links_still_overwrites_nothing() {
        let home = tempfile::tempdir().unwrap();
        let store = Folder::new(home.path()).unwrap();
        let cause = || Error::Generic { store: STORE, source: Box::new(io::Error::from(io::ErrorKind::Unsupported)) };
        assert!(lacks_hard_links(&cause()));
        let path = Path::from("a");
        store.create_without_links(&path, "first".into(), cause()).await.unwrap();
        let error = store.create_without_links(&path, "second".into(), cause()).await.unwrap_err();
        assert!(matches!(error, Error::AlreadyExists { .. }), "{error}");
        assert_eq!(store.get(&path).await.unwrap().bytes().await.unwrap(), "first");
    }
}
