//! The HTTP client that everything in this room is built on.
//!
//! Promises: no redirect is followed, so credentials reach the named server alone; nothing is repeated by itself; the system's
//! certificates and those of a CA file are trusted, none besides; proxies are those of the environment (`HTTPS_PROXY`,
//! `HTTP_PROXY`, `ALL_PROXY`, `NO_PROXY`), never for this machine's own servers.

use std::{path::Path, sync::Once, time::Duration};

use url::Url;

use crate::error::{Error, Kind, OrFail, Result};

/// What the server sees as the client's name. Nextcloud shows it in the list of devices.
pub(crate) const USER_AGENT: &str = concat!("tillvault/", env!("CARGO_PKG_VERSION"));

/// A client for the server at `base`.
///
/// # Errors
/// `Config` when the certificates cannot be read, `Store` when the system has none.
pub(crate) fn client(base: &Url, ca_file: Option<&Path>, connect: Duration) -> Result<reqwest::Client> {
    client_with(base, ca_file, connect, |builder| builder)
}

/// The same with a last word on how it is built.
///
/// # Errors
/// As [`client`].
pub(super) fn client_with(
    base: &Url,
    ca_file: Option<&Path>,
    connect: Duration,
    last: impl FnOnce(reqwest::ClientBuilder) -> reqwest::ClientBuilder,
) -> Result<reqwest::Client> {
    static PROVIDER: Once = Once::new();
    // An error means that the program has chosen its provider already.
    PROVIDER.call_once(|| drop(rustls::crypto::ring::default_provider().install_default()));
    let mut builder = reqwest::Client::builder()
        .user_agent(USER_AGENT)
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .gzip(true)
        .connect_timeout(connect)
        // Apache closes idle connections after 5 s; ours must be gone before.
        .pool_idle_timeout(Duration::from_secs(4));
    if is_loopback(base) {
        // A proxy could not reach this machine's own server.
        builder = builder.no_proxy();
    }
    if base.scheme() == "http" {
        // Plain http needs no certificates, and the machine may have none.
        builder = builder.tls_certs_only([]);
    } else if let Some(file) = ca_file {
        let bad = || format!("cannot read the certificates in {}", file.display());
        let pem = std::fs::read(file).or_fail(Kind::Config, bad)?;
        let certificates = reqwest::Certificate::from_pem_bundle(&pem).or_fail(Kind::Config, bad)?;
        if certificates.is_empty() {
            return Err(Error::new(Kind::Config, format!("there is no certificate in {}", file.display()))
                .hint("it has to hold certificates in PEM: -----BEGIN CERTIFICATE-----"));
        }
        builder = builder.tls_certs_merge(certificates);
    }
    last(builder).build().or_fail(Kind::Store, || "cannot set up HTTPS (are the system's CA certificates installed?)")
}

/// Whether an address is on this machine.
pub(crate) fn is_loopback(base: &Url) -> bool {
    match base.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// Takes everything out of a URL that may be secret: credentials, query, fragment.
pub(crate) fn strip(url: &mut Url) {
    // Both fail only for URLs that cannot have credentials.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_query(None);
    url.set_fragment(None);
}
