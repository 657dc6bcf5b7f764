"""Variables: typed values of headwater.yaml, in SQL as `$name`."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

import headwater as hw
from headwater.api import check_project, query_project
from headwater.errors import ProjectMistakes, QueryRefused
from headwater.sql.query import read_query
from headwater.sql.variables import fill

SETTINGS = """\
name: test
variables:
  since: 2024-01-02
  most: {type: integer, default: 90, description: The greatest a that is fair.}
  word: it's
  idle: 1.5
"""
SOURCE = """\
connector: files
datasets:
  t:
    path: data/*.csv
    columns: {day: date, a: integer}
    rules:
      - {name: fair, check: a < $most}
"""
FILES = {
    "headwater.yaml": SETTINGS,
    "data/a.csv": "day,a\n2024-01-01,1\n2024-01-02,2\n2024-01-03,3\n2024-01-03,99\n",
    "functions/is_new.sql": "CREATE FUNCTION is_new(d) AS d >= $since",
    "models/m/new.sql": "SELECT day, $since AS since, '$since' AS text, $word AS word\n"
    "FROM s.t -- of $word\nWHERE day >= $since",
    "models/m/also.sql": "SELECT a FROM s.t WHERE is_new(day)",
    "models/m/other.sql": "/* {rules: [{name: fair, check: a < $most * 2}]} */\nSELECT a FROM s.t",
}


def built(report) -> str:
    return " ".join(sorted(str(s.dataset) for s in report.steps if s.status == "done"))


def test_variables_are_typed_values_in_queries_functions_rules_and_contracts(project):
    made = project(FILES, source=SOURCE)
    assert made.run().exit_code == 0
    rows = made.ask("SELECT DISTINCT CAST(since AS VARCHAR), typeof(since), text, word FROM m.new")
    assert rows == [("2024-01-02", "DATE", "$since", "it's")]
    assert made.ask("SELECT count(*) FROM m.new") == [(2,)]
    assert made.ask("SELECT count(*) FROM m.also") == [(2,)]
    assert made.ask("SELECT reasons FROM headwater.quarantine") == [(["rule.fair"],)]
    assert made.ask("SELECT count(*) FROM s.t WHERE a > $idle AND is_new(day)") == [(2,)]


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        pytest.param({"since": "2024-01-03"}, "m.also m.new", id="of a query and a function"),
        pytest.param({"word": "x"}, "m.new", id="of a query"),
        pytest.param({"most": 100}, "m.also m.new m.other s.t", id="of a source's rule"),
        pytest.param({"since": "2024-01-02"}, "", id="the same value"),
    ],
)
def test_another_value_rebuilds_what_uses_it_and_nothing_else(project, variables, expected):
    made = project(FILES, source=SOURCE)
    made.run()
    report = hw.open_project(made.folder, variables=variables).run()
    assert report.exit_code == 0
    assert built(report) == expected


@pytest.mark.parametrize(
    ("settings", "place", "message"),
    [
        ("{dve: {variables: {snice: 2}}}", (7, 34), "no variable 'snice'"),
        ("{dev: {variables: {most: much}}}", (7, 34), "the variable 'most' must be integer"),
        ("{dev: {variables: {most: }}}", (7, 34), "the variable 'most' has no value here"),
        ("{built: {}}", (7, 16), "no name for an environment: 'built' is reserved"),
        ("{dev: {vars: {}}}", (7, 22), "unknown key 'vars'"),
    ],
)
def test_a_mistake_in_what_an_environment_has_otherwise(project, settings, place, message):
    made = project({**FILES, "headwater.yaml": f"{SETTINGS}environments: {settings}\n"}, SOURCE)
    mistake = check_project(made.folder)[1][0]
    assert mistake.message.startswith(message)
    assert (mistake.file, mistake.line, mistake.column) == ("headwater.yaml", *place)


def test_an_idle_value_changes_nothing(project):
    made = project(FILES, source=SOURCE)
    made.run()
    made.write({"headwater.yaml": SETTINGS.replace("1.5", "2.5").replace("fair.", "just.")})
    assert built(made.run()) == ""


def test_values_are_given_on_the_command_line(project):
    made = project(FILES, source=SOURCE)
    assert made.cli("check", "--var", "since=2024-01-03", "--var", "word=a=b")[0] == 0
    assert made.cli("run", "--var", "since=2024-01-03", "--var", "word=a=b")[0] == 0
    assert made.ask("SELECT DISTINCT word FROM m.new") == [("a=b",)]
    query = ["query", "SELECT count(*) AS n FROM s.t WHERE day = $since", "--format", "csv"]
    assert made.cli(*query, "--var", "since=2024-01-01")[1] == '"n"\n1\n'
    assert made.cli(*query)[1] == '"n"\n1\n'


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--var", "sinse=2024-01-01"], ("--var sinse: no variable 'sinse'", "'since'?")),
        (["--var", "since=soon"], ("headwater.yaml:3:3: --var since must be date", "")),
        (["--var", "most=1.5"], ("headwater.yaml:4:3: --var most must be integer", "")),
        (["--var", "idle=2"], ("--var idle: the project does not use $idle", "leave it out")),
        (["--var", "since"], ("write NAME=VALUE", "")),
        (["--var", "word=a", "--var", "word=b"], ("'word' is given twice", "")),
    ],
)
def test_a_wrong_value_is_told(project, words, told):
    made = project(FILES, source=SOURCE)
    code, out, error = made.cli("check", *words)
    assert code == 2
    assert [text for text in told if text not in out + error] == []


MISTAKES = [
    (
        {"models/m/new.sql": "SELECT $word AS w, day FROM s.t\nWHERE  day > $sinc"},
        [("models/m/new.sql", 2, 14, "no variable 'sinc'", "did you mean 'since'?")],
        "an unknown variable of a query",
    ),
    (
        {"headwater.yaml": "name: test\n", "models/m/new.sql": "SELECT $x AS x",
         "models/m/other.sql": "SELECT 1 AS x",
         "functions/is_new.sql": "CREATE FUNCTION is_new(x) AS x",
         "sources/s.yaml": SOURCE.replace("$most", "3"), "models/m/also.sql": "SELECT 1 AS x"},
        [("models/m/new.sql", 1, 8, "no variable 'x'",
          "declare it in headwater.yaml:  variables: {x: …}")],
        "a variable where there are none",
    ),
    (
        {"functions/is_new.sql": "CREATE FUNCTION is_new(d) AS\n  d > $sinc"},
        [("functions/is_new.sql", 2, 7, "no variable 'sinc'", "did you mean 'since'?")],
        "an unknown variable of a function",
    ),
    (
        {"functions/is_new.sql": "CREATE FUNCTION is_new(d, e := $since) AS d > e"},
        [("functions/is_new.sql", 1, 32, "a parameter's default takes no variable",
          "use $since in the body")],
        "a variable in a parameter's default",
    ),
    (
        {"sources/s.yaml": SOURCE.replace("$most", "$mots")},
        [("sources/s.yaml", 7, 22, "no variable 'mots'", "did you mean 'most'?")],
        "an unknown variable of a rule",
    ),
    (
        {"models/m/new.sql": "SELECT $since AS s, $word AS w, dya FROM s.t"},
        [("models/m/new.sql", 1, 33, 'referenced column "dya" not found in FROM clause',
          "candidates: day")],
        "a mistake behind a variable",
    ),
    (
        {"headwater.yaml": SETTINGS.replace("default: 90", "default: many")},
        [("headwater.yaml", 4, 25, "the variable 'most' must be integer", "")],
        "a default of another type",
    ),
    (
        {"headwater.yaml": SETTINGS.replace("idle: 1.5", "idle: {type: double}")},
        [("headwater.yaml", 6, 3, "the variable 'idle' has no value",
          "give it a `default`, or --var idle=…")],
        "no value",
    ),
    (
        {"headwater.yaml": SETTINGS.replace("idle: 1.5", "idle: {description: x}")},
        [("headwater.yaml", 6, 3, "a variable needs a `type` or a `default`", "")],
        "neither type nor default",
    ),
    (
        {"headwater.yaml": SETTINGS.replace("idle: 1.5", "Idle: 1.5")},
        [("headwater.yaml", 6, 3, "'Idle' is no name for a variable",
          "use lower-case letters, digits and _, a letter first")],
        "no name",
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("files", "expected"), [pytest.param(f, e, id=name) for f, e, name in MISTAKES]
)
def test_each_mistake_has_its_place(project, files, expected):
    made = project({**FILES, "sources/s.yaml": SOURCE, **files}, source=None)
    mistakes = sorted(check_project(made.folder)[1])
    told = [(m.file, m.line, m.column, m.message, m.hint) for m in mistakes]
    assert [t for t in told if t in expected] == expected
    others = [t for t in told if t not in expected]
    assert others == [] or expected[0][0] == "headwater.yaml"


def test_a_query_refuses_what_it_cannot_use(project):
    made = project(FILES, source=SOURCE)
    made.run()
    with pytest.raises(QueryRefused, match="no variable 'sinse'"):
        query_project(made.folder, "SELECT $sinse")
    with pytest.raises(ProjectMistakes, match=r"the query does not use \$since"):
        query_project(made.folder, "SELECT 1", variables={"since": "2024-01-01"})
    with pytest.raises(ProjectMistakes, match="--var since must be date"):
        query_project(made.folder, "SELECT $since", variables={"since": "soon"})


@given(st.text(max_size=20))
def test_no_value_can_leave_its_literal(word):
    from headwater.contract.types import VARCHAR
    from headwater.project.definitions import Value

    sql = Value("w", VARCHAR, word.replace("\0", ""), True).sql
    query = read_query("SELECT $w AS w, '$w', b FROM s.t", {"w": sql})
    assert [ref.text for ref in query.tables] == ["s.t"]
    assert query.text == f"SELECT {sql} AS w, '$w', b FROM s.t"
    assert query.text[len("SELECT ") :].startswith(sql)
    assert query.offset(query.text.index(", b") + 2) == len("SELECT $w AS w, '$w', ")
    assert fill("a < $w", {"w": sql}) == f"a < {sql}"
