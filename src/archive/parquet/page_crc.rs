//! Gives every page of a finished Parquet file its CRC.
//!
//! The `parquet` crate verifies the optional field `crc` of page headers and never writes it. So the file is written once
//! more: every page header gets the CRC-32 of the page's stored bytes, offsets and sizes in the footer follow, and nothing
//! else changes.
//!
//! Promises: every byte of the file is accounted for; what is not understood is an error, never guessed at and never dropped.
//! It does not look inside pages.
//!
//! A page header is a Thrift struct in the compact protocol. It opens with fields 1 to 3, the page's type, its length without
//! compression and its stored length; 4 is `crc`; one of 5 to 8 is a struct that says how the page is encoded. A field starts with a
//! byte: in the upper half the distance from the field before, in the lower half its type.

use ::parquet::file::metadata::{
    ColumnChunkMetaData, ParquetMetaData, ParquetMetaDataBuilder, ParquetMetaDataWriter, RowGroupMetaData,
};

use crate::error::{Error, Kind, OrFail, Result};

const MAGIC: &[u8] = b"PAR1";
/// Length of the footer (4 bytes) and the magic.
const TAIL: usize = 8;

// Types of the compact protocol.
const STOP: u8 = 0;
const TRUE: u8 = 1;
const FALSE: u8 = 2;
const I16: u8 = 4;
const I32: u8 = 5;
const I64: u8 = 6;
const BINARY: u8 = 8;
const STRUCT: u8 = 12;
/// How deep the structs of a page header may lie in each other: its own, the encoding's, its statistics.
const DEPTH: u32 = 3;

const CRC_FIELD: u8 = 4;

/// The file, whose footer says `metadata`, with a CRC in each page header.
///
/// # Errors
/// `Bug` when the file has anything but pages and a footer, when a page header is not as expected or has a CRC already, and
/// when offsets or lengths disagree.
pub(super) fn with_page_crcs(file: &[u8], metadata: ParquetMetaData) -> Result<Vec<u8>> {
    let mut copy = Rewrite { file, at: MAGIC.len(), out: Vec::with_capacity(file.len() + 4_096) };
    copy.out
        .extend_from_slice(file.strip_prefix(MAGIC).map(|_| MAGIC).ok_or_else(|| odd("does not start as Parquet"))?);
    if metadata.column_index().is_some() || metadata.offset_index().is_some() {
        return Err(odd("has a page index"));
    }
    let mut builder = ParquetMetaDataBuilder::new_from_metadata(metadata);
    let groups = builder.take_row_groups();
    let groups = groups.into_iter().map(|group| copy.row_group(group)).collect::<Result<_>>()?;
    copy.check_footer()?;
    let metadata = builder.set_row_groups(groups).build();
    ParquetMetaDataWriter::new(&mut copy.out, &metadata)
        .finish()
        .or_fail(Kind::Bug, || "the footer of a Parquet file could not be written")?;
    Ok(copy.out)
}

fn odd(what: &str) -> Error {
    Error::new(Kind::Bug, format!("pages got no CRC: the file as written {what}"))
}

/// The file on its way from `file` to `out`; `at` is how far `file` has been copied.
struct Rewrite<'a> {
    file: &'a [u8],
    at: usize,
    out: Vec<u8>,
}

impl Rewrite<'_> {
    fn row_group(&mut self, group: RowGroupMetaData) -> Result<RowGroupMetaData> {
        if group.file_offset() != Some(offset(self.at)?) {
            return Err(odd("has a row group elsewhere than its footer says"));
        }
        let (bytes, start) = (group.total_byte_size(), offset(self.out.len())?);
        let mut builder = group.into_builder();
        let (mut columns, mut added) = (Vec::new(), 0);
        for column in builder.take_columns() {
            let (column, more) = self.column(column)?;
            columns.push(column);
            added += more;
        }
        builder
            .set_column_metadata(columns)
            .set_total_byte_size(bytes + added)
            .set_file_offset(start)
            .build()
            .or_fail(Kind::Bug, || "the footer of a Parquet file could not be built")
    }

    /// Copies the pages of one column; says how many bytes were added, too.
    fn column(&mut self, column: ColumnChunkMetaData) -> Result<(ColumnChunkMetaData, i64)> {
        if column.index_page_offset().is_some()
            || column.bloom_filter_offset().is_some()
            || column.column_index_offset().is_some()
            || column.offset_index_offset().is_some()
        {
            return Err(odd("has an index or a bloom filter"));
        }
        let (first, start) = (offset(self.at)?, offset(self.out.len())?);
        if column.dictionary_page_offset().unwrap_or(column.data_page_offset()) != first {
            return Err(odd("has a column elsewhere than its footer says"));
        }
        let end = usize::try_from(column.compressed_size()).ok().and_then(|length| self.at.checked_add(length));
        let end = end.ok_or_else(|| odd("has a column of impossible length"))?;
        let mut data = None;
        while self.at < end {
            if offset(self.at)? == column.data_page_offset() {
                data = Some(offset(self.out.len())?);
            }
            self.page(end)?;
        }
        let data = data.ok_or_else(|| odd("has no page where a column's data should start"))?;
        let added = offset(self.out.len())? - start - column.compressed_size();
        let (stored, plain) = (column.compressed_size() + added, column.uncompressed_size() + added);
        let dictionary = column.dictionary_page_offset().map(|_| start);
        let column = column
            .into_builder()
            .set_data_page_offset(data)
            .set_dictionary_page_offset(dictionary)
            .set_total_compressed_size(stored)
            .set_total_uncompressed_size(plain)
            .build()
            .or_fail(Kind::Bug, || "the footer of a Parquet file could not be built")?;
        Ok((column, added))
    }

    /// Copies one page of a column that ends at `end`.
    fn page(&mut self, end: usize) -> Result<()> {
        let rest = self.file.get(self.at..end).ok_or_else(|| odd("is shorter than its footer says"))?;
        let header = PageHeader::read(rest)?;
        let length = header.length.checked_add(header.stored).filter(|length| *length <= rest.len());
        let length = length.ok_or_else(|| odd("has a page that is longer than its column"))?;
        let crc = crc32fast::hash(&rest[header.length..length]);
        self.out.extend_from_slice(&rest[..header.encoding]);
        // One field more lies between the stored length and the encoding, so that both are nearer to it.
        self.out.push((CRC_FIELD - 3) << 4 | I32);
        push_i32(&mut self.out, crc.cast_signed());
        self.out.push(rest[header.encoding] - ((CRC_FIELD - 3) << 4));
        self.out.extend_from_slice(&rest[header.encoding + 1..length]);
        self.at += length;
        Ok(())
    }

    /// Between the last column and the footer there must be nothing that would be lost.
    fn check_footer(&self) -> Result<()> {
        let tail = self.file.len().checked_sub(TAIL).and_then(|start| self.file.get(start..));
        let footer = tail.and_then(|tail| tail.strip_suffix(MAGIC)).and_then(|length| length.try_into().ok());
        let footer = footer.map(u32::from_le_bytes).and_then(|length| usize::try_from(length).ok());
        let whole = footer.and_then(|footer| self.at.checked_add(footer)?.checked_add(TAIL));
        if whole == Some(self.file.len()) { Ok(()) } else { Err(odd("has more than pages before its footer")) }
    }
}

fn offset(position: usize) -> Result<i64> {
    position.try_into().map_err(|_| odd("is too long"))
}

/// What must be known of a page header.
struct PageHeader {
    /// Bytes of the header.
    length: usize,
    /// Bytes of the page behind it.
    stored: usize,
    /// Where in the header the field that says how the page is encoded starts.
    encoding: usize,
}

impl PageHeader {
    fn read(bytes: &[u8]) -> Result<Self> {
        let mut reader = Reader { bytes, at: 0 };
        let mut stored = 0;
        for _type_length_stored in 1..=3 {
            if reader.byte()? != 1 << 4 | I32 {
                return Err(odd("has a page header without type or length"));
            }
            stored = reader.number()?;
        }
        // Lengths are signed: 0, −1, 1, −2 … are written as 0, 1, 2, 3 …
        let stored = if stored % 2 == 0 { usize::try_from(stored / 2).ok() } else { None };
        let stored = stored.ok_or_else(|| odd("has a page of impossible length"))?;
        let encoding = reader.at;
        let field = reader.byte()?;
        if field == 1 << 4 | I32 {
            return Err(odd("has CRCs already"));
        }
        if !(2..=5).contains(&(field >> 4)) || field & 0xf != STRUCT {
            return Err(odd("has a page header that does not go on with an encoding"));
        }
        reader.skip(STRUCT, DEPTH - 1)?;
        if reader.byte()? != STOP {
            return Err(odd("has a page header with further fields"));
        }
        Ok(Self { length: reader.at, stored, encoding })
    }
}

/// Reads the compact protocol, as far as page headers go.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn byte(&mut self) -> Result<u8> {
        let byte = *self.bytes.get(self.at).ok_or_else(|| odd("has a page header that does not end"))?;
        self.at += 1;
        Ok(byte)
    }

    /// A number without sign: 7 bits in a byte, the lowest first, the highest bit set in all bytes but the last.
    fn number(&mut self) -> Result<u64> {
        let mut number = 0;
        for shift in (0..u64::BITS).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(odd("has a page header with an endless number"))
    }

    /// Steps over a value.
    fn skip(&mut self, kind: u8, depth: u32) -> Result<()> {
        match kind {
            TRUE | FALSE => Ok(()),
            I16 | I32 | I64 => self.number().map(|_| ()),
            BINARY => {
                let length = self.number()?;
                let end = usize::try_from(length).ok().and_then(|length| self.at.checked_add(length));
                self.at = end.ok_or_else(|| odd("has a page header with an endless text"))?;
                Ok(())
            }
            STRUCT if depth > 0 => loop {
                let field = self.byte()?;
                if field == STOP {
                    return Ok(());
                }
                if field >> 4 == 0 {
                    return Err(odd("has a page header with fields in an unexpected order"));
                }
                self.skip(field & 0xf, depth - 1)?;
            },
            _ => Err(odd("has a page header with a field of an unexpected type")),
        }
    }
}

fn push_i32(out: &mut Vec<u8>, value: i32) {
    let mut rest = ((value << 1) ^ (value >> 31)).cast_unsigned();
    while rest > 0x7f {
        out.push(rest.to_le_bytes()[0] | 0x80);
        rest >>= 7;
    }
    out.push(rest.to_le_bytes()[0]);
}

#[cfg(test)]
mod tests {
    use std::{ops::Range, sync::Arc};

    use ::parquet::file::metadata::{ParquetMetaDataOptions, ParquetMetaDataReader};
    use arrow::array::{
        ArrayRef, BinaryArray, BooleanArray, Int32Array, RecordBatch, StringArray, TimestampMicrosecondArray,
    };

    use super::*;
    use crate::{
        archive::parquet::{decode, tests::table, write},
        model::table::Table,
    };

    /// Rows among which are a column with a dictionary and one whose dictionary grows too large when there are many.
    fn rows(count: i32) -> (Table, RecordBatch) {
        let table = table(&[
            ("Id", "int"),
            ("Few", "nvarchar(9)"),
            ("Many", "nvarchar(max)"),
            ("At", "datetime"),
            ("Flag", "bit"),
            ("Big", "varbinary(max)"),
        ]);
        let ids = 1..=count;
        let large = |id: i32| vec![id.to_le_bytes()[0] % 40; if id % 100 == 0 { 70_000 } else { 0 }];
        let mixed = |id: i32| blake3::hash(&id.to_le_bytes()).to_hex()[..9].to_owned();
        let columns: Vec<ArrayRef> = vec![
            Arc::new(ids.clone().collect::<Int32Array>()),
            Arc::new(ids.clone().map(|id| (id % 5 > 0).then(|| format!("{}", id % 3))).collect::<StringArray>()),
            Arc::new(ids.clone().map(|id| Some(mixed(id))).collect::<StringArray>()),
            Arc::new(ids.clone().map(|id| Some(i64::from(id) * 61_000_000)).collect::<TimestampMicrosecondArray>()),
            Arc::new(ids.clone().map(|id| Some(id % 3 == 0)).collect::<BooleanArray>()),
            Arc::new(ids.map(|id| (id % 7 > 0).then(|| large(id))).collect::<BinaryArray>()),
        ];
        let rows = RecordBatch::try_new(table.arrow_schema(), columns).unwrap();
        (table, rows)
    }

    fn finished(count: i32) -> (Table, RecordBatch, Vec<u8>) {
        let (table, rows) = rows(count);
        let (file, metadata) = write(&rows, &table).unwrap();
        (table, rows, with_page_crcs(&file, metadata).unwrap())
    }

    /// The footer of a file, nothing summed up.
    fn read(file: &[u8]) -> ParquetMetaData {
        let options = ParquetMetaDataOptions::new().with_encoding_stats_as_mask(false);
        let reader = ParquetMetaDataReader::new().with_metadata_options(Some(options));
        reader.parse_and_finish(&bytes::Bytes::copy_from_slice(file)).unwrap()
    }

    /// The stored length that a page header says, and where its fourth field starts.
    fn stored_length(bytes: &[u8], at: usize) -> (usize, usize) {
        let mut reader = Reader { bytes, at };
        let numbers: Vec<u64> = (0..3).map(|_| reader.byte().and_then(|_| reader.number()).unwrap()).collect();
        (usize::try_from(numbers[2] / 2).unwrap(), reader.at)
    }

    /// Where the field `crc` lies in a file with a page header at `at`.
    fn crc_field(file: &[u8], at: usize) -> Range<usize> {
        let mut reader = Reader { bytes: file, at: stored_length(file, at).1 };
        let start = reader.at;
        assert_eq!(reader.byte().unwrap(), 0x15);
        reader.number().unwrap();
        start..reader.at
    }

    /// Where the pages of a file lie, by column: their headers and their bytes.
    fn pages(file: &[u8]) -> Vec<Vec<(Range<usize>, Range<usize>)>> {
        let metadata = read(file);
        let columns = metadata.row_group(0).columns().iter().map(|column| {
            let (start, length) = column.byte_range();
            let (mut at, end) = (usize::try_from(start).unwrap(), usize::try_from(start + length).unwrap());
            let mut found = Vec::new();
            while at < end {
                let mut reader = Reader { bytes: file, at };
                reader.skip(STRUCT, DEPTH).unwrap();
                let page = reader.at..reader.at + stored_length(file, at).0;
                found.push((at..page.start, page.clone()));
                at = page.end;
            }
            found
        });
        columns.collect()
    }

    #[test]
    fn nothing_but_crcs_offsets_and_sizes_changes() {
        let (table, rows) = rows(45_000);
        let (before, written) = write(&rows, &table).unwrap();
        let after = with_page_crcs(&before, written).unwrap();
        let (old, new) = (pages(&before), pages(&after));
        // Every page is there, with the same bytes.
        assert_eq!(old.iter().map(Vec::len).collect::<Vec<_>>(), new.iter().map(Vec::len).collect::<Vec<_>>());
        assert!(old.iter().any(|pages| pages.len() > 3) && old[0].len() == 3, "{old:?}");
        for ((_, old), (_, new)) in old.iter().flatten().zip(new.iter().flatten()) {
            assert_eq!(before[old.clone()], after[new.clone()]);
        }
        // What the writer said, what its file says and what the new file says is one, once offsets and sizes are set back.
        let (mut expected, found) = (read(&before).into_builder(), read(&after));
        let mut at = MAGIC.len();
        let mut groups = expected.take_row_groups();
        let mut group = groups.remove(0).into_builder().set_file_offset(4);
        let mut total = 0;
        let columns = group.take_columns().into_iter().zip(&new).map(|(column, pages)| {
            let added: usize = pages.iter().map(|(header, _)| crc_field(&after, header.start).len()).sum();
            let added = i64::try_from(added).unwrap();
            total += column.uncompressed_size() + added;
            let start = i64::try_from(at).unwrap();
            let dictionary = column.dictionary_page_offset().map(|_| start);
            let data = dictionary.map_or(start, |_| i64::try_from(pages[1].0.start).unwrap());
            at = pages.last().unwrap().1.end;
            let (stored, plain) = (column.compressed_size() + added, column.uncompressed_size() + added);
            let column = column.into_builder().set_data_page_offset(data).set_dictionary_page_offset(dictionary);
            column.set_total_compressed_size(stored).set_total_uncompressed_size(plain).build().unwrap()
        });
        let columns = columns.collect();
        let group = group.set_column_metadata(columns).set_total_byte_size(total).build().unwrap();
        assert_eq!(expected.set_row_groups(vec![group]).build(), found);
        assert_eq!(found.file_metadata().key_value_metadata(), None);
        // All the rest of the length is the footer's, whose offsets have grown.
        assert!(after.len() - at < before.len() - old.last().unwrap().last().unwrap().1.end + 40);
    }

    #[test]
    fn a_flipped_bit_of_any_page_is_noticed() {
        let (table, rows, file) = finished(300);
        assert_eq!(decode(file.clone().into(), &table).unwrap(), rows);
        let pages = pages(&file);
        assert!(pages.iter().all(|pages| !pages.is_empty()));
        let mut flipped = 0;
        for (header, page) in pages.iter().flatten() {
            let crc = crc_field(&file, header.start);
            // Of the last byte of a CRC only the lower bits count.
            for (at, bit) in (crc.start + 1..crc.end).map(|at| (at, 0)).chain(page.clone().map(|at| (at, at % 8))) {
                let mut bad = file.clone();
                bad[at] ^= 1 << bit;
                let error = decode(bad.into(), &table).unwrap_err();
                assert_eq!(error.kind(), Kind::Damage, "byte {at}");
                flipped += 1;
            }
        }
        assert!(flipped > 1_500, "{flipped}");
    }

    #[test]
    fn a_flipped_bit_elsewhere_is_no_panic_and_in_a_page_header_no_other_row() {
        let (table, rows, file) = finished(300);
        let pages = pages(&file);
        let footer = pages.last().unwrap().last().unwrap().1.end..file.len();
        let mut noticed = 0;
        for (header, in_footer) in
            pages.iter().flatten().map(|(header, _)| (header.clone(), false)).chain([(0..4, true), (footer, true)])
        {
            for at in header {
                for bit in 0..8 {
                    let mut bad = file.clone();
                    bad[at] ^= 1 << bit;
                    match decode(bad.into(), &table) {
                        Err(error) => {
                            assert_eq!(error.kind(), Kind::Damage);
                            noticed += 1;
                        }
                        // The footer has no CRC: another column name there is another column.
                        Ok(found) => assert!(in_footer || found == rows, "byte {at}, bit {bit}"),
                    }
                }
            }
        }
        assert!(noticed > 2_000, "{noticed}");
    }

    #[test]
    fn a_file_that_is_not_as_expected_is_refused_and_never_a_panic() {
        let (table, rows) = rows(30);
        let (file, metadata) = write(&rows, &table).unwrap();
        let done = with_page_crcs(&file, metadata.clone()).unwrap();
        assert!(with_page_crcs(&done, read(&done)).unwrap_err().message().contains("CRCs already"));
        let mut refused = 0;
        for at in 0..file.len() {
            for bit in 0..8 {
                let mut other = file.clone();
                other[at] ^= 1 << bit;
                if let Err(error) = with_page_crcs(&other, metadata.clone()) {
                    assert_eq!(error.kind(), Kind::Bug);
                    refused += 1;
                }
            }
            assert!(with_page_crcs(&file[..at], metadata.clone()).is_err());
            assert!(with_page_crcs(&[&file[..at], b"x", &file[at..]].concat(), metadata.clone()).is_err());
        }
        let headers: usize = pages(&file).iter().flatten().map(|(header, _)| header.len()).sum();
        assert!(refused > headers * 3, "{refused} of {}", headers * 8);
    }

    #[test]
    fn numbers_are_written_as_thrift_does() {
        for (value, bytes) in [
            (0, &[0][..]),
            (-1, &[1]),
            (63, &[126]),
            (64, &[0x80, 1]),
            (i32::MAX, &[0xfe, 0xff, 0xff, 0xff, 0xf]),
            (i32::MIN, &[0xff, 0xff, 0xff, 0xff, 0xf]),
        ] {
            let mut out = Vec::new();
            push_i32(&mut out, value);
            assert_eq!(out, bytes);
        }
    }
}
