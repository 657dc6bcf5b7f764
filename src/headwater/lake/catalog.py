"""The catalog's file itself: copied and examined through SQLite, never through plain reads.

Two traps lie here, so both are done by a process of its own (`catalog_process.py`):

- POSIX drops all locks that a process holds on a file as soon as the process closes any of its
  descriptors of that file. DuckDB carries a SQLite of its own, which knows nothing of Python's: if
  Python opened and closed the catalog while DuckDB has it attached in the same process, DuckDB's
  locks would be gone, and another process could overwrite what it is reading or writing. Another
  process has locks of its own and cannot drop ours, whatever it closes.
- A plain copy of the file is torn: what was committed last stands in the write-ahead log beside
  it. SQLite's backup reads both, as one transaction.

The process is started afresh (fork and exec at once), never as a fork that goes on in Python: a
fork inherits the open catalog without its locks.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from headwater.errors import LakeError

_PROGRAM = Path(__file__).with_name("catalog_process.py")


@dataclass(frozen=True, kw_only=True)
class CatalogFacts:
    """What a catalog says of itself at one moment.

    damage       what SQLite's integrity check found; empty: nothing. Else the rest is empty.
    lake_id      the same for a lake and its copies, and for no other lake.
    snapshot_id  its newest snapshot.
    tables       the built tables that there are.
    files        path within the data folder, as `built/TABLE/FILE`, -> its size in bytes.
    outside      how many files it names that stand outside of the data folder.
    scheduled    names of files that it no longer needs and that are still there.
    """

    damage: tuple[str, ...]
    lake_id: str
    snapshot_id: int
    tables: frozenset[str]
    files: dict[str, int]
    outside: int
    scheduled: frozenset[str]


def examine_catalog(path: Path) -> CatalogFacts:
    """What the catalog at `path` says of itself. Costs the start of a process, 50 ms, and grows
    with the size of the catalog. Raises LakeError where it is no catalog or cannot be read."""
    return _facts(path, "facts", str(path))


def copy_catalog(path: Path, target: Path, *, data_path: Path | None = None) -> CatalogFacts:
    """Copy the catalog at `path` to `target`, as it is at one moment, while others write to it.

    target      is not there yet; whole by itself, and on the disk when this returns.
    data_path   the data folder that the copy names for other DuckLake clients; None: as it was.
    """
    words = [str(path), str(target)] + ([f"{data_path}/"] if data_path else [])
    return _facts(path, "copy", *words)


def _facts(path: Path, *words: str) -> CatalogFacts:
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(_PROGRAM), *words],
        capture_output=True,
        text=True,
        check=False,
    )
    try:
        found: dict[str, Any] = json.loads(done.stdout)
    except ValueError as error:
        reason = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise LakeError(f"the catalog could not be read: {reason}", where=str(path)) from error
    if problem := found.get("error"):
        raise _unreadable(path, problem)
    files = {name: size for name, size in found.get("files", ()) if _is_inside(name)}
    return CatalogFacts(
        damage=tuple(found.get("damage", ())),
        lake_id=found.get("lake_id", ""),
        snapshot_id=found.get("snapshot_id") or 0,
        tables=frozenset(found.get("tables", ())),
        files=files,
        outside=len(found.get("files", ())) - len(files),
        scheduled=frozenset(PurePosixPath(name).name for name in found.get("scheduled", ())),
    )


def _is_inside(name: str) -> bool:
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts


def _unreadable(path: Path, problem: str) -> LakeError:
    folded = problem.lower()
    if "not a database" in folded or "malformed" in folded or "no such table" in folded:
        return LakeError(
            f"{path.name} is damaged or is no catalog",
            where=str(path.parent),
            hint="`headwater restore` brings back a backup",
        )
    if "full" in folded or "no space" in folded:
        return LakeError("the disk is full", where=str(path.parent), hint="free some space")
    if "unable to open" in folded:
        return LakeError(
            f"{path.name} cannot be opened",
            where=str(path.parent),
            hint="check that it is there, and that its folder may be written",
        )
    return LakeError(f"the catalog cannot be read: {problem}", where=str(path.parent))
