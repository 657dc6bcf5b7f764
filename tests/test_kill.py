"""`kill -9` at random moments, with a second process reading throughout.

The number of kills is HEADWATER_KILLS: 30 by default, 200 in `.ci/run`, 1,000 in `make torture`.
The work is split so that two workers share it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

KILLS = int(os.environ.get("HEADWATER_KILLS", "30"))
SEED = int(os.environ.get("HEADWATER_SEED", "20261121"))


@pytest.mark.parametrize("half", [0, 1])
def test_killed_runs_lose_nothing_double_nothing_and_show_no_half_release(tmp_path, half):
    kills = KILLS // 2 + (KILLS % 2 if half else 0)
    command = [sys.executable, "-m", "tests.killing.harness", str(tmp_path), str(kills)]
    done = subprocess.run([*command, str(SEED + half)], capture_output=True, text=True)
    assert done.returncode == 0, f"seed {SEED + half}: {done.stdout}{done.stderr[-2000:]}"
    report = json.loads(done.stdout)
    assert report["killed"] == kills
    assert report["reads"] > kills / 2, "the reader hardly read"


def test_killed_backups_and_restores_leave_what_was_whole_before(tmp_path):
    kills = max(3, KILLS // 20)
    command = [sys.executable, "-m", "tests.killing.backups", str(tmp_path), str(kills), str(SEED)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, f"seed {SEED}: {done.stdout}{done.stderr[-2000:]}"
    assert json.loads(done.stdout)["files"] > 1, "no run went on beside them"


def test_killed_replays_relandings_and_replacements_leave_every_table_true(tmp_path):
    kills = max(KILLS // 3, 1)
    command = [sys.executable, "-m", "tests.killing.changes", str(tmp_path), str(kills), str(SEED)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, f"seed {SEED}: {done.stdout}{done.stderr[-2000:]}"
    assert json.loads(done.stdout)["killed"] == kills


def test_kills_amid_promotions_and_cleanings_leave_every_environment_whole(tmp_path):
    kills = max(KILLS // 10, 1)
    command = [sys.executable, "-m", "tests.killing.promotions"]
    command += [str(tmp_path), str(kills), str(SEED)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, f"seed {SEED}: {done.stdout}{done.stderr[-2000:]}"
    report = json.loads(done.stdout)
    assert report["killed"] == kills
    assert report["reads"] > kills, "the reader hardly read"
