//! Encryption that the two sides do not agree on, and certificates that are not what they should be.

use std::time::{Duration, Instant};

use tillvault::{
    Error,
    config::{Encryption, RowReader, TillConfig},
    demo::{
        Certificate, Engine, EngineOptions, Server, ServerOptions,
        fault::{BadPacket, Fault, Place, Tamper, When},
    },
    model::table::KeyRange,
    source::sqlserver::SqlServer,
};

use crate::{
    rig::{all_words, reader_of, readers, speaks_plainly, table},
    till::{PASSWORD, fill, read},
};

async fn server(encryption: Encryption, certificate: Certificate) -> Server {
    let orders = table("Orders");
    let engine = Engine::new(std::slice::from_ref(&orders), EngineOptions::default()).unwrap();
    fill(&engine, &orders, 3);
    let options = ServerOptions {
        user: "reader".into(),
        password: PASSWORD.into(),
        encryption,
        certificate,
        ..ServerOptions::default()
    };
    Server::start(engine, options).await.unwrap()
}

/// Signs in and reads a table, with whatever connections that takes.
async fn reads(config: &TillConfig) -> Result<usize, Error> {
    let mut till = SqlServer::connect(config).await?;
    Ok(read(&mut till, &table("Orders"), KeyRange::ALL).await?.num_rows())
}

#[tokio::test]
async fn what_both_sides_want_decides() {
    use Encryption::{Off, On, Required};
    // The server, the settings, and whether that comes together.
    let agree = [
        (Off, Off, true),
        (Off, On, true),
        (Off, Required, false),
        (On, Off, true),
        (On, On, true),
        (On, Required, true),
        (Required, Off, false),
        (Required, On, true),
        (Required, Required, true),
    ];
    for (offered, wanted, comes_together) in agree {
        let server = server(offered, Certificate::SelfSigned).await;
        for reader in readers(&server) {
            let what = format!("server {offered:?}, settings {wanted:?}, {}", reader_of(&reader));
            let config = TillConfig { encryption: wanted, connect_timeout: Duration::from_secs(5), ..reader };
            match reads(&config).await {
                Ok(rows) => assert!(comes_together && rows == 3, "{what}"),
                Err(error) => {
                    assert!(!comes_together, "{what}: {}", all_words(&error));
                    assert!(all_words(&error).contains("encryption"), "{what}: {}", all_words(&error));
                    speaks_plainly(&what, &error);
                }
            }
        }
    }
}

#[tokio::test]
async fn a_certificate_that_is_to_be_checked_is_not_done_without() {
    let server = server(Encryption::Off, Certificate::SelfSigned).await;
    for reader in readers(&server) {
        let what = reader_of(&reader);
        let config = TillConfig { encryption: Encryption::On, trust_server_certificate: false, ..reader };
        let error = reads(&config).await.err().unwrap_or_else(|| panic!("{what}: read in plain text"));
        assert_eq!(error.exit_code(), 1, "{what}: {}", all_words(&error));
        assert!(error.message().contains("does not offer encryption, and its certificate is to be checked"), "{what}");
        assert!(error.next_step().unwrap().contains("trust_server_certificate"), "{what}");
        speaks_plainly(what, &error);
    }
}

#[tokio::test]
async fn certificates_are_what_they_should_be_or_there_is_no_connection() {
    let folder = tempfile::tempdir().unwrap();
    for certificate in [Certificate::SelfSigned, Certificate::ByAuthority, Certificate::OtherHost, Certificate::Expired]
    {
        let server = server(Encryption::On, certificate).await;
        let authority = folder.path().join("authority.pem");
        std::fs::write(&authority, server.certificate().unwrap()).unwrap();
        let stranger = folder.path().join("stranger.pem");
        let other = self::server(Encryption::On, Certificate::ByAuthority).await;
        std::fs::write(&stranger, other.certificate().unwrap()).unwrap();
        for reader in readers(&server) {
            let strict = TillConfig {
                host: "localhost".into(),
                encryption: Encryption::Required,
                trust_server_certificate: false,
                ..reader
            };
            let is_good = matches!(certificate, Certificate::SelfSigned | Certificate::ByAuthority);
            let tries = [
                ("any certificate will do", TillConfig { trust_server_certificate: true, ..strict.clone() }, true),
                ("no authority is named", strict.clone(), false),
                ("another authority is named", TillConfig { ca_file: Some(stranger.clone()), ..strict.clone() }, false),
                ("its authority is named", TillConfig { ca_file: Some(authority.clone()), ..strict.clone() }, is_good),
            ];
            for (how, config, connects) in tries {
                let what = format!("{certificate:?}, {how}, {}", reader_of(&config));
                match reads(&config).await {
                    Ok(rows) => assert!(connects && rows == 3, "{what}"),
                    // An authority of one's own is not known to the fast reader's driver; `auto` takes the slow one then.
                    Err(error) if connects && config.reader == RowReader::Fast => {
                        assert!(error.message().contains("reader = \"fast\""), "{what}: {}", all_words(&error));
                        assert!(error.next_step().unwrap().contains("auto"), "{what}");
                    }
                    Err(error) => {
                        assert!(!connects, "{what}: {}", all_words(&error));
                        assert!(error.message().contains("is not trusted"), "{what}: {}", all_words(&error));
                        assert!(error.next_step().unwrap().contains("ca_file"), "{what}");
                        assert_eq!(error.exit_code(), 1, "{what}");
                        speaks_plainly(&what, &error);
                    }
                }
            }
        }
    }
}

/// What goes wrong before the first statement, and the exit code.
fn signing_in() -> Vec<(&'static str, When, Fault, u8)> {
    let long = Duration::from_secs(60);
    let tamper = |name, when, tamper: Tamper, code| (name, when, Fault::from(tamper), code);
    let error = |name, fault, code| (name, When::Login, fault, code);
    vec![
        tamper("closed at once", When::Prelogin, Tamper::cut_at(0), 75),
        tamper("cut in the greeting", When::Prelogin, Tamper::cut_at(11), 75),
        tamper("silence before the greeting", When::Prelogin, Tamper::stall_at(0, long), 75),
        tamper("silence in the greeting", When::Prelogin, Tamper::stall_at(12, long), 75),
        tamper("noise for a greeting", When::Prelogin, Tamper::edit(Place::Start(0), usize::MAX, [0xEE; 40]), 1),
        tamper("no greeting in the packet", When::Prelogin, Tamper::shorten(Place::Start(0)), 75),
        tamper("a greeting without length", When::Prelogin, Tamper::pack(BadPacket::Length(0)), 1),
        tamper("closed instead of a welcome", When::Login, Tamper::cut_at(0), 75),
        tamper("cut in the welcome", When::Login, Tamper::cut_at(100), 75),
        tamper("closed after the welcome", When::Login, Tamper::cut_at(u64::MAX), 75),
        tamper("silence before the welcome", When::Login, Tamper::stall_at(0, long), 75),
        tamper("silence in the welcome", When::Login, Tamper::stall_at(50, long), 75),
        tamper("noise for a welcome", When::Login, Tamper::edit(Place::Start(0), usize::MAX, [0xEE; 90]), 1),
        tamper(UNWELCOME, When::Login, Tamper::edit(Place::Start(0), usize::MAX, DONE), 1),
        error("silence at sign-in", Fault::Stall(long), 75),
        error("18456", Fault::login_failed("reader"), 12),
        error("4060", Fault::Error(4060, "Cannot open database \"SambaPOS5\" requested by the login.".into()), 1),
        error("17142", Fault::paused(), 75),
        error("18401", Fault::Error(18_401, "Server is in script upgrade mode.".into()), 75),
        error("701", Fault::out_of_memory(), 75),
        error("17830", Fault::DropAfter(0), 75),
    ]
}

const UNWELCOME: &str = "nothing but DONE";
const DONE: [u8; 13] = [0xFD, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

#[tokio::test]
async fn every_way_a_sign_in_fails_has_its_words_and_its_exit_code() {
    let server = server(Encryption::Off, Certificate::SelfSigned).await;
    for reader in readers(&server) {
        let config = TillConfig { connect_timeout: Duration::from_millis(1000), ..reader };
        for (name, when, fault, code) in signing_in() {
            if config.reader == RowReader::Tiberius && name != UNWELCOME {
                // The first connection is made by the same driver, whichever reads the rows: it meets all of these.
                continue;
            }
            let what = format!("{name}, {}", reader_of(&config));
            server.faults().arm(when, fault, usize::MAX);
            let start = Instant::now();
            let outcome = reads(&config).await;
            server.faults().clear();
            if name == UNWELCOME && config.reader == RowReader::Tiberius {
                // Its driver takes DONE for a welcome. The till answers all the same, and with all its rows.
                assert_eq!(outcome.unwrap_or_else(|error| panic!("{what}: {}", all_words(&error))), 3, "{what}");
                continue;
            }
            let error = outcome.err().unwrap_or_else(|| panic!("{what}: no error"));
            assert!(start.elapsed() < Duration::from_secs(8), "{what}: took {:?}", start.elapsed());
            assert_eq!(error.exit_code(), code, "{what}: {}", all_words(&error));
            let port = config.port.to_string();
            let place = [port.as_str(), "the till"];
            assert!(place.iter().any(|word| error.message().contains(*word)), "{what}: {}", all_words(&error));
            speaks_plainly(&what, &error);
            assert_eq!(reads(&config).await.unwrap(), 3, "{what}, the next run");
        }
    }
}

#[tokio::test]
async fn a_handshake_that_breaks_or_hangs_is_told() {
    let server = server(Encryption::Required, Certificate::SelfSigned).await;
    for reader in readers(&server) {
        let config =
            TillConfig { encryption: Encryption::Required, connect_timeout: Duration::from_millis(1500), ..reader };
        for fault in [Fault::DropAfter(0), Fault::Stall(Duration::from_secs(60))] {
            let what = format!("{fault:?}, {}", reader_of(&config));
            server.faults().arm(When::Handshake, fault, usize::MAX);
            let error = reads(&config).await.unwrap_err();
            server.faults().clear();
            assert_eq!(error.exit_code(), 75, "{what}: {}", all_words(&error));
            speaks_plainly(&what, &error);
            assert_eq!(reads(&config).await.unwrap(), 3, "{what}, the next run");
        }
    }
}
