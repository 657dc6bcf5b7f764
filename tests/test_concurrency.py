"""Several processes on one lake."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import headwater as hw
from tests.killing import promotions
from tests.killing.harness import ROWS_PER_FILE, add_file, check, make_project
from tests.killing.promotions import Variant, write_definitions

RUN = "import sys, headwater as hw; sys.exit(hw.open_project(sys.argv[1]).run().exit_code)"


def start(folder: Path, code: str = RUN) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(*processes: subprocess.Popen[str]) -> None:
    for process in processes:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors


def test_two_runs_started_at_once_on_a_new_lake_land_every_file_once(tmp_path):
    make_project(tmp_path)
    for number in range(6):
        add_file(tmp_path, number)
    finish(start(tmp_path), start(tmp_path))
    check(tmp_path, 6)


def test_three_runs_at_once_land_every_new_file_once(tmp_path):
    make_project(tmp_path)
    add_file(tmp_path, 0)
    hw.open_project(tmp_path).run()
    for number in range(1, 5):
        add_file(tmp_path, number)
    finish(*(start(tmp_path) for _ in range(3)))
    check(tmp_path, 5)


def test_a_second_run_waits_for_the_dataset_and_then_finds_nothing_to_do(tmp_path):
    make_project(tmp_path)
    add_file(tmp_path, 0)
    finish(start(tmp_path))
    with hw.open_project(tmp_path).open_lake() as lake:
        lock = lake.locks.dataset("src.events")
        with lock:
            waiting = start(tmp_path)
            try:
                waiting.wait(timeout=3)
                raise AssertionError("it did not wait for the dataset's lock")
            except subprocess.TimeoutExpired:
                pass
    finish(waiting)
    check(tmp_path, 1)


def test_a_reader_needs_no_lock(tmp_path):
    make_project(tmp_path)
    add_file(tmp_path, 0)
    project = hw.open_project(tmp_path)
    project.run()
    with project.open_lake() as lake, lake.locks.commit():
        rows = project.query(
            "SELECT sum(received) FROM headwater.ledger WHERE dataset = 'src.events'"
        )
        assert rows.rows() == [(ROWS_PER_FILE,)]


def test_each_commit_carries_author_message_and_run(tmp_path):
    make_project(tmp_path)
    add_file(tmp_path, 0)
    project = hw.open_project(tmp_path)
    report = project.run()
    with project.read_lake() as lake:
        rows = lake.con.execute(
            "SELECT author, commit_message, commit_extra_info FROM lake.snapshots() "
            "WHERE snapshot_id > (SELECT snapshot_id FROM lake.snapshots() "
            "WHERE commit_message = 'make the lake') ORDER BY snapshot_id"
        ).fetchall()
    assert rows
    for author, message, extra in rows:
        assert author
        assert message
        assert json.loads(extra) == {"run_id": report.run_id}


# ---- promoting at once

PROMOTE = """
import os, sys, time
from pathlib import Path
import headwater as hw
from headwater.errors import ReleaseRefused
from headwater.run.report import Silent
class Gate(Silent):
    "After the first dataset, so after it was found that it may be promoted, it waits."
    def done(self, step):
        gate = Path(sys.argv[3])
        if not (gate / "open").exists():
            (gate / str(os.getpid())).touch()
        until = time.monotonic() + 60
        while not (gate / "open").exists() and time.monotonic() < until:
            time.sleep(0.01)
try:
    observer = Gate() if len(sys.argv) > 3 else None
    report = hw.open_project(sys.argv[1]).promote(sys.argv[2], observer=observer)
    print(report.status)
    sys.exit(report.exit_code)
except ReleaseRefused as error:
    print("refused:", error.message)
"""


def promote_at_once(lake_of: Path, *promoted: tuple[Path, str]) -> list[str]:
    """Promote environments, each from its folder; what each process says. They wait after each
    has found that it may be promoted: so it is at the end that they learn of each other."""
    gate = lake_of.parent / "gate"
    gate.mkdir()
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", PROMOTE, str(folder), environment, str(gate)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for folder, environment in promoted
    ]
    until = time.monotonic() + 60
    while len(list(gate.iterdir())) < len(processes) and time.monotonic() < until:
        time.sleep(0.05)
    assert len(list(gate.iterdir())) == len(processes)
    (gate / "open").touch()
    said = []
    for process in processes:
        out, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
        said.append(out.strip())
    return said


def folder_beside(folder: Path, name: str, variant: Variant) -> Path:
    """Another folder of the same project, with definitions of its own, on the same lake."""
    beside = folder.parent / name
    write_definitions(beside, variant)
    with (beside / "headwater.yaml").open("a") as settings:
        settings.write(f"lake: {folder / '.headwater'}\n")
    return beside


def dev_in(folder: Path, name: str, variant: Variant) -> tuple[Path, str]:
    """An environment, built from a folder of its own."""
    beside = folder_beside(folder, name, variant)
    assert hw.open_project(beside, environment=name).run().exit_code == 0
    return beside, name


def released(folder: Path) -> Path:
    """A project whose prod has one release."""
    folder /= "project"
    write_definitions(folder, Variant())
    promotions.add_file(folder)
    assert hw.open_project(folder).run().exit_code == 0
    return folder


def prod(folder: Path) -> tuple[Variant, int]:
    """How prod's release was made; it is a whole one."""
    return promotions.told(hw.open_project(folder).query(promotions.SEEN).rows()[0])


def count(folder: Path, what: str) -> int:
    return hw.open_project(folder).query(f"SELECT count(*) FROM headwater.{what}").rows()[0][0]


PROD = "releases WHERE environment = 'prod'"


def test_of_two_promotions_that_contradict_each_other_one_wins(tmp_path):
    folder = released(tmp_path)
    anna = dev_in(folder, "anna", Variant(x=1))
    ben = dev_in(folder, "ben", Variant(x=2))
    builds = count(folder, "builds")
    said = promote_at_once(folder, anna, ben)
    winner = said.index("succeeded")
    assert said[1 - winner].startswith("refused: prod has another definition of m.x and m.y since")
    assert prod(folder) == (Variant(x=winner + 1), 1)
    assert (count(folder, PROD), count(folder, "builds")) == (2, builds)


def test_of_two_promotions_the_one_that_has_the_others_change_is_released(tmp_path):
    folder = released(tmp_path)
    anna = dev_in(folder, "anna", Variant(x=1))
    both = folder_beside(folder, "ben", Variant(x=1))
    (both / "models/m/alone.sql").write_text("SELECT count(id) AS n FROM s.t")
    assert hw.open_project(both, environment="ben").run().exit_code == 0
    builds = count(folder, "builds")
    said = promote_at_once(folder, anna, (both, "ben"))
    assert said[1] == "succeeded"
    refused = "refused: prod has another definition of m.alone since anna was built"
    assert said[0] == "succeeded" or said[0].startswith(refused)
    assert prod(folder) == (Variant(x=1), 1)
    lake = hw.api.read_lake(both)
    with lake, lake.reading():
        assert lake.release_at(None, "prod").names == lake.release_at(None, "ben").names
    assert count(folder, PROD) == 1 + sum(word == "succeeded" for word in said)
    assert count(folder, "builds") == builds


def test_an_environment_that_is_promoted_twice_at_once_is_released_once(tmp_path):
    folder = released(tmp_path)
    dev = dev_in(folder, "dev", Variant(x=1))
    builds = count(folder, "builds")
    assert sorted(promote_at_once(folder, dev, dev)) == ["nothing", "succeeded"]
    assert prod(folder) == (Variant(x=1), 1)
    assert (count(folder, PROD), count(folder, "builds")) == (2, builds)


def test_two_promotions_that_must_catch_up_build_it_once(tmp_path):
    folder = released(tmp_path)
    dev = dev_in(folder, "dev", Variant(x=1))
    promotions.add_file(folder)
    assert hw.open_project(folder).run().exit_code == 0
    builds = count(folder, "builds")
    processes = [start(dev[0], PROMOTE.replace("sys.argv[2]", "'dev'")) for _ in range(2)]
    finish(*processes)
    assert prod(folder) == (Variant(x=1), 2)
    assert (count(folder, PROD), count(folder, "builds")) == (3, builds + 2)
