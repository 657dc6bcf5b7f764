"""A DuckDB session, set up the one way that all of Headwater computes in.

UTC, no downloads, no reaching into Python variables, no progress bar, and what does not fit
into memory goes to a folder that we name.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import duckdb

from headwater.sql.quote import literal


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a session may use.

    memory_limit   as DuckDB writes it ("2GB"); None: half of the machine's memory.
    threads        None: all cores.
    spill_folder   where what does not fit into memory goes; None: nowhere.
    """

    memory_limit: str | None = None
    threads: int | None = None
    spill_folder: Path | None = None


def connect(
    limits: Limits | None = None, *, unsigned_extensions: bool = False
) -> duckdb.DuckDBPyConnection:
    """A new in-memory DuckDB.

    unsigned_extensions   whether extensions are loaded without a look at their signature; see
                          `extensions.lake_session`.
    """
    limits = limits or Limits()
    config: dict[str, str | bool | int | float | list[str]] = {
        "allow_unsigned_extensions": unsigned_extensions,
        "autoinstall_known_extensions": "false",
        "python_enable_replacements": "false",
        "memory_limit": memory_limit_of(limits),
    }
    if limits.threads:
        config["threads"] = limits.threads
    if limits.spill_folder:
        config["temp_directory"] = str(limits.spill_folder)
    con = duckdb.connect(":memory:", config=config)
    con.execute("SET TimeZone = 'UTC'; SET enable_progress_bar = false")
    return con


def memory_limit_of(limits: Limits) -> str:
    """How much memory a session may take, as DuckDB writes it."""
    return limits.memory_limit or f"{_half_of_memory_mib()}MiB"


def _half_of_memory_mib() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // (2 * 1024 * 1024)


def quote_path(path: Path) -> str:
    """A path as a SQL literal."""
    return literal(str(path))
