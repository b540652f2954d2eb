//! What the server keeps: files, staged parts, the trash bin, locks, accounts.

use std::{
    collections::{BTreeMap, HashMap},
    time::Instant,
};

use bytes::Bytes;

use super::{
    Options,
    fault::{Event, Fault},
    log::Logged,
};

/// Counts file ids and makes etags.
#[derive(Debug)]
pub(super) struct Ids(u64);

impl Ids {
    pub(super) fn next(&mut self) -> u64 {
        self.0 += 1;
        self.0
    }
}

/// Random per write, and no hash of the content.
pub(super) fn new_etag() -> String {
    format!("{:016x}{:016x}", rand::random::<u64>(), rand::random::<u64>())
}

#[derive(Clone, Debug)]
pub(super) struct File {
    /// What is on the disk.
    pub(super) data: Bytes,
    /// What the database thinks it is.
    pub(super) size: u64,
    /// Not on the disk any more; the database does not know.
    pub(super) gone: bool,
    pub(super) etag: String,
    pub(super) id: u64,
    /// Unix seconds.
    pub(super) modified: i64,
    /// `oc:checksums`, as it was told.
    pub(super) checksum: Option<String>,
}

impl File {
    pub(super) fn new(data: Bytes, modified: i64, ids: &mut Ids) -> Self {
        let size = data.len() as u64;
        Self { data, size, gone: false, etag: new_etag(), id: ids.next(), modified, checksum: None }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Folder {
    pub(super) etag: String,
    pub(super) id: u64,
    pub(super) modified: i64,
}

#[derive(Clone, Debug)]
pub(super) enum Node {
    Folder(Folder),
    File(File),
}

/// A part of a chunked upload.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) data: Bytes,
    pub(super) etag: String,
}

/// The staging folder of a chunked upload.
#[derive(Clone, Debug)]
pub(super) struct Staging {
    pub(super) parts: BTreeMap<String, Part>,
    /// A true multipart upload of an object store.
    pub(super) multipart: bool,
    /// Its metadata is still in the distributed cache.
    pub(super) cached: bool,
    /// All bytes that ever came, parts sent twice counted twice.
    pub(super) taken: u64,
}

/// A deleted file.
#[derive(Clone, Debug)]
pub(super) struct Trashed {
    pub(super) from: String,
    pub(super) bytes: u64,
    pub(super) deleted: i64,
}

/// A sign-in by browser.
#[derive(Clone, Debug, Default)]
pub(super) struct Flow {
    pub(super) confirmed: bool,
    pub(super) device: String,
}

pub(super) struct State {
    /// By path below the user's root; the root itself is `""`.
    pub(super) nodes: BTreeMap<String, Node>,
    pub(super) uploads: BTreeMap<String, Staging>,
    pub(super) trash: Vec<Trashed>,
    /// Held until a moment, or until whoever holds it lets go.
    pub(super) locks: HashMap<String, Option<Instant>>,
    pub(super) faults: Vec<Fault>,
    pub(super) log: Vec<Logged>,
    pub(super) requests: usize,
    /// Login and password, real ones and app passwords.
    pub(super) accounts: Vec<(String, String)>,
    pub(super) app_passwords: Vec<String>,
    pub(super) failed_logins: u32,
    pub(super) maintenance: bool,
    pub(super) disabled: bool,
    pub(super) quota: Option<u64>,
    /// Listings cut into pages, by token.
    pub(super) pages: HashMap<String, Vec<String>>,
    pub(super) flows: HashMap<String, Flow>,
    pub(super) ids: Ids,
    clock: i64,
}

impl State {
    pub(super) fn new(options: &Options) -> Self {
        let mut ids = Ids(100);
        let now = jiff::Timestamp::now().as_second() + options.clock;
        let root = Folder { etag: new_etag(), id: ids.next(), modified: now };
        Self {
            nodes: [(String::new(), Node::Folder(root))].into(),
            uploads: BTreeMap::new(),
            trash: Vec::new(),
            locks: HashMap::new(),
            faults: Vec::new(),
            log: Vec::new(),
            requests: 0,
            accounts: vec![(options.login.clone(), options.password.clone())],
            app_passwords: vec![options.password.clone()],
            failed_logins: 0,
            maintenance: false,
            disabled: false,
            quota: options.quota,
            pages: HashMap::new(),
            flows: HashMap::new(),
            ids,
            clock: options.clock,
        }
    }

    /// Does what nobody has asked for.
    pub(super) fn happen(&mut self, event: &Event) {
        match event {
            Event::StagingExpires => self.uploads.clear(),
            Event::PartIsLost(name) => self.uploads.values_mut().for_each(|staging| drop(staging.parts.remove(name))),
            Event::CacheIsFlushed => {
                self.pages.clear();
                self.uploads.values_mut().for_each(|staging| staging.cached = false);
            }
            Event::Vanishes(path) => {
                let below = format!("{path}/");
                self.nodes.retain(|name, _| name != path && !name.starts_with(&below));
            }
            Event::Appears(path, content) => self.store(path, content.clone()),
            Event::FolderAppears(path) => self.make_folders(path),
        }
    }

    /// Stores a file and makes its folders.
    pub(super) fn store(&mut self, path: &str, content: Bytes) {
        self.make_folders(parent(path));
        let modified = self.now();
        let file = File::new(content, modified, &mut self.ids);
        self.nodes.insert(path.to_owned(), Node::File(file));
    }

    /// Unix seconds by the server's clock.
    pub(super) fn now(&self) -> i64 {
        jiff::Timestamp::now().as_second() + self.clock
    }

    pub(super) fn file(&self, path: &str) -> Option<&File> {
        match self.nodes.get(path) {
            Some(Node::File(file)) => Some(file),
            _ => None,
        }
    }

    pub(super) fn file_mut(&mut self, path: &str) -> Option<&mut File> {
        match self.nodes.get_mut(path) {
            Some(Node::File(file)) => Some(file),
            _ => None,
        }
    }

    pub(super) fn is_folder(&self, path: &str) -> bool {
        matches!(self.nodes.get(path), Some(Node::Folder(_)))
    }

    pub(super) fn all_files(&self) -> impl Iterator<Item = (&str, &File)> {
        self.nodes.iter().filter_map(|(path, node)| match node {
            Node::File(file) => Some((path.as_str(), file)),
            Node::Folder(_) => None,
        })
    }

    /// Everything below a folder, itself left out.
    pub(super) fn below(&self, folder: &str) -> impl Iterator<Item = (&str, &Node)> {
        let prefix = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        let from = self.nodes.range(prefix.clone()..);
        from.take_while(move |(path, _)| path.starts_with(&prefix))
            .filter(|(path, _)| !path.is_empty())
            .map(|(path, node)| (path.as_str(), node))
    }

    /// What stands in a folder.
    pub(super) fn children(&self, folder: &str) -> Vec<(&str, &Node)> {
        let skip = if folder.is_empty() { 0 } else { folder.len() + 1 };
        self.below(folder).filter(|(path, _)| !path[skip..].contains('/')).collect()
    }

    /// Makes a folder and those above it.
    pub(super) fn make_folders(&mut self, path: &str) {
        let now = self.now();
        if path.is_empty() {
            return;
        }
        for (end, _) in path.match_indices('/').chain([(path.len(), "")]) {
            let id = self.ids.next();
            self.nodes
                .entry(path[..end].to_owned())
                .or_insert_with(|| Node::Folder(Folder { etag: new_etag(), id, modified: now }));
        }
    }

    /// Gives the folders above a changed path new etags.
    pub(super) fn touch_parents(&mut self, path: &str) {
        let mut rest = path;
        while !rest.is_empty() {
            rest = parent(rest);
            if let Some(Node::Folder(folder)) = self.nodes.get_mut(rest) {
                folder.etag = new_etag();
            }
        }
    }

    /// Bytes of all files, as the database knows them.
    pub(super) fn used(&self) -> u64 {
        self.all_files().map(|(_, file)| file.size).sum()
    }

    /// Bytes that still fit; none: no limit.
    pub(super) fn free(&self) -> Option<u64> {
        self.quota.map(|quota| quota.saturating_sub(self.used()))
    }

    /// Whether so many more bytes fit.
    pub(super) fn fits(&self, bytes: u64) -> bool {
        self.free().is_none_or(|free| bytes <= free)
    }

    /// Whether somebody holds a lock on the path.
    pub(super) fn is_locked(&mut self, path: &str) -> bool {
        self.locks.retain(|_, until| until.is_none_or(|until| until > Instant::now()));
        self.locks.contains_key(path)
    }

    /// Removes a file or a folder with all in it.
    pub(super) fn remove(&mut self, path: &str, into_trash: bool) {
        let names: Vec<String> = self.below(path).map(|(name, _)| name.to_owned()).collect();
        let deleted = self.now();
        for name in names.into_iter().chain([path.to_owned()]) {
            if let Some(Node::File(file)) = self.nodes.remove(&name)
                && into_trash
            {
                self.trash.push(Trashed { from: name, bytes: file.data.len() as u64, deleted });
            }
        }
        self.touch_parents(path);
    }
}

/// The path of the folder a path lies in.
pub(super) fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(parent, _)| parent)
}

/// The same bytes but one.
pub(super) fn spoiled(data: &Bytes) -> Bytes {
    let mut data = data.to_vec();
    let middle = data.len() / 2;
    if let Some(byte) = data.get_mut(middle) {
        *byte ^= 0x40;
    }
    data.into()
}
