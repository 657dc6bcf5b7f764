"""The plan: what is wanted against what is built, as steps with their reasons.

Pure: from what is known of each dataset to what a run would do with it. What a landing changes is
only known once it has landed, so what reads a source with new files is planned to be built.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from headwater.analysis.graph import Graph
from headwater.contract.types import Type, is_widened, parse_type
from headwater.errors import counted
from headwater.lake.state import Build, Position
from headwater.names import DatasetName
from headwater.plan.plan import Action, Decision, decide_model, same_to_reader
from headwater.project.definitions import SourceDataset, is_fickle, is_view

_AT_REST = (Action.NOTHING, Action.REUSE)
_MOVES = (Action.LAND, Action.BUILD, Action.REUSE)


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is known of one dataset before a run.

    at_fingerprint  its newest build as it is defined now; None: there is none.
    newest          its newest build, however it was defined; None: it was never built.
    former          the dataset whose built table it takes over, with that build.
    offered         builds of the table that it has as it is defined now, as other environments and
                    this one have it released.
    whose           the environment that it may be taken over from.
    shared          of a source that this environment does not land: where it stands elsewhere.
    intake          of a source: what is to land, in a line; "" for nothing.
    waiting         of a source: how many rows wait for what they refer to.
    judged_by       of a source: what it refers to that has another definition than when its rows
                    were judged, so that all of them are judged again.
    is_elsewhere    of a source: whether it is as it was, but for where its files are.
    problem         why it cannot be made; "" if nothing is known to be in the way.
    differences     what differs from how it was defined when it was built last, in words.
    columns         its columns as it is defined now; None: not known before it is built.
    seconds         how long it took last.
    """

    at_fingerprint: Build | None = None
    newest: Build | None = None
    former: DatasetName | None = None
    offered: tuple[Build, ...] = ()
    whose: str = ""
    shared: Position | None = None
    intake: str = ""
    waiting: int = 0
    judged_by: DatasetName | None = None
    is_elsewhere: bool = False
    problem: str = ""
    differences: tuple[str, ...] = ()
    columns: Mapping[str, Type] | None = None
    seconds: float | None = None

    @property
    def place(self) -> Position | None:
        """Where it stands as it is defined now, if nothing is done to it."""
        return self.at_fingerprint.position if self.at_fingerprint else None


@dataclass(frozen=True, kw_only=True)
class PlannedStep:
    """What a run would do with one dataset.

    affected   what reads it, at any distance.
    breaking   what of it consumers may rely on that would be gone, in words.
    rows, seconds
               what it had and how long it took last; None: never built.
    """

    dataset: DatasetName
    action: Action
    reason: str
    affected: tuple[DatasetName, ...] = ()
    breaking: tuple[str, ...] = ()
    rows: int | None = None
    seconds: float | None = None

    def as_dict(self) -> dict[str, Any]:
        return {
            "dataset": str(self.dataset),
            "action": self.action.value,
            "reason": self.reason,
            "affected": [str(name) for name in self.affected],
            "breaking": list(self.breaking),
            "rows": self.rows,
            "seconds": None if self.seconds is None else round(self.seconds, 3),
        }


@dataclass(frozen=True)
class Plan:
    """The steps of a run, inputs first; then the names that it would remove.

    held   names that a rollback holds -> its release's number.
    superseded
           names that are defined as before a release that has replaced that -> its number: a run is
           refused unless it says `--replace`.
    """

    steps: tuple[PlannedStep, ...]
    held: Mapping[DatasetName, int] = field(default_factory=dict)
    superseded: Mapping[DatasetName, int] = field(default_factory=dict)

    @property
    def doing(self) -> tuple[PlannedStep, ...]:
        """Those that do some work."""
        return tuple(step for step in self.steps if step.action not in _AT_REST)

    @property
    def reused(self) -> tuple[PlannedStep, ...]:
        """Those that only move a name, to what another environment has."""
        return tuple(step for step in self.steps if step.action is Action.REUSE)

    @property
    def breaking(self) -> tuple[PlannedStep, ...]:
        return tuple(step for step in self.steps if step.breaking)

    def as_dict(self) -> dict[str, Any]:
        return {
            "steps": [step.as_dict() for step in self.steps],
            "breaking": [str(step.dataset) for step in self.breaking],
            "rolled_back": {str(name): release for name, release in self.held.items()},
            "superseded": {str(name): release for name, release in self.superseded.items()},
        }


def plan(
    graph: Graph,
    wanted: Mapping[DatasetName, Wanted],
    released: Mapping[DatasetName, Position],
    *,
    selected: frozenset[DatasetName] | None = None,
    rebuild: bool = False,
    build_at: Callable[[Position], Build | None] = lambda _: None,
) -> tuple[PlannedStep, ...]:
    """The steps of a run.

    wanted    by name, for every dataset of the graph.
    selected  what the run is for; None: all.
    rebuild   build the selected models though they are up to date.
    build_at  the build that ended at a position: see `same_to_reader`.
    """
    moving: set[DatasetName] = set()
    blocked: set[DatasetName] = set()
    stands: dict[DatasetName, Position] = {}
    steps = []
    for name in graph.order:
        mine = wanted[name]
        if selected is not None and name not in selected:
            if place := released.get(name) or mine.place:
                stands[name] = place
            continue
        lost = sorted(blocked.intersection(graph.inputs[name]))
        if lost:
            action, reason = Action.BLOCKED, f"{lost[0]} cannot be made"
        elif mine.problem:
            action, reason = Action.BLOCKED, mine.problem
        elif mine.former:
            action, reason = Action.RENAME, f"renamed from {mine.former}"
        elif mine.shared:
            action, reason = Action.NOTHING, f"as {mine.whose} has it"
            stands[name] = mine.shared
        elif isinstance(graph.datasets[name], SourceDataset):
            action, reason = _landing(graph, name, wanted, moving)
        elif not rebuild and (same := _same(graph, name, wanted, moving, stands, build_at)):
            action, reason = Action.NOTHING, f"what it reads of {same} is the same"
        else:
            decision = _build(graph, name, mine, moving, stands, rebuild=rebuild)
            action, reason = decision.action, decision.reason
            if decision.position:
                stands[name] = decision.position
        if action is Action.BLOCKED:
            blocked.add(name)
        elif action in (Action.LAND, Action.BUILD):
            moving.add(name)
        elif name not in stands and mine.place:
            stands[name] = mine.place
        if action is Action.NOTHING and _is_moved(stands.get(name), released.get(name), mine.whose):
            action = Action.REUSE
            reason = reason if mine.whose else "as it was built before"
        steps.append(_step(graph, name, mine, action, reason))
    if selected is None:
        steps += _drops(graph, wanted, released)
    return tuple(steps)


def _is_moved(there: Position | None, now: Position | None, whose: str) -> bool:
    """Whether a name moves to where its table stands already. (A run of prod releases what waits
    to be released, which is no news.)"""
    if whose:
        return there != now
    return there is not None and now is not None and there.table != now.table


def _landing(
    graph: Graph,
    name: DatasetName,
    wanted: Mapping[DatasetName, Wanted],
    moving: set[DatasetName],
) -> tuple[Action, str]:
    mine = wanted[name]
    if mine.is_elsewhere:
        return Action.LAND, f"its files are elsewhere here: {mine.intake or 'no files'}"
    if mine.at_fingerprint is None and mine.newest:
        why = _told("its contract changed", mine.differences)
        return Action.LAND, f"{why}; landed again: {mine.intake or 'no files'}"
    if mine.judged_by and mine.intake:
        why = f"{mine.judged_by} has another definition than when its rows were judged"
        return Action.LAND, f"{why}: {mine.intake}"
    waiting = ""
    if mine.waiting and mine.at_fingerprint:
        tried = mine.at_fingerprint.inputs
        moved = [given for given in graph.inputs[name] if _moves(given, wanted, moving, tried)]
        if moved:
            waiting = f"{counted(mine.waiting, 'row')} waiting for {moved[0]}, which has changed"
    told = [part for part in (mine.intake, waiting) if part]
    return (Action.LAND, "; ".join(told)) if told else (Action.NOTHING, "no new files")


def _moves(
    given: DatasetName,
    wanted: Mapping[DatasetName, Wanted],
    moving: set[DatasetName],
    seen: Mapping[DatasetName, Position],
) -> bool:
    """Whether an input is at another position than when it was looked at, or will be."""
    build = wanted[given].at_fingerprint
    return given in moving or build is None or build.position != seen.get(given)


def _build(
    graph: Graph,
    name: DatasetName,
    mine: Wanted,
    moving: set[DatasetName],
    stands: Mapping[DatasetName, Position],
    *,
    rebuild: bool,
) -> Decision:
    fixed = [given for given in graph.inputs[name] if given not in moving]
    missing = next((given for given in fixed if given not in stands), None)
    if missing:
        return Decision(Action.BLOCKED, f"{missing} is not built: --select +{name}")
    inputs = {given: stands[given] for given in fixed}
    changes = sorted(str(given) for given in moving.intersection(graph.inputs[name]))
    if not changes and not rebuild:
        for build in mine.offered:
            if build.inputs == inputs:
                reason = f"as {mine.whose} has it" if mine.whose else "up to date"
                return Decision(Action.NOTHING, reason, build.position)
    if mine.at_fingerprint is None and mine.newest and mine.differences:
        return Decision(Action.BUILD, _told("its definition changed", mine.differences))
    if mine.newest and changes and not rebuild:
        more = f" and {len(changes) - 3} more" if len(changes) > 3 else ""
        verb = "changes" if len(changes) == 1 else "change"
        return Decision(Action.BUILD, f"{', '.join(changes[:3])}{more} {verb}")
    return decide_model(name, inputs, mine.at_fingerprint, mine.newest, rebuild=rebuild)


def _same(
    graph: Graph,
    name: DatasetName,
    wanted: Mapping[DatasetName, Wanted],
    moving: set[DatasetName],
    stands: Mapping[DatasetName, Position],
    build_at: Callable[[Position], Build | None],
) -> DatasetName | None:
    """The first input that gets another table, if all inputs will hold to a model what they held
    when it was built; else None."""
    mine = wanted[name].at_fingerprint
    if mine is None or is_view(graph.datasets[name]):
        return None
    if mine.inputs.keys() != set(graph.inputs[name]):
        return None

    def holds(given: DatasetName, before: Position) -> bool:
        if given in stands:
            return same_to_reader(before, stands[given], build_at)
        if given not in moving or wanted[given].at_fingerprint:
            return False
        old = build_at(before)
        if old is None:
            return False
        shared = [each for each in graph.inputs[given] if each in old.inputs]
        return bool(shared) and all(holds(each, old.inputs[each]) for each in shared)

    others = [given for given, place in mine.inputs.items() if stands.get(given) != place]
    if not others or not all(holds(given, mine.inputs[given]) for given in others):
        return None
    is_steady = not any(is_fickle(graph.datasets[each]) for each in graph.upstream([name]))
    return others[0] if is_steady else None


def _told(what: str, differences: tuple[str, ...]) -> str:
    shown = "; ".join(differences[:3])
    more = f" and {len(differences) - 3} more" if len(differences) > 3 else ""
    return f"{what}: {shown}{more}" if shown else what


def _step(
    graph: Graph, name: DatasetName, wanted: Wanted, action: Action, reason: str
) -> PlannedStep:
    is_idle = action in _AT_REST
    return PlannedStep(
        dataset=name,
        action=action,
        reason=reason,
        affected=() if is_idle else tuple(sorted(graph.downstream([name]) - {name})),
        breaking=tuple(_broken(wanted)) if action in _MOVES else (),
        rows=wanted.newest.row_count if wanted.newest else None,
        seconds=wanted.seconds,
    )


def _broken(wanted: Wanted) -> Iterator[str]:
    """What of its columns consumers may rely on that would be gone: removed, or of a type that is
    not the same or a wider one."""
    if wanted.newest is None or wanted.columns is None:
        return
    if wanted.place and wanted.place.table == wanted.newest.position.table:
        return
    now = {name.lower(): kind for name, kind in wanted.columns.items()}
    for name, text in wanted.newest.columns.items():
        was, kind = parse_type(text), now.get(name.lower())
        if name.startswith("_"):
            continue  # where a row came from is no column of its contract
        if kind is None:
            yield f"the column {name!r} is gone"
        elif kind != was and not is_widened(was, kind):
            yield f"the column {name!r} is {kind.sql.lower()}, and was {was.sql.lower()}"


def _drops(
    graph: Graph, wanted: Mapping[DatasetName, Wanted], released: Mapping[DatasetName, Position]
) -> Iterator[PlannedStep]:
    """The released names that nothing makes any more, but for those that have a new one."""
    renamed = {w.former for w in wanted.values() if w.former}
    for name in sorted(released.keys() - graph.datasets.keys()):
        reason = "it has another name now" if name in renamed else "nothing makes it any more"
        gone = () if name in renamed else ("it is gone",)
        yield PlannedStep(dataset=name, action=Action.DROP, reason=reason, breaking=gone)
