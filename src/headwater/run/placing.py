"""What stands in the session while a dataset is computed: its inputs and its functions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import duckdb

from headwater.engine.macros import macro_sql
from headwater.errors import HeadwaterError
from headwater.lake.commit import at
from headwater.names import DatasetName
from headwater.project.definitions import (
    ORIGIN_COLUMNS,
    Dataset,
    SourceDataset,
    SqlModel,
    input_columns,
)
from headwater.run.progress import Progress
from headwater.sql.quote import columns as column_list
from headwater.sql.quote import dotted


@dataclass
class Placer:
    """Puts things into the session.

    views    dataset -> the body of its view.
    macros   the functions that are there.
    """

    run: Progress
    views: dict[DatasetName, str] = field(default_factory=dict)
    session_schemas: set[str] = field(default_factory=set)
    macros: set[str] = field(default_factory=set)

    def make_room(self, name: DatasetName) -> None:
        """Nothing stands in the session under a dataset's name when it is built."""
        if self.views.pop(name, None):
            self.run.lake.con.execute(f"DROP VIEW {dotted('memory', *name)}")
        self.make_schema(name)

    def make_schema(self, name: DatasetName) -> None:
        if name.schema not in self.session_schemas:
            self.run.lake.con.execute(
                f"CREATE SCHEMA IF NOT EXISTS {dotted('memory', name.schema)}"
            )
            self.session_schemas.add(name.schema)

    def place_inputs(self, dataset: Dataset) -> None:
        """Put each input into the session under its name: results of this group are there
        already, committed ones are views pinned to their snapshots."""
        words: frozenset[str] = frozenset()
        if not isinstance(dataset, SourceDataset):
            words = dataset.words if isinstance(dataset, SqlModel) else frozenset(ORIGIN_COLUMNS)
        for given in dataset.inputs:
            if self.run.group.waiting(given) or given not in self.run.positions:
                continue
            names = self.seen(given, words)
            self.refuse_missing(dataset, given, names)
            body = f"SELECT {column_list(names)} FROM {at(self.run.positions[given])}"
            if self.views.get(given) != body:
                self.make_schema(given)
                self.run.lake.con.execute(
                    f"CREATE OR REPLACE VIEW {dotted('memory', *given)} AS {body}"
                )
                self.views[given] = body
        self.make_functions(dataset)

    def make_functions(self, dataset: Dataset) -> None:
        """Make the functions that a dataset uses in the session; its inputs are there."""
        for function in dataset.functions:
            if function.name not in self.macros:
                try:
                    self.run.lake.con.execute(macro_sql(function))
                except duckdb.Error as error:
                    raise HeadwaterError(
                        f"the function {function.name} does not bind",
                        where=f"{function.file}:{function.text.place.line}",
                        hint=str(error).split("\n")[0],
                    ) from error
                self.macros.add(function.name)

    def seen(self, given: DatasetName, words: frozenset[str]) -> list[str]:
        """The columns of an input that a query which spells out `words` sees."""
        dataset = self.run.graph.datasets[given]
        return input_columns(dataset, self.run.schemas[given], self.present(given, words))

    def refuse_missing(self, dataset: Dataset, given: DatasetName, names: Iterable[str]) -> None:
        """Raise where an input that this run does not make lacks columns that it should have."""
        if given not in self.run.outdated:
            return
        build = self.run.state.builds.get((given, self.run.positions[given].table))
        there = {name.lower() for name in build.columns} if build else set()
        missing = [name for name in names if name.lower() not in there]
        if build and missing:
            raise HeadwaterError(
                f"{given} is built by an earlier definition, without {missing[0]!r}",
                where=f"{dataset.file}:{dataset.line}",
                hint=f"build it too: headwater run --select +{dataset.name}",
            )

    def present(self, given: DatasetName, words: frozenset[str]) -> frozenset[str]:
        """Those columns of origin that a query names and the table has."""
        dataset = self.run.graph.datasets[given]
        if not isinstance(dataset, SourceDataset) or not words & ORIGIN_COLUMNS.keys():
            return frozenset()
        self.run.look_again()
        build = self.run.state.builds.get((given, self.run.positions[given].table))
        there = build.columns if build else {}
        return words & there.keys() & ORIGIN_COLUMNS.keys()
