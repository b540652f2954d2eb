//! The process is killed, for real, at every single call of the store: before the call, in the middle of writing, after it.

use std::{
    fmt, fs,
    ops::Range,
    os::unix::process::ExitStatusExt as _,
    path::PathBuf,
    process::Command,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt as _, stream::BoxStream};
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt as _,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result, path::Path,
};

use crate::{
    child,
    scene::{Act, Scene},
    scripted_till::{archives::open, held::Reader},
};

/// When the process dies, seen from the chosen call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moment {
    Before,
    /// Half of the bytes are in the temporary file.
    Torn,
    After,
}

/// Kills the present process. SIGKILL cannot be caught: no destructor runs, no buffer is flushed.
fn die() -> ! {
    let _ = Command::new("sh").arg("-c").arg(format!("kill -9 {}", std::process::id())).status();
    loop {
        thread::sleep(Duration::from_secs(1));
    }
}

/// The parts of [`Killing`] that its streams need, too.
#[derive(Debug)]
struct Fate {
    calls: AtomicU64,
    at: u64,
    moment: Moment,
    dying: AtomicBool,
}

impl Fate {
    /// Counts a call; returns whether it is the last one. Once that has come, other calls get no further.
    async fn next(&self) -> bool {
        if self.dying.load(Ordering::SeqCst) {
            futures::future::pending::<()>().await;
        }
        let last = self.calls.fetch_add(1, Ordering::SeqCst) + 1 == self.at;
        if last {
            self.dying.store(true, Ordering::SeqCst);
            if self.moment == Moment::Before {
                die();
            }
        }
        last
    }
}

/// A store whose process dies at a chosen call.
#[derive(Debug)]
struct Killing {
    inner: Arc<dyn ObjectStore>,
    root: PathBuf,
    fate: Arc<Fate>,
}

impl Killing {
    async fn around<T>(&self, call: impl Future<Output = T>) -> T {
        let last = self.fate.next().await;
        let result = call.await;
        if last {
            die();
        }
        result
    }
}

impl fmt::Display for Killing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Killing")
    }
}

#[async_trait]
impl ObjectStore for Killing {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        let last = self.fate.next().await;
        if last && self.fate.moment == Moment::Torn {
            let file = self.root.join(format!("{location}#7"));
            let bytes = Bytes::from(payload);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, &bytes[..bytes.len() / 2]).unwrap();
            die();
        }
        let result = self.inner.put_opts(location, payload, opts).await;
        if last {
            die();
        }
        result
    }

    async fn put_multipart_opts(&self, location: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.around(self.inner.put_multipart_opts(location, opts)).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.around(self.inner.get_opts(location, options)).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.around(self.inner.get_ranges(location, ranges)).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let (inner, fate) = (Arc::clone(&self.inner), Arc::clone(&self.fate));
        locations
            .then(move |location| {
                let (inner, fate) = (Arc::clone(&inner), Arc::clone(&fate));
                async move {
                    let location = location?;
                    let last = fate.next().await;
                    let result = inner.delete(&location).await;
                    if last {
                        die();
                    }
                    result.map(|()| location)
                }
            })
            .boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (listed, fate) = (self.inner.list(prefix), Arc::clone(&self.fate));
        let counted = async move {
            if fate.next().await {
                die();
            }
            listed
        };
        futures::stream::once(counted).flatten().boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.around(self.inner.list_with_delimiter(prefix)).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.around(self.inner.copy_opts(from, to, options)).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.around(self.inner.rename_opts(from, to, options)).await
    }
}

/// The child: does the act until it dies.
pub(crate) fn act_as_told() {
    let moments = [Moment::Before, Moment::Torn, Moment::After];
    let moment = moments.into_iter().find(|moment| format!("{moment:?}") == child::word("CRASH_MOMENT")).unwrap();
    let at = child::word("CRASH_CALL").parse().unwrap();
    let root = child::root();
    let fate = Arc::new(Fate { calls: AtomicU64::new(0), at, moment, dying: AtomicBool::new(false) });
    let archive = open(&root, |inner| Arc::new(Killing { inner, root: root.clone(), fate }));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(Act::named(&child::word("CRASH_ACT")).run(&archive)).unwrap();
    eprintln!("the act ended without call {at}");
}

/// Kills one child at a call; returns the archive it leaves.
fn killed(scene: &Scene, call: u64, moment: Moment) -> tempfile::TempDir {
    let folder = scene.copy();
    let mut command = child::command("act", folder.path());
    command.env("CRASH_ACT", format!("{:?}", scene.act));
    command.env("CRASH_CALL", call.to_string()).env("CRASH_MOMENT", format!("{moment:?}"));
    let output = command.output().unwrap();
    assert_eq!(output.status.signal(), Some(9), "{call} {moment:?}: {}", String::from_utf8_lossy(&output.stderr));
    folder
}

fn at_every_call(act: Act) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let scene = runtime.block_on(Scene::build(act));
    let cases: Vec<(u64, Moment)> =
        (1..=scene.calls).flat_map(|call| [Moment::Before, Moment::Torn, Moment::After].map(|m| (call, m))).collect();
    let left = Mutex::new(cases.into_iter());
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut reader = Reader::default();
                loop {
                    let next = left.lock().unwrap().next();
                    let Some((call, moment)) = next else { break };
                    let folder = killed(&scene, call, moment);
                    let what = format!("{act:?}: killed at call {call}, {moment:?}");
                    runtime.block_on(scene.assert_recovers(folder.path(), &mut reader, &what));
                }
            });
        }
    });
}

#[test]
fn snapshot_killed_at_every_call() {
    at_every_call(Act::Snapshot);
}

#[test]
fn forget_killed_at_every_call() {
    at_every_call(Act::Forget);
}

#[test]
fn prune_killed_at_every_call() {
    at_every_call(Act::Prune);
}

#[test]
fn forget_and_prune_killed_at_every_call() {
    at_every_call(Act::ForgetAndPrune);
}
