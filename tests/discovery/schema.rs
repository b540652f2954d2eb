//! What the catalog tells of a table, through the demo till: each part as it was declared, by every version of the server.

use tillvault::{
    demo::{
        EngineOptions,
        fault::{Fault, When},
    },
    model::{
        sql_type::SqlType,
        table::{
            Check, Column, Computed, ForeignKey, Index, IndexColumn, KeyRange, Numbering, PrimaryKey, Table, TableName,
            UserType,
        },
    },
    source::{Presence, Source as _, TableSelection},
};

use crate::{
    till::{connect, read, start},
    told::line,
};

fn column(name: &str, sql_type: &str) -> Column {
    let mut column = Column::new(name, sql_type.parse().unwrap());
    column.collation = column.sql_type.is_text().then(|| "Latin1_General_CI_AS".into());
    column
}

fn plain(name: &str, columns: &[(&str, &str)]) -> Table {
    let columns: Vec<Column> = columns.iter().map(|(name, sql_type)| column(name, sql_type)).collect();
    let mut table = Table::new(TableName::dbo(name), columns).with_key(&["Id"]);
    table.columns[0].nullable = false;
    table.primary_key = Some(PrimaryKey { name: format!("PK_{name}"), clustered: true, descending: vec![] });
    table
}

fn version(number: &str) -> EngineOptions {
    EngineOptions { version: number.into(), ..EngineOptions::default() }
}

async fn found(tables: &[Table], options: EngineOptions) -> Vec<Table> {
    let server = start(tables, options).await;
    let everything = TableSelection { include: vec!["*".into()], ..TableSelection::default() };
    connect(&server).await.tables(&everything).await.unwrap()
}

/// A table with everything that a restore wants to know.
fn rich() -> Table {
    let mut table =
        plain("Rich", &[("Id", "int"), ("Code", "nvarchar(9)"), ("Sum", "decimal(16,2)"), ("Other", "int")]);
    table.columns[0].identity = true;
    table.columns[0].numbering = Some(Numbering { seed: "1000".into(), increment: "-5".into() });
    table.columns[1].user_type = Some(UserType { schema: "dbo".into(), name: "ShortCode".into() });
    table.columns[2].computed = Some(Computed { expression: "([Other]*(2))".into(), persisted: true });
    table.columns[3].default = Some("((7))".into());
    table.columns[3].default_name = Some("DF_Rich_Other".into());
    table.columns[3].sparse = true;
    table.columns.push(column("Guid", "uniqueidentifier"));
    table.columns[4].row_guid = true;
    table.key = vec!["Other".into(), "Id".into()];
    table.primary_key =
        Some(PrimaryKey { name: "PK odd ]name".into(), clustered: false, descending: vec!["Id".into()] });
    let index = |name: &str, columns: &[(&str, bool)]| Index {
        name: name.into(),
        columns: columns.iter().map(|(name, down)| IndexColumn { name: (*name).into(), descending: *down }).collect(),
        ..Index::default()
    };
    table.indexes = vec![
        Index { clustered: true, unique: true, ..index("AK", &[("Code", false)]) },
        Index {
            included: vec!["Code".into(), "Other".into()],
            filter: Some("([Sum]>(0))".into()),
            disabled: true,
            ..index("IX", &[("Sum", true), ("Id", false)])
        },
        Index { unique: true, constraint: true, ..index("UQ", &[("Guid", false)]) },
    ];
    table.checks = vec![
        Check { name: "CK_a".into(), expression: "([Sum]>=(0))".into(), untrusted: true, ..Check::default() },
        Check { name: "CK_b".into(), expression: String::new(), disabled: true, ..Check::default() },
    ];
    table.foreign_keys = vec![ForeignKey {
        name: "FK_self".into(),
        columns: vec!["Other".into()],
        references: TableName::dbo("Rich"),
        referenced_columns: vec!["Id".into()],
        on_delete: Some("set null".into()),
        on_update: Some("cascade".into()),
        disabled: true,
        untrusted: true,
    }];
    table
}

#[tokio::test]
async fn what_a_restore_needs_is_found_on_every_version() {
    for number in ["11.0.2100.60", "12.0.2000.8", "13.0.1601.5", "14.0.1000.169", "15.0.2000.5", "16.0.1000.6"] {
        assert_eq!(found(&[rich()], version(number)).await, [rich()], "{number}");
    }
}

#[tokio::test]
async fn a_server_that_does_not_tell_its_details_is_archived_all_the_same() {
    let server = start(&[rich()], EngineOptions::default()).await;
    let refusal = Fault::Error(208, "Invalid object name.".into());
    for view in [
        "sys.all_columns",
        "i.is_hypothetical",
        "sys.check_constraints",
        "sys.identity_columns",
        "sys.computed_columns",
    ] {
        server.faults().arm(When::Text(view.into()), refusal.clone(), 1);
    }
    let mut till = connect(&server).await;
    let found = till.tables(&TableSelection::default()).await.unwrap();
    assert_eq!(found[0].key, ["Other", "Id"]);
    assert_eq!((found[0].indexes.len(), found[0].checks.len(), found[0].columns.len()), (0, 0, 5));
    let notices: Vec<String> = till.notices().iter().filter_map(line).collect();
    assert_eq!(notices.len(), 5, "{notices:?}");
    assert!(notices.iter().all(|notice| notice.starts_with("note: the till does not tell ")), "{notices:?}");
    assert!(till.notices().is_empty());
}

#[tokio::test]
async fn heaps_and_tables_without_a_key_are_tables() {
    let mut heap = plain("Heap", &[("Id", "int"), ("Name", "nvarchar(50)")]);
    (heap.key, heap.primary_key, heap.heap) = (vec![], None, true);
    let mut keyed = plain("KeyedHeap", &[("Id", "int")]);
    keyed.primary_key = Some(PrimaryKey { name: "PK".into(), clustered: false, descending: vec![] });
    keyed.heap = true;
    let mut columnstore = heap.clone();
    columnstore.name.name = "Store".into();
    columnstore.heap = false;
    columnstore.indexes = vec![Index {
        name: "CCI".into(),
        clustered: true,
        kind: Some("columnstore".into()),
        included: vec!["Id".into(), "Name".into()],
        ..Index::default()
    }];
    let tables = [heap, keyed, columnstore];
    assert_eq!(found(&tables, EngineOptions::default()).await, tables);
}

#[tokio::test]
async fn a_column_that_only_parts_the_key_s_index_is_not_in_the_key() {
    let table = plain("Parts", &[("Id", "int"), ("Day", "date")]);
    let server = start(std::slice::from_ref(&table), EngineOptions::default()).await;
    // A partitioned table has its partition column in the index of the primary key, with ordinal 0.
    let add = "INSERT INTO sys.index_columns SELECT object_id, index_id, 2, 2, 0, false, false FROM sys.index_columns";
    server.engine().connection().unwrap().execute_batch(add).unwrap();
    assert_eq!(connect(&server).await.tables(&TableSelection::default()).await.unwrap(), [table]);
}

#[tokio::test]
async fn all_kinds_of_base_tables_are_taken_and_external_ones_are_named() {
    let kind = |name: &str, kind: &str| Table { kind: Some(kind.into()), ..plain(name, &[("Id", "int")]) };
    let mut current = kind("Current", "system versioned");
    current.history = Some(TableName::dbo("Former"));
    for (name, word) in [("From", "row start"), ("To", "row end")] {
        let mut period = column(name, "datetime2(7)").not_null();
        period.generated = Some(word.into());
        current.columns.push(period);
    }
    let mut node = kind("Node", "graph node");
    node.columns.insert(0, column("graph_id_1F", "bigint"));
    node.columns.insert(1, column("$node_id_1F", "nvarchar(1000)"));
    let external = kind("Far", "external");
    let given = [
        current.clone(),
        external,
        kind("Files", "file table"),
        kind("Former", "history"),
        kind("Memory", "memory optimised"),
        node.clone(),
    ];
    let server = start(&given, version("16.0.1000.6")).await;
    let mut till = connect(&server).await;
    let found = till.tables(&TableSelection::default()).await.unwrap();
    // The inner number of a node cannot be selected by anybody.
    node.columns.remove(0);
    let expected: Vec<Table> = [&current, &given[2], &given[3], &given[4], &node].into_iter().cloned().collect();
    assert_eq!(found, expected);
    let notices: Vec<String> = till.notices().iter().filter_map(line).collect();
    assert_eq!(notices, ["warning: table Far is external, its rows lie in another place: it is not archived"]);
    let none = TableSelection { exclude: vec!["Far".into()], ..TableSelection::default() };
    till.tables(&none).await.unwrap();
    assert!(till.notices().is_empty());
}

fn guests() -> Table {
    let mut table = plain(
        "Guests",
        &[("Id", "int"), ("Name", "nvarchar(50)"), ("Phone", "nvarchar(20)"), ("Shown", "nvarchar(9)")],
    );
    table.columns[2].mask = Some("default()".into());
    table.columns[3].computed = Some(Computed { expression: "(left([Phone],(3)))".into(), persisted: false });
    table.indexes = vec![Index {
        name: "IX_Phone".into(),
        columns: vec![IndexColumn { name: "Phone".into(), descending: false }],
        ..Index::default()
    }];
    table
}

#[tokio::test]
async fn masked_columns_are_not_archived_as_if_they_were_true() {
    let options = EngineOptions { unmask: false, ..EngineOptions::default() };
    let server = start(&[guests()], options).await;
    let mut till = connect(&server).await;
    let found = till.tables(&TableSelection::default()).await.unwrap();
    assert_eq!(found[0].masked, ["Phone", "Shown"]);
    assert_eq!(found[0].columns.iter().map(|column| column.name.as_str()).collect::<Vec<_>>(), ["Id", "Name"]);
    assert!(found[0].indexes.is_empty() && found[0].left_out.is_empty());
    let notices: Vec<String> = till.notices().iter().filter_map(line).collect();
    assert!(
        notices.len() == 1
            && notices[0].starts_with("warning: ")
            && notices[0].contains("Guests, columns Phone, Shown"),
        "{notices:?}"
    );
    server.faults().take_statements();
    read(&mut till, &found[0], KeyRange::ALL).await.unwrap();
    let statements = server.faults().take_statements();
    assert!(!statements.is_empty() && !statements.concat().contains("Phone"), "{statements:?}");
}

#[tokio::test]
async fn masked_columns_are_taken_where_the_login_sees_the_truth() {
    for number in ["13.0.1601.5", "16.0.1000.6"] {
        assert_eq!(found(&[guests()], version(number)).await, [guests()], "{number}");
    }
    // Versions before it have no masks, and no words for them.
    let mut unmasked = guests();
    unmasked.columns[2].mask = None;
    assert_eq!(found(&[guests()], version("12.0.2000.8")).await, [unmasked]);
}

#[tokio::test]
async fn a_masked_key_leaves_rows_without_one_and_no_answer_means_masked() {
    let mut table = guests();
    table.columns[0].mask = Some("random(1, 9)".into());
    let server = start(&[table], EngineOptions::default()).await;
    server.faults().arm(When::Text("sys.masked_columns AS".into()), Fault::Error(229, "denied".into()), 1);
    let found = connect(&server).await.tables(&TableSelection::default()).await.unwrap();
    assert_eq!(found[0].masked, ["Id", "Phone", "Shown"]);
    assert!(found[0].key.is_empty() && found[0].primary_key.is_none());
}

#[tokio::test]
async fn encrypted_columns_are_the_bytes_they_come_as() {
    let mut table = plain("Cards", &[("Id", "int"), ("Number", "varbinary(max)")]);
    table.columns[1].encrypted = Some("nvarchar(50)".into());
    assert_eq!(found(std::slice::from_ref(&table), EngineOptions::default()).await, [table]);
}

#[tokio::test]
async fn types_of_users_are_the_types_below_them_or_the_clr_s() {
    let mut table =
        plain("Shapes", &[("Id", "int"), ("Where", "geography"), ("Set", "xml"), ("Name", "nvarchar(128)")]);
    table.columns[1].clr = true;
    table.columns[2].column_set = true;
    table.columns[3].user_type = Some(UserType { schema: "dbo".into(), name: "Label".into() });
    let mut point = column("Point", "clr(Point)");
    (point.clr, point.user_type) = (true, Some(UserType { schema: "dbo".into(), name: "Point".into() }));
    table.columns.push(point);
    let found = found(std::slice::from_ref(&table), EngineOptions::default()).await;
    assert_eq!(found, [table]);
    assert_eq!(found[0].columns[4].sql_type, SqlType::Clr("Point".into()));
}

#[tokio::test]
async fn the_till_s_own_word_on_one_table() {
    let server = start(&[rich(), plain("a.b]c'd", &[("Id", "int")])], EngineOptions::default()).await;
    server.engine().connection().unwrap().execute_batch("INSERT INTO dbo.\"a.b]c'd\" VALUES (1), (2)").unwrap();
    let mut till = connect(&server).await;
    assert_eq!(till.presence(&TableName::dbo("a.b]c'd")).await.unwrap(), Some(Presence::Rows(2)));
    assert_eq!(till.presence(&TableName::dbo("Rich")).await.unwrap(), Some(Presence::Rows(0)));
    assert_eq!(till.presence(&TableName::dbo("Gone")).await.unwrap(), Some(Presence::Absent));
    let other = TableName { schema: "a".into(), name: "Rich".into() };
    assert_eq!(till.presence(&other).await.unwrap(), Some(Presence::Absent));
}
