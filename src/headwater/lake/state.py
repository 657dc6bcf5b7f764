"""The state tables: what the lake knows of runs, files, builds and releases.

They stand in the schema `headwater`, are ordinary tables that users may query, and are only
ever inserted into. What holds now is the newest row.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from functools import cached_property
from typing import Any

from headwater.names import DatasetName

FORMAT_VERSION = 2
"""The version of the state tables. What makes it out of an older one is in `migrations.py`."""

STATE_TABLES: dict[str, dict[str, str]] = {
    "lake_format": {
        "version": "INTEGER",
        "headwater_version": "VARCHAR",
        "created_at": "TIMESTAMP",
        "migrated_from": "INTEGER",
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
        "environment": "VARCHAR",
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
        "environment": "VARCHAR",
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
        "version": "INTEGER",
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
        "written": "VARCHAR",
        "paths": "VARCHAR",
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
        "fingerprint": "VARCHAR",
        "inputs": "VARCHAR",
        "cause": "VARCHAR",
        "environment": "VARCHAR",
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
        "fields": "VARCHAR",
        "run_id": "VARCHAR",
        "step": "INTEGER",
        "quarantined_at": "TIMESTAMP",
    },
    "quarantine_outcomes": {
        "id": "VARCHAR",
        "dataset": "VARCHAR",
        "built_table": "VARCHAR",
        "outcome": "VARCHAR",
        "run_id": "VARCHAR",
        "step": "INTEGER",
        "ended_at": "TIMESTAMP",
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
        "rolled_back_to": "BIGINT",
        "based_on": "BIGINT",
    },
    "cleaned_tables": {
        "built_table": "VARCHAR",
        "dataset": "VARCHAR",
        "rows": "BIGINT",
        "run_id": "VARCHAR",
        "cleaned_at": "TIMESTAMP",
    },
    "release_names": {
        "release_id": "BIGINT",
        "environment": "VARCHAR",
        "dataset": "VARCHAR",
        "built_table": "VARCHAR",
        "snapshot_id": "BIGINT",
        "held_by": "BIGINT",
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
    written  a hash of how its dataset was written then; None: that is not on record.
    paths    of a source: a hash of where its files were looked for.
    """

    dataset: DatasetName
    position: Position
    fingerprint: str
    row_count: int | None
    columns: Mapping[str, str]
    inputs: Mapping[DatasetName, Position]
    run_id: str
    built_at: datetime
    written: str | None = None
    paths: str | None = None

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Build:
        """A row of `headwater.builds`."""
        return cls(
            dataset=DatasetName.parse(row["dataset"]),
            position=Position(row["built_table"], row["snapshot_id"]),
            fingerprint=row["fingerprint"],
            row_count=row["row_count"],
            columns=json.loads(row["columns"]),
            inputs={
                DatasetName.parse(given): Position(*position)
                for given, position in json.loads(row["inputs"]).items()
            },
            run_id=row["run_id"],
            built_at=row["built_at"],
            written=row["written"],
            paths=row["paths"],
        )


@dataclass(frozen=True, kw_only=True)
class LandedFile:
    """The newest thing that is known of one path of a dataset's built table."""

    dataset: DatasetName
    built_table: str
    path: str
    status: str
    size_bytes: int
    modified_at: datetime
    file_id: int | None = None
    version: int | None = None
    reason: str | None = None
    content_hash: str | None = None
    records: int | None = None

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> LandedFile:
        """A row of `headwater.files`."""
        known = {f.name: row[f.name] for f in fields(cls) if f.name in row}
        return cls(**{**known, "dataset": DatasetName.parse(row["dataset"])})

    @property
    def is_landed(self) -> bool:
        return self.status == "landed"

    @property
    def is_refused(self) -> bool:
        """Whether it was not read; what was landed of it before stays."""
        return self.status == "refused"


@dataclass(frozen=True)
class Release:
    """The names of an environment as its newest release left them.

    release_id  its number; 0: there is none yet.
    held        names that a rollback put where they are, or removed -> its release's number. No
                run moves them.
    """

    release_id: int
    names: Mapping[DatasetName, Position]
    held: Mapping[DatasetName, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class State:
    """What the lake knows, at one snapshot.

    builds    (dataset, built table) -> its newest build.
    files     (built table, path) -> the newest row of it.
    released  the names of the environment.
    held      those that a rollback holds: see `Release`.
    prod      what prod has released: of prod itself, the same.
    """

    snapshot_id: int
    builds: Mapping[tuple[DatasetName, str], Build] = field(default_factory=dict)
    files: Mapping[tuple[str, str], LandedFile] = field(default_factory=dict)
    released: Mapping[DatasetName, Position] = field(default_factory=dict)
    release_id: int = 0
    held: Mapping[DatasetName, int] = field(default_factory=dict)
    prod: Release = field(default_factory=lambda: Release(0, {}))

    def owner(self, table: str) -> DatasetName | None:
        """The dataset that a built table belongs to: whoever recorded a build of it last. Another
        one that has builds of it was renamed."""
        newest = self.newest_of_tables.get(table)
        return newest.dataset if newest else None

    def is_prods(self, table: str) -> bool:
        """Whether prod has released a built table, under whatever name."""
        return any(place.table == table for place in self.prod.names.values())

    def newest_build(self, dataset: DatasetName, fingerprint: str) -> Build | None:
        """The newest build of a dataset at a fingerprint. Where it has several tables of one: of
        that which prod has released, or this environment; else of the newest."""
        return self._newest.get((dataset, fingerprint))

    @cached_property
    def landed_tables(self) -> frozenset[str]:
        """The built tables that files were landed into."""
        return frozenset(table for table, _ in self.files)

    def latest_build(self, dataset: DatasetName) -> Build | None:
        """The newest build of a dataset, however it was defined."""
        return self._latest.get(dataset)

    def builds_of(self, dataset: DatasetName) -> Sequence[Build]:
        """The newest build of each of its built tables, newest first."""
        return self._by_dataset.get(dataset, ())

    @cached_property
    def _by_dataset(self) -> Mapping[DatasetName, Sequence[Build]]:
        found: dict[DatasetName, list[Build]] = {}
        for build in sorted(
            self.builds.values(), key=lambda build: build.position.snapshot_id, reverse=True
        ):
            found.setdefault(build.dataset, []).append(build)
        return found

    @cached_property
    def _latest(self) -> Mapping[DatasetName, Build]:
        order = sorted(self.builds.values(), key=lambda build: build.position.snapshot_id)
        return {build.dataset: build for build in order}

    @cached_property
    def newest_of_tables(self) -> Mapping[str, Build]:
        """The newest build of each built table."""
        order = sorted(self.builds.values(), key=lambda build: build.built_at)
        return {build.position.table: build for build in order}

    @cached_property
    def _newest(self) -> Mapping[tuple[DatasetName, str], Build]:
        own = {place.table for place in self.released.values()}
        prods = {place.table for place in self.prod.names.values()}

        def rank(build: Build) -> tuple[bool, bool, int]:
            table, snapshot_id = build.position.table, build.position.snapshot_id
            return table in prods, table in own, snapshot_id

        order = sorted(self.builds.values(), key=rank)
        return {(build.dataset, build.fingerprint): build for build in order}

    def after(self, snapshot_id: int, notes: Mapping[str, Sequence[Mapping[str, Any]]]) -> State:
        """The state after the next commit, which made no release: `notes` are the rows that it
        added to the state tables."""
        builds, files = dict(self.builds), dict(self.files)
        for build in map(Build.of, notes.get("builds", ())):
            builds[build.dataset, build.position.table] = build
        for file in map(LandedFile.of, notes.get("files", ())):
            before = files.get((file.built_table, file.path))
            if not file.is_refused or before is None or before.is_refused:
                files[file.built_table, file.path] = file
        return replace(self, snapshot_id=snapshot_id, builds=builds, files=files)
