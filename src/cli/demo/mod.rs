//! `tillvault demo`: the whole story on simulated trade, and its parts alone.

mod folder;
mod story;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::json;

use self::folder::Folder;
use super::{Context, Rendered};
use crate::{
    demo::{DemoTill, TillOptions, webdav::WebDavServer},
    error::Result,
    observe::Event,
};

/// Show the whole story on simulated trade, in a folder of its own
///
/// Starts a till and a WebDAV server on loopback, trades some weeks with nightly snapshots, pushes, loads and reports; then
/// clears the till with restarted Ids, trades on, and shows that the old report is unchanged. The folder stays, with its settings.
#[derive(Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
Examples:
  tillvault demo
  tillvault demo --folder /tmp/hotel --days 30 --tickets-per-day 250
  tillvault demo serve --folder /tmp/hotel      till and WebDAV server of that folder again, as the story left them
  tillvault demo till --port 14330              a till alone, for any TDS client (user tillvault, password demo)
  tillvault demo till --port 0 --json           the same on a free port, which the one object printed at the start tells
  tillvault demo till --order-lines 1000000 --frozen    a large till that is faster than its clients"
)]
pub(super) struct DemoArgs {
    #[command(flatten)]
    story: StoryArgs,
    #[command(subcommand)]
    part: Option<Part>,
}

#[derive(Args)]
struct StoryArgs {
    /// Folder for the demo; one that an earlier demo made is replaced
    #[arg(long, default_value = "tillvault-demo")]
    folder: PathBuf,
    /// Days of trade before the till is cleared
    #[arg(long, default_value_t = 21, value_parser = clap::value_parser!(u32).range(2..=400))]
    days: u32,
    #[command(flatten)]
    trade: TradeArgs,
}

#[derive(Args)]
struct TradeArgs {
    /// Tickets on an average day
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=2000))]
    tickets_per_day: u32,
    /// Equal seeds give equal trade
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

#[derive(Subcommand)]
enum Part {
    /// Start a till alone on loopback, until Ctrl-C
    #[command(after_help = "\
Examples:
  tillvault demo till
  tillvault demo till --port 0 --json
  tillvault demo till --order-lines 1000000 --frozen")]
    Till {
        /// Port on 127.0.0.1; 0 takes a free one
        #[arg(long, default_value_t = 14330)]
        port: u16,
        /// Days of trade behind it
        #[arg(long, default_value_t = 7)]
        days: u32,
        #[command(flatten)]
        trade: TradeArgs,
        /// Copy that trade until there are so many order lines: a large till in seconds
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=20_000_000))]
        order_lines: Option<u64>,
        /// Prepare answers once and keep them, so that the till is faster than its clients: for benchmarks
        #[arg(long)]
        frozen: bool,
        /// Serve the order lines so many times over, with Ids that go on; they can be read in key order only
        #[arg(long, value_name = "TIMES", requires = "frozen", value_parser = clap::value_parser!(u64).range(1..=1000))]
        repeat: Option<u64>,
    },
    /// Start the till and the WebDAV server of a demo folder again, as the story left them, until Ctrl-C
    #[command(after_help = "\
Examples:
  tillvault demo serve --folder /tmp/hotel")]
    Serve {
        /// Folder that `tillvault demo` made
        #[arg(long, default_value = "tillvault-demo")]
        folder: PathBuf,
    },
}

impl DemoArgs {
    /// Whether it runs until it is stopped.
    pub(super) fn serves(&self) -> bool {
        self.part.is_some()
    }
}

pub(super) async fn run(args: DemoArgs, context: &Context) -> Result<Rendered> {
    match args.part {
        None => {
            let StoryArgs { folder, days, trade } = args.story;
            let folder = Folder::create(&folder, days, trade.tickets_per_day, trade.seed)?;
            story::tell(folder, context).await
        }
        Some(Part::Till { port, days, trade, order_lines, frozen, repeat }) => {
            let till = DemoTill::start(TillOptions {
                port,
                days,
                tickets_per_day: trade.tickets_per_day,
                seed: trade.seed,
                ..folder::till_options()
            })
            .await?;
            if let Some(lines) = order_lines {
                till.grow(lines)?;
            }
            if frozen {
                till.engine().freeze_repeating(&[("Orders", repeat.unwrap_or(1))]);
            }
            context.announce(&json!({ "till": server_json(&till) }))?;
            note(context, format!("till on 127.0.0.1 port {}", till.port()));
            note(
                context,
                format!("database {}, user {}, password {}", folder::DATABASE, folder::USER, folder::PASSWORD),
            );
            note(context, "Ctrl-C ends it");
            std::future::pending().await
        }
        Some(Part::Serve { folder }) => serve(&Folder::open(&folder)?, context).await,
    }
}

/// Runs both servers until the process is stopped.
async fn serve(folder: &Folder, context: &Context) -> Result<Rendered> {
    let (till, cloud): (DemoTill, WebDavServer) = folder.start().await?;
    folder.replay(&till)?;
    context.announce(&json!({ "till": server_json(&till), "webdav": { "url": cloud.url().as_str() } }))?;
    note(context, format!("till on 127.0.0.1 port {}, WebDAV at {}", till.port(), cloud.url()));
    note(context, format!("in another terminal: cd {} and, for example, tillvault snapshot", folder.path().display()));
    note(context, "Ctrl-C ends it");
    std::future::pending::<()>().await;
    Rendered::new(&json!({}), "")
}

/// How a client reaches the till.
fn server_json(till: &DemoTill) -> serde_json::Value {
    json!({
        "host": "127.0.0.1",
        "port": till.port(),
        "database": folder::DATABASE,
        "user": folder::USER,
        "password": folder::PASSWORD,
    })
}

fn note(context: &Context, message: impl Into<String>) {
    context.observer().event(Event::Note { message: message.into() });
}
