//! What the present code does with files of a later version: it reads what it can be sure of and refuses the rest.

use std::{fs, path::Path};

use serde_json::{Value, json};
use tillvault::{
    archive::{Archive, layout},
    error::{Error, Kind},
};

use crate::{copied, golden_archives, python};

/// Changes a JSON file, compressed or not.
fn edit(root: &Path, path: &str, change: impl Fn(&mut Value)) {
    let path = root.join(path);
    let is_compressed = path.extension().is_some_and(|ending| ending == "zst");
    let stored = fs::read(&path).unwrap();
    let text = if is_compressed { zstd::decode_all(stored.as_slice()).unwrap() } else { stored };
    let mut value: Value = serde_json::from_slice(&text).unwrap();
    change(&mut value);
    let text = serde_json::to_vec(&value).unwrap();
    let stored = if is_compressed {
        let mut encoder = zstd::stream::Encoder::new(Vec::new(), 3).unwrap();
        encoder.include_checksum(true).unwrap();
        encoder.set_pledged_src_size(Some(text.len() as u64)).unwrap();
        std::io::Write::write_all(&mut encoder, &text).unwrap();
        encoder.finish().unwrap()
    } else {
        text
    };
    fs::write(path, stored).unwrap();
}

fn refused(error: &Error, words: &[&str], exit_code: u8) {
    assert_eq!(error.kind().exit_code(), exit_code, "{error}");
    assert!(!error.is_temporary());
    for word in words {
        assert!(error.message().contains(word), "no {word:?} in {error}");
    }
}

fn python_refuses(root: &Path, word: &str) {
    let Some(output) = python(root) else { return };
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(errors.contains(word), "no {word:?} in {errors}");
}

#[test]
fn a_later_archive_is_refused() {
    let golden = golden_archives().pop().unwrap();
    let folder = copied(&golden.root);
    edit(folder.path(), layout::HEADER_FILE, |header| header["format"] = json!(2));
    let error = Archive::open(folder.path()).unwrap_err();
    assert_eq!(error.kind(), Kind::Store);
    refused(&error, &[layout::HEADER_FILE, "format 2", "knows format 1"], 1);
    assert_eq!(error.next_step(), Some("use the newest tillvault"));
    python_refuses(folder.path(), "unknown archive format");
    // A header without a format is no header.
    edit(folder.path(), layout::HEADER_FILE, |header| drop(header.as_object_mut().unwrap().remove("format")));
    refused(&Archive::open(folder.path()).unwrap_err(), &["names no archive format"], 13);
}

#[test]
fn a_later_snapshot_is_refused_and_the_others_are_read() {
    let golden = golden_archives().pop().unwrap();
    let folder = copied(&golden.root);
    let archive = Archive::open(folder.path()).unwrap();
    let numbers = archive.snapshot_numbers().unwrap();
    let (newest, older) = numbers.split_last().unwrap();
    edit(folder.path(), &layout::snapshot_path(*newest), |snapshot| snapshot["format"] = json!(2));
    for error in [archive.snapshot(*newest).unwrap_err(), archive.latest_readable().unwrap_err()] {
        assert_eq!(error.kind(), Kind::Store);
        refused(&error, &[&layout::snapshot_path(*newest), "format 2"], 1);
    }
    for number in older {
        archive.snapshot(*number).unwrap();
    }
    python_refuses(folder.path(), "unknown format");
}

#[test]
fn a_later_record_of_the_journal_is_refused() {
    let golden = golden_archives().pop().unwrap();
    let folder = copied(&golden.root);
    let archive = Archive::open(folder.path()).unwrap();
    let newest = archive.record_numbers().unwrap().pop().unwrap();
    edit(folder.path(), &layout::record_path(newest), |record| record["format"] = json!(2));
    let error = archive.journal().unwrap_err();
    assert_eq!(error.kind(), Kind::Store);
    refused(&error, &[&layout::record_path(newest), "format 2"], 1);
    python_refuses(folder.path(), "unknown format");
}

#[test]
fn a_chunk_in_an_encoding_of_its_own_is_refused() {
    let golden = golden_archives().pop().unwrap();
    let folder = copied(&golden.root);
    let archive = Archive::open(folder.path()).unwrap();
    let newest = archive.snapshot_numbers().unwrap().pop().unwrap();
    let path = layout::snapshot_path(newest);
    let encrypted = |how: &str| {
        edit(folder.path(), &path, |snapshot| {
            let tables = snapshot["tables"].as_array_mut().unwrap();
            let table = tables.iter_mut().rfind(|table| !table["chunks"].as_array().unwrap().is_empty()).unwrap();
            table["chunks"][0]["encryption"] = json!(how);
        });
    };
    encrypted("none");
    assert!(archive.snapshot(newest).is_ok());
    encrypted("age");
    let error = archive.snapshot(newest).unwrap_err();
    assert_eq!(error.kind(), Kind::Store);
    refused(&error, &[&path, "encrypted"], 1);
    python_refuses(folder.path(), "encrypted chunk");
}

/// Adds a field that nobody knows to every object, at every depth.
fn enrich(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.values_mut().for_each(enrich);
            fields.insert("since format 1.5".into(), json!({"list": [1, null, {"x": "y"}]}));
        }
        Value::Array(values) => values.iter_mut().for_each(enrich),
        _ => {}
    }
}

#[test]
fn fields_that_nobody_knows_are_ignored() {
    for golden in golden_archives() {
        let folder = copied(&golden.root);
        let known = Archive::open(&golden.root).unwrap();
        let records = known.record_numbers().unwrap();
        let paths = records.iter().map(|number| layout::record_path(*number));
        let snapshots = known.snapshot_numbers().unwrap();
        let paths = paths.chain(snapshots.iter().map(|number| layout::snapshot_path(*number)));
        for path in paths.chain([layout::HEADER_FILE.to_owned()]) {
            let before = fs::read(golden.root.join(&path)).unwrap();
            edit(folder.path(), &path, enrich);
            assert_ne!(fs::read(folder.path().join(&path)).unwrap(), before);
        }
        let archive = Archive::open(folder.path()).unwrap();
        let headers = [&archive, &known].map(|archive| (archive.id(), archive.site(), archive.created_at()));
        assert_eq!(headers[0], headers[1]);
        for number in snapshots {
            assert_eq!(archive.snapshot(number).unwrap(), known.snapshot(number).unwrap(), "{} {number}", golden.name);
        }
        for number in records {
            assert_eq!(archive.record(number).unwrap().0, known.record(number).unwrap().0, "{} {number}", golden.name);
        }
    }
}
