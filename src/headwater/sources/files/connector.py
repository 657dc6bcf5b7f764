"""The connector: how one file of a dataset is opened."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import duckdb

from headwater.contract.contract import UnexpectedColumns
from headwater.contract.types import VARCHAR
from headwater.errors import FileRefused
from headwater.project.definitions import FileDataset, FileFormat
from headwater.sources.batch import Batch, Item, OpenItem
from headwater.sources.files.csv_files import CsvFile
from headwater.sources.files.excel_files import ExcelFile
from headwater.sources.files.json_documents import JsonDocumentFile
from headwater.sources.files.json_lines import JsonLinesFile
from headwater.sources.files.parquet_files import ParquetFile
from headwater.sources.files.spool import spool
from headwater.sql.quote import ident, literal


def open_file(
    con: duckdb.DuckDBPyConnection, item: Item, definition: FileDataset, scratch: Path
) -> OpenItem:
    """Open a file for reading in a session. Raises FileRefused with what to do."""
    opened = _open_alone(con, item, definition, scratch)
    return WithPathColumns(opened, item.captured) if item.captured else opened


def _open_alone(
    con: duckdb.DuckDBPyConnection, item: Item, definition: FileDataset, scratch: Path
) -> OpenItem:
    reading = definition.reading(item.pattern)
    from_path = {name.lower() for name in item.captured}
    expected = {
        given: column.type
        for name, column in definition.columns.items()
        if (given := column.from_ or name).lower() not in from_path
    }
    all_keys = definition.unexpected_columns is not UnexpectedColumns.IGNORE
    spooled = spool(item, scratch, reading)
    match spooled.shape.format:
        case FileFormat.PARQUET:
            return ParquetFile(con, item, spooled)
        case FileFormat.EXCEL:
            return ExcelFile(con, item, spooled, reading, list(expected), scratch)
        case FileFormat.JSONL:
            return JsonLinesFile(con, item, spooled, expected, scratch, all_keys=all_keys)
        case FileFormat.JSON:
            return JsonDocumentFile(
                con, item, spooled, expected, scratch, records=reading.records, all_keys=all_keys
            )
        case FileFormat.CSV | FileFormat.TSV:
            return CsvFile(con, item, spooled, spooled.shape.dialect, list(expected), scratch)


class WithPathColumns:
    """An item that is being read, with the columns that its path makes."""

    def __init__(self, opened: OpenItem, captured: Mapping[str, str]) -> None:
        self._opened, self._captured = opened, captured
        self.batch = self._with_columns(opened.batch)

    def _with_columns(self, batch: Batch) -> Batch:
        there = {name.lower() for name in (*batch.fields, *batch.left_out)}
        if twice := [name for name in self._captured if name.lower() in there]:
            raise FileRefused(
                f"the file has a column {twice[0]!r}, and its path makes one of that name",
                where=batch.item.path,
                hint=f"call the one of the path otherwise: {{path_{twice[0]}}}, or write * for it",
            )
        made = [f"{literal(text)} AS {ident(name)}" for name, text in self._captured.items()]
        return replace(
            batch,
            relation=f"(SELECT *, {', '.join(made)} FROM {batch.relation})",
            fields={**batch.fields, **dict.fromkeys(self._captured, VARCHAR)},
        )

    def mend(self) -> bool:
        is_mended = self._opened.mend()
        if is_mended:
            self.batch = self._with_columns(self._opened.batch)
        return is_mended

    def fragments(self, table: str) -> int:
        return self._opened.fragments(table)

    def originals(self, records: Sequence[int], table: str) -> None:
        self._opened.originals(records, table)

    def still_the_same(self) -> bool:
        return self._opened.still_the_same()

    def close(self) -> None:
        self._opened.close()
