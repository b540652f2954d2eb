//! What lies on a remote, as push, pull, check and prune look at it: listings, single files, and whose archive it is.
//!
//! Promises: a listing is whole or an error, never a part; a file is handed out with the bytes that were read, and whoever asked
//! verifies them. It changes nothing.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use object_store::{ObjectStoreExt as _, path::Path};

use crate::{
    archive::{Archive, layout},
    config::RemoteConfig,
    error::{Error, Kind, OrFail as _, Result},
    store::{self, Remote},
};

/// Opens a remote of an archive. Nothing is sent yet.
///
/// # Errors
/// `Config` when its settings cannot be used.
pub fn open(archive_root: &std::path::Path, config: &RemoteConfig) -> Result<Remote> {
    store::open_remote(config, &archive_root.join(layout::REMOTES))
}

/// The objects of one folder: path and length. A folder that is not there is empty.
///
/// # Errors
/// `Store` or `Credentials` when it cannot be listed as a whole.
pub(super) async fn list(remote: &Remote, folder: &str) -> Result<HashMap<String, u64>> {
    let listed = remote.store.list_with_delimiter(Some(&Path::from(folder))).await;
    let listed = listed.map_err(|error| cannot_list(remote, folder, error))?;
    Ok(listed.objects.into_iter().map(|meta| (meta.location.to_string(), meta.size)).collect())
}

/// Snapshots or records that a folder holds: number and length. Whatever has another name is left out.
pub(super) async fn list_numbered(remote: &Remote, folder: &str) -> Result<BTreeMap<u64, u64>> {
    let found = list(remote, folder).await?;
    Ok(found.into_iter().filter_map(|(path, bytes)| Some((number_of(&path)?, bytes))).collect())
}

/// The tables' folders, sorted.
///
/// # Errors
/// As [`list`].
pub(super) async fn table_folders(remote: &Remote) -> Result<Vec<String>> {
    let listed = remote.store.list_with_delimiter(Some(&Path::from(layout::TABLES))).await;
    let listed = listed.map_err(|error| cannot_list(remote, layout::TABLES, error))?;
    let names = listed.common_prefixes.iter().filter_map(|path| path.filename().map(str::to_owned));
    let mut names: Vec<String> = names.filter(|name| layout::is_folder(name)).collect();
    names.sort_unstable();
    Ok(names)
}

fn cannot_list(remote: &Remote, folder: &str, error: object_store::Error) -> Error {
    store::failure(format!("cannot list {folder} of remote {}", remote.name), error)
}

/// The number of a snapshot's or record's path.
pub(super) fn number_of(path: &str) -> Option<u64> {
    layout::snapshot_number(path.rsplit('/').next()?)
}

/// A file's bytes; `None` when it is not there.
///
/// # Errors
/// `Store` or `Credentials` when it cannot be read.
pub(super) async fn read(remote: &Remote, path: &str) -> Result<Option<Bytes>> {
    let cannot = |error| store::failure(format!("cannot read {path} from remote {}", remote.name), error);
    match remote.store.get(&Path::from(path)).await {
        Ok(found) => found.bytes().await.map(Some).map_err(cannot),
        Err(object_store::Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(cannot(error)),
    }
}

/// A local file's bytes.
///
/// # Errors
/// `Damage` when it is not there or the disk does not hand it out.
pub(super) async fn local_file(archive: &Archive, path: &str) -> Result<Bytes> {
    const MEND: &str = "`tillvault check --repair` fetches it from a remote that has it; else copy it back from another copy of the archive";
    let file = archive.root().join(path);
    match tokio::fs::read(&file).await {
        Ok(bytes) => Ok(bytes.into()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Err(Error::new(Kind::Damage, format!("{} is missing from the archive", file.display())).hint(MEND))
        }
        Err(error) => Err(Error::new(Kind::Damage, format!("cannot read {}", file.display())).caused_by(error)),
    }
}

/// A local file's length.
///
/// # Errors
/// `Store` when it cannot be looked at.
pub(super) fn local_length(archive: &Archive, path: &str) -> Result<u64> {
    let file = archive.root().join(path);
    Ok(std::fs::metadata(&file).or_fail(Kind::Store, || format!("cannot read {}", file.display()))?.len())
}

/// What is under the header's name on a remote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Header {
    /// This archive's.
    Ours,
    /// Nothing, or the beginning of ours: an upload was cut off.
    Absent,
}

/// Whether the remote has this archive's header.
///
/// # Errors
/// `Refused` when it is another archive's, or none; `Store` or `Credentials` when it cannot be read.
pub(super) async fn header(archive: &Archive, remote: &Remote) -> Result<Header> {
    let Some(theirs) = read(remote, layout::HEADER_FILE).await? else { return Ok(Header::Absent) };
    let ours = local_file(archive, layout::HEADER_FILE).await?;
    if theirs == ours {
        return Ok(Header::Ours);
    }
    if theirs.len() < ours.len() && ours.starts_with(&theirs) {
        return Ok(Header::Absent);
    }
    let id = serde_json::from_slice::<serde_json::Value>(&theirs).ok();
    match id.as_ref().and_then(|header| header.get("archive")).and_then(|id| id.as_str()) {
        Some(id) if id == archive.id() => Ok(Header::Ours),
        Some(id) => Err(Error::new(
            Kind::Refused,
            format!("remote {} holds another archive ({id}, this one is {})", remote.name, archive.id()),
        )
        .hint("give each archive a folder of its own in the remote's url")),
        None => Err(not_a_header(remote)),
    }
}

/// The refusal of a file that is no header.
pub(super) fn not_a_header(remote: &Remote) -> Error {
    Error::new(Kind::Refused, format!("{} on remote {} is not an archive's header", layout::HEADER_FILE, remote.name))
        .hint("check the remote's url; if a sign-in page stands between, sign in first")
}

/// The refusal of a remote whose file of that name is another one than ours.
pub(super) fn something_else(remote: &Remote, path: &str) -> Error {
    Error::new(Kind::Refused, format!("remote {} holds something else as {path}", remote.name)).hint(
        "two machines may have written to copies of one archive, or an older copy of it was put back: give this one a folder of its own in the remote's url, or fetch the remote's copy into a new folder with `tillvault init --from-remote` and go on with that; if only the remote's file is damaged, `tillvault check --remote --repair` tells and mends",
    )
}

/// The refusal of a remote with snapshots and no header.
pub(super) fn whose_snapshots(remote: &Remote) -> Error {
    Error::new(
        Kind::Refused,
        format!(
            "remote {} holds snapshots, but no {}: it cannot be told whose they are",
            remote.name,
            layout::HEADER_FILE
        ),
    )
    .hint("name another folder in the remote's url, or put the file back")
}
