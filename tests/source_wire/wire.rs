//! A scripted server: just enough TDS to say what a test wants said.

#![allow(clippy::unwrap_used, reason = "part of a test")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// What the server does after it sent its bytes.
pub(crate) enum Then {
    /// The answer is complete.
    Done,
    /// The connection ends in the middle of the answer.
    Cut,
    /// Nothing more comes.
    Stall,
}

/// Answers a request: its number among all since the start, and its text.
type Script = dyn Fn(usize, &str) -> (Vec<u8>, Then) + Send + Sync;

pub(crate) struct Server {
    pub(crate) port: u16,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The server cannot encrypt.
const NOT_SUPPORTED: u8 = 2;
/// The server insists on encryption.
const REQUIRED: u8 = 3;

/// A server that insists on encryption, and ends the connection instead of answering the handshake.
pub(crate) async fn insisting_server() -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let task = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                read_message(&mut stream).await?;
                send(&mut stream, &prelogin(REQUIRED), true).await
            });
        }
    });
    Server { port, task }
}

/// VERSION at 11, 6 bytes; ENCRYPTION at 17, 1 byte.
fn prelogin(encryption: u8) -> [u8; 18] {
    [0, 0, 11, 0, 6, 1, 0, 17, 0, 1, 0xFF, 14, 0, 0, 0, 0, 0, encryption]
}

pub(crate) async fn server(
    login: fn() -> Vec<u8>,
    script: impl Fn(usize, &str) -> (Vec<u8>, Then) + Send + Sync + 'static,
) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let script: Arc<Script> = Arc::new(script);
    let count = Arc::new(AtomicUsize::new(0));
    let task = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, login, script.clone(), count.clone()));
        }
    });
    Server { port, task }
}

/// One connection; ends when the client goes away or the script says so.
async fn serve(
    mut stream: TcpStream,
    login: fn() -> Vec<u8>,
    script: Arc<Script>,
    count: Arc<AtomicUsize>,
) -> Option<()> {
    read_message(&mut stream).await?;
    send(&mut stream, &prelogin(NOT_SUPPORTED), true).await?;
    read_message(&mut stream).await?;
    send(&mut stream, &login(), true).await?;
    loop {
        let request = read_message(&mut stream).await?;
        let settings = ["SET NOCOUNT ON", "SET DEADLOCK_PRIORITY", "SET LANGUAGE", "SET DATEFORMAT"];
        if settings.iter().any(|setting| request.contains(setting)) {
            send(&mut stream, &[marker(&request), done()].concat(), true).await?;
            continue;
        }
        let (mut bytes, then) = script(count.fetch_add(1, Ordering::SeqCst), &request);
        match then {
            Then::Done => {
                if let Some(rows) = row_count(&bytes).filter(|_| request.contains("@@ROWCOUNT")) {
                    bytes.extend(done_with_more());
                    bytes.extend(large_number("row_count", rows));
                }
                if bytes.first() != Some(&0xAA) {
                    bytes.extend(marker(&request));
                }
                bytes.extend(done());
                send(&mut stream, &bytes, true).await?;
            }
            Then::Cut => {
                send(&mut stream, &bytes, false).await?;
                return None;
            }
            Then::Stall => {
                send(&mut stream, &bytes, false).await?;
                tokio::time::sleep(Duration::from_secs(60)).await;
            }
        }
    }
}

/// What proves that a batch through tiberius was carried out to its end, where the request asks for it.
fn marker(request: &str) -> Vec<u8> {
    if !request.contains("SELECT 4711 AS done") {
        return Vec::new();
    }
    [done_with_more(), number("done", 4711)].concat()
}

/// A statement is done, and the next one's answer follows.
fn done_with_more() -> Vec<u8> {
    [[0xFD, 1, 0, 0, 0].as_slice(), &[0; 8]].concat()
}

/// The rows of an answer of one result; `None` when it is an error, or says something that only a test's own client would.
fn row_count(bytes: &[u8]) -> Option<i64> {
    let take = |at: &mut usize, count: usize| -> Option<u64> {
        let part = bytes.get(*at..*at + count)?;
        *at += count;
        Some(part.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    };
    let at = &mut 0;
    if take(at, 1)? != 0x81 {
        return None;
    }
    let mut types = Vec::new();
    for _ in 0..take(at, 2)? {
        take(at, 6)?;
        types.push(take(at, 1)?);
        *at += match types.last()? {
            0x38 | 0x7F => 0,
            0xE7 => 7,
            0xA5 => 2,
            _ => return None,
        };
        *at += usize::try_from(take(at, 1)?).ok()? * 2;
    }
    let mut rows = 0;
    while *at < bytes.len() {
        if take(at, 1)? != 0xD1 {
            return None;
        }
        for kind in &types {
            match kind {
                0x38 => *at += 4,
                0x7F => *at += 8,
                _ => {
                    take(at, 8)?;
                    while let part @ 1.. = take(at, 4)? {
                        *at += usize::try_from(part).ok()?;
                    }
                }
            }
        }
        rows += 1;
    }
    (*at == bytes.len()).then_some(rows)
}

/// All packets of a message, as text: UTF-16 at even and at odd places, since the text may stand at either.
async fn read_message(stream: &mut TcpStream) -> Option<String> {
    let mut payload = Vec::new();
    loop {
        let mut header = [0; 8];
        stream.read_exact(&mut header).await.ok()?;
        let mut part = vec![0; usize::from(u16::from_be_bytes([header[2], header[3]])) - 8];
        stream.read_exact(&mut part).await.ok()?;
        payload.extend(part);
        if header[1] & 1 == 1 {
            break;
        }
    }
    let text = |bytes: &[u8]| {
        let units: Vec<u16> = bytes.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect();
        String::from_utf16_lossy(&units)
    };
    Some(text(&payload) + &text(&payload[payload.len().min(1)..]))
}

async fn send(stream: &mut TcpStream, payload: &[u8], last: bool) -> Option<()> {
    let mut parts = payload.chunks(4000).peekable();
    while let Some(part) = parts.next() {
        let end = u8::from(last && parts.peek().is_none());
        let length = u16::try_from(part.len() + 8).unwrap().to_be_bytes();
        stream.write_all(&[4, end, length[0], length[1], 0, 0, 1, 0]).await.ok()?;
        stream.write_all(part).await.ok()?;
    }
    Some(())
}

pub(crate) fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

pub(crate) fn short_text(text: &str) -> Vec<u8> {
    [vec![u8::try_from(text.encode_utf16().count()).unwrap()], utf16(text)].concat()
}

pub(crate) fn done() -> Vec<u8> {
    [vec![0xFD, 0, 0, 0, 0], vec![0; 8]].concat()
}

/// What a server tells of the session at sign-in: the database, its collation, the size of a packet.
fn environment(packet_size: bool) -> Vec<u8> {
    let change = |kind: u8, value: Vec<u8>| {
        let body = [vec![kind], value].concat();
        [vec![0xE3], u16::try_from(body.len()).unwrap().to_le_bytes().to_vec(), body].concat()
    };
    let size = change(4, [short_text("4096"), short_text("4096")].concat());
    [
        change(1, [short_text("SambaPOS5"), vec![0]].concat()),
        change(7, vec![5, 9, 4, 0xD0, 0, 0x34, 0]),
        if packet_size { size } else { Vec::new() },
    ]
    .concat()
}

pub(crate) fn login_ack() -> Vec<u8> {
    signed_in(true)
}

pub(crate) fn login_without_packet_size() -> Vec<u8> {
    signed_in(false)
}

fn signed_in(packet_size: bool) -> Vec<u8> {
    let body = [vec![1, 0x74, 0, 0, 4], short_text("Microsoft SQL Server"), vec![14, 0, 3, 0xE8]].concat();
    [vec![0xAD], u16::try_from(body.len()).unwrap().to_le_bytes().to_vec(), body, environment(packet_size), done()]
        .concat()
}

pub(crate) fn error(number: u32, class: u8, message: &str) -> Vec<u8> {
    let body = [
        number.to_le_bytes().to_vec(),
        vec![1, class],
        u16::try_from(message.len()).unwrap().to_le_bytes().to_vec(),
        utf16(message),
        short_text("TILL"),
        short_text(""),
        1_u32.to_le_bytes().to_vec(),
    ]
    .concat();
    [vec![0xAA], u16::try_from(body.len()).unwrap().to_le_bytes().to_vec(), body].concat()
}

/// `Id int NOT NULL`, and the columns named: `nvarchar(max) NULL`.
pub(crate) fn metadata(texts: &[&str]) -> Vec<u8> {
    let mut bytes = vec![0x81];
    bytes.extend(u16::try_from(1 + texts.len()).unwrap().to_le_bytes());
    bytes.extend([0, 0, 0, 0, 0, 0, 0x38]);
    bytes.extend(short_text("Id"));
    for name in texts {
        bytes.extend([0, 0, 0, 0, 1, 0, 0xE7, 0xFF, 0xFF, 9, 4, 0xD0, 0, 0x34]);
        bytes.extend(short_text(name));
    }
    bytes
}

/// `Id int NOT NULL`, and the columns named: `varbinary(max) NULL`.
pub(crate) fn binary_metadata(names: &[&str]) -> Vec<u8> {
    let mut bytes = vec![0x81];
    bytes.extend(u16::try_from(1 + names.len()).unwrap().to_le_bytes());
    bytes.extend([0, 0, 0, 0, 0, 0, 0x38]);
    bytes.extend(short_text("Id"));
    for name in names {
        bytes.extend([0, 0, 0, 0, 1, 0, 0xA5, 0xFF, 0xFF]);
        bytes.extend(short_text(name));
    }
    bytes
}

pub(crate) fn row(id: i32, texts: &[&[u8]]) -> Vec<u8> {
    let mut bytes = vec![0xD1];
    bytes.extend(id.to_le_bytes());
    for text in texts {
        bytes.extend((text.len() as u64).to_le_bytes());
        bytes.extend(u32::try_from(text.len()).unwrap().to_le_bytes());
        bytes.extend_from_slice(text);
        bytes.extend(0_u32.to_le_bytes());
    }
    bytes
}

/// One row of one `int`.
pub(crate) fn number(name: &str, value: i32) -> Vec<u8> {
    let head = [0x81, 1, 0, 0, 0, 0, 0, 0, 0, 0x38].to_vec();
    [head, short_text(name), vec![0xD1], value.to_le_bytes().to_vec()].concat()
}

/// One row of one `bigint`.
pub(crate) fn large_number(name: &str, value: i64) -> Vec<u8> {
    let head = [0x81, 1, 0, 0, 0, 0, 0, 0, 0, 0x7F].to_vec();
    [head, short_text(name), vec![0xD1], value.to_le_bytes().to_vec()].concat()
}
