"""Environments: which there are, and taking one away.

An environment is only a set of names that point at built tables: making one copies nothing, and
dropping one removes no row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from headwater.errors import ReleaseRefused
from headwater.lake.commit import now
from headwater.lake.lake import CommitNote, Lake
from headwater.lake.state import Position
from headwater.names import PROD, DatasetName
from headwater.run.record import new_run_id, note_release, run_row


@dataclass(frozen=True, kw_only=True)
class EnvironmentState:
    """An environment as its newest release left it.

    datasets     how many names it has.
    others       those that have another built table than in prod, or that prod does not have.
    behind       those that have the same table, at another position.
    released_at  UTC, without a zone.
    """

    name: str
    release: int
    released_at: datetime
    user_name: str
    datasets: int
    others: tuple[DatasetName, ...]
    behind: tuple[DatasetName, ...]

    def as_dict(self) -> dict[str, Any]:
        return {
            "environment": self.name,
            "release": self.release,
            "released_at": self.released_at,
            "by": self.user_name,
            "datasets": self.datasets,
            "different": [str(name) for name in self.others],
            "behind": [str(name) for name in self.behind],
        }


def environments(lake: Lake) -> list[EnvironmentState]:
    """The environments that have names, prod first."""
    with lake.reading():
        newest = lake.newest_releases()
        prod = lake.release_at(None, PROD).names
        return [
            _state(name, newest[name], lake.release_at(None, name).names, prod)
            for name in lake.environments()
        ]


def _state(
    name: str,
    newest: tuple[int, datetime, str],
    names: Mapping[DatasetName, Position],
    prod: Mapping[DatasetName, Position],
) -> EnvironmentState:
    others = {n for n, p in names.items() if n not in prod or prod[n].table != p.table}
    behind = {n for n, p in names.items() if n not in others and prod[n] != p}
    release, released_at, user_name = newest
    return EnvironmentState(
        name=name,
        release=release,
        released_at=released_at,
        user_name=user_name,
        datasets=len(names),
        others=tuple(sorted(others)),
        behind=tuple(sorted(behind)),
    )


def drop(lake: Lake) -> tuple[DatasetName, ...]:
    """Take all names of the lake's environment away, in one commit that is recorded as its last
    release; which names. Raises ReleaseRefused for prod."""
    if lake.environment == PROD:
        raise ReleaseRefused(
            "prod is never dropped: consumers read it",
            hint="what the project no longer makes is removed by `headwater run`",
        )
    run_id, started_at = new_run_id(), now()
    with lake.commit(CommitNote(message=f"drop {lake.environment}", run_id=run_id)) as commit:
        names = tuple(sorted(lake.release().names))
        for name in names:
            commit.drop_view(name)
        release = lake.newest_release_id() + 1
        note_release(commit, release, run_id, dict.fromkeys(names), verb="dropped")
        command = f"env drop {lake.environment}"
        commit.note("runs", [run_row(run_id, started_at, "succeeded", command)])
    return names
