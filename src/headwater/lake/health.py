"""The health of a lake: what is looked at, and what may be removed.

Looking changes nothing and takes no lock, so it may be done while runs go on. Removing (`clean`)
holds the lake's lock, and removes only what no run can need:

- data files that the catalog does not name. DuckLake writes its own (`ducklake-…`) inside of
  commits, which hold the lock; a run's (`hw-RUN-…`) are written ahead without it, so they stay as
  long as that run is alive. The files are listed first, then the runs are asked, then the catalog:
  whoever wrote a listed file is either still alive by then, or has committed it, or never will.
  Others are nobody's; they stay while any run is alive.
- the scratch folders and locks of runs that are dead, and DuckDB's spill files once nobody runs;
  copies of files that such a run did not finish.
- copies of the files of datasets that the project does not make, once nobody runs.
"""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

import duckdb
from filelock import FileLock, Timeout

from headwater.engine.session import Limits
from headwater.errors import HeadwaterError, LakeTooOld, counted, size_text
from headwater.findings import Finding, Grade
from headwater.folder import CATALOG
from headwater.lake.catalog import CatalogFacts, examine_catalog
from headwater.lake.lake import Lake
from headwater.lake.locks import Locks
from headwater.lake.raw import Copy, all_copies, delete_dataset, unfinished
from headwater.lake.state import FORMAT_VERSION

LEAST_FREE_BYTES = 1 << 30
LARGE_WAL_BYTES = 256 << 20
MANY_FILES = 2_000
SPILL_AGE_S = 3600.0
_RUN_ID = re.compile(r"\d{8}T\d{6}-[0-9a-f]{6}\Z")
_OF_A_RUN = re.compile(r"hw-(?P<run_id>.+)-\d+\.parquet\Z")


@dataclass(frozen=True, kw_only=True)
class Leftovers:
    """What nobody needs any more.

    data        path within the data folder -> bytes.
    unfinished  copies of files that a killed run did not finish.
    raw         dataset that the project does not make -> the copies of its files.
    """

    data: dict[str, int] = field(default_factory=dict)
    scratch: tuple[Path, ...] = ()
    dead_runs: tuple[str, ...] = ()
    unfinished: tuple[Path, ...] = ()
    raw: dict[str, list[Copy]] = field(default_factory=dict)

    @property
    def bytes(self) -> int:
        return sum(self.data.values())

    def __bool__(self) -> bool:
        return bool(self.data or self.scratch or self.dead_runs or self.unfinished)


def any_dataset(name: str) -> bool:
    """That a project may make a dataset, where that is not known."""
    return True


# ---- examine ---------------------------------------------------------------------------------


def examine_lake(
    folder: Path, limits: Limits | None = None, is_made: Callable[[str], bool] = any_dataset
) -> Iterator[Finding]:
    """Look at the lake in `folder`, broken or not. Costs about 0.3 s, one look at each data file,
    and a check of the whole catalog.

    is_made   whether the project makes a dataset, or may.
    """
    yield _disk(folder)
    if not (folder / CATALOG).is_file():
        yield _ok("catalog", "there is no lake yet", "`headwater run` makes it")
        return
    yield _locks(folder)
    listed = _listed(folder)
    alive = Locks(folder / "locks", 0).live_runs()
    try:
        facts = examine_catalog(folder / CATALOG)
    except HeadwaterError as error:
        yield _problem("catalog", error.message, error.hint)
        return
    if facts.damage:
        yield _problem(
            "catalog",
            f"it is damaged: {facts.damage[0]}",
            "`headwater restore` brings back a backup; the damaged lake is kept aside",
        )
        return
    yield _ok("catalog", f"whole; snapshot {facts.snapshot_id}")
    yield _write_ahead_log(folder)
    yield from _data_files(folder, facts)
    yield _leftovers(_unneeded(folder, listed, alive, facts))
    yield from _raw(folder, is_made)
    yield from _aside(folder)
    yield from _contents(folder, facts, limits)


def _disk(folder: Path) -> Finding:
    there = next(place for place in (folder, *folder.parents) if place.exists())
    free = shutil.disk_usage(there).free
    if free < LEAST_FREE_BYTES:
        return _warning(
            "disk",
            f"only {size_text(free)} are free",
            "free some space: a lake keeps its history, so it grows with every run",
        )
    return _ok("disk", f"{size_text(free)} are free")


def _locks(folder: Path) -> Finding:
    """Whether a lock that is held keeps others out, which some network file systems do not do."""
    path = folder / "locks" / f"doctor-{time.time_ns()}.lock"
    first, second = FileLock(path, is_singleton=False), FileLock(path, is_singleton=False)
    try:
        path.parent.mkdir(exist_ok=True)
        with first:
            try:
                second.acquire(timeout=0)
            except Timeout:
                return _ok("locks", "they work here")
            second.release()
            return _problem(
                "locks",
                "this file system gives one lock to two at once",
                "move the lake to a local disk: two runs at once would damage it here",
            )
    except OSError as error:
        return _warning(
            "locks",
            f"the lake's folder cannot be written: {error.strerror}",
            "reading works; a run needs to write",
        )
    finally:
        path.unlink(missing_ok=True)


def _write_ahead_log(folder: Path) -> Finding:
    try:
        size = (folder / f"{CATALOG}-wal").stat().st_size
    except FileNotFoundError:
        size = 0
    if size > LARGE_WAL_BYTES:
        return _warning(
            "write-ahead log",
            f"{CATALOG}-wal has {size_text(size)}",
            "a reader that never ends keeps it from being emptied; find it and close it",
        )
    return _ok("write-ahead log", size_text(size))


def _data_files(folder: Path, facts: CatalogFacts) -> Iterator[Finding]:
    missing, wrong = [], []
    for name, size in facts.files.items():
        try:
            if (folder / "data" / name).stat().st_size != size:
                wrong.append(name)
        except OSError:
            missing.append(name)
    hint = "`headwater restore` brings back a backup; without one, --rebuild builds models anew"
    for names, what in ((missing, "missing"), (wrong, "of another size than the catalog says")):
        if names:
            tables = sorted({PurePosixPath(name).parent.name for name in names})
            more = f" and {len(tables) - 3} more" if len(tables) > 3 else ""
            yield _problem(
                "data files",
                f"{counted(len(names), 'file')} {'is' if len(names) == 1 else 'are'} {what}, "
                f"of {', '.join(tables[:3])}{more}",
                hint,
            )
    if facts.outside:
        yield _warning(
            "data files",
            f"the catalog names {counted(facts.outside, 'file')} outside of the lake's folder",
            "they are in no backup; only Headwater may add files to its lake",
        )
    if not (missing or wrong):
        total = sum(facts.files.values())
        yield _ok("data files", f"{counted(len(facts.files), 'file')}, {size_text(total)}")


def _leftovers(found: Leftovers) -> Finding:
    if not found:
        return _ok("leftovers", "none")
    parts = []
    if found.dead_runs:
        parts.append(f"{counted(len(found.dead_runs), 'run')} killed")
    if found.data:
        files = counted(len(found.data), "data file")
        parts.append(f"{files} in no snapshot, {size_text(found.bytes)}")
    if found.scratch:
        parts.append(f"{counted(len(found.scratch), 'entry')} in tmp".replace("entrys", "entries"))
    if found.unfinished:
        parts.append(f"{counted(len(found.unfinished), 'file')} half copied")
    return _warning("leftovers", "; ".join(parts), "`headwater doctor --fix` removes them")


def _raw(folder: Path, is_made: Callable[[str], bool]) -> Iterator[Finding]:
    """The copies of files: those of the project's datasets, and those of others."""
    found = all_copies(folder)
    made = [copy for dataset, copies in found.items() if is_made(dataset) for copy in copies]
    orphaned = {dataset: copies for dataset, copies in found.items() if not is_made(dataset)}
    if made:
        total = size_text(sum(copy.size_bytes for copy in made))
        yield _ok("raw", f"copies of {counted(len(made), 'file')} as received, {total}")
    for dataset, copies in orphaned.items():
        total = size_text(sum(copy.size_bytes for copy in copies))
        yield _warning(
            "raw",
            f"copies of {counted(len(copies), 'file')} of {dataset}, which the project does not "
            f"make, {total}",
            "`headwater doctor --fix` removes them",
        )


def _aside(folder: Path) -> Iterator[Finding]:
    for kind, text in (
        (f"{folder.name}.replaced-*", "a restore moved the lake before it aside"),
        (f".{folder.name}.restoring-*", "a restore is going on or was killed"),
    ):
        for place in sorted(folder.parent.glob(kind)):
            yield _warning("restores", f"{place.name}: {text}", "remove it when all is well")


def _contents(folder: Path, facts: CatalogFacts, limits: Limits | None) -> Iterator[Finding]:
    """What only opening the lake can tell."""
    try:
        with Lake.open_read_only(folder, limits=limits) as lake, lake.reading():
            yield _ok("format", f"version {FORMAT_VERSION}")
            yield from _files_per_table(facts)
            yield _released(lake, facts)
    except LakeTooOld as error:
        yield _warning("format", error.message, error.hint)
    except HeadwaterError as error:
        yield _problem("format", error.message, error.hint)
    except duckdb.Error as error:
        yield _problem(
            "state tables",
            f"they cannot be read: {str(error).splitlines()[0]}",
            "`headwater restore` brings back a backup",
        )


def _files_per_table(facts: CatalogFacts) -> Iterator[Finding]:
    counts: dict[str, int] = {}
    for name in facts.files:
        table = str(PurePosixPath(name).parent).replace("/", ".")
        counts[table] = counts.get(table, 0) + 1
    many = {table: count for table, count in counts.items() if count > MANY_FILES}
    for table, count in sorted(many.items()):
        yield _warning(
            "files per table",
            f"{table} has {count:,} files",
            "land more rows at a time: every query of it opens all of them",
        )
    if not many:
        most = max(counts.values(), default=0)
        yield _ok("files per table", f"at the most {most:,}, in {counted(len(counts), 'table')}")


def _released(lake: Lake, facts: CatalogFacts) -> Finding:
    """Whether every released name stands on a built table that there is."""
    release = lake.release()
    there = facts.tables | lake.built_views()
    lost = sorted(str(name) for name, place in release.names.items() if place.table not in there)
    if lost:
        count = counted(len(lost), "released dataset")
        return _problem(
            "release",
            f"{count} without a built table: {', '.join(lost[:3])}",
            "`headwater restore` brings back a backup",
        )
    if not release.release_id:
        return _ok("release", "nothing is released yet", "`headwater run`")
    return _ok("release", f"release {release.release_id}, {counted(len(release.names), 'dataset')}")


# ---- clean -----------------------------------------------------------------------------------


def clean(
    folder: Path, lock_timeout_s: float = 60.0, is_made: Callable[[str], bool] = any_dataset
) -> Leftovers:
    """Remove what nobody needs, under the lake's lock; returns what that was.

    is_made   whether the project makes a dataset, or may: copies of files of others go.

    Raises where the catalog cannot be read or is of a newer format: then nothing is removed.
    """
    locks = Locks(folder / "locks", lock_timeout_s)
    with locks.commit():
        listed = _listed(folder)
        alive = locks.live_runs()
        with Lake.open_read_only(folder, may_be_older=True):
            pass  # a lake that we can read
        facts = examine_catalog(folder / CATALOG)
        if facts.damage:
            raise HeadwaterError(
                "the catalog is damaged, so nothing was removed",
                where=str(folder),
                hint="`headwater restore` brings back a backup",
            )
        found = _unneeded(folder, listed, alive, facts, is_locked=True)
        if not alive:
            copies = all_copies(folder).items()
            found = replace(found, raw={name: kept for name, kept in copies if not is_made(name)})
        for name in found.data:
            (folder / "data" / name).unlink(missing_ok=True)
        for path in found.scratch:
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
        for path in found.unfinished:
            path.unlink(missing_ok=True)
        for dataset in found.raw:
            delete_dataset(folder, dataset)
        for run_id in found.dead_runs:
            locks.forget_run(run_id)
    return found


@dataclass(frozen=True)
class _Listed:
    """What stands in the lake's folder: data files with their sizes, entries of `tmp`, and copies
    that are being written, with their runs."""

    data: dict[str, int]
    scratch: tuple[Path, ...]
    unfinished: dict[Path, str]


def _listed(folder: Path) -> _Listed:
    found = {}
    for path in (folder / "data").rglob("*.parquet"):
        with suppress(FileNotFoundError):
            found[path.relative_to(folder / "data").as_posix()] = path.stat().st_size
    return _Listed(found, tuple(sorted((folder / "tmp").glob("*"))), unfinished(folder))


def _unneeded(
    folder: Path, listed: _Listed, alive: list[str], facts: CatalogFacts, *, is_locked: bool = False
) -> Leftovers:
    """Of what was listed before the runs were asked and the catalog read, what nobody needs.
    Without the lock, a commit may be going on while any run is alive."""

    def may_be_written(name: str) -> bool:
        file = PurePosixPath(name).name
        if found := _OF_A_RUN.match(file):
            return found["run_id"] in alive
        return bool(alive) and not (is_locked and file.startswith("ducklake-"))

    return Leftovers(
        data={
            name: size
            for name, size in listed.data.items()
            if name not in facts.files
            and PurePosixPath(name).name not in facts.scheduled
            and not may_be_written(name)
        },
        scratch=tuple(path for path in listed.scratch if _is_over(path, alive)),
        dead_runs=tuple(Locks(folder / "locks", 0).dead_runs()),
        unfinished=tuple(path for path, run_id in listed.unfinished.items() if run_id not in alive),
    )


def _is_over(path: Path, alive: list[str]) -> bool:
    """Whether an entry of `tmp` is of a run that is dead, or is an old one while nobody runs."""
    if path.is_dir() and _RUN_ID.match(path.name):
        return path.name not in alive
    try:
        return not alive and time.time() - path.stat().st_mtime > SPILL_AGE_S
    except FileNotFoundError:
        return False


# ---- findings --------------------------------------------------------------------------------


def _ok(name: str, message: str, hint: str = "") -> Finding:
    return Finding(area="lake", name=name, grade=Grade.OK, message=message, hint=hint)


def _warning(name: str, message: str, hint: str) -> Finding:
    return Finding(area="lake", name=name, grade=Grade.WARNING, message=message, hint=hint)


def _problem(name: str, message: str, hint: str) -> Finding:
    return Finding(area="lake", name=name, grade=Grade.PROBLEM, message=message, hint=hint)
