"""Fingerprints: what changes rows changes them, and nothing else does."""

from __future__ import annotations

import pytest

from headwater.analysis.fingerprint import own_fingerprint
from headwater.api import check_project
from headwater.names import DatasetName

SOURCE = """\
connector: files
datasets:
  t:
    path: data/*.csv
    columns:
      a: {type: integer, min: 0}
      b: varchar
"""
SQL = "/*\ndescription: x\nkey: a\n*/\nSELECT a, b FROM s.t WHERE a > 1\n"
PYTHON = """\
import headwater as hw
from lib import twice


@hw.model(key="a", columns={"a": "integer"})
def p(t: hw.Input("s.t")):
    \"\"\"About.\"\"\"
    return twice(t)
"""
LIB = "def twice(t):\n    return t.project('a')\n"
FILES = {
    "sources/s.yaml": SOURCE,
    "models/m/q.sql": SQL,
    "models/m/p.py": PYTHON,
    "models/m/lib.py": LIB,
}


def marks(project, changes: dict[str, str]) -> dict[str, str]:
    made = project({**FILES, **changes}, source=SOURCE)
    opened, mistakes = check_project(made.folder)
    assert not mistakes
    schemas = opened.bound.schemas
    found = {}
    for word in ("s.t", "m.q", "m.p"):
        dataset = opened.project.datasets[DatasetName.parse(word)]
        inputs = [schemas[given] for given in dataset.inputs]
        found[word] = own_fingerprint(dataset, schemas.get(dataset.name), inputs)
    return found


@pytest.mark.parametrize(
    ("path", "old", "new"),
    [
        ("sources/s.yaml", "path: data", "description: y\n    path: other"),
        ("sources/s.yaml", "b: varchar", "b: {type: text, description: y, tags: [z]}"),
        ("sources/s.yaml", "b: varchar", "b: {type: text, trim: false}"),
        ("models/m/q.sql", "description: x", "description: y\nowner: z\ntags: [w]"),
        ("models/m/q.sql", "SELECT a, b", "select  a -- why\n, /* so */ b"),
        ("models/m/p.py", '"""About."""', '"""Otherwise."""  # why'),
        ("models/m/lib.py", "def twice(t):\n", "def twice(\n    t\n):  # why\n    '''So.'''\n"),
    ],
)
def test_words_and_blanks_change_no_fingerprint(project, path, old, new):
    assert old in FILES[path]
    before = marks(project, {})
    assert marks(project, {path: FILES[path].replace(old, new)}) == before


@pytest.mark.parametrize(
    ("path", "old", "new", "changed"),
    [
        ("sources/s.yaml", "min: 0", "min: 1", {"s.t"}),
        ("sources/s.yaml", "b: varchar", "b: {type: varchar, required: true}", {"s.t"}),
        ("sources/s.yaml", "b: varchar", "b: varchar\n    dialect: {delimiter: ;}", {"s.t"}),
        *[
            ("sources/s.yaml", "b: varchar", f"b: {{type: varchar, {more}}}", {"s.t"})
            for more in (
                "trim: true",
                "null_values: [x]",
                "values: {x: y}",
                "fill: previous",
                "default: {expression: upper(b)}",
                "min: {expression: lower(b)}, otherwise: {value: x}",
                "missing_column: null",
            )
        ],
        *[
            ("sources/s.yaml", "b: varchar", f"b: varchar\n    {more}", {"s.t"})
            for more in ("null_values: [x]", "decimal_separator: ','", "missing_columns: fail")
        ],
        (
            "sources/s.yaml",
            "a: {type: integer, min: 0}",
            "a: {type: integer, min: 0}\n      c: {type: 'date[]', items: {required: true}}",
            {"s.t"},
        ),
        ("models/m/q.sql", "a > 1", "a > 2", {"m.q"}),
        ("models/m/q.sql", "key: a", "key: b", {"m.q"}),
        ("models/m/p.py", "twice(t)", "twice(twice(t))", {"m.p"}),
        ("models/m/p.py", 'key="a", ', "", {"m.p"}),
        ("models/m/lib.py", "project('a')", "project('a + 1')", {"m.p"}),
    ],
)
def test_what_changes_rows_changes_the_fingerprint(project, path, old, new, changed):
    before = marks(project, {})
    after = marks(project, {path: FILES[path].replace(old, new)})
    assert {word for word in before if before[word] != after[word]} == changed


ALIASED = (
    "WITH low AS (SELECT x.a, x.b FROM s.t AS x WHERE x.a > 1 AND x.b <> 'y')\n"
    "SELECT low.a, count(*) AS n FROM low GROUP BY low.a\n"
)


@pytest.mark.parametrize(
    "other",
    [
        "with LOW as (select x.A, X.b from s.T x where (x.b != 'y') and (x.a > 1)) "
        "select low.a, count(*) as n from low group by low.a",
        "WITH few AS (SELECT y.a, y.b FROM s.t AS y WHERE y.a > 1 AND y.b <> 'y') "
        "SELECT z.a, count(*) AS n FROM few AS z GROUP BY z.a",
        "WITH t AS (SELECT s.t.a, t.b FROM s.t WHERE t.b <> 'y' AND t.a > 1) "
        "SELECT t.a, count(*) AS n FROM t GROUP BY t.a",
    ],
)
def test_names_within_a_query_and_the_order_of_conditions_change_no_fingerprint(project, other):
    before = marks(project, {"models/m/q.sql": ALIASED})
    assert marks(project, {"models/m/q.sql": other}) == before


def test_the_case_of_a_column_of_the_result_changes_the_fingerprint(project):
    before = marks(project, {"models/m/q.sql": ALIASED})["m.q"]
    assert marks(project, {"models/m/q.sql": ALIASED.replace("AS n", "AS N")})["m.q"] != before


def test_an_alias_that_may_be_a_struct_of_an_input_keeps_its_name(project):
    def mark(query: str) -> str:
        fields = "p: {type: struct(f integer)}\n      q: {type: struct(f integer)}"
        source = SOURCE.replace("b: varchar", f"b: varchar\n      {fields}")
        return marks(project, {"sources/s.yaml": source, "models/m/q.sql": query})["m.q"]

    assert mark("SELECT p.f AS n FROM s.t p") != mark("SELECT q.f AS n FROM s.t q")
    assert mark("SELECT x.p.f AS n FROM s.t x") == mark("SELECT y.p.f AS n FROM s.t y")


def test_a_star_means_the_columns_that_it_stands_for(project):
    star = {"models/m/q.sql": "SELECT * FROM s.t"}
    wider = {"sources/s.yaml": SOURCE + "      c: date\n"}
    assert marks(project, star)["m.q"] != marks(project, {**star, **wider})["m.q"]
