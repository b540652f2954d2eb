//! TLS inside TDS: until the handshake is over, TLS records travel in PRELOGIN packets; afterwards they stand by themselves
//! (MS-TDS 3.2.5.2). [`Wrapped`] is the stream that does so. The server speaks TLS 1.2 only, since session tickets of
//! TLS 1.3 would come after the handshake, when one side still wraps and the other no longer does.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use super::packet::{HEADER, PRELOGIN};
use crate::error::{Kind, OrFail, Result};

/// What the server shows for a certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Certificate {
    /// Its own, signed by itself, for the names it is reached by.
    #[default]
    SelfSigned,
    /// Signed by an authority of its own.
    ByAuthority,
    /// Signed by that authority for another machine.
    OtherHost,
    /// Signed by that authority, and valid until the year 2001.
    Expired,
}

/// A fresh identity: how to accept TLS, and as PEM what clients that check certificates have to trust.
pub(super) fn identity(server_name: &str, certificate: Certificate) -> Result<(TlsAcceptor, String)> {
    let made = make(server_name, certificate).or_fail(Kind::Bug, || "cannot make a certificate")?;
    let Made { shown, key, trusted } = made;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS12])
        .or_fail(Kind::Bug, || "cannot set up TLS 1.2")?
        .with_no_client_auth()
        .with_single_cert(vec![shown], PrivateKeyDer::Pkcs8(key))
        .or_fail(Kind::Bug, || "cannot use the certificate")?;
    Ok((TlsAcceptor::from(Arc::new(config)), trusted))
}

struct Made {
    shown: CertificateDer<'static>,
    key: PrivatePkcs8KeyDer<'static>,
    trusted: String,
}

fn make(server_name: &str, certificate: Certificate) -> Result<Made, rcgen::Error> {
    let own = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), server_name.to_ascii_lowercase()];
    let names = if certificate == Certificate::OtherHost { vec!["another-till.example".to_owned()] } else { own };
    if certificate == Certificate::SelfSigned {
        let made = rcgen::generate_simple_self_signed(names)?;
        let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
        return Ok(Made { shown: made.cert.der().clone(), key, trusted: made.cert.pem() });
    }
    let authority_key = rcgen::KeyPair::generate()?;
    let mut authority = rcgen::CertificateParams::new(Vec::<String>::new())?;
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    authority.distinguished_name.push(rcgen::DnType::CommonName, "Demo till authority");
    let trusted = authority.self_signed(&authority_key)?.pem();
    let mut params = rcgen::CertificateParams::new(names)?;
    if certificate == Certificate::Expired {
        params.not_before = rcgen::date_time_ymd(2000, 1, 1);
        params.not_after = rcgen::date_time_ymd(2001, 1, 1);
    }
    let key = rcgen::KeyPair::generate()?;
    let shown = params.signed_by(&key, &rcgen::Issuer::new(authority, authority_key))?;
    Ok(Made { shown: shown.der().clone(), key: PrivatePkcs8KeyDer::from(key.serialize_der()), trusted })
}

/// A TCP stream that wraps what passes in PRELOGIN packets until [`Wrapped::handshake_done`].
#[derive(Debug)]
pub(super) struct Wrapped {
    stream: TcpStream,
    wrapping: bool,
    header: [u8; HEADER],
    header_read: usize,
    body_left: usize,
    waiting: Vec<u8>,
    framed: Vec<u8>,
}

impl Wrapped {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            wrapping: true,
            header: [0; HEADER],
            header_read: 0,
            body_left: 0,
            waiting: Vec::new(),
            framed: Vec::new(),
        }
    }

    pub(super) fn handshake_done(&mut self) {
        self.wrapping = false;
    }

    /// The bare connection again: when only the sign-in was encrypted.
    pub(super) fn into_inner(self) -> TcpStream {
        self.stream
    }

    fn send_framed(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.framed.is_empty() {
            let sent = ready!(Pin::new(&mut self.stream).poll_write(cx, &self.framed))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.framed.drain(..sent);
        }
        Poll::Ready(Ok(()))
    }
}

/// Shakes hands over `stream`.
pub(super) async fn accept(acceptor: &TlsAcceptor, stream: TcpStream) -> io::Result<TlsStream<Wrapped>> {
    let mut tls = acceptor.accept(Wrapped::new(stream)).await?;
    tls.get_mut().0.handshake_done();
    Ok(tls)
}

impl AsyncRead for Wrapped {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.wrapping {
            return Pin::new(&mut this.stream).poll_read(cx, buf);
        }
        while this.body_left == 0 {
            let mut part = ReadBuf::new(&mut this.header[this.header_read..]);
            ready!(Pin::new(&mut this.stream).poll_read(cx, &mut part))?;
            let read = part.filled().len();
            if read == 0 {
                return Poll::Ready(Ok(()));
            }
            this.header_read += read;
            if this.header_read == HEADER {
                this.header_read = 0;
                if this.header[0] != PRELOGIN {
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, "not a PRELOGIN packet")));
                }
                let length = usize::from(u16::from_be_bytes([this.header[2], this.header[3]]));
                this.body_left = length.saturating_sub(HEADER);
            }
        }
        let mut part = buf.take(this.body_left);
        ready!(Pin::new(&mut this.stream).poll_read(cx, &mut part))?;
        let read = part.filled().len();
        this.body_left -= read;
        // The bytes lie in `buf` already; they were initialised through `part`.
        let filled = buf.filled().len() + read;
        if buf.initialized().len() < filled {
            return Poll::Ready(Err(io::Error::other("the read buffer shrank")));
        }
        buf.set_filled(filled);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wrapped {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.wrapping {
            this.waiting.extend_from_slice(bytes);
            return Poll::Ready(Ok(bytes.len()));
        }
        Pin::new(&mut this.stream).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.waiting.is_empty() {
            let bytes = std::mem::take(&mut this.waiting);
            this.framed.extend_from_slice(&super::packet::frame(PRELOGIN, &bytes, 4096));
        }
        ready!(this.send_framed(cx))?;
        Pin::new(&mut this.stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
