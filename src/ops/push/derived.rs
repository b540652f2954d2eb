//! The derived files of a mirror: the index, which is the witness of the newest snapshot, and the text for people who meet the folder.
//!
//! They have fixed names and are replaced (uploaded under a temporary name, then moved). Nothing rests on them, so they may be late: a
//! push brings them up to date when it is told to, and only where they differ from what was brought last.

use std::collections::BTreeMap;

use object_store::{ObjectStoreExt as _, path::Path};

use crate::{
    archive::{Archive, layout},
    error::Result,
    ops::mirror,
    store::{self, Remote},
};

/// Replaces what differs, and says what that was. `is_known`: the remote is as the last push has left it.
///
/// # Errors
/// `Store` or `Credentials` when the remote cannot be read or written.
pub(super) async fn replace(archive: &Archive, remote: &Remote, is_known: bool) -> Result<Vec<String>> {
    let noted = if is_known { archive.mirrored(&remote.name) } else { BTreeMap::new() };
    let mut now = noted.clone();
    let mut replaced = Vec::new();
    for path in [layout::INDEX_FILE, layout::README_FILE] {
        // Derived: where it is not there, nothing is lost.
        let Ok(ours) = tokio::fs::read(archive.root().join(path)).await else { continue };
        let hash = blake3::hash(&ours).to_hex().to_string();
        let before = noted.get(path);
        if before == Some(&hash) {
            continue;
        }
        let is_there = match before {
            // It is another one than ours, that much is known.
            Some(_) => Some(false),
            None => mirror::read(remote, path).await?.map(|theirs| theirs == ours),
        };
        match is_there {
            Some(true) => {}
            Some(false) => {
                let put = remote.store.put(&Path::from(path), ours.into()).await;
                put.map_err(|error| store::failure(format!("cannot replace {path} on remote {}", remote.name), error))?;
                replaced.push(path.to_owned());
            }
            None => {
                remote.put_new(&Path::from(path), ours.into()).await?;
                replaced.push(path.to_owned());
            }
        }
        now.insert(path.to_owned(), hash);
    }
    if !is_known || now != noted {
        archive.note_mirrored(&remote.name, &now).await?;
    }
    Ok(replaced)
}
