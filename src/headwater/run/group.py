"""Commit groups: many small computed steps share one commit.

A commit costs about 20 ms whatever it holds, so small steps wait for each other and long ones
commit alone. When a group fails it is rolled back and its steps are redone one by one, so that
the culprit is known and the rest still lands.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from filelock import FileLock

from headwater.errors import HeadwaterError, LakeLocked
from headwater.lake.commit import Commit
from headwater.lake.lake import CommitNote, Lake
from headwater.lake.ledger import Ledger
from headwater.lake.state import Position
from headwater.lake.step import ComputedStep
from headwater.names import DatasetName
from headwater.refresh.full import FullBuild
from headwater.refresh.view import ViewBuild

MAX_ROWS = 200_000
MAX_SECONDS = 2.0
MAX_STEPS = 250
LARGE_COMMIT = 20
"""A commit of more tables or views is large: see `CommitNote`."""


@dataclass(frozen=True)
class Outcome:
    """What became of one step of a group: its ledger and position, or its error."""

    step: ComputedStep
    ledger: Ledger | None = None
    position: Position | None = None
    error: HeadwaterError | None = None


@dataclass
class Group:
    """The steps that wait for the next commit, with the locks of their datasets.

    commits   those that were made; whoever has seen them empties the list.
    """

    lake: Lake
    run_id: str
    steps: list[ComputedStep] = field(default_factory=list)
    locks: dict[DatasetName, FileLock] = field(default_factory=dict)
    since: float = field(default_factory=time.monotonic)
    commits: list[Commit] = field(default_factory=list)

    def add(self, step: ComputedStep, lock: FileLock) -> None:
        if not self.steps:
            self.since = time.monotonic()
        self.steps.append(step)
        self.locks[step.identity.dataset] = lock

    def waiting(self, name: DatasetName) -> ComputedStep | None:
        """The step of a dataset that is computed and not yet committed."""
        return next((step for step in self.steps if step.identity.dataset == name), None)

    @property
    def is_full(self) -> bool:
        rows = sum(step.row_count for step in self.steps)
        long = time.monotonic() - self.since > MAX_SECONDS
        return bool(self.steps) and (rows > MAX_ROWS or long or len(self.steps) >= MAX_STEPS)

    def commit(self) -> list[Outcome]:
        """Commit all steps, in their order. Nothing of a step that fails stays."""
        steps, self.steps = self.steps, []
        if not steps:
            return []
        try:
            return self._together(steps)
        except LakeLocked:
            raise
        except HeadwaterError as error:
            if len(steps) == 1:
                return [Outcome(steps[0], error=error)]
            return self._one_by_one(steps)
        finally:
            self._free(steps)

    def drop(self) -> None:
        """Forget what was not committed, and let go of the locks."""
        steps, self.steps = self.steps, []
        self._free(steps)

    def _together(self, steps: list[ComputedStep]) -> list[Outcome]:
        names = ", ".join(str(step.identity.dataset) for step in steps[:5])
        more = f" and {len(steps) - 5} more" if len(steps) > 5 else ""
        outcomes = []
        positions: dict[DatasetName, Position] = {}
        note = CommitNote(
            message=f"{names}{more}", run_id=self.run_id, is_large=len(steps) > LARGE_COMMIT
        )
        with self.lake.commit(note) as commit:
            for step in steps:
                _settle_inputs(step, positions)
                ledger, position = step.apply(commit)
                positions[step.identity.dataset] = position
                outcomes.append(Outcome(step, ledger, position))
        self.commits.append(commit)
        return outcomes

    def _one_by_one(self, steps: list[ComputedStep]) -> list[Outcome]:
        outcomes: list[Outcome] = []
        positions: dict[DatasetName, Position] = {}
        failed: set[DatasetName] = set()
        for step in steps:
            name = step.identity.dataset
            lost = sorted(failed & set(step.awaiting))
            if lost:
                error: HeadwaterError | None = HeadwaterError(
                    f"it was computed from {lost[0]}, which could not be committed",
                    where=str(name),
                    hint="mend that first; this one follows by itself",
                )
            else:
                error = None
                try:
                    _settle_inputs(step, positions)
                    note = CommitNote(message=str(name), run_id=self.run_id)
                    with self.lake.commit(note) as commit:
                        ledger, positions[name] = step.apply(commit)
                    self.commits.append(commit)
                    outcomes.append(Outcome(step, ledger, positions[name]))
                except HeadwaterError as problem:
                    error = problem
            if error:
                failed.add(name)
                outcomes.append(Outcome(step, error=error))
        return outcomes

    def _free(self, steps: list[ComputedStep]) -> None:
        for step in steps:
            step.discard(self.lake)
        for lock in self.locks.values():
            lock.release()
        self.locks.clear()


def _settle_inputs(step: ComputedStep, positions: dict[DatasetName, Position]) -> None:
    """Tell a build where its inputs of the same group ended up."""
    if isinstance(step, FullBuild | ViewBuild):
        for name in step.awaiting:
            step.inputs[name] = positions[name]
