"""JSON lines: one object a line. Scalars are read as text, objects and lists as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import duckdb

from headwater.contract.compile import raw_field
from headwater.contract.types import VARCHAR, Type
from headwater.errors import FileRefused
from headwater.sources.batch import Batch, Item, Malformed
from headwater.sources.files import originals
from headwater.sources.files.discover import unchanged
from headwater.sources.files.spool import Spooled, rewrite_lines
from headwater.sql.quote import ident, literal

RECORD = "_json"
JSON = Type("JSON")
BOM = b"\xef\xbb\xbf"
MAX_OBJECT_BYTES = 16 << 20
"""A longer line is no record. (DuckDB reads in blocks of this size.)"""


class JsonLinesFile:
    """One file of JSON lines, open for reading.

    expected   the input's names that the contract asks for, with their types.
    all_keys   whether the other keys are wanted too; costs a pass of its own.
    """

    def __init__(
        self,
        con: duckdb.DuckDBPyConnection,
        item: Item,
        spooled: Spooled,
        expected: Mapping[str, Type],
        scratch: Path,
        *,
        all_keys: bool,
    ) -> None:
        self.con, self.item, self.spooled = con, item, spooled
        self.path = spooled.plain
        if spooled.has_returns or spooled.head.startswith(BOM):
            self.path = scratch / f"{item.absolute.name}.rewritten"
            rewrite_lines(spooled, self.path, keep_quoted=False)
        first = spooled.head.removeprefix(b"\xef\xbb\xbf").lstrip()
        if first.startswith(b"["):
            raise FileRefused(
                "the file is one JSON document, not JSON lines",
                where=item.path,
                hint="write one object a line: jq -c '.[]' FILE",
            )
        fields = {
            name: VARCHAR if not t.is_nested and t != JSON else JSON for name, t in expected.items()
        }
        if all_keys:
            fields = _with_keys(fields, self._keys())
        self.batch = Batch(
            item=item,
            relation=self._relation(fields),
            fields=fields,
            hidden={RECORD: JSON},
            malformed=(
                Malformed("line.broken_json", f"{raw_field(RECORD)} IS NULL"),
                Malformed(
                    "line.no_object",
                    f"json_type({raw_field(RECORD)}) <> 'OBJECT'",
                ),
            ),
            content_hash=spooled.content_hash,
        )

    def _source(self) -> str:
        return (
            f"read_ndjson_objects({literal(str(self.path))}, ignore_errors = true, "
            f"maximum_object_size = {MAX_OBJECT_BYTES})"
        )

    def _keys(self) -> list[str]:
        try:
            rows = self.con.execute(
                f"SELECT DISTINCT unnest(keys) FROM (SELECT DISTINCT json_keys(json) AS keys "
                f"FROM {self._source()} WHERE json_type(json) = 'OBJECT') ORDER BY 1"
            ).fetchall()
        except duckdb.Error as error:
            raise FileRefused(
                "the file cannot be read as JSON lines",
                where=self.item.path,
                hint="one JSON object a line is meant; check `format:`",
            ) from error
        return [row[0] for row in rows if row[0] != RECORD]

    def _relation(self, fields: Mapping[str, Type]) -> str:
        shape = json.dumps({name: t.kind for name, t in fields.items()})
        picked = "".join(
            f", struct_extract(record, {literal(name)}) AS {ident(name)}" for name in fields
        )
        transformed = f"json_transform(json, {literal(shape)})" if fields else "NULL"
        return (
            f"(SELECT json AS {ident(RECORD)}{picked} FROM "
            f"(SELECT json, {transformed} AS record FROM {self._source()}))"
        )

    def mend(self) -> bool:
        return False

    def fragments(self, table: str) -> int:
        return 0

    def originals(self, records: Sequence[int], table: str) -> None:
        found = originals.lines(self.path, records, skip=0, blanks="spaces")
        originals.fill(self.con, table, found, records)

    def still_the_same(self) -> bool:
        return unchanged(self.item)

    def close(self) -> None:
        pass


def _with_keys(fields: Mapping[str, Type], keys: Sequence[str]) -> dict[str, Type]:
    """The expected fields under the names that the file gives them, whatever their case, and
    then the file's other keys, as text."""
    exact = set(keys)
    folded = {key.lower(): key for key in keys}
    found = {
        name if name in exact else folded.get(name.lower(), name): kind
        for name, kind in fields.items()
    }
    taken = {name.lower() for name in found}
    return {**found, **{key: VARCHAR for key in keys if key.lower() not in taken}}
