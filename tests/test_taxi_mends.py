"""The taxi example when its data is mended: a corrected month, and a fix of one reason."""

from __future__ import annotations

import gzip
import shutil

import pytest

import headwater as hw
from headwater.names import DatasetName
from tests.test_taxi import EXAMPLE

MONTH = "yellow_tripdata_sample_2018-08.csv.gz"
TRIPS = DatasetName("tlc", "trips")
LINE = "SELECT received, landed, updated, unchanged, quarantined, removed FROM headwater.ledger "


@pytest.fixture(scope="module")
def taxi(tmp_path_factory):
    """The example with two of its months, run once."""
    folder = tmp_path_factory.mktemp("mended") / "taxi"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns(".headwater", "data"))
    (folder / "data").mkdir()
    for month in (MONTH, "yellow_tripdata_sample_2018-11.csv.gz"):
        shutil.copy(EXAMPLE / "data" / month, folder / "data" / month)
    project = hw.open_project(folder)
    project.run()
    return project


def test_a_corrected_month_changes_exactly_its_rows_and_what_depends_on_them(taxi):
    path = taxi.project.folder / "data" / MONTH
    told = "SELECT _file_id, _record, COLUMNS(c -> c NOT LIKE '\\_%' ESCAPE '\\') FROM tlc.trips"
    before = set(taxi.query(told).rows())
    lines = gzip.decompress(path.read_bytes()).decode().splitlines(keepends=True)
    header = lines[0].rstrip("\r\n").split(",")
    tip = header.index("tip_amount")
    corrected = []
    for number in (10, 20, 30):
        cells = lines[number].rstrip("\r\n").split(",")
        cells[tip] = str(float(cells[tip] or 0) + 1)
        lines[number] = ",".join(cells) + "\n"
        corrected.append(number)
    path.write_bytes(gzip.compress("".join(lines).encode()))
    report = taxi.run()
    after = set(taxi.query(told).rows())
    (ledger,) = taxi.query(
        f"{LINE} WHERE dataset = 'tlc.trips' ORDER BY committed_at DESC LIMIT 1"
    ).rows()
    received, landed, updated, unchanged, quarantined, removed = ledger
    assert (received, landed, removed) == (10_000, 0, 0)
    assert updated == len(after - before) == len(before - after)
    assert 0 < updated <= len(corrected)
    assert unchanged + updated + quarantined == received
    assert {row[1] for row in after - before} <= set(corrected)
    changed = {str(step.dataset) for step in report.steps if step.status == "done"}
    assert changed == {str(name) for name in taxi.graph.downstream([TRIPS])}
    assert "tlc.zones" not in changed


def test_the_quarantined_rows_of_one_reason_are_fixed_and_replayed(taxi):
    waiting = (
        "SELECT count(*) FROM headwater.quarantine WHERE list_contains(reasons, 'fare.min') "
        "AND dataset = 'tlc.trips' AND id NOT IN (SELECT id FROM headwater.quarantine_outcomes)"
    )
    ((count,),) = taxi.query(waiting).rows()
    ((rows,),) = taxi.query("SELECT count(*) FROM tlc.trips").rows()
    assert count
    money = ("fare", "tip", "total")
    report = taxi.replay(
        "tlc.trips",
        reason="fare.min",
        sets={name: f"abs(CAST({name} AS DECIMAL(10,2)))" for name in money},
    )
    assert report.exit_code == 0, report.as_dict()
    ledger = report.steps[0].ledger
    assert ledger.received == count
    assert ledger.landed + ledger.quarantined == count
    assert ledger.landed
    assert taxi.query("SELECT count(*) FROM tlc.trips").rows() == [(rows + ledger.landed,)]
    assert taxi.query(waiting).rows() == [(ledger.quarantined,)]
    assert taxi.query(
        "SELECT sum(trips) = (SELECT count(*) FROM staging.trips) FROM marts.daily_revenue"
    ).rows() == [(True,)]
