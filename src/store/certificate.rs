//! Until when a server's certificate is valid: a certificate that runs out stops every push from one night to the next.

use std::{path::Path, time::Duration};

use jiff::Timestamp;
use url::Url;

use super::http;
use crate::error::Result;

/// When the certificate that the server at `url` shows will run out. `None` without TLS, and where it cannot be found out:
/// behind a proxy, for one.
///
/// Only an accepted certificate is looked at; a refused one is told by every request.
///
/// # Errors
/// `Config` when the file with further certificates cannot be read.
pub async fn expiry(url: &Url, ca_file: Option<&Path>) -> Result<Option<Timestamp>> {
    if url.scheme() != "https" {
        return Ok(None);
    }
    let client = http::client_with(url, ca_file, Duration::from_secs(10), |builder| builder.tls_info(true))?;
    let mut root = url.clone();
    http::strip(&mut root);
    root.set_path("/");
    let Ok(answer) = client.head(root).timeout(Duration::from_secs(20)).send().await else { return Ok(None) };
    let info = answer.extensions().get::<reqwest::tls::TlsInfo>();
    Ok(info.and_then(reqwest::tls::TlsInfo::peer_certificate).and_then(not_after))
}

/// `notAfter` of a certificate in DER (RFC 5280 §4.1).
fn not_after(certificate: &[u8]) -> Option<Timestamp> {
    let (_, certificate, _) = element(certificate)?;
    let (_, mut rest, _) = element(certificate)?;
    // The version is tagged [0] and may be absent; serial number, algorithm and issuer follow.
    if rest.first() == Some(&0xa0) {
        rest = element(rest)?.2;
    }
    for _ in 0..3 {
        rest = element(rest)?.2;
    }
    let (_, validity, _) = element(rest)?;
    let (_, _, after) = element(validity)?;
    let (tag, text, _) = element(after)?;
    time(tag, std::str::from_utf8(text).ok()?)
}

/// The first element: its tag, its content, and what follows it.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = bytes.split_first()?;
    let (&first, mut rest) = rest.split_first()?;
    let mut length = usize::from(first);
    if first >= 0x80 {
        let digits = usize::from(first & 0x7f);
        if !(1..=4).contains(&digits) || rest.len() < digits {
            return None;
        }
        length = rest[..digits].iter().fold(0, |sum, byte| (sum << 8) | usize::from(*byte));
        rest = &rest[digits..];
    }
    (rest.len() >= length).then(|| (tag, &rest[..length], &rest[length..]))
}

/// `UTCTime` (two digits of the year, until 2049) or `GeneralizedTime`.
fn time(tag: u8, text: &str) -> Option<Timestamp> {
    let text = match tag {
        0x17 if text.get(..2)? < "50" => format!("20{text}"),
        0x17 => format!("19{text}"),
        0x18 => text.to_owned(),
        _ => return None,
    };
    jiff::civil::DateTime::strptime("%Y%m%d%H%M%SZ", &text)
        .ok()?
        .to_zoned(jiff::tz::TimeZone::UTC)
        .ok()
        .map(|time| time.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_real_certificate_is_read() {
        let mut params = rcgen::CertificateParams::new(vec!["cloud.example".to_owned()]).unwrap();
        for (year, expected) in [(2031, "2031-05-06T00:00:00Z"), (2077, "2077-05-06T00:00:00Z")] {
            params.not_after = rcgen::date_time_ymd(year, 5, 6);
            let certificate = params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap();
            assert_eq!(not_after(certificate.der()).unwrap().to_string(), expected);
            for end in 0..certificate.der().len() {
                assert_eq!(not_after(&certificate.der()[..end]), None, "cut at {end}");
            }
        }
        for nonsense in [&b""[..], b"\x30", b"\x30\x84\xff\xff\xff\xff", b"\x30\x80\x00\x00", b"\x30\x02\x30\x00"] {
            assert_eq!(not_after(nonsense), None);
        }
    }
}
