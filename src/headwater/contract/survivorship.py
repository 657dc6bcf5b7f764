"""Survivorship: of several rows with the same key, which value each column of the one that stays
takes.

`on_duplicate` says in which order the rows of a key are preferred; the first of them stays, and
gives every value for which no rule says otherwise. A row whose key has a NULL in it stays as it
is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from headwater.contract.contract import Contract, OnDuplicate, Survivor, Survivorship
from headwater.sql.quote import columns as column_list
from headwater.sql.quote import ident, literal

_RANK = "survivor:rank"


def combined(
    contract: Contract, columns: Iterable[str], rows: str, row_id: str, *, also: Iterable[str] = ()
) -> str:
    """SELECT one row for each key of `rows`.

    columns  the names of its columns.
    row_id   a column that numbers the rows, in order.
    also     columns that are carried along from the row that stays.
    """
    names = list(columns)
    folded = {name.lower(): name for name in names}
    key = column_list(folded[name.lower()] for name in contract.key)
    chosen = {
        folded[name.lower()]: rule
        for name, rule in contract.survivors.items()
        if name.lower() in folded
    }
    counts = "".join(
        f", count({ident(n)}) OVER (PARTITION BY {key}, {ident(n)}) AS {ident(_count(n))}"
        for n, rule in chosen.items()
        if rule.kind is Survivor.MOST_FREQUENT
    )
    picked = [
        _survivor(name, chosen[name], contract, key, row_id) if name in chosen else ident(name)
        for name in names
    ]
    kept = column_list([*names, *also])
    carried = ", ".join(map(ident, [*also, _RANK]))
    return (
        f"SELECT {kept} FROM (SELECT {', '.join(picked)}, {carried} FROM (SELECT *{counts}, "
        f"row_number() OVER (PARTITION BY {key} ORDER BY {_preference(contract, row_id)}) "
        f"AS {ident(_RANK)} FROM {rows})) WHERE {ident(_RANK)} = 1"
    )


def _preference(contract: Contract, row_id: str) -> str:
    """The order in which the rows of a key are preferred: see `repeated_keys`."""
    if contract.duplicates is OnDuplicate.KEEP_FIRST:
        return ident(row_id)
    return _latest(contract, row_id)


def _latest(contract: Contract, row_id: str) -> str:
    by = f"{ident(contract.latest_by)} DESC NULLS LAST, " if contract.latest_by else ""
    return f"{by}{ident(row_id)} DESC"


def _survivor(name: str, rule: Survivorship, contract: Contract, key: str, row_id: str) -> str:
    """The value of a column that survives, as SQL."""
    order, nulls = _ORDERS[rule.kind](name, rule, contract, row_id)
    return (
        f"first_value({ident(name)}{nulls}) OVER (PARTITION BY {key} ORDER BY {order} "
        f"ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS {ident(name)}"
    )


def _count(name: str) -> str:
    return f"survivor:count:{name}"


# ---- one function a kind ---------------------------------------------------------------------

_SKIPS_NULLS, _TAKES_NULLS = " IGNORE NULLS", ""


def _by_latest(name: str, rule: Survivorship, contract: Contract, row_id: str) -> tuple[str, str]:
    if rule.by:
        return f"{ident(rule.by)} DESC NULLS LAST, {ident(_RANK)}", _TAKES_NULLS
    return _latest(contract, row_id), _TAKES_NULLS


def _by_presence(name: str, rule: Survivorship, contract: Contract, row_id: str) -> tuple[str, str]:
    return ident(_RANK), _SKIPS_NULLS


def _by_frequency(
    name: str, rule: Survivorship, contract: Contract, row_id: str
) -> tuple[str, str]:
    return f"{ident(_count(name))} DESC, {ident(_RANK)}", _SKIPS_NULLS


def _by_trust(name: str, rule: Survivorship, contract: Contract, row_id: str) -> tuple[str, str]:
    trusted = ", ".join(literal(word) for word in rule.from_)
    place = f"list_position([{trusted}], CAST({ident(rule.by)} AS VARCHAR))"
    return f"{place} ASC NULLS LAST, {ident(_RANK)}", _SKIPS_NULLS


_ORDERS = {
    Survivor.LATEST: _by_latest,
    Survivor.NOT_NULL: _by_presence,
    Survivor.MOST_FREQUENT: _by_frequency,
    Survivor.FROM: _by_trust,
}


def in_words(rule: Survivorship) -> str:
    """Which value survives, in words."""
    words: Mapping[Survivor, str] = {
        Survivor.LATEST: f"the one of the greatest {rule.by}" if rule.by else "the latest one",
        Survivor.NOT_NULL: "the first that is not NULL",
        Survivor.MOST_FREQUENT: "the most frequent one",
        Survivor.FROM: f"the one where {rule.by} is {', else '.join(rule.from_)}",
    }
    return words[rule.kind]
