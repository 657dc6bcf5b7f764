"""Places: where something stands in a text, as a line and a column.

Both count from 1, in characters, as editors do. Whoever finds something counts in his own way
(bytes, offsets, the text's own start); here all of them become places in the file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

KeyPath = tuple[str | int, ...]
"""Keys and indexes, from the top of a document down to one of its values."""


class Place(NamedTuple):
    """A line and a column of a text."""

    line: int
    column: int


TOP = Place(1, 1)


def place_at(text: str, offset: int) -> Place:
    """The place of the character at `offset` (from 0); the nearest one if there is none.

    >>> place_at("ab\\ncd", 4)
    Place(line=2, column=2)
    """
    offset = min(max(offset, 0), len(text))
    return Place(text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset))


def line_at(text: str, line: int) -> str:
    """One line of a text, "" if it has no such line."""
    lines = text.split("\n")
    return lines[line - 1] if 0 < line <= len(lines) else ""


def characters_before(text: str, offset_bytes: int) -> int:
    """How many characters stand before a byte of the text's UTF-8: DuckDB and Python's parser
    count in bytes.

    >>> characters_before("öa", 2)
    1
    """
    return len(text.encode()[: max(offset_bytes, 0)].decode(errors="ignore"))


@dataclass(frozen=True)
class Places:
    """Where each part of a definition stands in its file.

    found   path -> place, for every key and value that is written out.
    top     the path that `of` starts from.
    """

    found: Mapping[KeyPath, Place] = field(default_factory=dict)
    top: KeyPath = ()

    def of(self, path: KeyPath = ()) -> Place:
        """The place of `path`, or of the nearest part around it that is written out."""
        whole = (*self.top, *path)
        while whole and whole not in self.found:
            whole = whole[:-1]
        return self.found.get(whole, TOP)

    def within(self, path: KeyPath) -> Places:
        """The places of one part alone."""
        return Places(self.found, (*self.top, *path))
