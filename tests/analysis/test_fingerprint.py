"""Fingerprints: what changes rows changes them, and nothing else does."""

from __future__ import annotations

import pytest

from headwater.analysis.fingerprint import fingerprint
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
    return {
        word: fingerprint(
            opened.project.datasets[DatasetName.parse(word)],
            opened.bound.schemas.get(DatasetName.parse(word)),
        )
        for word in ("s.t", "m.q", "m.p")
    }


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


def test_a_star_means_the_columns_that_it_stands_for(project):
    star = {"models/m/q.sql": "SELECT * FROM s.t"}
    wider = {"sources/s.yaml": SOURCE + "      c: date\n"}
    assert marks(project, star)["m.q"] != marks(project, {**star, **wider})["m.q"]
