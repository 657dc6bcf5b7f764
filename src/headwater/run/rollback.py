"""Going back to an earlier release, and going on again.

A rollback is a release of its own: one commit that moves names to where they were. Nothing is
computed and no row is touched. It holds: what it moved is held where it is, whatever later runs
build, until the release is resumed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from headwater.errors import ReleaseRefused
from headwater.lake.commit import now
from headwater.lake.lake import CommitNote, Lake
from headwater.lake.state import Position
from headwater.names import DatasetName
from headwater.plan.plan import decide_rollback, release_before
from headwater.run.record import new_run_id, note_release, run_row


@dataclass(frozen=True, kw_only=True)
class Rollback:
    """What going back did.

    release   the number of the release that it made.
    to        that of the release whose names hold now.
    moves     name -> where it points to now.
    removed   names that there were not then.
    """

    release: int
    to: int
    moves: Mapping[DatasetName, Position]
    removed: tuple[DatasetName, ...]

    def as_dict(self) -> dict[str, Any]:
        return {
            "release": self.release,
            "rolled_back_to": self.to,
            "moved": {str(n): [p.table, p.snapshot_id] for n, p in self.moves.items()},
            "removed": [str(name) for name in self.removed],
        }


def roll_back(lake: Lake, to: int | None = None) -> Rollback:
    """Make the names be what they were at release `to`; None: at the one before. One commit.

    Raises ReleaseRefused where there is no such release, it is the one that holds, or its rows are
    not there any more.
    """
    run_id, started_at = new_run_id(), now()
    note = CommitNote(message="roll back", run_id=run_id)
    with lake.commit(note) as commit:
        releases = lake.releases()
        target = _target(releases, to)
        moves, removed = decide_rollback(lake.release().names, lake.release_at(target).names)
        if not moves and not removed:
            raise ReleaseRefused(
                f"every name is as release {target} left it",
                hint="`headwater releases` lists them; --to NUMBER names one",
            )
        _refuse_lost(lake, target, moves)
        made = max(releases) + 1
        commit.point_views(moves)
        for name in removed:
            commit.drop_view(name)
        note_release(
            commit,
            made,
            run_id,
            {**moves, **dict.fromkeys(removed)},
            verb=f"back to release {target}",
            held_by=dict.fromkeys([*moves, *removed], made),
            rolled_back_to=target,
            based_on=lake.bases(lake.environment).get(target),
        )
        commit.note("runs", [run_row(run_id, started_at, "succeeded", "rollback")])
    return Rollback(release=made, to=target, moves=moves, removed=removed)


def resume(lake: Lake) -> tuple[int, tuple[DatasetName, ...]]:
    """Let go of what rollbacks hold: the next run moves it again. One commit, recorded as a release
    that moves nothing; gives its number, and the names.

    Raises ReleaseRefused where nothing is held.
    """
    run_id, started_at = new_run_id(), now()
    with lake.commit(CommitNote(message="resume", run_id=run_id)) as commit:
        current, releases = lake.release(), lake.releases()
        if not current.held:
            raise ReleaseRefused(
                "nothing is rolled back", hint="`headwater run` releases what it builds"
            )
        held = tuple(sorted(current.held))
        made = max(releases) + 1
        note_release(
            commit,
            made,
            run_id,
            {name: current.names.get(name) for name in held},
            verb="resumed",
            moved=0,
            rolled_back_to=releases[max(releases)],
        )
        commit.note("runs", [run_row(run_id, started_at, "succeeded", "release --resume")])
    return made, held


def _target(releases: Mapping[int, int], to: int | None) -> int:
    if not releases:
        raise ReleaseRefused("nothing is released yet", hint="`headwater run` makes a release")
    if to is not None:
        if to not in releases:
            raise ReleaseRefused(
                f"there is no release {to}",
                hint=f"`headwater releases` lists them; the newest is {max(releases)}",
            )
        return to
    before = release_before(releases)
    if before is None:
        raise ReleaseRefused(
            "there is no release before this one", hint="`headwater releases` lists them"
        )
    return before


def _refuse_lost(lake: Lake, target: int, moves: Mapping[DatasetName, Position]) -> None:
    """Raise where the rows of a release are not there any more."""
    for name, position in moves.items():
        if not lake.stands(position):
            raise ReleaseRefused(
                f"release {target} cannot be gone back to: the rows that it had of {name} are not "
                "there any more",
                hint="go back to a later one: `headwater releases`",
            )
