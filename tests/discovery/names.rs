//! Odd names, through the demo till into an archive and back.

use arrow::record_batch::RecordBatch;
use tillvault::{
    archive::Archive,
    demo::{EngineOptions, Server},
    history::session::Session,
    model::table::{Column, KeyRange, Table, TableName},
    ops::snapshot::{SnapshotOptions, snapshot},
    source::{Source as _, TableSelection},
};

use crate::{
    till::{connect, read, start},
    told::{Told, line},
};

fn table(schema: &str, name: &str, columns: &[(&str, &str)], key: &[&str]) -> Table {
    let columns = columns.iter().map(|(name, sql_type)| {
        let column = Column::new(*name, sql_type.parse().unwrap());
        if key.contains(name) { column.not_null() } else { column }
    });
    Table::new(TableName { schema: schema.into(), name: name.into() }, columns.collect()).with_key(key)
}

fn fill(server: &Server, table: &Table, values: &str) {
    let text = format!("INSERT INTO {} VALUES {values}", server.engine().place(&table.name));
    server.engine().connection().unwrap().execute_batch(&text).unwrap();
}

fn everything() -> SnapshotOptions {
    let selection = TableSelection { include: vec!["*".into()], ..TableSelection::default() };
    SnapshotOptions { selection, ..SnapshotOptions::default() }
}

/// Takes a snapshot; returns tables' display names with their rows, and the rows that a view of history shows.
async fn archived(server: &Server, options: &SnapshotOptions) -> (Vec<(String, u64)>, Vec<String>, Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    let archive = Archive::create(&folder.path().join("archive"), "test").unwrap();
    let told = Told::new();
    let mut till = connect(server).await;
    let outcome = snapshot(&archive, &mut till, options, &told.observer()).await.unwrap();
    let taken = archive.snapshot(outcome.snapshot).unwrap();
    let names = taken.tables.iter().map(|entry| (entry.table.name.to_string(), entry.rows)).collect();
    let mut folders: Vec<String> = taken.tables.iter().map(|entry| entry.folder.to_lowercase()).collect();
    folders.sort();
    folders.dedup();
    assert_eq!(folders.len(), taken.tables.len(), "folders meet on a disk that ignores case");
    let session = Session::open(archive.root(), &taken).unwrap();
    for (name, entry) in session.tables().iter().zip(&taken.tables) {
        let sql = format!("SELECT count(*) FROM \"{}\"", name.replace('"', "\"\""));
        let rows: u64 = session.connection().query_row(&sql, [], |row| row.get(0)).unwrap();
        assert_eq!(rows, entry.rows, "{name}");
    }
    (names, session.tables().to_vec(), told.take())
}

#[tokio::test]
async fn every_name_can_be_a_table_s() {
    let odd = ["Order", "two words", "br]acket", "[x]", "quo'te", "quo\"te", "a.b", "Größe 菜单", "select * from x;--"];
    let tables: Vec<Table> =
        odd.iter().map(|name| table("dbo", name, &[("Id", "int"), ("Key]", "nvarchar(9)")], &["Id"])).collect();
    let server = start(&tables, EngineOptions::default()).await;
    tables.iter().for_each(|table| fill(&server, table, "(1, 'x'), (2, NULL)"));
    let (names, views, told) = archived(&server, &SnapshotOptions::default()).await;
    assert_eq!(told, Vec::<String>::new());
    assert_eq!(names.len(), odd.len());
    assert!(names.iter().all(|(_, rows)| *rows == 2), "{names:?}");
    assert!(views.contains(&"[a.b]".to_owned()) && views.contains(&"[[x]]]".to_owned()), "{views:?}");
}

#[tokio::test]
async fn a_point_in_a_name_is_not_a_schema() {
    let tables = [table("dbo", "a.b", &[("Id", "int")], &["Id"]), table("a", "b", &[("Id", "int")], &["Id"])];
    let server = start(&tables, EngineOptions::default()).await;
    fill(&server, &tables[0], "(1), (2)");
    fill(&server, &tables[1], "(1), (2), (3)");
    let (names, views, _) = archived(&server, &everything()).await;
    assert_eq!(names, [("[a.b]".to_owned(), 2), ("a.b".to_owned(), 3)]);
    assert_eq!(views, ["[a.b]", "a.b"]);
    let mut till = connect(&server).await;
    let one = TableSelection { include: vec!["[a.b]".into()], ..TableSelection::default() };
    assert_eq!(till.tables(&one).await.unwrap()[0].name, tables[0].name);
}

#[tokio::test]
async fn names_that_differ_in_case_alone_are_two_tables_where_the_database_says_so() {
    let tables = ["Log", "LOG", "log"].map(|name| table("dbo", name, &[("Id", "int")], &["Id"]));
    let options = EngineOptions { collation: "Latin1_General_CS_AS".into(), ..EngineOptions::default() };
    let server = start(&tables, options).await;
    for (table, values) in tables.iter().zip(["(1)", "(1), (2)", "(1), (2), (3)"]) {
        fill(&server, table, values);
    }
    let (names, views, _) = archived(&server, &everything()).await;
    assert_eq!(names, [("LOG".to_owned(), 2), ("Log".to_owned(), 1), ("log".to_owned(), 3)]);
    assert_eq!(views.len(), 3);
}

#[tokio::test]
async fn other_schemas_are_taken_on_request_and_views_never() {
    let tables = [
        table("dbo", "Tickets", &[("Id", "int")], &["Id"]),
        table("audit", "Log", &[("Id", "int")], &["Id"]),
        table("other", "Log", &[("Id", "int")], &["Id"]),
    ];
    let server = start(&tables, EngineOptions::default()).await;
    server.engine().connection().unwrap().execute_batch("CREATE VIEW dbo.\"VistaTickets\" AS SELECT 1 AS Id").unwrap();
    let mut till = connect(&server).await;
    let mut names = async |include: &[&str], exclude: &[&str]| {
        let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let selection = TableSelection { include: list(include), exclude: list(exclude), with_secrets: false };
        let tables = till.tables(&selection).await.unwrap();
        let notices: Vec<String> = till.notices().iter().filter_map(line).collect();
        (tables.iter().map(|table| table.name.to_string()).collect::<Vec<_>>(), notices)
    };
    assert_eq!(names(&[], &[]).await.0, ["Tickets"]);
    assert_eq!(names(&["other.*"], &[]).await.0, ["other.Log"]);
    assert_eq!(names(&["*"], &["AUDIT.*"]).await, (vec!["Tickets".into(), "other.Log".into()], vec![]));
    let (taken, notices) = names(&["dbo.*", "Tikets", "oder.*"], &["Logs"]).await;
    assert_eq!(taken, ["Tickets"]);
    assert_eq!(
        notices,
        [
            "warning: the pattern Tikets to include under [tables] in the settings means no table of the till",
            "warning: the pattern oder.* to include under [tables] in the settings means no table of the till",
            "note: the pattern Logs to exclude under [tables] in the settings means no table of the till",
        ]
    );
}

#[tokio::test]
async fn a_table_may_have_as_many_columns_as_the_server_allows() {
    let names: Vec<String> = (1..1024).map(|number| format!("Column {number}")).collect();
    let mut columns = vec![("Id", "int")];
    columns.extend(names.iter().map(|name| (name.as_str(), if name.ends_with('7') { "nvarchar(max)" } else { "int" })));
    let wide = table("dbo", "Wide", &columns, &["Id"]);
    let server = start(std::slice::from_ref(&wide), EngineOptions::default()).await;
    let values: Vec<String> = columns.iter().enumerate().map(|(place, _)| place.to_string()).collect();
    fill(&server, &wide, &format!("({})", values.join(", ")));
    let mut till = connect(&server).await;
    let found = till.tables(&TableSelection::default()).await.unwrap();
    assert_eq!(found[0].columns.len(), 1024);
    let rows: RecordBatch = read(&mut till, &found[0], KeyRange::ALL).await.unwrap();
    assert_eq!((rows.num_rows(), rows.num_columns()), (1, 1024));
    assert_eq!(archived(&server, &SnapshotOptions::default()).await.0, [("Wide".to_owned(), 1)]);
}

#[tokio::test]
async fn keys_of_several_columns_and_of_none_are_archived_whole() {
    let tables = [
        table("dbo", "Lines", &[("Id", "int"), ("TicketId", "int"), ("Name", "nvarchar(9)")], &["Id", "TicketId"]),
        table("dbo", "Join", &[("A_Id", "int"), ("B_Id", "int")], &["A_Id", "B_Id"]),
        table("dbo", "Text", &[("Code", "nvarchar(9)"), ("Id", "int")], &["Code"]),
        table("dbo", "Heap", &[("Version", "bigint")], &[]),
    ];
    let server = start(&tables, EngineOptions::default()).await;
    fill(&server, &tables[0], "(1, 7, 'a'), (2, 7, 'b'), (3, 5, NULL)");
    fill(&server, &tables[1], "(1, 1), (1, 2), (2, 1)");
    fill(&server, &tables[2], "('b', 1), ('a', 2)");
    fill(&server, &tables[3], "(5), (5), (6)");
    let (names, ..) = archived(&server, &SnapshotOptions::default()).await;
    let expected = [("Heap", 3), ("Join", 3), ("Lines", 3), ("Text", 2)];
    assert_eq!(names, expected.map(|(name, rows)| (name.to_owned(), rows)));
}
