//! The folder of a demo: what stands in it, and its servers.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{
    archive::Archive,
    config::{Config, FILE_NAME},
    demo::{
        DemoTill, TillOptions,
        trade::Clear,
        webdav::{WebDavOptions, WebDavServer},
    },
    error::{Error, Kind, OrFail as _, Result},
};

pub(super) const DATABASE: &str = "SambaPOS5";
pub(super) const USER: &str = "tillvault";
/// Simulated trade on loopback is no secret.
pub(super) const PASSWORD: &str = "demo";
/// Marks a folder that a demo made and may replace.
const MARK: &str = "demo.json";
/// Days of trade after the clear.
pub(super) const DAYS_AFTER: u32 = 4;

/// What the demo was told, kept in the folder.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Told {
    pub(super) days: u32,
    pub(super) tickets_per_day: u32,
    pub(super) seed: u64,
    /// Ports of till and WebDAV server, once they are known.
    till_port: u16,
    cloud_port: u16,
}

/// A demo's folder.
pub(super) struct Folder {
    path: PathBuf,
    pub(super) told: Told,
}

impl Folder {
    /// Makes the folder anew. One that is not a demo's is left alone.
    pub(super) fn create(path: &Path, days: u32, tickets_per_day: u32, seed: u64) -> Result<Self> {
        let path = std::path::absolute(path).or_fail(Kind::Usage, || format!("cannot use {}", path.display()))?;
        if path.exists() {
            let empty = fs::read_dir(&path).is_ok_and(|mut entries| entries.next().is_none());
            if !empty && !path.join(MARK).is_file() {
                return Err(Error::new(Kind::Refused, format!("{} exists and is not a demo's folder", path.display()))
                    .hint("name another one with --folder"));
            }
            fs::remove_dir_all(&path).or_fail(Kind::Store, || format!("cannot replace {}", path.display()))?;
        }
        fs::create_dir_all(path.join("cloud")).or_fail(Kind::Store, || format!("cannot create {}", path.display()))?;
        let told = Told { days, tickets_per_day, seed, till_port: 0, cloud_port: 0 };
        let folder = Self { path, told };
        folder.write(MARK, &serde_json::to_string(&folder.told).unwrap_or_default())?;
        Ok(folder)
    }

    /// Opens a folder that [`Folder::create`] made.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let path = std::path::absolute(path).or_fail(Kind::Usage, || format!("cannot use {}", path.display()))?;
        let not_a_demo = || {
            Error::new(Kind::Usage, format!("{} is not a demo's folder", path.display()))
                .hint("run `tillvault demo` first, or name its folder with --folder")
        };
        let text = fs::read_to_string(path.join(MARK)).map_err(|e| not_a_demo().caused_by(e))?;
        let told = serde_json::from_str(&text).map_err(|e| not_a_demo().caused_by(e))?;
        Ok(Self { path, told })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        fs::write(self.path.join(name), text).or_fail(Kind::Store, || format!("cannot write {name}"))
    }

    /// Starts both servers, on the ports of an earlier start where there was one. The till is empty of trade.
    pub(super) async fn start(&self) -> Result<(DemoTill, WebDavServer)> {
        let till = DemoTill::start(TillOptions {
            port: self.told.till_port,
            days: 0,
            tickets_per_day: self.told.tickets_per_day,
            seed: self.told.seed,
            ..till_options()
        })
        .await?;
        let cloud = WebDavServer::start(WebDavOptions {
            root: Some(self.path.join("cloud")),
            user: USER.into(),
            password: PASSWORD.into(),
            port: self.told.cloud_port,
            ..WebDavOptions::default()
        })
        .await?;
        Ok((till, cloud))
    }

    /// Writes settings for the servers and creates the archive.
    pub(super) fn set_up(&mut self, till: &DemoTill, cloud: &WebDavServer) -> Result<(Config, Archive)> {
        self.told.till_port = till.port();
        self.told.cloud_port = cloud.url().port().unwrap_or_default();
        self.write(MARK, &serde_json::to_string(&self.told).unwrap_or_default())?;
        self.write("till.password", PASSWORD)?;
        self.write("cloud.password", PASSWORD)?;
        let settings = format!(
            "# Settings of a tillvault demo. The servers run only while `tillvault demo` or `tillvault demo serve` does.\n\
             site = \"Demo hotel\"\n\n\
             [till]\nsambapos_db_host = \"127.0.0.1\"\nsambapos_db_port = {}\nsambapos_db_name = \"{DATABASE}\"\n\
             sambapos_db_username = \"{USER}\"\nsambapos_db_password_file = \"till.password\"\nencryption = \"off\"\n\n\
             [[remote]]\nname = \"cloud\"\nurl = \"{}till\"\nusername = \"{USER}\"\npassword_file = \"cloud.password\"\n\n\
             [reports]\nsambapos_tracked_categories = \"Starters, Mains, Desserts\"\nsambapos_excluded_items = \"Staff\"\n",
            till.port(),
            cloud.url(),
        );
        self.write(FILE_NAME, &settings)?;
        let config = Config::load(Some(&self.path.join(FILE_NAME)))?;
        let archive = Archive::create(&config.archive, &config.site)?;
        Ok((config, archive))
    }

    /// Brings a fresh till to where the story ends: the same trade, the same clear.
    pub(super) fn replay(&self, till: &DemoTill) -> Result<()> {
        let mut trade = till.trade();
        for _ in 0..self.told.days {
            trade.trade_day()?;
        }
        trade.clear(Clear::Reseed)?;
        for _ in 0..DAYS_AFTER {
            trade.trade_day()?;
        }
        Ok(())
    }
}

/// What every till of the demo has.
pub(super) fn till_options() -> TillOptions {
    TillOptions { user: USER.into(), password: PASSWORD.into(), ..TillOptions::default() }
}
