"""Lineage of a project: through queries, contracts, functions and Python; and who would notice."""

from __future__ import annotations

import json

import pytest

import headwater as hw
from headwater.analysis.lineage import ColumnRef, noticing
from headwater.names import DatasetName

FILES = {
    "sources/s.yaml": """\
connector: files
datasets:
  zones: {path: data/zones.csv, key: id, columns: {id: integer, name: varchar}}
  t:
    path: data/t.csv
    write: upsert
    key: id
    on_duplicate: latest by seen
    columns:
      id: {from: nr, type: integer}
      seen: timestamp
      a: {type: integer, min: 0}
      b: {type: integer, fill: {from: a}, otherwise: warn}
      c: {type: varchar, fill: {expression: "upper(d)"}}
      d: varchar
      zone: {type: integer, references: s.zones.id}
    rules: [{name: r, check: "d <> 'x'"}]
""",
    "functions/twice.sql": "CREATE FUNCTION twice(x) AS x * 2;",
    "functions/name_of.sql": (
        "CREATE FUNCTION name_of(z) AS (SELECT max(name) FROM s.zones WHERE id = z);"
    ),
    "models/m/one.sql": """\
/*
key: id
on_duplicate: keep first
columns:
  n: {fill: {from: c}}
  low: {max: 3, otherwise: drop}
*/
SELECT id, CAST(a AS VARCHAR) AS n, c, b AS low, _file_id FROM s.t
""",
    "models/m/two.sql": (
        "SELECT id, twice(low) AS double, name_of(z.id) AS name "
        "FROM m.one JOIN s.zones z USING (id)"
    ),
    "models/m/py.py": """\
import headwater as hw


@hw.model(columns={"total": {"type": "bigint"}})
def py(one: hw.Input("m.one")):
    return one.aggregate("sum(low) AS total")
""",
    "checks/none.sql": "SELECT id FROM m.one WHERE n IS NULL",
    "checks/ids.sql": "SELECT id FROM m.two GROUP BY id HAVING count(*) > 1",
}


@pytest.fixture
def opened(project):
    return hw.open_project(project(FILES, source=None).folder)


def ref(text: str) -> ColumnRef:
    schema, table, column = text.split(".")
    return ColumnRef(DatasetName(schema, table), column)


def told(refs) -> list[str]:
    return sorted(str(each) for each in refs)


def test_a_column_of_a_source_goes_back_to_fields_through_its_contract(opened):
    t = opened.lineage.datasets[DatasetName("s", "t")]
    assert {name: sorted(fields) for name, fields in t.fields.items()} == {
        "id": ["nr"],
        "seen": ["seen"],
        "a": ["a"],
        "b": ["a", "b"],
        "c": ["c", "d"],
        "d": ["d"],
        "zone": ["zone"],
    }
    assert sorted(t.deciding) == ["a", "b", "d", "nr", "seen", "zone"], (
        "b is no whole number: no warning lands that; c is any text"
    )
    assert told(t.rows) == ["s.zones.id"]


def test_a_models_contract_takes_part(opened):
    lineage = opened.lineage
    assert told(lineage.inputs_of(ref("m.one.n"))) == ["s.t.a", "s.t.c"], "fill"
    assert told(lineage.inputs_of(ref("m.one._file_id"))) == ["s.t._file_id"]
    assert told(lineage.datasets[DatasetName("m", "one")].rows) == ["s.t.b", "s.t.id"]


def test_functions_are_looked_into(opened):
    lineage = opened.lineage
    assert told(lineage.inputs_of(ref("m.two.double"))) == ["m.one.low"]
    assert told(lineage.inputs_of(ref("m.two.name"))) == ["s.zones.id", "s.zones.name"]
    assert told(lineage.datasets[DatasetName("m", "two")].rows) == ["m.one.id", "s.zones.id"]


def test_of_a_python_model_only_the_inputs_are_known(opened):
    py = opened.lineage.datasets[DatasetName("m", "py")]
    inputs = ["m.one._file_id", "m.one.c", "m.one.id", "m.one.low", "m.one.n"]
    assert told(py.columns["total"]) == inputs
    assert told(py.rows) == inputs
    assert py.blurred == "a Python function"


@pytest.mark.parametrize(
    ("changed", "columns", "rows", "checks"),
    [
        ("s.t.a", ["m.one.n", "m.py.total", "s.t.a"], ["m.py"], {"none": "m.one.n"}),
        (
            "s.zones.name",
            ["m.two.name", "s.zones.name"],
            [],
            {},
        ),
        (
            "m.two.id",
            ["m.two.id"],
            [],
            {"ids": "m.two.id"},
        ),
    ],
)
def test_what_a_change_reaches(opened, changed, columns, rows, checks):
    reach = opened.lineage.reach([ref(changed)])
    assert told(reach.columns) == sorted(columns)
    assert sorted(str(name) for name in reach.rows) == rows
    found = noticing(opened.project, opened.lineage, opened.bound.schemas, reach)
    assert {check.name: why for check, why in found} == checks


def test_other_rows_may_mean_other_values_in_every_column_below(opened):
    reach = opened.lineage.reach([ref("s.t.b")])
    assert {str(name) for name in reach.rows} == {"m.one", "m.two", "m.py"}
    found = noticing(opened.project, opened.lineage, opened.bound.schemas, reach)
    assert {check.name: why for check, why in found} == {
        "none": "the rows of m.one",
        "ids": "the rows of m.two",
    }


# ---- as commands -------------------------------------------------------------------------------


def test_lineage_as_json_has_each_step_and_all_that_is_beyond(project):
    made = project(FILES, source=None)
    code, out, _ = made.cli("lineage", "m.two.Double", "--json")
    assert code == 0
    assert json.loads(out) == {
        "dataset": "m.two",
        "direction": "up",
        "is_exact": True,
        "columns": {
            "double": {
                "columns": ["m.one.low"],
                "all_columns": ["m.one.low", "s.t.b"],
                "fields": [],
            }
        },
        "rows": ["m.one.id", "s.zones.id"],
        "rows_fields": [],
    }
    code, out, _ = made.cli("lineage", "s.t.b", "--down", "--json")
    assert json.loads(out)["columns"]["b"] == {
        "columns": ["m.one.low"],
        "all_columns": ["m.one.low", "m.py.total", "m.two.double"],
        "rows_of": ["m.one"],
    }


def test_a_python_model_is_shown_once_and_it_says_why(project):
    made = project(FILES, source=None)
    code, out, err = made.cli("lineage", "m.py")
    assert code == 0
    assert out.startswith("m.py (each column)\n")
    assert "m.py: a Python function could not be followed, so this may be too much" in err


@pytest.mark.parametrize(
    ("name", "message", "hint"),
    [
        ("m.on", "no dataset m.on", "did you mean 'm.one'?"),
        ("m.one.lo", "m.one has no column 'lo'", "did you mean 'low'?"),
        ("one", "no dataset one", ""),
    ],
)
def test_what_is_not_there_is_an_error_with_what_is_near(project, name, message, hint):
    made = project(FILES, source=None)
    for command in ("lineage", "impact"):
        code, _, err = made.cli(command, name)
        assert code == (1 if "dataset" in message else 2)
        assert message in err
        assert hint in err
