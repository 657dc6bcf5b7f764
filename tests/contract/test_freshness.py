"""Freshness: durations in words, and how fresh a dataset is at a moment that is given."""

from __future__ import annotations

import json
from datetime import datetime, timedelta

import pytest

from headwater.cli import status
from headwater.cli.output import Output
from headwater.contract.freshness import Fresh, Freshness, read_duration

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
    made.run()
    notes = []
    for moment in (datetime(2026, 1, 9, 23), NOW, datetime(2026, 1, 20)):
        assert status.command(Output(is_json=True), str(made.folder), moment) == 0
        (row,) = json.loads(capsys.readouterr().out)["datasets"]
        notes.append((row["freshness"]["state"], row["note"]))
    assert notes == [
        ("fresh", ""),
        ("warn", "not fresh (warn): its newest seen is 2026-01-09 00:00:00"),
        ("fail", "not fresh (fail): its newest seen is 2026-01-09 00:00:00"),
    ]


def test_freshness_changes_no_fingerprint_so_it_judges_what_is_there(project, capsys):
    made = project({"data/a.csv": "id,seen\n1,2026-01-08\n"}, source=SOURCE)
    made.run()
    lines = [line for line in SOURCE.splitlines() if "freshness" not in line]
    made.write({"sources/s.yaml": "\n".join(lines)})
    assert made.run().status == "nothing"
    assert status.command(Output(is_json=True), str(made.folder), NOW) == 0
    (row,) = json.loads(capsys.readouterr().out)["datasets"]
    assert row["freshness"] is None
