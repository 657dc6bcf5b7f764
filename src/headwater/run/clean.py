"""Removing what nothing refers to any more: built tables, snapshots, and their data files.

One commit removes the tables and says so, a second one pins what has not changed for long to the
newest snapshot; then old snapshots are forgotten, and the files that only they had are deleted.
Whoever is killed in between leaves files that the next cleaning deletes.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from filelock import Timeout

from headwater.errors import LakeLocked
from headwater.lake.commit import Commit, now
from headwater.lake.lake import CommitNote, Lake
from headwater.lake.state import Build, Position
from headwater.lake.step import again_row
from headwater.names import PROD, DatasetName
from headwater.plan.cleaning import Cleaning, decide_cleaning, moved_on, with_what_views_read
from headwater.run.neighbours import Neighbours
from headwater.run.record import new_run_id, note_release, run_row


@dataclass(frozen=True, kw_only=True)
class Cleaned:
    """What a cleaning removed, or would.

    tables      the built tables, with their newest builds.
    snapshots   how many snapshots are forgotten.
    files       how many data files were deleted; None: nothing was done.
    """

    tables: tuple[Build, ...]
    snapshots: int
    files: int | None = None

    def as_dict(self) -> dict[str, Any]:
        return {
            "tables": [
                {
                    "built_table": build.position.table,
                    "dataset": str(build.dataset),
                    "rows": build.row_count,
                }
                for build in self.tables
            ],
            "snapshots": self.snapshots,
            "files": self.files,
        }


def clean(
    lake: Lake, retention_days: int, *, dry_run: bool = False, moment: datetime | None = None
) -> Cleaned:
    """Remove built tables and snapshots that no release of the last `retention_days` needs.

    moment   when it is, UTC without a zone; by default now.

    Raises LakeLocked while a run or a backup goes on. What an open reader still reads of a release
    that is older than the retention may go from under it.
    """
    before = (moment or now()) - timedelta(days=retention_days)
    if dry_run:
        with lake.reading():
            found = _decide(lake, before)
        return Cleaned(tables=found.tables, snapshots=len(found.snapshots))
    run_id = new_run_id()
    with ExitStack() as held:
        maintenance = lake.locks.maintenance()
        try:
            maintenance.acquire(timeout=0)
        except Timeout as error:
            raise LakeLocked(
                "a backup or another cleaning is going on in this lake",
                where=str(lake.folder),
                hint="wait for it to end, and clean again",
            ) from error
        held.callback(maintenance.release)
        tables = _drop(lake, before, run_id, held)
        _move_on(lake, before, run_id)
        with lake.locks.commit():
            _refuse_runs(lake)
            with lake.reading():
                old = _decide(lake, before).snapshots
            files = lake.expire(old)
    return Cleaned(tables=tables, snapshots=len(old), files=files)


def _drop(lake: Lake, before: datetime, run_id: str, held: ExitStack) -> tuple[Build, ...]:
    """Remove the built tables that nothing refers to, in one commit; which."""
    started_at = now()
    with lake.reading():
        if not _decide(lake, before).tables:
            return ()
    with lake.commit(CommitNote(message="clean", run_id=run_id)) as commit:
        _refuse_runs(lake)
        tables = _free(lake, _decide(lake, before).tables, held)
        views = lake.built_views()
        for build in tables:
            table = build.position.table
            commit.drop(table, is_view=table in views)
            commit.end_quarantine(build.dataset, table, "TRUE", "cleaned", run_id, 0)
        commit.note("cleaned_tables", [_row(build, run_id) for build in tables])
        commit.note("runs", [run_row(run_id, started_at, "succeeded", "clean")])
    return tables


def _refuse_runs(lake: Lake) -> None:
    """Raise while a run goes on: what it has pinned may be what goes. One that starts later pins
    what stays."""
    alive = lake.locks.live_runs()
    if alive:
        raise LakeLocked(
            f"run {alive[0]} is going on in this lake",
            where=str(lake.folder),
            hint="wait for it to end, and clean again",
        )


def _move_on(lake: Lake, before: datetime, run_id: str) -> None:
    """Pin what has not changed since a moment to the newest snapshot: the same rows, without what
    other tables held then. One commit, in which each environment gets a release that moves no
    row."""
    with lake.reading():
        if not _movable(lake, before):
            return
    with lake.commit(CommitNote(message="pin to a newer snapshot", run_id=run_id)) as commit:
        _refuse_runs(lake)
        state, views = lake.state_within(), lake.built_views()
        places = _movable(lake, before)
        for build in state.builds.values():
            inputs = build.inputs
            if build.position.table not in views:
                inputs = {name: places.get(place, place) for name, place in inputs.items()}
            position = places.get(build.position, build.position)
            if (position, inputs) != (build.position, build.inputs):
                again = replace(build, position=position, inputs=inputs)
                commit.note("builds", [again_row(commit, build, again)])
        for environment in lake.environments():
            release = lake.release_at(None, environment)
            moves = {n: places[place] for n, place in release.names.items() if place in places}
            if moves:
                with commit.within(environment):
                    commit.point_views(moves)
                    _note_moves(lake, commit, run_id, release.held, moves)


def _movable(lake: Lake, before: datetime) -> dict[Position, Position]:
    snapshots = lake.snapshots()
    return moved_on(lake.state_within(), lake.built_views(), snapshots, before, max(snapshots))


def _note_moves(
    lake: Lake,
    commit: Commit,
    run_id: str,
    held: Mapping[DatasetName, int],
    moves: Mapping[DatasetName, Position],
) -> None:
    releases, bases = lake.releases(commit.environment), lake.bases(commit.environment)
    made = max(releases) + 1
    note_release(
        commit,
        made,
        run_id,
        moves,
        verb="the same rows at a newer snapshot",
        moved=0,
        held_by=held,
        rolled_back_to=releases[max(releases)],
        based_on=bases[max(bases)] if bases else None,
    )


def _decide(lake: Lake, before: datetime) -> Cleaning:
    state, neighbours = lake.state_within(), Neighbours(lake)
    kept = with_what_views_read(
        lake.released_since(before),
        lake.built_views(),
        lambda name, position: neighbours.inputs(state, name, position) or {},
    )
    return decide_cleaning(
        state, kept, lake.ever_named(), lake.newest_of(PROD), lake.snapshots(), before
    )


def _free(lake: Lake, tables: tuple[Build, ...], held: ExitStack) -> tuple[Build, ...]:
    """Those of the tables that nobody works on; their datasets are locked."""
    free = lake.locks.take_free((build.dataset for build in tables), held)
    return tuple(build for build in tables if build.dataset in free)


def _row(build: Build, run_id: str) -> dict[str, Any]:
    """A row of `headwater.cleaned_tables`."""
    return {
        "built_table": build.position.table,
        "dataset": str(build.dataset),
        "rows": build.row_count,
        "run_id": run_id,
        "cleaned_at": now(),
    }
