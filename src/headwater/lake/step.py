"""A computed step: what a step has worked out, ready to be committed with its records.

The two phases: everything is read and checked before (compute), and `apply` only writes. It
runs inside a commit, maybe beside other steps.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from headwater.errors import Superseded
from headwater.lake.commit import Commit, now
from headwater.lake.lake import Lake
from headwater.lake.ledger import Ledger
from headwater.lake.state import Build, Position
from headwater.names import DatasetName
from headwater.sql.quote import filled

PREWRITTEN_ROWS = 250_000
"""A result with more rows is written as Parquet while it is computed; its commit only
registers the file, so that nobody waits behind it."""


@dataclass(frozen=True, kw_only=True)
class StepIdentity:
    """Which step of which run this is, and what it was planned on.

    table      the built table that it writes.
    planned_at the lake's newest snapshot when the step was planned.
    expected   the table's newest position then; None: there is no such table yet.
    there      the columns that the table has, name -> type.
    is_first   whether the dataset was never built before, in any table.
    written    a hash of how the dataset is written; "" where that does not matter.
    paths      of a source: a hash of where its files are looked for; "" of others.
    """

    run_id: str
    step: int
    dataset: DatasetName
    table: str
    fingerprint: str
    planned_at: int
    expected: Position | None
    action: str
    reason: str
    there: Mapping[str, str] = field(default_factory=dict)
    is_first: bool = False
    written: str = ""
    paths: str = ""
    started_at: datetime = field(default_factory=now)


class ComputedStep(Protocol):
    """A step between its two phases."""

    identity: StepIdentity
    row_count: int
    awaiting: tuple[DatasetName, ...]

    def apply(self, commit: Commit) -> tuple[Ledger | None, Position]:
        """Write everything that the step has, inside a commit. Gives the table's position then:
        the commit's snapshot, or the one before where no row was written or removed. Without a
        ledger it moves no rows."""
        ...

    def discard(self, lake: Lake) -> None:
        """Free what the compute phase left in the session. Safe to call twice."""
        ...


def give_way_if_moved(commit: Commit, identity: StepIdentity) -> None:
    """Raise Superseded if the built table was committed to since the step was planned."""
    if commit.snapshot_id == identity.planned_at + 1:
        return  # nothing was
    expected = identity.expected.snapshot_id if identity.expected else None
    if commit.newest(identity.dataset, identity.table) != expected:
        raise Superseded(
            "another run committed this dataset meanwhile",
            where=str(identity.dataset),
            hint="run again: what that run did will be found",
        )


def record(
    commit: Commit,
    identity: StepIdentity,
    ledger: Ledger | None,
    *,
    columns: Mapping[str, str],
    inputs: Mapping[DatasetName, Position],
    definition: str,
    is_changed: bool = True,
) -> Position:
    """Verify the ledger and write it with the build and step records; gives the position. A view
    has no ledger.

    is_changed   whether any row was written or removed: else the position stays, and what reads
                 the table is up to date.
    """
    position = Position(identity.table, commit.snapshot_id)
    if identity.expected and not is_changed:
        position = identity.expected
    moment = now()
    if ledger:
        ledger.verify()
        commit.note("ledger", [ledger.row(identity.run_id, identity.step, moment)])
    commit.note(
        "builds",
        [
            {
                "dataset": str(identity.dataset),
                "built_table": identity.table,
                "fingerprint": identity.fingerprint,
                "snapshot_id": position.snapshot_id,
                "row_count": ledger.rows_after if ledger else None,
                "columns": json.dumps(dict(columns)),
                "inputs": json.dumps(
                    {str(name): [p.table, p.snapshot_id] for name, p in inputs.items()}
                ),
                "definition": definition,
                "run_id": identity.run_id,
                "step": identity.step,
                "built_at": moment,
                "written": identity.written or None,
                "paths": identity.paths or None,
            }
        ],
    )
    commit.note(
        "steps", [step_row(identity, "committed", (moment - identity.started_at).total_seconds())]
    )
    return position


def step_row(
    identity: StepIdentity, status: str, seconds: float, error: str | None = None
) -> dict[str, Any]:
    """A row of `headwater.steps`."""
    return {
        "run_id": identity.run_id,
        "step": identity.step,
        "dataset": str(identity.dataset),
        "action": identity.action,
        "status": status,
        "reason": identity.reason,
        "started_at": identity.started_at,
        "seconds": seconds,
        "error": error,
    }


def record_rename(commit: Commit, identity: StepIdentity, build: Build) -> None:
    """Make the built table of `build` that of the identity's dataset: a build record of its own
    over the same snapshot. Rows, files and ledger lines stay as they are."""
    moment = now()
    # Who renamed it is in `steps`.
    commit.note("builds", [again_row(commit, build, replace(build, dataset=identity.dataset))])
    commit.note(
        "steps", [step_row(identity, "committed", (moment - identity.started_at).total_seconds())]
    )


def again_row(lake: Lake | Commit, before: Build, build: Build) -> dict[str, Any]:
    """A row of `headwater.builds` that says something else of what was built `before`, by whoever
    built it then."""
    sql = filled(
        "SELECT max_by(definition, built_at), max_by(step, built_at) "
        "FROM lake.headwater.builds WHERE dataset = ? AND built_table = ?",
        [str(before.dataset), before.position.table],
    )
    definition, step = lake.con.execute(sql).fetchone() or (None, None)
    return {
        "dataset": str(build.dataset),
        "built_table": build.position.table,
        "fingerprint": build.fingerprint,
        "snapshot_id": build.position.snapshot_id,
        "row_count": build.row_count,
        "columns": json.dumps(dict(build.columns)),
        "inputs": _positions(build.inputs),
        "definition": definition,
        "run_id": build.run_id,
        "step": step,
        "built_at": now(),
        "written": build.written,
        "paths": build.paths,
    }


def _positions(inputs: Mapping[DatasetName, Position]) -> str:
    return json.dumps({str(name): [p.table, p.snapshot_id] for name, p in inputs.items()})


def write_ahead(lake: Lake, identity: StepIdentity, query: str) -> Path:
    """Write a query's rows as a Parquet file in its table's folder; not yet part of it."""
    name = f"hw-{identity.run_id}-{identity.step}.parquet"
    path = lake.data_folder(identity.table) / name
    target = str(path).replace("'", "''")
    lake.con.execute(f"COPY ({query}) TO '{target}' (FORMAT parquet)")
    return path


def table_name(dataset: DatasetName, fingerprint: str) -> str:
    """The built table of a dataset at a fingerprint: both can be read from it."""
    return f"{dataset.schema}__{dataset.name}__{fingerprint[:10]}"
