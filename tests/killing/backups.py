"""Kills backups and restores at random moments while runs go on.

Run as a program: `python -m tests.killing.backups FOLDER KILLS SEED`. Prints one JSON object;
exits 1 with the reason where an invariant does not hold.

A child process lands a file and builds upon it, over and over, all the while. Backups and restores
are started in other children and killed with SIGKILL. After each kill the last whole backup is
still whole: what is restored from it is one whole release, both balances hold, and it never goes
back. After each killed restore the lake that it was to replace is whole, in its place or aside.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import headwater as hw
from headwater.api import back_up, restore
from headwater.lake.backup import MANIFEST
from tests.killing.harness import (
    ROWS_PER_FILE,
    SEEN,
    Broken,
    add_file,
    check,
    good_rows,
    in_child,
    make_project,
    start_run,
)


def run_for_ever(folder: Path, first: int) -> int:
    """Add a file and run, until `stop` is there. Says in `files.txt` how many there are."""
    number = first
    while not (folder / "stop").exists():
        add_file(folder, number)
        number += 1
        (folder / "files.txt").write_text(str(number))
        if hw.open_project(folder).run().exit_code:
            return 1
    return 0


def restored_rows(lake: Path, project: Path) -> int:
    """How many rows the lake in `lake` releases, seen through a project of its own. Raises Broken
    unless they are those of one whole release and both balances hold."""
    if project.exists():
        shutil.rmtree(project)
    make_project(project)
    with (project / "headwater.yaml").open("a") as settings:
        settings.write(f"lake: {lake}\n")
    opened = hw.open_project(project)
    seen = opened.query(SEEN).rows()[0]
    if len(set(seen)) != 1:
        raise Broken(f"half a release was restored: {seen}")
    whole = {len(good_rows(0)) * files for files in range(1, seen[0] // len(good_rows(0)) + 1)}
    if seen[0] not in whole:
        raise Broken(f"{seen[0]} rows were restored, which no number of files has")
    sums = opened.query(
        "SELECT bool_and(received = landed + updated + unchanged + deduplicated + dropped "
        "+ quarantined AND rows_after = rows_before + landed - removed), "
        "sum(received) FILTER (dataset = 'src.events'), "
        "(SELECT count(*) FROM headwater.files WHERE status = 'landed') FROM headwater.ledger"
    ).rows()[0]
    if not sums[0] or sums[1] != sums[2] * ROWS_PER_FILE:
        raise Broken(f"the restored ledger does not balance: {sums}")
    return int(seen[0])


def told(folder: Path, work: Callable[[], object]) -> int:
    """Do `work` in a child; its failure is raised here as Broken. Returns the number it wrote."""
    verdict = folder / "verdict.txt"
    verdict.unlink(missing_ok=True)

    def carry_out() -> int:
        try:
            verdict.write_text(str(work()))
        except BaseException as error:
            verdict.write_text(f"{type(error).__name__}: {error}")
            return 1
        return 0

    _, status = os.waitpid(in_child(carry_out), 0)
    if status:
        raise Broken(verdict.read_text() if verdict.exists() else "it died")
    text = verdict.read_text()
    return int(text) if text.isdigit() else 0


def timed(folder: Path, work: Callable[[], object]) -> float:
    started = time.monotonic()
    told(folder, work)
    return time.monotonic() - started


def killed(random_: random.Random, length: float, work: Callable[[], object]) -> bool:
    """Do `work` in a child and kill it at a random moment; whether that was before its end."""

    def carry_out() -> int:
        work()
        return 0

    child = in_child(carry_out)
    time.sleep(random_.uniform(0, length))
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if not os.WIFSIGNALED(status) and os.WEXITSTATUS(status):
        raise Broken("it failed by itself; see standard error")
    return os.WIFSIGNALED(status)


def main(folder: Path, kills: int, seed: int) -> dict[str, object]:
    random_ = random.Random(seed)
    lake, backup, other = folder / ".headwater", folder / "backup", folder / "other"
    make_project(folder)
    add_file(folder, 0)
    os.waitpid(start_run(folder), 0)
    runner = in_child(lambda: run_for_ever(folder, 1))
    done = {"backups": 0, "restores": 0}
    try:
        length = timed(folder, lambda: back_up(folder, backup))
        rows = told(folder, lambda: _restore_and_look(backup, folder))
        for number in range(kills):
            if number % 2:
                done["restores"] += _kill_restore(random_, folder, backup, other)
                continue
            before = (backup / MANIFEST).read_bytes()
            was_killed = killed(random_, length * 1.2, lambda: back_up(folder, backup))
            done["backups"] += was_killed
            if not was_killed and (backup / MANIFEST).read_bytes() == before:
                raise Broken("a backup that came to its end is not there")
            now = told(folder, lambda: _restore_and_look(backup, folder))
            if now < rows:
                raise Broken(f"a backup went back: {now} rows after {rows}")
            rows = now
    finally:
        (folder / "stop").touch()
        _, status = os.waitpid(runner, 0)
    if status:
        raise Broken("a run failed while backups were taken")
    files = int((folder / "files.txt").read_text())
    told(folder, lambda: check(folder, files))
    told(folder, lambda: back_up(folder, backup))
    if told(folder, lambda: _restore_and_look(backup, folder)) != files * len(good_rows(0)):
        raise Broken("the last backup does not hold the last release")
    left = [path.name for path in backup.rglob("*.part")]
    left += [path.name for path in backup.glob("catalog-*")][1:]
    if left or not lake.is_dir():
        raise Broken(f"left behind: {left}")
    return {**done, "files": files}


def _restore_and_look(backup: Path, folder: Path) -> int:
    target = folder / "looked_at" / "lake"
    shutil.rmtree(target.parent, ignore_errors=True)
    target.parent.mkdir()
    restore(backup, into=target)
    return restored_rows(target, folder / "looker")


def _kill_restore(random_: random.Random, folder: Path, backup: Path, other: Path) -> bool:
    """Kill a restore that replaces a lake, and look at what it leaves."""
    lake = other / "lake"
    shutil.rmtree(other, ignore_errors=True)
    other.mkdir()
    length = timed(folder, lambda: restore(backup, into=lake))
    was_killed = killed(random_, length * 1.2, lambda: restore(backup, into=lake, replace=True))
    there = [lake, *other.glob("lake.replaced-*")]
    for place in [place for place in there if place.exists()]:
        told(folder, lambda place=place: restored_rows(place, folder / "looker"))
    if not any(place.exists() for place in there):
        raise Broken("a killed restore left no lake at all")
    told(folder, lambda: restore(backup, into=lake, replace=True))
    told(folder, lambda: restored_rows(lake, folder / "looker"))
    if left := [path.name for path in other.glob(".lake.restoring-*")]:
        raise Broken(f"left behind by a killed restore: {left}")
    return was_killed


if __name__ == "__main__":
    try:
        print(json.dumps(main(Path(sys.argv[1]).resolve(), int(sys.argv[2]), int(sys.argv[3]))))
    except Broken as error:
        print(json.dumps({"broken": str(error)}))
        sys.exit(1)
