"""The connector: which files a dataset has, and how one of them is opened."""

from __future__ import annotations

from pathlib import Path

import duckdb

from headwater.contract.contract import UnexpectedColumns
from headwater.errors import FileRefused
from headwater.project.definitions import FileDataset, FileFormat
from headwater.sources.batch import Item, OpenItem
from headwater.sources.files.csv_files import DELIMITERS, CsvFile
from headwater.sources.files.json_lines import JsonLinesFile
from headwater.sources.files.parquet_files import ParquetFile
from headwater.sources.files.spool import spool

_ENDINGS = {
    ".csv": FileFormat.CSV,
    ".tsv": FileFormat.CSV,
    ".txt": FileFormat.CSV,
    ".psv": FileFormat.CSV,
    ".jsonl": FileFormat.JSONL,
    ".ndjson": FileFormat.JSONL,
    ".json": FileFormat.JSONL,
    ".parquet": FileFormat.PARQUET,
    ".pq": FileFormat.PARQUET,
}


def open_file(
    con: duckdb.DuckDBPyConnection, item: Item, definition: FileDataset, scratch: Path
) -> OpenItem:
    """Open a file for reading in a session. Raises FileRefused with what to do."""
    format_ = definition.format or format_of(item)
    expected = {c.from_ or name: c.type for name, c in definition.columns.items()}
    counted = _counted(definition) if format_ is FileFormat.CSV else ""
    spooled = spool(item, scratch, is_text=format_ is not FileFormat.PARQUET, delimiters=counted)
    if format_ is FileFormat.PARQUET:
        return ParquetFile(con, item, spooled)
    if format_ is FileFormat.JSONL:
        all_keys = definition.unexpected_columns is not UnexpectedColumns.IGNORE
        return JsonLinesFile(con, item, spooled, expected, scratch, all_keys=all_keys)
    return CsvFile(con, item, spooled, definition.dialect, list(expected), scratch)


def _counted(definition: FileDataset) -> str:
    """The characters that may be the delimiter of a CSV file, where it is one byte."""
    stated = definition.dialect.delimiter
    if not stated:
        return "".join(DELIMITERS)
    return stated if len(stated) == 1 and stated.isascii() else ""


def format_of(item: Item) -> FileFormat:
    """A file's format by its name."""
    suffixes = [suffix.lower() for suffix in item.absolute.suffixes if suffix.lower() != ".gz"]
    ending = suffixes[-1] if suffixes else ""
    if ending not in _ENDINGS:
        raise FileRefused(
            f"the ending {ending!r} tells no format",
            where=item.path,
            hint="set `format:` to csv, jsonl or parquet",
        )
    return _ENDINGS[ending]
