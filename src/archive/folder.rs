//! [`Archive`]: the folder itself, opened.

use std::{
    collections::HashMap,
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use jiff::Timestamp;
use object_store::{ObjectStore, local::LocalFileSystem};
use serde::{Deserialize, Serialize};

use super::{
    index::IndexEntry,
    layout,
    lock::{Purpose, WriteLock},
    parquet, put, readme,
    room::Room,
    snapshot::{Chunk, FORMAT, TableEntry},
    writer::TableWriter,
};
use crate::{
    error::{Error, Kind, OrFail, Result},
    model::table::{Table, TableName},
};

/// `tillvault-archive.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Header {
    format: u32,
    archive: String,
    site: String,
    created_at: Timestamp,
}

const MEND: &str = "`tillvault check --repair` fetches it from a remote that has it; else copy it back from another copy of the archive";

/// A file of the archive as a mirror sees it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ArchiveObject {
    /// Path relative to the archive's root, with `/`.
    pub path: String,
    /// Length.
    pub bytes: u64,
}

/// An archive folder. Reading needs nothing else; hold [`Archive::lock`] while writing.
#[derive(Debug)]
pub struct Archive {
    root: PathBuf,
    header: Header,
    pub(super) store: Arc<dyn ObjectStore>,
    pub(super) room: Room,
    /// Folders of tables that are there or promised, by their lower-case spelling.
    folders: Mutex<HashMap<String, String>>,
}

impl Archive {
    /// Makes a new archive in `root`, which is created if need be, and opens it.
    ///
    /// # Errors
    /// `Usage` when there is one already; `Damage` when there is one that lost its header; `Store` when the folder cannot be
    /// written.
    pub fn create(root: &Path, site: &str) -> Result<Self> {
        let file = root.join(layout::HEADER_FILE);
        if file.exists() {
            return Err(Error::new(Kind::Usage, format!("there is an archive in {} already", root.display()))
                .hint("use it as it is, or choose another folder"));
        }
        // A new id would part those snapshots from their archive.
        if holds_data(root) {
            return Err(lost_header(root));
        }
        let cannot = |error| put::write_error(&root.display().to_string(), error);
        for folder in [root.to_owned(), root.join(layout::SNAPSHOTS), root.join(layout::TABLES)] {
            fs::create_dir_all(folder).map_err(cannot)?;
        }
        let header = Header {
            format: FORMAT,
            archive: hex::encode(rand::random::<[u8; 16]>()),
            site: site.to_owned(),
            created_at: Timestamp::now(),
        };
        let text =
            serde_json::to_string_pretty(&header).or_fail(Kind::Bug, || "the archive's header is not JSON")? + "\n";
        write_file(&root.join(layout::README_FILE), readme::TEXT.as_bytes()).map_err(cannot)?;
        // Last: a folder with this file is a whole archive.
        write_file(&file, text.as_bytes()).map_err(cannot)?;
        Self::open(root)
    }

    /// Makes an archive in `root` that is to become the copy of another one: with that one's header, and an index that knows the
    /// snapshots in `expected` already, so that their numbers are not given anew before their files are here.
    ///
    /// # Errors
    /// `Usage` when there is an archive already; `Damage` when the header is none, or there is an archive that lost its header; `Store` when
    /// the folder cannot be written.
    pub async fn create_from(root: &Path, header: &[u8], expected: Vec<IndexEntry>) -> Result<Self> {
        let parsed = Self::parse_header(header, layout::HEADER_FILE)?;
        let file = root.join(layout::HEADER_FILE);
        if file.exists() {
            return Err(Error::new(Kind::Usage, format!("there is an archive in {} already", root.display())));
        }
        if holds_data(root) {
            return Err(lost_header(root));
        }
        let cannot = |error| put::write_error(&root.display().to_string(), error);
        for folder in [root.to_owned(), root.join(layout::SNAPSHOTS), root.join(layout::TABLES)] {
            fs::create_dir_all(folder).map_err(cannot)?;
        }
        Self::with_header(root, parsed, local_store(root)?).expect_in_index(expected).await?;
        write_file(&root.join(layout::README_FILE), readme::TEXT.as_bytes()).map_err(cannot)?;
        // Last: a folder with this file is an archive.
        write_file(&file, header).map_err(cannot)?;
        Self::open(root)
    }

    /// Opens the archive in `root`.
    ///
    /// # Errors
    /// `NoArchive` when there is none; `Store` when a newer tillvault made it; `Damage` when its header is lost or cannot be read.
    pub fn open(root: &Path) -> Result<Self> {
        Ok(Self::with_header(root, Self::read_header(root)?, local_store(root)?))
    }

    /// Opens the archive in `root` and writes through `store`, which must put its files there.
    ///
    /// # Errors
    /// As [`Archive::open`].
    pub fn open_with_store(root: &Path, store: Arc<dyn ObjectStore>) -> Result<Self> {
        Ok(Self::with_header(root, Self::read_header(root)?, store))
    }

    /// Opens an archive whose header cannot be trusted, as the one of that id.
    pub(super) fn open_as(root: &Path, id: String) -> Result<Self> {
        let header = Header { format: FORMAT, archive: id, site: String::new(), created_at: Timestamp::UNIX_EPOCH };
        Ok(Self::with_header(root, header, local_store(root)?))
    }

    fn with_header(root: &Path, header: Header, store: Arc<dyn ObjectStore>) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self { root: root.to_owned(), header, store, room: Room::new(cores), folders: Mutex::new(HashMap::new()) }
    }

    fn read_header(root: &Path) -> Result<Header> {
        let path = root.join(layout::HEADER_FILE);
        let bytes = fs::read(&path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound if holds_data(root) => lost_header(root),
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
                Error::new(Kind::NoArchive, format!("there is no archive in {}", root.display()))
                    .hint("make one with `tillvault init`, or name the right folder")
            }
            _ => Error::new(Kind::Store, format!("{} cannot be read", path.display())).caused_by(error),
        })?;
        Self::parse_header(&bytes, &path.display().to_string()).map_err(|error| match error.kind() {
            Kind::Damage => error.hint(MEND),
            _ => error,
        })
    }

    /// `what` names the file in messages.
    fn parse_header(bytes: &[u8], what: &str) -> Result<Header> {
        let damaged = || format!("{what} is damaged");
        let text: serde_json::Value = serde_json::from_slice(bytes).or_fail(Kind::Damage, damaged)?;
        check_format(text.get("format"), what)?;
        serde_json::from_value(text).or_fail(Kind::Damage, damaged)
    }

    /// The archive id that the bytes of a header file name.
    ///
    /// # Errors
    /// `Damage` when they are no header; `Store` when a newer tillvault wrote it.
    pub fn header_id(bytes: &[u8]) -> Result<String> {
        Ok(Self::parse_header(bytes, layout::HEADER_FILE)?.archive)
    }

    /// The archive's folder.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The archive's id, 32 hex digits, chosen at random when it was made. Snapshots and mirrors repeat it.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.header.archive
    }

    /// The site's name, as given when the archive was made.
    #[must_use]
    pub fn site(&self) -> &str {
        &self.header.site
    }

    /// When the archive was made.
    #[must_use]
    pub fn created_at(&self) -> Timestamp {
        self.header.created_at
    }

    /// Takes the right to write, and clears away what killed writers left behind.
    ///
    /// # Errors
    /// `Busy`, naming the holder, when another process has it; `Store` when the folder cannot be written.
    pub fn lock(&self) -> Result<WriteLock> {
        let lock = WriteLock::take(&self.root, Purpose::Write)?;
        self.remove_leftovers()?;
        Ok(lock)
    }

    /// Takes the right to push this archive to remotes, so that two pushes never upload the same object at once. Taking
    /// snapshots goes on meanwhile.
    ///
    /// # Errors
    /// `Busy`, naming the holder, when another process has it; `Store` when the folder cannot be written.
    pub fn lock_push(&self) -> Result<WriteLock> {
        let lock = WriteLock::take(&self.root, Purpose::Push)?;
        remove_leftovers_in(&self.root, layout::is_pushed_file)?;
        Ok(lock)
    }

    /// Removes half-written files: the store writes under `name#number` and renames. Only under the lock, and only files
    /// whose name says that they are ours.
    fn remove_leftovers(&self) -> Result<()> {
        let fixed = [layout::HEADER_FILE, layout::README_FILE, layout::MARKS_FILE, layout::SUMS_FILE];
        remove_leftovers_in(&self.root, |name| fixed.contains(&name))?;
        for folder in [layout::SNAPSHOTS, layout::JOURNAL] {
            remove_leftovers_in(&self.root.join(folder), |name| layout::snapshot_number(name).is_some())?;
        }
        remove_leftovers_in(&self.root.join(layout::INDEX), |_| true)?;
        for folder in
            entries(&self.root.join(layout::TABLES))?.iter().map(fs::DirEntry::path).filter(|path| path.is_dir())
        {
            remove_leftovers_in(&folder, |name| layout::parse_chunk_file(name).is_some())?;
        }
        Ok(())
    }

    /// The path of a chunk's file.
    #[must_use]
    pub fn chunk_path(&self, table: &TableEntry, chunk: &Chunk) -> PathBuf {
        self.root.join(layout::TABLES).join(&table.folder).join(chunk.file_name())
    }

    /// The rows of a chunk, from a file whose length and hash were checked.
    ///
    /// # Errors
    /// `Damage` when the file is missing, altered or not what the snapshot says.
    pub fn read_chunk(&self, table: &TableEntry, chunk: &Chunk) -> Result<arrow::array::RecordBatch> {
        let rows = parquet::decode(self.chunk_bytes(table, chunk)?, &table.table)?;
        if rows.num_rows() as u64 != chunk.rows {
            let name = layout::chunk_path(&table.folder, &chunk.file_name());
            return Err(Error::new(
                Kind::Damage,
                format!("chunk {name} holds {} rows, its snapshot says {}", rows.num_rows(), chunk.rows),
            ));
        }
        Ok(rows)
    }

    /// The bytes of a chunk's file, length and hash checked.
    pub(super) fn chunk_bytes(&self, table: &TableEntry, chunk: &Chunk) -> Result<Bytes> {
        let name = layout::chunk_path(&table.folder, &chunk.file_name());
        let hint = MEND;
        let bytes = fs::read(self.root.join(&name)).map_err(|error| {
            Error::new(Kind::Damage, format!("chunk {name} is missing or unreadable")).hint(hint).caused_by(error)
        })?;
        if bytes.len() as u64 != chunk.bytes || blake3::hash(&bytes).to_hex().as_str() != chunk.file {
            return Err(Error::new(Kind::Damage, format!("chunk {name} was altered: its bytes do not match its name"))
                .hint(hint));
        }
        Ok(bytes.into())
    }

    /// Begins a table of the next snapshot. `previous` is the table's entry in the snapshot before, if it has one: what is
    /// known from there is neither encoded nor written again.
    ///
    /// A table with an integer key needs little memory, however long it is; any other waits in memory as a whole until
    /// [`TableWriter::finish`], since only then it is known how it is cut.
    ///
    /// # Errors
    /// `Source` when the table has a column that cannot be kept exactly; `Store` when its folder cannot be read.
    pub fn table_writer(&self, table: &Table, previous: Option<&TableEntry>) -> Result<TableWriter> {
        let previous = previous.filter(|entry| entry.table.name == table.name);
        let folder = match previous {
            Some(entry) => entry.folder.clone(),
            None => self.folder_for(&table.name)?,
        };
        TableWriter::new(self, table, folder, previous)
    }

    /// The folder of a table that the snapshot before does not have: its plain name, unless another table's folder differs
    /// from it by case alone.
    fn folder_for(&self, table: &TableName) -> Result<String> {
        let there = entries(&self.root.join(layout::TABLES))?;
        let mut folders = self.folders.lock().unwrap_or_else(PoisonError::into_inner);
        for entry in there {
            if let Ok(name) = entry.file_name().into_string() {
                folders.entry(name.to_ascii_lowercase()).or_insert(name);
            }
        }
        let plain = layout::folder_name(table);
        let taken = folders.entry(plain.to_ascii_lowercase()).or_insert_with(|| plain.clone());
        Ok(if *taken == plain { plain } else { layout::folder_name_apart(table) })
    }
}

fn local_store(root: &Path) -> Result<Arc<dyn ObjectStore>> {
    let store = LocalFileSystem::new_with_prefix(root)
        .or_fail(Kind::Store, || format!("the archive folder {} cannot be opened", root.display()))?
        .with_fsync(true);
    Ok(Arc::new(store))
}

/// Refuses formats this version does not know.
pub(super) fn check_format(format: Option<&serde_json::Value>, what: &str) -> Result<()> {
    match format.and_then(serde_json::Value::as_u64) {
        Some(known) if known == u64::from(FORMAT) => Ok(()),
        Some(other) => Err(Error::new(
            Kind::Store,
            format!(
                "{what} has archive format {other}; this tillvault {} knows format {FORMAT}",
                env!("CARGO_PKG_VERSION")
            ),
        )
        .hint("use the newest tillvault")),
        None => Err(Error::new(Kind::Damage, format!("{what} names no archive format"))),
    }
}

/// Whether snapshots, records or tables lie in a folder: an archive's header is written before any of them.
fn holds_data(root: &Path) -> bool {
    let has = |folder: &str, of_ours: fn(&fs::DirEntry) -> bool| {
        entries(&root.join(folder)).is_ok_and(|found| found.iter().any(of_ours))
    };
    let is_numbered: fn(&fs::DirEntry) -> bool =
        |entry| entry.file_name().to_str().and_then(layout::snapshot_number).is_some();
    has(layout::SNAPSHOTS, is_numbered)
        || has(layout::JOURNAL, is_numbered)
        || has(layout::TABLES, |entry| entry.path().is_dir())
}

fn lost_header(root: &Path) -> Error {
    let message = format!("the archive in {} has lost its file {}", root.display(), layout::HEADER_FILE);
    Error::new(Kind::Damage, message).hint(MEND)
}

/// A folder's entries; none when it is not there.
pub(super) fn entries(folder: &Path) -> Result<Vec<fs::DirEntry>> {
    match fs::read_dir(folder) {
        Ok(entries) => {
            entries.collect::<io::Result<_>>().or_fail(Kind::Store, || format!("{} cannot be listed", folder.display()))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(Error::new(Kind::Store, format!("{} cannot be listed", folder.display())).caused_by(error)),
    }
}

/// Removes the files `name#number` of a folder where `name` is `ours`.
fn remove_leftovers_in(folder: &Path, ours: impl Fn(&str) -> bool) -> Result<()> {
    for entry in entries(folder)? {
        let name = entry.file_name();
        let Some((name, number)) = name.to_str().and_then(|name| name.rsplit_once('#')) else { continue };
        if ours(name) && !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()) {
            let path = entry.path();
            fs::remove_file(&path)
                .or_fail(Kind::Store, || format!("the leftover {} cannot be removed", path.display()))?;
        }
    }
    Ok(())
}

/// Files of a folder with their lengths.
pub(super) fn lengths(folder: &Path) -> Result<HashMap<String, u64>> {
    let mut found = HashMap::new();
    for entry in entries(folder)? {
        let metadata = match fs::metadata(entry.path()) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => {
                return Err(
                    Error::new(Kind::Store, format!("{} cannot be read", entry.path().display())).caused_by(error)
                );
            }
        };
        if let (true, Ok(name)) = (metadata.is_file(), entry.file_name().into_string()) {
            found.insert(name, metadata.len());
        }
    }
    Ok(found)
}

/// Writes a small file: temporary name, synced, renamed.
fn write_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push("#1");
    let mut file = fs::File::create(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    drop(file);
    fs::rename(&temporary, path)?;
    if let (true, Some(folder)) = (cfg!(unix), path.parent()) {
        fs::File::open(folder)?.sync_all()?;
    }
    Ok(())
}
