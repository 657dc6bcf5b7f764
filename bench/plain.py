"""The peer: plain DuckDB into a DuckLake of the same kind, one statement, nothing kept account of.

The types are stated, so that DuckDB need not guess them: that is the fastest plain way.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import duckdb

from bench.inputs import Table


def open_lake(folder: Path) -> duckdb.DuckDBPyConnection:
    """A session with a DuckLake attached as `lake`: SQLite catalog in WAL mode, local files."""
    con = duckdb.connect(":memory:")
    con.execute("SET TimeZone = 'UTC'; SET enable_progress_bar = false")
    for extension in ("ducklake", "sqlite_scanner"):
        con.execute(f"LOAD '{_extension(extension)}'")
    con.execute(
        f"ATTACH 'ducklake:sqlite:{folder}/catalog.sqlite' AS lake "
        f"(DATA_PATH '{folder}/data', META_JOURNAL_MODE 'WAL')"
    )
    return con


def create(con: duckdb.DuckDBPyConnection, table: Table) -> None:
    columns = ", ".join(f"{name} {kind}" for name, kind in table.types.items())
    con.execute(f"CREATE TABLE lake.{table.name} ({columns})")


def insert(con: duckdb.DuckDBPyConnection, table: Table, file: Path) -> int:
    """Insert a file; returns its rows."""
    columns = ", ".join(f"'{name}': '{kind}'" for name, kind in table.types.items())
    if table.ending == "csv":
        read = f"read_csv('{file}', header = true, columns = {{{columns}}})"
    else:
        read = f"read_json('{file}', format = 'newline_delimited', columns = {{{columns}}})"
    made = con.execute(f"INSERT INTO lake.{table.name} SELECT * FROM {read}").fetchone()
    return int(made[0]) if made else 0


def _extension(name: str) -> Path:
    spec = importlib.util.find_spec(f"duckdb_extension_{name}")
    if spec is None or spec.origin is None:
        raise RuntimeError(f"pip install duckdb-extension-{name.replace('_', '-')}")
    version = f"v{duckdb.__version__}"
    return Path(spec.origin).parent / "extensions" / version / f"{name}.duckdb_extension"
