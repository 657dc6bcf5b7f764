"""The ledger: what became of every row of one step, in numbers that must add up."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from headwater.errors import UnbalancedStep
from headwater.names import DatasetName


@dataclass(frozen=True, kw_only=True)
class Ledger:
    """One line of the ledger. All numbers are rows, the last three are cells.

    received = landed + updated + unchanged + deduplicated + dropped + quarantined
    rows_after = rows_before + landed - removed
    """

    dataset: DatasetName
    received: int
    landed: int
    updated: int = 0
    unchanged: int = 0
    deduplicated: int = 0
    dropped: int = 0
    quarantined: int = 0
    removed: int = 0
    rows_before: int
    rows_after: int
    nulled: int = 0
    defaulted: int = 0
    clipped: int = 0

    def verify(self) -> None:
        """Raise UnbalancedStep if either balance does not hold."""
        accounted = (
            self.landed
            + self.updated
            + self.unchanged
            + self.deduplicated
            + self.dropped
            + self.quarantined
        )
        hint = "nothing was committed; please report this with the project's contract"
        if self.received != accounted:
            raise UnbalancedStep(
                f"{self.received} rows received, {accounted} accounted for",
                where=str(self.dataset),
                hint=hint,
            )
        expected = self.rows_before + self.landed - self.removed
        if self.rows_after != expected:
            raise UnbalancedStep(
                f"{self.rows_after} rows in the table, {expected} expected",
                where=str(self.dataset),
                hint=hint,
            )

    def row(self, run_id: str, step: int, moment: datetime) -> dict[str, Any]:
        """The line as a row of `headwater.ledger`."""
        numbers = {**asdict(self), "dataset": str(self.dataset)}
        return {"run_id": run_id, "step": step, "committed_at": moment, **numbers}
