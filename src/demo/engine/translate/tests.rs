//! What queries answer, through DuckDB.
