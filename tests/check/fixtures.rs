//! `fixtures/damaged/`: one small archive for each kind of damage, with what a check must find in it.
//!
//! They are kept as files so that a later version is held to archives of this one. `cargo nextest run --run-ignored all
//! make_damaged_fixtures` made them, from the list in `damage.rs`; a new kind is added by running it again (kinds that are there stay
//! as they are).

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde_json::{Value, json};
use tillvault::{
    archive::{Archive, layout},
    observe,
    ops::check::check,
};

use crate::{
    damage::make_all,
    support::{DEEP, READ_DATA, STRUCTURE, copy, files, lines, readme},
};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/damaged")
}

#[tokio::test]
#[ignore = "writes fixtures/damaged"]
async fn make_damaged_fixtures() {
    let made = tempfile::tempdir().unwrap();
    for kind in make_all(made.path()).await {
        let target = fixtures().join(kind.name);
        if target.exists() {
            continue;
        }
        copy(&made.path().join(kind.name), &target);
        // It changes with the program; whoever reads a fixture puts the present one there.
        fs::remove_file(target.join("archive").join(layout::README_FILE)).unwrap();
        let expected = match kind.expected.error {
            Some(error) => json!({ "error": error }),
            None => json!({
                "structure": kind.expected.structure,
                "read_data": kind.expected.read_data,
                "deep": kind.expected.deep,
            }),
        };
        fs::write(target.join("expected.json"), serde_json::to_string_pretty(&expected).unwrap() + "\n").unwrap();
    }
}

#[tokio::test]
async fn every_damaged_archive_yields_exactly_its_findings() {
    let mut seen = 0;
    let mut wrong = Vec::new();
    for entry in fs::read_dir(fixtures()).unwrap() {
        let fixture = entry.unwrap().path();
        if !fixture.is_dir() {
            continue;
        }
        let name = fixture.file_name().unwrap().to_string_lossy().into_owned();
        let expected: Value = serde_json::from_slice(&fs::read(fixture.join("expected.json")).unwrap()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        copy(&fixture.join("archive"), folder.path());
        fs::write(folder.path().join(layout::README_FILE), readme()).unwrap();
        let before = files(folder.path());
        for (key, options) in [("structure", STRUCTURE), ("read_data", READ_DATA), ("deep", DEEP)] {
            let found = match Archive::open_anyway(folder.path()) {
                Ok(archive) => {
                    let outcome = check(&Arc::new(archive), &options, &observe::silent()).await.unwrap();
                    json!({ key: lines(&outcome) })
                }
                Err(error) => json!({ "error": format!("{:?}", error.kind()).to_lowercase() }),
            };
            let wanted = expected.get("error").map_or_else(|| json!({ key: expected[key] }), |e| json!({ "error": e }));
            if found != wanted {
                wrong.push(format!("{name}, {key}:\n  found    {found}\n  expected {wanted}"));
            }
        }
        assert_eq!(files(folder.path()), before, "a check changes nothing");
        seen += 1;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(seen >= 26, "only {seen} fixtures");
}

/// The list that fixtures are made from still describes what this version finds, in archives that this version writes.
#[tokio::test]
async fn every_kind_of_damage_is_found_in_archives_of_this_version() {
    let made = tempfile::tempdir().unwrap();
    let mut wrong = Vec::new();
    for kind in make_all(made.path()).await {
        let root = made.path().join(kind.name).join("archive");
        let Ok(archive) = Archive::open_anyway(&root) else {
            assert_eq!(kind.expected.error, Some("store"), "{}", kind.name);
            continue;
        };
        let archive = Arc::new(archive);
        let expected = &kind.expected;
        let each = [(STRUCTURE, &expected.structure), (READ_DATA, &expected.read_data), (DEEP, &expected.deep)];
        for (options, wanted) in each {
            let found = lines(&check(&archive, &options, &observe::silent()).await.unwrap());
            if found != *wanted {
                wrong.push(format!("{}:\n  found    {found:#?}\n  expected {wanted:#?}", kind.name));
            }
        }
        if !fixtures().join(kind.name).is_dir() {
            wrong.push(format!("there is no fixture for {}", kind.name));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
