"""What keeps a run of prod from going back to what a newer release has replaced."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from headwater.lake.state import Position
from headwater.names import DatasetName
from headwater.plan.plan import conflicts, superseded
from headwater.project.definitions import SourceDataset
from headwater.run.progress import Progress
from headwater.run.refusals import (
    no_environment,
    refuse_conflicts,
    refuse_other_definitions,
    refuse_superseded,
)


@dataclass
class Guard:
    """Refuses what nobody has said is meant.

    judged   the names that were looked at last.
    """

    run: Progress
    judged: Mapping[DatasetName, Position] | None = None

    def refuse_left_behind(self, released: Mapping[DatasetName, Position]) -> None:
        """Raise where prod would go back to what a newer release has replaced, unless that is
        meant. Done again where somebody else has released meanwhile."""
        if not self.run.is_prod or self.run.options.replace or released == self.judged:
            return
        wanted = self.wanted_tables()
        if self.run.options.promote:
            self.refuse_promotion(wanted, released)
        if any(n in released and released[n].table != table for n, table in wanted.items()):
            refuse_superseded(
                self.run.graph,
                superseded(self.run.graph, wanted, released, self.run.lake.history()),
            )
        self.judged = released

    def refuse_promotion(
        self, wanted: Mapping[DatasetName, str], released: Mapping[DatasetName, Position]
    ) -> None:
        """Raise where the promoted environment is not what the project says, or prod has moved on
        in another direction since."""
        promote, there = self.run.options.promote, self.run.neighbours.promoted
        if not there:
            raise no_environment(promote, self.run.lake.environments())
        refuse_other_definitions(self.run.graph, promote, wanted, there, self.run.own)
        own = {name: table for name, table in wanted.items() if name in self.run.own}
        refuse_conflicts(promote, conflicts(there, self.run.neighbours.base, released, own))

    def wanted_tables(self) -> dict[DatasetName, str]:
        """The built tables of the selected datasets as they are defined now, but for those whose
        columns are only known once they are built."""
        found = {}
        for name in self.run.graph.order:
            dataset = self.run.graph.datasets[name]
            known = isinstance(dataset, SourceDataset) or all(
                given in self.run.schemas for given in dataset.inputs
            )
            if name in self.run.selected and known and (mark := self.run.fingerprint(name)):
                found[name] = self.run.table(name, mark)
        return found
