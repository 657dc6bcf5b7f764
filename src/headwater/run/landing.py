"""Landing the sources of a run, and replaying what they have in quarantine."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from filelock import FileLock

from headwater.contract.across import references
from headwater.contract.contract import Remedy
from headwater.errors import FileRefused, HeadwaterError, LakeLocked, counted
from headwater.ingest.intake import Intake
from headwater.ingest.land import land
from headwater.ingest.landing import Landing
from headwater.ingest.replay import Request, Selection, replay
from headwater.lake.commit import now
from headwater.lake.state import Position
from headwater.lake.step import StepIdentity
from headwater.names import DatasetName
from headwater.plan.plan import Action, latest_of
from headwater.project.definitions import SourceDataset
from headwater.run.gather import Gatherer, portions
from headwater.run.judging import Judging, judging, refuse_for_prod, refuse_older
from headwater.run.placing import Placer
from headwater.run.progress import Progress, by_remedy, types_of
from headwater.run.refusals import other_definition
from headwater.run.renaming import Renamer
from headwater.run.report import StepReport
from headwater.sources.batch import Item


@dataclass
class Lander:
    """Lands sources.

    from_copies   source -> how many of its files were read from their copies.
    """

    run: Progress
    placer: Placer
    renamer: Renamer
    from_copies: dict[DatasetName, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.gatherer = Gatherer(
            folder=self.run.project.folder,
            lake=self.run.lake.folder,
            renames=self.run.renames,
            relanded=self.run.relanded,
            from_now=self.run.options.from_now,
        )

    def land(self, dataset: SourceDataset) -> None:
        name = dataset.name
        mark = self.run.fingerprint(name)
        table = self.run.table(name, mark)
        started = time.monotonic()
        step = StepReport(dataset=name, action="land", status="nothing", reason="no new files")
        self.run.steps[name] = step
        if self.run.is_blocked(dataset, step) or self.shares(dataset, table, step):
            return
        lock = self.run.lock(name)
        identity: StepIdentity | None = None
        try:
            self.renamer.take_over(dataset, mark)
            table = self.run.table(name, mark)
            parents = self.parents(dataset, table)
            judge = judging(dataset, table, self.run.state, parents)
            if not judge.others and self.try_again(dataset, table, parents, step, lock):
                lock = self.run.lock(name)
            lands = name not in self.run.failed
            for intake in portions(self.intake(judge, table, step)) if lands else ():
                self.run.observer.started(name, "land", intake.reason)
                identity = self.run.identity(name, table, mark, Action.LAND, intake.reason)
                self.placer.make_functions(dataset)
                landing = land(
                    self.run.lake,
                    identity,
                    dataset,
                    intake,
                    [f for (t, _), f in self.run.state.files.items() if t == table],
                    parents,
                    lambda path: self.run.observer.started(name, "land", path),
                    # What a table of this name quarantined before it was cleaned keeps its ids.
                    last_id=0 if identity.expected else self.run.lake.last_file_id(table),
                )
                judge.take(landing)
                self.take_landing(step, landing, lock, started)
                if landing.files:  # its commit has let go of the lock
                    lock = self.run.lock(name)
                if name in self.run.failed:
                    break
            if name not in self.run.failed:
                judge.end()
            self.tend_copies(dataset, step)
        except LakeLocked:
            raise
        except HeadwaterError as error:
            self.run.fail(
                step, error, identity or self.run.identity(name, table, mark, Action.LAND, "")
            )
        finally:
            lock.release()
        build = self.run.state.builds.get((name, table))
        if build and name not in self.run.failed:
            self.run.positions.setdefault(name, build.position)
            self.run.note_columns(name, types_of(build.columns))
            if not step.ledger:
                self.run.renew(build)
        if name not in self.run.positions and name not in self.run.failed:
            files = ", ".join(step.refused) or "its files"
            self.run.fail(
                step, HeadwaterError(f"nothing could be landed from {files}", where=str(name))
            )
        step.seconds = time.monotonic() - started
        self.run.observer.done(step)

    def shares(self, dataset: SourceDataset, table: str, step: StepReport) -> bool:
        """Take a source as another environment has it, where this run does not land it; whether
        it does so."""
        name = dataset.name
        if (
            name in self.run.relanded
            or self.run.options.lands
            or (self.run.is_prod and not self.run.options.promote)
        ):
            return False
        there = self.run.neighbours.names(self.run.state).get(name)
        position = latest_of(table, (self.run.state.released.get(name), there))
        if there is None or position is None or (there.table != table and name not in self.run.own):
            if not self.run.options.promote:
                return False  # nobody else has it so: it is this environment's to land
            raise other_definition(self.run.graph, self.run.options.promote, name)
        self.run.positions[name] = position
        build = self.run.neighbours.build(self.run.state, name, position)
        self.run.note_columns(name, types_of(build.columns if build else {}))
        if there.table == table:
            step.reason = f"as {self.run.neighbours.whose} has it"
        self.run.observer.done(step)
        return True

    def parents(self, dataset: SourceDataset, table: str) -> dict[DatasetName, Position]:
        """Where the datasets stand that a source refers to; they are put into the session."""
        if any(self.run.group.waiting(given) for given in dataset.inputs):
            self.run.flush()
        for given in dataset.inputs:
            if given not in self.run.positions:
                raise HeadwaterError(
                    f"{dataset.name} refers to {given}, which is not there yet",
                    where=f"{dataset.file}:{dataset.line}",
                    hint=f"land or build it too: headwater run --select +{dataset.name}",
                )
        parents = {given: self.run.positions[given] for given in dataset.inputs}
        refuse_older(dataset, self.run.state.builds.get((dataset.name, table)), parents)
        refuse_for_prod(dataset, table, self.run.state, parents, self.run.lake.environment)
        self.placer.place_inputs(dataset)
        return parents

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
        build = self.run.state.builds.get((name, table))
        codes = tuple(rule.code for rule in references(dataset.contract, Remedy.QUARANTINE))
        if build is None or not codes or build.inputs == parents:
            return False
        started = time.monotonic()
        reason = "rows that wait for what they refer to"
        identity = self.run.identity(name, table, self.run.fingerprint(name), Action.REPLAY, reason)
        self.placer.make_functions(dataset)
        request = Request(selection=Selection(reasons=codes))
        again = replay(self.run.lake, identity, dataset, request, parents)
        if again.verdict is None:
            again.discard(self.run.lake)
            return False
        step.reason = "no new files, but rows that waited"
        step.notes.append(
            f"{counted(again.verdict.received, 'row')} waited for what they refer to; "
            f"{again.leaving} of them came through"
        )
        step.broken = _sum_of(step.broken, again.broken)
        step.seconds = time.monotonic() - started
        self.run.group.add(again, lock)
        self.run.flush()
        return True

    def replay(self, dataset: SourceDataset, request: Request) -> None:
        """Replay quarantined rows of a dataset."""
        name = dataset.name
        started = time.monotonic()
        step = StepReport(dataset=name, action="replay", status="nothing", reason="no rows")
        self.run.steps[name] = step
        lock = self.run.lock(name)
        identity: StepIdentity | None = None
        try:
            mark = self.run.fingerprint(name)
            table = self.run.table(name, mark)
            if (name, table) not in self.run.state.builds:
                raise HeadwaterError(
                    "it is not landed under the contract that it has now",
                    where=str(name),
                    hint="`headwater run` first",
                )
            build = self.run.state.builds[name, table]
            self.run.positions[name] = build.position
            self.run.note_columns(name, types_of(build.columns))
            self.run.observer.started(name, "replay", "")
            identity = self.run.identity(name, table, mark, Action.REPLAY, "from quarantine")
            self.parents(dataset, table)
            self.placer.make_functions(dataset)
            # Other rows may still wait for what has moved, so it counts as moved.
            replayed = replay(self.run.lake, identity, dataset, request, build.inputs)
            step.notes += replayed.notes
            if replayed.verdict is None:
                replayed.discard(self.run.lake)
                self.run.observer.done(step)
                return
            step.reason = counted(replayed.verdict.received, "row")
            step.broken = replayed.broken
            step.seconds = time.monotonic() - started
            self.run.group.add(replayed, lock)
            self.run.flush()
        except LakeLocked:
            raise
        except HeadwaterError as error:
            self.run.fail(step, error, identity)
            self.run.observer.done(step)
        finally:
            lock.release()
            step.seconds = time.monotonic() - started

    def intake(self, judge: Judging, table: str, step: StepReport) -> Intake:
        """What is to land."""
        again = bool(judge.others)
        gathered = self.gatherer.gather(judge.dataset, table, self.run.state, again=again)
        judge.begin(gathered.intake)
        step.notes += gathered.notes
        if again:
            step.notes.append(
                f"all rows are judged again: {judge.others[0]} has another definition than when "
                "they were"
            )
        for item, why in gathered.intake.refused:
            self.refuse(judge.dataset.name, table, step, item, why)
        return gathered.intake

    def tend_copies(self, dataset: SourceDataset, step: StepReport) -> None:
        """Say how many files were landed from their copies, and delete those copies that prod keeps
        no longer. Hold the dataset's lock."""
        if dataset.name in self.run.failed:
            return
        if count := self.from_copies.get(dataset.name, 0):
            whose = "its copy" if count == 1 else "their copies"
            step.notes.append(f"{counted(count, 'file')} landed from {whose} in the lake")
        if not self.run.is_prod:
            return  # all environments share them
        try:
            days = dataset.definition.raw_retention_days
            self.gatherer.raw(dataset.name).delete_outdated(days, self.run.moment)
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
            landing.discard(self.run.lake)
            return
        self.run.group.add(landing, lock)
        step.files += len(landing.files)
        copies = sum(1 for file in landing.files if file.item.copy_of)
        self.from_copies[step.dataset] = self.from_copies.get(step.dataset, 0) + copies
        step.reason = (
            landing.intake.told({file.item.path for file in landing.files})
            if step.files == len(landing.files)
            else f"{step.files} files"
        )
        broken, warnings = by_remedy(landing.broken, landing.remedies)
        step.broken = _sum_of(step.broken, broken)
        step.warnings = _sum_of(step.warnings, warnings)
        step.seconds = time.monotonic() - started
        self.run.flush()

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
        before = self.run.state.files.get((table, item.path))
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
            "run_id": self.run.run_id,
            "seen_at": now(),
        }
        self.run.records.append(("files", row))


def _sum_of(a: Mapping[str, int], b: Mapping[str, int]) -> dict[str, int]:
    return {code: a.get(code, 0) + b.get(code, 0) for code in {**a, **b}}
