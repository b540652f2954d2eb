//! Login flow v2: a person signs in with the browser, this program gets an app password of its own (WEBDAV §1.2).

use std::fmt;

use reqwest::{
    StatusCode,
    header::{CONTENT_TYPE, USER_AGENT},
};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use url::Url;

use super::{Credentials, Nextcloud, Trouble, json};
use crate::{
    error::{Error, Kind, OrFail as _, Result},
    store::{problem_as_error, webdav::from_status},
};

/// A sign-in that was begun.
#[derive(Clone)]
pub struct Login {
    /// What to open in a browser. Whoever has it can finish this sign-in with an account of theirs, so it is for the screen alone.
    pub url: Url,
    endpoint: Url,
    token: SecretString,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").finish_non_exhaustive()
    }
}

/// What a finished sign-in gives.
#[derive(Clone, Debug)]
pub struct Granted {
    /// Where the server says it is.
    pub server: Url,
    /// Login name and app password.
    pub credentials: Credentials,
}

#[derive(Deserialize)]
struct Begun {
    poll: Poll,
    login: String,
}

#[derive(Deserialize)]
struct Poll {
    token: String,
    endpoint: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Finished {
    server: String,
    login_name: String,
    app_password: String,
}

impl Nextcloud {
    /// Begins a sign-in; `device` is the name under which the server will list it.
    ///
    /// # Errors
    /// `Store` when the server does not answer, cannot do it, or names addresses without encryption although it has one with.
    pub async fn begin_login(&self, device: &str) -> Result<Login> {
        let what = format!("POST {}index.php/login/v2", self.base());
        // Header values are ASCII; a machine's name should be.
        let device: String = device.chars().filter(|c| c.is_ascii_graphic() || *c == ' ').collect();
        let request = self.http.post(self.url("index.php/login/v2")).header(USER_AGENT, device).body(Vec::new());
        let (status, body) = self.ask(request, &what).await.map_err(|trouble| trouble.into_error(&what))?;
        if status != StatusCode::OK {
            let problem = from_status(&what, status, "", &String::from_utf8_lossy(&body));
            return Err(match status.as_u16() {
                404 | 405 => {
                    Error::new(Kind::Store, format!("{} does not offer to sign in with the browser", self.base()))
                        .hint(
                            "make an app password in its settings under Security, and give --user and --password-file",
                        )
                        .caused_by(problem)
                }
                _ => problem_as_error(problem),
            });
        }
        let begun: Begun = json(&body, &what)?;
        let token = begun.poll.token.into();
        Ok(Login { url: self.told(&begun.login)?, endpoint: self.told(&begun.poll.endpoint)?, token })
    }

    /// Whether the person has finished: `None` until then. It is answered once only.
    ///
    /// # Errors
    /// `Store`; temporary when asking again may help.
    pub async fn poll_login(&self, login: &Login) -> Result<Option<Granted>> {
        let mut shown = login.endpoint.clone();
        super::http::strip(&mut shown);
        let what = format!("POST {shown}");
        let body: String = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("token", login.token.expose_secret())
            .finish();
        let request = self.http.post(login.endpoint.clone());
        let request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(body);
        let (status, body) = match self.ask(request, &what).await {
            Ok(answer) => answer,
            Err(Trouble::Other(why)) => return Err(Error::new(Kind::Store, why).temporary()),
            Err(trouble) => return Err(trouble.into_error(&what)),
        };
        match status {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Ok(None),
            status => return Err(problem_as_error(from_status(&what, status, "", &String::from_utf8_lossy(&body)))),
        }
        let finished: Finished = json(&body, &what)?;
        // Behind a proxy the server may know itself by an address that is not for others.
        let server = self.told(&finished.server).unwrap_or_else(|_| self.base().clone());
        let credentials = Credentials { username: finished.login_name, password: finished.app_password.into() };
        Ok(Some(Granted { server, credentials }))
    }

    /// An address that the server told, which must not be less safe than the one it was asked at.
    fn told(&self, text: &str) -> Result<Url> {
        let url = Url::parse(text)
            .or_fail(Kind::Store, || format!("{} answers with an address that is none", self.base()))?;
        if url.scheme() == "https" || (url.scheme() == "http" && self.base().scheme() == "http") {
            return Ok(url);
        }
        Err(Error::new(Kind::Store, format!("{} sends the sign-in to an address that is not encrypted", self.base())).hint(
            "its administrator has to set overwriteprotocol to https in config.php; or make an app password by hand and give --user and --password-file",
        ))
    }
}
