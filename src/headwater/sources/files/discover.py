"""Finding a dataset's files."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from pathlib import Path

from headwater.errors import NoSuchInput
from headwater.sources.batch import Item


def discover(folder: Path, patterns: Sequence[str], dataset: str) -> list[Item]:
    """The files that `patterns` (relative to `folder`) match, by path, each once.

    Raises NoSuchInput where a pattern matches nothing, or names a folder.
    """
    found: dict[Path, Item] = {}
    for pattern in patterns:
        for path in _matches(folder, pattern, dataset):
            found.setdefault(path, _item(folder, path))
    return [found[path] for path in sorted(found)]


def _matches(folder: Path, pattern: str, dataset: str) -> list[Path]:
    full = str(folder / pattern)
    paths = [Path(path) for path in glob.glob(full, recursive=True)]  # noqa: PTH207 - absolute globs
    files = sorted(path.resolve() for path in paths if path.is_file())
    if files:
        return files
    if paths:
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


def _item(folder: Path, path: Path) -> Item:
    facts = path.stat()
    root = folder.resolve()
    name = path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)
    return Item(path=name, absolute=path, size_bytes=facts.st_size, modified_ns=facts.st_mtime_ns)


def unchanged(item: Item) -> bool:
    """Whether a file's size and time are still what they were when it was found."""
    try:
        facts = item.absolute.stat()
    except FileNotFoundError:
        return False
    return (facts.st_size, facts.st_mtime_ns) == (item.size_bytes, item.modified_ns)
