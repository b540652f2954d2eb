//! OCS, Nextcloud's API beside the files: the user, what the server can do, app passwords (WEBDAV §1.1, §1.2).

use reqwest::{Method, StatusCode};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::Value;

use super::{Credentials, Nextcloud, json};
use crate::{
    error::{Error, Kind, Result},
    store::{problem_as_error, webdav::from_status},
};

/// Who has signed in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The id that stands in URLs; not always the login name.
    pub id: String,
    /// Name for people.
    pub name: String,
}

/// What the server says it can do. What it does not tell is absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// Version for people.
    pub version: String,
    /// The first number of it.
    pub major: u64,
    /// Whether large objects may be uploaded in parts.
    pub chunking: bool,
    /// Longest part that it likes, in bytes (from 31).
    pub chunk_bytes: Option<u64>,
    /// Parts that may be under way at once.
    pub chunk_connections: Option<u64>,
    /// Milliseconds by which the next sign-in from this address is delayed after failed ones.
    pub sign_in_delay: u64,
    /// Whether deleted files go to a trash bin.
    pub trash: bool,
    /// Characters that no file name may have.
    pub forbidden_characters: Vec<String>,
}

impl Capabilities {
    /// Reads the `data` of the answer.
    fn read(data: &Value) -> Self {
        let (version, all) = (&data["version"], &data["capabilities"]);
        let chunked = &all["files"]["chunked_upload"];
        let strings = |value: &Value| {
            value.as_array().into_iter().flatten().filter_map(|text| text.as_str().map(Into::into)).collect()
        };
        Self {
            version: version["string"].as_str().unwrap_or_default().to_owned(),
            major: version["major"].as_u64().unwrap_or(0),
            chunking: all["dav"]["chunking"].as_str() == Some("1.0"),
            chunk_bytes: chunked["max_size"].as_u64().filter(|bytes| *bytes > 0),
            chunk_connections: chunked["max_parallel_count"].as_u64(),
            sign_in_delay: all["bruteforce"]["delay"].as_u64().unwrap_or(0),
            trash: all["files"]["undelete"].as_bool().unwrap_or(false),
            forbidden_characters: strings(&all["files"]["forbidden_filename_characters"]),
        }
    }
}

#[derive(Deserialize)]
struct Answer {
    ocs: Envelope,
}

#[derive(Deserialize)]
struct Envelope {
    data: Value,
}

impl Nextcloud {
    /// Who signs in with these credentials.
    ///
    /// # Errors
    /// `Credentials` when they are refused, `Store` for all else.
    pub async fn user(&self, credentials: &Credentials) -> Result<User> {
        let data = self.ocs(Method::GET, "cloud/user", Some(credentials)).await?;
        let text = |key: &str| data[key].as_str().filter(|text| !text.is_empty()).map(str::to_owned);
        let Some(id) = text("id") else {
            return Err(Error::new(Kind::Store, format!("{} does not tell the user id", self.base())));
        };
        let name = text("display-name").or_else(|| text("displayname")).unwrap_or_else(|| id.clone());
        Ok(User { id, name })
    }

    /// What the server can do. Without credentials it tells a part.
    ///
    /// # Errors
    /// As [`Nextcloud::user`].
    pub async fn capabilities(&self, credentials: Option<&Credentials>) -> Result<Capabilities> {
        Ok(Capabilities::read(&self.ocs(Method::GET, "cloud/capabilities", credentials).await?))
    }

    /// Makes an app password from a real password. `None` when it is an app password already, or the server makes none.
    ///
    /// # Errors
    /// As [`Nextcloud::user`].
    pub async fn app_password(&self, credentials: &Credentials) -> Result<Option<SecretString>> {
        let made = self.ocs_or(Method::GET, "core/getapppassword", Some(credentials), &[403, 404, 501]).await?;
        Ok(made.and_then(|data| data["apppassword"].as_str().map(Into::into)))
    }

    /// Takes back the app password in use. Afterwards it is refused.
    ///
    /// # Errors
    /// As [`Nextcloud::user`].
    pub async fn revoke(&self, credentials: &Credentials) -> Result<()> {
        self.ocs(Method::DELETE, "core/apppassword", Some(credentials)).await.map(drop)
    }

    async fn ocs(&self, method: Method, path: &str, credentials: Option<&Credentials>) -> Result<Value> {
        Ok(self.ocs_or(method, path, credentials, &[]).await?.unwrap_or_default())
    }

    /// The answer's `data`; `None` for the statuses in `without`.
    async fn ocs_or(
        &self,
        method: Method,
        path: &str,
        credentials: Option<&Credentials>,
        without: &[u16],
    ) -> Result<Option<Value>> {
        let what = format!("{method} {}ocs/v2.php/{path}", self.base());
        let mut request = self
            .http
            .request(method, self.url(&format!("ocs/v2.php/{path}?format=json")))
            .header("OCS-APIRequest", "true");
        if let Some(Credentials { username, password }) = credentials {
            request = request.basic_auth(username, Some(password.expose_secret()));
        }
        let (status, body) = self.ask(request, &what).await.map_err(|trouble| trouble.into_error(&what))?;
        if without.contains(&status.as_u16()) {
            return Ok(None);
        }
        if status != StatusCode::OK {
            let text = String::from_utf8_lossy(&body);
            return Err(problem_as_error(from_status(&what, status, "application/json", &text)));
        }
        Ok(Some(json::<Answer>(&body, &what)?.ocs.data))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_are_read_and_what_is_missing_is_absent() {
        let data = serde_json::json!({
            "version": { "major": 31, "minor": 0, "micro": 6, "string": "31.0.6" },
            "capabilities": {
                "bruteforce": { "delay": 200 },
                "dav": { "chunking": "1.0" },
                "files": {
                    "undelete": true,
                    "chunked_upload": { "max_size": 104_857_600, "max_parallel_count": 5 },
                    "forbidden_filename_characters": ["\\", "/"],
                },
            },
        });
        let found = Capabilities::read(&data);
        assert_eq!((found.version.as_str(), found.major, found.sign_in_delay), ("31.0.6", 31, 200));
        assert!(found.chunking && found.trash);
        assert_eq!((found.chunk_bytes, found.chunk_connections), (Some(104_857_600), Some(5)));
        assert_eq!(found.forbidden_characters, ["\\", "/"]);
        assert_eq!(Capabilities::read(&Value::Null), Capabilities::default());
    }
}
