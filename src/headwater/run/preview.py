"""What a run would do, without doing it: what is known of each dataset, for `plan` to decide on.

Reads definitions, folders and the lake's state; writes nothing. Costs what a run costs that has
nothing to do.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from headwater.analysis.fingerprint import Mark, as_written, mark_of, paths_of
from headwater.analysis.graph import Graph, renames, select
from headwater.contract.across import references
from headwater.contract.contract import Remedy
from headwater.contract.types import Type, parse_type
from headwater.engine.bind import Bound, bind
from headwater.errors import HeadwaterError
from headwater.ingest.replay import Selection, open_rows
from headwater.lake.lake import Lake
from headwater.lake.state import Build, Position, State
from headwater.lake.step import table_name
from headwater.names import PROD, DatasetName
from headwater.plan.plan import known_mark, latest_of, offers, superseded
from headwater.plan.steps import Plan, Wanted, plan
from headwater.project.definitions import (
    ORIGIN_COLUMNS,
    Dataset,
    Project,
    PythonModel,
    SourceDataset,
    SqlModel,
    input_schemas,
)
from headwater.run.gather import Gatherer
from headwater.run.judging import judged_again
from headwater.run.neighbours import Neighbours
from headwater.sql.difference import difference


def preview(
    project: Project,
    graph: Graph,
    bound: Bound,
    lake: Lake | None,
    *,
    selectors: Sequence[str] = (),
    rebuild: bool = False,
    from_now: bool = False,
    lands: bool = False,
    promote: str = "",
) -> Plan:
    """The plan of a run, in the environment of the lake.

    lake      open for reading; None: there is none yet.
    lands     whether files are landed of sources that prod has landed, outside of it too.
    promote   the environment whose built tables prod takes over.

    Raises UnknownSelection.
    """
    state = lake.state() if lake else State(snapshot_id=0)
    bound = _bound_to_what_is_built(project, graph, bound, state)
    neighbours = Neighbours(lake, promote) if lake else None
    selected = select(graph, selectors) if selectors else None
    looker = _Looker(project, graph, bound, lake, state, from_now, neighbours, lands, selected)
    wanted = {name: looker.look(graph.datasets[name]) for name in graph.order}
    steps = plan(
        graph,
        wanted,
        state.released,
        selected=selected,
        rebuild=rebuild,
        build_at=lambda place: neighbours.whole_build(state, place) if neighbours else None,
    )
    old: dict[DatasetName, int] = {}
    if lake and lake.environment == PROD:
        tables = {
            name: found.place.table
            for name, found in wanted.items()
            if found.place and (selected is None or name in selected)
        }
        old = superseded(graph, tables, state.released, lake.history())
    return Plan(steps, state.held, old)


def _bound_to_what_is_built(project: Project, graph: Graph, bound: Bound, state: State) -> Bound:
    """Binding once more, where datasets say nothing of their columns that have some by now."""
    known = {
        name: {n: parse_type(t) for n, t in build.columns.items() if n not in ORIGIN_COLUMNS}
        for name in graph.order
        if name not in bound.schemas and (build := state.latest_build(name))
    }
    return bind(project, graph, known, bound.entries) if known else bound


@dataclass
class _Looker:
    project: Project
    graph: Graph
    bound: Bound
    lake: Lake | None
    state: State
    from_now: bool
    neighbours: Neighbours | None
    lands: bool
    selected: frozenset[DatasetName] | None

    def __post_init__(self) -> None:
        self.renames = renames(self.graph.datasets)
        self.gatherer = Gatherer(
            folder=self.project.folder,
            lake=self.project.lake_folder,
            renames=self.renames,
            from_now=self.from_now,
        )
        self.seconds, self.definitions = self._before()
        self.marks: dict[DatasetName, Mark] = {}
        self.known: dict[DatasetName, str] = {}
        self.is_prod = self.lake is None or self.lake.environment == PROD
        self.tables: dict[DatasetName, str] = {}
        self.there = self.neighbours.names(self.state) if self.neighbours else {}

    def look(self, dataset: Dataset) -> Wanted:
        """What is known of one dataset."""
        name = dataset.name
        mark, columns = self._mark(dataset)
        mine = self.state.newest_build(name, mark) if mark else None
        newest = self._earlier(name)
        former = self._former(name, mark, mine)
        shared = self._shared(dataset, mine)
        intake = problem = ""
        waiting = 0
        others: tuple[DatasetName, ...] = ()
        table = mine.position.table if mine else table_name(name, mark)
        if mark:
            self.tables[name] = table
        if self.selected is not None and name not in self.selected:
            self._pin(name, mine)
        if isinstance(dataset, SourceDataset) and not shared:
            waiting = self._waiting(dataset, mine)
            parents = {n: self.tables[n] for n in dataset.inputs if n in self.tables}
            others = judged_again(self.state, mine, parents)
            try:
                gathered = self.gatherer.gather(
                    dataset, table, self.state, again=bool(others)
                ).intake
                intake = "" if gathered.is_empty else gathered.reason
                problem = next((str(why.message) for _, why in gathered.refused), "")
            except HeadwaterError as error:
                problem = error.message
        return Wanted(
            at_fingerprint=mine,
            newest=newest,
            former=former,
            offered=self._offered(name, mine),
            whose=self.neighbours.whose if self.neighbours and self.there else "",
            shared=shared,
            intake=intake,
            waiting=waiting,
            judged_by=others[0] if others else None,
            is_elsewhere=mine is None
            and newest is not None
            and newest.written == as_written(dataset)
            and newest.paths != (paths_of(dataset) or None),
            problem=problem,
            differences=self._differences(dataset, newest) if newest and not mine else (),
            columns=columns,
            seconds=self.seconds.get(name),
        )

    def _pin(self, name: DatasetName, mine: Build | None) -> None:
        """Note what is read of a dataset that the run does not make, where that is of an earlier
        definition: it is what it means to those who read it."""
        place = self.state.released.get(name) or self.there.get(name)
        if place and (mine is None or mine.position.table != place.table):
            build = self.state.builds.get((name, place.table))
            self.known[name] = build.fingerprint if build else place.table
            self.marks[name] = Mark.opaque(self.known[name])
            self.tables[name] = place.table

    def _waiting(self, dataset: SourceDataset, build: Build | None) -> int:
        """How many rows wait for what they refer to."""
        codes = tuple(rule.code for rule in references(dataset.contract, Remedy.QUARANTINE))
        if self.lake is None or build is None or not codes:
            return 0
        waiting = Selection(reasons=codes).condition()
        row = self.lake.con.execute(
            f"SELECT count(*) FROM {open_rows(build.position.table)} WHERE {waiting}"
        ).fetchone()
        return int(row[0]) if row else 0

    def _mark(self, dataset: Dataset) -> tuple[str, Mapping[str, Type] | None]:
        """A dataset's fingerprint ("" if it is not known before its inputs are built), and its
        columns."""
        columns = self.bound.schemas.get(dataset.name)
        if isinstance(dataset, SqlModel) and columns is None:
            return "", None
        if isinstance(dataset, PythonModel) and not dataset.contract.columns:
            return self._built_mark(dataset), None
        given = self._given(dataset)
        if given is None:
            return "", columns
        result = self.bound.results.get(dataset.name, columns)
        mark, known = known_mark(
            *(self.state, dataset, columns, result, self._inputs(dataset), given, self.known),
            is_prod=self.is_prod,
        )
        self.marks[dataset.name], self.known[dataset.name] = mark, known
        return known, columns

    def _given(self, dataset: Dataset) -> dict[DatasetName, Mark] | None:
        """What the inputs of a model mean; None while that is not known."""
        if isinstance(dataset, SourceDataset):
            return {}
        if any(given not in self.marks for given in dataset.inputs):
            return None
        return {given: self.marks[given] for given in dataset.inputs}

    def _earlier(self, name: DatasetName) -> Build | None:
        """What consumers have of a dataset: its build as it is released here, or where this
        environment begins; else the newest."""
        for names in (self.state.released, self.there):
            if name in names and (build := self.state.builds.get((name, names[name].table))):
                return build
        return self.state.latest_build(name)

    def _offered(self, name: DatasetName, mine: Build | None) -> tuple[Build, ...]:
        """The builds of its table that need not be its newest."""
        if mine is None or self.neighbours is None:
            return ()
        places = offers(self.there.get(name), self.state.released.get(name))
        builds = [
            self.neighbours.build(self.state, name, place)
            for place in places
            if place.table == mine.position.table
        ]
        return tuple(build for build in builds if build)

    def _shared(self, dataset: Dataset, mine: Build | None) -> Position | None:
        """Where a source stands that this environment does not land itself."""
        there = self.there.get(dataset.name)
        if self.lands or not isinstance(dataset, SourceDataset) or mine is None or there is None:
            return None
        is_promotion = self.neighbours and self.neighbours.promote  # which lands nothing
        if there.table != mine.position.table and not is_promotion:
            return None
        return latest_of(mine.position.table, (there, self.state.released.get(dataset.name)))

    def _inputs(self, dataset: Dataset) -> dict[DatasetName, dict[str, Type]]:
        """The columns of what a dataset reads, where they are known."""
        return input_schemas(dataset, self.graph.datasets, self.bound.schemas)

    def _built_mark(self, dataset: PythonModel) -> str:
        """The fingerprint of a function whose columns are those that it had when it was built."""
        given, inputs = self._given(dataset), self._inputs(dataset)
        if given is None:
            return ""
        mark, known = known_mark(
            *(self.state, dataset, None, None, inputs, given, self.known), is_prod=self.is_prod
        )
        for build in self.state.builds_of(dataset.name):
            there = {n: parse_type(t) for n, t in build.columns.items() if n not in ORIGIN_COLUMNS}
            over = mark_of(dataset, there, there, inputs, given)
            if build.fingerprint in (known, over.whole):
                mark = over if build.fingerprint == over.whole else mark
                known = build.fingerprint
                break
        self.marks[dataset.name], self.known[dataset.name] = mark, known
        return known

    def _former(self, name: DatasetName, mark: str, mine: Build | None) -> DatasetName | None:
        """The earlier name whose built table the dataset takes over: in prod, where it has none of
        its own or prod still has that one."""
        if self.lake is None or self.lake.environment != PROD or not mark:
            return None
        for old, new in self.renames.items():
            build = self.state.newest_build(old, mark) if new == name else None
            if build and self.state.owner(build.position.table) == old:
                place = self.state.prod.names.get(old)
                if mine is None or (place and place.table == build.position.table):
                    return old
        return None

    def _differences(self, dataset: Dataset, newest: Build) -> tuple[str, ...]:
        before = self.definitions.get((newest.dataset, newest.position.table), "")
        if isinstance(dataset, SqlModel):
            return difference(before, dataset.query.text)
        if isinstance(dataset, SourceDataset):
            return _changed_keys(before, dataset)
        return ()

    def _before(self) -> tuple[dict[DatasetName, float], dict[tuple[DatasetName, str], str]]:
        """How long each dataset took last, and how each built table was defined."""
        if self.lake is None:
            return {}, {}
        took = self.lake.con.execute(
            "SELECT dataset, max_by(seconds, started_at) FROM lake.headwater.steps "
            "WHERE status = 'committed' AND action IN ('land', 'build') GROUP BY dataset"
        ).fetchall()
        defined = self.lake.con.execute(
            "SELECT dataset, built_table, max_by(definition, built_at) "
            "FROM lake.headwater.builds GROUP BY ALL"
        ).fetchall()
        return (
            {DatasetName.parse(name): seconds for name, seconds in took},
            {(DatasetName.parse(name), table): text or "" for name, table, text in defined},
        )


def _changed_keys(before: str, dataset: SourceDataset) -> tuple[str, ...]:
    """Where a source's definition differs from what it was, key by key."""
    try:
        was = json.loads(before)
    except ValueError:
        return ()
    now = json.loads(json.dumps(dataset.definition.model_dump(mode="json"), default=str))
    return tuple(_keys(was, now, ""))


def _keys(was: object, now: object, path: str) -> list[str]:
    if isinstance(was, dict) and isinstance(now, dict):
        found = []
        for key in dict.fromkeys([*now, *was]):
            inner = f"{path}.{key}".lstrip(".")
            if key not in was and path == "columns":
                found.append(f"{inner}: new")
            elif key not in now and path == "columns":
                found.append(f"{inner}: gone")
            else:
                found += _keys(was.get(key), now.get(key), inner)
        return found
    if was == now or path in ("description", "owner", "tags", "path"):
        return []
    if any(path.endswith(f".{word}") for word in ("description", "tags")):
        return []
    return [f"{path}: {_value(was)} -> {_value(now)}"]


def _value(value: object) -> str:
    text = "none" if value is None else json.dumps(value, default=str)
    return text if len(text) <= 40 else f"{text[:38]} …"
