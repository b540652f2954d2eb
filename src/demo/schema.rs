//! The till's schema: `fixtures/schema.sql` as [`Table`] values, and the same tables in `DuckDB`.
//!
//! The script is the one place where the tables are written down; types, nullability, identity, defaults and keys are read
//! from it, never repeated in code. Text columns get the collation the fixtures assume (DOMAIN §1). The `DuckDB` tables
//! keep types, NOT NULL and plain defaults; keys and foreign keys live in the [`Table`] values only, so that simulated
//! trade and tests may also leave orphans behind, as real tills do (DOMAIN §3).

use duckdb::Connection;
use sqlparser::{
    ast::{self, ColumnDef, ColumnOption, DataType, Expr, ObjectName, ReferentialAction, Statement, TableConstraint},
    dialect::MsSqlDialect,
    parser::Parser,
};

use crate::{
    error::{Error, Kind, OrFail, Result},
    model::{
        identifier::quoted,
        sql_type::SqlType,
        table::{Column, ForeignKey, Index, IndexColumn, Numbering, PrimaryKey, Table, TableName},
    },
};

/// The script the demo till's tables are made from.
pub const SCRIPT: &str = include_str!("../../fixtures/schema.sql");

/// The collation of every text column: case-insensitive, accent-sensitive (DOMAIN §1).
pub const COLLATION: &str = "Latin1_General_CI_AS";

/// All tables of [`SCRIPT`], in its order.
///
/// # Errors
/// [`Kind::Bug`] when the script holds something that is not understood.
pub fn tables() -> Result<Vec<Table>> {
    parse(SCRIPT)
}

/// The tables a T-SQL script creates; batches are separated by lines that hold `GO` alone, other statements are passed over.
///
/// # Errors
/// [`Kind::Bug`] naming the batch that cannot be parsed.
pub fn parse(script: &str) -> Result<Vec<Table>> {
    let mut tables = Vec::new();
    for batch in batches(script) {
        let statements = Parser::parse_sql(&MsSqlDialect {}, &batch)
            .or_fail(Kind::Bug, || format!("cannot parse a batch of the schema script: {}", head(&batch)))?;
        for statement in statements {
            match statement {
                Statement::CreateTable(create) => {
                    tables.push(table(&create.name, &create.columns, &create.constraints)?);
                }
                Statement::CreateIndex(create) => add_index(&mut tables, &create)?,
                _ => {}
            }
        }
    }
    Ok(tables)
}

fn batches(script: &str) -> Vec<String> {
    let mut batches = vec![String::new()];
    for line in script.lines() {
        if line.trim().eq_ignore_ascii_case("GO") {
            batches.push(String::new());
        } else if let Some(batch) = batches.last_mut() {
            batch.push_str(line);
            batch.push('\n');
        }
    }
    batches.retain(|batch| !batch.trim().is_empty());
    batches
}

fn head(batch: &str) -> String {
    batch.trim().chars().take(80).collect()
}

fn table(name: &ObjectName, columns: &[ColumnDef], constraints: &[TableConstraint]) -> Result<Table> {
    let name = table_name(name)?;
    let mut key = Vec::new();
    let mut primary_key = None;
    let mut foreign_keys = Vec::new();
    for constraint in constraints {
        match constraint {
            TableConstraint::PrimaryKey(primary) => {
                let columns = index_columns(&name, &primary.columns)?;
                let constraint = primary.name.as_ref().map(|ident| ident.value.clone());
                primary_key = Some(PrimaryKey {
                    name: constraint.unwrap_or_else(|| format!("PK_{}.{}", name.schema, name.name)),
                    clustered: true,
                    descending: columns.iter().filter(|c| c.descending).map(|c| c.name.clone()).collect(),
                });
                key = columns.into_iter().map(|column| column.name).collect();
            }
            TableConstraint::ForeignKey(foreign) => foreign_keys.push(ForeignKey {
                name: foreign.name.as_ref().map(|ident| ident.value.clone()).unwrap_or_default(),
                columns: foreign.columns.iter().map(|ident| ident.value.clone()).collect(),
                references: table_name(&foreign.foreign_table)?,
                referenced_columns: foreign.referred_columns.iter().map(|ident| ident.value.clone()).collect(),
                on_delete: action(foreign.on_delete),
                on_update: action(foreign.on_update),
                ..ForeignKey::default()
            }),
            _ => {}
        }
    }
    let columns = columns.iter().map(|definition| column(&name, definition)).collect();
    Ok(Table { name, columns, heap: key.is_empty(), key, primary_key, foreign_keys, ..Table::default() })
}

fn action(action: Option<ReferentialAction>) -> Option<String> {
    let words = match action? {
        ReferentialAction::Cascade => "cascade",
        ReferentialAction::SetNull => "set null",
        ReferentialAction::SetDefault => "set default",
        ReferentialAction::NoAction | ReferentialAction::Restrict => return None,
    };
    Some(words.to_owned())
}

fn index_columns(table: &TableName, columns: &[ast::IndexColumn]) -> Result<Vec<IndexColumn>> {
    let column = |column: &ast::IndexColumn| {
        let Expr::Identifier(ident) = &column.column.expr else {
            return Err(Error::new(Kind::Bug, format!("a key of {table} is not made of columns")));
        };
        let descending = matches!(column.column.options.sort, Some(ast::OrderBySort::Desc));
        Ok(IndexColumn { name: ident.value.clone(), descending })
    };
    columns.iter().map(column).collect()
}

fn add_index(tables: &mut [Table], create: &ast::CreateIndex) -> Result<()> {
    let on = table_name(&create.table_name)?;
    let Some(table) = tables.iter_mut().find(|table| table.name == on) else {
        return Err(Error::new(Kind::Bug, format!("the schema script has an index on {on} before the table")));
    };
    let name = create.name.as_ref().map(table_name).transpose()?.map(|name| name.name).unwrap_or_default();
    table.indexes.push(Index {
        name,
        columns: index_columns(&on, &create.columns)?,
        included: create.include.iter().map(|ident| ident.value.clone()).collect(),
        unique: create.unique,
        filter: create.predicate.as_ref().map(|predicate| format!("({predicate})")),
        ..Index::default()
    });
    Ok(())
}

fn table_name(name: &ObjectName) -> Result<TableName> {
    let parts: Vec<_> = name.0.iter().filter_map(|part| part.as_ident()).map(|ident| ident.value.clone()).collect();
    match parts.as_slice() {
        [table] => Ok(TableName::dbo(table)),
        [schema, table] => Ok(TableName { schema: schema.clone(), name: table.clone() }),
        _ => Err(Error::new(Kind::Bug, format!("the schema script names a table oddly: {name}"))),
    }
}

fn column(table: &TableName, definition: &ColumnDef) -> Column {
    let sql_type = sql_type(&definition.data_type);
    let mut column = Column {
        name: definition.name.value.clone(),
        collation: is_text(&sql_type).then(|| COLLATION.to_owned()),
        sql_type,
        ..Column::default()
    };
    for option in &definition.options {
        match &option.option {
            ColumnOption::NotNull => column.nullable = false,
            ColumnOption::Identity(property) => {
                column.identity = true;
                column.numbering = Some(numbering(property));
            }
            ColumnOption::Default(value) => {
                column.default = Some(format!("({value})"));
                let name = option.name.as_ref().map(|ident| ident.value.clone());
                column.default_name = name.or_else(|| Some(format!("DF__{}__{}", table.name, column.name)));
            }
            _ => {}
        }
    }
    column
}

fn numbering(property: &ast::IdentityPropertyKind) -> Numbering {
    let (ast::IdentityPropertyKind::Identity(property) | ast::IdentityPropertyKind::Autoincrement(property)) = property;
    match &property.parameters {
        Some(
            ast::IdentityPropertyFormatKind::FunctionCall(given)
            | ast::IdentityPropertyFormatKind::StartAndIncrement(given),
        ) => Numbering { seed: given.seed.to_string(), increment: given.increment.to_string() },
        None => Numbering { seed: "1".into(), increment: "1".into() },
    }
}

fn sql_type(data_type: &DataType) -> SqlType {
    match data_type.to_string().parse() {
        Ok(sql_type) => sql_type,
        Err(never) => match never {},
    }
}

fn is_text(sql_type: &SqlType) -> bool {
    matches!(
        sql_type,
        SqlType::Char { .. }
            | SqlType::VarChar { .. }
            | SqlType::Text
            | SqlType::NChar { .. }
            | SqlType::NVarChar { .. }
            | SqlType::NText
    )
}

/// Makes the schemas and tables in `DuckDB`, empty. Names keep their case; text compares without case.
///
/// # Errors
/// [`Kind::Bug`] naming the table when a column has a type the demo till has no storage for, or when it exists already.
pub fn create_tables(conn: &Connection, tables: &[Table]) -> Result<()> {
    let mut script = String::from("BEGIN;\n");
    for table in tables {
        script.push_str(&format!("CREATE SCHEMA IF NOT EXISTS {};\n", quoted(&table.name.schema)));
        script.push_str(&create_statement(table)?);
        script.push_str(";\n");
    }
    script.push_str("COMMIT;");
    conn.execute_batch(&script).or_fail(Kind::Bug, || "cannot create the demo till's tables")
}

/// The `CREATE TABLE` statement for `DuckDB`.
///
/// # Errors
/// [`Kind::Bug`] when a column has a type the demo till has no storage for.
pub fn create_statement(table: &Table) -> Result<String> {
    let mut columns = Vec::with_capacity(table.columns.len());
    for column in &table.columns {
        let storage = duckdb_type(&column.sql_type).ok_or_else(|| {
            Error::new(
                Kind::Bug,
                format!("the demo till cannot store {}.{}: {}", table.name, column.name, column.sql_type),
            )
        })?;
        let collate = if is_text(&column.sql_type) { " COLLATE NOCASE" } else { "" };
        let not_null = if column.nullable { "" } else { " NOT NULL" };
        let default = plain_default(column).map(|value| format!(" DEFAULT {value}")).unwrap_or_default();
        columns.push(format!("  {} {storage}{collate}{default}{not_null}", quoted(&column.name)));
    }
    let name = format!("{}.{}", quoted(&table.name.schema), quoted(&table.name.name));
    Ok(format!("CREATE TABLE {name} (\n{}\n)", columns.join(",\n")))
}

/// The default as `DuckDB` can take it: numbers only; functions such as `GETDATE()` belong to the server's clock.
fn plain_default(column: &Column) -> Option<String> {
    let value = column.default.as_deref()?.trim_matches(['(', ')']);
    let number: i64 = value.parse().ok()?;
    Some(if column.sql_type == SqlType::Bit { (number != 0).to_string() } else { number.to_string() })
}

/// The `DuckDB` type that holds every value of a SQL Server type, or `None` when there is none.
#[must_use]
pub fn duckdb_type(sql_type: &SqlType) -> Option<String> {
    let name = match sql_type {
        SqlType::Bit => "BOOLEAN",
        SqlType::TinyInt | SqlType::SmallInt => "SMALLINT",
        SqlType::Int => "INTEGER",
        SqlType::BigInt => "BIGINT",
        SqlType::Decimal { precision, scale } => return Some(format!("DECIMAL({precision},{scale})")),
        SqlType::Money => "DECIMAL(19,4)",
        SqlType::SmallMoney => "DECIMAL(10,4)",
        SqlType::Real => "FLOAT",
        SqlType::Float => "DOUBLE",
        SqlType::Date => "DATE",
        SqlType::Time { scale } if *scale <= 6 => "TIME",
        SqlType::DateTime | SqlType::SmallDateTime => "TIMESTAMP",
        SqlType::DateTime2 { scale } if *scale <= 6 => "TIMESTAMP",
        SqlType::Time { .. }
        | SqlType::DateTime2 { .. }
        | SqlType::DateTimeOffset { .. }
        | SqlType::Char { .. }
        | SqlType::VarChar { .. }
        | SqlType::Text
        | SqlType::NChar { .. }
        | SqlType::NVarChar { .. }
        | SqlType::NText
        | SqlType::UniqueIdentifier
        | SqlType::Xml => "VARCHAR",
        SqlType::Binary { .. } | SqlType::VarBinary { .. } | SqlType::Image | SqlType::RowVersion => "BLOB",
        SqlType::Json | SqlType::Variant | SqlType::Clr(_) | SqlType::Other(_) => return None,
    };
    Some(name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find<'t>(tables: &'t [Table], name: &str) -> &'t Table {
        tables.iter().find(|table| table.name.name == name).unwrap()
    }

    #[test]
    fn the_script_holds_every_table_with_its_keys() {
        let tables = tables().unwrap();
        assert_eq!(tables.len(), 83);
        assert!(tables.iter().all(|table| table.name.schema == "dbo" && !table.columns.is_empty()));
        assert!(tables.iter().all(|table| table.unsupported().is_none()));

        let tickets = find(&tables, "Tickets");
        assert_eq!(tickets.key, ["Id"]);
        let id = tickets.column("Id").unwrap();
        assert!(id.identity && !id.nullable && id.sql_type == SqlType::Int && id.collation.is_none());
        let uid = tickets.column("TicketUid").unwrap();
        assert!(uid.nullable && !uid.identity);
        assert_eq!(uid.sql_type, SqlType::NVarChar { length: Some(128) });
        assert_eq!(uid.collation.as_deref(), Some(COLLATION));
        assert_eq!(tickets.column("PreOrder").unwrap().default.as_deref(), Some("(0)"));
        assert_eq!(tickets.column("TotalAmount").unwrap().sql_type, SqlType::Decimal { precision: 16, scale: 2 });
        assert_eq!(tickets.foreign_keys[0].references, TableName::dbo("AccountTransactionDocuments"));

        assert_eq!(id.numbering.as_ref().map(|numbering| numbering.seed.as_str()), Some("1"));
        assert_eq!(
            tickets.primary_key.as_ref().map(|key| (key.name.as_str(), key.clustered)),
            Some(("PK_dbo.Tickets", true))
        );
        assert!(tickets.indexes.iter().any(|index| index.name == "IX_Tickets_LastPaymentDate" && !index.unique));
        assert!(find(&tables, "EntityStateValues").indexes[0].unique && !tickets.heap);
        assert_eq!(find(&tables, "Orders").foreign_keys[0].on_delete.as_deref(), Some("cascade"));

        let values = find(&tables, "AccountTransactionValues");
        assert_eq!(values.key, ["Id", "AccountTransactionId", "AccountTransactionDocumentId"]);
        assert_eq!(values.foreign_keys[0].columns, ["AccountTransactionId", "AccountTransactionDocumentId"]);
        assert_eq!(values.foreign_keys[0].referenced_columns, ["Id", "AccountTransactionDocumentId"]);
        assert!(find(&tables, "VersionInfo").key.is_empty() && find(&tables, "VersionInfo").heap);
        let join = find(&tables, "CalculationSelectorCalculationTypes");
        assert_eq!(join.key, ["CalculationSelector_Id", "CalculationType_Id"]);
        assert!(join.column("Id").is_none());
        assert_eq!(find(&tables, "Numerators").column("LastUpdateTime").unwrap().sql_type, SqlType::RowVersion);
        assert_eq!(
            find(&tables, "Orders").column("LastUpdateDateTime").unwrap().default.as_deref(),
            Some("(GETDATE())")
        );
    }

    #[test]
    fn duckdb_takes_the_tables_under_their_own_names() {
        let tables = tables().unwrap();
        let conn = Connection::open_in_memory().unwrap();
        create_tables(&conn, &tables).unwrap();
        let count: i64 = conn
            .query_row("SELECT count(*) FROM information_schema.tables WHERE table_schema = 'dbo'", [], |row| {
                row.get(0)
            })
            .unwrap();
        assert_eq!(count, 83);
        for (table, column) in [("Calculations", "Order"), ("PaidItems", "Key"), ("ProductTimerValues", "End")] {
            assert!(find(&tables, table).column(column).is_some());
            conn.execute_batch(&format!("SELECT \"{column}\" FROM dbo.\"{table}\"")).unwrap();
        }
        conn.execute_batch("INSERT INTO dbo.\"Users\" (\"Id\", \"Name\") VALUES (1, 'Anna')").unwrap();
        let seven: i32 = conn
            .query_row("SELECT \"SevenShiftsEmployeeId\" FROM dbo.\"Users\" WHERE \"Name\" = 'ANNA'", [], |row| {
                row.get(0)
            })
            .unwrap();
        assert_eq!(seven, 0);
        assert!(conn.execute_batch("INSERT INTO dbo.\"Users\" (\"Name\") VALUES ('Nobody')").is_err());
    }

    #[test]
    fn a_type_without_storage_is_refused_by_name() {
        let tables = parse("CREATE TABLE [dbo].[Odd] ([Id] int NOT NULL, [Shape] geometry NULL)").unwrap();
        let conn = Connection::open_in_memory().unwrap();
        let error = create_tables(&conn, &tables).unwrap_err();
        assert!(error.message().contains("Odd.Shape"), "{error}");
    }
}
