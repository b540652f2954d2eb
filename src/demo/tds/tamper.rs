//! What happens to the bytes of an answer between the server and the network: cut, changed, slowed down, wrongly packed.
//!
//! A [`Tamper`] is what a test asks for; [`Way`] carries one answer out and does it. It knows packets and bytes, nothing of
//! what they mean, so that it works for every answer the server gives, the sign-in included. Without a [`Tamper`] the bytes
//! pass as they are.

use std::{io, time::Duration};

use tokio::io::{AsyncWrite, AsyncWriteExt as _};

use super::packet::{self, HEADER, RESPONSE};
use crate::demo::fault::{Answer, Faults};

/// A place in the tokens of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// So many bytes after the first.
    Start(usize),
    /// So many bytes before the end.
    End(usize),
}

/// Takes bytes of an answer out and puts others in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    /// Where, in the answer as the server meant it.
    pub place: Place,
    /// How many bytes go.
    pub remove: usize,
    /// What comes in their place.
    pub insert: Vec<u8>,
}

/// What is wrong with the packets of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadPacket {
    /// The first says this length, whatever it has.
    Length(u16),
    /// The first has this type.
    Kind(u8),
    /// They are all numbered 7.
    Number,
    /// The last does not say that it is the last; nothing more comes, and the connection stays.
    NoEnd,
    /// The first says that it is the last.
    EarlyEnd,
}

/// What happens to the bytes of one answer. Bytes of the wire count packet headers, edits do not see them. An answer that is
/// edited or wrongly packed is held back until it is complete.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tamper {
    /// Changes of the tokens; they must not overlap.
    pub edits: Vec<Edit>,
    /// What is wrong with the packets.
    pub packets: Option<BadPacket>,
    /// After so many bytes of the wire the server neither says nor hears anything for that time, not even that the client
    /// wants to stop; then it goes on.
    pub stall: Option<(u64, Duration)>,
    /// So many bytes of the wire at a time, with a pause after each.
    pub pace: Option<(usize, Duration)>,
    /// The connection closes after so many bytes of the wire; beyond the end: after the last.
    pub cut: Option<u64>,
}

impl Tamper {
    /// The connection closes after `bytes` bytes of the wire, or after the answer.
    #[must_use]
    pub fn cut_at(bytes: u64) -> Self {
        Self { cut: Some(bytes), ..Self::default() }
    }

    /// Silence and deafness after `bytes` bytes of the wire.
    #[must_use]
    pub fn stall_at(bytes: u64, time: Duration) -> Self {
        Self { stall: Some((bytes, time)), ..Self::default() }
    }

    /// `bytes` bytes of the wire, a pause, and so on.
    #[must_use]
    pub fn drip(bytes: usize, pause: Duration) -> Self {
        Self { pace: Some((bytes.max(1), pause)), ..Self::default() }
    }

    /// Other bytes at one place of the tokens.
    #[must_use]
    pub fn edit(place: Place, remove: usize, insert: impl Into<Vec<u8>>) -> Self {
        Self { edits: vec![Edit { place, remove, insert: insert.into() }], ..Self::default() }
    }

    /// The tokens end at `place` and the message with them, as if it were complete.
    #[must_use]
    pub fn shorten(place: Place) -> Self {
        Self::edit(place, usize::MAX, [])
    }

    /// Wrong packets.
    #[must_use]
    pub fn pack(packets: BadPacket) -> Self {
        Self { packets: Some(packets), ..Self::default() }
    }

    /// The same, and the connection closes after the last byte.
    #[must_use]
    pub fn then_cut(mut self) -> Self {
        self.cut = Some(u64::MAX);
        self
    }

    fn holds_back(&self) -> bool {
        !self.edits.is_empty() || self.packets.is_some()
    }

    /// The tokens after all edits. Places beyond the end are the end.
    fn edited(&self, mut tokens: Vec<u8>) -> Vec<u8> {
        let length = tokens.len();
        let at = |edit: &Edit| match edit.place {
            Place::Start(bytes) => bytes.min(length),
            Place::End(bytes) => length.saturating_sub(bytes),
        };
        let mut edits: Vec<&Edit> = self.edits.iter().collect();
        edits.sort_by_key(|edit| at(edit));
        for edit in edits.into_iter().rev() {
            let start = at(edit);
            let end = start.saturating_add(edit.remove).min(tokens.len());
            tokens.splice(start..end, edit.insert.iter().copied());
        }
        tokens
    }

    /// The tokens in packets, wrong ones where asked for.
    fn packed(&self, tokens: &[u8], packet_size: usize) -> Vec<u8> {
        let mut out = packet::frame(RESPONSE, tokens, packet_size);
        let Some(bad) = self.packets else { return out };
        let heads: Vec<usize> = heads(&out).collect();
        let (Some(&first), Some(&last)) = (heads.first(), heads.last()) else { return out };
        match bad {
            BadPacket::Length(length) => out[first + 2..first + 4].copy_from_slice(&length.to_be_bytes()),
            BadPacket::Kind(kind) => out[first] = kind,
            BadPacket::Number => heads.iter().for_each(|head| out[head + 6] = 7),
            BadPacket::NoEnd => out[last + 1] = 0,
            BadPacket::EarlyEnd => out[first + 1] = 1,
        }
        out
    }
}

/// Where the packets of whole packets begin.
fn heads(packets: &[u8]) -> impl Iterator<Item = usize> + '_ {
    let mut at = 0;
    std::iter::from_fn(move || {
        let head = packets.get(at..at + HEADER)?;
        let begin = at;
        at += usize::from(u16::from_be_bytes([head[2], head[3]])).max(HEADER);
        Some(begin)
    })
}

/// The tokens in whole packets.
fn tokens_of(packets: &[u8]) -> Vec<u8> {
    let mut tokens = Vec::with_capacity(packets.len());
    for at in heads(packets) {
        let length = usize::from(u16::from_be_bytes([packets[at + 2], packets[at + 3]]));
        tokens.extend_from_slice(packets.get(at + HEADER..at + length).unwrap_or_default());
    }
    tokens
}

/// Carries one answer out.
pub(super) struct Way<'a> {
    tamper: Option<Tamper>,
    /// Where to keep the answer, when that was asked for.
    keep: Option<(&'a Faults, String)>,
    packet_size: usize,
    /// Packets held back, or to be kept.
    held: Vec<u8>,
    sent: u64,
}

impl<'a> Way<'a> {
    pub(super) fn new(faults: &'a Faults, request: String, tamper: Option<Tamper>, packet_size: usize) -> Self {
        let keep = faults.keeps().then_some((faults, request));
        Self { tamper, keep, packet_size, held: Vec::new(), sent: 0 }
    }

    /// Carries whole packets; `last` are the last. Whether the connection goes on.
    pub(super) async fn carry(
        &mut self,
        writer: &mut (impl AsyncWrite + Unpin),
        packets: &[u8],
        last: bool,
    ) -> io::Result<bool> {
        let holds_back = self.tamper.as_ref().is_some_and(Tamper::holds_back);
        if holds_back || self.keep.is_some() {
            self.held.extend_from_slice(packets);
        }
        if last && let Some((faults, request)) = self.keep.take() {
            faults.keep(Answer { request, tokens: tokens_of(&self.held) });
        }
        match self.tamper.clone() {
            None => {
                writer.write_all(packets).await?;
                Ok(true)
            }
            Some(_) if holds_back && !last => Ok(true),
            Some(tamper) if holds_back => {
                let tokens = tamper.edited(tokens_of(&std::mem::take(&mut self.held)));
                self.send(writer, &tamper, &tamper.packed(&tokens, self.packet_size), true).await
            }
            Some(tamper) => self.send(writer, &tamper, packets, last).await,
        }
    }

    /// Sends bytes as fast and as far as asked for.
    async fn send(
        &mut self,
        writer: &mut (impl AsyncWrite + Unpin),
        tamper: &Tamper,
        bytes: &[u8],
        last: bool,
    ) -> io::Result<bool> {
        let mut rest = bytes;
        while !rest.is_empty() {
            if tamper.cut.is_some_and(|cut| self.sent >= cut) {
                writer.flush().await?;
                return Ok(false);
            }
            if let Some((_, time)) = tamper.stall.filter(|(at, _)| *at == self.sent) {
                writer.flush().await?;
                tokio::time::sleep(time).await;
            }
            let until = |place: u64| usize::try_from(place.saturating_sub(self.sent)).unwrap_or(usize::MAX);
            let stops = [tamper.cut, tamper.stall.map(|(at, _)| at).filter(|at| *at > self.sent)];
            let mut length = stops.into_iter().flatten().map(until).fold(rest.len(), usize::min);
            if let Some((piece, _)) = tamper.pace {
                length = length.min(piece);
            }
            let (now, later) = rest.split_at(length);
            writer.write_all(now).await?;
            self.sent += now.len() as u64;
            rest = later;
            if let Some((_, pause)) = tamper.pace {
                writer.flush().await?;
                tokio::time::sleep(pause).await;
            }
        }
        if last && tamper.cut.is_some() {
            writer.flush().await?;
            return Ok(false);
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn sent(tamper: Tamper, tokens: &[u8]) -> (Vec<u8>, bool) {
        let faults = Faults::default();
        let mut way = Way::new(&faults, String::new(), Some(tamper), 512);
        let packets = packet::frame(RESPONSE, tokens, 512);
        let mut out = Vec::new();
        let (first, rest) = packets.split_at(packets.len().min(512));
        let mut goes_on = true;
        if !rest.is_empty() {
            goes_on = way.carry(&mut out, first, false).await.unwrap();
        }
        if goes_on {
            goes_on = way.carry(&mut out, if rest.is_empty() { first } else { rest }, true).await.unwrap();
        }
        (out, goes_on)
    }

    #[tokio::test]
    async fn an_answer_is_cut_at_the_byte() {
        let tokens = vec![5; 1200];
        let whole = packet::frame(RESPONSE, &tokens, 512);
        for cut in [0, 1, 7, 511, 512, 513, 1023] {
            let (out, goes_on) = sent(Tamper::cut_at(cut), &tokens).await;
            assert_eq!((out.as_slice(), goes_on), (&whole[..usize::try_from(cut).unwrap()], false));
        }
        assert_eq!(sent(Tamper::cut_at(u64::MAX), &tokens).await, (whole.clone(), false));
        assert_eq!(sent(Tamper::drip(100, Duration::ZERO), &tokens).await, (whole.clone(), true));
        assert_eq!(sent(Tamper::stall_at(600, Duration::ZERO), &tokens).await, (whole, true));
    }

    #[tokio::test]
    async fn edits_change_the_tokens_and_packets_follow() {
        let tokens: Vec<u8> = (0..1200).map(|n| u8::try_from(n % 251).unwrap()).collect();
        let two = Tamper {
            edits: vec![
                Edit { place: Place::Start(1), remove: 2, insert: vec![9] },
                Edit { place: Place::End(1), remove: 1, insert: vec![8; 600] },
            ],
            ..Tamper::default()
        };
        let (out, goes_on) = sent(two, &tokens).await;
        let expected = [&tokens[..1], &[9], &tokens[3..1199], &[8; 600]].concat();
        assert_eq!((tokens_of(&out), goes_on), (expected, true));
        let (out, _) = sent(Tamper::shorten(Place::Start(700)), &tokens).await;
        assert_eq!(out, packet::frame(RESPONSE, &tokens[..700], 512));
        let (out, _) = sent(Tamper::pack(BadPacket::Length(3)), &tokens).await;
        assert_eq!(out[2..4], [0, 3]);
    }
}
