"""One run: land, build in order, check, release.

Each dataset is decided on when its turn comes, from what the lake holds then: so a run that
was killed is resumed from what it had committed, and two runs at once divide the work. A run
holds the lock of each dataset that it does something to until its step is committed.

What it knows and has done so far is its `Progress`, which its parts share: `Placer`, `Renamer`,
`Lander`, `Builder`, `Guard`, `Releaser`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from headwater.analysis.graph import Graph, select
from headwater.engine.bind import Bound
from headwater.lake.lake import Lake
from headwater.names import DatasetName
from headwater.project.definitions import Project, PythonModel, SourceDataset, SqlModel
from headwater.run.building import Builder
from headwater.run.guard import Guard
from headwater.run.landing import Lander
from headwater.run.options import Options
from headwater.run.placing import Placer
from headwater.run.progress import Progress, types_of
from headwater.run.record import new_run_id
from headwater.run.releasing import Releaser
from headwater.run.renaming import Renamer
from headwater.run.report import Observer, Report, Silent


def run(
    project: Project,
    graph: Graph,
    bound: Bound,
    lake: Lake,
    options: Options | None = None,
    observer: Observer | None = None,
) -> Report:
    """Carry out a run on an open lake.

    What fails is in the report, and holds back what depends on it. Raises UnknownSelection
    before anything is done; LakeLocked and KeyboardInterrupt leave what was committed.
    """
    options = options or Options()
    selected = select(graph, options.select)
    relanded = _sources(graph, select(graph, options.reland) if options.reland else ())
    if options.select:
        selected |= relanded
    run_id = new_run_id()
    alive = lake.locks.run(run_id)
    with alive:
        lake.clear_after_dead_runs(run_id)
        progress = Progress(
            project, graph, bound, lake, options, observer or Silent(), selected, relanded, run_id
        )
        try:
            report = _Run(progress).carry_out()
        finally:
            progress.group.drop()
            lake.clear_away(run_id)
    return report


def _sources(graph: Graph, names: Iterable[DatasetName]) -> frozenset[DatasetName]:
    """Those that are landed."""
    return frozenset(n for n in names if isinstance(graph.datasets[n], SourceDataset))


@dataclass
class _Run:
    """The order in which the parts of a run have their turn."""

    run: Progress

    def __post_init__(self) -> None:
        placer, renamer = Placer(self.run), Renamer(self.run)
        self.guard = Guard(self.run)
        self.lander = Lander(self.run, placer, renamer)
        self.builder = Builder(self.run, placer, renamer)
        self.releaser = Releaser(self.run, self.guard)

    def carry_out(self) -> Report:
        for name in self.run.graph.order:
            if name not in self.run.selected:
                self.pin(name)
        self.guard.find_own()
        self.guard.refuse_left_behind(self.run.state.released)
        for name in self.run.graph.order:
            dataset = self.run.graph.datasets[name]
            if name not in self.run.selected:
                continue
            if isinstance(dataset, SourceDataset):
                if self.run.options.replay and self.run.options.replay[0] == name:
                    self.lander.replay(dataset, self.run.options.replay[1])
                else:
                    self.lander.land(dataset)
            elif isinstance(dataset, SqlModel | PythonModel):
                self.builder.build(dataset)
            if self.run.group.is_full:
                self.run.flush()
        self.run.flush()
        return self.releaser.finish()

    def pin(self, name: DatasetName) -> None:
        """Fix the position of a dataset that this run does not make: as it is released, so that
        what reads it fits to the release; else as it was built last."""
        newest = self.run.newest(name)
        position = (
            self.run.state.released.get(name)
            or self.run.neighbours.names(self.run.state).get(name)
            or (newest.position if newest else None)
        )
        if position is None:
            return
        self.run.positions[name] = position
        build = self.run.neighbours.build(self.run.state, name, position)
        dataset = self.run.graph.datasets[name]
        if build and isinstance(dataset, SourceDataset):
            self.run.note_columns(name, types_of(build.columns))
        elif build and isinstance(dataset, SqlModel | PythonModel):
            self.run.note_schema(dataset, types_of(build.columns))
        if newest is None or newest.position.table != position.table:
            self.run.outdated[name] = build.fingerprint if build else position.table
