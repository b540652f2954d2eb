"""Reads a query with ConnectorX and writes Parquet with pyarrow: address, query, file."""

import sys

import connectorx
import pyarrow.parquet

for encryption in ("", "?encrypt=true&trust_server_certificate=true"):
    try:
        table = connectorx.read_sql(sys.argv[1] + encryption, sys.argv[2], return_type="arrow")
        break
    except RuntimeError:
        if encryption:
            raise
pyarrow.parquet.write_table(table, sys.argv[3], compression="zstd", compression_level=3)
print(table.num_rows)
