"""The closed list of column types: how they are written, and that a lake keeps each of them."""

from __future__ import annotations

import pytest

import headwater as hw
from headwater.contract.types import parse_type

VALUES = {
    "tinyint": "-1",
    "smallint": "-1",
    "integer": "-1",
    "bigint": "-1",
    "utinyint": "255",
    "usmallint": "1",
    "uinteger": "1",
    "ubigint": "18446744073709551615",
    "float": "1.5",
    "double": "0.1",
    "decimal(10,2)": "1.25",
    "boolean": "true",
    "varchar": "'it''s \"x\", \\ {y}: [é]\n, NULL'",
    "date": "'2020-01-02'",
    "time": "'10:11:12.5'",
    "timestamp": "'2020-01-02 10:11:12.123456'",
    "timestamptz": "'2020-01-02 10:11:12+02'",
    "interval": "'1 day 2 hours'",
    "uuid": "'550e8400-e29b-41d4-a716-446655440000'",
    "json": "'{\"a\": [\"it''s\", null]}'",
    "blob": "'\\xAA\\x00b'",
}
SHAPES = {
    "plain": "CAST({value} AS {type})",
    "in_a_list": "[CAST({value} AS {type}), NULL]",
    "in_a_struct": "{{'x': CAST({value} AS {type})}}",
    "in_a_map": "MAP {{'k': CAST({value} AS {type})}}",
}


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    """A lake with a model for each type in each shape: a value, and a NULL."""
    folder = tmp_path_factory.mktemp("types")
    (folder / "headwater.yaml").write_text("name: types\n")
    for shape, text in SHAPES.items():
        (folder / "models" / shape).mkdir(parents=True)
        for kind, value in VALUES.items():
            sql = text.format(value=value, type=kind)
            word = kind.split("(")[0]
            path = folder / "models" / shape / f"{word}.sql"
            path.write_text(f"SELECT 1 AS n, {sql} AS v UNION ALL SELECT 2, NULL\n")
    opened = hw.open_project(folder)
    assert opened.run().exit_code == 0
    return opened


def cases():
    return [(shape, kind) for shape in SHAPES for kind in VALUES]


@pytest.mark.parametrize(("shape", "kind"), cases())
def test_a_few_rows_of_each_type_come_back_from_the_lake_as_they_went_in(lake, shape, kind):
    expected = SHAPES[shape].format(value=VALUES[kind], type=kind)
    rows = lake.query(
        f"SELECT n, v IS NOT DISTINCT FROM ({expected}), typeof(v) = typeof({expected}), v IS NULL "
        f"FROM {shape}.{kind.split('(')[0]} ORDER BY n"
    ).rows()
    assert [row[0] for row in rows] == [1, 2]
    assert rows[0][1:] == (True, True, False)
    assert rows[1][3]


@pytest.mark.parametrize(
    ("text", "sql"),
    [
        ("int", "INTEGER"),
        ("Text", "VARCHAR"),
        ("string", "VARCHAR"),
        ("varchar(10)", "VARCHAR"),
        ("numeric(10, 2)", "DECIMAL(10,2)"),
        ("decimal", "DECIMAL(18,3)"),
        ("timestamp with time zone", "TIMESTAMPTZ"),
        ("datetime", "TIMESTAMP"),
        ("integer[][]", "INTEGER[][]"),
        ("struct(a int, \"b c\" text[])", 'STRUCT("a" INTEGER, "b c" VARCHAR[])'),
        ("map(text, struct(a int))", 'MAP(VARCHAR, STRUCT("a" INTEGER))'),
        ("bytea", "BLOB"),
        ("hugeint", "DECIMAL(38,0)"),
        ("bool", "BOOLEAN"),
        ("real", "FLOAT"),
    ],
)  # fmt: skip
def test_a_type_is_written_as_in_duckdb_with_the_usual_other_names(text, sql):
    assert parse_type(text).sql == sql
    assert parse_type(parse_type(text).sql) == parse_type(text)


@pytest.mark.parametrize(
    "text",
    ["intger", "", "decimal(50,2)", "decimal(2,5)", "enum('a')", "union(a int)", "bit", "struct()",
     "integer; DROP TABLE x", "integer)", "map(text)", "timestamp_ns"],
)  # fmt: skip
def test_anything_else_is_no_type(text):
    with pytest.raises(ValueError, match=r"unknown type|a decimal has|is written"):
        parse_type(text)
