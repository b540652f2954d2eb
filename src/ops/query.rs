//! `query`: one reading statement over the archive as it was at a moment.

use jiff::Timestamp;

use crate::{
    archive::{Archive, snapshot::Snapshot},
    config::Config,
    error::Result,
    history::{
        as_of::{AsOf, Taken},
        session::{Session, SessionOptions},
    },
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
    let wanted = match as_of {
        Some(text) => AsOf::parse(text, Timestamp::now(), &config.zone())?,
        None => AsOf::Latest,
    };
    let mut taken = Vec::new();
    // Newest first: the first one that is old enough is the one.
    for number in archive.snapshot_numbers()?.into_iter().rev() {
        let snapshot = archive.snapshot(number)?;
        taken.push(Taken { snapshot: number, taken_at: snapshot.taken_at });
        let found = match wanted {
            AsOf::Latest => true,
            AsOf::Snapshot(wanted) => number == wanted,
            AsOf::At(moment) => snapshot.taken_at <= moment,
        };
        if found {
            let session = Session::open_with(archive.root(), &snapshot, options)?;
            return Ok((snapshot, session));
        }
    }
    // None fits: let the rule itself say why.
    let number = wanted.choose(&taken)?;
    let snapshot = archive.snapshot(number)?;
    let session = Session::open_with(archive.root(), &snapshot, options)?;
    Ok((snapshot, session))
}
