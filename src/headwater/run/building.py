"""Building the models of a run."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

import duckdb
from filelock import FileLock

from headwater.analysis.fingerprint import mark_of
from headwater.contract.types import parse_type
from headwater.engine.limits import BuildLimits
from headwater.engine.session import Limits
from headwater.errors import HeadwaterError, LakeLocked
from headwater.lake.state import Build, Position
from headwater.lake.step import StepIdentity, again_row, step_row, table_name
from headwater.names import DatasetName
from headwater.plan.plan import Action, Decision, decide_model, offers, same_to_reader, standing
from headwater.project.definitions import ModelContract, PythonModel, SqlModel, is_fickle, is_view
from headwater.refresh.full import FullBuild, compute, described, explain_failure
from headwater.refresh.view import ViewBuild, compute_view
from headwater.run.placing import Placer
from headwater.run.progress import Progress, by_remedy, types_of
from headwater.run.renaming import Renamer
from headwater.run.report import StepReport


@dataclass
class Builder:
    """Builds models."""

    run: Progress
    placer: Placer
    renamer: Renamer

    def build(self, model: SqlModel | PythonModel) -> None:
        name = model.name
        if is_view(model) and any(self.run.group.waiting(given) for given in model.inputs):
            self.run.flush()  # a view names the snapshots of its inputs, so they must be committed
        step = StepReport(dataset=name, action="build", status="nothing", reason="up to date")
        self.run.steps[name] = step
        started = time.monotonic()
        if self.run.is_blocked(model, step):
            return
        identity: StepIdentity | None = None
        lock: FileLock | None = None
        try:
            if name in self.run.renames.values():
                lock = self.run.lock(name)  # nobody else works on it while it is taken over
            self.run.look_again()
            decision, mark = self.decide(model)
            if decision.position is None and lock is None:
                lock = self.run.lock(name)  # whoever had it may have built it meanwhile
                decision, mark = self.decide(model)
            step.reason = decision.reason
            table = self.run.table(name, mark)
            if decision.position:
                self.run.positions[name] = decision.position
                self.run.note_schema(model, types_of(self.run.state.builds[name, table].columns))
                if lock:
                    lock.release()
                return
            self.run.observer.started(name, "build", decision.reason)
            step.notes += [
                f"{given} is read as it was released; its definition has changed since"
                for given in model.inputs
                if given in self.run.outdated
            ]
            identity = self.run.identity(name, table, mark, decision.action, decision.reason)
            build = self.compute(model, identity)
            assert lock is not None
            self.run.group.add(build, lock)
            step.status = "done"
            step.seconds = time.monotonic() - started
            step.broken, step.warnings = by_remedy(build.broken, dict(build.checks))
            self.run.note_schema(model, build.columns)
            if build.prewritten:
                self.run.flush()
        except LakeLocked:
            raise
        except HeadwaterError as error:
            if lock:
                lock.release()
            self.run.fail(step, error, identity)
        except BaseException:
            if lock:
                lock.release()
            raise
        finally:
            step.seconds = time.monotonic() - started
            if step.status in ("nothing", "failed"):
                self.run.observer.done(step)

    def decide(self, model: SqlModel | PythonModel) -> tuple[Decision, str]:
        """What the model needs, and its fingerprint; its inputs are put into the session where
        that is needed to know."""
        name = model.name
        if not self.run.fingerprint(name):
            self.placer.place_inputs(model)
            assert isinstance(model, SqlModel)
            try:
                self.run.schemas[name] = described(self.run.lake.con, model.query.text)
            except duckdb.Error as error:
                raise explain_failure(model, error) from error
        mark = self.run.fingerprint(name)
        self.renamer.take_over(model, mark)
        before = self.run.state.newest_build(name, mark)
        fresh = [given for given in model.inputs if self.run.group.waiting(given)]
        if before and any(self.is_other_table(given, before) for given in fresh):
            self.run.flush()  # it may read nothing of what is new there
            fresh = [given for given in model.inputs if self.run.group.waiting(given)]
        for given in model.inputs:
            if given not in fresh and given not in self.run.positions:
                raise HeadwaterError(
                    f"{name} reads {given}, which is not built",
                    where=f"{model.file}:{model.line}",
                    hint=f"build it too: headwater run --select +{name}",
                )
        if fresh and not self.run.options.rebuild:
            if self.run.state.latest_build(name):
                return Decision(Action.BUILD, f"{fresh[0]} changed"), mark
            return Decision(Action.BUILD, "not built yet"), mark
        inputs = {given: self.run.positions[given] for given in model.inputs if given not in fresh}
        decision = decide_model(
            name,
            inputs,
            self.run.state.newest_build(name, mark),
            self.run.state.latest_build(name),
            rebuild=self.run.options.rebuild,
        )
        if before and decision.position:
            self.run.renew(before)
        if decision.position is None and not self.run.options.rebuild:
            there = self.run.neighbours.names(self.run.state).get(name)
            position = standing(
                self.run.table(name, mark),
                inputs,
                offers(there, self.run.state.released.get(name)),
                lambda at: self.run.neighbours.inputs(self.run.state, name, at),
            )
            if position:
                if before:
                    self.run.renew(before)
                decision = Decision(
                    Action.NOTHING, f"as {self.run.neighbours.whose} has it", position
                )
            elif before and (others := self.same_in(before, inputs)):
                reason = f"what it reads of {others[0]} is the same"
                self.read_as(model, before, inputs, reason)
                decision = Decision(Action.NOTHING, reason, before.position)
        return decision, mark

    def is_other_table(self, given: DatasetName, before: Build) -> bool:
        """Whether an input that waits to be committed has another table than when it was read."""
        waiting = self.run.group.waiting(given)
        read = before.inputs.get(given)
        return bool(waiting and read and waiting.identity.table != read.table)

    def same_in(self, before: Build, inputs: Mapping[DatasetName, Position]) -> list[DatasetName]:
        """The inputs that have another table than when a build read them, if all of its inputs hold
        the same to it as then; else none. A view names the tables that it reads, so it is made
        anew."""
        graph, name = self.run.graph, before.dataset
        if before.inputs.keys() != inputs.keys() or is_view(graph.datasets[name]):
            return []
        others = [name for name, place in inputs.items() if before.inputs[name] != place]
        same = all(
            same_to_reader(
                before.inputs[name],
                inputs[name],
                lambda place: self.run.neighbours.whole_build(self.run.state, place),
            )
            for name in others
        )
        is_steady = same and not any(is_fickle(graph.datasets[n]) for n in graph.upstream([name]))
        return others if is_steady else []

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
        identity = self.run.identity(model.name, table, build.fingerprint, Action.REUSE, reason)
        again = replace(self.run.renewed(build), inputs=inputs)
        self.run.records.append(("builds", again_row(self.run.lake, build, again)))
        self.run.records.append(("steps", step_row(identity, "committed", 0.0)))

    def compute(
        self, model: SqlModel | PythonModel, identity: StepIdentity
    ) -> FullBuild | ViewBuild:
        self.placer.place_inputs(model)
        self.placer.make_room(model.name)
        if isinstance(model, SqlModel) and is_view(model):
            seen = {given: self.placer.seen(given, model.words) for given in model.inputs}
            inputs = {given: self.run.positions[given] for given in model.inputs}
            return compute_view(
                self.run.lake, identity, model, inputs, seen, self.run.schemas[model.name]
            )
        awaiting = tuple(given for given in model.inputs if self.run.group.waiting(given))
        inputs = {
            given: self.run.positions[given] for given in model.inputs if given not in awaiting
        }
        schema = self.run.bound.results.get(model.name)
        folder, limits = self.run.project.folder, self.limits(model)
        build = compute(self.run.lake, identity, folder, model, inputs, schema, limits)
        build.awaiting = awaiting
        if identity.there and _shape(identity.there) != _shape(build.types):
            # A function may return other columns than before; then it is another table.
            meant, schemas = self.run.given(model) or {}, self.run.input_schemas(model)
            mark = mark_of(model, build.columns, build.columns, schemas, meant)
            table = table_name(model.name, mark.whole)
            build.identity = self.moved(identity, table)
        return build

    def limits(self, model: SqlModel | PythonModel) -> BuildLimits:
        """What a model's build may take: what it says itself, else the project."""
        settings, contract = self.run.project.settings, model.contract
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
        build = self.run.state.builds.get((identity.dataset, table))
        return replace(
            identity,
            table=table,
            expected=build.position if build else None,
            there=build.columns if build else {},
        )


def _shape(columns: Mapping[str, str]) -> list[tuple[str, str]]:
    return [(name.lower(), parse_type(kind).sql) for name, kind in columns.items()]
