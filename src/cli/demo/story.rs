//! The story: trade, archive, mirror, replica, report, clear, and the report again.

use std::time::Instant;

use jiff::civil::Date;
use serde_json::json;

use super::{
    super::{Context, Rendered, human_bytes, human_count, report as render_report},
    folder::{DAYS_AFTER, Folder},
    note,
};
use crate::{
    archive::Archive,
    config::Config,
    demo::{DemoTill, trade::Clear},
    error::{Error, Kind, Result},
    history::{query, render, session::SessionOptions},
    model::report::{RankBy, TopSellers},
    observe,
    ops::{self, load::LoadOutcome, push::PushOptions, snapshot::SnapshotOptions, snapshot::SnapshotOutcome},
    report::{SourceChoice, answer::Report, definition::ReportRequest},
    source::sqlserver::SqlServer,
};

/// Tells the story in `folder`; the servers end with it, the folder stays.
pub(super) async fn tell(mut folder: Folder, context: &Context) -> Result<Rendered> {
    let started = Instant::now();
    let (till, cloud) = folder.start().await?;
    let (config, archive) = folder.set_up(&till, &cloud)?;
    note(context, format!("till on 127.0.0.1:{}, WebDAV server on {}", till.port(), cloud.url()));
    let mut teller = Teller { context, config, archive, till, read: 0, written: 0, sent: 0 };

    let first_day = teller.till.trade().day();
    note(context, format!("\n{} days of trade, one snapshot and one push a night", folder.told.days));
    for _ in 0..folder.told.days {
        teller.trade_and_save().await?;
    }
    let loaded = teller.load().await?;
    note(context, format!("replica: {} tickets from {} snapshots", human_count(loaded.inserted), loaded.snapshots));
    let last_before = loaded.snapshot;
    // Of a shorter life of the till the days before the clear: later days belong to its next life.
    let days = folder.told.days.min(7);
    let week = (first_day, first_day.saturating_add(jiff::Span::new().days(i64::from(days) - 1)));
    let before = teller.report(week, SourceChoice::Replica).await?;
    note(context, format!("\nTop sellers of the first week, from the replica:\n{}", render_report::text(&before)));

    note(context, "The till is cleared: every ticket is deleted, every Id starts at 1 again. Trade goes on.");
    teller.till.trade().clear(Clear::Reseed)?;
    let mut clear = None;
    for _ in 0..DAYS_AFTER {
        clear = clear.or(teller.trade_and_save().await?.clear);
    }
    let seen = clear.ok_or_else(|| Error::new(Kind::Bug, "the clear was not recognised"))?;
    note(context, format!("archive: {seen}"));
    let loaded = teller.load().await?;
    note(
        context,
        format!(
            "replica: {} new tickets, {} kept as cleared",
            human_count(loaded.inserted),
            human_count(loaded.cleared)
        ),
    );

    let after = teller.report(week, SourceChoice::Replica).await?;
    if after.rows != before.rows {
        return Err(Error::new(Kind::Bug, "the report of the first week changed with the clear"));
    }
    let live = teller.report(week, SourceChoice::Live).await?;
    note(context, "\nThe same report now: from the replica unchanged to the cent; from the live till:");
    note(context, render_report::text(&live));

    let history = teller.history(last_before).await?;
    note(context, format!("The archive remembers both lives of the till:\n{history}"));
    let stored = teller.stored()?;
    note(
        context,
        format!(
            "{} rows were read in {} snapshots, {} written as new, {} sent to the mirror; the archive is {}",
            human_count(teller.read),
            folder.told.days + DAYS_AFTER,
            human_bytes(teller.written),
            human_bytes(teller.sent),
            human_bytes(stored)
        ),
    );
    let seconds = started.elapsed().as_secs_f64();
    cloud.stop().await;
    teller.till.stop().await;
    let commands = commands(&folder, last_before, week);
    let text = format!(
        "\nDone in {seconds:.0} s. The folder stays: {}\nGo on with:\n  {}\n",
        folder.path().display(),
        commands.join("\n  ")
    );
    let outcome = json!({
        "folder": folder.path(),
        "snapshots": folder.told.days + DAYS_AFTER,
        "snapshot_before_clear": last_before,
        "rows_read": teller.read,
        "bytes_written": teller.written,
        "bytes_sent": teller.sent,
        "bytes_stored": stored,
        "report_unchanged": true,
        "seconds": seconds,
        "commands": commands,
    });
    Rendered::new(&outcome, text)
}

fn commands(folder: &Folder, last_before: u64, week: (Date, Date)) -> Vec<String> {
    let program = std::env::current_exe().map_or_else(|_| "tillvault".into(), |path| path.display().to_string());
    vec![
        format!("cd {}", folder.path().display()),
        format!("{program} snapshots"),
        format!("{program} query 'SELECT * FROM Tickets' --as-of {last_before}"),
        format!("{program} report top-sellers --from {} --to {} --by revenue --source replica", week.0, week.1),
        format!(
            "{program} demo serve --folder .      # the servers again; then, in another terminal: doctor, nightly, report --source live"
        ),
    ]
}

/// What the story works with, and what it counts.
struct Teller<'a> {
    context: &'a Context,
    config: Config,
    archive: Archive,
    till: DemoTill,
    read: u64,
    written: u64,
    sent: u64,
}

impl Teller<'_> {
    /// One day of trade, then what the night does: snapshot and push.
    async fn trade_and_save(&mut self) -> Result<SnapshotOutcome> {
        let figures = self.till.trade().trade_day()?;
        let settings = self.config.till()?;
        let mut till = SqlServer::connect(settings).await?;
        let options = SnapshotOptions {
            selection: settings.tables.clone(),
            tags: vec!["nightly".into()],
            ..SnapshotOptions::default()
        };
        let taken = ops::snapshot::snapshot(&self.archive, &mut till, &options, &observe::silent()).await?;
        for remote in &self.config.remotes {
            let pushed = ops::push::push_to(&self.archive, remote, &PushOptions::default(), &observe::silent()).await?;
            self.sent += pushed.bytes;
        }
        self.read += taken.rows_read;
        self.written += taken.bytes_new;
        note(
            self.context,
            format!(
                "{}: {} tickets, revenue {}; snapshot {}: {} rows, {} of {} chunks new, {}",
                figures.date,
                figures.tickets,
                figures.revenue.round_dp(2),
                taken.snapshot,
                human_count(taken.rows),
                taken.chunks_new,
                taken.chunks,
                human_bytes(taken.bytes_new)
            ),
        );
        Ok(taken)
    }

    async fn load(&self) -> Result<LoadOutcome> {
        ops::load::load(&self.config, &self.archive, false, &observe::silent()).await
    }

    async fn report(&self, (from, to): (Date, Date), source: SourceChoice) -> Result<Report> {
        let request = ReportRequest::TopSellers(TopSellers {
            from,
            to,
            categories: self.config.reports.tracked_categories.clone(),
            limit: 3,
            excluded_groups: self.config.reports.excluded_groups.clone(),
            by: RankBy::Quantity,
        });
        ops::report::report(&self.config, &request, source, &observe::silent()).await
    }

    /// Tickets and takings as the till knew them before the clear and knows them now.
    async fn history(&self, last_before: u64) -> Result<String> {
        let mut text = String::new();
        for (as_of, words) in [(Some(last_before.to_string()), "before the clear"), (None, "now")] {
            let (snapshot, session) =
                ops::query::open_at(&self.config, &self.archive, as_of.as_deref(), &SessionOptions::default()).await?;
            let sql = "SELECT count(*) AS tickets, min(Id) AS first_id, max(Id) AS last_id, \
                       min(Date)::DATE AS first_day, max(Date)::DATE AS last_day, sum(TotalAmount) AS total FROM Tickets";
            let answer = query::query(&session, sql, &query::QueryOptions { max_rows: None, timeout: None })?;
            text.push_str(&format!("snapshot {} ({words}): {sql}\n{}", snapshot.snapshot, render::text(&answer, 40)?));
        }
        Ok(text)
    }

    /// Bytes of all chunks in the archive, each once.
    fn stored(&self) -> Result<u64> {
        let listing = ops::overview::snapshots(&self.archive, &ops::overview::ListOptions::default())?;
        Ok(listing.snapshots.iter().map(|line| line.bytes_new).sum())
    }
}
