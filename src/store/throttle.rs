//! Throttling: how fast a remote may be written to at most, changeable at any moment.
//!
//! A [`Throttle`] is shared by everything that sends to one remote: all its connections together keep to the limit. WebDAV request
//! bodies ask it before each piece, so that the line stays usable meanwhile; [`Throttled`] holds back whole objects of any other
//! store. It never changes what is sent, and no limit (0) costs nothing.
//!
//! How it counts: a balance of bytes that fills at the rate, up to a quarter of a second of it. Whoever asks while the balance is not
//! below zero goes at once, and may overdraw it; the others wait until it has filled again.

use std::{
    fmt,
    ops::Range,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions,
    PutOptions, PutPayload, PutResult, RenameOptions, Result, path::Path,
};
use tokio::{sync::Notify, time::Instant};

/// Longest piece of a body that goes at once.
const LONGEST_PIECE: usize = 64 * 1024;
/// Shortest piece, however low the limit is.
const SHORTEST_PIECE: usize = 512;
/// Nobody sleeps longer than this without looking again.
const LONGEST_SLEEP: Duration = Duration::from_secs(5);

/// A limit of bytes a second; 0 is none.
#[derive(Debug, Default)]
pub struct Throttle {
    rate: AtomicU64,
    balance: Mutex<Option<Balance>>,
    changed: Notify,
}

/// Bytes that may go at once; below zero, what went too early.
#[derive(Clone, Copy, Debug)]
struct Balance {
    bytes: f64,
    at: Instant,
}

impl Throttle {
    /// A throttle with that limit, in bytes a second; 0 is none.
    #[must_use]
    pub fn new(bytes_per_second: u64) -> Self {
        Self { rate: AtomicU64::new(bytes_per_second), ..Self::default() }
    }

    /// The present limit, in bytes a second; 0 is none.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.rate.load(Ordering::Acquire)
    }

    /// Sets the limit. Who waits for the old one goes by the new one from now on.
    pub fn set(&self, bytes_per_second: u64) {
        if self.rate.swap(bytes_per_second, Ordering::AcqRel) != bytes_per_second {
            // What went too early by the old limit is forgiven.
            *self.balance.lock().unwrap_or_else(PoisonError::into_inner) = None;
            self.changed.notify_waiters();
        }
    }

    /// The longest piece of a body that should go at once: an eighth of a second's bytes, at most `most`.
    #[must_use]
    pub fn piece(&self, most: usize) -> usize {
        match self.get() {
            0 => most,
            rate => usize::try_from(rate / 8).unwrap_or(most).max(SHORTEST_PIECE).min(most),
        }
    }

    /// Takes so many bytes, and says how long to wait before the next ones.
    #[must_use]
    pub fn reserve(&self, bytes: u64) -> Duration {
        self.take(bytes, true).unwrap_or_default()
    }

    /// Waits until so many bytes may be sent.
    pub async fn wait(&self, bytes: u64) {
        loop {
            // Before the limit is looked at: a change in between wakes.
            let changed = self.changed.notified();
            let Some(wait) = self.take(bytes, false) else { return };
            tokio::select! {
                () = tokio::time::sleep(wait.min(LONGEST_SLEEP)) => {}
                () = changed => {}
            }
        }
    }

    /// Takes the bytes when the balance allows it, or `anyway`. Says how long it takes to fill again, when it is below zero and the bytes
    /// were not taken or taken anyway.
    #[allow(clippy::cast_precision_loss, reason = "rates and lengths are far below 2^52")]
    fn take(&self, bytes: u64, anyway: bool) -> Option<Duration> {
        let rate = self.get() as f64;
        if rate == 0.0 {
            return None;
        }
        let now = Instant::now();
        let mut kept = self.balance.lock().unwrap_or_else(PoisonError::into_inner);
        let mut balance = kept.unwrap_or(Balance { bytes: 0.0, at: now });
        let passed = now.saturating_duration_since(balance.at).as_secs_f64();
        balance.bytes = (balance.bytes + passed * rate).min(rate / 4.0);
        balance.at = now;
        let may_go = balance.bytes >= 0.0;
        if may_go || anyway {
            balance.bytes -= bytes as f64;
        }
        *kept = Some(balance);
        let has_waited = may_go && !anyway;
        // Durations end somewhere; nobody waits for years.
        let wait = || Duration::from_secs_f64((-balance.bytes / rate).clamp(0.0, 1e9)).max(Duration::from_millis(1));
        (!has_waited && balance.bytes < 0.0).then(wait)
    }
}

/// A store whose uploads wait for a [`Throttle`]. For stores that cannot pace their requests themselves.
#[derive(Debug)]
pub struct Throttled {
    inner: Arc<dyn ObjectStore>,
    throttle: Arc<Throttle>,
}

impl Throttled {
    /// Wraps a store.
    #[must_use]
    pub fn new(inner: Arc<dyn ObjectStore>, throttle: Arc<Throttle>) -> Self {
        Self { inner, throttle }
    }

    async fn wait(&self, mut bytes: u64) {
        while bytes > 0 {
            let piece = bytes.min(self.throttle.piece(LONGEST_PIECE) as u64);
            self.throttle.wait(piece).await;
            bytes -= piece;
        }
    }
}

impl fmt::Display for Throttled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl ObjectStore for Throttled {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        self.wait(payload.content_length() as u64).await;
        self.inner.put_opts(location, payload, opts).await
    }

    async fn put_multipart_opts(&self, location: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        let inner = self.inner.put_multipart_opts(location, opts).await?;
        Ok(Box::new(Parts { inner, throttle: Arc::clone(&self.throttle) }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.inner.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.inner.rename_opts(from, to, options).await
    }
}

/// The parts of a multipart upload, each held back on its own.
#[derive(Debug)]
struct Parts {
    inner: Box<dyn MultipartUpload>,
    throttle: Arc<Throttle>,
}

#[async_trait]
impl MultipartUpload for Parts {
    fn put_part(&mut self, data: PutPayload) -> object_store::UploadPart {
        let (throttle, bytes) = (Arc::clone(&self.throttle), data.content_length() as u64);
        let part = self.inner.put_part(data);
        Box::pin(async move {
            throttle.wait(bytes).await;
            part.await
        })
    }

    async fn complete(&mut self) -> Result<PutResult> {
        self.inner.complete().await
    }

    async fn abort(&mut self) -> Result<()> {
        self.inner.abort().await
    }
}

#[cfg(test)]
mod tests {
    use object_store::{ObjectStoreExt, memory::InMemory};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn everybody_together_keeps_to_the_limit() {
        let throttle = Arc::new(Throttle::new(1000));
        let started = Instant::now();
        let senders = (0..4).map(|_| {
            let throttle = Arc::clone(&throttle);
            tokio::spawn(async move {
                for _ in 0..25 {
                    throttle.wait(100).await;
                }
            })
        });
        futures::future::join_all(senders).await;
        let seconds = started.elapsed().as_secs_f64();
        // 10,000 bytes, of which the last ones need not be waited for.
        assert!((9.0..11.0).contains(&seconds), "{seconds}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_limit_holds_for_those_who_wait_already() {
        let throttle = Arc::new(Throttle::new(10));
        let started = Instant::now();
        throttle.wait(100_000).await;
        let waiting = tokio::spawn({
            let throttle = Arc::clone(&throttle);
            async move { throttle.wait(1).await }
        });
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert!(!waiting.is_finished());
        throttle.set(1_000_000);
        waiting.await.unwrap();
        assert!(started.elapsed() < Duration::from_secs(61));
        assert_eq!(throttle.get(), 1_000_000);

        throttle.set(0);
        let started = Instant::now();
        throttle.wait(u64::MAX).await;
        throttle.wait(1).await;
        assert_eq!(started.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn idle_time_is_not_saved_up() {
        let throttle = Arc::new(Throttle::new(1000));
        throttle.wait(1).await;
        tokio::time::sleep(Duration::from_secs(3600)).await;
        let started = Instant::now();
        for _ in 0..20 {
            throttle.wait(100).await;
        }
        assert!(started.elapsed() >= Duration::from_millis(1500), "{:?}", started.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn reservations_add_up() {
        let throttle = Throttle::new(1000);
        assert_eq!(throttle.reserve(500), Duration::from_millis(500));
        assert_eq!(throttle.reserve(500), Duration::from_secs(1), "side by side they share the rate");
        throttle.set(0);
        assert_eq!(throttle.reserve(1 << 40), Duration::ZERO);
        throttle.set(100);
        assert_eq!(throttle.reserve(100), Duration::from_secs(1), "an old debt is not kept");
    }

    #[test]
    fn pieces_are_small_where_the_limit_is_low() {
        assert_eq!(Throttle::new(0).piece(65_536), 65_536);
        assert_eq!(Throttle::new(1 << 30).piece(65_536), 65_536);
        assert_eq!(Throttle::new(80_000).piece(65_536), 10_000);
        assert_eq!(Throttle::new(1).piece(65_536), 512);
    }

    #[tokio::test(start_paused = true)]
    async fn a_throttled_store_holds_uploads_back_and_nothing_else() {
        let store = Throttled::new(Arc::new(InMemory::new()), Arc::new(Throttle::new(1000)));
        let started = Instant::now();
        store.put(&Path::from("a"), vec![0; 5000].into()).await.unwrap();
        let seconds = started.elapsed().as_secs_f64();
        assert!((3.5..5.5).contains(&seconds), "{seconds}");
        let started = Instant::now();
        assert_eq!(store.get(&Path::from("a")).await.unwrap().bytes().await.unwrap().len(), 5000);
        assert_eq!(started.elapsed(), Duration::ZERO);
    }
}
