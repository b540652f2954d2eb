//! What lies in a remote's folder: nothing yet, an archive, something else.

use object_store::{ObjectStoreExt as _, path::Path};

use crate::{
    archive::layout,
    error::Result,
    store::{self, Remote},
};

/// Longest file that is taken for an archive's header.
const LONGEST: u64 = 64 * 1024;

/// What a remote's folder holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holds {
    /// No archive: the folder is empty, not there yet, or holds other things.
    Nothing,
    /// An archive.
    Archive {
        /// Its id.
        id: String,
        /// Name of its site, if it is told.
        site: Option<String>,
    },
    /// A file with the name of an archive's header that is none, such as one that was cut off.
    Odd,
}

/// Looks at the header there: one request.
///
/// # Errors
/// `Store` or `Credentials` when the remote cannot be read.
pub async fn holds(remote: &Remote) -> Result<Holds> {
    let cannot = |error| store::failure(format!("cannot read remote {}", remote.name), error);
    let bytes = match remote.store.get(&Path::from(layout::HEADER_FILE)).await {
        Ok(found) if found.meta.size > LONGEST => return Ok(Holds::Odd),
        Ok(found) => found.bytes().await.map_err(cannot)?,
        Err(object_store::Error::NotFound { .. }) => return Ok(Holds::Nothing),
        Err(error) => return Err(cannot(error)),
    };
    let header: Option<serde_json::Value> = serde_json::from_slice(&bytes).ok();
    let text = |key: &str| header.as_ref()?.get(key)?.as_str().map(str::to_owned);
    Ok(match text("archive") {
        Some(id) => Holds::Archive { id, site: text("site") },
        None => Holds::Odd,
    })
}
