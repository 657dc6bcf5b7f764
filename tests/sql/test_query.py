"""Reading a query: its comment, its tables, its canonical text."""

from __future__ import annotations

from datetime import date, datetime, time
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.sql.query import (
    SqlError,
    digest,
    expression_words,
    read_expression,
    read_query,
    split_front,
    table_parts,
)
from headwater.sql.quote import columns, dotted, ident, literal, rows
from tests.contract.judging import session


def tables(sql: str) -> list[str]:
    return [ref.text for ref in read_query(sql).tables]


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT 1", []),
        ("FROM a.b", ["a.b"]),
        ("SELECT * FROM A.B AS x, a.b y", ["a.b"]),
        ("SELECT * FROM b.b JOIN a.a USING (x)", ["b.b", "a.a"]),
        ("WITH c AS (SELECT * FROM a.a) SELECT * FROM c", ["a.a"]),
        ("WITH b AS (SELECT * FROM a.b) SELECT * FROM b, a.c", ["a.b", "a.c"]),
        ("WITH RECURSIVE r AS (SELECT 1 x UNION ALL SELECT x+1 FROM r, a.a) FROM r", ["a.a"]),
        ("SELECT * FROM a.a UNION SELECT * FROM b.b", ["a.a", "b.b"]),
        ("SELECT (SELECT max(x) FROM a.a) WHERE EXISTS (SELECT 1 FROM b.b)", ["a.a", "b.b"]),
        ("SELECT * FROM a.a, LATERAL (SELECT * FROM b.b WHERE b.x = a.x)", ["a.a", "b.b"]),
        ("SELECT * FROM (PIVOT a.a ON x USING sum(y))", ["a.a"]),
        ("SELECT * FROM a.a, unnest([1])", ["a.a"]),
        ("SELECT * FROM range(3), a.a", ["a.a"]),
        ("FROM generate_series(1, 3) AS g(n)", []),
        ("FROM generate_series(DATE '2020-01-01', DATE '2020-01-31', INTERVAL 1 DAY)", []),
        ("SELECT x IN (FROM a.a) FROM b.b", ["a.a", "b.b"]),
        ('SELECT * FROM "a"."b c"', ["a.b c"]),
        ("SELECT 'FROM x.x' FROM a.a -- FROM y.y", ["a.a"]),
        ("SELECT * FROM c", ["c"]),
    ],
)
def test_the_tables_that_a_query_reads(sql, expected):
    assert sorted(tables(sql)) == sorted(expected)


@pytest.mark.parametrize(
    "sql",
    [
        "FROM a.a",
        "(SELECT 1 AS x)",
        "SELECT 1 AS x UNION BY NAME SELECT 2 AS y",
        "TABLE a.a",
        "SELECT q: a FROM a.a",
        "SELECT list_transform(l, lambda e: e + 1) AS q FROM a.a",
        "SELECT * FROM a.a ASOF JOIN b.b USING (x)",
        "SELECT DISTINCT ON (x) x FROM a.a QUALIFY row_number() OVER () = 1",
        "VALUES (1, 2)",
    ],
)
def test_duckdbs_ways_of_writing_a_query_are_read(sql):
    assert read_query(sql).canonical == read_query(read_query(sql).canonical).canonical


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM read_csv('x')",
        "SELECT * FROM read_parquet(['x'])",
        "SELECT * FROM a.a, read_json('x')",
        "SELECT * FROM parquet_scan('x')",
        "WITH c AS (FROM glob('*')) FROM c",
        "SELECT * FROM sqlite_scan('a', 'b')",
        "SELECT (SELECT count(*) FROM read_text('x'))",
    ],
)
def test_a_query_may_not_read_past_the_lake(sql):
    with pytest.raises(SqlError, match="reads past the lake") as caught:
        read_query(sql)
    assert "sources/" in caught.value.hint


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("", "no query"),
        (";", "no query"),
        ("SELECT 1; SELECT 2", "2 statements"),
        ("INSERT INTO a.a VALUES (1)", "a INSERT statement"),
        ("DROP TABLE a.a", "a DROP statement"),
        ("SELECT (", "does not parse"),
        ("SELECT 'x", "does not parse"),
        ("SELECT * FROM a.b.c", "three parts"),
        pytest.param(f"SELECT {'(' * 900}1{')' * 900}", "nested too deeply", id="deep"),
        pytest.param(f"FROM {'(FROM ' * 20000}a.a{')' * 20000}", "nested too deeply", id="deepest"),
    ],
)
def test_what_is_no_single_select_is_refused(sql, message):
    with pytest.raises(SqlError, match=message):
        read_query(sql)


@pytest.mark.parametrize(
    "other",
    [
        "select a ,b from x.y where a>1",
        "/* about */ SELECT a, -- one\n b FROM x.y\nWHERE a > 1;",
        "SELECT\n\ta,\n\tb\nFROM x.y\nWHERE (a > 1)".replace("(a > 1)", "a > 1"),
    ],
)
def test_formatting_and_comments_do_not_change_the_canonical_text(other):
    assert read_query(other).canonical == read_query("SELECT a, b FROM x.y WHERE a > 1").canonical


@pytest.mark.parametrize(
    "tail",
    ["", ";", " ;\n", " -- the end", "\n-- a; b\n;\n", "; -- the end", ";\n/* the end */\n"],
)
def test_the_text_can_stand_within_another_query(tail):
    text = read_query(f"SELECT 1 AS a{tail}").text
    assert session().execute(f"SELECT a FROM ({text}\n)").fetchall() == [(1,)]


@pytest.mark.parametrize(
    ("text", "yaml", "line"),
    [
        ("SELECT 1", "", 1),
        ("/* a: 1 */ SELECT 1", " a: 1 ", 1),
        ("/*\na: 1\n*/\nSELECT 1", "\na: 1\n", 1),
        ("\n\n/*a: 1*/\nSELECT 1", "a: 1", 3),
        ("SELECT 1 /* a: 1 */", "", 1),
    ],
)
def test_the_leading_comment_is_split_off_and_the_query_keeps_its_lines(text, yaml, line):
    front, first_line, body = split_front(text)
    assert (front, first_line) == (yaml, line)
    assert body.count("\n") == text.count("\n")
    assert body.index("SELECT") == text.index("SELECT")


def test_an_expression_is_put_into_canonical_text():
    assert read_expression("a>1  and b is not  null") == read_expression("a > 1 AND b IS NOT NULL")
    assert expression_words("a > 1 AND lower(B) = 'c'") == {"a", "B"}


@pytest.mark.parametrize("text", ["a >", "1; DROP TABLE x", "a = (SELECT 1)", "x and"])
def test_what_is_no_expression_over_a_row_is_refused(text):
    with pytest.raises(SqlError):
        read_expression(text)


@pytest.mark.parametrize(
    "text", ["", "*", "a, b", "a b", "a > ?", "a > $1", "count(*) > 1", "sum(a) OVER () > 1"]
)
def test_what_is_no_condition_of_a_row_is_refused(text):
    with pytest.raises(SqlError):
        read_expression(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("a.b", ("a", "b")), ('tlc."Trips" AS t', ("tlc", "trips")), ("x", ("x",))],
)
def test_a_table_as_duckdb_prints_it(text, expected):
    assert table_parts(text) == expected


def test_a_digest_tells_its_parts_apart():
    assert digest("a", "b") == digest("a", "b")
    assert digest("a", "b") != digest("ab") != digest("a", "", "b")


# ---- identifiers and literals


@given(st.text(st.characters(blacklist_characters="\0", blacklist_categories=["Cs"]), min_size=1))
def test_any_text_can_be_a_name_and_a_value(text):
    con = session()
    result = con.execute(f"SELECT {literal(text)} AS {ident(text)}")
    assert result.description[0][0] == text
    assert result.fetchall() == [(text,)]


@pytest.mark.parametrize(
    "value",
    [None, True, 0, -5, 1.5, Decimal("1.10"), date(2020, 1, 2), time(10, 11, 12), "it's", "a\\'b",
     datetime(2020, 1, 2, 3, 4, 5, 6)],
)  # fmt: skip
def test_a_value_keeps_its_type_as_a_literal(value):
    found = session().execute(f"SELECT {literal(value)}").fetchone()[0]
    assert found == value
    assert type(found) in (type(value), Decimal)


def test_names_are_joined():
    assert dotted("a", 'b"c') == '"a"."b""c"'
    assert columns(["a", "b c"]) == '"a", "b c"'


LETTERS = st.characters(blacklist_categories=["Cs"], min_codepoint=1)


@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "i": st.none() | st.integers(-(2**63), 2**63 - 1),
                "t": st.none()
                | st.text(st.characters(blacklist_categories=["Cs"], min_codepoint=1)),
                "l": st.none() | st.lists(st.text("a'\"\\\n,[]", max_size=4), max_size=3),
            }
        ),
        min_size=1,
        max_size=4,
    )
)
def test_rows_of_values_come_back_as_they_went_in(values):
    sql = rows({"i": "BIGINT", "t": "VARCHAR", "l": "VARCHAR[]"}, values)
    found = session().execute(sql).fetchall()
    assert found == [(row["i"], row["t"], row["l"]) for row in values]
