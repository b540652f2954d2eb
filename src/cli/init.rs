//! `tillvault init`.

use std::path::PathBuf;

use clap::Args;

use super::{Context, Rendered};
use crate::{
    error::{Error, Kind, Result},
    ops::init::{InitOptions, InitOutcome, init},
};

/// Write a commented tillvault.toml and create the archive it names
///
/// An existing settings file is kept as it is; an existing archive, too.
#[derive(Args)]
#[command(after_help = "\
Examples:
  tillvault init
  tillvault init --folder /srv/tillvault --site 'Hotel Anker' --host TILLPC --port 1433 \\
      --database SambaPOS5 --username tillvault --password-file till.password")]
pub(super) struct InitArgs {
    /// Folder for the settings file; relative paths in it start there
    #[arg(long, default_value = ".")]
    folder: PathBuf,
    /// Name of the site
    #[arg(long)]
    site: Option<String>,
    /// Till: host name or address, or HOST\INSTANCE
    #[arg(long)]
    host: Option<String>,
    /// Till: TCP port [default: 1433]
    #[arg(long)]
    port: Option<u16>,
    /// Till: database
    #[arg(long)]
    database: Option<String>,
    /// Till: SQL login
    #[arg(long)]
    username: Option<String>,
    /// Till: file that holds the password alone
    #[arg(long, value_name = "FILE")]
    password_file: Option<String>,
    /// Remote: URL of the WebDAV folder for the archive
    #[arg(long, value_name = "URL", requires = "remote_username")]
    remote_url: Option<String>,
    /// Remote: user
    #[arg(long, requires = "remote_url")]
    remote_username: Option<String>,
    /// Remote: file that holds the app password alone
    #[arg(long, value_name = "FILE", requires = "remote_url")]
    remote_password_file: Option<String>,
}

pub(super) fn run(args: InitArgs, context: &Context) -> Result<Rendered> {
    if context.config.is_some() {
        return Err(Error::new(Kind::Usage, "init does not take --config: it writes tillvault.toml into a folder")
            .hint("name the folder with --folder"));
    }
    let outcome = init(&InitOptions {
        folder: args.folder,
        site: args.site,
        host: args.host,
        port: args.port,
        database: args.database,
        username: args.username,
        password_file: args.password_file,
        remote_url: args.remote_url,
        remote_username: args.remote_username,
        remote_password_file: args.remote_password_file,
    })?;
    Rendered::new(&outcome, text(&outcome))
}

fn text(outcome: &InitOutcome) -> String {
    let settings = if outcome.config_written { "wrote" } else { "kept" };
    let archive = if outcome.archive_created { "created" } else { "kept" };
    format!(
        "{settings} settings {}\n{archive} archive {}\nNext: fill in the settings, then run `tillvault doctor`.\n",
        outcome.config.display(),
        outcome.archive.display()
    )
}
