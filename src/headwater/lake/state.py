"""The state tables: what the lake knows of runs, files, builds and releases.

They stand in the schema `headwater`, are ordinary tables that users may query, and are only
ever inserted into. What holds now is the newest row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from headwater.names import DatasetName

FORMAT_VERSION = 1

STATE_TABLES: dict[str, dict[str, str]] = {
    "lake_format": {
        "version": "INTEGER",
        "headwater_version": "VARCHAR",
        "created_at": "TIMESTAMP",
    },
    "runs": {
        "run_id": "VARCHAR",
        "started_at": "TIMESTAMP",
        "ended_at": "TIMESTAMP",
        "status": "VARCHAR",
        "command": "VARCHAR",
        "user_name": "VARCHAR",
        "host": "VARCHAR",
        "headwater_version": "VARCHAR",
    },
    "steps": {
        "run_id": "VARCHAR",
        "step": "INTEGER",
        "dataset": "VARCHAR",
        "action": "VARCHAR",
        "status": "VARCHAR",
        "reason": "VARCHAR",
        "started_at": "TIMESTAMP",
        "seconds": "DOUBLE",
        "error": "VARCHAR",
    },
    "ledger": {
        "run_id": "VARCHAR",
        "step": "INTEGER",
        "dataset": "VARCHAR",
        "received": "BIGINT",
        "landed": "BIGINT",
        "updated": "BIGINT",
        "unchanged": "BIGINT",
        "deduplicated": "BIGINT",
        "dropped": "BIGINT",
        "quarantined": "BIGINT",
        "removed": "BIGINT",
        "rows_before": "BIGINT",
        "rows_after": "BIGINT",
        "nulled": "BIGINT",
        "defaulted": "BIGINT",
        "clipped": "BIGINT",
        "committed_at": "TIMESTAMP",
    },
    "files": {
        "dataset": "VARCHAR",
        "built_table": "VARCHAR",
        "file_id": "BIGINT",
        "path": "VARCHAR",
        "status": "VARCHAR",
        "reason": "VARCHAR",
        "size_bytes": "BIGINT",
        "modified_at": "TIMESTAMP",
        "content_hash": "VARCHAR",
        "records": "BIGINT",
        "landed": "BIGINT",
        "quarantined": "BIGINT",
        "run_id": "VARCHAR",
        "step": "INTEGER",
        "seen_at": "TIMESTAMP",
    },
    "builds": {
        "dataset": "VARCHAR",
        "built_table": "VARCHAR",
        "fingerprint": "VARCHAR",
        "snapshot_id": "BIGINT",
        "row_count": "BIGINT",
        "columns": "VARCHAR",
        "inputs": "VARCHAR",
        "definition": "VARCHAR",
        "run_id": "VARCHAR",
        "step": "INTEGER",
        "built_at": "TIMESTAMP",
    },
    "checks": {
        "run_id": "VARCHAR",
        "step": "INTEGER",
        "dataset": "VARCHAR",
        "check_name": "VARCHAR",
        "remedy": "VARCHAR",
        "status": "VARCHAR",
        "failed_rows": "BIGINT",
        "sample": "VARCHAR[]",
        "checked_at": "TIMESTAMP",
    },
    "quarantine": {
        "id": "VARCHAR",
        "dataset": "VARCHAR",
        "built_table": "VARCHAR",
        "reasons": "VARCHAR[]",
        "path": "VARCHAR",
        "line": "BIGINT",
        "file_id": "BIGINT",
        "record": "BIGINT",
        "content": "VARCHAR",
        "run_id": "VARCHAR",
        "step": "INTEGER",
        "quarantined_at": "TIMESTAMP",
    },
    "releases": {
        "release_id": "BIGINT",
        "environment": "VARCHAR",
        "run_id": "VARCHAR",
        "released_at": "TIMESTAMP",
        "user_name": "VARCHAR",
        "moved": "INTEGER",
        "held_back": "INTEGER",
        "description": "VARCHAR",
    },
    "release_names": {
        "release_id": "BIGINT",
        "environment": "VARCHAR",
        "dataset": "VARCHAR",
        "built_table": "VARCHAR",
        "snapshot_id": "BIGINT",
    },
}
"""Table -> column -> type. The reference page of the docs is printed from here."""


@dataclass(frozen=True, order=True)
class Position:
    """A built table at a snapshot."""

    table: str
    snapshot_id: int


@dataclass(frozen=True, kw_only=True)
class Build:
    """The newest commit of one built table: what it holds and what it was computed from.

    inputs   input dataset -> the position that was read; empty for a source.
    columns  name -> type as DuckDB writes it.
    """

    dataset: DatasetName
    position: Position
    fingerprint: str
    row_count: int
    columns: Mapping[str, str]
    inputs: Mapping[DatasetName, Position]
    run_id: str
    built_at: datetime


@dataclass(frozen=True, kw_only=True)
class LandedFile:
    """The newest thing that is known of one path of a dataset's built table."""

    dataset: DatasetName
    table: str
    file_id: int
    path: str
    status: str
    reason: str
    size_bytes: int
    modified_at: datetime
    content_hash: str
    records: int


@dataclass(frozen=True)
class Release:
    """The names of prod as the newest release left them. `release_id` 0: there is none yet."""

    release_id: int
    names: Mapping[DatasetName, Position]


@dataclass(frozen=True, kw_only=True)
class State:
    """What the lake knows, at one snapshot.

    builds    (dataset, built table) -> its newest build.
    files     (built table, path) -> the newest row of it.
    released  the names of prod.
    """

    snapshot_id: int
    builds: Mapping[tuple[DatasetName, str], Build] = field(default_factory=dict)
    files: Mapping[tuple[str, str], LandedFile] = field(default_factory=dict)
    released: Mapping[DatasetName, Position] = field(default_factory=dict)
    release_id: int = 0

    def newest_build(self, dataset: DatasetName, fingerprint: str) -> Build | None:
        """The newest build of a dataset at a fingerprint."""
        found = [
            build
            for (name, _), build in self.builds.items()
            if name == dataset and build.fingerprint == fingerprint
        ]
        return max(found, key=lambda build: build.position.snapshot_id, default=None)
