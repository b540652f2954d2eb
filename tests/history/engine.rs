//! A till as a DuckDB engine, and its tables archived with the real writer.

use arrow::{array::RecordBatch, compute::cast};
use duckdb::Connection;
use tillvault::{
    archive::{Archive, snapshot::TableEntry},
    demo::{schema, trade::fixture},
    model::identifier::quoted,
    model::table::Table,
};

/// The report examples' rows in an engine of their own.
pub(crate) fn till() -> (Connection, Vec<Table>) {
    let till = Connection::open_in_memory().unwrap();
    let tables = schema::tables().unwrap();
    schema::create_tables(&till, &tables).unwrap();
    fixture::load_queries_fixture(&till).unwrap();
    (till, tables)
}

pub(crate) fn engine_name(table: &Table) -> String {
    format!("{}.{}", quoted(&table.name.schema), quoted(&table.name.name))
}

/// Every row of a table in key order, as the source would stream them.
fn rows(till: &Connection, table: &Table) -> Vec<RecordBatch> {
    let schema = table.arrow_schema();
    let columns: Vec<String> = schema.fields().iter().map(|field| quoted(field.name())).collect();
    let order: Vec<String> = table.key.iter().map(|name| quoted(name)).collect();
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

/// Writes every table into the archive; chunks of `previous` are used again.
pub(crate) async fn archived(
    archive: &Archive,
    till: &Connection,
    tables: &[Table],
    previous: &[TableEntry],
) -> Vec<TableEntry> {
    let mut entries = vec![];
    for table in tables {
        let mut writer =
            archive.table_writer(table, previous.iter().find(|entry| entry.table.name == table.name)).unwrap();
        for batch in rows(till, table) {
            writer.push(batch).await.unwrap();
        }
        entries.push(writer.finish().await.unwrap().entry);
    }
    entries
}
