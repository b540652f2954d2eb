//! A Nextcloud in this process, on loopback: what the real server was measured to do, without the server.
//!
//! It keeps files, staged uploads and a trash bin in memory and answers as Nextcloud 30, 31 or 32 does on local or on S3 storage,
//! the nasty parts included: a cut upload stays visible where it does on the real one, chunk counts are not checked on S3, an
//! answer may be lost after the work was done. [`Fault`]s spoil chosen requests; [`Double::log`] has every request.
//! Start reading at [`Options`]; `serve` routes, `files` and `uploads` do the work. It uses nothing of the program it tests.

#![allow(
    dead_code,
    unused_imports,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::result_large_err,
    reason = "each test binary uses its part; tests may panic; a refusal is a whole answer"
)]

mod answer;
mod fault;
mod files;
mod listing;
mod log;
mod ocs;
mod serve;
mod state;
mod transfer;
mod uploads;

use std::{
    collections::BTreeMap,
    net::Ipv4Addr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpListener, task::JoinSet};
use url::Url;

pub use fault::{Action, Event, Fault};
pub use log::Logged;
use state::{Node, State};

/// Where the server keeps what it is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Storage {
    /// A disk: new names appear when whole, existing ones are overwritten in place.
    Local,
    /// An object store: cut uploads stay visible, chunked uploads are a multipart upload that nobody checks.
    S3,
}

/// How paths are written in listings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hrefs {
    /// Path, lower-case hex, `:` raw.
    Nextcloud,
    /// With scheme and a host that is not the one the client used.
    Absolute,
    /// Upper-case hex.
    UpperHex,
    /// `+` and others raw.
    Raw,
}

/// What kind of server it is.
#[derive(Clone, Debug)]
pub struct Options {
    /// Major version: 30, 31 or 32.
    pub version: u32,
    pub storage: Storage,
    /// Path before `/remote.php`, without a slash at its end.
    pub base: String,
    /// The internal user id, which stands in paths.
    pub uid: String,
    /// What the user signs in with.
    pub login: String,
    pub password: String,
    /// Bytes the user may keep; none: no limit.
    pub quota: Option<u64>,
    /// What is said of it instead: -1 not computed, -2 unknown, -3 unlimited, or a stale number.
    pub quota_told: Option<i64>,
    /// A PUT onto an existing name writes into it, as Nextcloud does since part files are skipped for overwrites.
    pub overwrite_in_place: bool,
    /// Seconds the server's clock is off.
    pub clock: i64,
    pub hrefs: Hrefs,
    /// A proxy's limit: longer bodies get its 413.
    pub largest_body: Option<u64>,
    /// Unit of the delays after failed sign-ins (seconds on the real one).
    pub login_delay: Duration,
    /// Failed sign-ins after which everybody gets 429.
    pub login_attempts: u32,
    /// `If-None-Match` and `If-Match` on PUT are obeyed.
    pub conditions: bool,
    /// `X-Hash` is answered.
    pub x_hash: bool,
    /// `PATCH` computes a hash anew.
    pub patch_hash: bool,
    /// `X-OC-MTime` is taken.
    pub mtime: bool,
    /// There is a trash bin.
    pub trash: bool,
    /// The smallest part an object store takes, but for the last.
    pub smallest_part: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            version: 31,
            storage: Storage::Local,
            base: String::new(),
            uid: "kitchen".into(),
            login: "kitchen".into(),
            password: "app-password".into(),
            quota: None,
            quota_told: None,
            overwrite_in_place: true,
            clock: 0,
            hrefs: Hrefs::Nextcloud,
            largest_body: None,
            login_delay: Duration::ZERO,
            login_attempts: 10,
            conditions: true,
            x_hash: true,
            patch_hash: true,
            mtime: true,
            trash: true,
            smallest_part: 5 * 1024 * 1024,
        }
    }
}

impl Options {
    /// Nextcloud on S3.
    pub fn s3() -> Self {
        Self { storage: Storage::S3, ..Self::default() }
    }
}

/// The server's side, shared by its connections.
struct Server {
    options: Options,
    /// `http://127.0.0.1:PORT`.
    origin: String,
    state: Mutex<State>,
}

impl Server {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A running server. Dropping it stops it; work under way goes on, as PHP does without its client.
pub struct Double {
    server: Arc<Server>,
    connections: Arc<Mutex<JoinSet<()>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Double {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Double {
    /// Starts a server on the current runtime.
    pub async fn start(options: Options) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let state = State::new(&options);
        let server = Arc::new(Server { options, origin, state: Mutex::new(state) });
        let connections = Arc::new(Mutex::new(JoinSet::new()));
        let task = tokio::spawn(accept(listener, Arc::clone(&server), Arc::clone(&connections)));
        Self { server, connections, task }
    }

    /// Nextcloud 31 on a disk.
    pub async fn local() -> Self {
        Self::start(Options::default()).await
    }

    /// Address of the server, as somebody types it in.
    pub fn root(&self) -> Url {
        Url::parse(&format!("{}{}/", self.server.origin, self.server.options.base)).unwrap()
    }

    /// Address of the user's files.
    pub fn url(&self) -> Url {
        let Options { base, uid, .. } = &self.server.options;
        let mut url = Url::parse(&self.server.origin).unwrap();
        url.set_path(&format!("{base}/remote.php/dav/files/{uid}/"));
        url
    }

    /// Address of a folder of the user, made if it is not there.
    pub fn folder(&self, name: &str) -> Url {
        self.state().make_folders(name);
        self.url().join(name).unwrap()
    }

    pub fn options(&self) -> &Options {
        &self.server.options
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.server.state()
    }

    // --- the log and the faults -------------------------------------------------------------------------------------

    /// The requests so far, in the order of arrival.
    pub fn log(&self) -> Vec<Logged> {
        self.state().log.clone()
    }

    /// The requests so far; the log is empty afterwards.
    pub fn take_log(&self) -> Vec<Logged> {
        std::mem::take(&mut self.state().log)
    }

    /// Adds a fault. The first that matches a request decides about it.
    pub fn inject(&self, fault: Fault) {
        self.state().faults.push(fault);
    }

    /// Takes all faults away.
    pub fn heal(&self) {
        self.state().faults.clear();
    }

    // --- what is stored ---------------------------------------------------------------------------------------------

    /// Files and their true lengths.
    pub fn files(&self) -> BTreeMap<String, u64> {
        let state = self.state();
        state.all_files().map(|(path, file)| (path.to_owned(), file.data.len() as u64)).collect()
    }

    pub fn content(&self, path: &str) -> Option<Bytes> {
        self.state().file(path).map(|file| file.data.clone())
    }

    /// Modification time in Unix seconds, by the server's clock or the client's wish.
    pub fn modified(&self, path: &str) -> Option<i64> {
        self.state().file(path).map(|file| file.modified)
    }

    /// The folders below the user's root.
    pub fn folders(&self) -> Vec<String> {
        let state = self.state();
        let folders = state.nodes.iter().filter(|(path, node)| !path.is_empty() && matches!(node, Node::Folder(_)));
        folders.map(|(path, _)| path.clone()).collect()
    }

    /// Stores a file without a request; its folders are made.
    pub fn store(&self, path: &str, content: impl Into<Bytes>) {
        self.state().store(path, content.into());
    }

    /// Takes a file or folder away as an administrator would: it is gone at once, and not in the trash.
    pub fn forget(&self, path: &str) {
        self.happen(&Event::Vanishes(path.to_owned()));
    }

    /// Something happens now.
    pub fn happen(&self, event: &Event) {
        self.state().happen(event);
    }

    /// Takes a file's bytes from the disk; the server's database does not know.
    pub fn lose(&self, path: &str) {
        self.state().file_mut(path).unwrap().gone = true;
    }

    /// Shortens a file on the disk; the server's database does not know.
    pub fn truncate(&self, path: &str, length: usize) {
        let mut state = self.state();
        let file = state.file_mut(path).unwrap();
        file.data.truncate(length);
    }

    /// Changes one byte of a file on the disk.
    pub fn corrupt(&self, path: &str) {
        let mut state = self.state();
        let file = state.file_mut(path).unwrap();
        file.data = state::spoiled(&file.data);
    }

    /// Staged uploads: id, and the parts by name with their lengths.
    pub fn staged(&self) -> BTreeMap<String, BTreeMap<String, u64>> {
        let state = self.state();
        let parts = |staging: &state::Staging| {
            staging.parts.iter().map(|(name, part)| (name.clone(), part.data.len() as u64)).collect()
        };
        state.uploads.iter().map(|(id, staging)| (id.clone(), parts(staging))).collect()
    }

    /// Deleted files: their names and lengths.
    pub fn trash(&self) -> Vec<(String, u64)> {
        self.state().trash.iter().map(|trashed| (trashed.from.clone(), trashed.bytes)).collect()
    }

    // --- its moods --------------------------------------------------------------------------------------------------

    /// Somebody else holds a lock on a file or folder for some time.
    pub fn lock(&self, path: &str, time: Duration) {
        self.state().locks.insert(path.to_owned(), Some(Instant::now() + time));
    }

    /// It is let go.
    pub fn unlock(&self, path: &str) {
        self.state().locks.remove(path);
    }

    pub fn set_maintenance(&self, on: bool) {
        self.state().maintenance = on;
    }

    pub fn set_disabled(&self, on: bool) {
        self.state().disabled = on;
    }

    pub fn set_quota(&self, bytes: Option<u64>) {
        self.state().quota = bytes;
    }

    /// Another password that is right, and no app password: the one that the user types in.
    pub fn add_real_password(&self, password: &str) {
        self.state().accounts.push((self.server.options.login.clone(), password.to_owned()));
    }

    /// The app password is revoked: no password is right any more.
    pub fn revoke(&self) {
        self.state().accounts.clear();
    }

    /// The user confirms every sign-in that waits in a browser.
    pub fn confirm_logins(&self) {
        self.state().flows.values_mut().for_each(|flow| flow.confirmed = true);
    }

    /// Cuts all connections, idle ones too.
    pub fn close_connections(&self) {
        self.connections.lock().unwrap().abort_all();
    }

    /// Stops listening and cuts all connections.
    pub async fn stop(&mut self) {
        self.task.abort();
        let _ = (&mut self.task).await;
        self.close_connections();
    }
}

async fn accept(listener: TcpListener, server: Arc<Server>, connections: Arc<Mutex<JoinSet<()>>>) {
    let mut number = 0;
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        // Answers are small and many: do not wait for more to send.
        let _ = stream.set_nodelay(true);
        number += 1;
        let server = Arc::clone(&server);
        let mut connections = connections.lock().unwrap();
        while connections.try_join_next().is_some() {}
        connections.spawn(async move {
            let service = service_fn(move |request| serve::serve(Arc::clone(&server), number, request));
            // An error is a cut connection, by the client or by a fault.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}
