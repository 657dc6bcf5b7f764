"""Finding a dataset's files, those in zip archives too, and the columns that their paths make."""

from __future__ import annotations

import glob
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from headwater.errors import FileRefused, NoSuchInput
from headwater.project.definitions import FileDataset, FileFormat, Reading
from headwater.sources.batch import Item
from headwater.sources.files.archives import members
from headwater.sources.files.path_columns import as_glob, compiled


def discover(folder: Path, definition: FileDataset, dataset: str) -> list[Item]:
    """The files that the dataset's paths (relative to `folder`) match, by path, each once: by
    the first of the paths that matches it. Of a zip archive, each file in it.

    Raises NoSuchInput where a path matches nothing, or names a folder.
    """
    found: dict[tuple[Path, str], Item] = {}
    for number, path in enumerate(definition.path):
        for item in _items(folder, path.glob, number, definition.reading(number), dataset):
            found.setdefault((item.absolute, item.member), item)
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


def unchanged(item: Item) -> bool:
    """Whether a file's size and time are still what they were when it was found."""
    try:
        facts = item.absolute.stat()
    except FileNotFoundError:
        return False
    return (facts.st_size, facts.st_mtime_ns) == (item.size_bytes, item.modified_ns)
