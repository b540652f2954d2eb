//! `push`: uploads to a remote what it lacks.
//!
//! First the plan ([`plan_push`]), as data; then the act. Promises: a snapshot is uploaded only after every chunk it names, so one
//! that can be listed is complete; nothing on the remote is overwritten; a push that was killed is taken up where it ended; a
//! local file that is damaged is not mirrored, nor a snapshot that needs it, and the others go on; a remote that holds another archive is refused.
//!
//! A push with nothing to do costs two requests: the remote's archive file and the list of its snapshots; a third lists the journal's
//! records, once there are any; and a newest snapshot that was not pushed from this folder is read and compared. What the remote holds follows from those lists alone; a chunk that is there although no listed
//! snapshot names it is found by its name.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    fmt,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Instant,
};

use bytes::Bytes;
use futures::{StreamExt, future};
use object_store::{ObjectStoreExt, path::Path};
use serde::Serialize;

use crate::{
    archive::{Archive, ArchiveObject, layout, snapshot::Snapshot},
    config::RemoteConfig,
    error::{Error, Kind, OrFail, Result},
    observe::{Event, SharedObserver},
    store::{
        self, Remote,
        upload::{Stored, put_new},
    },
};

/// A table's folder is listed first when a push wants more chunks than this in it: one request instead of a refused upload for
/// each chunk that an interrupted push has left there.
const LIST_ABOVE: usize = 8;

/// How to push.
#[derive(Clone, Copy, Debug, Default)]
pub struct PushOptions {
    /// Plan only: nothing is uploaded, and the backlog says what would be.
    pub dry_run: bool,
}

/// One snapshot that the remote lacks, with the chunks that have to be there before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushStep {
    /// Snapshot number.
    pub snapshot: u64,
    /// Chunks that no earlier step and no snapshot of the remote brings.
    pub chunks: Vec<ArchiveObject>,
    /// The snapshot's own file.
    pub file: ArchiveObject,
}

/// What a push has to do, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushPlan {
    /// Name of the remote.
    pub remote: String,
    /// `tillvault-archive.json`, if it is not there yet.
    pub header: Option<ArchiveObject>,
    /// Local snapshots that the remote holds, ascending.
    pub present: Vec<u64>,
    /// Snapshots it lacks, ascending.
    pub steps: VecDeque<PushStep>,
    /// Snapshots it lacks whose local files are damaged, ascending. They are not uploaded.
    pub damaged: Vec<u64>,
    /// Records of the journal, ascending; they go last.
    pub records: Vec<ArchiveObject>,
    /// The newest snapshot of the remote, when it is newer than every local one.
    pub ahead: Option<u64>,
}

impl PushPlan {
    /// Objects to upload, in the order in which they go.
    pub fn objects(&self) -> impl Iterator<Item = &ArchiveObject> {
        let steps = self.steps.iter().flat_map(|step| step.chunks.iter().chain([&step.file]));
        self.header.iter().chain(steps).chain(&self.records)
    }

    /// Number of objects to upload.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.objects().count() as u64
    }

    /// Bytes to upload.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.objects().map(|object| object.bytes).sum()
    }
}

impl fmt::Display for PushPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {} objects, {} bytes to upload", self.remote, self.count(), self.bytes())?;
        for object in self.objects() {
            writeln!(f, "  {} ({} bytes)", object.path, object.bytes)?;
        }
        Ok(())
    }
}

/// What a push did. Serialises to the JSON of the command.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PushOutcome {
    /// Objects sent.
    pub uploaded: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Requests made, listings and retries included.
    pub requests: u64,
    /// Objects still to be uploaded.
    pub backlog: u64,
    /// Wall time.
    pub seconds: f64,
    /// Name of the remote.
    pub remote: String,
}

/// Opens a remote and pushes to it.
///
/// # Errors
/// As [`push`], and `Config` when the remote's settings cannot be used.
pub async fn push_to(
    archive: &Archive,
    remote: &RemoteConfig,
    options: &PushOptions,
    observer: &SharedObserver,
) -> Result<PushOutcome> {
    push(archive, &store::open_remote(remote, &archive.root().join(layout::REMOTES))?, options, observer).await
}

/// Uploads what the remote lacks.
///
/// # Errors
/// As [`plan_push`]; `Busy` when another push is under way; `Store` or `Credentials` when an upload fails, with the number of objects left in the message; `Damage`
/// when a local file is not what its name says: then all that does not need it was uploaded. What was uploaded before stays, and the next push goes on from there.
pub async fn push(
    archive: &Archive,
    remote: &Remote,
    options: &PushOptions,
    observer: &SharedObserver,
) -> Result<PushOutcome> {
    let (started, requests) = (Instant::now(), remote.requests.total());
    let _lock = if options.dry_run { None } else { Some(archive.lock_push()?) };
    let plan = plan_push(archive, remote).await?;
    if let Some(ahead) = plan.ahead {
        observer.event(Event::Warning {
            message: format!(
                "remote {} holds snapshot {ahead}, which is newer than this archive: is another machine pushing to it?",
                plan.remote
            ),
        });
    }
    for number in &plan.damaged {
        let message =
            format!("snapshot {number} is damaged and is not pushed to {}: run `tillvault check`", plan.remote);
        observer.event(Event::Warning { message });
    }
    observer.event(Event::Phase { name: "push", total: Some(plan.count()) });
    let done = Mutex::new(HashSet::new());
    let run = Push { archive, remote, observer, done, sent: AtomicU64::new(0), bytes: AtomicU64::new(0) };
    if !options.dry_run {
        let mut there = plan.present.clone();
        let acted = run.act(&plan, &mut there).await;
        note_pushed(archive, &plan.remote, &there, observer).await;
        acted.map_err(|error| left_over(&plan, run.left(&plan), error))?;
    }
    Ok(PushOutcome {
        uploaded: run.sent.load(Ordering::Relaxed),
        bytes: run.bytes.load(Ordering::Relaxed),
        requests: remote.requests.total() - requests,
        backlog: run.left(&plan),
        seconds: started.elapsed().as_secs_f64(),
        remote: remote.name.clone(),
    })
}

/// Leaves behind what the remote holds now, for listings. Not a reason for a push to fail.
async fn note_pushed(archive: &Archive, remote: &str, there: &[u64], observer: &SharedObserver) {
    if let Err(error) = archive.note_pushed(remote, there).await {
        let message = format!("which snapshots remote {remote} holds could not be noted: {error}");
        observer.event(Event::Warning { message });
    }
}

/// The error of a push that stopped: kind and hint of its cause, and how much is left.
fn left_over(plan: &PushPlan, left: u64, cause: Error) -> Error {
    let message = format!("push to {} stopped with {left} of {} objects still to upload", plan.remote, plan.count());
    let mut error = Error::new(cause.kind(), message);
    if let Some(hint) = cause.next_step() {
        error = error.hint(hint);
    }
    if cause.is_temporary() {
        error = error.temporary();
    }
    error.caused_by(cause)
}

/// Finds out what the remote lacks. Changes nothing; costs two requests, and one more when the newest snapshot there was not
/// pushed from this folder.
///
/// # Errors
/// `Store` or `Credentials` when the remote cannot be read; `Refused` when it holds another archive, or a copy of this one that went
/// its own way; `Store` when a newer
/// tillvault wrote a local snapshot.
pub async fn plan_push(archive: &Archive, remote: &Remote) -> Result<PushPlan> {
    let header_there = check_header(archive, remote).await?;
    let there = list(remote, layout::SNAPSHOTS).await?;
    if !header_there && there.keys().any(|path| number_of(path).is_some()) {
        return Err(Error::new(
            Kind::Refused,
            format!(
                "remote {} holds snapshots, but no {}: it cannot be told whose they are",
                remote.name,
                layout::HEADER_FILE
            ),
        )
        .hint("name another folder in the remote's url, or put the file back"));
    }
    let (mut present, mut lacking) = (Vec::new(), Vec::new());
    for number in archive.snapshot_numbers()? {
        let path = layout::snapshot_path(number);
        let bytes = length(archive, &path)?;
        // A snapshot of another length is a leftover, or a foreign one; the upload will tell.
        if there.get(&path) == Some(&bytes) {
            present.push(number);
        } else {
            lacking.push((number, ArchiveObject { path, bytes }));
        }
    }
    if let Some(newest) = present.last() {
        check_same(archive, remote, *newest).await?;
    }
    let newest = present.iter().chain(lacking.iter().map(|(number, _)| number)).max().copied().unwrap_or(0);
    let ahead = there.keys().filter_map(|path| number_of(path)).max().filter(|ahead| *ahead > newest);
    let header = match header_there {
        true => None,
        false => {
            let bytes = length(archive, layout::HEADER_FILE)?;
            Some(ArchiveObject { path: layout::HEADER_FILE.to_owned(), bytes })
        }
    };
    let records = lacking_records(archive, remote).await?;
    let (steps, damaged) = steps(archive, &present, lacking)?;
    Ok(PushPlan { remote: remote.name.clone(), header, present, steps, damaged, records, ahead })
}

/// Records of the journal that the remote lacks.
async fn lacking_records(archive: &Archive, remote: &Remote) -> Result<Vec<ArchiveObject>> {
    let numbers = archive.record_numbers()?;
    if numbers.is_empty() {
        return Ok(Vec::new());
    }
    let there = list(remote, layout::JOURNAL).await?;
    let mut records = Vec::new();
    for path in numbers.into_iter().map(layout::record_path) {
        let bytes = length(archive, &path)?;
        if there.get(&path) != Some(&bytes) {
            records.push(ArchiveObject { path, bytes });
        }
    }
    Ok(records)
}

/// Orders the work. A chunk belongs to the first lacking snapshot that names it, unless the remote's snapshot just before that
/// one names it already. (A chunk that only older snapshots name has been away from the till for a while; the upload finds it.)
/// Returns the snapshots whose files are damaged apart.
fn steps(
    archive: &Archive,
    present: &[u64],
    lacking: Vec<(u64, ArchiveObject)>,
) -> Result<(VecDeque<PushStep>, Vec<u64>)> {
    let mut known: HashSet<String> = HashSet::new();
    let mut seen = HashSet::new();
    let (mut steps, mut damaged) = (VecDeque::with_capacity(lacking.len()), Vec::new());
    for (number, file) in lacking {
        let before = present.partition_point(|there| *there < number);
        if let Some(before) = before.checked_sub(1).map(|index| present[index])
            && seen.insert(before)
            // What a damaged one has brought is found by its name.
            && let Some(before) = unless_damaged(archive.snapshot(before))?
        {
            known.extend(archive.chunk_objects(&before).into_iter().map(|object| object.path));
        }
        let Some(snapshot) = unless_damaged(archive.snapshot(number))? else {
            damaged.push(number);
            continue;
        };
        let mut chunks = archive.chunk_objects(&snapshot);
        chunks.retain(|chunk| known.insert(chunk.path.clone()));
        steps.push_back(PushStep { snapshot: number, chunks, file });
    }
    Ok((steps, damaged))
}

fn unless_damaged(read: Result<Snapshot>) -> Result<Option<Snapshot>> {
    match read {
        Ok(snapshot) => Ok(Some(snapshot)),
        Err(error) if error.kind() == Kind::Damage => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether the remote has this archive's header. Another archive's is refused.
async fn check_header(archive: &Archive, remote: &Remote) -> Result<bool> {
    let cannot = |error| store::failure(format!("cannot read remote {}", remote.name), error);
    let theirs = match remote.store.get(&Path::from(layout::HEADER_FILE)).await {
        Ok(found) => found.bytes().await.map_err(cannot)?,
        Err(object_store::Error::NotFound { .. }) => return Ok(false),
        Err(error) => return Err(cannot(error)),
    };
    let ours = local_file(archive, layout::HEADER_FILE).await?;
    if theirs == ours {
        return Ok(true);
    }
    if theirs.len() < ours.len() && ours.starts_with(&theirs) {
        // An upload of it was cut off; the next one repairs it.
        return Ok(false);
    }
    let id = serde_json::from_slice::<serde_json::Value>(&theirs).ok();
    match id.as_ref().and_then(|header| header.get("archive")).and_then(|id| id.as_str()) {
        Some(id) if id == archive.id() => Ok(true),
        Some(id) => Err(Error::new(
            Kind::Refused,
            format!("remote {} holds another archive ({id}, this one is {})", remote.name, archive.id()),
        )
        .hint("give each archive a folder of its own in the remote's url")),
        None => Err(Error::new(
            Kind::Refused,
            format!("{} on remote {} is not an archive's header", layout::HEADER_FILE, remote.name),
        )
        .hint("check the remote's url; if a sign-in page stands between, sign in first")),
    }
}

/// Refuses a remote whose snapshot of that number is another one than ours of the same length: whoever builds on it would leave
/// out chunks that the remote lacks. Parents vouch for those before it. What a push from here has seen or brought is not read again.
async fn check_same(archive: &Archive, remote: &Remote, number: u64) -> Result<()> {
    if archive.pushed().iter().any(|note| note.remote == remote.name && note.holds(number)) {
        return Ok(());
    }
    let path = layout::snapshot_path(number);
    let cannot = |error| store::failure(format!("cannot read {path} from remote {}", remote.name), error);
    let theirs = remote.store.get(&Path::from(path.as_str())).await.map_err(cannot)?.bytes().await.map_err(cannot)?;
    // A damaged one of ours says nothing of theirs.
    if unless_damaged(archive.snapshot(number))?.is_none() || theirs == local_file(archive, &path).await? {
        return Ok(());
    }
    Err(Error::new(Kind::Refused, format!("remote {} holds something else as {path}", remote.name)).hint(
        "two machines may have written to copies of one archive, or an older copy of it was put back: give this one a folder of its own in the remote's url; if only the remote's file is damaged, remove it there",
    ))
}

/// The objects of one folder of the remote: path and length.
async fn list(remote: &Remote, folder: &str) -> Result<HashMap<String, u64>> {
    let listed = remote.store.list_with_delimiter(Some(&Path::from(folder))).await;
    let listed =
        listed.map_err(|error| store::failure(format!("cannot list {folder} of remote {}", remote.name), error))?;
    Ok(listed.objects.into_iter().map(|meta| (meta.location.to_string(), meta.size)).collect())
}

fn number_of(path: &str) -> Option<u64> {
    layout::snapshot_number(path.rsplit('/').next()?)
}

fn length(archive: &Archive, path: &str) -> Result<u64> {
    let file = archive.root().join(path);
    Ok(std::fs::metadata(&file).or_fail(Kind::Store, || format!("cannot read {}", file.display()))?.len())
}

async fn local_file(archive: &Archive, path: &str) -> Result<Bytes> {
    let file = archive.root().join(path);
    match tokio::fs::read(&file).await {
        Ok(bytes) => Ok(bytes.into()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Err(Error::new(Kind::Damage, format!("{} is missing from the archive", file.display()))
                .hint("`tillvault check --repair` fetches it from a remote that has it; else copy it back from another copy of the archive"))
        }
        Err(error) => Err(Error::new(Kind::Damage, format!("cannot read {}", file.display())).caused_by(error)),
    }
}

/// A push under way.
struct Push<'a> {
    archive: &'a Archive,
    remote: &'a Remote,
    observer: &'a SharedObserver,
    /// Paths of the objects that are on the remote now: sent, or found there.
    done: Mutex<HashSet<String>>,
    sent: AtomicU64,
    bytes: AtomicU64,
}

impl Push<'_> {
    /// How many objects of the plan are not on the remote.
    fn left(&self, plan: &PushPlan) -> u64 {
        let done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        plan.objects().filter(|object| !done.contains(&object.path)).count() as u64
    }

    /// Uploads, and adds to `there` each snapshot that is on the remote from now on. Damage keeps only those back that need
    /// what is damaged, and is reported at the end.
    async fn act(&self, plan: &PushPlan, there: &mut Vec<u64>) -> Result<()> {
        if let Some(header) = &plan.header {
            self.upload(header).await?;
        }
        let found = self.found_chunks(plan).await?;
        let mut damage = plan.damaged.first().and_then(|number| self.archive.snapshot(*number).err());
        let mut steps_left = plan.steps.clone();
        while let Some(step) = steps_left.pop_front() {
            match self.step(&step, &found).await {
                Ok(()) => there.push(step.snapshot),
                Err(error) if error.kind() == Kind::Damage => {
                    damage.get_or_insert(error);
                    // What it did not bring, those after it have to.
                    there.sort_unstable();
                    let lacking = steps_left.into_iter().map(|step| (step.snapshot, step.file)).collect();
                    (steps_left, _) = steps(self.archive, there, lacking)?;
                }
                Err(error) => return Err(error),
            }
        }
        for record in &plan.records {
            self.upload(record).await?;
        }
        damage.map_or(Ok(()), Err)
    }

    /// Uploads a snapshot after its chunks.
    async fn step(&self, step: &PushStep, found: &HashMap<String, u64>) -> Result<()> {
        let (present, wanted): (Vec<_>, Vec<_>) =
            step.chunks.iter().partition(|chunk| found.get(&chunk.path) == Some(&chunk.bytes));
        for chunk in present {
            self.note(chunk, Stored::Present);
        }
        self.upload_all(&wanted).await?;
        self.upload(&step.file).await
    }

    /// What lies already in the folders that get many chunks: an interrupted push leaves chunks without their snapshot.
    async fn found_chunks(&self, plan: &PushPlan) -> Result<HashMap<String, u64>> {
        let mut found = HashMap::new();
        // A remote without a header has never been pushed to.
        if plan.header.is_some() {
            return Ok(found);
        }
        let mut wanted: HashMap<&str, usize> = HashMap::new();
        for chunk in plan.steps.iter().flat_map(|step| &step.chunks) {
            let folder = chunk.path.rsplit_once('/').map_or("", |(folder, _)| folder);
            *wanted.entry(folder).or_default() += 1;
        }
        for (folder, _) in wanted.into_iter().filter(|(_, count)| *count > LIST_ABOVE) {
            found.extend(list(self.remote, folder).await?);
        }
        Ok(found)
    }

    /// Uploads side by side. After a failure nothing new is begun, and what is under way is finished: a dropped upload would
    /// leave half an object behind.
    async fn upload_all(&self, objects: &[&ArchiveObject]) -> Result<()> {
        let failed = AtomicBool::new(false);
        let results: Vec<Result<()>> = futures::stream::iter(objects)
            .take_while(|_| future::ready(!failed.load(Ordering::Relaxed)))
            .map(|object| async {
                let result = self.upload(object).await;
                failed.fetch_or(result.is_err(), Ordering::Relaxed);
                result
            })
            .buffer_unordered(self.remote.connections.max(1))
            .collect()
            .await;
        results.into_iter().collect()
    }

    async fn upload(&self, object: &ArchiveObject) -> Result<()> {
        let bytes = local_file(self.archive, &object.path).await?;
        check(object, &bytes)?;
        let path = Path::from(object.path.as_str());
        let stored = put_new(self.remote.store.as_ref(), &path, bytes).await.map_err(|error| match error {
            object_store::Error::AlreadyExists { .. } => {
                let what = format!("remote {} holds something else as {}", self.remote.name, object.path);
                store::failure(what, error).hint(
                    "somebody else wrote it: nothing on the remote was changed; if two machines push copies of this archive, let one of them have a folder of its own",
                )
            }
            error => store::failure(format!("cannot upload {} to remote {}", object.path, self.remote.name), error),
        })?;
        self.note(object, stored);
        Ok(())
    }

    fn note(&self, object: &ArchiveObject, stored: Stored) {
        let bytes = match stored {
            Stored::Uploaded => object.bytes,
            Stored::Present => 0,
        };
        self.done.lock().unwrap_or_else(PoisonError::into_inner).insert(object.path.clone());
        self.sent.fetch_add(u64::from(stored == Stored::Uploaded), Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.observer.event(Event::Uploaded { name: object.path.clone(), bytes });
    }
}

/// A damaged file must not become the mirror's truth.
fn check(object: &ArchiveObject, bytes: &Bytes) -> Result<()> {
    let named = object.path.rsplit('/').next().and_then(layout::parse_chunk_file);
    let whole = bytes.len() as u64 == object.bytes
        && named.is_none_or(|(hash, _)| blake3::hash(bytes).to_hex().as_str() == hash);
    if whole {
        return Ok(());
    }
    Err(Error::new(Kind::Damage, format!("{} was altered: its bytes do not match its name", object.path))
        .hint("`tillvault check --repair` fetches it from a remote that has it; else copy it back from another copy of the archive"))
}
