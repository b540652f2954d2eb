//! A SQL Browser on loopback: answers which TCP port an instance listens on (SSRP, MC-SQLR).
//!
//! The real one listens on UDP 1434; this one takes any port, so that tests need no privileges and disturb nobody.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::{net::UdpSocket, task::JoinHandle};

use crate::error::{Error, Kind, OrFail, Result};

const CLNT_BCAST_EX: u8 = 0x02;
const CLNT_UCAST_EX: u8 = 0x03;
const CLNT_UCAST_INST: u8 = 0x04;
const SVR_RESP: u8 = 0x05;

/// A running SQL Browser for one instance. Stops on drop.
#[derive(Debug)]
pub struct Browser {
    port: u16,
    answering: JoinHandle<()>,
}

impl Browser {
    /// Listens on 127.0.0.1, UDP `port` (0 takes a free one), and says that `instance` is at `tcp_port`. Must be called
    /// inside a tokio runtime.
    ///
    /// # Errors
    /// [`Kind::Source`] when the port cannot be had.
    pub async fn start(port: u16, instance: &str, tcp_port: u16) -> Result<Self> {
        let socket = UdpSocket::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await.map_err(|error| {
            Error::new(Kind::Source, format!("SQL Browser cannot listen on UDP port {port}")).caused_by(error)
        })?;
        let port = socket.local_addr().or_fail(Kind::Source, || "SQL Browser has no address")?.port();
        let instance = instance.to_owned();
        let answering = tokio::spawn(async move {
            let mut request = [0u8; 1024];
            while let Ok((length, client)) = socket.recv_from(&mut request).await {
                if let Some(answer) = answer(&request[..length], &instance, tcp_port) {
                    // UDP promises nothing; a client that hears nothing asks again.
                    let _ = socket.send_to(&answer, client).await;
                }
            }
        });
        Ok(Self { port, answering })
    }

    /// The UDP port listened on.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        self.answering.abort();
    }
}

/// The answer to a request; `None` for another instance's name, since the real one keeps silent then, too.
fn answer(request: &[u8], instance: &str, tcp_port: u16) -> Option<Vec<u8>> {
    match request {
        [CLNT_BCAST_EX | CLNT_UCAST_EX, ..] => {}
        [CLNT_UCAST_INST, name @ ..] => {
            let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
            if !String::from_utf8_lossy(name).eq_ignore_ascii_case(instance) {
                return None;
            }
        }
        _ => return None,
    }
    let text =
        format!("ServerName;DEMO-TILL;InstanceName;{instance};IsClustered;No;Version;14.0.1000.169;tcp;{tcp_port};;");
    let mut out = vec![SVR_RESP];
    out.extend_from_slice(&u16::try_from(text.len()).ok()?.to_le_bytes());
    out.extend_from_slice(text.as_bytes());
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_known_instance_is_answered() {
        let found = answer(b"\x04sqlexpress\0", "SQLEXPRESS", 50_123).unwrap();
        assert_eq!(found[0], 5);
        assert!(String::from_utf8_lossy(&found).contains("InstanceName;SQLEXPRESS;IsClustered;No;"));
        assert!(String::from_utf8_lossy(&found).ends_with(";tcp;50123;;"));
        assert_eq!(answer(b"\x04OTHER\0", "SQLEXPRESS", 1), None);
        assert_eq!(answer(b"", "SQLEXPRESS", 1), None);
        assert!(answer(b"\x03", "SQLEXPRESS", 1).is_some());
    }
}
