//! `tillvault report`.

use clap::{Args, ValueEnum};
use jiff::{Zoned, civil::Date};

use super::{Context, Rendered, text_table};
use crate::{
    config::Config,
    error::{Error, Kind, Result},
    model::report::{RankBy, TopSellers},
    observe::Event,
    ops::report::report,
    report::{
        SourceChoice,
        answer::{AnsweredBy, Report, Rows, money_text},
        definition::{ReportName, ReportRequest},
    },
};

/// Answer a report from the replica, else from the live till, and say which it was
///
/// categories: the kitchen courses of the present menu.
/// top-sellers: the best items of each category over closed tickets by the day they were opened; voids out, gifts in.
#[derive(Args)]
#[command(after_help = "\
Examples:
  tillvault report categories
  tillvault report top-sellers --from 2026-10-01 --to 2026-10-31
  tillvault report top-sellers --from yesterday --to yesterday --by revenue --category Mains --limit 5 --source live")]
pub(super) struct ReportArgs {
    /// categories | top-sellers
    #[arg(value_parser = with_next_step::<ReportName>)]
    name: ReportName,
    /// First day, inclusive: 2026-10-01, today, yesterday
    #[arg(long, value_name = "DAY")]
    from: Option<String>,
    /// Last day, inclusive [default: the first]
    #[arg(long, value_name = "DAY")]
    to: Option<String>,
    /// Category to report on; may be repeated [default: sambapos_tracked_categories of the settings]
    #[arg(long = "category", value_name = "NAME")]
    categories: Vec<String>,
    /// Group code to leave out; may be repeated [default: sambapos_excluded_items of the settings]
    #[arg(long = "exclude", value_name = "GROUP")]
    exclude: Vec<String>,
    /// Items per category
    #[arg(long, default_value_t = 10)]
    limit: usize,
    /// What to rank by
    #[arg(long, value_enum, default_value_t = By::Quantity)]
    by: By,
    /// Where the figures come from: auto | replica | live
    #[arg(long, default_value = "auto", value_parser = with_next_step::<SourceChoice>)]
    source: SourceChoice,
}

/// Reads an argument; what a person could write instead stands in the message, where clap shows it.
fn with_next_step<T: std::str::FromStr<Err = Error>>(text: &str) -> std::result::Result<T, String> {
    text.parse().map_err(|error: Error| match error.next_step() {
        Some(next) => format!("{error}: {next}"),
        None => error.to_string(),
    })
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum By {
    Quantity,
    Revenue,
}

pub(super) async fn run(args: ReportArgs, context: &Context) -> Result<Rendered> {
    let config = context.config()?;
    let request = request(&args, &config)?;
    if let ReportRequest::TopSellers(TopSellers { categories, .. }) = &request
        && categories.is_empty()
    {
        context.observer().event(Event::Warning {
            message: "no category is asked for: give --category, or set sambapos_tracked_categories under [reports]"
                .into(),
        });
    }
    let answer = report(&config, &request, args.source, &context.observer()).await?;
    // An answer is an answer, whoever gave it; what is to be known about it stands beside it.
    Ok(Rendered::new(&answer, text(&answer))?.with_code(0))
}

fn request(args: &ReportArgs, config: &Config) -> Result<ReportRequest> {
    match args.name {
        ReportName::Categories => Ok(ReportRequest::Categories),
        ReportName::TopSellers => {
            let from = args.from.as_deref().ok_or_else(|| {
                Error::new(Kind::Usage, "top-sellers needs a first day")
                    .hint("give --from 2026-10-01, or --from yesterday")
            })?;
            let from = day(from, config)?;
            let to = args.to.as_deref().map_or(Ok(from), |text| day(text, config))?;
            let or_settings = |given: &[String], settings: &[String]| {
                if given.is_empty() { settings.to_vec() } else { given.to_vec() }
            };
            Ok(ReportRequest::TopSellers(TopSellers {
                from,
                to,
                categories: or_settings(&args.categories, &config.reports.tracked_categories),
                limit: args.limit,
                excluded_groups: or_settings(&args.exclude, &config.reports.excluded_groups),
                by: if args.by == By::Quantity { RankBy::Quantity } else { RankBy::Revenue },
            }))
        }
    }
}

fn day(text: &str, config: &Config) -> Result<Date> {
    let today = Zoned::now().with_time_zone(config.zone()).date();
    let bad =
        || Error::new(Kind::Usage, format!("\"{text}\" is not a day")).hint("give 2026-10-01, today or yesterday");
    match text {
        "today" => Ok(today),
        "yesterday" => today.yesterday().map_err(|e| bad().caused_by(e)),
        _ => text.parse().map_err(|e: jiff::Error| bad().caused_by(e)),
    }
}

pub(super) fn text(report: &Report) -> String {
    let (header, right, rows): (&[&str], &[usize], Vec<Vec<String>>) = match &report.rows {
        Rows::Categories(categories) => (
            &["id", "name"],
            &[0],
            categories.iter().map(|category| vec![category.id.to_string(), category.name.clone()]).collect(),
        ),
        Rows::TopSellers(sellers) => (
            &["category", "rank", "item", "qty", "revenue"],
            &[1, 3, 4],
            sellers
                .iter()
                .flat_map(|seller| {
                    seller.items.iter().enumerate().map(|(rank, item)| {
                        vec![
                            seller.category.clone(),
                            (rank + 1).to_string(),
                            item.item_name.clone(),
                            item.qty.to_string(),
                            money_text(item.revenue),
                        ]
                    })
                })
                .collect(),
        ),
    };
    let mut text = if rows.is_empty() { "no rows\n".to_owned() } else { text_table(header, right, rows) };
    let source = match (report.source, report.snapshot) {
        (AnsweredBy::Replica, Some(snapshot)) => format!("from the replica, snapshot {snapshot}"),
        (AnsweredBy::Replica, None) => "from the replica".to_owned(),
        (AnsweredBy::Live, _) => "from the live till".to_owned(),
    };
    text.push_str(&format!("{source}, as of {}\n", report.as_of.strftime("%Y-%m-%d %H:%M:%SZ")));
    text
}
