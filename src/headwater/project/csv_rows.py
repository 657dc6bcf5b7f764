"""Rows that stand in a small CSV file: every field a text, with the place where it stands.

Plain CSV and nothing else (RFC 4180): commas, `"` around fields, a header. A field without
anything in it is NULL, `""` is a text without characters. What lands from files is read by
`sources/`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from headwater.contract.cells import Written
from headwater.places import Place, place_at

_FIELD = re.compile(r'"(?P<quoted>(?:[^"]|"")*)"|(?P<plain>[^,\r\n"]*)')
_END = re.compile(r",|\r\n|\n|\r|\Z")


class CsvFault(Exception):
    """Text that is no such CSV, and where."""

    def __init__(self, message: str, place: Place, hint: str = "") -> None:
        super().__init__(message)
        self.message, self.place, self.hint = message, place, hint


@dataclass(frozen=True)
class CsvRows:
    """The rows of a file. `places`: those of the fields of each row, by column."""

    header: Mapping[str, Place]
    rows: tuple[dict[str, Written | None], ...]
    places: tuple[dict[str, Place], ...]


def read_csv(text: str) -> CsvRows:
    """Read a CSV text. Raises CsvFault.

    >>> [dict(row) for row in read_csv('a,b\\n1,\\n').rows]
    [{'a': Written(text='1', is_plain=True), 'b': None}]
    """
    records = list(_records(text))
    if not records:
        raise CsvFault("the file has no header", place_at(text, 0), "name the columns in line 1")
    header: dict[str, Place] = {}
    for place, field in records[0]:
        name = field.text if field else ""
        if not name or name.lower() in {known.lower() for known in header}:
            what = f"the column {name!r} stands here twice" if name else "a column has no name"
            raise CsvFault(what, place)
        header[name] = place
    rows, places = [], []
    for record in records[1:]:
        if len(record) != len(header):
            there = f"{len(record)} fields, and the header has {len(header)}"
            raise CsvFault(there, record[0][0], "put a field that holds a comma in quotes")
        rows.append({name: field for name, (_, field) in zip(header, record, strict=True)})
        places.append({name: place for name, (place, _) in zip(header, record, strict=True)})
    return CsvRows(header, tuple(rows), tuple(places))


def _records(text: str) -> Iterator[list[tuple[Place, Written | None]]]:
    """The records, each a list of fields. A line without anything in it is none."""
    at = 0
    record: list[tuple[Place, Written | None]] = []
    while at < len(text):
        match = _FIELD.match(text, at)
        assert match
        place = place_at(text, at)
        end = _END.match(text, match.end())
        if end is None:
            raise CsvFault("a quote has no end, or is in the middle of a field", place)
        quoted, plain = match["quoted"], match["plain"]
        if quoted is not None:
            record.append((place, Written(quoted.replace('""', '"'))))
        else:
            record.append((place, Written(plain, is_plain=True) if plain else None))
        at = end.end()
        is_last = end.group() != ","
        if not is_last and at == len(text):
            record.append((place_at(text, at), None))
            is_last = True
        if is_last:
            if record != [(place, None)]:
                yield record
            record = []
