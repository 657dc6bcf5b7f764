"""The raw: copies of files as they were received, for `raw_retention_days`.

They stand in the lake's folder as `raw/SCHEMA.DATASET/HASH.SUFFIXES`. The name says the content, so
a copy never changes once it has its name, the same bytes are written once, and a copy without a
landing harms nobody. When its file was received last is the copy's modification time.

Which files are landed from their copies is decided in `ingest/intake.py`.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePath, PurePosixPath

from headwater.folder import RAW
from headwater.lake.disk import sync

_BLOCK_BYTES = 4 << 20
_MAX_SUFFIX_BYTES = 100
_COPY = re.compile(r"(?P<content_hash>[0-9a-f]{64})(\..*)?\Z", re.DOTALL)
_PART = re.compile(r"(?P<run_id>.+)\.part\Z")


@dataclass(frozen=True, kw_only=True)
class Copy:
    """One copy. `modified_at`: UTC, without a zone."""

    path: Path
    size_bytes: int
    modified_at: datetime

    @property
    def content_hash(self) -> str:
        """The hash that its content has unless it is damaged."""
        return self.path.name[:64]


class ContentDiffers(Exception):
    """A file is not what it was when it was read."""


def copy_name(content_hash: str, file_name: str) -> str:
    """How the copy of a file is called: its suffixes tell how the file is written.

    >>> copy_name("5f0c", "orders.2026.csv.gz")
    '5f0c.2026.csv.gz'
    """
    suffixes = PurePath(file_name).suffixes
    while len("".join(suffixes).encode()) > _MAX_SUFFIX_BYTES:
        suffixes.pop(0)  # the last ones count
    return content_hash + "".join(suffixes)


def outdated(copies: Iterable[Copy], days: int | None, moment: datetime) -> list[Copy]:
    """Those of the copies that are kept no longer at a moment (UTC, without a zone).

    days   how long they are kept; None or 0: not at all.
    """
    if not days:
        return list(copies)
    return [copy for copy in copies if copy.modified_at < moment - timedelta(days=days)]


class Raw:
    """The copies of one dataset.

    lake     the lake's folder.
    former   names that the dataset had before: what was kept under them is its own.
    """

    def __init__(self, lake: Path, dataset: str, former: Sequence[str] = ()) -> None:
        self.folder = lake / RAW / dataset
        self._folders = (self.folder, *(lake / RAW / name for name in former))
        self._archives: dict[tuple[Path, int, int], Path] = {}

    def copies(self) -> list[Copy]:
        """All of them, by name."""
        return [copy for folder in self._folders for copy in _copies(folder)]

    def find(self, content_hash: str, file_name: str) -> Path | None:
        """The copy of a file."""
        name = copy_name(content_hash, file_name)
        return next((f / name for f in self._folders if (f / name).is_file()), None)

    def keep(self, source: Path, content_hash: str, run_id: str) -> Path:
        """Keep a copy of the file `source`; one that is there is only received anew, unless it is
        damaged.

        Whole and on the disk when this returns. Raises ContentDiffers where the content is not what
        the hash says, and OSError.
        """
        place = self.folder / copy_name(content_hash, source.name)
        if place.is_file() and content_hash_of(place) == content_hash:
            os.utime(place)
            return place
        self.folder.mkdir(parents=True, exist_ok=True)
        part = self.folder / f"{run_id}.part"
        try:
            if _copy(source, part) != content_hash:
                raise ContentDiffers(source)
            sync(part)
            part.replace(place)
        finally:
            part.unlink(missing_ok=True)
        sync(self.folder)
        return place

    def keep_archive(self, source: Path, run_id: str) -> Path:
        """The same for an archive, of which only a member was read. It is looked at once, however
        many of its members are asked for."""
        facts = source.stat()
        key = (source, facts.st_size, facts.st_mtime_ns)
        if key not in self._archives:
            self._archives[key] = self.keep(source, content_hash_of(source), run_id)
        return self._archives[key]

    def delete_outdated(self, days: int | None, moment: datetime) -> int:
        """Delete the copies that are kept no longer; how many. Hold the dataset's lock."""
        gone = outdated(self.copies(), days, moment)
        for copy in gone:
            copy.path.unlink(missing_ok=True)
        for folder in self._folders if gone else ():
            with suppress(OSError):  # it still holds some, or is not there
                folder.rmdir()
        return len(gone)


def content_hash_of(path: Path) -> str:
    """The hash of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _copy(source: Path, target: Path) -> str:
    """Copy a file; the hash of what was written."""
    found = hashlib.sha256()
    with source.open("rb") as read, target.open("wb") as out:
        while block := read.read(_BLOCK_BYTES):
            found.update(block)
            out.write(block)
    return found.hexdigest()


def _copies(folder: Path) -> Iterator[Copy]:
    for path in sorted(folder.glob("*")):
        with suppress(FileNotFoundError):
            facts = path.stat()
            if _COPY.match(path.name) and path.is_file():
                moment = datetime.fromtimestamp(facts.st_mtime, UTC).replace(tzinfo=None)
                yield Copy(path=path, size_bytes=facts.st_size, modified_at=moment)


# ---- all datasets ----------------------------------------------------------------------------


def all_copies(lake: Path) -> dict[str, list[Copy]]:
    """Dataset -> its copies. Whether the project makes such a dataset is not asked."""
    folders = sorted(path for path in (lake / RAW).glob("*") if path.is_dir())
    return {folder.name: list(_copies(folder)) for folder in folders}


def unfinished(lake: Path) -> dict[Path, str]:
    """Copies that are being written -> the run that does, or that was killed while it did."""
    found = (lake / RAW).glob("*/*.part")
    return {path: match["run_id"] for path in found if (match := _PART.match(path.name))}


def delete_parts(lake: Path, run_id: str) -> None:
    """Remove what a run did not finish."""
    for path, writer in unfinished(lake).items():
        if writer == run_id:
            path.unlink(missing_ok=True)


def delete_dataset(lake: Path, dataset: str) -> None:
    """Remove all copies of a dataset."""
    shutil.rmtree(lake / RAW / dataset, ignore_errors=True)


def name_within(copy: Copy) -> str:
    """A copy's path within the lake's folder of the raw."""
    return (PurePosixPath(copy.path.parent.name) / copy.path.name).as_posix()
