"""What a connector hands over: items still to be read, and for each a batch of raw rows.

A batch is a relation in the session, not rows in Python. The connector knows nothing of
contracts, quarantine or the lake.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from headwater.contract.types import Type

REASONS = {
    "line.too_few_fields": "the line has too few fields",
    "line.too_many_fields": "the line has too many fields",
    "line.broken_quote": "a quote is not closed, or text follows it",
    "line.not_utf8": "the line is not UTF-8",
    "line.wrong_encoding": "the line is not text of the `encoding` that is stated",
    "line.too_long": "the line is longer than 2 MB",
    "line.unreadable": "the line cannot be read",
    "line.broken_json": "the line is not JSON",
    "line.no_object": "the line is JSON, but not an object",
    "line.repeated_key": "the object has a key twice, or in upper and lower case",
    "key.duplicate": "the key was there before",
}
"""Why a record is in quarantine, where that is no rule of a column or row -> in words."""


@dataclass(frozen=True, kw_only=True)
class Item:
    """One thing to read: for files, one file.

    path       how it is named to people.
    absolute   the file that it is, or is in.
    member     its name within that file, where that is an archive.
    pattern    which of the dataset's paths it was found by, from 0.
    captured   the columns that its path makes, with their texts.
    copy_of    where the file is gone and `absolute` is the lake's copy of it: the hash that its
               content had; else "".
    """

    path: str
    absolute: Path
    size_bytes: int
    modified_ns: int
    member: str = ""
    pattern: int = 0
    captured: Mapping[str, str] = field(default_factory=dict, hash=False)
    copy_of: str = ""

    @property
    def modified_at(self) -> datetime:
        """UTC, to the microsecond."""
        return datetime.fromtimestamp(self.modified_ns // 1000 / 1e6, UTC).replace(tzinfo=None)


@dataclass(frozen=True)
class Malformed:
    """A kind of record that the reader could place but not read. `broken` is SQL over the
    batch's raw fields (`raw_field`); true for such a record. `code` is one of REASONS."""

    code: str
    broken: str


@dataclass(frozen=True, kw_only=True)
class Batch:
    """One item, open for reading.

    relation      SQL of the raw rows, in the item's order: `fields`, then `hidden` ones.
    fields        name -> type of each raw field.
    hidden        fields that are the reader's own and never land.
    left_out      names of fields that the item has too, and that are not read.
    malformed     records that the relation yields though they cannot be read.
    content_hash  of the item's bytes.
    notes         what the user should know about the item.
    when_read     to be told how many rows the relation had.
    """

    item: Item
    relation: str
    fields: Mapping[str, Type]
    content_hash: str
    hidden: Mapping[str, Type] = field(default_factory=dict)
    left_out: Sequence[str] = ()
    malformed: Sequence[Malformed] = ()
    notes: Sequence[str] = ()
    when_read: Callable[[int], None] = lambda rows: None


class OpenItem(Protocol):
    """An item that is being read. `batch` is read once, from front to back; then the rest."""

    batch: Batch

    def mend(self) -> bool:
        """Whether the reading went wrong in a way that the reader has mended now: then there is
        another `batch`, which is to be read instead. Ask once, after the first reading."""
        ...

    def fragments(self, table: str) -> int:
        """Put the pieces that the relation left out, because they are no records, into the temp
        table `table` (record BIGINT, code VARCHAR, content VARCHAR): their number among the
        records, why, and a text. Returns how many; without any there is no table. Ask after
        the relation was read."""
        ...

    def originals(self, records: Sequence[int], table: str) -> None:
        """Fill the temp table `table` (record BIGINT, line BIGINT, content VARCHAR) with the
        original text of these records (ascending numbers from 1)."""
        ...

    def still_the_same(self) -> bool:
        """Whether the item is what it was when reading began."""
        ...

    def close(self) -> None:
        """Remove what reading left behind."""
        ...
