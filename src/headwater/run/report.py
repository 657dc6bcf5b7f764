"""What a run did, as values; and who is told while it goes on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

from headwater.errors import HeadwaterError
from headwater.lake.ledger import Ledger
from headwater.lake.state import Position
from headwater.names import DatasetName


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


@dataclass(kw_only=True)
class Report:
    """What one run did.

    status    succeeded; held back (something failed, the rest went out); files refused (the
              rest landed and went out); nothing (there was nothing to do).
    release   the release's number, None if nothing moved.
    removed   names that the release has no more; renamed: those of them that have a new one.
    """

    run_id: str
    steps: list[StepReport] = field(default_factory=list)
    release: int | None = None
    moves: Mapping[DatasetName, Position] = field(default_factory=dict)
    held: Mapping[DatasetName, str] = field(default_factory=dict)
    removed: tuple[DatasetName, ...] = ()
    renamed: Mapping[DatasetName, DatasetName] = field(default_factory=dict)
    seconds: float = 0.0

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
        if self.refused:
            return "files refused"
        if self.release is None and all(step.status == "nothing" for step in self.steps):
            return "nothing"
        return "succeeded"

    @property
    def exit_code(self) -> int:
        """0: all is well. 1: a step failed, something was held back, or a file was refused."""
        return 1 if self.failed or self.held or self.refused else 0

    def as_dict(self) -> dict[str, Any]:
        return {
            "run_id": self.run_id,
            "status": self.status,
            "exit_code": self.exit_code,
            "seconds": round(self.seconds, 3),
            "release": self.release,
            "moved": {str(n): [p.table, p.snapshot_id] for n, p in self.moves.items()},
            "held_back": {str(name): why for name, why in self.held.items()},
            "removed": [str(name) for name in self.removed],
            "renamed": {str(old): str(new) for old, new in self.renamed.items()},
            "steps": [step.as_dict() for step in self.steps],
        }


class Observer(Protocol):
    """Who is told while a run goes on."""

    def started(self, dataset: DatasetName, action: str, detail: str) -> None: ...

    def done(self, step: StepReport) -> None: ...


class Silent:
    """Tells nobody."""

    def started(self, dataset: DatasetName, action: str, detail: str) -> None:
        """See `Observer`."""

    def done(self, step: StepReport) -> None:
        """See `Observer`."""
