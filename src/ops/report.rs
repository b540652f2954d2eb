//! `report`: opens what a report may be answered from, asks, and closes it again.

use jiff::Timestamp;

use crate::{
    archive::Archive,
    config::Config,
    error::{Error, Kind, Result},
    observe::{Event, SharedObserver},
    replica::Replica,
    report::{self, Backends, SourceChoice, answer::Report, definition::ReportRequest, replica::ReplicaReports},
    source::{LiveReports, sqlserver::SqlServer},
};

/// Answers a report from the chosen source. Warnings become events.
///
/// # Errors
/// As [`report::run`].
pub async fn report(
    config: &Config,
    request: &ReportRequest,
    choice: SourceChoice,
    observer: &SharedObserver,
) -> Result<Report> {
    let live = Box::pin(async {
        let till = SqlServer::connect(config.till()?).await?;
        Ok(Box::new(till) as Box<dyn LiveReports>)
    });
    let now = Timestamp::now();
    let opened = match choice {
        SourceChoice::Live => Err(Error::new(Kind::Replica, "the replica was not asked")),
        SourceChoice::Auto | SourceChoice::Replica => open_replica(config).await,
    };
    let answer = match opened {
        Ok((replica, database)) => {
            let reports = ReplicaReports {
                client: replica.client(),
                schema: replica.schema(),
                kitchen_id: config.replica.kitchen_id,
                source_database: &database,
            };
            let answer = report::run(request, choice, Backends { replica: Ok(reports), live, now }).await;
            replica.close().await?;
            answer
        }
        Err(error) => report::run(request, choice, Backends { replica: Err(error), live, now }).await,
    }?;
    for message in &answer.warnings {
        observer.event(Event::Warning { message: message.clone() });
    }
    Ok(answer)
}

/// The replica and the till's database in it. A private cluster that was never made is not made for a question.
async fn open_replica(config: &Config) -> Result<(Replica, String)> {
    if config.replica.url.is_none() && !Replica::private_cluster_exists(&config.data) {
        return Err(
            Error::new(Kind::Replica, "nothing has been loaded into the replica yet").hint("run `tillvault load`")
        );
    }
    let database = match Archive::open(&config.archive) {
        Ok(archive) => archive.latest()?.map(|snapshot| snapshot.source.database),
        Err(_) => None,
    };
    let database = match database {
        Some(database) => database,
        None => config.till()?.database.clone(),
    };
    let replica = Replica::open(&config.replica, &config.data, &database).await?;
    Ok((replica, database))
}
