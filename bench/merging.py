"""The figures `upsert`, `history` and `replay`: rows that meet those that are there.

500,000 rows meet 5 million, spread over all of them; a tenth of them differ. Ours is a whole run on
an open lake, from finding the file to the release; plain is the MERGE statement alone, which
updates all that match.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

import headwater
from bench import plain
from bench.inputs import WORK, empty_folder
from bench.measure import Line, Timed, alternate, compared, limited
from headwater.run.run import run

EXISTING, INCOMING, REPLAYED = 5_000_000, 500_000, 100_000
CHANGED_EVERY = 10

_COLUMNS = {
    "id": "BIGINT",
    "seen_at": "TIMESTAMP",
    "customer": "VARCHAR",
    "country": "VARCHAR",
    "quantity": "INTEGER",
    "amount": "DECIMAL(10,2)",
    "note": "VARCHAR",
}
_SOURCE = """\
connector: files
datasets:
  orders:
    path: data/*.csv
    write: WRITE
    key: id
    on_duplicate: latest by seen_at
    columns:
      id:       {type: bigint, required: true, min: 0}
      seen_at:  {type: timestamp, required: true}
      customer: {type: varchar, required: true}
      country:  {type: varchar, length: 2}
      quantity: {type: integer, min: 0, max: 100}
      amount:   {type: "decimal(10,2)", min: 0}
      note:     varchar
"""


def upsert(repeats: int) -> list[Line]:
    """500,000 rows into 5 million, a tenth of them changed: `write: upsert`."""
    return [_merged("upsert", 2.0, repeats)]


def history(repeats: int) -> list[Line]:
    """The same with `write: history`."""
    return [_merged("history", 3.0, repeats)]


def replay(repeats: int) -> list[Line]:
    """Replaying 100,000 quarantined rows, fixed by an expression."""
    bad = WORK / "replayed.csv"
    _write(bad, f"SELECT {_row('n', '-5')} FROM range({REPLAYED}) r(n)")

    def once() -> float:
        project = _project("replay", "append")
        _give(project, bad, 0)
        opened = headwater.open_project(project)
        opened.run()
        started = time.perf_counter()
        report = opened.replay("raw.orders", sets={"amount": "abs(amount::DECIMAL(10,2))"})
        seconds = time.perf_counter() - started
        ledger = report.steps[0].ledger
        assert ledger is not None
        assert ledger.landed == REPLAYED, report.as_dict()
        return seconds

    (seconds,) = alternate(once, repeats=repeats)
    return [limited("replay", f"{REPLAYED:,} rows, fixed", seconds, 3.0)]


def _merged(write: str, bound: float, repeats: int) -> Line:
    base = WORK / "merge_base.csv"
    _write(base, f"SELECT {_row('n')} FROM range({EXISTING}) r(n)")
    files = [_incoming(turn) for turn in range(1, repeats + 2)]
    with _ours(write, base, files) as ours, _plain(write, base, files) as peer:
        mine, theirs = alternate(ours, peer, repeats=repeats)
    return compared(write, f"{INCOMING:,} into {EXISTING:,}, whole run", mine, theirs, bound)


def _row(n: str, amount: str = "", changed: str = "FALSE", turn: int = 0) -> str:
    """A row of the file. A changed one has another amount and a later moment in each turn."""
    value = amount or f"CAST((({n} * 7919) % 1000000) / 100 AS DECIMAL(10,2))"
    return (
        f"{n} AS id, TIMESTAMP '2026-01-01' + to_seconds({n} % 86400) "
        f"+ to_days(CASE WHEN {changed} THEN {turn} ELSE 0 END) AS seen_at, "
        f"md5(CAST({n} % 40000 AS VARCHAR)) AS customer, "
        f"['AT', 'BE', 'CH', 'DE'][1 + {n} % 4] AS country, {n} % 100 AS quantity, "
        f"CASE WHEN {changed} THEN {turn} ELSE {value} END AS amount, "
        f"'order ' || {n} AS note"
    )


def _incoming(turn: int) -> Path:
    path = WORK / f"merge_{turn:02}.csv"
    every = EXISTING // INCOMING
    changed = f"n % {every * CHANGED_EVERY} = 0"
    row = _row("n", changed=changed, turn=turn)
    _write(path, f"SELECT {row} FROM range(0, {EXISTING}, {every}) r(n)")
    return path


def _write(path: Path, query: str) -> None:
    if path.is_file():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_suffix(".half")
    with duckdb.connect(config={"memory_limit": "4GB"}) as con:
        con.execute(f"COPY ({query}) TO '{half}' (FORMAT csv, HEADER)")
    half.rename(path)


def _project(name: str, write: str) -> Path:
    folder = empty_folder(name)
    (folder / "data").mkdir()
    (folder / "sources").mkdir()
    (folder / "headwater.yaml").write_text(f"name: {name}\n", encoding="utf-8")
    source = _SOURCE.replace("WRITE", write)
    if write == "append":
        source = source.replace("    on_duplicate: latest by seen_at\n", "")
    (folder / "sources" / "raw.yaml").write_text(source, encoding="utf-8")
    return folder


def _give(project: Path, file: Path, number: int) -> None:
    (project / "data" / f"{number:03}.csv").hardlink_to(file)


@contextmanager
def _ours(write: str, base: Path, files: list[Path]) -> Iterator[Timed]:
    project = _project(write, write)
    _give(project, base, 0)
    opened = headwater.open_project(project)
    opened.run()
    numbered = iter(enumerate(files, start=1))
    changed = INCOMING // CHANGED_EVERY
    with opened.open_lake() as lake:

        def once() -> float:
            number, file = next(numbered)
            _give(project, file, number)
            started = time.perf_counter()
            report = run(opened.project, opened.graph, opened.bound, lake)
            seconds = time.perf_counter() - started
            ledger = report.steps[0].ledger
            assert ledger is not None
            assert ledger.unchanged == INCOMING - changed, ledger
            assert (ledger.landed if write == "history" else ledger.updated) == changed, ledger
            return seconds

        yield once


@contextmanager
def _plain(name: str, base: Path, files: list[Path]) -> Iterator[Timed]:
    con = plain.open_lake(empty_folder(f"{name}_plain"))
    columns = ", ".join(f"'{name}': '{kind}'" for name, kind in _COLUMNS.items())

    def read(file: Path) -> str:
        return f"read_csv('{file}', header = true, columns = {{{columns}}})"

    con.execute(f"CREATE TABLE lake.orders AS SELECT * FROM {read(base)}")
    remaining = iter(files)

    def once() -> float:
        file = next(remaining)
        started = time.perf_counter()
        con.execute(
            f"MERGE INTO lake.orders t USING {read(file)} s ON t.id = s.id "
            "WHEN MATCHED THEN UPDATE WHEN NOT MATCHED THEN INSERT"
        )
        return time.perf_counter() - started

    try:
        yield once
    finally:
        con.close()
