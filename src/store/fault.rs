//! A store that fails on purpose, for crash tests: "the process died after the n-th call", for every n.
//!
//! Every call of the trait counts as one step, each deleted object as one. The chosen step fails before it reaches the inner
//! store, or after it has done its work there (the answer was lost). With [`Faults::from_call`] every later call fails, too, as
//! after a crash. Nothing in the product uses this module.

use std::{
    fmt,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, stream::BoxStream};
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result, path::Path,
};

/// Which calls fail. Calls are numbered from 1.
#[derive(Debug)]
pub struct Faults {
    first: u64,
    last: u64,
    after: bool,
    calls: AtomicU64,
}

impl Faults {
    /// Nothing fails; calls are only counted.
    #[must_use]
    pub fn none() -> Arc<Self> {
        Self::between(1, 0, false)
    }

    /// Call `n` fails, later ones work again.
    #[must_use]
    pub fn at_call(n: u64) -> Arc<Self> {
        Self::between(n, n, false)
    }

    /// Call `n` and every later one fail.
    #[must_use]
    pub fn from_call(n: u64) -> Arc<Self> {
        Self::between(n, u64::MAX, false)
    }

    /// Call `n` does its work, but its caller sees a failure.
    #[must_use]
    pub fn answer_lost_at(n: u64) -> Arc<Self> {
        Self::between(n, n, true)
    }

    fn between(first: u64, last: u64, after: bool) -> Arc<Self> {
        Arc::new(Self { first, last, after, calls: AtomicU64::new(0) })
    }

    /// Calls seen so far.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::SeqCst)
    }

    fn next(&self) -> Step {
        let call = self.calls.fetch_add(1, Ordering::SeqCst) + 1;
        Step { call, fails: (self.first..=self.last).contains(&call), after: self.after }
    }
}

#[derive(Clone, Copy)]
struct Step {
    call: u64,
    fails: bool,
    after: bool,
}

impl Step {
    fn error(self) -> Error {
        Error::Generic { store: "Faulty", source: format!("injected failure at call {}", self.call).into() }
    }

    fn before(self) -> Result<()> {
        if self.fails && !self.after { Err(self.error()) } else { Ok(()) }
    }

    fn finish<T>(self, result: Result<T>) -> Result<T> {
        if self.fails && self.after { Err(self.error()) } else { result }
    }
}

/// A store that fails where its [`Faults`] say so.
#[derive(Debug)]
pub struct Faulty {
    inner: Arc<dyn ObjectStore>,
    faults: Arc<Faults>,
}

impl Faulty {
    /// Wraps a store.
    #[must_use]
    pub fn new(inner: Arc<dyn ObjectStore>, faults: Arc<Faults>) -> Self {
        Self { inner, faults }
    }
}

impl fmt::Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Faulty({})", self.inner)
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl ObjectStore for Faulty {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        let step = self.faults.next();
        step.before()?;
        step.finish(self.inner.put_opts(location, payload, opts).await)
    }

    async fn put_multipart_opts(&self, location: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        let step = self.faults.next();
        step.before()?;
        step.finish(self.inner.put_multipart_opts(location, opts).await)
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let step = self.faults.next();
        step.before()?;
        step.finish(self.inner.get_opts(location, options).await)
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let step = self.faults.next();
        step.before()?;
        step.finish(self.inner.get_ranges(location, ranges).await)
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let (inner, faults) = (Arc::clone(&self.inner), Arc::clone(&self.faults));
        locations
            .then(move |location| {
                let (inner, faults) = (Arc::clone(&inner), Arc::clone(&faults));
                async move {
                    let location = location?;
                    let step = faults.next();
                    step.before()?;
                    step.finish(inner.delete(&location).await)?;
                    Ok(location)
                }
            })
            .boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let step = self.faults.next();
        match step.before().and_then(|()| step.finish(Ok(()))) {
            Ok(()) => self.inner.list(prefix),
            Err(error) => futures::stream::once(async { Err(error) }).boxed(),
        }
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        let step = self.faults.next();
        match step.before().and_then(|()| step.finish(Ok(()))) {
            Ok(()) => self.inner.list_with_offset(prefix, offset),
            Err(error) => futures::stream::once(async { Err(error) }).boxed(),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let step = self.faults.next();
        step.before()?;
        step.finish(self.inner.list_with_delimiter(prefix).await)
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let step = self.faults.next();
        step.before()?;
        step.finish(self.inner.copy_opts(from, to, options).await)
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        let step = self.faults.next();
        step.before()?;
        step.finish(self.inner.rename_opts(from, to, options).await)
    }
}

#[cfg(test)]
mod tests {
    use object_store::memory::InMemory;

    use super::*;

    #[tokio::test]
    async fn the_chosen_call_fails_and_a_lost_answer_leaves_the_work_done() {
        let memory: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let path = Path::from("a");

        let once = Faulty::new(Arc::clone(&memory), Faults::at_call(2));
        once.put(&path, "1".into()).await.unwrap();
        assert!(once.put(&path, "2".into()).await.is_err());
        assert_eq!(memory.get(&path).await.unwrap().bytes().await.unwrap(), "1");
        once.put(&path, "3".into()).await.unwrap();

        let lost = Faulty::new(Arc::clone(&memory), Faults::answer_lost_at(1));
        assert!(lost.put(&path, "4".into()).await.is_err());
        assert_eq!(memory.get(&path).await.unwrap().bytes().await.unwrap(), "4");

        let dead = Faulty::new(Arc::clone(&memory), Faults::from_call(1));
        assert!(dead.delete(&path).await.is_err());
        assert!(dead.list_with_delimiter(None).await.is_err());
        assert!(memory.head(&path).await.is_ok());
    }
}
