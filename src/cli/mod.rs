//! The command line: arguments in, rendered outcome out.
//!
//! One file per subcommand turns flags into options, calls one operation and renders its outcome. Standard output carries the
//! answer alone (with `--json`, exactly one object); progress, notes, warnings and errors go to standard error. Exit codes:
//! 0 done, 1 failed, 2 usage, 3 done with warnings, 10 no archive, 11 another run is active, 12 credentials, 13 damage found,
//! 20 gate refused, 75 temporary, 130 interrupted.

#![allow(clippy::doc_markdown, reason = "comments on arguments are help texts, shown as they stand")]

mod check;
mod demo;
mod destinations;
mod diff;
mod doctor;
mod find;
mod forget;
mod init;
mod load;
mod progress;
mod prune;
mod pull;
mod push;
mod query;
mod remote;
mod report;
mod runs;
mod show;
mod snapshot;
mod stats;
mod tag;

use std::{
    io::Write as _,
    path::PathBuf,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use clap::{Args, Parser, Subcommand};
use serde::Serialize;

use self::progress::Progress;
use crate::{
    archive::Archive,
    config::Config,
    error::{Error, Kind, OrFail as _, Result},
    observe::SharedObserver,
};

const EXAMPLES: &str = "\
Examples:
  tillvault init --host 'TILLPC\\SQLEXPRESS' --database SambaPOS5 --username tillvault --password-file till.password
  tillvault remote add cloud nextcloud https://cloud.example.org
  tillvault doctor                      is everything there that a run needs?
  tillvault nightly                     snapshot, push to every remote, load the replica
  tillvault snapshots                   what the archive holds
  tillvault check --read-data today/7   is it all there, and a seventh of it unaltered?
  tillvault query \"SELECT count(*) FROM Tickets\" --as-of yesterday
  tillvault report top-sellers --from 2026-10-01 --to 2026-10-31
  tillvault demo                        the whole story on simulated trade, in a folder of its own

Exit codes: 0 done, 1 failed, 2 usage or settings, 3 done with warnings, 10 no archive, 11 another run is active,
12 credentials refused, 13 archive damaged, 20 refused for safety, 75 temporary failure: try later, 130 interrupted.";

/// Keeps every row a SambaPOS till ever had: archive, mirror, replica, history.
#[derive(Parser)]
#[command(name = "tillvault", version, about, after_help = EXAMPLES, max_term_width = 120)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

#[derive(Args)]
struct Global {
    /// Settings file [default: ./tillvault.toml, ~/.config/tillvault/tillvault.toml, /etc/tillvault/tillvault.toml]
    #[arg(long, short = 'c', global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print the outcome as one JSON object on standard output
    #[arg(long, global = true)]
    json: bool,
    /// No progress and no notes; warnings and errors stay
    #[arg(long, short = 'q', global = true)]
    quiet: bool,
    /// Log what happens inside to standard error; twice for more
    #[arg(long, short = 'v', global = true, action = clap::ArgAction::Count)]
    verbose: u8,
}

#[derive(Subcommand)]
enum Command {
    Init(init::InitArgs),
    Doctor(doctor::DoctorArgs),
    Snapshot(snapshot::SnapshotArgs),
    Remote(remote::RemoteArgs),
    Push(push::PushArgs),
    Pull(pull::PullArgs),
    Load(load::LoadArgs),
    Sync(runs::SyncArgs),
    Nightly(runs::NightlyArgs),
    Check(check::CheckArgs),
    Snapshots(show::SnapshotsArgs),
    Show(show::ShowArgs),
    Diff(diff::DiffArgs),
    Find(find::FindArgs),
    Stats(stats::StatsArgs),
    Tag(tag::TagArgs),
    Query(query::QueryArgs),
    Report(report::ReportArgs),
    Forget(forget::ForgetArgs),
    Prune(prune::PruneArgs),
    Demo(demo::DemoArgs),
}

/// What a subcommand hands back: the same outcome for machines and for people.
struct Rendered {
    json: serde_json::Value,
    text: String,
    /// For standard error: what failed beside an outcome that is worth having.
    complaint: String,
    /// Exit code; without one, 3 when there were warnings, else 0.
    code: Option<u8>,
}

impl Rendered {
    fn new(outcome: &impl Serialize, text: impl Into<String>) -> Result<Self> {
        let json = serde_json::to_value(outcome)
            .map_err(|e| Error::new(Kind::Bug, "the outcome does not fit into JSON").caused_by(e))?;
        Ok(Self { json, text: text.into(), complaint: String::new(), code: None })
    }

    fn with_code(mut self, code: u8) -> Self {
        self.code = Some(code);
        self
    }
}

/// What every subcommand gets.
struct Context {
    config: Option<PathBuf>,
    json: bool,
    progress: Arc<Progress>,
    /// Whether the outcome was printed already, by a command that runs on.
    announced: AtomicBool,
}

impl Context {
    /// Prints the outcome of a command that runs until it is stopped, before it waits: with `--json` that is its one object.
    fn announce(&self, outcome: &serde_json::Value) -> Result<()> {
        if self.json && !self.announced.swap(true, Ordering::Relaxed) {
            let written = print(&format!("{outcome}\n"));
            written.or_fail(Kind::Store, || "the answer cannot be written to standard output")?;
        }
        Ok(())
    }

    fn config(&self) -> Result<Config> {
        Config::load(self.config.as_deref())
    }

    #[allow(clippy::unused_self, reason = "reads like the other getters")]
    fn archive(&self, config: &Config) -> Result<Archive> {
        Archive::open(&config.archive)
    }

    fn observer(&self) -> SharedObserver {
        self.progress.clone()
    }
}

/// Runs the program with the process's arguments.
#[must_use]
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are answers, not errors; clap knows which stream each belongs to.
            let _ = error.print();
            if !error.use_stderr() {
                return ExitCode::SUCCESS;
            }
            // The arguments were not understood, so the word itself says whether an object is expected.
            if std::env::args_os().any(|argument| argument == "--json") {
                let _ = print(&format!("{}\n", error_as_json(&usage_error(&error))));
            }
            return ExitCode::from(Kind::Usage.exit_code());
        }
    };
    log_to_stderr(cli.global.verbose);
    let progress = Arc::new(Progress::new(cli.global.quiet, cli.global.json));
    let context = Context {
        config: cli.global.config,
        json: cli.global.json,
        progress: progress.clone(),
        announced: AtomicBool::new(false),
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            let error = Error::new(Kind::Bug, "cannot start the runtime").caused_by(error);
            return finish(&context, Err(error));
        }
    };
    // For a server, being stopped is the way to end.
    let serves = matches!(&cli.command, Command::Demo(args) if args.serves());
    let result = runtime.block_on(async {
        tokio::select! {
            result = dispatch(cli.command, &context) => result,
            () = interrupted() => stopped(serves),
        }
    });
    // Work on blocking threads cannot be cancelled; it ends by itself and writes only under temporary names.
    runtime.shutdown_timeout(std::time::Duration::from_secs(5));
    finish(&context, result)
}

/// What clap says of arguments, without its usage lines.
fn usage_error(error: &clap::Error) -> Error {
    let text = error.to_string();
    let message = match error.kind() {
        clap::error::ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => "no command was given",
        _ => text.split("\n\n").next().unwrap_or_default().trim_start_matches("error: ").trim(),
    };
    Error::new(Kind::Usage, message).hint("`--help` tells what a command takes")
}

/// What a run that was stopped from outside comes to.
fn stopped(serves: bool) -> Result<Rendered> {
    if serves {
        return Rendered::new(&serde_json::json!({}), "");
    }
    Err(Error::new(Kind::Interrupted, "interrupted: nothing half-done was kept")
        .hint("run the same command again; it goes on from what is there"))
}

/// Does work that reads many files or computes for long where it does not keep an interruption from being seen.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.or_fail(Kind::Bug, || "the thread that did the work ended early")?
}

async fn dispatch(command: Command, context: &Context) -> Result<Rendered> {
    match command {
        Command::Init(args) => init::run(args, context).await,
        Command::Doctor(args) => doctor::run(&args, context).await,
        Command::Snapshot(args) => snapshot::run(args, context).await,
        Command::Remote(args) => remote::run(args, context).await,
        Command::Push(args) => push::run(args, context).await,
        Command::Pull(args) => pull::run(args, context).await,
        Command::Load(args) => load::run(&args, context).await,
        Command::Sync(args) => runs::sync(args, context).await,
        Command::Nightly(args) => runs::nightly(args, context).await,
        Command::Check(args) => check::run(&args, context).await,
        Command::Snapshots(args) => show::snapshots(args, context).await,
        Command::Show(args) => show::show(args, context).await,
        Command::Diff(args) => diff::run(args, context).await,
        Command::Find(args) => find::run(args, context).await,
        Command::Stats(args) => stats::run(args, context).await,
        Command::Tag(args) => tag::run(args, context).await,
        Command::Query(args) => query::run(args, context).await,
        Command::Report(args) => report::run(args, context).await,
        Command::Forget(args) => forget::run(args, context).await,
        Command::Prune(args) => prune::run(&args, context).await,
        Command::Demo(args) => demo::run(args, context).await,
    }
}

/// Resolves when the user presses Ctrl-C or the service manager says stop.
async fn interrupted() {
    let terminate = async {
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(mut signal) => {
                signal.recv().await;
            }
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        result = tokio::signal::ctrl_c() => if result.is_err() { std::future::pending::<()>().await },
        () = terminate => {}
    }
}

/// Prints the outcome or the error and picks the exit code.
fn finish(context: &Context, result: Result<Rendered>) -> ExitCode {
    context.progress.clear();
    let warnings = context.progress.warnings();
    match result {
        Ok(mut rendered) => {
            let written = if context.announced.load(Ordering::Relaxed) {
                Ok(())
            } else if context.json {
                if let (Some(object), false) = (rendered.json.as_object_mut(), warnings.is_empty()) {
                    object.insert("warnings".into(), warnings.clone().into());
                }
                print(&format!("{}\n", rendered.json))
            } else {
                print(&rendered.text)
            };
            if let Err(cause) = written {
                // The work is done, its answer is lost: whoever asked for it has to know.
                let error = Error::new(Kind::Store, "the answer cannot be written to standard output").caused_by(cause);
                complain(&error_as_text(&error));
                return ExitCode::from(error.exit_code());
            }
            complain(&rendered.complaint);
            ExitCode::from(rendered.code.unwrap_or(if warnings.is_empty() { 0 } else { 3 }))
        }
        Err(error) => {
            if context.json && !context.announced.load(Ordering::Relaxed) {
                let _ = print(&format!("{}\n", error_as_json(&error)));
            }
            complain(&error_as_text(&error));
            ExitCode::from(error.exit_code())
        }
    }
}

fn error_as_text(error: &Error) -> String {
    let mut text = format!("tillvault: {error}\n");
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        text.push_str(&format!("  because: {inner}\n"));
        cause = inner.source();
    }
    if let Some(hint) = error.next_step() {
        text.push_str(&format!("  next: {hint}\n"));
    }
    text
}

fn error_as_json(error: &Error) -> serde_json::Value {
    let mut causes = Vec::new();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        causes.push(inner.to_string());
        cause = inner.source();
    }
    serde_json::json!({ "error": {
        "kind": format!("{:?}", error.kind()).to_lowercase(),
        "message": error.message(),
        "next": error.next_step(),
        "causes": causes,
        "temporary": error.is_temporary(),
        "exit_code": error.exit_code(),
    }})
}

/// Writes to standard output; a reader that went away (`| head`) is no error, a full disk is.
fn print(text: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

/// Writes to standard error. Where that cannot be written (a full log, a reader that went away) a run goes on all the same.
fn complain(text: &str) {
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

fn log_to_stderr(verbose: u8) {
    let filter = match verbose {
        0 => "off",
        1 => "tillvault=debug",
        _ => "tillvault=trace,info",
    };
    let filter = tracing_subscriber::EnvFilter::try_new(filter).unwrap_or_default();
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).try_init();
}

/// `1.2 MiB`, `812 B`.
fn human_bytes(bytes: u64) -> String {
    indicatif::HumanBytes(bytes).to_string()
}

/// `1,204,112`.
fn human_count(count: u64) -> String {
    indicatif::HumanCount(count).to_string()
}

/// `1 chunk`, `1,204 chunks`.
fn counted(count: u64, one: &str) -> String {
    format!("{} {one}{}", human_count(count), if count == 1 { "" } else { "s" })
}

/// A table for people: a header, right-aligned columns where `right` says so, no lines.
fn text_table(header: &[&str], right: &[usize], rows: Vec<Vec<String>>) -> String {
    let mut table = comfy_table::Table::new();
    table.load_preset(comfy_table::presets::NOTHING).set_header(header.to_vec());
    for row in rows {
        table.add_row(row);
    }
    for index in right {
        if let Some(column) = table.column_mut(*index) {
            column.set_cell_alignment(comfy_table::CellAlignment::Right);
        }
    }
    table.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn an_error_shows_its_causes_and_the_next_step() {
        let error = Error::new(Kind::Source, "cannot reach till at TILL:1433")
            .hint("is it switched on?")
            .temporary()
            .caused_by(std::io::Error::other("connection refused"));
        assert_eq!(
            error_as_text(&error),
            "tillvault: cannot reach till at TILL:1433\n  because: connection refused\n  next: is it switched on?\n"
        );
        assert_eq!(error_as_json(&error)["error"]["exit_code"], 75);
    }
}
