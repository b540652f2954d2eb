//! A site's nights and syncs, kept in every way at once, and what each way cost.

use std::path::{Path, PathBuf};
use std::time::Instant;

use tempfile::TempDir;

use crate::{
    keeper::{Cost, Ladders, WholeTables},
    peers::{Peer, Program},
    trade::{Ids, ORDERS, TABLES, Trade},
};

/// Ladders that are tried: that of DESIGN D3, then its neighbours.
const LADDERS: [(u32, u32); 6] = [(512, 4_096), (256, 4_096), (512, 2_048), (256, 2_048), (512, 8_192), (1_024, 8_192)];
const SEED: u64 = 2_026;
const QUERY_ROUNDS: usize = 5;

/// What a site goes through.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) name: &'static str,
    /// Days before the first snapshot.
    pub(crate) history: u32,
    pub(crate) nights: u32,
    /// The till is cleared after these nights.
    pub(crate) clears: &'static [(u32, Ids)],
    /// Whether older rows are edited, too.
    pub(crate) old_edits: bool,
    /// Syncs of the day after the last night, 96 for all; those without a change count as none.
    pub(crate) syncs: i64,
    /// Whether restic, borg and whole tables take part in the syncs.
    pub(crate) peers_sync: bool,
    /// A program that stands here more than once has as many repositories, whose figures are taken together.
    pub(crate) programs: &'static [Program],
}

/// What one way of keeping cost.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) name: String,
    /// The first snapshot, taken after the history, if there is one.
    pub(crate) first: Option<Cost>,
    pub(crate) nights: Vec<Cost>,
    pub(crate) syncs: Vec<Cost>,
    /// Files of the trade tables that hold the newest state.
    pub(crate) files: Option<usize>,
    /// Milliseconds of a full-table query over them.
    pub(crate) query: Option<f64>,
}

impl Kept {
    fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), first: None, nights: Vec::new(), syncs: Vec::new(), files: None, query: None }
    }

    fn add(&mut self, moment: Moment, cost: Cost) {
        match moment {
            Moment::First => self.first = Some(cost),
            Moment::Night => self.nights.push(cost),
            Moment::Sync => self.syncs.push(cost),
        }
    }

    /// Bytes of everything but the syncs.
    pub(crate) fn bytes_without_syncs(&self) -> u64 {
        self.first.iter().chain(&self.nights).map(|cost| cost.all_bytes()).sum()
    }

    /// Bytes of everything.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes_without_syncs() + self.syncs.iter().map(|cost| cost.all_bytes()).sum::<u64>()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moment {
    First,
    Night,
    Sync,
}

/// A site under way.
struct Site {
    plan: Plan,
    trade: Trade,
    ladders: Vec<(Ladders, Kept)>,
    whole: (WholeTables, Kept),
    peers: Vec<(Peer, Kept)>,
    dumps: TempDir,
}

/// Plays a site. Returns what each way cost, and the trade as it ended.
pub(crate) async fn play(plan: &Plan) -> (Vec<Kept>, Trade) {
    let started = Instant::now();
    let mut ladders = Vec::new();
    for (open, closed) in LADDERS {
        let keeper = Ladders::create(open, closed).await;
        let kept = Kept::new(keeper.name());
        ladders.push((keeper, kept));
    }
    let mut peers: Vec<(Peer, Kept)> = Vec::new();
    for program in plan.programs {
        let Some(peer) = Peer::create(*program) else { continue };
        let name = match peers.iter().filter(|(peer, _)| peer.program == *program).count() {
            0 => program.name().to_owned(),
            before => format!("{}, repository {}", program.name(), before + 1),
        };
        peers.push((peer, Kept::new(name)));
    }
    let mut site = Site {
        plan: plan.clone(),
        trade: Trade::new(SEED),
        ladders,
        whole: (WholeTables::create(), Kept::new("whole tables, Parquet")),
        peers,
        dumps: tempfile::tempdir().unwrap(),
    };
    site.nights().await;
    let live = site.trade.rows();
    let syncs = site.day_of_syncs().await;
    println!(
        "\n## {}\n\n{} orders, {} ledger values, {live} rows in all after the last night; {syncs} of {} syncs had changes \
         ({:.0} s)\n",
        plan.name,
        site.trade.tables[ORDERS].len(),
        site.trade.tables[5].len(),
        plan.syncs,
        started.elapsed().as_secs_f64()
    );
    site.end()
}

impl Site {
    async fn nights(&mut self) {
        if self.plan.history > 0 {
            for _ in 0..self.plan.history {
                self.trade.trade_day();
            }
            self.step(Moment::First).await;
        }
        for night in 1..=self.plan.nights {
            self.trade.trade_day();
            self.trade.edit(self.plan.old_edits);
            self.step(Moment::Night).await;
            if let Some((_, ids)) = self.plan.clears.iter().find(|(after, _)| *after == night) {
                self.trade.clear(*ids);
            }
        }
    }

    /// A day of trade with a sync every fifteen minutes. Returns how many of them had something to keep.
    async fn day_of_syncs(&mut self) -> usize {
        self.trade.begin_day();
        for quarter in 1..=self.plan.syncs {
            // Fewer syncs than 96: the lunch hours, when all kinds of changes happen.
            let quarter = if self.plan.syncs < 96 { quarter + 48 } else { quarter };
            if self.trade.play_until_minute(quarter * 15) {
                self.step(Moment::Sync).await;
            }
        }
        self.ladders.first().map_or(0, |(_, kept)| kept.syncs.len())
    }

    async fn step(&mut self, moment: Moment) {
        let all = moment != Moment::Sync || self.plan.peers_sync;
        if all && !self.peers.is_empty() {
            for (rows, name) in self.trade.tables.iter_mut().zip(TABLES) {
                rows.write_csv(&self.dumps.path().join(format!("{name}.csv")));
            }
            for (peer, _) in &mut self.peers {
                // The slow setting of the same program is measured by its nights alone.
                if moment != Moment::Sync || peer.program != Program::ResticMax {
                    peer.start(self.dumps.path());
                }
            }
        }
        for (keeper, kept) in &mut self.ladders {
            if let Some(cost) = keeper.take(&mut self.trade).await {
                kept.add(moment, cost);
            }
        }
        if all {
            let cost = self.whole.0.take(&mut self.trade);
            self.whole.1.add(moment, cost);
        }
        for (peer, kept) in &mut self.peers {
            if let Some(cost) = peer.wait() {
                kept.add(moment, cost);
            }
        }
    }

    fn end(self) -> (Vec<Kept>, Trade) {
        let rows = self.trade.tables[ORDERS].len();
        let mut all = Vec::new();
        for (keeper, mut kept) in self.ladders {
            kept.files = Some(keeper.files(None).len());
            kept.query = Some(query(&keeper.files(Some(TABLES[ORDERS])), rows));
            all.push(kept);
        }
        let (keeper, mut kept) = self.whole;
        // Its files are those of the last step it took part in.
        if self.plan.peers_sync {
            kept.query = Some(query(&[keeper.file(TABLES[ORDERS])], rows));
        }
        kept.files = Some(TABLES.len());
        all.push(kept);
        all.extend(self.peers.into_iter().map(|(peer, kept)| {
            let added: u64 = kept.bytes();
            assert!(peer.stored() >= added, "{}: growth is part of what is stored", kept.name);
            kept
        }));
        (all, self.trade)
    }
}

/// Sums all orders with `DuckDB`; the median of some rounds, in milliseconds.
fn query(files: &[PathBuf], rows: usize) -> f64 {
    let names: Vec<String> = files.iter().map(|file: &PathBuf| quoted(file)).collect();
    let sql = format!("SELECT count(*), sum(Price * Quantity)::DOUBLE FROM read_parquet([{}])", names.join(","));
    let connection = duckdb::Connection::open_in_memory().unwrap();
    let mut times = Vec::new();
    for _ in 0..=QUERY_ROUNDS {
        let started = Instant::now();
        let count: i64 = connection.query_row(&sql, [], |row| row.get(0)).unwrap();
        times.push(started.elapsed().as_secs_f64() * 1e3);
        assert_eq!(usize::try_from(count).unwrap(), rows, "orders in {} files", files.len());
    }
    // The first round fills caches.
    times.remove(0);
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn quoted(file: &Path) -> String {
    format!("'{}'", file.display().to_string().replace('\'', "''"))
}
