"""A query that is written out gives what DuckDB makes of the user's own text."""

from __future__ import annotations

import duckdb
import pytest

from headwater.sql.functions import read_function
from headwater.sql.inline import inlined
from headwater.sql.query import read_query

FUNCTIONS = {
    name: read_function(f"CREATE FUNCTION {name}{rest}")
    for name, rest in {
        "twice": "(x) AS x * 2",
        "plus": "(x, y := twice(3)) AS x + y",
        "typed": "(x DOUBLE, y VARCHAR := 'it''s, (so)') AS x || y",
        "each": "(xs, n) AS list_transform(xs, lambda x: x * n)",
        "top": "(x) AS x + (SELECT max(a) FROM s.t)",
        "big": "(least) AS TABLE SELECT a, twice(a) AS d FROM s.t WHERE a > least",
        "pair": "(n) AS TABLE WITH r AS (FROM big(n)) SELECT * FROM r UNION ALL SELECT 0, n",
    }.items()
}
QUERIES = [
    "SELECT a, b FROM s.t",
    "SELECT twice(a + 1) * 3, plus(a), plus(twice(a), y := a), PLUS(1, 2) FROM s.t",
    "SELECT typed(a), each([a, 1], 2), top(a) FROM s.t",
    "SELECT * FROM big(1)",
    "SELECT r.d, q.a FROM big(1) AS r, big(plus(0, y := 0)) q WHERE q.d = r.d",
    "SELECT x, y FROM pair(twice(1)) AS v(x, y)",
    "SELECT s.t.a, t.b, u.c FROM s.t JOIN s.u ON s.t.a = s.u.a",
    "SELECT q.a FROM s.t AS q WHERE EXISTS (SELECT 1 FROM s.u WHERE u.a = q.a)",
    "WITH t AS (SELECT a + 1 AS a FROM s.t) SELECT t.a, v.a AS other FROM t, s.t AS v",
    "SELECT t.k.z, k.z + 1, twice(k.z) FROM s.t",
    "SELECT * EXCLUDE (k) REPLACE (twice(a) AS a) FROM s.t",
    "SELECT b, count(*) FILTER (a > 1) AS n, sum(a) OVER (ORDER BY b) FROM s.t GROUP BY b, a",
    "FROM s.t SELECT a, b ORDER BY a DESC LIMIT 2",
    "SELECT unnest([1, a]) AS x, CASE WHEN a > 1 THEN 'x' END, a::DOUBLE / 3, a // 2 FROM s.t",
    "SELECT 'headwater:0:' AS w, date_trunc('month', DATE '2024-03-05' + INTERVAL 2 DAY)",
    "FROM (PIVOT s.t ON b USING sum(a) GROUP BY a)",
    "SELECT a, l.d FROM s.u, LATERAL (SELECT d FROM big(u.a - 1) AS q WHERE q.a = u.a) AS l",
    "VALUES (twice(1)), (2)",
    "SELECT twice(1) AS x UNION SELECT a FROM s.t EXCEPT SELECT 3 ORDER BY x",
]  # fmt: skip


@pytest.fixture(scope="module")
def con():
    con = duckdb.connect()
    con.execute("CREATE SCHEMA s; CREATE TABLE s.t AS SELECT * FROM (VALUES "
                "(1, 'x', {z: 1}), (2, 'y', {z: 2}), (3, 'x', {z: 3})) v(a, b, k); "
                "CREATE TABLE s.u AS SELECT a, a * 10 AS c FROM s.t")  # fmt: skip
    for function in FUNCTIONS.values():
        con.execute(f"CREATE MACRO {function.name}{function.definition}")
    bare = duckdb.connect()
    bare.execute("CREATE SCHEMA p; CREATE TABLE p.one AS SELECT * FROM (VALUES "
                 "(1, 'x', {z: 1}), (2, 'y', {z: 2}), (3, 'x', {z: 3})) v(a, b, k); "
                 "CREATE TABLE p.two AS SELECT a, a * 10 AS c FROM p.one")  # fmt: skip
    return con, bare


@pytest.mark.parametrize("text", QUERIES)
def test_a_query_written_out_gives_the_same_rows_without_its_functions(con, text):
    full, bare = con
    there = {("s", "t"): "(FROM p.one)", ("s", "u"): "(FROM p.two)"}
    described = full.execute(f"DESCRIBE {text}").fetchall()
    names = {f"c{number}": row[1] for number, row in enumerate(described)}
    if text.startswith("FROM (PIVOT"):
        names = {row[0]: row[1] for row in described}
    sql = inlined(read_query(text), FUNCTIONS, lambda *name: there[name], names)
    told = bare.execute(sql).fetchall()
    assert sorted(told, key=str) == sorted(full.execute(text).fetchall(), key=str)
    assert [row[1] for row in bare.execute(f"DESCRIBE {sql}").fetchall()] == list(names.values())
