//! Getting a user id and an app password out of a Nextcloud (WEBDAV §1.2).

use std::{path::Path, time::Duration};

use jiff::{SignedDuration, Timestamp};
use url::Url;

use crate::{
    error::{Error, Kind, Result},
    store::nextcloud::{Credentials, Login, Nextcloud, User},
};

/// Pause between two questions whether the person has finished.
const PAUSE: Duration = Duration::from_secs(2);
/// How long a person may take; the server forgets the sign-in after as long.
const PATIENCE: SignedDuration = SignedDuration::from_mins(20);
/// Failures in a row that are waited out: a proxy that restarts, a network that changes.
const FAILURES: u32 = 15;

/// Who signed in where, with what.
#[derive(Debug)]
pub(super) struct SignedIn {
    pub(super) server: Nextcloud,
    pub(super) user: User,
    pub(super) credentials: Credentials,
    /// Whether the password was made for this program just now, so that it has to be kept, or taken back.
    pub(super) is_new: bool,
}

impl SignedIn {
    /// Takes back a password that was made in vain. Whatever fails: there is nothing more to be done about it.
    pub(super) async fn undo(&self) {
        if self.is_new {
            let _ = self.server.revoke(&self.credentials).await;
        }
    }
}

/// Signs in with the browser: `show` gets the address to open there.
///
/// # Errors
/// `Store` or `Credentials` when the server cannot do it; `Store` when nobody finishes it in time.
pub(super) async fn with_browser(
    server: Nextcloud,
    ca_file: Option<&Path>,
    show: &(dyn Fn(&Url) + Send + Sync),
) -> Result<SignedIn> {
    let login = server.begin_login(&device()).await?;
    show(&login.url);
    let (given, credentials) = wait(&server, &login).await?;
    // The server says where it is; behind a proxy it may be wrong about that, and then where it was found is right.
    let mut signed =
        SignedIn { server, user: User { id: String::new(), name: String::new() }, credentials, is_new: true };
    if given != *signed.server.base()
        && let Ok(told) = Nextcloud::at(&given, ca_file)
        && let Ok(user) = told.user(&signed.credentials).await
    {
        return Ok(SignedIn { server: told, user, ..signed });
    }
    match signed.server.user(&signed.credentials).await {
        Ok(user) => {
            signed.user = user;
            Ok(signed)
        }
        Err(error) => {
            signed.undo().await;
            Err(error)
        }
    }
}

async fn wait(server: &Nextcloud, login: &Login) -> Result<(Url, Credentials)> {
    let (until, mut failures) = (Timestamp::now() + PATIENCE, 0);
    while Timestamp::now() < until {
        match server.poll_login(login).await {
            Ok(Some(granted)) => return Ok((granted.server, granted.credentials)),
            Ok(None) => failures = 0,
            Err(error) if error.is_temporary() && failures < FAILURES => failures += 1,
            Err(error) => return Err(error),
        }
        tokio::time::sleep(PAUSE).await;
    }
    Err(Error::new(Kind::Store, "nobody finished the sign-in in the browser").hint("run the command again"))
}

/// Signs in with a name and a password. With `make` a real password is turned into an app password, where the server does that.
///
/// # Errors
/// `Credentials` when they are refused; `Store` for all else.
pub(super) async fn with_password(server: Nextcloud, credentials: Credentials, make: bool) -> Result<SignedIn> {
    let user = server.user(&credentials).await?;
    let made = if make { server.app_password(&credentials).await? } else { None };
    Ok(match made {
        Some(password) => {
            let credentials = Credentials { username: credentials.username, password };
            SignedIn { server, user, credentials, is_new: true }
        }
        None => SignedIn { server, user, credentials, is_new: false },
    })
}

/// The name under which the server lists this program among the user's devices.
fn device() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match host.trim() {
        "" => "tillvault".to_owned(),
        host => format!("tillvault on {host}"),
    }
}
