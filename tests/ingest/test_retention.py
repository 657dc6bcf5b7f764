"""Retention: what is too long in quarantine is forgotten, and stays accounted for."""

from __future__ import annotations

import json
from datetime import datetime, timedelta

import pytest

import headwater as hw
from headwater.cli.output import Output
from headwater.cli.run import show_report
from headwater.run.options import Options
from headwater.run.run import run

SOURCE = """\
connector: files
datasets:
  t:
    path: data/*.csv
    columns:
      id:   {type: integer, required: true}
      fare: {type: "decimal(10,2)", min: 0}
"""
ONE = "id,fare\n1,5\n2,-3\n3,x\n4,1,2\n"
KEEPS = {"headwater.yaml": "name: test\nquarantine_retention_days: 30\n"}
LATER = datetime(9000, 1, 1)
EARLIER = datetime(2000, 1, 1)
ROWS = "SELECT id, reasons, path, line FROM headwater.quarantine ORDER BY id"
HELD = (
    "SELECT id FROM headwater.quarantine WHERE content IS NOT NULL OR fields IS NOT NULL ORDER BY 1"
)
OUTCOMES = "SELECT id, dataset, outcome FROM headwater.quarantine_outcomes ORDER BY id"


@pytest.fixture
def made(project):
    made = project({"data/one.csv": ONE, **KEEPS}, source=SOURCE)
    made.run_at(EARLIER)
    return made


def ids(*numbers: int) -> list[tuple[str]]:
    return [(f"s.t/1/{number}",) for number in numbers]


def counts(made) -> dict[str, dict]:
    rows = json.loads(made.cli("quarantine", "counts", "--json")[1])
    kinds = ("quarantined", "replayed", "discarded", "withdrawn", "expired", "waiting")
    return {row["reason"]: {kind: row[kind] for kind in kinds if row[kind]} for row in rows}


def test_what_is_too_old_is_forgotten_once_and_stays_on_record(made):
    rows = made.ask(ROWS)
    assert made.ask(HELD) == ids(2, 3, 4)
    report = made.run_at(LATER)
    assert (report.expired, report.status, report.exit_code, report.release) == (
        3,
        "succeeded",
        0,
        None,
    )
    assert made.ask(HELD) == []
    assert made.ask(ROWS) == rows
    assert made.ask(OUTCOMES) == [(row, "s.t", "expired") for (row,) in ids(2, 3, 4)]
    gone = {"quarantined": 1, "expired": 1}
    assert counts(made) == dict.fromkeys(["fare.min", "fare.type", "line.too_many_fields"], gone)
    assert made.balances()
    snapshot = made.newest_snapshot()
    assert (made.run_at(LATER).status, made.newest_snapshot()) == ("nothing", snapshot)


def test_an_expired_row_is_no_open_row(made):
    file = made.folder / "mend.csv"
    made.cli("quarantine", "export", "s.t", "-o", str(file))
    made.run_at(LATER)
    assert "nothing is in quarantine" in made.cli("quarantine", "list")[1]
    for words in (["replay"], ["fix", "--set", "fare=1"], ["fix", "--from", str(file)]):
        code, out, _ = made.cli("quarantine", words[0], "s.t", *words[1:])
        assert (code, "nothing to replay" in out) == (0, True), words
    assert "discarded 0 rows" in made.cli("quarantine", "discard", "s.t", "--all")[1]
    assert "0 rows" in made.cli("quarantine", "export", "s.t", "-o", str(file))[1]
    code, _, err = made.cli("quarantine", "show", "s.t/1/2")
    assert (code, "hint: it was there, and expired on " in err) == (1, True)
    assert made.ask("SELECT id FROM s.t") == [(1,)]


def test_what_was_replayed_or_discarded_keeps_its_outcome_and_loses_its_content(made):
    made.cli("quarantine", "fix", "s.t", "--reason", "fare.min", "--set", "fare=abs(fare::DOUBLE)")
    made.cli("quarantine", "discard", "s.t", "--reason", "fare.type")
    report = made.run_at(LATER)
    assert report.expired == 1
    assert made.ask(HELD) == []
    assert [row[2] for row in made.ask(OUTCOMES)] == ["replayed", "discarded", "expired"]
    assert made.ask("SELECT id FROM s.t ORDER BY id") == [(1,), (2,)]


def test_only_what_is_older_is_forgotten(made):
    ((first,),) = made.ask("SELECT max(quarantined_at) FROM headwater.quarantine")
    made.write({"data/two.csv": "id,fare\ny,1\n"})
    made.run_at(EARLIER)
    assert made.run_at(first + timedelta(days=30)).expired == 0
    assert made.run_at(first + timedelta(days=30, microseconds=1)).expired == 3
    assert made.ask(HELD) == [("s.t/2/1",)]
    _, out, _ = made.cli("quarantine", "list", "--json")
    assert [row["id"] for row in json.loads(out)["rows"]] == ["s.t/2/1"]


def test_by_default_it_is_kept(made):
    made.write({"headwater.yaml": "name: test\n"})
    snapshot = made.newest_snapshot()
    assert made.run_at(LATER).expired == 0
    assert (made.newest_snapshot(), made.ask(HELD)) == (snapshot, ids(2, 3, 4))


def test_earlier_snapshots_still_hold_what_was_forgotten(made):
    snapshot = made.newest_snapshot()
    made.run_at(LATER)
    with hw.open_project(made.folder).read_lake() as lake:
        found = lake.con.execute(
            f"SELECT content FROM lake.headwater.quarantine AT (VERSION => {snapshot}) ORDER BY id"
        ).fetchall()
    assert found == [("2,-3",), ("3,x",), ("4,1,2",)]


def test_a_file_that_is_landed_again_says_its_rows_anew(made):
    made.run_at(LATER)
    made.write({"data/one.csv": ONE.replace("2,-3", "2,-4")})
    made.run_at(EARLIER)
    _, out, _ = made.cli("quarantine", "list", "--json")
    assert len(json.loads(out)["rows"]) == 3
    assert len(made.ask(HELD)) == 3
    assert counts(made)["fare.min"] == {"quarantined": 2, "expired": 1, "waiting": 1}


def test_what_somebody_works_on_is_left_to_the_next_run(made):
    """A replay reads its rows long before it ends them."""
    opened = hw.open_project(made.folder)
    with opened.open_lake() as lake:
        lock = lake.locks.dataset("s.t")
        asked = Options(moment=LATER, select=["m.x"])
        made.write({"models/m/x.sql": "SELECT id FROM s.t"})
        opened = hw.open_project(made.folder)
        with lock:
            report = run(opened.project, opened.graph, opened.bound, lake, asked)
    assert (report.expired, report.release) == (0, 2)
    assert made.ask(HELD) == ids(2, 3, 4)
    assert made.run_at(LATER).expired == 3


def test_rows_that_a_model_rejected_are_forgotten_too(project):
    model = "/* rules: [{name: small, check: a < 2, otherwise: quarantine}] */\nSELECT a FROM s.t"
    made = project({"data/a.csv": "a,b\n1,x\n2,y\n", "models/m/x.sql": model, **KEEPS})
    made.run_at(EARLIER)
    before = made.ask("SELECT dataset, reasons FROM headwater.quarantine")
    assert (before, len(made.ask(HELD))) == ([("m.x", ["rule.small"])], 1)
    assert made.run_at(LATER).expired == 1
    assert (made.ask("SELECT dataset, reasons FROM headwater.quarantine"), made.ask(HELD)) == (
        before,
        [],
    )


def test_a_renamed_dataset_forgets_what_it_rejected_under_its_earlier_name(made):
    made.write({"sources/s.yaml": SOURCE.replace("  t:\n", "  u:\n    renamed_from: s.t\n")})
    assert made.run_at(LATER).expired == 3
    assert made.ask(OUTCOMES) == [(row, "s.u", "expired") for (row,) in ids(2, 3, 4)]
    assert made.ask(HELD) == []


def test_the_command_tells_what_expired(made, capsys):
    assert show_report(Output(), made.run_at(LATER)) == 0
    assert "expired    3 rows of quarantine, with their content" in capsys.readouterr().out


def test_less_than_a_day_is_no_retention(made):
    made.write({"headwater.yaml": "name: test\nquarantine_retention_days: 0\n"})
    code, out, err = made.cli("run")
    assert (code, "quarantine_retention_days" in out + err) == (2, True)
