"""A session for the lake that is made while the rest of Headwater is imported and the project read.

Loading DuckLake takes a sixth of a second, nearly all of it outside of Python: another core does
it meanwhile.
"""

from __future__ import annotations

import threading

import duckdb

from headwater.engine import extensions
from headwater.engine.session import Limits, connect, limit
from headwater.errors import HeadwaterError


class _Maker(threading.Thread):
    """Makes one session. Python waits for it at its end, whatever became of the command."""

    def __init__(self) -> None:
        super().__init__(name="headwater-session")
        self.con: duckdb.DuckDBPyConnection | None = None

    def run(self) -> None:
        try:
            self.con = _new()
        except (HeadwaterError, duckdb.Error):
            self.con = None  # whoever needs it makes one, and says what is wrong


_makers: list[_Maker] = []


def begin() -> None:
    """Start to make the session that the next `lake_session` gives."""
    if not _makers:
        _makers.append(_Maker())
        _makers[0].start()


def lake_session(limits: Limits) -> duckdb.DuckDBPyConnection:
    """A new in-memory DuckDB that knows DuckLake. Raises ExtensionMissing."""
    con = None
    if _makers:
        maker = _makers.pop()
        maker.join()
        con = maker.con
    con = con or _new()
    limit(con, limits)
    return con


def _new() -> duckdb.DuckDBPyConnection:
    con = connect()
    try:
        extensions.load(con, *extensions.LAKE)
    except BaseException:
        con.close()
        raise
    return con
