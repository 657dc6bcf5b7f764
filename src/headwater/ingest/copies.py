"""Files and their copies in the lake: each is kept as it was received, and read from its copy when
it is gone.

Which ones are is decided in `intake.py`; how copies are kept, in `lake/raw.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path, PurePosixPath

import duckdb

from headwater.errors import FileRefused
from headwater.lake.raw import ContentDiffers, Copy, Raw, content_hash_of
from headwater.lake.state import LandedFile
from headwater.project.definitions import FileDataset
from headwater.sources.batch import Item, OpenItem
from headwater.sources.files.connector import open_file
from headwater.sources.files.discover import Discovery, discoveries
from headwater.sources.files.unpack import content_hash

# ---- keeping ---------------------------------------------------------------------------------


def keep(raw: Raw, item: Item, read: str, run_id: str) -> None:
    """Keep a copy of a file; of an archive, all of it.

    read   the hash of the content that was read. Raises FileRefused where it is another by now.
    """
    if item.copy_of:
        return  # it is not received anew
    try:
        if not item.member:
            raw.keep(item.absolute, read, run_id)
            return
        copy = raw.keep_archive(item.absolute, run_id)
        if content_hash(replace(item, absolute=copy)) != read:
            raise ContentDiffers(item.absolute)
    except (ContentDiffers, FileNotFoundError) as error:
        raise changed_while_read(item) from error


def changed_while_read(item: Item) -> FileRefused:
    return FileRefused(
        "the file changed while it was read",
        where=item.path,
        hint="it is tried again by the next run; write it elsewhere and move it in",
    )


# ---- reading from a copy -----------------------------------------------------------------------


@dataclass(frozen=True)
class Copies:
    """The copies of a dataset's files, to read from. `folder`: the project's, which paths are
    relative to."""

    raw: Raw
    folder: Path
    definition: FileDataset

    def of(self, file: LandedFile) -> Item | None:
        """A file that is gone, to be read from its copy: all that its path tells is as it was.
        None: there is no copy, or no path of the dataset matches the file.

        Costs a look into archives, where the file is a member of one.
        """
        if not file.content_hash:
            return None
        name = PurePosixPath(file.path).name
        for way in discoveries(self.folder, self.definition, file.path):
            copy = (
                self._archive(file, way) if way.member else self.raw.find(file.content_hash, name)
            )
            if copy:
                return _item(file, way, copy)
        return None

    def _archive(self, file: LandedFile, way: Discovery) -> Path | None:
        """The copy of the archive that a file was in. Its member tells which one that is, because
        of an archive only the members' hashes are recorded."""
        damaged = None
        for copy in self._archives.get(file.size_bytes, ()):
            try:
                if content_hash(_item(file, way, copy.path)) == file.content_hash:
                    return copy.path
            except FileRefused:
                pass
            if content_hash_of(copy.path) != copy.content_hash:
                damaged = copy.path
        return damaged

    @cached_property
    def _archives(self) -> dict[int, list[Copy]]:
        found: dict[int, list[Copy]] = {}
        for copy in self.raw.copies():
            if copy.path.suffix.lower() == ".zip":
                found.setdefault(copy.size_bytes, []).append(copy)
        return found


def _item(file: LandedFile, way: Discovery, copy: Path) -> Item:
    since_epoch = file.modified_at - datetime(1970, 1, 1)
    return Item(
        path=file.path,
        absolute=copy,
        size_bytes=file.size_bytes,
        modified_ns=since_epoch // timedelta(microseconds=1) * 1000,
        member=way.member,
        pattern=way.pattern,
        captured=way.captured,
        copy_of=file.content_hash or "",
    )


def open_item(
    con: duckdb.DuckDBPyConnection, item: Item, definition: FileDataset, scratch: Path
) -> OpenItem:
    """Open a file or its copy for reading. Raises FileRefused; where the copy is damaged, it says
    so, whatever else the damage looks like."""
    if not item.copy_of:
        return open_file(con, item, definition, scratch)
    try:
        opened = open_file(con, item, definition, scratch)
    except (FileRefused, duckdb.Error) as error:
        if _is_damaged(item):
            raise _damaged(item) from error
        raise
    if opened.batch.content_hash != item.copy_of:
        opened.close()
        raise _damaged(item)
    return opened


def _is_damaged(item: Item) -> bool:
    try:
        return content_hash(item) != item.copy_of
    except FileRefused:
        return True


def _damaged(item: Item) -> FileRefused:
    place = "/".join(item.absolute.parts[-3:])
    return FileRefused(
        "the file is gone, and its copy in the lake is damaged",
        where=item.path,
        hint=f"bring the file back; or go on without it: remove {place} from the lake's folder",
    )
