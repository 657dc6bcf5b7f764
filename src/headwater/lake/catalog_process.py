"""A program of its own, run by `catalog.py`: reads or copies a catalog's file through SQLite.

    python catalog_process.py facts CATALOG
    python catalog_process.py copy CATALOG TARGET [DATA_PATH]

Prints one JSON object. It knows the standard library alone, and imports nothing of Headwater: it
is started often and must start fast. Why it is a process of its own is said in `catalog.py`.
"""

from __future__ import annotations

import json
import os
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

BUSY_TIMEOUT_S = 60.0
FILES = """
    SELECT DISTINCT s.path, s.path_is_relative, t.path, t.path_is_relative,
        f.path, f.path_is_relative, f.file_size_bytes
    FROM (
        SELECT table_id, path, path_is_relative, file_size_bytes FROM ducklake_data_file
        UNION ALL
        SELECT table_id, path, path_is_relative, file_size_bytes FROM ducklake_delete_file
    ) f
    LEFT JOIN ducklake_table t USING (table_id) LEFT JOIN ducklake_schema s USING (schema_id)
"""
SCHEDULED = "SELECT path FROM ducklake_files_scheduled_for_deletion"
TABLES = """
    SELECT t.table_name FROM ducklake_table t JOIN ducklake_schema s USING (schema_id)
    WHERE t.end_snapshot IS NULL AND s.end_snapshot IS NULL AND s.schema_name = 'built'
"""
LAKE_ID = "SELECT schema_uuid FROM ducklake_schema ORDER BY schema_id LIMIT 1"


def main(words: list[str]) -> dict[str, Any]:
    """Carry out one command; what it found out."""
    command, source = words[0], Path(words[1])
    if command == "copy":
        target = Path(words[2])
        copy(source, target, words[3] if len(words) > 3 else None)
        source = target
    with closing(_read_only(source)) as con:
        return facts(con)


def copy(source: Path, target: Path, data_path: str | None) -> None:
    """Copy a catalog to a file that is not there yet, as it is at one moment, and whole by itself:
    no write-ahead log stands beside it.

    All pages are copied in one step, which is one reading transaction: in WAL mode it waits for no
    writer and no writer waits for it, and what commits meanwhile is not in the copy.

    data_path   where the lake of the copy stands, if it is to be a lake's; then it is in WAL mode.
    """
    with closing(_read_only(source)) as here, closing(sqlite3.connect(target)) as there:
        here.backup(there)
        there.execute("PRAGMA journal_mode = DELETE")
        if data_path is not None:
            update = "UPDATE ducklake_metadata SET value = ? WHERE key = 'data_path'"
            there.execute(update, [data_path])
            there.commit()
            there.execute("PRAGMA journal_mode = WAL")
    with target.open("rb") as written:
        os.fsync(written.fileno())


def facts(con: sqlite3.Connection) -> dict[str, Any]:
    """What a catalog says of itself: its damage, if any, and the files that it names."""
    damage = [row[0] for row in con.execute("PRAGMA integrity_check(20)") if row[0] != "ok"]
    if damage:
        return {"damage": damage}
    return {
        "lake_id": con.execute(LAKE_ID).fetchone()[0],
        "snapshot_id": con.execute("SELECT max(snapshot_id) FROM ducklake_snapshot").fetchone()[0],
        "files": [_whole(*row) for row in con.execute(FILES)],
        "tables": [row[0] for row in con.execute(TABLES)],
        "scheduled": [row[0] for row in con.execute(SCHEDULED)],
    }


def _whole(
    schema: str | None,
    schema_within: int | None,
    table: str | None,
    table_within: int | None,
    path: str,
    within: int,
    size_bytes: int,
) -> tuple[str, int]:
    """A file's path within the data folder; an absolute one where it stands elsewhere. Its size."""
    if not within:
        return path, size_bytes
    if not table_within:
        return f"{table or '/'}{path}", size_bytes
    if not schema_within:
        return f"{schema or '/'}{table}{path}", size_bytes
    return f"{schema}{table}{path}", size_bytes


def _read_only(path: Path) -> sqlite3.Connection:
    uri = f"file:{quote(str(path.resolve()))}?mode=ro"
    return sqlite3.connect(uri, uri=True, timeout=BUSY_TIMEOUT_S)


if __name__ == "__main__":
    try:
        json.dump(main(sys.argv[1:]), sys.stdout)
    except (sqlite3.Error, OSError) as error:
        json.dump({"error": str(error)}, sys.stdout)
        sys.exit(1)
