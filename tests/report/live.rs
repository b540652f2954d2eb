//! The live back end against a till on loopback.

use std::{sync::Arc, time::Duration};

use tillvault::{
    config::{Encryption, RateLimit, RowReader, TillConfig},
    demo::{Engine, EngineOptions, Server, ServerOptions, schema, trade::fixture},
    report::{
        Backends, LiveConnection, SourceChoice,
        answer::{AnsweredBy, Report},
        definition::ReportRequest,
        run,
    },
    source::{LiveReports, TableSelection, sqlserver::SqlServer},
};

use crate::examples::{examples, lines};

/// A till on loopback.
pub(crate) struct LiveTill {
    pub(crate) engine: Arc<Engine>,
    server: Server,
}

impl LiveTill {
    /// An empty one.
    pub(crate) async fn start() -> Self {
        let engine = Engine::new(&schema::tables().unwrap(), EngineOptions::default()).unwrap();
        let server = Server::start(engine.clone(), ServerOptions::default()).await.unwrap();
        Self { engine, server }
    }

    /// How a report connects to it.
    pub(crate) fn connection<'a>(&self) -> LiveConnection<'a> {
        let options = ServerOptions::default();
        let config = TillConfig {
            host: "127.0.0.1".into(),
            port: self.server.port(),
            database: EngineOptions::default().database,
            username: options.user,
            password: options.password,
            encryption: Encryption::Off,
            trust_server_certificate: true,
            ca_file: None,
            connect_timeout: Duration::from_secs(20),
            statement_timeout: Duration::from_secs(60),
            browser_port: 1434,
            reader: RowReader::Auto,
            rate_limit: RateLimit::default(),
            tables: TableSelection::default(),
        };
        Box::pin(async move {
            let till = SqlServer::connect(&config).await?;
            Ok(Box::new(till) as Box<dyn LiveReports>)
        })
    }

    pub(crate) async fn ask(&self, request: &ReportRequest) -> Report {
        let replica = Err(tillvault::Error::new(tillvault::Kind::Replica, "there is no replica here"));
        let backends = Backends { replica, live: self.connection(), now: "2026-03-05T00:00:00Z".parse().unwrap() };
        run(request, SourceChoice::Live, backends).await.unwrap()
    }
}

#[tokio::test]
async fn every_example_has_its_figures_from_the_till() {
    let till = LiveTill::start().await;
    fixture::load_queries_fixture(&till.engine.connection().unwrap()).unwrap();
    for (request, expected) in examples() {
        let report = till.ask(&request).await;
        assert_eq!(lines(&report), expected, "{request:?}");
        assert_eq!((report.source, report.snapshot), (AnsweredBy::Live, None));
        assert_eq!(report.as_of.to_string(), "2026-03-05T00:00:00Z");
        assert_eq!(report.warnings, [""; 0]);
    }
}
