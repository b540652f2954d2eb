//! `tillvault init`.

use std::path::PathBuf;

use clap::Args;

use super::{Context, Rendered, destinations};
use crate::{
    config::{Config, RemoteConfig},
    error::{Error, Kind, OrFail as _, Result},
    ops::{
        init::{InitOptions, InitOutcome, init},
        mirror,
        pull::{self, PullOptions},
    },
};

/// Write a commented tillvault.toml and create the archive it names
///
/// An existing settings file is kept as it is; an existing archive, too. With --from-remote the archive is not a new one but fetched from
/// a remote, as `tillvault pull` does: what a new machine begins with.
#[derive(Args)]
#[command(after_help = "\
Examples:
  tillvault init
  tillvault init --folder /srv/tillvault --site 'Hotel Anker' --host TILLPC --port 1433 \\
      --database SambaPOS5 --username tillvault --password-file till.password
  tillvault init --from-remote https://cloud.example/remote.php/dav/files/ann/till \\
      --remote-username ann --remote-password-file nextcloud.password
  tillvault init --from-remote nextcloud         the remote of that name, from settings that are here already")]
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
    #[arg(long)]
    remote_username: Option<String>,
    /// Remote: file that holds the app password alone
    #[arg(long, value_name = "FILE", requires = "remote_username")]
    remote_password_file: Option<String>,
    /// Fetch the archive from this remote: the name of one in the settings, or the URL of a WebDAV folder (with --remote-username)
    #[arg(long, value_name = "NAME|URL", conflicts_with = "remote_url")]
    from_remote: Option<String>,
}

pub(super) async fn run(args: InitArgs, context: &Context) -> Result<Rendered> {
    if context.config.is_some() {
        return Err(Error::new(Kind::Usage, "init does not take --config: it writes tillvault.toml into a folder")
            .hint("name the folder with --folder"));
    }
    let url = args.from_remote.clone().filter(|remote| remote.contains("://"));
    if url.is_some() && args.remote_username.is_none() {
        return Err(Error::new(Kind::Usage, "a remote's URL needs a user")
            .hint("add --remote-username and --remote-password-file"));
    }
    if url.is_none() && args.remote_url.is_none() && args.remote_username.is_some() {
        return Err(Error::new(Kind::Usage, "a remote's user without its URL")
            .hint("add --remote-url, or --from-remote with a URL"));
    }
    let outcome = init(&InitOptions {
        folder: args.folder,
        site: args.site,
        host: args.host,
        port: args.port,
        database: args.database,
        username: args.username,
        password_file: args.password_file,
        remote_url: args.remote_url.or_else(|| url.clone()),
        remote_username: args.remote_username,
        remote_password_file: args.remote_password_file,
        without_archive: args.from_remote.is_some(),
    })?;
    match args.from_remote {
        None => Rendered::new(&outcome, text(&outcome)),
        Some(remote) => fetched(&outcome, &remote, url.as_deref(), context).await,
    }
}

/// Fetches the archive from the remote that the settings name now.
async fn fetched(outcome: &InitOutcome, remote: &str, url: Option<&str>, context: &Context) -> Result<Rendered> {
    let config = Config::load(Some(&outcome.config))?;
    let name = match url {
        None => remote.to_owned(),
        Some(url) => {
            // Settings that were here already may name it otherwise, or not at all.
            let wanted = url.trim_end_matches('/');
            let same = |one: &&RemoteConfig| one.kind.address().trim_end_matches('/') == wanted;
            let found = config.remotes.iter().find(same).map(|one| one.name.clone());
            found.ok_or_else(|| {
                Error::new(
                    Kind::Config,
                    format!("the settings in {} name no remote with this URL", outcome.config.display()),
                )
                .hint("they were kept as they are: add a [[remote]] there and name it with --from-remote NAME")
            })?
        }
    };
    let remote = mirror::open(&config.archive, destinations::one(&config, Some(&name))?)?;
    let pulled = pull::pull(&config.archive, &remote, &PullOptions::default(), &context.observer()).await?;
    let settings = if outcome.config_written { "wrote" } else { "kept" };
    let text = format!(
        "{settings} settings {}\n{}Next: `tillvault load --rebuild` makes the replica, `tillvault doctor` looks at the rest.\n",
        outcome.config.display(),
        super::pull::text(&pulled)
    );
    let is_damaged = !pulled.damaged.is_empty();
    let mut json = serde_json::to_value(outcome).or_fail(Kind::Bug, || "the outcome does not fit into JSON")?;
    json["archive_created"] = pulled.created.into();
    json["pull"] = serde_json::to_value(&pulled).or_fail(Kind::Bug, || "the outcome does not fit into JSON")?;
    let rendered = Rendered::new(&json, text)?;
    Ok(if is_damaged { rendered.with_code(13) } else { rendered })
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
