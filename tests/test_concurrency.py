"""Several processes on one lake."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import headwater as hw
from tests.killing.harness import ROWS_PER_FILE, add_file, check, make_project

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
