//! `remote add`: finds out what is needed, looks at the place, writes the `[[remote]]`.

mod told;

use std::path::{Path, PathBuf};

pub use told::{AddOptions, AddOutcome, Place};

use secrecy::SecretString;
use url::Url;

use super::{
    holds::{Holds, holds},
    sign_in::{self, SignedIn},
};
use crate::{
    archive::{Archive, layout},
    config::{
        Config, RemoteConfig,
        edit::{RemoteSectionText, SettingsText, write_secret},
        secret_from_environment, secret_variable,
    },
    error::{Error, Kind, OrFail as _, Result},
    observe::{Event, SharedObserver},
    store::{
        self,
        nextcloud::{Credentials, Nextcloud},
    },
};

/// Where the secret comes from.
#[derive(Debug)]
enum Secret {
    /// A folder needs none.
    None,
    /// From a file that is there.
    File(PathBuf, SecretString),
    /// From the variable.
    Variable(SecretString),
    /// Made just now; it goes into a new file beside the settings.
    New(PathBuf, SecretString),
}

/// Adds a remote to the settings. `show` gets the address to open in a browser, when that is how to sign in.
///
/// # Errors
/// `Usage` or `Config` for a name that is taken or not possible, and for values that make no remote; `Store` or `Credentials` when the
/// place cannot be reached or signed in to; `Refused` when it holds another archive. Then nothing was written.
pub async fn add(
    options: &AddOptions,
    observer: &SharedObserver,
    show: &(dyn Fn(&Url) + Send + Sync),
) -> Result<AddOutcome> {
    let before = SettingsText::load(options.config.as_deref())?;
    check_name(&options.name, &before)?;
    let adding = Adding { options, folder: before.folder()?, before, observer };
    match &options.place {
        Place::Nextcloud { .. } => Box::pin(adding.nextcloud(show)).await,
        _ => {
            let (section, secret) = adding.described()?;
            adding.finish(section, secret).await
        }
    }
}

/// A name has to fit into files, variables and sentences.
fn check_name(name: &str, settings: &SettingsText) -> Result<()> {
    let good = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_');
    if name.is_empty() || name.len() > 40 || !name.chars().all(good) {
        return Err(Error::new(Kind::Usage, format!("\"{name}\" is no name for a remote"))
            .hint("letters, digits, - and _, at most 40: cloud, usb-disk"));
    }
    let same = |known: &&String| secret_variable(known, "") == secret_variable(name, "");
    if let Some(known) = settings.remotes().iter().find(same) {
        return Err(Error::new(
            Kind::Usage,
            format!("there is a remote \"{known}\" in {} already", settings.path.display()),
        )
        .hint(format!("choose another name, or take that one out: `tillvault remote remove {known}`")));
    }
    Ok(())
}

struct Adding<'a> {
    options: &'a AddOptions,
    /// The settings' folder, absolute.
    folder: PathBuf,
    before: SettingsText,
    observer: &'a SharedObserver,
}

impl Adding<'_> {
    fn warn(&self, message: impl Into<String>) {
        self.observer.event(Event::Warning { message: message.into() });
    }

    /// Signs in, then as every other.
    async fn nextcloud(&self, show: &(dyn Fn(&Url) + Send + Sync)) -> Result<AddOutcome> {
        let Place::Nextcloud { address, folder, username, password_file } = &self.options.place else {
            return Err(Error::new(Kind::Bug, "another kind of remote is added as a Nextcloud"));
        };
        let ca_file = self.options.ca_file.as_deref();
        let own_file = self.folder.join(format!("{}.password", self.options.name));
        if own_file.exists() {
            return Err(Error::new(Kind::Config, format!("{} is there already", own_file.display()))
                .hint("an app password would go there: remove that file, or choose another name for the remote"));
        }
        let address = with_scheme(address)?;
        self.warn_about_http(&address);
        let (server, status) = Nextcloud::discover(&address, ca_file).await?;
        let product = format!("{} {}", status.product, status.version);
        let signed = match username {
            None if self.options.dry_run => return Ok(self.would_ask(server.base(), product)),
            None => sign_in::with_browser(server, ca_file, show).await?,
            Some(username) => {
                let password = self.secret("PASSWORD", password_file.as_deref())?.value()?;
                let credentials = Credentials { username: username.clone(), password };
                sign_in::with_password(server, credentials, !self.options.dry_run).await?
            }
        };
        let url = signed.server.folder_url(&signed.user.id, folder);
        let written =
            self.nextcloud_signed(&signed, &url, own_file, password_file.as_deref(), username.is_some()).await;
        match written {
            Ok(outcome) => {
                let user = format!("{} ({})", signed.user.name, signed.user.id);
                Ok(AddOutcome { server: Some(product), user: Some(user), ..outcome })
            }
            Err(error) => {
                signed.undo().await;
                Err(error)
            }
        }
    }

    async fn nextcloud_signed(
        &self,
        signed: &SignedIn,
        url: &Url,
        own_file: PathBuf,
        password_file: Option<&Path>,
        given: bool,
    ) -> Result<AddOutcome> {
        let SignedIn { credentials, .. } = signed;
        let secret = if signed.is_new {
            let variable = secret_variable(&self.options.name, "PASSWORD");
            if given && password_file.is_none() && !self.options.dry_run {
                self.warn(format!(
                    "an app password was made; take the variable {variable} away, as it comes before the file"
                ));
            }
            Secret::New(own_file, credentials.password.clone())
        } else {
            self.secret("PASSWORD", password_file)?
        };
        let section = self.webdav_section("nextcloud", url.as_str(), &credentials.username, &secret)?;
        self.finish(section, secret).await
    }

    /// A dry run that would need a person: what is known so far.
    fn would_ask(&self, base: &Url, product: String) -> AddOutcome {
        self.observer.event(Event::Note {
            message: format!("{product} answers at {base}; the browser would be used to sign in"),
        });
        AddOutcome {
            name: self.options.name.clone(),
            kind: "nextcloud",
            address: None,
            server: Some(product),
            user: None,
            settings: self.before.path.clone(),
            secret_file: None,
            secret_variable: None,
            section: None,
            holds_archive: false,
            dry_run: true,
        }
    }

    /// The section of a remote that needs no questions.
    fn described(&self) -> Result<(RemoteSectionText, Secret)> {
        match &self.options.place {
            Place::Nextcloud { .. } => Err(Error::new(Kind::Bug, "a Nextcloud is not described by its arguments")),
            Place::WebDav { url, username, password_file } => {
                if let Ok(url) = url.parse() {
                    self.warn_about_http(&url);
                }
                let secret = self.secret("PASSWORD", password_file.as_deref())?;
                Ok((self.webdav_section("webdav", url, username, &secret)?, secret))
            }
            Place::S3 { secret_access_key_file, .. } => {
                let secret = self.secret("SECRET_ACCESS_KEY", secret_access_key_file.as_deref())?;
                Ok((self.s3_section(&secret)?, secret))
            }
            Place::Folder { path } => {
                let mut section = self.head("folder");
                let path =
                    std::path::absolute(path).or_fail(Kind::Config, || format!("cannot resolve {}", path.display()))?;
                section.set("path", text(&path)?);
                self.tail(&mut section)?;
                Ok((section, Secret::None))
            }
        }
    }

    fn head(&self, kind: &str) -> RemoteSectionText {
        let mut section = RemoteSectionText::default();
        section.set("name", self.options.name.as_str());
        section.set("type", kind);
        section
    }

    fn tail(&self, section: &mut RemoteSectionText) -> Result<()> {
        if let Some(file) = &self.options.ca_file {
            section.set("ca_file", self.as_settings_name_it(file)?);
        }
        if let Some(connections) = self.options.connections {
            section.set("connections", i64::try_from(connections).unwrap_or(i64::MAX));
        }
        Ok(())
    }

    fn webdav_section(&self, kind: &str, url: &str, username: &str, secret: &Secret) -> Result<RemoteSectionText> {
        let mut section = self.head(kind);
        section.set("url", url);
        section.set("username", username);
        if let Some(file) = secret.file() {
            section.set("password_file", self.as_settings_name_it(file)?);
        }
        self.tail(&mut section)?;
        Ok(section)
    }

    fn s3_section(&self, secret: &Secret) -> Result<RemoteSectionText> {
        let Place::S3 { url, endpoint, region, access_key_id, virtual_host_style, allow_http, .. } =
            &self.options.place
        else {
            return Err(Error::new(Kind::Bug, "another kind of remote is added as S3"));
        };
        let mut section = self.head("s3");
        section.set("url", url.as_str());
        for (key, value) in [("endpoint", endpoint), ("region", region)] {
            if let Some(value) = value {
                section.set(key, value.as_str());
            }
        }
        section.set("access_key_id", access_key_id.as_str());
        if let Some(file) = secret.file() {
            section.set("secret_access_key_file", self.as_settings_name_it(file)?);
        }
        for (key, value) in [("virtual_host_style", *virtual_host_style), ("allow_http", *allow_http)] {
            if value {
                section.set(key, true);
            }
        }
        self.tail(&mut section)?;
        Ok(section)
    }

    /// The secret that was given: by file, else by variable.
    fn secret(&self, which: &str, file: Option<&Path>) -> Result<Secret> {
        let variable = secret_variable(&self.options.name, which);
        if let Some(file) = file {
            let value =
                std::fs::read_to_string(file).or_fail(Kind::Config, || format!("cannot read {}", file.display()))?;
            let value = value.trim_end_matches(['\r', '\n']);
            if value.is_empty() {
                return Err(Error::new(Kind::Config, format!("{} is empty", file.display())));
            }
            let file =
                std::path::absolute(file).or_fail(Kind::Config, || format!("cannot resolve {}", file.display()))?;
            return Ok(Secret::File(file, value.into()));
        }
        match secret_from_environment(&variable) {
            Some(value) => Ok(Secret::Variable(value)),
            None => Err(Error::new(Kind::Usage, format!("remote \"{}\" needs a secret", self.options.name)).hint(format!(
                "put it alone into a file that only you can read and name that (see --help), or set the variable {variable}"
            ))),
        }
    }

    /// A path as the settings name it: relative where it lies beside or below them.
    fn as_settings_name_it(&self, path: &Path) -> Result<String> {
        let path = std::path::absolute(path).or_fail(Kind::Config, || format!("cannot resolve {}", path.display()))?;
        text(path.strip_prefix(&self.folder).unwrap_or(&path))
    }

    fn warn_about_http(&self, url: &Url) {
        if url.scheme() == "http" && !store::is_on_this_machine(url) {
            let host = url.host_str().unwrap_or_default();
            self.warn(format!(
                "nothing is encrypted on the way to {host}: others on the network can read password and trade"
            ));
        }
    }

    /// Looks at the place, then writes secret and settings.
    async fn finish(&self, section: RemoteSectionText, secret: Secret) -> Result<AddOutcome> {
        let after = self.before.with(&section)?;
        let remote = self.read(&section, &secret)?;
        let holds_archive = if self.options.unchecked { false } else { self.look(&remote).await? };
        if !self.options.dry_run {
            if let Secret::New(file, value) = &secret {
                write_secret(file, value)?;
            }
            if let Err(error) = after.replace(&self.before) {
                if let Secret::New(file, _) = &secret {
                    let _ = std::fs::remove_file(file);
                }
                return Err(error);
            }
        }
        Ok(AddOutcome {
            name: self.options.name.clone(),
            kind: remote.kind.word(),
            address: Some(remote.kind.address()),
            server: None,
            user: None,
            settings: self.before.path.clone(),
            secret_variable: matches!(secret, Secret::Variable(_)).then(|| match self.options.place {
                Place::S3 { .. } => secret_variable(&self.options.name, "SECRET_ACCESS_KEY"),
                _ => secret_variable(&self.options.name, "PASSWORD"),
            }),
            secret_file: match secret {
                Secret::New(file, _) => Some(file),
                _ => None,
            },
            section: Some(section.to_string()),
            holds_archive,
            dry_run: self.options.dry_run,
        })
    }

    /// The section as every later command will read it.
    fn read(&self, section: &RemoteSectionText, secret: &Secret) -> Result<RemoteConfig> {
        use secrecy::ExposeSecret as _;
        let known = |name: &str| {
            let value = secret.value().ok()?;
            let mine = ["PASSWORD", "SECRET_ACCESS_KEY"].map(|which| secret_variable(&self.options.name, which));
            mine.contains(&name.to_owned()).then(|| value.expose_secret().to_owned())
        };
        let config = Config::parse(&section.to_string(), &self.before.path, &self.folder, &known)?;
        let remote = config.remotes.into_iter().next();
        remote.ok_or_else(|| Error::new(Kind::Bug, "a remote's settings hold no remote"))
    }

    /// Whether there is a copy of this archive. Another one is a reason to stop.
    async fn look(&self, remote: &RemoteConfig) -> Result<bool> {
        // Other settings may lack something that does not matter here.
        let archive = Config::load(Some(&self.before.path)).ok().and_then(|config| Archive::open(&config.archive).ok());
        let cache = archive.as_ref().map_or_else(|| self.folder.clone(), |archive| archive.root().to_owned());
        let opened = store::open_remote(remote, &cache.join(layout::REMOTES))?;
        match (holds(&opened).await?, archive) {
            (Holds::Nothing, _) => Ok(false),
            (Holds::Archive { id, .. }, Some(archive)) if id == archive.id() => Ok(true),
            (Holds::Archive { id, site }, Some(archive)) => {
                let whose = site.map_or_else(|| id.clone(), |site| format!("{site}, {id}"));
                Err(Error::new(
                    Kind::Refused,
                    format!("{} holds another archive ({whose}; this one is {})", remote.kind.address(), archive.id()),
                )
                .hint("give each archive a folder of its own"))
            }
            // Nothing here yet: whoever pulls comes to this.
            (Holds::Archive { .. }, None) => Ok(true),
            (Holds::Odd, _) => {
                self.warn(format!("the {} at {} is not whole", layout::HEADER_FILE, remote.kind.address()));
                Ok(false)
            }
        }
    }
}

impl Secret {
    fn value(&self) -> Result<SecretString> {
        match self {
            Self::None => Err(Error::new(Kind::Bug, "this remote has no secret")),
            Self::File(_, value) | Self::Variable(value) | Self::New(_, value) => Ok(value.clone()),
        }
    }

    fn file(&self) -> Option<&Path> {
        match self {
            Self::File(file, _) | Self::New(file, _) => Some(file),
            Self::None | Self::Variable(_) => None,
        }
    }
}

fn text(path: &Path) -> Result<String> {
    let text = path.to_str().map(str::to_owned);
    text.ok_or_else(|| {
        Error::new(Kind::Usage, format!("{} is not UTF-8 and cannot stand in the settings", path.display()))
    })
}

/// An address as people type it: https where nothing else is said.
fn with_scheme(address: &str) -> Result<Url> {
    let text = if address.contains("://") { address.to_owned() } else { format!("https://{address}") };
    let url: Url = text
        .parse()
        .or_fail(Kind::Usage, || "the address is no URL; it looks like https://cloud.example.org".to_owned())?;
    if url.username().is_empty() && url.password().is_none() {
        return Ok(url);
    }
    Err(Error::new(Kind::Usage, "the address contains credentials")
        .hint("give the name with --user and the password with --password-file"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_as_people_type_them() {
        assert_eq!(with_scheme("cloud.example.org/sub").unwrap().as_str(), "https://cloud.example.org/sub");
        assert_eq!(with_scheme("http://nas:8080").unwrap().as_str(), "http://nas:8080/");
        let error = with_scheme("https://ann:hunter2@cloud.example").unwrap_err();
        assert!(!format!("{error:?}").contains("hunter2"));
        assert!(with_scheme("http://").is_err());
    }
}
