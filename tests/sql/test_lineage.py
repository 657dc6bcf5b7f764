"""Column lineage: query shapes against hand-written truth; and against what happens when values
are exchanged."""

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

from headwater.sql.lineage import Lineage, lineage
from headwater.sql.query import read_query
from headwater.sql.scopes import Origin
from tests.sql import queries

CASES = yaml.safe_load((Path(__file__).parent / "lineage_cases.yaml").read_text())
TABLES = {
    "t": {
        "id": "INTEGER",
        "k": "INTEGER",
        "a": "INTEGER",
        "b": "INTEGER",
        "c": "VARCHAR",
        "l": "INTEGER[]",
        "st": "STRUCT(f INTEGER, g INTEGER)",
        "ts": "TIMESTAMP",
        "flag": "BOOLEAN",
    },
    "u": {"id": "INTEGER", "k": "INTEGER", "x": "INTEGER", "y": "INTEGER", "ts": "TIMESTAMP"},
    "v": {"id": "INTEGER", "a": "INTEGER", "z": "INTEGER"},
}
SCHEMAS = {("s", table): tuple(columns) for table, columns in TABLES.items()}


@pytest.fixture(scope="module")
def con():
    with duckdb.connect() as con:
        con.execute("CREATE SCHEMA s")
        for table, columns in TABLES.items():
            body = ", ".join(f"{name} {kind}" for name, kind in columns.items())
            con.execute(f"CREATE TABLE s.{table} ({body})")
        yield con


def names_of(con, query: str) -> list[str]:
    return [row[0] for row in con.execute(f"DESCRIBE {query}").fetchall()]


def lineage_of(con, query: str) -> Lineage:
    return lineage(read_query(query).tree, SCHEMAS, names_of(con, query))


def short(origins) -> list[str]:
    return sorted(f"{origin.table}.{origin.column}" for origin in origins)


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_the_lineage_of_a_query_is_what_a_person_says(con, case):
    found = lineage_of(con, case["query"])
    columns = case["columns"]
    if isinstance(columns, list):
        assert [short(origins) for origins in found.columns.values()] == [
            sorted(each) for each in columns
        ]
    else:
        assert {name: short(origins) for name, origins in found.columns.items()} == {
            name: sorted(each) for name, each in columns.items()
        }
    assert short(found.rows) == sorted(case["rows"])
    assert not found.blurred


# ---- what really follows -----------------------------------------------------------------------

EXAMPLES = 20 * int(os.environ.get("HEADWATER_EXAMPLES", "6"))


def fill(con, random_: random.Random) -> None:
    for table, columns in queries.TABLES.items():
        con.execute(f"CREATE OR REPLACE TABLE s.{table} ({', '.join(f'{c} INT' for c in columns)})")
        for _ in range(random_.randrange(7)):
            values = [random_.choice([None, 0, 1, 2, 3]) for _ in columns]
            con.execute(f"INSERT INTO s.{table} VALUES ({', '.join('?' * len(columns))})", values)


@settings(max_examples=EXAMPLES, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(made=queries.queries, seed=st.integers(0, 9999))
def test_what_a_column_does_not_come_from_does_not_change_it(made, seed):
    random_ = random.Random(seed)
    with duckdb.connect(config={"threads": 1}) as con:
        con.execute("CREATE SCHEMA s")
        fill(con, random_)
        schemas = {("s", table): columns for table, columns in queries.TABLES.items()}
        found = lineage(read_query(made.sql).tree, schemas, made.columns)
        assert not found.blurred, found.blurred
        before = con.execute(made.sql).fetchall()
        for table, columns in queries.TABLES.items():
            for column in columns:
                origin = Origin("s", table, column)
                if origin in found.rows:
                    continue
                free = [n for n, o in enumerate(found.columns.values()) if origin not in o]
                con.execute(f"CREATE TABLE kept AS FROM s.{table}")
                con.execute(
                    f"UPDATE s.{table} SET {column} = "
                    "CASE (random() * 5)::INT WHEN 4 THEN NULL ELSE (random() * 9)::INT END"
                )
                after = con.execute(made.sql).fetchall()
                con.execute(f"CREATE OR REPLACE TABLE s.{table} AS FROM kept; DROP TABLE kept")
                assert picked(after, free) == picked(before, free), (made.sql, str(origin))


def picked(rows, places) -> Counter:
    return Counter(tuple(row[place] for place in places) for row in rows)
