"""DuckDB's extensions: from their wheels, so that nothing is downloaded at run time.

This is the only place that knows where an extension comes from.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import duckdb

from headwater.engine.session import Limits, connect
from headwater.errors import ExtensionMissing
from headwater.sql.quote import literal

LAKE = ("ducklake", "sqlite_scanner")


def lake_session(limits: Limits) -> duckdb.DuckDBPyConnection:
    """A new in-memory DuckDB that knows DuckLake. Raises ExtensionMissing.

    To check the signatures of the two extensions, DuckDB reads and hashes 70 MB: a sixth of a
    second, more than all else that an idle run does. Those in wheels came as DuckDB itself came,
    which no one checks anew at each start; `headwater doctor` does check them. Nothing else can be
    loaded unsigned: what allows it is off before the session is given away, and cannot be turned on
    again.
    """
    con = connect(limits, unsigned_extensions=all(is_in_wheel(name) for name in LAKE))
    try:
        load(con, *LAKE)
        con.execute("SET allow_unsigned_extensions = false")
    except BaseException:
        con.close()
        raise
    return con


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
