"""Binding queries against contracts: DuckDB's own binder, on empty tables.

It finds unknown columns, unknown functions and types that do not fit, and it tells the
columns of each result. Nothing is computed, and no lake is needed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import duckdb

from headwater.analysis.graph import Graph
from headwater.contract.compile import compile_contract
from headwater.contract.contract import Remedy
from headwater.contract.types import Type, parse_type
from headwater.engine.session import connect
from headwater.errors import Mistake
from headwater.names import DatasetName
from headwater.project.definitions import Dataset, Project, PythonModel, SourceDataset, SqlModel
from headwater.sql.quote import dotted, ident

ORIGIN_COLUMNS: dict[str, Type] = {"_file_id": Type("BIGINT"), "_record": Type("BIGINT")}
Schema = dict[str, Type]


@dataclass(frozen=True)
class Bound:
    """What binding found.

    schemas   dataset -> its columns in order, for each dataset whose columns are known before
              it is built (a Python model's without declared columns are not).
    results   SQL model -> the columns of its query, before its contract gives them types.
    mistakes  at most one for each query, in the order of the graph.
    """

    schemas: Mapping[DatasetName, Schema]
    results: Mapping[DatasetName, Schema]
    mistakes: tuple[Mistake, ...]


def bind(
    project: Project, graph: Graph, known: Mapping[DatasetName, Schema] | None = None
) -> Bound:
    """Bind every model of `graph`, inputs first.

    known   columns of datasets that say nothing of them before they are built.
    """
    con = connect()
    con.execute("SET errors_as_json = true; SET enable_external_access = false")
    schemas: dict[DatasetName, Schema] = {}
    results: dict[DatasetName, Schema] = {}
    mistakes = []
    for name in graph.order:
        dataset = graph.datasets[name]
        schema: Schema | None
        if isinstance(dataset, SourceDataset):
            schema, mistake = _source_schema(con, project, dataset)
        elif isinstance(dataset, SqlModel) and all(given in schemas for given in dataset.inputs):
            with _origins(con, project, dataset, schemas):
                schema, mistake = _bind_model(con, project, dataset)
            if schema and not mistake:
                results[name] = schema
                schema, mistake = _against_contract(con, project, dataset, schema)
        elif isinstance(dataset, PythonModel) and dataset.contract.columns:
            schema, mistake = {n: c.type for n, c in dataset.contract.columns.items()}, None
        else:
            schema, mistake = None, None
        if mistake:
            mistakes.append(mistake)
        elif not schema and known and name in known:
            schema = known[name]
        if schema and not mistake:
            schemas[name] = schema
            if graph.readers[name]:
                _create(con, name, schema)
    con.close()
    return Bound(schemas, results, tuple(mistakes))


def input_columns(dataset: Dataset, schema: Schema, words: frozenset[str]) -> list[str]:
    """The columns of an input that a query sees: those of its schema, and the columns of
    origin where the query names them (so `*` does not carry them along)."""
    extra = [name for name in ORIGIN_COLUMNS if name in words and name not in schema]
    return [*schema, *(extra if isinstance(dataset, SourceDataset) else [])]


def _source_schema(
    con: duckdb.DuckDBPyConnection, project: Project, dataset: SourceDataset
) -> tuple[Schema | None, Mistake | None]:
    contract = dataset.contract
    if not contract.columns:
        return None, None
    fields = {column.from_ or name: Type("VARCHAR") for name, column in contract.columns.items()}
    compiled = compile_contract(contract, fields, otherwise=Remedy.QUARANTINE)
    raws = ", ".join(f"CAST(NULL AS VARCHAR) AS {ident(name)}" for name in fields)
    try:
        con.execute("EXPLAIN " + compiled.judge_over(f"(SELECT {raws})"))
    except duckdb.Error as error:
        message, _, hint = _read_error(error)
        mistake = project.mistake(dataset.file, dataset.line, 3, f"{dataset.name}: {message}", hint)
        return None, mistake
    return {name: column.type for name, column in contract.columns.items()}, None


def _bind_model(
    con: duckdb.DuckDBPyConnection, project: Project, model: SqlModel
) -> tuple[Schema | None, Mistake | None]:
    try:
        rows = con.execute(f"DESCRIBE {model.query.text}").fetchall()
    except duckdb.Error as error:
        message, position, hint = _read_error(error)
        text = project.texts.get(model.file, "")
        line, column = _line_and_column(model, text, position)
        return None, project.mistake(model.file, line, column, message, hint)
    schema: Schema = {}
    folded = [str(row[0]).lower() for row in rows]
    for column_name, type_text, *_ in rows:
        try:
            schema[column_name] = parse_type(type_text)
        except ValueError:
            message = f"the column {column_name!r} is {type_text}, which a lake does not store"
            hint = "cast it to another type"
            return None, project.mistake(model.file, 1, 1, message, hint)
        if folded.count(column_name.lower()) > 1:
            message = f"the query selects {column_name!r} twice"
            return None, project.mistake(model.file, 1, 1, message, "name one of them with AS")
    return schema, None


@contextmanager
def _origins(
    con: duckdb.DuckDBPyConnection,
    project: Project,
    model: SqlModel,
    schemas: Mapping[DatasetName, Schema],
) -> Iterator[None]:
    """While a query is bound that names columns of origin, its sources have them."""
    changed = []
    for given in model.inputs:
        names = input_columns(project.datasets[given], schemas[given], model.query.words)
        if len(names) > len(schemas[given]):
            wide = {name: {**schemas[given], **ORIGIN_COLUMNS}[name] for name in names}
            _create(con, given, wide)
            changed.append(given)
    yield
    for given in changed:
        _create(con, given, schemas[given])


def _against_contract(
    con: duckdb.DuckDBPyConnection, project: Project, model: SqlModel, schema: Schema
) -> tuple[Schema | None, Mistake | None]:
    """The model's own contract: its columns, key and rules are about the result."""
    contract = model.contract
    if not (contract.columns or contract.key or contract.rules):
        return schema, None
    folded = {name.lower() for name in schema}
    named = [*contract.columns, *contract.key]
    for name in named:
        if name.lower() not in folded:
            what = "key" if name in contract.key else "contract"
            message = f"the {what} names {name!r}, which the query does not select"
            hint = f"it selects: {', '.join(list(schema)[:12])}"
            return None, project.mistake(model.file, *_find(project, model, name), message, hint)
    contract = contract.completed(schema)
    compiled = compile_contract(contract, schema, otherwise=Remedy.FAIL)
    stated = {check.code.partition(".")[2] for check in (*compiled.checks, *compiled.repairs)}
    if stated <= {"type", "required", "finite"}:
        return {name: column.type for name, column in contract.columns.items()}, None
    nulls = ", ".join(f"CAST(NULL AS {t.sql}) AS {ident(n)}" for n, t in schema.items())
    try:
        con.execute("EXPLAIN " + compiled.judge_over(f"(SELECT {nulls})"))
    except duckdb.Error as error:
        message, _, hint = _read_error(error)
        message = f"the contract does not bind: {message}"
        return None, project.mistake(model.file, 1, 1, message, hint)
    return {name: column.type for name, column in contract.columns.items()}, None


def _create(con: duckdb.DuckDBPyConnection, name: DatasetName, schema: Schema) -> None:
    body = ", ".join(f"{ident(n)} {t.sql}" for n, t in schema.items())
    con.execute(f"CREATE SCHEMA IF NOT EXISTS {ident(name.schema)}")
    con.execute(f"CREATE OR REPLACE TABLE {dotted(*name)} ({body})")


def _read_error(error: duckdb.Error) -> tuple[str, int | None, str]:
    """DuckDB's error as (message, position in characters, hint)."""
    try:
        details = json.loads(
            str(error).split("Error: ", 1)[-1] if not str(error).startswith("{") else str(error)
        )
    except ValueError:
        details = {"exception_message": str(error)}
    message = str(details.get("exception_message", error))
    hint = ""
    if match := re.search(
        r"(Candidate bindings|Candidate tables|Candidates?): ?(.*)", message, re.DOTALL
    ):
        hint = " ".join(match.group(2).replace('"', "").split())[:160]
        hint = f"candidates: {hint}"
        message = message[: match.start()]
    elif match := re.search(r"Did you mean (.*?)\?", message):
        hint = f"did you mean {match.group(1)}?"
        message = message[: match.start()]
    message = message.split("\nLINE ")[0].strip().splitlines()[0].rstrip(" .!")
    position = details.get("position")
    return message[:1].lower() + message[1:], int(position) if position else None, hint


def _line_and_column(model: SqlModel, text: str, position: int | None) -> tuple[int, int]:
    if position is None:
        return 1, 1
    start = text.find(model.query.text.strip()[:200])
    offset = max(0, start) + position - len("DESCRIBE ")
    offset = min(max(offset, 0), len(text))
    before = text[:offset]
    return before.count("\n") + 1, offset - (before.rfind("\n") + 1) + 1


def _find(project: Project, model: SqlModel, word: str) -> tuple[int, int]:
    match = re.search(rf"\b{re.escape(word)}\b", project.texts.get(model.file, ""))
    if not match:
        return 1, 1
    before = match.string[: match.start()]
    return before.count("\n") + 1, match.start() - (before.rfind("\n") + 1) + 1
