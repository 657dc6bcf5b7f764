"""Judging a few rows under a contract, in a real DuckDB."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import duckdb
import yaml

from headwater.contract.compile import Compiled, Fate, compile_contract
from headwater.contract.contract import Contract, Remedy
from headwater.contract.types import VARCHAR, Type
from headwater.engine.judge import explain, judge
from headwater.engine.session import connect
from headwater.sql.quote import ident, literal

_count = itertools.count(1)


@dataclass(frozen=True)
class Judged:
    """One row's fate, its values if it lands, and the rules that it broke."""

    fate: str
    values: tuple[Any, ...] = ()
    reasons: tuple[str, ...] = ()
    mended: tuple[int, int, int] = (0, 0, 0)


def contract_of(text: str) -> Contract:
    return Contract.model_validate(yaml.safe_load(text))


@cache
def session() -> duckdb.DuckDBPyConnection:
    return connect()


def judge_rows(
    contract: Contract,
    rows: Sequence[Mapping[str, str | None]],
    *,
    otherwise: Remedy = Remedy.QUARANTINE,
    fields: Mapping[str, Type] | None = None,
) -> list[Judged]:
    """What becomes of `rows`, whose values are texts (or of the types of `fields`)."""
    fields = fields or dict.fromkeys(rows[0], VARCHAR)
    compiled = compile_contract(contract, fields, otherwise=otherwise)
    lines = [
        ", ".join(
            f"CAST({literal(row[name])} AS {kind.sql}) AS {ident(name)}"
            for name, kind in fields.items()
        )
        for row in rows
    ]
    return run(compiled, f"({' UNION ALL '.join(f'SELECT {line}' for line in lines)})")


def run(compiled: Compiled, relation: str) -> list[Judged]:
    con, number = session(), next(_count)
    table, explained = f"judged_{number}", f"explained_{number}"
    try:
        judge(con, compiled, relation, table)
        explain(con, compiled, table, explained)
        reasons = {
            row[0]: tuple(row[1])
            for row in con.execute(f"SELECT _id, reasons FROM {explained}").fetchall()
        }
        names = ", ".join([ident(name) for name, _ in compiled.columns] + ["rowid", "_fate"])
        found = con.execute(
            f"SELECT {names}, _nulled, _defaulted, _clipped FROM {table} ORDER BY rowid"
        ).fetchall()
    finally:
        con.execute(f"DROP TABLE IF EXISTS {table}; DROP TABLE IF EXISTS {explained}")
    width = len(compiled.columns)
    return [
        Judged(
            fate=Fate(row[width + 1]).name.lower(),
            values=row[:width] if row[width + 1] == Fate.LANDED else (),
            reasons=reasons.get(row[width], ()),
            mended=row[width + 2 :] if row[width + 1] == Fate.LANDED else (0, 0, 0),
        )
        for row in found
    ]
