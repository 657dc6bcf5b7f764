"""What columns and rows mean: pairs of queries; and the promise behind it, on random queries and
random rows."""

from __future__ import annotations

import os
import random
from collections import Counter
from itertools import combinations
from pathlib import Path

import duckdb
import pytest
import yaml
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from sqlglot import exp, parse_one

from headwater.sql import builtin
from headwater.sql.functions import read_function
from headwater.sql.meaning import Meaning, Part, meaning
from tests.sql import edits, queries
from tests.sql.test_canonical import CASES as CANONICAL
from tests.sql.test_canonical import NESTED, TABLES, con, filled, runs

__all__ = ["con"]

CASES = yaml.safe_load((Path(__file__).parent / "meaning_cases.yaml").read_text())
EXAMPLES = 20 * int(os.environ.get("HEADWATER_EXAMPLES", "6"))
MUTANTS = 20
SETTINGS = settings(max_examples=EXAMPLES, phases=[Phase.explicit, Phase.reuse, Phase.generate])
SCHEMAS = {
    ("s", table): tuple(
        column.split()[0] for column in columns.replace("F INT, g", "F").split(", ")
    )
    for table, columns in TABLES.items()
}
SMALL = {("s", table): columns for table, columns in queries.TABLES.items()}


def names_of(con, sql: str) -> list[str]:
    return [column[0] for column in con.execute(sql).description]


def meaning_of(con, sql: str) -> Meaning:
    return meaning(sql, SCHEMAS, names_of(con, sql), nested=NESTED)


def parts(found: Meaning) -> dict[str, Part]:
    return {"rows": found.rows, **found.columns}


# ---- pairs -------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_of_two_queries_the_same_means_the_same(con, case):
    one, other = (parts(meaning_of(con, case[key])) for key in ("one", "other"))
    same = {name for name in one.keys() & other.keys() if one[name].text == other[name].text}
    assert same == set(case.get("same", "").split())
    assert (one.keys() & other.keys()) - same == set(case.get("differ", "").split())


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_what_means_the_same_reads_and_gives_the_same(con, case):
    one, other = (meaning_of(con, case[key]) for key in ("one", "other"))
    for name in set(case.get("same", "").split()):
        assert parts(one)[name] == parts(other)[name]
    keep_the_promise(con, (case["one"], one), (case["other"], other))


def test_of_many_queries_what_means_the_same_gives_the_same(con):
    texts = {
        case[key]
        for kind in ("equal", "different")
        for case in CANONICAL[kind]
        for key in ("one", "other")
    }
    texts |= {*CANONICAL["distinct"], *(case[key] for case in CASES for key in ("one", "other"))}
    found = [(sql, meaning_of(con, sql)) for sql in sorted(texts) if "random()" not in sql]
    by_rows: dict[str, list[tuple[str, Meaning]]] = {}
    for sql, meant in found:
        by_rows.setdefault(meant.rows.text, []).append((sql, meant))
    pairs = [pair for same in by_rows.values() for pair in combinations(same, 2)]
    assert len(pairs) > 1000
    rows = {sql: con.execute(sql).fetchall() for sql, _ in found}
    for one, other in pairs:
        compare(rows, one, other)


def keep_the_promise(con, one: tuple[str, Meaning], other: tuple[str, Meaning]) -> None:
    if one[1].rows.text == other[1].rows.text:
        compare({sql: con.execute(sql).fetchall() for sql, _ in (one, other)}, one, other)


def compare(rows, one: tuple[str, Meaning], other: tuple[str, Meaning]) -> None:
    """Where rows mean the same, columns that mean the same hold the same."""
    pairs = [
        (m, n)
        for m, mine in enumerate(one[1].columns.values())
        for n, theirs in enumerate(other[1].columns.values())
        if mine.text == theirs.text
    ]
    places = [list(each) for each in zip(*pairs, strict=True)] or [[], []]
    assert picked(rows[one[0]], places[0]) == picked(rows[other[0]], places[1]), (one, other)


def picked(rows, places: list[int]) -> Counter:
    return Counter(repr([row[place] for place in places]) for row in rows)


# ---- parts -------------------------------------------------------------------------------------


def read_by(part: Part) -> str:
    origins = sorted(f"{o.table}.{o.column}" for o in part.reads)
    return " ".join([*origins, *sorted(f"{table}.*" for _, table in part.tables)])


def test_a_part_says_what_it_reads(con):
    sql = """
    WITH q AS (SELECT id, a + b AS n, k FROM s.t WHERE flag)
    SELECT q.n, r.x, sum(q.n) OVER (PARTITION BY q.k) AS total,
        (SELECT max(z) FROM s.v WHERE v.id = q.id) AS most
    FROM q LEFT JOIN s.u r ON q.id = r.id
    """
    assert {name: read_by(part) for name, part in parts(meaning_of(con, sql)).items()} == {
        "rows": "t.flag t.id u.id t.* u.*",
        "n": "t.a t.b",
        "x": "u.x",
        "total": "t.a t.b t.flag t.id t.k u.id t.* u.*",
        "most": "t.id v.id v.z v.*",
    }


def test_groups_read_what_they_go_by(con):
    sql = "SELECT k, count(*) AS n, sum(a) AS m FROM s.t WHERE b > 0 GROUP BY k HAVING max(id) > 1"
    assert {name: read_by(part) for name, part in parts(meaning_of(con, sql)).items()} == {
        "rows": "t.b t.id t.k t.*",
        "k": "t.k",
        "n": "t.b t.k t.*",
        "m": "t.a t.b t.k t.*",
    }


def test_what_is_not_followed_reads_all(con):
    found = parts(meaning_of(con, "SELECT a::VARCHAR COLLATE NOCASE AS n FROM s.v"))
    assert {read_by(part) for part in found.values()} == {"v.a v.id v.z v.*"}


def test_a_table_that_gains_a_column_changes_no_other():
    wide = {**SMALL, ("s", "v"): ("id", "new", "a", "z")}
    sql = "WITH q AS (SELECT * FROM s.v), r AS (SELECT * EXCLUDE (id) FROM q WHERE a > 0) FROM r"
    narrow, found = meaning(sql, SMALL, ["a", "z"]), meaning(sql, wide, ["new", "a", "z"])
    assert found.rows == narrow.rows
    assert {name: found.columns[name] for name in ("a", "z")} == narrow.columns


def test_a_column_keeps_its_place_in_the_result(con):
    assert list(meaning_of(con, "SELECT k, a, b FROM s.t").columns) == ["k", "a", "b"]


def test_names_that_do_not_fit_make_the_whole_query_opaque():
    one = meaning("SELECT a, b FROM s.t", SMALL, ["b", "a"])
    assert one.rows != meaning("SELECT a, b FROM s.t", SMALL, ["a", "b"]).rows
    assert len(one.rows.reads) == sum(map(len, SMALL.values()))


def test_a_function_of_the_project_means_its_text():
    def of(body: str, sql: str) -> dict[str, Part]:
        function = read_function(f"CREATE FUNCTION twice(x) AS {body}")
        names = ["n", "k"]
        return parts(meaning(sql, SMALL, names, functions={"twice": function}))

    sql = "SELECT q.n, t.k FROM s.t JOIN (SELECT id, twice(x) AS n FROM s.u) q ON t.id = q.id"
    one, other = of("x * 2", sql), of("x + x", sql)
    assert one == of("x*2 -- why", sql)
    assert one["rows"] == other["rows"]
    assert one["n"].text != other["n"].text
    assert one["k"] == other["k"]


FUNCTIONS = {
    "twice": "(v) AS v * 2",
    "share": "(v, of := 4) AS round(v / nullif(of, 0), 2)",
    "grade": "(v) AS CASE WHEN v > 1 AND v < 9 THEN 'low' ELSE upper('high') END",
    "pair": "(v, w) AS twice(v) + twice(w)",
    "each": "(v) AS list_transform([v, 1], e -> e + v)",
    "total": "(v) AS sum(v)",
    "most": "(v) AS v + (SELECT max(x) FROM s.u)",
    "place": "(v) AS rank() OVER (ORDER BY v)",
    "several": "(v) AS TABLE SELECT v AS n FROM range(2)",
}


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("SELECT twice(a) AS n FROM s.t", "SELECT twice(a) AS n, k FROM s.t", "rows n"),
        ("SELECT k, twice(a) AS n FROM s.t", "SELECT k, twice(b) AS n FROM s.t", "rows k"),
        ("SELECT share(a) AS n FROM s.t", "SELECT share(a, 5) AS n FROM s.t", "rows"),
        ("SELECT share(a, of := 5) AS n FROM s.t", "SELECT k, share(a, of := 5) AS n FROM s.t",
         "rows n"),
        ("SELECT grade(a) AS n FROM s.t", "SELECT grade(a) AS n, grade(k) AS m FROM s.t", "rows n"),
        ("SELECT pair(a, k) AS n FROM s.t", "SELECT pair(a, k) AS n, k FROM s.t", "rows n"),
        ("SELECT pair(a, k) AS n FROM s.t", "SELECT pair(k, a) AS n FROM s.t", "rows"),
        ("SELECT each(a) AS n FROM s.t", "SELECT each(a) AS n, k FROM s.t", "rows n"),
        ("SELECT a FROM s.t WHERE twice(k) > 1", "SELECT a, b FROM s.t WHERE twice(k) > 1",
         "rows a"),
        ("SELECT a FROM s.t WHERE twice(k) > 1", "SELECT a FROM s.t WHERE twice(b) > 1", "a"),
        ("SELECT sum(twice(a)) AS n FROM s.t", "SELECT sum(twice(a)) AS n, max(k) AS m FROM s.t",
         "rows n"),
        ("SELECT twice(sum(a)) AS n, k FROM s.t GROUP BY k",
         "SELECT twice(sum(a)) AS n, k, max(b) AS m FROM s.t GROUP BY k", "rows n k"),
        ("SELECT total(a) AS n FROM s.t", "SELECT total(a) AS n, max(k) AS m FROM s.t", ""),
        ("SELECT a, most(a) AS n FROM s.t", "SELECT a, most(a) AS n, k FROM s.t", ""),
        ("SELECT a, place(a) AS n FROM s.t", "SELECT a, place(a) AS n, k FROM s.t", ""),
        ("SELECT n FROM several(1)", "SELECT n, n AS m FROM several(1)", ""),
    ],
)  # fmt: skip
def test_a_function_of_its_arguments_alone_is_followed(con, one, other, same):
    functions = {n: read_function(f"CREATE FUNCTION {n}{text}") for n, text in FUNCTIONS.items()}
    for name, text in FUNCTIONS.items():
        con.execute(f"CREATE OR REPLACE TEMP MACRO {name}{text}")
    found = [
        (sql, meaning(sql, SCHEMAS, names_of(con, sql), nested=NESTED, functions=functions))
        for sql in (one, other)
    ]
    mine, theirs = (parts(meant) for _, meant in found)
    common = mine.keys() & theirs.keys()
    assert {name for name in common if mine[name].text == theirs[name].text} == set(same.split())
    keep_the_promise(con, *found)


def test_what_a_function_calls_is_part_of_it():
    def of(**texts: str) -> Part:
        functions = {n: read_function(f"CREATE FUNCTION {n}{text}") for n, text in texts.items()}
        found = meaning("SELECT pair(a, k) AS n FROM s.t", SMALL, ["n"], functions=functions)
        return found.columns["n"]

    pair = "(v, w) AS twice(v) + w"
    assert of(pair=pair, twice="(v) AS v * 2") == of(pair=pair, twice="(v) AS v*2 -- so")
    assert of(pair=pair, twice="(v) AS v * 2") != of(pair=pair, twice="(v) AS v * 3")
    assert of(pair=pair, twice="(v) AS v * 2") != of(
        pair=pair.replace("+", "-"), twice="(v) AS v * 2"
    )


def test_a_function_of_the_project_may_be_called_as_one_of_duckdb():
    for name in ("sqrt", "sum", "rank", "trim", "string_agg", "lag"):
        function = read_function(f"CREATE FUNCTION {name}(x) AS x * 2")
        sql = f"SELECT {name}(a) AS n FROM s.t"
        found = meaning(sql, SMALL, ["n"], functions={name: function})
        other = read_function(f"CREATE FUNCTION {name}(x) AS x * 3")
        changed = meaning(sql, SMALL, ["n"], functions={name: other})
        assert found.columns["n"].text != changed.columns["n"].text


def test_a_function_that_asks_chance_makes_the_whole_query_opaque():
    function = read_function("CREATE FUNCTION dice() AS random() * 6")
    one, other = (
        meaning(sql, SMALL, names, functions={"dice": function})
        for sql, names in (
            ("SELECT k FROM (SELECT k, dice() AS d FROM s.t)", ["k"]),
            ("SELECT k, d FROM (SELECT k, dice() AS d FROM s.t)", ["k", "d"]),
        )
    )
    assert one.columns["k"].text != other.columns["k"].text


def test_the_lists_of_functions_say_what_duckdb_says():
    with duckdb.connect() as con:
        known = con.execute(
            "SELECT lower(function_name), function_type, stability FROM duckdb_functions()"
        ).fetchall()
    aggregates = {name for name, kind, _ in known if kind == "aggregate"}
    fickle = {name for name, _, stability in known if stability == "VOLATILE"}
    ours = builtin.STEADY | builtin.CHOOSING | builtin.RANKS | builtin.PLACES
    assert aggregates <= ours
    assert not builtin.SCALARS & (aggregates | ours | fickle | builtin.CHANCE)
    assert {"random", "uuid", "nextval"} <= fickle & builtin.CHANCE


# ---- random queries ----------------------------------------------------------------------------


@SETTINGS
@given(made=queries.queries, seed=st.integers(0, 9999))
def test_edits_that_change_nothing_keep_all_meanings(made, seed):
    edited = edits.harmless(made.sql, random.Random(seed))
    assert meaning(edited, SMALL, made.columns) == meaning(made.sql, SMALL, made.columns)


@SETTINGS
@given(made=queries.queries, seed=st.integers(0, 9999))
def test_of_random_queries_what_means_the_same_gives_the_same(made, seed):
    random_ = random.Random(seed)
    with filled(seed) as con:
        before = (made.sql, meaning(made.sql, SMALL, made.columns))
        keep_the_promise(con, before, before)
        for other in sorted({edits.harmful(made.sql, random_) for _ in range(MUTANTS)}):
            names = names_of(con, other) if runs(con, other) else []
            # A dataset has no two columns of one name.
            if names and len({name.lower() for name in names}) == len(names):
                keep_the_promise(con, before, (other, meaning(other, SMALL, names)))


@SETTINGS
@given(made=queries.queries, seed=st.integers(0, 9999))
def test_what_a_part_does_not_read_does_not_change_it(made, seed):
    random_ = random.Random(seed)
    found = meaning(made.sql, SMALL, made.columns)
    with filled(seed) as con:
        before = con.execute(made.sql).fetchall()
        for table, columns in queries.TABLES.items():
            rows = random_.choice(
                [f"INSERT INTO s.{table} FROM s.{table}", f"DELETE FROM s.{table}"]
            )
            for column in (*columns, None):
                read = [
                    ("s", table, column) in part.reads if column else ("s", table) in part.tables
                    for part in (found.rows, *found.columns.values())
                ]
                if read[0]:
                    continue
                free = [n for n in range(made.width) if not read[n + 1]]
                con.execute(f"CREATE TABLE kept AS FROM s.{table}")
                con.execute(
                    f"UPDATE s.{table} SET {column} = "
                    "CASE (random() * 5)::INT WHEN 4 THEN NULL ELSE (random() * 9)::INT END"
                    if column
                    else rows
                )
                after = con.execute(made.sql).fetchall()
                con.execute(f"CREATE OR REPLACE TABLE s.{table} AS FROM kept; DROP TABLE kept")
                assert picked(after, free) == picked(before, free), (made.sql, table, column)


@SETTINGS
@given(made=queries.queries, seed=st.integers(0, 9999))
def test_a_column_that_is_added_anywhere_keeps_the_rest(made, seed):
    with filled(seed) as con:
        before = meaning(made.sql, SMALL, made.columns)
        for wide in widened(made.sql):
            names = names_of(con, wide)
            found = meaning(wide, SMALL, names)
            assert found.rows == before.rows, (made.sql, wide)
            assert {n: found.columns[n] for n in made.columns} == before.columns, (made.sql, wide)


def widened(sql: str) -> list[str]:
    """A query with a column more, in each of its SELECTs where that says nothing about rows."""
    found = []
    for number, _ in enumerate(parse_one(sql, dialect="duckdb").find_all(exp.Select)):
        tree = parse_one(sql, dialect="duckdb")
        select = list(tree.find_all(exp.Select))[number]
        if not may_widen(select):
            continue
        column = select.expressions[-1]
        value = exp.column("c0") if column.is_star else column.unalias().copy()
        select.append("expressions", exp.alias_(exp.func("coalesce", value, "7"), "extra"))
        found.append(tree.sql("duckdb"))
    return found


def may_widen(select: exp.Select) -> bool:
    """Whether a column more in a SELECT says nothing about the rows of any."""
    if select.args.get("distinct") or select.args.get("limit"):
        return False
    grouped = select.args.get("group")
    if grouped and grouped.args.get("all") and not select.expressions[-1].find(exp.AggFunc):
        return False
    parent = select.parent
    if parent is None:
        return True
    if isinstance(parent, exp.Subquery) and isinstance(parent.parent, exp.From | exp.Join):
        return passes(parent.find_ancestor(exp.Select))
    if isinstance(parent, exp.CTE):
        root = select.root()
        used = [t for t in root.find_all(exp.Table) if not t.db and t.name == parent.alias]
        return all(passes(table.find_ancestor(exp.Select)) for table in used)
    return False


def passes(select: exp.Select) -> bool:
    return may_widen(select) if select.is_star else True
