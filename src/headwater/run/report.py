"""What a run did, as values; and who is told while it goes on."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

from headwater.errors import HeadwaterError
from headwater.lake.ledger import Ledger
from headwater.lake.state import Position
from headwater.names import PROD, DatasetName


def new_run_id() -> str:
    """An id that sorts by time."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"


@dataclass(kw_only=True)
class StepReport:
    """One dataset's part of a run.

    status    done, nothing, failed or blocked.
    broken    rule -> rows that broke it and did not land as they were.
    warnings  rule -> rows that broke it and landed all the same.
    refused   file -> why.
    """

    dataset: DatasetName
    action: str
    status: str
    reason: str
    seconds: float = 0.0
    ledger: Ledger | None = None
    files: int = 0
    broken: Mapping[str, int] = field(default_factory=dict)
    warnings: Mapping[str, int] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    error: HeadwaterError | None = None

    def as_dict(self) -> dict[str, Any]:
        ledger = asdict(self.ledger) if self.ledger else None
        if ledger:
            ledger["dataset"] = str(self.dataset)
        return {
            "dataset": str(self.dataset),
            "action": self.action,
            "status": self.status,
            "reason": self.reason,
            "seconds": round(self.seconds, 3),
            "files": self.files,
            "ledger": ledger,
            "broken": dict(self.broken),
            "warnings": dict(self.warnings),
            "refused": dict(self.refused),
            "notes": list(self.notes),
            "error": self.error.as_dict() if self.error else None,
        }


@dataclass(frozen=True, kw_only=True)
class CheckReport:
    """What one check found.

    status       held, broken, or waiting (something that it reads is not released).
    failed_rows  the rows that break it; None where it does not look at single rows.
    cause        why it does not hold; "" if it does.
    where        file:line of its definition.
    hint         what next where it is broken; "" without.
    """

    name: str
    dataset: DatasetName | None
    reads: tuple[DatasetName, ...]
    remedy: str
    status: str
    failed_rows: int | None
    cause: str
    meaning: str
    where: str
    hint: str = ""
    seconds: float = 0.0

    @property
    def fails(self) -> bool:
        """Whether it is broken and says `fail`."""
        return self.status == "broken" and self.remedy == "fail"

    def as_dict(self) -> dict[str, Any]:
        return {
            "check": self.name,
            "dataset": str(self.dataset) if self.dataset else None,
            "reads": [str(name) for name in self.reads],
            "otherwise": self.remedy,
            "status": self.status,
            "failed_rows": self.failed_rows,
            "cause": self.cause,
            "meaning": self.meaning,
            "defined_in": self.where,
            "hint": self.hint,
            "seconds": round(self.seconds, 3),
        }


@dataclass(kw_only=True)
class DataReport:
    """What the checks found over the current release.

    run_id    what their results are recorded under.
    release   the number of the release that they were run over.
    """

    run_id: str
    release: int
    checks: list[CheckReport] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def failing(self) -> list[CheckReport]:
        """The broken checks that say `fail`."""
        return [check for check in self.checks if check.fails]

    @property
    def status(self) -> str:
        return "checks broken" if self.failing else "succeeded"

    @property
    def exit_code(self) -> int:
        """1 where a check that says `fail` is broken."""
        return 1 if self.failing else 0

    def as_dict(self) -> dict[str, Any]:
        return {
            "run_id": self.run_id,
            "status": self.status,
            "exit_code": self.exit_code,
            "release": self.release,
            "seconds": round(self.seconds, 3),
            "checks": [check.as_dict() for check in self.checks],
        }


@dataclass(kw_only=True)
class Report:
    """What one run did.

    status    succeeded; held back (something failed, the rest went out); checks broken (what
              is released already breaks a check that says `fail`); files refused (the rest
              landed and went out); nothing (there was nothing to do).
    checks    the checks that were run, row rules aside.
    release   the release's number, None if nothing moved.
    removed   names that the release has no more; renamed: those of them that have a new one.
    parked    names that would have moved, and stay because of a rollback -> why.
    expired   rows that have left quarantine because they were there for too long.
    """

    run_id: str
    environment: str = PROD
    steps: list[StepReport] = field(default_factory=list)
    release: int | None = None
    moves: Mapping[DatasetName, Position] = field(default_factory=dict)
    held: Mapping[DatasetName, str] = field(default_factory=dict)
    parked: Mapping[DatasetName, str] = field(default_factory=dict)
    removed: tuple[DatasetName, ...] = ()
    checks: list[CheckReport] = field(default_factory=list)
    renamed: Mapping[DatasetName, DatasetName] = field(default_factory=dict)
    expired: int = 0
    seconds: float = 0.0

    @property
    def failing_checks(self) -> list[CheckReport]:
        """The broken checks that say `fail`."""
        return [check for check in self.checks if check.fails]

    @property
    def failed(self) -> list[StepReport]:
        return [step for step in self.steps if step.status == "failed"]

    @property
    def refused(self) -> dict[str, str]:
        return {path: why for step in self.steps for path, why in step.refused.items()}

    @property
    def status(self) -> str:
        if self.failed or self.held:
            return "held back"
        if self.failing_checks:
            return "checks broken"
        if self.refused:
            return "files refused"
        idle = all(step.status == "nothing" for step in self.steps) and not self.checks
        if self.release is None and idle and not self.expired:
            return "nothing"
        return "succeeded"

    @property
    def exit_code(self) -> int:
        """0: all is well. 1: a step or a check failed, something was held back, or a file was
        refused."""
        return 1 if self.failed or self.held or self.refused or self.failing_checks else 0

    def as_dict(self) -> dict[str, Any]:
        return {
            "run_id": self.run_id,
            "environment": self.environment,
            "status": self.status,
            "exit_code": self.exit_code,
            "seconds": round(self.seconds, 3),
            "release": self.release,
            "moved": {str(n): [p.table, p.snapshot_id] for n, p in self.moves.items()},
            "held_back": {str(name): why for name, why in self.held.items()},
            "rolled_back": {str(name): why for name, why in self.parked.items()},
            "removed": [str(name) for name in self.removed],
            "renamed": {str(old): str(new) for old, new in self.renamed.items()},
            "expired": self.expired,
            "steps": [step.as_dict() for step in self.steps],
            "checks": [check.as_dict() for check in self.checks],
        }


class Observer(Protocol):
    """Who is told while a run goes on."""

    def started(self, dataset: DatasetName, action: str, detail: str) -> None: ...

    def done(self, step: StepReport) -> None: ...

    def checking(self, check: str) -> None: ...

    def checked(self, check: CheckReport) -> None: ...


class Silent:
    """Tells nobody."""

    def started(self, dataset: DatasetName, action: str, detail: str) -> None:
        """See `Observer`."""

    def done(self, step: StepReport) -> None:
        """See `Observer`."""

    def checking(self, check: str) -> None:
        """See `Observer`."""

    def checked(self, check: CheckReport) -> None:
        """See `Observer`."""
