//! Listening, stopping, restarting.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use secrecy::SecretString;
use tokio::{
    net::{TcpListener, TcpSocket},
    sync::watch,
    task::JoinHandle,
};
use tokio_rustls::TlsAcceptor;

use super::{
    collation::Collation,
    connection, kept, prepared,
    tls::{self, Certificate},
};
use crate::{
    config::Encryption,
    demo::{engine::Engine, fault::Faults},
    error::{Error, Kind, OrFail, Result},
};

/// How the server is reached.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// TCP port on loopback; 0 takes a free one.
    pub port: u16,
    /// SQL login.
    pub user: String,
    /// Its password.
    pub password: SecretString,
    /// Off: the server has no TLS; on: it offers it; required: it insists.
    pub encryption: Encryption,
    /// What it shows where it has TLS.
    pub certificate: Certificate,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            port: 0,
            user: "sambapos".into(),
            password: "demo-till-1".into(),
            encryption: Encryption::On,
            certificate: Certificate::SelfSigned,
        }
    }
}

/// What all connections share.
pub(super) struct Shared {
    pub(super) engine: Arc<Engine>,
    pub(super) options: ServerOptions,
    pub(super) faults: Arc<Faults>,
    pub(super) collation: Collation,
    pub(super) acceptor: Option<TlsAcceptor>,
    pub(super) version: [u8; 4],
    pub(super) prepared: prepared::Cache,
    pub(super) kept: kept::Answers,
}

/// A running server. Dropping it stops listening and closes its connections.
pub struct Server {
    port: u16,
    shared: Arc<Shared>,
    certificate: Option<String>,
    running: Mutex<Option<Running>>,
}

struct Running {
    stop: watch::Sender<bool>,
    listening: JoinHandle<()>,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("port", &self.port).finish_non_exhaustive()
    }
}

impl Server {
    /// Listens on 127.0.0.1. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// [`Kind::Source`] when the port cannot be had, [`Kind::Bug`] when no certificate can be made.
    #[allow(clippy::unused_async, reason = "must run inside a runtime, which the signature shows")]
    pub async fn start(engine: Arc<Engine>, options: ServerOptions) -> Result<Self> {
        let listener = listen(options.port)?;
        let port = listener.local_addr().or_fail(Kind::Source, || "the demo till has no address")?.port();
        let (acceptor, certificate) = match options.encryption {
            Encryption::Off => (None, None),
            Encryption::On | Encryption::Required => {
                let (acceptor, certificate) = tls::identity(&engine.options().server_name, options.certificate)?;
                (Some(acceptor), Some(certificate))
            }
        };
        let shared = Arc::new(Shared {
            collation: Collation::named(&engine.options().collation),
            version: version_bytes(&engine.options().version),
            engine,
            options,
            faults: Arc::new(Faults::default()),
            acceptor,
            prepared: prepared::Cache::default(),
            kept: kept::Answers::default(),
        });
        let running = Mutex::new(Some(run(listener, Arc::clone(&shared))));
        Ok(Self { port, shared, certificate, running })
    }

    /// The port listened on.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The faults of this server.
    #[must_use]
    pub fn faults(&self) -> &Faults {
        &self.shared.faults
    }

    /// How many answers of a frozen engine were ready when they were asked for: what a benchmark or a test of them checks.
    #[must_use]
    pub fn prepared_answers(&self) -> u64 {
        self.shared.prepared.served()
    }

    /// The database behind the server.
    #[must_use]
    pub fn engine(&self) -> &Arc<Engine> {
        &self.shared.engine
    }

    /// What clients that check certificates have to trust, as PEM, if the server has TLS: its own certificate, or its authority's.
    #[must_use]
    pub fn certificate(&self) -> Option<&str> {
        self.certificate.as_deref()
    }

    /// Stops listening and closes all connections. Does nothing when stopped already.
    pub async fn stop(&self) {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(running) = running {
            // Fails only when nobody listens to it any more, which is what is wanted.
            let _ = running.stop.send(true);
            let _ = running.listening.await;
        }
    }

    /// Restarts the server on the same port: connections break, and nobody is answered for `downtime`.
    ///
    /// # Errors
    /// [`Kind::Source`] when the port is taken in the meantime.
    pub async fn restart(&self, downtime: Duration) -> Result<()> {
        self.stop().await;
        tokio::time::sleep(downtime).await;
        let listener = listen(self.port)?;
        let running = run(listener, Arc::clone(&self.shared));
        *self.running.lock().unwrap_or_else(PoisonError::into_inner) = Some(running);
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(running) = self.running.get_mut().unwrap_or_else(PoisonError::into_inner).take() {
            let _ = running.stop.send(true);
            running.listening.abort();
        }
    }
}

fn listen(port: u16) -> Result<TcpListener> {
    let bind = || {
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
        socket.listen(64)
    };
    bind().map_err(|error| {
        Error::new(Kind::Source, format!("the demo till cannot listen on port {port}"))
            .hint("choose another port, or 0 for any")
            .caused_by(error)
    })
}

fn run(listener: TcpListener, shared: Arc<Shared>) -> Running {
    let (stop, mut stopped) = watch::channel(false);
    let listening = tokio::spawn(async move {
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                _ = stopped.changed() => return,
            };
            match accepted {
                Ok((stream, _)) => {
                    let shared = Arc::clone(&shared);
                    let mut stopped = stopped.clone();
                    tokio::spawn(async move {
                        tokio::select! {
                            () = connection::serve(stream, shared) => {}
                            _ = stopped.wait_for(|stop| *stop) => {}
                        }
                    });
                }
                // Out of descriptors, most likely: wait for connections to end.
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    });
    Running { stop, listening }
}

/// `14.0.1000.169` as major, minor and build.
fn version_bytes(version: &str) -> [u8; 4] {
    let mut parts = version.split('.').map(|part| part.parse::<u16>().unwrap_or_default());
    let mut next = || parts.next().unwrap_or_default();
    let (major, minor, build) = (next(), next(), next());
    let [high, low] = build.to_be_bytes();
    [u8::try_from(major).unwrap_or_default(), u8::try_from(minor).unwrap_or_default(), high, low]
}
