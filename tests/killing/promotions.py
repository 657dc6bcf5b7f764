"""Kills while definitions change and are tried out in another environment, promoted, rolled back,
and while what nobody needs is cleaned up.

Run as a program: `python -m tests.killing.promotions FOLDER KILLS SEED`, as `harness` is. Each
round changes the folder, kills one piece of work at a random moment, does it again to its end, and
then looks whether every environment is one whole release.

What a model holds says by which variant of its definition it was computed, and how the source was
landed shows in its rows: so a reader that knows nothing else can tell a whole release.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import headwater as hw
from headwater.cli.doctor import examine
from headwater.errors import NoLake, ReleaseRefused, UnknownDataset
from headwater.findings import Grade
from headwater.lake.commit import now
from headwater.run.clean import clean
from tests.killing.changes import back, resume
from tests.killing.harness import Broken, in_child, orphans_of

ROWS_PER_FILE = 10
SOURCES = ("{type: integer}", "{type: integer, min: 3}")  # the second quarantines three of ten
LEAST = (0, 2, 5)
TOTALS = ("sum(v)", "max(v)")


@dataclass(frozen=True)
class Variant:
    """How the folder defines its datasets: which of SOURCES, LEAST and TOTALS."""

    source: int = 0
    x: int = 0
    y: int = 0

    def tables(self) -> dict[str, tuple[int, ...]]:
        """What names stand for the same built table exactly where this is equal."""
        return {
            "s.t": (self.source,),
            "m.alone": (self.source,),
            "m.x": (self.source, self.x),
            "m.y": (self.source, self.x, self.y),
        }


def any_variant(random_: random.Random) -> Variant:
    return Variant(*(random_.randrange(len(all_)) for all_ in (SOURCES, LEAST, TOTALS)))


def write_definitions(folder: Path, variant: Variant) -> None:
    source = (
        "connector: files\ndatasets:\n  t:\n    path: data/*.csv\n    columns:\n"
        f"      id: {{type: integer, required: true}}\n      v: {SOURCES[variant.source]}\n"
    )
    for path, text in {
        "headwater.yaml": "name: promotions\nlock_timeout_s: 60\n",
        "sources/s.yaml": source,
        "models/m/alone.sql": "SELECT count(*) AS n FROM s.t",
        "models/m/x.sql": f"SELECT id, v, {variant.x} AS x_variant FROM s.t "
        f"WHERE v >= {LEAST[variant.x]}",
        "models/m/y.sql": f"SELECT {variant.y} AS y_variant, max(x_variant) AS x_variant, "
        f"count(*) AS n, {TOTALS[variant.y]} AS total FROM m.x",
    }.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        put(target, text)
    (folder / "data").mkdir(exist_ok=True)


def add_file(folder: Path) -> None:
    number = count_files(folder)
    lines = ["id,v", *(f"{number * ROWS_PER_FILE + v},{v}" for v in range(ROWS_PER_FILE))]
    put(folder / "data" / f"{number:05}.csv", "\n".join(lines) + "\n")


def put(target: Path, text: str) -> None:
    """Whole or not at all: the reader opens the project while its files are written."""
    target.with_suffix(".part").write_text(text)
    target.with_suffix(".part").rename(target)


def count_files(folder: Path) -> int:
    return len(list((folder / "data").glob("*.csv")))


SEEN = """SELECT
    (SELECT list([id, v] ORDER BY id, v) FROM s.t),
    (SELECT list([id, v, x_variant] ORDER BY id, v) FROM m.x),
    (SELECT list([y_variant, x_variant, n, total]::BIGINT[]) FROM m.y),
    (SELECT list(n) FROM m.alone)"""


def content(variant: Variant, files: int) -> tuple[Any, ...]:
    """What SEEN gives where all was built over the first `files` files as `variant` says: told in
    plain Python."""
    least = (0, 3)[variant.source]
    rows = [[n, n % 10] for n in range(files * ROWS_PER_FILE) if n % 10 >= least]
    chosen = [[i, v, variant.x] for i, v in rows if v >= LEAST[variant.x]]
    total = (sum, max)[variant.y](v for _, v, _ in chosen)
    return rows, chosen, [[variant.y, variant.x, len(chosen), total]], [len(rows)]


def told(seen: tuple[Any, ...]) -> tuple[Variant, int]:
    """By which variant, and over how many files, a release was made. Raises Broken unless that
    explains all of it."""
    rows, _, totals, _ = seen
    if not rows or not totals or len(totals) != 1:
        raise Broken(f"no whole release was seen: {len(rows or ())} rows, {totals}")
    source = 0 if min(v for _, v in rows) == 0 else 1
    variant = Variant(source, totals[0][1], totals[0][0])
    files = max(i for i, _ in rows) // ROWS_PER_FILE + 1
    if seen != content(variant, files):
        raise Broken(f"half a release was seen: not {variant} over {files} files")
    return variant, files


# ---- the work that is killed


def run(folder: Path) -> int:
    return hw.open_project(folder).run(replace=True).exit_code


def run_dev(folder: Path) -> int:
    return hw.open_project(folder, environment="dev").run().exit_code


def land_in_dev(folder: Path) -> int:
    return hw.open_project(folder, environment="dev").run(land=True).exit_code


def run_other(folder: Path) -> int:
    return hw.open_project(folder, environment="other").run().exit_code


def promote(folder: Path) -> int:
    """The folder may have changed since dev was built: then dev comes first."""
    project = hw.open_project(folder)
    try:
        return project.promote("dev", replace=True).exit_code
    except hw.HeadwaterError:
        run_dev(folder)
    return project.promote("dev", replace=True).exit_code


def promote_other(folder: Path) -> int:
    run_other(folder)
    return hw.open_project(folder).promote("other", replace=True).exit_code


def stay_back(folder: Path) -> int:
    with suppress(ReleaseRefused):
        hw.roll_back(folder)
    return 0


def clean_now(folder: Path) -> int:
    hw.api.clean(folder, 0)
    return 0


def clean_tomorrow(folder: Path) -> int:
    """As if a day had gone by: nothing is too young."""
    with hw.open_project(folder).open_lake() as lake:
        clean(lake, 0, moment=now() + timedelta(days=1))
    return 0


WORK = [run, run_dev, land_in_dev, promote, promote, run_other, promote_other]
WORK += [back, stay_back, resume, clean_now, clean_tomorrow]
CLEANS = (clean_now, clean_tomorrow)


# ---- what must hold


def check(folder: Path) -> None:
    """Every environment is a whole release, nothing is there twice, all is accounted for."""
    worst = [f for f in examine(str(folder), fix=True) if f.grade is Grade.PROBLEM]
    if worst:
        raise Broken(f"doctor: {worst[0].name}: {worst[0].message}")
    with hw.api.read_lake(folder) as lake, lake.reading():
        environments = list(lake.environments())
    for environment in environments:
        try:
            told(hw.open_project(folder, environment=environment).query(SEEN).rows()[0])
        except Broken as error:
            raise Broken(f"{environment}: {error}") from None
    ask = lambda sql: hw.open_project(folder).query(sql).rows()  # noqa: E731
    unbalanced = ask(
        "SELECT count(*) FROM headwater.ledger WHERE received <> landed + updated + unchanged + "
        "deduplicated + dropped + quarantined OR rows_after <> rows_before + landed - removed"
    )
    if unbalanced != [(0,)]:
        raise Broken("the ledger does not balance")
    twice = ask(
        "SELECT f.built_table, f.path FROM headwater.files f WHERE f.status = 'landed' AND NOT "
        "EXISTS (FROM headwater.cleaned_tables c WHERE c.built_table = f.built_table "
        "AND c.cleaned_at >= f.seen_at) GROUP BY ALL HAVING count(*) > 1"
    )
    if twice:
        raise Broken(f"{len(twice)} files landed twice")
    if orphans := orphans_of(folder / ".headwater"):
        raise Broken(f"data files that no snapshot knows: {orphans}")


def finish(folder: Path, variant: Variant) -> None:
    """Once all is done, prod has what dev has, and there is nothing left to do."""
    for work in (resume, land_in_dev, promote, run_dev):
        work(folder)
    check(folder)
    wanted = (variant, count_files(folder))
    for environment in ("prod", "dev"):
        seen = told(hw.open_project(folder, environment=environment).query(SEEN).rows()[0])
        if seen != wanted:
            raise Broken(f"{environment} has {seen}, not {wanted}")
    project = hw.open_project(folder)
    with project.read_lake() as lake, lake.reading():
        if lake.release_at(None, "prod").names != lake.release_at(None, "dev").names:
            raise Broken("prod and dev hold the same, and point at different places")
    if doing := project.plan_promotion("dev").doing:
        raise Broken(f"promoting would still build: {[str(step.dataset) for step in doing]}")
    if (status := project.promote("dev").status) != "nothing":
        raise Broken(f"promoting again was no idle run: {status}")
    if (status := project.run().status) != "nothing":
        raise Broken(f"a run of prod after that was no idle run: {status}")


def read_for_ever(folder: Path, report: Path) -> int:
    """Read prod until killed, but not while `pause` is there. Returns only if something else than
    a whole release is seen, and says so in `report`."""
    try:
        while True:
            if (folder / "pause").exists():
                (folder / "paused").touch()
                while (folder / "pause").exists():
                    time.sleep(0.01)
                (folder / "paused").unlink()
            try:
                told(hw.api.query_project(folder, SEEN).rows()[0])
            except (NoLake, UnknownDataset):  # nothing is released yet
                time.sleep(0.05)
                continue
            with report.with_suffix(".reads").open("ab") as log:
                log.write(b".")
            time.sleep(0.05)
    except BaseException as error:
        report.write_text(f"{type(error).__name__}: {error}")
        traceback.print_exc()
        return 1


def pause(folder: Path, reader: int) -> None:
    """Let the reader end what it reads. What it reads of an old release may go from under it when
    no release but the newest is to be kept."""
    (folder / "pause").touch()
    while not (folder / "paused").exists():
        if os.waitpid(reader, os.WNOHANG) != (0, 0):
            raise Broken((folder / "reader.txt").read_text())
        time.sleep(0.01)


def go_on(folder: Path) -> None:
    (folder / "pause").unlink()
    while (folder / "paused").exists():
        time.sleep(0.01)


def to_the_end(folder: Path, work: Callable[[], object]) -> None:
    """Do something in a child process; its failure is raised here as Broken."""
    verdict = folder / "verdict.txt"
    verdict.unlink(missing_ok=True)

    def carry_out() -> int:
        try:
            return int(work() or 0)
        except BaseException as error:
            verdict.write_text(f"{type(error).__name__}: {error}")
            traceback.print_exc()
            return 1

    _, status = os.waitpid(in_child(carry_out), 0)
    if status:
        raise Broken(verdict.read_text() if verdict.exists() else f"it ended with {status}")


def kill_amid(random_: random.Random, folder: Path, length: float, work: Callable[..., int]) -> int:
    """Start some work and kill it at a random moment; 1 if that was before its end."""
    child = in_child(lambda: work(folder))
    time.sleep(random_.uniform(0, length))
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if not os.WIFSIGNALED(status) and os.WEXITSTATUS(status):
        raise Broken(f"{work.__name__} failed by itself; see standard error")
    return int(os.WIFSIGNALED(status))


def main(folder: Path, kills: int, seed: int) -> dict[str, object]:
    random_ = random.Random(seed)
    variant = Variant()
    write_definitions(folder, variant)
    add_file(folder)
    started = time.monotonic()
    for work in (run, run_dev):
        to_the_end(folder, lambda work=work: work(folder))
    length = 0.8 * (time.monotonic() - started)
    report = folder / "reader.txt"
    reader = in_child(lambda: read_for_ever(folder, report))
    killed = rounds = 0
    done: list[str] = []
    try:
        while killed < kills:
            rounds += 1
            if random_.random() < 0.5:
                variant = any_variant(random_)
                write_definitions(folder, variant)
            if random_.random() < 0.5:
                add_file(folder)
            work = random_.choice(WORK)
            done.append(f"{work.__name__} as {variant}")
            if work in CLEANS:
                pause(folder, reader)
            killed += kill_amid(random_, folder, length, work)
            to_the_end(folder, lambda work=work: work(folder))
            if work in CLEANS:
                go_on(folder)
            to_the_end(folder, lambda: check(folder))
            if report.exists():
                raise Broken(f"a reader: {report.read_text()}")
            if killed % 25 == 0:
                to_the_end(folder, lambda as_=variant: finish(folder, as_))
        to_the_end(folder, lambda: finish(folder, variant))
        if report.exists():
            raise Broken(f"a reader: {report.read_text()}")
    except Broken as error:
        raise Broken(f"{error}; after {done[-6:]}") from error
    finally:
        with suppress(ProcessLookupError, ChildProcessError):
            os.kill(reader, signal.SIGKILL)
            os.waitpid(reader, 0)
    reads = report.with_suffix(".reads").stat().st_size
    return {"killed": killed, "rounds": rounds, "reads": reads}


if __name__ == "__main__":
    try:
        print(json.dumps(main(Path(sys.argv[1]).resolve(), int(sys.argv[2]), int(sys.argv[3]))))
    except Broken as error:
        print(json.dumps({"broken": str(error)}))
        sys.exit(1)
