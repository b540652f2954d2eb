//! The probe: what this server can do, found out once and remembered (WEBDAV §7 "Detection").
//!
//! It asks for the server's status, its capabilities and its DAV header, and then tries things on a small object of a name of its own, which it
//! removes. Promises: it claims nothing that it has not seen, but for the trash header, which follows from the version; it never
//! touches another name.

use object_store::{PutPayload, path::Path};
use reqwest::{Response, StatusCode};
use serde_json::Value;

use super::{
    Inner, WebDav,
    look::text_header,
    problem::{Code, Problem},
    put::received_hash,
};
use crate::store::{
    profile::{Profile, ServerKind},
    proof::{Sha256, read_back},
};

/// The first version that lets a delete go past the trash bin (WEBDAV §6).
const SKIPS_TRASH: u32 = 29;
/// What the probe object holds.
const CONTENT: &[u8] = b"tillvault writes this, reads it, and removes it: it may be deleted at any time\n";
/// What is tried to be written over it.
const OTHER: &[u8] = b"tillvault: a server that shows this overwrites what it should keep\n";

impl WebDav {
    /// Probes the server, unless that was done before.
    pub(crate) async fn ready(&self) -> Result<(), Problem> {
        if self.inner.profile().probed || !self.inner.tuning.probe {
            return Ok(());
        }
        let _one_is_enough = self.inner.probing.lock().await;
        if self.inner.profile().probed {
            return Ok(());
        }
        self.probe_now().await.map(drop)
    }

    /// Probes the server, whatever is known of it.
    pub(crate) async fn probe(&self) -> Result<Profile, Problem> {
        let _one_at_a_time = self.inner.probing.lock().await;
        self.probe_now().await
    }

    async fn probe_now(&self) -> Result<Profile, Problem> {
        let inner = &self.inner;
        let mut found = Profile { largest_put: inner.profile().largest_put, ..Profile::unknown() };
        identify(inner, &mut found).await?;
        let (dav, has_chunks) = (dav_header(inner).await?, capabilities(inner, &mut found).await?);
        let says = |token: &str| dav.split(',').any(|said| said.trim() == token);
        found.pages = says("nc-paginate");
        found.chunking = has_chunks && inner.client.place().is_some_and(|place| place.user.is_some());
        let may_rehash = says("nextcloud-checksum-update");
        self.try_out(&mut found, may_rehash).await?;
        found.probed = true;
        inner.learn(|profile| *profile = found.clone());
        Ok(found)
    }

    /// Writes, tries to overwrite, reads and deletes a small object.
    async fn try_out(&self, found: &mut Profile, may_rehash: bool) -> Result<(), Problem> {
        let mut tries = 0;
        loop {
            tries += 1;
            // A new name each time: a try whose answer was lost may have stored something.
            let path = Path::from(format!("tillvault-probe-{:016x}.tmp", rand::random::<u64>()));
            let tried = match self.write(&path, CONTENT).await {
                Ok(written) => self.try_written(&path, &written, found, may_rehash).await,
                Err(problem) => Err(problem),
            };
            match tried {
                Err(problem)
                    if tries < 3 && matches!(problem.code(), Code::Missing | Code::Conflict | Code::Precondition) =>
                {
                    self.inner.folders.ensure(&self.inner.client, &Path::default()).await?;
                }
                tried => {
                    // It may be deleted at any time, hence later, too.
                    let _ = self.remove_object(&path, true).await;
                    return tried;
                }
            }
        }
    }

    async fn try_written(
        &self,
        path: &Path,
        written: &Response,
        found: &mut Profile,
        may_rehash: bool,
    ) -> Result<(), Problem> {
        found.received_hash = received_hash(written) == Some(Sha256::of(CONTENT));
        let kept = match self.write(path, OTHER).await {
            Ok(_) => false,
            Err(problem) if problem.code() == Code::Precondition => true,
            Err(problem) => return Err(problem),
        };
        found.conditional_put = kept;
        let ours = Sha256::of(if kept { CONTENT } else { OTHER });
        found.rehash = may_rehash && self.rehash(path).await? == Some(ours);
        match read_back(self, path).await {
            Ok(read) if read.sha256 == ours => Ok(()),
            Ok(read) => Err(Problem::new(
                Code::NotDav,
                format!("the server does not give back what was stored on it ({} bytes came)", read.bytes),
            )),
            Err(error) => Err(super::into_problem(error)),
        }
    }

    /// A conditional PUT with a look after a lost answer: nobody else writes that name.
    async fn write(&self, path: &Path, content: &'static [u8]) -> Result<Response, Problem> {
        let client = &self.inner.client;
        let request = || {
            let request = client.request("PUT", path, false).header("if-none-match", "*")?;
            Ok(request.header("x-hash", "sha256")?.body(PutPayload::from_static(content)))
        };
        client.send_again(request).await
    }
}

/// Who is it? A server that does not say so is WebDAV.
async fn identify(inner: &Inner, found: &mut Profile) -> Result<(), Problem> {
    let status = match inner.client.status().await {
        Ok(status) => status,
        // A server that wants everybody to sign in refuses this, which was asked without: that says nothing about the password.
        Err(problem) if problem.code() == Code::Credentials => return Ok(()),
        Err(problem) if is_no_answer(&problem) => return Err(problem),
        Err(_) => return Ok(()),
    };
    if status.get("installed").and_then(Value::as_bool) != Some(true) {
        return Ok(());
    }
    found.version = status.get("versionstring").and_then(Value::as_str).map(str::to_owned);
    // The product's name may be anything: administrators change it.
    let name = status.get("productname").and_then(Value::as_str).unwrap_or_default().to_ascii_lowercase();
    let other = ["owncloud", "infinite scale", "opencloud"].iter().any(|product| name.contains(product));
    let old = found.major().is_none_or(|major| major < 12);
    found.kind = if other || old { ServerKind::Owncloud } else { ServerKind::Nextcloud };
    found.skip_trash = found.kind == ServerKind::Nextcloud && found.major() >= Some(SKIPS_TRASH);
    Ok(())
}

/// Whether the server offers uploads in parts, and how large they may be.
async fn capabilities(inner: &Inner, found: &mut Profile) -> Result<bool, Problem> {
    let Some(place) = inner.client.place().filter(|_| found.kind != ServerKind::Generic) else { return Ok(false) };
    let mut url = place.url(inner.client.base(), &["ocs", "v2.php", "cloud", "capabilities"], false);
    url.set_query(Some("format=json"));
    let request = || {
        let request = inner.client.request_url("GET", url.clone(), "the server's capabilities".into());
        request.header("ocs-apirequest", "true")?.header("accept", "application/json")
    };
    let mut answer = match inner.client.send_again(request).await {
        Ok(answer) => answer,
        Err(problem) if is_no_answer(&problem) => return Err(problem),
        Err(_) => return Ok(false),
    };
    let text = inner.client.read_start(&mut answer).await;
    let told: Value = serde_json::from_str(&text).unwrap_or_default();
    let told = told.pointer("/ocs/data/capabilities").unwrap_or(&Value::Null);
    let largest = told.pointer("/files/chunked_upload/max_size").and_then(Value::as_u64);
    found.largest_part = largest.filter(|largest| *largest > 0);
    Ok(told.pointer("/dav/chunking").and_then(Value::as_str) == Some("1.0"))
}

/// What the folder's address says it can do.
async fn dav_header(inner: &Inner) -> Result<String, Problem> {
    let request = || Ok(inner.client.request_url("OPTIONS", inner.client.base().clone(), "the remote folder".into()));
    match inner.client.send_again(request).await {
        Ok(answer) if answer.status() == StatusCode::OK || answer.status() == StatusCode::NO_CONTENT => {
            let said: Vec<&str> =
                answer.headers().get_all("dav").iter().filter_map(|value| value.to_str().ok()).collect();
            Ok(said.join(","))
        }
        Ok(answer) => Ok(text_header(&answer, "dav").unwrap_or_default()),
        Err(problem) if is_no_answer(&problem) => Err(problem),
        Err(_) => Ok(String::new()),
    }
}

/// Whether a failure says nothing about what the server can do.
fn is_no_answer(problem: &Problem) -> bool {
    problem.is_temporary() || problem.code() == Code::Credentials
}
