"""The figures `csv` and `jsonl`: landing a file under a full contract, beside plain DuckDB.

whole    from nothing: the project is read, the lake made, the file landed, the release made;
         plain: a session, its extensions, the lake, the table, the INSERT.
steady   into a lake that is open and has the table already: ours from finding the new file to
         the release; plain: the INSERT statement alone.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import headwater
from bench import plain
from bench.inputs import EVENTS, ORDERS, Table, empty_folder, give_file, landing_project, make_file
from bench.measure import Line, Timed, alternate, compared
from headwater.lake.lake import Lake
from headwater.run.report import Report
from headwater.run.run import run


def csv(repeats: int) -> list[Line]:
    """500,000 rows of 7 columns: with record numbers, and with `origin: file`."""
    return [
        *_landing("csv", ORDERS, "record", 2.5, repeats),
        *_landing("csv", ORDERS, "file", 2.0, repeats),
    ]


def jsonl(repeats: int) -> list[Line]:
    """500,000 JSON lines with a nested object and a list."""
    return _landing("jsonl", EVENTS, "record", 2.5, repeats)


def _landing(figure: str, table: Table, origin: str, bound: float, repeats: int) -> list[Line]:
    file = make_file(table)
    name = f"{figure}_{origin}"
    whole = alternate(
        _ours_whole(f"{name}_whole", table, origin, file),
        _plain_whole(f"{name}_whole_plain", table, file),
        repeats=repeats,
    )
    with (
        _ours_steady(f"{name}_steady", table, origin, file) as ours,
        _plain_steady(f"{name}_steady_plain", table, file) as peer,
    ):
        steady = alternate(ours, peer, repeats=repeats)
    what = f"origin: {origin}"
    return [
        compared(figure, f"{what}, whole", whole[0], whole[1], bound),
        compared(figure, f"{what}, steady", steady[0], steady[1], bound),
    ]


# ---- whole ---------------------------------------------------------------------------------


def _ours_whole(name: str, table: Table, origin: str, file: Path) -> Timed:
    project = landing_project(name, table, origin)
    give_file(project, file, "one")

    def once() -> float:
        shutil.rmtree(project / ".headwater", ignore_errors=True)
        started = time.perf_counter()
        report = headwater.open_project(project).run()
        seconds = time.perf_counter() - started
        _verify(report, table)
        return seconds

    return once


def _plain_whole(name: str, table: Table, file: Path) -> Timed:
    def once() -> float:
        folder = empty_folder(name)
        started = time.perf_counter()
        con = plain.open_lake(folder)
        plain.create(con, table)
        rows = plain.insert(con, table, file)
        con.close()
        seconds = time.perf_counter() - started
        assert rows == table.rows
        return seconds

    return once


# ---- steady --------------------------------------------------------------------------------


def _numbers() -> Callable[[], str]:
    count = iter(range(1_000_000))
    return lambda: f"part_{next(count):06}"


@contextmanager
def _ours_steady(name: str, table: Table, origin: str, file: Path) -> Iterator[Timed]:
    project = landing_project(name, table, origin)
    next_name = _numbers()
    give_file(project, file, next_name())
    opened = headwater.open_project(project)
    opened.run()
    with opened.open_lake() as lake:

        def once() -> float:
            give_file(project, file, next_name())
            started = time.perf_counter()
            report = _run(opened, lake)
            seconds = time.perf_counter() - started
            _verify(report, table)
            return seconds

        yield once


def _run(opened: headwater.OpenProject, lake: Lake) -> Report:
    return run(opened.project, opened.graph, opened.bound, lake)


@contextmanager
def _plain_steady(name: str, table: Table, file: Path) -> Iterator[Timed]:
    con = plain.open_lake(empty_folder(name))
    plain.create(con, table)
    plain.insert(con, table, file)

    def once() -> float:
        started = time.perf_counter()
        rows = plain.insert(con, table, file)
        seconds = time.perf_counter() - started
        assert rows == table.rows
        return seconds

    try:
        yield once
    finally:
        con.close()


def _verify(report: Report, table: Table) -> None:
    """What was measured must have done the work: every row landed, or in quarantine."""
    ledger = report.steps[0].ledger
    assert report.status == "succeeded", report
    assert ledger is not None
    assert ledger.received == table.rows, ledger
    assert ledger.quarantined == table.rows // 1000, ledger
