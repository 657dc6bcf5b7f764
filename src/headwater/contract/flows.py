"""What a contract makes of a dataset's columns: whose values flow into others, and which of them
decide which rows land.

Told by what the contract compiles to, so that it is what happens. Names are in lower case.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from headwater.contract.across import across_rules
from headwater.contract.compile import compile_contract
from headwater.contract.contract import Column, Contract, Remedy
from headwater.contract.types import Type
from headwater.contract.words import column_of
from headwater.sql.query import expression_words

_TAKES_ROWS = (Remedy.QUARANTINE, Remedy.DROP)


@dataclass(frozen=True)
class Flows:
    """Column -> the other columns whose values may become its own; and the columns that decide
    which rows land."""

    values: Mapping[str, frozenset[str]]
    rows: frozenset[str]


def flows(contract: Contract, fields: Mapping[str, Type], *, otherwise: Remedy) -> Flows:
    """The flows of a contract over rows with `fields` (name -> type).

    otherwise  the remedy of a rule that names none: quarantine on sources, fail on models.
    """
    words: dict[str, set[str]] = {name.lower(): set() for name in contract.columns}
    of_rules: dict[str, frozenset[str]] = {}
    for path, sql in contract.expressions():
        found = {word.lower() for word in expression_words(sql)}
        if path[0] == "columns":
            words[str(path[1]).lower()] |= found
        elif path[0] == "rules":
            of_rules[f"rule.{contract.rules[int(path[1])].name}"] = frozenset(found)
    for name, column in contract.columns.items():
        words[name.lower()] |= {word.lower() for word in _taken(contract, column)}
    deciding: set[str] = set()
    for check in compile_contract(contract, fields, otherwise=otherwise).checks:
        if check.remedy in _TAKES_ROWS:
            name = column_of(check.code, contract).lower()
            deciding |= {name, *words[name]} if name else of_rules.get(check.code, frozenset())
    for rule in across_rules(contract, otherwise=otherwise):
        if rule.sets_aside and rule.remedy is not Remedy.FAIL:
            deciding |= {name.lower() for name in (*rule.columns, rule.by) if name}
    values = {name: frozenset(found - {name}) for name, found in words.items() if found - {name}}
    return Flows(values, frozenset(deciding))


def _taken(contract: Contract, column: Column) -> Iterator[str]:
    """The columns that a column's own may be taken from or chosen by, but for expressions."""
    if column.fill and column.fill.from_:
        yield column.fill.from_
    if column.fill and column.fill.previous:
        yield from column.fill.previous.within
        if column.fill.previous.by:
            yield column.fill.previous.by
    if column.survivorship:
        yield from (*contract.key, *(n for n in (contract.latest_by, column.survivorship.by) if n))
