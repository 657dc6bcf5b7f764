"""Cells: what is written, what is cast, and what DuckDB tells of it."""

from __future__ import annotations

import csv
import io
from contextlib import suppress
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from uuid import UUID

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from headwater.contract.casts import cast
from headwater.contract.cells import Unfit, Written, cell_text, misfits_sql, rows_sql, shown_sql
from headwater.contract.types import VARCHAR, parse_type
from headwater.engine.session import connect
from headwater.project.csv_rows import CsvFault, read_csv
from headwater.sql.quote import literal

CON = connect()


def told(value, kind_text):
    """A cell as DuckDB tells its value, after every step."""
    kind = parse_type(kind_text)
    text = cell_text(value, kind)
    assert text is None or not CON.execute(misfits_sql(kind, [text])).fetchall()
    query = rows_sql({"v": kind}, [{"v": text}])
    (row,) = CON.execute(f"SELECT {shown_sql('v', kind)} FROM ({query})").fetchall()
    return row[0]


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [
        (7, "integer", "7"),
        (True, "boolean", "true"),
        (Decimal("1.50"), "decimal(5,2)", "1.50"),
        (float("nan"), "double", "nan"),
        (Written(".inf", is_plain=True), "float", "inf"),
        (Written("-.INF", is_plain=True), "double", "-inf"),
        (Written(".nan"), "varchar", ".nan"),
        (date(2026, 1, 1), "date", "2026-01-01"),
        (datetime(2026, 1, 1, 2), "timestamp", "2026-01-01 02:00:00"),
        (time(2, 3), "time", "02:03:00"),
        (timedelta(days=-1, seconds=5), "interval", "-1 day 00:00:05"),
        (UUID(int=14), "uuid", "00000000-0000-0000-0000-00000000000e"),
        (b"\xaa\x00a", "blob", "\\xAA\\x00a"),
        ("a\0b", "varchar", "a\0b"),
        ([1, None], "integer[]", ["1", None]),
        ({"City": "x"}, "struct(city varchar, zip integer)", {"city": "x", "zip": None}),
        ({1: 2}, "map(integer, bigint)", {"1": "2"}),
        ({"a": {"b": [1, None, True, "x"]}}, "json", '{"a": {"b": [1, null, true, "x"]}}'),
        (
            {"a": Written("1", is_plain=True), "b": Written("1")},
            "json",
            '{"a": 1, "b": "1"}',
        ),
        ('{"a": 12345678901234567890.5}', "json", '{"a": 12345678901234567890.5}'),
        ('["1.10"]', "decimal(38,10)[]", ["1.1000000000"]),
        (None, "json", None),
        (None, "integer[]", None),
    ],
)
def test_a_cell_is_a_value_of_its_type(value, kind, expected):
    assert told(value, kind) == expected


@pytest.mark.parametrize(
    ("value", "kind"),
    [(7, "varchar"), ([1], "integer"), ({}, "varchar"), (1, "integer[]"), ("x", "integer[]")],
)
def test_what_is_no_cell_of_a_type_is_unfit(value, kind):
    with pytest.raises(Unfit):
        cell_text(value, parse_type(kind))


numbers = st.integers(-(10**18) + 1, 10**18 - 1).map(str)
texts = (
    numbers
    | st.decimals(-(10**9), 10**9, places=3).map(str)
    | st.dates().map(str)
    | st.datetimes().map(lambda moment: moment.isoformat(sep=" "))
    | st.from_regex(r"-?0*[0-9]{1,5}(\.[0-9]{1,3})?", fullmatch=True)
)


@given(st.sampled_from(["integer", "ubigint", "decimal(12,3)", "date", "timestamp"]), texts)
def test_the_quick_cast_is_the_exact_one(kind_text, text):
    kind = parse_type(kind_text)
    assume(not CON.execute(misfits_sql(kind, [text])).fetchall())
    query = rows_sql({"v": kind}, [{"v": text}])
    quick = CON.execute(f"SELECT CAST(v AS VARCHAR) FROM ({query})").fetchone()
    exact = CON.execute(f"SELECT CAST({cast(literal(text), VARCHAR, kind)} AS VARCHAR)").fetchone()
    assert quick == exact


@given(st.lists(st.lists(st.text(), min_size=2, max_size=2), max_size=5))
def test_whatever_the_csv_module_writes_is_read(rows):
    out = io.StringIO()
    csv.writer(out, quoting=csv.QUOTE_ALL).writerows([["a", "b"], *rows])
    found = read_csv(out.getvalue()).rows
    assert [[cell.text for cell in row.values()] for row in found] == rows


@given(st.text(st.sampled_from('a",\n\r')))
def test_any_text_is_read_or_refused(text):
    with suppress(CsvFault):
        read_csv(text)
