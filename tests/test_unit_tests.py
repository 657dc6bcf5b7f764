"""Unit tests of models, from the file to what the command says; and the same from Python."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from decimal import Decimal

import duckdb
import pandas
import polars
import pyarrow
import pytest
from hypothesis import given as any_of
from hypothesis import strategies as st

import headwater as hw
from headwater.errors import (
    ContractBroken,
    HeadwaterError,
    ModelFailed,
    ProjectMistakes,
    UnknownDataset,
)
from headwater.testing import assert_rows, run_model

SOURCE = """\
connector: files
datasets:
  t:
    path: data/*.csv
    columns:
      id: integer
      day: date
      v: decimal(10,2)
      name: varchar
"""
DAILY = """\
/*
key: day
columns:
  total: {min: 0}
*/
SELECT day, sum(v) AS total, count(*) AS n FROM s.t GROUP BY day
"""
LAND = """\
/*
key: id
on_duplicate: keep first
columns:
  v: {max: 100, otherwise: clip}
  name: {required: true, default: nobody}
  day: {type: date, min: 2026-01-01, otherwise: quarantine}
  id: {required: true, otherwise: warn}
rules:
  - {name: even, check: id % 2 = 0, otherwise: drop}
  - {name: small, check: id < 1000}
*/
SELECT * FROM s.t
"""
PYTHON = """\
import headwater as hw
from helper import doubled

@hw.model(columns={"v": {"min": 0}})
def twice(rows: hw.Input("s.t", kind="arrow")):
    return doubled(rows)
"""
HELPER = """\
import pyarrow.compute as pc

def doubled(rows):
    return rows.select(["id"]).append_column("v", pc.multiply(rows["id"], 2))
"""


def a_test(model: str, body: str, name: str = "it") -> str:
    lines = "\n".join(f"    {line}" for line in body.strip("\n").splitlines())
    return f"tests:\n  - name: {name}\n    model: {model}\n{lines}\n"


@pytest.fixture
def make(project):
    def made(test: str, files=None):
        return project(
            {
                "models/m/daily.sql": DAILY,
                "models/m/land.sql": LAND,
                "tests/x.yaml": test,
                **(files or {}),
            },
            source=SOURCE,
        )

    return made


def outcome(made, *words):
    code, out, err = made.cli("test", "--json", *words)
    assert code in (0, 1), err or out
    found = json.loads(out)
    assert not (made.folder / ".headwater").exists()
    assert code == (1 if found["failed"] else 0)
    return found["tests"]


def only(made, *words):
    (one,) = outcome(made, *words)
    return one


# ---- rows ----------------------------------------------------------------------------------

GIVEN = """
given:
  s.t:
    - {day: 2026-01-02, v: 1.50}
    - {day: 2026-01-01, v: 2}
    - {day: 2026-01-02}
"""


@pytest.mark.parametrize(
    ("expect", "says"),
    [
        ("[{day: 2026-01-01, total: 2}, {day: 2026-01-02, total: 1.5}]", ""),
        ("[{n: 2}, {n: 1}]", ""),
        ("[{DAY: 2026-01-02, n: 2}, {day: 2026-01-01, n: 1}]", ""),
        ("[{}, {}]", ""),
        ("[{n: 2}]", "1 row not expected"),
        ("[{n: 2}, {n: 1}, {n: 1}]", "1 row missing"),
        ("[{}]", "2 rows where 1 are expected"),
        ("[]", "2 rows not expected"),
        (
            "[{day: 2026-01-01, total: 3}, {day: 2026-01-02, total: 1.5}]",
            "1 row different",
        ),
        ("[{day: 2026-01-01, total: 2}, {day: 2026-01-02}]", "1 row different"),
    ],
)
def test_partial_rows_in_any_order_are_compared(make, expect, says):
    one = only(make(a_test("m.daily", f"{GIVEN}expect: {expect}")))
    assert one["message"] == says
    assert one["status"] == ("failed" if says else "passed")


@pytest.mark.parametrize(
    ("expect", "says"),
    [
        ("[{id: 2}, {id: 1}]", ""),
        ("[{id: 1}, {id: 2}]", "the rows are right, and in another order"),
        ("[{id: 2}, {id: 3}]", "1 row different"),
    ],
)
def test_order_counts_where_it_is_asked_for(make, expect, says):
    files = {"models/m/sorted.sql": "SELECT id FROM s.t ORDER BY id DESC"}
    body = f"ordered: true\ngiven: {{s.t: [{{id: 1}}, {{id: 2}}]}}\nexpect: {expect}"
    assert only(make(a_test("m.sorted", body), files))["message"] == says


def test_inputs_that_are_not_given_are_empty(make):
    assert only(make(a_test("m.daily", "expect: []")))["status"] == "passed"


def test_rows_may_stand_in_a_csv_file(make):
    files = {
        "tests/data/rows.csv": 'day,v,name\n2026-01-01,1.5,"a\n""b"","\n2026-01-01,,""\n',
        "models/m/names.sql": "SELECT name, v FROM s.t",
    }
    body = """
given: {s.t: tests/data/rows.csv}
expect:
  - {name: "a\\n\\"b\\",", v: 1.5}
  - {name: "", v: null}
"""
    assert only(make(a_test("m.names", body), files))["message"] == ""


def test_values_are_what_is_written(make):
    files = {"models/m/names.sql": "SELECT name, id, v FROM s.t"}
    body = """
given:
  s.t:
    - {name: 007, id: 1e1, v: 1.10}
    - {name: "null", id: "5"}
    - {name: true}
    - {name: "${HOME}"}
expect:
  - {name: "007", id: 10, v: "1.1"}
  - {name: "null", id: 5}
  - {name: "true"}
  - {name: "${HOME}"}
"""
    assert only(make(a_test("m.names", body), files))["message"] == ""


def test_a_failing_test_shows_the_cells_that_differ(make):
    body = f"{GIVEN}expect: [{{day: 2026-01-01, total: 3}}, {{day: 2026-01-02, total: 1.5}}]"
    made = make(a_test("m.daily", body, "adds up"))
    code, out, _ = made.cli("test")
    assert code == 1
    first, *table, last = out.splitlines()
    assert first == "failed    m.daily: adds up: 1 row different  (tests/x.yaml:2)"
    assert table == ["       day         total", "    ~  2026-01-01  3.00 -> 2.00"]
    assert last.startswith("1 test, 1 failed, ")
    assert last.endswith(" s")


def test_passing_tests_are_only_counted_unless_asked(make):
    made = make(a_test("m.daily", "expect: []", "nothing"))
    code, out, _ = made.cli("test")
    assert (code, out.split(", ")[:2]) == (0, ["1 test", "all passed"])
    assert made.cli("test", "--verbose")[1].startswith("passed    m.daily: nothing  (")


def test_a_project_without_tests_says_so(make):
    made = make("a: 1\n")
    code, out, err = made.cli("test")
    assert (code, out.split(",")[0]) == (0, "0 tests")
    assert "add tests/NAME.yaml" in err


# ---- the contract --------------------------------------------------------------------------

SOME = """
given:
  s.t:
    - {id: 2, v: 500, day: 2026-01-05, name: a}
    - {id: 2, v: 1, day: 2026-01-05}
    - {id: 4, v: 1}
    - {id: 6, day: 2020-01-01}
    - {id: 7}
    - {v: 3}
"""
BROKEN = "expect_broken: [day.min, rule.even, id.required]\n"


def test_what_lands_is_compared_and_rules_can_be_expected_to_break(make):
    expect = """
expect:
  - {id: 2, v: 100, name: a}
  - {id: 4, v: 1, name: nobody}
  - {id: null, v: 3, name: nobody}
"""
    made = make(a_test("m.land", SOME + BROKEN + expect))
    assert only(made)["message"] == ""
    assert only(make(a_test("m.land", SOME + expect)))["message"] == ""


@pytest.mark.parametrize(
    ("codes", "says"),
    [
        ("[day.min, rule.even]", "rows break id.required too"),
        ("[day.min, rule.even, id.required, rule.small]", "no row breaks rule.small"),
        ("[]", "rows break "),
    ],
)
def test_expected_rules_are_these_and_no_others(make, codes, says):
    assert says in only(make(a_test("m.land", f"{SOME}expect_broken: {codes}")))["message"]


FAILING = "given: {s.t: [{id: 1000, day: 2026-01-01}, {id: 2, day: 2026-01-01}]}\n"


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("expect: []", "rows break the contract: 1 of 2 rows break rule.small"),
        ("", "rows break the contract: 1 of 2 rows break rule.small"),
        ("expect_broken: rule.small", ""),
        ("expect_broken: [rule.even]", "no row breaks rule.even; rows break rule.small too"),
        ("expect_broken: rule.small\nexpect: []", "rule.small fails the build, so there are no"),
    ],
)
def test_a_broken_rule_that_fails_fails_the_test_unless_it_is_expected(make, body, says):
    one = only(make(a_test("m.land", FAILING + body)))
    assert one["message"].startswith(says)
    assert one["status"] == ("failed" if says else "passed")


def test_a_key_and_a_reference_hold_in_a_test_too(make):
    files = {
        "models/m/refers.sql": "/*\nkey: id\ncolumns: {id: {references: m.daily.n}}\n*/\n"
        "SELECT id FROM s.t"
    }
    body = "given: {s.t: [{id: 1}, {id: 1}], m.daily: [{n: 1}]}\nexpect_broken: key.duplicate"
    assert only(make(a_test("m.refers", body), files))["message"] == ""
    body = "given: {s.t: [{id: 1}]}\nexpect_broken: id.references"
    assert only(make(a_test("m.refers", body), files))["message"] == ""


# ---- functions, variables, views, origins ----------------------------------------------------

FUNCTIONS = {
    "headwater.yaml": "name: test\nvariables: {rate: 2, since: 2026-01-01}\n",
    "functions/rated.sql": "CREATE FUNCTION rated(x, y := 1) AS x * y * $rate",
    "functions/recent.sql": "CREATE FUNCTION recent() AS TABLE "
    "SELECT * FROM s.t WHERE day >= $since",
    "models/m/rates.sql": "/*\nrules: [{name: low, check: r < 100 * $rate}]\n*/\n"
    "SELECT id, rated(id) AS r FROM recent()",
    "models/m/view.sql": "/*\nstore: none\n*/\nSELECT id, rated(id, 10) AS r FROM s.t",
}


def test_variables_have_their_own_values_in_each_test(make):
    text = a_test(
        "m.rates",
        "given: {s.t: [{id: 3, day: 2026-01-01}, {id: 4, day: 2025-01-01}]}\n"
        "expect: [{id: 3, r: 6}]",
    )
    text += """\
  - name: another rate
    model: m.rates
    variables: {rate: 5, since: 2025-01-01}
    given: {s.t: [{id: 3, day: 2026-01-01}, {id: 4, day: 2025-01-01}]}
    expect: [{r: 15}, {r: 20}]
  - name: the first one again
    model: m.rates
    given: {s.t: [{id: 100, day: 2026-01-01}]}
    expect_broken: rule.low
  - name: a view
    model: m.view
    given: {s.t: [{id: 3}]}
    expect: [{id: 3, r: 60}]
"""
    made = make(text, FUNCTIONS)
    assert [one["message"] for one in outcome(made)] == ["", "", "", ""]
    code, out, _ = made.cli("test", "--var", "rate=3", "--json")
    assert code == 1
    assert [one["status"] for one in json.loads(out)["tests"]] == [
        "failed",
        "passed",
        "passed",
        "failed",
    ]


def test_columns_of_origin_are_there_where_the_query_names_them(make):
    files = {"models/m/from_.sql": "SELECT _record AS r, id FROM s.t"}
    body = "given: {s.t: [{_record: 7, id: 1}]}\nexpect: [{r: 7, id: 1}]"
    assert only(make(a_test("m.from_", body), files))["message"] == ""


def test_tests_do_not_see_each_others_rows(make):
    text = a_test("m.daily", f"{GIVEN}expect: [{{}}, {{}}]")
    text += "  - {name: empty, model: m.daily, expect: []}\n"
    text += "  - {name: more, model: m.after, given: {m.daily: [{n: 3}]}, expect: [{n: 3}]}\n"
    text += "  - {name: then, model: m.after, expect: []}\n"
    text += "  - {name: last, model: m.daily, expect: []}\n"
    made = make(text, {"models/m/after.sql": "SELECT n FROM m.daily"})
    assert [one["message"] for one in outcome(made)] == [""] * 5


# ---- time ------------------------------------------------------------------------------------

CLOCKS = {
    "functions/days_since.sql": "CREATE FUNCTION days_since(d) AS today() - d",
    "models/m/clock.sql": "/*\ncolumns:\n  noted: {type: timestamp, default: "
    "{expression: current_localtimestamp()}}\nrules:\n"
    "  - {name: past, check: day <= current_date, otherwise: drop}\n*/\n"
    "SELECT id, day, days_since(day) AS age, CAST(NULL AS TIMESTAMP) AS noted FROM s.t "
    "WHERE day > current_date - 30",
}


def test_time_stands_still_in_queries_functions_and_contracts(make):
    text = a_test(
        "m.clock",
        """
now: 2026-01-05 12:00:00
given: {s.t: [{id: 1, day: 2026-01-01}, {id: 2, day: 2026-01-06}, {id: 3, day: 2025-12-01}]}
expect: [{id: 1, age: 4, noted: 2026-01-05 12:00:00}]
""",
    )
    text += """\
  - name: another time, of another zone
    model: m.clock
    now: 2026-01-06 01:00:00+02:00
    given: {s.t: [{id: 1, day: 2026-01-01}]}
    expect: [{age: 4, noted: 2026-01-05 23:00:00}]
"""
    assert [one["message"] for one in outcome(make(text, CLOCKS))] == ["", ""]


# ---- Python models -----------------------------------------------------------------------------

TWICE = {"models/m/twice.py": PYTHON, "helper.py": HELPER}


def test_python_models_are_run_too(make):
    text = a_test("m.twice", "given: {s.t: [{id: 3}]}\nexpect: [{id: 3, v: 6}]")
    text += "  - {name: low, model: m.twice, given: {s.t: [{id: -3}]}, expect_broken: v.min}\n"
    made = make(text, {**TWICE})
    assert [one["message"] for one in outcome(made)] == ["", ""]


def test_columns_that_a_function_alone_knows_are_looked_at_when_it_was_called(make):
    free = {**TWICE, "models/m/twice.py": PYTHON.replace('columns={"v": {"min": 0}}', "")}
    text = a_test("m.twice", "given: {s.t: [{id: 3}]}\nexpect: [{id: 3, v: 6}]")
    assert only(make(text, free))["message"] == ""
    for row, says in (("{w: 6}", "m.twice has no column 'w'"), ("{v: x}", "`v` must be bigint")):
        made = make(text.replace("{id: 3, v: 6}", row), free)
        code, _, err = made.cli("test")
        assert code == 2
        assert f"tests/x.yaml:5:15: {says}" in err
    made = make(a_test("m.twice", "expect_broken: v.min"), free)
    code, _, err = made.cli("test")
    assert code == 2
    assert "m.twice has no rule 'v.min' that can be broken" in err


def test_a_function_that_fails_says_where_and_why(make):
    broken = {**TWICE, "helper.py": "def doubled(rows):\n    raise ValueError('seven is odd')\n"}
    one = only(make(a_test("m.twice", "expect: []"), broken))
    assert one["message"].startswith("models/m/twice.py:6: ValueError was raised by twice()")
    assert "seven is odd" in one["detail"]


def test_sql_that_python_runs_is_refused_the_time_as_well(make):
    text = """\
import headwater as hw

@hw.model(columns={"id": "integer", "d": "date"})
def clock(rows: hw.Input("s.t")):
    return rows.project("id, today() AS d")
"""
    files = {"models/m/clock.py": text}
    body = "given: {s.t: [{id: 1}]}\nexpect: [{d: 2026-01-05}]"
    one = only(make(a_test("m.clock", body), files))
    assert one["message"] == "the model asks what time it is, and the test does not say"
    made = make(a_test("m.clock", f"now: 2026-01-05\n{body}"), files)
    assert only(made)["message"] == ""


def test_a_query_that_cannot_be_computed_fails_with_its_cause(make):
    files = {"models/m/cast.sql": "SELECT CAST(name AS INTEGER) AS n FROM s.t"}
    body = "given: {s.t: [{name: seven}]}\nexpect: []"
    one = only(make(a_test("m.cast", body), files))
    assert "models/m/cast.sql:1: " in one["message"]
    assert "seven" in one["message"]


# ---- which tests -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "names"),
    [
        ([], ["one", "two, three", "four"]),
        (["m.daily"], ["one"]),
        (["daily", "--select", "land"], ["one", "two, three"]),
        (["two, three"], ["two, three"]),
        (["four,one"], ["one", "four"]),
        (["s.t+"], ["one", "two, three", "four"]),
        (["tests/deep/y.yml"], ["four"]),
        (["s.t"], []),
    ],
)
def test_tests_are_selected_by_model_name_or_file(make, words, names):
    text = """\
tests:
  - {name: one, model: m.daily, expect: []}
  - {name: "two, three", model: m.land, expect: []}
"""
    other = "tests:\n  - {name: four, model: m.after, expect: []}\n"
    files = {"tests/deep/y.yml": other, "models/m/after.sql": "SELECT n FROM m.daily"}
    found = outcome(make(text, files), *words)
    assert sorted(one["name"] for one in found) == sorted(names)


def test_a_word_that_means_nothing_is_wrong_use(make):
    code, _, err = make(a_test("m.daily", "expect: []")).cli("test", "m.dialy")
    assert code == 2
    assert "m.dialy: nothing is named so" in err
    assert "m.daily" in err


# ---- recording -----------------------------------------------------------------------------------


def test_update_records_and_then_all_pass(make):
    text = f"""\
# ours
tests:
  - name: new   # nothing yet
    model: m.daily
    given: {{s.t: [{{day: 2026-01-02, v: 1}}, {{day: 2026-01-01, v: 2}}]}}
  - name: old
    model: m.daily
    given: {{s.t: [{{day: 2026-01-02, v: 1}}]}}
    expect:
      - {{total: 7}}
  - name: right
    model: m.daily
    expect: []   # stays
  - name: broken
    model: m.land
    {FAILING.strip()}
"""
    made = make(text)
    assert [one["status"] for one in outcome(made)] == ["failed", "failed", "passed", "failed"]
    found = outcome(made, "--update")
    assert [one["status"] for one in found] == ["recorded", "recorded", "passed", "failed"]
    new = text.replace(
        "v: 2}]}\n",
        "v: 2}]}\n    expect:\n      - {day: 2026-01-01, total: 2.00, n: 1}\n"
        "      - {day: 2026-01-02, total: 1.00, n: 1}\n",
        1,
    ).replace("{total: 7}", "{total: 1.00}")
    assert (made.folder / "tests/x.yaml").read_text() == new
    assert [one["status"] for one in outcome(made)] == ["passed", "passed", "passed", "failed"]
    outcome(made, "--update")
    assert (made.folder / "tests/x.yaml").read_text() == new


def test_update_adds_no_rows_where_only_rules_are_expected(make):
    text = a_test("m.land", f"{SOME}expect_broken: [day.min]")
    made = make(text)
    assert only(made, "--update")["status"] == "failed"
    assert (made.folder / "tests/x.yaml").read_text() == text


def test_update_says_what_it_did(make):
    made = make(a_test("m.daily", "", "new"))
    code, out, _ = made.cli("test", "--update")
    assert code == 0
    assert out.splitlines()[0] == "recorded  m.daily: new  (tests/x.yaml)"
    assert out.splitlines()[1].startswith("1 test, 1 recorded, ")


ANY = st.lists(
    st.fixed_dictionaries(
        {
            "id": st.none() | st.integers(-100, 100),
            "day": st.none() | st.dates(),
            "v": st.none() | st.decimals(-1000, 1000, places=2),
            "name": st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=9),
        }
    ),
    max_size=4,
)


@pytest.fixture(scope="module")
def lasting(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lasting")
    files = {
        "headwater.yaml": "name: test\n",
        "sources/s.yaml": SOURCE,
        "models/m/x.sql": "SELECT name, id / 3 AS third, [v, NULL] AS l, "
        "{'d': day, 'n': name} AS s, "
        "MAP {coalesce(name, ''): id} AS m, upper(name) || '\n' AS u FROM s.t",
    }
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    return folder


@any_of(ANY)
def test_a_recorded_test_passes(lasting, rows):
    from headwater.cli.output import Output
    from headwater.cli.test import command

    written = [
        {k: v if v is None else str(v) for k, v in row.items() if v is not None} for row in rows
    ]
    text = {"tests": [{"name": "n", "model": "m.x", "given": {"s.t": written}}]}
    # JSON is YAML, but for these two, which YAML wants escaped.
    path = lasting / "tests/x.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(text))
    assert command(Output(), [], str(lasting), {}, True, False) == 0
    assert command(Output(), [], str(lasting), {}, False, False) == 0


# ---- from Python ---------------------------------------------------------------------------------

MAPPINGS = [{"day": date(2026, 1, 1), "v": Decimal("1.50")}, {"DAY": "2026-01-01", "v": 2}]
ARROW = pyarrow.table({"day": [date(2026, 1, 1)] * 2, "v": [1.5, 2.0]})


@pytest.mark.parametrize(
    "rows",
    [
        MAPPINGS,
        ARROW,
        ARROW.to_pandas(),
        polars.from_arrow(ARROW),
        duckdb.sql("SELECT DATE '2026-01-01' AS day, unnest([1.5, 2]) AS v"),
    ],
    ids=["mappings", "arrow", "pandas", "polars", "relation"],
)
@pytest.mark.parametrize("opened", [False, True])
def test_a_model_is_run_over_rows_of_any_kind(make, rows, opened):
    folder = make("a: 1\n").folder
    project = hw.open_project(folder) if opened else folder
    actual = hw.testing.run_model(project, "m.daily", {"s.t": rows})
    assert isinstance(actual, pyarrow.Table)
    assert actual.to_pylist() == [{"day": date(2026, 1, 1), "total": Decimal("3.50"), "n": 2}]
    assert_rows(actual, [{"day": "2026-01-01", "total": 3.5}])


def test_a_model_is_run_with_variables_and_at_a_time(make):
    folder = make("a: 1\n", {**FUNCTIONS, **CLOCKS}).folder
    given = {"s.t": [{"id": 1, "day": "2026-01-01"}]}
    assert_rows(run_model(folder, "m.rates", given), [{"r": 2}])
    assert_rows(run_model(folder, "m.rates", given, variables={"rate": 7}), [{"r": 7}])
    opened = hw.open_project(folder)
    assert_rows(run_model(opened, "m.rates", given, variables={"rate": 7}), [{"r": 7}])
    for now in (date(2026, 1, 5), datetime(2026, 1, 5), datetime(2026, 1, 5, tzinfo=UTC)):
        assert_rows(run_model(opened, "m.clock", given, now=now), [{"id": 1, "age": 4}])


@pytest.mark.parametrize(
    ("model", "given", "error", "says"),
    [
        ("m.dialy", {}, UnknownDataset, "no model 'm.dialy'"),
        ("s.t", {}, UnknownDataset, "s.t is landed by a source"),
        ("m.daily", {"m.daily": []}, UnknownDataset, "m.daily does not read 'm.daily'"),
        ("m.daily", {"s.t": [{"w": 1}]}, ProjectMistakes, "row 1 of s.t: s.t has no column 'w'"),
        ("m.daily", {"s.t": [{}, {"v": 1.005}]}, ProjectMistakes, "row 2 of s.t: `v` must be"),
        ("m.daily", {"s.t": [{"name": 7}]}, ProjectMistakes, "`name`: a text is meant"),
        ("m.daily", {"s.t": pyarrow.table({"v": [1.005]})}, HeadwaterError, "`v` of s.t must be"),
        ("m.daily", {"s.t": pyarrow.table({"w": [1]})}, HeadwaterError, "s.t has no column 'w'"),
        ("m.clock", {}, HeadwaterError, "m.clock asks what time it is, and nobody says"),
        ("m.daily", {"s.t": 7}, TypeError, "int is no table"),
        ("m.daily", {"s.t": [7]}, TypeError, "rows are mappings of column to value, not int"),
        ("m.land", {"s.t": [{"id": 1000}]}, ContractBroken, "1 of 1 row"),
        ("m.cast", {"s.t": [{"name": "x"}]}, ModelFailed, "Could not convert"),
    ],
)
def test_what_cannot_be_run_is_refused(make, model, given, error, says):
    cast = {"models/m/cast.sql": "SELECT CAST(name AS INTEGER) AS n FROM s.t"}
    made = make("a: 1\n", {**CLOCKS, **cast})
    with pytest.raises(error) as raised:
        run_model(made.folder, model, given)
    assert says in str(raised.value)


TABLE = pyarrow.table({"k": [1, 2], "x": [0.1 + 0.2, float("nan")], "s": ["a", None]})


@pytest.mark.parametrize(
    ("expected", "options", "says"),
    [
        ([{"k": 2}, {"k": 1}], {}, ""),
        ([{"k": 1, "x": 0.3, "s": "a"}, {"k": 2, "x": float("nan")}], {}, ""),
        (TABLE, {}, ""),
        (TABLE.select(["k", "s"]).to_pandas(), {}, ""),
        (polars.from_arrow(TABLE.select(["s"])), {}, ""),
        (pandas.DataFrame({"k": [2, 1]}), {}, ""),
        ([{"k": 2}, {"k": 1}], {"ordered": True}, "the rows are right, and in another order"),
        ([{"k": 1}], {}, "1 row not expected"),
        ([], {}, "2 rows not expected"),
        ([{}, {}], {}, ""),
        ([{"k": 1, "s": "b"}, {"k": 2}], {"key": "k"}, "~  1  b -> a"),
        (TABLE.slice(0, 1), {}, "1 row not expected"),
    ],
)
def test_rows_are_asserted(expected, options, says):
    if not says:
        assert_rows(TABLE, expected, **options)
        return
    with pytest.raises(AssertionError) as raised:
        assert_rows(TABLE, expected, **options)
    assert says in str(raised.value)


def test_rows_that_cannot_be_expected_are_mistakes():
    with pytest.raises(ProjectMistakes, match="the result has no column 'kk'"):
        assert_rows(TABLE, [{"kk": 1}])
    with pytest.raises(HeadwaterError, match="the result has no column 'kk'"):
        assert_rows(TABLE, pyarrow.table({"kk": [1]}))


def test_a_mapping_of_rows_that_is_none_of_an_input_leaves_nothing_behind(make):
    folder = make("a: 1\n").folder
    before = sorted(folder.rglob("*"))
    run_model(folder, "m.daily", {"s.t": MAPPINGS})
    assert sorted(folder.rglob("*")) == before
