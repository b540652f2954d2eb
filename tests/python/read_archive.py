#!/usr/bin/env python3
"""Reads and checks a tillvault archive without tillvault. Written from docs/FORMAT.md alone.

    read_archive.py FOLDER                  check everything, print a JSON summary (rows per table and snapshot)
    read_archive.py FOLDER --dump TABLE     rows of the table at the newest snapshot (or --snapshot N), one JSON list a line

Needs pyarrow, zstandard and blake3 from PyPI. Ends with status 1 and a line on standard error at the first fault.
"""
import argparse
import decimal
import itertools
import json
import pathlib
import re
import struct
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import zstandard
from blake3 import blake3

FIXED = {"int16": 2, "int32": 4, "int64": 8, "float32": 4, "float64": 8, "date": 4,
         "time(us)": 8, "time(ns)": 8, "timestamp(us)": 8}
ARROW = {"bool": pa.bool_(), "int16": pa.int16(), "int32": pa.int32(), "int64": pa.int64(), "float32": pa.float32(),
         "float64": pa.float64(), "date": pa.date32(), "time(us)": pa.time64("us"), "time(ns)": pa.time64("ns"),
         "timestamp(us)": pa.timestamp("us"), "text": pa.string(), "binary": pa.binary()}
TAGS = {"bit": "bool", "tinyint": "int16", "smallint": "int16", "int": "int32", "bigint": "int64",
        "money": "decimal(19,4)", "smallmoney": "decimal(10,4)", "real": "float32", "float": "float64", "date": "date",
        "datetime": "timestamp(us)", "smalldatetime": "timestamp(us)", "image": "binary", "rowversion": "binary",
        "hierarchyid": "binary", "geometry": "binary", "geography": "binary", "sql_variant": "text", "json": "text"}


class Damage(Exception):
    pass


def expect(fact, message):
    if not fact:
        raise Damage(message)


# ---------------------------------------------------------------- §5 types

def tag_of(sql_type):
    if sql_type in TAGS:
        return TAGS[sql_type]
    if sql_type.startswith("clr("):
        return "binary"
    name, argument = re.fullmatch(r"(\w+)(?:\((.*)\))?", sql_type).groups()
    if name == "decimal":
        return sql_type
    if name == "time":
        return "time(us)" if int(argument) <= 6 else "time(ns)"
    if name == "datetime2":
        return "timestamp(us)" if int(argument) <= 6 else "text"
    if name in ("binary", "varbinary"):
        return "binary"
    if name in ("datetimeoffset", "char", "varchar", "text", "nchar", "nvarchar", "ntext", "xml", "uniqueidentifier"):
        return "text"
    raise Damage(f"unknown type {sql_type}")


def arrow_of(tag):
    if tag.startswith("decimal("):
        return pa.decimal128(*map(int, tag[8:-1].split(",")))
    return ARROW[tag]


# ---------------------------------------------------------------- §7, §8 bytes of values

def u32(number):
    return struct.pack("<I", number)


def u64(number):
    return struct.pack("<Q", number)


def packed(flags):
    data = bytearray((len(flags) + 7) // 8)
    for row, flag in enumerate(flags):
        if flag:
            data[row // 8] |= 1 << (row % 8)
    return bytes(data)


def unscaled(value, scale):
    sign, digits, exponent = value.as_tuple()
    number = int("".join(map(str, digits))) * 10 ** (exponent + scale)
    return -number if sign else number


def raw_values(tag, column):
    """The bytes of each value, None for NULL; for bool a byte."""
    if tag == "bool":
        return [None if v is None else bytes([v]) for v in column.to_pylist()]
    if tag == "text":
        return [None if v is None else v.encode("utf-8") for v in column.to_pylist()]
    if tag == "binary":
        return column.to_pylist()
    if tag.startswith("decimal("):
        scale = int(tag[8:-1].split(",")[1])
        return [None if v is None else unscaled(v, scale).to_bytes(16, "little", signed=True)
                for v in column.to_pylist()]
    if tag.startswith("float"):
        code = "<f" if tag == "float32" else "<d"
        return [None if v is None else struct.pack(code, v) for v in column.to_pylist()]
    width = FIXED[tag]
    whole = column.cast(pa.int32() if width <= 4 else pa.int64())
    return [None if v is None else v.to_bytes(width, "little", signed=True) for v in whole.to_pylist()]


def column_hash(name, tag, raw):
    if tag == "bool":
        values = packed([v == b"\1" for v in raw])
    elif tag in ("text", "binary"):
        values = b"".join(u32(len(v or b"")) for v in raw) + b"".join(v or b"" for v in raw)
    else:
        zero = bytes(16 if tag.startswith("decimal(") else FIXED[tag])
        values = b"".join(zero if v is None else v for v in raw)
    name, tag = name.encode("utf-8"), tag.encode("ascii")
    return blake3(u32(len(name)) + name + u32(len(tag)) + tag + u64(len(raw))
                  + packed([v is not None for v in raw]) + values).digest()


def content_hash(rows, columns):
    hashes = [column_hash(name, tag, raw) for name, (tag, raw) in columns.items() if any(v is not None for v in raw)]
    return blake3(b"tv1" + u64(rows) + b"".join(sorted(hashes))).hexdigest()


def row_keys(table, rows, columns):
    kept = sorted((c["name"] for c in table["columns"]), key=lambda name: name.encode("utf-8"))
    names = table["key"] if table["key"] and set(table["key"]) <= set(kept) else kept
    keys = [b""] * rows
    for name in names:
        prefix = u32(len(name.encode("utf-8"))) + name.encode("utf-8")
        for row, value in enumerate(columns[name][1]):
            if value is not None:
                keys[row] += prefix + u32(len(value)) + value
    return keys


def row_weights(rows, columns):
    weights = [0] * rows
    for tag, raw in columns.values():
        for row, value in enumerate(raw):
            weights[row] += len(value) if value is not None else 0
    return weights


# ---------------------------------------------------------------- §6 blocks: (block, rows) for sorted (key, weight)

def whole_block(_, places):
    # As the least number of bits with the usual numbers, or one less.
    expect(len(places) <= 8192 and weight(places) <= 16 << 20, "one chunk where a hash ladder is wanted")
    return [({}, len(places))] if places else []


def range_blocks(ladder, places):
    if not places:
        return
    highest, closed, opened = places[-1][0], ladder["closed"], ladder["open"]

    def halves(lo, hi, rows):
        if weight(rows) <= ladder["heavy"] or lo == hi:
            yield {"lo": max(lo, -2**63), "hi": min(hi, 2**63 - 1)}, len(rows)
            return
        middle = lo + (hi - lo) // 2
        for lo, hi in (lo, middle), (middle + 1, hi):
            part = [(key, w) for key, w in rows if lo <= key <= hi]
            if part:
                yield from halves(lo, hi, part)

    for (lo, hi), rows in grouped(places, lambda key: aligned(key, closed)):
        if hi <= highest // closed * closed and weight(rows) <= ladder["heavy"]:
            yield {"lo": max(lo, -2**63), "hi": min(hi, 2**63 - 1)}, len(rows)
        else:
            for (lo, hi), part in grouped(rows, lambda key: aligned(key, opened)):
                yield from halves(lo, hi, part)


def hash_blocks(ladder, places):
    heavy, bits = ladder["heavy"], ladder["bits"]
    wanted = next((b for b in range(20) if len(places) <= ladder["rows"] << b and weight(places) <= heavy // 4 << b), 20)
    expect(abs(wanted - bits) <= 1, f"{bits} bits where {wanted} are wanted")

    def cut(bits, rows):
        for bucket, part in grouped(rows, lambda prefix: prefix >> (32 - bits)):
            if weight(part) > heavy and bits < 32:
                yield from cut(bits + 1, part)
            else:
                yield {"bucket": bucket, "bits": bits}, len(part)

    yield from cut(bits, places)


def aligned(key, size):
    lo = (key - 1) // size * size + 1
    return lo, lo + size - 1


def grouped(places, group):
    return [(name, list(rows)) for name, rows in itertools.groupby(places, lambda place: group(place[0]))]


def weight(places):
    return sum(weight for _, weight in places)


def lies_in(place, block):
    if "lo" in block:
        return block["lo"] <= place <= block["hi"]
    return "bits" not in block or place >> (32 - block["bits"]) == block["bucket"]


# ---------------------------------------------------------------- §2 folders

def folders_of(schema, name):
    """The two folders that a table may have: the usual one, and the one apart from another that differs by case alone."""
    found = []
    for plain in rb"A-Za-z0-9_", rb"0-9_":
        escaped = [re.sub(rb"[^" + plain + rb"]", lambda byte: b"-%02x" % byte[0][0], part.encode("utf-8"))
                   for part in ([name] if schema == "dbo" else [schema, name])]
        folder = b".".join(escaped).decode("ascii")
        if re.fullmatch(r"con|prn|aux|nul|com[0-9]|lpt[0-9]", folder.split(".")[0].lower()):
            folder = f"-{ord(folder[0]):02x}{folder[1:]}"
        if len(folder) > 150:
            cut = re.sub(r"-.?$", "", folder[:132])
            folder = f"{cut}--{blake3((schema + chr(0) + name).encode('utf-8')).hexdigest()[:16]}"
        found.append(folder)
    return found


# ---------------------------------------------------------------- files

def numbered(folder):
    """The snapshots or records of a folder, by number."""
    found = {}
    for path in folder.iterdir() if folder.is_dir() else ():
        match = re.fullmatch(r"(\d{6,})\.json\.zst", path.name)
        if match:
            found[int(match[1])] = path
    return dict(sorted(found.items()))


class Archive:
    def __init__(self, folder):
        self.root = pathlib.Path(folder)
        self.header = json.loads((self.root / "tillvault-archive.json").read_text("utf-8"))
        expect(self.header["format"] == 1, "unknown archive format")

    def snapshot_files(self):
        return numbered(self.root / "snapshots")

    def stored(self, field, number, path):
        """A snapshot or record, and the hash of its file."""
        stored = path.read_bytes()
        try:
            found = json.loads(zstandard.ZstdDecompressor().decompress(stored))
        except (zstandard.ZstdError, ValueError) as error:
            raise Damage(f"{path.name} is not a {field}: {error}") from error
        expect(found["format"] == 1, f"{path.name}: unknown format")
        expect(found[field] == number, f"{path.name}: wrong number")
        expect(found["archive"] == self.header["archive"], f"{path.name}: other archive")
        return found, blake3(stored).hexdigest()

    def snapshot(self, number, path):
        return self.stored("snapshot", number, path)

    def journal(self):
        """Tags by snapshot, forgotten snapshots by number, and number and hash of the newest record."""
        tags, forgotten, newest = {}, {}, None
        for expected, (number, path) in enumerate(numbered(self.root / "journal").items(), 1):
            expect(number == expected, f"record {expected} is lost")
            record, digest = self.stored("record", number, path)
            expect(record.get("parent") == (newest and newest[1]), f"record {number} does not follow {number - 1}")
            newest = (number, digest)
            if "tag" in record:
                tags[record["tag"]["snapshot"]] = record["tag"]["tags"]
            for entry in record.get("forget", {}).get("snapshots", []):
                forgotten[entry["snapshot"]] = entry
        return tags, forgotten, newest

    def chunk(self, table, chunk):
        """The chunk as an Arrow table of the declared columns, after the file's name was checked."""
        expect(chunk.get("encryption", "none") == "none", "encrypted chunk")
        path = self.root / "tables" / table["folder"] / f"{chunk['file']}-{chunk['bytes']}.parquet"
        expect(path.is_file(), f"{path} is missing")
        data = path.read_bytes()
        expect(len(data) == chunk["bytes"], f"{path} has another length")
        expect(blake3(data).hexdigest() == chunk["file"], f"{path} has other bytes")
        found = pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=True).read()
        expect(found.num_rows == chunk["rows"], f"{path} has {found.num_rows} rows")
        arrays = []
        for column in table["columns"]:
            wanted = arrow_of(tag_of(column["type"]))
            if column["name"] in found.column_names:
                array = found.column(column["name"]).combine_chunks()
                if array.type != wanted and array.null_count == len(array):
                    array = pa.nulls(len(array), wanted)
                expect(array.type == wanted, f"{path}: {column['name']} is {array.type}, not {wanted}")
                expect(array.null_count < len(array) or len(found.column_names) == 1,
                       f"{path}: {column['name']} is there without a value")
            else:
                array = pa.nulls(found.num_rows, wanted)
            arrays.append(array)
        return pa.table(arrays, names=[c["name"] for c in table["columns"]])

    def check_table(self, table):
        ladder, where = table["ladder"], table["name"]
        expect(sum(chunk["rows"] for chunk in table["chunks"]) == table["rows"], f"{where}: rows do not add up")
        found, places = [], []
        for chunk in table["chunks"]:
            rows = self.chunk(table, chunk)
            columns = {c["name"]: (tag_of(c["type"]), raw_values(tag_of(c["type"]), rows.column(c["name"]).combine_chunks()))
                       for c in table["columns"]}
            part = f"{where} chunk {chunk['file'][:8]}"
            expect(content_hash(rows.num_rows, columns) == chunk["content"], f"{part}: other content hash")
            keys = row_keys(table, rows.num_rows, columns)
            order = keys
            if ladder["kind"] == "range":
                # What decides where a row belongs: its leading key.
                cut_by = rows.column(ladder["column"]).to_pylist()
                order = list(zip(cut_by, keys))
            else:
                # Or the first 32 bits of its key's hash.
                cut_by = [int.from_bytes(blake3(key).digest()[:4], "big") for key in keys]
            expect(order == sorted(order), f"{part}: rows out of order")
            found.append((chunk["block"], chunk["rows"]))
            places += zip(cut_by, row_weights(rows.num_rows, columns))
        places.sort()
        cut = {"range": range_blocks, "hash": hash_blocks, "whole": whole_block}[ladder["kind"]]
        for made, wanted in itertools.zip_longest(found, cut(ladder, places)):
            expect(made == wanted, f"{where}: block and rows {made} should be {wanted}")
        ahead = iter(places)
        for block, count in found:
            for place, _ in itertools.islice(ahead, count):
                expect(lies_in(place, block), f"{where}: {place} lies in the wrong block {block}")

    def check_chain(self, hashes, parents, forgotten, index):
        """Every number has a file or was forgotten, and names the one before it; the index knows no other file."""
        for number in range(1, max([0, *hashes, *forgotten, *index]) + 1):
            gone = forgotten.get(number)
            expect(number in hashes or gone, f"snapshot {number} is lost")
            before = hashes.get(number - 1) or forgotten.get(number - 1, {}).get("hash")
            parent = parents[number] if number in parents else gone.get("parent")
            expect(number > 1 or parent is None, "the first snapshot has a parent")
            expect(parent == before, f"snapshot {number} does not follow {number - 1}")
            if number in index:
                expect(index[number]["hash"] == hashes.get(number), f"snapshot {number} is not what the index knows")

    def index(self, newest):
        """The entries of the index by number, when it is there."""
        path = self.root / "index" / "snapshots.json"
        if not path.is_file():
            return {}
        stored = path.read_bytes()
        index = json.loads(stored)
        expect(index["format"] == 1 and index["archive"] == self.header["archive"], "the index is of another archive")
        if "check" in index:
            zeros = stored.replace(index["check"].encode("ascii"), b"0" * 64, 1)
            expect(blake3(zeros).hexdigest() == index["check"], "the index was altered")
        header = blake3((self.root / "tillvault-archive.json").read_bytes()).hexdigest()
        expect(index.get("header", header) == header, "the header is not what the index knows")
        witnessed = index.get("journal")
        if witnessed:
            expect(newest and witnessed["record"] <= newest[0], f"record {witnessed['record']} is lost")
            expect(witnessed["record"] < newest[0] or witnessed["hash"] == newest[1],
                   f"record {newest[0]} is not what the index knows")
        numbers = [entry["snapshot"] for entry in index["snapshots"]]
        expect(numbers == sorted(set(numbers)), "the index is out of order")
        return {entry["snapshot"]: entry for entry in index["snapshots"]}

    def check_names(self, snapshot, folders):
        """No table twice, each in a folder of its own, which it keeps; `missing` knows where tables were last."""
        number, names = snapshot["snapshot"], [(t["schema"], t["name"]) for t in snapshot["tables"]]
        expect(len(names) == len(set(names)), f"snapshot {number} lists a table twice")
        expect(len(names) == len({t["folder"].lower() for t in snapshot["tables"]}), f"snapshot {number}: folders collide")
        for table in snapshot["tables"]:
            name = (table["schema"], table["name"])
            expect(table["folder"] in folders_of(*name), f"{name} lies in the folder {table['folder']}")
            known = folders.get(number - 1, {}).get(name, table["folder"])
            expect(known == table["folder"], f"{name} lay in the folder {known}")
        folders[number] = {(t["schema"], t["name"]): t["folder"] for t in snapshot["tables"]}
        for missing in snapshot.get("missing", []):
            held = [n for n in folders if any(full_name({"schema": s, "name": t}) == missing["table"] for s, t in folders[n])]
            expect(not held or missing.get("last_in", 0) >= max(held), f"snapshot {number}: {missing['table']} was in {held}")

    def check(self):
        tags, forgotten, newest = self.journal()
        snapshots, hashes, parents, folders, seen = [], {}, {}, {}, set()
        for number, path in self.snapshot_files().items():
            snapshot, hashes[number] = self.snapshot(number, path)
            parents[number] = snapshot.get("parent")
            self.check_names(snapshot, folders)
            for table in snapshot["tables"]:
                state = json.dumps([table["columns"], table["key"], table["folder"], table["ladder"], table["chunks"]])
                if state not in seen:
                    self.check_table(table)
                    seen.add(state)
            rows = {full_name(t): t["rows"] for t in snapshot["tables"]}
            snapshots.append({"snapshot": number, "rows": rows, "chunks": sum(len(t["chunks"]) for t in snapshot["tables"]),
                              "tags": tags.get(number, snapshot.get("tags", []))})
        self.check_chain(hashes, parents, forgotten, self.index(newest))
        return {"archive": self.header["archive"], "site": self.header["site"], "snapshots": snapshots,
                "forgotten": list(forgotten)}

    def dump(self, number, name):
        files = self.snapshot_files()
        number = number or max(files)
        snapshot, _ = self.snapshot(number, files[number])
        table = next((t for t in snapshot["tables"] if full_name(t) == name), None)
        expect(table, f"snapshot {number} has no table {name}")
        for chunk in table["chunks"]:
            columns = [column.to_pylist() for column in self.chunk(table, chunk).columns]
            for row in zip(*columns):
                print(json.dumps([plain(value) for value in row], ensure_ascii=False))


def full_name(table):
    return table["name"] if table["schema"] == "dbo" else f"{table['schema']}.{table['name']}"


def plain(value):
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, decimal.Decimal):
        return format(value, "f")
    return value.hex() if isinstance(value, bytes) else value.isoformat()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder")
    parser.add_argument("--dump", metavar="TABLE")
    parser.add_argument("--snapshot", type=int)
    arguments = parser.parse_args()
    sys.stdout.reconfigure(encoding="utf-8")
    try:
        archive = Archive(arguments.folder)
        if arguments.dump:
            archive.dump(arguments.snapshot, arguments.dump)
        else:
            print(json.dumps(archive.check(), ensure_ascii=False))
    except Damage as damage:
        sys.exit(f"damaged: {damage}")


if __name__ == "__main__":
    main()
