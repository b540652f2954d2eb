//! Tables whose shape changes between runs: told, archived as they are now, and readable over all snapshots; and tables that
//! are gone or empty, which the till must say itself.

use async_trait::async_trait;
use tillvault::{
    archive::Archive,
    error::{Kind, Result},
    history::session::Session,
    model::table::{Index, KeyRange, Table, TableName},
    observe::silent,
    ops::{
        diff::{DiffOptions, diff},
        find::{FindOptions, find},
        snapshot::{SnapshotOptions, SnapshotOutcome, snapshot},
    },
    source::{Presence, RowStream, Source, TableSelection, TillInfo, TradeMark},
};

use crate::{
    scripted_till::{Cell, Row, Rows, ScriptedTill, State, column},
    told::Told,
};

/// A scripted till that gives its own word on tables.
struct Speaking {
    till: ScriptedTill,
    /// What it says instead of the truth, once.
    says: Option<Option<Presence>>,
    asked: Vec<String>,
}

#[async_trait]
impl Source for Speaking {
    async fn describe(&mut self) -> Result<TillInfo> {
        self.till.describe().await
    }
    async fn tables(&mut self, selection: &TableSelection) -> Result<Vec<Table>> {
        self.till.tables(selection).await
    }
    async fn presence(&mut self, table: &TableName) -> Result<Option<Presence>> {
        self.asked.push(table.to_string());
        if let Some(said) = self.says.take() {
            return Ok(said);
        }
        let rows = self.till.state.tables.get(&table.to_string());
        Ok(Some(rows.map_or(Presence::Absent, |rows| Presence::Rows(rows.rows.len() as u64))))
    }
    async fn begin(&mut self) -> Result<bool> {
        self.till.begin().await
    }
    async fn end(&mut self) -> Result<()> {
        self.till.end().await
    }
    async fn trade_mark(&mut self) -> Result<TradeMark> {
        self.till.trade_mark().await
    }
    fn read<'a>(&'a mut self, table: &'a Table, range: KeyRange) -> RowStream<'a> {
        self.till.read(table, range)
    }
}

struct Scene {
    archive: Archive,
    told: std::sync::Arc<Told>,
    _folder: tempfile::TempDir,
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let archive = Archive::create(&folder.path().join("archive"), "test").unwrap();
        Self { archive, told: Told::new(), _folder: folder }
    }

    async fn run(&self, till: &mut dyn Source) -> Result<SnapshotOutcome> {
        snapshot(&self.archive, till, &SnapshotOptions::default(), &self.told.observer()).await
    }

    async fn take(&self, state: &State) -> SnapshotOutcome {
        self.run(&mut ScriptedTill::new(state.clone())).await.unwrap()
    }
}

fn items() -> State {
    let columns =
        [("Id", "int"), ("Name", "nvarchar(50)"), ("Price", "decimal(16,2)"), ("Code", "int"), ("Never", "int")];
    let mut items = Rows::new(TableName::dbo("Items"), &columns, &["Id"]);
    items.rows = (1..=600).map(item).collect();
    State::of([items])
}

fn item(id: i32) -> Row {
    vec![id.into(), format!("Item {id}").into(), (id * 150).into(), (id * 7).into(), Cell::Null]
}

/// The same rows, each value under another type.
fn retyped() -> State {
    let mut state = items();
    let items = state.table("Items");
    for (place, sql_type) in
        [(0, "bigint"), (1, "nvarchar(100)"), (2, "decimal(18,4)"), (3, "nvarchar(20)"), (4, "datetime")]
    {
        items.table.columns[place] =
            column(&items.table.columns[place].name.clone(), sql_type, items.table.columns[place].nullable);
    }
    for (row, id) in items.rows.iter_mut().zip(1..) {
        row[2] = (id * 15_000).into();
        row[3] = format!("{}", id * 7).into();
    }
    state
}

#[tokio::test]
async fn every_change_of_type_is_told_and_history_goes_on() {
    let scene = Scene::new();
    scene.take(&items()).await;
    let mut later = retyped();
    later.table("Items").rows[9][1] = "Renamed".into();
    let outcome = scene.take(&later).await;
    let told = scene.told.take();
    let expected = [
        "warning: column Id of table Items was int and is bigint: the table's rows are written anew",
        "warning: column Name of table Items was nvarchar(50) and is nvarchar(100)",
        "warning: column Price of table Items was decimal(16,2) and is decimal(18,4): the table's rows are written anew",
        "warning: column Code of table Items was int and is nvarchar(20): the table's rows are written anew",
        "warning: column Never of table Items was int and is datetime: the table's rows are written anew",
    ];
    assert_eq!(told, expected);
    assert_eq!(outcome.changes.len(), 5);
    assert_eq!((outcome.rows, outcome.chunks_new), (600, 2));

    let snapshots = [1, 2].map(|number| scene.archive.snapshot(number).unwrap());
    for (snapshot, id, code) in [(&snapshots[0], "INTEGER", "INTEGER"), (&snapshots[1], "BIGINT", "VARCHAR")] {
        let session = Session::open(scene.archive.root(), snapshot).unwrap();
        let sql = "SELECT typeof(\"Id\"), typeof(\"Code\"), CAST(sum(\"Price\") AS VARCHAR), CAST(sum(CAST(\"Code\" AS INT)) AS BIGINT) \
                   FROM \"Items\" GROUP BY 1, 2";
        let found: (String, String, String, i64) = session
            .connection()
            .query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))
            .unwrap();
        assert_eq!((found.0.as_str(), found.1.as_str(), found.3), (id, code, 180_300 * 7));
        assert!(found.2.starts_with("270450.00"), "{found:?}");
    }
    let options = DiffOptions { rows: Some(usize::MAX), ..DiffOptions::default() };
    let difference = diff(&scene.archive, &snapshots[0], &snapshots[1], &options, &silent()).unwrap();
    let json = serde_json::to_value(&difference).unwrap();
    assert_eq!(json["tables"][0]["columns_retyped"].as_array().unwrap().len(), 5, "{json:#}");
    assert_eq!((json["tables"][0]["added"].as_u64(), json["tables"][0]["removed"].as_u64()), (Some(0), Some(0)));
    let options =
        FindOptions { table: "Items".into(), column: "Code".into(), value: "70".into(), ..FindOptions::default() };
    let versions = find(&scene.archive, &options, &silent()).unwrap();
    assert!(versions.found >= 1, "{versions:?}");
}

#[tokio::test]
async fn a_changed_index_is_recorded_and_no_row_is_written_again() {
    let scene = Scene::new();
    scene.take(&items()).await;
    let mut indexed = items();
    indexed.table("Items").table.indexes = vec![Index { name: "IX".into(), ..Index::default() }];
    indexed.table("Items").table.columns[1].default = Some("(N'')".into());
    let outcome = scene.take(&indexed).await;
    assert_eq!((outcome.snapshot, outcome.chunks_new, outcome.unchanged), (2, 0, false));
    assert_eq!(scene.told.take(), Vec::<String>::new());
    assert_eq!(scene.archive.snapshot(2).unwrap().tables[0].table.indexes[0].name, "IX");
}

#[tokio::test]
async fn columns_and_tables_come_and_go() {
    let scene = Scene::new();
    scene.take(&items()).await;
    let mut state = items();
    let items = state.table("Items");
    items.table.columns.remove(3);
    items.table.columns.push(column("Uploaded", "bit", true));
    for row in &mut items.rows {
        row.remove(3);
        row.push(Cell::Null);
    }
    state.tables.insert("Log".into(), Rows::new(TableName::dbo("Log"), &[("Id", "int")], &["Id"]));
    let outcome = scene.take(&state).await;
    let expected = [
        "warning: table Items has no column Code any more: its values stay in the snapshots before this one",
        "note: table Items has a new column Uploaded",
        "note: table Log is new in the till",
    ];
    assert_eq!(scene.told.take(), expected);
    assert_eq!(outcome.changes.len(), 3);
    assert!(scene.take(&state).await.unchanged);
    assert_eq!(scene.told.take(), Vec::<String>::new());
}

#[tokio::test]
async fn a_table_is_gone_only_when_the_till_says_so() {
    for isolation in [true, false] {
        let scene = Scene::new();
        let mut state = items();
        state.tables.insert("Log".into(), Rows::new(TableName::dbo("Log"), &[("Id", "int")], &["Id"]));
        scene.take(&state).await;
        state.tables.remove("Log");
        let speaking = |says| Speaking {
            till: ScriptedTill { isolation, ..ScriptedTill::new(state.clone()) },
            says,
            asked: Vec::new(),
        };
        // Its catalog lacks the table, and the table answers: nothing is recorded.
        let mut contradicting = speaking(Some(Some(Presence::Rows(3))));
        let outcome = scene.run(&mut contradicting).await;
        if isolation {
            // Begun anew, and the second time the till says the same twice.
            assert_eq!(outcome.unwrap().missing[0].table, "Log");
            assert_eq!(contradicting.asked, ["Log", "Log"]);
        } else {
            let error = outcome.unwrap_err();
            assert!(error.is_temporary() && error.kind() == Kind::Source, "{error}");
            assert_eq!(error.message(), "table Log was not there at first and had 3 rows when asked again");
            assert_eq!(scene.archive.snapshot_numbers().unwrap(), [1]);
            let mut sure = speaking(None);
            assert_eq!(scene.run(&mut sure).await.unwrap().missing[0].last_in, Some(1));
        }
    }
}

#[tokio::test]
async fn a_table_that_reads_empty_is_empty_only_when_the_till_says_so() {
    let scene = Scene::new();
    let mut state = items();
    scene.take(&state).await;
    state.table("Items").rows.clear();
    let till = ScriptedTill { isolation: false, ..ScriptedTill::new(state) };
    let mut doubtful = Speaking { till: till.clone(), says: Some(Some(Presence::Rows(600))), asked: Vec::new() };
    let error = scene.run(&mut doubtful).await.unwrap_err();
    assert!(error.is_temporary(), "{error}");
    assert_eq!(error.message(), "table Items had 0 rows at first and had 600 rows when asked again");
    assert_eq!(scene.archive.snapshot_numbers().unwrap(), [1]);

    let mut sure = Speaking { till, says: None, asked: Vec::new() };
    let outcome = scene.run(&mut sure).await.unwrap();
    assert_eq!((outcome.snapshot, outcome.rows, sure.asked.as_slice()), (2, 0, &["Items".to_owned()][..]));
    // Once it is known to be empty, nobody asks again.
    sure.asked.clear();
    assert!(scene.run(&mut sure).await.unwrap().unchanged && sure.asked.is_empty());
}
