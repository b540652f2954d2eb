//! Reports: defined once, answered by the replica or by the till itself, with equal figures.
//!
//! What a report means (DOMAIN §9; docs/REPORTS.md says it for readers of the figures):
//!
//! - A *category* is an item's `Kitchen Course` tag, found by a raw scan of its text; nothing is decoded (§9.1).
//! - *Sold lines* are lines of closed tickets whose day of creation lies in the range (till's wall clock, half-open), whose
//!   states hold neither `"S":"Void"` nor `"S":"Canceled"`, and whose item is in the menu (§9.2). Gifts and refunds count. In
//!   the replica a live ticket needs the item in the present menu, a cleared one uses the last known item.
//! - Text is compared *folded*: trailing blanks ignored, letter case ignored, accents kept ([`rank::fold`]). Order "by
//!   collation" is the order of folded text by code point.
//! - Quantities are rounded to two decimals per line, summed, ranked, and only then cut to whole numbers. Revenue is the exact
//!   sum of price × quantity.
//!
//! The back ends deliver sums per (category, item name); [`rank`] alone turns them into an answer, so the two can differ only
//! in the lines they see. [`run`] chooses the back end, never mixes two, and says which one answered and why.
//!
//! Nothing here writes anywhere. T-SQL lives in `source`, the replica's tables are made in `replica`.

pub mod answer;
pub mod definition;
pub mod live;
pub mod rank;
pub mod replica;

use std::future::Future;
use std::pin::Pin;

use jiff::Timestamp;

use self::{
    answer::{AnsweredBy, Report, Rows},
    definition::ReportRequest,
    replica::{LoadedSnapshot, ReplicaReports},
};
use crate::{
    error::{Error, Kind, Result},
    source::LiveReports,
};

/// Which back end shall answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SourceChoice {
    /// The replica; the till when the replica holds no snapshot or cannot answer.
    #[default]
    Auto,
    /// The replica or nobody.
    Replica,
    /// The till itself or nobody.
    Live,
}

impl std::str::FromStr for SourceChoice {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "auto" => Ok(Self::Auto),
            "replica" => Ok(Self::Replica),
            "live" => Ok(Self::Live),
            other => Err(Error::new(Kind::Usage, format!("there is no report source {other:?}"))
                .hint("the sources are auto, replica and live")),
        }
    }
}

/// A connection to the till, made when it is needed.
pub type LiveConnection<'a> = Pin<Box<dyn Future<Output = Result<Box<dyn LiveReports + 'a>>> + Send + 'a>>;

/// What can be asked. The replica is opened by the caller, who closes it, too; the till is connected to only when it has to
/// answer: `Backends { live: Box::pin(async { … }), … }`.
pub struct Backends<'a> {
    /// The replica, or why it is not to be had.
    pub replica: Result<ReplicaReports<'a>>,
    /// The till, not yet connected to.
    pub live: LiveConnection<'a>,
    /// The present moment: what a live answer is as of.
    pub now: Timestamp,
}

/// Answers a report.
///
/// # Errors
/// `Usage` when the request makes no sense; otherwise what the chosen back end says. With [`SourceChoice::Auto`] it is the
/// till's error, and its message begins with why the replica did not answer.
pub async fn run(request: &ReportRequest, choice: SourceChoice, backends: Backends<'_>) -> Result<Report> {
    request.check()?;
    let Backends { replica, live, now } = backends;
    if choice == SourceChoice::Live {
        return from_live(request, live, now, Vec::new()).await;
    }
    let replied = match replica {
        Ok(replica) => from_replica(request, &replica).await,
        Err(error) => Err(error),
    };
    let reason = match replied {
        Ok(report) => return Ok(report),
        Err(error) if choice == SourceChoice::Replica => return Err(error),
        Err(error) => error,
    };
    let warning = format!("the till answered, not the replica: {}", reason.message());
    from_live(request, live, now, vec![warning]).await.map_err(|error| {
        let message = format!("{}; nor can the till answer: {}", reason.message(), error.message());
        let both = Error::new(error.kind(), message).hint(error.next_step().unwrap_or("run `tillvault doctor`"));
        let both = if error.is_temporary() { both.temporary() } else { both };
        both.caused_by(error)
    })
}

async fn from_replica(request: &ReportRequest, replica: &ReplicaReports<'_>) -> Result<Report> {
    let (loaded, rows) = match request {
        ReportRequest::Categories => {
            let (loaded, categories) = replica.categories().await?;
            (loaded, Rows::Categories(rank::categories(categories)))
        }
        ReportRequest::TopSellers(request) => {
            let (loaded, groups) = replica.sold_groups(request).await?;
            (loaded, Rows::TopSellers(rank::top_sellers(&groups, request)?))
        }
    };
    Ok(Report {
        report: request.name(),
        source: AnsweredBy::Replica,
        as_of: loaded.taken_at,
        snapshot: Some(loaded.snapshot),
        rows,
        warnings: late(request, &loaded).into_iter().collect(),
    })
}

/// Says so when the range goes on after the newest loaded snapshot.
fn late(request: &ReportRequest, loaded: &LoadedSnapshot) -> Option<String> {
    let last = match request {
        ReportRequest::Categories => return None,
        ReportRequest::TopSellers(request) => request.to,
    };
    (last >= loaded.till_time.date()).then(|| {
        format!(
            "the replica ends with snapshot {}, taken at {} by the till's clock: later business is missing from this report",
            loaded.snapshot,
            loaded.till_time.strftime("%Y-%m-%d %H:%M")
        )
    })
}

async fn from_live(
    request: &ReportRequest,
    live: LiveConnection<'_>,
    now: Timestamp,
    warnings: Vec<String>,
) -> Result<Report> {
    let mut live = live.await?;
    let rows = live::rows(request, live.as_mut()).await?;
    Ok(Report { report: request.name(), source: AnsweredBy::Live, as_of: now, snapshot: None, rows, warnings })
}

#[cfg(test)]
mod tests;
