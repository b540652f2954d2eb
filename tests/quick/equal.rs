//! A quick snapshot is what a full one would be, entry for entry.

use proptest::{collection::vec, prelude::*};
use tillvault::{archive::snapshot::SnapshotKind, model::table::TableName};

use crate::{
    archive, entries, notes,
    scripted_till::{Cell, Row, Rows, State, archives::deep_check},
    start_small, take,
};

#[tokio::test]
async fn only_what_changed_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let archive = archive(folder.path());
    let mut state = State::of([notes("T", 1..=10_000)]);
    assert_eq!(take(&archive, &state, false).await.rows_read, 10_000);
    // Nothing is known of the rows yet: one full read.
    let first = take(&archive, &state, true).await;
    assert_eq!((first.rows_read, first.unchanged), (10_000, true));
    let second = take(&archive, &state, true).await;
    assert_eq!((second.rows_read, second.unchanged, second.kind), (0, true, SnapshotKind::Quick));
    // An old row, and new ones in the open block.
    state.table("T").rows[4_999][1] = "changed".into();
    state.table("T").rows.extend((10_001..=10_010).map(|id| vec![Cell::from(id), "new".into()]));
    let third = take(&archive, &state, true).await;
    let open = 10_010 - 9_728;
    assert_eq!((third.rows_read, third.rows, third.chunks_new), (4_096 + open, 10_010, 2));
    assert!(!third.unchanged);
    assert_eq!(archive.latest().unwrap().unwrap().kind, SnapshotKind::Quick);
    assert_eq!(take(&archive, &state, true).await.rows_read, 0);
    // The nightly run keeps the sums known.
    state.table("T").rows[0][1] = "changed, too".into();
    assert_eq!(take(&archive, &state, false).await.rows_read, 10_010);
    assert_eq!(take(&archive, &state, true).await.rows_read, 0);
    assert!(deep_check(folder.path()).await.is_empty());
}

#[tokio::test]
async fn a_table_without_ranges_is_kept_or_read_as_a_whole() {
    let folder = tempfile::tempdir().unwrap();
    let archive = archive(folder.path());
    let mut rows = Rows::new(TableName::dbo("H"), &[("Name", "nvarchar(50)"), ("N", "int")], &["Name"]);
    rows.rows = (0..5_000).map(|n| vec![format!("name {n}").into(), n.into()]).collect();
    let mut state = State::of([rows]);
    for (change, read) in [(false, 5_000), (false, 0), (true, 5_000), (false, 0)] {
        if change {
            state.table("H").rows[17][1] = 99.into();
        }
        assert_eq!(take(&archive, &state, true).await.rows_read, read);
    }
    let emptied = State::of([Rows { rows: Vec::new(), ..state.table("H").clone() }]);
    assert_eq!(take(&archive, &emptied, true).await.rows, 0);
}

#[tokio::test]
async fn a_changed_column_or_a_lost_chunk_is_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let archive = archive(folder.path());
    let mut state = State::of([notes("T", 1..=600)]);
    for read in [600, 0] {
        assert_eq!(take(&archive, &state, true).await.rows_read, read);
    }
    let entry = entries(&archive).remove(0);
    std::fs::remove_file(archive.chunk_path(&entry, &entry.chunks[0])).unwrap();
    assert_eq!(take(&archive, &state, true).await.rows_read, 512);
    assert!(archive.chunk_path(&entry, &entry.chunks[0]).exists());
    state.table("T").table.columns[1].sql_type = "nvarchar(100)".parse().unwrap();
    let taken = take(&archive, &state, true).await;
    assert_eq!(taken.rows_read, 600);
    assert!(taken.reads[0].why.as_deref().unwrap().contains("columns"), "{:?}", taken.reads);
    // Without the file of sums, once more.
    assert_eq!(take(&archive, &state, true).await.rows_read, 0);
    std::fs::remove_file(folder.path().join(".sums.json")).unwrap();
    assert_eq!(take(&archive, &state, true).await.rows_read, 600);
}

/// What happens to a table.
#[derive(Clone, Debug)]
enum Change {
    Append(usize),
    Insert(i32),
    Delete(usize),
    Truncate(usize),
    Edit(usize, usize),
    Swap(usize, usize),
    Reseed,
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        4 => (1..40usize).prop_map(Change::Append),
        1 => (-100..300i32).prop_map(Change::Insert),
        2 => any::<usize>().prop_map(Change::Delete),
        1 => (1..50usize).prop_map(Change::Truncate),
        4 => (any::<usize>(), 0..200usize).prop_map(|(at, length)| Change::Edit(at, length)),
        2 => (any::<usize>(), any::<usize>()).prop_map(|(a, b)| Change::Swap(a, b)),
        1 => Just(Change::Reseed),
    ]
}

fn id(row: &Row) -> i32 {
    match row[0] {
        Cell::Int(id) => i32::try_from(id).unwrap(),
        ref other => panic!("{other:?}"),
    }
}

/// Changes rows `(Id, Nr, Text)` of one of the tables; the text alone for the one that is keyed by text.
fn apply(rows: &mut Vec<Row>, change: &Change, turn: usize) {
    rows.sort();
    let count = rows.len();
    let row = |id: i32, text: String| -> Row { vec![id.into(), 1.into(), text.into()] };
    match change {
        Change::Append(more) => {
            let last = rows.last().map_or(-40, id);
            let more = i32::try_from(*more).unwrap();
            rows.extend((1..=more).map(|step| row(last + step + i32::from(step > 5), format!("row {turn}/{step}"))));
        }
        Change::Insert(id) if !rows.iter().any(|row| self::id(row) == *id) => rows.push(row(*id, format!("in {turn}"))),
        Change::Delete(at) if count > 0 => {
            rows.remove(at % count);
        }
        Change::Truncate(less) => rows.truncate(count.saturating_sub(*less)),
        Change::Edit(at, length) if count > 0 => rows[at % count][2] = format!("{turn} {}", "x".repeat(*length)).into(),
        Change::Swap(a, b) if count > 0 => {
            let (a, b) = (a % count, b % count);
            let kept = rows[a][2].clone();
            rows[a][2] = std::mem::replace(&mut rows[b][2], kept);
        }
        Change::Reseed => {
            rows.clear();
            rows.extend((1..4).map(|id| row(id, format!("anew {turn}"))));
        }
        _ => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn quick_and_full_come_to_the_same(
        turns in vec(vec((0..3usize, change()), 0..4), 3..9),
        heavy in prop_oneof![Just(33_554_432u64), 300..900u64],
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
        let columns = [("Id", "int"), ("Nr", "int"), ("Text", "nvarchar(max)")];
        let tables = [
            Rows::new(TableName::dbo("One"), &columns, &["Id"]),
            Rows::new(TableName::dbo("Two"), &columns, &["Id", "Nr"]),
            Rows::new(TableName::dbo("Heap"), &columns, &[]),
        ];
        let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let [quick, full] = folders.each_ref().map(|folder| archive(folder.path()));
        runtime.block_on(async {
            start_small(&quick, &tables, heavy).await;
            start_small(&full, &tables, heavy).await;
            let mut state = State::of(tables.clone());
            for (turn, changes) in turns.iter().enumerate() {
                for (table, change) in changes {
                    apply(&mut state.table(["One", "Two", "Heap"][*table]).rows, change, turn);
                }
                let (a, b) = (take(&quick, &state, true).await, take(&full, &state, false).await);
                prop_assert_eq!(entries(&quick), entries(&full), "turn {}", turn);
                prop_assert!(a.unchanged == b.unchanged && a.rows == b.rows && a.rows_read <= b.rows_read);
                let again = take(&quick, &state, true).await;
                prop_assert!(again.unchanged && again.rows_read == 0, "{:?}", again);
            }
            prop_assert!(deep_check(folders[0].path()).await.is_empty());
            Ok(())
        })?;
    }
}
