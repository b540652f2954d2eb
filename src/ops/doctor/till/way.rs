//! The way to the till up to the sign-in: name, SQL Browser, port, encryption.

use super::{Check, Part, failed};
use crate::{
    config::{Encryption, TillConfig},
    error::Error,
    ops::doctor::Verdict,
    source::sqlserver::examine::{Offer, Reach},
};

/// The UDP port on which SQL Browser listens, always.
const BROWSER_PORT: u16 = 1434;
const WHERE: &str = "SQL Server Configuration Manager";

/// Name, SQL Browser and port.
pub(super) fn checks(settings: &TillConfig, reach: &Reach) -> Vec<Check> {
    let mut checks = vec![match &reach.addresses {
        Ok(addresses) => {
            let list: Vec<String> = addresses.iter().map(ToString::to_string).collect();
            let message = match list.as_slice() {
                [one] if *one == reach.host => format!("{one}, an address: no name to look up"),
                _ => format!("{} is {}", reach.host, list.join(", ")),
            };
            Check::ok(Part::Till, "host", message)
        }
        Err(error) => failed("host", error),
    }];
    if let (Some(instance), Some(answer)) = (&reach.instance, &reach.browser) {
        checks.push(match answer {
            Ok(port) => Check::ok(Part::Till, "browser", format!("SQL Browser says that {instance} is on port {port}")),
            Err(error) => failed("browser", error).with_fix(browser_fix(settings, error)),
        });
    }
    match &reach.tcp {
        Some(Ok(address)) => {
            checks.push(Check::ok(Part::Till, "port", format!("port {} takes connections", address.port())));
        }
        Some(Err(error)) => checks.push(failed("port", error).with_fix(port_fix(settings, error))),
        None => {}
    }
    checks
}

/// Whether a sign-in is worth trying.
pub(super) fn is_open(checks: &[Check], reach: &Reach) -> bool {
    checks.iter().all(|check| check.verdict != Verdict::Failed) && matches!(reach.tcp, Some(Ok(_)))
}

fn browser_fix(settings: &TillConfig, error: &Error) -> String {
    let other = if settings.browser_port == BROWSER_PORT {
        String::new()
    } else {
        format!(" (browser_port of the settings; SQL Browser itself is always on {BROWSER_PORT})")
    };
    let known = error.next_step().filter(|hint| hint.starts_with("SQL Server Browser there knows"));
    match known {
        Some(known) => format!("Set sambapos_db_host to HOST\\INSTANCE with the right instance. {known}."),
        None if !error.is_temporary() => format!(
            "On the till's PC open {WHERE}, SQL Server Network Configuration, Protocols for the instance, enable TCP/IP, \
             and restart the instance under SQL Server Services."
        ),
        None => format!(
            "On the till's PC open {WHERE}, SQL Server Services, set \"SQL Server Browser\" to start automatically and start it; \
             then let UDP port {} through Windows Firewall{other}. Or go without it: give the instance a fixed port (Protocols for the \
             instance, TCP/IP, IP Addresses, IPAll, TCP Port), and set sambapos_db_host to the host alone and sambapos_db_port.",
            settings.browser_port
        ),
    }
}

fn port_fix(settings: &TillConfig, error: &Error) -> String {
    let refused = std::error::Error::source(error)
        .and_then(|cause| cause.downcast_ref::<std::io::Error>())
        .is_some_and(|cause| cause.kind() == std::io::ErrorKind::ConnectionRefused);
    if refused {
        format!(
            "The PC answers, but nothing listens there. On it open {WHERE}: is SQL Server running (SQL Server Services), is TCP/IP \
             enabled (SQL Server Network Configuration, Protocols), and which TCP Port stands under TCP/IP, IP Addresses, IPAll? \
             SQL Server Express has TCP/IP switched off at first, and its instances have ports of their own: set \
             sambapos_db_host = 'HOST\\INSTANCE'."
        )
    } else {
        format!(
            "Is the till's PC on, and in this network? If it is, let TCP port {} through Windows Firewall there (Windows Defender \
             Firewall, Inbound Rules, New Rule, Port).",
            settings.port
        )
    }
}

/// What the server said first: is it SQL Server, and what becomes of encryption. `signed_in`: the sign-in went well after it.
pub(super) fn greeting(settings: &TillConfig, reach: &Reach, signed_in: bool) -> Option<Check> {
    let greeting = match reach.greeting.as_ref()? {
        Ok(greeting) => greeting,
        // Who lets us in is SQL Server, however it says hello.
        Err(_) if signed_in => {
            return Some(Check::unknown(
                Part::Till,
                "encryption",
                "not known: the server's first words were not understood",
            ));
        }
        Err(error) => return Some(failed("port", error)),
    };
    Some(encryption(settings, greeting.encryption))
}

fn encryption(settings: &TillConfig, offer: Offer) -> Check {
    let ok = |message: &str| Check::ok(Part::Till, "encryption", message);
    let failed =
        |message: &str, fix: &str| Check::new(Part::Till, "encryption", Verdict::Failed, message).with_fix(fix);
    let certificate = format!(
        "Give the server a certificate ({WHERE}, SQL Server Network Configuration, Protocols, Properties, Certificate)."
    );
    match (settings.encryption, offer) {
        (Encryption::Off, Offer::Insists) => failed(
            "the settings say encryption = \"off\", but the server insists on encryption",
            "Set encryption = \"on\" under [till] in the settings.",
        ),
        (Encryption::Off, _) => ok("nothing is encrypted, as the settings ask (encryption = \"off\")"),
        (Encryption::Required, Offer::None) => failed(
            "the settings say encryption = \"required\", but the server offers none",
            &format!(
                "{certificate} Or set encryption = \"on\": then the connection is plain where the server has no encryption."
            ),
        ),
        (Encryption::On, Offer::None) if !settings.trust_server_certificate => failed(
            "the settings say that the server's certificate is to be checked, but the server offers no encryption",
            &format!(
                "{certificate} Or set trust_server_certificate = true, or encryption = \"off\": then the connection is plain."
            ),
        ),
        (Encryption::On, Offer::None) => Check::warning(
            Part::Till,
            "encryption",
            "nothing is encrypted, neither the password nor what is read: the server offers no encryption, and the settings do \
             not insist (encryption = \"on\")",
            format!(
                "{certificate} Or set encryption = \"off\": that a plain connection is meant is then no matter of chance."
            ),
        ),
        _ if settings.trust_server_certificate => {
            ok("everything is encrypted; the certificate is taken unchecked, since tills have self-signed ones \
             (trust_server_certificate = true)")
        }
        _ => ok("everything is encrypted, and the certificate is checked"),
    }
}

#[cfg(test)]
mod tests {
    use secrecy::SecretString;
    use std::time::Duration;

    use super::*;
    use crate::{
        config::{RateLimit, RowReader},
        source::TableSelection,
    };

    fn settings(encryption: Encryption, trust_server_certificate: bool) -> TillConfig {
        TillConfig {
            host: "till".into(),
            port: 1433,
            database: "SambaPOS5".into(),
            username: "reader".into(),
            password: SecretString::from("hush"),
            encryption,
            trust_server_certificate,
            ca_file: None,
            connect_timeout: Duration::from_secs(5),
            statement_timeout: Duration::from_secs(60),
            browser_port: 1434,
            reader: RowReader::default(),
            rate_limit: RateLimit::default(),
            tables: TableSelection::default(),
        }
    }

    #[test]
    fn the_port_of_the_browser_is_the_one_that_was_asked() {
        let silent = Error::new(crate::error::Kind::Source, "nobody answered").temporary();
        let usual = settings(Encryption::On, true);
        assert!(browser_fix(&usual, &silent).contains("let UDP port 1434 through Windows Firewall. Or"));
        let fix = browser_fix(&TillConfig { browser_port: 1500, ..usual }, &silent);
        assert!(fix.contains("let UDP port 1500 through") && fix.contains("browser_port"), "{fix}");
    }

    #[test]
    fn what_the_settings_ask_is_held_against_what_the_server_offers() {
        for (asked, trust, offer, verdict, words) in [
            (Encryption::Off, true, Offer::None, Verdict::Ok, "nothing is encrypted, as"),
            (Encryption::Off, true, Offer::Insists, Verdict::Failed, "insists on encryption"),
            (Encryption::On, true, Offer::None, Verdict::Warning, "neither the password nor what is read"),
            (Encryption::On, false, Offer::None, Verdict::Failed, "certificate is to be checked"),
            (Encryption::On, true, Offer::Encrypted, Verdict::Ok, "taken unchecked"),
            (Encryption::Required, false, Offer::Insists, Verdict::Ok, "the certificate is checked"),
            (Encryption::Required, true, Offer::None, Verdict::Failed, "offers none"),
        ] {
            let check = encryption(&settings(asked, trust), offer);
            assert_eq!(check.verdict, verdict, "{check:?}");
            assert!(check.message.contains(words), "{check:?}");
            assert_eq!(check.fix.is_some(), verdict != Verdict::Ok);
        }
    }
}
