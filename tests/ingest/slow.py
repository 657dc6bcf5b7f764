"""Write modes, slow and obviously right: each is a fold over the files in the order in which they
landed, row by row, with Python's own dictionaries."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

Row = dict[str, Any]


@dataclass(frozen=True)
class File:
    """A version of a file, as it landed: `rows` are those that keep the contract, in order."""

    path: str
    rows: tuple[Row, ...]


def append(files: list[File]) -> Counter[tuple[Any, ...]]:
    """The newest version of each file, added up."""
    newest = {file.path: file for file in files}
    return Counter(values(row) for file in newest.values() for row in file.rows)


def replace(there: list[File]) -> Counter[tuple[Any, ...]]:
    """What the files say that are there."""
    return Counter(values(row) for file in there for row in file.rows)


def upsert(files: list[File], by: str = "") -> dict[Any, tuple[Any, ...]]:
    """Key -> its row."""
    table: dict[Any, Row] = {}
    for file in _once(files):
        for row in file.rows:
            old = table.get(row["id"])
            if old is None or not by or not _is_before(row[by], old[by]):
                table[row["id"]] = row
    return {key: values(row) for key, row in table.items()}


def history(files: list[File], by: str) -> set[tuple[Any, ...]]:
    """(row, valid_from, valid_to) of each version."""
    versions: dict[Any, dict[Any, Row]] = {}
    for file in _once(files):
        for row in file.rows:
            versions.setdefault(row["id"], {})[row[by]] = row
    found = set()
    for of_key in versions.values():
        moments = sorted(of_key)
        for moment, until in zip(moments, [*moments[1:], None], strict=True):
            found.add((*values(of_key[moment]), moment, until))
    return found


def history_of_landings(files: list[File]) -> dict[Any, list[tuple[Any, ...]]]:
    """Key -> its versions, one after the other."""
    versions: dict[Any, list[tuple[Any, ...]]] = {}
    for file in files:
        for key, row in {row["id"]: values(row) for row in file.rows}.items():
            of_key = versions.setdefault(key, [])
            if not of_key or of_key[-1] != row:
                of_key.append(row)
    return versions


def values(row: Row) -> tuple[Any, ...]:
    return tuple(row[name] for name in sorted(row))


def _once(files: list[File]) -> list[File]:
    """Each path once: its newest version, where that landed."""
    newest: dict[str, File] = {}
    for file in files:
        newest.pop(file.path, None)
        newest[file.path] = file
    return list(newest.values())


def _is_before(value: Any, other: Any) -> bool:
    """NULL is before any value."""
    if value is None or other is None:
        return value is None and other is not None
    return bool(value < other)
