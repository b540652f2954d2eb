//! Who the server is, in words: version, edition, state of the database, how it compares text, how it is read.

use jiff::{Timestamp, civil::date, tz::TimeZone};

use super::{Check, Part, on};
use crate::{
    config::{RowReader, TillConfig},
    error::{Error, Result},
    ops::doctor::{Verdict, words},
    source::sqlserver::{
        examine::{APPLICATION, DatabaseFacts, Examination, OtherDatabase, ServerFacts, StateFacts},
        queries::examine as statements,
    },
};

/// Limit of the data files of an Express edition since 2008 R2.
const EXPRESS_LIMIT: u64 = 10 << 30;
/// A way there and back that takes longer makes runs slow.
const SLOW: std::time::Duration = std::time::Duration::from_millis(50);

/// Under which name we are signed in.
pub(super) fn login(found: &Examination) -> Check {
    on("login", &found.who, |(login, user)| {
        let as_user =
            if login.eq_ignore_ascii_case(user) { String::new() } else { format!(", in the database as {user}") };
        Check::ok(Part::Till, "login", format!("signed in as {login}{as_user}"))
    })
}

/// The database and its state.
pub(super) fn state(settings: &TillConfig, found: &Examination) -> Check {
    let name = found.database.as_ref().map_or(settings.database.as_str(), |database| database.name.as_str());
    on("database", &found.state, |state| opened(name, state))
}

fn opened(name: &str, state: &StateFacts) -> Check {
    let is = |word: &str, wanted: &str| word.eq_ignore_ascii_case(wanted);
    let warning = |message: String, fix: &str| Check::warning(Part::Till, "database", message, fix);
    if !is(&state.status, "ONLINE") {
        return warning(
            format!("{name} is open, but its state is {}", state.status),
            "Look at it in SQL Server Management Studio.",
        );
    }
    if is(&state.user_access, "SINGLE_USER") {
        let message = format!("{name} is in single-user mode: SambaPOS and tillvault keep each other out");
        return warning(message, "End the maintenance that needs this, then run there as an administrator:")
            .with_statements(vec![statements::open_for_all(name)]);
    }
    if is(&state.user_access, "RESTRICTED_USER") {
        let message = format!("{name} lets in administrators only; tillvault got in, so it has too many rights");
        return warning(message, "End the maintenance that needs this, then run there as an administrator:")
            .with_statements(vec![statements::open_for_all(name)]);
    }
    if is(&state.updateability, "READ_ONLY") {
        let message = format!("{name} is read-only: SambaPOS cannot sell with it");
        return warning(message, "Is it the database SambaPOS works with, or a copy? Check sambapos_db_name.");
    }
    Check::ok(Part::Till, "database", format!("{name} is online"))
}

/// The database of the settings cannot be opened; `others` is what the server has.
pub(super) fn database_closed(settings: &TillConfig, error: &Error, others: &[OtherDatabase]) -> Check {
    let TillConfig { database, username, .. } = settings;
    let check = |message: String, fix: &str| {
        let check = Check::new(Part::Till, "database", Verdict::Failed, message).with_fix(fix);
        Check { exit_code: error.exit_code(), ..check }
    };
    let Some(it) = others.iter().find(|other| other.name.eq_ignore_ascii_case(database)) else {
        let names: Vec<&str> = others.iter().map(|other| other.name.as_str()).collect();
        let message = match names.as_slice() {
            [] => format!("there is no database {database} that this login may see"),
            _ => format!("there is no database {database} on this server; it has {}", words::names(&names)),
        };
        return check(
            message,
            "Set sambapos_db_name to the database that SambaPOS works with (SambaPOS: Manage, Settings, Local Settings, Connection String).",
        );
    };
    let run = "Run there as an administrator:";
    match it.state.as_str() {
        "ONLINE" => check(format!("the login \"{username}\" may not open the database {}", it.name), run)
            .with_statements(statements::let_in(username, &it.name)),
        "OFFLINE" => check(format!("the database {} was taken offline", it.name), run)
            .with_statements(vec![statements::bring_online(&it.name)]),
        "RESTORING" | "RECOVERING" => check(
            format!("the database {} is being restored", it.name),
            "Wait until that is done, then look again. A restore that somebody left half-done is ended in SQL Server Management Studio.",
        ),
        state => check(
            format!("the database {} is in the state {state}", it.name),
            "Look at it in SQL Server Management Studio now: it may be damaged. The archive keeps what was read until then.",
        ),
    }
}

/// Product, edition and their limits.
pub(super) fn version(found: &Examination, now: Timestamp) -> Vec<Check> {
    let version = on("version", &found.server, |server| product(server, now));
    let edition = on("edition", &found.server, |server| {
        let local = found.local_db.as_ref().is_ok_and(|local| *local);
        edition(server, local, found.file_bytes.as_ref().ok().copied())
    });
    let compatibility = on("compatibility", &found.database, |database| {
        Check::ok(
            Part::Till,
            "compatibility",
            format!("the database behaves as {} (level {})", level(database.compatibility), database.compatibility),
        )
    });
    vec![version, edition, compatibility]
}

fn product(server: &ServerFacts, now: Timestamp) -> Check {
    let check = |message: String| Check::ok(Part::Till, "version", message);
    if server.version_text.contains("Babelfish") {
        return check(format!("Babelfish for PostgreSQL, which answers like SQL Server {}", server.version));
    }
    let mut parts = server.version.split('.').map(|part| part.parse::<u32>().unwrap_or_default());
    let (major, minor) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let (name, support) = match (major, minor) {
        (..=9, _) => ("SQL Server 2005 or older", None),
        (10, 50) => ("SQL Server 2008 R2", None),
        (10, _) => ("SQL Server 2008", None),
        (11, _) => ("SQL Server 2012", Some(date(2022, 7, 12))),
        (12, _) => ("SQL Server 2014", Some(date(2024, 7, 9))),
        (13, _) => ("SQL Server 2016", Some(date(2026, 7, 14))),
        (14, _) => ("SQL Server 2017", Some(date(2027, 10, 12))),
        (15, _) => ("SQL Server 2019", Some(date(2030, 1, 8))),
        (16, _) => ("SQL Server 2022", Some(date(2033, 1, 11))),
        _ => return check(format!("SQL Server, version {}: newer than this tillvault", server.version)),
    };
    let Some(support) = support else {
        return Check::warning(
            Part::Till,
            "version",
            format!("{name} ({}) is older than SQL Server 2012: tillvault was not made for it", server.version),
            "Take a first snapshot and see whether it ends well; better, let whoever looks after SambaPOS move it to SQL Server 2019 or newer.",
        );
    };
    let message = format!("{name} ({})", server.version);
    if now.to_zoned(TimeZone::UTC).date() > support {
        return check(format!(
            "{message}; Microsoft has given no security updates for it since {support}, tillvault reads it all the same"
        ));
    }
    check(message)
}

fn level(level: i64) -> &'static str {
    match level {
        80 => "SQL Server 2000",
        90 => "SQL Server 2005",
        100 => "SQL Server 2008",
        110 => "SQL Server 2012",
        120 => "SQL Server 2014",
        130 => "SQL Server 2016",
        140 => "SQL Server 2017",
        150 => "SQL Server 2019",
        160 => "SQL Server 2022",
        _ => "a version of its own",
    }
}

fn edition(server: &ServerFacts, local_db: bool, file_bytes: Option<u64>) -> Check {
    let name = if local_db { format!("LocalDB ({})", server.edition) } else { server.edition.clone() };
    if !server.edition.contains("Express") {
        return Check::ok(
            Part::Till,
            "edition",
            format!("{name}: no limit on the database's size that a till could reach"),
        );
    }
    let Some(bytes) = file_bytes else {
        return Check::ok(
            Part::Till,
            "edition",
            format!("{name}: a database may grow to 10 GB; how large this one is, is not known"),
        );
    };
    let percent = bytes.saturating_mul(100) / EXPRESS_LIMIT;
    let message = format!("{name}: a database may grow to 10 GB; this one has {}, {percent} %", words::bytes(bytes));
    if percent >= 80 {
        let fix = "When it is full, SambaPOS cannot save tickets. Once the archive is known to be whole (`tillvault check --read-data`), \
                   old trade may be cleared from the till; reports go on from the archive.";
        return Check::warning(Part::Till, "edition", message, fix);
    }
    Check::ok(Part::Till, "edition", message)
}

/// How text compares.
pub(super) fn collation(found: &Examination) -> Check {
    on("collation", &found.database, |database| {
        Check::ok(Part::Till, "collation", format!("{}: {}", database.collation, compared(&database.collation)))
    })
}

/// What the name of a collation says of it.
fn compared(collation: &str) -> String {
    let upper = collation.to_uppercase();
    let mut traits = Vec::new();
    if upper.contains("_CS") || upper.contains("_BIN") {
        traits.push("upper and lower case are different, also in names of tables");
    } else {
        traits.push("upper and lower case are the same");
    }
    if upper.contains("TURKISH") || upper.contains("AZERI") {
        traits.push("dotted and dotless i are different letters");
    }
    traits.join("; ")
}

/// Whether a run sees one moment.
pub(super) fn consistency(found: &Examination) -> Check {
    on("consistency", &found.database, isolation)
}

fn isolation(database: &DatabaseFacts) -> Check {
    let ok = |message: &str| Check::ok(Part::Till, "consistency", message);
    if database.snapshot_isolation == 1 {
        return ok("snapshot isolation is on: a run sees the till at one moment, and sales go on meanwhile");
    }
    let waits = if database.read_committed_snapshot {
        "sales and reading do not wait for each other"
    } else {
        "reading may wait a moment for a sale that is being saved"
    };
    let check = ok(&format!(
        "snapshot isolation is off: tables are read one after the other, and what was sold meanwhile is read again; {waits}"
    ));
    check
        .with_fix(
            "This works. Better is one moment for all tables; an administrator may allow it, while nobody is selling:",
        )
        .with_statements(vec![statements::allow_snapshots(&database.name)])
}

/// Whether the server can say which rows changed.
pub(super) fn quick(found: &Examination) -> Check {
    on("quick", &found.checksums, |checksums| {
        let message = match checksums {
            Some(checksums) => format!("quick snapshots are possible: the server computes checksums ({checksums})"),
            None => "quick snapshots are not possible, the server lacks the functions: every run reads everything"
                .to_owned(),
        };
        Check::ok(Part::Till, "quick", message)
    })
}

/// Which driver reads the rows; `heard` is what the connection said of it.
pub(super) fn reader(settings: &TillConfig, tried: &Result<RowReader>, heard: &[String]) -> Check {
    let ok = |message: &str| Check::ok(Part::Till, "reader", message);
    match tried {
        Err(error) => Check::failed(Part::Till, "reader", error),
        Ok(RowReader::Fast | RowReader::Auto) => ok("rows are read by the fast reader (mssql-tds)"),
        Ok(RowReader::Tiberius) => match heard.first() {
            Some(words) => ok(words),
            None if settings.reader == RowReader::Tiberius => {
                ok("rows are read by tiberius, as the settings ask: a few times slower than the fast reader")
            }
            None => ok(
                "rows are read by tiberius, which alone can check the certificate with a ca_file; a few times slower",
            ),
        },
    }
}

/// The connection, as both sides see it.
pub(super) fn connection(found: &Examination) -> Check {
    on("connection", &found.round_trip, |trip| {
        let far = if *trip > SLOW { ": a slow network, runs will take longer" } else { "" };
        let message = format!(
            "a question and its answer take {:.1} ms{far}; the server's administrator sees the program as \"{APPLICATION}\"",
            trip.as_secs_f64() * 1000.0
        );
        Check::ok(Part::Till, "connection", message)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(version: &str, edition: &str) -> ServerFacts {
        ServerFacts {
            name: "TILL".into(),
            version: version.into(),
            edition: edition.into(),
            version_text: "Microsoft SQL Server".into(),
        }
    }

    fn day(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn versions_are_told_in_words_with_the_end_of_their_support() {
        let told = |version: &str| product(&server(version, "Express Edition"), day("2026-10-01T00:00:00Z"));
        assert_eq!(told("14.0.1000.169").message, "SQL Server 2017 (14.0.1000.169)");
        assert_eq!(
            told("13.0.5026.0").message,
            "SQL Server 2016 (13.0.5026.0); Microsoft has given no security updates for it since 2026-07-14, tillvault reads it all the same"
        );
        let old = told("10.50.6000.34");
        assert_eq!(old.verdict, Verdict::Warning);
        assert!(old.message.starts_with("SQL Server 2008 R2 (10.50.6000.34) is older than SQL Server 2012"), "{old:?}");
        assert!(told("19.0.1").message.contains("newer than this tillvault"));
        let babelfish =
            ServerFacts { version_text: "Babelfish for PostgreSQL 4.4".into(), ..server("12.0.2000.8", "Standard") };
        assert!(product(&babelfish, day("2026-10-01T00:00:00Z")).message.starts_with("Babelfish for PostgreSQL"));
    }

    #[test]
    fn an_express_database_is_watched_before_it_is_full() {
        let express = server("14.0", "Express Edition (64-bit)");
        assert_eq!(edition(&express, false, Some(2 << 30)).verdict, Verdict::Ok);
        let full = edition(&express, false, Some(9 << 30));
        assert_eq!(full.verdict, Verdict::Warning);
        assert!(full.message.ends_with("this one has 9.0 GB, 90 %"), "{full:?}");
        assert_eq!(edition(&server("14.0", "Standard Edition"), false, Some(90 << 30)).verdict, Verdict::Ok);
        assert!(edition(&express, true, None).message.starts_with("LocalDB"));
    }

    #[test]
    fn a_database_that_is_not_open_to_all_is_told() {
        let state = |status: &str, access: &str, update: &str| StateFacts {
            status: status.into(),
            user_access: access.into(),
            updateability: update.into(),
        };
        assert_eq!(opened("S", &state("ONLINE", "MULTI_USER", "READ_WRITE")).verdict, Verdict::Ok);
        let single = opened("S", &state("ONLINE", "SINGLE_USER", "READ_WRITE"));
        assert_eq!(single.statements, ["ALTER DATABASE [S] SET MULTI_USER;"]);
        assert_eq!(opened("S", &state("ONLINE", "MULTI_USER", "READ_ONLY")).verdict, Verdict::Warning);
        assert_eq!(opened("S", &state("EMERGENCY", "MULTI_USER", "READ_ONLY")).verdict, Verdict::Warning);
    }

    #[test]
    fn collations_are_told_apart() {
        let (same, different) = ("upper and lower case are the same", "upper and lower case are different");
        for (collation, case, dotless) in [
            ("SQL_Latin1_General_CP1_CI_AS", same, false),
            ("Latin1_General_CS_AS", different, false),
            ("Latin1_General_100_BIN2", different, false),
            ("Turkish_CI_AS", same, true),
            ("turkish_cs_as", different, true),
            ("Azeri_Latin_100_CI_AS", same, true),
        ] {
            let told = compared(collation);
            assert!(told.starts_with(case), "{collation}: {told}");
            assert_eq!(told.contains("dotless"), dotless, "{collation}: {told}");
        }
    }

    #[test]
    fn without_snapshot_isolation_the_statement_that_allows_it_is_shown() {
        let told = |snapshot_isolation, read_committed_snapshot| {
            isolation(&DatabaseFacts {
                name: "S".into(),
                compatibility: 140,
                collation: "Turkish_CI_AS".into(),
                snapshot_isolation,
                read_committed_snapshot,
            })
        };
        assert!(told(1, false).statements.is_empty());
        assert_eq!(told(0, false).statements, ["ALTER DATABASE [S] SET ALLOW_SNAPSHOT_ISOLATION ON;"]);
        assert!(told(0, false).message.contains("may wait a moment"));
        assert!(told(0, true).message.contains("do not wait for each other"));
    }
}
