//! How fast rows become chunks: hashing, encoding, the whole writer for a first and for an unchanged run; and its memory.

use std::{fs, process::Command, time::Instant};

use arrow::array::RecordBatch;
use tillvault::{
    archive::{Archive, blocks, content_hash, parquet},
    model::table::Table,
};

use crate::{
    report::{median, verdict},
    rows::Rows,
    trade::{Ids, ORDERS, TABLES, TICKETS, Trade},
};

const ROUNDS: usize = 3;
const REPEATS: u8 = 5;

/// Prints the speeds over the rows of a trade.
pub(crate) async fn run(trade: &mut Trade) {
    println!("\n## Speed\n\nMB of Arrow data; seconds on {} threads; medians of {ROUNDS}.\n", threads());
    println!("| what | MB | bytes a row | wall s | CPU s | MB/s | MB per CPU s |\n|---|---|---|---|---|---|---|");
    for table in [ORDERS, TICKETS] {
        let rows = &mut trade.tables[table];
        let blocks = in_blocks(rows);
        let name = TABLES[table];
        let hashing = measured(|| {
            for block in &blocks {
                content_hash::content_hash(block).unwrap();
            }
        });
        line(&format!("{name}: content hash, one thread"), &blocks, hashing);
        let declared = rows.table();
        let encoding = measured(|| {
            for block in &blocks {
                parquet::encode(block, declared).unwrap();
            }
        });
        line(&format!("{name}: encoding, one thread"), &blocks, encoding);
    }
    let all: Vec<(Table, Vec<RecordBatch>)> =
        trade.tables.iter_mut().map(|rows| (rows.table().clone(), rows.batches())).collect();
    let mut ratios = Vec::new();
    for (name, tables) in [
        (TABLES[ORDERS], &all[ORDERS..=ORDERS]),
        (TABLES[TICKETS], &all[TICKETS..=TICKETS]),
        ("seven tables", &all[..]),
    ] {
        let (first, again) = pipeline(name, tables).await;
        ratios.push((format!("{name}: unchanged / first, wall"), again.wall / first.wall));
        ratios.push((format!("{name}: unchanged / first, CPU"), again.cpu / first.cpu));
    }
    println!();
    for (what, ratio) in ratios {
        verdict(&what, ratio, Some(0.5));
    }
}

/// The writer with nothing known, and again with everything known.
async fn pipeline(name: &str, tables: &[(Table, Vec<RecordBatch>)]) -> (Took, Took) {
    let (mut firsts, mut again) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let folder = tempfile::tempdir().unwrap();
        let archive = Archive::create(folder.path(), "bench").unwrap();
        let mut entries = Vec::new();
        let stopwatch = Stopwatch::start();
        for (table, batches) in tables {
            let mut writer = archive.table_writer(table, None).unwrap();
            for batch in batches {
                writer.push(batch.clone()).await.unwrap();
            }
            entries.push(writer.finish().await.unwrap().entry);
        }
        firsts.push(stopwatch.stop());
        let stopwatch = Stopwatch::start();
        for ((table, batches), entry) in tables.iter().zip(&entries) {
            let mut writer = archive.table_writer(table, Some(entry)).unwrap();
            for batch in batches {
                writer.push(batch.clone()).await.unwrap();
            }
            let written = writer.finish().await.unwrap();
            assert_eq!((written.chunks_encoded, &written.entry), (0, entry));
        }
        again.push(stopwatch.stop());
    }
    let batches: Vec<RecordBatch> = tables.iter().flat_map(|(_, batches)| batches.clone()).collect();
    let (first, again) = (Took::median(&firsts), Took::median(&again));
    line(&format!("{name}: writer, first run"), &batches, first);
    line(&format!("{name}: writer, unchanged run"), &batches, again);
    (first, again)
}

/// Peak memory of this program while it writes so many orders, measured in processes of their own.
pub(crate) fn memory(sizes: &[u32]) {
    println!("\nPeak memory while orders are made and written, in a process of its own (VmHWM):\n");
    let mut peaks = Vec::new();
    for rows in sizes {
        let output = Command::new(std::env::current_exe().unwrap()).args(["--memory", &rows.to_string()]).output();
        let output = output.unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        match String::from_utf8_lossy(&output.stdout).trim().parse::<f64>() {
            Ok(peak) => {
                println!("- {rows} orders: {:.0} MB", peak / 1e6);
                peaks.push(peak);
            }
            Err(_) => println!("- {rows} orders: not known on this system"),
        }
    }
    if let (Some(first), Some(last)) = (peaks.first(), peaks.last()) {
        verdict("MB at most", last / 1e6, Some(250.0));
        verdict("most rows / fewest rows", last / first, None);
    }
}

/// The child of [`memory`]: makes days of trade, pushes their orders, keeps none. Prints the peak in bytes.
pub(crate) async fn write_orders(wanted: u64) {
    let folder = tempfile::tempdir().unwrap();
    let archive = Archive::create(folder.path(), "bench").unwrap();
    let mut trade = Trade::new(1);
    let table = trade.tables[ORDERS].table().clone();
    let mut writer = archive.table_writer(&table, None).unwrap();
    let mut rows = 0;
    while rows < wanted {
        trade.trade_day();
        for batch in trade.tables[ORDERS].batches() {
            rows += batch.num_rows() as u64;
            writer.push(batch).await.unwrap();
        }
        trade.clear(Ids::GoOn);
    }
    assert_eq!(writer.finish().await.unwrap().entry.rows, rows);
    println!("{}", peak_memory().map_or(String::new(), |bytes| bytes.to_string()));
}

/// `VmHWM` of this process in bytes, where the system says.
fn peak_memory() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1_024)
}

/// The rows cut as the archive cuts them, each block one batch.
fn in_blocks(rows: &mut Rows) -> Vec<RecordBatch> {
    let all = arrow::compute::concat_batches(&rows.table().arrow_schema(), &rows.batches()).unwrap();
    let size = usize::try_from(blocks::CLOSED).unwrap();
    (0..all.num_rows()).step_by(size).map(|start| all.slice(start, size.min(all.num_rows() - start))).collect()
}

fn line(what: &str, batches: &[RecordBatch], took: Took) {
    let bytes: usize = batches.iter().flat_map(RecordBatch::columns).map(|array| slice_bytes(array.as_ref())).sum();
    let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
    let megabytes = bytes as f64 / 1e6;
    // Less than a hundredth of a second is not measured.
    let per_cpu = if took.cpu > 0.0 { format!("{:.0}", megabytes / took.cpu) } else { "–".into() };
    println!(
        "| {what} | {megabytes:.0} | {} | {:.2} | {:.2} | {:.0} | {per_cpu} |",
        bytes / rows.max(1),
        took.wall,
        took.cpu,
        megabytes / took.wall
    );
}

fn slice_bytes(array: &dyn arrow::array::Array) -> usize {
    array.to_data().get_slice_memory_size().unwrap()
}

/// The work of one thread, done several times a round, since CPU time comes in hundredths of a second.
fn measured(work: impl Fn()) -> Took {
    let round = |_| {
        let stopwatch = Stopwatch::start();
        for _ in 0..REPEATS {
            work();
        }
        let took = stopwatch.stop();
        Took { wall: took.wall / f64::from(REPEATS), cpu: took.cpu / f64::from(REPEATS) }
    };
    Took::median(&(0..ROUNDS).map(round).collect::<Vec<_>>())
}

fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

#[derive(Clone, Copy, Debug)]
struct Took {
    wall: f64,
    cpu: f64,
}

impl Took {
    fn median(all: &[Took]) -> Took {
        let wall = median(all.iter().map(|took| took.wall).collect());
        let cpu = median(all.iter().map(|took| took.cpu).collect());
        Took { wall: wall.unwrap_or(f64::NAN), cpu: cpu.unwrap_or(f64::NAN) }
    }
}

struct Stopwatch {
    wall: Instant,
    cpu: f64,
}

impl Stopwatch {
    fn start() -> Self {
        Self { wall: Instant::now(), cpu: cpu_seconds() }
    }

    fn stop(self) -> Took {
        Took { wall: self.wall.elapsed().as_secs_f64(), cpu: cpu_seconds() - self.cpu }
    }
}

/// CPU time of this process so far, in the system's hundredths; not a number where the system does not say.
fn cpu_seconds() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name in brackets may hold blanks; user and system time are fields 14 and 15, the bracket ends field 2.
    let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace();
    let ticks: Vec<f64> = fields.skip(11).take(2).filter_map(|field| field.parse().ok()).collect();
    if ticks.len() == 2 { (ticks[0] + ticks[1]) / 100.0 } else { f64::NAN }
}
