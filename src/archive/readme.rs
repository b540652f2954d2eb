//! The text that explains the folder to whoever meets it without tillvault.

/// Content of `README.md` in an archive's folder.
pub(super) const TEXT: &str = r#"# A tillvault archive

This folder holds every row of a SambaPOS till, as it was at each snapshot, in plain files:

- `snapshots/000042.json.zst`: one state of the whole till. JSON, compressed with zstd (`zstd -dc FILE`). It lists every
  table with its columns and the chunk files that make it.
- `tables/<table>/<hash>-<length>.parquet`: chunks of rows, in Parquet. `b3sum` of the file is the hash in its name.
- `tillvault-archive.json`: whose archive this is.

The files are written once and never changed. Do not rename, edit or delete any of them. The folder as a whole may be moved
and copied; copy chunks before snapshots.

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

A column that is missing from a chunk is NULL there. An empty table has no chunks.
"#;
