"""One run: land, build in order, check, release.

Each dataset is decided on when its turn comes, from what the lake holds then: so a run that
was killed is resumed from what it had committed, and two runs at once divide the work. A run
holds the lock of each dataset from the moment it looks at it until its step is committed.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import duckdb
from filelock import FileLock, Timeout

from headwater.analysis.checks import data_checks
from headwater.analysis.fingerprint import Mark, mark_of
from headwater.analysis.graph import Graph, renames, select
from headwater.contract.across import references
from headwater.contract.contract import Remedy
from headwater.contract.types import Type, parse_type
from headwater.engine.bind import Bound
from headwater.engine.limits import BuildLimits
from headwater.engine.macros import macro_sql
from headwater.engine.session import Limits
from headwater.errors import FileRefused, HeadwaterError, LakeLocked, counted
from headwater.ingest.intake import Intake
from headwater.ingest.land import land
from headwater.ingest.landing import Landing
from headwater.ingest.replay import Request, Selection, replay
from headwater.lake.commit import Commit, at, now
from headwater.lake.lake import CommitNote, Lake
from headwater.lake.quarantine import overdue
from headwater.lake.state import Build, Position, Release, State
from headwater.lake.step import (
    StepIdentity,
    again_row,
    record_rename,
    step_row,
    table_name,
)
from headwater.names import PROD, DatasetName
from headwater.plan.plan import (
    Action,
    Decision,
    FailingCheck,
    ReleaseDecision,
    conflicts,
    decide_model,
    decide_release,
    follow_renames,
    known_mark,
    latest_of,
    offers,
    same_to_reader,
    standing,
    superseded,
    with_values,
)
from headwater.project.definitions import (
    ORIGIN_COLUMNS,
    Dataset,
    ModelContract,
    Project,
    PythonModel,
    SourceDataset,
    SqlModel,
    input_columns,
    input_schemas,
    is_view,
)
from headwater.project.variables import otherwise_in
from headwater.refresh.full import FullBuild, compute, described, explain_failure
from headwater.refresh.view import ViewBuild, compute_view
from headwater.run.checks import Checker, NotChecked
from headwater.run.gather import Gatherer, portions
from headwater.run.group import LARGE_COMMIT, Group, Outcome
from headwater.run.neighbours import Neighbours
from headwater.run.record import new_run_id, note_release, run_row
from headwater.run.refusals import (
    no_environment,
    other_definition,
    refuse_conflicts,
    refuse_other_definitions,
    refuse_superseded,
    values_to_land,
)
from headwater.run.report import Observer, Report, Silent, StepReport
from headwater.sources.batch import Item
from headwater.sql.quote import columns as column_list
from headwater.sql.quote import dotted


@dataclass(frozen=True, kw_only=True)
class Options:
    """What a run is asked to do.

    select    selectors; none: everything.
    rebuild   build the selected models though they are up to date.
    reland    selectors of sources whose files are landed again, changed or not.
    from_now  land without the files that are gone, where a new contract lands all again.
    replay    (dataset, what of its quarantine is replayed): instead of landing its new files.
    atomic    release nothing if anything fails.
    lands     outside of prod: whether files are landed of sources that prod has landed.
    replace   go on though a newer release has replaced the definitions.
    promote   the environment whose built tables prod takes over; nothing is landed then.
    moment    what ages are counted to, UTC without a zone; by default the run's beginning.
    """

    select: Sequence[str] = ()
    rebuild: bool = False
    reland: Sequence[str] = ()
    from_now: bool = False
    replay: tuple[DatasetName, Request] | None = None
    atomic: bool = False
    lands: bool = False
    replace: bool = False
    promote: str = ""
    command: str = "run"
    moment: datetime | None = None


def run(
    project: Project,
    graph: Graph,
    bound: Bound,
    lake: Lake,
    options: Options | None = None,
    observer: Observer | None = None,
) -> Report:
    """Carry out a run on an open lake.

    What fails is in the report, and holds back what depends on it. Raises UnknownSelection
    before anything is done; LakeLocked and KeyboardInterrupt leave what was committed.
    """
    options = options or Options()
    selected = select(graph, options.select)
    relanded = _sources(graph, select(graph, options.reland) if options.reland else ())
    if options.select:
        selected |= relanded
    run_id = new_run_id()
    alive = lake.locks.run(run_id)
    with alive:
        lake.clear_after_dead_runs(run_id)
        work = _Run(
            project, graph, bound, lake, options, observer or Silent(), selected, relanded, run_id
        )
        try:
            report = work.carry_out()
        finally:
            work.group.drop()
            lake.clear_away(run_id)
    return report


def _sources(graph: Graph, names: Iterable[DatasetName]) -> frozenset[DatasetName]:
    """Those that are landed."""
    return frozenset(n for n in names if isinstance(graph.datasets[n], SourceDataset))


@dataclass
class _Run:
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
    fingerprints: dict[DatasetName, Mark] = field(default_factory=dict)
    views: dict[DatasetName, str] = field(default_factory=dict)
    records: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)
    committed: int = 0
    step_count: int = 0
    session_schemas: set[str] = field(default_factory=set)
    outdated: set[DatasetName] = field(default_factory=set)
    macros: set[str] = field(default_factory=set)
    overdue: dict[str, DatasetName] = field(default_factory=dict)
    from_copies: dict[DatasetName, int] = field(default_factory=dict)
    judged: Mapping[DatasetName, Position] | None = None

    def __post_init__(self) -> None:
        self.group = Group(self.lake, self.run_id)
        self.moment = self.options.moment or self.started_at
        self.checker = Checker(self.lake, data_checks(self.project), self.observer, self.moment)
        self.mark = self.lake.change_mark()
        self.state: State = self.lake.state()
        self.is_prod = self.lake.environment == PROD
        self.neighbours = Neighbours(self.lake, self.options.promote)
        self.schemas.update(self.bound.schemas)
        self.clock = time.monotonic()
        others = otherwise_in(self.project, self.options.promote)
        # What has other values of variables in the promoted environment: prod builds its own.
        self.own = with_values(self.graph, others) if others else set()
        self.renames = renames(self.graph.datasets)
        self.gatherer = Gatherer(
            folder=self.project.folder,
            lake=self.lake.folder,
            renames=self.renames,
            relanded=self.relanded,
            from_now=self.options.from_now,
        )

    def carry_out(self) -> Report:
        self.refuse_left_behind(self.state.released)
        for name in self.graph.order:
            dataset = self.graph.datasets[name]
            if name not in self.selected:
                self.pin(name)
            elif isinstance(dataset, SourceDataset):
                if self.options.replay and self.options.replay[0] == name:
                    self.replay(dataset, self.options.replay[1])
                else:
                    self.land(dataset)
            elif isinstance(dataset, SqlModel | PythonModel):
                self.build(dataset)
            if self.group.is_full:
                self.flush()
        self.flush()
        with ExitStack() as locks:
            self.overdue = self.find_overdue(locks)
            return self.release()

    # ---- refusing what prod has left behind

    def refuse_left_behind(self, released: Mapping[DatasetName, Position]) -> None:
        """Raise where prod would go back to what a newer release has replaced, unless that is
        meant. Done again where somebody else has released meanwhile."""
        if not self.is_prod or self.options.replace or released == self.judged:
            return
        wanted = self.wanted_tables()
        if self.options.promote:
            self.refuse_promotion(wanted, released)
        if any(n in released and released[n].table != table for n, table in wanted.items()):
            refuse_superseded(
                self.graph, superseded(self.graph, wanted, released, self.lake.history())
            )
        self.judged = released

    def refuse_promotion(
        self, wanted: Mapping[DatasetName, str], released: Mapping[DatasetName, Position]
    ) -> None:
        """Raise where the promoted environment is not what the project says, or prod has moved on
        in another direction since."""
        promote, there = self.options.promote, self.neighbours.promoted
        if not there:
            raise no_environment(promote, self.lake.environments())
        refuse_other_definitions(self.graph, promote, wanted, there, self.own)
        own = {name: table for name, table in wanted.items() if name in self.own}
        refuse_conflicts(promote, conflicts(there, self.neighbours.base, released, own))

    def wanted_tables(self) -> dict[DatasetName, str]:
        """The built tables of the selected datasets as they are defined now, but for those whose
        columns are only known once they are built."""
        found = {}
        for name in self.graph.order:
            dataset = self.graph.datasets[name]
            known = isinstance(dataset, SourceDataset) or all(
                given in self.schemas for given in dataset.inputs
            )
            if name in self.selected and known and (mark := self.fingerprint(name)):
                found[name] = self.table(name, mark)
        return found

    # ---- pinning what others made

    def pin(self, name: DatasetName) -> None:
        """Fix the position of a dataset that this run does not make: as it is released, so that
        what reads it fits to the release; else as it was built last."""
        newest = self.newest(name)
        position = (
            self.state.released.get(name)
            or self.neighbours.names(self.state).get(name)
            or (newest.position if newest else None)
        )
        if position is None:
            return
        self.positions[name] = position
        build = self.state.builds.get((name, position.table))
        if build and name not in self.schemas:
            self.schemas[name] = _types(build.columns)
        if newest is None or newest.position.table != position.table:
            self.outdated.add(name)

    def newest(self, name: DatasetName) -> Build | None:
        """The newest build of a dataset as the project defines it now."""
        mark = self.fingerprint(name)
        return self.state.newest_build(name, mark) if mark else None

    def fingerprint(self, name: DatasetName) -> str:
        """A dataset's fingerprint; "" while the columns of its inputs are not known."""
        if name not in self.fingerprints:
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
            mark = known_mark(self.state, dataset, schema, result, inputs, given)
            self.fingerprints[name] = mark
        return self.fingerprints[name].whole

    def given(self, dataset: Dataset) -> dict[DatasetName, Mark] | None:
        """What the inputs of a model mean; None while that is not known. (What a source refers to
        does not change what it means.)"""
        if isinstance(dataset, SourceDataset):
            return {}
        known = [given for given in dataset.inputs if self.fingerprint(given)]
        if len(known) < len(dataset.inputs):
            return None
        return {given: self.fingerprints[given] for given in known}

    def input_schemas(self, dataset: Dataset) -> dict[DatasetName, dict[str, Type]]:
        """The columns of what a dataset reads, where they are known."""
        return input_schemas(dataset, self.graph.datasets, self.schemas)

    # ---- locks and state

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
        )

    # ---- built tables and their names

    def table(self, name: DatasetName, mark: str) -> str:
        """The built table of a dataset at a fingerprint; it may carry an earlier name."""
        build = self.state.newest_build(name, mark)
        return build.position.table if build else table_name(name, mark)

    def take_over(self, dataset: Dataset, mark: str) -> None:
        """Take over what was landed or built under an earlier name, where it means the same.

        Raises where the built table of that meaning was taken over by another dataset: two that
        wrote to one table would not see each other's rows.
        """
        name = dataset.name
        mine = self.state.newest_build(name, mark)
        owner = self.state.owner(mine.position.table) if mine else None
        if owner == name or not self.is_prod:
            return  # what prod still has under the earlier name is left to it
        earlier = [old for old, new in self.renames.items() if new == name]
        former = next((old for old in earlier if self.owned_build(old, mark)), None)
        if former:
            self.rename(former, dataset, mark)
        elif owner:
            raise HeadwaterError(
                f"its built table is now that of {owner}, which it was renamed to",
                where=f"{dataset.file}:{dataset.line}",
                hint=f"remove it, or name it back: `renamed_from: {owner}`",
            )

    def owned_build(self, name: DatasetName, mark: str) -> Build | None:
        build = self.state.newest_build(name, mark)
        return build if build and self.state.owner(build.position.table) == name else None

    def rename(self, former: DatasetName, dataset: Dataset, mark: str) -> None:
        self.flush()
        lock = self.lock(former)  # whoever still runs with the earlier name has committed then
        try:
            build = self.owned_build(former, mark)
            if build is None:  # another run was faster
                return
            reason = f"renamed from {former}"
            table = build.position.table
            identity = self.identity(dataset.name, table, mark, Action.RENAME, reason)
            note = CommitNote(message=f"{former} is now {dataset.name}", run_id=self.run_id)
            with self.lake.commit(note) as commit:
                record_rename(commit, identity, build)
            self.committed += 1
            self.steps[dataset.name].notes.append(f"{reason}; its rows were taken over")
        finally:
            lock.release()
        self.look_again()

    # ---- landing

    def land(self, dataset: SourceDataset) -> None:
        name = dataset.name
        mark = self.fingerprint(name)
        table = self.table(name, mark)
        started = time.monotonic()
        step = StepReport(dataset=name, action="land", status="nothing", reason="no new files")
        self.steps[name] = step
        if self.is_blocked(dataset, step) or self.shares(dataset, table, step):
            return
        lock = self.lock(name)
        identity: StepIdentity | None = None
        try:
            self.take_over(dataset, mark)
            table = self.table(name, mark)
            parents = self.parents(dataset)
            if self.try_again(dataset, table, parents, step, lock):
                lock = self.lock(name)
            lands = name not in self.failed
            for intake in portions(self.intake(dataset, table, step)) if lands else ():
                self.observer.started(name, "land", intake.reason)
                identity = self.identity(name, table, mark, Action.LAND, intake.reason)
                self.make_functions(dataset)
                landing = land(
                    self.lake,
                    identity,
                    dataset,
                    intake,
                    [f for (t, _), f in self.state.files.items() if t == table],
                    parents,
                    lambda path: self.observer.started(name, "land", path),
                )
                self.take_landing(step, landing, lock, started)
                if landing.files:  # its commit has let go of the lock
                    lock = self.lock(name)
                if name in self.failed:
                    break
            self.tend_copies(dataset, step)
        except LakeLocked:
            raise
        except HeadwaterError as error:
            self.fail(step, error, identity or self.identity(name, table, mark, Action.LAND, ""))
        finally:
            lock.release()
        build = self.state.builds.get((name, table))
        if build and name not in self.failed:
            self.positions.setdefault(name, build.position)
            known = _types(build.columns).items()
            self.schemas.setdefault(name, {n: t for n, t in known if n not in ORIGIN_COLUMNS})
        if name not in self.positions and name not in self.failed:
            files = ", ".join(step.refused) or "its files"
            self.fail(
                step, HeadwaterError(f"nothing could be landed from {files}", where=str(name))
            )
        step.seconds = time.monotonic() - started
        self.observer.done(step)

    def shares(self, dataset: SourceDataset, table: str, step: StepReport) -> bool:
        """Take a source as another environment has it, where this run does not land it; whether
        it does so."""
        name = dataset.name
        if (
            name in self.relanded
            or self.options.lands
            or (self.is_prod and not self.options.promote)
        ):
            return False
        there = self.neighbours.names(self.state).get(name)
        position = latest_of(table, (self.state.released.get(name), there))
        if position is None and name in self.own:
            raise values_to_land(self.graph, self.options.promote, name)
        if there is None or position is None or (there.table != table and name not in self.own):
            if not self.options.promote:
                return False  # nobody else has it so: it is this environment's to land
            raise other_definition(self.graph, self.options.promote, name)
        self.positions[name] = position
        build = self.neighbours.build(self.state, name, position)
        known = _types(build.columns if build else {}).items()
        self.schemas.setdefault(name, {n: t for n, t in known if n not in ORIGIN_COLUMNS})
        step.reason = f"as {self.neighbours.whose} has it"
        self.observer.done(step)
        return True

    def parents(self, dataset: SourceDataset) -> dict[DatasetName, Position]:
        """Where the datasets stand that a source refers to; they are put into the session."""
        if any(self.group.waiting(given) for given in dataset.inputs):
            self.flush()
        for given in dataset.inputs:
            if given not in self.positions:
                raise HeadwaterError(
                    f"{dataset.name} refers to {given}, which is not there yet",
                    where=f"{dataset.file}:{dataset.line}",
                    hint=f"land or build it too: headwater run --select +{dataset.name}",
                )
        self.place_inputs(dataset)
        return {given: self.positions[given] for given in dataset.inputs}

    def try_again(
        self,
        dataset: SourceDataset,
        table: str,
        parents: Mapping[DatasetName, Position],
        step: StepReport,
        lock: FileLock,
    ) -> bool:
        """Replay the rows that wait for what they refer to, where that has moved since they were
        tried last; whether there were any, and the lock is let go of."""
        name = dataset.name
        build = self.state.builds.get((name, table))
        codes = tuple(rule.code for rule in references(dataset.contract, Remedy.QUARANTINE))
        if build is None or not codes or build.inputs == parents:
            return False
        started = time.monotonic()
        reason = "rows that wait for what they refer to"
        identity = self.identity(name, table, self.fingerprint(name), Action.REPLAY, reason)
        self.make_functions(dataset)
        request = Request(selection=Selection(reasons=codes))
        again = replay(self.lake, identity, dataset, request, parents)
        if again.verdict is None:
            again.discard(self.lake)
            return False
        step.reason = "no new files, but rows that waited"
        step.notes.append(
            f"{counted(again.verdict.received, 'row')} waited for what they refer to; "
            f"{again.leaving} of them came through"
        )
        step.broken = _sum_of(step.broken, again.broken)
        step.seconds = time.monotonic() - started
        self.group.add(again, lock)
        self.flush()
        return True

    def replay(self, dataset: SourceDataset, request: Request) -> None:
        """Replay quarantined rows of a dataset."""
        name = dataset.name
        started = time.monotonic()
        step = StepReport(dataset=name, action="replay", status="nothing", reason="no rows")
        self.steps[name] = step
        lock = self.lock(name)
        identity: StepIdentity | None = None
        try:
            mark = self.fingerprint(name)
            table = self.table(name, mark)
            if (name, table) not in self.state.builds:
                raise HeadwaterError(
                    "it is not landed under the contract that it has now",
                    where=str(name),
                    hint="`headwater run` first",
                )
            build = self.state.builds[name, table]
            self.positions[name] = build.position
            known = _types(build.columns).items()
            self.schemas.setdefault(name, {n: t for n, t in known if n not in ORIGIN_COLUMNS})
            self.observer.started(name, "replay", "")
            identity = self.identity(name, table, mark, Action.REPLAY, "from quarantine")
            self.parents(dataset)
            self.make_functions(dataset)
            # Other rows may still wait for what has moved, so it counts as moved.
            replayed = replay(self.lake, identity, dataset, request, build.inputs)
            step.notes += replayed.notes
            if replayed.verdict is None:
                replayed.discard(self.lake)
                self.observer.done(step)
                return
            step.reason = counted(replayed.verdict.received, "row")
            step.broken = replayed.broken
            step.seconds = time.monotonic() - started
            self.group.add(replayed, lock)
            self.flush()
        except LakeLocked:
            raise
        except HeadwaterError as error:
            self.fail(step, error, identity)
            self.observer.done(step)
        finally:
            lock.release()
            step.seconds = time.monotonic() - started

    def intake(self, dataset: SourceDataset, table: str, step: StepReport) -> Intake:
        """What is to land."""
        gathered = self.gatherer.gather(dataset, table, self.state)
        step.notes += gathered.notes
        for item, why in gathered.intake.refused:
            self.refuse(dataset.name, table, step, item, why)
        return gathered.intake

    def tend_copies(self, dataset: SourceDataset, step: StepReport) -> None:
        """Say how many files were landed from their copies, and delete those copies that are kept
        no longer. Hold the dataset's lock."""
        if dataset.name in self.failed:
            return
        if count := self.from_copies.get(dataset.name, 0):
            whose = "its copy" if count == 1 else "their copies"
            step.notes.append(f"{counted(count, 'file')} landed from {whose} in the lake")
        try:
            days = dataset.definition.raw_retention_days
            self.gatherer.raw(dataset.name).delete_outdated(days, self.moment)
        except OSError as error:
            step.notes.append(f"copies that are kept no longer stay: {error.strerror}")

    def take_landing(
        self, step: StepReport, landing: Landing, lock: FileLock, started: float
    ) -> None:
        """Commit a landing and add it to its dataset's report."""
        for item, error in landing.refused:
            self.refuse(step.dataset, landing.identity.table, step, item, error, record=False)
        for file in landing.files:
            step.notes += [f"{file.item.path}: {note}" for note in file.notes]
        step.notes += landing.notes
        if not landing.files:
            for item, error in landing.refused:
                self.refuse(step.dataset, landing.identity.table, step, item, error)
            landing.discard(self.lake)
            return
        self.group.add(landing, lock)
        step.files += len(landing.files)
        copies = sum(1 for file in landing.files if file.item.copy_of)
        self.from_copies[step.dataset] = self.from_copies.get(step.dataset, 0) + copies
        step.reason = (
            landing.intake.told({file.item.path for file in landing.files})
            if step.files == len(landing.files)
            else f"{step.files} files"
        )
        broken, warnings = _by_remedy(landing.broken, landing.remedies)
        step.broken = _sum_of(step.broken, broken)
        step.warnings = _sum_of(step.warnings, warnings)
        step.seconds = time.monotonic() - started
        self.flush()

    def refuse(
        self,
        name: DatasetName,
        table: str,
        step: StepReport,
        item: Item,
        error: FileRefused,
        *,
        record: bool = True,
    ) -> None:
        """Note a refused file; recorded once for the same file and reason."""
        step.refused = {**step.refused, item.path: f"{error.message} ({error.hint})"}
        before = self.state.files.get((table, item.path))
        if not record or (before and before.reason == error.message):
            return
        row = {
            "dataset": str(name),
            "built_table": table,
            "path": item.path,
            "status": "refused",
            "reason": error.message,
            "size_bytes": item.size_bytes,
            "modified_at": item.modified_at,
            "run_id": self.run_id,
            "seen_at": now(),
        }
        self.records.append(("files", row))

    # ---- building

    def build(self, model: SqlModel | PythonModel) -> None:
        name = model.name
        if is_view(model) and any(self.group.waiting(given) for given in model.inputs):
            self.flush()  # a view names the snapshots of its inputs, so they must be committed
        step = StepReport(dataset=name, action="build", status="nothing", reason="up to date")
        self.steps[name] = step
        started = time.monotonic()
        if self.is_blocked(model, step):
            return
        identity: StepIdentity | None = None
        lock: FileLock | None = None
        try:
            if name in self.renames.values():
                lock = self.lock(name)  # nobody else works on it while it is taken over
            self.look_again()
            decision, mark = self.decide(model)
            if decision.position is None and lock is None:
                lock = self.lock(name)  # whoever had it may have built it meanwhile
                decision, mark = self.decide(model)
            step.reason = decision.reason
            table = self.table(name, mark)
            if decision.position:
                self.positions[name] = decision.position
                self.note_schema(model, _types(self.state.builds[name, table].columns))
                if lock:
                    lock.release()
                return
            self.observer.started(name, "build", decision.reason)
            step.notes += [
                f"{given} is read as it was released; its definition has changed since"
                for given in model.inputs
                if given in self.outdated
            ]
            identity = self.identity(name, table, mark, decision.action, decision.reason)
            build = self.compute(model, identity)
            assert lock is not None
            self.group.add(build, lock)
            step.status = "done"
            step.seconds = time.monotonic() - started
            step.broken, step.warnings = _by_remedy(build.broken, dict(build.checks))
            self.note_schema(model, build.columns)
            if build.prewritten:
                self.flush()
        except LakeLocked:
            raise
        except HeadwaterError as error:
            if lock:
                lock.release()
            self.fail(step, error, identity)
        except BaseException:
            if lock:
                lock.release()
            raise
        finally:
            step.seconds = time.monotonic() - started
            if step.status in ("nothing", "failed"):
                self.observer.done(step)

    def is_blocked(self, dataset: Dataset, step: StepReport) -> bool:
        """Whether something that a dataset needs failed; it is noted."""
        lost = next((given for given in dataset.inputs if given in self.failed), None)
        if lost is None:
            return False
        step.status, step.reason = "blocked", f"{lost} failed"
        self.failed[dataset.name] = f"{lost}, which it reads, failed"
        self.observer.done(step)
        return True

    def decide(self, model: SqlModel | PythonModel) -> tuple[Decision, str]:
        """What the model needs, and its fingerprint; its inputs are put into the session where
        that is needed to know."""
        name = model.name
        if not self.fingerprint(name):
            self.place_inputs(model)
            assert isinstance(model, SqlModel)
            try:
                self.schemas[name] = described(self.lake.con, model.query.text)
            except duckdb.Error as error:
                raise explain_failure(model, error) from error
        mark = self.fingerprint(name)
        self.take_over(model, mark)
        before = self.state.newest_build(name, mark)
        fresh = [given for given in model.inputs if self.group.waiting(given)]
        if before and any(self.is_other_table(given, before) for given in fresh):
            self.flush()  # it may read nothing of what is new there
            fresh = [given for given in model.inputs if self.group.waiting(given)]
        for given in model.inputs:
            if given not in fresh and given not in self.positions:
                raise HeadwaterError(
                    f"{name} reads {given}, which is not built",
                    where=f"{model.file}:{model.line}",
                    hint=f"build it too: headwater run --select +{name}",
                )
        if fresh and not self.options.rebuild:
            if self.state.latest_build(name):
                return Decision(Action.BUILD, f"{fresh[0]} changed"), mark
            return Decision(Action.BUILD, "not built yet"), mark
        inputs = {given: self.positions[given] for given in model.inputs if given not in fresh}
        decision = decide_model(
            name,
            inputs,
            self.state.newest_build(name, mark),
            self.state.latest_build(name),
            rebuild=self.options.rebuild,
        )
        if decision.position is None and not self.options.rebuild:
            there = self.neighbours.names(self.state).get(name)
            position = standing(
                self.table(name, mark),
                inputs,
                offers(there, self.state.released.get(name)),
                lambda at: self.neighbours.inputs(self.state, name, at),
            )
            if position:
                decision = Decision(Action.NOTHING, f"as {self.neighbours.whose} has it", position)
            elif before and (others := self.same_in(before, inputs)):
                reason = f"what it reads of {others[0]} is the same"
                self.read_as(model, before, inputs, reason)
                decision = Decision(Action.NOTHING, reason, before.position)
        return decision, mark

    def is_other_table(self, given: DatasetName, before: Build) -> bool:
        """Whether an input that waits to be committed has another table than when it was read."""
        waiting = self.group.waiting(given)
        read = before.inputs.get(given)
        return bool(waiting and read and waiting.identity.table != read.table)

    def same_in(self, before: Build, inputs: Mapping[DatasetName, Position]) -> list[DatasetName]:
        """The inputs that have another table than when a build read them, if all of its inputs hold
        the same to it as then; else none."""
        if before.inputs.keys() != inputs.keys():
            return []
        others = [name for name, place in inputs.items() if before.inputs[name] != place]
        same = all(
            same_to_reader(
                before.inputs[name],
                inputs[name],
                lambda place: self.neighbours.whole_build(self.state, place),
            )
            for name in others
        )
        return others if same else []

    def read_as(
        self,
        model: SqlModel | PythonModel,
        build: Build,
        inputs: Mapping[DatasetName, Position],
        reason: str,
    ) -> None:
        """Note that a build is what it would be over these inputs. It is committed with the
        record of the run; a run that is killed before finds it out again."""
        table = build.position.table
        identity = self.identity(model.name, table, build.fingerprint, Action.REUSE, reason)
        self.records.append(("builds", again_row(self.lake, build, replace(build, inputs=inputs))))
        self.records.append(("steps", step_row(identity, "committed", 0.0)))

    def compute(
        self, model: SqlModel | PythonModel, identity: StepIdentity
    ) -> FullBuild | ViewBuild:
        self.place_inputs(model)
        self.make_room(model.name)
        if isinstance(model, SqlModel) and is_view(model):
            seen = {given: self.seen(given, model.words) for given in model.inputs}
            inputs = {given: self.positions[given] for given in model.inputs}
            return compute_view(self.lake, identity, model, inputs, seen, self.schemas[model.name])
        awaiting = tuple(given for given in model.inputs if self.group.waiting(given))
        inputs = {given: self.positions[given] for given in model.inputs if given not in awaiting}
        schema = self.bound.results.get(model.name)
        folder, limits = self.project.folder, self.limits(model)
        build = compute(self.lake, identity, folder, model, inputs, schema, limits)
        build.awaiting = awaiting
        if identity.there and _shape(identity.there) != _shape(build.types):
            # A function may return other columns than before; then it is another table.
            meant, schemas = self.given(model) or {}, self.input_schemas(model)
            mark = mark_of(model, build.columns, build.columns, schemas, meant)
            table = table_name(model.name, mark.whole)
            build.identity = self.moved(identity, table)
        return build

    def limits(self, model: SqlModel | PythonModel) -> BuildLimits:
        """What a model's build may take: what it says itself, else the project."""
        settings, contract = self.project.settings, model.contract
        session = Limits(memory_limit=settings.memory_limit, threads=settings.threads)
        if not isinstance(contract, ModelContract):
            return BuildLimits(timeout_s=settings.timeout_s, session=session)
        return BuildLimits(
            memory_limit=contract.memory_limit,
            threads=contract.threads,
            timeout_s=contract.timeout_s or settings.timeout_s,
            session=session,
        )

    def moved(self, identity: StepIdentity, table: str) -> StepIdentity:
        build = self.state.builds.get((identity.dataset, table))
        return replace(
            identity,
            table=table,
            expected=build.position if build else None,
            there=build.columns if build else {},
        )

    def make_room(self, name: DatasetName) -> None:
        """Nothing stands in the session under a dataset's name when it is built."""
        if self.views.pop(name, None):
            self.lake.con.execute(f"DROP VIEW {dotted('memory', *name)}")
        self.make_schema(name)

    def make_schema(self, name: DatasetName) -> None:
        if name.schema not in self.session_schemas:
            self.lake.con.execute(f"CREATE SCHEMA IF NOT EXISTS {dotted('memory', name.schema)}")
            self.session_schemas.add(name.schema)

    def note_schema(self, model: SqlModel | PythonModel, schema: dict[str, Type]) -> None:
        if model.name not in self.schemas:
            self.schemas[model.name] = schema

    def place_inputs(self, dataset: Dataset) -> None:
        """Put each input into the session under its name: results of this group are there
        already, committed ones are views pinned to their snapshots."""
        words: frozenset[str] = frozenset()
        if not isinstance(dataset, SourceDataset):
            words = dataset.words if isinstance(dataset, SqlModel) else frozenset(ORIGIN_COLUMNS)
        for given in dataset.inputs:
            if self.group.waiting(given) or given not in self.positions:
                continue
            names = self.seen(given, words)
            self.refuse_missing(dataset, given, names)
            body = f"SELECT {column_list(names)} FROM {at(self.positions[given])}"
            if self.views.get(given) != body:
                self.make_schema(given)
                self.lake.con.execute(
                    f"CREATE OR REPLACE VIEW {dotted('memory', *given)} AS {body}"
                )
                self.views[given] = body
        self.make_functions(dataset)

    def make_functions(self, dataset: Dataset) -> None:
        """Make the functions that a dataset uses in the session; its inputs are there."""
        for function in dataset.functions:
            if function.name not in self.macros:
                try:
                    self.lake.con.execute(macro_sql(function))
                except duckdb.Error as error:
                    raise HeadwaterError(
                        f"the function {function.name} does not bind",
                        where=f"{function.file}:{function.text.place.line}",
                        hint=str(error).split("\n")[0],
                    ) from error
                self.macros.add(function.name)

    def seen(self, given: DatasetName, words: frozenset[str]) -> list[str]:
        """The columns of an input that a query which spells out `words` sees."""
        dataset = self.graph.datasets[given]
        return input_columns(dataset, self.schemas[given], self.present(given, words))

    def refuse_missing(self, dataset: Dataset, given: DatasetName, names: Iterable[str]) -> None:
        """Raise where an input that this run does not make lacks columns that it should have."""
        if given not in self.outdated:
            return
        build = self.state.builds.get((given, self.positions[given].table))
        there = {name.lower() for name in build.columns} if build else set()
        missing = [name for name in names if name.lower() not in there]
        if build and missing:
            raise HeadwaterError(
                f"{given} is built by an earlier definition, without {missing[0]!r}",
                where=f"{dataset.file}:{dataset.line}",
                hint=f"build it too: headwater run --select +{dataset.name}",
            )

    def present(self, given: DatasetName, words: frozenset[str]) -> frozenset[str]:
        """Those columns of origin that a query names and the table has."""
        dataset = self.graph.datasets[given]
        if not isinstance(dataset, SourceDataset) or not words & ORIGIN_COLUMNS.keys():
            return frozenset()
        self.look_again()
        build = self.state.builds.get((given, self.positions[given].table))
        there = build.columns if build else {}
        return words & there.keys() & ORIGIN_COLUMNS.keys()

    # ---- committing

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
            types = outcome.step.columns
            self.schemas.setdefault(
                name, {n: t for n, t in types.items() if n not in ORIGIN_COLUMNS}
            )
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

    # ---- releasing

    def release(self) -> Report:
        """Check what would be released, and move prod's names in one commit, with the record of
        the run."""
        report = Report(
            run_id=self.run_id,
            environment=self.lake.environment,
            steps=list(self.steps.values()),
        )
        while True:
            self.look_again()
            decision = self.decide_release(self.state.released, self.state.held)
            if decision.is_empty and not (
                self.records or self.committed or self.failed or self.checker.news or self.overdue
            ):
                report.held, report.parked = decision.held, decision.parked
                break
            try:
                self.commit_release(report)
            except NotChecked:
                continue  # somebody else released meanwhile: then it is another candidate
            break
        report.checks = self.checker.reports()
        for check in report.checks:
            self.observer.checked(check)
        report.seconds = time.monotonic() - self.clock
        return report

    def commit_release(self, report: Report) -> None:
        note = CommitNote(
            message=f"release of run {self.run_id} in {self.lake.environment}",
            run_id=self.run_id,
            is_large=len(self.positions) > LARGE_COMMIT,
        )
        with self.lake.commit(note) as commit:
            before = self.released_before(commit)
            decision = self.decide_release(before.names, before.held, may_check=False)
            report.moves, report.held = decision.moves, decision.held
            report.parked = decision.parked
            report.removed, report.checks = decision.removed, self.checker.reports()
            report.renamed = {n: self.renames[n] for n in decision.removed if n in self.renames}
            report.release = None
            if not decision.is_empty:
                report.release = before.release_id + 1
                self.write_release(commit, report.release, decision)
            for table in ("builds", "files", "steps", "checks"):
                commit.note(table, [row for kind, row in self.records if kind == table])
            commit.note("checks", self.checker.rows(self.run_id))
            report.expired = sum(
                commit.forget_quarantine(name, table, self.forgets_before, self.run_id, step)
                for step, (table, name) in enumerate(self.overdue.items(), self.step_count + 1)
            )
            commit.note(
                "runs", [run_row(self.run_id, self.started_at, report.status, self.options.command)]
            )

    def released_before(self, commit: Commit) -> Release:
        """The names that the release will move: as we know them, unless somebody else committed
        since."""
        if commit.snapshot_id == self.state.snapshot_id + 1:
            return Release(self.state.release_id, self.state.released, self.state.held)
        return self.lake.release()

    def decide_release(
        self,
        released: Mapping[DatasetName, Position],
        held: Mapping[DatasetName, int],
        *,
        may_check: bool = True,
    ) -> ReleaseDecision:
        """What moves, once the checks hold over what would be released then. What a failing
        check holds back makes another candidate, so it is checked again until nothing more
        fails; what has failed once stays held back in this run."""
        self.refuse_left_behind(released)
        ready = {
            name: position
            for name, position in self.positions.items()
            if name in self.selected or self.begins_with(name, position, released)
        }
        whole = not self.options.select
        gone = tuple(sorted(n for n in released if n not in self.graph.datasets)) if whole else ()
        failing: dict[str, FailingCheck] = {}
        self.checker.done.clear()
        while True:
            decision = decide_release(
                self.graph,
                ready,
                self.failed,
                released,
                gone,
                atomic=self.options.atomic,
                failing=[failing[name] for name in sorted(failing)],
                rolled_back={name: _why_held(release) for name, release in held.items()},
            )
            decision = follow_renames(decision, self.renames, released)
            candidate = {**released, **decision.moves}
            due = [
                check
                for check in self.checker.due(candidate, decision.moves, self.selected)
                if check.name not in failing
            ]
            more = self.checker.failing(due, candidate, released, may_run=may_check)
            if not more:
                return decision
            failing |= {check.name: check for check in more}

    def begins_with(
        self, name: DatasetName, position: Position, released: Mapping[DatasetName, Position]
    ) -> bool:
        """Whether a new environment takes over a name that its first run does not make."""
        return (
            not self.is_prod
            and name not in released
            and self.state.prod.names.get(name) == position
        )

    # ---- quarantine

    @property
    def forgets_before(self) -> datetime:
        """What was put into quarantine earlier is forgotten."""
        days = self.project.settings.quarantine_retention_days
        return self.moment - timedelta(days=days) if days else datetime.min

    def find_overdue(self, locks: ExitStack) -> dict[str, DatasetName]:
        """The built tables whose quarantine is to be forgotten in part -> whose they are now, with
        the locks of these. A dataset that somebody works on is left to the next run: its rows may
        just be replayed."""
        if not self.project.settings.quarantine_retention_days:
            return {}
        self.look_again()
        found = {
            table: self.state.owner(table) or name
            for table, name in overdue(self.lake, self.forgets_before).items()
        }
        free = self.lake.locks.take_free(found.values(), locks)
        return {table: name for table, name in found.items() if name in free}

    def write_release(self, commit: Commit, release_id: int, decision: ReleaseDecision) -> None:
        commit.point_views(decision.moves)
        for name in decision.removed:
            commit.drop_view(name)
        note_release(
            commit,
            release_id,
            self.run_id,
            {**decision.moves, **dict.fromkeys(decision.removed)},
            verb=f"promoted {self.options.promote}" if self.options.promote else "",
            held_back=len(decision.held),
            based_on=None if self.is_prod else self.state.prod.release_id,
        )


def _why_held(release_id: int) -> str:
    return f"rolled back by release {release_id}, until `headwater release --resume`"


def _types(columns: Mapping[str, str]) -> dict[str, Type]:
    return {name: parse_type(kind) for name, kind in columns.items()}


def _shape(columns: Mapping[str, str]) -> list[tuple[str, str]]:
    return [(name.lower(), parse_type(kind).sql) for name, kind in columns.items()]


def _by_remedy(
    broken: Mapping[str, int], remedies: Mapping[str, Remedy]
) -> tuple[dict[str, int], dict[str, int]]:
    """Broken rules apart from those that only warn."""
    warnings = {c: n for c, n in broken.items() if remedies.get(c) is Remedy.WARN}
    return {c: n for c, n in broken.items() if c not in warnings}, warnings


def _sum_of(a: Mapping[str, int], b: Mapping[str, int]) -> dict[str, int]:
    return {code: a.get(code, 0) + b.get(code, 0) for code in {**a, **b}}


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
