//! Proxies of the environment, and certificates that only a CA file vouches for.

use std::{
    fs,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional},
    net::{TcpListener, TcpStream},
};

use crate::home::{Home, Ran};

/// A proxy that brings everybody to one server, whatever host they name; it keeps the first line of each connection.
async fn proxy(to: SocketAddr) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, lines) = (listener.local_addr().unwrap(), Arc::<Mutex<Vec<String>>>::default());
    let seen = Arc::clone(&lines);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(pass_on(stream, to, Arc::clone(&seen)));
        }
    });
    (address, lines)
}

async fn pass_on(mut client: TcpStream, to: SocketAddr, seen: Arc<Mutex<Vec<String>>>) {
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        match client.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let text = String::from_utf8_lossy(&head).into_owned();
    seen.lock().unwrap().push(text.lines().next().unwrap_or_default().to_owned());
    let mut server = TcpStream::connect(to).await.unwrap();
    if text.starts_with("CONNECT ") {
        client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.unwrap();
    } else {
        // A server takes a whole URL for its path, too.
        server.write_all(&head).await.unwrap();
    }
    let _ = copy_bidirectional(&mut client, &mut server).await;
}

/// TLS in front of a server, with a certificate of its own for `names`. Returns the certificate.
async fn tls(to: SocketAddr, names: &[&str]) -> (SocketAddr, String) {
    let own = rcgen::generate_simple_self_signed(names.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(own.signing_key.serialize_der()).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![own.cert.der().clone()], key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                // A client that does not trust it goes away.
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let mut server = TcpStream::connect(to).await.unwrap();
                let _ = copy_bidirectional(&mut stream, &mut server).await;
            });
        }
    });
    (address, own.cert.pem())
}

const USER: [&str; 4] = ["--user", "kitchen", "--password-file", "ann.password"];

#[test]
fn a_proxy_of_the_environment_is_used() {
    let home = Home::new();
    let double = home.nextcloud();
    let (address, lines) = home.runtime.block_on(proxy(double.root().socket_addrs(|| None).unwrap()[0]));
    let run = |arguments: &[&str]| -> Ran {
        let mut command = home.command(arguments);
        command.env("HTTP_PROXY", format!("http://{address}"));
        Home::finished(command)
    };
    let add = ["remote", "add", "cloud", "nextcloud", "http://cloud.test/"];
    // Nothing is encrypted on the way to a host elsewhere, which is worth a warning.
    run(&[&add[..], &USER].concat()).ends(3).says(&["nothing is encrypted on the way to cloud.test"]);
    run(&["remote", "test", "--json"]).ends(3).has("speed", "ok", "MB/s").has(
        "encryption",
        "warning",
        "can read password",
    );
    let lines = std::mem::take(&mut *lines.lock().unwrap());
    assert!(lines.len() > 2 && lines.iter().all(|line| line.contains(" http://cloud.test/")), "{lines:?}");
    // Without the proxy there is no way: nobody knows that host.
    assert_ne!(home.run(&["remote", "test"]).code, 0);
}

#[test]
fn an_encrypted_way_leads_through_the_proxy_and_only_a_trusted_certificate_will_do() {
    let home = Home::new();
    let double = home.nextcloud();
    let server = double.root().socket_addrs(|| None).unwrap()[0];
    let (front, certificate) = home.runtime.block_on(tls(server, &["cloud.test"]));
    let (address, lines) = home.runtime.block_on(proxy(front));
    fs::write(home.path("ca.pem"), certificate).unwrap();
    let run = |arguments: &[&str]| -> Ran {
        let mut command = home.command(arguments);
        command.env("HTTPS_PROXY", format!("http://{address}"));
        Home::finished(command)
    };
    let add = [&["remote", "add", "cloud", "nextcloud", "cloud.test"][..], &USER].concat();
    run(&add).ends(75).says(&["certificate was not accepted", "ca_file"]);
    assert!(double.log().is_empty());
    run(&[&add[..], &["--ca-file", "ca.pem"]].concat()).ends(0);
    assert!(home.settings().contains("url = \"https://cloud.test/remote.php/dav/files/kitchen/tillvault/\""));
    assert!(home.settings().contains("ca_file = \"ca.pem\""));
    run(&["remote", "test", "--json"]).ends(0).has("speed", "ok", "MB/s");
    let lines = lines.lock().unwrap();
    assert!(lines.iter().all(|line| line.starts_with("CONNECT cloud.test:443 ")), "{lines:?}");
}

#[test]
fn this_machines_own_server_needs_no_proxy() {
    let home = Home::new();
    let double = home.nextcloud();
    let server = double.root().socket_addrs(|| None).unwrap()[0];
    let (front, certificate) = home.runtime.block_on(tls(server, &["localhost"]));
    fs::write(home.path("ca.pem"), certificate).unwrap();
    let address = format!("https://localhost:{}/", front.port());
    let mut command = home
        .command(&[&["remote", "add", "cloud", "nextcloud", &address][..], &USER, &["--ca-file", "ca.pem"]].concat());
    command.env("HTTPS_PROXY", "http://127.0.0.1:9").env("ALL_PROXY", "http://127.0.0.1:9");
    Home::finished(command).ends(0).says(&["signed in to Nextcloud 31.0.6"]);
    let ran = home.run(&["remote", "test", "--json"]).ends(0);
    ran.has("speed", "ok", "MB/s").has("certificate", "ok", "valid until");
    fs::write(home.path("ca.pem"), "no certificate").unwrap();
    home.run(&["remote", "test"]).ends(2).says(&["ca.pem"]);
}
