"""Running unit tests: a model over given rows, in memory and without a lake.

The model is built as a run builds it, its contract applied by the same code; only that its inputs
are tables of the session, and that the time can be stopped. All tests share one session; each
clears up after itself.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

import duckdb

from headwater.contract.cells import Shown, rows_sql, shown_sql
from headwater.contract.contract import Remedy
from headwater.contract.types import Type
from headwater.engine.bind import Schema
from headwater.engine.macros import macro_sql
from headwater.engine.session import Limits, connect
from headwater.engine.unit_tests import CellRows, Cells, ReadyTest, cells_of, codes_of, compared
from headwater.errors import (
    ContractBroken,
    HeadwaterError,
    Mistake,
    ModelFailed,
    ProjectMistakes,
    counted,
    suggestion,
)
from headwater.lake.step import StepIdentity
from headwater.names import DatasetName
from headwater.project.definitions import Model
from headwater.project.unit_tests import UnitTests
from headwater.refresh.full import FullBuild, compute_result, explain_failure
from headwater.run.difference import Difference, Row, compare
from headwater.sql.clock import NO_TIME, stopped
from headwater.sql.quote import dotted, ident


class Status(StrEnum):
    """What became of a test."""

    PASSED = "passed"
    FAILED = "failed"
    RECORDED = "recorded"


@dataclass
class Outcome:
    """One test that was run.

    message     why it failed, in one line.
    detail      more lines: the difference, or the cause.
    difference  None where no rows were compared, or they are the same.
    is_broken   whether it failed for the rules that rows broke, or did not break.
    actual      the rows that the model gave, with all columns, in an order that is the same every
                time; None where it gave none.
    """

    ready: ReadyTest
    status: Status = Status.PASSED
    message: str = ""
    detail: str = ""
    difference: Difference | None = None
    actual: tuple[Mapping[str, Type], list[Row]] | None = None
    is_broken: bool = False
    seconds: float = 0.0

    def fail(self, message: str, detail: str = "") -> Outcome:
        self.status, self.message, self.detail = Status.FAILED, message, detail
        return self

    @property
    def is_recordable(self) -> bool:
        """Whether it fails because of its expected rows, and there are rows to expect."""
        test = self.ready.test
        says_nothing = test.expect is None and test.definition.expect_broken is None
        return self.actual is not None and (self.difference is not None or says_nothing)

    def as_dict(self) -> dict[str, Any]:
        """The outcome as plain values."""
        test = self.ready.test
        return {
            "name": test.name,
            "model": test.definition.model,
            "file": test.file,
            "line": test.line,
            "status": self.status.value,
            "message": self.message,
            "detail": self.detail,
            "difference": self.difference.as_dict()["rows"] if self.difference else [],
            "seconds": round(self.seconds, 6),
        }


def run_tests(folder: Path, tests: UnitTests, ready: Iterable[ReadyTest]) -> Iterator[Outcome]:
    """Run tests, one after the other. Raises ProjectMistakes where an expected value turns out to
    be none, of a model whose columns are known only now."""
    with stage(folder) as on:
        for one in ready:
            started = time.monotonic()
            outcome = _run(on, tests, one)
            outcome.seconds = time.monotonic() - started
            yield outcome


@contextmanager
def stage(folder: Path) -> Iterator[Stage]:
    """A session in which models of the project in `folder` are run."""
    # Small tables on many threads take longer than on one.
    with connect(Limits(threads=1)) as con:
        yield Stage(con, folder)


@dataclass
class Stage:
    """A session, and what stands in it.

    schemas   those that were made.
    moment    where the time stands still; () before it was ever stopped.
    """

    con: duckdb.DuckDBPyConnection
    folder: Path
    schemas: set[str] = field(default_factory=set)
    moment: datetime | tuple[()] | None = ()
    number: int = 0

    def stop_time(self, moment: datetime | None) -> None:
        if self.moment != moment:
            self.con.execute("; ".join(stopped(moment)))
            self.moment = moment

    def make_schema(self, name: DatasetName) -> None:
        if name.schema not in self.schemas:
            self.con.execute(f"CREATE SCHEMA IF NOT EXISTS {dotted('memory', name.schema)}")
            self.schemas.add(name.schema)

    @contextmanager
    def built(
        self,
        model: Model,
        inputs: Mapping[DatasetName, str],
        moment: datetime | None,
        result: Schema | None = None,
    ) -> Iterator[tuple[FullBuild, HeadwaterError | None]]:
        """A model's result over its inputs, while it stands in the session; also when its contract
        is broken, or when it fails.

        inputs   name -> SELECT of its rows.
        result   the columns of the query's result, where binding has told them.
        """
        self.number += 1
        build = FullBuild(_identity(model, self.number), model, {})
        self.stop_time(moment)
        error: HeadwaterError | None = None
        try:
            for name in (model.name, *inputs):
                self.make_schema(name)
            for name, query in inputs.items():
                self.con.execute(f"CREATE OR REPLACE TABLE {dotted('memory', *name)} AS {query}")
            try:
                for function in model.functions:
                    self.con.execute(macro_sql(function))
                compute_result(self.con, build, self.folder, dict(result) if result else None)
            except duckdb.Error as problem:
                error = explain_failure(model, problem)
                error.__cause__ = problem
            except HeadwaterError as problem:
                error = problem
            yield build, error
        finally:
            build.clear(self.con)
            for name in inputs:
                self.con.execute(f"DROP TABLE IF EXISTS {dotted('memory', *name)}")

    def rows(self, relation: str, kinds: Mapping[str, Type], order: str = "") -> list[Row]:
        """Rows as DuckDB tells them: see `Shown`."""
        names = list(kinds)
        picked = ", ".join(shown_sql(name, kind) for name, kind in kinds.items()) or "1"
        found = self.con.execute(f"SELECT {picked} FROM {relation}{order}").fetchall()
        return [_row(names, kinds, row) for row in found]


def _row(names: Sequence[str], kinds: Mapping[str, Type], row: Sequence[Any]) -> Row:
    return {name: _plain(value, kinds[name]) for name, value in zip(names, row, strict=False)}


def _plain(value: Any, kind: Type) -> Shown:
    """A value without JSON's `null` inside it, which is no value either."""
    if isinstance(value, list):
        return [_within(item, kind.parts[0][1]) for item in value]
    if isinstance(value, dict):
        parts = dict(kind.parts)
        is_map = kind.kind == "MAP"
        return {
            str(key): _within(item, parts["value"] if is_map else parts[key])
            for key, item in value.items()
        }
    return None if value is None else str(value)


def _within(value: Any, kind: Type) -> Shown:
    return None if kind.kind == "JSON" and value == "null" else _plain(value, kind)


def _identity(model: Model, number: int) -> StepIdentity:
    """A step that is none of a run's: it only numbers what stands in the session."""
    return StepIdentity(
        run_id="",
        step=number,
        dataset=model.name,
        table="",
        fingerprint="",
        planned_at=0,
        expected=None,
        action="",
        reason="",
    )


# ---- one test ------------------------------------------------------------------------------


def _run(on: Stage, tests: UnitTests, ready: ReadyTest) -> Outcome:
    outcome = Outcome(ready)
    inputs = {name: rows_sql(rows.kinds, rows.rows) for name, rows in ready.inputs.items()}
    moment = ready.test.definition.now
    with on.built(ready.model, inputs, moment, ready.result) as (build, error):
        if error is not None and not isinstance(error, ContractBroken):
            return outcome.fail(*_why(error))
        if not build.columns:
            return outcome.fail(str(error))
        _refuse_unknown_rules(ready, tests, build)
        broken = _broken(ready, build, error)
        if error is None:
            order = "" if ready.test.definition.ordered else _order(ready.model, build.columns)
            outcome.actual = build.columns, on.rows(build.result, build.columns, order)
            _look_at_rows(on, tests, outcome)
        elif ready.test.expect is not None and not broken:
            codes = ", ".join(_failing(build))
            broken = f"{codes} fails the build, so there are no rows to compare"
            broken += ": leave out `expect`, or expect no broken rule"
    if broken:
        rows = outcome.message
        outcome.is_broken = True
        outcome.fail(f"{broken}; {rows}" if rows else broken, outcome.detail)
    return outcome


def _order(model: Model, columns: Mapping[str, Type]) -> str:
    """ORDER BY that is the same every time: by the key first, then by all else."""
    first = [*model.contract.key, *columns]
    words = dict.fromkeys(name.lower() for name in first)
    spelled = {name.lower(): name for name in columns}
    texts = [f"CAST({ident(spelled[word])} AS VARCHAR)" for word in words if word in spelled]
    plain = [ident(spelled[word]) for word in words if word in spelled]
    # Equal values may be written in several ways: 1 month and 30 days are.
    return f" ORDER BY {', '.join([*plain, *texts])}" if texts else ""


def _look_at_rows(on: Stage, tests: UnitTests, outcome: Outcome) -> None:
    """Compare the rows that a model gave with those that its test expects."""
    ready = outcome.ready
    definition = ready.test.definition
    if ready.test.expect is None:
        if definition.expect_broken is None:
            outcome.fail(
                "the test expects nothing",
                "`headwater test --update` records what the model gives",
            )
        return
    assert outcome.actual
    kinds, actual = outcome.actual
    wanted = ready.expect or _settled(on, tests, ready, kinds)
    expected = _told(on, wanted)
    # Where no row is expected, none names a column; those that are there are shown whole.
    shown = wanted.kinds if wanted.rows else kinds
    found = compare(
        shown, expected, actual, key=ready.model.contract.key, ordered=definition.ordered
    )
    if found:
        outcome.difference = found
        there = f"{counted(len(actual), 'row')} where {len(expected)} are expected"
        outcome.fail(found.words if shown else there, found.text() if shown else "")


def _told(on: Stage, rows: CellRows) -> list[Row]:
    """Expected rows as DuckDB tells them, so that both sides are told alike."""
    if not rows.kinds:
        return [{} for _ in rows.rows]
    return on.rows(f"({rows_sql(rows.kinds, rows.rows)})", rows.kinds)


def _settled(on: Stage, tests: UnitTests, ready: ReadyTest, schema: Mapping[str, Type]) -> CellRows:
    """The expected rows of a model whose columns are known only now."""
    expect = ready.test.expect
    assert expect
    cells = Cells()

    def noted(number: int, column: str) -> Any:
        place = expect.place_of(number, column)
        return lambda message, hint: tests.mistake(expect.file, place, message, hint)

    found = cells_of(cells, expect.rows, schema, noted, str(ready.model.name))
    mistakes: list[Mistake] = [*cells.unfit]
    mistakes += [make(message, "") for make, message in cells.judge(on.con)]
    if mistakes:
        raise ProjectMistakes(mistakes)
    return CellRows(compared(dict(schema), expect), found)


# ---- broken rules --------------------------------------------------------------------------


def _failing(build: FullBuild) -> list[str]:
    remedies = dict(build.checks)
    return [code for code in build.broken if remedies.get(code, Remedy.FAIL) is Remedy.FAIL]


def _broken(ready: ReadyTest, build: FullBuild, error: HeadwaterError | None) -> str:
    """What is wrong with the rules that rows break; "" for nothing."""
    expected = ready.test.definition.expect_broken
    there = list(build.broken)
    if expected is None:
        return f"rows break the contract: {error.message}" if error else ""
    words = []
    if missing := [code for code in expected if code not in there]:
        words.append(f"no row breaks {', '.join(missing)}")
    if more := [code for code in there if code not in expected]:
        words.append(f"rows break {', '.join(more)} too")
    return "; ".join(words)


def _refuse_unknown_rules(ready: ReadyTest, tests: UnitTests, build: FullBuild) -> None:
    """Raise ProjectMistakes where `expect_broken` names no rule of a model whose columns are
    known only now."""
    codes = ready.test.definition.expect_broken
    if not codes or ready.schema is not None:
        return
    known = codes_of(ready.model, build.columns)
    wrong = [number for number, code in enumerate(codes) if code not in known]
    if wrong:
        raise ProjectMistakes(
            [
                tests.mistake(
                    ready.test.file,
                    ready.test.places.of(("expect_broken", number)),
                    f"{ready.model.name} has no rule {codes[number]!r} that can be broken",
                    suggestion(codes[number], known),
                )
                for number in wrong
            ]
        )


# ---- models that fail ----------------------------------------------------------------------


def _why(error: HeadwaterError) -> tuple[str, str]:
    """Why a model failed: in one line, and more. What it says may hold values: they are the
    test's own."""
    cause = error.__cause__
    text = str(cause).strip() if cause is not None else ""
    if NO_TIME in text:
        return "the model asks what time it is, and the test does not say", (
            "hint: now: 2026-01-05 12:00:00"
        )
    detail = f"{type(cause).__name__}: {text}" if text and error.message not in text else text
    message = str(error)
    if isinstance(error, ModelFailed) and isinstance(cause, duckdb.Error):
        message, detail = f"{error.where}: {text.splitlines()[0]}" if text else message, ""
    return message, detail
