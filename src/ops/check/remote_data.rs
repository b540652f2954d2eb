//! The bytes of chunks on a remote: compared without fetching them where the server can hash, else by reading them.

use std::sync::Arc;

use futures::StreamExt as _;
use object_store::path::Path;

use super::{
    chunks::{Listed, of_chunk},
    finding::{Finding, FindingKind},
    part::Part,
    uses::Uses,
};
use crate::{
    archive::{Archive, ArchiveObject},
    error::{Kind, OrFail as _, Result},
    observe::{Event, SharedObserver},
    ops::{mirror, push::whole_file},
    store::{Remote, proof::Sha256},
};

/// What was compared, and what is wrong.
#[derive(Debug, Default)]
pub(super) struct Read {
    pub(super) findings: Vec<Finding>,
    pub(super) chunks: u64,
    pub(super) bytes: u64,
    /// Chunks that the server hashed.
    pub(super) hashed_there: u64,
}

/// How a chunk was compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    HashedThere { is_good: bool },
    Downloaded { is_good: bool },
    Gone,
}

/// Compares the chunks of that part which have their length.
///
/// # Errors
/// `Store` or `Credentials` when the remote cannot be read.
pub(super) async fn read_data(
    archive: &Arc<Archive>,
    remote: &Remote,
    named: &[Listed],
    uses: &Uses,
    part: Part,
    observer: &SharedObserver,
) -> Result<Read> {
    let chosen: Vec<&Listed> =
        named.iter().filter(|listed| listed.bytes == listed.name.bytes && part.holds(&listed.name.hash)).collect();
    observer.event(Event::Phase { name: "check data", total: Some(chosen.len() as u64) });
    let looks = chosen.into_iter().map(|listed| async move { (listed, compare(archive, remote, listed).await) });
    let mut looks = futures::stream::iter(looks).buffer_unordered(remote.connections.max(1));
    let mut read = Read::default();
    while let Some((listed, seen)) = looks.next().await {
        let seen = seen?;
        observer.event(Event::Checked { files: 1, bytes: listed.bytes });
        read.chunks += 1;
        read.bytes += listed.bytes;
        let mut wrong = |kind, message: &str| read.findings.push(of_chunk(kind, listed, message, uses));
        match seen {
            Seen::HashedThere { is_good: false } => wrong(
                FindingKind::ChunkAltered,
                "the bytes of this chunk on the server are not those that its name says, by the server's own hash",
            ),
            Seen::Downloaded { is_good: false } => {
                wrong(FindingKind::ChunkAltered, "the bytes of this chunk do not match its name");
            }
            Seen::Gone => wrong(FindingKind::ChunkMissing, "this chunk is listed, but the server does not hand it out"),
            Seen::HashedThere { is_good: true } | Seen::Downloaded { is_good: true } => {}
        }
        read.hashed_there += u64::from(matches!(seen, Seen::HashedThere { .. }));
    }
    Ok(read)
}

async fn compare(archive: &Arc<Archive>, remote: &Remote, listed: &Listed) -> Result<Seen> {
    let path = listed.path();
    let object = ArchiveObject { path: path.clone(), bytes: listed.name.bytes };
    // Only a local file that is itself what its name says tells what the server's hash should be.
    if let Ok(ours) = whole_file(archive, &object).await {
        match remote.hash_at(&Path::from(path.as_str())).await {
            Ok(Some(theirs)) => return Ok(Seen::HashedThere { is_good: theirs == Sha256::of_bytes(&ours).await }),
            Ok(None) => {}
            Err(error) if error.kind() == Kind::Damage => return Ok(Seen::Gone),
            Err(error) => return Err(error),
        }
    }
    let Some(theirs) = mirror::read(remote, &path).await? else { return Ok(Seen::Gone) };
    let found = tokio::task::spawn_blocking(move || blake3::hash(&theirs)).await;
    let found = found.or_fail(Kind::Bug, || "a file could not be hashed")?;
    Ok(Seen::Downloaded { is_good: *found.as_bytes() == listed.name.hash })
}
