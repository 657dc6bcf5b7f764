"""The plan: what is wanted against what is built, as steps with their reasons.

Pure: from what is known of each dataset to what a run would do with it. What a landing changes is
only known once it has landed, so what reads a source with new files is planned to be built.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from headwater.analysis.graph import Graph
from headwater.contract.types import Type, is_widened, parse_type
from headwater.errors import counted
from headwater.lake.state import Build, Position
from headwater.names import DatasetName
from headwater.plan.plan import Action, decide_model
from headwater.project.definitions import SourceDataset


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is known of one dataset before a run.

    at_fingerprint  its newest build as it is defined now; None: there is none.
    newest          its newest build, however it was defined; None: it was never built.
    former          the dataset whose built table it takes over, with that build.
    intake          of a source: what is to land, in a line; "" for nothing.
    waiting         of a source: how many rows wait for what they refer to.
    problem         why it cannot be made; "" if nothing is known to be in the way.
    differences     what differs from how it was defined when it was built last, in words.
    columns         its columns as it is defined now; None: not known before it is built.
    seconds         how long it took last.
    """

    at_fingerprint: Build | None = None
    newest: Build | None = None
    former: DatasetName | None = None
    intake: str = ""
    waiting: int = 0
    problem: str = ""
    differences: tuple[str, ...] = ()
    columns: Mapping[str, Type] | None = None
    seconds: float | None = None


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
    """

    steps: tuple[PlannedStep, ...]
    held: Mapping[DatasetName, int] = field(default_factory=dict)

    @property
    def doing(self) -> tuple[PlannedStep, ...]:
        """Those that do something."""
        return tuple(step for step in self.steps if step.action is not Action.NOTHING)

    @property
    def breaking(self) -> tuple[PlannedStep, ...]:
        return tuple(step for step in self.steps if step.breaking)

    def as_dict(self) -> dict[str, Any]:
        return {
            "steps": [step.as_dict() for step in self.steps],
            "breaking": [str(step.dataset) for step in self.breaking],
            "rolled_back": {str(name): release for name, release in self.held.items()},
        }


def plan(
    graph: Graph,
    wanted: Mapping[DatasetName, Wanted],
    released: Mapping[DatasetName, Position],
    *,
    selected: frozenset[DatasetName] | None = None,
    rebuild: bool = False,
) -> tuple[PlannedStep, ...]:
    """The steps of a run.

    wanted    by name, for every dataset of the graph.
    selected  what the run is for; None: all.
    rebuild   build the selected models though they are up to date.
    """
    moving: set[DatasetName] = set()
    blocked: set[DatasetName] = set()
    steps = []
    for name in graph.order:
        if selected is not None and name not in selected:
            continue
        lost = sorted(blocked.intersection(graph.inputs[name]))
        if lost:
            action, reason = Action.BLOCKED, f"{lost[0]} cannot be made"
        elif wanted[name].problem:
            action, reason = Action.BLOCKED, wanted[name].problem
        elif former := wanted[name].former:
            action, reason = Action.RENAME, f"renamed from {former}"
        elif isinstance(graph.datasets[name], SourceDataset):
            action, reason = _landing(graph, name, wanted, moving)
        else:
            action, reason = _build(graph, name, wanted, moving, rebuild=rebuild)
        if action is Action.BLOCKED:
            blocked.add(name)
        elif action in (Action.LAND, Action.BUILD):
            moving.add(name)
        steps.append(_step(graph, name, wanted[name], action, reason))
    if selected is None:
        steps += _drops(graph, wanted, released)
    return tuple(steps)


def _landing(
    graph: Graph,
    name: DatasetName,
    wanted: Mapping[DatasetName, Wanted],
    moving: set[DatasetName],
) -> tuple[Action, str]:
    mine = wanted[name]
    if mine.at_fingerprint is None and mine.newest:
        why = _told("its contract changed", mine.differences)
        return Action.LAND, f"{why}; landed again: {mine.intake or 'no files'}"
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
    wanted: Mapping[DatasetName, Wanted],
    moving: set[DatasetName],
    *,
    rebuild: bool,
) -> tuple[Action, str]:
    mine = wanted[name]
    inputs = {}
    for given in graph.inputs[name]:
        build = wanted[given].at_fingerprint
        if build and given not in moving:
            inputs[given] = build.position
        elif given not in moving:
            return Action.BLOCKED, f"{given} is not built: --select +{name}"
    changes = sorted(str(given) for given in moving.intersection(graph.inputs[name]))
    if mine.at_fingerprint is None and mine.newest:
        return Action.BUILD, _told("its definition changed", mine.differences)
    if mine.at_fingerprint and changes and not rebuild:
        more = f" and {len(changes) - 3} more" if len(changes) > 3 else ""
        verb = "changes" if len(changes) == 1 else "change"
        return Action.BUILD, f"{', '.join(changes[:3])}{more} {verb}"
    decision = decide_model(name, inputs, mine.at_fingerprint, bool(mine.newest), rebuild=rebuild)
    return decision.action, decision.reason


def _told(what: str, differences: tuple[str, ...]) -> str:
    shown = "; ".join(differences[:3])
    more = f" and {len(differences) - 3} more" if len(differences) > 3 else ""
    return f"{what}: {shown}{more}" if shown else what


def _step(
    graph: Graph, name: DatasetName, wanted: Wanted, action: Action, reason: str
) -> PlannedStep:
    is_idle = action is Action.NOTHING
    return PlannedStep(
        dataset=name,
        action=action,
        reason=reason,
        affected=() if is_idle else tuple(sorted(graph.downstream([name]) - {name})),
        breaking=tuple(_broken(wanted)) if action in (Action.LAND, Action.BUILD) else (),
        rows=wanted.newest.row_count if wanted.newest else None,
        seconds=wanted.seconds,
    )


def _broken(wanted: Wanted) -> Iterator[str]:
    """What of its columns consumers may rely on that would be gone: removed, or of a type that is
    not the same or a wider one."""
    if wanted.newest is None or wanted.columns is None or wanted.at_fingerprint:
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
