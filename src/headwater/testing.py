"""For tests in Python: run a model over given rows, and compare rows. Made for pytest.

    import headwater as hw

    def test_revenue():
        given = {"staging.trips": [{"day": "2026-01-01", "fare": 5, "tip": 1}]}
        actual = hw.testing.run_model(".", "marts.daily_revenue", given)
        hw.testing.assert_rows(actual, [{"day": "2026-01-01", "revenue": 6}])

Nothing needs a lake, and nothing is written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb

from headwater.api import OpenProject, open_project
from headwater.contract.cells import rows_sql
from headwater.contract.types import Type, parse_type
from headwater.engine.bind import Schema
from headwater.engine.session import connect
from headwater.engine.unit_tests import Cells, cells_of, clock_of, inputs_of
from headwater.errors import HeadwaterError, Mistake, ProjectMistakes, UnknownDataset, suggestion
from headwater.names import DatasetName
from headwater.project.definitions import Project, PythonModel, SqlModel
from headwater.run.difference import Row, compare
from headwater.run.unit_tests import Stage, stage
from headwater.sql.quote import dotted, ident

if TYPE_CHECKING:
    import pyarrow

__all__ = ["assert_rows", "run_model"]

Rows = Any
"""Rows as a list of mappings, or as Arrow, pandas, Polars or a DuckDB relation."""


def run_model(
    project: str | Path | OpenProject,
    model: str,
    given: Mapping[str, Rows] | None = None,
    *,
    now: datetime | date | None = None,
    variables: Mapping[str, Any] | None = None,
) -> pyarrow.Table:
    """What a model gives for these rows of its inputs, its contract applied as in a build.

    project     a folder in the project, or an open one: opening takes longer than most models.
    given       input -> its rows. An input that is not given is empty, a column that is not given
                is NULL, and values must be of the input's types exactly.
    now         what time it is to SQL, UTC. Without it a model that asks the time is refused.
    variables   values in place of those of headwater.yaml.

    Raises ProjectMistakes, UnknownDataset, ModelFailed, and ContractBroken where rows break a rule
    that says `fail`.
    """
    opened = _opened(project, variables)
    found = _model(opened.project, model)
    if now is None and clock_of(found)[0]:
        raise HeadwaterError(
            f"{found.name} asks what time it is, and nobody says", hint="now=datetime(2026, 1, 5)"
        )
    schemas = inputs_of(opened.project, found, opened.bound)
    tables = _by_input(opened.project, found, given or {}, schemas)
    with stage(opened.project.folder) as on:
        inputs = {
            name: _select(on, tables.get(name, []), schema, str(name))
            for name, schema in schemas.items()
        }
        result = opened.bound.results.get(found.name)
        with on.built(found, inputs, _moment(now), result) as (build, error):
            if error is not None:
                raise error
            return on.con.sql(f"SELECT * FROM {build.result}").to_arrow_table()


def assert_rows(
    actual: Rows, expected: Rows, *, ordered: bool = False, key: Sequence[str] | str = ()
) -> None:
    """Raise AssertionError, with a readable difference, unless the rows are the same.

    expected  partial rows are enough: only the columns that any of them names are compared. Values
              must be of the types of `actual`.
    ordered   whether the rows must come in this order.
    key       what names a row, so that a difference shows which of its cells are others.

    Floating point numbers are equal within 1e-9, relative; NULL equals NULL.
    """
    __tracebackhide__ = True
    names = [key] if isinstance(key, str) else list(key)
    with connect() as con:
        on = Stage(con, Path())
        there = _table(con, actual, "actual")
        kinds = _kinds(con, there)
        if isinstance(expected, list | tuple):
            named = {str(column).lower() for row in expected for column in row}
            compared = {name: kind for name, kind in kinds.items() if name.lower() in named}
            shown = compared if expected else kinds
            texts = _texts(con, expected, kinds, "the result")
            wanted = on.rows(f"({rows_sql(compared, texts)})", compared) if compared else None
        else:
            table = _table(con, expected, "expected")
            named = {name.lower() for name in _kinds(con, table)}
            shown = compared = {n: kind for n, kind in kinds.items() if n.lower() in named}
            query = _cast_query(con, table, kinds, "the result")
            wanted = on.rows(f"({query})", compared)
        rows: list[Row] = on.rows(there, kinds)
        if wanted is None:
            wanted = [{} for _ in expected]
    found = compare(shown, wanted, rows, key=names, ordered=ordered)
    if found:
        raise AssertionError(f"{found.words}\n\n{found.text()}")


# ---- what is given -------------------------------------------------------------------------


def _opened(project: str | Path | OpenProject, variables: Mapping[str, Any] | None) -> OpenProject:
    if not isinstance(project, OpenProject):
        return open_project(project, variables=variables)
    if not variables:
        return project
    return open_project(
        project.project.folder,
        variables={**project.variables, **variables},
        environment=project.environment,
    )


def _model(project: Project, text: str) -> SqlModel | PythonModel:
    known = [str(n) for n, d in project.datasets.items() if isinstance(d, SqlModel | PythonModel)]
    found = next((d for n, d in project.datasets.items() if str(n) == text), None)
    if not isinstance(found, SqlModel | PythonModel):
        what = f"{text} is landed by a source" if found else f"no model {text!r}"
        raise UnknownDataset(what, hint=suggestion(text, known))
    return found


def _by_input(
    project: Project,
    model: SqlModel | PythonModel,
    given: Mapping[str, Rows],
    schemas: Mapping[DatasetName, Schema],
) -> dict[DatasetName, Rows]:
    names = {str(name): name for name in schemas}
    for text in given:
        if text not in names:
            raise UnknownDataset(
                f"{model.name} does not read {text!r}", hint=suggestion(text, list(names))
            )
    return {names[text]: rows for text, rows in given.items()}


def _moment(now: datetime | date | None) -> datetime | None:
    if now is None:
        return None
    if not isinstance(now, datetime):
        return datetime(now.year, now.month, now.day)
    return now.astimezone(UTC).replace(tzinfo=None) if now.tzinfo else now


def _select(on: Stage, rows: Rows, schema: Schema, what: str) -> str:
    """SELECT of the rows of an input, with its columns and types."""
    if isinstance(rows, list | tuple):
        return rows_sql(schema, _texts(on.con, rows, schema, what))
    on.number += 1
    table = _table(on.con, rows, f"given_{on.number}")
    return _cast_query(on.con, table, schema, what)


def _texts(
    con: duckdb.DuckDBPyConnection, rows: Sequence[Any], schema: Schema, what: str
) -> list[dict[str, str | None]]:
    """Rows as texts. Raises ProjectMistakes with all that is wrong with them."""
    if wrong := next((row for row in rows if not isinstance(row, Mapping)), None):
        raise TypeError(f"rows are mappings of column to value, not {type(wrong).__name__}")
    cells = Cells()

    def noted(number: int, column: str) -> Any:
        where = f"row {number + 1} of {what}"
        return partial(_mistake, where)

    found = cells_of(cells, rows, schema, noted, what)
    mistakes = [*cells.unfit, *(make(message, "") for make, message in cells.judge(con))]
    if mistakes:
        raise ProjectMistakes(mistakes)
    return found


def _mistake(where: str, message: str, hint: str) -> Mistake:
    return Mistake(file=where, message=message, hint=hint)


def _table(con: duckdb.DuckDBPyConnection, rows: Rows, name: str) -> str:
    """A table of the session with these rows. A relation may be of another session."""
    if isinstance(rows, list | tuple):
        raise TypeError("a table is meant: Arrow, pandas, Polars or a DuckDB relation")
    if isinstance(rows, duckdb.DuckDBPyRelation):
        rows = rows.to_arrow_table()
    try:
        con.register(f"{name}_given", rows)
    except duckdb.Error as error:
        raise TypeError(
            f"{type(rows).__name__} is no table: Arrow, pandas, Polars, a DuckDB relation, or "
            "mappings are"
        ) from error
    con.execute(f"CREATE TEMP TABLE {ident(name)} AS SELECT * FROM {ident(f'{name}_given')}")
    con.unregister(f"{name}_given")
    return dotted("temp", name)


def _kinds(con: duckdb.DuckDBPyConnection, table: str) -> dict[str, Type]:
    rows = con.execute(f"DESCRIBE {table}").fetchall()
    return {str(name): parse_type(str(kind)) for name, kind, *_ in rows}


def _cast_query(con: duckdb.DuckDBPyConnection, table: str, schema: Schema, what: str) -> str:
    """SELECT of a table's columns with the types of a schema; those that it does not have are
    NULL. Raises HeadwaterError where a value is none of them exactly."""
    from headwater.contract.casts import cast

    there = {str(name): str(kind) for name, kind, *_ in con.execute(f"DESCRIBE {table}").fetchall()}
    spelled = {name.lower(): name for name in schema}
    for name in there:
        if name.lower() not in spelled:
            raise HeadwaterError(
                f"{what} has no column {name!r}", hint=suggestion(name, list(schema))
            )
    folded = {name.lower(): name for name in there}
    values, lost = {}, {}
    for name, kind in schema.items():
        mine = folded.get(name.lower())
        if mine is None:
            values[name] = f"CAST(NULL AS {kind.sql})"
            continue
        given = parse_type(there[mine])
        if given == kind or there[mine] == '"NULL"':
            values[name] = f"CAST({ident(mine)} AS {kind.sql})"
        else:
            values[name] = cast(ident(mine), given, kind)
            lost[name] = f"count_if(({values[name]}) IS NULL AND {ident(mine)} IS NOT NULL)"
    if lost:
        row = con.execute(f"SELECT {', '.join(lost.values())} FROM {table}").fetchone() or ()
        for name, count in zip(lost, row, strict=True):
            if count:
                kind = schema[name]
                raise HeadwaterError(f"`{name}` of {what} must be {kind.sql.lower()}, exactly")
    picked = ", ".join(f"{value} AS {ident(name)}" for name, value in values.items())
    return f"SELECT {picked} FROM {table}"
