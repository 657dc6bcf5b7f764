"""Excel: one sheet of a workbook. Every cell is read as text, exactly: what it means is the
contract's business.

Numbers have the digits that lead back to the same double, dates are dates whatever their format
shows, and of a formula the value counts that Excel saved with it. A sheet has no lines; its rows
stand for them.

Memory: one batch of rows, and the texts of the workbook, which it keeps apart from its sheets.
"""

from __future__ import annotations

import json
import re
import warnings
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from itertools import chain, islice
from pathlib import Path
from typing import Any

import duckdb

from headwater.contract.columns import raw_field
from headwater.contract.compile import unused
from headwater.contract.types import VARCHAR, Type
from headwater.errors import FileRefused, suggestion
from headwater.project.definitions import Reading
from headwater.sources.batch import Batch, Item, Malformed
from headwater.sources.files.csv_files import column_names
from headwater.sources.files.discover import unchanged
from headwater.sources.files.spool import Spooled
from headwater.sources.files.unpack import ALWAYS_UNPACKED_BYTES, too_large
from headwater.sql.quote import file_literal, ident, rows

MAX_ROWS = 1 << 20
"""Excel's own bound."""
_BATCH_ROWS = 5_000
_OLD_WORKBOOK = b"\xd0\xcf\x11\xe0"


@dataclass(frozen=True)
class _Cells:
    """Which cells are read; rows and columns count from 1, and 0 means: to the last one."""

    first_row: int = 1
    first_column: int = 1
    last_row: int = 0
    last_column: int = 0


class ExcelFile:
    """One sheet, open for reading."""

    def __init__(
        self,
        con: duckdb.DuckDBPyConnection,
        item: Item,
        spooled: Spooled,
        reading: Reading,
        expected: Sequence[str],
        scratch: Path,
    ) -> None:
        self.con, self.item = con, item
        _refuse_what_is_no_workbook(item, spooled, reading)
        self.copy = scratch / "sheet.parquet"
        with _telling_damage(item), _workbook(spooled.plain) as book:
            sheet, notes = _sheet(item, book, reading.sheet)
            lines = _rows(item, sheet, cells_of(reading.range or ""))
            first, lines = _first(item, lines)
            has_header = reading.dialect.header is not False
            self.names = column_names(item, _header(first), expected, has_header=has_header)
            own = (unused(name, self.names) for name in ("_row", "_many", "_cells"))
            self.row, self.many, self.cells = own
            self._copy(lines if has_header else chain([first], lines), reading.dialect.nullstr)
        picked = ", ".join(ident(name) for name in (*self.names, self.many))
        self.batch = Batch(
            item=item,
            relation=f"(SELECT {picked} FROM read_parquet({file_literal(self.copy)}))",
            fields=dict.fromkeys(self.names, VARCHAR),
            hidden={self.many: Type("BOOLEAN")},
            malformed=(Malformed("line.too_many_fields", raw_field(self.many)),),
            content_hash=spooled.content_hash,
            notes=notes,
        )

    def _copy(self, lines: Iterator[_Row], nullstr: Sequence[str]) -> None:
        """Write the sheet's records as Parquet: the fields, the row, whether there are more, and
        then all of them as JSON."""
        import pyarrow as pa  # takes a while to import, and only sheets need it
        import pyarrow.parquet as pq

        kinds = [*((name, pa.string()) for name in self.names)]
        own = [(self.row, pa.int64()), (self.many, pa.bool_()), (self.cells, pa.string())]
        schema = pa.schema([*kinds, *own])
        width = len(self.names)
        missing = {None, "", *nullstr}
        with pq.ParquetWriter(self.copy, schema) as writer:
            while batch := list(islice(lines, _BATCH_ROWS)):
                fields = [
                    [None if (text := row.text(n)) in missing else text for row in batch]
                    for n in range(width)
                ]
                places = [row.number for row in batch]
                more = [len(row.values) > width for row in batch]
                cells = [
                    row.as_json() if many else None for row, many in zip(batch, more, strict=True)
                ]
                columns = [*fields, places, more, cells]
                writer.write_batch(pa.record_batch(columns, schema=schema))

    def mend(self) -> bool:
        return False

    def fragments(self, table: str) -> int:
        return 0

    def originals(self, records: Sequence[int], table: str) -> None:
        """A sheet has no text: the quarantine keeps the values as JSON, with the sheet's row."""
        values = ", ".join(f"{ident(name)} := s.{ident(name)}" for name in self.names)
        content = (
            f"coalesce(s.{ident(self.cells)}, CAST(to_json(struct_pack({values})) AS VARCHAR))"
        )
        for start in range(0, len(records), 20_000):
            wanted = [{"record": record} for record in records[start : start + 20_000]]
            self.con.execute(
                f"INSERT INTO {ident(table)} SELECT w.record, s.{ident(self.row)}, {content} "
                f"FROM ({rows({'record': 'BIGINT'}, wanted)}) w JOIN read_parquet("
                f"{file_literal(self.copy)}, file_row_number = true) s "
                "ON s.file_row_number = w.record - 1"
            )

    def still_the_same(self) -> bool:
        return unchanged(self.item)

    def close(self) -> None:
        pass


def _refuse_what_is_no_workbook(item: Item, spooled: Spooled, reading: Reading) -> None:
    if spooled.head.startswith(_OLD_WORKBOOK):
        raise FileRefused(
            "the workbook is of the old kind (.xls), or has a password",
            where=item.path,
            hint="save it as .xlsx, without a password",
        )
    if not spooled.head.startswith(b"PK"):
        raise FileRefused(
            "the file is no Excel workbook",
            where=item.path,
            hint="check the dataset's `path` and `format:`",
        )
    with _telling_damage(item), zipfile.ZipFile(spooled.plain) as archive:
        # No more is ever read of a part than the archive says that it has.
        size = sum(part.file_size for part in archive.infolist())
    packed = spooled.plain.stat().st_size
    if size > max(ALWAYS_UNPACKED_BYTES, packed * reading.max_unpack_ratio):
        raise too_large(item, reading.max_unpack_ratio)


@contextmanager
def _telling_damage(item: Item) -> Iterator[None]:
    """Whatever the libraries stumble over in a workbook, it is not what Excel writes."""
    try:
        yield
    except FileRefused:
        raise
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        LookupError,
        ValueError,
        TypeError,
        AttributeError,
        SyntaxError,  # XML that is none
        NotImplementedError,
        RuntimeError,  # a part with a password
    ) as error:
        raise FileRefused(
            "the workbook is damaged, or is none",
            where=item.path,
            hint="copy the file again, or save it anew from Excel; nothing of it was landed",
        ) from error


@contextmanager
def _workbook(path: Path) -> Iterator[Any]:
    import openpyxl  # takes a while to import, and only sheets need it

    with path.open("rb") as source, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of styles and the like, which are not read
        book = openpyxl.load_workbook(source, read_only=True, data_only=True, keep_links=False)
        try:
            yield book
        finally:
            book.close()


def _sheet(item: Item, book: Any, wanted: str | None) -> tuple[Any, tuple[str, ...]]:
    """A sheet by its name, and what to say if there was a choice that nobody made."""
    sheets = {sheet.title: sheet for sheet in book.worksheets}
    if wanted is None:
        if not sheets:
            raise FileRefused("the workbook has no sheet", where=item.path, hint="check the file")
        first = next(iter(sheets))
        note = f"it has {len(sheets)} sheets; {first!r} was read (`sheet:` picks another)"
        return sheets[first], (note,) if len(sheets) > 1 else ()
    folded = {title.lower(): title for title in sheets}
    if wanted.lower() not in folded:
        raise FileRefused(
            f"the workbook has no sheet {wanted!r}",
            where=item.path,
            hint=suggestion(wanted, sheets),
        )
    return sheets[folded[wanted.lower()]], ()


# ---- cells -----------------------------------------------------------------------------------


def cells_of(text: str) -> _Cells:
    """Which cells a range means.

    >>> cells_of("B3:D")
    _Cells(first_row=3, first_column=2, last_row=0, last_column=4)
    """
    if not text:
        return _Cells()
    parts = [re.fullmatch(r"([A-Z]+)([0-9]*)", part) for part in text.upper().split(":")]
    corners = [(_column(part[1]), int(part[2] or 0)) for part in parts if part]
    (column, row), (last_column, last_row) = corners[0], [*corners, (0, 0)][1]
    return _Cells(row or 1, column, last_row, last_column)


def _column(letters: str) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + ord(letter) - ord("A") + 1
    return number


@dataclass(frozen=True)
class _Row:
    """A row of a sheet: its number, and its values up to the last one that there is."""

    number: int
    values: tuple[Any, ...]

    def as_json(self) -> str:
        return json.dumps([text_of(value) for value in self.values], ensure_ascii=False)

    def text(self, place: int) -> str | None:
        return text_of(self.values[place]) if place < len(self.values) else None


def _rows(item: Item, sheet: Any, cells: _Cells) -> Iterator[_Row]:
    """The rows that are not empty."""
    sheet.reset_dimensions()  # what a workbook says of its sheets' sizes is often wrong
    found = sheet.iter_rows(
        min_row=cells.first_row,
        max_row=cells.last_row or None,
        min_col=cells.first_column,
        max_col=cells.last_column or None,
        values_only=True,
    )
    for number, values in enumerate(found, cells.first_row):
        if number > MAX_ROWS:
            raise FileRefused(
                f"the sheet has more than {MAX_ROWS:,} rows, which Excel does not allow",
                where=item.path,
                hint="save it anew from Excel; nothing of it was landed",
            )
        width = len(values)
        while width and values[width - 1] in (None, ""):
            width -= 1
        if width:
            yield _Row(number, values[:width])


def _first(item: Item, lines: Iterator[_Row]) -> tuple[_Row, Iterator[_Row]]:
    first = next(lines, None)
    if first is None:
        raise FileRefused("the sheet is empty", where=item.path, hint="check `sheet:` and `range:`")
    return first, lines


def _header(row: _Row) -> list[str]:
    return [row.text(place) or "" for place in range(len(row.values))]


def text_of(value: Any) -> str | None:
    """A cell's value as text that leads back to it.

    >>> [text_of(v) for v in (19.99, 5.0, True, datetime(2026, 1, 2), None)]
    ['19.99', '5', 'true', '2026-01-02', None]
    """
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))  # a workbook knows doubles alone
    if isinstance(value, datetime):
        return str(value.date()) if value.time() == time() else value.isoformat(sep=" ")
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        minutes, seconds = divmod(round(value.total_seconds()), 60)
        return f"{minutes // 60:02}:{minutes % 60:02}:{seconds:02}"
    return repr(value)
