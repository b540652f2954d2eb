//! SQL Server Browser: which TCP port does `HOST\INSTANCE` listen on?
//!
//! One small datagram each way (SSRP). Promises an answer or a clear error within the given time; a browser says nothing
//! at all for a name it does not know, so silence is followed by the question for all names, to tell the two apart.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use tokio::{net::UdpSocket, time::timeout};

use crate::error::{Error, Kind, OrFail as _, Result};

/// Question for one instance, followed by its name and a zero.
const ASK_INSTANCE: u8 = 0x04;
/// Question for all instances, sent to one machine.
const ASK_ALL: u8 = 0x03;
/// First byte of every answer; two bytes of length follow.
const ANSWER: u8 = 0x05;
/// The longest answer that may come.
const ANSWER_BYTES: usize = 65_536;
/// Datagrams get lost: ask this often.
const ATTEMPTS: u32 = 3;

/// Asks the browser on `address:browser_port` for the TCP port of `instance`.
///
/// # Errors
/// `Source`: temporary when nothing answered; final when the browser knows no such instance or it has TCP/IP switched off.
pub(super) async fn find_port(
    host: &str,
    address: IpAddr,
    browser_port: u16,
    instance: &str,
    patience: Duration,
) -> Result<u16> {
    let browser = SocketAddr::new(address, browser_port);
    let local = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(local)
        .await
        .or_fail(Kind::Source, || "cannot open a UDP socket to ask SQL Server Browser".to_owned())?;
    socket.connect(browser).await.or_fail(Kind::Source, || format!("cannot reach SQL Server Browser at {browser}"))?;

    let wait = (patience / (ATTEMPTS + 1)).min(Duration::from_secs(1));
    let mut question = vec![ASK_INSTANCE];
    question.extend_from_slice(instance.as_bytes());
    question.push(0);
    for _ in 0..ATTEMPTS {
        if let Some(answer) = ask(&socket, &question, wait).await {
            return port_of(&answer, host, instance);
        }
    }
    match ask(&socket, &[ASK_ALL], wait).await {
        Some(answer) => port_of(&answer, host, instance),
        None => Err(silent(host, browser_port, instance)),
    }
}

/// One question, one answer; `None` when nothing came in time, or the machine said that nobody listens there.
async fn ask(socket: &UdpSocket, question: &[u8], wait: Duration) -> Option<String> {
    socket.send(question).await.ok()?;
    let mut buffer = vec![0; ANSWER_BYTES];
    let length = timeout(wait, socket.recv(&mut buffer)).await.ok()?.ok()?;
    match buffer.get(..length)? {
        // Names are in the server's code page; ports and keywords are ASCII in all of them.
        [ANSWER, _, _, text @ ..] => Some(String::from_utf8_lossy(text).into_owned()),
        _ => None,
    }
}

/// Finds the instance in `ServerName;H;InstanceName;I;IsClustered;No;Version;V;tcp;P;np;…;;ServerName;…`.
fn port_of(answer: &str, host: &str, instance: &str) -> Result<u16> {
    let mut others = Vec::new();
    for entry in answer.split(";;").filter(|entry| !entry.is_empty()) {
        let fields: Vec<&str> = entry.split(';').collect();
        let field = |name: &str| {
            fields.chunks_exact(2).find(|pair| pair[0].eq_ignore_ascii_case(name)).map(|pair| pair[1].trim())
        };
        let found = field("InstanceName").unwrap_or_default();
        if found.to_lowercase() != instance.to_lowercase() {
            others.push(found.to_owned());
            continue;
        }
        return field("tcp").and_then(|port| port.parse().ok()).filter(|port| *port != 0).ok_or_else(|| {
            Error::new(Kind::Source, format!("instance {instance} on {host} does not listen on TCP"))
                .hint("enable TCP/IP for the instance in SQL Server Configuration Manager and restart it")
        });
    }
    Err(Error::new(Kind::Source, format!("there is no instance {instance} on {host}"))
        .hint(format!("SQL Server Browser there knows: {}", others.join(", "))))
}

fn silent(host: &str, browser_port: u16, instance: &str) -> Error {
    Error::new(Kind::Source, format!("SQL Server Browser on {host} did not answer for instance {instance}"))
        .hint(format!(
            "UDP port {browser_port} may be blocked by a firewall, the service \"SQL Server Browser\" may be stopped, or the \
             instance name may be wrong; or go without it: set sambapos_db_host to the host alone and sambapos_db_port to \
             the instance's TCP port"
        ))
        .temporary()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &str = "ServerName;TILL;InstanceName;SQLEXPRESS;IsClustered;No;Version;14.0.1000.169;tcp;49172;np;\\\\TILL\\pipe\\x;;\
                       ServerName;TILL;InstanceName;SAMBAPOS;IsClustered;No;Version;12.0.2000.8;;";

    #[test]
    fn the_port_is_that_of_the_instance_asked_for() {
        assert_eq!(port_of(TWO, "till", "sqlexpress").unwrap(), 49_172);
    }

    #[test]
    fn an_instance_without_tcp_says_so() {
        let error = port_of(TWO, "till", "SAMBAPOS").unwrap_err();
        assert_eq!(error.message(), "instance SAMBAPOS on till does not listen on TCP");
        assert!(!error.is_temporary());
    }

    #[test]
    fn an_unknown_instance_is_answered_with_the_known_ones() {
        let error = port_of(TWO, "till", "OTHER").unwrap_err();
        assert_eq!(error.message(), "there is no instance OTHER on till");
        assert_eq!(error.next_step(), Some("SQL Server Browser there knows: SQLEXPRESS, SAMBAPOS"));
    }

    /// A browser that answers `ASK_INSTANCE` only for `KNOWN`, and `ASK_ALL` always.
    async fn browser() -> (u16, tokio::task::JoinHandle<()>) {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let port = socket.local_addr().unwrap().port();
        let task = tokio::spawn(async move {
            let mut buffer = [0; 512];
            loop {
                let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
                let known = &buffer[..length] == b"\x04KNOWN\0" || buffer[..length] == [ASK_ALL];
                if known {
                    let text = "ServerName;TILL;InstanceName;KNOWN;IsClustered;No;Version;14.0;tcp;50123;;";
                    let mut answer = vec![ANSWER, u8::try_from(text.len()).unwrap(), 0];
                    answer.extend_from_slice(text.as_bytes());
                    socket.send_to(&answer, from).await.unwrap();
                }
            }
        });
        (port, task)
    }

    #[tokio::test]
    async fn a_browser_is_asked_over_udp() {
        let (port, task) = browser().await;
        let address = IpAddr::from([127, 0, 0, 1]);
        let patience = Duration::from_millis(800);
        assert_eq!(find_port("till", address, port, "KNOWN", patience).await.unwrap(), 50_123);
        let error = find_port("till", address, port, "WRONG", patience).await.unwrap_err();
        assert_eq!(error.message(), "there is no instance WRONG on till");
        task.abort();
    }

    #[tokio::test]
    async fn a_silent_browser_is_its_own_error() {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let port = socket.local_addr().unwrap().port();
        let address = IpAddr::from([127, 0, 0, 1]);
        let error = find_port("till", address, port, "X", Duration::from_millis(400)).await.unwrap_err();
        assert!(error.message().contains("did not answer"), "{error}");
        assert!(error.next_step().unwrap().contains("sambapos_db_port"));
        assert_eq!(error.exit_code(), 75);
    }
}
