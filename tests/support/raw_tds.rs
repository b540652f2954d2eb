//! A TDS client that looks at bytes only: signs in without TLS, sends a request, hands back or throws away what comes.
//!
//! For comparing answers byte by byte, and for measuring what the server alone can do.

#![allow(dead_code, reason = "each user needs a part of it")]

use std::{
    io::{self, Read as _, Write as _},
    net::TcpStream,
};

const SQL_BATCH: u8 = 1;
const RPC: u8 = 3;
const ATTENTION: u8 = 6;
const LOGIN7: u8 = 16;
const PRELOGIN: u8 = 18;

pub(crate) struct RawClient {
    stream: TcpStream,
    buffer: Vec<u8>,
    packet_size: usize,
}

impl RawClient {
    /// Signs in; the server grants the packet size asked for.
    pub(crate) fn connect(port: u16, user: &str, password: &str, database: &str, packet_size: u32) -> io::Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_nodelay(true)?;
        let packet_size_bytes = usize::try_from(packet_size).unwrap_or(4096);
        let mut client = Self { stream, buffer: vec![0; 1 << 20], packet_size: packet_size_bytes };
        // VERSION at 11, ENCRYPTION at 17: not supported.
        let prelogin = [0, 0, 11, 0, 6, 1, 0, 17, 0, 1, 0xFF, 17, 0, 0, 0, 0, 0, 2];
        client.send(PRELOGIN, &prelogin)?;
        client.receive()?;
        client.send(LOGIN7, &login(user, password, database, packet_size))?;
        let answer = client.receive()?;
        if !answer.contains(&0xAD) || answer.first() == Some(&0xAA) {
            return Err(io::Error::other("the server refused the sign-in"));
        }
        Ok(client)
    }

    /// Sends a message in as many packets as it needs.
    fn send(&mut self, kind: u8, payload: &[u8]) -> io::Result<()> {
        let mut pieces = payload.chunks(4088).peekable();
        let mut first = payload.is_empty();
        while first || pieces.peek().is_some() {
            first = false;
            let piece = pieces.next().unwrap_or_default();
            let length = u16::try_from(piece.len() + 8).unwrap().to_be_bytes();
            let last = u8::from(pieces.peek().is_none());
            let mut packet = vec![kind, last, length[0], length[1], 0, 0, 1, 0];
            packet.extend_from_slice(piece);
            self.stream.write_all(&packet)?;
        }
        Ok(())
    }

    /// Sends a batch.
    pub(crate) fn batch(&mut self, sql: &str) -> io::Result<()> {
        let mut payload = headers();
        payload.extend(utf16(sql));
        self.send(SQL_BATCH, &payload)
    }

    /// Calls `sp_executesql` with whole numbers as `@P1`, `@P2`, …
    pub(crate) fn execute(&mut self, sql: &str, parameters: &[i64]) -> io::Result<()> {
        let mut payload = headers();
        payload.extend([0xFF, 0xFF, 10, 0, 0, 0]);
        let names: Vec<String> = (1..=parameters.len()).map(|n| format!("@P{n} bigint")).collect();
        for text in [sql.to_owned(), names.join(",")] {
            let text = utf16(&text);
            payload.extend([0, 0, 0xE7, 0xFF, 0xFF, 9, 4, 0xD0, 0, 0]);
            payload.extend((text.len() as u64).to_le_bytes());
            if !text.is_empty() {
                payload.extend(u32::try_from(text.len()).unwrap().to_le_bytes());
                payload.extend(&text);
            }
            payload.extend([0; 4]);
        }
        for (index, value) in parameters.iter().enumerate() {
            let name = utf16(&format!("@P{}", index + 1));
            payload.push(u8::try_from(name.len() / 2).unwrap());
            payload.extend(name);
            payload.extend([0, 0x26, 8, 8]);
            payload.extend(value.to_le_bytes());
        }
        self.send(RPC, &payload)
    }

    /// Asks the server to stop.
    pub(crate) fn attention(&mut self) -> io::Result<()> {
        self.send(ATTENTION, &[])
    }

    /// One packet: its payload, and whether it is the last of the message.
    pub(crate) fn packet(&mut self) -> io::Result<(Vec<u8>, bool)> {
        let mut header = [0u8; 8];
        self.stream.read_exact(&mut header)?;
        let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
        let mut body = vec![0; length - 8];
        self.stream.read_exact(&mut body)?;
        Ok((body, header[1] & 1 != 0))
    }

    /// The tokens of one message.
    pub(crate) fn receive(&mut self) -> io::Result<Vec<u8>> {
        let mut tokens = Vec::new();
        loop {
            let (body, last) = self.packet()?;
            tokens.extend(body);
            if last {
                return Ok(tokens);
            }
        }
    }

    /// Throws one message away; its bytes, headers included. Only packet headers are looked at.
    pub(crate) fn drain(&mut self) -> io::Result<u64> {
        let mut total = 0u64;
        // Bytes that still belong to the present packet; a header may arrive in two parts.
        let (mut left, mut last) = (0usize, false);
        let mut header: Vec<u8> = Vec::with_capacity(8);
        loop {
            let count = self.stream.read(&mut self.buffer)?;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            total += count as u64;
            let mut rest = &self.buffer[..count];
            while !rest.is_empty() {
                if left == 0 {
                    let (head, later) = rest.split_at((8 - header.len()).min(rest.len()));
                    header.extend_from_slice(head);
                    rest = later;
                    if header.len() < 8 {
                        break;
                    }
                    left = usize::from(u16::from_be_bytes([header[2], header[3]])) - 8;
                    last = header[1] & 1 != 0;
                    header.clear();
                }
                let step = left.min(rest.len());
                left -= step;
                rest = &rest[step..];
                if left == 0 && last {
                    return Ok(total);
                }
            }
        }
    }
}

fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

/// `ALL_HEADERS` with a transaction descriptor of 0.
fn headers() -> Vec<u8> {
    let mut bytes = vec![22, 0, 0, 0, 18, 0, 0, 0, 2, 0];
    bytes.extend([0; 8]);
    bytes.extend([1, 0, 0, 0]);
    bytes
}

fn login(user: &str, password: &str, database: &str, packet_size: u32) -> Vec<u8> {
    let hidden: Vec<u8> = utf16(password).iter().map(|byte| byte.rotate_left(4) ^ 0xA5).collect();
    let texts =
        [utf16("raw"), utf16(user), hidden, utf16("raw"), utf16("till"), vec![], vec![], vec![], utf16(database)];
    let mut fixed = Vec::new();
    fixed.extend(0x7400_0004u32.to_le_bytes());
    fixed.extend(packet_size.to_le_bytes());
    fixed.extend([0; 12]);
    fixed.extend([0xE0, 0x03, 0, 0]);
    fixed.extend([0; 8]);
    let mut data = Vec::new();
    let base = 94;
    let mut place = |fixed: &mut Vec<u8>, text: &[u8]| {
        fixed.extend(u16::try_from(base + data.len()).unwrap().to_le_bytes());
        fixed.extend(u16::try_from(text.len() / 2).unwrap().to_le_bytes());
        data.extend_from_slice(text);
    };
    for text in &texts {
        place(&mut fixed, text);
    }
    fixed.extend([0; 6]);
    for _ in 0..3 {
        place(&mut fixed, &[]);
    }
    fixed.extend([0; 4]);
    let mut message = u32::try_from(4 + fixed.len() + data.len()).unwrap().to_le_bytes().to_vec();
    message.extend(fixed);
    message.extend(data);
    message
}
