#!/usr/bin/env python3
"""Checks a tillvault archive and says what it holds, in the form of fixtures/archives/v1.json, without tillvault.

    describe_archive.py FOLDER > v1.json

Written from docs/FORMAT.md and fixtures/archives/README.md alone; needs what read_archive.py needs. Ends with status 1 and a
line on standard error at the first fault.
"""
import datetime
import json
import sys

import zstandard
from blake3 import blake3

from read_archive import Archive, Damage, expect, full_name, numbered, raw_values, tag_of

LONGEST_LINES = 8192
ESCAPES = {ord("\\"): "\\\\", ord("\t"): "\\t", ord("\n"): "\\n", ord("\r"): "\\r"}
DAY = 86_400_000_000


def day_of(days):
    return (datetime.date(1970, 1, 1) + datetime.timedelta(days=days)).isoformat()


def time_of(count, digits):
    seconds, rest = divmod(count, 10 ** digits)
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.{rest:0{digits}}"


def whole(raw):
    return int.from_bytes(raw, "little", signed=True)


def as_text(tag, raw):
    """A value, given as the bytes that FORMAT §7 says."""
    if tag == "text":
        return raw.decode("utf-8").translate(ESCAPES)
    if tag == "bool":
        return "true" if raw == b"\1" else "false"
    if tag == "binary":
        return raw.hex()
    if tag.startswith("float"):
        return raw[::-1].hex()
    if tag.startswith("decimal("):
        scale = int(tag[8:-1].split(",")[1])
        sign, digits = "-" if whole(raw) < 0 else "", f"{abs(whole(raw)):0{scale + 1}}"
        return sign + digits if scale == 0 else f"{sign}{digits[:-scale]}.{digits[-scale:]}"
    if tag == "date":
        return day_of(whole(raw))
    if tag.startswith("time("):
        return time_of(whole(raw), 6 if tag == "time(us)" else 9)
    if tag == "timestamp(us)":
        days, rest = divmod(whole(raw), DAY)
        return f"{day_of(days)}T{time_of(rest, 6)}"
    return str(whole(raw))


def lines_of(archive, table):
    for chunk in table["chunks"]:
        rows = archive.chunk(table, chunk)
        columns = []
        for column in table["columns"]:
            tag = tag_of(column["type"])
            raw = raw_values(tag, rows.column(column["name"]).combine_chunks())
            columns.append(["\\N" if value is None else as_text(tag, value) for value in raw])
        for row in zip(*columns):
            yield "\t".join(row)


def column_of(column):
    words = [column["name"], column["type"], "null" if column["nullable"] else "not null"]
    words += ["identity"] if column.get("identity") else []
    for word, field in ("collate", "collation"), ("default", "default"):
        words += [word, column[field]] if field in column else []
    return " ".join(words)


def foreign_key_of(key):
    to = key["references"]
    return (f"{key['name']}: {', '.join(key['columns'])} -> {to['schema']}.{to['name']} "
            f"{', '.join(key['referenced_columns'])}")


def chunk_of(chunk):
    block = chunk["block"]
    if "lo" in block:
        block = f"{block['lo']} to {block['hi']}"
    else:
        block = f"bucket {block['bucket']} of {block['bits']} bits" if "bucket" in block else "all"
    return f"{block}: {chunk['rows']} rows {chunk['content']} in {chunk['file']}-{chunk['bytes']}.parquet"


def state_of(archive, table, numbers):
    digest, size, kept = blake3(), 0, []
    for line in lines_of(archive, table):
        line = line + "\n"
        stored = line.encode("utf-8")
        digest.update(stored)
        size += len(stored)
        if size <= LONGEST_LINES:
            kept.append(line[:-1])
    state = {
        "snapshots": numbers,
        "folder": table["folder"],
        "columns": [column_of(column) for column in table["columns"]],
        "key": table["key"],
        "foreign_keys": [foreign_key_of(key) for key in table.get("foreign_keys", [])],
        "left_out": table.get("left_out", []),
        "ladder": table["ladder"],
        "rows": table["rows"],
        "chunks": [chunk_of(chunk) for chunk in table["chunks"]],
        "blake3": digest.hexdigest(),
    }
    if size <= LONGEST_LINES:
        state["lines"] = kept
    return state


def describe(archive):
    tags, forgotten, newest = archive.journal()
    snapshots, tables = [], {}
    for number, path in archive.snapshot_files().items():
        snapshot, digest = archive.snapshot(number, path)
        entry = {"snapshot": number, "file": digest, "bytes": path.stat().st_size, "parent": snapshot.get("parent")}
        for field in "taken_at", "till_time", "kind", "consistency", "source", "epoch":
            entry[field] = snapshot[field]
        entry["clear"] = snapshot.get("clear")
        entry["tags"] = tags.get(number, snapshot.get("tags", []))
        entry["tool"] = snapshot["tool"]
        entry["tables"] = len(snapshot["tables"])
        entry["rows"] = sum(table["rows"] for table in snapshot["tables"])
        entry["missing"] = snapshot.get("missing", [])
        snapshots.append(entry)
        for table in snapshot["tables"]:
            states = tables.setdefault(full_name(table), [])
            known = [numbers for state, numbers in states if state == table]
            if known:
                known[0].append(number)
            else:
                states.append((table, [number]))
    return {
        **{field: archive.header[field] for field in ("format", "archive", "site", "created_at")},
        "records": newest[0] if newest else 0,
        "forgotten": [forgotten[number] for number in sorted(forgotten)],
        "snapshots": snapshots,
        "tables": {name: [state_of(archive, *state) for state in tables[name]] for name in sorted(tables)},
    }


def check_frames(archive):
    """Snapshots and records are one zstd frame each, with checksum and content size (FORMAT §4)."""
    for folder in "snapshots", "journal":
        for path in numbered(archive.root / folder).values():
            stored = path.read_bytes()
            frame = zstandard.get_frame_parameters(stored)
            expect(frame.has_checksum and frame.content_size > 0, f"{path} has no checksum or content size")
            reader = zstandard.ZstdDecompressor().decompressobj()
            reader.decompress(stored)
            expect(reader.eof and not reader.unused_data, f"{path} is not one zstd frame")


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.stdout.reconfigure(encoding="utf-8")
    try:
        archive = Archive(sys.argv[1])
        archive.check()
        check_frames(archive)
        print(json.dumps(describe(archive), ensure_ascii=True, indent=1))
    except Damage as damage:
        sys.exit(f"damaged: {damage}")


if __name__ == "__main__":
    main()
