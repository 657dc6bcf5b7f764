"""Every mistake of a file of unit tests, with its line and what to do; a run does not look."""

from __future__ import annotations

import pytest

import headwater as hw
from headwater.api import check_project

SOURCE = """\
connector: files
datasets:
  t:
    path: data/*.csv
    columns:
      id: integer
      v: {type: "decimal(5,2)", min: 0}
      name: varchar
      moment: timestamp
      tags: varchar[]
      where_: struct(city varchar, zip integer)
      raw: json
"""
FILES = {
    "headwater.yaml": "name: test\nvariables: {rate: 2, since: 2026-01-01, idle: 1}\n",
    "sources/s.yaml": SOURCE,
    "models/m/a.sql": "/*\ncolumns: {n: {min: 0}}\n*/\n"
    "SELECT id, sum(v) * $rate AS n FROM s.t GROUP BY id",
    "models/m/clock.sql": "SELECT id, today() AS day FROM s.t",
    "models/m/own_clock.sql": "SELECT id, system.main.today() AS day FROM s.t",
    "models/m/default_clock.sql": "/*\ncolumns: {moment: {type: timestamp, default: "
    "{expression: current_localtimestamp()}}}\n*/\nSELECT id, moment FROM s.t",
    "models/m/f_clock.sql": "SELECT id, day_of() AS day FROM s.t",
    "functions/day_of.sql": "CREATE FUNCTION day_of() AS today()",
    "models/m/blind.py": "import headwater as hw\n\n@hw.model()\n"
    "def blind(t: hw.Input('s.t')):\n    return t\n",
    "models/m/after.sql": "SELECT * FROM m.blind",
}
TOP = "tests:\n  - name: a\n    model: m.a\n"
F = "tests/x.yaml"


def found(project, text, files=None):
    made = project({**FILES, F: text, **(files or {})}, source=None)
    return made, sorted(check_project(made.folder)[1])


def given(rows):
    return f"{TOP}    given:\n      s.t:\n        - {rows}\n    expect: []\n"


CASES = [
    ("no name", "tests:\n  - model: m.a\n", 2, 5, "the key 'name' is missing here", ""),
    ("an unknown key", f"{TOP}    expects: []\n", 4, 5, "unknown key 'expects'", "'expect'"),
    ("a word of another tool", "unit_tests: []\n", 1, 1, "unknown key 'unit_tests'", "'tests'"),
    (
        "a name of two lines",
        'tests:\n  - name: "a\\nb"\n    model: m.a\n',
        2,
        5,
        "a name is one line, with something in it",
        "",
    ),
    (
        "the same name twice",
        f"{TOP}    expect: []\n  - name: a\n    model: m.a\n",
        5,
        5,
        f"the test 'a' of m.a is there twice: here and at {F}:2",
        "give one of them another name",
    ),
    (
        "no such model",
        TOP.replace("m.a", "m.aa"),
        3,
        5,
        "no model 'm.aa'",
        "did you mean 'm.a'?",
    ),
    (
        "a model without its schema",
        "tests:\n  - name: a\n    model: a\n",
        3,
        5,
        "no model 'a'",
        "name it with its schema: m.a",
    ),
    (
        "a source",
        TOP.replace("m.a", "s.t"),
        3,
        5,
        "s.t is landed by a source, and unit tests are of models",
        "--contract",
    ),
    ("no time", f"{TOP}    now: soon\n", 4, 5, "a date and a time are meant", "now: 2026"),
    (
        "rows that are none",
        f"{TOP}    expect: {{n: 1}}\n",
        4,
        5,
        "rows are a list of mappings",
        "- {day",
    ),
    (
        "a row that is none",
        f"{TOP}    given:\n      s.t: [1]\n",
        5,
        7,
        "rows are a list of mappings",
        "- {day",
    ),
    (
        "no such input",
        f"{TOP}    given:\n      s.tt: []\n",
        5,
        7,
        "no dataset 's.tt'",
        "did you mean 's.t'?",
    ),
    (
        "no input of this model",
        f"{TOP}    given:\n      m.clock: []\n",
        5,
        7,
        "m.a does not read m.clock",
        "it reads: s.t",
    ),
    ("no such column", given("{idd: 1}"), 6, 12, "s.t has no column 'idd'", "did you mean 'id'?"),
    (
        "a column in two spellings",
        given("{id: 1, ID: 2}"),
        6,
        19,
        "the column 'id' is here twice",
        "",
    ),
    ("no integer", given("{id: 1.5}"), 6, 12, "`id` must be integer, exactly", ""),
    ("too many digits", given("{v: 1.005}"), 6, 12, "`v` must be decimal(5,2), exactly", ""),
    ("too great", given("{id: 3000000000}"), 6, 12, "`id` must be integer, exactly", ""),
    ("no moment", given("{moment: 2026-02-30}"), 6, 12, "`moment` must be timestamp, exactly", ""),
    ("a list for one value", given("{id: [1]}"), 6, 12, "`id`: one value is meant, integer", ""),
    ("a list for a text", given("{name: [1]}"), 6, 12, "`name`: one value is meant", "in quotes"),
    (
        "no list",
        given("{tags: {a: 1}}"),
        6,
        12,
        "`tags`: a list is meant, varchar[]",
        "[1, 2]",
    ),
    ("no mapping", given("{where_: [1]}"), 6, 12, "`where_`: a mapping is meant", "{city"),
    (
        "no such field",
        given("{where_: {citi: x}}"),
        6,
        12,
        "`where_`: the value has no field 'citi'",
        "did you mean 'city'?",
    ),
    ("a field of no such type", given("{where_: {zip: x}}"), 6, 12, "`where_` must be struct", ""),
    ("no JSON", given("{raw: abc}"), 6, 12, "`raw` must be json, exactly", ""),
    (
        "a text that is no list",
        given("{tags: abc}"),
        6,
        12,
        "`tags`: the text is no JSON",
        "[1, 2]",
    ),
    (
        "an expected column that is none",
        f"{TOP}    expect:\n      - {{m: 1}}\n",
        5,
        10,
        "m.a has no column 'm'",
        "known: id, n",
    ),
    (
        "an expected value that is none",
        f"{TOP}    expect:\n      - {{id: x}}\n",
        5,
        10,
        "`id` must be integer, exactly",
        "",
    ),
    (
        "no such variable",
        f"{TOP}    variables: {{rat: 1}}\n",
        4,
        17,
        "no variable 'rat'",
        "did you mean 'rate'?",
    ),
    (
        "a variable of another type",
        f"{TOP}    variables: {{rate: x}}\n",
        4,
        17,
        "the variable 'rate' must be bigint",
        "",
    ),
    (
        "a variable that the model does not use",
        f"{TOP}    variables: {{idle: 3}}\n",
        4,
        17,
        "m.a does not use $idle",
        "leave it out",
    ),
    (
        "no such rule",
        f"{TOP}    expect_broken: n.mni\n",
        4,
        5,
        "m.a has no rule 'n.mni' that can be broken",
        "did you mean 'n.min'?",
    ),
    (
        "a file that is not there",
        f"{TOP}    given: {{s.t: data/no.csv}}\n",
        4,
        13,
        "the file data/no.csv is not there",
        "paths start at the project's folder",
    ),
    (
        "a file outside",
        f"{TOP}    given: {{s.t: ../no.csv}}\n",
        4,
        13,
        "the path leads out of the project",
        "",
    ),
    (
        "a file of another kind",
        f"{TOP}    given: {{s.t: data/no.json}}\n",
        4,
        13,
        "rows are meant, or a CSV file",
        "path of a CSV file",
    ),
    (
        "an input that tells its columns too late",
        TOP.replace("m.a", "m.after"),
        3,
        5,
        "m.after reads m.blind, whose columns are not known before it is built",
        "declare them in the contract of m.blind: columns: …",
    ),
    *(
        (
            f"time that nobody says: {name}",
            TOP.replace("m.a", name),
            2,
            5,
            f"{name} asks what time it is, and the test does not say",
            "now: 2026-01-05 12:00:00",
        )
        for name in ("m.clock", "m.default_clock", "m.f_clock")
    ),
    (
        "time that cannot be stopped",
        TOP.replace("m.a", "m.own_clock") + "    now: 2026-01-01\n",
        3,
        5,
        "m.own_clock asks DuckDB's own clock, by its full name system.main.…",
        "a test can stop the time of now() alone",
    ),
    (
        "tests without their key",
        "- name: a\n  model: m.a\n  expect: []\n",
        1,
        1,
        "the tests stand alone here",
        "put them under a key `tests:`",
    ),
    ("no YAML", "tests: [\n", 2, 1, "not YAML", ""),
]


@pytest.mark.parametrize(
    ("text", "line", "column", "message", "hint"),
    [case[1:] for case in CASES],
    ids=[case[0] for case in CASES],
)
def test_a_mistake_is_told_with_its_place(project, text, line, column, message, hint):
    made, mistakes = found(project, text)
    first, *others = sorted(mistakes, key=lambda one: message not in one.message)
    # A key that is spelled in another way is missing as well.
    assert [one.message for one in others if "'tests' is missing" not in one.message] == []
    assert (first.file, first.line, first.column) == (F, line, column)
    assert message in first.message
    assert hint in first.hint
    assert first.source_line == [*text.split("\n"), ""][line - 1]
    assert made.cli("check")[0] == made.cli("test")[0] == 2
    hw.open_project(made.folder)  # a run does not look at them


@pytest.mark.parametrize(
    ("csv", "line", "column", "message"),
    [
        ("id,nme\n1,x\n", 1, 4, "s.t has no column 'nme'"),
        ("id,nme\n", 1, 4, "s.t has no column 'nme'"),
        ('id,name\n1,"a\nb"\nx,y\n', 4, 1, "`id` must be integer, exactly"),
        ("id,name\n1\n", 2, 1, "1 fields, and the header has 2"),
        ('id,name\n1,"a\n', 2, 3, "a quote has no end"),
        ("id,id\n", 1, 4, "the column 'id' stands here twice"),
        ("", 1, 1, "the file has no header"),
        ('tags\n"[1"\n', 2, 1, "`tags`: the text is no JSON"),
    ],
)
def test_a_mistake_in_a_csv_file_is_told_there(project, csv, line, column, message):
    text = f"{TOP}    given: {{s.t: tests/rows.csv}}\n    expect: []\n"
    _, (first, *others) = found(project, text, {"tests/rows.csv": csv})
    assert others == []
    assert (first.file, first.line, first.column) == ("tests/rows.csv", line, column)
    assert message in first.message


def test_all_mistakes_are_told_at_once(project):
    text = given("{id: x, v: 1, nme: y}") + "  - name: b\n    model: m.no\n"
    _, mistakes = found(project, text)
    assert [m.line for m in mistakes] == [6, 6, 9]


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("tests/test_it.py", "def test_it(): ..."),
        ("tests/data/other.yaml", "a: 1\n"),
        ("tests/broken.yaml", "a: [\n"),
        ("tests/notes.txt", "tests:\n"),
        ("tests/list.yaml", "- name: a\n- b\n"),
        ("tests/deep/binary.yaml", b"\xff\xfe\x00"),
        ("other/x.yaml", "tests: 1\n"),
    ],
)
def test_files_of_others_are_left_alone(project, path, text):
    made = project({**FILES, path: text}, source=None)
    assert check_project(made.folder)[1] == []


def test_models_with_mistakes_of_their_own_are_told_once(project):
    _, mistakes = found(project, f"{TOP}    expect: []\n", {"models/m/a.sql": "SELECT x FROM s.t"})
    assert [m.file for m in mistakes] == ["models/m/a.sql"]
