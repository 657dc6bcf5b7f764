"""Kills runs at random moments while others read, and checks that nothing was lost or doubled.

Run as a program: `python -m tests.killing.harness FOLDER KILLS SEED`. Prints one JSON object;
exits 1 with the reason where an invariant does not hold.

Each round adds a file, starts a run in a child process and kills it with SIGKILL after a random
time, drawn over the whole length of a run. A reader goes on all the while, through our own door
and through the pinned views as any DuckLake client sees them.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import duckdb

import headwater as hw
from headwater.engine import extensions
from headwater.errors import NoLake, UnknownDataset

ROWS_PER_FILE = 60
BAD_EVERY = 13
BROKEN_EVERY = 29

SETTINGS = "name: kills\nlock_timeout_s: 60\n"
SOURCE = """
connector: files
datasets:
  events:
    path: data/*.csv
    key: id
    columns:
      id: {type: bigint, required: true}
      kind: {type: varchar, accepted: [a, b, c]}
      amount: {type: integer, min: 0}
"""
STAGING = "SELECT id, kind, amount FROM src.events"
TOTALS = """/*
key: kind
*/
SELECT kind, count(*) AS n, sum(amount) AS total FROM staging.events GROUP BY kind
"""
COUNTS = "SELECT sum(n) AS n FROM marts.totals"
SEEN = (
    "SELECT (SELECT count(*) FROM src.events), (SELECT count(*) FROM staging.events), "
    "(SELECT coalesce(sum(n), 0) FROM marts.totals), (SELECT coalesce(max(n), 0) FROM marts.counts)"
)


class Broken(Exception):
    """An invariant that does not hold."""


def make_project(folder: Path) -> None:
    texts = {
        "headwater.yaml": SETTINGS,
        "sources/src.yaml": SOURCE,
        "models/staging/events.sql": STAGING,
        "models/marts/totals.sql": TOTALS,
        "models/marts/counts.sql": COUNTS,
    }
    for path, text in texts.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    (folder / "data").mkdir(exist_ok=True)


def add_file(folder: Path, number: int) -> None:
    """A file of ROWS_PER_FILE records: most are good, some break a rule, some are no records."""
    lines = ["id,kind,amount"]
    for n in range(ROWS_PER_FILE):
        row = number * ROWS_PER_FILE + n
        if n % BROKEN_EVERY == BROKEN_EVERY - 1:
            lines.append(f"{row},a")
        elif n % BAD_EVERY == BAD_EVERY - 1:
            lines.append(f"{row},a,-1")
        else:
            lines.append(f"{row},{'abc'[row % 3]},{row % 100}")
    target = folder / "data" / f"f{number:05}.csv"
    target.with_suffix(".part").write_text("\n".join(lines) + "\n")
    target.with_suffix(".part").rename(target)


def good_rows(number: int) -> list[int]:
    return [
        number * ROWS_PER_FILE + n
        for n in range(ROWS_PER_FILE)
        if n % BROKEN_EVERY != BROKEN_EVERY - 1 and n % BAD_EVERY != BAD_EVERY - 1
    ]


def in_child(work: Callable[[], int]) -> int:
    """Start a child process that does `work` and exits with what it returns; gives its id.

    This process must never open a lake itself: SQLite's locks do not survive a fork, and a child
    that inherits an open catalog would write to it without them.
    """
    child = os.fork()
    if child:
        return child
    code = 3
    try:
        code = work()
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def start_run(folder: Path) -> int:
    """Start a run in a child process; what fails in it is written to `failed.txt`."""

    def work() -> int:
        sys.stdout = sys.stderr = (folder / "failed.txt").open("w")
        report = hw.open_project(folder).run()
        if report.exit_code:
            print(json.dumps(report.as_dict(), indent=1), flush=True)
        return report.exit_code

    return in_child(work)


def read_for_ever(folder: Path, report: Path) -> int:
    """Read until killed; whatever is seen must be one whole release. Returns only if it is not,
    and says so in `report`."""
    reads, last = 0, 0
    view = None
    try:
        project = hw.open_project(folder)
        while True:
            try:
                seen = project.query(SEEN).rows()[0] if reads % 5 == 0 else None
                if seen is None:
                    view = view or _plain_client(folder)
                    seen = view.execute(SEEN).fetchone()
            except (NoLake, UnknownDataset):
                time.sleep(0.05)
                continue
            except duckdb.CatalogException:
                view = None  # no release yet, so no views
                time.sleep(0.05)
                continue
            if len(set(seen)) != 1:
                raise Broken(f"half a release was seen: {seen}")
            if seen[0] < last:
                raise Broken(f"a release went back: {seen[0]} rows after {last}")
            last = seen[0]
            reads += 1
            with report.with_suffix(".reads").open("ab") as log:
                log.write(b".")  # one byte a read: there is no half of it to be killed in
    except BaseException as error:
        report.write_text(f"{type(error).__name__}: {error}")
        return 1


def _plain_client(folder: Path) -> duckdb.DuckDBPyConnection:
    con = duckdb.connect()
    extensions.load(con, *extensions.LAKE)
    con.execute(f"ATTACH 'ducklake:sqlite:{folder}/.headwater/catalog.sqlite' AS other (READ_ONLY)")
    con.execute("USE other")
    return con


def check(folder: Path, files: int) -> None:
    """Every invariant, on a lake whose last run went through."""
    project = hw.open_project(folder)

    def ask(sql: str) -> list[tuple]:
        return project.query(sql).rows()

    expected = sorted(row for number in range(files) for row in good_rows(number))
    landed = [row[0] for row in ask("SELECT id FROM src.events ORDER BY id")]
    if landed != expected:
        missing = len(set(expected) - set(landed))
        raise Broken(f"{len(landed)} rows for {len(expected)}: {missing} missing, or doubled")
    quarantined = ask("SELECT count(*), count(DISTINCT id) FROM headwater.quarantine")[0]
    bad = files * ROWS_PER_FILE - len(expected)
    if quarantined != (bad, bad):
        raise Broken(f"{quarantined} quarantined rows for {bad}")
    sums = ask(
        "SELECT dataset, sum(received), sum(landed + updated + unchanged + deduplicated + dropped "
        "+ quarantined), sum(landed - removed), max_by(rows_after, committed_at), "
        "bool_and(received = landed + updated + unchanged + deduplicated + dropped + quarantined "
        "AND rows_after = rows_before + landed - removed) FROM headwater.ledger GROUP BY dataset"
    )
    for dataset, received, accounted, net, after, balanced in sums:
        if not balanced or received != accounted or net != after:
            raise Broken(
                f"the ledger of {dataset} does not balance: {received}, {accounted}, {net}"
            )
    received = {row[0]: row[1] for row in sums}["src.events"]
    if received != files * ROWS_PER_FILE:
        raise Broken(f"{received} rows received of {files * ROWS_PER_FILE}")
    once = ask("SELECT count(*), count(DISTINCT path) FROM headwater.files WHERE status = 'landed'")
    if once[0] != (files, files):
        raise Broken(f"{once[0]} files landed of {files}")
    totals = ask("SELECT * FROM marts.totals ORDER BY kind")
    wanted = ask("SELECT kind, count(*), sum(amount) FROM src.events GROUP BY kind ORDER BY kind")
    if totals != wanted or ask(SEEN)[0] != (len(expected),) * 4:
        raise Broken("the models do not say what their inputs say")
    orphans = orphans_of(folder / ".headwater")
    if orphans:
        raise Broken(f"data files that no snapshot knows: {orphans}")
    left = [path.name for path in (folder / ".headwater" / "tmp").glob("*")]
    left += [path.name for path in (folder / ".headwater" / "locks").glob("run-*")]
    if left:
        raise Broken(f"left behind: {left}")


def orphans_of(lake: Path) -> set[str]:
    with closing(sqlite3.connect(lake / "catalog.sqlite")) as con:
        known = {
            Path(row[0]).name
            for table in (
                "ducklake_data_file",
                "ducklake_delete_file",
                "ducklake_files_scheduled_for_deletion",
            )
            for row in con.execute(f"SELECT path FROM {table}")
        }
    return {path.name for path in (lake / "data").glob("*/*/*.parquet")} - known


def main(folder: Path, kills: int, seed: int) -> dict[str, object]:
    random_ = random.Random(seed)
    make_project(folder)
    add_file(folder, 0)
    trial = folder / "trial"
    make_project(trial)
    add_file(trial, 0)
    times = []
    for number in (1, 2):
        started = time.monotonic()
        os.waitpid(start_run(trial), 0)
        times.append(time.monotonic() - started)
        add_file(trial, number)
    length = max(times)
    report = folder / "reader.txt"
    reader = in_child(lambda: read_for_ever(folder, report))
    killed = finished = 0
    files = 1
    try:
        while killed < kills:
            child = start_run(folder)
            time.sleep(random_.uniform(0, length))
            os.kill(child, signal.SIGKILL)
            _, status = os.waitpid(child, 0)
            if os.WIFSIGNALED(status):
                killed += 1
            else:
                finished += 1
                if os.WEXITSTATUS(status) != 0:
                    raise Broken(f"a run failed: {(folder / 'failed.txt').read_text()}")
            if random_.random() < 0.5:
                add_file(folder, files)
                files += 1
            # The first kills fall into the making of the lake; then there is something to read.
            if killed == 3 or killed % 50 == 0:
                _finish(folder, files)
        _finish(folder, files)
    finally:
        os.kill(reader, signal.SIGKILL)
        os.waitpid(reader, 0)
    if report.exists():
        raise Broken(report.read_text())
    reads = report.with_suffix(".reads").stat().st_size
    return {"killed": killed, "finished": finished, "files": files, "reads": reads}


def _finish(folder: Path, files: int) -> None:
    """Let a run go through and check what it leaves."""
    _, status = os.waitpid(start_run(folder), 0)
    if os.waitstatus_to_exitcode(status) != 0:
        raise Broken(f"the last run failed: {(folder / 'failed.txt').read_text()}")
    verdict = folder / "verdict.txt"

    def work() -> int:
        try:
            check(folder, files)
        except Broken as error:
            verdict.write_text(str(error))
            return 1
        return 0

    _, status = os.waitpid(in_child(work), 0)
    if status:
        raise Broken(verdict.read_text() if verdict.exists() else "the check itself failed")


if __name__ == "__main__":
    try:
        print(json.dumps(main(Path(sys.argv[1]).resolve(), int(sys.argv[2]), int(sys.argv[3]))))
    except Broken as error:
        print(json.dumps({"broken": str(error)}))
        sys.exit(1)
