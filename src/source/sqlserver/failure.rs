//! What the drivers and the server say, as errors a person can act on.
//!
//! Promises: one cause, one message, with the next step; the server's own text is chained, never pasted in; failures that
//! pass by themselves are marked temporary. Nothing here holds or prints a password.

use std::time::Duration;

use super::fault::{DEADLOCK_VICTIM, Fault, LOCK_TIMEOUT, is_postgres_lock};
use crate::{
    config::{Encryption, TillConfig},
    error::{Error, Kind},
    model::table::TableName,
};

/// What was being done when a statement failed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Doing<'a> {
    /// The work, as in "cannot …".
    pub what: &'a str,
    /// The table it is done on, if one.
    pub table: Option<&'a TableName>,
    /// Rows of the table that had arrived.
    pub rows: u64,
    /// Time the server has to go on with its answer.
    pub patience: Duration,
}

impl Doing<'_> {
    fn object(&self) -> String {
        match self.table {
            Some(table) => format!("cannot {} {table}", self.what),
            None => format!("cannot {}", self.what),
        }
    }
}

/// A failed connection or sign-in; `endpoint` is `host:port` as tried.
pub(super) fn sign_in_failed(config: &TillConfig, endpoint: &str, fault: Fault) -> Error {
    let source = |message: String| Error::new(Kind::Source, message);
    match fault {
        Fault::Server { number, .. } => sign_in_refused(config, endpoint, number, &fault),
        Fault::EncryptionDeclined if config.encryption == Encryption::On => source(format!(
            "the till at {endpoint} does not offer encryption, and its certificate is to be checked"
        ))
        .hint(
            "give the server a certificate; trust_server_certificate = true, or encryption = \"off\", means that a connection \
             without encryption will do",
        ),
        Fault::EncryptionDeclined => {
            source(format!("the till at {endpoint} does not offer encryption, and encryption is required"))
                .hint("give the server a certificate, or set encryption = \"on\" or \"off\"")
        }
        Fault::Certificate(reason) => source(format!("the certificate of the till at {endpoint} is not trusted"))
            .hint("set ca_file to the certificate of the authority that signed it, which is never the server's own; a certificate \
                 that signed itself cannot be checked: trust_server_certificate = true takes it")
            .caused_by(reason),
        Fault::TimedOut => source(format!(
            "the till at {endpoint} did not finish the sign-in within {} seconds",
            config.connect_timeout.as_secs_f32()
        ))
        .hint("is it SQL Server that listens there? the machine may be overloaded: try again, or raise connect_timeout")
        .temporary(),
        Fault::Tls(cause) => source(format!("no encrypted connection with the till at {endpoint} could be made"))
            .hint(
                "servers before 2016 may know only old versions of TLS: update the server, or set encryption = \"off\"",
            )
            .caused_by(cause),
        Fault::Lost(cause) => {
            let hint = if config.encryption == Encryption::Off {
                "the server may insist on encryption: set encryption = \"required\"; or it is not SQL Server that listens there"
            } else {
                "the server may refuse encryption: set encryption = \"off\"; or it is not SQL Server that listens there"
            };
            source(format!("the till at {endpoint} closed the connection during sign-in"))
                .hint(hint)
                .caused_by(cause)
                .temporary()
        }
        other => source(format!("what listens at {endpoint} does not answer like SQL Server"))
            .hint("check sambapos_db_host and sambapos_db_port")
            .caused_by(other.to_string()),
    }
}

fn sign_in_refused(config: &TillConfig, endpoint: &str, number: u32, fault: &Fault) -> Error {
    let TillConfig { username, database, .. } = config;
    let cause = fault.to_string();
    match number {
        18_452 | 18_456 | 18_461 | 18_470 | 18_486 | 18_487 | 18_488 => {
            Error::new(Kind::Credentials, format!("the till at {endpoint} refused the login \"{username}\""))
                .hint("check sambapos_db_username and its password; the server must allow SQL Server logins (mixed mode)")
                .caused_by(cause)
        }
        // Babelfish says 911.
        911 | 4060 | 4063 | 4064 => Error::new(
            Kind::Source,
            format!("the till at {endpoint} has no database \"{database}\" that login \"{username}\" may open"),
        )
        .hint(format!(
            "check sambapos_db_name; if it is right, run there as an administrator: CREATE USER {user} FOR LOGIN {user}; \
             ALTER ROLE db_datareader ADD MEMBER {user}",
            user = super::queries::quote(username)
        ))
        .caused_by(cause),
        // The server itself lost the line before the login was through; what was sent to tell it may still have arrived.
        17_830 => Error::new(Kind::Source, format!("the till at {endpoint} had a network error during the sign-in"))
            .hint("try again; if it stays so, look at the network between here and the till")
            .caused_by(cause)
            .temporary(),
        _ => not_ready(number, fault, &format!("cannot sign in at {endpoint}")).unwrap_or_else(|| {
            Error::new(Kind::Source, format!("the till at {endpoint} refused the connection"))
                .hint("the server's own words say why; whoever looks after it may know more")
                .caused_by(cause)
        }),
    }
}

/// Errors that say that the server or database is not in a state to answer, and will be later. `object` is what could not be
/// done.
fn not_ready(number: u32, fault: &Fault, object: &str) -> Option<Error> {
    let (message, hint) = match number {
        921 | 922 | 927 | 942 | 945 | 952 | 5030 => (
            "the till's database is not available now",
            "it may be offline, starting or being restored: try again later",
        ),
        596 | 904 | 6005 | 17_142 | 17_187 | 17_188 | 18_401 => {
            ("the till's server is starting or shutting down", "try again in a few minutes")
        }
        701 | 802 | 8645 | 1204 | 17_803 | 17_809 => {
            ("the till's server has too little memory or too many users now", "try again later")
        }
        _ => return None,
    };
    let message = format!("{object}: {message}");
    Some(Error::new(Kind::Source, message).hint(hint).caused_by(fault.to_string()).temporary())
}

/// A statement that failed after sign-in.
pub(super) fn statement_failed(fault: &Fault, doing: &Doing<'_>) -> Error {
    match fault {
        Fault::Server { number, .. } => statement_refused(*number, fault, doing),
        Fault::TimedOut => Error::new(
            Kind::Source,
            format!("{}: the till did not go on within {} seconds", doing.object(), doing.patience.as_secs_f32()),
        )
        .hint("the server may be busy or hang: try again, or raise statement_timeout_seconds")
        .temporary(),
        Fault::Lost(_) | Fault::Tls(_) | Fault::Certificate(_) | Fault::EncryptionDeclined => {
            Error::new(Kind::Source, lost(doing))
                .hint("run again as soon as the till can be reached")
                .caused_by(fault.to_string())
                .temporary()
        }
        Fault::BrokenText => Error::new(
            Kind::Source,
            format!("{}: it holds text that is not valid Unicode, and is to be read in another form", doing.object()),
        )
        .hint("run again; if that does not help, exclude the table")
        .temporary(),
        Fault::NotUnderstood(cause) => {
            Error::new(Kind::Source, format!("{}: the answer cannot be understood", doing.object()))
                .hint(
                    "this may be a broken connection or a server tillvault does not know: run it again, then report it",
                )
                .caused_by(cause.clone())
        }
    }
}

fn lost(doing: &Doing<'_>) -> String {
    match doing.table {
        Some(table) if doing.rows > 0 => {
            format!("the connection to the till was lost after {} rows of table {table}", doing.rows)
        }
        Some(table) => format!("the connection to the till was lost on table {table}, before its first row"),
        None => format!("the connection to the till was lost: {}", doing.object()),
    }
}

fn statement_refused(number: u32, fault: &Fault, doing: &Doing<'_>) -> Error {
    let error =
        |text: &str| Error::new(Kind::Source, format!("{}: {text}", doing.object())).caused_by(fault.to_string());
    match number {
        229 | 230 | 262 | 300 | 916 => denied(error("permission denied")),
        208 => error("the table is no longer there").hint("it was dropped or renamed meanwhile: run again"),
        207 => error("a column is not there").hint(
            "the table was changed meanwhile, or this version of SambaPOS does not have the column; reports need version 5",
        ),
        DEADLOCK_VICTIM => error("the till was busy with the same rows (deadlock)").hint("try again later").temporary(),
        LOCK_TIMEOUT => error("the till held a lock for too long").hint("try again later").temporary(),
        41_332 => error("it is memory-optimised, and a read transaction does not reach such tables")
            .hint("the till's catalog did not say so; whoever looks after the server may know why. Else exclude the table"),
        3952 => error("the database does not allow snapshot isolation any more").hint("run again").temporary(),
        3960 | 3961 => error("the table was changed during the read transaction").hint("run again").temporary(),
        _ => not_ready(number, fault, &doing.object()).unwrap_or_else(|| other_refusal(fault, doing)),
    }
}

fn denied(error: Error) -> Error {
    error.hint(
        "give the login the right to read: ALTER ROLE db_datareader ADD MEMBER [user] (before 2012: sp_addrolemember)",
    )
}

/// Refusals without a number of SQL Server's: fatal ones, and what PostgreSQL says under Babelfish.
fn other_refusal(fault: &Fault, doing: &Doing<'_>) -> Error {
    let said = fault.to_string();
    let error = |text: &str| Error::new(Kind::Source, format!("{}: {text}", doing.object())).caused_by(said.clone());
    if fault.breaks_connection() {
        Error::new(Kind::Source, lost(doing))
            .hint("the server ended the connection: try again later")
            .caused_by(said)
            .temporary()
    } else if is_postgres_lock(&said) {
        error("the till held a lock for too long").hint("try again later").temporary()
    } else if said.contains("permission denied for ") {
        denied(error("permission denied"))
    } else {
        error("the till refused the statement").hint(
            "the server's own words say why: mend that there, or exclude the table under [tables] in the settings",
        )
    }
}

#[cfg(test)]
mod tests {
    use secrecy::SecretString;

    use super::*;
    use crate::{
        config::{RateLimit, RowReader},
        source::TableSelection,
    };

    fn config() -> TillConfig {
        TillConfig {
            host: "till".into(),
            port: 1433,
            database: "SambaPOS5".into(),
            username: "reader".into(),
            password: SecretString::from("hush"),
            encryption: Encryption::On,
            trust_server_certificate: true,
            ca_file: None,
            connect_timeout: Duration::from_secs(5),
            statement_timeout: Duration::from_secs(60),
            browser_port: 1434,
            reader: RowReader::Auto,
            rate_limit: RateLimit::default(),
            tables: TableSelection::default(),
        }
    }

    fn gone() -> Fault {
        Fault::Lost("gone".into())
    }

    fn reading(table: &TableName, rows: u64) -> Doing<'_> {
        Doing { what: "read table", table: Some(table), rows, patience: Duration::from_secs(60) }
    }

    #[test]
    fn a_connection_lost_half_way_names_the_table_and_the_rows() {
        let table = TableName::dbo("Orders");
        let error = statement_failed(&gone(), &reading(&table, 4096));
        assert_eq!(error.message(), "the connection to the till was lost after 4096 rows of table Orders");
        assert!(error.is_temporary());
        let error = statement_failed(&gone(), &reading(&table, 0));
        assert_eq!(error.message(), "the connection to the till was lost on table Orders, before its first row");
    }

    #[test]
    fn a_stalled_statement_says_how_long_it_was_waited_for() {
        let table = TableName::dbo("Orders");
        let error = statement_failed(&Fault::TimedOut, &reading(&table, 3));
        assert_eq!(error.message(), "cannot read table Orders: the till did not go on within 60 seconds");
        assert!(error.is_temporary());
    }

    #[test]
    fn postgres_words_are_understood() {
        let table = TableName::dbo("Orders");
        let fault = |message: &str| Fault::Server { number: 33_557_097, class: 16, message: message.into() };
        let error = statement_failed(&fault("canceling statement due to lock timeout"), &reading(&table, 0));
        assert!(error.is_temporary() && error.message().contains("a lock"), "{error}");
        let error = statement_failed(&fault("permission denied for table orders"), &reading(&table, 0));
        assert_eq!(error.message(), "cannot read table Orders: permission denied");
    }

    #[test]
    fn sign_in_failures_are_told_apart() {
        let config = config();
        let error = sign_in_failed(&config, "till:1433", Fault::Certificate("self-signed".into()));
        assert_eq!(error.message(), "the certificate of the till at till:1433 is not trusted");
        let error = sign_in_failed(&config, "till:1433", Fault::EncryptionDeclined);
        assert!(error.message().contains("does not offer encryption"));
        assert!(!error.is_temporary());
        let error = sign_in_failed(&config, "till:1433", Fault::TimedOut);
        assert!(error.message().contains("within 5 seconds") && error.is_temporary());
        let error = sign_in_failed(&config, "till:1433", gone());
        assert!(error.message().contains("closed the connection"));
        let error = sign_in_failed(&config, "till:1433", Fault::NotUnderstood("nonsense".into()));
        assert!(error.message().contains("does not answer like SQL Server"));
        let network = Fault::Server { number: 17_830, class: 20, message: "network error".into() };
        let error = sign_in_failed(&config, "till:1433", network);
        assert!(error.message().contains("had a network error during the sign-in") && error.is_temporary());
    }
}
