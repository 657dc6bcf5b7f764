"""Deciding: which built tables and snapshots nothing refers to any more.

Pure. What is decided may keep too much, never too little.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from headwater.lake.state import Build, Position, State
from headwater.names import DatasetName


@dataclass(frozen=True)
class Cleaning:
    """What is to go.

    tables      the newest builds of the built tables that are removed, by table.
    snapshots   those that are forgotten.
    """

    tables: tuple[Build, ...]
    snapshots: tuple[int, ...]


def moved_on(
    state: State,
    views: Collection[str],
    snapshots: Mapping[int, datetime],
    before: datetime,
    to: int,
) -> dict[Position, Position]:
    """Where built tables stand that have not changed since before a moment -> the same rows at a
    later snapshot.

    A snapshot is of the whole lake: as long as one table is pinned to an old one, what all others
    held then stays. (A view names the snapshots that it reads: it is made anew by the next run.)
    """
    return {
        build.position: Position(table, to)
        for table, build in state.newest_of_tables.items()
        if table not in views
        and build.position.snapshot_id < to
        and build.position.snapshot_id in snapshots
        and snapshots[build.position.snapshot_id] < before
    }


def with_what_views_read(
    kept: Iterable[tuple[DatasetName, Position]],
    views: Collection[str],
    inputs_at: Callable[[DatasetName, Position], Mapping[DatasetName, Position]],
) -> set[tuple[DatasetName, Position]]:
    """Positions, and those that views among them read where they are read."""
    found: set[tuple[DatasetName, Position]] = set()
    waiting = list(kept)
    while waiting:
        name, position = waiting.pop()
        if (name, position) in found:
            continue
        found.add((name, position))
        if position.table in views:
            waiting += inputs_at(name, position).items()
    return found


def decide_cleaning(
    state: State,
    kept: Collection[tuple[DatasetName, Position]],
    ever_named: Collection[DatasetName],
    prods: Collection[str],
    snapshots: Mapping[int, datetime],
    before: datetime,
) -> Cleaning:
    """What may go.

    kept       what the environments' names point at, or did within the retention, and what that
               needs.
    ever_named the datasets that have a name in some environment, or had one.
    prods      of each dataset the built table that prod has made last.
    snapshots  those that there are -> when they were made.
    before     what is younger stays.

    A built table goes when no name has pointed at it since `before` and nothing was written to it
    since; but not the newest one of a source, nor the one that prod has made last, which may hold
    rows that wait to be released and are nowhere else. Of a source that had a name and has none any
    more, those go too.
    """
    tables = {position.table for _, position in kept}
    named = {name for name, _ in kept}
    newest = state.newest_of_tables
    gone = tuple(
        build
        for table, build in sorted(newest.items())
        if table not in tables
        and build.built_at < before
        and not _may_be_wanted(state, build, named, ever_named, prods)
    )
    dropped = {build.position.table for build in gone}
    needed = {position.snapshot_id for _, position in kept}
    needed |= {
        build.position.snapshot_id for table, build in newest.items() if table not in dropped
    }
    old = tuple(n for n, made in snapshots.items() if made < before and n not in needed)
    return Cleaning(gone, old)


def _may_be_wanted(
    state: State,
    build: Build,
    named: Collection[DatasetName],
    ever_named: Collection[DatasetName],
    prods: Collection[str],
) -> bool:
    if build.position.table not in state.landed_tables:
        return False  # it can be built again
    latest = state.latest_build(build.dataset)
    is_latest = latest is not None and latest.position.table == build.position.table
    return (is_latest or build.position.table in prods) and (
        build.dataset in named or build.dataset not in ever_named
    )
