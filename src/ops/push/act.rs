//! A push under way: uploads side by side, in an order in which nothing is listed before what it names.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use futures::{StreamExt, future};
use object_store::path::Path;

use super::plan::{PushPlan, steps};
use crate::{
    archive::{Archive, ArchiveObject, layout},
    error::{Error, Kind, OrFail as _, Result},
    observe::{Event, SharedObserver},
    ops::mirror,
    store::{
        self, Remote,
        proof::{Expected, Trash},
        upload::Stored,
    },
};

/// A table's folder is listed first when a push wants more chunks than this in it: one request instead of a refused upload for
/// each chunk that an interrupted push has left there.
const LIST_ABOVE: usize = 8;
/// After so many objects in a row that could not be stored, the trouble is the remote's.
const PATIENCE: u32 = 3;

/// A push under way.
pub(super) struct Push<'a> {
    archive: &'a Archive,
    remote: &'a Remote,
    observer: &'a SharedObserver,
    state: Mutex<State>,
    /// An object that was to be uploaded was there: an earlier push has left more of them.
    leftovers: AtomicBool,
    /// One look at a folder at a time.
    looking: tokio::sync::Mutex<()>,
    sent: AtomicU64,
    bytes: AtomicU64,
}

#[derive(Default)]
struct State {
    /// Objects that have to be on the remote in the end, and are not known to be there.
    left: HashMap<String, u64>,
    /// Objects that could not be stored, though others can.
    held: HashSet<String>,
    /// The first of their failures; damage goes before what may pass by itself.
    trouble: Option<Error>,
    failed_in_a_row: u32,
    /// What lies in the folders that were listed.
    found: HashMap<String, u64>,
    listed: HashSet<String>,
}

impl<'a> Push<'a> {
    pub(super) fn new(archive: &'a Archive, remote: &'a Remote, plan: &PushPlan, observer: &'a SharedObserver) -> Self {
        let left = plan.objects().map(|object| (object.path.clone(), object.bytes)).collect();
        let state = State { left, found: plan.found.clone(), listed: plan.listed.clone(), ..State::default() };
        Self {
            archive,
            remote,
            observer,
            state: Mutex::new(state),
            leftovers: AtomicBool::new(false),
            looking: tokio::sync::Mutex::new(()),
            sent: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many objects of the plan are not on the remote, and their bytes.
    pub(super) fn left(&self) -> (u64, u64) {
        let state = self.state();
        (state.left.len() as u64, state.left.values().sum())
    }

    /// Snapshots and records of the plan that are not known to be there.
    pub(super) fn attempted(&self) -> Vec<String> {
        let state = self.state();
        let mut paths: Vec<String> =
            state.left.keys().filter(|path| !path.starts_with(layout::TABLES)).cloned().collect();
        paths.sort_unstable();
        paths
    }

    /// Objects sent, and their bytes.
    pub(super) fn sent(&self) -> (u64, u64) {
        (self.sent.load(Ordering::Relaxed), self.bytes.load(Ordering::Relaxed))
    }

    /// Uploads, and adds to `there` each snapshot that is on the remote from now on. An object that cannot be stored keeps only those
    /// snapshots back that need it, and is reported at the end.
    pub(super) async fn act(&self, plan: &PushPlan, there: &mut Vec<u64>) -> Result<()> {
        self.tell_left();
        self.look_first(plan).await?;
        if let Some(header) = &plan.header {
            self.upload(header).await?;
        }
        if let Some(error) = plan.damaged.first().and_then(|number| self.archive.snapshot(*number).err()) {
            self.state().trouble = Some(error);
        }
        self.upload_all(&plan.refill.iter().collect::<Vec<_>>()).await?;
        let mut steps_left = plan.steps.clone();
        while let Some(step) = steps_left.pop_front() {
            if self.upload_all(&step.chunks.iter().collect::<Vec<_>>()).await? && self.upload_all(&[&step.file]).await?
            {
                there.push(step.snapshot);
                continue;
            }
            // What it did not bring, those after it have to.
            there.sort_unstable();
            let lacking = steps_left.into_iter().map(|step| (step.snapshot, step.file)).collect();
            (steps_left, _) = steps(self.archive, there, lacking)?;
        }
        for record in &plan.records {
            // Each one follows the one before.
            if !self.upload_all(&[record]).await? {
                break;
            }
        }
        self.state().trouble.take().map_or(Ok(()), Err)
    }

    /// Lists the folders that get many chunks: an interrupted push leaves chunks without their snapshot.
    async fn look_first(&self, plan: &PushPlan) -> Result<()> {
        if plan.present.is_empty() && !plan.steps.is_empty() {
            // The store learns from it which folders it has to make.
            mirror::table_folders(self.remote).await?;
        }
        // A remote without a header has never been pushed to.
        if plan.header.is_some() {
            return Ok(());
        }
        let mut wanted: HashMap<&str, usize> = HashMap::new();
        for chunk in plan.steps.iter().flat_map(|step| &step.chunks) {
            *wanted.entry(folder_of(&chunk.path)).or_default() += 1;
        }
        for (folder, _) in wanted.into_iter().filter(|(_, count)| *count > LIST_ABOVE) {
            self.look(folder).await?;
        }
        Ok(())
    }

    /// Lists a folder, once.
    async fn look(&self, folder: &str) -> Result<()> {
        let _one_at_a_time = self.looking.lock().await;
        if self.state().listed.contains(folder) {
            return Ok(());
        }
        let found = mirror::list(self.remote, folder).await?;
        let mut state = self.state();
        state.found.extend(found);
        state.listed.insert(folder.to_owned());
        Ok(())
    }

    /// Uploads side by side. Returns whether all are on the remote now; what is not is held back. After a failure that concerns the
    /// remote nothing new is begun, and what is under way is finished: a dropped upload would leave half an object behind.
    async fn upload_all(&self, objects: &[&ArchiveObject]) -> Result<bool> {
        if objects.iter().any(|object| self.state().held.contains(&object.path)) {
            return Ok(false);
        }
        let stop = AtomicBool::new(false);
        let results: Vec<Result<bool>> = futures::stream::iter(objects)
            .take_while(|_| future::ready(!stop.load(Ordering::Relaxed)))
            .map(|object| async {
                let result = match self.upload(object).await {
                    Ok(()) => Ok(true),
                    Err(error) => self.hold(object, error).map(|()| false),
                };
                stop.fetch_or(result.is_err(), Ordering::Relaxed);
                result
            })
            .buffer_unordered(self.remote.connections.max(1))
            .collect()
            .await;
        results.into_iter().try_fold(true, |whole, result| Ok(result? && whole))
    }

    /// Holds an object back that cannot be stored, when the failure is its own; else the failure ends the push.
    fn hold(&self, object: &ArchiveObject, error: Error) -> Result<()> {
        let is_damage = error.kind() == Kind::Damage;
        if !is_damage && !store::is_about_one_object(&error) {
            return Err(error);
        }
        let mut state = self.state();
        if !is_damage {
            state.failed_in_a_row += 1;
            if state.failed_in_a_row >= PATIENCE {
                return Err(error);
            }
        }
        state.held.insert(object.path.clone());
        match &state.trouble {
            Some(first) if !is_damage || first.kind() == Kind::Damage => {}
            _ => state.trouble = Some(error),
        }
        Ok(())
    }

    /// Stores one object, proven.
    async fn upload(&self, object: &ArchiveObject) -> Result<()> {
        let folder = folder_of(&object.path);
        if folder.starts_with(layout::TABLES) && self.leftovers.load(Ordering::Relaxed) {
            self.look(folder).await?;
        }
        let bytes = whole_file(self.archive, object).await?;
        let path = Path::from(object.path.as_str());
        let there = self.state().found.get(&object.path).copied();
        match there {
            Some(length) if length == object.bytes => {
                let proof = self.remote.prove(&path, &Expected::of(&bytes).await).await;
                match proof {
                    Ok(_) => {
                        self.note(object, Stored::Present);
                        return Ok(());
                    }
                    Err(error) if error.kind() != Kind::Damage => return Err(error),
                    // Its name says what it has to be, and it is not that: nobody can want it.
                    Err(_) => self.remote.remove(&path, Trash::Keep).await?,
                }
            }
            Some(_) => self.remote.remove(&path, Trash::Keep).await?,
            None => {}
        }
        let mut stored = self.remote.put_new(&path, bytes.clone()).await;
        if stored.as_ref().is_err_and(store::is_taken) && folder.starts_with(layout::TABLES) {
            // A chunk's name says what it has to be: what is there is broken, whoever left it.
            self.remote.remove(&path, Trash::Keep).await?;
            stored = self.remote.put_new(&path, bytes).await;
        }
        let stored = stored.map_err(|error| match store::is_taken(&error) {
            true => mirror::something_else(self.remote, &object.path).caused_by(error),
            false => error,
        })?;
        self.note(object, stored);
        Ok(())
    }

    fn note(&self, object: &ArchiveObject, stored: Stored) {
        let is_new = stored == Stored::Uploaded;
        let bytes = if is_new { object.bytes } else { 0 };
        {
            let mut state = self.state();
            state.left.remove(&object.path);
            state.failed_in_a_row = 0;
        }
        if !is_new {
            self.leftovers.store(true, Ordering::Relaxed);
        }
        self.sent.fetch_add(u64::from(is_new), Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.observer.event(Event::Uploaded { name: object.path.clone(), bytes });
        self.tell_left();
    }

    fn tell_left(&self) {
        let (objects, bytes) = self.left();
        self.observer.event(Event::Left { objects, bytes });
    }
}

fn folder_of(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// A local file that is what its name says: a damaged one must not become the mirror's truth.
///
/// # Errors
/// `Damage` when it is not.
pub(in crate::ops) async fn whole_file(archive: &Archive, object: &ArchiveObject) -> Result<Bytes> {
    let bytes = mirror::local_file(archive, &object.path).await?;
    let named = object.path.rsplit('/').next().and_then(layout::parse_chunk_file).map(|(hash, _)| hash.to_owned());
    let is_whole = bytes.len() as u64 == object.bytes
        && match named {
            None => true,
            Some(hash) => {
                let shared = bytes.clone();
                let found = tokio::task::spawn_blocking(move || blake3::hash(&shared)).await;
                found.or_fail(Kind::Bug, || "a file could not be hashed")?.to_hex().as_str() == hash
            }
        };
    if is_whole {
        return Ok(bytes);
    }
    Err(Error::new(Kind::Damage, format!("{} was altered: its bytes do not match its name", object.path))
        .hint("`tillvault check --repair` fetches it from a remote that has it; else copy it back from another copy of the archive"))
}
