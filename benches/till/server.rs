//! The server that is read: the demo till in this process, or the one that `TILLVAULT_TEST_MSSQL` names.

use std::time::{Duration, Instant};

use tillvault::demo::{DemoTill, TillOptions};
use tokio::net::TcpStream;
use tokio_util::compat::{Compat, TokioAsyncWriteCompatExt as _};

use crate::rate;

/// Where a till is, and who reads it.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) database: String,
    pub(crate) user: String,
    pub(crate) password: String,
}

impl Target {
    /// In one word, for a child process: what [`Target::of`] reads.
    pub(crate) fn spelled(&self) -> String {
        [&self.host, &self.port.to_string(), &self.database, &self.user, &self.password].map(String::as_str).join("\t")
    }

    /// What [`Target::spelled`] wrote.
    pub(crate) fn of(text: &str) -> Target {
        let mut words = text.split('\t').map(str::to_owned);
        let mut next = || words.next().unwrap();
        Target { host: next(), port: next().parse().unwrap(), database: next(), user: next(), password: next() }
    }
}

impl Target {
    /// What every reader is given: all columns by name, in key order.
    pub(crate) async fn query(&self, table: &str) -> String {
        let mut client = self.connect().await;
        let names = "SELECT c.name AS name FROM sys.tables AS t INNER JOIN sys.columns AS c ON c.object_id = t.object_id \
                     WHERE t.name = @P1 ORDER BY c.column_id";
        let rows = client.query(names, &[&table]).await.unwrap().into_first_result().await.unwrap();
        let names: Vec<String> = rows.iter().map(|row| format!("[{}]", row.get::<&str, _>("name").unwrap())).collect();
        format!("SELECT {} FROM [dbo].[{table}] ORDER BY [Id]", names.join(", "))
    }

    /// Signs in with tiberius.
    pub(crate) async fn connect(&self) -> tiberius::Client<Compat<TcpStream>> {
        let mut config = tiberius::Config::new();
        config.host(&self.host);
        config.port(self.port);
        config.database(&self.database);
        config.authentication(tiberius::AuthMethod::sql_server(&self.user, &self.password));
        config.encryption(tiberius::EncryptionLevel::NotSupported);
        config.command_timeout(Some(Duration::from_secs(600)));
        let tcp = TcpStream::connect(config.get_addr()).await.unwrap();
        tcp.set_nodelay(true).unwrap();
        tiberius::Client::connect(config, tcp.compat_write()).await.unwrap()
    }
}

/// What is measured against.
pub(crate) struct Server {
    target: Target,
    till: Option<DemoTill>,
}

impl Server {
    /// The real server that the environment names, or a demo till with about so many order lines, frozen.
    #[allow(clippy::disallowed_methods, reason = "a live server is chosen by an environment variable")]
    pub(crate) async fn start(lines: u32) -> Server {
        if let Ok(url) = std::env::var("TILLVAULT_TEST_MSSQL") {
            let target = live(&url);
            println!("A server at {}:{}, database {}, as it is.", target.host, target.port, target.database);
            return Server { target, till: None };
        }
        let started = Instant::now();
        let till = DemoTill::start(TillOptions { tickets_per_day: 500, ..TillOptions::default() }).await.unwrap();
        let lines = till.grow(lines.into()).unwrap();
        println!(
            "A demo till of {lines} order lines, made in {:.0} s; frozen, its answers are ready before they are measured.",
            started.elapsed().as_secs_f64()
        );
        rate::demo_rate(&till);
        till.engine().freeze();
        let target = Target {
            host: "127.0.0.1".into(),
            port: till.port(),
            database: "SambaPOS5".into(),
            user: "tillvault".into(),
            password: "demo".into(),
        };
        Server { target, till: Some(till) }
    }

    pub(crate) fn target(&self) -> &Target {
        &self.target
    }

    /// Whether checksums are computed once and kept: the demo till, frozen. A real server computes them at each question.
    pub(crate) fn keeps_answers(&self) -> bool {
        self.till.is_some()
    }

    /// Forgets what was kept.
    pub(crate) fn forget_answers(&self) {
        if let Some(till) = &self.till {
            till.engine().freeze();
        }
    }

    /// Lets the demo till serve its orders ten times over. A real server does not do that.
    pub(crate) fn repeat_orders(&self) -> bool {
        let Some(till) = &self.till else { return false };
        till.engine().freeze_repeating(&[("Orders", 10)]);
        true
    }
}

/// `mssql://user:password@host:port/database`, as the live tests take it.
fn live(url: &str) -> Target {
    let url = url::Url::parse(url).expect("TILLVAULT_TEST_MSSQL is mssql://user:password@host:port/database");
    let plain = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
    Target {
        host: url.host_str().unwrap_or("127.0.0.1").to_owned(),
        port: url.port().unwrap_or(1433),
        database: plain(url.path().trim_start_matches('/')),
        user: plain(url.username()),
        password: plain(url.password().unwrap_or_default()),
    }
}
