"""Column lineage of a project: where each column comes from, what it is used for, and who would
notice if it changed.

Told from the definitions alone; no data is looked at, and no lake is needed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from headwater.analysis.checks import DataCheck, data_checks
from headwater.analysis.graph import Graph
from headwater.contract.contract import Remedy
from headwater.contract.flows import Flows, flows
from headwater.contract.types import VARCHAR, Type
from headwater.names import DatasetName
from headwater.project.definitions import (
    Dataset,
    Project,
    PythonModel,
    SourceDataset,
    SqlModel,
    input_columns,
)
from headwater.sql.faults import SqlError
from headwater.sql.inline import inlined
from headwater.sql.lineage import Lineage, lineage, read_by
from headwater.sql.query import read_query
from headwater.sql.quote import dotted
from headwater.sql.scopes import Origin

Schemas = Mapping[DatasetName, Mapping[str, Type]]


class ColumnRef(NamedTuple):
    """A column of a dataset. Prints as `schema.name.column`."""

    dataset: DatasetName
    column: str

    def __str__(self) -> str:
        return f"{self.dataset}.{self.column}"


Refs = frozenset[ColumnRef]
_NOTHING: Refs = frozenset()


@dataclass(frozen=True, kw_only=True)
class DatasetLineage:
    """Where one dataset's columns come from.

    columns  column -> the columns of its inputs that it is computed from.
    rows     the columns of its inputs that decide which rows there are.
    fields   of a source: column -> the fields of its files that it is computed from.
    deciding of a source: the fields that decide which rows land.
    blurred  what could not be followed, in words; "" if all could. Then the others hold more than
             they must.
    """

    columns: Mapping[str, Refs]
    rows: Refs = _NOTHING
    fields: Mapping[str, frozenset[str]] = field(default_factory=dict)
    deciding: frozenset[str] = frozenset()
    blurred: str = ""


@dataclass(frozen=True)
class ProjectLineage:
    """The lineage of all datasets, inputs first."""

    datasets: Mapping[DatasetName, DatasetLineage]

    def inputs_of(self, ref: ColumnRef) -> Refs:
        """The columns that a column is computed from, one step up."""
        return self.datasets[ref.dataset].columns.get(ref.column, _NOTHING)

    @cached_property
    def _users(self) -> dict[ColumnRef, list[ColumnRef]]:
        found: dict[ColumnRef, list[ColumnRef]] = {}
        for name, dataset in self.datasets.items():
            for column, origins in dataset.columns.items():
                for origin in sorted(origins):
                    found.setdefault(origin, []).append(ColumnRef(name, column))
        return found

    @cached_property
    def _deciders(self) -> dict[ColumnRef, list[DatasetName]]:
        found: dict[ColumnRef, list[DatasetName]] = {}
        for name, dataset in self.datasets.items():
            for origin in sorted(dataset.rows):
                found.setdefault(origin, []).append(name)
        return found

    def users_of(self, ref: ColumnRef) -> tuple[ColumnRef, ...]:
        """The columns that are computed from a column, one step down."""
        return tuple(self._users.get(ref, ()))

    def decided_by(self, ref: ColumnRef) -> tuple[DatasetName, ...]:
        """The datasets whose rows a column decides on, one step down."""
        return tuple(self._deciders.get(ref, ()))

    def has(self, ref: ColumnRef) -> bool:
        return ref.dataset in self.datasets and ref.column in self.datasets[ref.dataset].columns

    def reach(self, refs: Iterable[ColumnRef]) -> Reach:
        """What changes if the values of columns change."""
        columns: set[ColumnRef] = set()
        rows: set[DatasetName] = set()
        waiting = list(refs)
        while waiting:
            ref = waiting.pop()
            if ref in columns:
                continue
            columns.add(ref)
            waiting += self.users_of(ref)
            for name in self.decided_by(ref):
                if name not in rows:
                    rows.add(name)
                    # With other rows any of its columns may have other values.
                    waiting += [ColumnRef(name, c) for c in self.datasets[name].columns]
        return Reach(frozenset(columns), frozenset(rows))


@dataclass(frozen=True)
class Reach:
    """What a change reaches: columns whose values may change, datasets whose rows may."""

    columns: Refs
    rows: frozenset[DatasetName]

    @property
    def datasets(self) -> frozenset[DatasetName]:
        return self.rows | {ref.dataset for ref in self.columns}


def project_lineage(
    project: Project,
    graph: Graph,
    schemas: Schemas,
    results: Schemas,
) -> ProjectLineage:
    """The lineage of each dataset of the graph.

    schemas  the columns of each dataset, as binding tells them.
    results  SQL model -> the columns of its query.
    """
    found: dict[DatasetName, DatasetLineage] = {}
    for name in graph.order:
        dataset = graph.datasets[name]
        schema = schemas.get(name, {})
        if isinstance(dataset, SourceDataset):
            found[name] = _of_source(dataset, schema)
        elif isinstance(dataset, SqlModel):
            own = _of_query(project, dataset, schemas, results.get(name, {}))
            found[name] = _under_contract(dataset, own, schema, schemas)
        elif isinstance(dataset, PythonModel):
            own = _of_function(dataset, schema, schemas)
            found[name] = _under_contract(dataset, own, schema, schemas)
    return ProjectLineage(found)


def _of_source(dataset: SourceDataset, schema: Mapping[str, Type]) -> DatasetLineage:
    contract = dataset.contract
    given = {name.lower(): column.from_ or name for name, column in contract.columns.items()}
    fields = dict.fromkeys(given.values(), VARCHAR)
    flow = flows(contract, fields, otherwise=Remedy.QUARANTINE)

    def fields_of(names: Iterable[str]) -> frozenset[str]:
        return frozenset(given.get(name, name) for name in names)

    columns = {n: fields_of([n.lower(), *flow.values.get(n.lower(), ())]) for n in schema}
    ours = {n.lower() for n in dataset.validity}
    for name in [n for n in schema if n.lower() in ours]:
        columns[name] = fields_of([*contract.key, *filter(None, [contract.latest_by])])
    return DatasetLineage(
        columns=dict.fromkeys(schema, _NOTHING),
        rows=frozenset(_referred(dataset)),
        fields=columns,
        deciding=fields_of(flow.rows),
    )


def _referred(dataset: Dataset) -> Iterator[ColumnRef]:
    """The columns that a dataset's own refer to."""
    for reference in dataset.contract.references.values():
        yield ColumnRef(reference.dataset, reference.column)


def _of_query(
    project: Project, model: SqlModel, schemas: Schemas, result: Mapping[str, Type]
) -> Lineage:
    tree = model.query.tree
    if model.functions:
        functions = {function.name: function.text for function in model.functions}
        uncast = dict.fromkeys(result, "")
        try:
            text = inlined(model.query, functions, lambda *n: f"(FROM {dotted(*n)})", uncast)
            tree = read_query(text).tree
        except SqlError:
            return _all_of(model, schemas, result, "a function that cannot be written out")
    return lineage(tree, _seen(project, model.inputs, schemas, model.words), list(result))


def _seen(
    project: Project, inputs: Iterable[DatasetName], schemas: Schemas, words: frozenset[str]
) -> dict[tuple[str, str], list[str]]:
    """The columns of each input that a query sees which spells out `words`."""
    return {
        (name.schema, name.name): input_columns(project.datasets[name], schemas[name], words)
        for name in inputs
        if name in schemas
    }


def _of_function(model: PythonModel, schema: Mapping[str, Type], schemas: Schemas) -> Lineage:
    return _all_of(model, schemas, schema, "a Python function")


def _all_of(dataset: Dataset, schemas: Schemas, columns: Iterable[str], why: str) -> Lineage:
    """Each column comes from all that is read."""
    origins = frozenset(
        Origin(name.schema, name.name, column)
        for name in dataset.inputs
        for column in schemas.get(name, ())
    )
    return Lineage(columns=dict.fromkeys(columns, origins), rows=origins, blurred=why)


def _under_contract(
    model: Dataset, own: Lineage, schema: Mapping[str, Type], schemas: Schemas
) -> DatasetLineage:
    """A model's lineage: its query's, and what its contract makes of that."""
    spelled = _Spelling(schemas)
    columns = {
        name.lower(): frozenset(
            spelled.ref(origin.schema, origin.table, origin.column) for origin in origins
        )
        for name, origins in own.columns.items()
    }
    rows = {spelled.ref(o.schema, o.table, o.column) for o in own.rows}
    contract = model.contract
    flow = Flows({}, frozenset())
    if contract.columns or contract.rules or contract.key:
        flow = flows(contract.completed(schema), schema, otherwise=Remedy.FAIL)
    found = {
        name: columns.get(name.lower(), _NOTHING).union(
            *(columns.get(other, _NOTHING) for other in flow.values.get(name.lower(), ()))
        )
        for name in schema
    }
    rows = rows.union(*(columns.get(name, _NOTHING) for name in flow.rows), _referred(model))
    return DatasetLineage(columns=found, rows=frozenset(rows), blurred=own.blurred)


@dataclass(frozen=True)
class _Spelling:
    """Names as the datasets spell them."""

    schemas: Schemas

    def ref(self, schema: str, table: str, column: str) -> ColumnRef:
        name = DatasetName(schema, table)
        folded = column.lower()
        spelled = next((c for c in self.schemas.get(name, ()) if c.lower() == folded), column)
        return ColumnRef(name, spelled)


# ---- who would notice --------------------------------------------------------------------------


def noticing(
    project: Project, lineages: ProjectLineage, schemas: Schemas, reach: Reach
) -> list[tuple[DataCheck, str]]:
    """The checks that may find something else when a change reaches so far, each with what of it
    they look at."""
    found = []
    for check in data_checks(project):
        changed = [f"the rows of {name}" for name in check.inputs if name in reach.rows]
        read = _read_by(project, check, lineages, schemas)
        changed += sorted(str(ref) for ref in read & reach.columns)
        if changed:
            found.append((check, changed[0]))
    return found


def _read_by(
    project: Project, check: DataCheck, lineages: ProjectLineage, schemas: Schemas
) -> Refs:
    """The columns that the result of a check depends on."""
    if check.functions:
        return frozenset(
            ColumnRef(name, column)
            for name in check.inputs
            if name in lineages.datasets
            for column in lineages.datasets[name].columns
        )
    spelled = _Spelling(schemas)
    seen = _seen(project, check.inputs, schemas, check.words)
    origins = read_by(read_query(check.query).tree, seen)
    return frozenset(spelled.ref(o.schema, o.table, o.column) for o in origins)
