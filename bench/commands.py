"""The figures of whole commands, each as a process of its own with a limit of its own."""

from __future__ import annotations

import json
import re
import shutil
import sys
import time
from pathlib import Path

from bench.inputs import (
    BIG_BYTES,
    ORDERS,
    WORK,
    empty_folder,
    give_file,
    joined_project,
    landing_project,
    make_big,
    mixed_project,
    model_project,
    unit_test_project,
    write,
)
from bench.measure import Line, alternate, limited, run_process, timed_process

HEADWATER = Path(sys.executable).parent / "headwater"
"""The console script that stands beside this Python."""

BIG_LIMIT_MIB = 1.5 * 1024
BIG_NEEDS_BYTES = 20_000_000_000
PLAN_LIMIT_MIB = 400
SETTLED_S = 2.5
"""After so long, what was changed counts as changed a while ago: see `headwater.index.files`."""


def models(repeats: int) -> list[Line]:
    """First build of 200 one-line models in 10 layers: `headwater run` on a new lake."""
    folder = model_project("models")

    def once() -> float:
        shutil.rmtree(folder / ".headwater", ignore_errors=True)
        return timed_process([HEADWATER, "run"], folder)

    (seconds,) = alternate(once, repeats=repeats)
    return [limited("models", "200 models, first build", seconds, 3.0)]


def help_(repeats: int) -> list[Line]:
    """`headwater --help`, beside a Python that does nothing."""
    folder = empty_folder("help")
    seconds, bare = alternate(
        lambda: timed_process([HEADWATER, "--help"], folder),
        lambda: timed_process([sys.executable, "-c", "pass"], folder),
        repeats=max(10, repeats),
        warm_ups=2,
    )
    return [
        limited("help", "headwater --help", seconds, 0.25),
        limited("help", "python -c pass", bare, None),
    ]


def check(repeats: int) -> list[Line]:
    """`headwater check` of 200 files: all sound, and with a mistake in 20 of them."""
    sound = mixed_project("check_sound")
    broken = mixed_project("check_broken", broken=20)
    fine, mistakes = alternate(
        lambda: timed_process([HEADWATER, "check"], sound),
        lambda: timed_process([HEADWATER, "check"], broken, expected=2),
        repeats=repeats,
    )
    return [
        limited("check", "200 files", fine, 1.0),
        limited("check", "200 files, 20 mistakes", mistakes, 1.0),
    ]


def unit(repeats: int) -> list[Line]:
    """`headwater test` of 100 unit tests with a few rows each, and of one of them."""
    many = unit_test_project("unit_many")
    one = unit_test_project("unit_one", tests=1)
    all_of_them, only_one = alternate(
        lambda: timed_process([HEADWATER, "test"], many),
        lambda: timed_process([HEADWATER, "test"], one),
        repeats=repeats,
    )
    return [
        limited("unit", "100 unit tests", all_of_them, 2.0),
        limited("unit", "1 unit test, the same models", only_one, None),
    ]


def plan(repeats: int) -> list[Line]:
    """`headwater plan` and `headwater run` of 200 models with three joins each: nothing changed,
    without the index, and one model changed that nothing reads."""
    folder = joined_project("plan", 200)
    timed_process([HEADWATER, "run"], folder)
    time.sleep(SETTLED_S)
    planned, idle, cold, changed, in_dev, traced = alternate(
        lambda: timed_process([HEADWATER, "plan"], folder),
        lambda: timed_process([HEADWATER, "run"], folder),
        lambda: _cold(folder),
        lambda: _changed_leaf(folder),
        lambda: _changed_leaf(folder, "--env", "dev"),
        lambda: timed_process([HEADWATER, "impact", "src.t.a"], folder),
        repeats=repeats,
    )
    return [
        limited("plan", "plan, 200 models, nothing changed", planned, 0.5),
        limited("plan", "run, 200 models, nothing new", idle, 0.7),
        limited("plan", "plan, 200 models, no index", cold, 3.0),
        limited("plan", "run, 200 models, one leaf changed", changed, 1.2),
        limited("plan", "the same in dev", in_dev, 1.2),
        limited("plan", "impact of a source's column", traced, None),
    ]


def plan_big(repeats: int) -> list[Line]:
    """The same for 2,000 models, with the peak memory of planning them without the index."""
    folder = joined_project("plan_big", 2_000)
    timed_process([HEADWATER, "run"], folder)
    time.sleep(SETTLED_S)
    planned, idle, cold, changed = alternate(
        lambda: timed_process([HEADWATER, "plan"], folder),
        lambda: timed_process([HEADWATER, "run"], folder),
        lambda: _cold(folder),
        lambda: _changed_leaf(folder),
        repeats=repeats,
    )
    shutil.rmtree(folder / ".headwater" / "index")
    done = run_process([HEADWATER, "plan"], folder)
    if done.status:
        raise RuntimeError(f"headwater plan ended with {done.status}:\n{done.output[-2000:]}")
    return [
        limited("plan_big", "plan, 2,000 models, nothing changed", planned, 2.0),
        limited("plan_big", "run, 2,000 models, nothing new", idle, None),
        limited("plan_big", "plan, 2,000 models, no index", cold, 25.0),
        limited("plan_big", "run, 2,000 models, one leaf changed", changed, None),
        Line(
            figure="plan_big",
            what="plan, 2,000 models, no index, peak memory",
            ours=done.peak_mib,
            bound=PLAN_LIMIT_MIB,
            unit="MiB",
        ),
    ]


def _cold(folder: Path) -> float:
    """A plan without the index; the next one has it again."""
    shutil.rmtree(folder / ".headwater" / "index", ignore_errors=True)
    return timed_process([HEADWATER, "plan"], folder)


def _changed_leaf(folder: Path, *options: str) -> float:
    """A run after a change of one model that nothing reads; after the next run and plan, which are
    not measured, nothing is new."""
    leaf = sorted((folder / "models" / "m").glob("l9_*.sql"))[-1]
    text = leaf.read_text(encoding="utf-8")
    leaf.write_text(re.sub(r"% (\d+)", lambda m: f"% {int(m[1]) + 1}", text), encoding="utf-8")
    seconds = timed_process([HEADWATER, "run", *options], folder)
    timed_process([HEADWATER, "run"], folder)
    timed_process([HEADWATER, "plan"], folder)
    timed_process([HEADWATER, "run"], folder)
    return seconds


def diff(_repeats: int) -> list[Line]:
    """`headwater diff prod dev` of 10 million rows with `memory_limit: 1GB`, by key and by content:
    the process's peak memory. Run once; a minute or so."""
    folder = empty_folder("diff")
    write(folder / "headwater.yaml", "name: diff\nmemory_limit: 1GB\n")
    for name, key in (("keyed", "/* key: id */\n"), ("bag", "")):
        write(folder / "models" / "m" / f"{name}.sql", f"{key}{_DIFF_ROWS}")
    timed_process([HEADWATER, "run"], folder)
    for path in (folder / "models" / "m").iterdir():
        changed = path.read_text(encoding="utf-8").replace("range % 1000 AS amount", _DIFF_CHANGE)
        path.write_text(changed, encoding="utf-8")
    timed_process([HEADWATER, "run", "--env", "dev"], folder)
    lines = []
    for name, what in (("m.keyed", "by key"), ("m.bag", "by content")):
        done = run_process([HEADWATER, "diff", "prod", "dev", name, "--json"], folder)
        if done.status:
            raise RuntimeError(f"headwater diff ended with {done.status}:\n{done.output[-2000:]}")
        (found,) = json.loads(done.output)
        counts = tuple(found[kind] for kind in ("added", "removed", "changed"))
        if counts != ((0, 0, 10_000) if name == "m.keyed" else (10_000, 10_000, 0)):
            raise RuntimeError(f"headwater diff of {name} told {counts}")
        lines += [
            Line(
                figure="diff",
                what=f"10,000,000 rows {what}, peak memory",
                ours=done.peak_mib,
                bound=BIG_LIMIT_MIB,
                unit="MiB",
            ),
            limited("diff", f"10,000,000 rows {what}", [done.seconds], None),
        ]
    return lines


_DIFF_ROWS = (
    "SELECT range AS id, md5(CAST(range % 40000 AS VARCHAR)) AS customer, "
    "DATE '2026-01-01' + CAST(range % 365 AS INTEGER) AS day, range % 1000 AS amount "
    "FROM range(10000000)\n"
)
_DIFF_CHANGE = "CASE WHEN range % 1000 = 7 THEN 0 ELSE range % 1000 END AS amount"


def big(_repeats: int) -> list[Line]:
    """A 5 GB CSV with `memory_limit: 1GB`: the process's peak memory. Run once; a minute or more.

    Needs 20 GB of disk while it runs; its input and its lake are removed afterwards.
    """
    WORK.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(WORK).free
    if free < BIG_NEEDS_BYTES:
        raise RuntimeError(f"big needs {BIG_NEEDS_BYTES / 1e9:g} GB of disk, {free / 1e9:.1f} free")
    file = make_big(ORDERS, BIG_BYTES)
    size = f"{file.stat().st_size / 1e9:.1f} GB"
    project = landing_project("big", ORDERS, "record", "memory_limit: 1GB\n")
    try:
        give_file(project, file, "big")
        done = run_process([HEADWATER, "run"], project)
        if done.status:
            raise RuntimeError(f"headwater run ended with {done.status}:\n{done.output[-2000:]}")
    finally:
        shutil.rmtree(project, ignore_errors=True)
        file.unlink()
    return [
        Line(
            figure="big",
            what=f"{size} CSV, peak memory",
            ours=done.peak_mib,
            bound=BIG_LIMIT_MIB,
            unit="MiB",
        ),
        limited("big", f"{size} CSV, whole process", [done.seconds], None),
    ]
