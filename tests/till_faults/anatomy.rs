//! Where the tokens of an answer begin, and which of its bytes are structure and which are values (MS-TDS 2.2.4, 2.2.5, 2.2.7).

use std::ops::Range;

/// An answer taken apart.
#[derive(Debug, Default)]
pub(crate) struct Anatomy {
    /// First byte of each token, and its type.
    pub(crate) tokens: Vec<(usize, u8)>,
    /// Bytes of values: whatever stands there, the structure stays.
    values: Vec<Range<usize>>,
    /// Bytes of names, flags and collations, which no reader has to look at.
    idle: Vec<Range<usize>>,
    length: usize,
}

pub(crate) const COLMETADATA: u8 = 0x81;
pub(crate) const ROW: u8 = 0xD1;
/// A row with a bit map of the columns that are NULL.
const NBCROW: u8 = 0xD2;
pub(crate) const DONE: [u8; 3] = [0xFD, 0xFE, 0xFF];

/// How a cell of a column is written.
#[derive(Clone, Copy, Debug)]
enum Cell {
    Fixed(usize),
    ByteLength,
    ShortLength,
    Chunks,
}

impl Anatomy {
    pub(crate) fn of(bytes: &[u8]) -> Self {
        let mut reader = Reader { bytes, at: 0, anatomy: Self { length: bytes.len(), ..Self::default() } };
        let mut columns = Vec::new();
        while reader.at < bytes.len() {
            let start = reader.at;
            let token = reader.u8();
            reader.anatomy.tokens.push((start, token));
            match token {
                COLMETADATA => columns = reader.metadata(),
                ROW => columns.iter().for_each(|cell| reader.cell(*cell)),
                NBCROW => reader.sparse(&columns),
                0xFD..=0xFF => reader.skip(12),
                0x79 => reader.skip(4),
                0xA9 | 0xAA | 0xAB | 0xAD | 0xE3 => {
                    let length = reader.u16();
                    reader.skip(usize::from(length));
                }
                other => panic!("token {other:#x} at {start} is not known here"),
            }
        }
        assert_eq!(reader.at, bytes.len());
        reader.anatomy
    }

    /// Bytes that are not part of a value.
    pub(crate) fn structure(&self) -> Vec<usize> {
        let is_value = |at: &usize| self.values.iter().chain(&self.idle).any(|range| range.contains(at));
        (0..self.length).filter(|at| !is_value(at)).collect()
    }

    /// First bytes of the tokens of this type.
    pub(crate) fn all(&self, token: u8) -> Vec<usize> {
        self.tokens.iter().filter(|(_, kind)| *kind == token).map(|(at, _)| *at).collect()
    }

    /// Bytes of values.
    pub(crate) fn values(&self) -> &[Range<usize>] {
        &self.values
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    anatomy: Anatomy,
}

impl Reader<'_> {
    fn u8(&mut self) -> u8 {
        self.at += 1;
        self.bytes[self.at - 1]
    }

    fn u16(&mut self) -> u16 {
        u16::from_le_bytes([self.u8(), self.u8()])
    }

    fn u32(&mut self) -> u32 {
        (0..4).fold(0, |value, place| value | u32::from(self.u8()) << (8 * place))
    }

    fn skip(&mut self, bytes: usize) {
        self.at += bytes;
    }

    fn idle(&mut self, bytes: usize) {
        self.anatomy.idle.push(self.at..self.at + bytes);
        self.skip(bytes);
    }

    fn value(&mut self, bytes: usize) {
        self.anatomy.values.push(self.at..self.at + bytes);
        self.skip(bytes);
    }

    fn metadata(&mut self) -> Vec<Cell> {
        let columns = self.u16();
        (0..columns)
            .map(|_| {
                // User type and flags.
                self.idle(6);
                let cell = self.type_info();
                let name = self.u8();
                self.idle(usize::from(name) * 2);
                cell
            })
            .collect()
    }

    fn type_info(&mut self) -> Cell {
        match self.u8() {
            0x30 | 0x32 => Cell::Fixed(1),
            0x34 => Cell::Fixed(2),
            0x38 | 0x3A | 0x3B | 0x7A => Cell::Fixed(4),
            0x3C | 0x3D | 0x3E | 0x7F => Cell::Fixed(8),
            0x28 => Cell::ByteLength,
            0x24 | 0x26 | 0x68 | 0x6D | 0x6E | 0x6F | 0x29 | 0x2A | 0x2B => {
                self.skip(1);
                Cell::ByteLength
            }
            0x6A | 0x6C => {
                self.skip(3);
                Cell::ByteLength
            }
            kind @ (0xA5 | 0xA7 | 0xAD | 0xAF | 0xE7 | 0xEF) => {
                let longest = self.u16();
                if ![0xA5, 0xAD].contains(&kind) {
                    self.idle(5);
                }
                if longest == u16::MAX { Cell::Chunks } else { Cell::ShortLength }
            }
            other => panic!("type {other:#x} is not known here"),
        }
    }

    /// The bit map is a value, too: it says which ones are NULL.
    fn sparse(&mut self, columns: &[Cell]) {
        let bytes = columns.len().div_ceil(8);
        self.anatomy.values.push(self.at..self.at + bytes);
        let map: Vec<u8> = (0..bytes).map(|_| self.u8()).collect();
        for (index, cell) in columns.iter().enumerate() {
            if map[index / 8] >> (index % 8) & 1 == 0 {
                self.cell(*cell);
            }
        }
    }

    fn cell(&mut self, cell: Cell) {
        match cell {
            Cell::Fixed(bytes) => self.value(bytes),
            Cell::ByteLength => {
                let length = self.u8();
                self.value(usize::from(length));
            }
            Cell::ShortLength => {
                let length = self.u16();
                self.value(if length == u16::MAX { 0 } else { usize::from(length) });
            }
            Cell::Chunks => {
                let (low, high) = (self.u32(), self.u32());
                if low == u32::MAX && high == u32::MAX {
                    return;
                }
                loop {
                    let length = self.u32();
                    if length == 0 {
                        return;
                    }
                    self.value(usize::try_from(length).unwrap());
                }
            }
        }
    }
}
