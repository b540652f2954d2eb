//! `query`: one reading statement over the archive as it was at a moment.

use super::overview;
use crate::{
    archive::{Archive, snapshot::Snapshot},
    config::Config,
    error::Result,
    history::session::{Session, SessionOptions},
};

/// The snapshot that was true at the moment `as_of` (a number, a time, a day, `yesterday`; the newest for `None`), and DuckDB over it.
///
/// # Errors
/// `Usage` when `as_of` is no moment or no snapshot's number; `Query` when no snapshot is that old; `NoArchive` when there is none; `Damage` when files are missing.
pub async fn open_at(
    config: &Config,
    archive: &Archive,
    as_of: Option<&str>,
    options: &SessionOptions,
) -> Result<(Snapshot, Session)> {
    let snapshot = overview::find(archive, as_of, &config.zone())?;
    let session = Session::open_with(archive.root(), &snapshot, options)?;
    Ok((snapshot, session))
}
