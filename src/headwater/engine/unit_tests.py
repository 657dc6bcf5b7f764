"""What unit tests say, held against the project: models, inputs, columns, values, rules.

Nothing is run here. What comes out can be: each test with the rows of every input of its model,
as texts that the input's types can be cast from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import duckdb

from headwater.analysis.functions import no_dataset
from headwater.analysis.graph import Graph
from headwater.contract.across import across_rules
from headwater.contract.cells import Unfit, cell_text, misfits_sql
from headwater.contract.compile import compile_contract
from headwater.contract.contract import Remedy
from headwater.contract.types import VARCHAR, Type
from headwater.contract.values import text_of
from headwater.engine.bind import Bound, Schema
from headwater.engine.session import connect
from headwater.engine.variables import wrong_values
from headwater.errors import HeadwaterError, Mistake, suggestion
from headwater.names import DatasetName
from headwater.places import Place
from headwater.project.definitions import (
    ORIGIN_COLUMNS,
    Dataset,
    Model,
    Origin,
    Project,
    PythonModel,
    SourceDataset,
    SqlModel,
    Value,
    input_columns,
)
from headwater.project.read import read_model_again
from headwater.project.unit_tests import GivenRows, UnitTest, UnitTests
from headwater.sql.clock import any_asks_time, asks_time, passes_by

Noted = Callable[[str, str], Mistake]
"""Makes a mistake of a message and a hint."""


@dataclass(frozen=True)
class CellRows:
    """Rows as the texts of their cells, and the types of their columns."""

    kinds: Mapping[str, Type]
    rows: Sequence[Mapping[str, str | None]] = ()


@dataclass(frozen=True, kw_only=True)
class ReadyTest:
    """A test that can be run.

    model     with the test's values of variables.
    inputs    every input of the model; those that are not given have no rows.
    schema    the columns of the result; None: they are known once the function was called.
    result    the columns of the query's result, before the contract gives them types.
    expect    the expected rows with the columns that are compared; None without `expect`, and
              without a schema.
    """

    test: UnitTest
    model: Model
    inputs: Mapping[DatasetName, CellRows]
    schema: Schema | None
    result: Schema | None
    expect: CellRows | None


def ready_tests(
    project: Project, graph: Graph, bound: Bound, tests: UnitTests
) -> tuple[list[ReadyTest], list[Mistake]]:
    """The tests that can be run, and what is wrong with the others. Those of models that have
    mistakes themselves are left out without a word."""
    if not tests.tests:
        return [], []
    judge = _Judge(project, graph, bound, tests)
    with connect() as con:
        for test in tests.tests:
            judge.test(con, test)
        broken = judge.cells.judge(con)
    judge.mistakes += [noted(message, "") for noted, message in broken]
    return (judge.ready if not judge.mistakes else []), judge.mistakes


@dataclass
class Cells:
    """Cells as texts, and which of them are no values of their types."""

    asked: dict[Type, dict[str, list[tuple[Noted, str]]]] = field(default_factory=dict)
    unfit: list[Mistake] = field(default_factory=list)

    def take(self, value: Any, kind: Type, what: str, noted: Noted) -> str | None:
        """A cell as a text. `what` it is, for messages."""
        try:
            text = cell_text(value, kind)
        except Unfit as unfit:
            self.unfit.append(noted(f"{what}: {unfit.message}", unfit.hint))
            return None
        if text is not None and kind != VARCHAR:
            message = f"{what} must be {kind.sql.lower()}, exactly"
            self.asked.setdefault(kind, {}).setdefault(text, []).append((noted, message))
        return text

    def judge(self, con: duckdb.DuckDBPyConnection) -> list[tuple[Noted, str]]:
        """What is wrong with the cells: all texts of a type are asked for at once."""
        found: list[tuple[Noted, str]] = []
        for kind, texts in self.asked.items():
            words = list(texts)
            for (number,) in con.execute(misfits_sql(kind, words)).fetchall():
                found += texts[words[number]]
        return found


def cells_of(
    cells: Cells,
    rows: Sequence[Mapping[str, Any]],
    kinds: Mapping[str, Type],
    noted: Callable[[int, str], Noted],
    what: str,
) -> list[dict[str, str | None]]:
    """Rows as texts; their columns may be spelled in any case.

    noted   (row, column) -> how a mistake there is made.
    what    the columns belong to, for messages.
    """
    spelled = {name.lower(): name for name in kinds}
    unknown: set[str] = set()
    found = []
    for number, row in enumerate(rows):
        texts: dict[str, str | None] = {}
        for column, value in row.items():
            name = spelled.get(str(column).lower())
            if name is None:
                if column not in unknown:
                    hint = suggestion(str(column), list(kinds))
                    cells.unfit.append(
                        noted(number, column)(f"{what} has no column {column!r}", hint)
                    )
                unknown.add(column)
            elif name in texts:
                cells.unfit.append(noted(number, column)(f"the column {name!r} is here twice", ""))
            else:
                texts[name] = cells.take(value, kinds[name], f"`{name}`", noted(number, column))
        found.append(texts)
    return found


def inputs_of(project: Project, model: Model, bound: Bound) -> dict[DatasetName, Schema]:
    """Every input of a model with the columns that it sees. Raises HeadwaterError where they are
    known only once the input is built."""
    words = model.words if isinstance(model, SqlModel) else frozenset(ORIGIN_COLUMNS)
    found = {}
    for name in model.inputs:
        schema = bound.schemas.get(name)
        if schema is None:
            raise HeadwaterError(
                f"{model.name} reads {name}, whose columns are not known before it is built",
                hint=f"declare them in the contract of {name}: columns: …",
            )
        dataset = project.datasets[name]
        kinds = {**ORIGIN_COLUMNS, **schema}
        seen = input_columns(dataset, schema, words)
        found[name] = {column: kinds[column] for column in seen if _is_there(dataset, column)}
    return found


def _is_there(dataset: Dataset, column: str) -> bool:
    """Whether a source carries a column of origin."""
    is_file = isinstance(dataset, SourceDataset) and dataset.definition.origin is Origin.FILE
    return not (is_file and column == "_record" and column not in dataset.contract.columns)


class _Judge:
    """Looks at one test after the other."""

    def __init__(self, project: Project, graph: Graph, bound: Bound, tests: UnitTests) -> None:
        self.project, self.graph, self.bound, self.tests = project, graph, bound, tests
        self.cells = Cells()
        self.ready: list[ReadyTest] = []
        self.mistakes: list[Mistake] = self.cells.unfit
        self.again: dict[tuple[DatasetName, str], tuple[Model | None, frozenset[str]]] = {}
        self.codes: dict[DatasetName, list[str]] = {}
        self.asking: dict[DatasetName, tuple[bool, bool]] = {}
        blind = [
            name
            for name, dataset in graph.datasets.items()
            if isinstance(dataset, PythonModel) and not dataset.contract.columns
        ]
        self.unknown = graph.downstream(blind)

    def note(
        self, test: UnitTest, path: tuple[str | int, ...], message: str, hint: str = ""
    ) -> None:
        place = test.places.of(path)
        self.mistakes.append(self.tests.mistake(test.file, place, message, hint))

    def test(self, con: duckdb.DuckDBPyConnection, test: UnitTest) -> None:
        model = self.model(test)
        if model is None:
            return
        is_fit = model.name not in self.unknown or all(
            given in self.bound.schemas for given in model.inputs
        )
        if not is_fit or model.name in self.bound.schemas or isinstance(model, PythonModel):
            model = self.with_variables(con, test, model)
        else:
            return  # it has mistakes of its own
        if model is None:
            return
        try:
            schemas = inputs_of(self.project, model, self.bound)
        except HeadwaterError as error:
            if any(name in self.unknown for name in model.inputs):
                self.note(test, ("model",), error.message, error.hint)
            return
        self.refuse_running_time(test, model)
        # A function may return more columns than its contract declares.
        is_known = isinstance(model, SqlModel)
        schema = self.bound.schemas.get(model.name) if is_known else None
        self.ready.append(
            ReadyTest(
                test=test,
                model=model,
                inputs=self.inputs(test, model, schemas),
                schema=schema,
                result=self.bound.results.get(model.name),
                expect=self.expected(test, model, schema),
            )
        )
        self.refuse_unknown_rules(test, model, schema)

    def model(self, test: UnitTest) -> Model | None:
        """The model of a test; None, with a mistake noted unless it has some itself."""
        text = test.definition.model
        known = [
            str(n) for n, d in self.project.datasets.items() if not isinstance(d, SourceDataset)
        ]
        name = _name(text)
        found = self.project.datasets.get(name)
        if isinstance(found, SqlModel | PythonModel):
            return found if name in self.graph.datasets else None
        if isinstance(found, SourceDataset):
            message = f"{name} is landed by a source, and unit tests are of models"
            hint = "`headwater show DATASET --contract` says in words what its contract means"
            self.note(test, ("model",), message, hint)
        elif not self.project.is_unread(name):
            message, hint = no_dataset(name, known)
            self.note(test, ("model",), message.replace("no dataset", "no model"), hint)
        return None

    # ---- variables and time

    def with_variables(
        self, con: duckdb.DuckDBPyConnection, test: UnitTest, model: Model
    ) -> Model | None:
        """The model with the test's values; None, with mistakes noted, if there are none such."""
        given = test.definition.variables
        if not given:
            return model
        settings, before = self.project.settings, len(self.mistakes)
        for name, value in given.items():
            variable = settings.variables.get(name)
            if variable is None:
                hint = suggestion(name, list(settings.variables))
                none = "headwater.yaml declares no `variables:`"
                self.note(test, ("variables", name), f"no variable {name!r}", hint or none)
            elif wrong_values(con, [Value(name, variable.type_, text_of(value))]):
                kind = variable.type_.sql.lower()
                self.note(test, ("variables", name), f"the variable {name!r} must be {kind}")
        if len(self.mistakes) > before:
            return None
        key = (model.name, repr(sorted(given.items())))
        if key not in self.again:
            others = {name: v.text for name, v in self.project.variables.items() if v.given}
            self.again[key] = read_model_again(self.project, model, {**others, **given})
        found, used = self.again[key]
        for name in given:
            if found and name not in used:
                message = f"{model.name} does not use ${name}"
                self.note(test, ("variables", name), message, "leave it out")
        return found

    def refuse_running_time(self, test: UnitTest, model: Model) -> None:
        """Note that the model asks the time, and that the test does not say what time it is."""
        if model.name not in self.asking:
            self.asking[model.name] = clock_of(model)
        asks, by_full_name = self.asking[model.name]
        if by_full_name:
            message = f"{model.name} asks DuckDB's own clock, by its full name system.main.…"
            self.note(test, ("model",), message, "a test can stop the time of now() alone")
        elif asks and test.definition.now is None:
            message = f"{model.name} asks what time it is, and the test does not say"
            self.note(test, (), message, "now: 2026-01-05 12:00:00")

    # ---- rows

    def inputs(
        self, test: UnitTest, model: Model, schemas: Mapping[DatasetName, Schema]
    ) -> dict[DatasetName, CellRows]:
        found = {name: CellRows(schema) for name, schema in schemas.items()}
        for text, given in test.given.items():
            name = _name(text)
            if name in found:
                found[name] = self.rows(given, schemas[name], str(name))
                continue
            message, hint = no_dataset(name, [str(known) for known in schemas])
            if name in self.project.datasets:
                message = f"{model.name} does not read {name}"
                reads = ", ".join(str(known) for known in schemas)
                hint = f"it reads: {reads}" if reads else "it reads no dataset"
            self.note(test, ("given", text), message, hint)
        return found

    def rows(self, given: GivenRows, schema: Schema, what: str) -> CellRows:
        def noted(number: int, column: str) -> Noted:
            place = given.place_of(number, column)
            return lambda message, hint: self.tests.mistake(given.file, place, message, hint)

        rows = given.rows
        if given.header:
            cells_of(self.cells, [dict.fromkeys(given.header)], schema, _at(self, given), what)
            known = {name.lower() for name in schema}
            rows = [{n: cell for n, cell in row.items() if n.lower() in known} for row in rows]
        return CellRows(schema, cells_of(self.cells, rows, schema, noted, what))

    def expected(self, test: UnitTest, model: Model, schema: Schema | None) -> CellRows | None:
        if test.expect is None or schema is None:
            return None
        found = self.rows(test.expect, schema, str(model.name))
        return CellRows(compared(schema, test.expect), found.rows)

    # ---- rules

    def refuse_unknown_rules(self, test: UnitTest, model: Model, schema: Schema | None) -> None:
        """Note what `expect_broken` names that is no rule, where the columns are known."""
        codes = test.definition.expect_broken
        if not codes or schema is None:
            return
        if model.name not in self.codes:
            self.codes[model.name] = codes_of(model, schema)
        for number, code in enumerate(codes):
            if code not in self.codes[model.name]:
                hint = suggestion(code, self.codes[model.name])
                none = "its contract has no rules that rows can break"
                self.note(
                    test,
                    ("expect_broken", number),
                    f"{model.name} has no rule {code!r} that can be broken",
                    hint or none,
                )


def _at(judge: _Judge, given: GivenRows) -> Callable[[int, str], Noted]:
    """Mistakes in the header of a file."""

    def noted(_: int, column: str) -> Noted:
        place: Place = given.header[column]
        return lambda message, hint: judge.tests.mistake(given.file, place, message, hint)

    return noted


def _name(text: str) -> DatasetName:
    """A dataset's name as somebody wrote it, whether there is such a dataset or not."""
    schema, _, name = text.strip().rpartition(".")
    return DatasetName(schema, name)


def compared(schema: Schema, expect: GivenRows) -> Schema:
    """The columns that expected rows name, in the order of the result."""
    named = {str(column).lower() for column in expect.columns}
    return {name: kind for name, kind in schema.items() if name.lower() in named}


def codes_of(model: Model, schema: Schema) -> list[str]:
    """The rules of a model's contract that its rows can break: those that mend a value, or leave
    a repeat out, are none."""
    contract = model.contract.completed(schema)
    compiled = compile_contract(contract, schema, otherwise=Remedy.FAIL)
    across = across_rules(contract, otherwise=Remedy.FAIL)
    rules = [check.code for check in compiled.checks]
    return list(dict.fromkeys([*rules, *(rule.code for rule in across if rule.remedy)]))


def clock_of(model: Model) -> tuple[bool, bool]:
    """Whether a model asks what time it is in SQL; and whether in a way that cannot be stopped."""
    trees = [function.text.body.tree for function in model.functions]
    if isinstance(model, SqlModel):
        trees.append(model.query.tree)
    asks = any(asks_time(tree) for tree in trees) or any_asks_time(_expressions(model))
    return asks, asks and any(passes_by(tree) for tree in trees)


def _expressions(model: Model) -> Iterable[str]:
    # Checks of all rows are for a release; a build does not look at them.
    return (sql for path, sql in model.contract.expressions() if path[:1] != ("checks",))
