//! The kinds of damage that an archive may suffer, each with what a check must find. One list: the fixtures are made from it, and
//! the repair is tried on it.

use std::{fs, path::Path};

use tillvault::archive::{Archive, layout, snapshot::Snapshot};

use crate::support::{FORGOTTEN, NIGHTS, build, chunks, copy, pack, unpack};

/// One kind of damage.
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    /// What a check must find, by its options; or the kind of error, when nothing can be checked.
    pub(crate) expected: Expected,
}

/// Findings as `level kind path`, for structure, `--read-data` and `--deep`; each holds what the one before it holds.
#[derive(Default)]
pub(crate) struct Expected {
    pub(crate) structure: Vec<String>,
    pub(crate) read_data: Vec<String>,
    pub(crate) deep: Vec<String>,
    pub(crate) error: Option<&'static str>,
}

fn found(lines: &[(&str, &str)]) -> Vec<String> {
    lines.iter().map(|(what, path)| format!("{what} {path}")).collect()
}

/// Found whatever the options.
fn always(lines: &[(&str, &str)]) -> Expected {
    Expected { structure: found(lines), read_data: found(lines), deep: found(lines), error: None }
}

/// Found when bytes are read.
fn by_reading(lines: &[(&str, &str)]) -> Expected {
    Expected { structure: Vec::new(), ..always(lines) }
}

/// Found when rows are decoded.
fn by_decoding(lines: &[(&str, &str)]) -> Expected {
    Expected { deep: found(lines), ..Expected::default() }
}

/// The chunk of the first, second, third block of Orders in the newest snapshot; the fourth is that of Tags.
fn chunk(root: &Path, index: usize) -> String {
    let archive = Archive::open(root).unwrap();
    chunks(&archive, &archive.latest().unwrap().unwrap())[index].clone()
}

pub(crate) fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 0x10;
    fs::write(path, bytes).unwrap();
}

fn cut(path: &Path) {
    let bytes = fs::read(path).unwrap();
    fs::write(path, &bytes[..bytes.len() * 2 / 3]).unwrap();
}

fn exchange(a: &Path, b: &Path) {
    let (one, two) = (fs::read(a).unwrap(), fs::read(b).unwrap());
    fs::write(a, two).unwrap();
    fs::write(b, one).unwrap();
}

type Hook = Option<fn(&mut Snapshot)>;
type Harm = fn(&Path) -> Expected;

/// Makes every kind of damaged archive in a folder of its own below `folder`.
pub(crate) async fn make_all(folder: &Path) -> Vec<Kind> {
    let whole = tempfile::tempdir().unwrap();
    build(whole.path(), |_| {}).await;
    let mut kinds = Vec::new();
    for (name, hook, harm) in list() {
        let root = folder.join(name).join("archive");
        match hook {
            Some(hook) => build(&root, hook).await,
            None => copy(whole.path(), &root),
        }
        kinds.push(Kind { name, expected: harm(&root) });
    }
    kinds.push(forked(folder).await);
    kinds
}

/// Snapshot 5 of another copy of the archive, where snapshot 4 was another one.
async fn forked(folder: &Path) -> Kind {
    let root = folder.join("snapshot-forked").join("archive");
    build(&root, |_| {}).await;
    let other = tempfile::tempdir().unwrap();
    build(other.path(), |snapshot| {
        if snapshot.snapshot == 4 {
            snapshot.tags = vec!["elsewhere".into()];
        }
    })
    .await;
    let path = layout::snapshot_path(NIGHTS);
    fs::copy(other.path().join(&path), root.join(&path)).unwrap();
    fs::remove_file(root.join(layout::INDEX_FILE)).unwrap();
    let archive = Archive::open(&root).unwrap();
    archive.write_index(true).await.unwrap();
    Kind { name: "snapshot-forked", expected: always(&[("damage snapshot-fork", &path)]) }
}

fn list() -> Vec<(&'static str, Hook, Harm)> {
    let mut all: Vec<(&'static str, Hook, Harm)> = vec![("nothing", None, |_| always(&[]))];
    all.extend(harmed_chunks());
    all.extend(harmed_snapshots());
    all.extend(harmed_rest());
    all
}

fn harmed_chunks() -> Vec<(&'static str, Hook, Harm)> {
    vec![
        ("chunk-missing", None, |root| {
            let path = chunk(root, 0);
            fs::remove_file(root.join(&path)).unwrap();
            always(&[("damage chunk-missing", &path)])
        }),
        ("chunk-truncated", None, |root| {
            let path = chunk(root, 0);
            cut(&root.join(&path));
            always(&[("damage chunk-truncated", &path)])
        }),
        ("chunk-overlong", None, |root| {
            let path = chunk(root, 1);
            let mut bytes = fs::read(root.join(&path)).unwrap();
            bytes.extend([0; 7]);
            fs::write(root.join(&path), bytes).unwrap();
            always(&[("damage chunk-overlong", &path)])
        }),
        ("chunk-altered", None, |root| {
            let path = chunk(root, 2);
            flip(&root.join(&path), 70);
            by_reading(&[("damage chunk-altered", &path)])
        }),
        ("chunk-swapped", None, |root| {
            let mut both = [chunk(root, 0), chunk(root, 3)];
            exchange(&root.join(&both[0]), &root.join(&both[1]));
            both.sort();
            always(&[("damage chunk-swapped", &both[0]), ("damage chunk-swapped", &both[1])])
        }),
        ("chunk-misplaced", None, |root| {
            let path = chunk(root, 0);
            let file = path.rsplit('/').next().unwrap();
            fs::rename(root.join(&path), root.join(layout::chunk_path("Tags", file))).unwrap();
            always(&[("damage chunk-misplaced", &path)])
        }),
        ("chunk-orphaned", None, |root| {
            let path = chunk(root, 0);
            let file = path.rsplit('/').next().unwrap();
            let orphan = layout::chunk_path("Tags", file);
            fs::copy(root.join(&path), root.join(&orphan)).unwrap();
            always(&[("note chunk-orphaned", &orphan)])
        }),
        (
            "content-hash-wrong",
            Some(|snapshot| {
                if snapshot.snapshot == NIGHTS {
                    snapshot.tables[0].chunks[2].content = "0123456789abcdef".repeat(4);
                }
            }),
            |root| by_decoding(&[("damage content-mismatch", &chunk(root, 2))]),
        ),
        (
            "rows-out-of-block",
            Some(|snapshot| {
                if snapshot.snapshot == NIGHTS {
                    snapshot.tables[0].chunks[2].block =
                        serde_json::from_value(serde_json::json!({ "lo": 1537, "hi": 2048 })).unwrap();
                }
            }),
            |root| by_decoding(&[("damage rows-out-of-block", &chunk(root, 2))]),
        ),
    ]
}

fn harmed_snapshots() -> Vec<(&'static str, Hook, Harm)> {
    vec![
        ("snapshot-altered", None, |root| {
            let (path, orphan) = (layout::snapshot_path(3), only_in(root, 3));
            flip(&root.join(&path), 100);
            always(&[("damage snapshot-altered", &path), ("note chunk-orphaned", &orphan)])
        }),
        ("snapshot-truncated", None, |root| {
            let (path, orphan) = (layout::snapshot_path(3), only_in(root, 3));
            cut(&root.join(&path));
            always(&[("damage snapshot-truncated", &path), ("note chunk-orphaned", &orphan)])
        }),
        ("snapshot-missing", None, |root| {
            let (path, orphan) = (layout::snapshot_path(3), only_in(root, 3));
            fs::remove_file(root.join(&path)).unwrap();
            always(&[("damage snapshot-missing", &path), ("note chunk-orphaned", &orphan)])
        }),
        ("snapshot-newest-lost", None, |root| {
            let (path, orphan) = (layout::snapshot_path(NIGHTS), chunk(root, 2));
            fs::remove_file(root.join(&path)).unwrap();
            always(&[("damage snapshot-missing", &path), ("note chunk-orphaned", &orphan)])
        }),
        ("snapshot-newest-exchanged", None, |root| {
            // A file that is whole in itself: only the index knows that it is not the one that was written.
            let path = layout::snapshot_path(NIGHTS);
            let mut snapshot = unpack(&fs::read(root.join(&path)).unwrap());
            snapshot["tags"] = serde_json::json!(["forged"]);
            fs::write(root.join(&path), pack(&snapshot)).unwrap();
            always(&[("damage snapshot-altered", &path)])
        }),
        ("snapshot-exchanged", None, |root| {
            let (three, four) = (layout::snapshot_path(3), layout::snapshot_path(4));
            let orphans = [only_in(root, 3), only_in(root, 4)];
            exchange(&root.join(&three), &root.join(&four));
            let mut lines = vec![("damage snapshot-exchanged", three.as_str()), ("damage snapshot-exchanged", &four)];
            let mut orphans: Vec<&str> = orphans.iter().map(String::as_str).collect();
            orphans.sort_unstable();
            lines.extend(orphans.into_iter().map(|path| ("note chunk-orphaned", path)));
            always(&lines)
        }),
        ("snapshot-renamed", None, |root| {
            let (three, nine) = (layout::snapshot_path(3), layout::snapshot_path(9));
            let orphan = only_in(root, 3);
            fs::rename(root.join(&three), root.join(&nine)).unwrap();
            always(&[
                ("damage snapshot-missing", &three),
                ("damage snapshot-exchanged", &nine),
                ("note chunk-orphaned", &orphan),
            ])
        }),
        ("unknown-format-snapshot", None, |root| {
            let path = layout::snapshot_path(NIGHTS);
            let orphan = chunk(root, 2);
            let mut snapshot = unpack(&fs::read(root.join(&path)).unwrap());
            snapshot["format"] = 2.into();
            fs::write(root.join(&path), pack(&snapshot)).unwrap();
            always(&[("warning unknown-format", &path), ("note chunk-orphaned", &orphan)])
        }),
    ]
}

/// The chunk of a snapshot that no other one names: the third block of Orders grows every night.
fn only_in(root: &Path, number: u64) -> String {
    let archive = Archive::open(root).unwrap();
    chunks(&archive, &archive.snapshot(number).unwrap())[2].clone()
}

fn harmed_rest() -> Vec<(&'static str, Hook, Harm)> {
    vec![
        ("record-missing", None, |root| {
            let path = layout::record_path(1);
            fs::remove_file(root.join(&path)).unwrap();
            always(&[("damage record-missing", &path)])
        }),
        ("record-altered", None, |root| {
            let path = layout::record_path(2);
            flip(&root.join(&path), 60);
            // What it said was forgotten cannot be told from a loss.
            always(&[("damage record-altered", &path), ("damage snapshot-missing", &layout::snapshot_path(FORGOTTEN))])
        }),
        ("record-newest-lost", None, |root| {
            let path = layout::record_path(2);
            fs::remove_file(root.join(&path)).unwrap();
            always(&[("damage record-missing", &path), ("damage snapshot-missing", &layout::snapshot_path(FORGOTTEN))])
        }),
        ("header-altered", None, |root| {
            let path = root.join(layout::HEADER_FILE);
            let text = fs::read_to_string(&path).unwrap().replace("Tiny", "Tony");
            fs::write(path, text).unwrap();
            always(&[("damage header-altered", layout::HEADER_FILE)])
        }),
        ("header-missing", None, |root| {
            fs::remove_file(root.join(layout::HEADER_FILE)).unwrap();
            always(&[("damage header-damaged", layout::HEADER_FILE)])
        }),
        ("unknown-format", None, |root| {
            let path = root.join(layout::HEADER_FILE);
            let text = fs::read_to_string(&path).unwrap().replace("\"format\": 1", "\"format\": 2");
            fs::write(path, text).unwrap();
            Expected { error: Some("store"), ..Expected::default() }
        }),
        ("index-absent", None, |root| {
            fs::remove_file(root.join(layout::INDEX_FILE)).unwrap();
            always(&[("warning index-absent", layout::INDEX_FILE)])
        }),
        ("index-altered", None, |root| {
            flip(&root.join(layout::INDEX_FILE), 200);
            always(&[("warning index-absent", layout::INDEX_FILE)])
        }),
        ("index-outdated", None, |root| {
            // The index of the night before: as if the last run had been killed before it wrote one.
            let before = tempfile::tempdir().unwrap();
            copy(root, before.path());
            for path in [layout::snapshot_path(NIGHTS), layout::INDEX_FILE.to_owned()] {
                fs::remove_file(before.path().join(path)).unwrap();
            }
            let archive = Archive::open(before.path()).unwrap();
            let index = std::thread::scope(|scope| {
                scope
                    .spawn(|| {
                        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                        runtime.block_on(archive.write_index(true)).unwrap();
                        fs::read(before.path().join(layout::INDEX_FILE)).unwrap()
                    })
                    .join()
                    .unwrap()
            });
            fs::write(root.join(layout::INDEX_FILE), index).unwrap();
            always(&[("warning index-outdated", layout::INDEX_FILE)])
        }),
        ("strangers", None, |root| {
            let paths = ["snapshots/000003 (copy).json.zst", "snapshots/000006.json.zst#1", "tables/Orders/notes.txt"];
            for path in paths {
                fs::write(root.join(path), "what is this?").unwrap();
            }
            always(&[("note foreign", paths[0]), ("note leftover", paths[1]), ("note foreign", paths[2])])
        }),
    ]
}
