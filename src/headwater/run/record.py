"""The records of a run and of a release, as rows of the state tables."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from datetime import datetime
from importlib.metadata import version
from typing import Any

from headwater.lake.commit import Commit, now
from headwater.lake.lake import user_name
from headwater.lake.state import Position
from headwater.names import DatasetName
from headwater.run.report import new_run_id

__all__ = ["new_run_id", "note_release", "run_row"]


def run_row(run_id: str, started_at: datetime, status: str, command: str) -> dict[str, Any]:
    """A row of `headwater.runs`, of a run that ends now."""
    return {
        "run_id": run_id,
        "started_at": started_at,
        "ended_at": now(),
        "status": status,
        "command": command,
        "user_name": user_name(),
        "host": socket.gethostname(),
        "headwater_version": version("headwater"),
    }


def note_release(
    commit: Commit,
    release_id: int,
    run_id: str,
    names: Mapping[DatasetName, Position | None],
    *,
    verb: str = "",
    moved: int | None = None,
    held_back: int = 0,
    held_by: Mapping[DatasetName, int] | None = None,
    rolled_back_to: int | None = None,
    based_on: int | None = None,
) -> None:
    """Note a release of the commit's environment.

    names           those that it moves -> where to; None: it has the name no more.
    verb            what was done, before the names in its description.
    moved           how many moved; by default all of `names`.
    held_by         the names that are held where they are -> the release that holds them.
    rolled_back_to  the release whose names it has, if not its own.
    based_on        prod's release that it was made from, if it is another environment's.
    """
    commit.note(
        "release_names",
        [
            {
                "release_id": release_id,
                "environment": commit.environment,
                "dataset": str(name),
                "built_table": position.table if position else None,
                "snapshot_id": position.snapshot_id if position else None,
                "held_by": (held_by or {}).get(name),
            }
            for name, position in names.items()
        ],
    )
    shown = ", ".join(str(name) for name in list(names)[:8]) + (", …" if len(names) > 8 else "")
    commit.note(
        "releases",
        [
            {
                "release_id": release_id,
                "environment": commit.environment,
                "run_id": run_id,
                "released_at": now(),
                "user_name": user_name(),
                "moved": len(names) if moved is None else moved,
                "held_back": held_back,
                "description": f"{verb}: {shown}" if verb else shown,
                "rolled_back_to": rolled_back_to,
                "based_on": based_on,
            }
        ],
    )
