//! An archive of small tables with fixed times, and the program over it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use arrow::{
    array::{Array, ArrayRef, RecordBatch, StringArray},
    compute::cast,
};
use tempfile::TempDir;
use tillvault::{
    archive::{
        Archive,
        snapshot::{Chunk, Consistency, FORMAT, Snapshot, SnapshotKind, SourceInfo, TableEntry},
    },
    model::table::{Column, Table, TableName},
};

use crate::support::{Ran, finished};

/// A table: columns are `name type`, the first `keys` of them are the key.
pub(crate) fn table(name: &str, columns: &[&str], keys: usize) -> Table {
    let column = |text: &&str| {
        let (name, sql_type) = text.split_once(' ').unwrap();
        Column { name: name.into(), sql_type: sql_type.parse().unwrap(), nullable: true, ..Column::default() }
    };
    let columns: Vec<Column> = columns.iter().map(column).collect();
    let key = columns[..keys].iter().map(|column| column.name.clone()).collect();
    Table { name: TableName::dbo(name), columns, key, ..Table::default() }
}

/// Rows of a table, a line each, values separated by `|`; `-` is NULL.
pub(crate) fn rows(table: &Table, lines: impl IntoIterator<Item = impl AsRef<str>>) -> RecordBatch {
    let lines: Vec<Vec<Option<String>>> = lines
        .into_iter()
        .map(|line| line.as_ref().split('|').map(str::trim).map(|v| (v != "-").then(|| v.to_owned())).collect())
        .collect();
    let schema = table.arrow_schema();
    let column = |(at, field): (usize, &Arc<arrow::datatypes::Field>)| -> ArrayRef {
        let texts: StringArray = lines.iter().map(|line| line[at].clone()).collect();
        let array = cast(&texts, field.data_type()).unwrap();
        assert_eq!(array.null_count(), texts.null_count(), "{texts:?} as {}", field.data_type());
        array
    };
    let columns = schema.fields().iter().enumerate().map(column).collect();
    RecordBatch::try_new(schema, columns).unwrap()
}

/// Orders with these lines: `Id | Name | Price | At`.
pub(crate) fn orders(lines: impl IntoIterator<Item = impl AsRef<str>>) -> (Table, RecordBatch) {
    let table = table("Orders", &["Id int", "Name nvarchar(50)", "Price decimal(16,2)", "At datetime"], 1);
    let rows = rows(&table, lines);
    (table, rows)
}

/// Lines for [`orders`] that follow from the Ids.
pub(crate) fn lines(ids: impl IntoIterator<Item = i32>) -> Vec<String> {
    ids.into_iter().map(line).collect()
}

pub(crate) fn line(id: i32) -> String {
    format!("{id}|Item {}|{}.50|2026-10-01 12:00:{:02}", id % 40, id % 9, id % 60)
}

/// An archive, with settings beside it that name two remotes nobody ever reaches.
pub(crate) struct Book {
    folder: TempDir,
    pub(crate) archive: Archive,
}

impl Book {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("archive");
        let archive = Archive::create(&root, "Beach Bar").unwrap();
        // A fixed id, so that lengths and hashes are the same in every run.
        let header = root.join("tillvault-archive.json");
        let text = fs::read_to_string(&header).unwrap().replace(archive.id(), "0123456789abcdef0123456789abcdef");
        fs::write(&header, text).unwrap();
        let remote = |name: &str| {
            format!(
                "[[remote]]\nname = '{name}'\nurl = 'http://127.0.0.1:9/{name}'\nusername = 'x'\npassword_file = 'p'\n"
            )
        };
        let settings = format!("timezone = 'Europe/London'\n{}{}", remote("cloud"), remote("usb"));
        fs::write(folder.path().join("tillvault.toml"), settings).unwrap();
        fs::write(folder.path().join("p"), "p").unwrap();
        Self { archive: Archive::open(&root).unwrap(), folder }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("archive").join(name)
    }

    /// Takes a snapshot of these tables: number n on the n-th of October at three o'clock.
    pub(crate) async fn take(&self, tables: &[(Table, RecordBatch)]) -> Snapshot {
        self.take_as(tables, |_| ()).await
    }

    /// As [`Book::take`], with the last word on what the snapshot says.
    pub(crate) async fn take_as(&self, tables: &[(Table, RecordBatch)], edit: impl FnOnce(&mut Snapshot)) -> Snapshot {
        let _lock = self.archive.lock().unwrap();
        let previous = self.archive.latest().unwrap();
        let mut entries: Vec<TableEntry> = Vec::new();
        for (table, rows) in tables {
            let before = previous.as_ref().and_then(|snapshot| snapshot.table(&table.name.to_string()));
            let mut writer = self.archive.table_writer(table, before).unwrap();
            if rows.num_rows() > 0 {
                writer.push(rows.clone()).await.unwrap();
            }
            entries.push(writer.finish().await.unwrap().entry);
        }
        let (number, parent) = self.archive.next_link().unwrap();
        let text = |text: &str| text.to_owned();
        let day =
            jiff::civil::date(2026, 10, 1).saturating_add(jiff::Span::new().days(i64::try_from(number).unwrap() - 1));
        let till_time = day.at(3, 0, 0, 0);
        let mut snapshot = Snapshot {
            format: FORMAT,
            archive: self.archive.id().into(),
            snapshot: number,
            parent,
            taken_at: jiff::tz::TimeZone::get("Europe/London").unwrap().to_timestamp(till_time).unwrap(),
            till_time,
            kind: SnapshotKind::Full,
            consistency: Consistency::Reread,
            source: SourceInfo {
                server: text("TILL"),
                database: text("DB"),
                version: text("14"),
                collation: text("C"),
            },
            epoch: 1,
            clear: None,
            tags: vec![text("nightly")],
            tool: text("0.1.0"),
            tables: entries,
            missing: Vec::new(),
            reads: Vec::new(),
        };
        edit(&mut snapshot);
        self.archive.write_snapshot(&snapshot).await.unwrap();
        self.archive.write_index(false).await.unwrap();
        snapshot
    }

    /// Overwrites chunk files with as many other bytes.
    pub(crate) fn spoil<'a>(&self, entry: &TableEntry, chunks: impl IntoIterator<Item = &'a Chunk>) -> usize {
        let mut spoiled = 0;
        for chunk in chunks {
            let path = self.archive.chunk_path(entry, chunk);
            fs::write(&path, vec![0x5a; fs::read(&path).unwrap().len()]).unwrap();
            spoiled += 1;
        }
        spoiled
    }

    /// Runs the program.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tillvault"));
        command.args(arguments).current_dir(self.folder.path());
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("TILLVAULT_")) {
            command.env_remove(name);
        }
        finished(command)
    }

    /// Its text on standard output, in which hashes are hidden.
    pub(crate) fn text(&self, arguments: &[&str]) -> String {
        hidden(&self.run(arguments).done().stdout)
    }

    /// Its JSON.
    pub(crate) fn json(&self, arguments: &[&str]) -> serde_json::Value {
        self.run(&[arguments, &["--json"]].concat()).done().json()
    }
}

/// Hides hashes: the names of files follow from the versions of crates.
pub(crate) fn hidden(text: &str) -> String {
    let mut shown = String::new();
    let mut run = String::new();
    for character in text.chars().chain(['\0']) {
        if character.is_ascii_hexdigit() {
            run.push(character);
            continue;
        }
        shown.push_str(if run.len() == 64 { "<hash>" } else { &run });
        run.clear();
        if character != '\0' {
            shown.push(character);
        }
    }
    shown
}

/// The names in a folder.
pub(crate) fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .map(|entries| entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect())
        .unwrap_or_default();
    names.sort();
    names
}
