"""Running the checks that are no row rules: before a release over what it would make, and alone
over the release as it stands.

A check is run where its newest result is not about this: another fingerprint, other positions
of what it reads, a failure that may have been mended, or a query that asks the time. Results are
committed with the release that they are about; a run that is killed before leaves none, so the
next one checks again. How old rows are is looked at in every run, and recorded where that tells
something new: a run that finds what the last one found commits nothing for it.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from typing import Any

from headwater.analysis.checks import CheckKind, DataCheck, data_checks, select_checks
from headwater.analysis.graph import Graph
from headwater.contract.checks import CheckRemedy
from headwater.engine.checks import Finding, evaluate
from headwater.lake.checks import (
    CheckKey,
    CheckResult,
    place,
    recorded,
    rows_at,
    rows_released_before,
    text_of,
)
from headwater.lake.commit import now
from headwater.lake.lake import CommitNote, Lake
from headwater.lake.state import Position
from headwater.names import DatasetName
from headwater.plan.plan import FailingCheck
from headwater.project.definitions import ORIGIN_COLUMNS, Project
from headwater.run.record import new_run_id
from headwater.run.report import CheckReport, DataReport, Observer, Silent


class NotChecked(Exception):
    """A check would have to be run where there is no time for it: somebody else released."""


@dataclass(frozen=True)
class _Done:
    check: DataCheck
    finding: Finding
    inputs: Mapping[DatasetName, Position]
    seconds: float

    @property
    def remedy(self) -> CheckRemedy:
        return self.finding.remedy or self.check.remedy

    @property
    def status(self) -> str:
        return "held" if self.finding.holds else "broken"

    @property
    def fails(self) -> bool:
        return not self.finding.holds and self.remedy is CheckRemedy.FAIL


@dataclass
class Checker:
    """The checks of a project, run over one candidate after the other.

    moment     what ages are counted to, UTC, without a zone.
    is_alone   whether the candidate is the release itself, which is then compared with the
               one before; else what it would take the place of.
    done       check -> its newest result here.
    """

    lake: Lake
    checks: tuple[DataCheck, ...]
    observer: Observer
    moment: datetime
    is_alone: bool = False
    done: dict[str, _Done] = field(default_factory=dict)
    placed: dict[DatasetName, tuple[Position, tuple[str, ...]]] = field(default_factory=dict)
    known: dict[tuple[Any, ...], _Done] = field(default_factory=dict)

    @cached_property
    def recorded(self) -> dict[CheckKey, list[CheckResult]]:
        """What the lake knows of earlier runs, those of this environment first."""
        return recorded(self.lake)

    def due(
        self,
        candidate: Mapping[DatasetName, Position],
        moves: Mapping[DatasetName, Position],
        selected: frozenset[DatasetName],
    ) -> list[DataCheck]:
        """The checks that a release has to wait for, or that are new, changed or failing.

        candidate   what would be released, by name.
        moves       that part of it that would move.
        """
        found = []
        for check in self.checks:
            moved = any(name in moves for name in check.inputs)
            there = all(name in candidate for name in check.inputs)
            wanted = moved or (there and bool(selected.intersection(check.inputs)))
            if wanted and not self.is_known(check, candidate, moved=moved):
                found.append(check)
        return found

    def is_known(
        self, check: DataCheck, candidate: Mapping[DatasetName, Position], *, moved: bool
    ) -> bool:
        """Whether an earlier run has said all that there is to say. What is broken is said again
        in each run if it fails, and with each release if it warns."""
        if check.is_fickle or (moved and _is_relative(check)):
            return False  # what it is held against may have moved, too
        inputs = _inputs(check, candidate)
        for before in self.recorded.get(check.key, ()):
            # A relative bound is held against what its own environment has.
            is_ours = before.environment == self.lake.environment or not _is_relative(check)
            if is_ours and before.fingerprint == check.fingerprint and before.inputs == inputs:
                return before.holds or not (moved or check.remedy is CheckRemedy.FAIL)
        return False

    def failing(
        self,
        due: Iterable[DataCheck],
        candidate: Mapping[DatasetName, Position],
        released: Mapping[DatasetName, Position],
        *,
        may_run: bool = True,
    ) -> list[FailingCheck]:
        """Those of the checks that fail over a candidate, which would take the place of what is
        `released`. Each is run once over the same positions. Raises NotChecked where one would
        have to be run and may not."""
        found = []
        for check in due:
            inputs = _inputs(check, candidate)
            before = released.get(check.inputs[0]) if _is_relative(check) else None
            key = (check.name, tuple(inputs.items()), before)
            if key not in self.known:
                if not may_run:
                    raise NotChecked(check.name)
                self.known[key] = self.run(check, inputs, before)
            self.done[check.name] = self.known[key]
            if self.known[key].fails:
                cause = self.known[key].finding.cause
                found.append(FailingCheck(check.name, frozenset(check.inputs), cause))
        return found

    def run(
        self,
        check: DataCheck,
        inputs: Mapping[DatasetName, Position],
        before: Position | None,
    ) -> _Done:
        """Run one check over these positions."""
        started = time.monotonic()
        self.observer.checking(check.name)
        missing = [name for name in check.inputs if name not in inputs]
        if missing:
            cause = f"it reads {missing[0]}, which is not released and not built"
            finding = Finding(holds=False, cause=cause)
        else:
            for name, position in inputs.items():
                self.place(name, position, check)
            rows = None
            if _is_relative(check):
                (name,) = check.inputs
                rows = self.rows_before(name, inputs[name], before)
            finding = evaluate(self.lake.con, check, self.moment, rows)
        return _Done(check, finding, inputs, time.monotonic() - started)

    def rows_before(
        self, name: DatasetName, position: Position, before: Position | None
    ) -> int | None:
        """The rows that a relative bound is held against; None where nothing changes."""
        if self.is_alone:
            return rows_released_before(self.lake, name, position)
        return rows_at(self.lake, before) if before and before != position else None

    def place(self, name: DatasetName, position: Position, check: DataCheck) -> None:
        """Put a dataset into the session; `*` does not carry its columns of origin along."""
        hidden = tuple(column for column in ORIGIN_COLUMNS if column not in check.words)
        if self.placed.get(name) != (position, hidden):
            place(self.lake, name, position, hidden)
            self.placed[name] = (position, hidden)

    def reports(self) -> list[CheckReport]:
        """What was run, in the order of the project."""
        return [
            report_of(self.done[check.name]) for check in self.checks if check.name in self.done
        ]

    @property
    def news(self) -> list[_Done]:
        """The results that are to be recorded: all, but for those of ages that say the same of the
        same rows as the newest that is recorded."""
        return [done for done in self.done.values() if self.is_news(done)]

    def is_news(self, done: _Done) -> bool:
        known = self.recorded.get(done.check.key, ())
        before = next((r for r in known if r.environment == self.lake.environment), None)
        if before is None or done.check.freshness is None:
            return True
        told = (before.status, before.remedy, before.fingerprint, before.inputs)
        return told != (done.status, done.remedy.value, done.check.fingerprint, done.inputs)

    def rows(self, run_id: str) -> list[dict[str, Any]]:
        """The results that are to be recorded as rows of `headwater.checks`."""
        moment = now()
        return [
            {
                "run_id": run_id,
                "dataset": done.check.key[0],
                "check_name": done.check.code,
                "remedy": done.remedy.value,
                "status": done.status,
                "failed_rows": done.finding.failed_rows,
                "sample": done.finding.sample or None,
                "checked_at": moment,
                "fingerprint": done.check.fingerprint,
                "inputs": text_of(done.inputs),
                "cause": done.finding.cause or None,
            }
            for done in self.news
        ]


def _inputs(
    check: DataCheck, candidate: Mapping[DatasetName, Position]
) -> dict[DatasetName, Position]:
    return {name: candidate[name] for name in check.inputs if name in candidate}


def _is_relative(check: DataCheck) -> bool:
    return check.row_count is not None and check.row_count.is_relative


def report_of(done: _Done) -> CheckReport:
    """One result as values."""
    check, finding = done.check, done.finding
    return CheckReport(
        name=check.name,
        dataset=check.dataset,
        reads=check.inputs,
        remedy=done.remedy.value,
        status=done.status,
        failed_rows=finding.failed_rows if check.kind is CheckKind.ROWS else None,
        cause=finding.cause,
        meaning=check.meaning,
        where=check.where,
        hint="" if finding.holds else check.hint,
        seconds=done.seconds,
    )


def check_release(
    project: Project,
    graph: Graph,
    lake: Lake,
    selectors: Iterable[str] = (),
    observer: Observer | None = None,
    moment: datetime | None = None,
) -> DataReport:
    """Run checks over the current release, whether they were run before or not, and record what
    they found. Nothing else is written; names stay where they are.

    moment   when it is, UTC without a zone; by default now.

    A check that reads something that is not released waits, which is no failure. Raises
    UnknownSelection.
    """
    started = time.monotonic()
    wanted = select_checks(data_checks(project), graph, selectors)
    observer = observer or Silent()
    with lake.reading():
        release = lake.release()
    ready, waiting = [], {}
    for check in wanted:
        missing = [name for name in check.inputs if name not in release.names]
        if missing:
            waiting[check.name] = f"{missing[0]} is not released"
        else:
            ready.append(check)
    checker = Checker(lake, tuple(ready), observer, moment or now(), is_alone=True)
    checker.failing(ready, release.names, release.names)
    run_id = new_run_id()
    report = DataReport(run_id=run_id, release=release.release_id)
    for check in wanted:
        found = checker.done.get(check.name)
        report.checks.append(report_of(found) if found else _waiting(check, waiting[check.name]))
        observer.checked(report.checks[-1])
    if rows := checker.rows(run_id):
        with lake.commit(CommitNote(message="check the release", run_id=run_id)) as commit:
            commit.note("checks", rows)
    report.seconds = time.monotonic() - started
    return report


def _waiting(check: DataCheck, why: str) -> CheckReport:
    done = _Done(check, Finding(holds=True), {}, 0.0)
    return replace(report_of(done), status="waiting", failed_rows=None, cause=why)
