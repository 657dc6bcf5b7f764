"""Freshness: durations in words, how fresh a dataset is at a moment that is given, and what a run
makes of it."""

from __future__ import annotations

import json
from datetime import datetime, timedelta

import pytest

import headwater as hw
from headwater.analysis.checks import DataCheck, data_checks
from headwater.cli import status
from headwater.cli.output import Output
from headwater.contract.checks import CheckRemedy
from headwater.contract.freshness import Fresh, Freshness, read_duration
from headwater.engine.checks import evaluate
from headwater.engine.session import connect
from headwater.names import DatasetName
from headwater.run.checks import check_release
from tests.conftest import Made

NOW = datetime(2026, 1, 10, 12)


@pytest.mark.parametrize(
    ("text", "duration"),
    [
        ("1 day", timedelta(days=1)),
        ("36 hours", timedelta(hours=36)),
        ("90 minutes", timedelta(minutes=90)),
        ("2 weeks", timedelta(weeks=2)),
    ],
)
def test_a_duration_is_read_in_words(text, duration):
    assert read_duration(text) == duration


@pytest.mark.parametrize("text", ["1", "day", "1 month", "-1 days", "1.5 hours", ""])
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(ValueError, match="a duration is"):
        read_duration(text)


@pytest.mark.parametrize(
    ("newest", "fresh"),
    [
        (NOW - timedelta(hours=24), Fresh.FRESH),
        (NOW - timedelta(hours=25), Fresh.WARN),
        (NOW - timedelta(days=3, seconds=1), Fresh.FAIL),
        (NOW + timedelta(days=9), Fresh.FRESH),
        (None, Fresh.FAIL),
    ],
)
def test_how_fresh_a_dataset_is(newest, fresh):
    freshness = Freshness(column="seen", warn_after="1 day", fail_after="3 days")
    assert freshness.judge(newest, NOW) is fresh


@pytest.mark.parametrize(
    ("newest", "warn", "fail", "cause"),
    [
        (NOW - timedelta(hours=24), "1 day", "3 days", ""),
        (NOW + timedelta(days=9), "1 day", "3 days", ""),
        (
            datetime(2026, 1, 9, 11, 59, 59),
            "1 day",
            "3 days",
            "its newest seen is 2026-01-09 11:59 (UTC), older than 1 day",
        ),
        (
            datetime(2025, 1, 9),
            "1 day",
            "3 days",
            "its newest seen is 2025-01-09 00:00 (UTC), older than 3 days",
        ),
        (
            datetime(2025, 1, 9),
            "1 day",
            None,
            "its newest seen is 2025-01-09 00:00 (UTC), older than 1 day",
        ),
        (
            datetime.min,
            None,
            "3 weeks",
            "its newest seen is 0001-01-01 00:00 (UTC), older than 3 weeks",
        ),
        (None, "1 day", None, "it has no row with a seen"),
        (None, "1 day", "3 days", "it has no row with a seen"),
    ],
)
def test_the_cause_says_how_old_in_words(newest, warn, fail, cause):
    freshness = Freshness(column="seen", warn_after=warn, fail_after=fail)
    assert freshness.cause(newest, NOW) == cause


@pytest.mark.parametrize(
    ("warn", "fail", "meaning"),
    [
        ("1 day", None, "its newest seen is at most 1 day old"),
        (None, "3 days", "its newest seen is at most 3 days old"),
        ("1 day", "3 days", "its newest seen is at most 3 days old, a warning after 1 day"),
    ],
)
def test_its_meaning_in_words(warn, fail, meaning):
    assert Freshness(column="seen", warn_after=warn, fail_after=fail).meaning == meaning


# ---- as a check


def check_data_at(made: Made, moment: datetime):
    """`check --data` as if it were that moment, UTC."""
    opened = hw.open_project(made.folder)
    with opened.open_lake() as lake:
        return check_release(opened.project, opened.graph, lake, moment=moment)


def recorded(made: Made) -> list[tuple]:
    """What is recorded of freshness, oldest first."""
    return made.ask(
        "SELECT dataset, status, remedy, cause FROM headwater.checks "
        "WHERE check_name = 'freshness' ORDER BY checked_at, dataset"
    )


def found(report) -> list[tuple]:
    return [(check.name, check.status, check.remedy) for check in report.checks]


def names(given) -> set[str]:
    return {str(name) for name in given}


SOURCE = """\
connector: files
datasets:
  t:
    path: data/*.csv
    freshness: {column: seen, warn_after: 1 day, fail_after: 3 days}
    columns: {id: integer, seen: date}
"""


def test_the_status_says_what_is_not_fresh(project, capsys):
    made = project({"data/a.csv": "id,seen\n1,2026-01-08\n2,2026-01-09\n"}, source=SOURCE)
    made.run_at(NOW)
    notes = []
    for moment in (datetime(2026, 1, 9, 23), NOW, datetime(2026, 1, 20)):
        assert status.command(Output(is_json=True), str(made.folder), moment) == 0
        (row,) = json.loads(capsys.readouterr().out)["datasets"]
        notes.append((row["freshness"]["state"], row["note"]))
    assert notes == [
        ("fresh", ""),
        (
            "warn",
            "not fresh (warn): its newest seen is 2026-01-09 00:00 (UTC), older than 1 day",
        ),
        (
            "fail",
            "not fresh (fail): its newest seen is 2026-01-09 00:00 (UTC), older than 3 days",
        ),
    ]


def test_freshness_changes_no_fingerprint_so_it_judges_what_is_there(project, capsys):
    made = project({"data/a.csv": "id,seen\n1,2026-01-08\n"}, source=SOURCE)
    made.run_at(NOW)
    lines = [line for line in SOURCE.splitlines() if "freshness" not in line]
    made.write({"sources/s.yaml": "\n".join(lines)})
    assert made.run().status == "nothing"
    assert status.command(Output(is_json=True), str(made.folder), NOW) == 0
    (row,) = json.loads(capsys.readouterr().out)["datasets"]
    assert row["freshness"] is None


def of_source(made: Made) -> DataCheck:
    (check,) = data_checks(hw.open_project(made.folder).project)
    return check


def test_it_is_one_more_check_of_the_contract(project):
    check = of_source(project({"data/a.csv": "id,seen\n"}, source=SOURCE))
    assert (check.name, check.remedy, check.is_fickle) == ("s.t.freshness", CheckRemedy.FAIL, True)
    assert check.where == "sources/s.yaml:5"


def test_its_fingerprint_is_that_of_its_column_and_ages(project):
    made = project({"data/a.csv": "id,seen\n"}, source=SOURCE)
    marks = {}
    for age in ("1 day", "24 hours", "2 days"):
        made.write({"sources/s.yaml": SOURCE.replace("warn_after: 1 day", f"warn_after: {age}")})
        marks[age] = of_source(made).fingerprint
    assert marks["1 day"] == marks["24 hours"] != marks["2 days"]


@pytest.mark.parametrize(
    ("values", "fresh"),
    [
        (["DATE '2026-01-10'", "DATE '2020-01-01'"], Fresh.FRESH),
        (["TIMESTAMP '2026-01-09 11:59'"], Fresh.WARN),
        (["TIMESTAMPTZ '2026-01-07 13:59:00+02:00'"], Fresh.FAIL),
        (["TIMESTAMPTZ '2026-01-07 13:59:00+00:00'"], Fresh.WARN),
        (["NULL::DATE", "DATE '2026-01-10'"], Fresh.FRESH),
        (["NULL::DATE"], Fresh.FAIL),
        ([], Fresh.FAIL),
        (["DATE '9999-12-31'"], Fresh.FRESH),
        (["DATE '400000-01-01'"], Fresh.FRESH),
        (["TIMESTAMPTZ 'infinity'"], Fresh.FRESH),
        (["TIMESTAMP '20000-01-01'"], Fresh.FRESH),
        (["TIMESTAMP '0044-03-15 (BC) 00:00:00'"], Fresh.FAIL),
        (["DATE '-infinity'"], Fresh.FAIL),
    ],
)
def test_the_newest_value_of_any_day_or_moment_is_judged(project, values, fresh):
    check = of_source(project({"data/a.csv": "id,seen\n"}, source=SOURCE))
    with connect() as con:
        rows = " UNION ALL ".join(f"SELECT {value} AS seen" for value in values)
        con.execute(f"CREATE SCHEMA s; CREATE VIEW s.t AS {rows or 'SELECT now() AS seen LIMIT 0'}")
        finding = evaluate(con, check, NOW)
    told = Fresh.FRESH if finding.holds else Fresh.FAIL
    if finding.remedy is CheckRemedy.WARN:
        told = Fresh.WARN
    assert (told, finding.cause == "") == (fresh, fresh is Fresh.FRESH)
    assert "computed" not in finding.cause


@pytest.fixture
def chain(project) -> Made:
    """A source that may be three days old, and two models in a row that read it."""
    return project(
        {
            "data/a.csv": "id,seen\n1,2026-01-08\n2,2026-01-10\n",
            "models/m/x.sql": "SELECT id, seen FROM s.t",
            "models/m/y.sql": "SELECT count(*) AS n FROM m.x",
        },
        source=SOURCE,
    )


FRESH = [("s.t.freshness", "held", "fail")]
WARNS = [("s.t.freshness", "broken", "warn")]
FAILS = [("s.t.freshness", "broken", "fail")]


def test_a_run_that_finds_nothing_new_commits_nothing(chain):
    first = chain.run_at(NOW)
    assert (found(first), first.exit_code, first.release) == (FRESH, 0, 1)
    snapshot = chain.newest_snapshot()
    again = chain.run_at(NOW + timedelta(hours=3))
    assert (found(again), again.exit_code, again.release) == (FRESH, 0, None)
    assert chain.newest_snapshot() == snapshot
    assert recorded(chain) == [("s.t", "held", "fail", None)]
    assert chain.run_at(NOW, select=["m.x"]).checks == [], "it reads nothing that is selected"


def test_a_dataset_grows_old_while_nothing_moves(chain):
    """Each state is told in each run and recorded once; the names stay as they are."""
    chain.run_at(NOW)
    old = "its newest seen is 2026-01-10 00:00 (UTC), older than"
    warn, fail = datetime(2026, 1, 12), datetime(2026, 1, 14)
    for moment, told, code, status_ in (
        (warn, WARNS, 0, "succeeded"),
        (fail, FAILS, 1, "checks broken"),
    ):
        first = chain.run_at(moment)
        snapshot = chain.newest_snapshot()
        for report in (first, chain.run_at(moment + timedelta(hours=1))):
            assert (found(report), report.exit_code, report.status) == (told, code, status_)
            assert (report.release, report.held, report.moves) == (None, {}, {})
            assert {step.status for step in report.steps} == {"nothing"}
        assert chain.newest_snapshot() == snapshot
    assert recorded(chain) == [
        ("s.t", "held", "fail", None),
        ("s.t", "broken", "warn", f"{old} 1 day"),
        ("s.t", "broken", "fail", f"{old} 3 days"),
    ]
    chain.write({"data/b.csv": "id,seen\n3,2026-01-13\n"})
    mended = chain.run_at(fail)
    assert (found(mended), names(mended.moves)) == (FRESH, {"s.t", "m.x", "m.y"})
    assert len(recorded(chain)) == 4


def test_what_is_too_old_is_held_back_with_what_reads_it(chain):
    chain.run_at(NOW)
    chain.write(
        {
            "data/b.csv": "id,seen\n3,2026-01-11\n",
            "models/n/other.sql": "SELECT 1 AS one",
        }
    )
    moment = datetime(2026, 1, 20)
    report = chain.run_at(moment)
    assert (found(report), report.exit_code, report.status) == (FAILS, 1, "held back")
    assert names(report.held) == {"s.t", "m.x", "m.y"}
    assert names(report.moves) == {"n.other"}
    assert report.held[DatasetName("s", "t")] == (
        "the check s.t.freshness does not hold: "
        "its newest seen is 2026-01-11 00:00 (UTC), older than 3 days"
    )
    assert chain.ask("SELECT n FROM m.y") == [(2,)]
    snapshot, rows = chain.newest_snapshot(), recorded(chain)
    again = chain.run_at(moment)
    assert (found(again), again.exit_code, again.status) == (FAILS, 1, "held back")
    assert names(again.held) == {"s.t", "m.x", "m.y"}, "it waits, and each run says so"
    assert (chain.newest_snapshot(), recorded(chain)) == (snapshot, rows)
    chain.write({"sources/s.yaml": SOURCE.replace("fail_after: 3 days", "fail_after: 3 weeks")})
    mended = chain.run_at(moment)
    assert (found(mended), mended.exit_code) == (WARNS, 0)
    assert names(mended.moves) == {"s.t", "m.x", "m.y"}
    assert chain.ask("SELECT n FROM m.y") == [(3,)]


def test_a_warning_holds_back_nothing(chain):
    report = chain.run_at(datetime(2026, 1, 12))
    assert (found(report), report.exit_code, report.release) == (WARNS, 0, 1)
    assert names(report.moves) == {"s.t", "m.x", "m.y"}


def test_with_warn_after_alone_it_never_fails(chain):
    chain.write({"sources/s.yaml": SOURCE.replace(", fail_after: 3 days", "")})
    report = chain.run_at(datetime(2030, 1, 1))
    assert (found(report), report.exit_code, report.release) == (WARNS, 0, 1)


def test_a_model_is_held_back_for_its_own_age_and_its_source_with_it(chain):
    front = "/* freshness: {column: seen, fail_after: 1 day} */\n"
    chain.write(
        {
            "models/m/x.sql": f"{front}SELECT id, seen FROM s.t WHERE id = 1",
            "sources/s.yaml": SOURCE.replace("freshness:", "# freshness:"),
        }
    )
    report = chain.run_at(NOW)
    (check,) = report.checks
    assert (check.name, check.fails, names(report.held)) == (
        "m.x.freshness",
        True,
        {"s.t", "m.x", "m.y"},
    )
    assert check.hint == (
        "see whether what it reads is fresh, or let it be older: `freshness` in models/m/x.sql:1"
    )


def test_an_empty_dataset_is_not_fresh(chain):
    chain.write({"data/a.csv": "id,seen\n"})
    report = chain.run_at(NOW)
    (check,) = report.checks
    assert (check.cause, check.fails) == ("it has no row with a seen", True)


def test_checking_the_data_looks_at_its_age_and_records_it_once(chain):
    chain.run_at(NOW)
    snapshot = chain.newest_snapshot()
    fresh = check_data_at(chain, NOW)
    assert (found(fresh), fresh.exit_code) == (FRESH, 0)
    assert chain.newest_snapshot() == snapshot, "nothing new is told"
    for _ in range(2):
        old = check_data_at(chain, datetime(2026, 1, 20))
        assert (found(old), old.exit_code) == (FAILS, 1)
    assert [row[1] for row in recorded(chain)] == ["held", "broken"]
    warns = check_data_at(chain, datetime(2026, 1, 12))
    assert (found(warns), warns.exit_code) == (WARNS, 0)
    assert len(recorded(chain)) == 3


def test_the_commands_say_how_old_it_is_and_what_next(chain):
    """By the clock, which is past 2026."""
    code, out, err = chain.cli("run")
    cause = "its newest seen is 2026-01-10 00:00 (UTC), older than 3 days"
    hint = "land newer rows, or let it be older: `freshness` in sources/s.yaml:5"
    assert code == 1
    assert f"✗ check s.t.freshness  {cause}" in err
    assert f"hint: {hint}" in err
    assert f"held back  s.t: the check s.t.freshness does not hold: {cause}" in out
    chain.write({"sources/s.yaml": SOURCE.replace(", fail_after: 3 days", "")})
    assert chain.cli("run")[0] == 0
    chain.write({"sources/s.yaml": SOURCE})
    code, out, err = chain.cli("check", "--data")
    assert (code, f"s.t.freshness: {hint}" in out + err) == (1, True)
    _, out, _ = chain.cli("checks", "--json")
    (row,) = json.loads(out)
    assert (row["check"], row["status"], row["otherwise"], row["trend"], row["why"]) == (
        "s.t.freshness",
        "broken",
        "fail",
        "███",
        cause,
    )
    _, out, _ = chain.cli("checks", "s.t.freshness", "--json")
    assert [(row["status"], row["otherwise"]) for row in json.loads(out)] == [
        ("broken", "fail"),
        ("broken", "warn"),
        ("broken", "fail"),
    ]
    _, out, _ = chain.cli("status")
    assert out.count(cause) == 1, "once, though the check is recorded too"
    assert f"not fresh (fail): {cause}" in out


def test_a_warning_of_age_is_shown_as_such_though_it_may_fail(chain):
    chain.run_at(datetime(2026, 1, 12))
    _, out, _ = chain.cli("checks", "--json")
    (row,) = json.loads(out)
    assert (row["status"], row["otherwise"]) == ("broken", "warn")
