"""Identifiers and literals as SQL text, by sqlglot: the only way that names reach a query."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime, time
from decimal import Decimal
from functools import lru_cache

from sqlglot import exp

Literal = str | int | float | bool | Decimal | date | datetime | time | None


@lru_cache(maxsize=4096)
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
    if isinstance(value, str):
        return _text(value)
    return exp.convert(value).sql("duckdb")


@lru_cache(maxsize=4096)
def _text(value: str) -> str:
    # DuckDB has no escapes inside '…' but the doubled quote.
    return "'" + value.replace("'", "''") + "'"


def columns(names: Iterable[str]) -> str:
    """Identifiers joined by commas."""
    return ", ".join(ident(name) for name in names)
