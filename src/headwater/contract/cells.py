r"""Rows that people write down: from a value as it is written to one of a column's type, and back.

A cell becomes a text first, a nested one JSON, and the casts that land a file's values make the
value of it. So what a cell cannot be exactly, it is not. The other way a value is told by DuckDB
as texts, nested ones in dicts and lists: exact for every type, infinite dates and years before
Christ included.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

from headwater.contract.casts import cast
from headwater.contract.types import JSON, VARCHAR, Type
from headwater.contract.values import text_of
from headwater.errors import suggestion
from headwater.sql.quote import ident, literal


@dataclass(frozen=True)
class Written:
    """A scalar as it is written in a file. `is_plain`: without quotes."""

    text: str
    is_plain: bool = False


@dataclass(frozen=True)
class Unfit(Exception):
    """A cell that cannot be a value of its type, whatever its text says."""

    message: str
    hint: str = ""

    def __str__(self) -> str:
        return self.message


Shown = str | list[Any] | dict[str, Any] | None
"""A value as DuckDB tells it: every scalar a text."""


# ---- in ------------------------------------------------------------------------------------


def cell_text(value: Any, kind: Type) -> str | None:
    """A cell as the text that its type is cast from. Raises Unfit."""
    if value is None:
        return None
    if kind == JSON:
        if isinstance(value, Written):
            return value.text
        return value if isinstance(value, str) else json.dumps(_json(value), ensure_ascii=False)
    if kind.is_nested:
        found = _nested(value, kind)
        if isinstance(value, Written | str):  # as it is, for JSON's numbers may have more digits
            return value.text if isinstance(value, Written) else value
        return json.dumps(found, ensure_ascii=False)
    return _scalar(value, kind)


def _scalar(value: Any, kind: Type) -> str:
    if isinstance(value, Mapping | list | tuple):
        raise Unfit(f"one value is meant, {kind.sql.lower()}", _in_quotes(kind))
    if isinstance(value, Written):
        return _NO_NUMBERS.get(value.text.lower(), value.text) if value.is_plain else value.text
    if kind == VARCHAR and not isinstance(value, str):
        raise Unfit("a text is meant", "put it in quotes")
    if isinstance(value, bytes):
        return "".join(f"\\x{byte:02X}" for byte in value)
    if isinstance(value, timedelta):
        return f"{value.days} days {value.seconds} seconds {value.microseconds} microseconds"
    return text_of(value)


_NO_NUMBERS = {".nan": "nan", ".inf": "inf", "+.inf": "inf", "-.inf": "-inf"}
"""How YAML writes what is no number, and how SQL does."""


def _in_quotes(kind: Type) -> str:
    return "put it in quotes" if kind == VARCHAR else ""


def _nested(value: Any, kind: Type) -> Any:
    """A nested value as JSON, with texts for all scalars. A text is JSON itself."""
    if value is None:
        return None
    if isinstance(value, Written | str) and kind != JSON and not kind.is_nested:
        return _scalar(value, kind)
    if isinstance(value, Written | str):
        text = value.text if isinstance(value, Written) else value
        try:
            return json.loads(text)
        except ValueError as error:
            shape = _SHAPES[kind.kind]
            raise Unfit(f"the text is no JSON, and {kind.sql.lower()} is meant", shape) from error
    if kind == JSON:
        return _json(value)
    parts = dict(kind.parts)
    if kind.kind == "LIST":
        if not isinstance(value, list | tuple):
            raise Unfit(f"a list is meant, {kind.sql.lower()}", _SHAPES["LIST"])
        return [_nested(item, parts[""]) for item in value]
    if kind.kind in ("STRUCT", "MAP"):
        pairs = dict(value) if kind.kind == "MAP" and isinstance(value, list) else value
        if not isinstance(pairs, Mapping):
            raise Unfit(f"a mapping is meant, {kind.sql.lower()}", _SHAPES[kind.kind])
        if kind.kind == "MAP":
            return {_key(key): _nested(item, parts["value"]) for key, item in pairs.items()}
        known = {name.lower(): name for name in parts}
        for name in pairs:
            if str(name).lower() not in known:
                raise Unfit(
                    f"the value has no field {str(name)!r}", suggestion(str(name), list(parts))
                )
        there = {known[str(name).lower()]: item for name, item in pairs.items()}
        return {name: _nested(there.get(name), part) for name, part in parts.items()}
    return _scalar(value, kind)


_SHAPES = {
    "LIST": "[1, 2]",
    "STRUCT": "{city: Bern, zip: '3000'}",
    "MAP": "{first: 1, second: 2}",
    "JSON": """'{"a": 1}'""",
}


def _key(key: Any) -> str:
    return key.text if isinstance(key, Written) else text_of(key)


_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_NUMBER = re.compile(r"[-+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?")


def _json(value: Any) -> Any:
    """A value within JSON: scalars are what YAML takes them for."""
    if isinstance(value, Mapping):
        return {_key(key): _json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_json(item) for item in value]
    if isinstance(value, Written):
        return _resolved(value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return float(value) if isinstance(value, Decimal) else text_of(value)


def _resolved(value: Written) -> Any:
    text = value.text
    if not value.is_plain:
        return text
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    if _INTEGER.fullmatch(text):
        return int(text)
    return float(text) if _NUMBER.fullmatch(text) else text


def rows_sql(kinds: Mapping[str, Type], rows: Sequence[Mapping[str, str | None]]) -> str:
    """SELECT the rows with these columns, from the texts of their cells, in their order; a cell
    that is not there is NULL. The texts are known to be of their types: see `misfits_sql`."""
    found = {name: [text for row in rows if (text := row.get(name)) is not None] for name in kinds}
    there = [name for name in kinds if found[name]]
    inner = {name: f"c{place}" for place, name in enumerate(there)}
    picked = [
        f"{_cast(inner.get(name, 'NULL'), kind, found[name])} AS {ident(name)}"
        for name, kind in kinds.items()
    ]
    what = ", ".join(picked) or "1 AS nothing"
    if not rows:
        return f"SELECT {what} WHERE FALSE"
    lines = ", ".join(
        f"({', '.join(['1', *(text_sql(row.get(name)) for name in there)])})" for row in rows
    )
    texts = ", ".join(["one", *(f"CAST({c} AS VARCHAR) AS {c}" for c in inner.values())])
    names = ", ".join(["one", *inner.values()])
    return f"SELECT {what} FROM (SELECT {texts} FROM (VALUES {lines}) AS written({names}))"


_COMMON = {
    "INTEGER": re.compile(r"-?[0-9]{1,18}"),
    "DECIMAL": re.compile(r"-?[0-9]+(\.[0-9]+)?"),
    "DATE": re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}"),
    "TIMESTAMP": re.compile(
        r"[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?"
    ),
}
"""How values are mostly written."""


def _cast(sql: str, kind: Type, texts: Sequence[str]) -> str:
    """A text as a value of its type. DuckDB's own cast means the same where all of them are written
    in the common way, and is planned in a fraction of the time."""
    common = _COMMON.get("INTEGER" if kind.is_integer else kind.kind)
    if not texts or (common and all(common.fullmatch(text) for text in texts)):
        return f"CAST({sql} AS {kind.sql})"
    return cast(sql, VARCHAR, kind)


def text_sql(text: str | None) -> str:
    """A text as a literal; one may hold the character 0, which no literal can."""
    if text is None:
        return "NULL"
    if "\0" not in text:
        return literal(text)
    return f"concat({', chr(0), '.join(literal(part) for part in text.split(chr(0)))})"


def misfits_sql(kind: Type, texts: Sequence[str]) -> str:
    """SELECT the numbers (from 0) of those texts that are no value of a type."""
    lines = ", ".join(f"({nth}, {text_sql(text)})" for nth, text in enumerate(texts))
    value = cast("c", VARCHAR, kind)
    return f"SELECT nth FROM (VALUES {lines}) AS written(nth, c) WHERE ({value}) IS NULL"


# ---- out -----------------------------------------------------------------------------------


def shown_sql(name: str, kind: Type) -> str:
    """A column as DuckDB tells its values: see `Shown`."""
    return f"CAST({ident(name)} AS {_shown_type(kind)})"


def _shown_type(kind: Type) -> str:
    if kind.kind == "LIST":
        return f"{_shown_type(kind.parts[0][1])}[]"
    if kind.kind == "STRUCT":
        inner = ", ".join(f"{ident(name)} {_shown_type(part)}" for name, part in kind.parts)
        return f"STRUCT({inner})"
    if kind.kind == "MAP":
        return f"MAP(VARCHAR, {_shown_type(kind.parts[1][1])})"
    return "VARCHAR"


TOLERANCE = 1e-9
"""How far apart two floating point numbers may be, relative to the greater, and still be equal."""


def equal(one: Shown, other: Shown, kind: Type) -> bool:
    """Whether two values of a type are equal. NULL equals NULL, and NaN equals NaN."""
    if one is None or other is None:
        return one is None and other is None
    if kind.kind == "LIST":
        inner = kind.parts[0][1]
        return len(one) == len(other) and all(
            equal(a, b, inner) for a, b in zip(one, other, strict=True)
        )
    if isinstance(one, dict) and isinstance(other, dict):
        parts = dict(kind.parts)
        return one.keys() == other.keys() and all(
            equal(one[key], other[key], parts["value"] if kind.kind == "MAP" else parts[key])
            for key in one
        )
    if one == other:
        return True
    if kind.kind in ("FLOAT", "DOUBLE"):
        return _near(float(str(one)), float(str(other)))
    return kind == JSON and _same_json(str(one), str(other))


def _near(one: float, other: float) -> bool:
    if one == other or (one != one and other != other):
        return True
    return abs(one - other) <= TOLERANCE * max(abs(one), abs(other)) < float("inf")


def _same_json(one: str, other: str) -> bool:
    try:
        return bool(json.loads(one) == json.loads(other))
    except ValueError:
        return False


__all__ = [
    "TOLERANCE",
    "Shown",
    "Unfit",
    "Written",
    "cell_text",
    "equal",
    "misfits_sql",
    "rows_sql",
    "shown_sql",
    "text_sql",
]
