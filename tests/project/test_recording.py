"""Recorded rows: they read back equal, and nothing else in the file changes."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from headwater.contract.cells import cell_text, equal, rows_sql, shown_sql
from headwater.contract.types import VARCHAR, parse_type
from headwater.engine.session import connect
from headwater.errors import HeadwaterError
from headwater.project.document import read_document
from headwater.project.recording import NewRows, recorded, written
from headwater.sql.quote import dotted

CON = connect()
EMPTY = "tests:\n  - name: a\n    model: m.a\n"
EVERY_TYPE = {
    "tinyint": "-128",
    "smallint": "32767",
    "integer": "-2147483648",
    "bigint": "9223372036854775807",
    "utinyint": "255",
    "usmallint": "65535",
    "uinteger": "4294967295",
    "ubigint": "18446744073709551615",
    "float": "0.1::FLOAT",
    "double": "'nan'::DOUBLE",
    "decimal(38,10)": "1234567890123456789012345678.0000000010::DECIMAL(38,10)",
    "date": "DATE '0044-03-15 (BC)'",
    "time": "TIME '10:00:00.000001'",
    "timestamp": "TIMESTAMP 'infinity'",
    "timestamptz": "TIMESTAMPTZ '2026-01-01 10:00:00.5+02'",
    "interval": "INTERVAL '14 months -3 days 01:00:00.000001'",
    "boolean": "false",
    "varchar": "'007'",
    "uuid": "UUID '00000000-0000-0000-0000-00000000000e'",
    "json": """'{"a": [1, null, "x"]}'::JSON""",
    "blob": r"'\xAA\x00\x5Ca'::BLOB",
    "struct(a integer, b varchar[])": "{'a': 1, 'b': ['null', NULL, '', '1']}",
    "varchar[]": "['a, b', 'c: d', '# e', ' f ', chr(10), '''', '\"']",
    "double[]": "['nan'::DOUBLE, 'inf'::DOUBLE, 1e-300, NULL]",
    "map(varchar, integer)": "MAP {'true': 1, '~': NULL, 'a: b': 3}",
    "map(date, struct(x decimal(5,2))[])": "MAP {DATE '2026-01-01': [{'x': 1.50}]}",
    "struct(j json, at timestamp)": """{'j': '[1]'::JSON, 'at': TIMESTAMP '2026-01-01'}""",
}


def told(query: str, kinds):
    """The rows of a query as DuckDB tells them."""
    picked = ", ".join(shown_sql(name, kind) for name, kind in kinds.items())
    found = CON.execute(f"SELECT {picked} FROM ({query})").fetchall()
    return [dict(zip(kinds, row, strict=True)) for row in found]


def read_back(text: str, kinds):
    """The expected rows of the first test of a file, as DuckDB tells them."""
    document = read_document(text, "f", None, as_written=lambda path: len(path) > 4)
    assert document.mistakes == []
    rows = document.value["tests"][0]["expect"]
    texts = [{name: cell_text(value, kinds[name]) for name, value in row.items()} for row in rows]
    return told(rows_sql(kinds, texts), kinds)


@pytest.mark.parametrize("kind_text", EVERY_TYPE)
def test_every_type_reads_back(kind_text):
    kind = parse_type(kind_text)
    kinds = {"v": kind}
    rows = told(f"SELECT CAST({EVERY_TYPE[kind_text]} AS {kind.sql}) AS v", kinds)
    rows += [{"v": None}]
    assert rows[0]["v"] is not None
    again = read_back(recorded(EMPTY, {0: NewRows(kinds, rows)}), kinds)
    assert [equal(a["v"], b["v"], kind) for a, b in zip(again, rows, strict=True)] == [True, True]
    assert again == rows or kind.kind in ("JSON", "STRUCT")


@given(st.text(st.characters(exclude_categories=["Cs"])), st.text(st.characters(codec="ascii")))
@example("null", "~")
@example("2026-01-01", "1e3")
@example("${HOME}", "- a")
@example("\0", "\x85\u2028\ufeff")
@example("a\n  b: c\n", "f(x, y")
def test_any_text_reads_back(text, other):
    kinds = {"v": VARCHAR, "l": parse_type("varchar[]")}
    rows = [{"v": text, "l": [other, text]}]
    assert read_back(recorded(EMPTY, {0: NewRows(kinds, rows)}), kinds) == [
        {"v": text, "l": [other.replace("\0", "\0"), text]}
    ]


@given(st.floats(), st.decimals("-9999999.999", "9999999.999", places=3), st.datetimes())
def test_any_number_and_moment_reads_back(number, decimal, moment):
    kinds = {n: parse_type(n.replace("_", ",")) for n in ("double", "decimal(10_3)", "timestamp")}
    query = (
        f"SELECT CAST('{number!r}' AS DOUBLE) AS double, "
        f"CAST('{decimal}' AS DECIMAL(10,3)) AS {dotted('decimal(10_3)')}, "
        f"TIMESTAMP '{moment.isoformat(sep=' ')}' AS timestamp"
    )
    rows = told(query, kinds)
    assert read_back(recorded(EMPTY, {0: NewRows(kinds, rows)}), kinds) == rows


COLUMNS = {"day": parse_type("date"), "n": parse_type("integer")}
NEW = NewRows(COLUMNS, [{"day": "2026-01-01", "n": "1"}])
ROW = "{day: 2026-01-01, n: 1}"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(
            "# top\ntests:\n- name: a # one\n  model: m.a\n  # last\n",
            f"# top\ntests:\n- name: a # one\n  model: m.a\n  expect:\n    - {ROW}\n  # last\n",
            id="there was none",
        ),
        pytest.param(
            "tests:\n  - name: a\n    model: m.a",
            f"tests:\n  - name: a\n    model: m.a\n    expect:\n      - {ROW}",
            id="no line end",
        ),
        pytest.param(
            "tests:\n  - name: a\n    model: m.a   # why\n  - {name: b, model: m.b}\n",
            f"tests:\n  - name: a\n    model: m.a   # why\n    expect:\n      - {ROW}\n"
            "  - {name: b, model: m.b}\n",
            id="a comment on the last line",
        ),
        pytest.param(
            "tests:\n  - name: a\n    expect:   # rows\n    - {n: 1}\n    - n: 2\n      day: x\n"
            "    # then\n    model: m.a\n",
            f"tests:\n  - name: a\n    expect:   # rows\n      - {ROW}\n    # then\n"
            "    model: m.a\n",
            id="rows there, of both styles, comments around",
        ),
        pytest.param(
            "tests:\n  - name: a\n    model: m.a\n    expect: []  # none\n    ordered: true\n",
            f"tests:\n  - name: a\n    model: m.a\n    expect:\n      - {ROW}  # none\n"
            "    ordered: true\n",
            id="an empty list",
        ),
        pytest.param(
            "tests:\n  - name: a\n    expect:\n    model: m.a\n",
            f"tests:\n  - name: a\n    expect:\n      - {ROW}\n    model: m.a\n",
            id="nothing after the key",
        ),
        pytest.param(
            "tests: [{name: a, model: m.a}, {name: b, model: m.b}]\n",
            f"tests: [{{name: a, model: m.a, expect: [{ROW}]}}, {{name: b, model: m.b}}]\n",
            id="all on one line",
        ),
        pytest.param(
            "tests: [{name: a, expect: [{n: 3}], model: m.a}]\n",
            f"tests: [{{name: a, expect: [{ROW}], model: m.a}}]\n",
            id="all on one line, with rows",
        ),
        pytest.param(
            "tests:\r\n  - name: ä\r\n    model: m.a\r\n    expect:\r\n      - {n: 2}\r\n",
            f"tests:\r\n  - name: ä\r\n    model: m.a\r\n    expect:\r\n      - {ROW}\r\n",
            id="lines of Windows",
        ),
    ],
)
def test_all_else_stays(before, after):
    assert recorded(before, {0: NEW}) == after


def test_several_tests_of_a_file_are_recorded_together():
    text = "tests:\n  - {name: a, model: m.a}\n  - name: b\n    model: m.b\n    expect: [{n: 9}]\n"
    none = NewRows(COLUMNS, [])
    assert recorded(text, {0: NEW, 1: none}) == (
        f"tests:\n  - {{name: a, model: m.a, expect: [{ROW}]}}\n  - name: b\n    model: m.b\n"
        "    expect: []\n"
    )


def test_what_cannot_be_replaced_is_refused():
    text = "tests:\n  - name: a\n    model: m.a\n    given: {s.t: &r [{n: 1}]}\n    expect: *r\n"
    with pytest.raises(HeadwaterError, match="cannot be replaced"):
        recorded(text, {0: NEW})


def test_strings_that_look_like_something_else_are_in_quotes():
    assert written("1", VARCHAR) == '"1"'
    assert written("two words", VARCHAR) == "two words"
    assert written("no", VARCHAR) == '"no"'
