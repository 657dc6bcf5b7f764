"""The taxi example, on its own five files and, where they are, on all 24."""

from __future__ import annotations

import gzip
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import headwater as hw

ROOT = Path(__file__).resolve().parents[1]
EXAMPLE = ROOT / "examples" / "taxi"
ALL_FILES = ROOT.parent / "shared" / "data" / "taxi"
KEPT = ("2018-08", "2018-11", "2019-01", "2019-02", "2019-11")


@pytest.fixture(params=["its own five files", "all 24 files"], scope="module")
def taxi(request, tmp_path_factory):
    """The example, run once in a copy: the project, its report, its files, the row count."""
    own = request.param == "its own five files"
    data = EXAMPLE / "data" if own else ALL_FILES
    if not own and len(list(data.glob("yellow_*.csv.gz"))) != 24:
        pytest.skip("the 24 monthly files are not beside this checkout, in ../shared/data/taxi")
    folder = tmp_path_factory.mktemp("taxi") / "taxi"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns(".headwater", "data"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TAXI_DATA", str(data))
        project = hw.open_project(folder)
        yield project, project.run(), sorted(data.glob("yellow_*.csv.gz"))


def ask(project, sql):
    return project.query(sql).rows()


def test_every_row_is_received_and_released(taxi):
    project, report, files = taxi
    assert (report.status, report.exit_code, report.held) == ("succeeded", 0, {})
    received = ask(
        project, "SELECT sum(received) FROM headwater.ledger WHERE dataset = 'tlc.trips'"
    )
    assert received == [(10_000 * len(files),)]
    assert {str(name) for name in report.moves} == {str(n) for n in project.project.datasets}


def test_both_balances_hold_at_each_step(taxi):
    project, *_ = taxi
    broken = ask(
        project,
        "SELECT * FROM headwater.ledger WHERE received <> landed + updated + unchanged + "
        "deduplicated + dropped + quarantined OR rows_after <> rows_before + landed - removed",
    )
    assert broken == []
    landed, there = ask(
        project,
        "SELECT (SELECT sum(landed) FROM headwater.ledger WHERE dataset = 'tlc.trips'), "
        "(SELECT count(*) FROM tlc.trips)",
    )[0]
    assert landed == there


def test_every_quarantined_row_stands_in_its_file_where_it_says(taxi):
    project, _, files = taxi
    rows = ask(
        project,
        "SELECT path, line, record, content FROM headwater.quarantine WHERE dataset = 'tlc.trips'",
    )
    counted = ask(
        project, "SELECT sum(quarantined) FROM headwater.ledger WHERE dataset = 'tlc.trips'"
    )
    assert rows
    assert counted == [(len(rows),)]
    lines = {path.name: gzip.decompress(path.read_bytes()).decode().splitlines() for path in files}
    for path, line, record, content in rows:
        assert lines[Path(path).name][line - 1] == content
        assert record == line - 1


def test_a_second_run_lands_nothing(taxi):
    project, *_ = taxi
    before = ask(project, "SELECT count(*), max(run_id) FROM headwater.ledger")
    again = project.run()
    assert (again.status, again.release) == ("nothing", None)
    assert ask(project, "SELECT count(*), max(run_id) FROM headwater.ledger") == before


def test_the_reasons_are_the_known_faults_of_the_data(taxi):
    project, _, files = taxi
    found = dict(
        ask(
            project,
            "SELECT reason, count(*) FROM (SELECT unnest(reasons) AS reason FROM "
            "headwater.quarantine) WHERE reason <> 'rule.has_distance' GROUP BY ALL",
        )
    )
    five = {
        "fare.min": 76,
        "total.min": 76,
        "vendor_id.required": 62,
        "rule.drop_off_after_pick_up": 36,
        "distance.min": 6,
        "fare.max": 2,
    }
    all_of_them = {
        "vendor_id.required": 372,
        "fare.min": 308,
        "total.min": 308,
        "rule.drop_off_after_pick_up": 200,
        "distance.min": 12,
        "fare.max": 2,
        "tip.min": 2,
        "pickup_at.min": 1,
    }
    assert found == (five if len(files) == 5 else all_of_them)


def test_the_marts_say_something(taxi):
    project, *_ = taxi
    assert ask(project, "SELECT count(*) FROM marts.busiest_routes") == [(100,)]
    assert ask(project, "SELECT count(*), count_if(is_rush) > 0 FROM marts.hourly_profile") == [
        (24, True)
    ]
    revenue, trips = ask(
        project,
        "SELECT (SELECT sum(revenue) FROM marts.daily_revenue), "
        "(SELECT sum(fare + tip) FROM tlc.trips)",
    )[0]
    assert revenue == trips
    vendor = ask(
        project,
        "SELECT vendor_id FROM marts.vendors WHERE surcharge_twice_percent > 0",
    )
    assert vendor == [(1,)]


def test_its_checks_hold(taxi):
    _, report, _ = taxi
    assert {check.name: check.status for check in report.checks} == {
        "tlc.trips.row_count": "held",
        "tlc.trips.check.mostly_by_card": "held",
        "revenue_is_that_of_the_trips": "held",
    }


def test_the_example_carries_a_handful_of_the_files():
    names = [path.name for path in sorted((EXAMPLE / "data").glob("*"))]
    assert names == [f"yellow_tripdata_sample_{month}.csv.gz" for month in KEPT]


def test_the_demo_runs_in_a_copy(tmp_path):
    folder = tmp_path / "taxi"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns(".headwater"))
    environment = {k: v for k, v in os.environ.items() if k != "TAXI_DATA"}
    done = subprocess.run(
        [sys.executable, str(folder / "demo.py")],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "read again from the file: the same text" in done.stdout
    assert "nothing to do: no new files" in done.stdout
