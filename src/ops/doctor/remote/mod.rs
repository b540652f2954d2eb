//! The remotes: can they be reached and signed in to, do they hold what the archive holds, is there room?
//!
//! [`look`] only reads. [`try_remotes`] writes, reads and removes two small objects, on request. A refused password is never tried twice.

mod nextcloud;
mod trial;

use std::time::Duration;

use futures::future::join_all;
use jiff::Timestamp;
use url::Url;

use super::{Check, Part, words};
use crate::{
    archive::{Archive, layout},
    config::{Config, RemoteConfig, RemoteKind},
    error::{Error, Kind, Result},
    ops::remote::{
        forecast::{self, Forecast},
        holds::{Holds, holds},
    },
    store::{
        self, Remote, certificate,
        profile::{Profile, ServerKind},
    },
};

pub use trial::try_remotes;

const PART: Part = Part::Remotes;
/// A certificate that runs out sooner should have been renewed.
const CERTIFICATE: Duration = Duration::from_secs(14 * 86_400);
/// Less room than this is worth a word whatever the growth.
const LITTLE_ROOM: u64 = 256 << 20;

/// Looks at every remote.
pub(super) async fn look(config: &Config, archive: Option<&Archive>) -> Vec<Check> {
    if config.remotes.is_empty() {
        return vec![Check::warning(
            PART,
            "copy",
            "no remote is set: the archive on this machine is the only copy",
            "Add one: `tillvault remote add cloud nextcloud https://cloud.example.org`; another WebDAV server, S3 and a folder on \
             another disk will do as well (`tillvault remote add --help`).",
        )];
    }
    // Side by side: one that does not answer costs no more than its own time.
    let looked = join_all(config.remotes.iter().map(|remote| look_at(config, remote, archive))).await;
    looked.into_iter().flatten().collect()
}

async fn look_at(config: &Config, remote: &RemoteConfig, archive: Option<&Archive>) -> Vec<Check> {
    let mut checks = Vec::new();
    if let RemoteKind::WebDav { url, username, password, ca_file } = &remote.kind {
        checks.extend(encryption(url));
        if !nextcloud::look(url, username, password, ca_file.as_deref(), &mut checks).await {
            return of(checks, &remote.name);
        }
    }
    match store::open_remote_hasty(remote, &config.archive.join(layout::REMOTES)) {
        Ok(opened) => copy(config, remote, &opened, archive, &mut checks).await,
        Err(error) => checks.push(failed("copy", &error)),
    }
    of(checks, &remote.name)
}

/// A failure with what lies deepest: the causes between say that a request failed.
fn failed(name: &'static str, error: &Error) -> Check {
    let mut check = Check::failed(PART, name, error);
    let mut cause = std::error::Error::source(error);
    while let Some(deeper) = cause.and_then(std::error::Error::source) {
        cause = Some(deeper);
    }
    if let Some(cause) = cause {
        check.message = format!("{} ({cause})", error.message());
    }
    check
}

fn of(checks: Vec<Check>, name: &str) -> Vec<Check> {
    checks.into_iter().map(|check| check.of(name)).collect()
}

/// What is there, and what rests on it; nothing more is asked of a remote that cannot be read.
async fn copy(
    config: &Config,
    remote: &RemoteConfig,
    opened: &Remote,
    archive: Option<&Archive>,
    checks: &mut Vec<Check>,
) {
    let there = match held(opened, archive).await {
        Ok(there) => there,
        Err(error) => return checks.push(failed("copy", &error)),
    };
    let local = archive.and_then(|archive| archive.snapshot_numbers().ok()).map(|numbers| numbers.len() as u64);
    checks.push(compared(&remote.kind.address(), there, local));
    checks.extend(room(config, opened, archive).await);
    checks.push(abilities(&opened.profile(), &remote.name));
    checks.extend(certificate(&remote.kind).await);
}

/// How many snapshots are there, of this archive.
async fn held(remote: &Remote, archive: Option<&Archive>) -> Result<u64> {
    let count = store::count_snapshots(remote).await?;
    match (holds(remote).await?, archive) {
        (Holds::Archive { id, .. }, Some(archive)) if id != archive.id() => Err(Error::new(
            Kind::Refused,
            format!("remote {} holds another archive ({id}, this one is {})", remote.name, archive.id()),
        )
        .hint("give each archive a folder of its own: correct the address of this remote in the settings")),
        (Holds::Odd, _) => Err(Error::new(
            Kind::Refused,
            format!("{} on remote {} is not an archive's header", layout::HEADER_FILE, remote.name),
        )
        .hint("correct the address of this remote in the settings; if an upload of that file was cut off, `tillvault push` mends it")),
        (Holds::Nothing, _) if count > 0 => Err(Error::new(
            Kind::Refused,
            format!("remote {} holds snapshots, but no {}: it cannot be told whose they are", remote.name, layout::HEADER_FILE),
        )
        .hint("name another folder in the remote's address, or put the file back")),
        _ => Ok(count),
    }
}

fn compared(address: &str, there: u64, local: Option<u64>) -> Check {
    let place = format!("{address} can be reached");
    match local {
        Some(local) if there < local => Check::warning(
            PART,
            "copy",
            format!(
                "{place} and holds {} of {} snapshots: the rest is on this machine alone",
                words::number(there),
                words::number(local)
            ),
            "Run `tillvault push`, and see that a schedule runs `tillvault nightly`.",
        ),
        _ => Check::ok(
            PART,
            "copy",
            format!("{place} and holds {}", words::counted(usize::try_from(there).unwrap_or(usize::MAX), "snapshot")),
        ),
    }
}

/// The room there. A remote that does not tell it is passed over: nothing rests on it.
async fn room(config: &Config, remote: &Remote, archive: Option<&Archive>) -> Option<Check> {
    let quota = remote.quota().await.ok()??;
    let per_day = archive.and_then(|archive| forecast::daily_growth(archive).ok()?);
    let Some(per_day) = per_day else { return Some(little(quota.free, None)) };
    let today = Timestamp::now().to_zoned(config.zone()).date();
    Some(little(quota.free, Some(Forecast::new(quota.free, per_day, today))))
}

fn little(free: u64, forecast: Option<Forecast>) -> Check {
    let message = forecast.map_or_else(|| format!("{} are free there", words::bytes(free)), |known| known.to_string());
    let near = forecast.is_some_and(|known| known.full_on.is_some());
    if near || free < LITTLE_ROOM {
        return Check::warning(PART, "room", message, Forecast::fix());
    }
    Check::ok(PART, "room", message)
}

/// A password that everybody on the way can read.
fn encryption(url: &Url) -> Option<Check> {
    (url.scheme() == "http" && !store::is_on_this_machine(url)).then(|| {
        Check::warning(
            PART,
            "encryption",
            format!(
                "nothing is encrypted on the way to {}: others on the network can read password and trade",
                url.host_str().unwrap_or_default()
            ),
            "Use the server's https address; for a certificate of its own, name its file as ca_file.",
        )
    })
}

async fn certificate(kind: &RemoteKind) -> Option<Check> {
    let (RemoteKind::WebDav { url, ca_file, .. } | RemoteKind::S3 { endpoint: Some(url), ca_file, .. }) = kind else {
        return None;
    };
    let until = certificate::expiry(url, ca_file.as_deref()).await.ok()??;
    Some(runs_out(until, Timestamp::now()))
}

fn runs_out(until: Timestamp, now: Timestamp) -> Check {
    let left = Duration::try_from(until.duration_since(now)).unwrap_or_default();
    let day = until.to_zoned(jiff::tz::TimeZone::UTC).date();
    if left < CERTIFICATE {
        return Check::warning(
            PART,
            "certificate",
            format!(
                "the server's certificate runs out on {day}, in {}: after that no push will work",
                words::time(left)
            ),
            "Ask the server's administrator to renew it; most renew by themselves, and this one did not.",
        );
    }
    Check::ok(PART, "certificate", format!("the server's certificate is valid until {day}"))
}

/// What the server can do for the safety of uploads, as it was found out.
fn abilities(profile: &Profile, name: &str) -> Check {
    if !profile.probed {
        return Check::unknown(
            PART,
            "abilities",
            format!(
                "not known: what the server can do is found out by the first push, or by `tillvault remote test {name}`"
            ),
        );
    }
    let proof = match (profile.received_hash, profile.rehash) {
        _ if profile.kind == ServerKind::S3 => {
            "it checks a hash of each upload, and uploads are proven by reading back"
        }
        (_, true) => "it computes hashes of what it stores, so uploads are proven without reading them back",
        (true, false) => "it tells the hash of what it receives",
        (false, false) => "it computes no hashes: uploads are proven by reading back",
    };
    let mut said = vec![proof.to_owned()];
    if profile.chunking {
        said.push("large files go in parts".to_owned());
    }
    if let Some(limit) = profile.largest_put {
        said.push(format!("it takes up to {} at once", words::bytes(limit)));
    }
    if !profile.conditional_put {
        said.push("it would overwrite files, so uploads go under a temporary name first".to_owned());
    }
    let version = profile.version.as_ref().map(|version| format!(" {version}")).unwrap_or_default();
    Check::ok(PART, "abilities", format!("{}{version}: {}", profile.kind, said.join("; ")))
}

#[cfg(test)]
mod tests {
    use jiff::{SignedDuration, civil::date};

    use super::*;
    use crate::ops::doctor::Verdict;

    #[test]
    fn a_certificate_is_told_of_two_weeks_before() {
        let now: Timestamp = "2026-11-22T00:00:00Z".parse().unwrap();
        let check = |days: i64| runs_out(now + SignedDuration::from_hours(24 * days), now);
        assert_eq!(check(15).verdict, Verdict::Ok);
        assert!(check(15).message.contains("2026-12-07"));
        assert_eq!(check(13).verdict, Verdict::Warning);
        assert!(check(13).message.contains("in 13 days"), "{:?}", check(13));
        assert_eq!(check(-3).verdict, Verdict::Warning);
    }

    #[test]
    fn room_is_a_warning_when_it_is_near_or_little() {
        let today = date(2026, 11, 22);
        assert_eq!(little(1 << 40, Some(Forecast::new(1 << 40, 1 << 20, today))).verdict, Verdict::Ok);
        let check = little(1 << 30, Some(Forecast::new(1 << 30, 1 << 28, today)));
        assert_eq!(
            (check.verdict, check.message.contains("full about 2026-11-26")),
            (Verdict::Warning, true),
            "{check:?}"
        );
        assert_eq!(little(1 << 20, None).verdict, Verdict::Warning);
        assert_eq!(little(1 << 40, None).verdict, Verdict::Ok);
    }

    #[test]
    fn abilities_are_told_in_words_and_never_guessed() {
        let mut profile = Profile::unknown();
        assert_eq!(abilities(&profile, "cloud").verdict, Verdict::Unknown);
        profile = Profile {
            probed: true,
            kind: ServerKind::Nextcloud,
            version: Some("31.0.6".into()),
            rehash: true,
            chunking: true,
            ..profile
        };
        assert_eq!(
            abilities(&profile, "cloud").message,
            "Nextcloud 31.0.6: it computes hashes of what it stores, so uploads are proven without reading them back; large files go in parts"
        );
        profile = Profile { rehash: false, conditional_put: false, ..profile };
        assert!(abilities(&profile, "cloud").message.contains("temporary name"));
    }

    #[test]
    fn plain_http_is_told_of_unless_it_stays_here() {
        let check = |url: &str| encryption(&Url::parse(url).unwrap());
        assert!(check("http://127.0.0.1:80/x").is_none() && check("https://cloud.example/x").is_none());
        assert_eq!(check("http://nas.lan/dav").unwrap().verdict, Verdict::Warning);
    }
}
