"""Zip archives: which files are in one, and how one of them is opened.

The names in an archive only tell what is in it. Nothing is written under them, and an archive
with a name that leads out of its folder is refused as a whole.
"""

from __future__ import annotations

import stat
import zipfile
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import PurePosixPath
from typing import IO

from headwater.errors import FileRefused
from headwater.sources.batch import Item
from headwater.sources.files.path_columns import compiled


def members(item: Item, wanted: str | None) -> list[tuple[zipfile.ZipInfo, Mapping[str, str]]]:
    """The files in an archive that `wanted` (a glob; None: all but hidden ones) matches, in the
    archive's order, with the columns that it makes of their names.

    Raises FileRefused for one that is damaged, or has a name that leads out of the folder.
    """
    found: list[tuple[zipfile.ZipInfo, Mapping[str, str]]] = []
    pattern = compiled(wanted) if wanted else None
    for member in _all_members(item):
        match = pattern.fullmatch(member.filename) if pattern else None
        if match or not pattern:
            found.append((member, match.groupdict() if match else {}))
    return found


def _all_members(item: Item) -> list[zipfile.ZipInfo]:
    with ExitStack() as open_:
        found = _archive(item, open_).infolist()
    if any(_leads_out(member.filename) for member in found):
        raise FileRefused(
            "the zip archive has a file whose path leads out of the folder",
            where=item.path,
            hint="do not trust it; nothing of it was unpacked. Make it again without such paths",
        )
    return [member for member in found if not member.is_dir() and not _is_hidden(member)]


def _archive(item: Item, open_: ExitStack) -> zipfile.ZipFile:
    try:
        return open_.enter_context(zipfile.ZipFile(item.absolute))
    except (zipfile.BadZipFile, EOFError, ValueError) as error:
        raise FileRefused(
            "the zip data ends early or is damaged",
            where=item.path,
            hint="copy the file again; nothing of it was landed",
        ) from error


def _leads_out(name: str) -> bool:
    path = PurePosixPath(name.replace("\\", "/"))
    return path.is_absolute() or ".." in path.parts or name[1:2] == ":"


def _is_hidden(member: zipfile.ZipInfo) -> bool:
    """Files that systems add on their own, and links."""
    parts = PurePosixPath(member.filename).parts
    is_link = stat.S_ISLNK(member.external_attr >> 16)
    return is_link or any(part.startswith(".") or part == "__MACOSX" for part in parts)


def open_member(item: Item, open_: ExitStack) -> tuple[IO[bytes], int]:
    """The member of an item, open, and its size as it is packed."""
    found = next((m for m in _all_members(item) if m.filename == item.member), None)
    if found is None:
        raise FileRefused(
            "the archive does not have the file any more", where=item.path, hint="run again"
        )
    return _open(item, found, open_), found.compress_size


def only_member(item: Item, wanted: str | None, open_: ExitStack) -> IO[bytes]:
    """The one file that is `wanted` of an archive that is read whole, as one packed file."""
    found = members(item, wanted)
    if len(found) == 1:
        return _open(item, found[0][0], open_)
    if found:
        raise FileRefused(
            f"the zip archive holds {len(found)} files",
            where=item.path,
            hint="name it *.zip, and each of its files is read; or pick one with `member:`",
        )
    names = ", ".join(member.filename for member in _all_members(item)[:5])
    raise FileRefused(
        f"no file in the zip archive matches {wanted!r}" if wanted else "the zip archive is empty",
        where=item.path,
        hint=f"it holds {names}" if names else "was it still being written?",
    )


def _open(item: Item, member: zipfile.ZipInfo, open_: ExitStack) -> IO[bytes]:
    if member.flag_bits & 1:
        raise FileRefused(
            "the zip archive is encrypted", where=item.path, hint="unpack it with its password"
        )
    try:
        return open_.enter_context(_archive(item, open_).open(member))
    except NotImplementedError as error:
        raise FileRefused(
            "the zip archive is packed in a way that is not known here",
            where=item.path,
            hint="pack it again with deflate, bzip2 or lzma",
        ) from error
    except zipfile.BadZipFile as error:
        raise FileRefused(
            "the zip data ends early or is damaged",
            where=item.path,
            hint="copy the file again; nothing of it was landed",
        ) from error
