//! What is wrong with a till that can be reached.

use jiff::{Span, tz::TimeZone};
use tillvault::demo::{
    About,
    fault::{Fault, When},
};

use crate::{
    rig::{Said, about, change, site},
    support::TILL_PASSWORD,
};

fn now() -> jiff::civil::DateTime {
    jiff::Timestamp::now().to_zoned(TimeZone::UTC).datetime()
}

#[test]
fn a_till_that_is_fine_is_told_so_and_nothing_is_left_open() {
    let site = site(about(About::default()));
    site.till.faults().take_statements();
    let said = Said::by(&site, &["--till"]);
    assert_eq!(said.not_ok(), Vec::<String>::new(), "{:#?}", said.summary);
    assert_eq!(said.code, 0);
    said.has("login", "ok", &["signed in as tillvault"]);
    said.has("reading", "ok", &["all 83 tables"]);
    said.has("rights", "ok", &["may read and nothing more"]);
    said.has("secrets", "ok", &["Users.PinCode"]);
    said.has("sambapos", "ok", &["version 5"]);
    said.has("edition", "ok", &["10 GB", "72 MB, 0 %"]);
    said.has("consistency", "ok", &["one moment"]);
    said.has("quick", "ok", &["quick snapshots are possible", "CHECKSUM"]);
    said.has("encryption", "ok", &["nothing is encrypted"]);
    said.has("size", "ok", &["the largest:", "rows)"]);
    // It asks, and never tries: no statement that could change anything is sent.
    // The session's own settings, and a row that says that they are made.
    for statement in site.till.faults().take_statements() {
        let is_setting = statement.starts_with("SET ") && statement.ends_with("; SELECT 4711 AS done");
        assert!(statement.trim_start().starts_with("SELECT") || is_setting, "{statement}");
    }
}

#[test]
fn the_checks_have_stable_names() {
    let site = site(about(About::default()));
    let said = Said::by(&site, &[]);
    assert_eq!(
        said.names(),
        [
            "file",
            "secrets",
            "host",
            "port",
            "encryption",
            "login",
            "database",
            "version",
            "edition",
            "compatibility",
            "collation",
            "consistency",
            "connection",
            "clock",
            "sambapos",
            "activity",
            "tables",
            "secrets",
            "reading",
            "rights",
            "quick",
            "reader",
            "size",
            "first_run",
            "folder",
            "snapshots",
            "space",
            "content",
            "copy",
            "abilities",
            "loaded"
        ]
    );
}

#[test]
fn a_wrong_password_is_told_once_and_not_tried_again() {
    let site = site(about(About::default()));
    std::fs::write(site.path("till.password"), "wrong").unwrap();
    let said = Said::by(&site, &[]);
    said.has("port", "ok", &[]).has("login", "failed", &["refused the login \"tillvault\""]);
    assert_eq!(said.code, 12);
    assert!(said.names().contains(&"copy"), "the other parts are looked at all the same");
    assert_eq!(said.summary["first"]["name"], "login");
}

#[test]
fn a_database_that_cannot_be_opened_is_told_apart_by_why() {
    let wrong = site(about(About::default()));
    change(&wrong, "'SambaPOS5'", "'SambaPOS4'");
    let said = Said::by(&wrong, &["--till"]);
    said.has("login", "ok", &[]).has("database", "failed", &["no database SambaPOS4", "it has SambaPOS5"]);
    assert_eq!(said.code, 1);

    let closed = site(about(About { lets_in: false, ..About::default() }));
    let said = Said::by(&closed, &["--till"]);
    said.has("database", "failed", &["may not open the database SambaPOS5"]);
    assert_eq!(
        said.statements("database"),
        [
            "USE [SambaPOS5];",
            "CREATE USER [tillvault] FOR LOGIN [tillvault];",
            "ALTER ROLE [db_datareader] ADD MEMBER [tillvault];"
        ]
    );

    let restoring = site(about(About { state: "RESTORING".into(), ..About::default() }));
    Said::by(&restoring, &["--till"]).has("database", "failed", &["is being restored"]);
    let offline = site(about(About { state: "OFFLINE".into(), ..About::default() }));
    let said = Said::by(&offline, &["--till"]);
    assert_eq!(said.statements("database"), ["ALTER DATABASE [SambaPOS5] SET ONLINE;"]);
}

#[test]
fn a_database_that_is_not_open_to_all_is_a_warning() {
    let single = site(about(About { user_access: "SINGLE_USER".into(), ..About::default() }));
    let said = Said::by(&single, &["--till"]);
    said.has("database", "warning", &["single-user"]);
    assert_eq!(said.code, 3);
    let copy = site(about(About { read_only: true, ..About::default() }));
    Said::by(&copy, &["--till"]).has("database", "warning", &["read-only"]);
}

#[test]
fn too_many_rights_are_told_with_the_login_that_would_do() {
    for (about_rights, words) in [
        (About { server_roles: vec!["sysadmin".into()], ..About::default() }, "server role sysadmin"),
        (About { database_roles: vec!["db_owner".into()], ..About::default() }, "database role db_owner"),
        (About { database_roles: vec!["db_datawriter".into()], ..About::default() }, "db_datawriter"),
        (About { rights: vec!["UPDATE".into()], ..About::default() }, "on the whole database UPDATE"),
    ] {
        let site = site(about(about_rights));
        let said = Said::by(&site, &["--till"]);
        said.has("rights", "warning", &["more rights than reading needs", words]);
        assert_eq!(said.not_ok(), ["rights"]);
        assert_eq!(said.code, 3);
        let statements = said.statements("rights");
        assert_eq!(statements[0], "CREATE LOGIN [tillvault_reader] WITH PASSWORD = N'choose a long one';");
        assert_eq!(statements[3], "ALTER ROLE [db_datareader] ADD MEMBER [tillvault_reader];");
    }
}

#[test]
fn a_table_or_column_that_may_not_be_read_is_named() {
    let site = site(about(About {
        unreadable: vec!["Payments".into()],
        unreadable_columns: vec!["Orders.Price".into(), "Users.PinCode".into()],
        ..About::default()
    }));
    let said = Said::by(&site, &["--till"]);
    said.has("reading", "failed", &["1 table may not be read: Payments", "columns of Orders may not be read: Price"]);
    let statements = said.statements("reading");
    assert!(statements.contains(&"REVOKE SELECT ON [dbo].[Payments] FROM [tillvault];".to_owned()), "{statements:?}");
    assert!(!format!("{}", said.check("reading")).contains("PinCode"), "what is left out anyway needs no right");
    assert_eq!(said.code, 1);
}

#[test]
fn without_snapshot_isolation_it_says_what_that_means() {
    let mut options = about(About::default());
    options.engine.allow_snapshot_isolation = false;
    let site = site(options);
    let said = Said::by(&site, &["--till"]);
    said.has("consistency", "ok", &["is off", "read again", "may wait a moment"]);
    assert_eq!(said.statements("consistency"), ["ALTER DATABASE [SambaPOS5] SET ALLOW_SNAPSHOT_ISOLATION ON;"]);
    assert_eq!(said.code, 0);
}

#[test]
fn clocks_are_compared_in_the_zone_of_the_site() {
    let site = site(about(About::default()));
    let ahead = now().saturating_add(Span::new().hours(1));
    // Its clock in UTC is an hour ahead, too: it was set wrong.
    site.till.engine().set_clock(ahead);
    Said::by(&site, &["--till"]).has("clock", "warning", &["1 hour ahead of this machine's (UTC)"]);
    site.till.engine().set_clock(now().saturating_sub(Span::new().minutes(5)));
    Said::by(&site, &["--till"]).has("clock", "warning", &["behind this machine's"]);

    let mut options = about(About::default());
    options.engine.about.seconds_east = Some(3600);
    let summer = crate::rig::site(options);
    summer.till.engine().set_clock(ahead);
    Said::by(&summer, &["--till"]).has("clock", "warning", &["is right, but", "another zone: 1 hour ahead of UTC"]);
    change(&summer, "'UTC'", "'Etc/GMT-1'");
    summer.till.engine().set_clock(now().saturating_add(Span::new().hours(1)));
    Said::by(&summer, &["--till"]).has("clock", "ok", &[]);
}

#[test]
fn another_database_than_sambapos_is_told() {
    let site = site(about(About::default()));
    change(&site, "[[remote]]", "[tables]\nexclude = ['audit*', 'Tasks']\n[[remote]]");
    let said = Said::by(&site, &["--till"]);
    said.has("tables", "warning", &["83 tables found, 82 taken", "no table is meant by audit*"]);

    let mut options = about(About { missing_views: vec![], ..About::default() });
    options.engine.about.unreadable = vec![];
    let other = crate::rig::site(options);
    let drop = "DELETE FROM sys.\"columns\" WHERE object_id IN (SELECT object_id FROM sys.\"tables\" WHERE name = 'WorkPeriods'); \
                DELETE FROM sys.\"tables\" WHERE name = 'WorkPeriods'";
    other.till.engine().connection().unwrap().execute_batch(drop).unwrap();
    Said::by(&other, &["--till"]).has("sambapos", "warning", &["are missing: WorkPeriods"]);
}

#[test]
fn the_reader_is_tried_and_named() {
    let site = site(about(About::default()));
    Said::by(&site, &["--till"]).has("reader", "ok", &["fast reader"]);
    change(&site, "encryption = 'off'", "encryption = 'off'\nreader = 'tiberius'");
    Said::by(&site, &["--till"]).has("reader", "ok", &["tiberius, as the settings ask"]);
}

#[test]
fn a_first_run_is_estimated_from_a_small_read() {
    let mut options = about(About::default());
    (options.days, options.tickets_per_day) = (15, 40);
    let site = site(options);
    site.till.faults().take_statements();
    let said = Said::by(&site, &["--till"]);
    said.has("first_run", "ok", &["a full run takes about", "rows a second", "the archive will begin with roughly"]);
    let pages = site.till.faults().take_statements();
    let pages = pages.iter().filter(|sql| sql.contains("TOP (") && sql.contains("ORDER BY")).count();
    assert!((2..200).contains(&pages), "{pages}");
    // A table that cannot be read makes it unknown, and nothing else.
    site.till.faults().arm(When::Text("top (512)".into()), Fault::permission_denied("SambaPOS5", "it"), 9);
    let said = Said::by(&site, &["--till"]);
    said.has("first_run", "unknown", &["cannot be estimated"]);
    assert_eq!(said.code, 0);
}

#[test]
fn an_old_or_full_server_is_told() {
    let mut options = about(About { file_pages: 1_250_000, ..About::default() });
    options.engine.version = "10.50.6000.34".into();
    let site = site(options);
    let said = Said::by(&site, &["--till"]);
    said.has("version", "warning", &["SQL Server 2008 R2", "older than SQL Server 2012"]);
    said.has("edition", "warning", &["95 %"]);
    assert_eq!(said.code, 3);
}

/// Babelfish lacks functions and views: each costs its own answer and nothing else.
#[test]
fn a_server_that_lacks_functions_answers_the_rest() {
    let mut options = about(About {
        version_text: Some("Babelfish for PostgreSQL with SQL Server Compatibility - 12.0.2000.8".into()),
        missing_views: ["allocation_units", "database_files", "partitions"].map(String::from).to_vec(),
        ..About::default()
    });
    options.engine.version = "12.0.2000.8".into();
    options.engine.missing_functions =
        ["IS_SRVROLEMEMBER", "HAS_PERMS_BY_NAME", "DATABASEPROPERTYEX", "SYSUTCDATETIME", "HASHBYTES"]
            .map(String::from)
            .to_vec();
    let site = site(options);
    let said = Said::by(&site, &["--till"]);
    said.has("version", "ok", &["Babelfish for PostgreSQL"]);
    said.has("database", "unknown", &["DATABASEPROPERTYEX"]);
    said.has("reading", "unknown", &["HAS_PERMS_BY_NAME"]);
    said.has("rights", "unknown", &["not known whether tillvault may do more"]);
    said.has("size", "unknown", &["sys.partitions"]);
    said.has("quick", "ok", &["not possible"]);
    said.has("clock", "ok", &[]).has("login", "ok", &[]).has("tables", "ok", &["83 tables"]);
    assert_eq!(said.code, 0, "{:?}", said.not_ok());
}

/// What a question's text holds, and the check that rests on it alone.
const QUESTIONS: [(&str, &str); 8] = [
    ("has_perms_by_name(n'[' + cast(replace(", "reading"),
    ("is_srvrolemember", "rights"),
    ("is_read_committed_snapshot_on", "consistency"),
    ("used_pages", "size"),
    ("sysdatetime", "clock"),
    ("top (1) convert", "activity"),
    ("hashbytes", "quick"),
    ("suser_sname() as nvarchar(256)) as login_name, cast(user_name", "login"),
];

/// Whatever single question fails, the others are answered.
#[test]
fn every_question_stands_alone() {
    let site = site(about(About::default()));
    site.till.engine().freeze();
    for (text, name) in QUESTIONS {
        site.till.faults().clear();
        site.till.faults().arm(When::Text(text.into()), Fault::permission_denied("SambaPOS5", "it"), 1);
        let said = Said::by(&site, &["--till"]);
        assert!(site.till.faults().are_spent(), "{text} was not asked");
        assert_eq!(said.code, 0, "{text}: {:?}", said.not_ok());
        assert!(said.names().len() >= 18, "{text}: {:?}", said.names());
        if name != "size" {
            said.has(name, "unknown", &["permission was denied"]);
        }
    }
}

/// Whatever single question breaks the connection, the others are answered.
#[test]
fn every_question_may_break_the_connection() {
    let site = site(about(About::default()));
    site.till.engine().freeze();
    for (text, _) in QUESTIONS {
        site.till.faults().arm(When::Text(text.into()), Fault::killed(), 1);
        let said = Said::by(&site, &["--till"]);
        assert!(site.till.faults().are_spent(), "{text} was not asked");
        assert_eq!(said.code, 0, "{text}, killed: {:?}", said.not_ok());
    }
}

#[test]
fn no_secret_is_told() {
    let site = site(about(About::default()));
    for arguments in [&["doctor", "-vv"][..], &["doctor", "--json"]] {
        let ran = site.run(arguments);
        assert!(!format!("{}{}", ran.stdout, ran.stderr).contains(TILL_PASSWORD));
    }
}
