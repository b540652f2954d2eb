use tiberius::{ColumnType, numeric::Numeric};
use tillvault::demo::{Server, trade::fixture};

use crate::support::{Connection, connect, error_number, rows, server, table};

async fn texts(client: &mut Connection, sql: &str) -> Vec<String> {
    rows(client, sql).await.iter().map(|row| row.get::<&str, _>(0).unwrap_or("NULL").to_owned()).collect()
}

async fn number(client: &mut Connection, sql: &str) -> i64 {
    let found = rows(client, sql).await;
    found[0].try_get::<i32, _>(0).map(|n| n.map(i64::from)).or_else(|_| found[0].try_get::<i64, _>(0)).unwrap().unwrap()
}

async fn with_words() -> (Server, Connection) {
    let server = server().await;
    server.engine().add_table(&table("Words", &[("Id", "int"), ("W", "nvarchar(50)?"), ("N", "int")])).unwrap();
    let data = server.engine().connection().unwrap();
    data.execute_batch(
        "INSERT INTO dbo.Words VALUES (1, 'Mains', 1), (2, 'mains ', 2), (3, 'MAINS', 4), (4, 'Cafe', 8), (5, 'Café', 16),
         (6, 'cafz', 32), (7, NULL, 64), (8, '', 128), (9, '   ', 256), (10, 'a[b]c', 512), (11, '50%', 1024)",
    )
    .unwrap();
    let client = connect(&server).await;
    (server, client)
}

#[tokio::test]
async fn text_is_compared_without_case_and_trailing_blanks_but_with_accents() {
    let (_server, mut client) = with_words().await;
    let sum = |condition: &str| format!("SELECT SUM(N) FROM Words WHERE {condition}");
    for (condition, expected) in [
        ("W = N'mAiNs'", 7),
        ("W = N'mains   '", 7),
        ("W <> N'MAINS'", 2040 - 64),
        ("W IN (N'CAFE', 'x')", 8),
        ("W = N'CAFÉ'", 16),
        ("W NOT IN (N'mains')", 2040 - 64),
        ("W = ''", 384),
        ("W LIKE N'MAIN%'", 7),
        ("W LIKE N'mains'", 5),
        ("W LIKE N'caf_'", 56),
        ("W LIKE N'%[[]B]%'", 512),
        ("W LIKE N'50!%' ESCAPE '!'", 1024),
        ("W LIKE N'[b-d]a%'", 56),
        ("W NOT LIKE N'%a%'", 128 + 256 + 1024),
        ("CHARINDEX(N'AIN', W) = 2", 7),
        ("CHARINDEX(N'S', W, 6) > 0", 0),
        ("W > N'cafe' AND W < N'cafz'", 16),
        ("W BETWEEN N'CAFE' AND N'cafz'", 56),
        ("W COLLATE Latin1_General_BIN2 = N'MAINS'", 4),
        ("EXISTS (SELECT 1 FROM Words AS o WHERE o.W = UPPER(Words.W) AND o.Id = 4)", 8),
        ("W IN (SELECT o.W FROM Words o WHERE o.Id = 3)", 7),
        ("LEN(W) = 5", 7 + 512),
        ("DATALENGTH(W) = 12", 2),
    ] {
        let found = rows(&mut client, &sum(condition)).await;
        assert_eq!(found[0].get::<i32, _>(0).unwrap_or(0), expected, "{condition}");
    }
}

#[tokio::test]
async fn groups_and_distinct_values_are_folded_and_sorted_like_a_dictionary() {
    let (_server, mut client) = with_words().await;
    let sums = rows(&mut client, "SELECT W, SUM(N) AS n, COUNT(*) FROM Words GROUP BY W ORDER BY n").await;
    let sums: Vec<(Option<String>, i32)> =
        sums.iter().map(|row| (row.get::<&str, _>(0).map(str::to_lowercase), row.get(1).unwrap())).collect();
    assert_eq!(sums.iter().map(|(_, n)| *n).collect::<Vec<_>>(), [7, 8, 16, 32, 64, 384, 512, 1024]);
    assert_eq!(sums[4].0, None);
    assert_eq!(number(&mut client, "SELECT COUNT(DISTINCT W) FROM Words").await, 7);
    let distinct = texts(&mut client, "SELECT DISTINCT W FROM Words WHERE N < 64 ORDER BY W").await;
    let folded: Vec<String> = distinct.iter().map(|word| word.trim_end().to_lowercase()).collect();
    assert_eq!(folded, ["cafe", "café", "cafz", "mains"]);
    let smallest = texts(&mut client, "SELECT MIN(W COLLATE Latin1_General_BIN2) FROM Words WHERE W = 'mains'").await;
    assert_eq!(smallest, ["MAINS"]);
    assert_eq!(
        texts(&mut client, "SELECT TOP (1) W FROM Words ORDER BY W DESC").await[0].to_lowercase().trim_end(),
        "mains"
    );
    let nulls_first = rows(&mut client, "SELECT TOP 1 Id FROM Words ORDER BY W, Id").await;
    assert_eq!(nulls_first[0].get::<i32, _>(0), Some(7));
}

#[tokio::test]
async fn functions_answer_as_on_a_real_server() {
    let (_server, mut client) = with_words().await;
    for (sql, expected) in [
        ("CHARINDEX(N'b', N'abcb')", 2),
        ("CHARINDEX(N'b', N'abcb', 3)", 4),
        ("CHARINDEX(N'', N'abc')", 0),
        ("CHARINDEX('x', 'abc')", 0),
        ("LEN(N'ab  ')", 2),
        ("LEN(N'😀')", 2),
        ("DATALENGTH(N'a😀')", 6),
        ("7 / 2", 3),
        ("-7 / 2", -3),
        ("-7 % 3", -1),
        ("CAST(2.9 AS int)", 2),
        ("CAST(-2.9 AS int)", -2),
        ("CAST(N' 12 ' AS int)", 12),
        ("ISNULL(NULL, 5)", 5),
        ("COALESCE(NULL, NULL, 6)", 6),
        ("CASE WHEN 1 = 2 THEN 1 ELSE 3 END", 3),
        ("DATEDIFF(day, '20260301', '20260303')", 2),
        ("YEAR(DATEADD(month, 11, CAST('2026-02-28' AS datetime)))", 2027),
        ("IIF('a' = 'A ', 1, 0)", 1),
        ("(SELECT COUNT(*) FROM Words)", 11),
        ("COUNT_BIG(*)", 1),
    ] {
        assert_eq!(number(&mut client, &format!("SELECT {sql}")).await, expected, "{sql}");
    }
    for (sql, expected) in [
        ("SUBSTRING(N'abcdef', 2, 3)", "bcd"),
        ("SUBSTRING(N'abcdef', 0, 3)", "ab"),
        ("SUBSTRING(N'abc', 5, 3)", ""),
        ("N'a' + N'b' + 'c'", "abc"),
        ("CONVERT(nvarchar(10), CAST('2026-03-01T12:05:00' AS datetime), 120)", "2026-03-01"),
        ("CAST(N'abcdef' AS nvarchar(3))", "abc"),
        ("RTRIM(N'x  ') + LEFT(N'abc', 2) + UPPER(N'é')", "xabÉ"),
        ("CAST(12.50 AS varchar(10))", "12.50"),
    ] {
        assert_eq!(texts(&mut client, &format!("SELECT {sql}")).await, [expected], "{sql}");
    }
    assert_eq!(texts(&mut client, "SELECT N'a' + NULL").await, ["NULL"]);
    let found = rows(
        &mut client,
        "SELECT ROUND(CAST(0.505 AS decimal(16,3)), 2), CAST(16.50 AS decimal(16,2)) * CAST(0.505 AS decimal(16,3))",
    )
    .await;
    assert_eq!(found[0].get::<Numeric, _>(0), Some(Numeric::new_with_scale(510, 3)));
    assert_eq!(found[0].get::<Numeric, _>(1), Some(Numeric::new_with_scale(833_250, 5)));
    let found = rows(&mut client, "SELECT ROUND(CAST(-0.505 AS decimal(16,3)), 2), CAST(-1.005 AS decimal(5,2))").await;
    assert_eq!(found[0].get::<Numeric, _>(0), Some(Numeric::new_with_scale(-510, 3)));
    assert_eq!(found[0].get::<Numeric, _>(1), Some(Numeric::new_with_scale(-101, 2)));
}

#[tokio::test]
async fn errors_carry_the_numbers_of_a_real_server() {
    let (server, mut client) = with_words().await;
    server.engine().add_table(&table("Odd", &[("Id", "int"), ("v", "sql_variant?")])).unwrap();
    for (sql, expected) in [
        ("SELECT * FROM Nowhere", 208),
        ("SELECT x FROM Words", 207),
        ("SELECT o.Id FROM Words", 4104),
        ("SELECT FROM WHERE", 102),
        ("SELECT @P1", 137),
        ("SELECT nosuch(1)", 195),
        ("SELECT W FROM Words GROUP BY N", 8120),
        ("SELECT Id FROM Words a, Words b", 209),
        ("SELECT 1 / 0", 8134),
        ("SELECT CAST('x' AS int)", 8115),
        ("SELECT 1 WHERE 1", 4145),
        ("DELETE FROM Words", 40517),
        ("USE other", 911),
        ("SELECT v FROM Odd", 40517),
        ("SELECT SUBSTRING(W, 1, -1) FROM Words", 537),
        ("COMMIT", 3902),
        ("ROLLBACK", 3903),
    ] {
        assert_eq!(error_number(&mut client, sql).await, expected, "{sql}");
    }
    assert_eq!(
        number(&mut client, "SELECT COUNT(*) FROM Words").await,
        11,
        "the connection goes on, and nothing was deleted"
    );
}

#[tokio::test]
async fn parameters_keep_their_types() {
    let (_server, mut client) = with_words().await;
    let long = "ä".repeat(600_000);
    let sql = "SELECT @P1, @P2, @P3, @P4, @P5, LEN(@P3)";
    let number = Numeric::new_with_scale(-12345, 2);
    let found = client
        .query(sql, &[&7i32, &i64::MIN, &long.as_str(), &number, &Option::<i32>::None])
        .await
        .unwrap()
        .into_row()
        .await
        .unwrap()
        .unwrap();
    assert_eq!(found.get::<i32, _>(0), Some(7));
    assert_eq!(found.get::<i64, _>(1), Some(i64::MIN));
    assert_eq!(found.get::<&str, _>(2), Some(long.as_str()));
    assert_eq!(found.get::<Numeric, _>(3), Some(number));
    assert_eq!(found.get::<i32, _>(4), None);
    assert_eq!(found.get::<i64, _>(5), Some(600_000));
    let found = client
        .query("SELECT Id FROM Words WHERE Id > @P1 AND W = @P2 ORDER BY Id", &[&1i64, &"MAINS"])
        .await
        .unwrap()
        .into_first_result()
        .await
        .unwrap();
    assert_eq!(found.iter().map(|row| row.get::<i32, _>(0).unwrap()).collect::<Vec<_>>(), [2, 3]);
}

#[tokio::test]
async fn a_batch_may_hold_several_statements() {
    let (_server, mut client) = with_words().await;
    let results = client
        .simple_query(
            "SET NOCOUNT ON SELECT 1 AS a; SELECT Id FROM Words WHERE Id <= 2 IF 1 = 0 SELECT 9 ELSE SELECT 3, 4",
        )
        .await
        .unwrap()
        .into_results()
        .await
        .unwrap();
    let shape: Vec<(usize, usize)> =
        results.iter().map(|rows| (rows.len(), rows.first().map_or(0, tiberius::Row::len))).collect();
    assert_eq!(shape.iter().filter(|(rows, _)| *rows > 0).copied().collect::<Vec<_>>(), [(1, 1), (2, 1), (1, 2)]);
}

#[tokio::test]
async fn the_catalog_describes_the_tables() {
    let server = server().await;
    let mut client = connect(&server).await;
    let found = rows(
        &mut client,
        "SELECT t.name, c.name, COALESCE(b.name, u.name) AS type_name, c.max_length, c.precision, c.scale, c.is_nullable,
                c.is_identity, c.collation_name, d.definition
         FROM sys.tables AS t INNER JOIN sys.schemas AS s ON s.schema_id = t.schema_id
         INNER JOIN sys.columns AS c ON c.object_id = t.object_id
         INNER JOIN sys.types AS u ON u.user_type_id = c.user_type_id
         LEFT JOIN sys.types AS b ON b.user_type_id = c.system_type_id
         LEFT JOIN sys.default_constraints AS d ON d.object_id = c.default_object_id
         WHERE t.is_ms_shipped = 0 AND t.name = N'tickets' AND s.name = N'dbo' ORDER BY c.column_id",
    )
    .await;
    assert_eq!(found[0].get::<&str, _>(1), Some("Id"));
    assert_eq!(found[0].get::<&str, _>(2), Some("int"));
    assert_eq!(found[0].get::<bool, _>(7), Some(true));
    assert_eq!(found[0].columns()[3].column_type(), ColumnType::Int2);
    let amount = found.iter().find(|row| row.get::<&str, _>(1) == Some("TotalAmount")).unwrap();
    assert_eq!((amount.get::<u8, _>(4), amount.get::<u8, _>(5)), (Some(16), Some(2)));
    let tags = found.iter().find(|row| row.get::<&str, _>(1) == Some("TicketTags")).unwrap();
    assert_eq!(tags.get::<i16, _>(3), Some(-1));
    assert_eq!(tags.get::<&str, _>(8), Some("Latin1_General_CI_AS"));
    let key = texts(
        &mut client,
        "SELECT c.name FROM sys.tables t JOIN sys.indexes i ON i.object_id = t.object_id
         JOIN sys.index_columns k ON k.object_id = i.object_id AND k.index_id = i.index_id
         JOIN sys.columns c ON c.object_id = k.object_id AND c.column_id = k.column_id
         WHERE i.is_primary_key = 1 AND t.name = N'AccountTransactionValues' ORDER BY k.key_ordinal",
    )
    .await;
    assert_eq!(key, ["Id", "AccountTransactionId", "AccountTransactionDocumentId"]);
    let foreign = texts(
        &mut client,
        "SELECT rt.name + N'.' + rc.name FROM sys.foreign_keys f
         JOIN sys.foreign_key_columns k ON k.constraint_object_id = f.object_id
         JOIN sys.tables t ON t.object_id = k.parent_object_id
         JOIN sys.tables rt ON rt.object_id = k.referenced_object_id
         JOIN sys.columns rc ON rc.object_id = k.referenced_object_id AND rc.column_id = k.referenced_column_id
         WHERE t.name = N'Tickets'",
    )
    .await;
    assert_eq!(foreign, ["AccountTransactionDocuments.Id"]);
    server.engine().connection().unwrap().execute_batch("INSERT INTO dbo.VersionInfo VALUES (1), (2)").unwrap();
    let sum = "SELECT SUM(p.rows) AS n FROM sys.tables t JOIN sys.partitions p ON p.object_id = t.object_id
               WHERE p.index_id IN (0, 1) AND t.name = N'VersionInfo' GROUP BY t.name";
    assert_eq!(number(&mut client, sum).await, 2);
}

#[tokio::test]
async fn the_worked_examples_come_out_of_a_live_report() {
    let server = server().await;
    fixture::load_queries_fixture(&server.engine().connection().unwrap()).unwrap();
    let mut client = connect(&server).await;
    let items = "SELECT c.item_id AS item_id, CASE WHEN c.tv > 0 AND c.stop > c.tv + 6 \
        THEN SUBSTRING(c.tags, c.tv + 6, c.stop - c.tv - 6) END AS category FROM (SELECT b.item_id AS item_id, b.tags AS tags, \
        b.tv AS tv, CASE WHEN b.tv > 0 THEN CHARINDEX(N'\"', b.tags, b.tv + 6) ELSE 0 END AS stop FROM (SELECT a.item_id AS item_id, \
        a.tags AS tags, CASE WHEN a.tn > 0 THEN CHARINDEX(N'\"TV\":\"', a.tags, a.tn) ELSE 0 END AS tv FROM (SELECT m.[Id] AS item_id, \
        CAST(m.[CustomTags] AS nvarchar(max)) AS tags, CHARINDEX(N'\"TN\":\"Kitchen Course\"', CAST(m.[CustomTags] AS nvarchar(max))) AS tn \
        FROM [dbo].[MenuItems] AS m) AS a) AS b) AS c";
    let categories =
        format!("SELECT DISTINCT i.category AS category FROM ({items}) AS i WHERE i.category <> N'' ORDER BY category");
    assert_eq!(texts(&mut client, &categories).await, ["Desserts", "Mains", "Sharing\\/Platters", "Starters", "Y"]);
    let sold = format!(
        "SELECT MIN(g.category COLLATE Latin1_General_BIN2) AS category, MIN(g.item_name COLLATE Latin1_General_BIN2) AS item_name, \
         SUM(g.quantity) AS quantity, SUM(g.revenue) AS revenue FROM (SELECT i.category AS category, \
         COALESCE(CAST(o.[MenuItemName] AS nvarchar(max)), N'') AS item_name, ROUND(o.[Quantity], 2) AS quantity, \
         o.[Price] * o.[Quantity] AS revenue FROM [dbo].[Orders] AS o INNER JOIN [dbo].[Tickets] AS t ON t.[Id] = o.[TicketId] \
         INNER JOIN ({items}) AS i ON i.item_id = o.[MenuItemId] WHERE t.[IsClosed] = 1 AND t.[Date] >= @P1 AND t.[Date] < @P2 \
         AND (o.[OrderStates] IS NULL OR (CHARINDEX(N'\"S\":\"Void\"', CAST(o.[OrderStates] AS nvarchar(max))) = 0 \
         AND CHARINDEX(N'\"S\":\"Canceled\"', CAST(o.[OrderStates] AS nvarchar(max))) = 0)) AND i.category IN (@P3)) AS g \
         GROUP BY g.category, g.item_name ORDER BY revenue DESC"
    );
    let day = |date: &str| Day(date.parse().unwrap());
    let found = client
        .query(sold, &[&day("2026-03-01"), &day("2026-03-03"), &"mains"])
        .await
        .unwrap()
        .into_first_result()
        .await
        .unwrap();
    let shown: Vec<(String, String, String)> = found
        .iter()
        .map(|row| {
            let number = |index: usize| row.get::<Numeric, _>(index).unwrap().to_string();
            (row.get::<&str, _>(1).unwrap().to_owned(), number(2), number(3))
        })
        .collect();
    let expected = [
        ("Ribeye Steak", "3.000", "72.00000"),
        ("Fish Pie", "3.020", "49.66500"),
        ("Rib-Eye", "1.000", "23.00000"),
        ("Staff Curry", "3.000", "12.00000"),
    ];
    assert_eq!(shown, expected.map(|(name, quantity, revenue)| (name.into(), quantity.into(), revenue.into())));
}

/// A `datetime` parameter at midnight.
struct Day(jiff::civil::Date);

impl tiberius::ToSql for Day {
    fn to_sql(&self) -> tiberius::ColumnData<'_> {
        let days = self.0.since(jiff::civil::date(1900, 1, 1)).unwrap().get_days();
        tiberius::ColumnData::DateTime(Some(tiberius::time::DateTime::new(days, 0)))
    }
}

#[tokio::test]
async fn pages_in_key_order_cover_a_table() {
    let server = server().await;
    let data = server.engine().connection().unwrap();
    data.execute_batch(
        "INSERT INTO dbo.AccountTransactionValues BY NAME
         SELECT range // 2 + 1 AS Id, range AS AccountTransactionId, 7 AS AccountTransactionDocumentId, 1 AS AccountTypeId,
                2 AS AccountId, TIMESTAMP '2026-03-01 12:00:00' AS Date, 1.25 AS Debit, 0 AS Credit, 0 AS Exchange
         FROM range(9001)",
    )
    .unwrap();
    let mut client = connect(&server).await;
    let (mut id, mut transaction, mut total) = (0i32, -1i32, 0);
    loop {
        let page = client
            .query(
                "SELECT TOP (4096) [Id], [AccountTransactionId], [Debit], [Name] FROM [dbo].[AccountTransactionValues]
                 WHERE [Id] >= @P1 AND ([Id] > @P1 OR ([AccountTransactionId] > @P2)) AND [Id] <= @P3
                 ORDER BY [Id], [AccountTransactionId]",
                &[&id, &transaction, &i64::MAX],
            )
            .await
            .unwrap()
            .into_first_result()
            .await
            .unwrap();
        for row in &page {
            let next = (row.get::<i32, _>(0).unwrap(), row.get::<i32, _>(1).unwrap());
            assert!(next > (id, transaction), "rows come in the order of the key");
            (id, transaction) = next;
            assert_eq!(row.get::<Numeric, _>(2), Some(Numeric::new_with_scale(125, 2)));
            assert_eq!(row.get::<&str, _>(3), None);
        }
        total += page.len();
        if page.len() < 4096 {
            break;
        }
    }
    assert_eq!((total, id), (9001, 4501));
}
