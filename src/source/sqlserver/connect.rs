//! From settings to a signed-in session.
//!
//! Name, instance, TCP, encryption and sign-in are separate steps, so that each failure has its own message. Promises to
//! give up within the configured time, and that the password goes nowhere but into the sign-in.

use std::{
    io::ErrorKind,
    net::{IpAddr, SocketAddr},
};

use secrecy::ExposeSecret as _;
use tiberius::{AuthMethod, Config, EncryptionLevel};
use tokio::{
    net::TcpStream,
    time::{Instant, timeout_at},
};
use tokio_util::compat::TokioAsyncWriteCompatExt as _;

use super::{browser, failure, fault::Fault, rows::tiberius::Client};
use crate::{
    config::{Encryption, TillConfig},
    error::{Error, Kind, OrFail as _, Result},
};

/// The name the server's administrator sees in its list of sessions.
pub(super) const APPLICATION: &str = "tillvault";
/// Bytes of a packet, as asked for: large ones cost fewer steps, and more would not pass every TLS library.
pub(super) const PACKET_BYTES: u16 = 16_384;

/// Where a connection was made, so that another can be made there without asking again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Endpoint {
    /// The host as the settings name it, without the instance: what a certificate has to say.
    pub host: String,
    /// Address and port.
    pub address: SocketAddr,
    /// Whether the server encrypts and the settings allow it.
    pub encrypted: bool,
}

/// Connects and signs in with tiberius, all within the configured time.
///
/// # Errors
/// `Source` or `Credentials`; each cause has its own message.
pub(super) async fn connect(config: &TillConfig) -> Result<(Client, Endpoint)> {
    let deadline = Instant::now() + config.connect_timeout;
    let (host, instance) = split_host(&config.host);
    let addresses = resolve(host, deadline).await?;
    let (stream, address) = open(config, host, instance, &addresses, deadline).await?;
    finish(config, host, address, stream, deadline).await
}

/// [`connect`] to where the till was found before: nobody is asked for the address again while it answers there.
///
/// # Errors
/// As [`connect`].
pub(super) async fn connect_again(config: &TillConfig, at: &Endpoint) -> Result<(Client, Endpoint)> {
    let deadline = Instant::now() + config.connect_timeout;
    match open_tcp(&at.host, at.address, deadline).await {
        Ok(stream) => finish(config, &at.host, at.address, stream, deadline).await,
        Err(_) => connect(config).await,
    }
}

/// Signs in on a connection that has been made.
async fn finish(
    config: &TillConfig,
    host: &str,
    address: SocketAddr,
    stream: TcpStream,
    deadline: Instant,
) -> Result<(Client, Endpoint)> {
    let level = match config.encryption {
        Encryption::Off => EncryptionLevel::NotSupported,
        Encryption::On => EncryptionLevel::On,
        Encryption::Required => EncryptionLevel::Required,
    };
    let spelled = format!("{host}:{}", address.port());
    let endpoint = |encrypted| Endpoint { host: host.to_owned(), address, encrypted };
    match sign_in(config, host, level, stream, deadline).await? {
        Ok(client) => Ok((client, endpoint(config.encryption != Encryption::Off))),
        // "on" means: where the server can. It cannot, so go on without, unless the certificate is to be checked: nobody who
        // asks for that means a connection that anybody may read.
        Err(Fault::EncryptionDeclined) if config.encryption == Encryption::On && config.trust_server_certificate => {
            let stream = open_tcp(host, address, deadline).await?;
            let plain = sign_in(config, host, EncryptionLevel::NotSupported, stream, deadline).await?;
            plain
                .map(|client| (client, endpoint(false)))
                .map_err(|fault| failure::sign_in_failed(config, &spelled, fault))
        }
        Err(fault) => Err(failure::sign_in_failed(config, &spelled, fault)),
    }
}

/// `HOST\INSTANCE` as its parts. A dot or `(local)` is this machine, as SQL Server's own tools have it.
pub(super) fn split_host(host: &str) -> (&str, Option<&str>) {
    let (host, instance) = match host.trim().split_once('\\') {
        Some((host, instance)) => (host.trim(), Some(instance.trim()).filter(|name| !name.is_empty())),
        None => (host.trim(), None),
    };
    if host == "." || host.eq_ignore_ascii_case("(local)") { ("localhost", instance) } else { (host, instance) }
}

pub(super) async fn resolve(host: &str, deadline: Instant) -> Result<Vec<IpAddr>> {
    let unknown = || {
        Error::new(Kind::Source, format!("the till's host name {host} is not known"))
            .hint("check sambapos_db_host and this machine's DNS; an IP address works, too")
            .temporary()
    };
    let found = timeout_at(deadline, tokio::net::lookup_host((host, 0)))
        .await
        .map_err(|_| unknown())?
        .map_err(|cause| unknown().caused_by(cause))?;
    let addresses: Vec<IpAddr> = found.map(|address| address.ip()).collect();
    if addresses.is_empty() { Err(unknown()) } else { Ok(addresses) }
}

/// Tries the host's addresses in turn; the first failure is the one told. An address that does not answer may use only
/// its share of the time.
async fn open(
    config: &TillConfig,
    host: &str,
    instance: Option<&str>,
    addresses: &[IpAddr],
    deadline: Instant,
) -> Result<(TcpStream, SocketAddr)> {
    let mut first = None;
    for (ip, left) in addresses.iter().zip((1..=addresses.len()).rev()) {
        let left = u32::try_from(left).unwrap_or(u32::MAX);
        let share = Instant::now() + deadline.saturating_duration_since(Instant::now()) / left;
        let attempt = async {
            let port = match instance {
                Some(name) => {
                    let patience = share.saturating_duration_since(Instant::now());
                    browser::find_port(host, *ip, config.browser_port, name, patience).await?
                }
                None => config.port,
            };
            let address = SocketAddr::new(*ip, port);
            Ok::<_, Error>((open_tcp(host, address, share).await?, address))
        };
        match attempt.await {
            Ok(opened) => return Ok(opened),
            Err(error) => {
                first.get_or_insert(error);
            }
        }
    }
    Err(first.unwrap_or_else(|| Error::new(Kind::Source, format!("the till's host {host} has no address"))))
}

pub(super) async fn open_tcp(host: &str, address: SocketAddr, deadline: Instant) -> Result<TcpStream> {
    let port = address.port();
    let stream = match timeout_at(deadline, TcpStream::connect(address)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(cause)) if cause.kind() == ErrorKind::ConnectionRefused => {
            return Err(Error::new(Kind::Source, format!("the till {host} refused a connection on port {port}"))
                .hint(
                    "is SQL Server running, with TCP/IP enabled, and is the port right? Named instances listen on a port \
                     of their own: set sambapos_db_host to HOST\\INSTANCE",
                )
                .caused_by(cause)
                .temporary());
        }
        Ok(Err(cause)) => return Err(unreachable(host, port).caused_by(cause)),
        Err(_) => return Err(unreachable(host, port)),
    };
    stream.set_nodelay(true).or_fail(Kind::Source, || format!("cannot set up the connection to {host}"))?;
    Ok(stream)
}

fn unreachable(host: &str, port: u16) -> Error {
    Error::new(Kind::Source, format!("the till {host} cannot be reached on port {port}"))
        .hint("is the machine on and in this network, and does its firewall let the port through?")
        .temporary()
}

/// The outer result is about our own settings, the inner one about the server.
async fn sign_in(
    config: &TillConfig,
    host: &str,
    level: EncryptionLevel,
    stream: TcpStream,
    deadline: Instant,
) -> Result<Result<Client, Fault>> {
    // The driver takes the process's default, and reqwest here does too. A second call changes nothing.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut settings = Config::new();
    settings.host(host);
    settings.database(&config.database);
    settings.application_name(APPLICATION);
    settings.packet_size(u32::from(PACKET_BYTES));
    settings.authentication(AuthMethod::sql_server(&config.username, config.password.expose_secret()));
    settings.encryption(level);
    settings.handshake_timeout(Some(deadline.saturating_duration_since(Instant::now())));
    settings.command_timeout(Some(config.statement_timeout));
    if config.trust_server_certificate {
        settings.trust_cert();
    } else if let Some(path) = &config.ca_file {
        let bundle =
            tokio::fs::read(path).await.or_fail(Kind::Config, || format!("cannot read ca_file {}", path.display()))?;
        settings.trust_cert_ca_bundle(bundle);
    }
    Ok(Client::connect(settings, stream.compat_write()).await.map_err(Fault::from))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_may_carry_an_instance() {
        assert_eq!(split_host("TILL\\SQLEXPRESS"), ("TILL", Some("SQLEXPRESS")));
        assert_eq!(split_host(" till "), ("till", None));
        assert_eq!(split_host(".\\SAMBAPOS"), ("localhost", Some("SAMBAPOS")));
        assert_eq!(split_host("till\\"), ("till", None));
    }
}
