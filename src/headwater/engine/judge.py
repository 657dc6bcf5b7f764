"""Carrying out a compiled contract: one pass into a temp table, then reasons for the few."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import duckdb

from headwater.contract.across import AcrossRule, broken_by, noted, set_aside
from headwater.contract.compile import Compiled, Fate
from headwater.sql.quote import ident, literal


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What became of a relation's rows. The temp table `table` holds them all, in order.

    row   the table's column that numbers them, from 0.

    Repairs are counted in cells, over the rows that land.
    """

    table: str
    row: str = "rowid"
    fates: Mapping[Fate, int]
    nulled: int = 0
    defaulted: int = 0
    clipped: int = 0
    warned: int = 0

    @property
    def received(self) -> int:
        return sum(self.fates.values())

    def count(self, fate: Fate) -> int:
        return self.fates.get(fate, 0)


def judge(con: duckdb.DuckDBPyConnection, compiled: Compiled, relation: str, table: str) -> Verdict:
    """Judge every row of `relation` into the temp table `table`. One pass."""
    query = compiled.judge_over(relation)
    row = _row(compiled)
    if row != "rowid":
        query = f"SELECT *, row_number() OVER () - 1 AS {row} FROM ({query})"
    with _each_part_in_its_place(con, compiled):
        con.execute(f"CREATE TEMP TABLE {ident(table)} AS {query}")
    rows = con.execute(
        "SELECT _fate, count(*), sum(_nulled), sum(_defaulted), sum(_clipped), "
        f"count_if(_warned) FROM {ident(table)} GROUP BY _fate"
    ).fetchall()
    landed = next((row for row in rows if row[0] == Fate.LANDED), (0, 0, 0, 0, 0, 0))
    return Verdict(
        table=table,
        row=row,
        fates={Fate(row[0]): row[1] for row in rows},
        nulled=int(landed[2]),
        defaulted=int(landed[3]),
        clipped=int(landed[4]),
        warned=sum(row[5] for row in rows),
    )


def _row(compiled: Compiled) -> str:
    """What numbers the rows of a judged table. A column called `rowid` hides DuckDB's own, which
    costs nothing; then the rows are counted, on one thread."""
    hidden = any(name.lower() == "rowid" for name, _ in compiled.columns)
    return "_row" if hidden else "rowid"


def explain(con: duckdb.DuckDBPyConnection, compiled: Compiled, table: str, into: str) -> None:
    """Name the reasons of all rows of a judged table that carry their input: the temp table
    `into` gets `_id` (their number), `_fate`, `reasons`."""
    carried = "".join(f"{ident(n)} AS {ident(there)}, " for n, there in compiled.carried.items())
    rejected = (
        f"(SELECT {_row(compiled)} AS {ident(compiled.row_id)}, "
        f"_fate AS {ident(compiled.row_fate)}, {carried}unnest(_raw) "
        f"FROM {ident(table)} WHERE _raw IS NOT NULL)"
    )
    query = compiled.reasons_over(rejected)
    with _each_part_in_its_place(con, compiled):
        con.execute(f"CREATE TEMP TABLE {ident(into)} AS {query}")


@contextmanager
def _each_part_in_its_place(con: duckdb.DuckDBPyConnection, compiled: Compiled) -> Iterator[None]:
    """While a query runs, what stands in a TRY is computed there. DuckDB (1.5.5) would compute a
    part that two of them share once, before them, where its failure is not caught."""
    if not compiled.is_shared:
        yield
        return
    con.execute("SET disabled_optimizers = 'common_subexpressions'")
    try:
        yield
    finally:
        con.execute("RESET disabled_optimizers")


def count_reasons(con: duckdb.DuckDBPyConnection, explained: str) -> dict[str, int]:
    """Reason -> how many rows, most first."""
    rows = con.execute(
        f"SELECT reason, count(*) FROM (SELECT unnest(reasons) AS reason FROM {ident(explained)}) "
        "GROUP BY reason ORDER BY count(*) DESC, reason"
    ).fetchall()
    return dict(rows)


def sample_rows(
    con: duckdb.DuckDBPyConnection, verdict: Verdict, explained: str, reason: str, limit: int = 20
) -> list[str]:
    """The input of some rows that broke `reason`, as JSON texts."""
    rows = con.execute(
        f"SELECT CAST(to_json(t._raw) AS VARCHAR) FROM {ident(verdict.table)} t "
        f"JOIN {ident(explained)} e ON t.{verdict.row} = e._id "
        f"WHERE list_contains(e.reasons, {literal(reason)}) ORDER BY e._id LIMIT {int(limit)}"
    ).fetchall()
    return [row[0] for row in rows]


@dataclass(frozen=True, kw_only=True)
class Aside:
    """What rules across rows found.

    table   the temp table of the rows that do not land: `_id`, `reasons`, `_fate`.
    fates   how many of each fate.
    broken  code -> how many rows broke it, those that land with a warning included.
    """

    table: str
    fates: Mapping[Fate, int]
    broken: Mapping[str, int]

    @property
    def count(self) -> int:
        return sum(self.fates.values())


def look_across(
    con: duckdb.DuckDBPyConnection,
    rules: Sequence[AcrossRule],
    rows: str,
    existing: str | None,
    row_id: str,
    tables: tuple[str, str],
) -> Aside | None:
    """Look for the rows that break rules across rows; None if none does.

    rows     a relation with the rules' columns and `row_id`, which orders it.
    tables   how the temp tables are called that are made: of what is broken (`_id`, `code`,
             `_fate`, `place`), and of the rows that do not land. The caller drops them.

    Datasets that are referred to must be in the session under their names.
    """
    codes, table = tables
    con.execute(
        f"CREATE TEMP TABLE {ident(codes)} "
        "(_id BIGINT, code VARCHAR, _fate UTINYINT, place INTEGER)"
    )
    broken: dict[str, int] = {}
    for place, rule in enumerate(rules):
        query = noted(rule, place, broken_by(rule, rows, existing, row_id, codes if broken else ""))
        row = con.execute(f"INSERT INTO {ident(codes)} {query}").fetchone()
        if row and row[0]:
            broken[rule.code] = int(row[0])
    if not broken:
        return None
    con.execute(f"CREATE TEMP TABLE {ident(table)} AS {set_aside(codes)}")
    fates = con.execute(f"SELECT _fate, count(*) FROM {ident(table)} GROUP BY ALL").fetchall()
    return Aside(table=table, fates={Fate(fate): n for fate, n in fates}, broken=broken)
