//! What a failure of a remote means for what is done next.

use super::webdav;
use crate::error::Error;

/// The cause of a [`Remote::put_new`](super::Remote::put_new) that met another object under the name.
#[derive(Debug, thiserror::Error)]
#[error("nothing on the remote was changed")]
pub(super) struct Taken(#[source] pub(super) object_store::Error);

/// Whether a [`Remote::put_new`](super::Remote::put_new) failed because the name is taken by something else.
#[must_use]
pub fn is_taken(error: &Error) -> bool {
    std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<Taken>()).is_some()
}

/// Whether something failed because the remote has no room left.
#[must_use]
pub fn is_full(error: &Error) -> bool {
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        if inner.downcast_ref::<webdav::Problem>().is_some_and(|problem| problem.code() == webdav::Code::Full) {
            return true;
        }
        cause = inner.source();
    }
    false
}

/// Whether a failure may be that of one object alone, so that others are worth trying: it is locked, too large, refused or broken off.
#[must_use]
pub fn is_about_one_object(error: &Error) -> bool {
    use webdav::Code as C;
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        if let Some(problem) = inner.downcast_ref::<webdav::Problem>() {
            let codes =
                [C::Locked, C::TooLarge, C::Server, C::Broken, C::TimedOut, C::Mismatch, C::Conflict, C::Unexpected];
            return codes.contains(&problem.code());
        }
        cause = inner.source();
    }
    false
}
