"""`headwater query`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pa_parquet

from headwater.api import query_project
from headwater.cli.output import Output, plain
from headwater.errors import QueryRefused, counted

FORMATS = ("table", "csv", "json", "parquet")
MAX_TABLE_ROWS = 1000


def command(
    out: Output,
    sql: str,
    project: str,
    environment: str,
    variables: dict[str, str],
    format_: str,
    output: str,
    allow_files: bool,
) -> int:
    format_ = "json" if out.is_json else format_
    if output and format_ == "table":
        format_ = {".json": "json", ".parquet": "parquet"}.get(Path(output).suffix, "csv")
    if format_ not in FORMATS:
        raise QueryRefused(f"unknown format {format_!r}", hint=f"known: {', '.join(FORMATS)}")
    if format_ == "parquet" and not output and sys.stdout.isatty():
        raise QueryRefused("Parquet is not for a terminal", hint="add --output FILE.parquet")
    text = sys.stdin.read() if sql == "-" else sql
    result = query_project(
        project, text, allow_files=allow_files, variables=variables, environment=environment
    )
    try:
        reader = result.reader()
        if format_ == "table":
            _table(out, reader)
        elif output:
            with Path(output).open("wb") as target:
                _write(reader, format_, target)
            out.note(f"wrote {output}")
        else:
            sys.stdout.flush()
            _write(reader, format_, sys.stdout.buffer)
    finally:
        result.close()
    return 0


def _table(out: Output, reader: pa.RecordBatchReader) -> None:
    rows: list[tuple[Any, ...]] = []
    more = False
    for batch in reader:
        rows += zip(*(column.to_pylist() for column in batch.columns), strict=True)
        if len(rows) > MAX_TABLE_ROWS:
            rows, more = rows[:MAX_TABLE_ROWS], True
            break
    out.table(reader.schema.names, rows)
    if more:
        out.note(f"the first {MAX_TABLE_ROWS:,} rows; use --format csv, json or parquet for all")
    else:
        out.note(counted(len(rows), "row"))


def _write(reader: pa.RecordBatchReader, format_: str, target: IO[bytes]) -> None:
    """Stream the rows; memory: one batch."""
    if format_ == "csv":
        _write_csv(reader, target)
    elif format_ == "parquet":
        with pa_parquet.ParquetWriter(target, reader.schema) as writer:
            for batch in reader:
                writer.write_batch(batch)
    else:
        _write_json(reader, target)


def _write_csv(reader: pa.RecordBatchReader, target: IO[bytes]) -> None:
    nested = [
        number
        for number, field in enumerate(reader.schema)
        if pa.types.is_nested(field.type) or pa.types.is_interval(field.type)
    ]
    schema = reader.schema
    for number in nested:
        schema = schema.set(number, pa.field(schema.field(number).name, pa.string()))
    options = pa_csv.WriteOptions(quoting_style="needed")
    with pa_csv.CSVWriter(target, schema, write_options=options) as writer:
        for batch in reader:
            columns = list(batch.columns)
            for number in nested:
                texts = [
                    None if value is None else json.dumps(value, default=plain, ensure_ascii=False)
                    for value in columns[number].to_pylist()
                ]
                columns[number] = pa.array(texts, pa.string())
            writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=schema))


def _write_json(reader: pa.RecordBatchReader, target: IO[bytes]) -> None:
    target.write(b"[")
    mark = b"\n  "
    for batch in reader:
        for row in batch.to_pylist():
            target.write(mark + json.dumps(row, default=plain, ensure_ascii=False).encode())
            mark = b",\n  "
    target.write(b"\n]\n")
