//! The archive: a folder of write-once files that holds every state of the till (docs/FORMAT.md).
//!
//! Start with [`Archive`]: it opens the folder, hands out [`TableWriter`]s, writes and reads snapshots. Below it lie the rules
//! that make the format: [`layout`] (names), [`blocks`] (where tables are cut), [`content_hash`] (what is new),
//! [`parquet`] (the chunk codec), [`snapshot`] (what a snapshot file says), [`journal`] (tags and forgotten snapshots),
//! [`index`] (a derived witness), [`marks`] (chunks that nothing names), [`pushed`] (what remotes are known to hold),
//! [`units`] and [`sums`] (which chunks are kept unread).
//!
//! Promises, at every instant, whatever fails or is killed:
//! - chunk and snapshot files are never changed once they can be listed;
//! - a snapshot that can be listed is complete: its chunks were written and synced before it;
//! - a file's name states its hash and length, so that no leftover can pass for a chunk.
//!
//! The archive never speaks HTTP and never reads the till.

pub mod blocks;
mod buckets;
mod chunks;
mod columns;
pub mod content_hash;
pub mod flaw;
mod folder;
pub mod index;
pub mod journal;
pub mod layout;
mod lock;
pub mod marks;
mod mend;
pub mod parquet;
pub mod pushed;
mod put;
mod ranges;
mod readme;
mod room;
pub mod row_key;
mod search;
pub mod snapshot;
mod snapshots;
pub mod sums;
mod survey;
pub mod units;
pub mod verify;
mod writer;

pub use folder::{Archive, ArchiveObject};
pub use lock::WriteLock;
pub use mend::{FolderEntry, leftover_of};
pub use writer::{TableWriter, TableWritten};
