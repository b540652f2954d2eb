#!/usr/bin/env python3
"""Compares an archive of the cases in fixtures/types with what they say is kept. Reads it as read_archive.py does.

    read_types.py FOLDER cases.tsv

Of each table with the columns Id and V, row Id must hold what line Id says.
"""
import datetime
import json
import struct
import sys

import pyarrow as pa

from read_archive import Archive, Damage

DAY = 86_400 * 10**9


def clock(nanoseconds, digits):
    seconds, fraction = divmod(nanoseconds, 10**9)
    point = f".{fraction:09d}"[:digits + 1] if digits else ""
    assert fraction % 10 ** (9 - digits) == 0, "more digits than declared"
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}{point}"


def digits_of(sql_type):
    if sql_type.startswith(("time(", "datetime2(")):
        return int(sql_type.rstrip(")").split("(")[1])
    return 3 if sql_type == "datetime" else 0


def day(days):
    return (datetime.date(1970, 1, 1) + datetime.timedelta(days=days)).isoformat()


def shown(value, whole, arrow, sql_type, archived):
    """The value as the file spells it. `whole` is the integer in a column of dates and times."""
    if value is None and whole is None:
        return "NULL"
    if pa.types.is_boolean(arrow):
        return "true" if value else "false"
    if pa.types.is_decimal(arrow):
        return format(value, "f")
    if pa.types.is_floating(arrow):
        # Equal bits, whatever the spelling.
        code = "<d" if arrow == pa.float64() else "<f"
        same = archived != "NULL" and struct.pack(code, value) == struct.pack(code, float(archived))
        return archived if same else repr(value)
    if pa.types.is_date(arrow):
        return day(whole)
    if pa.types.is_time(arrow):
        return clock(whole * (1 if arrow == pa.time64("ns") else 1000), digits_of(sql_type))
    if pa.types.is_timestamp(arrow):
        days, within = divmod(whole * 1000, DAY)
        return f"{day(days)}T{clock(within, digits_of(sql_type))}"
    if pa.types.is_binary(arrow):
        return "0x" + value.hex().upper()
    return str(value)


def main():
    folder, cases = sys.argv[1:]
    with open(cases, encoding="utf-8") as file:
        lines = [line.rstrip("\n").split("\t") for line in file]
    archive = Archive(folder)
    archive.check()
    files = archive.snapshot_files()
    snapshot, _ = archive.snapshot(max(files), files[max(files)])
    compared = 0
    for table in snapshot["tables"]:
        if [column["name"] for column in table["columns"]] != ["Id", "V"]:
            continue
        sql_type = table["columns"][1]["type"]
        for chunk in table["chunks"]:
            rows = archive.chunk(table, chunk)
            column = rows.column("V").combine_chunks()
            if isinstance(column, pa.ChunkedArray):
                column = column.chunk(0)
            moment = pa.types.is_temporal(column.type)
            integers = column.cast(pa.int32() if pa.types.is_date(column.type) else pa.int64()).to_pylist() if moment else None
            values = [None] * rows.num_rows if moment else column.to_pylist()
            for at, number in enumerate(rows.column("Id").to_pylist()):
                declared, name, _, _, archived = lines[number - 1]
                found = shown(values[at], integers[at] if moment else None, column.type, sql_type, archived)
                expected = json.loads(archived) if archived.startswith('"') else archived
                if declared != sql_type or found != expected:
                    sys.exit(f"{table['name']} {sql_type}, {name}: {found!a}, not {expected!a}")
                compared += 1
    print(f"{compared} values are as they should be")


if __name__ == "__main__":
    try:
        main()
    except Damage as damage:
        sys.exit(f"damaged: {damage}")
