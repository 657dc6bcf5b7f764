"""DuckDB's extensions: from their wheels, so that nothing is downloaded at run time.

This is the only place that knows where an extension comes from.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import duckdb

from headwater.errors import ExtensionMissing
from headwater.sql.quote import literal

LAKE = ("ducklake", "sqlite_scanner")


def load(con: duckdb.DuckDBPyConnection, *names: str) -> None:
    """Load extensions into a connection: from the wheel, else from those DuckDB has installed.

    Raises ExtensionMissing with the package to install.
    """
    for name in names:
        path = _in_wheel(name)
        try:
            con.execute(f"LOAD {literal(str(path))}" if path else f"LOAD {name}")
        except duckdb.Error as error:
            package = f"duckdb-extension-{name.replace('_', '-')}=={duckdb.__version__}"
            raise ExtensionMissing(
                f"DuckDB's extension {name} is not there for DuckDB {duckdb.__version__}",
                hint=f"pip install {package}",
            ) from error


def is_in_wheel(name: str) -> bool:
    """Whether an extension comes from a wheel, and so needs no network."""
    return _in_wheel(name) is not None


def _in_wheel(name: str) -> Path | None:
    spec = importlib.util.find_spec(f"duckdb_extension_{name}")
    if spec is None or spec.origin is None:
        return None
    path = (
        Path(spec.origin).parent
        / "extensions"
        / f"v{duckdb.__version__}"
        / f"{name}.duckdb_extension"
    )
    return path if path.is_file() else None
