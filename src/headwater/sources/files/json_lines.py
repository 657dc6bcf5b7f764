"""JSON lines: one object a line. Scalars are read as text, objects and lists as JSON.

Keys match whatever their case. To DuckDB every number with a fraction is a DOUBLE; a file with
longer ones is read from a copy in which those are texts, so that no digit is lost (but within
what stays JSON, where a number is a double to most readers: RFC 8259, section 6).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from headwater.contract.columns import raw_field
from headwater.contract.types import JSON, VARCHAR, Type
from headwater.errors import FileRefused
from headwater.sources.batch import Batch, Item, Malformed
from headwater.sources.files import originals
from headwater.sources.files.detect import BOM
from headwater.sources.files.discover import unchanged
from headwater.sources.files.spool import Spooled, rewrite_lines
from headwater.sql.quote import file_literal, ident, json_path, literal

RECORD = "_json"
MAX_OBJECT_BYTES = 16 << 20
"""A longer line is no record. (DuckDB reads in blocks of this size.)"""
EXACT_DIGITS = 15
"""A decimal number of so many digits stays the same when it becomes a DOUBLE and a text again."""
_LONG_NUMBER = r"[0-9]{8}\.[0-9]|\.[0-9]{8}|[0-9]{16}[eE]"
"""Is in every line that holds a fraction of more than EXACT_DIGITS digits, and in some others."""


@dataclass(frozen=True)
class Keys:
    """What a first pass over a file told of its objects' keys.

    names         each, as it is spelled, sorted.
    are_repeated  whether some object has a key twice, or in two spellings.
    has_long      whether some number may have more digits than a DOUBLE keeps.
    """

    names: tuple[str, ...]
    are_repeated: bool
    has_long: bool


class JsonLinesFile:
    """One file of JSON lines, open for reading.

    expected   the input's names that the contract asks for, with their types.
    all_keys   whether the other keys are wanted too.
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
        self.con, self.item = con, item
        self.path = spooled.plain
        if spooled.has_returns or spooled.head.startswith(BOM):
            self.path = scratch / f"{item.absolute.name}.rewritten"
            rewrite_lines(spooled, self.path, keep_quoted=False)
        first = spooled.head.removeprefix(BOM).lstrip()
        if first.startswith(b"["):
            raise FileRefused(
                "the file is one JSON document, not JSON lines",
                where=item.path,
                hint="set `format: json`, and `records:` to where in it the records are",
            )
        keys = self._keys()
        spellings = _spellings(expected, keys.names, all_keys=all_keys)
        kinds = {name: _kind(expected, name) for name in spellings}
        source = self.path
        if keys.has_long:
            source = scratch / f"{item.absolute.name}.exact"
            _write_long_numbers_as_text(self.path, source, expected)
        malformed = [
            Malformed("line.broken_json", f"{raw_field(RECORD)} IS NULL"),
            Malformed("line.no_object", _is_no_object(raw_field(RECORD))),
        ]
        if keys.are_repeated:
            wanted = None if all_keys else [name.lower() for name in expected]
            malformed.append(Malformed("line.repeated_key", _is_repeated(wanted)))
        self.batch = Batch(
            item=item,
            relation=_relation(source, spellings, kinds),
            fields=kinds,
            left_out=keys.names,
            hidden={RECORD: JSON},
            malformed=tuple(malformed),
            content_hash=spooled.content_hash,
        )

    def _keys(self) -> Keys:
        repeated = f"list_unique({_folded('keys')}) < len(keys)"
        try:
            rows = self.con.execute(
                "SELECT list_distinct(flatten(list(keys))), "
                f"coalesce(bool_or({repeated}), false), coalesce(bool_or(has_long), false) "
                "FROM (SELECT json_keys(json) AS keys, bool_or(regexp_matches("
                f"CAST(json AS VARCHAR), {literal(_LONG_NUMBER)})) AS has_long "
                f"FROM {_source(self.path)} GROUP BY ALL)"
            ).fetchall()
        except duckdb.Error as error:
            raise FileRefused(
                "the file cannot be read as JSON lines",
                where=self.item.path,
                hint="one JSON object a line is meant; check `format:`",
            ) from error
        names, are_repeated, has_long = rows[0]
        return Keys(tuple(n for n in names or () if n != RECORD), are_repeated, has_long)

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


def _source(path: Path) -> str:
    return (
        f"read_ndjson_objects({file_literal(path)}, ignore_errors = true, "
        "compression = 'uncompressed', "  # whatever the name says
        f"maximum_object_size = {MAX_OBJECT_BYTES})"
    )


def _relation(path: Path, spellings: Mapping[str, Sequence[str]], kinds: Mapping[str, Type]) -> str:
    """SQL of the lines' objects with a column for each of `kinds`."""
    shape = json.dumps({name: kind.kind for name, kind in kinds.items()})
    picked = "".join(
        f", {_field(name, spellings[name], kind)} AS {ident(name)}" for name, kind in kinds.items()
    )
    transformed = f"json_transform(json, {literal(shape)})" if kinds else "NULL"
    return (
        f"(SELECT json AS {ident(RECORD)}{picked} FROM "
        f"(SELECT json, {transformed} AS record FROM {_source(path)}))"
    )


def _field(name: str, spellings: Sequence[str], kind: Type) -> str:
    found = f"struct_extract(record, {literal(name)})"
    if len(spellings) == 1:
        return found
    extract = "json_extract" if kind == JSON else "json_extract_string"
    others = [
        f"{extract}(json, {literal(json_path(other))})" for other in spellings if other != name
    ]
    return f"coalesce({', '.join([found, *others])})"


def _is_no_object(record: str) -> str:
    """SQL that is true for JSON that is no object. Its first character tells that for nothing;
    where that may be a blank, it is parsed."""
    begins = f"starts_with(CAST({record} AS VARCHAR), '{{')"
    return f"NOT ({begins} OR json_type({record}) = 'OBJECT')"


def _folded(keys: str) -> str:
    return f"list_transform({keys}, lambda key: lower(key))"


def _is_repeated(wanted: Sequence[str] | None) -> str:
    """SQL that is true for an object with a key twice, if it is one of `wanted` (None: any)."""
    keys = _folded(f"json_keys({raw_field(RECORD)})")
    if wanted is not None:
        names = ", ".join(literal(name) for name in wanted)
        keys = f"list_filter({keys}, lambda key: list_contains([{names}], key))"
    return f"list_unique({keys}) < len({keys})"


def _kind(expected: Mapping[str, Type], name: str) -> Type:
    """What a key is read as."""
    kind = _folded_names(expected).get(name.lower(), VARCHAR)
    return JSON if kind.is_nested or kind == JSON else VARCHAR


def _folded_names(expected: Mapping[str, Type]) -> dict[str, Type]:
    return {name.lower(): kind for name, kind in expected.items()}


def _spellings(
    expected: Mapping[str, Type], keys: Sequence[str], *, all_keys: bool
) -> dict[str, tuple[str, ...]]:
    """Field -> how the file spells it, its own name first: the expected ones under the name that
    the file gives them, then, with `all_keys`, the file's others; small letters first."""
    by_folded: dict[str, list[str]] = {}
    for key in sorted(keys, key=lambda key: (key != key.lower(), key)):
        by_folded.setdefault(key.lower(), []).append(key)
    found = {}
    for name in expected:
        there = by_folded.pop(name.lower(), [name])
        first = name if name in there else there[0]
        found[first] = (first, *(key for key in there if key != first))
    if all_keys:
        found.update({there[0]: tuple(there) for there in by_folded.values()})
    return found


# ---- numbers with more digits than a DOUBLE keeps ------------------------------------------


class _Repeated(Exception):
    """An object with a key twice: it goes to quarantine as it is."""


def _write_long_numbers_as_text(source: Path, target: Path, expected: Mapping[str, Type]) -> None:
    """Copy a file, line for line, with each fraction of more than EXACT_DIGITS digits as a text,
    but within values that stay JSON. Memory: one line."""
    suspect = re.compile(_LONG_NUMBER.encode())
    kinds = _folded_names(expected)
    with source.open("rb") as lines, target.open("wb") as out:
        for line in lines:
            out.write(_exact_line(line, kinds) if suspect.search(line) else line)


def _exact_line(line: bytes, kinds: Mapping[str, Type]) -> bytes:
    try:
        record = json.loads(line, parse_float=_exact, object_pairs_hook=_without_repeats)
    except (ValueError, RecursionError, _Repeated):
        return line
    if not isinstance(record, dict):
        return line
    for key, value in record.items():
        kind = kinds.get(key.lower(), VARCHAR)
        if not kind.is_nested and (kind == JSON or not isinstance(value, _LongNumber)):
            record[key] = _rounded(value)
    return json.dumps(record).encode() + b"\n"


class _LongNumber(str):
    """A number's digits."""


def _exact(text: str) -> float | str:
    digits = re.sub(r"[eE].*|[-.]", "", text).strip("0")
    return _LongNumber(text) if len(digits) > EXACT_DIGITS else float(text)


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise _Repeated
    return found


def _rounded(value: Any) -> Any:
    if isinstance(value, _LongNumber):
        return float(value)
    if isinstance(value, dict):
        return {key: _rounded(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_rounded(part) for part in value]
    return value
