//! Names and paths inside an archive folder (docs/FORMAT.md §Names).
//!
//! Promises: every path is relative, ASCII and valid on every file system and in every URL; a table's folder name can be
//! turned back into the table's name; names come from here and nowhere else. Pure: no IO.

use std::fmt::Write as _;

use crate::model::table::TableName;

/// The file that makes a folder an archive.
pub const HEADER_FILE: &str = "tillvault-archive.json";
/// Folder of the snapshot files.
pub const SNAPSHOTS: &str = "snapshots";
/// Folder of the tables' folders.
pub const TABLES: &str = "tables";
/// The file a writer locks. It holds no data and is never mirrored.
pub const LOCK_FILE: &str = ".lock";
/// The file that whoever mirrors the folder locks. As above.
pub const PUSH_LOCK_FILE: &str = ".lock-push";
/// Derived text for people who meet the folder without tillvault.
pub const README_FILE: &str = "README.md";

/// Folder of the journal's records.
pub const JOURNAL: &str = "journal";
/// Derived: every snapshot with the hash of its file.
pub const INDEX_FILE: &str = "index/snapshots.json";
/// Folder of derived files with a fixed name.
pub const INDEX: &str = "index";
/// Chunks that nothing refers to, since when: what prune found. Never mirrored; losing it only prolongs the grace.
pub const MARKS_FILE: &str = ".marks.json";
/// Checksums that the till gave for chunks: a cache. Never mirrored; losing it costs one full read.
pub const SUMS_FILE: &str = ".sums.json";
/// What a remote was last known to hold: `.pushed-<remote>.json`. Never mirrored; a hint.
const PUSHED_PREFIX: &str = ".pushed-";
/// Folder of what is known of the remotes themselves: what they can do, uploads in parts under way. Never mirrored; may be deleted.
pub const REMOTES: &str = ".remotes";
/// Where a repair puts damaged files, below it under their own path. Never mirrored, never read.
pub const DAMAGED: &str = "damaged";

/// Ending of a snapshot file.
const SNAPSHOT_SUFFIX: &str = ".json.zst";
/// Longest folder name; file systems stop at 255, and sync clients count the whole path.
const LONGEST_FOLDER: usize = 150;

/// `000042.json.zst`.
#[must_use]
pub fn snapshot_file(number: u64) -> String {
    format!("{number:06}{SNAPSHOT_SUFFIX}")
}

/// `snapshots/000042.json.zst`.
#[must_use]
pub fn snapshot_path(number: u64) -> String {
    format!("{SNAPSHOTS}/{}", snapshot_file(number))
}

/// The number of a snapshot file's name; `None` for any other name.
#[must_use]
pub fn snapshot_number(file: &str) -> Option<u64> {
    let number = file.strip_suffix(SNAPSHOT_SUFFIX)?.parse().ok()?;
    (number > 0 && snapshot_file(number) == file).then_some(number)
}

/// `journal/000007.json.zst`. Records are named as snapshots are: [`snapshot_number`] reads both.
#[must_use]
pub fn record_path(number: u64) -> String {
    format!("{JOURNAL}/{}", snapshot_file(number))
}

/// `.pushed-nextcloud.json`. Remotes' names are escaped as tables' are, upper case letters too, so that no name leads elsewhere and
/// no two names meet on a disk that ignores case.
#[must_use]
pub fn pushed_file(remote: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    format!("{PUSHED_PREFIX}{}.json", folder(&TableName::dbo(remote), plain))
}

/// `.remotes/nextcloud.marks.json`: chunks on a remote that nothing refers to, since when. As [`MARKS_FILE`].
#[must_use]
pub fn remote_marks_file(remote: &str) -> String {
    let file = pushed_file(remote);
    let name = file.trim_start_matches(PUSHED_PREFIX).trim_end_matches(".json");
    format!("{REMOTES}/{name}.marks.json")
}

/// Whether this may be the name of a [`pushed_file`].
#[must_use]
pub fn is_pushed_file(name: &str) -> bool {
    name.starts_with(PUSHED_PREFIX) && name.ends_with(".json")
}

/// `tables/Orders/<file>`.
#[must_use]
pub fn chunk_path(folder: &str, file: &str) -> String {
    format!("{TABLES}/{folder}/{file}")
}

/// The file hash and length that a chunk's file name states; `None` for any other name.
#[must_use]
pub fn parse_chunk_file(file: &str) -> Option<(&str, u64)> {
    let (hash, length) = file.strip_suffix(".parquet")?.split_once('-')?;
    let bytes: u64 = length.parse().ok()?;
    let is_hash = hash.len() == 64 && hash.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    (is_hash && bytes.to_string() == length).then_some((hash, bytes))
}

/// The folder of a table below `tables/`: `Orders` for tables of `dbo`, `other.Things` else.
///
/// ASCII letters, digits and `_` stand for themselves; every other byte of the UTF-8 name is `-` and two hex digits. A name
/// that Windows reserves has its first letter escaped as well. Names that would grow too long are cut and end in `--` and
/// 16 digits of their hash; those cannot be turned back, the snapshot has the name.
#[must_use]
pub fn folder_name(table: &TableName) -> String {
    folder(table, |byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// The folder of a table whose [`folder_name`] differs only by case from another table's: letters are escaped, too, so that
/// the two stay apart on a disk that ignores case.
#[must_use]
pub fn folder_name_apart(table: &TableName) -> String {
    folder(table, |byte| byte.is_ascii_digit() || byte == b'_')
}

fn folder(table: &TableName, plain: fn(u8) -> bool) -> String {
    let mut name = String::new();
    if table.schema != "dbo" {
        escape(&mut name, &table.schema, plain);
        name.push('.');
    }
    escape(&mut name, &table.name, plain);
    if is_reserved(&name) {
        let first = name.remove(0);
        name.insert_str(0, &format!("-{:02x}", u32::from(first)));
    }
    if name.len() > LONGEST_FOLDER {
        let hash = blake3::hash(format!("{}\0{}", table.schema, table.name).as_bytes()).to_hex();
        name.truncate(LONGEST_FOLDER - 18);
        // Not in the middle of an escape: `--` must stay the only place with two hyphens.
        if let Some(start) = name.rfind('-').filter(|start| start + 3 > name.len()) {
            name.truncate(start);
        }
        name.push_str("--");
        name.push_str(&hash[..16]);
    }
    name
}

fn escape(into: &mut String, text: &str, plain: fn(u8) -> bool) {
    for byte in text.bytes() {
        if plain(byte) {
            into.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(into, "-{byte:02x}");
        }
    }
}

/// Names that Windows gives to devices, whatever the case or the ending.
fn is_reserved(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or(name).to_ascii_lowercase();
    match stem.as_str() {
        "con" | "prn" | "aux" | "nul" => true,
        _ => {
            stem.len() == 4
                && (stem.starts_with("com") || stem.starts_with("lpt"))
                && stem.as_bytes()[3].is_ascii_digit()
        }
    }
}

/// Whether a name may be a table's folder at all; others lie there by accident, or lead elsewhere.
#[must_use]
pub fn is_folder(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with('.')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte))
}

/// The table a folder belongs to; `None` for names that were cut or are not folders of tables.
#[must_use]
pub fn table_name(folder: &str) -> Option<TableName> {
    let (schema, name) = match folder.split_once('.') {
        Some((schema, name)) => (unescape(schema)?, name),
        None => ("dbo".to_owned(), folder),
    };
    Some(TableName { schema, name: unescape(name)? })
}

fn unescape(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        if first == b'-' {
            bytes.push(u8::from_str_radix(std::str::from_utf8(after.get(..2)?).ok()?, 16).ok()?);
            rest = &after[2..];
        } else if first.is_ascii_alphanumeric() || first == b'_' {
            bytes.push(first);
            rest = after;
        } else {
            return None;
        }
    }
    String::from_utf8(bytes).ok().filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn named(schema: &str, name: &str) -> TableName {
        TableName { schema: schema.into(), name: name.into() }
    }

    #[test]
    fn usual_names_stand_for_themselves() {
        assert_eq!(folder_name(&TableName::dbo("Tickets")), "Tickets");
        assert_eq!(folder_name(&TableName::dbo("__MigrationHistory")), "__MigrationHistory");
        assert_eq!(folder_name(&named("other", "Things")), "other.Things");
        assert_eq!(folder_name(&TableName::dbo("Kasa Ürün")), "Kasa-20-c3-9cr-c3-bcn");
        assert_eq!(folder_name(&TableName::dbo("a.b")), "a-2eb");
        assert_eq!(folder_name(&TableName::dbo("Con")), "-43on");
        assert_eq!(folder_name(&named("LPT1", "x")), "-4cPT1.x");
    }

    #[test]
    fn names_that_differ_by_case_can_be_kept_apart() {
        let (upper, lower) = (TableName::dbo("Tickets"), TableName::dbo("tickets"));
        let (plain, apart) = (folder_name(&upper), folder_name_apart(&lower));
        assert!(!plain.eq_ignore_ascii_case(&apart));
        assert!(!folder_name_apart(&upper).eq_ignore_ascii_case(&apart));
        assert_eq!(table_name(&apart), Some(lower));
    }

    #[test]
    fn a_remotes_name_stays_inside_the_archive() {
        assert_eq!(pushed_file("nextcloud"), ".pushed-nextcloud.json");
        assert_eq!(pushed_file("../../etc/x"), ".pushed--2e-2e-2f-2e-2e-2fetc-2fx.json");
        assert!(!pushed_file("Cloud").eq_ignore_ascii_case(&pushed_file("cloud")));
        assert!(pushed_file(&"ü".repeat(500)).len() < 200);
        assert_eq!(remote_marks_file("nextcloud"), ".remotes/nextcloud.marks.json");
        assert_eq!(remote_marks_file("../x"), ".remotes/-2e-2e-2fx.marks.json");
        assert!(is_pushed_file(&pushed_file("a b")) && !is_pushed_file(".lock"));
    }

    #[test]
    fn long_names_are_cut_and_stay_different() {
        let (one, two) = ("ü".repeat(127) + "1", "ü".repeat(127) + "2");
        let (one, two) = (folder_name(&TableName::dbo(one)), folder_name(&TableName::dbo(two)));
        assert!(one.len() <= LONGEST_FOLDER && two.len() <= LONGEST_FOLDER);
        assert_ne!(one, two);
        assert_eq!(table_name(&one), None);
    }

    #[test]
    fn snapshot_and_chunk_names_are_read_strictly() {
        assert_eq!(snapshot_path(42), "snapshots/000042.json.zst");
        assert_eq!(snapshot_number("000042.json.zst"), Some(42));
        assert_eq!(snapshot_number("1234567.json.zst"), Some(1_234_567));
        for wrong in ["42.json.zst", "000000.json.zst", "000042.json", "+00042.json.zst", "000042.json.zst#1"] {
            assert_eq!(snapshot_number(wrong), None, "{wrong}");
        }
        let hash = "0123456789abcdef".repeat(4);
        assert_eq!(parse_chunk_file(&format!("{hash}-77.parquet")), Some((hash.as_str(), 77)));
        assert_eq!(parse_chunk_file(&format!("{hash}-077.parquet")), None);
        assert_eq!(parse_chunk_file(&format!("{hash}.parquet")), None);
    }

    proptest! {
        #[test]
        fn every_name_comes_back(schema in "\\PC{1,8}", name in "\\PC{1,12}") {
            let table = TableName { schema, name };
            for folder in [folder_name(&table), folder_name_apart(&table)] {
                prop_assert!(folder.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b)));
                if !folder.contains("--") {
                    prop_assert_eq!(table_name(&folder), Some(table.clone()));
                }
            }
        }
    }
}
