"""Deciding: what a dataset needs, what a release moves and what it holds back.

Pure functions from what the project wants and the lake has to decisions with their reasons.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import groupby
from operator import itemgetter

from headwater.analysis.fingerprint import (
    Mark,
    as_written,
    first_fingerprint,
    mark_of,
    own_fingerprint,
    paths_of,
)
from headwater.analysis.graph import Graph
from headwater.contract.types import Type, parse_type
from headwater.lake.state import Build, Position, State
from headwater.names import DatasetName
from headwater.project.definitions import Dataset, SourceDataset, SqlModel
from headwater.sql.query import digest


class Action(StrEnum):
    """What a step does."""

    LAND = "land"
    REPLAY = "replay"
    BUILD = "build"
    REUSE = "reuse"
    RENAME = "rename"
    NOTHING = "nothing"
    DROP = "drop"
    BLOCKED = "blocked"


@dataclass(frozen=True)
class Decision:
    """What to do with one dataset, and the reason in one line.

    position   where its built table stands already; None: not known, or it will move.
    """

    action: Action
    reason: str
    position: Position | None = None


def known_mark(
    state: State,
    dataset: Dataset,
    schema: Mapping[str, Type] | None,
    result: Mapping[str, Type] | None,
    inputs: Mapping[DatasetName, Mapping[str, Type]],
    given: Mapping[DatasetName, Mark],
    known: Mapping[DatasetName, str],
    *,
    is_prod: bool,
) -> tuple[Mark, str]:
    """What a dataset means as it is defined now, and the fingerprint by which a lake knows it:
    that of this version, unless only an earlier version's is there, of a table built from the same
    tables. What was written so has meant the same then, whatever fingerprint it had.

    known    the fingerprints by which the lake knows its inputs.
    is_prod  whether it is prod that asks.

    The other arguments are those of `mark_of`.
    """
    mark = mark_of(dataset, schema, result, inputs, given)
    if isinstance(dataset, SourceDataset):
        mark = _with_files(state, dataset, mark, is_prod=is_prod)
    if state.newest_build(dataset.name, mark.whole) or not state.latest_build(dataset.name):
        return mark, mark.whole
    earlier = _earlier_fingerprints(dataset, schema, inputs)
    written, paths = as_written(dataset), paths_of(dataset) or None
    for build in state.builds_of(dataset.name):
        is_so = build.written == written and _has_columns(build, dataset, schema)
        is_own = is_prod and state.is_prods(build.position.table)
        has_files = is_own or build.paths in (None, paths)
        is_known = build.fingerprint in earlier or (is_so and has_files)
        if is_known and _reads_the_same(state, build, known, given):
            return mark, build.fingerprint
    return mark, mark.whole


def _earlier_fingerprints(
    dataset: Dataset,
    schema: Mapping[str, Type] | None,
    inputs: Mapping[DatasetName, Mapping[str, Type]],
) -> set[str]:
    """Those that earlier versions gave to a model of this definition."""
    found = set()
    if not isinstance(dataset, SourceDataset):
        found.add(own_fingerprint(dataset, schema, inputs.values()))
    if isinstance(dataset, SqlModel):
        found.add(first_fingerprint(dataset, schema))
    return found


def _with_files(state: State, dataset: SourceDataset, mark: Mark, *, is_prod: bool) -> Mark:
    """What a source means: what it says, and which files it reads where another environment reads
    others. (Where one environment looks for its files in another place than before, those that have
    landed stay.)"""
    paths, released = paths_of(dataset), state.released.get(dataset.name)
    own = state.builds.get((dataset.name, released.table)) if released else None
    if own and (is_prod or own.paths in (None, paths)):
        apart = digest(mark.whole, own.paths or "")
        if own.fingerprint in (mark.whole, apart):
            return Mark.opaque(own.fingerprint)
    there = state.newest_build(dataset.name, mark.whole)
    is_apart = there is not None and there.paths not in (None, paths)
    return Mark.opaque(digest(mark.whole, paths)) if is_apart else mark


def _has_columns(build: Build, dataset: Dataset, schema: Mapping[str, Type] | None) -> bool:
    """Whether a build has the columns that a model has now: a new DuckDB may give one of them
    another type. (A landing may add some to a source's.)"""
    if schema is None or isinstance(dataset, SourceDataset):
        return True
    there = [(name, parse_type(kind)) for name, kind in build.columns.items()]
    return there == list(schema.items())


def _reads_the_same(
    state: State, build: Build, known: Mapping[DatasetName, str], names: Iterable[DatasetName]
) -> bool:
    """Whether a build read, of each of these inputs, the built table that means this."""
    for name in names:
        there = state.newest_build(name, known[name])
        read = build.inputs.get(name)
        if there is None or read is None or there.position.table != read.table:
            return False
    return True


def same_to_reader(
    before: Position, now: Position, build_at: Callable[[Position], Build | None]
) -> bool:
    """Whether an input that has another built table than when it was read holds the same to a
    reader that means the same over both: it means the same in what is read of it, so it is enough
    that both were computed from the same.

    build_at   the build that ended at a position, None where it is not on record, or set rows
               aside whose choice may have been another.
    """
    if before == now:
        return True
    if before.table == now.table:
        return False
    old, new = build_at(before), build_at(now)
    if old is None or new is None or not old.inputs:
        return False
    shared = old.inputs.keys() & new.inputs.keys()
    return bool(shared) and all(
        same_to_reader(old.inputs[name], new.inputs[name], build_at) for name in shared
    )


def decide_model(
    name: DatasetName,
    inputs: Mapping[DatasetName, Position],
    at_fingerprint: Build | None,
    earlier: Build | None,
    *,
    rebuild: bool,
) -> Decision:
    """What a model needs, now that the positions of its `inputs` are known.

    at_fingerprint   its newest build with the wanted fingerprint, if any.
    earlier          its newest build, however it was defined then.
    """
    if rebuild:
        return Decision(Action.BUILD, "asked for with --rebuild")
    if at_fingerprint is None:
        return Decision(Action.BUILD, why_defined_anew(earlier, inputs))
    moved = sorted(
        str(given)
        for given, position in inputs.items()
        if at_fingerprint.inputs.get(given) != position
    )
    if moved:
        shown = ", ".join(moved[:3]) + (f" and {len(moved) - 3} more" if len(moved) > 3 else "")
        return Decision(Action.BUILD, f"{shown} changed")
    return Decision(Action.NOTHING, "up to date", at_fingerprint.position)


def judged_by_others(
    build: Build | None, parents: Mapping[DatasetName, str]
) -> tuple[DatasetName, ...]:
    """What a source refers to that means something else than when its rows were judged: it has
    another built table.

    build     the source's.
    parents   what it refers to -> the built table of that.
    """
    judged = build.inputs if build else {}
    return tuple(
        given
        for given, table in parents.items()
        if given in judged and judged[given].table != table
    )


def why_defined_anew(earlier: Build | None, inputs: Mapping[DatasetName, Position]) -> str:
    """Why there is no build of what a model means now, from what it read when it was built last."""
    if earlier is None:
        return "not built yet"
    others = sorted(
        str(given)
        for given, position in inputs.items()
        if given in earlier.inputs and earlier.inputs[given].table != position.table
    )
    return f"{others[0]} changed" if others else "its definition changed"


def standing(
    table: str,
    inputs: Mapping[DatasetName, Position],
    offered: Iterable[Position],
    inputs_at: Callable[[Position], Mapping[DatasetName, Position] | None],
) -> Position | None:
    """The first of the `offered` positions at which a built table was computed from just these
    inputs; None: there is none.

    inputs_at   what the table was computed from there; None: nobody knows.
    """
    for position in offered:
        if position.table == table and inputs_at(position) == inputs:
            return position
    return None


def offers(there: Position | None, released: Position | None) -> tuple[Position, ...]:
    """Where a built table may be taken as it stands: as another environment has it, or as this one
    has released it. Not behind what is released: a name never moves back, so it would stay, while
    what it reads moves."""
    found = tuple(place for place in (there, released) if place)
    return tuple(p for p in found if p == released or _is_ahead(p, released))


def latest_of(table: str, offered: Iterable[Position | None]) -> Position | None:
    """The latest of those `offered` positions that are of a built table."""
    return max((p for p in offered if p and p.table == table), default=None)


def superseded(
    graph: Graph,
    wanted: Mapping[DatasetName, str],
    released: Mapping[DatasetName, Position],
    history: Mapping[tuple[DatasetName, str], int],
) -> dict[DatasetName, int]:
    """The datasets that are wanted as they were before a release that gave them another
    definition -> that release. A folder that was left behind wants so.

    wanted   name -> the built table that it has as it is defined now.
    history  (name, built table) -> the newest release that moved the name to it, rollbacks aside.

    A dataset that a variable's value is part of goes back and forth with that, and so does what
    reads it: these are none.
    """
    found = {}
    excused = _with_values(graph)
    for name in graph.order:
        table = wanted.get(name)
        if table is None or name in excused:
            continue
        now = released.get(name)
        mine = history.get((name, table))
        if now is None or now.table == table or mine is None:
            continue
        later = history.get((name, now.table), 0)
        if later > mine:
            found[name] = later
    return found


def _with_values(graph: Graph) -> set[DatasetName]:
    """The datasets that the value of a variable is part of, and all that reads them."""
    found: set[DatasetName] = set()
    for name in graph.order:
        if graph.datasets[name].variables or not found.isdisjoint(graph.inputs[name]):
            found.add(name)
    return found


def standing_since(
    history: Sequence[tuple[int, DatasetName, str | None]], names: Iterable[DatasetName]
) -> dict[DatasetName, int]:
    """The release since which an environment has each of these names as it has it now: the same
    built table, or none. What it never had it lacks since its first release; an environment whose
    last name was dropped begins anew.

    history   every move: (release, name, built table or None), in the order of releases.

    >>> x, y = DatasetName("m", "x"), DatasetName("m", "y")
    >>> moves = [(1, x, "a"), (2, x, "b"), (2, y, "c"), (3, y, "d"), (4, x, "b")]
    >>> [standing_since(moves, [name])[name] for name in (x, y, DatasetName("m", "z"))]
    [2, 3, 1]
    """
    there: dict[DatasetName, str] = {}
    since: dict[DatasetName, int] = {}
    began = history[0][0] if history else 0
    for release, moves in groupby(history, key=itemgetter(0)):
        if not there:
            began, since = release, {}
        for _, name, table in moves:
            if there.get(name) != table:
                since[name] = release
            if table is None:
                there.pop(name, None)
            else:
                there[name] = table
    return {name: since.get(name, began) for name in names}


def conflicts(
    wanted: Mapping[DatasetName, Position],
    base: Mapping[DatasetName, Position],
    now: Mapping[DatasetName, Position],
    own: Mapping[DatasetName, str],
) -> tuple[DatasetName, ...]:
    """The names of prod whose definition has changed since an environment began from it, and not
    to what the environment has: to promote it would take that change back.

    wanted   the environment's names.
    base     what prod had of each when the environment got it as it has it now.
    now      those that prod has.
    own      the built tables that prod is to have of what is not taken from the environment.
    """
    return tuple(
        name
        for name, place in sorted(now.items())
        if place.table not in (_table_of(base, name), _table_of(wanted, name), own.get(name))
    )


def _table_of(names: Mapping[DatasetName, Position], name: DatasetName) -> str:
    return names[name].table if name in names else ""


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
    With `atomic` everything stays. A name never moves back: where another run has released newer
    rows meanwhile, what was computed beside the older ones stays too.
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
    _hold_beside_newer(graph, moved, held, ready, released)
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


def _hold_beside_newer(
    graph: Graph,
    moved: Mapping[DatasetName, Position],
    held: dict[DatasetName, str],
    ready: Mapping[DatasetName, Position],
    released: Mapping[DatasetName, Position],
) -> None:
    """Hold what reads, or is read by, a name that is released ahead of where this run has it."""
    for name in graph.order:
        if name not in ready or name not in released or not _is_ahead(released[name], ready[name]):
            continue
        if ready[name].table != released[name].table:
            continue
        why = "which another run has released newer rows of; run again"
        for reader in sorted(graph.downstream([name]) & moved.keys() - held.keys()):
            held[reader] = f"it reads {name}, {why}"
        for given in sorted(graph.upstream([name]) & moved.keys() - held.keys()):
            held[given] = f"it is read by {name}, {why}"


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
