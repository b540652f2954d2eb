#!/usr/bin/env python3
"""Compares the newest snapshot of an archive with the till itself, table by table, row by row, without tillvault.

    compare_till.py FOLDER PORT PASSWORD    prints {"tables": n, "rows": n}; status 1 and a line at the first difference

Reads the archive as docs/FORMAT.md says (read_archive.py) and the till with python-tds.
"""
import datetime
import decimal
import json
import sys

import pytds

from read_archive import Archive, full_name


def quoted(name):
    return "[" + name.replace("]", "]]") + "]"


def normal(value):
    """A value in one spelling: `datetime` in the milliseconds SQL Server displays, decimals without needless zeros."""
    if isinstance(value, decimal.Decimal):
        return value.normalize() + 0
    if isinstance(value, datetime.datetime):
        return (value + datetime.timedelta(microseconds=500)).replace(
            microsecond=(value.microsecond + 500) // 1000 * 1000 % 1_000_000
        ) if value.microsecond % 1000 else value
    return bytes(value) if isinstance(value, (bytearray, memoryview)) else value


def main():
    folder, port, password = sys.argv[1:4]
    archive = Archive(folder)
    files = archive.snapshot_files()
    snapshot, _ = archive.snapshot(max(files), files[max(files)])
    till = pytds.connect(dsn="127.0.0.1", port=int(port), user="tillvault", password=password,
                         database=snapshot["source"]["database"], autocommit=True)
    cursor = till.cursor()
    total = 0
    for table in snapshot["tables"]:
        names = [column["name"] for column in table["columns"]]
        kept = []
        for chunk in table["chunks"]:
            columns = archive.chunk(table, chunk)
            rows = zip(*[columns.column(name).to_pylist() for name in names])
            kept += [tuple(normal(value) for value in row) for row in rows]
        cursor.execute(f"SELECT {', '.join(map(quoted, names))} FROM {quoted(table['schema'])}.{quoted(table['name'])}")
        there = [tuple(normal(value) for value in row) for row in cursor.fetchall()]
        if sorted(map(repr, kept)) != sorted(map(repr, there)):
            odd = sorted(set(map(repr, kept)) ^ set(map(repr, there)))
            sys.exit(f"{full_name(table)}: {len(kept)} rows kept, {len(there)} on the till; first difference: {odd[:2]}")
        total += len(kept)
    print(json.dumps({"tables": len(snapshot["tables"]), "rows": total}))


if __name__ == "__main__":
    main()
