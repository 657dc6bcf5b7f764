"""The newest snapshot of a lake, read from its catalog's file without DuckDB.

Only for a process that has no lake open: closing any descriptor of a file drops the locks that the
process holds on it, those of DuckDB's own SQLite too (see `lake/catalog.py`). The commands look
before they open the lake, and after they have closed it.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from headwater.folder import CATALOG
from headwater.index.store import digest

_TIMEOUT_S = 5.0


def catalog_digest(lake: Path) -> str | None:
    """What tells one state of a lake from any other; None where there is no lake, or it cannot be
    read: then its own errors are to be seen.

    The whole row of the newest snapshot, its time included: a lake that was restored counts its
    snapshots from where the backup was, and another one may have the same number.
    """
    file = lake / CATALOG
    try:
        facts = file.stat()
        uri = f"file:{quote(str(file))}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True, timeout=_TIMEOUT_S)) as con:
            newest = con.execute(
                "SELECT * FROM ducklake_snapshot ORDER BY snapshot_id DESC LIMIT 1"
            ).fetchone()
            options = con.execute("SELECT * FROM ducklake_metadata").fetchall()
    except (OSError, sqlite3.Error):
        return None
    if newest is None:
        return None
    return digest(str(file), f"{facts.st_ino} {facts.st_dev}", repr(newest), repr(options))
