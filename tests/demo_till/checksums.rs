//! What quick snapshots ask a server: checksums, hashes, bytes of values, sums per group of keys.

use tillvault::{
    demo::{
        EngineOptions, Server, ServerOptions, schema,
        trade::{Trade, TradeOptions},
    },
    source::sqlserver::queries::fingerprint,
};

use crate::support::{Connection, connect, engine, error_number, rows, server, table};

async fn texts(client: &mut Connection, sql: &str) -> Vec<Option<String>> {
    rows(client, sql).await.iter().map(|row| row.get::<&str, _>(0).map(str::to_owned)).collect()
}

async fn one_text(client: &mut Connection, expression: &str) -> Option<String> {
    texts(client, &format!("SELECT {expression}")).await.remove(0)
}

async fn whole(client: &mut Connection, sql: &str) -> Option<i64> {
    let found = rows(client, sql).await;
    found[0].try_get::<i32, _>(0).map(|n| n.map(i64::from)).or_else(|_| found[0].try_get::<i64, _>(0)).unwrap()
}

#[tokio::test]
async fn values_have_the_bytes_of_a_real_server() {
    let server = server().await;
    let mut client = connect(&server).await;
    for (expression, expected) in [
        ("CAST(1 AS varbinary(4))", "00000001"),
        ("CAST(-2 AS varbinary(8))", "FFFFFFFE"),
        ("CAST(-2 AS binary(6))", "0000FFFFFFFE"),
        ("CAST(258 AS varbinary(1))", "02"),
        ("CONVERT(varbinary(max), CAST(-2 AS bigint))", "FFFFFFFFFFFFFFFE"),
        ("CAST(CAST(7 AS tinyint) AS varbinary(max))", "07"),
        ("CAST(CAST(1 AS bit) AS varbinary(max))", "01"),
        ("CAST(CAST(-1.5 AS decimal(16,2)) AS varbinary(max))", "100200009600000000000000"),
        ("CAST(N'aé' AS varbinary(max))", "6100E900"),
        ("CAST('aé' AS varbinary(max))", "61E9"),
        ("CAST(N'abc' AS varbinary(3))", "610062"),
        ("CAST(CAST('2026-03-01T12:05:05.123' AS datetime) AS varbinary(8))", "0000B40000C72691"),
        ("CAST(CAST(1.5 AS float) AS varbinary(8))", "3FF8000000000000"),
        ("CAST(CAST(1.5 AS money) AS varbinary(8))", "0000000000003A98"),
        ("SUBSTRING(CAST(N'abc' AS varbinary(max)), 3, 2)", "6200"),
        ("SUBSTRING(0x0102030405, 4, 8000)", "0405"),
        ("0x01 + 0x0203", "010203"),
        ("0x01 + (0x02 + 0x03) + ISNULL(CAST(NULL AS varbinary(4)) + 0x07, 0xFF)", "010203FF"),
        ("HASHBYTES('MD5', 'abc')", "900150983CD24FB0D6963F7D28E17F72"),
        ("HASHBYTES('md5', N'aé😀')", "21B9017B08D2873371F9EBE9F7FE6D7A"),
        ("HASHBYTES('SHA1', 'abc')", "A9993E364706816ABA3E25717850C26C9CD0D89D"),
        (
            "HASHBYTES('SHA2_256', CAST(N'abc' AS nvarchar(max)))",
            "13E228567E8249FCE53337F25D7970DE3BD68AB2653424C7B8F9FD05E33CAEDF",
        ),
    ] {
        let shown = one_text(&mut client, &format!("CONVERT(varchar(200), {expression}, 2)")).await.unwrap();
        assert!(shown.starts_with(expected), "{expression}: {shown}");
    }
    for (expression, expected) in [
        ("CONVERT(bigint, 0x00000000000000FF)", 255),
        ("CONVERT(bigint, 0xFFFFFFFFFFFFFFFE)", -2),
        ("CONVERT(bigint, SUBSTRING(HASHBYTES('MD5', 'abc'), 1, 4))", 0x9001_5098),
        ("CONVERT(int, 0x01FFFFFFFE)", -2),
        ("CAST(CAST(N'ab' AS varbinary(max)) AS int)", 0x6100_6200),
        ("DATALENGTH(CAST(N'aé' AS varbinary(max)))", 4),
        ("DATALENGTH(CAST(1 AS bigint))", 8),
        ("DATALENGTH(CAST(N'ab' AS nchar(4)))", 8),
        ("LEN(SUBSTRING(N'a😀b', 2, 1) + SUBSTRING(N'a😀b', 3, 1))", 2),
        ("LEN(REPLICATE(CAST(N'a' AS nvarchar(max)), 5000))", 5000),
        ("LEN(REPLICATE(N'a', 5000))", 4000),
        ("6 & 3", 2),
        ("6 ^ 3", 5),
        ("FLOOR(CAST(9007199254740993 AS bigint))", 9_007_199_254_740_993),
    ] {
        assert_eq!(whole(&mut client, &format!("SELECT {expression}")).await, Some(expected), "{expression}");
    }
}

#[tokio::test]
async fn values_have_the_text_of_a_real_server() {
    let server = server().await;
    let mut client = connect(&server).await;
    let moment = "CAST('2026-03-01T12:05:05.123' AS datetime)";
    for (expression, expected) in [
        (format!("CONVERT(nvarchar(30), {moment}, 121)"), "2026-03-01 12:05:05.123"),
        (format!("CONVERT(nvarchar(30), {moment}, 126)"), "2026-03-01T12:05:05.123"),
        (format!("CONVERT(nvarchar(30), CAST({moment} AS datetime2(6)), 121)"), "2026-03-01 12:05:05.123000"),
        (format!("CONVERT(nvarchar(30), CAST({moment} AS smalldatetime), 126)"), "2026-03-01T12:05:00"),
        (format!("CONVERT(nvarchar(30), CAST({moment} AS date), 121)"), "2026-03-01"),
        ("CONVERT(nvarchar(40), CAST(0.1 AS float), 3)".into(), "1.0000000000000001e-001"),
        ("CONVERT(nvarchar(40), CAST(0.1 AS float), 2)".into(), "1.000000000000000e-001"),
        ("CAST(CAST(1234.5 AS float) AS nvarchar(40))".into(), "1234.5"),
        ("CONVERT(nvarchar(40), CAST(1.2345 AS money), 2)".into(), "1.2345"),
        ("CAST(CAST(1.235 AS money) AS nvarchar(40))".into(), "1.24"),
        ("CONVERT(varchar(10), 0x0aff, 1)".into(), "0x0AFF"),
        ("CONCAT(N'a', NULL, 5, N'b')".into(), "a5b"),
        ("ISNULL(CAST(NULL AS nvarchar(10)), N'~')".into(), "~"),
        ("CASE WHEN CAST(NULL AS int) IS NULL THEN N'~' ELSE N'x' END".into(), "~"),
        ("REPLACE(N'a|b', N'|', N'||')".into(), "a||b"),
        ("LEFT(N'😀x', 3)".into(), "😀x"),
    ] {
        assert_eq!(one_text(&mut client, &expression).await.as_deref(), Some(expected), "{expression}");
    }
    assert_eq!(one_text(&mut client, "N'a' + CAST(NULL AS nvarchar(5))").await, None);
    // Without a (max) type CONCAT is cut at 4000 characters.
    let server = with_rows().await;
    let mut client = connect(&server).await;
    let cut = "SELECT LEN(CONCAT(CAST(J AS nvarchar(4000)), CAST(J AS nvarchar(4000)))) FROM Odd WHERE Id = 4";
    let whole_text = "SELECT LEN(CONCAT(J, J)) FROM Odd WHERE Id = 4";
    assert_eq!((whole(&mut client, cut).await, whole(&mut client, whole_text).await), (Some(4000), Some(18_000)));
}

/// Eight rows; row 4 has a long text.
async fn with_rows() -> Server {
    let server = server().await;
    fill(&server);
    server
}

fn fill(server: &Server) {
    let odd = table(
        "Odd",
        &[
            ("Id", "int"),
            ("W", "nvarchar(50)?"),
            ("V", "varchar(50)?"),
            ("J", "nvarchar(max)?"),
            ("T", "ntext?"),
            ("D", "decimal(16,2)?"),
            ("F", "float?"),
            ("S", "datetime?"),
            ("G", "uniqueidentifier?"),
            ("M", "money?"),
            ("B", "varbinary(max)?"),
            ("Bit", "bit"),
        ],
    );
    server.engine().add_table(&odd).unwrap();
    server
        .engine()
        .connection()
        .unwrap()
        .execute_batch(
            "INSERT INTO dbo.Odd
             SELECT range - 3, 'Wörd ' || range, 'narrow', CASE WHEN range = 7 THEN repeat('j', 9000) ELSE 'json' END,
                    'note', range + 0.25, range / 3.0, TIMESTAMP '2026-03-01 12:00:00' + to_minutes(range),
                    '0A0B0C0D-0000-0000-0000-000000000001', 1.5, 'ab'::BLOB, true
             FROM range(8);
             INSERT INTO dbo.Odd (Id, Bit) VALUES (100, false)",
        )
        .unwrap();
}

#[tokio::test]
async fn row_checksums_see_what_a_real_one_sees_and_no_more() {
    let server = with_rows().await;
    let data = server.engine().connection().unwrap();
    let mut client = connect(&server).await;
    const BINARY: &str = "SELECT BINARY_CHECKSUM(*) FROM Odd WHERE Id = 1";
    const FOLDED: &str = "SELECT CHECKSUM(W, V) FROM Odd WHERE Id = 1";
    let (mut before, folded) = (whole(&mut client, BINARY).await, whole(&mut client, FOLDED).await);
    for change in [
        "W = upper(W)",
        "W = NULL",
        "V = ''",
        "V = NULL",
        "D = D + 0.01",
        "F = nextafter(F, 100.0)",
        "S = S + INTERVAL 4 MILLISECONDS",
        "M = M + 0.0001",
        "B = NULL",
        "Bit = false",
        "J = 'jsoN'",
    ] {
        data.execute_batch(&format!("UPDATE dbo.Odd SET {change} WHERE Id = 1")).unwrap();
        let after = whole(&mut client, BINARY).await;
        assert_ne!(before, after, "{change}");
        before = after;
    }
    assert_ne!(folded, whole(&mut client, FOLDED).await);
    data.execute_batch("UPDATE dbo.Odd SET W = 'x', V = 'y' WHERE Id = 1").unwrap();
    let folded = whole(&mut client, FOLDED).await;
    data.execute_batch("UPDATE dbo.Odd SET W = 'X ' WHERE Id = 1").unwrap();
    assert_eq!(folded, whole(&mut client, FOLDED).await);
    // Not seen: old long types, the tail of (max) text, the sign of decimals.
    const LAST: &str = "SELECT BINARY_CHECKSUM(*) FROM Odd WHERE Id = 4";
    let before = whole(&mut client, LAST).await;
    for change in ["T = 'another note'", "J = J || 'x'", "D = -D"] {
        data.execute_batch(&format!("UPDATE dbo.Odd SET {change} WHERE Id = 4")).unwrap();
        assert_eq!(before, whole(&mut client, LAST).await, "{change}");
    }
    assert_eq!(whole(&mut client, "SELECT BINARY_CHECKSUM('2Volvo Director 20')").await, Some(-1_356_512_636));
    assert_eq!(whole(&mut client, "SELECT BINARY_CHECKSUM(NULL)").await, Some(i64::from(i32::MAX)));
    assert_eq!(error_number(&mut client, "SELECT BINARY_CHECKSUM(T) FROM Odd").await, 8184);
    assert_eq!(error_number(&mut client, "SELECT HASHBYTES('MD5', Id) FROM Odd").await, 8116);
    assert_eq!(error_number(&mut client, "SELECT HASHBYTES('MD5', T) FROM Odd").await, 8116);
}

#[tokio::test]
async fn sums_per_group_of_keys_truncate_toward_zero_and_overflow_loudly() {
    let server = with_rows().await;
    let mut client = connect(&server).await;
    let sql = "SELECT [Id] / 2 AS grp, COUNT_BIG(*) AS n, MIN([Id]) AS low, MAX([Id]) AS high, \
               SUM(CAST(BINARY_CHECKSUM([Id], [W]) AS bigint)) AS sum1, \
               SUM(CAST(CONVERT(bigint, SUBSTRING(HASHBYTES('MD5', CONCAT(CAST([Id] AS nvarchar(max)), N'|', \
               CASE WHEN [W] IS NULL THEN N'-' ELSE CONCAT(CAST(DATALENGTH([W]) AS nvarchar(12)), N':', [W]) END)), 1, 7)) \
               AS decimal(38,0))) AS sum2, \
               SUM(CASE WHEN DATALENGTH([J]) > 8000 THEN 1 ELSE 0 END) AS long_rows, CHECKSUM_AGG(BINARY_CHECKSUM([Id], [W])) \
               FROM [dbo].[Odd] WHERE [Id] < 100 GROUP BY [Id] / 2 ORDER BY [Id] / 2";
    let found = rows(&mut client, sql).await;
    let shown: Vec<(i32, i64, i32, i32, i32)> = found
        .iter()
        .map(|row| {
            (
                row.get(0).unwrap(),
                row.get(1).unwrap(),
                row.get(2).unwrap(),
                row.get(3).unwrap(),
                row.get("long_rows").unwrap(),
            )
        })
        .collect();
    assert_eq!(shown, [(-1, 2, -3, -2, 0), (0, 3, -1, 1, 0), (1, 2, 2, 3, 0), (2, 1, 4, 4, 1)]);
    assert!(found.iter().all(|row| row.get::<i64, _>("sum1").is_some()));
    assert_eq!(whole(&mut client, "SELECT MIN([Id] % 2) FROM Odd").await, Some(-1));
    for (sql, number) in [
        ("SELECT SUM(Id * 1000000000) FROM Odd", 8115),
        ("SELECT SUM(CAST(9223372036854775807 AS bigint)) FROM Odd", 8115),
        ("SELECT SUM(CAST(99999999999999999999999999999999999999 AS decimal(38,0))) FROM Odd", 8115),
        ("SELECT SUBSTRING(W, 1, -1) FROM Odd", 537),
    ] {
        assert_eq!(error_number(&mut client, sql).await, number, "{sql}");
    }
}

#[tokio::test]
async fn old_servers_hash_8000_bytes_and_some_lack_functions() {
    let missing = vec!["BINARY_CHECKSUM".to_owned(), "CHECKSUM_AGG".to_owned()];
    let options =
        EngineOptions { version: "11.0.7001.0".into(), missing_functions: missing, ..EngineOptions::default() };
    let server = Server::start(engine(options), ServerOptions::default()).await.unwrap();
    fill(&server);
    let mut client = connect(&server).await;
    assert_eq!(error_number(&mut client, "SELECT HASHBYTES('MD5', J) FROM Odd").await, 8152);
    let piece = "SELECT DATALENGTH(HASHBYTES('MD5', SUBSTRING(J, 1, 4000))) FROM Odd WHERE Id = 4";
    assert_eq!(whole(&mut client, piece).await, Some(16));
    assert_eq!(error_number(&mut client, "SELECT BINARY_CHECKSUM(Id) FROM Odd").await, 195);
    assert_eq!(error_number(&mut client, "SELECT checksum_agg(Id) FROM Odd").await, 195);
    assert!(whole(&mut client, "SELECT CHECKSUM(Id) FROM Odd").await.is_some());
}

/// The statements quick snapshots send, for every table of the till, in each form of digest.
#[tokio::test]
async fn the_sums_of_every_table_are_answered() {
    for (version, any_length) in [("14.0.1000.169", true), ("11.0.7001.0", false)] {
        let options = EngineOptions { version: version.into(), ..EngineOptions::default() };
        let server = Server::start(engine(options), ServerOptions::default()).await.unwrap();
        let data = server.engine().connection().unwrap();
        let mut trade = Trade::open(data, TradeOptions { tickets_per_day: 10, ..TradeOptions::default() }).unwrap();
        trade.trade_day().unwrap();
        fill(&server);
        let mut client = connect(&server).await;
        let probes = [fingerprint::PROBE_BINARY_CHECKSUM, fingerprint::PROBE_HASHBYTES];
        for probe in probes {
            assert_eq!(rows(&mut client, probe).await.len(), 1);
        }
        if any_length {
            assert_eq!(rows(&mut client, fingerprint::PROBE_ANY_LENGTH).await.len(), 1);
        } else {
            assert_eq!(error_number(&mut client, fingerprint::PROBE_ANY_LENGTH).await, 8152);
        }
        for table in schema::tables().unwrap() {
            for binary_checksum in [true, false] {
                let digest = fingerprint::Digest { binary_checksum, any_length };
                let sql = fingerprint::sums(&table, 512, digest).unwrap();
                let groups = rows(&mut client, &sql).await;
                let counted: i64 = groups.iter().map(|group| group.get::<i64, _>("row_count").unwrap()).sum();
                let count = whole(&mut client, &format!("SELECT COUNT_BIG(*) FROM [{}]", table.name.name)).await;
                assert_eq!(Some(counted), count, "{}", table.name);
            }
        }
    }
}
