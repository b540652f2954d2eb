//! From settings to a connection that is signed in and set up, with the driver that the settings or the till ask for.

use super::{
    super::{
        connect::{self, Endpoint},
        failure::{self, Doing},
        fault::Fault,
        queries,
        rows::{Connection, fast::FastClient},
    },
    Role, Session,
};
use crate::{
    config::{RowReader, TillConfig},
    error::{Error, Kind, Result},
    observe::Event,
};

impl Session {
    /// A new connection. A reading session that cannot use the fast reader goes on with the other, and says so once.
    pub(super) async fn connect(&mut self) -> Result<Connection> {
        let Role::Reading { at, reader, observer } = &mut self.role else {
            return signed_in(&self.config, None).await.map(|(connection, _)| connection);
        };
        if *reader == RowReader::Tiberius {
            return signed_in(&self.config, Some(at)).await.map(|(connection, _)| connection);
        }
        if at.encrypted && has_own_authority(&self.config) {
            let message = "reader = \"fast\" cannot check the till's certificate with a ca_file";
            return Err(Error::new(Kind::Config, message)
                .hint("leave reader under [till] at \"auto\", or set it to \"tiberius\""));
        }
        let fault = match fast(&self.config, at).await {
            Ok(connection) => return Ok(connection),
            Err(fault) => fault,
        };
        // What the server itself refuses, it refuses to the other driver, too.
        if *reader == RowReader::Fast || matches!(fault, Fault::Server { .. }) {
            let place = format!("{}:{}", at.host, at.address.port());
            return Err(failure::sign_in_failed(&self.config, &place, fault));
        }
        let (connection, found) = signed_in(&self.config, Some(at)).await?;
        *at = found;
        *reader = RowReader::Tiberius;
        if let Some(observer) = observer {
            let message = format!(
                "the fast reader cannot sign in to the till ({fault}); tiberius reads instead, a few times slower. \
                 reader = \"tiberius\" under [till] says so from the start"
            );
            observer.event(Event::Note { message });
        }
        Ok(connection)
    }
}

/// Whether certificates are checked with an authority of the settings' own: tiberius alone can.
pub(super) fn has_own_authority(config: &TillConfig) -> bool {
    config.ca_file.is_some() && !config.trust_server_certificate
}

/// A connection of tiberius with the session's settings, and where it was made: at a known place, or wherever the till is.
pub(super) async fn signed_in(config: &TillConfig, at: Option<&Endpoint>) -> Result<(Connection, Endpoint)> {
    let (client, found) = match at {
        Some(at) => connect::connect_again(config, at).await?,
        None => connect::connect(config).await?,
    };
    let mut connection = Connection::Tiberius(Box::new(client));
    let doing = Doing { what: "set up the session", table: None, rows: 0, patience: config.statement_timeout };
    set_up(&mut connection).await.map_err(|fault| failure::statement_failed(&fault, &doing))?;
    Ok((connection, found))
}

/// A fast connection with the session's settings.
async fn fast(config: &TillConfig, at: &Endpoint) -> Result<Connection, Fault> {
    let mut connection = Connection::Fast(Box::new(Box::pin(FastClient::connect(config, at)).await?));
    set_up(&mut connection).await?;
    Ok(connection)
}

/// The session's settings, on a connection that has none yet.
async fn set_up(connection: &mut Connection) -> Result<(), Fault> {
    connection.batch(queries::SESSION).await?;
    for setting in queries::OPTIONAL_SETTINGS {
        match connection.batch(setting).await {
            Err(fault) if fault.breaks_connection() => return Err(fault),
            _ => {}
        }
    }
    Ok(())
}
