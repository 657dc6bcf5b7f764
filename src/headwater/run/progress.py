"""What a run knows and what it has done so far: all of its parts share it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from filelock import FileLock, Timeout

from headwater.analysis.fingerprint import Mark, as_written, paths_of
from headwater.analysis.graph import Graph, renames
from headwater.contract.contract import Remedy
from headwater.contract.types import Type, parse_type
from headwater.engine.bind import Bound
from headwater.errors import HeadwaterError, LakeLocked
from headwater.ingest.landing import Landing
from headwater.lake.commit import now
from headwater.lake.lake import Lake
from headwater.lake.state import Build, Position, State
from headwater.lake.step import StepIdentity, again_row, step_row, table_name
from headwater.names import PROD, DatasetName
from headwater.plan.plan import Action, known_mark
from headwater.project.definitions import (
    ORIGIN_COLUMNS,
    Dataset,
    Project,
    PythonModel,
    SourceDataset,
    SqlModel,
    input_schemas,
)
from headwater.run.group import Group, Outcome
from headwater.run.neighbours import Neighbours
from headwater.run.options import Options
from headwater.run.report import Observer, StepReport


@dataclass
class Progress:
    """One run.

    state         what the lake says, as far as it was looked at.
    steps         what is done with each dataset.
    positions     where each dataset stands that has had its turn.
    schemas       the columns of each, where they are known.
    failed        datasets whose step failed, and why.
    outdated      those that this run does not make and whose definition has changed since -> the
                  fingerprint of what is read of them.
    marks         what each means.
    known         the fingerprint by which the lake knows each: see `known_mark`.
    records       rows of state tables that the record of the run is committed with.
    own           what means something else in the promoted environment, by the values of variables:
                  prod has its own.
    """

    project: Project
    graph: Graph
    bound: Bound
    lake: Lake
    options: Options
    observer: Observer
    selected: frozenset[DatasetName]
    relanded: frozenset[DatasetName]
    run_id: str
    started_at: datetime = field(default_factory=now)
    steps: dict[DatasetName, StepReport] = field(default_factory=dict)
    positions: dict[DatasetName, Position] = field(default_factory=dict)
    failed: dict[DatasetName, str] = field(default_factory=dict)
    schemas: dict[DatasetName, dict[str, Type]] = field(default_factory=dict)
    marks: dict[DatasetName, Mark] = field(default_factory=dict)
    known: dict[DatasetName, str] = field(default_factory=dict)
    records: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)
    committed: int = 0
    step_count: int = 0
    outdated: dict[DatasetName, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.clock = time.monotonic()
        self.moment = self.options.moment or self.started_at
        self.group = Group(self.lake, self.run_id)
        self.mark = self.lake.change_mark()
        self.state: State = self.lake.state()
        self.is_prod = self.lake.environment == PROD
        self.neighbours = Neighbours(self.lake, self.options.promote)
        self.schemas.update(self.bound.schemas)
        self.own: set[DatasetName] = set()
        self.renames = renames(self.graph.datasets)

    # ---- what datasets mean

    def newest(self, name: DatasetName) -> Build | None:
        """The newest build of a dataset as the project defines it now."""
        mark = self.fingerprint(name)
        return self.state.newest_build(name, mark) if mark else None

    def fingerprint(self, name: DatasetName) -> str:
        """A dataset's fingerprint; "" while the columns of its inputs are not known."""
        if name not in self.known:
            dataset = self.graph.datasets[name]
            schema = self.schemas.get(name)
            if isinstance(dataset, SqlModel) and schema is None:
                return ""
            if isinstance(dataset, PythonModel) and not dataset.contract.columns:
                schema = None
            result = self.bound.results.get(name, schema)
            given = self.given(dataset)
            if given is None:
                return ""
            inputs = self.input_schemas(dataset)
            self.marks[name], self.known[name] = known_mark(
                self.state,
                dataset,
                schema,
                result,
                inputs,
                given,
                {**self.known, **self.outdated},
                is_prod=self.is_prod,
            )
        return self.known[name]

    def given(self, dataset: Dataset) -> dict[DatasetName, Mark] | None:
        """What the inputs of a model mean; None while that is not known. (What a source refers to
        does not change what it means.) What is read as an earlier definition made it means that."""
        if isinstance(dataset, SourceDataset):
            return {}
        if not all(given in self.outdated or self.fingerprint(given) for given in dataset.inputs):
            return None
        return {
            given: Mark.opaque(self.outdated[given])
            if given in self.outdated
            else self.marks[given]
            for given in dataset.inputs
        }

    def input_schemas(self, dataset: Dataset) -> dict[DatasetName, dict[str, Type]]:
        """The columns of what a dataset reads, where they are known."""
        return input_schemas(dataset, self.graph.datasets, self.schemas)

    def lock(self, name: DatasetName) -> FileLock:
        """Take a dataset's lock. Never waits while holding others: two runs cannot block each
        other for good."""
        lock = self.lake.locks.dataset(str(name))
        try:
            lock.acquire(timeout=0)
        except Timeout:
            self.flush()
            try:
                lock.acquire(timeout=self.lake.locks.timeout_s)
            except Timeout as error:
                raise LakeLocked(
                    f"another run has worked on {name} for {self.lake.locks.timeout_s:g} s",
                    hint="wait for it to end, or raise lock_timeout_s in headwater.yaml",
                ) from error
        self.look_again()
        return lock

    def look_again(self) -> None:
        """Read the lake's state again if anybody has committed since."""
        mark = self.lake.change_mark()
        if mark != self.mark:
            self.mark = mark
            if self.lake.newest_snapshot_id() != self.state.snapshot_id:
                self.state = self.lake.state()

    def next_step(self) -> int:
        """Steps are numbered from 1, in the order in which they are planned."""
        self.step_count += 1
        return self.step_count

    def identity(
        self, name: DatasetName, table: str, mark: str, action: Action, reason: str
    ) -> StepIdentity:
        build = self.state.builds.get((name, table))
        return StepIdentity(
            run_id=self.run_id,
            step=self.next_step(),
            dataset=name,
            table=table,
            fingerprint=mark,
            planned_at=self.state.snapshot_id,
            expected=build.position if build else None,
            action=action.value,
            reason=reason,
            there=build.columns if build else {},
            is_first=self.state.latest_build(name) is None,
            written=as_written(self.graph.datasets[name]),
            paths=paths_of(self.graph.datasets[name]),
        )

    def renew(self, build: Build) -> None:
        """Record once more what a dataset means that is up to date, where it was built at another
        wording, or by a version that gave the same another fingerprint: so that it is known again
        after the next upgrade, too. It is committed with the record of the run."""
        if (again := self.renewed(build)) != build:
            self.records.append(("builds", again_row(self.lake, build, again)))

    def renewed(self, build: Build) -> Build:
        """A build of what a dataset means now, as it is written now; one over something outdated
        stays known by what that meant."""
        if not self.outdated.keys().isdisjoint(self.graph.inputs[build.dataset]):
            return build
        mark, dataset = self.marks[build.dataset], self.graph.datasets[build.dataset]
        return replace(
            build,
            fingerprint=mark.whole,
            written=as_written(dataset),
            paths=paths_of(dataset) or None,
        )

    def table(self, name: DatasetName, mark: str) -> str:
        """The built table of a dataset at a fingerprint; it may carry an earlier name."""
        build = self.state.newest_build(name, mark)
        return build.position.table if build else table_name(name, mark)

    def owned_build(self, name: DatasetName, mark: str) -> Build | None:
        build = self.state.newest_build(name, mark)
        return build if build and self.state.owner(build.position.table) == name else None

    def note_columns(self, name: DatasetName, columns: Mapping[str, Type]) -> None:
        """Note the columns of a source, those of origin aside, unless they are known."""
        known = {n: kind for n, kind in columns.items() if n not in ORIGIN_COLUMNS}
        self.schemas.setdefault(name, known)

    def note_schema(self, model: SqlModel | PythonModel, schema: dict[str, Type]) -> None:
        if model.name not in self.schemas:
            self.schemas[model.name] = schema

    def flush(self) -> None:
        """Commit what waits, and note where it ended up."""
        outcomes = self.group.commit()
        for commit in self.group.commits:
            if commit.snapshot_id == self.state.snapshot_id + 1:  # nobody else's was between
                self.state = self.state.after(commit.snapshot_id, commit.notes)
        self.group.commits.clear()
        for outcome in outcomes:
            self.note_outcome(outcome)
        if self.group.steps:  # pragma: no cover - commit takes them all
            raise AssertionError("steps were left in the group")

    def note_outcome(self, outcome: Outcome) -> None:
        identity = outcome.step.identity
        name = identity.dataset
        step = self.steps[name]
        if outcome.error or not outcome.position:
            self.fail(step, outcome.error or HeadwaterError("it was not committed"), identity)
            for below in self.graph.downstream([name]) - {name}:
                if below in self.steps and self.group.waiting(below) is None:
                    self.failed.setdefault(below, f"{name}, which it reads, failed")
            if step.action != "land":
                self.observer.done(step)
            return
        self.committed += 1
        self.positions[name] = outcome.position
        step.status = "done"
        step.ledger = _add(step.ledger, outcome.ledger)
        if isinstance(outcome.step, Landing):
            self.note_columns(name, outcome.step.columns)
        if step.action != "land":
            self.observer.done(step)

    def fail(
        self, step: StepReport, error: HeadwaterError, identity: StepIdentity | None = None
    ) -> None:
        """Note a failed step; its record is committed at the end of the run."""
        step.status, step.error = "failed", error
        self.failed[step.dataset] = error.message
        self.positions.pop(step.dataset, None)
        if identity:
            self.records.append(("steps", step_row(identity, "failed", step.seconds, str(error))))
        for row in getattr(error, "checks", ()):
            self.records.append(("checks", row))

    def is_blocked(self, dataset: Dataset, step: StepReport) -> bool:
        """Whether something that a dataset needs failed; it is noted."""
        lost = next((given for given in dataset.inputs if given in self.failed), None)
        if lost is None:
            return False
        step.status, step.reason = "blocked", f"{lost} failed"
        self.failed[dataset.name] = f"{lost}, which it reads, failed"
        self.observer.done(step)
        return True


def types_of(columns: Mapping[str, str]) -> dict[str, Type]:
    """The columns of a build, with their types."""
    return {name: parse_type(kind) for name, kind in columns.items()}


def by_remedy(
    broken: Mapping[str, int], remedies: Mapping[str, Remedy]
) -> tuple[dict[str, int], dict[str, int]]:
    """Broken rules apart from those that only warn."""
    warnings = {c: n for c, n in broken.items() if remedies.get(c) is Remedy.WARN}
    return {c: n for c, n in broken.items() if c not in warnings}, warnings


def _add(a: Any, b: Any) -> Any:
    """Two ledger lines of one dataset in one run as one: counts add up."""
    if a is None:
        return b
    summed = {
        key: getattr(a, key) + getattr(b, key)
        for key in a.__dataclass_fields__
        if key not in ("dataset", "rows_before", "rows_after")
    }
    return replace(b, rows_before=a.rows_before, **summed)
