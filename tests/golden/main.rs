//! The golden archives: one folder for every format version ever released, which every later tillvault must read, check,
//! and go on writing to (fixtures/archives/README.md).
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "tests")]

mod describe;
mod future;
mod make;
mod onward;
mod read;
mod tables;
mod text;
mod types;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

/// A golden archive and what it holds.
struct Golden {
    /// `v1`.
    name: String,
    /// The folder.
    root: PathBuf,
    /// The description beside it.
    holds: serde_json::Value,
}

/// All that are there, oldest first.
fn golden_archives() -> Vec<Golden> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/archives");
    let mut found: Vec<Golden> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .map(|root| Golden {
            name: root.file_name().unwrap().to_str().unwrap().to_owned(),
            holds: serde_json::from_slice(&fs::read(root.with_extension("json")).unwrap()).unwrap(),
            root,
        })
        .collect();
    found.sort_by_key(|golden| golden.name.strip_prefix('v').unwrap().parse::<u32>().unwrap());
    assert_eq!(found[0].name, "v1");
    found
}

/// A copy to write to.
fn copied(root: &Path) -> tempfile::TempDir {
    let temp = tempfile::tempdir().unwrap();
    copy(root, temp.path());
    temp
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// The reader that was written from docs/FORMAT.md, on an archive.
fn python(root: &Path) -> Option<Output> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = here.join(".tools/venv/bin/python");
    if !python.exists() {
        eprintln!("SKIPPED: {} is not there; scripts/setup.sh makes it", python.display());
        return None;
    }
    Some(Command::new(python).arg(here.join("tests/python/describe_archive.py")).arg(root).output().unwrap())
}

/// Every file below a folder, by its path with `/`.
fn files(root: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push(path.strip_prefix(root).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}
