//! Quick snapshots of the demo till: its checksums, asked and answered over the wire, see every change of a value.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use tillvault::{
    archive::{Archive, snapshot::ReadHow},
    config::TillConfig,
    demo::{
        EngineOptions, Server,
        fault::{Fault, When},
    },
    model::table::{Column, Table, TableName},
    observe::silent,
    ops::snapshot::{SnapshotOptions, SnapshotOutcome, snapshot},
    source::{Source as _, Sums, sqlserver::SqlServer},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use crate::{archive, entries, served};

fn things() -> Table {
    let column = |name: &str, sql_type: &str| Column::new(name, sql_type.parse().unwrap());
    let columns = vec![
        column("Id", "int").not_null(),
        column("Name", "nvarchar(50)"),
        column("Code", "varchar(20)"),
        column("Json", "nvarchar(max)"),
        column("Old", "ntext"),
        column("Amount", "decimal(16,2)"),
        column("Wide", "decimal(38,9)"),
        column("Price", "money"),
        column("Ratio", "float"),
        column("Small", "real"),
        column("Moment", "datetime"),
        column("Fine", "datetime2(7)"),
        column("Flag", "bit"),
        column("Blob", "varbinary(max)"),
        column("Guid", "uniqueidentifier"),
        column("Ver", "rowversion"),
    ];
    Table::new(TableName::dbo("Things"), columns).with_key(&["Id"])
}

fn heap() -> Table {
    let columns = vec![Column::new("Name", "nvarchar(50)".parse().unwrap()), Column::new("N", "int".parse().unwrap())];
    Table::new(TableName::dbo("Heap"), columns)
}

fn run(server: &Server, script: &str) {
    server.engine().connection().unwrap().execute_batch(script).unwrap();
}

async fn till(options: EngineOptions) -> Server {
    let server = served::start(&[things(), heap()], options).await;
    run(
        &server,
        "INSERT INTO dbo.Things SELECT range, 'name ' || range, 'code ' || range, repeat('{\"a\":\"b\"},', CASE WHEN range BETWEEN 81 AND 85 THEN 1200 ELSE 3 END) || range, \
         'old ' || range, range + 0.25, range + 0.000000001, range + 0.0001, range / 7, range / 3, \
         TIMESTAMP '2026-03-01 12:00:00.003' + to_seconds(range), '2026-03-01T12:00:00.1234567', range % 2 = 0, \
         encode('blob ' || range), '6F9619FF-8B86-D011-B42D-00C04FC964FF', unhex(printf('%016x', range)) \
         FROM range(1, 601); \
         INSERT INTO dbo.Heap SELECT 'name ' || range, range FROM range(20);",
    );
    server
}

async fn take_from(config: &TillConfig, archive: &Archive, quick: bool) -> SnapshotOutcome {
    let mut till = SqlServer::connect(config).await.unwrap();
    let options = SnapshotOptions { quick, ..SnapshotOptions::default() };
    snapshot(archive, &mut till, &options, &silent()).await.unwrap()
}

async fn take(server: &Server, archive: &Archive, quick: bool) -> SnapshotOutcome {
    take_from(&served::config(server), archive, quick).await
}

/// Changes of one row, most of them the smallest there are.
const CHANGES: &[&str] = &[
    // A byte, and the case of a letter.
    "UPDATE dbo.Things SET Name = 'name 70a' WHERE Id = 70",
    "UPDATE dbo.Things SET Name = 'Name 71' WHERE Id = 71",
    "UPDATE dbo.Things SET Name = 'näme 72' WHERE Id = 72",
    "UPDATE dbo.Things SET Code = 'code 73 ' WHERE Id = 73",
    // NULL, empty, nothing and zero.
    "UPDATE dbo.Things SET Name = '' WHERE Id = 74",
    "UPDATE dbo.Things SET Name = NULL WHERE Id = 74",
    "UPDATE dbo.Things SET Code = NULL WHERE Id = 75",
    "UPDATE dbo.Things SET Code = '' WHERE Id = 75",
    "UPDATE dbo.Things SET Amount = NULL WHERE Id = 76",
    "UPDATE dbo.Things SET Amount = 0 WHERE Id = 76",
    "UPDATE dbo.Things SET Flag = NULL WHERE Id = 77",
    "UPDATE dbo.Things SET Flag = false WHERE Id = 77",
    "UPDATE dbo.Things SET Flag = true WHERE Id = 77",
    // Text from one column to the next.
    "UPDATE dbo.Things SET Name = 'name', Code = ' 78code 78' WHERE Id = 78",
    // Rows exchange what they hold.
    "UPDATE dbo.Things SET Name = CASE Id WHEN 80 THEN 'name 81' ELSE 'name 80' END WHERE Id IN (80, 81)",
    "UPDATE dbo.Things SET Json = (SELECT b.Json FROM dbo.Things AS b WHERE b.Id = 163 - dbo.Things.Id) WHERE Id IN (81, 82)",
    // Far inside a long text, which BINARY_CHECKSUM does not see.
    "UPDATE dbo.Things SET Json = Json[1:4100] || 'X' || Json[4102:] WHERE Id = 83",
    "UPDATE dbo.Things SET Json = Json[1:8200] || 'x' || Json[8202:] WHERE Id = 84",
    "UPDATE dbo.Things SET Json = Json || ' ' WHERE Id = 85",
    "UPDATE dbo.Things SET Old = 'Old 86' WHERE Id = 86",
    "UPDATE dbo.Things SET Old = NULL WHERE Id = 86",
    // The least steps of numbers and times.
    "UPDATE dbo.Things SET Amount = Amount + 0.01 WHERE Id = 87",
    "UPDATE dbo.Things SET Wide = -Wide WHERE Id = 88",
    "UPDATE dbo.Things SET Price = Price + 0.0001 WHERE Id = 89",
    "UPDATE dbo.Things SET Ratio = nextafter(Ratio, CAST(99 AS DOUBLE)) WHERE Id = 90",
    "UPDATE dbo.Things SET Ratio = 0.0 WHERE Id = 91",
    "UPDATE dbo.Things SET Ratio = CAST('-0.0' AS DOUBLE) WHERE Id = 91",
    "UPDATE dbo.Things SET Small = nextafter(Small, CAST(99 AS FLOAT)) WHERE Id = 92",
    "UPDATE dbo.Things SET Moment = Moment + INTERVAL 4 MILLISECONDS WHERE Id = 93",
    "UPDATE dbo.Things SET Moment = Moment - INTERVAL 4 MILLISECONDS WHERE Id = 93",
    "UPDATE dbo.Things SET Fine = '2026-03-01T12:00:00.1234568' WHERE Id = 94",
    "UPDATE dbo.Things SET Blob = unhex('00') WHERE Id = 95",
    "UPDATE dbo.Things SET Blob = unhex('0000') WHERE Id = 95",
    "UPDATE dbo.Things SET Guid = '6F9619FF-8B86-D011-B42D-00C04FC964FE' WHERE Id = 96",
    "UPDATE dbo.Things SET Ver = unhex('ff00000000000000') WHERE Id = 97",
    // Rows come and go.
    "DELETE FROM dbo.Things WHERE Id = 98",
    "UPDATE dbo.Things SET Id = 98 WHERE Id = 99",
    "DELETE FROM dbo.Things WHERE Id = 600",
    "INSERT INTO dbo.Things (Id, Name) VALUES (700, 'a'), (-5, 'b'), (0, 'c')",
    "UPDATE dbo.Heap SET Name = 'NAME 3' WHERE N = 3",
    "UPDATE dbo.Heap SET N = 23 - N WHERE N IN (11, 12)",
];

/// Every change is read by the next quick snapshot, and a full one has nothing to add.
async fn sees_all(options: EngineOptions, checksums: &str, changes: &[&str]) {
    let server = till(options).await;
    let folder = tempfile::tempdir().unwrap();
    let archive = archive(folder.path());
    for rows in [620, 0] {
        let taken = take(&server, &archive, true).await;
        assert_eq!((taken.rows_read, taken.reads.len()), (rows, 2), "{:?}", taken.reads);
    }
    let mut numbers = 1;
    for change in changes {
        run(&server, change);
        let taken = take(&server, &archive, true).await;
        numbers += 1;
        assert_eq!(taken.snapshot, numbers, "not seen: {change}");
        assert!(taken.rows_read > 0 && taken.rows_read < 620, "{change}: {} rows", taken.rows_read);
        let snapshot = archive.latest().unwrap().unwrap();
        for read in &snapshot.reads {
            assert_eq!((read.how, read.checksums.as_deref()), (ReadHow::Quick, Some(checksums)), "{read:?}");
        }
    }
    let (quick, full) = (entries(&archive), take(&server, &archive, false).await);
    assert!(full.unchanged && full.collisions.is_empty());
    assert_eq!(entries(&archive), quick);
}

fn without(functions: &[&str]) -> EngineOptions {
    let missing_functions = functions.iter().map(ToString::to_string).collect();
    EngineOptions { missing_functions, allow_snapshot_isolation: true, ..EngineOptions::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_change_of_a_value_is_seen() {
    sees_all(without(&[]), "BINARY_CHECKSUM, MD5", CHANGES).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_change_is_seen_without_snapshot_isolation() {
    let some: Vec<&str> = CHANGES.iter().copied().step_by(5).collect();
    sees_all(EngineOptions::default(), "BINARY_CHECKSUM, MD5", &some).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_change_is_seen_without_binary_checksum() {
    sees_all(without(&["BINARY_CHECKSUM"]), "SHA1, MD5", CHANGES).await;
}

/// A server before 2016 hashes no more than 8000 bytes at a time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_change_is_seen_by_an_old_server() {
    let options = EngineOptions { version: "11.0.7001.0".into(), ..without(&[]) };
    sees_all(options, "BINARY_CHECKSUM, MD5", CHANGES).await;
}

#[tokio::test]
async fn rows_that_an_old_server_cannot_hash_are_always_read() {
    let options = EngineOptions { version: "11.0.7001.0".into(), ..without(&[]) };
    let server = till(options).await;
    let folder = tempfile::tempdir().unwrap();
    let archive = archive(folder.path());
    run(&server, "UPDATE dbo.Things SET Json = repeat('x', 40000) WHERE Id = 600");
    for rows in [620, 88, 88] {
        assert_eq!(take(&server, &archive, true).await.rows_read, rows);
    }
    run(&server, "UPDATE dbo.Things SET Json = repeat('x', 39999) || 'y' WHERE Id = 600");
    assert!(!take(&server, &archive, true).await.unchanged);
}

#[tokio::test]
async fn a_server_that_cannot_hash_is_read_in_full_and_the_snapshot_says_why() {
    for missing in [&["HASHBYTES"][..], &["HASHBYTES", "BINARY_CHECKSUM"][..]] {
        let server = till(without(missing)).await;
        let folder = tempfile::tempdir().unwrap();
        let archive = archive(folder.path());
        for _ in 0..2 {
            let taken = take(&server, &archive, true).await;
            assert_eq!(taken.rows_read, 620);
            for read in &taken.reads {
                let why = read.why.as_deref().unwrap();
                assert!(read.how == ReadHow::Whole && why.contains("HASHBYTES"), "{read:?}");
            }
        }
    }
}

#[tokio::test]
async fn groups_are_counted_as_the_blocks_are_cut() {
    let server = till(without(&[])).await;
    run(&server, "INSERT INTO dbo.Things (Id) VALUES (0), (-511), (-512), (-2147483648), (2147483647)");
    let mut till = served::connect(&server).await;
    let Sums::Table(sums) = till.sums(&things(), 512).await.unwrap() else { panic!() };
    let found: Vec<(i64, u64, Option<i64>, Option<i64>)> =
        sums.groups.iter().map(|group| (group.group, group.rows, group.lowest, group.highest)).collect();
    let (least, most) = (i64::from(i32::MIN), i64::from(i32::MAX));
    assert_eq!(
        found,
        [
            (-4_194_305, 1, Some(least), Some(least)),
            (-2, 1, Some(-512), Some(-512)),
            (-1, 2, Some(-511), Some(0)),
            (0, 512, Some(1), Some(512)),
            (1, 88, Some(513), Some(600)),
            (4_194_303, 1, Some(most), Some(most)),
        ]
    );
    // An empty table has no groups.
    run(&server, "DELETE FROM dbo.Heap");
    assert!(matches!(till.sums(&heap(), 512).await.unwrap(), Sums::Table(sums) if sums.groups.is_empty()));
}

#[tokio::test]
async fn a_table_that_may_not_be_read_is_missing_and_the_others_are_quick() {
    let server = till(without(&[])).await;
    let folder = tempfile::tempdir().unwrap();
    let archive = archive(folder.path());
    for _ in 0..2 {
        take(&server, &archive, true).await;
    }
    server.faults().arm(When::Table("Heap".into()), Fault::permission_denied("SambaPOS5", "Heap"), 9);
    let taken = take(&server, &archive, true).await;
    assert_eq!((taken.missing.len(), taken.missing[0].table.as_str(), taken.rows_read), (1, "Heap", 0));
    assert!(taken.missing[0].reason.contains("permission"), "{:?}", taken.missing);
}

#[tokio::test]
async fn the_catalog_is_read_inside_the_transaction_and_functions_are_tried_before_it() {
    let server = till(without(&[])).await;
    let folder = tempfile::tempdir().unwrap();
    server.faults().take_statements();
    take(&server, &archive(folder.path()), true).await;
    let asked = server.faults().take_statements();
    let place =
        |word: &str| asked.iter().rposition(|text| text.contains(word)).unwrap_or_else(|| panic!("{word}: {asked:?}"));
    // Whoever begins asks first whether the database allows it.
    let begun = place("snapshot_isolation_state");
    let tried: Vec<usize> = (0..asked.len()).filter(|at| asked[*at].contains(" AS found")).collect();
    assert!(tried.len() >= 3 && tried.iter().all(|at| *at < begun), "{asked:?}");
    assert!(begun < place("sys.columns") && place("sys.columns") < place("COUNT_BIG(*) AS row_count"));
}

/// Passes everything on, and counts the bytes that the server sends.
async fn counted(server: &Server) -> (TillConfig, Arc<AtomicU64>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut config = served::config(server);
    let port = config.port;
    config.port = listener.local_addr().unwrap().port();
    let count = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&count);
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let counter = Arc::clone(&counter);
            tokio::spawn(async move {
                let server = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
                let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
                    (client.into_split(), server.into_split());
                tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_server).await });
                let mut buffer = vec![0; 16_384];
                while let Ok(length @ 1..) = from_server.read(&mut buffer).await {
                    counter.fetch_add(length as u64, Ordering::Relaxed);
                    if to_client.write_all(&buffer[..length]).await.is_err() {
                        break;
                    }
                }
            });
        }
    });
    (config, count)
}

/// DESIGN §9: nothing changed, quick, at most 0.05 of the bytes of a full snapshot.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quick_snapshot_of_an_unchanged_till_costs_few_bytes() {
    let server = till(without(&[])).await;
    run(
        &server,
        "INSERT INTO dbo.Things (Id, Name, Amount, Moment) SELECT range, 'name ' || range, range, \
         TIMESTAMP '2026-03-01 12:00:00' + to_seconds(range) FROM range(2000, 7000)",
    );
    let folder = tempfile::tempdir().unwrap();
    let archive = archive(folder.path());
    let (config, count) = counted(&server).await;
    let mut bytes = Vec::new();
    for quick in [false, true, true] {
        count.store(0, Ordering::Relaxed);
        take_from(&config, &archive, quick).await;
        bytes.push(count.load(Ordering::Relaxed));
    }
    assert!(bytes[2] * 20 <= bytes[0], "{bytes:?} bytes from the till");
}
