"""The strategy of a model that is not stored: its built table is a view of the lake.

The view holds the model's query over its inputs as they are built, each at its snapshot, so it is
as true to its release as a table is. Nothing is computed until it is read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import duckdb

from headwater.contract.contract import Remedy
from headwater.contract.types import Type
from headwater.errors import ModelFailed
from headwater.lake.commit import Commit
from headwater.lake.lake import Lake
from headwater.lake.state import Position
from headwater.lake.step import StepIdentity, give_way_if_moved, record
from headwater.names import DatasetName
from headwater.project.definitions import SqlModel
from headwater.sql.faults import SqlError
from headwater.sql.inline import inlined
from headwater.sql.quote import columns as column_list
from headwater.sql.quote import dotted


@dataclass
class ViewBuild:
    """A view between its phases. See `ComputedStep`. It has no rows and no line in the ledger.

    The view stands in the session under the dataset's own name too, so that later models of the
    same commit read it.
    """

    identity: StepIdentity
    model: SqlModel
    inputs: dict[DatasetName, Position]
    query: str
    columns: dict[str, Type]
    awaiting: tuple[DatasetName, ...] = ()
    row_count: int = 0
    broken: dict[str, int] = field(default_factory=dict)
    checks: list[tuple[str, Remedy]] = field(default_factory=list)
    prewritten: Path | None = None

    @property
    def types(self) -> dict[str, str]:
        return {name: kind.sql for name, kind in self.columns.items()}

    def apply(self, commit: Commit) -> tuple[None, Position]:
        """See `ComputedStep`."""
        give_way_if_moved(commit, self.identity)
        commit.make_view(self.identity.table, self.query)
        position = record(
            commit,
            self.identity,
            None,
            columns=self.types,
            inputs=self.inputs,
            definition=self.model.definition_text,
        )
        return None, position

    def discard(self, lake: Lake) -> None:
        """See `ComputedStep`."""
        lake.con.execute(f"DROP VIEW IF EXISTS {dotted('memory', *self.identity.dataset)}")


def compute_view(
    lake: Lake,
    identity: StepIdentity,
    model: SqlModel,
    inputs: dict[DatasetName, Position],
    seen: Mapping[DatasetName, list[str]],
    schema: dict[str, Type],
) -> ViewBuild:
    """Write a model's query out over its committed inputs, and bind it.

    seen     the columns of each input that the query sees.
    schema   the columns of its result.

    Nothing may stand in the session under its name. Raises ModelFailed.
    """
    try:
        query = _over(model, schema, lambda name: _pinned("", name, inputs, seen))
        here = _over(model, schema, lambda name: _pinned("lake", name, inputs, seen))
        lake.con.execute(f"CREATE VIEW {dotted('memory', *model.name)} AS {here}")
    except (duckdb.Error, SqlError) as error:
        raise ModelFailed(
            "its query cannot be written out as a view",
            where=f"{model.file}:{model.line}",
            hint="leave out `store: none`, or put what is special about it into a model before",
        ) from error
    return ViewBuild(identity, model, inputs, query, schema)


def _over(model: SqlModel, schema: dict[str, Type], table: Callable[[DatasetName], str]) -> str:
    functions = {function.name: function.text for function in model.functions}
    types = {name: kind.sql for name, kind in schema.items()}
    return inlined(model.query, functions, lambda *name: table(DatasetName(*name)), types)


def _pinned(
    catalog: str,
    name: DatasetName,
    inputs: Mapping[DatasetName, Position],
    seen: Mapping[DatasetName, list[str]],
) -> str:
    """An input at its position. Without a catalog, so that any client of the lake can read it."""
    position = inputs[name]
    parts = (*([catalog] if catalog else []), "built", position.table)
    return (
        f"(SELECT {column_list(seen[name])} FROM {dotted(*parts)} "
        f"AT (VERSION => {position.snapshot_id}))"
    )
