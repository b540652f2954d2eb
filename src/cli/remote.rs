//! `tillvault remote add`, `list`, `test`, `remove`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use url::Url;

use super::{Context, Rendered, complain, doctor, text_table};
use crate::{
    config::browser_opener,
    error::{Error, Kind, Result},
    ops::{
        doctor::try_remotes,
        remote::{
            self, RemoteList, RemoveOutcome,
            add::{AddOptions, AddOutcome, Place, add},
        },
    },
};

/// Where the options are told.
const HELP: &str = "`tillvault remote add --help` has examples of each type";

/// Set up the places where the archive is mirrored to: Nextcloud, WebDAV, S3, a folder on another disk
#[derive(Args)]
#[command(after_help = "\
Examples:
  tillvault remote add cloud nextcloud https://cloud.example.org
  tillvault remote test cloud
  tillvault remote list
  tillvault remote remove cloud")]
pub(super) struct RemoteArgs {
    #[command(subcommand)]
    command: RemoteCommand,
}

#[derive(Subcommand)]
enum RemoteCommand {
    Add(Box<AddArgs>),
    List(ListArgs),
    Test(TestArgs),
    Remove(RemoveArgs),
}

/// Add a remote to the settings, after a look at the place
///
/// Everything else in the settings stays as it is. No secret is written into them: passwords come from a file or a variable.
///
/// Nextcloud: the server is found by any of its addresses. Without --user an address is printed (and opened on a desktop); the command
/// waits until somebody has signed in there, and keeps the app password that the server makes in NAME.password beside the settings.
/// With --user, a real password is turned into an app password where the server allows it.
///
/// Folder: on a disk that is plugged in, name a folder on it, not the mount point: then a missing disk is noticed.
#[derive(Args)]
#[command(after_help = "\
Examples:
  tillvault remote add cloud nextcloud https://cloud.example.org          sign in with the browser
  tillvault remote add cloud nextcloud cloud.example.org --folder backup/till --user ann --password-file ann.password
  tillvault remote add nas webdav https://nas.lan/dav/till --user till --password-file nas.password --ca-file nas.pem
  tillvault remote add s3 s3 s3://bucket/till --region eu-central-1 --access-key-id AKIA… --secret-file s3.secret
  tillvault remote add minio s3 s3://till --endpoint https://minio.lan:9000 --access-key-id till --secret-file minio.secret
  tillvault remote add disk folder /mnt/backup/till

Proxies are those of the environment: HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY.")]
struct AddArgs {
    /// Name of the new remote: letters, digits, - and _
    name: String,
    /// What it is
    #[arg(value_enum, value_name = "TYPE")]
    kind: Type,
    /// Where it is: an address of the Nextcloud, the URL of the WebDAV folder, s3://BUCKET/FOLDER, or a folder
    address: String,
    /// Write nothing, say what would be written
    #[arg(long, short = 'n')]
    dry_run: bool,
    /// Uploads under way at once, 1 to 6 [default: 4]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=6))]
    connections: Option<u8>,
    /// Do not look at what is there: the server may be off (but not to sign in to a Nextcloud)
    #[arg(long)]
    unchecked: bool,
    /// Certificates to trust besides the system's, in PEM
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// Nextcloud: folder for the archive, below the user's files; made by the first push [default: tillvault]
    #[arg(long, help_heading = "Nextcloud and WebDAV")]
    folder: Option<String>,
    /// User; for Nextcloud instead of the browser
    #[arg(long = "user", value_name = "USER", help_heading = "Nextcloud and WebDAV")]
    username: Option<String>,
    /// File that holds the password alone; else the variable TILLVAULT_REMOTE_…_PASSWORD
    #[arg(long, value_name = "FILE", requires = "username", help_heading = "Nextcloud and WebDAV")]
    password_file: Option<PathBuf>,
    /// Nextcloud: print the address to sign in at, and open no browser
    #[arg(long, help_heading = "Nextcloud and WebDAV")]
    no_browser: bool,
    /// Address of the server, when it is not Amazon's
    #[arg(long, value_name = "URL", help_heading = "S3")]
    endpoint: Option<String>,
    /// Region [default: us-east-1]
    #[arg(long, help_heading = "S3")]
    region: Option<String>,
    /// Id of the access key
    #[arg(long, value_name = "ID", help_heading = "S3")]
    access_key_id: Option<String>,
    /// File that holds the secret access key alone; else the variable TILLVAULT_REMOTE_…_SECRET_ACCESS_KEY
    #[arg(long, value_name = "FILE", help_heading = "S3")]
    secret_file: Option<PathBuf>,
    /// The bucket stands in the host name instead of the path
    #[arg(long, help_heading = "S3")]
    virtual_host_style: bool,
    /// An endpoint without encryption will do: only on a network you trust
    #[arg(long, help_heading = "S3")]
    allow_http: bool,
}

/// What a remote may be.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Type {
    /// A folder on a Nextcloud
    Nextcloud,
    /// A folder on another WebDAV server
    #[value(name = "webdav")]
    WebDav,
    /// A place in an S3 bucket
    S3,
    /// A folder of this machine: another disk, a mounted share; it has to be there
    Folder,
}

/// The remotes of the settings; nothing is asked over the network
#[derive(Args)]
struct ListArgs {}

/// Try whether everything that a push needs works: reach, sign in, write, read, delete, room, speed
///
/// Writes two files of its own (4 MB) and removes them again. Exit code: that of the first failure, 3 when there are only warnings, else 0.
#[derive(Args)]
struct TestArgs {
    /// Remotes to try [default: all]
    names: Vec<String>,
}

/// Take a remote out of the settings; what is stored there stays
#[derive(Args)]
struct RemoveArgs {
    /// Name of the remote
    name: String,
    /// Write nothing, say what would be done
    #[arg(long, short = 'n')]
    dry_run: bool,
}

pub(super) async fn run(args: RemoteArgs, context: &Context) -> Result<Rendered> {
    match args.command {
        RemoteCommand::Add(args) => Box::pin(add_one(*args, context)).await,
        RemoteCommand::List(_) => {
            let list = remote::list(&context.config()?);
            Rendered::new(&list, listed(&list))
        }
        RemoteCommand::Test(args) => {
            let diagnosis = Box::pin(try_remotes(&context.config()?, &args.names)).await?;
            Ok(Rendered::new(&diagnosis, doctor::text(&diagnosis))?.with_code(diagnosis.exit_code()))
        }
        RemoteCommand::Remove(args) => {
            let outcome = remote::remove(context.config.as_deref(), &args.name, args.dry_run)?;
            Rendered::new(&outcome, removed(&outcome))
        }
    }
}

async fn add_one(args: AddArgs, context: &Context) -> Result<Rendered> {
    let options = AddOptions {
        config: context.config.clone(),
        name: args.name.clone(),
        place: args.place()?,
        ca_file: args.ca_file.clone(),
        connections: args.connections.map(usize::from),
        unchecked: args.unchecked,
        dry_run: args.dry_run,
    };
    let outcome = add(&options, &context.observer(), &|url| show(url, !args.no_browser)).await?;
    Rendered::new(&outcome, added(&outcome))
}

impl AddArgs {
    fn place(&self) -> Result<Place> {
        self.nothing_foreign()?;
        let needed = |value: &Option<String>, option: &str| {
            value.clone().ok_or_else(|| Error::new(Kind::Usage, format!("{option} is missing")).hint(HELP))
        };
        Ok(match self.kind {
            Type::Nextcloud => Place::Nextcloud {
                address: self.address.clone(),
                folder: self.folder.clone().unwrap_or_else(|| "tillvault".to_owned()),
                username: self.username.clone(),
                password_file: self.password_file.clone(),
            },
            Type::WebDav => Place::WebDav {
                url: self.address.clone(),
                username: needed(&self.username, "--user")?,
                password_file: self.password_file.clone(),
            },
            Type::S3 => Place::S3 {
                url: self.address.clone(),
                endpoint: self.endpoint.clone(),
                region: self.region.clone(),
                access_key_id: needed(&self.access_key_id, "--access-key-id")?,
                secret_access_key_file: self.secret_file.clone(),
                virtual_host_style: self.virtual_host_style,
                allow_http: self.allow_http,
            },
            Type::Folder => Place::Folder { path: self.address.clone().into() },
        })
    }

    /// An option that the type does not know was meant for something.
    fn nothing_foreign(&self) -> Result<()> {
        let (nextcloud, s3) = (self.kind == Type::Nextcloud, self.kind == Type::S3);
        let dav = nextcloud || self.kind == Type::WebDav;
        let foreign = [
            ("--ca-file", self.ca_file.is_some(), dav || s3),
            ("--folder", self.folder.is_some(), nextcloud),
            ("--user", self.username.is_some(), dav),
            ("--no-browser", self.no_browser, nextcloud),
            ("--endpoint", self.endpoint.is_some(), s3),
            ("--region", self.region.is_some(), s3),
            ("--access-key-id", self.access_key_id.is_some(), s3),
            ("--secret-file", self.secret_file.is_some(), s3),
            ("--virtual-host-style", self.virtual_host_style, s3),
            ("--allow-http", self.allow_http, s3),
        ];
        match foreign.into_iter().find(|(_, set, belongs)| *set && !*belongs) {
            Some((option, ..)) => {
                Err(Error::new(Kind::Usage, format!("{option} does not belong to this type of remote")).hint(HELP))
            }
            None => Ok(()),
        }
    }
}

/// Tells the person where to sign in, whatever else is silent: without it the command waits in vain.
fn show(url: &Url, opens: bool) {
    complain(&format!("Open this address in a browser, sign in and grant access:\n\n  {url}\n\n"));
    if let Some(program) = browser_opener().filter(|_| opens) {
        let mut command = std::process::Command::new(program);
        let quiet = std::process::Stdio::null;
        // Without a browser the address above does as well.
        let _ = command.arg(url.as_str()).stdin(quiet()).stdout(quiet()).stderr(quiet()).spawn();
    }
    complain("Waiting for it ... (Ctrl-C stops)\n");
}

fn added(outcome: &AddOutcome) -> String {
    let mut text = String::new();
    if let (Some(server), Some(user)) = (&outcome.server, &outcome.user) {
        text.push_str(&format!("signed in to {server} as {user}\n"));
    }
    let (done, settings) = (if outcome.dry_run { "would add" } else { "added" }, outcome.settings.display());
    text.push_str(&format!("{done} remote {} to {settings}", outcome.name));
    match &outcome.address {
        Some(address) => text.push_str(&format!(": {address}\n")),
        None => text.push_str(" after signing in with the browser\n"),
    }
    if let (true, Some(section)) = (outcome.dry_run, &outcome.section) {
        text.push_str(&section.lines().map(|line| format!("  {line}\n")).collect::<String>());
    }
    if let (false, Some(file)) = (outcome.dry_run, &outcome.secret_file) {
        text.push_str(&format!("kept its app password in {}, readable for you only\n", file.display()));
    }
    if let Some(variable) = &outcome.secret_variable {
        text.push_str(&format!("the variable {variable} has to be set whenever tillvault runs\n"));
    }
    if outcome.holds_archive {
        text.push_str("a copy of the archive is there already\n");
    }
    if !outcome.dry_run {
        text.push_str(&format!(
            "Next: `tillvault remote test {0}`, then `tillvault push --remote {0}`.\n",
            outcome.name
        ));
    }
    text
}

fn listed(list: &RemoteList) -> String {
    if list.remotes.is_empty() {
        return "no remote is set: the archive on this machine is the only copy\n".to_owned();
    }
    let rows = list.remotes.iter().map(|remote| {
        let pushed = remote.pushed_at.map_or_else(|| "never".to_owned(), |at| format!("{at:.0}"));
        let snapshots = remote.snapshots.map_or_else(String::new, |count| count.to_string());
        vec![
            remote.name.clone(),
            remote.kind.to_owned(),
            remote.address.clone(),
            remote.username.clone().unwrap_or_default(),
            pushed,
            snapshots,
        ]
    });
    text_table(&["remote", "type", "address", "user", "pushed", "snapshots"], &[5], rows.collect())
}

fn removed(outcome: &RemoveOutcome) -> String {
    let done = if outcome.dry_run { "would take" } else { "took" };
    let mut text =
        format!("{done} remote {} out of {}; what is stored there stays\n", outcome.name, outcome.settings.display());
    if let Some(file) = &outcome.secret_file {
        text.push_str(&format!(
            "{} is still there: revoke that password on the server and delete the file\n",
            file.display()
        ));
    }
    text
}
