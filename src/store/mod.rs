//! Stores: where an archive is mirrored to. The only place that speaks HTTP to remotes.
//!
//! Everything is an [`object_store::ObjectStore`] (DESIGN D9): folders and memory come with that crate, [`webdav`] is ours.
//! [`open_remote`] makes one from the settings. Wrappers add what cuts across: [`count`] and [`fault`]. [`upload::put_new`] is the
//! one way to store a write-once object. [`failure`] turns a store's error into the crate's.
//!
//! Never: an existing object overwritten by a PUT, a credential in a message.

mod causes;
pub mod certificate;
pub mod count;
pub mod fault;
mod folder;
mod http;
pub mod nextcloud;
pub mod profile;
pub mod proof;
mod remote;
mod s3;
pub mod throttle;
pub mod upload;
pub mod webdav;

use object_store::path::Path;

pub use causes::{is_about_one_object, is_full, is_taken};
pub use remote::{Remote, open_remote, open_remote_hasty};

use crate::error::{Error, Kind, Result};

/// Whether an address is on this machine: what goes there crosses no network.
#[must_use]
pub fn is_on_this_machine(url: &url::Url) -> bool {
    http::is_loopback(url)
}

/// How many snapshots a remote holds: one request, and a proof that it can be read.
///
/// # Errors
/// `Store` or `Credentials` when the remote cannot be read.
pub async fn count_snapshots(remote: &Remote) -> Result<u64> {
    let listed = remote.store.list_with_delimiter(Some(&Path::from("snapshots"))).await;
    let listed = listed.map_err(|error| failure(format!("cannot list remote {}", remote.name), error))?;
    let snapshots = listed.objects.iter().filter(|meta| meta.location.as_ref().ends_with(".json.zst"));
    Ok(snapshots.count() as u64)
}

/// A store's error as the crate's: `message` says what failed; kind, hint and "try later" come from the cause.
#[must_use]
pub fn failure(message: impl Into<String>, error: object_store::Error) -> Error {
    // S3 answers 403 to a wrong key; WebDAV tells a refused sign-in (401) from a folder that is not for that user (403).
    let by_s3 = s3::refused(&error);
    let kind = match &error {
        object_store::Error::Unauthenticated { .. } => Kind::Credentials,
        _ if by_s3 => Kind::Credentials,
        _ => Kind::Store,
    };
    let mut failure = Error::new(kind, message);
    if by_s3 {
        failure = failure.hint(
            "check access key id and secret of this remote, this machine's clock, and what the key may do in the bucket: list, read, write, delete",
        );
    }
    if let Some(problem) = webdav::problem_of(&error) {
        if let Some(hint) = problem.next_step() {
            failure = failure.hint(hint);
        }
        if problem.is_temporary() {
            failure = failure.temporary();
        }
    }
    match into_problem(error) {
        Ok(problem) => failure.caused_by(problem),
        Err(error) => failure.caused_by(error),
    }
}

/// A problem of a request as the crate's error.
fn problem_as_error(problem: webdav::Problem) -> Error {
    let kind = if problem.is_about_credentials() { Kind::Credentials } else { Kind::Store };
    let mut error = Error::new(kind, problem.to_string());
    if let Some(hint) = problem.next_step() {
        error = error.hint(hint);
    }
    if problem.is_temporary() {
        error = error.temporary();
    }
    match problem.into_cause() {
        Some(cause) => error.caused_by(cause),
        None => error,
    }
}

/// Takes our own problem out of the trait's wrapping, which would repeat its words.
fn into_problem(error: object_store::Error) -> Result<webdav::Problem, object_store::Error> {
    use object_store::Error as E;
    macro_rules! unwrap {
        ($source:ident, $rebuild:expr) => {
            match $source.downcast::<webdav::Problem>() {
                Ok(problem) => Ok(*problem),
                Err($source) => Err($rebuild),
            }
        };
    }
    match error {
        E::Generic { store, source } => unwrap!(source, E::Generic { store, source }),
        E::NotFound { path, source } => unwrap!(source, E::NotFound { path, source }),
        E::AlreadyExists { path, source } => unwrap!(source, E::AlreadyExists { path, source }),
        E::Precondition { path, source } => unwrap!(source, E::Precondition { path, source }),
        E::PermissionDenied { path, source } => unwrap!(source, E::PermissionDenied { path, source }),
        E::Unauthenticated { path, source } => unwrap!(source, E::Unauthenticated { path, source }),
        other => Err(other),
    }
}
