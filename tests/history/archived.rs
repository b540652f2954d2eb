//! The report examples' till, archived with the real writer, read back as views: the same rows, to the last value.

use duckdb::Connection;
use tillvault::{
    archive::Archive,
    history::{
        query::{QueryOptions, query},
        session::Session,
    },
    model::identifier::quoted,
};

use crate::{
    engine::{archived, engine_name, till},
    support::snapshot,
};

#[tokio::test]
async fn views_show_what_the_till_held() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("archive");
    let archive = Archive::create(&root, "Test").unwrap();
    let (till, tables) = till();
    let entries = archived(&archive, &till, &tables, &[]).await;
    let session = Session::open(&root, &snapshot(1, "2026-03-03T02:00:00Z", entries)).unwrap();
    let mut compared = 0;
    for table in &tables {
        let columns: Vec<String> = table.arrow_schema().fields().iter().map(|field| quoted(field.name())).collect();
        let values = columns.iter().map(|column| format!("CAST({column} AS VARCHAR)")).collect::<Vec<_>>().join(", ");
        let all = |connection: &Connection, name: String| -> Vec<String> {
            let sql = format!("SELECT CAST(ROW({values}) AS VARCHAR) FROM {name} ORDER BY ALL");
            let mut statement = connection.prepare(&sql).unwrap();
            let rows = statement.query_map([], |row| row.get::<_, String>(0)).unwrap();
            rows.collect::<Result<_, _>>().unwrap()
        };
        let held = all(&till, engine_name(table));
        assert_eq!(all(session.connection(), quoted(&table.name.to_string())), held, "{}", table.name);
        compared += held.len();
    }
    assert!(compared > 60, "the examples have more rows than {compared}");
    let joined =
        "SELECT t.Id FROM Tickets t JOIN Orders o ON o.TicketId = t.Id WHERE o.Price * o.Quantity > 25 ORDER BY 1";
    assert_eq!(query(&session, joined, &QueryOptions::default()).unwrap().rows(), 5, "lines 2, 5, 6, 12 and 16");
}
