"""Kills while files change, are landed again, replaced and replayed, and while releases are rolled
back and resumed; then checks every write mode against the slow models.

Run as a program: `python -m tests.killing.changes FOLDER KILLS SEED`, as `harness` is. What a row
says follows from its key and moment, so it does not matter in which order files happened to land.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import headwater as hw
from headwater.errors import ReleaseRefused
from tests.ingest import slow
from tests.killing.harness import Broken, in_child, orphans_of

SOURCE = """
connector: files
datasets:
  added: {path: data/*.csv, write: append, columns: &columns {
    id: {type: integer, required: true}, n: {type: integer, required: true},
    v: {type: varchar, accepted: [a, b, c]}}}
  newest: {path: data/*.csv, write: upsert, key: id, on_duplicate: latest by n, columns: *columns}
  current: {path: data/*.csv, write: replace, columns: *columns}
  past: {path: data/*.csv, write: history, key: id, on_duplicate: latest by n, columns: *columns}
  parents: {path: parents/*.csv, columns: {id: integer}}
  children: {path: children/*.csv, columns: {id: integer, parent: {
    type: integer, references: s.parents.id}}}
"""
MODEL = "SELECT (SELECT count(*) FROM s.added) AS added, (SELECT count(*) FROM s.newest) AS newest"
BAD = "x"
FIX = {"v": "'a'"}
FILES = 4


def make_project(folder: Path) -> None:
    for path, text in {
        "headwater.yaml": "name: changes\nlock_timeout_s: 60\n",
        "sources/s.yaml": SOURCE,
        "models/m/counts.sql": MODEL,
    }.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    (folder / "data").mkdir(exist_ok=True)
    write_family(folder, 0)


FAMILY = 5


def write_family(folder: Path, number: int) -> None:
    """A file of parents and one of children; of these some have a parent that comes later."""
    first = number * FAMILY
    ids = range(first, first + FAMILY)
    for path, lines in {
        "parents": ["id", *map(str, ids)],
        "children": ["id,parent", *(f"{n},{n + 3 * (n % FAMILY)}" for n in ids)],
    }.items():
        target = folder / path / f"f{number:05}.csv"
        target.parent.mkdir(exist_ok=True)
        target.with_suffix(".part").write_text("\n".join(lines) + "\n")
        target.with_suffix(".part").rename(target)


def check_family(ask: Callable[[str], list[Any]], families: int) -> None:
    """Each child has landed once if its parent is there, and waits once if not."""
    count = families * FAMILY
    children = [n for n in range(count) if n + 3 * (n % FAMILY) < count]
    if [row[0] for row in ask("SELECT id FROM s.children ORDER BY id")] != children:
        raise Broken("children: not those whose parents are there")
    waiting = ask(
        "SELECT count(*) FROM headwater.quarantine WHERE dataset = 's.children' AND id NOT IN "
        "(SELECT id FROM headwater.quarantine_outcomes)"
    )
    if waiting != [(count - len(children),)]:
        raise Broken(f"children: {waiting} wait")


def write_file(folder: Path, number: int, rows: list[tuple[int, int, str]]) -> None:
    target = folder / "data" / f"f{number}.csv"
    lines = ["id,n,v", *(f"{i},{n},{v}" for i, n, v in rows)]
    target.with_suffix(".part").write_text("\n".join(lines) + "\n")
    target.with_suffix(".part").rename(target)


def some_rows(random_: random.Random) -> list[tuple[int, int, str]]:
    rows = []
    for _ in range(random_.randrange(40)):
        i, n = random_.randrange(12), random_.randrange(9)
        rows.append((i, n, BAD if (i + n) % 7 == 0 else "abc"[(i * n) % 3]))
    return rows


def run(folder: Path) -> int:
    return hw.open_project(folder).run().exit_code


def reland(folder: Path) -> int:
    return hw.open_project(folder).run(reland="s").exit_code


def replay(folder: Path) -> int:
    project = hw.open_project(folder)
    return max(project.replay(f"s.{name}", sets=FIX).exit_code for name in ("added", "newest"))


def back(folder: Path) -> int:
    """Go back, and on again: both may find nothing to do."""
    for work in (hw.roll_back, hw.resume):
        with suppress(ReleaseRefused):
            work(folder)
    return 0


def resume(folder: Path) -> int:
    with suppress(ReleaseRefused):
        hw.resume(folder)
    return 0


def check(folder: Path, there: dict[int, list[Any]]) -> None:
    """Raise Broken where a table is not what its files say."""
    project = hw.open_project(folder)
    ask = lambda sql: project.query(sql).rows()  # noqa: E731
    check_family(ask, len(list((folder / "parents").glob("*.csv"))))
    good = [slow.File(str(k), _rows(rows, None)) for k, rows in sorted(there.items())]
    fixed = [slow.File(str(k), _rows(rows, "a")) for k, rows in sorted(there.items())]
    told = "SELECT id, n, v FROM s."
    if Counter(ask(told + "added")) != slow.append(fixed):
        raise Broken("added: not the newest version of each file, fixed")
    if {row[0]: row for row in ask(told + "newest")} != slow.upsert(fixed, "n"):
        raise Broken("newest: not the newest row of each key")
    if Counter(ask(told + "current")) != slow.replace(good):
        raise Broken("current: not what the files say")
    past = ask("SELECT id, n, v, valid_from, valid_to FROM s.past")
    if Counter(past) != Counter(slow.history(good, "n")):
        raise Broken("past: not each version, without gap and overlap")
    unbalanced = ask(
        "SELECT count(*) FROM headwater.ledger WHERE received <> landed + updated + unchanged + "
        "deduplicated + dropped + quarantined OR rows_after <> rows_before + landed - removed"
    )
    if unbalanced != [(0,)]:
        raise Broken("the ledger does not balance")
    if ask("SELECT added, newest FROM m.counts") != [
        (len(ask(told + "added")), len(ask(told + "newest")))
    ]:
        raise Broken("the model does not say what its inputs say")
    if orphans := orphans_of(folder / ".headwater"):
        raise Broken(f"data files that no snapshot knows: {orphans}")


def _rows(rows: list[Any], instead: str | None) -> tuple[slow.Row, ...]:
    """The rows that land, the bad ones with another value or not at all."""
    told = [(i, n, instead if v == BAD else v) for i, n, v in rows]
    return tuple({"id": i, "n": n, "v": v} for i, n, v in told if v is not None)


def to_the_end(work: Callable[[], Any]) -> None:
    """Do something in a child process, and raise Broken where it fails."""
    _, status = os.waitpid(in_child(lambda: int(work() or 0)), 0)
    if os.waitstatus_to_exitcode(status) != 0:
        raise Broken(f"{work}: exit {os.waitstatus_to_exitcode(status)}")


def main(folder: Path, kills: int, seed: int) -> dict[str, object]:
    random_ = random.Random(seed)
    make_project(folder)
    there = {0: some_rows(random_)}
    write_file(folder, 0, there[0])
    started = time.monotonic()
    to_the_end(lambda: run(folder))
    length = 1.2 * (time.monotonic() - started)
    killed = rounds = 0
    while killed < kills:
        rounds += 1
        for _ in range(random_.randrange(3)):
            number = random_.randrange(FILES)
            before = there.get(number, []) if random_.random() < 0.5 else []
            there[number] = [*before, *some_rows(random_)]
            write_file(folder, number, there[number])
        if random_.random() < 0.3:
            write_family(folder, len(list((folder / "parents").glob("*.csv"))))
        work = random_.choice([run, run, reland, replay, back])
        child = in_child(lambda work=work: work(folder))
        time.sleep(random_.uniform(0, length))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        killed += os.WIFSIGNALED(status)
        if killed % 25 == 0:
            finish(folder, there)
    finish(folder, there)
    return {"killed": killed, "rounds": rounds}


def finish(folder: Path, there: dict[int, list[Any]]) -> None:
    for work in (resume, run, replay):
        to_the_end(lambda work=work: work(folder))
    to_the_end(lambda: check(folder, there))


if __name__ == "__main__":
    try:
        print(json.dumps(main(Path(sys.argv[1]).resolve(), int(sys.argv[2]), int(sys.argv[3]))))
    except Broken as error:
        print(json.dumps({"broken": str(error)}))
        sys.exit(1)
