"""Rules across rows: a key, `unique` and `references`, as SQL that gives the rows that break them.

They are looked at after every row was judged by itself, over those rows alone that would land:
first all references, then the key, then each unique column. A row that one of these takes out is
compared to no other any more.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from headwater.contract.compile import Fate
from headwater.contract.contract import Column, Contract, OnDuplicate, Reference, Remedy
from headwater.sql.quote import columns as column_list
from headwater.sql.quote import dotted, ident, literal

ACROSS = {
    "references": "the value is not there in the column that the rule refers to",
    "unique": "another row that came before has the value",
}
"""Kind of rule across rows of one column -> when it is broken, in words."""

_MEND_NOTHING = {
    Remedy.QUARANTINE: Fate.QUARANTINED,
    Remedy.FAIL: Fate.FAILED,
    Remedy.DROP: Fate.DROPPED,
    Remedy.WARN: Fate.LANDED,
}


@dataclass(frozen=True, kw_only=True)
class AcrossRule:
    """One rule across rows.

    code       the reason it gives: `key.duplicate`, `COLUMN.unique`, `COLUMN.references`.
    columns    whose values it is about.
    remedy     what happens to a row that breaks it; None where it is left out as a repeat.
    parent     what the values refer to; None: they must not repeat.
    keeps, by  which of several rows breaks nothing: see `repeated_keys`.
    """

    code: str
    columns: tuple[str, ...]
    remedy: Remedy | None
    parent: Reference | None = None
    keeps: str = "first"
    by: str = ""

    @property
    def fate(self) -> Fate:
        """What becomes of a row that breaks it."""
        return Fate.DEDUPLICATED if self.remedy is None else _MEND_NOTHING[self.remedy]

    @property
    def must(self) -> str:
        """What must hold, in words."""
        if self.parent:
            return f"must be there as {self.parent.to}"
        return f"no two rows may have the same {', '.join(self.columns)}"

    @property
    def sets_aside(self) -> bool:
        """Whether a row that breaks it does not land."""
        return self.remedy is not Remedy.WARN


def across_rules(
    contract: Contract, *, otherwise: Remedy, with_key: bool = True
) -> tuple[AcrossRule, ...]:
    """The rules across rows of a contract, in the order in which they are looked at.

    otherwise  the remedy of a rule that names none: quarantine on sources, fail on models.
    with_key   whether repeats of the key are looked for.
    """
    key = [_key(contract, otherwise)] if contract.key and with_key else []
    return (*references(contract, otherwise), *key, *uniques(contract, otherwise))


def references(contract: Contract, otherwise: Remedy) -> tuple[AcrossRule, ...]:
    """Those that are about another dataset."""
    return tuple(
        AcrossRule(
            code=f"{name}.references",
            columns=(name,),
            remedy=_remedy(column.references.otherwise, column, otherwise),
            parent=column.references,
        )
        for name, column in contract.columns.items()
        if column.references
    )


def uniques(contract: Contract, otherwise: Remedy) -> tuple[AcrossRule, ...]:
    """Those of the columns that repeat no value."""
    return tuple(
        AcrossRule(
            code=f"{name}.unique",
            columns=(name,),
            remedy=_remedy(column.unique.otherwise, column, otherwise),
        )
        for name, column in contract.columns.items()
        if column.unique
    )


def _remedy(own: Remedy | None, column: Column, otherwise: Remedy) -> Remedy:
    """A rule's own remedy; else its column's, if that is one for rows; else the room's."""
    for remedy in (own, column.otherwise):
        if isinstance(remedy, Remedy) and remedy in _MEND_NOTHING:
            return remedy
    return otherwise


def _key(contract: Contract, otherwise: Remedy) -> AcrossRule:
    given = contract.duplicates or OnDuplicate(otherwise.value)
    remedies = {OnDuplicate.QUARANTINE: Remedy.QUARANTINE, OnDuplicate.FAIL: Remedy.FAIL}
    by = contract.latest_by
    return AcrossRule(
        code="key.duplicate",
        columns=contract.key,
        remedy=remedies.get(given),
        keeps="last" if given is OnDuplicate.KEEP_LAST else "first",
        by=by,
    )


# ---- as SQL --------------------------------------------------------------------------------


def broken_by(
    rule: AcrossRule, rows: str, existing: str | None, row_id: str, codes: str = ""
) -> str:
    """SELECT `_id` of those of `rows` (numbered by `row_id`, in order) that break a rule.

    existing   the rows that are there already; None without any.
    codes      the table of what is broken so far (`_id`, `_fate`, …); "" for nothing. What is in it
               and does not land is not looked at.
    """
    picked = f"SELECT {column_list([*columns_of([rule]), row_id])} FROM {rows}"
    if codes and not rule.parent:
        taken = f"SELECT _id FROM {ident(codes)} WHERE _fate <> {Fate.LANDED.value}"
        picked += f" WHERE {ident(row_id)} NOT IN ({taken})"
    if rule.parent:
        return _orphans(rule.parent, rule.columns[0], picked, row_id)
    return repeated_keys(picked, rule.columns, existing, row_id, keeps=rule.keeps, by=rule.by)


def _orphans(parent: Reference, column: str, rows: str, row_id: str) -> str:
    """Every row whose value is not there as the parent's, which stands under its own name."""
    value = f"r.{ident(column)}"
    return (
        f"SELECT r.{ident(row_id)} AS _id FROM ({rows}) r ANTI JOIN "
        f"(SELECT {ident(parent.column)} AS parent_value FROM {dotted(*parent.dataset)}) p "
        f"ON {value} = p.parent_value WHERE {value} IS NOT NULL"
    )


def set_aside(codes: str) -> str:
    """SELECT `_id`, `reasons`, `_fate` of each row that does not land, from the table of what is
    broken (`_id`, `code`, `_fate`, `place`). Of several fates the worst but for `drop`: what is to
    be kept is kept."""
    gone, kept = Fate.DROPPED.value, Fate.QUARANTINED.value
    return (
        "SELECT _id, list(code ORDER BY place) AS reasons, "
        f"CASE WHEN bool_or(_fate = {kept}) THEN {kept} WHEN bool_or(_fate = {gone}) THEN {gone} "
        f"ELSE {Fate.DEDUPLICATED.value} END AS _fate "
        f"FROM {ident(codes)} WHERE _fate <> {Fate.LANDED.value} GROUP BY _id"
    )


def noted(rule: AcrossRule, place: int, broken: str) -> str:
    """SELECT the rows of `broken` as the table of what is broken holds them."""
    return (
        f"SELECT _id, {literal(rule.code)} AS code, CAST({rule.fate.value} AS UTINYINT) AS _fate, "
        f"{place} AS place FROM ({broken})"
    )


def repeated_keys(
    rows: str,
    key: Sequence[str],
    existing: str | None,
    row_id: str = "_id",
    *,
    keeps: str = "first",
    by: str = "",
) -> str:
    """SQL for the `_id` of those of `rows` (numbered by `row_id`, in order) whose key came before:
    in `rows` itself or in `existing`. A key with a NULL in it repeats nothing.

    keeps   which row of a key repeats nothing: the `first`, or the `last`.
    by      a column of `rows`: of a key the one with its greatest value, NULLs least, repeats
            nothing; among equal ones the last.
    """
    there = " AND ".join(f"r.{ident(name)} IS NOT NULL" for name in key)
    known = "FALSE"
    join = ""
    if existing:
        # The key's columns may be called as anything, so here they are numbered.
        picked = ", ".join(f"{ident(name)} AS key_{n}" for n, name in enumerate(key))
        same = " AND ".join(f"r.{ident(name)} = k.key_{n}" for n, name in enumerate(key))
        join = f" LEFT JOIN (SELECT DISTINCT {picked}, TRUE AS known FROM {existing}) k ON {same}"
        known = "coalesce(k.known, FALSE)"
    partition = ", ".join(f"r.{ident(name)}" for name in key)
    number = f"r.{ident(row_id)}"
    order = f"{number} DESC" if keeps == "last" or by else number
    if by:
        order = f"r.{ident(by)} DESC NULLS LAST, {order}"
    return (
        f"SELECT _id FROM (SELECT {number} AS _id, {known} AS _known, row_number() OVER "
        f"(PARTITION BY {partition} ORDER BY {order}) AS _nth FROM ({rows}) r{join} "
        f"WHERE {there}) WHERE _known OR _nth > 1"
    )


def columns_of(rules: Iterable[AcrossRule]) -> tuple[str, ...]:
    """The columns that rules look at, each once."""
    named = [name for rule in rules for name in (*rule.columns, rule.by) if name]
    return tuple({name.lower(): name for name in named}.values())
