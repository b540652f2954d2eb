#!/usr/bin/env python3
"""Checks that dependencies point down: which room of src/ may use which (see docs/ARCHITECTURE.md).

Also holds the rules about foreign crates: only `source` names tiberius, only `store` names reqwest, and so on.
"""

import pathlib
import re
import sys

GROUND = {"error", "observe", "config", "model"}
MAY_USE = {
    "model": set(),
    "error": set(),
    "observe": set(),
    # config names the table selection it fills in for the source.
    "config": {"error", "model", "source"},
    "source": GROUND,
    "store": GROUND,
    "archive": GROUND | {"store"},
    "history": GROUND | {"archive"},
    "replica": GROUND | {"archive", "history"},
    "report": GROUND | {"archive", "history", "replica", "source"},
    "ops": GROUND | {"archive", "history", "replica", "report", "source", "store"},
    "demo": GROUND,
    "cli": GROUND | {"archive", "demo", "history", "ops", "replica", "report", "source", "store"},
}
# crate -> rooms that may name it
CRATES = {
    "tiberius": {"source"},
    "reqwest": {"store"},
    "tokio_postgres": {"replica", "report"},
    "refinery": {"replica"},
    "duckdb": {"history", "replica", "demo"},
    "parquet": {"archive"},
    "clap": {"cli"},
    "indicatif": {"cli"},
    "sqlparser": {"demo"},
    "dav_server": {"demo"},
}

source = pathlib.Path(__file__).resolve().parent.parent / "src"
# Modules that exist for tests alone may reach further (a conformance suite needs the demo's server).
tests_only = set()
for path in source.rglob("*.rs"):
    folder = path.parent if path.name == "mod.rs" else path.with_suffix("")
    for name in re.findall(r"#\[cfg\(test\)\]\s*(?:pub(?:\([^)]*\))? )?mod (\w+);", path.read_text(encoding="utf-8")):
        tests_only |= {folder / f"{name}.rs", folder / name / "mod.rs"}
wrong = []
for path in sorted(source.rglob("*.rs")):
    parts = path.relative_to(source).parts
    room = parts[0].removesuffix(".rs")
    if room in ("main", "lib") or path in tests_only:
        continue
    text = path.read_text(encoding="utf-8")
    # Unit tests may reach further (a replica test may need the demo's rows).
    text = re.split(r"^#\[cfg\(test\)\]\s*^mod tests", text, flags=re.M)[0]
    code = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("//"))
    if room not in MAY_USE:
        wrong.append(f"{path}: room '{room}' is not in the table of scripts/check_layers.py")
        continue
    used = set(re.findall(r"\bcrate::(\w+)", code))
    for group in re.findall(r"\bcrate::\{(.*?)\};", code, flags=re.S):
        depth = 0
        name = ""
        for char in group + ",":
            if char == "{":
                depth += 1
            elif char == "}":
                depth -= 1
            elif char == "," and depth == 0:
                used.add(re.split(r"::|\s", name.strip())[0])
                name = ""
                continue
            if depth == 0:
                name += char
    rooms = {p.stem for p in source.glob("*.rs")} | {p.name for p in source.iterdir() if p.is_dir()}
    for other in sorted((used & rooms) - {room, "lib", "main"}):
        if other not in MAY_USE[room]:
            wrong.append(f"{path}: '{room}' must not use '{other}'")
    for crate, allowed in CRATES.items():
        if room not in allowed and re.search(rf"\b{crate}::", code):
            wrong.append(f"{path}: '{room}' must not name the crate '{crate}'")

if wrong:
    print("\n".join(wrong))
    sys.exit(1)
