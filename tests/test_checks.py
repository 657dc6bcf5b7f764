"""Checks that are no row rules: what they hold back, when they run, what they leave behind."""

from __future__ import annotations

import json
import re

import pytest

import headwater as hw
from headwater.lake.lake import Lake
from headwater.names import DatasetName
from tests.conftest import Made

GOOD = "a,b\n1,x\n2,y\n"
SOURCE = """\
connector: files
datasets:
  t:
    path: data/*.csv
    {more}
    columns:
      a: {type: integer, required: true}
      b: varchar
"""
SMALL = "SELECT a, b FROM s.t WHERE a > 2"
COPY = "SELECT a, b FROM s.t"


def source(more: str) -> str:
    return SOURCE.replace("{more}", more)


def names(found) -> set[str]:
    return {str(name) for name in found}


def results(made) -> list[tuple]:
    """What is recorded of checks that are no row rules, oldest first."""
    return made.ask(
        "SELECT coalesce(dataset || '.', '') || check_name, status, failed_rows "
        "FROM headwater.checks WHERE fingerprint IS NOT NULL ORDER BY checked_at, 1"
    )


# ---- the release rule


def test_nothing_is_released_that_a_failing_check_reads(project):
    made = project(
        {
            "data/a.csv": GOOD,
            "models/m/x.sql": COPY,
            "models/m/below.sql": "SELECT count(*) AS n FROM m.x",
            "models/n/other.sql": "SELECT 1 AS one",
            "checks/small.sql": "SELECT * FROM m.x WHERE a > 2",
        }
    )
    assert made.run().exit_code == 0
    made.write({"data/b.csv": "a,b\n3,z\n4,z\n", "models/n/other.sql": "SELECT 2 AS one"})
    report = made.run()
    assert (report.status, report.exit_code) == ("held back", 1)
    assert names(report.held) == {"s.t", "m.x", "m.below"}
    assert report.held[DatasetName("m", "x")] == ("the check small does not hold: 2 rows break it")
    assert names(report.moves) == {"n.other"}
    assert made.ask("SELECT n FROM m.below") == [(2,)]
    assert made.ask("SELECT sample FROM headwater.checks WHERE status = 'broken'") == [
        (['{"a":3,"b":"z"}', '{"a":4,"b":"z"}'],)
    ]
    again = made.run()
    assert (again.exit_code, again.release) == (1, None), "what is held back is checked each run"
    made.write({"checks/small.sql": "SELECT * FROM m.x WHERE a > 4"})
    mended = made.run()
    assert (mended.exit_code, names(mended.moves)) == (0, {"s.t", "m.x", "m.below"})
    assert {step.status for step in mended.steps} == {"nothing"}


def test_a_check_of_two_datasets_holds_back_those_that_moved(project):
    made = project(
        {
            "data/a.csv": GOOD,
            "models/m/x.sql": "SELECT 1 AS a",
            "models/m/y.sql": "SELECT 1 AS a",
            "models/m/z.sql": "SELECT 1 AS a",
            "checks/same.sql": "SELECT x.a FROM m.x ANTI JOIN m.y USING (a)",
        }
    )
    made.run()
    made.write({"models/m/x.sql": "SELECT 2 AS a", "models/m/z.sql": "SELECT 2 AS a"})
    report = made.run()
    assert (names(report.held), names(report.moves)) == ({"m.x"}, {"m.z"})
    made.write({"models/m/y.sql": "SELECT 2 AS a"})
    assert names(made.run().moves) == {"m.x", "m.y"}


def test_a_check_sees_what_would_be_released_not_what_was_built(project):
    """m.y is built but held back by a failure beside it, so m.x is checked against the old one."""
    made = project(
        {
            "data/a.csv": GOOD,
            "models/m/x.sql": "SELECT 1 AS a",
            "models/m/y.sql": "SELECT 1 AS a",
            "models/m/bad.sql": "SELECT CAST(a AS VARCHAR) AS a FROM m.y",
            "checks/same.sql": "SELECT x.a FROM m.x ANTI JOIN m.y USING (a)",
        }
    )
    made.run()
    made.write(
        {
            "models/m/x.sql": "SELECT 2 AS a",
            "models/m/y.sql": "SELECT 2 AS a",
            "models/m/bad.sql": "SELECT CAST('x' || a AS INTEGER) AS a FROM m.y",
        }
    )
    report = made.run()
    assert names(report.held) == {"m.x", "m.y", "m.bad"}
    assert report.moves == {}
    made.write({"models/m/bad.sql": "SELECT a FROM m.y"})
    assert names(made.run().moves) == {"m.x", "m.y", "m.bad"}


def test_a_check_that_warns_is_reported_and_holds_back_nothing(project):
    made = project({"data/a.csv": GOOD, "checks/w.sql": "/* severity: warn */ FROM s.t"})
    report = made.run()
    assert (report.exit_code, report.status, report.release) == (0, "succeeded", 1)
    assert [(c.name, c.status, c.remedy) for c in report.checks] == [("w", "broken", "warn")]
    assert made.run().status == "nothing", "a warning is not repeated while nothing changes"
    assert results(made) == [("w", "broken", 2)]


def test_atomic_releases_nothing_where_a_check_fails(project):
    made = project(
        {"data/a.csv": GOOD, "checks/c.sql": "FROM s.t", "models/m/x.sql": "SELECT 1 AS a"}
    )
    report = made.run(atomic=True)
    assert names(report.held) == {"s.t", "m.x"}
    assert report.held[DatasetName("m", "x")] == "--atomic, and the check c failed"


@pytest.mark.parametrize(
    ("check", "cause"),
    [
        ("SELECT * FROM s.t WHERE CAST(b AS INTEGER) > 1", "it cannot be computed: Conversion"),
        ("SELECT * FROM m.p WHERE nope > 1", "it cannot be computed: Binder"),
    ],
)
def test_a_check_that_cannot_be_computed_does_not_hold(project, check, cause):
    python = (
        "import headwater as hw\n\n@hw.model\ndef p(t: hw.Input('s.t')):\n    return t.project('a')"
    )
    made = project({"data/a.csv": GOOD, "checks/c.sql": check, "models/m/p.py": python})
    report = made.run()
    (found,) = report.checks
    assert found.cause.startswith(cause)
    assert "'x'" not in found.cause
    assert names(report.held) >= {"s.t"}


def test_a_check_of_something_that_is_not_there_holds_back_what_it_reads(project):
    made = project(
        {
            "data/a.csv": GOOD,
            "models/m/x.sql": "SELECT 1 AS a",
            "models/m/y.sql": "SELECT 1 AS a",
            "checks/c.sql": "SELECT x.a FROM m.x ANTI JOIN m.y USING (a)",
        }
    )
    report = made.run(select="m.x")
    (found,) = report.checks
    assert found.cause == "it reads m.y, which is not released and not built"
    assert names(report.held) == {"m.x"}
    assert made.run(select=["m.x", "m.y"]).exit_code == 0


# ---- when they run


def test_a_new_or_changed_check_runs_without_a_rebuild(project):
    made = project({"data/a.csv": GOOD, "models/m/x.sql": COPY})
    made.run()
    made.write({"checks/c.sql": "/* one */ SELECT a FROM m.x WHERE a > 5"})
    report = made.run()
    assert (report.status, report.release) == ("succeeded", None)
    assert {step.status for step in report.steps} == {"nothing"}
    made.write({"checks/c.sql": "/* another comment */ SELECT a\nFROM m.x WHERE a > 5"})
    assert made.run().status == "nothing", "its meaning is the same"
    made.write({"checks/c.sql": "SELECT a FROM m.x WHERE a > 1"})
    broken = made.run()
    assert (broken.status, broken.exit_code, broken.held) == ("checks broken", 1, {})
    assert made.run(select="s.t").status == "nothing", "it reads nothing that is selected"
    assert results(made) == [("c", "held", 0), ("c", "broken", 1)]


def test_a_check_that_asks_the_time_is_run_each_time(project):
    made = project(
        {"data/a.csv": GOOD, "checks/c.sql": "FROM s.t WHERE now() < '2000-01-01'"},
        source=source("checks: [{name: c, check: today() > '2000-01-01' AND count(*) > 0}]"),
    )
    made.run()
    assert [check.name for check in made.run().checks] == ["s.t.check.c", "c"]


def test_checks_of_a_contract_are_no_part_of_its_meaning(project):
    made = project({"data/a.csv": GOOD}, source=source("tags: x"))
    made.run()
    made.write(
        {"sources/s.yaml": source("row_count: 2\n    checks: [{name: c, check: sum(a) = 3}]")}
    )
    report = made.run()
    assert [(c.name, c.status) for c in report.checks] == [
        ("s.t.row_count", "held"),
        ("s.t.check.c", "held"),
    ]
    assert report.release is None
    assert {step.status for step in report.steps} == {"nothing"}


def test_a_run_that_is_killed_before_its_checks_leaves_them_to_the_next(project, monkeypatch):
    made = project({"data/a.csv": GOOD, "models/m/x.sql": COPY, "checks/c.sql": SMALL})
    made.run()
    made.write({"data/b.csv": "a,b\n3,z\n"})
    with monkeypatch.context() as patch:
        patch.setattr("headwater.run.checks.evaluate", killed)
        with pytest.raises(KeyboardInterrupt):
            made.run()
    report = made.run()
    assert {step.status for step in report.steps} == {"nothing"}, "it was built before"
    assert names(report.held) == {"s.t", "m.x"}
    assert made.ask("SELECT count(*) FROM m.x") == [(2,)]


def test_a_run_that_is_killed_after_its_checks_checks_again(project, monkeypatch):
    made = project({"data/a.csv": GOOD, "checks/c.sql": "FROM s.t WHERE a > 9"})
    with monkeypatch.context() as patch:
        patch.setattr("headwater.run.releasing.Releaser.commit_release", killed)
        with pytest.raises(KeyboardInterrupt):
            made.run()
    report = made.run()
    assert [(c.name, c.status) for c in report.checks] == [("c", "held")]
    assert names(report.moves) == {"s.t"}


def killed(*_, **__):
    raise KeyboardInterrupt


def test_what_another_run_released_meanwhile_is_checked_too(project, monkeypatch):
    """Between our checks and our release another run takes away what makes ours hold."""
    made = project(
        {
            "data/a.csv": GOOD,
            "models/m/x.sql": "SELECT 1 AS a",
            "models/m/y.sql": "SELECT unnest([1, 2]) AS a",
            "checks/there.sql": "SELECT a FROM m.x ANTI JOIN m.y USING (a)",
        }
    )
    made.run()
    commit, seen = Lake.commit, []

    def commit_after_another(lake, note):
        if note.message.startswith("release") and not seen:
            seen.append(note.message)
            made.write({"models/m/y.sql": "SELECT 1 AS a"})
            assert made.run(select="m.y").release == 2
        return commit(lake, note)

    monkeypatch.setattr(Lake, "commit", commit_after_another)
    made.write({"models/m/x.sql": "SELECT 2 AS a"})
    report = made.run(select="m.x")
    assert seen
    assert names(report.held) == {"m.x"}
    assert made.ask("SELECT x.a, y.a FROM m.x x, m.y y") == [(1, 1)]


# ---- row counts and aggregates


CONTRACTS = [
    ("row_count: {min: 2, max: 2}", ""),
    ("row_count: 2", ""),
    ("row_count: {min: 3}", "2 rows: at least 3 are expected"),
    ("row_count: {max: 1}", "2 rows: at most 1 are expected"),
    ("row_count: {max_decrease: 0%, max_increase: 0%}", ""),
    ("checks: [{name: c, check: sum(a) > 2}]", ""),
    ("checks: [{name: c, check: count(*) FILTER (b IS NULL) / count(*) < 0.01}]", ""),
    ("checks: [{name: c, check: sum(a) > 3}]", "not true: SUM(a) > 3"),
    (
        "checks: [{name: c, check: sum(a) FILTER (a > 9) > 0}]",
        "it gives NULL: there was nothing to look at",
    ),
    ("checks: [{name: c, check: count(DISTINCT _file_id) = 1}]", ""),
    (
        "checks: [{name: c, check: max(CAST(b AS INTEGER)) > 0}]",
        "it cannot be computed: Conversion Error: Could not convert string '…' to INT32 when "
        "casting from source column b",
    ),
]


def test_a_contract_says_what_must_hold_of_all_rows(project):
    sources = {
        f"sources/s{n}.yaml": source(contract) for n, (contract, _) in enumerate(CONTRACTS, start=1)
    }
    report = project({"data/a.csv": GOOD, **sources}, source=None).run()
    expected = {f"s{n}": cause for n, (_, cause) in enumerate(CONTRACTS, start=1)}
    assert {check.dataset.schema: check.cause for check in report.checks} == expected
    assert {name.schema for name in report.held} == {s for s, cause in expected.items() if cause}
    assert {name.schema for name in report.moves} == {
        s for s, cause in expected.items() if not cause
    }


def test_a_row_count_is_held_against_what_is_released(project):
    def model(rows: int, more: str = "min: 1") -> dict[str, str]:
        front = f"/*\nrow_count: {{max_decrease: 50%, max_increase: 100%, {more}}}\n*/\n"
        return {"models/m/x.sql": f"{front}SELECT * FROM range({rows}) r(n)"}

    made = project({"data/a.csv": GOOD, **model(100)})
    assert made.run().exit_code == 0
    assert made.write(model(50)).run().exit_code == 0
    (check,) = made.write(model(24)).run().checks
    assert check.cause == "24 rows: 50 before, and at most 50 % fewer are expected"
    (check,) = made.write(model(101)).run().checks
    assert check.cause == "101 rows: 50 before, and at most 100 % more are expected"
    assert made.ask("SELECT count(*) FROM m.x") == [(50,)]
    (alone,) = hw.open_project(made.folder).check_data().checks
    assert alone.status == "held", "50 rows, and 100 in the release before"
    made.write(model(24, "severity: warn"))
    assert made.run().release == 3
    made.write(model(24))
    assert made.run().exit_code == 0, "it is accepted, and nothing moves"


# ---- alone


@pytest.fixture(scope="module")
def checked(tmp_path_factory):
    """A project whose released data was checked alone: the project, the report, what was there."""
    made = Made(tmp_path_factory.mktemp("checked")).write(
        {
            "headwater.yaml": "name: test\n",
            "sources/s.yaml": source("row_count: {min: 1}"),
            "data/a.csv": GOOD,
            "models/m/x.sql": COPY,
        }
    )
    made.run(select="s.t")
    made.write(
        {
            "checks/big.sql": "SELECT a FROM s.t WHERE a > 1",
            "checks/any.sql": "/* {otherwise: warn, tags: night} */ SELECT a FROM s.t",
            "checks/good.sql": "SELECT a FROM s.t WHERE a > 5",
            "checks/waits.sql": "SELECT a FROM m.x",
        }
    )
    before = made.ask(WRITTEN)
    return made, hw.open_project(made.folder).check_data(), before


WRITTEN = (
    "SELECT (SELECT count(*) FROM headwater.runs), (SELECT count(*) FROM headwater.steps), "
    "(SELECT count(*) FROM headwater.release_names), (SELECT count(*) FROM headwater.ledger)"
)


def test_checking_the_data_runs_all_checks_over_the_release_and_writes_nothing_else(checked):
    made, report, before = checked
    assert {check.name: check.status for check in report.checks} == {
        "s.t.row_count": "held",
        "any": "broken",
        "big": "broken",
        "good": "held",
        "waits": "waiting",
    }
    assert (report.exit_code, [check.name for check in report.failing]) == (1, ["big"])
    assert report.as_dict()["checks"][0] == {
        "check": "s.t.row_count",
        "dataset": "s.t",
        "reads": ["s.t"],
        "otherwise": "fail",
        "status": "held",
        "failed_rows": None,
        "cause": "",
        "meaning": "at least 1 row",
        "defined_in": "sources/s.yaml:5",
        "hint": "",
        "seconds": report.as_dict()["checks"][0]["seconds"],
    }
    assert made.ask(WRITTEN) == before
    assert results(made)[-4:] == [
        ("any", "broken", 2),
        ("big", "broken", 1),
        ("good", "held", 0),
        ("s.t.row_count", "held", None),
    ]


@pytest.mark.parametrize(
    ("select", "code", "shown"),
    [
        ("tag:night", 0, {"any"}),
        ("good,any", 0, {"any", "good"}),
        ("big", 1, {"big"}),
        ("m.*", 0, {"waits"}),
        ("source:s", 1, {"any", "big", "good", "s.t.row_count"}),
    ],
)
def test_checks_are_selected_by_name_tag_and_what_they_read(checked, select, code, shown):
    made, *_ = checked
    found, out, _ = made.cli("check", "--data", "--select", select, "--json")
    assert (found, {check["check"] for check in json.loads(out)["checks"]}) == (code, shown)


def test_what_selects_no_check_is_wrong_use(checked):
    made, *_ = checked
    code, _, errors = made.cli("check", "--data", "--select", "nothing")
    assert code == 2
    assert "nothing is named so" in errors
    assert made.cli("check", "--select", "s.t")[0] == 2


def test_checking_the_data_makes_no_lake(project):
    made = project({"data/a.csv": GOOD})
    code, _, errors = made.cli("check", "--data")
    assert (code, "there is no lake yet" in errors) == (1, True)
    assert not (made.folder / ".headwater").exists()


# ---- results over time


def test_results_are_shown_over_time_with_rows_that_broke_the_check(checked):
    made, *_ = checked
    made.write({"checks/big.sql": "SELECT a FROM s.t"})
    made.cli("check", "--data", "--select", "big")
    code, out, _ = made.cli("checks", "big", "--json")
    newest = json.loads(out)
    assert code == 0
    assert [result["failed_rows"] for result in newest][:2] == [2, 1]
    assert newest[0]["sample"] == ['{"a":1}', '{"a":2}']
    assert list(newest[0]["over"]) == ["s.t"]
    _, out, _ = made.cli("checks", "big")
    assert re.search(r"^trend  ▄+█$", out, re.M)
    assert '{"a":1}' in out
    code, out, _ = made.cli("checks", "--json")
    rows = {row["check"]: row for row in json.loads(out)}
    assert rows["waits"]["status"] == "not run yet"
    assert rows["big"]["trend"].endswith("█")
    assert set(rows["good"]["trend"]) == {"·"}
    code, _, errors = made.cli("checks", "bigg")
    assert (code, "did you mean 'big'?" in errors) == (1, True)


def test_a_dataset_shows_the_checks_that_read_it_and_those_that_are_broken(checked):
    made, *_ = checked
    _, out, _ = made.cli("show", "s.t", "--json")
    shown = json.loads(out)["checks"]
    assert "s.t.row_count: at least 1 row, otherwise fail" in shown
    assert len(shown) == 4
    _, out, _ = made.cli("show", "s.t", "--failed", "--json")
    assert {check["check"] for check in json.loads(out)} == {"any", "big"}
    _, out, _ = made.cli("status")
    assert "check any: 2 rows break it, otherwise warn" in out


def test_the_status_names_the_check_that_holds_a_dataset_back(project):
    made = project({"data/a.csv": GOOD, "checks/c.sql": "FROM s.t WHERE a > 1"})
    made.run()
    _, out, _ = made.cli("status", "--json")
    status = json.loads(out)
    assert status["datasets"][0]["note"] == "held back by the check c"
    assert [check["check"] for check in status["broken_checks"]] == ["c"]
    code, out, errors = made.cli("run")
    assert code == 1
    assert "✗ check c  1 row breaks it" in errors
    assert "hint: `headwater checks c` shows some" in errors
    assert "held back  s.t: the check c does not hold: 1 row breaks it" in out


def test_the_failed_rows_of_a_source_are_those_of_its_newest_landing(project):
    made = project({"data/a.csv": "a,b\nx,1\n"})
    made.run()
    assert "a.type: 1 rows" in made.cli("show", "s.t", "--failed")[1]
    for number in range(3):
        made.write({f"data/b{number}.csv": f"a,b\n{number},1\n"})
        made.run()
        assert "no check was broken" in made.cli("show", "s.t", "--failed")[1]
    recorded = made.ask(
        "SELECT check_name, status, failed_rows FROM headwater.checks ORDER BY checked_at"
    )
    assert recorded == [("a.type", "broken", 1), ("a.type", "held", 0)], "once, not each time"


# ---- with functions, variables and models that are not stored


FAR = {
    "headwater.yaml": "name: test\nvariables:\n  top: {type: integer, default: 2}\n",
    "data/a.csv": GOOD,
    "functions/far.sql": "CREATE FUNCTION far(x) AS x > $top",
    "functions/rows_over.sql": "CREATE FUNCTION rows_over(n) AS TABLE FROM s.t WHERE a > n",
    "models/m/seen.sql": "/* store: none */\nSELECT a FROM s.t WHERE a > 0",
}
NONE_FAR = "checks:\n      - {name: near, check: not bool_or(far(a))}"


def test_checks_use_functions_and_variables(project):
    made = project(
        {
            **FAR,
            "sources/s.yaml": source(NONE_FAR),
            "checks/far_rows.sql": "SELECT * FROM m.seen WHERE far(a)",
            "checks/over.sql": "SELECT * FROM rows_over($top)",
        }
    )
    report = made.run()
    assert (report.exit_code, {check.name: check.status for check in report.checks}) == (
        0,
        {"s.t.check.near": "held", "far_rows": "held", "over": "held"},
    )
    assert made.run().checks == [], "nothing changed"
    code, out, _ = made.cli("check", "--data", "--var", "top=1", "--json")
    found = {check["check"]: check["status"] for check in json.loads(out)["checks"]}
    assert (code, found) == (
        1,
        {"s.t.check.near": "broken", "far_rows": "broken", "over": "broken"},
    )
    made.write({"functions/far.sql": "CREATE FUNCTION far(x) AS x >= $top"})
    changed = made.run()
    assert {check.name: check.status for check in changed.checks} == {
        "s.t.check.near": "broken",
        "far_rows": "broken",
        "over": "held",
    }
    assert {step.status for step in changed.steps} == {"nothing"}, "no dataset uses it"


def test_a_check_that_reads_through_a_function_holds_back_what_that_reads(project):
    made = project(
        {
            **FAR,
            "sources/s.yaml": source(""),
            "checks/over.sql": "SELECT * FROM rows_over(2)",
        }
    )
    made.run()
    made.write({"data/b.csv": "a,b\n3,z\n"})
    report = made.run()
    assert names(report.held) == {"s.t", "m.seen"}
    assert made.ask("SELECT count(*) FROM s.t") == [(2,)]


def test_a_check_of_a_model_that_is_not_stored_holds_it_back(project):
    made = project(
        {
            **FAR,
            "sources/s.yaml": source(""),
            "checks/small.sql": "SELECT * FROM m.seen WHERE a > 2",
        }
    )
    assert made.run().exit_code == 0
    made.write({"data/b.csv": "a,b\n3,z\n"})
    report = made.run()
    assert "m.seen" in names(report.held)
    assert made.ask("SELECT max(a) FROM m.seen") == [(2,)]
    made.write({"checks/small.sql": "SELECT * FROM m.seen WHERE a > 3"})
    assert made.run().exit_code == 0
    assert made.ask("SELECT max(a) FROM m.seen") == [(3,)]


@pytest.mark.parametrize(
    ("files", "place", "message"),
    [
        (
            {"checks/c.sql": "SELECT * FROM s.t WHERE a > $botom"},
            "checks/c.sql:1:29",
            "no variable 'botom'",
        ),
        (
            {"checks/c.sql": "SELECT * FROM s.t WHERE far(a, b)"},
            "checks/c.sql:1:25",
            "far() does not take these arguments",
        ),
        (
            {"sources/s.yaml": source(NONE_FAR.replace("far(a)", "a > $botom"))},
            "sources/s.yaml:6:22",
            "no variable 'botom'",
        ),
        (
            {
                "functions/most.sql": "CREATE FUNCTION most() AS (SELECT max(a) FROM s.t)",
                "sources/s.yaml": source(
                    NONE_FAR.replace("not bool_or(far(a))", "max(a) = most()")
                ),
            },
            "sources/s.yaml:6:22",
            "a check of a contract reads no other table, and most() reads tables",
        ),
        (
            {
                "functions/lost.sql": "CREATE FUNCTION lost() AS TABLE SELECT a FROM s.tt",
                "checks/c.sql": "SELECT * FROM lost()",
            },
            "functions/lost.sql:1:47",
            "no dataset 's.tt'",
        ),
        (
            {
                "functions/bad.sql": "CREATE FUNCTION bad(x) AS nofunc(x)",
                "sources/s.yaml": source(NONE_FAR.replace("far(a)", "bad(a)")),
                "checks/c.sql": "SELECT * FROM s.t WHERE bad(a)",
            },
            "functions/bad.sql:1:",
            "nofunc",
        ),
    ],
)
def test_what_is_wrong_with_it_is_said_once_and_where_it_is(project, files, place, message):
    made = project({**FAR, "sources/s.yaml": source(""), **files})
    code, out, err = made.cli("check")
    assert code == 2
    (line,) = re.findall(r"^\S+\.(?:sql|yaml):\d.*$", out + err, re.M)
    assert line.startswith(place)
    assert message in line


def test_checks_see_the_validity_of_a_history_and_follow_a_renamed_model(project):
    history = "write: history\n    key: a\n    checks:\n      - {name: open, check: "
    history += "count(*) FILTER (valid_to IS NULL) > 0}"
    made = project(
        {
            "data/a.csv": GOOD,
            "sources/s.yaml": source(history),
            "models/m/x.sql": COPY,
            "checks/closed.sql": "SELECT * FROM s.t WHERE valid_to < valid_from",
            "checks/small.sql": SMALL.replace("s.t", "m.x"),
        }
    )
    first = made.run()
    assert {check.status for check in first.checks} == {"held"}
    assert len(first.checks) == 3
    (made.folder / "models/m/x.sql").unlink()
    made.write(
        {
            "models/m/y.sql": f"/* renamed_from: m.x */\n{COPY}",
            "checks/small.sql": SMALL.replace("s.t", "m.y"),
        }
    )
    renamed = made.run()
    assert [(check.name, check.status) for check in renamed.checks] == [("small", "held")]
    assert names(renamed.moves) == {"m.y"}
