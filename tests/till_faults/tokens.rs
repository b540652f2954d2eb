//! One answer, broken at every place: cut at every token and at bytes drawn by lot, and its structure falsified byte by byte.
//!
//! An answer that is cut must end in an error or in the very rows the till has. Over a plain connection nobody can tell a value
//! that was altered on the way, so that falsified structure is only held to this: no panic, no wait without end, no short
//! table. What only one of the readers notices is named where it is asked.

use std::time::Duration;

use arrow::record_batch::RecordBatch;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use tillvault::{
    Error,
    config::{Encryption, RowReader, TillConfig},
    demo::{
        Engine, EngineOptions, Server,
        fault::{Place, Tamper, When},
    },
    model::table::{KeyRange, Table},
    source::{Source as _, sqlserver::SqlServer},
};

use crate::{
    anatomy::{Anatomy, COLMETADATA, DONE, ROW},
    rig::{notes, reader_of, readers, speaks_plainly, table},
    till::{self, fill, read, serve, stored},
};

/// A till of one table, and its whole answer when that is read.
struct Bench {
    server: Server,
    table: Table,
    rows: RecordBatch,
    config: TillConfig,
    tokens: Vec<u8>,
    anatomy: Anatomy,
}

impl Bench {
    async fn all(table: Table, rows: usize) -> Vec<Self> {
        let mut benches = Vec::new();
        for reader in [RowReader::Fast, RowReader::Tiberius] {
            benches.push(Self::one(table.clone(), rows, reader).await);
        }
        benches
    }

    async fn one(table: Table, rows: usize, reader: RowReader) -> Self {
        let engine = Engine::new(std::slice::from_ref(&table), EngineOptions::default()).unwrap();
        fill(&engine, &table, rows);
        let server = serve(engine, Encryption::Off).await;
        // A moment without a byte is enough to give up: what is cut short is waited for in vain.
        let patient = TillConfig { reader, ..till::config(&server) };
        let config = TillConfig { statement_timeout: Duration::from_millis(300), ..patient.clone() };
        server.faults().keep_answers();
        read(&mut SqlServer::connect(&patient).await.unwrap(), &table, KeyRange::ALL).await.unwrap();
        let asked = format!("[{}]", table.name.name);
        let answers = server.faults().take_answers();
        let tokens = answers.into_iter().find(|answer| answer.request.contains(&asked)).unwrap().tokens;
        let rows = stored(server.engine(), &table, "true");
        let anatomy = Anatomy::of(&tokens);
        Self { server, table, rows, config, tokens, anatomy }
    }

    /// Reads the table while `tamper` acts on the answer, once: whether the rows are those the till has. Never fewer.
    async fn strike(&self, what: &str, tamper: Tamper) -> Result<bool, Error> {
        self.server.faults().arm(When::Table(self.table.name.name.clone()), tamper, 1);
        let limit = Duration::from_secs(20);
        let reading = async {
            let mut till = SqlServer::connect(&self.config).await?;
            read(&mut till, &self.table, KeyRange::ALL).await
        };
        let outcome = tokio::time::timeout(limit, reading).await.unwrap_or_else(|_| panic!("{what}: hangs"));
        let happened = self.server.faults().are_spent();
        self.server.faults().clear();
        match outcome {
            Ok(rows) => {
                assert!(happened, "{what}: did not happen");
                assert_eq!(rows.num_rows(), self.rows.num_rows(), "{what}");
                Ok(rows == self.rows)
            }
            // A busy machine may take longer than the little patience here before it comes to the fault.
            Err(error) if !happened => Err(error),
            Err(error) => {
                speaks_plainly(what, &error);
                assert!(error.message().contains(&self.table.name.name), "{what}: {error}");
                Err(error)
            }
        }
    }

    fn what(&self, what: &str) -> String {
        format!("{what} of {}, {}", self.table.name, reader_of(&self.config))
    }
}

#[tokio::test]
async fn an_answer_cut_at_any_token_is_never_taken_for_whole() {
    for bench in Bench::all(notes(), 12).await {
        for (at, token) in &bench.anatomy.tokens {
            let what = bench.what(&format!("cut before token {token:#x} at byte {at}"));
            // The bytes before are one packet: its header comes first.
            let error = bench.strike(&what, Tamper::cut_at(*at as u64 + 8)).await.expect_err(&what);
            assert_eq!(error.exit_code(), 75, "{what}: {error}");
        }
    }
}

#[tokio::test]
async fn an_answer_cut_at_any_byte_is_never_taken_for_whole() {
    for bench in Bench::all(table("Orders"), 9).await {
        let mut lot = ChaCha8Rng::seed_from_u64(0x7111);
        let bytes = bench.tokens.len() as u64 + 8;
        for _ in 0..200 {
            let at = lot.random_range(0..bytes);
            let what = bench.what(&format!("cut at byte {at} of {bytes}"));
            let error = bench.strike(&what, Tamper::cut_at(at)).await.expect_err(&what);
            assert_eq!(error.exit_code(), 75, "{what}: {error}");
        }
    }
}

/// An error, or no difference; never fewer rows.
async fn falsify_structure(table: Table, rows: usize, reader: RowReader) {
    let bench = Bench::one(table, rows, reader).await;
    let mut lot = ChaCha8Rng::seed_from_u64(0x5EED);
    let structure = bench.anatomy.structure();
    for _ in 0..100 {
        let at = structure[lot.random_range(0..structure.len())];
        let flipped = bench.tokens[at] ^ (1 << lot.random_range(0..8));
        let what = bench.what(&format!("{:#x} at byte {at} made {flipped:#x}", bench.tokens[at]));
        let _ = bench.strike(&what, Tamper::edit(Place::Start(at), 1, [flipped])).await;
    }
}

#[tokio::test]
async fn falsified_structure_of_long_values_through_the_fast_reader() {
    falsify_structure(notes(), 6, RowReader::Fast).await;
}

#[tokio::test]
async fn falsified_structure_of_long_values_through_the_slow_reader() {
    falsify_structure(notes(), 6, RowReader::Tiberius).await;
}

#[tokio::test]
async fn falsified_structure_of_many_types_through_the_fast_reader() {
    falsify_structure(table("Orders"), 4, RowReader::Fast).await;
}

#[tokio::test]
async fn falsified_structure_of_many_types_through_the_slow_reader() {
    falsify_structure(table("Orders"), 4, RowReader::Tiberius).await;
}

#[tokio::test]
async fn rows_lost_on_the_way_with_their_end_are_missed() {
    for bench in Bench::all(notes(), 12).await {
        for at in bench.anatomy.all(ROW) {
            // The message ends as if that were all, without the server's word that it is.
            let what = bench.what(&format!("everything from byte {at} gone, and closed"));
            let _ = bench.strike(&what, Tamper::shorten(Place::Start(at)).then_cut()).await;
        }
        let metadata = bench.anatomy.all(COLMETADATA)[0];
        let first_done = bench.anatomy.tokens.iter().find(|(_, token)| DONE.contains(token)).unwrap().0;
        let what = bench.what("columns and rows gone");
        bench.strike(&what, Tamper::edit(Place::Start(metadata), first_done - metadata, [])).await.expect_err(&what);
    }
}

#[tokio::test]
async fn a_batch_whose_end_is_lost_is_not_taken_for_done() {
    let options = EngineOptions { allow_snapshot_isolation: true, ..EngineOptions::default() };
    let server = serve(Engine::new(&[notes()], options).unwrap(), Encryption::Off).await;
    for reader in readers(&server) {
        let is_fast = reader.reader == RowReader::Fast;
        let config = TillConfig { statement_timeout: Duration::from_millis(300), ..reader };
        let mut till = SqlServer::connect(&config).await.unwrap();
        server.faults().keep_answers();
        assert!(till.begin().await.unwrap());
        till.end().await.unwrap();
        let answers = server.faults().take_answers();
        for text in ["set nocount on", "level snapshot", "begin transaction", "commit transaction"] {
            let answer = answers.iter().find(|answer| answer.request.to_lowercase().contains(text)).unwrap();
            let tokens = Anatomy::of(&answer.tokens).tokens;
            let last = tokens.len() - 1;
            for (index, (at, token)) in tokens.iter().enumerate().skip(last.saturating_sub(4)) {
                let what = format!("{text}, without {token:#x} at byte {at}, {}", reader_of(&config));
                let mut till = SqlServer::connect(&config).await.unwrap();
                // A whole message: it says of itself that it is the last.
                let tamper = Tamper::edit(Place::Start(*at), usize::MAX, Vec::new());
                server.faults().arm(When::Text(text.into()), tamper, 1);
                let outcome = async { till.begin().await.map(|begun| assert!(begun)).and(till.end().await) }.await;
                assert!(server.faults().are_spent(), "{what}");
                match outcome {
                    // The row that the slow reader asks for after the batch came, so that the batch itself is done.
                    Ok(()) => assert!(!is_fast && index == last && tokens[last - 1].1 == ROW, "{what}"),
                    Err(error) => assert_eq!(error.exit_code(), 75, "{what}: {error}"),
                }
            }
        }
    }
}

/// The most memory this process had, in bytes.
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

#[tokio::test]
async fn lengths_of_gigabytes_are_not_believed() {
    for bench in Bench::all(notes(), 3).await {
        let row = bench.anatomy.all(ROW)[0];
        let before = peak_memory();
        // After the token and `Shelf`: eight bytes of total length, four of the first part.
        let values = bench.anatomy.values();
        let words = values.iter().find(|range| range.start > row + 12).unwrap().start;
        let places = [
            ("the total length of a value", words - 12, vec![0xFF, 0xFF, 0xFF, 0x7F, 0, 0, 0, 0]),
            ("the total length of a value, all bits", words - 12, vec![0xFE, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF]),
            ("the length of a part", words - 4, vec![0xFF, 0xFF, 0xFF, 0x7F]),
            ("the length of a part, all bits", words - 4, vec![0xFF, 0xFF, 0xFF, 0xFF]),
        ];
        for (name, at, bytes) in places {
            let what = bench.what(name);
            let _ = bench.strike(&what, Tamper::edit(Place::Start(at), bytes.len(), bytes)).await;
        }
        let grown = peak_memory().saturating_sub(before);
        assert!(grown < 256 << 20, "{}: {} MB more", bench.what("lengths"), grown >> 20);
    }
}

#[tokio::test]
async fn text_that_is_no_text_is_kept_or_refused_by_name() {
    for bench in Bench::all(notes(), 3).await {
        let longest = bench.anatomy.values().iter().find(|range| range.len() > 8).unwrap().clone();
        // Half of a surrogate pair, then a whole one the wrong way round.
        for bytes in [vec![0x00, 0xD8], vec![0x00, 0xDC, 0x00, 0xD8]] {
            let what = bench.what(&format!("{bytes:x?} in a text"));
            bench.server.faults().arm(
                When::Table(bench.table.name.name.clone()),
                Tamper::edit(Place::Start(longest.start), bytes.len(), bytes),
                usize::MAX,
            );
            let mut till = SqlServer::connect(&bench.config).await.unwrap();
            let outcome = read(&mut till, &bench.table, KeyRange::ALL).await;
            bench.server.faults().clear();
            match outcome {
                Ok(rows) => assert_eq!(rows.num_rows(), 3, "{what}"),
                Err(error) => {
                    speaks_plainly(&what, &error);
                    assert!(error.message().contains("Notes"), "{what}: {error}");
                }
            }
        }
    }
}
