"""The end of a run: checks over what would be released, and the release in one commit."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from headwater.analysis.checks import data_checks
from headwater.lake.commit import Commit
from headwater.lake.lake import CommitNote
from headwater.lake.quarantine import overdue
from headwater.lake.state import Position, Release
from headwater.names import DatasetName
from headwater.plan.plan import FailingCheck, ReleaseDecision, decide_release, follow_renames
from headwater.run.checks import Checker, NotChecked
from headwater.run.group import LARGE_COMMIT
from headwater.run.guard import Guard
from headwater.run.progress import Progress
from headwater.run.record import note_release, run_row
from headwater.run.report import Report


@dataclass
class Releaser:
    """Releases what a run has made.

    overdue   built tables whose quarantine is to be forgotten in part -> whose they are.
    """

    run: Progress
    guard: Guard
    overdue: dict[str, DatasetName] = field(default_factory=dict)

    def __post_init__(self) -> None:
        checks = data_checks(self.run.project)
        self.checker = Checker(self.run.lake, checks, self.run.observer, self.run.moment)

    def finish(self) -> Report:
        """Release, and forget what has been in quarantine for too long."""
        with ExitStack() as locks:
            self.overdue = self.find_overdue(locks)
            return self.release()

    def release(self) -> Report:
        """Check what would be released, and move prod's names in one commit, with the record of
        the run."""
        report = Report(
            run_id=self.run.run_id,
            environment=self.run.lake.environment,
            steps=list(self.run.steps.values()),
        )
        while True:
            self.run.look_again()
            decision = self.decide_release(self.run.state.released, self.run.state.held)
            if decision.is_empty and not (
                self.run.records
                or self.run.committed
                or self.run.failed
                or self.checker.news
                or self.overdue
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
            self.run.observer.checked(check)
        report.seconds = time.monotonic() - self.run.clock
        return report

    def commit_release(self, report: Report) -> None:
        note = CommitNote(
            message=f"release of run {self.run.run_id} in {self.run.lake.environment}",
            run_id=self.run.run_id,
            is_large=len(self.run.positions) > LARGE_COMMIT,
        )
        with self.run.lake.commit(note) as commit:
            before = self.released_before(commit)
            decision = self.decide_release(before.names, before.held, may_check=False)
            report.moves, report.held = decision.moves, decision.held
            report.parked = decision.parked
            report.removed, report.checks = decision.removed, self.checker.reports()
            report.renamed = {
                n: self.run.renames[n] for n in decision.removed if n in self.run.renames
            }
            report.release = None
            if not decision.is_empty:
                report.release = before.release_id + 1
                self.write_release(commit, report.release, decision)
            for table in ("builds", "files", "steps", "checks"):
                commit.note(table, [row for kind, row in self.run.records if kind == table])
            commit.note("checks", self.checker.rows(self.run.run_id))
            report.expired = sum(
                commit.forget_quarantine(name, table, self.forgets_before, self.run.run_id, step)
                for step, (table, name) in enumerate(self.overdue.items(), self.run.step_count + 1)
            )
            commit.note(
                "runs",
                [
                    run_row(
                        self.run.run_id,
                        self.run.started_at,
                        report.status,
                        self.run.options.command,
                    )
                ],
            )

    def released_before(self, commit: Commit) -> Release:
        """The names that the release will move: as we know them, unless somebody else committed
        since."""
        if commit.snapshot_id == self.run.state.snapshot_id + 1:
            return Release(self.run.state.release_id, self.run.state.released, self.run.state.held)
        return self.run.lake.release()

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
        self.guard.refuse_left_behind(released)
        ready = {
            name: position
            for name, position in self.run.positions.items()
            if name in self.run.selected or self.begins_with(name, position, released)
        }
        whole = not self.run.options.select
        gone = (
            tuple(sorted(n for n in released if n not in self.run.graph.datasets)) if whole else ()
        )
        failing: dict[str, FailingCheck] = {}
        self.checker.done.clear()
        while True:
            decision = decide_release(
                self.run.graph,
                ready,
                self.run.failed,
                released,
                gone,
                atomic=self.run.options.atomic,
                failing=[failing[name] for name in sorted(failing)],
                rolled_back={name: _why_held(release) for name, release in held.items()},
            )
            decision = follow_renames(decision, self.run.renames, released)
            candidate = {**released, **decision.moves}
            due = [
                check
                for check in self.checker.due(candidate, decision.moves, self.run.selected)
                if check.name not in failing
            ]
            # A new environment begins with what prod has.
            there = {**self.run.state.prod.names, **released}
            former = {new: there[old] for old, new in self.run.renames.items() if old in there}
            there = {**former, **there}
            more = self.checker.failing(due, candidate, there, may_run=may_check)
            if not more:
                return decision
            failing |= {check.name: check for check in more}

    def begins_with(
        self, name: DatasetName, position: Position, released: Mapping[DatasetName, Position]
    ) -> bool:
        """Whether a new environment takes over a name that its first run does not make."""
        return (
            not self.run.is_prod
            and name not in released
            and self.run.state.prod.names.get(name) == position
        )

    @property
    def forgets_before(self) -> datetime:
        """What was put into quarantine earlier is forgotten."""
        days = self.run.project.settings.quarantine_retention_days
        return self.run.moment - timedelta(days=days) if days else datetime.min

    def find_overdue(self, locks: ExitStack) -> dict[str, DatasetName]:
        """The built tables whose quarantine is to be forgotten in part -> whose they are now, with
        the locks of these. A dataset that somebody works on is left to the next run: its rows may
        just be replayed."""
        if not (self.run.is_prod and self.run.project.settings.quarantine_retention_days):
            return {}
        self.run.look_again()
        found = {
            table: self.run.state.owner(table) or name
            for table, name in overdue(self.run.lake, self.forgets_before).items()
        }
        free = self.run.lake.locks.take_free(found.values(), locks)
        return {table: name for table, name in found.items() if name in free}

    def write_release(self, commit: Commit, release_id: int, decision: ReleaseDecision) -> None:
        commit.point_views(decision.moves)
        for name in decision.removed:
            commit.drop_view(name)
        note_release(
            commit,
            release_id,
            self.run.run_id,
            {**decision.moves, **dict.fromkeys(decision.removed)},
            verb=f"promoted {self.run.options.promote}" if self.run.options.promote else "",
            held_back=len(decision.held),
            based_on=None if self.run.is_prod else self.run.state.prod.release_id,
        )


def _why_held(release_id: int) -> str:
    return f"rolled back by release {release_id}, until `headwater release --resume`"
