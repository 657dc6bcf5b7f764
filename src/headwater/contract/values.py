"""What a contract says in words of its own that only a database can judge: values, patterns and
formats, each as a question in SQL.

Rows are held against them, so a `min` that is no value of its column's type is a mistake of the
contract. Asking is the engine's business. No question and no message holds a value in the open:
it may have come from the environment.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import date, time

from headwater.contract.casts import cast
from headwater.contract.compile import compile_contract
from headwater.contract.contract import Column, Contract, Remedy
from headwater.contract.types import VARCHAR, Type
from headwater.places import KeyPath
from headwater.sql.quote import Literal, ident, literal


@dataclass(frozen=True)
class Question:
    """Something in a contract that may be a mistake.

    path           where in the contract.
    broken         SQL without a FROM: true, or an error, where it is a mistake.
    message, hint  what to say then.
    """

    path: KeyPath
    broken: str
    message: str
    hint: str = ""


def value_questions(contract: Contract) -> Iterator[Question]:
    """Is each value one of its column's type, and can DuckDB use each pattern and format?"""
    for name, column in contract.columns.items():
        path = ("columns", name)
        described = column.type.sql.lower()
        for key, value in (("default", column.default), ("min", column.min), ("max", column.max)):
            if value is not None and column.type != VARCHAR:
                yield Question(
                    (*path, key), is_none(value, column.type), f"`{key}` must be {described}"
                )
        for number, value in enumerate(column.accepted or (), start=1):
            if column.type != VARCHAR:
                message = f"value {number} of `accepted` must be {described}"
                yield Question((*path, "accepted"), is_none(value, column.type), message)
        if column.pattern is not None:
            yield Question(
                (*path, "pattern"),
                f"regexp_full_match('', {literal(column.pattern)}) IS NULL",
                "the pattern is no regular expression that DuckDB knows",
                "it knows those of RE2, so no look-around and no references back",
            )
        if column.format is not None:
            yield Question(
                (*path, "format"),
                f"try_strptime('', {literal(column.format)}) IS NOT NULL",
                "the format is none that DuckDB knows",
                "write it as for strptime: %d/%m/%Y",
            )


def rule_questions(contract: Contract, sound: Collection[str]) -> Iterator[Question]:
    """Does each default hold to the rules of its own column, and is there room between the
    bounds? Only asked of the columns in `sound`, whose values are known to be of their types."""
    for name in sound:
        column = contract.columns[name]
        path = ("columns", name)
        if column.min is not None and column.max is not None:
            broken = f"{_as(column, column.min)} > {_as(column, column.max)}"
            yield Question((*path, "min"), broken, "`min` is greater than `max`")
        if column.default is not None:
            value = f"{_as(column, column.default)} AS {ident(name)}"
            for rule, broken in _rules(name, column):
                yield Question(
                    (*path, "default"),
                    f"(SELECT {broken} FROM (SELECT {value}))",
                    f"the default breaks the column's own `{rule}`",
                )


def _as(column: Column, value: Literal) -> str:
    return f"CAST({literal(value)} AS {column.type.sql})"


def _rules(name: str, column: Column) -> list[tuple[str, str]]:
    """A column's rules over its value, as (name, SQL that is true where it is broken)."""
    alone = Contract(columns={name: column.model_copy(update={"otherwise": None})})
    checks = compile_contract(alone, {name: column.type}, otherwise=Remedy.QUARANTINE).checks
    named = [(check.code.rpartition(".")[2], check.broken) for check in checks]
    return [(rule, broken) for rule, broken in named if rule not in ("type", "required")]


def is_none(value: Literal, wanted: Type) -> str:
    """SQL that is true where a value is none of a type: by the same casts as the rows' values."""
    if wanted.is_nested:
        return f"TRY_CAST({literal(value)} AS {wanted.sql}) IS NULL"
    return f"({cast(literal(text_of(value)), VARCHAR, wanted)}) IS NULL"


def text_of(value: Literal) -> str:
    """A value as a file would hold it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, date | time):
        return value.isoformat().replace("T", " ")
    return str(value)
