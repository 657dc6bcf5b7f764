"""Functions: SQL with a name, used in models, row rules, queries and other functions."""

from __future__ import annotations

import pytest

from headwater.api import check_project, open_project
from headwater.errors import ProjectMistakes, QueryRefused
from headwater.names import DatasetName

SOURCE = """\
connector: files
datasets:
  t:
    path: data/*.csv
    columns:
      a: {type: integer, required: true}
      b: varchar
    rules:
      - {name: fair, check: "doubled(a) < 100"}
  u:
    path: data/*.csv
    columns: {a: integer, b: varchar}
"""
DOUBLED = "/* description: Twice as much. */\nCREATE FUNCTION doubled(x, times := 2) AS x * times\n"
BIG = "CREATE MACRO big(least) AS TABLE\nSELECT a, doubled(a) AS d FROM s.t\nWHERE a >= least\n"
FILES = {
    "data/a.csv": "a,b\n1,x\n2,y\n60,z\n",
    "functions/doubled.sql": DOUBLED,
    "functions/rows/big.sql": BIG,
    "functions/idle.sql": "CREATE FUNCTION idle(x) AS x + 1",
    "models/m/q.sql": "SELECT a, doubled(a) AS d FROM s.u",
    "models/m/rows.sql": "SELECT * FROM big(2)",
    "models/m/p.py": "import headwater as hw\n\n\n@hw.model\n"
    "def p(t: hw.Input('s.u')):\n    return t.aggregate('sum(doubled(a, times := 3)) AS s')\n",
}
HINT = "give yours another name"


def found(project, files: dict[str, str]) -> list[tuple[str, int, int, str, str]]:
    made = project({**FILES, **files}, source=SOURCE)
    mistakes = sorted(check_project(made.folder)[1])
    return [(m.file, m.line, m.column, m.message, m.hint) for m in mistakes]


def test_functions_are_used_in_models_rules_queries_and_python(project):
    made = project(FILES, source=SOURCE)
    report = made.run()
    assert report.exit_code == 0
    assert made.ask("SELECT * FROM m.q ORDER BY a") == [(1, 2), (2, 4), (60, 120)]
    assert made.ask("SELECT * FROM m.rows") == [(2, 4)]
    assert made.ask("SELECT * FROM m.p") == [(189,)]
    assert made.ask("SELECT reasons, content FROM headwater.quarantine") == [
        (["rule.fair"], "60,z")
    ]
    assert made.ask("SELECT doubled(a, times := 10), idle(1) FROM big(1) ORDER BY 1") == [
        (10, 2),
        (20, 2),
    ]
    assert made.cli("query", "SELECT doubled(21) AS it", "--format", "csv")[1] == '"it"\n42\n'


def test_a_replay_judges_by_the_functions_of_the_rules_too(project):
    made = project(FILES, source=SOURCE)
    made.run()
    report = open_project(made.folder).replay("s.t", sets={"a": "'7'"})
    assert report.exit_code == 0
    assert made.ask("SELECT * FROM m.rows ORDER BY a") == [(2, 4), (7, 14)]


def test_a_table_of_a_function_is_an_input_of_its_model(project):
    made = project(FILES, source=SOURCE)
    opened, _ = check_project(made.folder)
    assert opened.graph.inputs[DatasetName("m", "rows")] == (DatasetName("s", "t"),)


@pytest.mark.parametrize(
    ("path", "text", "built"),
    [
        pytest.param(
            "doubled.sql", DOUBLED.replace(":= 2", ":= 4"), "m.p m.q m.rows s.t", id="all"
        ),
        pytest.param("rows/big.sql", BIG.replace(">=", ">"), "m.rows", id="of rows"),
        pytest.param("idle.sql", "CREATE FUNCTION idle(x) AS x", "", id="unused"),
        pytest.param(
            "doubled.sql",
            DOUBLED.replace("Twice", "2 x").replace("x * times", "x  *  times -- why\n"),
            "",
            id="words and blanks",
        ),
    ],
)
def test_a_changed_function_rebuilds_what_uses_it_and_nothing_else(project, path, text, built):
    made = project(FILES, source=SOURCE)
    made.run()
    made.write({f"functions/{path}": text})
    report = made.run()
    assert report.exit_code == 0
    done = sorted(str(step.dataset) for step in report.steps if step.status == "done")
    assert " ".join(done) == built


D, R = "functions/doubled.sql", "functions/rows/big.sql"
MISTAKES = [
    (
        {"functions/other/doubled.sql": DOUBLED},
        [("functions/other/doubled.sql", 2, 17,
          "the function doubled is made twice: here and at functions/doubled.sql:2",
          "rename or remove one of them")],
        "two of one name",
    ),
    (
        {"functions/halved.sql": "CREATE FUNCTION half(x) AS x / 2"},
        [("functions/halved.sql", 1, 17,
          "the function is called 'half', its file 'halved.sql'",
          "give both the same name, in lower case")],
        "another name than the file",
    ),
    (
        {"functions/abs.sql": "CREATE FUNCTION abs(x) AS x"},
        [("functions/abs.sql", 1, 17, "'abs' is a function of SQL itself", HINT)],
        "the name of a built-in",
    ),
    (
        {"functions/list_zip.sql": "CREATE FUNCTION list_zip(x) AS x"},
        [("functions/list_zip.sql", 1, 17, "'list_zip' is a function of SQL itself", HINT)],
        "the name of a function of DuckDB alone",
    ),
    (
        {D: "CREATE FUNCTION doubled(x) AS\n  more(x)",
         "functions/more.sql": "CREATE FUNCTION more(x) AS doubled(x)"},
        [(D, 1, 17, "a cycle: doubled -> more -> doubled",
          "a function cannot call itself, not through others either")],
        "recursion",
    ),
    (
        {D: "/* description: x */\nCREATE FUNCTION doubled(x) AS\n  x +* 2"},
        [(D, 3, 8, "the query does not parse: invalid expression / Unexpected token", "")],
        "a body that does not parse",
    ),
    (
        {D: "CREATE FUNCTION doubled(x) AS\n  x * y"},
        [(D, 2, 7, 'referenced column "y" was not found because the FROM clause is missing', "")],
        "a body with an unknown name",
    ),
    (
        {"functions/idle.sql": "CREATE FUNCTION idle(x) AS\n  geo_hash(x)"},
        [("functions/idle.sql", 2, 3, "scalar Function with name geo_hash does not exist",
          None)],
        "an unused function that calls an unknown one",
    ),
    (
        {R: BIG.replace("WHERE a", "WHERE c")},
        [(R, 3, 7, 'referenced column "c" not found in FROM clause', "candidates: a")],
        "rows of an unknown column",
    ),
    (
        {R: BIG.replace("s.t", "s.v")},
        [(R, 2, 32, "no dataset 's.v'", "did you mean 's.u'?")],
        "rows of an unknown dataset",
    ),
    (
        {R: BIG.replace("s.t", "'x.csv'").replace("FROM 'x.csv'", "FROM read_csv('x.csv')")},
        [(R, 2, 32, "read_csv() reads past the lake", None)],
        "rows of a file",
    ),
    (
        {"models/m/q.sql": "SELECT a,\n doubled(a, 1, 2) AS d FROM s.u"},
        [("models/m/q.sql", 2, 2, "doubled() does not take these arguments",
          "candidates: doubled(x, times := 2)")],
        "too many arguments",
    ),
    (
        {"models/m/q.sql": "SELECT a, doubled([a]) AS d FROM s.u"},
        [(D, 2, 45, "no function matches the given name and argument types '*(INTEGER[], "
          "INTEGER_LITERAL)'. You might need to add explicit type casts",
          "models/m/q.sql calls doubled() so")],
        "arguments of another type than the body takes",
    ),
    (
        {"sources/s.yaml": SOURCE.replace("doubled(a) <", "top(a) <"),
         "functions/top.sql": "CREATE FUNCTION top(x) AS x + (SELECT max(a) FROM s.u)"},
        [("sources/s.yaml", 9, 22, "a row rule looks at one row, and top() reads tables",
          "write a model for that check")],
        "a rule that reads tables",
    ),
    (
        {D: "CREATE FUNCTION doubled(x) AS x\n;\nSELECT 1"},
        [(D, 3, 1, "2 statements where one function is meant",
          "a function has a file of its own")],
        "two statements",
    ),
    (
        {D: "/*\ndescripton: x\n*/\n" + DOUBLED.split("\n", 1)[1]},
        [(D, 2, 1, "unknown key 'descripton'", "did you mean 'description'?")],
        "an unknown key of the comment",
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("files", "expected"), [pytest.param(f, e, id=name) for f, e, name in MISTAKES]
)
def test_each_mistake_is_told_once_with_its_place(project, files, expected):
    told = found(project, files)
    blank = [(*t[:4], None) if e[4] is None else t for t, e in zip(told, expected, strict=False)]
    assert [*blank, *told[len(expected) :]] == expected


def test_a_query_that_calls_a_broken_function_is_told_the_mistake(project):
    made = project(FILES, source=SOURCE)
    made.run()
    made.write({"functions/doubled.sql": "CREATE FUNCTION doubled(x) AS"})
    code, _, error = made.cli("query", "SELECT doubled(1)")
    assert (code, "functions/doubled.sql:1" in error) == (2, True)
    assert made.cli("query", "SELECT idle(1)")[0] == 0


def test_a_function_of_the_project_does_not_open_files(project):
    made = project({**FILES, "functions/peek.sql": "CREATE FUNCTION peek() AS TABLE SELECT 1 AS x"},
                   source=SOURCE)  # fmt: skip
    made.run()
    assert made.ask("SELECT * FROM peek()") == [(1,)]
    with pytest.raises(QueryRefused):
        made.ask("SELECT * FROM read_csv('data/a.csv')")


def test_a_function_whose_input_has_columns_known_late_is_used_all_the_same(project):
    files = {
        "models/m/late.py": "import headwater as hw\n\n\n@hw.model\n"
        "def late(t: hw.Input('s.u')):\n    return t\n",
        "functions/latest.sql": "CREATE FUNCTION latest() AS TABLE SELECT max(a) AS a FROM m.late",
        "models/m/z.sql": "SELECT * FROM latest()",
    }
    made = project({**FILES, **files}, source=SOURCE)
    assert made.run().exit_code == 0
    assert made.ask("SELECT * FROM m.z") == [(60,)]


def test_no_mistakes_without_functions_folder(project):
    with pytest.raises(ProjectMistakes):
        project({"models/m/q.sql": "SELECT doubled(a) AS d FROM s.t"}).run()
