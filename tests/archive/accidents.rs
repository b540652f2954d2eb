//! Stores that fail, runs that are killed, files that are altered: a snapshot that can be listed is complete, what is wrong is
//! said clearly, and the next run completes.

use std::{
    fmt, fs,
    io::ErrorKind,
    ops::Range,
    path::Path as FilePath,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use arrow::array::{ArrayRef, Int32Array, RecordBatch};
use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions,
    PutOptions, PutPayload, PutResult, local::LocalFileSystem, path::Path,
};
use tillvault::{
    archive::Archive,
    error::{Error, Kind},
};
use tokio::sync::Semaphore;

use crate::support::{column, order_rows, orders, read_back, run, snapshot, table, write_table};

/// A store that works for `left` calls and fails from then on, before or after the act. Writes wait for the gate.
#[derive(Debug)]
struct Dying {
    inner: LocalFileSystem,
    left: AtomicU32,
    after: bool,
    kind: ErrorKind,
    gate: Semaphore,
}

impl Dying {
    fn new(root: &FilePath, calls: u32, after: bool, kind: ErrorKind) -> Arc<Self> {
        let inner = LocalFileSystem::new_with_prefix(root).unwrap();
        Arc::new(Self { inner, left: AtomicU32::new(calls), after, kind, gate: Semaphore::new(Semaphore::MAX_PERMITS) })
    }

    fn alive(&self) -> bool {
        self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
    }

    fn dead<T>(&self) -> object_store::Result<T> {
        Err(object_store::Error::Generic { store: "Dying", source: Box::new(std::io::Error::from(self.kind)) })
    }
}

impl fmt::Display for Dying {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Dying")
    }
}

#[async_trait]
impl ObjectStore for Dying {
    async fn put_opts(&self, at: &Path, payload: PutPayload, options: PutOptions) -> object_store::Result<PutResult> {
        let _open = self.gate.acquire().await.unwrap();
        let alive = self.alive();
        if alive || self.after {
            let result = self.inner.put_opts(at, payload, options).await;
            if alive {
                return result;
            }
        }
        self.dead()
    }

    async fn put_multipart_opts(
        &self,
        at: &Path,
        options: PutMultipartOptions,
    ) -> object_store::Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(at, options).await
    }

    async fn get_opts(&self, at: &Path, options: GetOptions) -> object_store::Result<GetResult> {
        if self.alive() { self.inner.get_opts(at, options).await } else { self.dead() }
    }

    async fn get_ranges(&self, at: &Path, ranges: &[Range<u64>]) -> object_store::Result<Vec<Bytes>> {
        if self.alive() { self.inner.get_ranges(at, ranges).await } else { self.dead() }
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, object_store::Result<Path>>,
    ) -> BoxStream<'static, object_store::Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> object_store::Result<ListResult> {
        if self.alive() { self.inner.list_with_delimiter(prefix).await } else { self.dead() }
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> object_store::Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

/// Every snapshot that can be listed can be read in full, and the chain holds.
fn assert_whole(archive: &Archive) {
    archive.verify_chain().unwrap();
    for number in archive.snapshot_numbers().unwrap() {
        let snapshot = archive.snapshot(number).unwrap();
        assert_eq!(archive.missing_chunks(&snapshot).unwrap(), Vec::<String>::new());
        for entry in &snapshot.tables {
            assert_eq!(read_back(archive, entry).num_rows() as u64, entry.rows);
        }
    }
}

#[tokio::test]
async fn a_store_that_dies_at_any_call_leaves_no_half_snapshot() {
    for after in [false, true] {
        for calls in 0.. {
            let folder = tempfile::tempdir().unwrap();
            let archive = Archive::create(folder.path(), "Test").unwrap();
            run(&archive, &[(&orders(), &order_rows(1..=700))]).await.unwrap();
            let dying = Dying::new(folder.path(), calls, after, ErrorKind::BrokenPipe);
            let broken = Archive::open_with_store(folder.path(), dying).unwrap();
            let rows = order_rows((1..=1_300).chain(3_000..3_010));
            let result = run(&broken, &[(&orders(), &rows)]).await;
            drop(broken);
            let archive = Archive::open(folder.path()).unwrap();
            assert_whole(&archive);
            if let Err(error) = &result {
                assert_eq!(error.kind(), Kind::Store, "after {calls} calls: {error}");
            }
            let next = run(&archive, &[(&orders(), &rows)]).await.unwrap();
            assert_whole(&archive);
            assert_eq!(read_back(&archive, &next[0].entry), rows);
            if result.is_ok() {
                assert!(calls >= 4, "three chunks and a snapshot were to be written, not {calls}");
                break;
            }
        }
    }
}

#[tokio::test]
async fn rows_wait_while_the_store_is_slow() {
    let folder = tempfile::tempdir().unwrap();
    Archive::create(folder.path(), "Test").unwrap();
    let store = Dying::new(folder.path(), u32::MAX, false, ErrorKind::Other);
    store.gate.forget_permits(Semaphore::MAX_PERMITS);
    let archive = Archive::open_with_store(folder.path(), store.clone()).unwrap();
    let mut writer = archive.table_writer(&orders(), None).unwrap();
    let mut taken = 0;
    // Each step but the first completes a closed block; 64 light ones may wait for the disk.
    for step in 0..80 {
        let rows = order_rows([step * 4_096 + 1]);
        if tokio::time::timeout(Duration::from_millis(150), writer.push(rows)).await.is_err() {
            break;
        }
        taken += 1;
    }
    assert!((2..=65).contains(&taken), "{taken} pushes came through while nothing could be written");
}

#[tokio::test]
async fn a_full_disk_is_named() {
    let folder = tempfile::tempdir().unwrap();
    Archive::create(folder.path(), "Test").unwrap();
    let full = Dying::new(folder.path(), 0, false, ErrorKind::StorageFull);
    let archive = Archive::open_with_store(folder.path(), full).unwrap();
    let error = run(&archive, &[(&orders(), &order_rows(1..=10))]).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Store);
    assert!(error.message().contains("disk is full"), "{error}");
    assert!(error.message().starts_with("tables/Orders/"), "{error}");
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let archive = Archive::create(folder.path(), "Test").unwrap();
    fs::write(folder.path().join("tables/Orders"), "in the way").unwrap();
    let error = run(&archive, &[(&orders(), &order_rows(1..=10))]).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Store);
    assert!(error.message().contains("a file stands where a folder should be"), "{error}");
    let error = Archive::create(&folder.path().join("tables/Orders/below"), "Test").unwrap_err();
    assert_eq!(error.kind(), Kind::Store);
}

#[tokio::test]
async fn an_archive_that_lost_its_header_is_not_taken_for_an_empty_folder() {
    let folder = tempfile::tempdir().unwrap();
    let archive = Archive::create(folder.path(), "Test").unwrap();
    let header = folder.path().join("tillvault-archive.json");
    let text = fs::read(&header).unwrap();
    // A folder whose making was interrupted holds nothing yet.
    fs::remove_file(&header).unwrap();
    assert_eq!(Archive::open(folder.path()).unwrap_err().kind(), Kind::NoArchive);
    fs::write(&header, text).unwrap();
    run(&archive, &[(&orders(), &order_rows(1..=10))]).await.unwrap();
    fs::remove_file(&header).unwrap();
    for error in [Archive::open(folder.path()).unwrap_err(), Archive::create(folder.path(), "Test").unwrap_err()] {
        assert_eq!(error.kind(), Kind::Damage);
        assert!(error.next_step().unwrap().contains("check --repair"), "{error}");
    }
    assert!(!header.exists(), "a new header would part the snapshots from their archive");
}

#[tokio::test]
async fn the_second_writer_is_told_who_the_first_is() {
    let folder = tempfile::tempdir().unwrap();
    let archive = Archive::create(folder.path(), "Test").unwrap();
    let lock = archive.lock().unwrap();
    let other = Archive::open(folder.path()).unwrap();
    let error = other.lock().unwrap_err();
    assert_eq!((error.kind(), error.exit_code()), (Kind::Busy, 11));
    assert!(error.message().contains(&format!("process {}", std::process::id())), "{error}");
    assert!(error.message().contains("since 20"), "{error}");
    drop(lock);
    other.lock().unwrap();
}

#[tokio::test]
async fn leftovers_of_killed_writers_are_removed_under_the_lock() {
    let folder = tempfile::tempdir().unwrap();
    let archive = Archive::create(folder.path(), "Test").unwrap();
    run(&archive, &[(&orders(), &order_rows(1..=10))]).await.unwrap();
    let chunk = format!("tables/Orders/{}-7.parquet#12", "a".repeat(64));
    let leftovers = ["README.md#1", "snapshots/000002.json.zst#1", &chunk].map(|name| folder.path().join(name));
    leftovers.iter().for_each(|path| fs::write(path, "half").unwrap());
    let foreign = ["tables/Orders/notes#1", "notes#1", "snapshots/000002.json.zst#draft"];
    let foreign = foreign.map(|name| folder.path().join(name));
    foreign.iter().for_each(|path| fs::write(path, "not ours").unwrap());
    assert_eq!(archive.snapshot_numbers().unwrap(), [1]);
    drop(archive.lock().unwrap());
    assert!(leftovers.iter().all(|path| !path.exists()) && foreign.iter().all(|path| path.exists()));
}

#[tokio::test]
async fn a_truncated_or_missing_chunk_is_found_and_written_anew() {
    let folder = tempfile::tempdir().unwrap();
    let archive = Archive::create(folder.path(), "Test").unwrap();
    let rows = order_rows(1..=1_200);
    let first = run(&archive, &[(&orders(), &rows)]).await.unwrap();
    let entry = &first[0].entry;
    let paths: Vec<_> = entry.chunks.iter().map(|chunk| archive.chunk_path(entry, chunk)).collect();
    fs::remove_file(&paths[0]).unwrap();
    let half = fs::read(&paths[1]).unwrap();
    fs::write(&paths[1], &half[..half.len() / 2]).unwrap();
    for chunk in &entry.chunks[..2] {
        let error = archive.read_chunk(entry, chunk).unwrap_err();
        assert_eq!((error.kind(), error.exit_code()), (Kind::Damage, 13), "{error}");
        assert!(error.message().contains(&chunk.file), "{error}");
    }
    let old = archive.snapshot(1).unwrap();
    assert_eq!(archive.missing_chunks(&old).unwrap().len(), 2);
    // A snapshot that needs them is refused as long as they are missing …
    let error = archive.write_snapshot(&snapshot(&archive, old.tables.clone()).unwrap()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Damage);
    assert_eq!(archive.snapshot_numbers().unwrap(), [1]);
    // … and the next run heals them.
    let second = run(&archive, &[(&orders(), &rows)]).await.unwrap();
    assert_eq!(second[0].chunks_new, 2);
    assert_whole(&archive);
}

#[tokio::test]
async fn an_altered_chunk_is_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let archive = Archive::create(folder.path(), "Test").unwrap();
    let written = run(&archive, &[(&orders(), &order_rows(1..=100))]).await.unwrap();
    let (entry, chunk) = (&written[0].entry, &written[0].entry.chunks[0]);
    let path = archive.chunk_path(entry, chunk);
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&path, bytes).unwrap();
    let error = archive.read_chunk(entry, chunk).unwrap_err();
    assert!(error.kind() == Kind::Damage && error.message().contains("altered"), "{error}");
}

#[tokio::test]
async fn broken_snapshot_files_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let archive = Archive::create(folder.path(), "Test").unwrap();
    for last in [10, 20, 30] {
        run(&archive, &[(&orders(), &order_rows(1..=last))]).await.unwrap();
    }
    let path = |number: u64| folder.path().join(format!("snapshots/{number:06}.json.zst"));
    let good = fs::read(path(3)).unwrap();
    let compressed = |text: &str| zstd::encode_all(text.as_bytes(), 3).unwrap();
    let text = String::from_utf8(zstd::decode_all(good.as_slice()).unwrap()).unwrap();
    let cases: [(Vec<u8>, Kind, &str); 9] = [
        (good[..good.len() - 9].to_vec(), Kind::Damage, "not zstd"),
        (b"plain".to_vec(), Kind::Damage, "not zstd"),
        (compressed("{\"format\":1"), Kind::Damage, "not a snapshot"),
        (compressed("{\"format\":1}"), Kind::Damage, "not a snapshot"),
        (compressed(&text.replacen("\"format\":1", "\"format\":2", 1)), Kind::Store, "archive format 2"),
        (compressed(&text.replacen("\"snapshot\":3", "\"snapshot\":4", 1)), Kind::Damage, "number 4"),
        (compressed(&text.replacen("\"Orders\",\"ladder\"", "\"..\",\"ladder\"", 1)), Kind::Damage, "folder"),
        (compressed(&text.replacen("\"lo\":1,", "", 1)), Kind::Damage, "has the block"),
        (compressed(&text.replacen("\"block\"", "\"encryption\":\"x\",\"block\"", 1)), Kind::Store, "encrypted"),
    ];
    // Sums that no number holds.
    let mut vast: serde_json::Value = serde_json::from_str(&text).unwrap();
    let entry = &mut vast["tables"][0];
    entry["rows"] = 1.into();
    entry["chunks"][0]["rows"] = u64::MAX.into();
    let mut second = entry["chunks"][0].clone();
    second["rows"] = 2.into();
    entry["chunks"].as_array_mut().unwrap().push(second);
    let vast = (compressed(&vast.to_string()), Kind::Damage, "other rows than its chunks");
    for (bytes, kind, word) in cases.into_iter().chain([vast]) {
        fs::write(path(3), bytes).unwrap();
        let error = archive.latest().unwrap_err();
        assert!(error.kind() == kind && error.message().contains(word), "{word}: {error:?}");
        assert!(error.message().contains("000003"), "{error}");
    }
    fs::write(path(3), good).unwrap();
    archive.verify_chain().unwrap();
    fs::copy(path(1), path(2)).unwrap();
    assert!(archive.snapshot(2).unwrap_err().message().contains("number 1"));
    // A valid file that is not the one the next snapshot was written after.
    fs::write(path(2), compressed(&text.replacen("\"snapshot\":3", "\"snapshot\":2", 1))).unwrap();
    assert!(archive.verify_chain().unwrap_err().message().contains("does not follow"));
    assert_eq!(archive.snapshot(9).unwrap_err().kind(), Kind::Usage);
}

#[tokio::test]
async fn a_folder_whose_header_is_lost_does_not_become_another_archive() {
    let folder = tempfile::tempdir().unwrap();
    let archive = Archive::create(folder.path(), "Test").unwrap();
    run(&archive, &[(&orders(), &order_rows(1..=10))]).await.unwrap();
    let header = folder.path().join("tillvault-archive.json");
    fs::remove_file(&header).unwrap();
    let error = Archive::create(folder.path(), "Test").unwrap_err();
    assert_eq!(error.kind(), Kind::Damage, "{error}");
    assert!(error.next_step().unwrap().contains("check --repair"), "{error:?}");
    assert!(!header.exists());
    assert_eq!(Archive::open(folder.path()).unwrap_err().kind(), Kind::Damage);
}

#[tokio::test]
async fn a_snapshot_is_never_overwritten_and_must_be_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let archive = Archive::create(folder.path(), "Test").unwrap();
    let entry = write_table(&archive, &orders(), &order_rows(1..=10), 10).await.unwrap().entry;
    let first = snapshot(&archive, vec![entry.clone()]).unwrap();
    archive.write_snapshot(&first).await.unwrap();
    let hash = archive.snapshot_hash(1).unwrap();
    assert_eq!(archive.write_snapshot(&first).await.unwrap_err().kind(), Kind::Busy);
    let mut next = snapshot(&archive, vec![entry.clone()]).unwrap();
    next.parent = Some("0".repeat(64));
    assert_eq!(archive.write_snapshot(&next).await.unwrap_err().kind(), Kind::Busy);
    let twice = snapshot(&archive, vec![entry.clone(), entry]).unwrap();
    assert_eq!(archive.write_snapshot(&twice).await.unwrap_err().kind(), Kind::Bug);
    assert_eq!(archive.snapshot_hash(1).unwrap(), hash);
    assert_eq!(archive.snapshot(1).unwrap(), first);
    let objects = archive.chunk_objects(&first);
    assert_eq!(objects.len(), 1);
    assert_eq!(fs::metadata(folder.path().join(&objects[0].path)).unwrap().len(), objects[0].bytes);
    let file = archive.snapshot_object(1).unwrap();
    assert_eq!(fs::metadata(folder.path().join(&file.path)).unwrap().len(), file.bytes);
}

#[tokio::test]
async fn the_folder_may_have_an_awkward_name_and_be_moved() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (folder.path().join("Kasa arşivi #1 %20/[x]"), folder.path().join("elsewhere"));
    let rows = order_rows(1..=600);
    run(&Archive::create(&one, "Test").unwrap(), &[(&orders(), &rows)]).await.unwrap();
    fs::rename(&one, &two).unwrap();
    let archive = Archive::open(&two).unwrap();
    let written = run(&archive, &[(&orders(), &rows)]).await.unwrap();
    assert_eq!(written[0].chunks_new, 0);
    assert_whole(&archive);
}

#[test]
fn opening_says_what_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let error = Archive::open(folder.path()).unwrap_err();
    assert_eq!((error.kind(), error.exit_code()), (Kind::NoArchive, 10));
    assert!(error.next_step().unwrap().contains("tillvault init"));
    assert_eq!(Archive::open(&folder.path().join("nowhere")).unwrap_err().kind(), Kind::NoArchive);
    let made = Archive::create(folder.path(), "Hotel Deniz").unwrap();
    assert_eq!((made.site(), made.id().len()), ("Hotel Deniz", 32));
    assert_eq!(Archive::create(folder.path(), "Again").unwrap_err().kind(), Kind::Usage);
    assert_eq!(Archive::open(folder.path()).unwrap().id(), made.id());
    let file = folder.path().join("tillvault-archive.json");
    fs::write(&file, "{\"format\": 9}").unwrap();
    let error = Archive::open(folder.path()).unwrap_err();
    assert!(error.kind() == Kind::Store && error.message().contains("format 9"), "{error}");
    fs::write(&file, "no").unwrap();
    assert_eq!(Archive::open(folder.path()).unwrap_err().kind(), Kind::Damage);
}

#[tokio::test]
async fn rows_that_cannot_be_right_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let archive = Archive::create(folder.path(), "Test").unwrap();
    let refused = async |table: &tillvault::model::table::Table, rows: &RecordBatch| -> Error {
        write_table(&archive, table, rows, 2).await.unwrap_err()
    };
    let error = refused(&orders(), &order_rows([1, 2, 5, 4])).await;
    assert!(error.kind() == Kind::Source && error.message().contains("key 4 after 5"), "{error}");
    let error = refused(&orders(), &order_rows([1, 2, 2])).await;
    assert!(error.kind() == Kind::Source && error.message().contains("came twice"), "{error}");
    let named = table("Named", vec![column("Name", "nvarchar(9)", false)], &["Name"]);
    let twins: Vec<ArrayRef> = vec![Arc::new(arrow::array::StringArray::from(vec!["a", "b", "a"]))];
    let error = refused(&named, &RecordBatch::try_new(named.arrow_schema(), twins).unwrap()).await;
    assert!(error.kind() == Kind::Source && error.message().contains("came twice"), "{error}");
    let other = table("Orders", vec![column("Id", "int", false)], &["Id"]);
    let columns: Vec<ArrayRef> = vec![Arc::new(Int32Array::from(vec![1]))];
    let error = refused(&orders(), &RecordBatch::try_new(other.arrow_schema(), columns).unwrap()).await;
    assert_eq!(error.kind(), Kind::Bug);
    let odd = table("Odd", vec![column("Id", "int", false), column("V", "vector", true)], &["Id"]);
    let error = archive.table_writer(&odd, None).unwrap_err();
    assert!(error.message().contains("Odd") && error.message().contains("column V"), "{error}");
}
