//! TDS packets: eight bytes of header, then up to a packet size of payload; a message is one or more packets (MS-TDS 2.2.3).
//!
//! [`read_message`] joins packets to messages; [`Outgoing`] cuts a message into packets and hands them on in large pieces,
//! waiting when the receiver lags, so that a result is never held in memory as a whole.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::{
    io::{AsyncRead, AsyncReadExt},
    sync::mpsc,
};

/// Bytes of a packet header.
pub(super) const HEADER: usize = 8;
/// Packet size before the client asks for another.
pub(super) const DEFAULT_PACKET_SIZE: usize = 4096;
/// Longest message a client may send; parameters of tillvault are far smaller.
const LONGEST_REQUEST: usize = 64 << 20;
/// Bytes collected before they are handed to the network side.
const PIECE: usize = 64 << 10;
/// Bytes handed over at once of answers that are ready.
const LARGE_PIECE: usize = 512 << 10;

pub(super) const SQL_BATCH: u8 = 1;
pub(super) const RPC: u8 = 3;
pub(super) const RESPONSE: u8 = 4;
pub(super) const ATTENTION: u8 = 6;
pub(super) const TRANSACTION_MANAGER: u8 = 14;
pub(super) const LOGIN7: u8 = 16;
pub(super) const PRELOGIN: u8 = 18;

const END_OF_MESSAGE: u8 = 0x01;
const IGNORE: u8 = 0x02;
const RESET_CONNECTION: u8 = 0x08 | 0x10;

/// One request of the client.
#[derive(Debug)]
pub(super) struct Message {
    /// Packet type, such as [`SQL_BATCH`].
    pub(super) kind: u8,
    /// The client wants its session settings back to their defaults first.
    pub(super) reset: bool,
    /// The client took the message back: it is not to be run.
    pub(super) ignored: bool,
    pub(super) payload: Vec<u8>,
}

/// Reads the packets of one message; `None` when the client has closed the connection between messages.
pub(super) async fn read_message<R: AsyncRead + Unpin>(reader: &mut R) -> io::Result<Option<Message>> {
    let mut message = Message { kind: 0, reset: false, ignored: false, payload: Vec::new() };
    let mut first = true;
    loop {
        let mut header = [0u8; HEADER];
        if let Err(error) = reader.read_exact(&mut header).await {
            return if first && error.kind() == io::ErrorKind::UnexpectedEof { Ok(None) } else { Err(error) };
        }
        let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
        let Some(body) = length.checked_sub(HEADER) else {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a packet shorter than its header"));
        };
        if first {
            message.kind = header[0];
            message.reset = header[1] & RESET_CONNECTION != 0;
            first = false;
        } else if header[0] != message.kind {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "packets of two messages are mixed"));
        }
        let start = message.payload.len();
        if start + body > LONGEST_REQUEST {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the request is too long"));
        }
        message.payload.resize(start + body, 0);
        reader.read_exact(&mut message.payload[start..]).await?;
        if header[1] & END_OF_MESSAGE != 0 {
            message.ignored = header[1] & IGNORE != 0;
            return Ok(Some(message));
        }
    }
}

/// Cuts `payload` into packets of `kind`; the last one ends the message. For the short messages of the sign-in.
pub(super) fn frame(kind: u8, payload: &[u8], packet_size: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(payload.len() + HEADER);
    let mut id = 1u8;
    let mut rest = payload;
    loop {
        let (body, later) = rest.split_at(rest.len().min(packet_size - HEADER));
        push_packet(&mut out, kind, later.is_empty(), id, body);
        id = id.wrapping_add(1);
        rest = later;
        if rest.is_empty() {
            return out;
        }
    }
}

fn push_packet(out: &mut Vec<u8>, kind: u8, last: bool, id: u8, body: &[u8]) {
    // Packet sizes are at most 32,767 (MS-TDS 2.2.6.4), so that the length always fits.
    let length = u16::try_from(body.len() + HEADER).unwrap_or(u16::MAX).to_be_bytes();
    out.extend_from_slice(&[kind, u8::from(last), length[0], length[1], 0, SPID, id, 0]);
    out.extend_from_slice(body);
}

/// The session number the server shows; one number will do.
pub(super) const SPID: u8 = 51;

/// What the session thread hands to the network side.
#[derive(Debug)]
pub(super) enum Piece {
    /// Whole packets.
    Packets(Vec<u8>),
    /// Close the connection now (a fault): the bytes before were sent.
    Drop,
    /// The last packets, and whether the last token took note of the client's attention. They travel together with the
    /// end: once a client has them it may send its next request.
    Last { packets: Vec<u8>, attention_noted: bool },
}

/// Shared by the network side and the session: whether the client asked to stop or has gone.
#[derive(Clone, Debug, Default)]
pub(super) struct Cancel {
    attention: Arc<AtomicBool>,
    gone: Arc<AtomicBool>,
}

impl Cancel {
    pub(super) fn ask_to_stop(&self) {
        self.attention.store(true, Ordering::Release);
    }
    pub(super) fn client_gone(&self) {
        self.gone.store(true, Ordering::Release);
    }
    pub(super) fn attention(&self) -> bool {
        self.attention.load(Ordering::Acquire)
    }
    /// Whether work on the present request should end.
    pub(super) fn stopped(&self) -> bool {
        self.attention() || self.gone.load(Ordering::Acquire)
    }
}

/// The client is gone or the connection was cut: nothing more can be sent.
#[derive(Debug)]
pub(super) struct Gone;

/// A response under way: tokens are appended to [`Outgoing::body`]; whole packets leave as they fill.
pub(super) struct Outgoing {
    pub(super) body: Vec<u8>,
    packet_size: usize,
    next_id: u8,
    sender: mpsc::Sender<Piece>,
}

impl Outgoing {
    pub(super) fn new(sender: mpsc::Sender<Piece>, packet_size: usize) -> Self {
        Self { body: Vec::with_capacity(PIECE + DEFAULT_PACKET_SIZE), packet_size, next_id: 1, sender }
    }

    /// Sends full packets when enough has gathered; waits while the client lags.
    pub(super) fn pump(&mut self) -> Result<(), Gone> {
        if self.body.len() < PIECE { Ok(()) } else { self.send_full_packets() }
    }

    /// Sends what fills whole packets. At least one byte stays, since the last packet must carry the end mark.
    pub(super) fn send_full_packets(&mut self) -> Result<(), Gone> {
        let room = self.packet_size - HEADER;
        let full = self.body.len().saturating_sub(1) / room;
        if full == 0 {
            return Ok(());
        }
        let mut out = Vec::with_capacity(full * self.packet_size);
        for body in self.body[..full * room].chunks_exact(room) {
            push_packet(&mut out, RESPONSE, false, self.next_id, body);
            self.next_id = self.next_id.wrapping_add(1);
        }
        self.body.drain(..full * room);
        self.sender.blocking_send(Piece::Packets(out)).map_err(|_| Gone)
    }

    /// Sends bytes that are ready, in large pieces, straight into packets; what fills no packet waits in the body. Whether
    /// the client still wants them.
    pub(super) fn send_bytes(&mut self, mut bytes: &[u8], cancel: &Cancel) -> Result<bool, Gone> {
        let room = self.packet_size - HEADER;
        // Whole packets leave only when more follows: the last one must carry the end mark.
        while self.body.len() + bytes.len() > room {
            let packets = ((self.body.len() + bytes.len() - 1) / room).min((LARGE_PIECE / self.packet_size).max(1));
            let mut out = Vec::with_capacity((packets + 1) * self.packet_size);
            if !self.body.is_empty() {
                // The rest of earlier tokens, filled up.
                self.send_full_packets()?;
                let (head, rest) = bytes.split_at((room - self.body.len()).min(bytes.len()));
                self.body.extend_from_slice(head);
                bytes = rest;
                if bytes.is_empty() {
                    break;
                }
                push_packet(&mut out, RESPONSE, false, self.next_id, &self.body);
                self.next_id = self.next_id.wrapping_add(1);
                self.body.clear();
            }
            let full = (bytes.len().saturating_sub(1) / room).min(packets);
            let (now, later) = bytes.split_at(full * room);
            for body in now.chunks_exact(room) {
                push_packet(&mut out, RESPONSE, false, self.next_id, body);
                self.next_id = self.next_id.wrapping_add(1);
            }
            bytes = later;
            if !out.is_empty() {
                self.sender.blocking_send(Piece::Packets(out)).map_err(|_| Gone)?;
            }
            if cancel.stopped() {
                return Ok(false);
            }
        }
        self.body.extend_from_slice(bytes);
        Ok(true)
    }

    /// Sends everything so far without ending the message: what a connection cut in the middle leaves behind.
    pub(super) fn flush_open(&mut self) -> Result<(), Gone> {
        self.send_full_packets()?;
        let mut out = Vec::new();
        push_packet(&mut out, RESPONSE, false, self.next_id, &self.body);
        self.next_id = self.next_id.wrapping_add(1);
        self.body.clear();
        self.sender.blocking_send(Piece::Packets(out)).map_err(|_| Gone)
    }

    /// Sends what is there and cuts the connection.
    pub(super) fn cut(&mut self) -> Gone {
        if self.flush_open().is_ok() {
            // The receiver may have gone in the meantime, which is what was asked for.
            let _ = self.sender.blocking_send(Piece::Drop);
        }
        Gone
    }

    /// Ends the message.
    pub(super) fn finish(mut self, attention_noted: bool) -> Result<(), Gone> {
        self.send_full_packets()?;
        let mut out = Vec::with_capacity(self.body.len() + HEADER);
        push_packet(&mut out, RESPONSE, true, self.next_id, &self.body);
        self.sender.blocking_send(Piece::Last { packets: out, attention_noted }).map_err(|_| Gone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same tokens in pieces of any size make the same packets as all at once.
    #[test]
    fn bytes_that_are_ready_make_the_same_packets() {
        let bytes: Vec<u8> = (0..70_000u32).map(|n| u8::try_from(n % 251).unwrap()).collect();
        for packet_size in [512usize, 4096, 32_000] {
            let room = packet_size - HEADER;
            for cuts in
                [vec![0], vec![1], vec![room], vec![room - 1, room + 1], vec![3 * room, 10], vec![2 * room, room, 5]]
            {
                let (sender, mut pieces) = mpsc::channel(1000);
                let mut out = Outgoing::new(sender, packet_size);
                let (body, mut rest) = bytes[..cuts.iter().sum::<usize>().min(60_000) + 5000].split_at(700);
                out.body.extend_from_slice(body);
                for cut in &cuts {
                    let (now, later) = rest.split_at((*cut).min(rest.len()));
                    assert!(out.send_bytes(now, &Cancel::default()).unwrap());
                    rest = later;
                }
                assert!(out.send_bytes(rest, &Cancel::default()).unwrap());
                out.finish(false).unwrap();
                let mut sent = Vec::new();
                while let Ok(piece) = pieces.try_recv() {
                    match piece {
                        Piece::Packets(packets) | Piece::Last { packets, .. } => sent.extend(packets),
                        Piece::Drop => panic!("nothing is cut here"),
                    }
                }
                let all = &bytes[..cuts.iter().sum::<usize>().min(60_000) + 5000];
                assert!(sent == frame(RESPONSE, all, packet_size), "packets of {packet_size}, cut at {cuts:?}");
            }
        }
    }

    #[tokio::test]
    async fn a_long_message_survives_framing_and_reading() {
        let payload: Vec<u8> = (0..10_000u32).map(|n| u8::try_from(n % 251).unwrap()).collect();
        let bytes = frame(SQL_BATCH, &payload, 512);
        let message = read_message(&mut bytes.as_slice()).await.unwrap().unwrap();
        assert_eq!((message.kind, message.payload), (SQL_BATCH, payload));
        assert!(read_message(&mut &bytes[..700]).await.is_err(), "a message cut short is an error, not an end");
        assert!(read_message(&mut &[0u8; 0][..]).await.unwrap().is_none());
    }
}
