"""Backup and restore of an embedded lake, while runs go on.

A backup is a folder: `backup.json`, the copy of the catalog that it names, `data/` with every file
that this catalog names, and `raw/` with the lake's copies of files as they were received (see
`raw.py`). `backup.json` is written last, and by a rename, so a backup is whole or is the one
before; whatever else stands there is left over from one that was killed.

What makes it consistent: the catalog is copied first, as it is at one moment (see `catalog.py`),
so it holds whole commits alone. Every file that it names was complete before its commit, is never
changed and is only ever removed by whoever expires snapshots. Files that are written ahead of a
commit are not named, so they are not copied. The raw is copied after the catalog: the copy of a
file is there before its landing is committed, and is never changed either. No lock of the lake is
held: runs do not wait for a backup. Where a file is gone all the same, somebody has expired
snapshots since the catalog was copied, and the backup begins again with the catalog as it is now.

Files are copied, not linked: a backup shares nothing with what it is to replace. Those that an
earlier backup copied into the same folder are not copied again: their names are never used twice.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from headwater.errors import BackupRefused, HeadwaterError, NoLake, counted
from headwater.folder import CATALOG, RAW
from headwater.index.store import FOLDER as INDEX
from headwater.lake.catalog import CatalogFacts, copy_catalog, examine_catalog
from headwater.lake.disk import sync
from headwater.lake.lake import Lake
from headwater.lake.locks import Locks
from headwater.lake.raw import Copy, all_copies, name_within

MANIFEST = "backup.json"
LAYOUT_VERSION = 1
"""The layout of a backup's folder."""
_ATTEMPTS = 5
_LOCK = ".lock"


@dataclass(frozen=True, kw_only=True)
class Backup:
    """A whole backup: what its `backup.json` says.

    lake_id      the lake that it is of.
    catalog      the name of the catalog's copy, with its hash.
    snapshot_id  the newest snapshot in it; release_id the newest release, 0 for none.
    files        how many data files it has, and their bytes. All snapshots' files, not the
                 newest one's alone: a lake keeps its history, and so does its backup.
    raw_files    how many copies of files as they were received, and their bytes.
    """

    layout: int
    made_at: str
    headwater_version: str
    lake_id: str
    lake_format: int
    snapshot_id: int
    release_id: int
    catalog: str
    catalog_sha256: str
    files: int
    bytes: int
    raw_files: int = 0
    raw_bytes: int = 0


@dataclass(frozen=True, kw_only=True)
class Copied:
    """What a backup or a restore did. `aside`: where the lake that was there stands now."""

    backup: Backup
    files_copied: int
    bytes_copied: int
    seconds: float
    aside: Path | None = None


class _Vanished(Exception):
    """A file that the catalog names is gone."""


# ---- backup ----------------------------------------------------------------------------------


def back_up(lake: Path, folder: Path) -> Copied:
    """Back the lake in the folder `lake` up into `folder`, which is made where it is missing.

    Runs go on; only nothing is cleaned away meanwhile. Reads all of the catalog, and those data
    files that `folder` lacks.
    Raises NoLake, and BackupRefused where `folder` is not free or the lake is damaged.
    """
    started = time.monotonic()
    folder = folder.resolve()
    if not (lake / CATALOG).is_file():
        raise NoLake("there is no lake yet", where=str(lake), hint="`headwater run` makes it")
    _refuse_place(lake, folder)
    with _speaking(folder), _only_one(folder, must=True), _uncleaned(lake):
        earlier = read_manifest(folder) if (folder / MANIFEST).exists() else None
        catalog = folder / f"catalog-{secrets.token_hex(4)}.sqlite"
        try:
            facts, copied = _copy_lake(lake, folder, catalog, earlier)
            raw = _copy_raw(lake, folder)
            backup = _describe(folder, catalog, facts, raw)
        except BaseException:
            catalog.unlink(missing_ok=True)
            raise
        _write_manifest(folder, backup)
        _remove_the_rest(folder, catalog.name, facts, raw)
    return Copied(
        backup=backup,
        files_copied=len(copied) + raw.files_copied,
        bytes_copied=sum(facts.files[name] for name in copied) + raw.bytes_copied,
        seconds=time.monotonic() - started,
    )


def read_manifest(folder: Path) -> Backup:
    """What a backup says of itself. Raises BackupRefused where `folder` holds none."""
    try:
        said: dict[str, Any] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        if said["layout"] > LAYOUT_VERSION:
            raise BackupRefused(
                f"the backup was made by a newer Headwater, {said['headwater_version']}",
                where=str(folder),
                hint="upgrade: pip install --upgrade headwater",
            )
        whole = {"raw_files": 0, "raw_bytes": 0, **said}  # one without raw does not say so
        return Backup(**{name: whole[name] for name in Backup.__dataclass_fields__})
    except FileNotFoundError as error:
        raise BackupRefused(
            "there is no backup in this folder",
            where=str(folder),
            hint="`headwater backup DIR` makes one; one that was killed is none",
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise BackupRefused(f"{MANIFEST} cannot be read", where=str(folder)) from error


def _refuse_place(lake: Path, folder: Path) -> None:
    if folder == lake or lake in folder.parents or folder in lake.parents:
        raise BackupRefused(
            "a backup stands apart from its lake",
            where=str(folder),
            hint="name a folder that neither holds the lake nor stands in it",
        )
    if not folder.exists():
        return
    if not folder.is_dir():
        raise BackupRefused("this is not a folder", where=str(folder))
    ours = (MANIFEST, f"{MANIFEST}.part", "data", RAW, _LOCK)
    others = [p.name for p in folder.iterdir() if p.name not in ours and not _is_catalog(p.name)]
    if others:
        raise BackupRefused(
            f"the folder holds other things: {', '.join(sorted(others)[:3])}",
            where=str(folder),
            hint="name an empty folder, or one that holds a backup",
        )


def _is_catalog(name: str) -> bool:
    return name.startswith("catalog-") and ".sqlite" in name


def _copy_lake(
    lake: Path, folder: Path, catalog: Path, earlier: Backup | None
) -> tuple[CatalogFacts, set[str]]:
    """The catalog and its files, once more from the start where files vanish meanwhile. Returns
    what was copied."""
    copied: set[str] = set()
    for attempt in range(1, _ATTEMPTS + 1):
        catalog.unlink(missing_ok=True)
        facts = copy_catalog(lake / CATALOG, catalog)
        _refuse_unsound(lake, facts)
        if earlier and earlier.lake_id != facts.lake_id:
            raise BackupRefused(
                "the folder holds the backup of another lake",
                where=str(folder),
                hint="name another folder; this one stays as it is",
            )
        try:
            _copy_files(lake / "data", folder / "data", facts.files, copied)
        except _Vanished as gone:
            if attempt == _ATTEMPTS:
                raise BackupRefused(
                    f"the catalog names a file that is not there: {gone}",
                    where=str(lake),
                    hint="`headwater doctor` shows what the lake lacks",
                ) from gone
            time.sleep(0.1 * attempt)
            continue
        return facts, copied & facts.files.keys()
    raise AssertionError("unreachable")  # pragma: no cover


def _refuse_unsound(lake: Path, facts: CatalogFacts) -> None:
    if facts.damage:
        raise BackupRefused(
            "the catalog is damaged, so nothing was backed up",
            where=str(lake),
            hint="`headwater doctor` says more; `headwater restore` brings back a backup",
        )
    if facts.outside:
        raise BackupRefused(
            f"the catalog names {counted(facts.outside, 'file')} outside of the lake's folder",
            where=str(lake),
            hint="only Headwater may add files to its lake",
        )


def _copy_files(source: Path, target: Path, files: dict[str, int], copied: set[str]) -> None:
    """Copy those of `files` that `target` lacks; adds their names to `copied`. Raises _Vanished."""
    for name, size in files.items():
        place = target / name
        if _size(place) == size:
            continue
        if _size(source / name) != size:
            raise _Vanished(name)
        place.parent.mkdir(parents=True, exist_ok=True)
        part = place.with_name(f"{place.name}.part")
        try:
            shutil.copyfile(source / name, part)
        except FileNotFoundError as error:
            if (source / name).exists():
                raise
            raise _Vanished(name) from error
        sync(part)
        part.replace(place)
        copied.add(name)
    for parent in {(target / name).parent for name in copied if name in files}:
        sync(parent)


@dataclass(frozen=True, kw_only=True)
class _CopiedRaw:
    """What was done about the copies of files. `files`: path within `raw` -> bytes."""

    files: dict[str, int]
    files_copied: int
    bytes_copied: int


def _copy_raw(source: Path, target: Path) -> _CopiedRaw:
    """Copy the raw of the lake in `source` into `target`, as far as it is not there, with the times
    from which it is kept. What is deleted meanwhile is kept no longer."""
    files: dict[str, int] = {}
    written: list[int] = []
    for copy in (copy for copies in all_copies(source).values() for copy in copies):
        place = target / RAW / name_within(copy)
        try:
            if _size(place) != copy.size_bytes:
                _copy_one(copy, place)
                written.append(copy.size_bytes)
            facts = copy.path.stat()
            os.utime(place, ns=(facts.st_atime_ns, facts.st_mtime_ns))
        except FileNotFoundError:
            if copy.path.exists():
                raise
            continue
        files[name_within(copy)] = copy.size_bytes
    return _CopiedRaw(files=files, files_copied=len(written), bytes_copied=sum(written))


def _copy_one(copy: Copy, place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    part = place.with_name(f"{place.name}.part")
    shutil.copyfile(copy.path, part)
    sync(part)
    part.replace(place)
    sync(place.parent)


def _describe(folder: Path, catalog: Path, facts: CatalogFacts, raw: _CopiedRaw) -> Backup:
    """The backup as it stands, after it was verified: all files are there with their sizes, and
    Headwater can read what it is."""
    verify_files(folder, facts)
    sha256 = _hash(catalog)  # before DuckDB opens it: see `catalog.py`
    with Lake.open_read_only(folder, catalog=catalog.name, may_be_older=True) as lake:
        return Backup(
            layout=LAYOUT_VERSION,
            made_at=datetime.now(UTC).isoformat(timespec="seconds"),
            headwater_version=version("headwater"),
            lake_id=facts.lake_id,
            lake_format=lake.format_version(),
            snapshot_id=facts.snapshot_id,
            release_id=lake.newest_release_id(),
            catalog=catalog.name,
            catalog_sha256=sha256,
            files=len(facts.files),
            bytes=sum(facts.files.values()),
            raw_files=len(raw.files),
            raw_bytes=sum(raw.files.values()),
        )


def verify_files(folder: Path, facts: CatalogFacts) -> None:
    """Raise BackupRefused unless every file that a catalog names is there with its size."""
    wrong = [name for name, size in facts.files.items() if _size(folder / "data" / name) != size]
    if wrong:
        raise BackupRefused(
            f"{counted(len(wrong), 'file')} of {len(facts.files):,} are missing or cut short, "
            f"the first is data/{wrong[0]}",
            where=str(folder),
            hint="take another backup; this one is not whole",
        )


def _write_manifest(folder: Path, backup: Backup) -> None:
    part = folder / f"{MANIFEST}.part"
    part.write_text(json.dumps(asdict(backup), indent=2) + "\n", encoding="utf-8")
    sync(part)
    part.replace(folder / MANIFEST)
    sync(folder)


def _remove_the_rest(folder: Path, catalog: str, facts: CatalogFacts, raw: _CopiedRaw) -> None:
    """Remove what earlier backups, and those that were killed, left in the folder."""
    for path in folder.iterdir():
        if _is_catalog(path.name) and path.name != catalog:
            path.unlink(missing_ok=True)
    for place, needed in ((folder / "data", facts.files), (folder / RAW, raw.files)):
        for path in place.rglob("*"):
            if path.relative_to(place).as_posix() not in needed and path.is_file():
                path.unlink(missing_ok=True)


# ---- restore ---------------------------------------------------------------------------------


def restore(folder: Path, lake: Path, *, replace: bool = False) -> Copied:
    """Make the backup in `folder` the lake in the folder `lake`.

    The new lake is made beside, verified, and then takes its name: whoever is killed leaves the
    old lake as it was, or moved aside with the whole new one in its place (for a moment between
    the two, with none: then restore again). With `replace` a lake that is there is moved aside.

    Raises BackupRefused where there is a lake and `replace` does not say so, where a run is alive
    in it, and where the backup is not whole.
    """
    started = time.monotonic()
    folder, lake = folder.resolve(), lake.resolve()
    with _speaking(lake), _only_one(folder, must=False):
        backup = read_manifest(folder)
        _refuse_taken(lake, replace)
        facts = _verify_backup(folder, backup)
        _clear_after_dead(lake)
        beside = lake.parent / f".{lake.name}.restoring-{secrets.token_hex(4)}"
        try:
            with Locks(beside / "locks", 0).commit():  # says that it is being made
                copied = _make_beside(folder, beside, lake, backup, facts)
                raw = _copy_raw(folder, beside)
                aside = _take_place(beside, lake, replace)
        except BaseException:
            shutil.rmtree(beside, ignore_errors=True)
            raise
    return Copied(
        backup=backup,
        files_copied=len(copied) + raw.files_copied,
        bytes_copied=sum(facts.files[name] for name in copied) + raw.bytes_copied,
        seconds=time.monotonic() - started,
        aside=aside,
    )


def _verify_backup(folder: Path, backup: Backup) -> CatalogFacts:
    catalog = folder / backup.catalog
    if not _is_catalog(backup.catalog) or "/" in backup.catalog or not catalog.is_file():
        raise BackupRefused(
            f"the backup's catalog {backup.catalog} is not there", where=str(folder)
        )
    if _hash(catalog) != backup.catalog_sha256:
        raise BackupRefused(
            f"{backup.catalog} is not as it was written: the backup is damaged", where=str(folder)
        )
    facts = examine_catalog(catalog)
    _refuse_unsound(folder, facts)
    verify_files(folder, facts)
    return facts


def _make_beside(
    folder: Path, beside: Path, lake: Path, backup: Backup, facts: CatalogFacts
) -> set[str]:
    (beside / ".gitignore").write_text("*\n", encoding="utf-8")
    (beside / "data").mkdir()
    copied: set[str] = set()
    try:
        _copy_files(folder / "data", beside / "data", facts.files, copied)
    except _Vanished as gone:
        raise BackupRefused(f"data/{gone} vanished from the backup", where=str(folder)) from gone
    made = copy_catalog(folder / backup.catalog, beside / CATALOG, data_path=lake / "data")
    if made.files != facts.files or made.snapshot_id != backup.snapshot_id:
        raise BackupRefused("the copy of the catalog is not what it was copied from")
    verify_files(beside, facts)
    with Lake.open_read_only(beside, may_be_older=True) as restored:
        release = restored.newest_release_id()
    if release != backup.release_id:
        raise BackupRefused(f"release {release} was restored, not {backup.release_id}")
    return copied


def _refuse_taken(lake: Path, replace: bool) -> None:
    if not lake.exists():
        return
    if not lake.is_dir():
        raise BackupRefused("this is not a folder", where=str(lake))
    if not (lake / CATALOG).exists():
        ours = {".gitignore", "data", INDEX, "locks", RAW, "tmp"}
        others = sorted(path.name for path in lake.iterdir() if path.name not in ours)
        if others:
            raise BackupRefused(
                f"the folder holds other things: {', '.join(others[:3])}",
                where=str(lake),
                hint="name a folder that is not there yet",
            )
    elif not replace:
        raise BackupRefused(
            "there is a lake already",
            where=str(lake),
            hint="--replace moves it aside; --into FOLDER restores elsewhere",
        )


def _take_place(beside: Path, lake: Path, replace: bool) -> Path | None:
    """Give the new lake its name; the one that is there is moved aside. Returns where to."""
    if lake.is_dir() and not any(lake.iterdir()):
        lake.rmdir()
    if not lake.exists():
        beside.rename(lake)
        sync(lake.parent)
        return None
    locks = Locks(lake / "locks", 60.0)
    with locks.commit():
        _refuse_taken(lake, replace)
        alive = locks.live_runs()
        if alive:
            raise BackupRefused(
                f"run {alive[0]} is going on in the lake that would be replaced",
                where=str(lake),
                hint="wait for it to end, or stop it",
            )
        moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
        aside = lake.with_name(f"{lake.name}.replaced-{moment}")
        lake.rename(aside)
        beside.rename(lake)
    sync(lake.parent)
    return aside


def _clear_after_dead(lake: Path) -> None:
    """Remove what restores that were killed left beside the lake."""
    for left in lake.parent.glob(f".{lake.name}.restoring-*"):
        lock = FileLock(left / "locks" / "lake.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            continue  # it is being made
        except OSError:
            pass  # killed before it had its lock
        lock.release()
        shutil.rmtree(left, ignore_errors=True)


# ---- both ------------------------------------------------------------------------------------


@contextmanager
def _only_one(folder: Path, *, must: bool) -> Iterator[None]:
    """Hold the backup's lock. `must`: else a folder that cannot be written is not locked, because
    then nobody here writes to it."""
    if must:
        folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / _LOCK) if folder.is_dir() else None
    with _held(lock, folder, "another process is at work in this backup", must=must):
        yield


@contextmanager
def _uncleaned(lake: Path) -> Iterator[None]:
    """Nobody deletes files of the lake meanwhile. One that we may not write to is not locked: who
    may clean it is somebody else."""
    there = (lake / "locks").is_dir()
    lock = Locks(lake / "locks", 0).maintenance() if there else None
    with _held(lock, lake, "the lake is being cleaned, or backed up elsewhere", must=False):
        yield


@contextmanager
def _held(lock: FileLock | None, where: Path, refused: str, *, must: bool) -> Iterator[None]:
    """Hold a lock, if there is one. Raises BackupRefused where somebody else has it; `must`: and
    OSError where it cannot be had."""
    try:
        if lock:
            lock.acquire(timeout=0)
    except Timeout as error:
        raise BackupRefused(refused, where=str(where), hint="wait for it to end") from error
    except OSError:
        if must:
            raise
    try:
        yield
    finally:
        if lock:
            lock.release()


@contextmanager
def _speaking(folder: Path) -> Iterator[None]:
    """The system's errors, as what to do about them."""
    try:
        yield
    except HeadwaterError:
        raise
    except OSError as error:
        if error.errno in (errno.EBUSY, errno.EXDEV):
            raise BackupRefused(
                "the lake's folder is a mount of its own, so no other can take its place",
                where=str(folder),
                hint="restore --into a folder within it, and set `lake:` in headwater.yaml to that",
            ) from error
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise BackupRefused(
            "the disk is full" if full else f"files cannot be copied: {error.strerror}",
            where=str(error.filename or folder),
            hint="free some space and try again; what was there before stays"
            if full
            else "check the folder, its permissions and the disk",
        ) from error


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except (FileNotFoundError, NotADirectoryError):
        return -1


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
