//! Looks whether a remote still has the chunks of the snapshots it holds: a share of the tables' folders, one request each.
//!
//! A push trusts the snapshots that it finds (docs/decisions/0005). What vanished behind them shows only in the folders themselves:
//! `nightly` lists a seventh of them each night, `push --verify` all, and so does every push that misses a snapshot which was there.

use std::collections::BTreeMap;

use super::plan::{PushPlan, Verified, unless_damaged};
use crate::{
    archive::{Archive, ArchiveObject, layout},
    error::Result,
    ops::{check::Part, mirror},
    store::Remote,
};

/// Whether a table's folder is in that share.
#[must_use]
pub fn holds_folder(part: Part, folder: &str) -> bool {
    part.holds(blake3::hash(folder.as_bytes()).as_bytes())
}

/// Lists that share of the folders, and plans what is not there to be uploaded again.
///
/// # Errors
/// `Store` or `Credentials` when a folder cannot be listed.
pub(super) async fn verify(archive: &Archive, remote: &Remote, part: Part, plan: &mut PushPlan) -> Result<()> {
    let mut wanted: BTreeMap<String, Vec<ArchiveObject>> = BTreeMap::new();
    let mut seen = std::collections::HashSet::new();
    for number in &plan.present {
        // One that cannot be read here is told of by `check`.
        let Some(snapshot) = unless_damaged(archive.snapshot(*number))? else { continue };
        for table in snapshot.tables.iter().filter(|table| holds_folder(part, &table.folder)) {
            for chunk in &table.chunks {
                let path = layout::chunk_path(&table.folder, &chunk.file_name());
                if seen.insert(path.clone()) {
                    let object = ArchiveObject { path, bytes: chunk.bytes };
                    wanted.entry(table.folder.clone()).or_default().push(object);
                }
            }
        }
    }
    let mut verified = Verified { part: part.to_string(), folders: 0, chunks: 0, missing: 0 };
    let folders = wanted.into_iter().map(|(folder, chunks)| async move {
        let path = format!("{}/{folder}", layout::TABLES);
        let found = mirror::list(remote, &path).await;
        (path, chunks, found)
    });
    let mut listings = futures::StreamExt::buffered(futures::stream::iter(folders), remote.connections.max(1));
    while let Some((path, chunks, found)) = futures::StreamExt::next(&mut listings).await {
        let found = found?;
        verified.folders += 1;
        verified.chunks += chunks.len() as u64;
        plan.refill.extend(chunks.into_iter().filter(|chunk| found.get(&chunk.path) != Some(&chunk.bytes)));
        plan.found.extend(found);
        plan.listed.insert(path);
    }
    verified.missing = plan.refill.len() as u64;
    // A step need not bring what the refill does.
    let refilled: std::collections::HashSet<&String> = plan.refill.iter().map(|chunk| &chunk.path).collect();
    plan.steps.iter_mut().for_each(|step| step.chunks.retain(|chunk| !refilled.contains(&chunk.path)));
    plan.verified = Some(verified);
    Ok(())
}
