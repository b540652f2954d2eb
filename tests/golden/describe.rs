//! What an archive holds, as `fixtures/archives/v<N>.json` says it, found out by the present code.

use std::{collections::BTreeMap, fs};

use serde_json::{Value, json};
use tillvault::{
    archive::{
        Archive, layout,
        snapshot::{Block, Chunk, TableEntry},
        verify::verify_rows,
    },
    model::table::{Column, ForeignKey},
};

use crate::text::Lines;

/// The description of a whole archive. Reads every chunk, and checks each against its name, its block and its content hash.
pub(crate) fn described(archive: &Archive) -> Value {
    let journal = archive.journal().unwrap();
    let mut snapshots = Vec::new();
    let mut tables: BTreeMap<String, Vec<(TableEntry, Vec<u64>)>> = BTreeMap::new();
    for number in archive.snapshot_numbers().unwrap() {
        let snapshot = archive.snapshot(number).unwrap();
        snapshots.push(json!({
            "snapshot": number,
            "file": archive.snapshot_hash(number).unwrap(),
            "bytes": archive.snapshot_object(number).unwrap().bytes,
            "parent": snapshot.parent,
            "taken_at": snapshot.taken_at,
            "till_time": snapshot.till_time,
            "kind": snapshot.kind,
            "consistency": snapshot.consistency,
            "source": snapshot.source,
            "epoch": snapshot.epoch,
            "clear": snapshot.clear,
            "tags": journal.tags(&snapshot),
            "tool": snapshot.tool,
            "tables": snapshot.tables.len(),
            "rows": snapshot.rows(),
            "missing": snapshot.missing,
        }));
        for entry in snapshot.tables {
            let states = tables.entry(entry.table.name.to_string()).or_default();
            match states.iter_mut().find(|(known, _)| *known == entry) {
                Some((_, numbers)) => numbers.push(number),
                None => states.push((entry, vec![number])),
            }
        }
    }
    let tables: serde_json::Map<String, Value> = tables
        .into_iter()
        .map(|(name, states)| (name, states.iter().map(|(entry, numbers)| state(archive, entry, numbers)).collect()))
        .collect();
    let header: Value = serde_json::from_slice(&fs::read(archive.root().join(layout::HEADER_FILE)).unwrap()).unwrap();
    json!({
        "format": header["format"],
        "archive": archive.id(),
        "site": archive.site(),
        "created_at": archive.created_at(),
        "records": archive.record_numbers().unwrap().len(),
        "forgotten": journal.forgotten().values().collect::<Vec<_>>(),
        "snapshots": snapshots,
        "tables": tables,
    })
}

/// A table as some snapshots have it.
fn state(archive: &Archive, entry: &TableEntry, numbers: &[u64]) -> Value {
    let mut lines = Lines::new();
    for chunk in &entry.chunks {
        let rows = archive.read_chunk(entry, chunk).unwrap();
        let bytes = fs::read(archive.chunk_path(entry, chunk)).unwrap();
        let flaws = verify_rows(bytes.into(), &entry.table, &entry.ladder, chunk);
        assert!(flaws.is_empty(), "{} {}: {flaws:?}", entry.table.name, chunk.file);
        lines.take(&rows);
    }
    let table = &entry.table;
    let mut state = json!({
        "snapshots": numbers,
        "folder": entry.folder,
        "columns": table.columns.iter().map(column).collect::<Vec<_>>(),
        "key": table.key,
        "foreign_keys": table.foreign_keys.iter().map(foreign_key).collect::<Vec<_>>(),
        "left_out": table.left_out,
        "ladder": entry.ladder,
        "rows": entry.rows,
        "chunks": entry.chunks.iter().map(chunk).collect::<Vec<_>>(),
        "blake3": lines.hash(),
    });
    if let Some(lines) = lines.lines() {
        state["lines"] = json!(lines);
    }
    state
}

fn column(column: &Column) -> String {
    let mut text = format!("{} {} {}", column.name, column.sql_type, if column.nullable { "null" } else { "not null" });
    if column.identity {
        text.push_str(" identity");
    }
    for (word, value) in [("collate", &column.collation), ("default", &column.default)] {
        if let Some(value) = value {
            text.push_str(&format!(" {word} {value}"));
        }
    }
    text
}

fn foreign_key(key: &ForeignKey) -> String {
    let to = &key.references;
    let (from, columns) = (key.columns.join(", "), key.referenced_columns.join(", "));
    format!("{}: {from} -> {}.{} {columns}", key.name, to.schema, to.name)
}

/// Which rows it may hold, how many it holds, their content hash, its file.
fn chunk(chunk: &Chunk) -> String {
    let block = match chunk.block {
        Block::Range { lo, hi } => format!("{lo} to {hi}"),
        Block::Hash { bucket, bits } => format!("bucket {bucket} of {bits} bits"),
        Block::Whole {} => "all".to_owned(),
    };
    format!("{block}: {} rows {} in {}", chunk.rows, chunk.content, chunk.file_name())
}

/// A description without what encoding and compression decide: names and lengths of files.
pub(crate) fn without_files(mut holds: Value) -> Value {
    let list = |value: &mut Value| std::mem::take(value.as_array_mut().unwrap());
    for name in ["snapshots", "forgotten"] {
        let mut entries = list(&mut holds[name]);
        for entry in &mut entries {
            let entry = entry.as_object_mut().unwrap();
            entry.retain(|key, _| !["file", "bytes", "hash", "parent"].contains(&key.as_str()));
        }
        holds[name] = entries.into();
    }
    for states in holds["tables"].as_object_mut().unwrap().values_mut() {
        for state in states.as_array_mut().unwrap() {
            let chunks = list(&mut state["chunks"]);
            let content = chunks.iter().map(|chunk| chunk.as_str().unwrap().split_once(" in ").unwrap().0);
            state["chunks"] = content.collect::<Vec<_>>().into();
        }
    }
    holds
}

/// Two descriptions are the same, part by part.
pub(crate) fn assert_same(found: &Value, expected: &Value, which: &str) {
    for (key, part) in expected.as_object().unwrap().iter().filter(|(key, _)| *key != "tables") {
        assert_eq!(&found[key], part, "{which}: {key}");
    }
    for (table, states) in expected["tables"].as_object().unwrap() {
        assert_eq!(&found["tables"][table], states, "{which}: table {table}");
    }
    assert_eq!(found, expected, "{which}");
}
