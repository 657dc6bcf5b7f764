"""The original text of single records, found again by their numbers.

Only asked for records that did not land, so it may look at lines one by one; memory is bounded
by blocks of 20,000 records.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, Literal

import duckdb

from headwater.sources.files.detect import BOM
from headwater.sql.quote import ident, rows

_BLOCK_RECORDS = 20_000
_MAX_CONTENT = 1 << 20
_BLOCK_BYTES = 1 << 20
Found = tuple[int, int, bytes]
Blanks = Literal["none", "empty", "spaces"]


def fill(
    con: duckdb.DuckDBPyConnection, table: str, found: Iterator[Found], records: Sequence[int]
) -> None:
    """Put those of `found` (record, line, text; ascending) that `records` asks for into a
    temp table (record, line, content). A text is cut at 1 MiB."""
    wanted = iter(records)
    next_wanted = next(wanted, None)
    block: list[tuple[int, int, str]] = []
    for record, line, text in found:
        if next_wanted is None:
            break
        if record == next_wanted:
            clean = text[:_MAX_CONTENT].rstrip(b"\r\n").decode("utf-8", "replace")
            block.append((record, line, clean))
            next_wanted = next(wanted, None)
            if len(block) >= _BLOCK_RECORDS:
                _flush(con, table, block)
    _flush(con, table, block)


def _flush(con: duckdb.DuckDBPyConnection, table: str, block: list[tuple[int, int, str]]) -> None:
    if not block:
        return
    kinds = {"record": "BIGINT", "line": "BIGINT", "content": "VARCHAR"}
    found = [dict(zip(kinds, row, strict=True)) for row in block]
    con.execute(f"INSERT INTO {ident(table)} {rows(kinds, found)}")
    block.clear()


def lines(
    path: Path, records: Sequence[int], *, skip: int, blanks: Blanks, returns: bool = False
) -> Iterator[Found]:
    """The lines of those `records`; the first `skip` lines that hold any are the header's.

    blanks    which lines are no records: none, empty ones, or those of white space too.
    returns   whether a carriage return alone ends a line too.

    Reads block by block and looks at a block's single lines only where it holds one of them.
    """
    wanted = iter(records)
    next_wanted = next(wanted, None)
    record, line = -skip, 0
    with path.open("rb") as source:
        for block in _whole_lines(source, returns=returns):
            if next_wanted is None:
                break
            pieces = block.splitlines() if returns else block.split(b"\n")
            if not returns and not pieces[-1]:
                pieces.pop()
            numbered = _may_be_blank(pieces, blanks)
            if numbered:
                empty = b"\r" if blanks == "empty" else None
                places = [n for n, piece in enumerate(pieces) if piece.strip(empty)]
            count = len(places) if numbered else len(pieces)
            while next_wanted is not None and next_wanted <= record + count:
                place = next_wanted - record - 1
                place = places[place] if numbered else place
                yield next_wanted, line + place + 1, pieces[place]
                next_wanted = next(wanted, None)
            record += count
            line += len(pieces)


def _whole_lines(source: BinaryIO, *, returns: bool) -> Iterator[bytes]:
    """A file in blocks that end where a line does; without the byte order mark."""
    held = b""
    if source.read(len(BOM)) != BOM:
        source.seek(0)
    while block := source.read(_BLOCK_BYTES):
        if not returns:
            yield block + source.readline()
            continue
        block = held + block
        # A carriage return at the very end may belong to a line feed that is still to come.
        end = max(block.rfind(b"\n"), block.rfind(b"\r", 0, -1)) + 1
        held = block[end:]
        if end:
            yield block[:end]
    if held:
        yield held


def _may_be_blank(pieces: list[bytes], blanks: Blanks) -> bool:
    if blanks == "empty":
        return b"" in pieces or b"\r" in pieces
    return blanks == "spaces" and any(piece.isspace() or not piece for piece in pieces)


def quoted_lines(
    path: Path, structure: Path, *, skip: int, delimiter: str, quote: str, escape: str
) -> Iterator[Found]:
    """The same for CSV whose quoted values may hold line ends: a record is one or more lines.

    structure   a copy of the file, line for line, that tells where records begin and end.
    """
    csv.field_size_limit(1 << 30)
    taken: list[bytes] = []

    def feed() -> Iterator[str]:
        with path.open("rb") as source, structure.open("rb") as shape:
            for line, seen in zip(each_line(source), each_line(shape), strict=False):
                taken.append(line)
                yield seen.decode("latin-1")

    record = -skip
    first_line = 1
    other = escape if escape != quote else None
    reader = csv.reader(
        feed(),
        delimiter=delimiter[0],
        quotechar=quote,
        doublequote=other is None,
        escapechar=other or None,
    )
    for row in reader:
        text, count = b"".join(taken), len(taken)
        taken.clear()
        if row:
            record += 1
            yield record, first_line, text
        first_line += count


def each_line(source: BinaryIO) -> Iterator[bytes]:
    """The lines of a file, each with its end: a line feed, a carriage return, or the two."""
    for block in _whole_lines(source, returns=True):
        yield from block.splitlines(keepends=True)
