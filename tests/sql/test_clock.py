"""Time that stands still: every function of DuckDB that asks for it, and what each gives then."""

from __future__ import annotations

from datetime import datetime

import duckdb
import pytest

from headwater.engine.session import connect
from headwater.sql.clock import CLOCK, NO_TIME, any_asks_time, asks_time, passes_by, stopped
from headwater.sql.query import read_query

MOMENT = datetime(2024, 2, 29, 23, 30, 1, 250)
DAY, TIME = "2024-02-29", "23:30:01.00025"
ASKING = {
    "now()": f"{DAY} {TIME}+00",
    "get_current_timestamp()": f"{DAY} {TIME}+00",
    "transaction_timestamp()": f"{DAY} {TIME}+00",
    "current_timestamp": f"{DAY} {TIME}+00",
    "today()": DAY,
    "current_date": DAY,
    "CURRENT_DATE": DAY,
    "current_date()": DAY,
    "get_current_time()": f"{TIME}+00",
    "current_time": f"{TIME}+00",
    "current_localtime()": TIME,
    "localtime": TIME,
    "current_localtimestamp()": f"{DAY} {TIME}",
    "localtimestamp": f"{DAY} {TIME}",
    "age(TIMESTAMP '2024-02-28')": "1 day",
    "age(TIMESTAMPTZ '2024-02-28')": "1 day",
    "age(DATE '2024-02-28')": "1 day",
    "Now()": f"{DAY} {TIME}+00",
    '"now"()': f"{DAY} {TIME}+00",
    "main.now()": f"{DAY} {TIME}+00",
    "now() AT TIME ZONE 'Europe/Vienna'": "2024-03-01 00:30:01.00025",
    "date_trunc('month', now())": "2024-02-01 00:00:00+00",
}


@pytest.fixture(scope="module")
def plain():
    with connect() as con:
        yield con


@pytest.fixture(scope="module")
def still():
    with connect() as con:
        con.execute("; ".join(stopped(MOMENT)))
        yield con


def told(con, sql: str) -> tuple[str, str]:
    return con.execute(f"SELECT CAST({sql} AS VARCHAR), typeof({sql})").fetchone()


@pytest.mark.parametrize("sql", ASKING)
def test_time_stands_still_and_keeps_its_type(sql, plain, still):
    value, kind = told(still, sql)
    assert value == ASKING[sql]
    assert kind == told(plain, sql)[1]
    assert asks_time(read_query(f"SELECT {sql} AS x").tree)
    assert any_asks_time([sql])


def test_no_function_of_time_of_duckdb_is_forgotten(plain):
    """Functions that need no argument and give a date or time; whoever adds one breaks this."""
    found = plain.execute(
        "SELECT DISTINCT function_name FROM duckdb_functions() WHERE internal "
        "AND function_type = 'scalar' AND len(parameters) = 0 "
        "AND (return_type LIKE 'TIME%' OR return_type = 'DATE')"
    ).fetchall()
    assert {name for (name,) in found} == set(CLOCK)


def test_age_of_two_moments_and_columns_that_are_called_so_ask_nothing(still):
    sql = "age(TIMESTAMP '2020-01-02', TIMESTAMP '2020-01-01')"
    assert told(still, sql)[0] == "1 day"
    assert not asks_time(read_query(f"SELECT {sql} AS x").tree)
    row = still.execute("SELECT current_date FROM (SELECT 1 AS current_date)").fetchone()
    assert row == (1,)


@pytest.mark.parametrize("sql", [sql for sql in ASKING if "age" not in sql])
def test_who_asks_while_nobody_says_is_refused(sql):
    with connect() as con:
        con.execute("; ".join(stopped(None)))
        with pytest.raises(duckdb.Error, match=NO_TIME):
            con.execute(f"SELECT {sql}")
        assert told(con, "age(DATE '2020-01-02', DATE '2020-01-01')")[0] == "1 day"


def test_time_within_a_function_of_ours_moves_with_the_session():
    with connect() as con:
        con.execute("; ".join(stopped(MOMENT)))
        con.execute("CREATE MACRO day_of() AS today()")
        assert told(con, "day_of()")[0] == DAY
        con.execute("; ".join(stopped(datetime(2030, 1, 1))))
        assert told(con, "day_of()")[0] == "2030-01-01"


@pytest.mark.parametrize(
    ("sql", "passes"), [("system.main.now()", True), ("main.now()", False), ("now()", False)]
)
def test_a_full_name_passes_by_the_stopped_time(sql, passes):
    assert passes_by(read_query(f"SELECT {sql} AS x").tree) is passes
