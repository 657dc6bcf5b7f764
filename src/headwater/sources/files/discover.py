"""Finding a dataset's files, those in zip archives too, and the columns that their paths make."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from headwater.errors import FileRefused, NoSuchInput
from headwater.project.definitions import FileDataset, FileFormat, Reading
from headwater.sources.batch import Item
from headwater.sources.files.archives import members
from headwater.sources.files.path_columns import as_glob, compiled


def discover(
    folder: Path, definition: FileDataset, dataset: str, *, may_miss: bool = False
) -> list[Item]:
    """The files that the dataset's paths (relative to `folder`) match, by path, each once: by
    the first of the paths that matches it. Of a zip archive, each file in it.

    Raises NoSuchInput where a path matches nothing, or names a folder, unless that may be.
    """
    found: dict[tuple[Path, str], Item] = {}
    for number, path in enumerate(definition.path):
        try:
            for item in _items(folder, path.glob, number, definition.reading(number), dataset):
                found.setdefault((item.absolute, item.member), item)
        except NoSuchInput:
            if not may_miss:
                raise
    return [found[key] for key in sorted(found)]


def _items(
    folder: Path, pattern: str, number: int, reading: Reading, dataset: str
) -> Iterator[Item]:
    for absolute, captured in _matches(folder, pattern, dataset):
        item = _item(folder, absolute, number, captured)
        is_archive = absolute.suffix.lower() == ".zip" and reading.format is not FileFormat.EXCEL
        yield from _members(item, reading) if is_archive else [item]


def _members(item: Item, reading: Reading) -> list[Item]:
    """The files in an archive. One that cannot be looked into, or has none, is an item itself,
    to be refused when it is opened; so is one that is no archive, to be read as what it is."""
    try:
        inside = members(item, reading.member)
    except (FileRefused, PermissionError):
        return [item]
    return [
        replace(
            item,
            path=f"{item.path}/{member.filename}",
            member=member.filename,
            captured={**item.captured, **captured},
        )
        for member, captured in inside
    ] or [item]


def _matches(folder: Path, pattern: str, dataset: str) -> list[tuple[Path, Mapping[str, str]]]:
    """The files that a path matches, with the columns that it makes of theirs."""
    full = str(folder / as_glob(pattern))
    shape = compiled(str(folder / pattern)) if as_glob(pattern) != pattern else None
    paths = glob.glob(full, recursive=True)  # noqa: PTH207 - absolute globs
    files: dict[Path, Mapping[str, str]] = {}
    for path in paths:
        match = shape.fullmatch(Path(path).as_posix()) if shape else None
        if Path(path).is_file() and (match or not shape):
            files.setdefault(Path(path).resolve(), match.groupdict() if match else {})
    if files:
        return sorted(files.items(), key=lambda found: found[0])
    if any(Path(path).is_dir() for path in paths):
        inside = f"{pattern.rstrip('/')}/*"
        raise NoSuchInput(
            f"{pattern} is a folder, not a file",
            where=dataset,
            hint=f"name the files in it: path: {inside}.csv",
        )
    parent = Path(full).parent
    exists = bool(glob.glob(str(parent)))  # noqa: PTH207 - absolute globs
    there = f"{parent} exists" if exists else f"the folder {parent} does not exist"
    raise NoSuchInput(
        f"no file matches {pattern}",
        where=dataset,
        hint=f"paths are relative to {folder}; {there}",
    )


def _item(folder: Path, path: Path, number: int, captured: Mapping[str, str]) -> Item:
    facts = path.stat()
    root = folder.resolve()
    name = path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)
    return Item(
        path=name,
        absolute=path,
        size_bytes=facts.st_size,
        modified_ns=facts.st_mtime_ns,
        pattern=number,
        captured=captured,
    )


@dataclass(frozen=True, kw_only=True)
class Discovery:
    """How a file would be found: see `Item`."""

    member: str
    pattern: int
    captured: Mapping[str, str]


def discoveries(folder: Path, definition: FileDataset, path: str) -> Iterator[Discovery]:
    """The ways in which `discover` could find what it has named `path`, the likelier ones first:
    whether a part of a path is a folder or an archive is not told by its name for sure. Does not
    look whether the file is there."""
    absolute = (folder.resolve() / path).as_posix()
    for number, written in enumerate(definition.path):
        reading = definition.reading(number)
        shape = _resolved(folder, written.glob)
        inner = compiled(reading.member) if reading.member else None
        may_be_archive = reading.format is not FileFormat.EXCEL
        for end in _archive_ends(absolute) if may_be_archive else ():
            member = absolute[end + 1 :]
            match = shape.fullmatch(absolute[:end])
            within = inner.fullmatch(member) if inner else None
            if match and (within or not inner):
                captured = {**match.groupdict(), **(within.groupdict() if within else {})}
                yield Discovery(member=member, pattern=number, captured=captured)
        if match := shape.fullmatch(absolute):
            yield Discovery(member="", pattern=number, captured=match.groupdict())


def _archive_ends(path: str) -> list[int]:
    """Where in a path the name of a zip archive ends that the rest may be in."""
    return [match.start(1) for match in re.finditer(r"(?i:\.zip)(/)(?=.)", path, re.DOTALL)]


def _resolved(folder: Path, pattern: str) -> re.Pattern[str]:
    """What the resolved paths of files look like that a path matches."""
    parts = (folder / pattern).parts
    signs = [n for n, part in enumerate(parts) if any(sign in part for sign in "*?[{")]
    fixed = Path(*parts[: signs[0]] if signs else parts).resolve().as_posix()
    if not signs:
        return re.compile(re.escape(fixed), re.DOTALL)
    rest = "/".join(parts[signs[0] :])
    if parts[-1] == "**":  # files in folders of any depth
        rest += "/*"
    return re.compile(f"{re.escape(fixed.rstrip('/'))}/{compiled(rest).pattern}", re.DOTALL)


def unchanged(item: Item) -> bool:
    """Whether a file's size and time are still what they were when it was found. A copy's time
    says nothing."""
    try:
        facts = item.absolute.stat()
    except FileNotFoundError:
        return False
    if item.copy_of:
        return facts.st_size == item.size_bytes
    return (facts.st_size, facts.st_mtime_ns) == (item.size_bytes, item.modified_ns)
