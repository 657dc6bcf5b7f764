"""What differs between two positions of a dataset: columns, rows, values.

Exact. Within one built table only what its change feed names is looked at, so the cost follows the
change; between two tables all rows are. Memory: DuckDB's memory limit; what does not fit goes to
disk. In Python some keys.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import duckdb

from headwater.contract.types import Type, parse_type
from headwater.lake.commit import at
from headwater.lake.lake import Lake
from headwater.lake.state import Position
from headwater.names import DatasetName
from headwater.sql.quote import columns as column_list
from headwater.sql.quote import ident, literal

EXAMPLES = 5
Shows = Callable[[DatasetName, str], bool]
"""Whether values of a column of a dataset may be shown."""


def all_columns(_: DatasetName, __: str) -> bool:
    """Values of every column may be shown."""
    return True


@dataclass(frozen=True, kw_only=True)
class ColumnDiff:
    """A column that both have.

    changed            rows of both, matched by their key, that have another value; None without a
                       key.
    nulls              how many values are missing, before and after.
    mean               of a number's values, before and after; None for others, without values, and
                       where values may not be shown.
    shift              how much the spread of the values has changed, from 0 (not at all) to 1: the
                       share of the rows that would need another value. The total variation
                       distance over tenths of the values before (of numbers and times) or over 100
                       groups of equal values (of others), with the missing ones as one more.
    """

    name: str
    changed: int | None
    nulls: tuple[int, int]
    mean: tuple[float | None, float | None]
    shift: float


@dataclass(frozen=True, kw_only=True)
class DatasetDiff:
    """What differs of one dataset.

    key        what rows were matched by; () for their whole content.
    rows       how many there are, before and after; None: it is not there.
    changed    rows with the same key and other values; 0 without a key.
    columns    those that both have, and that differ.
    new_columns, gone_columns, retyped
               what differs of the columns: name -> type, or (type before, type after).
    examples   `added`, `removed`, `changed` -> some keys, in order; without the columns whose
               values may not be shown.
    """

    dataset: DatasetName
    key: tuple[str, ...] = ()
    rows: tuple[int | None, int | None]
    added: int = 0
    removed: int = 0
    changed: int = 0
    columns: tuple[ColumnDiff, ...] = ()
    new_columns: Mapping[str, str] | None = None
    gone_columns: Mapping[str, str] | None = None
    retyped: Mapping[str, tuple[str, str]] | None = None
    examples: Mapping[str, Sequence[Mapping[str, Any]]] | None = None

    @property
    def is_equal(self) -> bool:
        return not (
            self.added
            or self.removed
            or self.changed
            or self.new_columns
            or self.gone_columns
            or self.retyped
            or None in self.rows
        )

    def as_dict(self) -> dict[str, Any]:
        return {
            "dataset": str(self.dataset),
            "key": list(self.key),
            "rows_before": self.rows[0],
            "rows_after": self.rows[1],
            "added": self.added,
            "removed": self.removed,
            "changed": self.changed,
            "columns": [
                {
                    "name": column.name,
                    "changed": column.changed,
                    "nulls": list(column.nulls),
                    "mean": list(column.mean),
                    "shift": round(column.shift, 6),
                }
                for column in self.columns
            ],
            "new_columns": dict(self.new_columns or {}),
            "gone_columns": dict(self.gone_columns or {}),
            "retyped": {name: list(both) for name, both in (self.retyped or {}).items()},
            "examples": {
                kind: [dict(k) for k in keys] for kind, keys in (self.examples or {}).items()
            },
        }


def compare(
    lake: Lake,
    dataset: DatasetName,
    before: Position | None,
    after: Position | None,
    key: Sequence[str] = (),
    shows: Shows = all_columns,
) -> DatasetDiff:
    """What differs of a dataset between two positions; None: it is not there.

    key     what names a row. Where it does not, or a column of it is missing, rows are matched by
            their content.
    shows   of which columns values may be shown: keys in the examples, means.
    """
    con = lake.con
    if before is None or after is None or before == after:
        counts = tuple(_count(con, place) if place else None for place in (before, after))
        return DatasetDiff(dataset=dataset, rows=(counts[0], counts[1]))
    was, now = _columns(con, before), _columns(con, after)
    shared = {
        now[name][0]: kind
        for name, (_, kind) in was.items()
        if name in now and now[name][1] == kind
    }
    relations = _sides(con, before, after, list(shared), is_whole=was.keys() != now.keys())
    used = tuple(_spelled(name, shared) for name in key)
    by_key = bool(used) and all(used) and all(_names_rows(con, side, used) for side in relations)
    values = {n: k for n, k in shared.items() if not (by_key and n in used)}
    found = (
        _by_key(con, relations, used, shared, lambda name: shows(dataset, name))
        if by_key
        else _by_content(con, relations, shared)
    )
    spread = _column_diffs(con, before, after, values, found) if found.is_any else ()
    return DatasetDiff(
        dataset=dataset,
        key=used if by_key else (),
        rows=(_count(con, before), _count(con, after)),
        added=found.added,
        removed=found.removed,
        changed=found.changed,
        columns=tuple(
            each if shows(dataset, each.name) else replace(each, mean=(None, None))
            for each in spread
        ),
        new_columns={n: k.sql for key_, (n, k) in now.items() if key_ not in was},
        gone_columns={n: k.sql for key_, (n, k) in was.items() if key_ not in now},
        retyped={
            now[key_][0]: (kind.sql, now[key_][1].sql)
            for key_, (_, kind) in was.items()
            if key_ in now and now[key_][1] != kind
        },
        examples=found.examples,
    )


@dataclass(frozen=True)
class _Found:
    added: int
    removed: int
    changed: int
    by_column: Mapping[str, int]
    examples: Mapping[str, list[dict[str, Any]]]

    @property
    def is_any(self) -> bool:
        return bool(self.added or self.removed or self.changed)


def _columns(con: duckdb.DuckDBPyConnection, place: Position) -> dict[str, tuple[str, Type]]:
    """Name in lower case -> the name as it is spelled, and its type."""
    rows = con.execute(f"DESCRIBE SELECT * FROM {at(place)}").fetchall()
    return {str(row[0]).lower(): (row[0], parse_type(row[1])) for row in rows}


def _spelled(name: str, columns: Mapping[str, Type]) -> str:
    return next((there for there in columns if there.lower() == name.lower()), "")


def _count(con: duckdb.DuckDBPyConnection, place: Position) -> int:
    row = con.execute(f"SELECT count(*) FROM {at(place)}").fetchone()
    return int(row[0]) if row else 0


def _sides(
    con: duckdb.DuckDBPyConnection,
    before: Position,
    after: Position,
    columns: Sequence[str],
    *,
    is_whole: bool,
) -> tuple[str, str]:
    """The rows before and after that are to be held against each other, as temp tables: those that
    the change feed names, else all."""
    picked = column_list(columns)
    sides = [f"SELECT {picked} FROM {at(place)}" for place in (before, after)]
    if before.table == after.table and before.snapshot_id < after.snapshot_id and not is_whole:
        feed = (
            f"('lake', 'built', {literal(before.table)}, {before.snapshot_id + 1}, "
            f"{after.snapshot_id})"
        )
        fed = [f"SELECT {picked} FROM ducklake_table_{kind}{feed}" for kind in _FEEDS]
        if _adds_up(con, before, after, fed):
            sides = _netted(con, picked, fed)
    for name, side in zip(("diff_before", "diff_after"), sides, strict=True):
        con.execute(f"CREATE OR REPLACE TEMP TABLE {name} AS {side}")
    return "diff_before", "diff_after"


_FEEDS = ("deletions", "insertions")
_WEIGHT, _HERE, _KIND = (ident(f"diff:{word}") for word in ("weight", "here", "kind"))


def _adds_up(
    con: duckdb.DuckDBPyConnection, before: Position, after: Position, fed: Sequence[str]
) -> bool:
    """Whether the feed tells as many rows as there are more: it is known to be wrong at times, and
    a view has none."""
    try:
        counts = [con.execute(f"SELECT count(*) FROM ({side})").fetchall()[0][0] for side in fed]
    except duckdb.Error:
        return False
    return bool(_count(con, after) - _count(con, before) == counts[1] - counts[0])


def _netted(con: duckdb.DuckDBPyConnection, picked: str, fed: Sequence[str]) -> list[str]:
    """What is left of a feed when what came and went between is taken out: the rows before, and
    those after."""
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE diff_net AS SELECT {picked}, sum({_WEIGHT}) AS {_WEIGHT} "
        f"FROM (SELECT *, -1 AS {_WEIGHT} FROM ({fed[0]}) UNION ALL SELECT *, 1 FROM ({fed[1]})) "
        f"GROUP BY {picked} HAVING sum({_WEIGHT}) <> 0"
    )
    return [
        f"SELECT {picked} FROM (SELECT *, unnest(range(CAST({sign}{_WEIGHT} AS BIGINT))) "
        f"FROM diff_net WHERE {sign}{_WEIGHT} > 0)"
        for sign in ("-", "")
    ]


def _names_rows(con: duckdb.DuckDBPyConnection, relation: str, key: Sequence[str]) -> bool:
    row = con.execute(
        f"SELECT count(*) FROM (SELECT 1 FROM {relation} GROUP BY {column_list(key)} "
        "HAVING count(*) > 1)"
    ).fetchone()
    return row == (0,)


def _by_key(
    con: duckdb.DuckDBPyConnection,
    relations: tuple[str, str],
    key: Sequence[str],
    columns: Mapping[str, Type],
    shows: Callable[[str], bool],
) -> _Found:
    values = [name for name in columns if name not in key]
    flags = ", ".join(
        f"b.{ident(n)} IS DISTINCT FROM a.{ident(n)} AS {ident(f'diff:{n}')}" for n in values
    )
    keys = ", ".join(
        f"CASE WHEN a.{_HERE} THEN a.{ident(n)} ELSE b.{ident(n)} END AS {ident(n)}" for n in key
    )
    same = " AND ".join(f"b.{ident(n)} IS NOT DISTINCT FROM a.{ident(n)}" for n in key)
    differs = [f"b.{_HERE} IS NULL", f"a.{_HERE} IS NULL"]
    differs += [f"b.{ident(n)} IS DISTINCT FROM a.{ident(n)}" for n in values]
    before, after = (f"(SELECT *, TRUE AS {_HERE} FROM {relation})" for relation in relations)
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE diff_rows AS SELECT {keys}, "
        f"CASE WHEN {differs[0]} THEN 'added' WHEN {differs[1]} THEN 'removed' ELSE 'changed' END "
        f"AS {_KIND}{', ' + flags if flags else ''} "
        f"FROM {before} b FULL JOIN {after} a ON {same} WHERE {' OR '.join(differs)}"
    )
    counts = dict(con.execute(f"SELECT {_KIND}, count(*) FROM diff_rows GROUP BY ALL").fetchall())
    by_column: dict[str, int] = {}
    if values and counts.get("changed"):
        sums = ", ".join(f"count_if({ident(f'diff:{n}')})" for n in values)
        row = con.execute(f"SELECT {sums} FROM diff_rows WHERE {_KIND} = 'changed'").fetchone()
        by_column = dict(zip(values, row or (), strict=False))
    kinds = ("added", "removed", "changed")
    shown = [name for name in key if shows(name)]
    examples = {k: _examples(con, shown, k) for k in kinds if k in counts} if shown else {}
    added, removed, changed = (counts.get(kind, 0) for kind in kinds)
    return _Found(added, removed, changed, by_column, examples)


def _examples(
    con: duckdb.DuckDBPyConnection, key: Sequence[str], kind: str
) -> list[dict[str, Any]]:
    rows = con.execute(
        f"SELECT {column_list(key)} FROM diff_rows WHERE {_KIND} = {literal(kind)} "
        f"ORDER BY ALL LIMIT {EXAMPLES}"
    ).fetchall()
    return [dict(zip(key, row, strict=True)) for row in rows]


def _by_content(
    con: duckdb.DuckDBPyConnection, relations: tuple[str, str], columns: Mapping[str, Type]
) -> _Found:
    names = column_list(columns)
    if not columns:
        return _Found(0, 0, 0, {}, {})
    row = con.execute(
        "SELECT coalesce(sum(n) FILTER (n > 0), 0), coalesce(-sum(n) FILTER (n < 0), 0) FROM "
        f"(SELECT sum(w) AS n FROM (SELECT {names}, 1 AS w FROM {relations[1]} UNION ALL "
        f"SELECT {names}, -1 FROM {relations[0]}) GROUP BY {names})"
    ).fetchone() or (0, 0)
    return _Found(int(row[0]), int(row[1]), 0, {}, {})


def _column_diffs(
    con: duckdb.DuckDBPyConnection,
    before: Position,
    after: Position,
    columns: Mapping[str, Type],
    found: _Found,
) -> tuple[ColumnDiff, ...]:
    """How the values of each column are spread, before and after, where that has changed."""
    bounds = _bounds(con, before, columns)
    facts = [_spread(con, place, columns, bounds) for place in (before, after)]
    diffs = [
        ColumnDiff(
            name=name,
            changed=found.by_column.get(name, 0) if found.by_column else None,
            nulls=(facts[0][name].nulls, facts[1][name].nulls),
            mean=(facts[0][name].mean, facts[1][name].mean),
            shift=_shift(facts[0][name], facts[1][name]),
        )
        for name in columns
    ]
    return tuple(
        d
        for d in diffs
        if d.changed or d.nulls[0] != d.nulls[1] or d.mean[0] != d.mean[1] or d.shift >= LEAST_SHIFT
    )


LEAST_SHIFT = 0.01
"""A column that differs in nothing else is told of from here on."""
_ORDERED = ("DATE", "TIME", "TIMESTAMP", "TIMESTAMPTZ")
_TENTHS = [n / 10 for n in range(1, 10)]
_GROUPS = 100


@dataclass(frozen=True)
class _Spread:
    """How the values of a column are spread. `groups`: how many values are in each group."""

    nulls: int
    mean: float | None
    groups: Mapping[int, int]


def _shift(was: _Spread, now: _Spread) -> float:
    """The total variation distance of two spreads."""
    sizes = [spread.nulls + sum(spread.groups.values()) for spread in (was, now)]
    if 0 in sizes:
        return 0.0 if sizes == [0, 0] else 1.0
    both = [(was.groups.get(n, 0), now.groups.get(n, 0)) for n in {*was.groups, *now.groups}]
    return sum(abs(a / sizes[0] - b / sizes[1]) for a, b in [*both, (was.nulls, now.nulls)]) / 2


def _bounds(
    con: duckdb.DuckDBPyConnection, place: Position, columns: Mapping[str, Type]
) -> dict[str, str]:
    """Columns that have an order -> SQL for the list of the least of their values, those at which
    each tenth of them ends, and the greatest."""
    ordered = [name for name, kind in columns.items() if kind.is_number or kind.kind in _ORDERED]
    if not ordered:
        return {}
    named = {name: ident(f"diff:bounds {n}") for n, name in enumerate(ordered)}
    picked = [
        f"[min({column})] || coalesce(approx_quantile({column}, {_TENTHS}), "
        f"list_resize([max({column})], {len(_TENTHS)}, max({column}))) "  # of nothing but NaN
        f"|| [max({column})] AS {bounds}"
        for column, bounds in ((ident(name), bounds) for name, bounds in named.items())
    ]
    rows = at(place)
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE diff_bounds AS SELECT {', '.join(picked)} FROM {rows}"
    )
    return named


def _spread(
    con: duckdb.DuckDBPyConnection,
    place: Position,
    columns: Mapping[str, Type],
    bounds: Mapping[str, str],
) -> dict[str, _Spread]:
    """One pass over the rows."""
    picked = []
    for name, kind in columns.items():
        column = ident(name)
        mean = f"avg({column})" if kind.is_number else "NULL"
        picked += [f"count(*) - count({column})", f"CAST({mean} AS DOUBLE)"]
        picked.append(_grouped(column, bounds.get(name)))
    beside = ", diff_bounds" if bounds else ""
    row = con.execute(f"SELECT {', '.join(picked)} FROM {at(place)}{beside}").fetchone() or ()
    return {
        name: _Spread(row[3 * n], row[3 * n + 1], _groups(row[3 * n + 2]))
        for n, name in enumerate(columns)
    }


def _grouped(column: str, bounds: str | None) -> str:
    """SQL for how many values there are in each group of equal ones; or from each bound on."""
    if bounds is None:
        return f"histogram(hash({column}) % {_GROUPS}) FILTER ({column} IS NOT NULL)"
    conditions = [f">= {bounds}[1]", *(f"> {bounds}[{n}]" for n in range(2, len(_TENTHS) + 3))]
    counts = ", ".join(f"count(*) FILTER ({column} {condition})" for condition in conditions)
    return f"[count({column}), {counts}]"


def _groups(told: Any) -> dict[int, int]:
    """How many values are in each group."""
    if isinstance(told, list):
        pairs = zip(told, [*told[1:], 0], strict=True)
        return {n: more - less for n, (more, less) in enumerate(pairs)}
    return dict(told or {})
