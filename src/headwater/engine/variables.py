"""Whether the values of variables are what their types say: DuckDB's casts judge."""

from __future__ import annotations

from collections.abc import Iterable

import duckdb

from headwater.contract.values import is_none
from headwater.project.definitions import Value
from headwater.sql.quote import literal


def wrong_values(con: duckdb.DuckDBPyConnection, values: Iterable[Value]) -> list[Value]:
    """Those of the values that are none of their type."""
    asked = list(values)
    if not asked:
        return []
    conditions = [
        f"{is_none(value.text, value.type)} "
        f"OR TRY_CAST({literal(value.text)} AS {value.type.sql}) IS NULL"
        for value in asked
    ]
    row = con.execute(f"SELECT {', '.join(conditions)}").fetchone() or ()
    return [value for value, broken in zip(asked, row, strict=True) if broken]
