"""Identifiers and literals as SQL text, by sqlglot: the only way that names reach a query."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from functools import lru_cache
from math import isfinite
from pathlib import Path
from typing import Any

from sqlglot import exp

Literal = str | int | float | bool | Decimal | date | datetime | time | None


@lru_cache(maxsize=16384)
def ident(name: str) -> str:
    """A quoted identifier.

    >>> ident("unit price")
    '"unit price"'
    """
    return exp.to_identifier(name, quoted=True).sql("duckdb")


def dotted(*parts: str) -> str:
    """Identifiers joined by dots: `"lake"."built"."t"`."""
    return ".".join(ident(part) for part in parts)


def literal(value: Literal) -> str:
    """A value as a SQL literal; dates and times keep their type.

    >>> literal("it's")
    "'it''s'"
    """
    if isinstance(value, datetime):
        return f"TIMESTAMP {_text(value.isoformat(sep=' '))}"
    if isinstance(value, date):
        return f"DATE {_text(value.isoformat())}"
    if isinstance(value, time):
        return f"TIME {_text(value.isoformat())}"
    if isinstance(value, Decimal):
        return exp.Literal.number(str(value)).sql("duckdb")
    if isinstance(value, float) and not isfinite(value):
        return f"CAST({_text(str(value))} AS DOUBLE)"
    if isinstance(value, str):
        return _text(value) if len(value) < 200 else _text.__wrapped__(value)
    return exp.convert(value).sql("duckdb")


@lru_cache(maxsize=4096)
def _text(value: str) -> str:
    # DuckDB has no escapes inside '…' but the doubled quote.
    return "'" + value.replace("'", "''") + "'"


def filled(sql: str, values: Sequence[Literal]) -> str:
    """A statement of ours with a literal in place of each `?`.

    DuckDB would bind them, and import pandas for that wherever it is installed: a quarter of a
    second, more than a whole run with nothing new. Raises ValueError if there are not as many.

    >>> filled("SELECT * FROM t WHERE a = ? AND b > ?", ["it's", 2])
    "SELECT * FROM t WHERE a = 'it''s' AND b > 2"
    """
    first, *others = sql.split("?")
    return first + "".join(
        literal(value) + other for value, other in zip(values, others, strict=True)
    )


def file_literal(path: Path) -> str:
    """A file's path as a SQL literal, such that DuckDB takes no part of it for a glob.

    >>> file_literal(Path("data/a[1]*.csv"))
    "'data/a[[]1][*].csv'"
    """
    return literal(re.sub(r"[*?\[]", lambda sign: f"[{sign.group()}]", str(path)))


def columns(names: Iterable[str]) -> str:
    """Identifiers joined by commas."""
    return ", ".join(ident(name) for name in names)


def json_path(key: str) -> str:
    """The JSONPath of an object's key, whatever its characters; not yet a literal.

    >>> json_path("a.b")
    '$."a.b"'
    """
    return '$."' + key.replace('"', '\\"') + '"'


def rows(kinds: Mapping[str, str], values: Sequence[Mapping[str, Any]]) -> str:
    """A SELECT of rows of Python values, with columns of `kinds` (name -> type).

    One JSON literal, however many rows (why none are bound: see `filled`).
    """
    shape = literal(json.dumps([dict(kinds)]))
    text = literal(json.dumps([dict(row) for row in values], default=str, ensure_ascii=False))
    picked = ", ".join(f"row.{ident(name)}" for name in kinds)
    return f"SELECT {picked} FROM (SELECT unnest(json_transform({text}, {shape})) AS row)"
