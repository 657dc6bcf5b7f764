"""Deciding: what a dataset needs, what a release moves and what it holds back.

Pure functions from what the project wants and the lake has to decisions with their reasons.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from headwater.analysis.fingerprint import fingerprint, first_fingerprint
from headwater.analysis.graph import Graph
from headwater.contract.types import Type
from headwater.lake.state import Build, Position, State
from headwater.names import DatasetName
from headwater.project.definitions import Dataset, SqlModel


class Action(StrEnum):
    """What a step does."""

    LAND = "land"
    REPLAY = "replay"
    BUILD = "build"
    RENAME = "rename"
    NOTHING = "nothing"
    DROP = "drop"
    BLOCKED = "blocked"


@dataclass(frozen=True)
class Decision:
    """What to do with one dataset, and the reason in one line."""

    action: Action
    reason: str


def known_fingerprint(
    state: State,
    dataset: Dataset,
    schema: Mapping[str, Type] | None,
    inputs: Iterable[Mapping[str, Type]],
) -> str:
    """The fingerprint by which a lake knows a dataset as it is defined now: that of this version,
    unless only the first version's is there."""
    mark = fingerprint(dataset, schema, inputs)
    if not isinstance(dataset, SqlModel) or state.newest_build(dataset.name, mark):
        return mark
    if all(name != dataset.name for name, _ in state.builds):
        return mark
    first = first_fingerprint(dataset, schema)
    return first if state.newest_build(dataset.name, first) else mark


def decide_model(
    name: DatasetName,
    inputs: Mapping[DatasetName, Position],
    at_fingerprint: Build | None,
    any_earlier: bool,
    *,
    rebuild: bool,
) -> Decision:
    """What a model needs, now that the positions of its `inputs` are known.

    at_fingerprint   its newest build with the wanted fingerprint, if any.
    any_earlier      whether it was ever built from another definition.
    """
    if rebuild:
        return Decision(Action.BUILD, "asked for with --rebuild")
    if at_fingerprint is None:
        return Decision(Action.BUILD, "its definition changed" if any_earlier else "not built yet")
    moved = sorted(
        str(given)
        for given, position in inputs.items()
        if at_fingerprint.inputs.get(given) != position
    )
    if moved:
        shown = ", ".join(moved[:3]) + (f" and {len(moved) - 3} more" if len(moved) > 3 else "")
        return Decision(Action.BUILD, f"{shown} changed")
    return Decision(Action.NOTHING, "up to date")


@dataclass(frozen=True)
class ReleaseDecision:
    """What a release does.

    moves     name -> the position that it will have.
    held      name -> why it stays where it is, for names that would have moved.
    removed   names that nothing in the project makes any more.
    parked    the same as `held`, because of a rollback: nothing failed.
    """

    moves: Mapping[DatasetName, Position]
    held: Mapping[DatasetName, str]
    removed: tuple[DatasetName, ...] = ()
    parked: Mapping[DatasetName, str] = field(default_factory=dict)

    @property
    def is_empty(self) -> bool:
        return not self.moves and not self.removed


@dataclass(frozen=True)
class FailingCheck:
    """A check that does not hold over what would be released, and says `fail`.

    reads   the datasets that it reads.
    cause   why it does not hold.
    """

    name: str
    reads: frozenset[DatasetName]
    cause: str


def decide_release(
    graph: Graph,
    ready: Mapping[DatasetName, Position],
    failed: Mapping[DatasetName, str],
    released: Mapping[DatasetName, Position],
    gone: tuple[DatasetName, ...],
    *,
    atomic: bool,
    failing: Sequence[FailingCheck] = (),
    rolled_back: Mapping[DatasetName, str] | None = None,
) -> ReleaseDecision:
    """Which names move.

    ready    the positions that this run built, landed or found up to date.
    failed   datasets whose step failed, and why.
    gone     released names that the project no longer makes.
    failing  checks that do not hold: what they read and would have moved counts as failed.
    rolled_back
             names that a rollback holds, and why.

    What failed, its descendants, and everything that shares a descendant with them stay where
    they are; and so does what was computed from something that stays, or would be read by it.
    With `atomic` everything stays. A name never moves back.
    """
    ahead = {name: place for name, place in ready.items() if _is_ahead(place, released.get(name))}
    parked = {name: why for name, why in (rolled_back or {}).items() if name in ahead}
    _hold_along(graph, ahead, parked, "rolled back")
    moved = {name: place for name, place in ahead.items() if name not in parked}
    gone = tuple(name for name in gone if name not in (rolled_back or {}))
    barred = {
        name: f"the check {check.name} does not hold: {check.cause}"
        for check in failing
        for name in sorted(check.reads & moved.keys())
    }
    lost = {**barred, **failed}
    below = graph.downstream(lost)
    below_failed = graph.downstream(failed)
    held: dict[DatasetName, str] = dict(lost)
    for name in sorted((below_failed | (below & moved.keys())) - lost.keys()):
        first = _first(graph, name, lost)
        why = "which failed" if first in failed else "which is held back by a check"
        held[name] = f"it reads {first}, {why}"
    for name in sorted(graph.upstream(below) & moved.keys() - held.keys()):
        reader = min(graph.downstream([name]) & below)
        why = "failed" if reader in below_failed else "is held back by a check"
        held[name] = f"{reader} reads it and {why}, so both stay as they were"
    _hold_along(graph, moved, held, "held back")
    if atomic and (failed or failing):
        culprit = str(min(failed)) if failed else f"the check {failing[0].name}"
        for name in moved.keys() - held.keys():
            held[name] = f"--atomic, and {culprit} failed"
    order = [name for name in graph.order if name in held or name in moved]
    return ReleaseDecision(
        {name: moved[name] for name in order if name not in held},
        {name: held[name] for name in order if name in held},
        () if atomic and (failed or failing) else gone,
        {name: parked[name] for name in graph.order if name in parked},
    )


def follow_renames(
    decision: ReleaseDecision,
    renames: Mapping[DatasetName, DatasetName],
    released: Mapping[DatasetName, Position],
) -> ReleaseDecision:
    """The decision with each renamed dataset's earlier name removed in the release in which the
    new one comes: not before, and then also by a run of a part.

    renames   earlier name -> the name now.
    """
    there = decision.moves.keys() | released.keys()
    removed = {old for old in decision.removed if renames.get(old, old) in there}
    removed |= {old for old, new in renames.items() if new in decision.moves and old in released}
    return replace(decision, removed=tuple(sorted(removed)))


def _is_ahead(position: Position, now: Position | None) -> bool:
    if now is None or position.table != now.table:
        return True
    return position.snapshot_id > now.snapshot_id


def decide_rollback(
    now: Mapping[DatasetName, Position], then: Mapping[DatasetName, Position]
) -> tuple[dict[DatasetName, Position], tuple[DatasetName, ...]]:
    """The names that move so that all are as they were, and those that are removed."""
    moves = {name: place for name, place in sorted(then.items()) if now.get(name) != place}
    return moves, tuple(sorted(now.keys() - then.keys()))


def release_before(releases: Mapping[int, int]) -> int | None:
    """The release to go back to from the newest one; None: there is none before it.

    releases   number -> that of the release whose names it has.

    >>> release_before({1: 1, 2: 2, 3: 3})
    2
    >>> release_before({1: 1, 2: 2, 3: 3, 4: 2})
    1
    >>> release_before({1: 1, 2: 2, 3: 3, 4: 2, 5: 5})
    2
    """
    newest = max(releases, default=0)
    if releases.get(newest) == newest:
        return releases.get(max((n for n in releases if n < newest), default=0))
    # It went back itself: then further back, and not to what it went back from.
    earlier = (n for n, of in releases.items() if n == of < releases.get(newest, 0))
    return max(earlier, default=None)


def _hold_along(
    graph: Graph,
    moved: Mapping[DatasetName, Position],
    held: dict[DatasetName, str],
    how: str,
) -> None:
    """Hold what would move beside something held that it reads, or that reads it: released
    together they would not fit."""
    waiting = sorted(held.keys() & moved.keys())
    while waiting:
        name = waiting.pop()
        for reader in sorted(graph.downstream([name]) & moved.keys() - held.keys()):
            held[reader] = f"it reads {name}, which is {how}"
            waiting.append(reader)
        for given in sorted(graph.upstream([name]) & moved.keys() - held.keys()):
            held[given] = f"{name} reads it and is {how}, so both stay as they were"
            waiting.append(given)


def _first(graph: Graph, name: DatasetName, lost: Mapping[DatasetName, str]) -> DatasetName:
    return min(graph.upstream([name]) & lost.keys())
