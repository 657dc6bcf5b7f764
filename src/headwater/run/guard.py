"""What keeps a run of prod from going back to what a newer release has replaced."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from headwater.analysis.graph import Graph
from headwater.engine.bind import Bound
from headwater.lake.lake import Lake
from headwater.lake.state import Position
from headwater.names import DatasetName
from headwater.plan.plan import conflicts, superseded
from headwater.project.definitions import Project, SourceDataset
from headwater.run.judging import judged_again
from headwater.run.options import Options
from headwater.run.progress import Progress
from headwater.run.refusals import (
    judged_elsewhere,
    lacking_files,
    no_environment,
    refuse_conflicts,
    refuse_other_definitions,
    refuse_superseded,
    values_to_land,
)
from headwater.run.report import Silent, new_run_id


@dataclass
class Guard:
    """Refuses what nobody has said is meant.

    judged   the names that were looked at last.
    there    the built tables of what means something else in the promoted environment.
    """

    run: Progress
    judged: Mapping[DatasetName, Position] | None = None
    there: dict[DatasetName, str] = field(default_factory=dict)

    def refuse_left_behind(self, released: Mapping[DatasetName, Position]) -> None:
        """Raise where prod would go back to what a newer release has replaced, unless that is
        meant. Done again where somebody else has released meanwhile."""
        if not self.run.is_prod or released == self.judged:
            return
        wanted = self.wanted_tables()
        if self.run.options.promote:
            self.refuse_promotion(wanted, released)
        changes = any(n in released and released[n].table != table for n, table in wanted.items())
        if changes and not self.run.options.replace:
            refuse_superseded(
                self.run.graph,
                superseded(self.run.graph, wanted, released, self.run.lake.history()),
            )
        self.judged = released

    def refuse_promotion(
        self, wanted: Mapping[DatasetName, str], released: Mapping[DatasetName, Position]
    ) -> None:
        """Raise where the promoted environment is not what the project says, or prod has moved on
        in another direction since.

        What the values of variables make another table there is prod's own: prod builds it. That
        cannot be so of a source, as promoting lands nothing.
        """
        promote, there = self.run.options.promote, self.run.neighbours.promoted
        if not there:
            raise no_environment(promote, self.run.lake.environments())
        meant = {**wanted, **self.there}
        refuse_other_definitions(self.run.graph, promote, meant, there, self.run.neighbours.held)
        own = {name: table for name, table in wanted.items() if name in self.run.own}
        for name, table in own.items():
            stands = name in released and released[name].table == table
            if isinstance(self.run.graph.datasets[name], SourceDataset) and not stands:
                raise values_to_land(self.run.graph, promote, name)
        self.refuse_judged_elsewhere(wanted, released)
        if not self.run.options.replace:
            self.refuse_lacking_files(released)
        if not self.run.options.replace:
            refuse_conflicts(promote, conflicts(there, self.run.neighbours.base, released, own))

    def refuse_judged_elsewhere(
        self, wanted: Mapping[DatasetName, str], released: Mapping[DatasetName, Position]
    ) -> None:
        """Raise where prod would take over a source whose rows refer to what has another
        definition in prod: promoting lands nothing."""
        there = self.run.neighbours.promoted
        tables = {name: place.table for name, place in {**there, **released}.items()} | {**wanted}
        for name in sorted(there.keys() & wanted.keys()):
            if isinstance(self.run.graph.datasets[name], SourceDataset):
                build = self.run.neighbours.build(self.run.state, name, there[name])
                parents = {n: tables[n] for n in self.run.graph.inputs[name] if n in tables}
                if others := judged_again(self.run.state, build, parents):
                    raise judged_elsewhere(
                        self.run.graph, self.run.options.promote, name, others[0]
                    )

    def refuse_lacking_files(self, released: Mapping[DatasetName, Position]) -> None:
        """Raise where prod has landed files of a source, under its contract, that the promoted
        environment has not, under its own."""
        landed: dict[str, set[str]] = {}
        for (table, path), file in self.run.state.files.items():
            if file.is_landed:
                landed.setdefault(table, set()).add(path)
        graph, environment = self.run.graph, self.run.options.promote
        for name, there in sorted(self.run.neighbours.promoted.items()):
            now = released.get(name)
            is_landed = isinstance(graph.datasets.get(name), SourceDataset)
            if now and now.table != there.table and is_landed and name not in self.run.own:
                lacking = landed.get(now.table, set()) - landed.get(there.table, set())
                if lacking:
                    raise lacking_files(graph, environment, name, sorted(lacking))

    def find_own(self) -> None:
        """Find out what means something else in the promoted environment."""
        self.there = self.wanted_there()
        if self.there:
            wanted = self.wanted_tables()
            self.run.own = {n for n, t in self.there.items() if wanted.get(n, t) != t}

    def wanted_there(self) -> dict[DatasetName, str]:
        """The built tables of the project as it means in the promoted environment; nothing where it
        means the same there."""
        if self.run.options.promoted is None:
            return {}
        project, graph, bound = self.run.options.promoted
        selected, none = self.run.selected, frozenset[DatasetName]()
        there = Progress(
            *(project, graph, bound, self.run.lake, Options(), Silent()),
            *(selected, none, self.run.run_id),
        )
        return Guard(there).wanted_tables()

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


def refuse_promotion(
    project: Project, graph: Graph, bound: Bound, lake: Lake, options: Options
) -> None:
    """Raise where a promotion would be refused; nothing is done."""
    everything, none = frozenset(graph.datasets), frozenset[DatasetName]()
    run = Progress(project, graph, bound, lake, options, Silent(), everything, none, new_run_id())
    guard = Guard(run)
    guard.find_own()
    guard.refuse_left_behind(run.state.released)
