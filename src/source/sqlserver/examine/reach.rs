//! The way to a till, step by step, before anybody signs in: name, SQL Browser, TCP, and the server's first words.
//!
//! The driver does all of this in one go and says only how it ended. Here each step has an answer of its own, so that
//! `doctor` can say how far the way is good. Nothing secret is sent: the first message of TDS (PRELOGIN, MS-TDS 2.2.6.5)
//! holds a version and a wish for encryption.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{Instant, timeout_at},
};

use crate::{
    config::{Encryption, TillConfig},
    error::{Error, Kind, Result},
    source::sqlserver::{browser, connect},
};

/// Time for all steps together, whatever longer time the settings give a connection.
const PATIENCE: Duration = Duration::from_secs(15);
/// The packet that asks for a version and for encryption.
const PRELOGIN: u8 = 0x12;
/// The packet that answers.
const RESPONSE: u8 = 0x04;
/// The longest first answer that makes sense.
const LONGEST_ANSWER: usize = 4096;

/// How far the way to the till is good. A step that was not taken is `None`.
#[derive(Debug)]
pub struct Reach {
    /// Host without the instance.
    pub host: String,
    /// Instance, if the settings name one.
    pub instance: Option<String>,
    /// Addresses of the host.
    pub addresses: Result<Vec<IpAddr>>,
    /// Port that SQL Browser tells for the instance.
    pub browser: Option<Result<u16>>,
    /// Address and port that took a connection.
    pub tcp: Option<Result<SocketAddr>>,
    /// The server's first words.
    pub greeting: Option<Result<Greeting>>,
}

/// What a server says before anybody signs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Greeting {
    /// Major and minor product version.
    pub version: (u8, u8),
    /// What it does about encryption.
    pub encryption: Offer,
}

/// What a server says to a client's wish for encryption.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offer {
    /// It has none.
    None,
    /// It encrypts.
    Encrypted,
    /// It insists on it.
    Insists,
}

/// Goes the way to the till, up to the sign-in.
pub async fn reach(config: &TillConfig) -> Reach {
    let deadline = Instant::now() + config.connect_timeout.min(PATIENCE);
    let (host, instance) = connect::split_host(&config.host);
    let mut reach = Reach {
        host: host.to_owned(),
        instance: instance.map(str::to_owned),
        addresses: connect::resolve(host, deadline).await,
        browser: None,
        tcp: None,
        greeting: None,
    };
    let addresses = reach.addresses.as_ref().cloned().unwrap_or_default();
    for (ip, left) in addresses.iter().zip((1..=addresses.len()).rev()) {
        let left = u32::try_from(left).unwrap_or(u32::MAX);
        let share = Instant::now() + deadline.saturating_duration_since(Instant::now()) / left;
        if let Some(stream) = open(config, *ip, share, &mut reach).await {
            reach.greeting = Some(greet(config, stream, deadline).await);
            break;
        }
    }
    reach
}

/// One address: port and connection. Of several addresses that fail, the first failure is kept, as the driver's way has it.
async fn open(config: &TillConfig, ip: IpAddr, share: Instant, reach: &mut Reach) -> Option<TcpStream> {
    let port = match &reach.instance {
        Some(instance) => {
            let patience = share.saturating_duration_since(Instant::now());
            let found = browser::find_port(&reach.host, ip, config.browser_port, instance, patience).await;
            let port = found.as_ref().ok().copied();
            if port.is_some() || reach.browser.is_none() {
                reach.browser = Some(found);
            }
            port?
        }
        None => config.port,
    };
    let address = SocketAddr::new(ip, port);
    match connect::open_tcp(&reach.host, address, share).await {
        Ok(stream) => {
            reach.tcp = Some(Ok(address));
            Some(stream)
        }
        Err(error) => {
            reach.tcp.get_or_insert(Err(error));
            None
        }
    }
}

/// Says hello and hears what the server is.
async fn greet(config: &TillConfig, mut stream: TcpStream, deadline: Instant) -> Result<Greeting> {
    let wish = if config.encryption == Encryption::Off { 2 } else { 1 };
    let stranger = |cause: &str| {
        let port = stream.peer_addr().map(|address| address.port()).unwrap_or_default();
        Error::new(Kind::Source, format!("something listens on port {port}, but it does not answer like SQL Server"))
            .hint("check sambapos_db_host and sambapos_db_port; SQL Server Configuration Manager shows the port under TCP/IP, IP Addresses, IPAll")
            .caused_by(cause.to_owned())
    };
    let silent = stranger("it says nothing");
    let closed = stranger("it closed the connection");
    let strange = stranger("its answer is no answer of SQL Server");
    let talk = async {
        stream.write_all(&prelogin(wish)).await?;
        let mut header = [0; 8];
        stream.read_exact(&mut header).await?;
        let length = usize::from(u16::from_be_bytes([header[2], header[3]])).saturating_sub(header.len());
        let mut body = vec![0; if header[0] == RESPONSE { length.min(LONGEST_ANSWER) } else { 0 }];
        stream.read_exact(&mut body).await?;
        Ok::<_, std::io::Error>(body)
    };
    match timeout_at(deadline, talk).await {
        Err(_) => Err(silent),
        Ok(Err(_)) => Err(closed),
        Ok(Ok(body)) => understood(&body).ok_or(strange),
    }
}

/// A PRELOGIN packet with two options, version and encryption.
fn prelogin(wish: u8) -> Vec<u8> {
    let mut packet = vec![PRELOGIN, 1, 0, 0, 0, 0, 1, 0];
    // Option, offset from here, length; 0xFF ends the list.
    packet.extend_from_slice(&[0, 0, 11, 0, 6, 1, 0, 17, 0, 1, 0xFF]);
    packet.extend_from_slice(&[0, 0, 0, 0, 0, 0, wish]);
    let length = u8::try_from(packet.len()).unwrap_or(u8::MAX);
    packet[3] = length;
    packet
}

/// Version and encryption of an answer; `None` when it is not one.
fn understood(body: &[u8]) -> Option<Greeting> {
    let (mut version, mut encryption) = (None, None);
    let mut at = 0;
    loop {
        let option = *body.get(at)?;
        if option == 0xFF {
            break;
        }
        let entry = body.get(at + 1..at + 5)?;
        let offset = usize::from(u16::from_be_bytes([entry[0], entry[1]]));
        let length = usize::from(u16::from_be_bytes([entry[2], entry[3]]));
        let value = body.get(offset..offset + length)?;
        match (option, value) {
            (0, [major, minor, ..]) => version = Some((*major, *minor)),
            (1, [byte, ..]) => encryption = Some(*byte),
            _ => {}
        }
        at += 5;
    }
    let encryption = match encryption? {
        0 | 1 => Offer::Encrypted,
        2 => Offer::None,
        3 => Offer::Insists,
        _ => return None,
    };
    Some(Greeting { version: version?, encryption })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_understood_whatever_the_order_of_its_options() {
        let body = [1, 0, 11, 0, 1, 0, 0, 12, 0, 6, 0xFF, 3, 11, 0, 8, 52, 0, 0];
        assert_eq!(understood(&body), Some(Greeting { version: (11, 0), encryption: Offer::Insists }));
    }

    #[test]
    fn what_is_no_answer_is_refused_and_never_read_beyond_its_end() {
        let whole = [1, 0, 11, 0, 1, 0, 0, 12, 0, 6, 0xFF, 3, 11, 0, 8, 52, 0, 0];
        for length in 0..whole.len() {
            assert_eq!(understood(&whole[..length]), None);
        }
        assert_eq!(understood(b"HTTP/1.1 400 Bad Request"), None);
        assert_eq!(understood(&[0xFF]), None);
    }

    #[test]
    fn a_packet_states_its_length() {
        let packet = prelogin(1);
        assert_eq!(usize::from(packet[3]), packet.len());
        assert_eq!(understood(&packet[8..]), Some(Greeting { version: (0, 0), encryption: Offer::Encrypted }));
    }
}
