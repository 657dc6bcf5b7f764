"""Binding queries against contracts: DuckDB's own binder, on empty tables.

It finds unknown columns, unknown functions and types that do not fit, and it tells the
columns of each result. No data is looked at, and no lake is needed.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import duckdb

from headwater.analysis.checks import aggregate_query
from headwater.analysis.functions import reads_tables
from headwater.analysis.graph import Graph
from headwater.contract.casts import can_stand_for, is_comparable
from headwater.contract.compile import compile_contract
from headwater.contract.contract import Contract, Remedy, unsound
from headwater.contract.types import Type, parse_type
from headwater.contract.values import Question, expressions, rule_questions, value_questions
from headwater.engine.macros import built_in, macro_offset, macro_sql
from headwater.engine.session import connect
from headwater.engine.variables import wrong_values
from headwater.errors import Mistake, suggestion
from headwater.folder import SETTINGS_FILE
from headwater.index.entries import Entries, key
from headwater.index.files import environment_digest, variables_in
from headwater.index.store import digest
from headwater.names import DatasetName
from headwater.places import KeyPath, Place, characters_before, place_at
from headwater.project.definitions import (
    ORIGIN_COLUMNS,
    Dataset,
    Function,
    Project,
    PythonModel,
    SourceDataset,
    SqlCheck,
    SqlModel,
    Store,
    input_columns,
)
from headwater.project.functions import shadows, used_in
from headwater.project.variables import stated_values, wrong_value
from headwater.sql.faults import SqlError
from headwater.sql.inline import inlined
from headwater.sql.query import expression_words
from headwater.sql.quote import dotted, ident

Schema = dict[str, Type]


@dataclass(frozen=True)
class Bound:
    """What binding found.

    schemas   dataset -> its columns in order, for each dataset whose columns are known before
              it is built (a Python model's without declared columns are not).
    results   SQL model -> the columns of its query, before its contract gives them types.
    mistakes  at most one for each query, and all of each contract.
    entries   what is known of definitions that were bound before.
    """

    schemas: Mapping[DatasetName, Schema]
    results: Mapping[DatasetName, Schema]
    mistakes: tuple[Mistake, ...]
    entries: Entries = field(default_factory=Entries, compare=False, repr=False)


def bind(
    project: Project,
    graph: Graph,
    known: Mapping[DatasetName, Schema] | None = None,
    entries: Entries | None = None,
) -> Bound:
    """Bind every model of `graph`, inputs first, and the checks; and judge the contracts.

    known     columns of datasets that say nothing of them before they are built.
    entries   what is known of definitions that were bound before: they are not bound again while
              nothing changes that binding them looks at.
    """
    with ExitStack() as stack:
        entries = Entries() if entries is None else entries
        binder = _Binder(stack, project, graph, _BoundBefore(project, entries))
        binder.refuse_values()
        binder.refuse_shadows()
        for name in graph.order:
            binder.dataset(graph.datasets[name], (known or {}).get(name))
        for check in project.checks.values():
            binder.check(check)
        binder.judge_contracts()
        for function in project.functions.values():
            binder.try_function(function)
        if not binder.mistakes:
            binder.before.note()
    return Bound(binder.schemas, binder.results, tuple(binder.mistakes), entries)


class _BoundBefore:
    """What was bound before without a mistake, by all that binding looks at.

    news   what is to be noted if there is no mistake in all of the project.
    hits   how much was found.
    """

    def __init__(self, project: Project, entries: Entries) -> None:
        self.project, self.entries = project, entries
        self.news: dict[str, Any] = {}
        self.hits = 0

    @cached_property
    def common(self) -> str:
        """What any definition may use: the values of variables, those of the environment, and the
        functions."""
        project = self.project
        values = [f"{name}={value.sql}" for name, value in project.variables.items()]
        functions = [macro_sql(function) for function in project.functions.values()]
        texts = project.texts.values()
        environment = environment_digest(variables_in(texts), os.environ)
        return digest(environment, *values, "functions", *functions)

    def key_of(self, kind: str, name: str, file: str, inputs: Mapping[DatasetName, Schema]) -> str:
        """The key of a definition that reads `inputs`."""
        seen = [
            f"{given} {type(self.project.datasets[given]).__name__} {_told(schema)}"
            for given, schema in inputs.items()
        ]
        return key("bound", self.common, kind, name, self.project.texts.get(file, ""), *seen)

    def find(self, known: str) -> Any:
        """What is known under a key, None for nothing; it is known from now on."""
        found = self.entries.get(known)
        self.hits += found is not None
        return found

    def note(self) -> None:
        for known, value in self.news.items():
            self.entries.put(known, value)


def _told(schema: Schema | None) -> list[list[str]] | None:
    return None if schema is None else [[name, kind.sql] for name, kind in schema.items()]


def _schema(told: Any) -> Schema | None:
    return None if told is None else {name: parse_type(kind) for name, kind in told}


class _Binder:
    """Binds dataset after dataset, each against the tables of its inputs.

    waiting     datasets that bound queries will read, but whose tables are not there yet: tables
                are made together, because that is faster.
    contracts   contracts whose columns all have their types, to be judged at the end.
    """

    def __init__(
        self, stack: ExitStack, project: Project, graph: Graph, before: _BoundBefore
    ) -> None:
        self.stack, self.project, self.graph, self.before = stack, project, graph, before
        self.schemas: dict[DatasetName, Schema] = {}
        self.results: dict[DatasetName, Schema] = {}
        self.mistakes: list[Mistake] = []
        self.waiting: list[DatasetName] = []
        self.contracts: list[tuple[Dataset, Contract]] = []
        self.checked = {given for check in project.checks.values() for given in check.inputs}
        self.macros: set[str] = set()
        self.lost = set(project.unread_functions)

    @cached_property
    def con(self) -> duckdb.DuckDBPyConnection:
        """A session of its own; none is made where everything was bound before."""
        con = self.stack.enter_context(connect())
        # Binding is all that we want of DuckDB here; planning would take longer than that.
        con.execute(
            "SET errors_as_json = true; SET enable_external_access = false; "
            "PRAGMA disable_optimizer"
        )
        return con

    # ---- variables and functions

    def refuse_values(self) -> None:
        """Note the variables whose value is none of their type."""
        if self.was_bound("values", SETTINGS_FILE, SETTINGS_FILE, ()):
            return
        text = self.project.texts.get(SETTINGS_FILE, "")
        given = [value for value in self.project.variables.values() if value.given]
        for value in wrong_values(self.con, [*given, *stated_values(self.project.settings)]):
            self.mistakes.append(wrong_value(value, text, self.project.places))

    def refuse_shadows(self) -> None:
        """Note the functions that have the name of one of DuckDB's own."""
        if self.was_bound("shadows", "", "", ()):
            return
        for name in sorted(built_in(self.con, self.project.functions)):
            function = self.project.functions[name]
            self.function_mistake(function, function.text.place, *shadows(name))

    def function_mistake(self, function: Function, place: Place, message: str, hint: str) -> None:
        self.lost.add(function.name)
        self.mistakes.append(self.project.mistake(function.file, place, message, hint))

    def was_bound(self, kind: str, name: str, file: str, inputs: Iterable[DatasetName]) -> bool:
        """Whether something was bound before without a mistake; it counts as bound if there is
        none now."""
        schemas = {given: self.schemas[given] for given in inputs}
        known = self.before.key_of(kind, name, file, schemas)
        if self.before.find(known):
            return True
        self.before.news[known] = True
        return False

    def try_function(self, function: Function) -> None:
        """Bind a function that nothing may have used."""
        known = all(given in self.schemas for given in function.inputs)
        is_open = known and function.name not in self.lost | self.macros
        named = ("function", function.name, function.file, function.inputs)
        if not (is_open and self.was_bound(*named)):
            self.make_function(function)

    def make_functions(self, functions: Iterable[Function]) -> bool:
        """Make the functions that something uses; whether all of them could be."""
        made = [self.make_function(function) for function in functions]
        return all(made)

    def make_function(self, function: Function) -> bool:
        """Make a function in the session, where it binds; whether it is there."""
        if function.name in self.macros:
            return True
        known = all(given in self.schemas for given in function.inputs)
        if function.name in self.lost or not known or self.lost & function.text.calls:
            self.lost.add(function.name)
            return False
        with self.origins(function.inputs, function.text.body.words):
            try:
                self.con.execute(macro_sql(function))
            except duckdb.Error as error:
                message, position, hint = _read_error(error)
                text = self.project.texts.get(function.file, "")
                place = function.text.place
                if position is not None:
                    place = place_at(text, macro_offset(function, position))
                self.function_mistake(function, place, message, hint)
                return False
        self.macros.add(function.name)
        return True

    # ---- datasets

    def dataset(self, dataset: Dataset, known: Schema | None) -> None:
        """Bind one dataset. `known`: its columns, should it not say."""
        count = len(self.mistakes)
        schema = self.schema_from_before(dataset, known)
        if len(self.mistakes) == count:
            schema = schema or known
        if schema:
            self.schemas[dataset.name] = schema
            if self.graph.readers[dataset.name] or dataset.name in self.checked:
                self.waiting.append(dataset.name)

    def schema_from_before(self, dataset: Dataset, known: Schema | None) -> Schema | None:
        """The columns of a dataset, from before if nothing has changed that binding it looks at."""
        name = dataset.name
        if not all(given in self.schemas for given in dataset.inputs):
            return self.schema_of(dataset)
        inputs = {given: self.schemas[given] for given in dataset.inputs}
        kind = f"{type(dataset).__name__} {_told(known)}"
        mark = self.before.key_of(kind, str(name), dataset.file, inputs)
        try:
            schema, result = map(_schema, self.before.find(mark) or ())
        except (TypeError, ValueError):
            schema = self.schema_of(dataset)
            result = self.results.get(name)
            told = [_told(schema), _told(result)]
            if [_schema(told[0]), _schema(told[1])] == [schema, result]:
                self.before.news[mark] = told
            return schema
        if result is not None:
            self.results[name] = result
        return schema

    def schema_of(self, dataset: Dataset) -> Schema | None:
        """The columns of a dataset; None if they are not known or its query does not bind."""
        contract = dataset.contract
        if isinstance(dataset, SourceDataset):
            schema = {name: column.type for name, column in contract.columns.items()}
            if self.make_functions(dataset.functions) and self.is_sound(dataset, contract):
                self.bind_rules(dataset, schema)
                self.bind_expressions(dataset, contract, schema)
                self.contracts.append((dataset, contract))
            self.bind_references(dataset, schema)
            schema |= dataset.validity
            self.bind_checks(dataset, schema)
            return schema
        if isinstance(dataset, SqlModel):
            if not all(given in self.schemas for given in dataset.inputs):
                return None
            if not self.make_functions(dataset.functions):
                return None
            result = self.bind_query(dataset)
            return self.bind_contract(dataset, result) if result else None
        if isinstance(dataset, PythonModel):
            self.contracts.append((dataset, contract.with_types()))
            schema = {name: column.type for name, column in contract.columns.items()}
            self.bind_references(dataset, schema)
            self.bind_checks(dataset, schema)
            return schema
        return None

    # ---- queries

    def check(self, check: SqlCheck) -> None:
        """Bind a check of `checks/`, if the columns of all that it reads are known."""
        known = all(given in self.schemas for given in check.inputs)
        if known and self.was_bound("check", check.name, check.file, check.inputs):
            return
        if known and self.make_functions(check.functions):
            with self.origins(check.inputs, check.words):
                self.describe(check)

    def describe(self, reader: SqlModel | SqlCheck) -> list[tuple[str, str]] | None:
        """The columns of a query's result with their types; None, with a mistake noted, if it
        does not bind. Its inputs have their tables."""
        try:
            rows = self.con.execute(f"{_DESCRIBE}{reader.query.text}").fetchall()
        except duckdb.Error as error:
            message, position, hint = _read_error(error)
            if self.is_about_lost_function(message):
                return None
            place = self.place_in(reader, position)
            inner = _function_at_fault(reader, error, position)
            if inner and position is not None:
                text = self.project.texts.get(inner.file, "")
                place = place_at(text, macro_offset(inner, position))
                hint = f"{reader.file} calls {inner.name}() so"
            file = inner.file if inner else reader.file
            self.mistakes.append(self.project.mistake(file, place, message, hint))
            return None
        return [(str(name), str(kind)) for name, kind, *_ in rows]

    def bind_query(self, model: SqlModel) -> Schema | None:
        """The columns of a query's result; None, with a mistake noted, if it does not bind or a
        lake does not store them."""
        with self.origins(model.inputs, model.words):
            rows = self.describe(model)
            schema = self.schema_from(model, rows) if rows is not None else None
            if schema and model.store is Store.NONE and self.unwritable(model, schema):
                return None
            return schema

    def schema_from(self, model: SqlModel, rows: list[tuple[str, str]]) -> Schema | None:
        """The columns that DESCRIBE tells; None, with a mistake noted, if they fit no table."""
        schema: Schema = {}
        folded = [name.lower() for name, _ in rows]
        for name, type_text in rows:
            try:
                schema[name] = parse_type(type_text)
            except ValueError:
                message = f"the column {name!r} is {type_text}, which a lake does not store"
                self.query_mistake(model, message, "cast it to another type")
                return None
            if folded.count(name.lower()) > 1:
                message = f"the query selects {name!r} twice"
                self.query_mistake(model, message, "name one of them with AS")
                return None
        return schema

    def is_about_lost_function(self, message: str) -> bool:
        """Whether an error follows from a function's own mistake, which is noted already."""
        match = _NO_FUNCTION.search(message)
        return bool(match and match[1].lower() in self.lost)

    def query_mistake(self, model: SqlModel, message: str, hint: str) -> None:
        place = self.place_in(model, None)
        self.mistakes.append(self.project.mistake(model.file, place, message, hint))

    def place_in(self, reader: SqlModel | SqlCheck, position_bytes: int | None) -> Place:
        """A place in a query's file from a position in what we sent; None: the query's start."""
        query = reader.query
        inside = 0
        if position_bytes is not None:
            sent = f"{_DESCRIBE}{query.text}"
            inside = characters_before(sent, position_bytes) - len(_DESCRIBE)
        text = self.project.texts.get(reader.file, "")
        return place_at(text, query.offset(inside))

    @contextmanager
    def origins(self, inputs: Iterable[DatasetName], words: frozenset[str]) -> Iterator[None]:
        """While a query is bound, its inputs have tables; its sources with the columns of origin
        if it names them."""
        # Where most is known from before, most tables are needed by nobody.
        wanted = frozenset(inputs) if self.before.hits else frozenset(self.waiting)
        self.create([name for name in self.waiting if name in wanted])
        self.waiting = [name for name in self.waiting if name not in wanted]
        changed = []
        for given in inputs:
            schema = self.schemas[given]
            names = input_columns(self.project.datasets[given], schema, words)
            if len(names) > len(schema):
                self.con.execute(_table(given, {n: {**schema, **ORIGIN_COLUMNS}[n] for n in names}))
                changed.append(given)
        yield
        self.create(changed)

    def create(self, names: Iterable[DatasetName]) -> None:
        """Make the tables of datasets, or make them anew."""
        statements = [_table(name, self.schemas[name]) for name in names]
        schemas = dict.fromkeys(name.schema for name in names)
        statements[:0] = [f"CREATE SCHEMA IF NOT EXISTS {ident(schema)}" for schema in schemas]
        if statements:
            self.con.execute("; ".join(["BEGIN", *statements, "COMMIT"]))

    # ---- contracts

    def bind_contract(self, model: SqlModel, result: Schema) -> Schema | None:
        """The columns of a model: its query's, with the types that its contract gives them."""
        self.results[model.name] = result
        contract = model.contract
        if not (contract.columns or contract.key or contract.rules or contract.checks):
            return result
        if self.unselected(model, result):
            return None
        contract = contract.completed(result)
        schema = {name: column.type for name, column in contract.columns.items()}
        if model.store is Store.NONE and self.retyped(model, result, schema):
            return None
        if self.is_sound(model, contract):
            self.bind_rules(model, schema)
            self.bind_expressions(model, contract, schema)
            self.contracts.append((model, contract))
        self.bind_references(model, schema)
        self.bind_checks(model, schema)
        return schema

    def is_sound(self, dataset: Dataset, contract: Contract) -> bool:
        """Whether what each column says can work with its type; what cannot is noted."""
        problems: list[tuple[KeyPath, str]] = [
            (("columns", name), problem)
            for name, column in contract.columns.items()
            for problem in unsound(column)
        ]
        problems += [
            (("columns", name, "fill"), "the rows of a model have no order: `previous` needs `by`")
            for name, column in contract.columns.items()
            if not isinstance(dataset, SourceDataset)
            and column.fill
            and column.fill.previous
            and not column.fill.previous.by
        ]
        for path, problem in problems:
            self.mistakes.append(self.project.mistake_of(dataset, path, problem))
        return not problems

    def retyped(self, model: SqlModel, result: Schema, schema: Schema) -> bool:
        """Whether the contract gives columns other types than the query; they are noted. (A model
        that is not stored has no step in which values are held against a type.)"""
        changed = [name for name in schema if schema[name] != result[name]]
        for name in changed:
            given, wanted = result[name].sql, schema[name].sql
            message = f"the query gives {name!r} as {given}, the contract says {wanted}"
            hint = f"with `store: none` the query must cast it: CAST(… AS {wanted})"
            path = ("columns", name, "type")
            self.mistakes.append(self.project.mistake_of(model, path, message, hint))
        return bool(changed)

    def unwritable(self, model: SqlModel, result: Schema) -> bool:
        """Whether the query of a model that is not stored cannot be written out as a view, or
        means something else then; it is noted."""
        functions = {function.name: function.text for function in model.functions}
        uncast = dict.fromkeys(result, "")
        try:
            sql = inlined(model.query, functions, lambda *name: f"(FROM {dotted(*name)})", uncast)
            rows = self.con.execute(f"{_DESCRIBE}{sql}").fetchall()
            is_same = [parse_type(row[1]) for row in rows] == list(result.values())
        except (duckdb.Error, SqlError):
            is_same = False
        if not is_same:
            message = "the query cannot be written out as a view, which `store: none` needs"
            hint = "leave out `store: none`, or put what is special about it into a model before"
            self.query_mistake(model, message, hint)
        return not is_same

    def unselected(self, model: SqlModel, result: Schema) -> bool:
        """Whether the contract names columns that the query does not select; they are noted."""
        folded = {name.lower() for name in result}
        named: list[tuple[str, KeyPath, str]] = [
            ("contract", ("columns", name), name) for name in model.contract.columns
        ]
        named += [("key", ("key", n), name) for n, name in enumerate(model.contract.key)]
        missing = [part for part in named if part[2].lower() not in folded]
        for what, path, name in missing:
            message = f"the {what} names {name!r}, which the query does not select"
            hint = f"it selects: {', '.join(list(result)[:12])}"
            self.mistakes.append(self.project.mistake_of(model, path, message, hint))
        return bool(missing)

    def bind_rules(self, dataset: Dataset, schema: Schema) -> None:
        """Bind the contract's rules against the columns that they are about."""
        rules = dataset.contract.rules
        if not rules or not schema:
            return
        alone = dataset.contract.model_copy(update={"columns": {}, "key": ()})
        checks = compile_contract(alone, schema, otherwise=Remedy.FAIL).checks
        conditions = [check.broken for check in checks]
        if self.why_unbound(conditions, schema) is None:
            return
        for number, (rule, condition) in enumerate(zip(rules, conditions, strict=True)):
            error = self.why_unbound([condition], schema)
            if error is not None:
                if self.is_about_lost_function(_read_error(error)[0]):
                    continue
                path = ("rules", number, "check")
                for message, hint in _rule_problems(rule.check, schema, dataset, error):
                    self.mistakes.append(self.project.mistake_of(dataset, path, message, hint))

    def bind_survivorship(self, dataset: Dataset, schema: Schema) -> None:
        """The columns that survivorship goes by are there."""
        known = {name.lower() for name in schema}
        for name, rule in dataset.contract.survivors.items():
            if rule.by and rule.by.lower() not in known:
                message = f"survivorship goes by {rule.by!r}, and there is no such column"
                path = ("columns", name, "survivorship")
                hint = suggestion(rule.by, list(schema))
                self.mistakes.append(self.project.mistake_of(dataset, path, message, hint))

    def bind_references(self, dataset: Dataset, schema: Schema) -> None:
        """What columns refer to is there, and can be compared with them."""
        self.bind_survivorship(dataset, schema)
        for name, reference in dataset.contract.references.items():
            known = self.schemas.get(reference.dataset)
            if known is None:
                continue
            there = {column.lower(): kind for column, kind in known.items()}
            theirs, mine = there.get(reference.column.lower()), schema.get(name)
            if theirs is None:
                message = f"{reference.dataset} has no column {reference.column!r}"
                hint = suggestion(reference.column, list(known)) or "add it to its contract"
            elif mine and not is_comparable(mine, theirs):
                message = f"{name!r} is {mine.sql.lower()}, and {reference.to} {theirs.sql.lower()}"
                hint = "give both the same type"
            else:
                continue
            path = ("columns", name, "references")
            self.mistakes.append(self.project.mistake_of(dataset, path, message, hint))

    def bind_checks(self, dataset: Dataset, schema: Schema) -> None:
        """Bind the contract's checks of all rows; without columns there is nothing to bind to."""
        if not schema or not dataset.contract.checks:
            return
        columns = input_columns(dataset, schema, frozenset(ORIGIN_COLUMNS))
        kinds = {**ORIGIN_COLUMNS, **schema}
        self.con.execute(f"CREATE SCHEMA IF NOT EXISTS {ident(dataset.name.schema)}")
        self.con.execute(_table(dataset.name, {name: kinds[name] for name in columns}))
        for number, check in enumerate(dataset.contract.checks):
            used = used_in(check.check, self.project.functions)
            if any(reads_tables(function) for function in used):
                continue  # noted where the files are held against each other
            if not self.make_functions(used):
                continue
            try:
                rows = self.con.execute(
                    f"{_DESCRIBE}{aggregate_query(dataset.name, check.check)}"
                ).fetchall()
                kind = str(rows[0][1])
                problems = (
                    [] if kind == "BOOLEAN" else [(f"it gives {kind}, not true or false", "")]
                )
            except duckdb.Error as error:
                if self.is_about_lost_function(_read_error(error)[0]):
                    continue
                problems = _rule_problems(check.check, schema, dataset, error)
            for message, hint in problems:
                path = ("checks", number, "check")
                self.mistakes.append(self.project.mistake_of(dataset, path, message, hint))

    def bind_expressions(self, dataset: Dataset, contract: Contract, schema: Schema) -> None:
        """Bind what the contract computes from the columns of a row, and judge its types."""
        if contract.freshness:
            self.bind_freshness(dataset, contract.freshness.column, schema)
        for computed in expressions(contract):
            kind, error = self.type_of(computed.bound, schema)
            if error is not None:
                for message, hint in _rule_problems(computed.sql, schema, dataset, error):
                    self.mistakes.append(
                        self.project.mistake_of(dataset, computed.path, message, hint)
                    )
            elif computed.wanted and kind and not can_stand_for(kind, computed.wanted):
                wanted = computed.wanted.sql.lower()
                self.mistakes.append(
                    self.project.mistake_of(
                        dataset,
                        computed.path,
                        f"it gives {kind.sql.lower()}, and the column is {wanted}",
                        f"say how it becomes one: CAST(… AS {wanted})",
                    )
                )

    def bind_freshness(self, dataset: Dataset, column: str, schema: Schema) -> None:
        """The column of `freshness` is there, and says when."""
        kind, error = self.type_of(ident(column), schema)
        message, hint = "", ""
        if error is not None:
            ((message, hint), *_) = _rule_problems(ident(column), schema, dataset, error)
        elif kind and kind.kind not in ("DATE", "TIMESTAMP", "TIMESTAMPTZ"):
            message = f"{column!r} is {kind.sql.lower()}, and no date or timestamp"
        if message:
            path = ("freshness", "column")
            self.mistakes.append(self.project.mistake_of(dataset, path, message, hint))

    def type_of(self, sql: str, schema: Schema) -> tuple[Type | None, duckdb.Error | None]:
        """The type of an expression over these columns (None: none that a lake stores), or why it
        does not bind."""
        row = ", ".join(
            f"CAST(NULL AS {kind.sql}) AS {ident(name)}" for name, kind in schema.items()
        )
        try:
            found = self.con.execute(
                f"{_DESCRIBE}SELECT TRY({sql}) FROM (SELECT {row or '1'})"
            ).fetchone()
        except duckdb.Error as error:
            return None, error
        try:
            return (parse_type(found[1]) if found else None), None
        except ValueError:
            return None, None

    def why_unbound(self, conditions: list[str], schema: Schema) -> duckdb.Error | None:
        """Why conditions over these columns do not bind; None if they do."""
        row = ", ".join(
            f"CAST(NULL AS {kind.sql}) AS {ident(name)}" for name, kind in schema.items()
        )
        try:
            self.con.execute(f"{_DESCRIBE}SELECT {', '.join(conditions)} FROM (SELECT {row})")
        except duckdb.Error as error:
            return error
        return None

    def judge_contracts(self) -> None:
        """Ask, of all contracts at once, what only a database can answer."""
        asked = [
            (dataset, question)
            for dataset, contract in self.contracts
            for question in value_questions(contract)
        ]
        faulty = {(dataset.name, question.path[:2]) for dataset, question in self.ask(asked)}
        asked = []
        for dataset, contract in self.contracts:
            sound = [
                name for name in contract.columns if (dataset.name, ("columns", name)) not in faulty
            ]
            asked += [(dataset, question) for question in rule_questions(contract, sound)]
        self.ask(asked)

    def ask(self, asked: list[tuple[Dataset, Question]]) -> list[tuple[Dataset, Question]]:
        """Those of the questions that show a mistake, which is noted."""
        broken = self.broken(list(dict.fromkeys(question.broken for _, question in asked)))
        found = [(dataset, question) for dataset, question in asked if question.broken in broken]
        for dataset, question in found:
            self.mistakes.append(
                self.project.mistake_of(dataset, question.path, question.message, question.hint)
            )
        return found

    def broken(self, conditions: list[str]) -> set[str]:
        """Those of the conditions that are true or cannot be computed."""
        if not conditions:
            return set()
        try:
            row = self.con.execute(f"SELECT {', '.join(conditions)}").fetchone() or ()
        except duckdb.Error:
            if len(conditions) == 1:
                return set(conditions)
            half = len(conditions) // 2
            return self.broken(conditions[:half]) | self.broken(conditions[half:])
        return {condition for condition, value in zip(conditions, row, strict=True) if value}


_DESCRIBE = "DESCRIBE "
_NO_FUNCTION = re.compile(r"function with name (\S+) does not exist", re.IGNORECASE)


def _function_at_fault(
    reader: SqlModel | SqlCheck, error: duckdb.Error, position_bytes: int | None
) -> Function | None:
    """The function within which a query does not bind; None where it is the query's own text.
    DuckDB gives the place in the text of the function's making, and does not say so: what it
    names stands there and not in the query."""
    name = str(_details(error).get("name", "")).lower()
    if not name or position_bytes is None or not reader.functions:
        return None

    def stands_in(text: str) -> bool:
        inside = characters_before(text, position_bytes)
        return text[inside : inside + len(name)].lower() == name

    if stands_in(f"{_DESCRIBE}{reader.query.text}"):
        return None
    return next((f for f in reader.functions if stands_in(macro_sql(f))), None)


def _rule_problems(
    check: str, schema: Schema, dataset: Dataset, error: duckdb.Error
) -> list[tuple[str, str]]:
    """What is wrong with a rule that does not bind, as (message, hint): in our words where it is
    a column that is not there."""
    whose = "query selects" if isinstance(dataset, SqlModel) else "contract has"
    known = {name.lower() for name in schema}
    unknown = [word for word in sorted(expression_words(check)) if word.lower() not in known]
    if unknown:
        return [
            (f"the {whose} no column {word!r}", suggestion(word, list(schema))) for word in unknown
        ]
    if match := re.search(r'column "?\\*"?(\w+)\\*"? must appear in the GROUP BY', str(error)):
        return [
            (
                f"a check looks at all rows, and {match[1]!r} is a column of one",
                f"put it into an aggregate, such as min({match[1]}), or make it a rule",
            )
        ]
    message, _, hint = _read_error(error)
    return [(message, hint)]


def _table(name: DatasetName, schema: Schema) -> str:
    body = ", ".join(f"{ident(column)} {kind.sql}" for column, kind in schema.items())
    return f"CREATE OR REPLACE TABLE {dotted(*name)} ({body})"


def _details(error: duckdb.Error) -> dict[str, Any]:
    """What a session with `errors_as_json` says of an error."""
    text = str(error)
    try:
        details = json.loads(text if text.startswith("{") else text.split("Error: ", 1)[-1])
    except ValueError:
        details = {"exception_message": text}
    return dict(details)


def _read_error(error: duckdb.Error) -> tuple[str, int | None, str]:
    """DuckDB's error as (message, position in bytes from 0, hint)."""
    details = _details(error)
    message = str(details.get("exception_message", error))
    hint = ""
    if match := re.search(
        r"(Candidate (?:bindings|tables|macros)|Candidates?): ?(.*)", message, re.DOTALL
    ):
        hint = " ".join(match.group(2).replace('"', "").split())[:160].lstrip(": ")
        hint = f"candidates: {hint}"
        message = message[: match.start()]
    elif match := re.search(r"Did you mean (.*?)\?", message):
        hint = f"did you mean {match.group(1)}?"
        message = message[: match.start()]
    message = message.split("\nLINE ")[0].strip().splitlines()[0].rstrip(" .!")
    if match := re.match(r"Macro (\S+\(\)) does not support the supplied arguments", message):
        message = f"{match[1]} does not take these arguments"
    position = details.get("position")
    if not message[:2].isupper():  # a word in capitals is SQL
        message = message[:1].lower() + message[1:]
    return message, int(position) if position else None, hint
