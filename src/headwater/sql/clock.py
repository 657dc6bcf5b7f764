"""The functions that ask the time, and what they give while the time stands still.

DuckDB looks a function up in the session's own schema before its own, so macros of these names
hold wherever a query is bound: in a model, in the functions that it calls, in its contract. They
change no text, so nothing else about a query can change by it.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from sqlglot import exp
from sqlglot.errors import SqlglotError

from headwater.sql.parsing import DUCKDB, parse_text
from headwater.sql.quote import literal

NO_TIME = "the time is asked for, and it is not said what time it is"
"""How a query fails that asks the time while it is not known."""

CLOCK: dict[str, str] = {
    "now": "TIMESTAMPTZ",
    "get_current_timestamp": "TIMESTAMPTZ",
    "transaction_timestamp": "TIMESTAMPTZ",
    "today": "DATE",
    "current_date": "DATE",
    "get_current_time": "TIMETZ",
    "current_localtime": "TIME",
    "current_localtimestamp": "TIMESTAMP",
}
"""Every function of DuckDB without arguments that asks the time -> the type that it gives.
`current_timestamp`, `current_time`, `localtime` and `localtimestamp` are other names of these."""
_KEYWORDS = (
    exp.CurrentDate,
    exp.CurrentDatetime,
    exp.CurrentTime,
    exp.CurrentTimestamp,
    exp.Localtime,
    exp.Localtimestamp,
)
_AGE = "age"
"""With one argument it counts from today."""


def stopped(moment: datetime | None) -> list[str]:
    """Statements that stop the time in a session at a moment (UTC, without a zone). None: whoever
    asks the time then fails with `NO_TIME`."""
    if moment is None:
        values = {name: f"CAST(error({literal(NO_TIME)}) AS {t})" for name, t in CLOCK.items()}
        since = f"CAST(error({literal(NO_TIME)}) AS INTERVAL)"
    else:
        utc = f"CAST({literal(moment.isoformat(sep=' ') + '+00')} AS TIMESTAMPTZ)"
        local = literal(moment)
        midnight = literal(moment.replace(hour=0, minute=0, second=0, microsecond=0))
        values = {
            name: f"CAST({utc if kind.endswith('TZ') else local} AS {kind})"
            for name, kind in CLOCK.items()
        }
        since = f"system.main.age({midnight}, a)"
    made = [
        f"CREATE OR REPLACE MACRO memory.main.{name}() AS {value}" for name, value in values.items()
    ]
    ages = f"(a) AS {since}, (a, b) AS system.main.age(a, b)"
    return [*made, f"CREATE OR REPLACE MACRO memory.main.{_AGE}{ages}"]


def asks_time(tree: exp.Expr) -> bool:
    """Whether a query or an expression asks what time it is."""
    return any(_asks(node) for node in tree.walk())


def passes_by(tree: exp.Expr) -> bool:
    """Whether it asks the time of DuckDB's own functions by their full names, which cannot be
    stopped: `system.main.now()`."""
    return any(
        isinstance(node, exp.Dot)
        and isinstance(node.expression, exp.Expr)
        and node.sql(DUCKDB).lower().startswith("system.")
        and _asks(node.expression)
        for node in tree.walk()
    )


def any_asks_time(expressions: Iterable[str]) -> bool:
    """Whether any of some expressions over the columns of a row does."""
    return any(asks_time(tree) for text in expressions if (tree := _tree(text)))


def _tree(text: str) -> exp.Expr | None:
    try:
        return parse_text(text, exp.Condition)
    except SqlglotError:
        return None


def _asks(node: exp.Expr) -> bool:
    if isinstance(node, _KEYWORDS):
        return True
    if not isinstance(node, exp.Anonymous):
        return False
    name = node.name.lower()
    return name in CLOCK or (name == _AGE and len(node.expressions) == 1)
