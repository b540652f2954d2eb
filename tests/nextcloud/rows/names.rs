//! Row 42: names that a server would change or refuse do not occur.

use proptest::prelude::*;
use tillvault::{archive::layout, model::table::TableName};

use super::{Rig, bytes};

/// What Nextcloud, the file systems below it and its clients all take as it is.
fn is_safe(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    !name.is_empty()
        && name.len() <= 200
        && name.bytes().all(plain)
        && !name.starts_with('.')
        && !name.ends_with('.')
        && ![".part", ".filepart", ".htaccess"].iter().any(|end| name.to_lowercase().ends_with(end))
}

proptest! {
    #[test]
    fn row_42_every_name_is_one_that_no_server_changes(
        schema in "\\PC{1,40}", name in "\\PC{1,140}", number in 1_u64..u64::MAX, hash in "[0-9a-f]{64}", length in 0_u64..u64::MAX,
    ) {
        let table = TableName { schema, name };
        for folder in [layout::folder_name(&table), layout::folder_name_apart(&table)] {
            let chunk = layout::chunk_path(&folder, &format!("{hash}-{length}.parquet"));
            prop_assert!(chunk.split('/').all(is_safe), "{chunk}");
        }
        // Where two tables differ only by case, the names that are used differ by more.
        let other = TableName { schema: table.schema.clone(), name: swapped(&table.name) };
        if other.name != table.name {
            let (one, two) = (layout::folder_name_apart(&table), layout::folder_name_apart(&other));
            prop_assert_ne!(one.to_lowercase(), two.to_lowercase());
        }
        for path in [layout::snapshot_path(number), layout::record_path(number)] {
            prop_assert!(path.split('/').all(is_safe), "{path}");
        }
    }
}

/// The same name with upper and lower case exchanged.
fn swapped(name: &str) -> String {
    name.chars()
        .map(|sign| if sign.is_ascii_uppercase() { sign.to_ascii_lowercase() } else { sign.to_ascii_uppercase() })
        .collect()
}

#[tokio::test]
async fn row_42_the_longest_names_are_taken() {
    let rig = Rig::new().await;
    let longest = TableName { schema: "é".repeat(128), name: "Ω".repeat(128) };
    let reserved = TableName { schema: "dbo".into(), name: "CON".into() };
    for table in [longest, reserved] {
        let file = format!("{}-{}.parquet", "0".repeat(64), u64::MAX);
        let path = layout::chunk_path(&layout::folder_name(&table), &file);
        rig.put(&path, &bytes(1)).await.unwrap();
        assert_eq!(rig.content(&path).unwrap(), bytes(1));
    }
    for path in [layout::HEADER_FILE, layout::README_FILE, layout::INDEX_FILE] {
        assert!(path.split('/').all(is_safe), "{path}");
    }
}

/// The tests of a row, as docs/REMOTES.md should name them.
fn tests_of(sources: &[(String, String)], row: u32) -> Vec<String> {
    let start = format!("fn row_{row:02}_");
    let mut found = Vec::new();
    for (file, source) in sources {
        for (at, _) in source.match_indices(&start) {
            let name = source[at + 3..].split('(').next().unwrap_or_default();
            found.push(format!("`{}::{name}`", file.trim_end_matches(".rs")));
        }
    }
    found
}

#[test]
fn the_documentation_names_a_test_for_each_of_the_42_rows() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut sources: Vec<(String, String)> = std::fs::read_dir(root.join("tests/nextcloud/rows"))
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().into_string().unwrap(), std::fs::read_to_string(entry.path()).unwrap()))
        .collect();
    sources.sort();
    let text = std::fs::read_to_string(root.join("docs/REMOTES.md")).unwrap();
    for row in 1..=42 {
        let tests = tests_of(&sources, row);
        assert!(!tests.is_empty(), "row {row} has no test");
        let line = text.lines().find(|line| line.starts_with(&format!("| {row} |")));
        let line = line.unwrap_or_else(|| panic!("docs/REMOTES.md has no row {row}"));
        assert!(line.ends_with(&format!("| {} |", tests.join(", "))), "row {row}: {tests:?}");
    }
}
