"""Running a check over the datasets that stand in the session.

Memory: DuckDB's limit, and what does not fit goes to disk; in Python, SAMPLE_ROWS rows.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

import duckdb

from headwater.analysis.checks import CheckKind, DataCheck
from headwater.contract.checks import CheckRemedy, RowCount
from headwater.contract.freshness import Fresh, Freshness
from headwater.engine.macros import macro_sql
from headwater.errors import counted, without_values
from headwater.sql.quote import ident

SAMPLE_ROWS = 20
"""How many of the rows that break a check are kept with its result."""
_ABOUT_THE_QUERY = (duckdb.ParserException, duckdb.BinderException, duckdb.CatalogException)
_ROW = ident("a row of the check")


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What a check found.

    failed_rows   how many rows break it; None where it does not look at single rows.
    sample        some of them, as JSON texts, in the order of the check's query.
    cause         why it does not hold, without values of rows but the newest moment of an age;
                  "" if it holds.
    remedy        what follows, where that is part of the finding; None: what the check says.
    newest        the newest moment, UTC; None without any, and where the check asks for none.
    """

    holds: bool
    failed_rows: int | None = None
    sample: list[str] = field(default_factory=list)
    cause: str = ""
    remedy: CheckRemedy | None = None
    newest: datetime | None = None


def evaluate(
    con: duckdb.DuckDBPyConnection,
    check: DataCheck,
    moment: datetime,
    rows_before: int | None = None,
) -> Finding:
    """Run one check. Its datasets stand in the session under their names; the functions that it
    uses are made there.

    moment        what ages are counted to, UTC, without a zone.
    rows_before   the rows that its dataset has where it is released; None: nothing to compare.

    A check that cannot be computed does not hold, and the finding tells the cause.
    """
    try:
        for function in check.functions:
            con.execute(macro_sql(function))
        if check.kind is CheckKind.ROWS:
            return _offending(con, check)
        row = con.execute(check.query).fetchone()
    except duckdb.Error as error:
        return Finding(holds=False, cause=_cause(error))
    value = row[0] if row else None
    if check.freshness:
        return _aged(check.freshness, value, moment)
    if check.row_count:
        return _counted(check.row_count, int(value or 0), rows_before)
    if value is None:
        return Finding(holds=False, cause="it gives NULL: there was nothing to look at")
    return Finding(holds=bool(value), cause="" if value else f"not true: {check.meaning}")


def _aged(freshness: Freshness, newest: datetime | None, moment: datetime) -> Finding:
    found = freshness.judge(newest, moment)
    return Finding(
        holds=found is Fresh.FRESH,
        cause=freshness.cause(newest, moment),
        remedy=CheckRemedy.WARN if found is Fresh.WARN else None,
        newest=newest,
    )


def _offending(con: duckdb.DuckDBPyConnection, check: DataCheck) -> Finding:
    # Counted first: nearly always there are none, and counting computes no columns.
    found = con.execute(f"SELECT count(*) FROM ({check.query}\n)").fetchone()
    count = int(found[0]) if found else 0
    if not count:
        return Finding(holds=True, failed_rows=0)
    sample = con.execute(
        f"SELECT CAST(to_json({_ROW}) AS VARCHAR) FROM "
        f"(SELECT * FROM ({check.query}\n) LIMIT {SAMPLE_ROWS}) AS {_ROW}"
    ).fetchall()
    return Finding(
        holds=False,
        failed_rows=count,
        sample=[row[0] for row in sample],
        cause="1 row breaks it" if count == 1 else f"{count:,} rows break it",
    )


def _counted(bounds: RowCount, rows: int, before: int | None) -> Finding:
    """A number of rows held against its bounds. With nothing to compare, the relative ones
    hold."""
    broken = []
    if bounds.min is not None and rows < bounds.min:
        broken.append(f"at least {bounds.min:,} are expected")
    if bounds.max is not None and rows > bounds.max:
        broken.append(f"at most {bounds.max:,} are expected")
    if before is not None:
        lost, won = (before - rows) * 100, (rows - before) * 100
        was = f"{before:,} before"
        if bounds.max_decrease is not None and lost > bounds.max_decrease * before:
            broken.append(f"{was}, and at most {bounds.max_decrease} % fewer are expected")
        if bounds.max_increase is not None and won > bounds.max_increase * before:
            broken.append(f"{was}, and at most {bounds.max_increase} % more are expected")
    cause = f"{counted(rows, 'row')}: {'; '.join(broken)}" if broken else ""
    return Finding(holds=not broken, cause=cause)


def _cause(error: duckdb.Error) -> str:
    message = str(error).split("\n")[0].strip()
    if not isinstance(error, _ABOUT_THE_QUERY):
        message = without_values(message)
    return f"it cannot be computed: {message}"
