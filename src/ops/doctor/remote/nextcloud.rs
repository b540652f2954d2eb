//! A Nextcloud beside its files: is it up, who signs in, is the address the right one? (WEBDAV §1)

use std::path::Path;

use secrecy::SecretString;
use url::Url;

use super::{Check, PART, failed};
use crate::{
    error::{Error, Kind, Result},
    store::nextcloud::{Capabilities, Credentials, Nextcloud, Status, User},
};

/// Milliseconds of delay from which failed sign-ins are worth a word.
const DELAYED: u64 = 1000;

/// Looks at the server of a folder's URL. Returns whether it makes sense to go on: a server that is away or refused the password is
/// asked no more. Another WebDAV server has nothing to say here.
pub(super) async fn look(
    url: &Url,
    username: &str,
    password: &SecretString,
    ca_file: Option<&Path>,
    checks: &mut Vec<Check>,
) -> bool {
    let Some((base, user_id)) = Nextcloud::base_of(url) else { return true };
    let server = match Nextcloud::at(&base, ca_file) {
        Ok(server) => server,
        Err(error) => return stop(checks, "server", &error),
    };
    let status = match server.status().await {
        Ok(status) => status,
        Err(error) if error.is_temporary() => return stop(checks, "server", &error),
        // Something else answers there; the files will tell.
        Err(_) => return true,
    };
    let up = about(&status);
    let is_up = up.exit_code == 0;
    checks.push(up);
    if !is_up {
        return false;
    }
    // Before a password is sent: how do failed ones stand?
    if let Ok(open) = server.capabilities(None).await {
        checks.extend(delayed(&open));
    }
    let credentials = Credentials { username: username.to_owned(), password: password.clone() };
    match server.user(&credentials).await {
        Ok(user) => {
            let same = user_is(&user, &user_id);
            let go_on = same.is_ok();
            checks.push(match same {
                Ok(()) => Check::ok(PART, "login", format!("signed in as {} ({})", user.name, user.id)),
                Err(error) => failed("login", &error),
            });
            go_on
        }
        Err(error) => stop(checks, "login", &error),
    }
}

fn stop(checks: &mut Vec<Check>, name: &'static str, error: &Error) -> bool {
    checks.push(failed(name, error));
    false
}

fn about(status: &Status) -> Check {
    let product = if status.product.is_empty() { "Nextcloud" } else { status.product.as_str() };
    if status.maintenance {
        let error = Error::new(Kind::Store, format!("{product} {} is in maintenance mode", status.version))
            .hint("wait until its administrator has finished; pushes go on from where they were")
            .temporary();
        return failed("server", &error);
    }
    Check::ok(PART, "server", format!("{product} {} is up", status.version))
}

fn delayed(open: &Capabilities) -> Option<Check> {
    (open.sign_in_delay >= DELAYED).then(|| {
        Check::warning(
            PART,
            "sign-ins",
            format!("the server delays sign-ins from this address by {} ms, since some have failed", open.sign_in_delay),
            "Find out which program here, or behind the same router, uses an old password. After more than 10 failed sign-ins the server \
             refuses everybody behind this address for half an hour.",
        )
    })
}

/// The id that stands in the URL has to be that of who signs in; case does not matter.
fn user_is(user: &User, in_url: &str) -> Result<()> {
    if user.id.to_lowercase() == in_url.to_lowercase() {
        return Ok(());
    }
    Err(Error::new(
        Kind::Config,
        format!("the url is a folder of the user {in_url}, but {} ({}) signs in", user.name, user.id),
    )
    .hint(format!("put {} in the place of {in_url} in this remote's url", user.id)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_has_to_be_that_of_who_signs_in() {
        let user = User { id: "Kitchen".into(), name: "The Kitchen".into() };
        assert!(user_is(&user, "kitchen").is_ok());
        let error = user_is(&user, "kitchen@example.com").unwrap_err();
        assert!(error.next_step().unwrap().contains("put Kitchen in the place of kitchen@example.com"));
    }

    #[test]
    fn maintenance_is_a_failure_that_passes() {
        let status =
            Status { installed: true, maintenance: true, version: "31.0.6".into(), product: "Nextcloud".into() };
        assert_eq!(about(&status).exit_code, 75);
        assert_eq!(about(&Status { maintenance: false, ..status }).message, "Nextcloud 31.0.6 is up");
    }
}
