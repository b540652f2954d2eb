//! A relay on loopback that counts the bytes the server sends.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// Listens on a port of its own and passes everything on.
pub(crate) struct Relay {
    pub(crate) port: u16,
    received: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl Relay {
    /// A relay to `host:port`.
    pub(crate) async fn start(host: &str, port: u16) -> Relay {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let own = listener.local_addr().unwrap().port();
        let received = Arc::new(AtomicU64::new(0));
        let (host, counter) = (host.to_owned(), Arc::clone(&received));
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect((host.as_str(), port)).await.unwrap();
                tokio::spawn(pass(client, server, Arc::clone(&counter)));
            }
        });
        Relay { port: own, received, task }
    }

    /// Bytes since the last call.
    pub(crate) fn take(&self) -> u64 {
        self.received.swap(0, Ordering::Relaxed)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn pass(mut client: TcpStream, mut server: TcpStream, received: Arc<AtomicU64>) {
    let (mut from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = server.split();
    let up = async {
        let _ = tokio::io::copy(&mut from_client, &mut to_server).await;
    };
    let down = async {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(count @ 1..) = from_server.read(&mut buffer).await {
            received.fetch_add(count as u64, Ordering::Relaxed);
            if to_client.write_all(&buffer[..count]).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = up => {}
        () = down => {}
    }
}
