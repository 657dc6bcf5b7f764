"""The canonical form: pairs of queries; random edits that change nothing; random queries that
differ; and what the form gives when it is run."""

from __future__ import annotations

import os
import random
from collections import Counter
from pathlib import Path

import duckdb
import pytest
import yaml
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from headwater.sql.canonical import canonical
from tests.sql import edits, queries
from tests.sql.test_lineage import fill

CASES = yaml.safe_load((Path(__file__).parent / "canonical_cases.yaml").read_text())
EXAMPLES = 20 * int(os.environ.get("HEADWATER_EXAMPLES", "6"))
MUTANTS = 20
TABLES = {
    "t": "id INT, k INT, a INT, b INT, c VARCHAR, l INT[], st STRUCT(F INT, g INT), j JSON, "
    "ts TIMESTAMP, flag BOOLEAN",
    "u": "id INT, k INT, x INT, y INT, ts TIMESTAMP",
    "v": "id INT, a INT, z INT",
}
NESTED = ("l", "st", "j")


def form(sql: str) -> str:
    return canonical(sql, nested=NESTED)


def pairs(kind: str):
    return [pytest.param(case["one"], case["other"], id=case["name"]) for case in CASES[kind]]


@pytest.fixture(scope="module")
def con():
    with duckdb.connect(config={"threads": 1}) as con:
        con.execute("CREATE SCHEMA s")
        for table, columns in TABLES.items():
            con.execute(f"CREATE TABLE s.{table} ({columns})")
        con.execute(
            """INSERT INTO s.t
            SELECT n, n % 3, n * 2 % 5, nullif(n % 4, 0), 'x' || n % 3, [n, n + 1],
                {'F': n, 'g': n % 2}, '{"A": 1, "a": {"b": 2}, "a.b": 3}',
                TIMESTAMP '2026-01-01' + to_days(n::INT), n % 2 = 0
            FROM range(12) r(n)"""
        )
        con.execute(
            """INSERT INTO s.u
            SELECT n, n % 2, n % 5, n % 3, TIMESTAMP '2026-01-01' + to_days(n::INT)
            FROM range(9) r(n)"""
        )
        con.execute("INSERT INTO s.v SELECT n, n % 3, n % 4 FROM range(7) r(n)")
        yield con


@pytest.mark.parametrize(("one", "other"), pairs("equal"))
def test_two_ways_of_writing_a_query_have_one_form(con, one, other):
    assert form(one) == form(other)
    assert rows(con, one) == rows(con, other)


@pytest.mark.parametrize(("one", "other"), pairs("different"))
def test_two_queries_have_two_forms(one, other):
    assert form(one) != form(other)


def test_no_two_of_many_queries_have_one_form():
    forms: dict[str, list[str]] = {}
    for sql in CASES["distinct"]:
        forms.setdefault(form(sql), []).append(sql)
    assert [same for same in forms.values() if len(same) > 1] == []


@pytest.mark.parametrize(
    "sql",
    sorted(
        {
            case[key]
            for kind in ("equal", "different")
            for case in CASES[kind]
            for key in ("one", "other")
        }
        | set(CASES["distinct"])
    ),
)
def test_the_form_gives_the_rows_of_the_query_and_is_its_own_form(con, sql):
    assert form(form(sql)) == form(sql)
    if "random()" not in sql:
        assert rows(con, form(sql)) == rows(con, sql)


def test_a_function_of_rows_keeps_the_names_that_are_made_up():
    one, other = "SELECT len(c) FROM s.t", "SELECT length(c) FROM s.t"
    assert canonical(one, names_count=True) != canonical(other, names_count=True)


def test_an_alias_that_is_also_a_column_with_fields_stays():
    one, other = "SELECT p.f AS n FROM s.w p", "SELECT q.f AS n FROM s.w q"
    assert canonical(one) == canonical(other)
    # If s.w has p STRUCT(f INT) and q STRUCT(f INT) and no f, then these are two columns.
    assert canonical(one, nested=["P", "q"]) != canonical(other, nested=["P", "q"])


def test_a_hundred_conditions_are_sorted():
    conditions = [f"a <> {n}" for n in range(100)]
    other = random.Random(0).sample(conditions, 100)
    assert canonical(f"SELECT a FROM s.t WHERE {' AND '.join(conditions)}") == canonical(
        f"SELECT a FROM s.t WHERE {' AND '.join(other)}"
    )


# ---- random queries ----------------------------------------------------------------------------

SETTINGS = settings(max_examples=EXAMPLES, phases=[Phase.explicit, Phase.reuse, Phase.generate])


@SETTINGS
@given(made=queries.queries, seed=st.integers(0, 9999))
def test_edits_that_change_nothing_keep_the_form(made, seed):
    edited = edits.harmless(made.sql, random.Random(seed))
    assert canonical(edited) == canonical(made.sql)


@SETTINGS
@given(made=queries.queries, seed=st.integers(0, 9999))
def test_the_form_of_a_random_query_gives_its_rows_and_is_its_own_form(made, seed):
    with filled(seed) as con:
        found = canonical(made.sql)
        assert canonical(found) == found
        assert rows(con, found) == rows(con, made.sql)


@SETTINGS
@given(made=queries.queries, seed=st.integers(0, 9999))
def test_queries_that_give_different_rows_have_different_forms(made, seed):
    random_ = random.Random(seed)
    with filled(seed) as con:
        before, form_before = rows(con, made.sql), canonical(made.sql)
        others = {edits.harmful(made.sql, random_) for _ in range(MUTANTS)}
        for other in sorted(others):
            if runs(con, other) and (
                rows(con, other) != before or names(con, other) != made.columns
            ):
                assert canonical(other) != form_before, (other, form_before)


def filled(seed: int) -> duckdb.DuckDBPyConnection:
    con = duckdb.connect(config={"threads": 1})
    con.execute("CREATE SCHEMA s")
    fill(con, random.Random(seed))
    return con


def runs(con: duckdb.DuckDBPyConnection, sql: str) -> bool:
    try:
        con.execute(sql).fetchall()
    except duckdb.Error:
        return False
    return True


def rows(con: duckdb.DuckDBPyConnection, sql: str) -> Counter:
    return Counter(map(repr, con.execute(sql).fetchall()))


def names(con: duckdb.DuckDBPyConnection, sql: str) -> list[str]:
    return [column[0] for column in con.execute(sql).description]
