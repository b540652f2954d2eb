//! The report examples' till, archived with the real writer, read back as views: the same rows, to the last value.

use arrow::{array::RecordBatch, compute::cast};
use duckdb::Connection;
use tillvault::{
    archive::{Archive, snapshot::TableEntry},
    demo::{schema, trade::fixture},
    history::{
        query::{QueryOptions, query},
        session::{Session, identifier},
    },
    model::table::Table,
};

use crate::support::snapshot;

fn till() -> (Connection, Vec<Table>) {
    let till = Connection::open_in_memory().unwrap();
    let tables = schema::tables().unwrap();
    schema::create_tables(&till, &tables).unwrap();
    fixture::load_queries_fixture(&till).unwrap();
    (till, tables)
}

fn engine_name(table: &Table) -> String {
    format!("{}.{}", identifier(&table.name.schema), identifier(&table.name.name))
}

/// Every row of a table in key order, as the source would stream them.
fn rows(till: &Connection, table: &Table) -> Vec<RecordBatch> {
    let schema = table.arrow_schema();
    let columns: Vec<String> = schema.fields().iter().map(|field| identifier(field.name())).collect();
    let order: Vec<String> = table.key.iter().map(|name| identifier(name)).collect();
    let order = if order.is_empty() { "ALL".into() } else { order.join(", ") };
    let sql = format!("SELECT {} FROM {} ORDER BY {order}", columns.join(", "), engine_name(table));
    let mut statement = till.prepare(&sql).unwrap();
    let batches: Vec<RecordBatch> = statement.query_arrow([]).unwrap().collect();
    batches
        .into_iter()
        .map(|batch| {
            let columns =
                batch.columns().iter().zip(schema.fields()).map(|(column, field)| cast(column, field.data_type()));
            RecordBatch::try_new(schema.clone(), columns.collect::<Result<_, _>>().unwrap()).unwrap()
        })
        .collect()
}

async fn archived(archive: &Archive, till: &Connection, tables: &[Table]) -> Vec<TableEntry> {
    let mut entries = vec![];
    for table in tables {
        let mut writer = archive.table_writer(table, None).unwrap();
        for batch in rows(till, table) {
            writer.push(batch).await.unwrap();
        }
        entries.push(writer.finish().await.unwrap().entry);
    }
    entries
}

#[tokio::test]
async fn views_show_what_the_till_held() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("archive");
    let archive = Archive::create(&root, "Test").unwrap();
    let (till, tables) = till();
    let entries = archived(&archive, &till, &tables).await;
    let session = Session::open(&root, &snapshot(1, "2026-03-03T02:00:00Z", entries)).unwrap();
    let mut compared = 0;
    for table in &tables {
        let columns: Vec<String> = table.arrow_schema().fields().iter().map(|field| identifier(field.name())).collect();
        let values = columns.iter().map(|column| format!("CAST({column} AS VARCHAR)")).collect::<Vec<_>>().join(", ");
        let all = |connection: &Connection, name: String| -> Vec<String> {
            let sql = format!("SELECT CAST(ROW({values}) AS VARCHAR) FROM {name} ORDER BY ALL");
            let mut statement = connection.prepare(&sql).unwrap();
            let rows = statement.query_map([], |row| row.get::<_, String>(0)).unwrap();
            rows.collect::<Result<_, _>>().unwrap()
        };
        let held = all(&till, engine_name(table));
        assert_eq!(all(session.connection(), identifier(&table.name.to_string())), held, "{}", table.name);
        compared += held.len();
    }
    assert!(compared > 60, "the examples have more rows than {compared}");
    let joined =
        "SELECT t.Id FROM Tickets t JOIN Orders o ON o.TicketId = t.Id WHERE o.Price * o.Quantity > 25 ORDER BY 1";
    assert_eq!(query(&session, joined, &QueryOptions::default()).unwrap().rows(), 5, "lines 2, 5, 6, 12 and 16");
}
