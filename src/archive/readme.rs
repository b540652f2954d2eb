//! The text that explains the folder to whoever meets it without tillvault.

/// Content of `README.md` in an archive's folder.
pub(super) const TEXT: &str = r#"# A tillvault archive

This folder holds every row of a SambaPOS till, as it was at each snapshot, in plain files:

- `snapshots/000042.json.zst`: one state of the whole till. JSON, compressed with zstd (`zstd -dc FILE`). It lists every
  table with its columns and the chunk files that make it.
- `tables/<table>/<hash>-<length>.parquet`: chunks of rows, in Parquet. `b3sum` of the file is the hash in its name.
- `journal/000007.json.zst`: what was decided about snapshots later, compressed in the same way: tags given and taken, and
  snapshots that were forgotten, whose numbers are therefore missing. No other number may be.
- `tillvault-archive.json`: whose archive this is.
- `index/snapshots.json` and this text are derived: nothing is read by them, and tillvault writes them anew.
- `damaged/`, if it is there: what a repair replaced. It may be deleted when nobody wants to look into it any more.

Snapshots, records and chunks are written once and never changed. Do not rename, edit or delete any of them. The folder as a
whole may be moved and copied; copy chunks before snapshots.

A chunk file is part of the snapshots that list it: all files of a table's folder together hold old and new versions of the
same rows. To read one table at one snapshot with DuckDB, started in this folder:

```sql
SET VARIABLE chunks = (
  SELECT list('tables/' || t.folder || '/' || c.file || '-' || c.bytes || '.parquet')
  FROM (SELECT unnest(tables) AS t FROM read_json('snapshots/000001.json.zst', maximum_object_size = 1000000000)),
       LATERAL (SELECT unnest(t.chunks) AS c)
  WHERE t.schema = 'dbo' AND t.name = 'Tickets');
SELECT * FROM read_parquet(getvariable('chunks'), union_by_name = true);
```

Put the number of a snapshot that is there in the place of 000001. A column that is missing from a chunk is NULL there. An
empty table has no chunks.

In Python, `duckdb.sql(...)` of the package duckdb runs the two statements, one after the other.
"#;
