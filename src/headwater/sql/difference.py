"""What differs between two versions of a query, in words: for the reasons of a plan.

For people; what is rebuilt is decided by fingerprints.
"""

from __future__ import annotations

from collections.abc import Iterator

from sqlglot import exp
from sqlglot.errors import SqlglotError

from headwater.sql.parsing import DUCKDB

_MOST = 60
_CLAUSES = {
    "from_": "FROM",
    "joins": "joins",
    "where": "filter",
    "group": "GROUP BY",
    "having": "HAVING",
    "qualify": "QUALIFY",
    "distinct": "DISTINCT",
    "order": "ORDER BY",
    "limit": "LIMIT",
    "offset": "OFFSET",
}


def difference(before: str, after: str) -> tuple[str, ...]:
    """What differs, part by part: columns first, then what decides the rows.

    Empty where nothing does but formatting and comments, or where a text cannot be parsed.

    >>> difference("SELECT sum(fare) AS revenue FROM t", "SELECT sum(fare + tip) AS revenue FROM t")
    ('revenue: sum(fare) -> sum(fare + tip)',)
    """
    try:
        (old,), (new,) = DUCKDB.parse(before), DUCKDB.parse(after)
    except (SqlglotError, ValueError):
        return ()
    if old is None or new is None or _text(old) == _text(new):
        return ()
    return tuple(_differences(old, new)) or ("the query",)


def _differences(old: exp.Expr, new: exp.Expr) -> Iterator[str]:
    if not (isinstance(old, exp.Select) and isinstance(new, exp.Select)):
        return
    was, now = _columns(old), _columns(new)
    for name, sql in now.items():
        if name not in was:
            yield f"{name}: new, {_short(sql)}"
        elif was[name] != sql:
            yield f"{name}: {_short(was[name])} -> {_short(sql)}"
    yield from (f"{name}: gone" for name in was if name not in now)
    before, after = _ctes(old), _ctes(new)
    yield from (
        f"the CTE {name}" for name in {**before, **after} if before.get(name) != after.get(name)
    )
    for key, word in _CLAUSES.items():
        was_clause, now_clause = _clause(old, key), _clause(new, key)
        if was_clause != now_clause:
            yield f"{word}: {_short(was_clause) or 'none'} -> {_short(now_clause) or 'none'}"


def _columns(select: exp.Select) -> dict[str, str]:
    return {
        projection.alias_or_name or _text(projection): _text(projection.unalias())
        for projection in select.expressions
    }


def _ctes(select: exp.Select) -> dict[str, str]:
    with_ = select.args.get("with_")
    return {cte.alias: _text(cte.this) for cte in with_.expressions} if with_ else {}


def _clause(select: exp.Select, key: str) -> str:
    value = select.args.get(key)
    if not value:
        return ""
    if isinstance(value, list):
        return " ".join(_text(part).strip() for part in value)
    inner = value.this if isinstance(value.this, exp.Expr) else value
    return _text(inner if key in ("where", "having", "qualify", "from_") else value).strip()


def _text(node: exp.Expr) -> str:
    return DUCKDB.generate(node, comments=False, normalize_functions="lower")


def _short(text: str) -> str:
    return text if len(text) <= _MOST else f"{text[: _MOST - 2]} …"
