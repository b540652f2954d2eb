//! Makes the golden archive of format 1. Run by hand, once; what it made is read for ever (fixtures/archives/README.md).

use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
};

use jiff::civil::date;
use tillvault::archive::{
    Archive,
    journal::{Forgetting, Forgotten, Tagging},
    layout,
    snapshot::{ClearSeen, Consistency, FORMAT, MissingTable, Snapshot, SnapshotKind, SourceInfo, TableEntry},
};

use crate::tables::{State, states};

/// As `tillvault-archive.json` of `v1` states it.
const HEADER: &str = r#"{
  "format": 1,
  "archive": "00112233445566778899aabbccddeeff",
  "site": "Otel Güneş",
  "created_at": "2026-11-01T00:00:00Z"
}
"#;
const SNAPSHOTS: u64 = 6;
const FORGOTTEN: u64 = 3;

/// `TILLVAULT_GOLDEN=/tmp/v1 cargo nextest run --test golden --run-ignored only make_golden_archive`
#[tokio::test]
#[ignore = "writes a golden archive, which is made once"]
async fn make_golden_archive() {
    let folder = std::env::var_os("TILLVAULT_GOLDEN").expect("TILLVAULT_GOLDEN names the folder to write to");
    let root = PathBuf::from(folder);
    assert!(!root.exists(), "{} is there already: a golden archive is never written over", root.display());
    made(&root).await;
}

/// Makes the archive in `root`, which is not there yet.
pub(crate) async fn made(root: &Path) -> Archive {
    drop(Archive::create(root, "").unwrap());
    fs::write(root.join(layout::HEADER_FILE), HEADER).unwrap();
    let archive = Archive::open(root).unwrap();
    for number in 1..=SNAPSHOTS {
        take(&archive, number).await;
    }
    decide_later(&archive).await;
    archive.write_index(false).await.unwrap();
    fs::remove_file(root.join(layout::LOCK_FILE)).unwrap();
    archive
}

async fn take(archive: &Archive, number: u64) {
    let _lock = archive.lock().unwrap();
    let before = archive.latest().unwrap();
    let mut tables = Vec::new();
    for state in states(number) {
        let previous = match before.as_ref().and_then(|before| before.table(&state.table.name.to_string())) {
            Some(entry) => Some(entry.clone()),
            None => state.first_entry(),
        };
        tables.push(written(archive, &state, previous.as_ref()).await);
    }
    let snapshot = snapshot(archive, number, tables);
    archive.write_snapshot(&snapshot).await.unwrap();
    archive.write_index(false).await.unwrap();
}

async fn written(archive: &Archive, state: &State, previous: Option<&TableEntry>) -> TableEntry {
    let mut writer = archive.table_writer(&state.table, previous).unwrap();
    let mut at = 0;
    while at < state.rows.num_rows() {
        let length = 700.min(state.rows.num_rows() - at);
        writer.push(state.rows.slice(at, length)).await.unwrap();
        at += length;
    }
    writer.finish().await.unwrap().entry
}

fn snapshot(archive: &Archive, number: u64, tables: Vec<TableEntry>) -> Snapshot {
    let (next, parent) = archive.next_link().unwrap();
    assert_eq!(next, number);
    let day = i8::try_from(number).unwrap();
    let till_time = date(2026, 11, day).at(4, 30, 5, 0);
    let missing =
        |table: &str, reason: &str, last_in| MissingTable { table: table.into(), reason: reason.into(), last_in };
    let mut absent = vec![missing("Shapes", "column Shape has type geometry, which cannot be kept exactly", None)];
    if number > 2 {
        absent.push(missing("Gone", "the till no longer has it", Some(2)));
    }
    let clear = |tickets_gone, note: &str| Some(ClearSeen { tickets_gone, note: note.into() });
    Snapshot {
        format: FORMAT,
        archive: archive.id().into(),
        snapshot: number,
        parent,
        taken_at: till_time.in_tz("UTC").unwrap().timestamp(),
        till_time: date(2026, 11, day).at(7, 30, 5, 0),
        kind: if [3, 4].contains(&number) { SnapshotKind::Quick } else { SnapshotKind::Full },
        consistency: match number {
            1 | 5 => Consistency::Snapshot,
            4 => Consistency::Moving,
            _ => Consistency::Reread,
        },
        source: SourceInfo {
            server: "KASA\\SQLEXPRESS".into(),
            database: "SambaPOS5".into(),
            version: "11.0.7001.0".into(),
            collation: "Turkish_CI_AS".into(),
        },
        epoch: [1, 1, 1, 1, 1, 2, 3][usize::try_from(number).unwrap()],
        clear: match number {
            5 => clear(21, "the till was cleared"),
            6 => clear(1, "the till was restored"),
            _ => None,
        },
        tags: if number == 3 { Vec::new() } else { vec!["nightly".into()] },
        tool: "0.1.0".into(),
        tables,
        missing: absent,
        reads: Vec::new(),
    }
}

/// Tags given and taken; one snapshot forgotten, with its file and what it alone named.
async fn decide_later(archive: &Archive) {
    let _lock = archive.lock().unwrap();
    let mut journal = archive.journal().unwrap();
    let tag =
        |snapshot, tags: &[&str]| Some(Tagging { snapshot, tags: tags.iter().map(ToString::to_string).collect() });
    archive.write_record(&mut journal, tag(2, &["önemli", "before the move"]), None).await.unwrap();
    let gone = archive.snapshot(FORGOTTEN).unwrap();
    let forgotten = Forgotten {
        snapshot: FORGOTTEN,
        hash: archive.snapshot_hash(FORGOTTEN).unwrap(),
        parent: gone.parent.clone(),
        taken_at: gone.taken_at,
        till_time: gone.till_time,
        kind: gone.kind,
        epoch: gone.epoch,
        tags: gone.tags.clone(),
    };
    let forgetting = Forgetting { why: "keep-within 2 days".into(), snapshots: vec![forgotten] };
    archive.write_record(&mut journal, None, Some(forgetting)).await.unwrap();
    archive.write_record(&mut journal, tag(4, &[]), None).await.unwrap();
    archive.remove_snapshot(FORGOTTEN, &journal).await.unwrap();
    let named: HashSet<String> = archive
        .snapshot_numbers()
        .unwrap()
        .into_iter()
        .flat_map(|number| archive.chunk_objects(&archive.snapshot(number).unwrap()))
        .map(|object| object.path)
        .collect();
    let unused: Vec<_> =
        archive.chunk_objects(&gone).into_iter().filter(|object| !named.contains(&object.path)).collect();
    assert!(!unused.is_empty());
    for object in unused {
        fs::remove_file(archive.root().join(object.path)).unwrap();
    }
}
