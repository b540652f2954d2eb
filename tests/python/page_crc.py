#!/usr/bin/env python3
"""Reads chunk files with pyarrow while it verifies page CRCs; then spoils them, page by page, and expects pyarrow to notice.

    page_crc.py FILE...        prints how many pages were spoiled

Needs pyarrow from PyPI. Ends with status 1 and a line on standard error at the first fault.
"""
import sys

import pyarrow as pa
import pyarrow.parquet as pq


def read(data):
    return pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=True).read()


def last_bytes(data):
    """The offset of the last byte of each column's dictionary page and of its last data page."""
    metadata = pq.ParquetFile(pa.BufferReader(data)).metadata
    for group in range(metadata.num_row_groups):
        for index in range(metadata.num_columns):
            column = metadata.row_group(group).column(index)
            start = column.data_page_offset
            if column.has_dictionary_page:
                start = column.dictionary_page_offset
                yield column.data_page_offset - 1
            yield start + column.total_compressed_size - 1


def main():
    spoiled = 0
    for name in sys.argv[1:]:
        with open(name, "rb") as file:
            data = file.read()
        read(data)
        for offset in last_bytes(data):
            other = bytearray(data)
            other[offset] ^= 1
            try:
                read(bytes(other))
            except (OSError, pa.ArrowException) as error:
                if "CRC" not in str(error):
                    sys.exit(f"{name}: byte {offset} was noticed, but not by a CRC: {error}")
            else:
                sys.exit(f"{name}: byte {offset} was spoiled and nobody noticed")
            spoiled += 1
    print(spoiled)


if __name__ == "__main__":
    main()
