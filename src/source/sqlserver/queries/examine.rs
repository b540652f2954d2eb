//! The questions of `doctor`, and the statements it shows to an administrator.
//!
//! Promises: every question stands alone, so that a right or a function the server lacks costs one answer and not the others;
//! all are answered from the server's book-keeping or with one row of a primary key; nobody needs more than `db_datareader`.
//! The statements of the second half are text for people: tillvault never sends them.

use super::{quote, quote_table};
use crate::model::table::TableName;

/// What the server is.
pub const SERVER: &str = "\
SELECT CAST(SERVERPROPERTY(N'ProductVersion') AS nvarchar(128)) AS product_version, \
CAST(SERVERPROPERTY(N'Edition') AS nvarchar(128)) AS edition, \
CAST(@@SERVERNAME AS nvarchar(256)) AS server_name, \
CAST(@@VERSION AS nvarchar(300)) AS version_text";

/// Whether the server is a `LocalDB`: 1 or 0; NULL where that is not known.
pub const LOCAL_DB: &str = "SELECT CAST(SERVERPROPERTY(N'IsLocalDB') AS int) AS is_local_db";

/// By which names the server knows us: the login, and the user in the database.
pub const WHO: &str = "\
SELECT CAST(SUSER_SNAME() AS nvarchar(256)) AS login_name, CAST(USER_NAME() AS nvarchar(256)) AS user_name";

/// How the database compares, and which isolation it offers.
pub const DATABASE: &str = "\
SELECT d.name AS database_name, CAST(d.compatibility_level AS int) AS compatibility_level, \
d.collation_name AS collation_name, CAST(d.snapshot_isolation_state AS int) AS snapshot_isolation_state, \
d.is_read_committed_snapshot_on AS is_read_committed_snapshot_on \
FROM sys.databases AS d WHERE d.database_id = DB_ID()";

/// In which state the database is.
pub const STATE: &str = "\
SELECT CAST(DATABASEPROPERTYEX(DB_NAME(), N'Status') AS nvarchar(60)) AS status, \
CAST(DATABASEPROPERTYEX(DB_NAME(), N'UserAccess') AS nvarchar(60)) AS user_access, \
CAST(DATABASEPROPERTYEX(DB_NAME(), N'Updateability') AS nvarchar(60)) AS updateability";

/// The server's wall clock.
pub const LOCAL_CLOCK: &str = "SELECT CONVERT(nvarchar(30), CAST(SYSDATETIME() AS datetime2(3)), 126) AS moment";

/// The server's clock in UTC.
pub const UTC_CLOCK: &str = "SELECT CONVERT(nvarchar(30), CAST(SYSUTCDATETIME() AS datetime2(3)), 126) AS moment";

/// Nothing: what the way there and back takes.
pub const ROUND_TRIP: &str = "SELECT 1 AS one";

/// One row for the row reader.
pub const READER_TRIAL: &str = "SELECT CAST(1 AS bigint) AS one";

/// Roles of the server that give more than signing in.
pub const SERVER_ROLES: [&str; 6] =
    ["sysadmin", "securityadmin", "serveradmin", "processadmin", "dbcreator", "bulkadmin"];

/// Roles of the database that give more than reading.
pub const DATABASE_ROLES: [&str; 5] =
    ["db_owner", "db_datawriter", "db_ddladmin", "db_securityadmin", "db_accessadmin"];

/// Rights on the whole database that give more than reading.
pub const DATABASE_RIGHTS: [&str; 6] = ["CONTROL", "ALTER", "INSERT", "UPDATE", "DELETE", "CREATE TABLE"];

/// Which of [`SERVER_ROLES`] the login is in: one column each, in that order, named like the role.
#[must_use]
pub fn server_roles() -> String {
    let item = |role: &&str| format!("IS_SRVROLEMEMBER(N'{role}') AS {}", quote(role));
    format!("SELECT {}", SERVER_ROLES.iter().map(item).collect::<Vec<_>>().join(", "))
}

/// Which of [`DATABASE_ROLES`] the user is in.
#[must_use]
pub fn database_roles() -> String {
    let item = |role: &&str| format!("IS_MEMBER(N'{role}') AS {}", quote(role));
    format!("SELECT {}", DATABASE_ROLES.iter().map(item).collect::<Vec<_>>().join(", "))
}

/// Which of [`DATABASE_RIGHTS`] the user has.
#[must_use]
pub fn database_rights() -> String {
    let item =
        |right: &&str| format!("HAS_PERMS_BY_NAME(QUOTENAME(DB_NAME()), N'DATABASE', N'{right}') AS {}", quote(right));
    format!("SELECT {}", DATABASE_RIGHTS.iter().map(item).collect::<Vec<_>>().join(", "))
}

/// The quoted name of table `t` in schema `s`, in T-SQL. Not by `QUOTENAME`: that of Babelfish doubles an apostrophe as well, and
/// such a table would seem to be none.
macro_rules! quoted_name {
    () => {
        "N'[' + CAST(REPLACE(CAST(s.name AS nvarchar(128)), N']', N']]') AS nvarchar(256)) + N'].[' \
         + CAST(REPLACE(CAST(t.name AS nvarchar(128)), N']', N']]') AS nvarchar(256)) + N']'"
    };
}

/// Rights on each table the login can see: to read it, and to change it.
pub const TABLE_RIGHTS: &str = concat!(
    "SELECT s.name AS schema_name, t.name AS table_name, ",
    "HAS_PERMS_BY_NAME(",
    quoted_name!(),
    ", N'OBJECT', N'SELECT') AS may_read, HAS_PERMS_BY_NAME(",
    quoted_name!(),
    ", N'OBJECT', N'INSERT') AS may_insert, HAS_PERMS_BY_NAME(",
    quoted_name!(),
    ", N'OBJECT', N'UPDATE') AS may_update, HAS_PERMS_BY_NAME(",
    quoted_name!(),
    ", N'OBJECT', N'DELETE') AS may_delete, HAS_PERMS_BY_NAME(",
    quoted_name!(),
    ", N'OBJECT', N'ALTER') AS may_alter ",
    "FROM sys.tables AS t ",
    "INNER JOIN sys.schemas AS s ON s.schema_id = t.schema_id ",
    "WHERE t.is_ms_shipped = 0 ",
    "ORDER BY s.name, t.name"
);

/// Columns that may not be read.
pub const HIDDEN_COLUMNS: &str = concat!(
    "SELECT s.name AS schema_name, t.name AS table_name, c.name AS column_name ",
    "FROM sys.tables AS t ",
    "INNER JOIN sys.schemas AS s ON s.schema_id = t.schema_id ",
    "INNER JOIN sys.columns AS c ON c.object_id = t.object_id ",
    "WHERE t.is_ms_shipped = 0 AND HAS_PERMS_BY_NAME(",
    quoted_name!(),
    ", N'OBJECT', N'SELECT', c.name, N'COLUMN') = 0 ",
    "ORDER BY s.name, t.name, c.column_id"
);

/// Pages of 8 KiB that the rows of each table take, without further indexes.
pub const TABLE_PAGES: &str = "\
SELECT s.name AS schema_name, t.name AS table_name, SUM(a.used_pages) AS pages \
FROM sys.tables AS t \
INNER JOIN sys.schemas AS s ON s.schema_id = t.schema_id \
INNER JOIN sys.partitions AS p ON p.object_id = t.object_id \
INNER JOIN sys.allocation_units AS a ON a.container_id = p.partition_id \
WHERE p.index_id IN (0, 1) AND t.is_ms_shipped = 0 \
GROUP BY s.name, t.name";

/// Pages of 8 KiB of the database's data files; the log does not count towards the limit of an edition.
pub const FILE_PAGES: &str =
    "SELECT SUM(CAST(f.size AS bigint)) AS pages FROM sys.database_files AS f WHERE f.type = 0";

/// Databases of the server besides its own, asked from `master` when the one in the settings cannot be opened.
pub const DATABASES: &str = "\
SELECT d.name AS database_name, d.state_desc AS state_desc, CAST(HAS_DBACCESS(d.name) AS int) AS may_open \
FROM sys.databases AS d WHERE d.database_id > 4 ORDER BY d.name";

/// The newest row of a table with a time of its own: by the column `key`, of which there is an index.
#[must_use]
pub fn newest_moment(table: &TableName, column: &str, key: &str) -> String {
    format!(
        "SELECT TOP (1) CONVERT(nvarchar(30), {}, 126) AS moment FROM {} ORDER BY {} DESC",
        quote(column),
        quote_table(table),
        quote(key)
    )
}

/// The highest value of a column, as text.
#[must_use]
pub fn highest(table: &TableName, column: &str) -> String {
    let column = quote(column);
    format!("SELECT CAST(MAX({column}) AS nvarchar(300)) AS highest FROM {}", quote_table(table))
}

/// For an administrator: a login of our own that may only read.
#[must_use]
pub fn make_reader(login: &str, database: &str) -> Vec<String> {
    let login = quote(login);
    vec![
        format!("CREATE LOGIN {login} WITH PASSWORD = N'choose a long one';"),
        format!("USE {};", quote(database)),
        format!("CREATE USER {login} FOR LOGIN {login};"),
        format!("ALTER ROLE [db_datareader] ADD MEMBER {login};"),
    ]
}

/// For an administrator: lets a login that exists into the database, to read.
#[must_use]
pub fn let_in(login: &str, database: &str) -> Vec<String> {
    make_reader(login, database).split_off(1)
}

/// For an administrator: lets a user of the database read every table.
#[must_use]
pub fn let_read(user: &str, database: &str) -> Vec<String> {
    vec![format!("USE {};", quote(database)), format!("ALTER ROLE [db_datareader] ADD MEMBER {};", quote(user))]
}

/// For an administrator: takes back that a table, or some columns of it, may not be read.
#[must_use]
pub fn take_back_denial(user: &str, table: &TableName, columns: &[String]) -> String {
    let list: Vec<String> = columns.iter().map(|column| quote(column)).collect();
    let list = if list.is_empty() { String::new() } else { format!(" ({})", list.join(", ")) };
    format!("REVOKE SELECT ON {}{list} FROM {};", quote_table(table), quote(user))
}

/// For an administrator: lets readers see one moment of the database.
#[must_use]
pub fn allow_snapshots(database: &str) -> String {
    format!("ALTER DATABASE {} SET ALLOW_SNAPSHOT_ISOLATION ON;", quote(database))
}

/// For an administrator: opens a database for more than one user.
#[must_use]
pub fn open_for_all(database: &str) -> String {
    format!("ALTER DATABASE {} SET MULTI_USER;", quote(database))
}

/// For an administrator: brings a database back that was taken offline.
#[must_use]
pub fn bring_online(database: &str) -> String {
    format!("ALTER DATABASE {} SET ONLINE;", quote(database))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_till_are_quoted_in_every_statement() {
        let odd = TableName { schema: "dbo".into(), name: "a]b".into() };
        assert_eq!(
            take_back_denial("o]r", &odd, &["x]y".into()]),
            "REVOKE SELECT ON [dbo].[a]]b] ([x]]y]) FROM [o]]r];"
        );
        assert_eq!(allow_snapshots("a]b"), "ALTER DATABASE [a]]b] SET ALLOW_SNAPSHOT_ISOLATION ON;");
        assert!(newest_moment(&odd, "Date", "Id").ends_with("FROM [dbo].[a]]b] ORDER BY [Id] DESC"));
    }
}
