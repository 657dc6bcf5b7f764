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
from headwater.contract.contract import Column, Contract, Part, Remedy
from headwater.contract.definition import Expression, Replacement, Value
from headwater.contract.rules import constant
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
        yield from _questions_of_a_column(path, column)
        yield from _questions_of_a_part(path, column, column.type)


def _questions_of_a_column(path: KeyPath, column: Column) -> Iterator[Question]:
    """What only a column has: its constants for gaps, its codes and its formats."""
    kind = column.type
    constants: list[tuple[str, Value | None]] = [("default", column.default)]
    if column.fill:
        constants.append(("fill", column.fill.value))
    if isinstance(column.otherwise, Replacement):
        constants.append(("otherwise", column.otherwise.value))
    for key, value in constants:
        yield from _is_of_type((*path, key), f"`{key}`", value, kind)
    for code, value in (column.values or {}).items():
        yield from _is_of_type((*path, "values", code), "the value", value, kind)
    for format_ in column.formats:
        yield Question(
            (*path, "format"),
            f"try_strptime('', {literal(format_)}) IS NOT NULL",
            "the format is none that DuckDB knows",
            "write it as for strptime: %d/%m/%Y",
        )


def _questions_of_a_part(path: KeyPath, part: Part, kind: Type) -> Iterator[Question]:
    for key, bound in part.bounds.items():
        yield from _is_of_type((*path, key), f"`{key}`", bound, kind)
    for number, value in enumerate(part.accepted or (), start=1):
        what = f"value {number} of `accepted`"
        yield from _is_of_type((*path, "accepted"), what, value, kind)
    if part.pattern is not None:
        yield Question(
            (*path, "pattern"),
            f"regexp_full_match('', {literal(part.pattern)}) IS NULL",
            "the pattern is no regular expression that DuckDB knows",
            "it knows those of RE2, so no look-around and no references back",
        )
    for inner_path, inner, inner_kind in parts_of(path, part, kind):
        yield from _questions_of_a_part(inner_path, inner, inner_kind)


def parts_of(path: KeyPath, part: Part, kind: Type) -> Iterator[tuple[KeyPath, Part, Type]]:
    """The parts of a value with rules of their own: where they stand, and their types."""
    types = dict(kind.parts)
    for field, inner in (part.fields or {}).items():
        if field in types:
            yield (*path, "fields", field), inner, types[field]
    if part.items is not None and kind.kind == "LIST":
        yield (*path, "items"), part.items, types[""]


def _is_of_type(path: KeyPath, what: str, value: Value | None, kind: Type) -> Iterator[Question]:
    if value is not None and not isinstance(value, Expression) and kind != VARCHAR:
        yield Question(path, is_none(value, kind), f"{what} must be {kind.sql.lower()}")


def rule_questions(contract: Contract, sound: Collection[str]) -> Iterator[Question]:
    """Does each constant of a column hold to the column's own rules, and is there room between
    the bounds? Only asked of the columns in `sound`, whose values are known to be of their
    types."""
    for name in sound:
        column = contract.columns[name]
        path = ("columns", name)
        yield from _room_between(path, column, column.type)
        constants = {"default": column.default}
        if column.fill:
            constants["fill"] = column.fill.value
        if isinstance(column.otherwise, Replacement):
            constants["otherwise"] = column.otherwise.value
        for key, value in constants.items():
            if value is not None and not isinstance(value, Expression):
                yield from _holds_to_rules((*path, key), name, column, value)


def _room_between(path: KeyPath, part: Part, kind: Type) -> Iterator[Question]:
    known = [bound for bound in part.bounds.values() if not isinstance(bound, Expression)]
    if len(known) == 2:
        low, high = (constant(bound, kind) for bound in known)
        yield Question((*path, "min"), f"{low} > {high}", "`min` is greater than `max`")
    for inner_path, inner, inner_kind in parts_of(path, part, kind):
        yield from _room_between(inner_path, inner, inner_kind)


def _holds_to_rules(path: KeyPath, name: str, column: Column, value: Literal) -> Iterator[Question]:
    what = "the default" if path[-1] == "default" else f"the value of `{path[-1]}`"
    given = f"{constant(value, column.type)} AS {ident(name)}"
    for rule, broken in _rules(name, column):
        yield Question(
            path,
            f"(SELECT {broken} FROM (SELECT {given}))",
            f"{what} breaks the column's own `{rule}`",
        )


def _rules(name: str, column: Column) -> list[tuple[str, str]]:
    """A column's rules over its value, as (name, SQL that is true where it is broken). Those that
    are computed from other columns are left out."""
    known = {key: None for key, bound in column.bounds.items() if isinstance(bound, Expression)}
    if any(isinstance(value, Expression) for value in column.accepted or ()):
        known["accepted"] = None
    alone = column.model_copy(
        update={
            **known,
            "otherwise": None,
            "fill": None,
            "values": None,
            "fields": None,
            "items": None,
            "default": None,
        }
    )
    checks = compile_contract(
        Contract(columns={name: alone}), {name: column.type}, otherwise=Remedy.QUARANTINE
    ).checks
    named = [(check.code.rpartition(".")[2], check.broken) for check in checks]
    return [(rule, broken) for rule, broken in named if rule not in ("type", "required")]


# ---- expressions -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Computed:
    """An expression of a contract over the columns of a row.

    path     where in the contract.
    sql      the expression.
    bound    SQL that binds where the expression can be used; the expression itself, or the rule
             that it is part of.
    wanted   the type that its value must have; None where any will do.
    """

    path: KeyPath
    sql: str
    bound: str
    wanted: Type | None = None


def expressions(contract: Contract) -> Iterator[Computed]:
    """All expressions of the columns, and the columns that they take their values from."""
    for name, column in contract.columns.items():
        path = ("columns", name)
        for inner, sql in _values_computed(column):
            yield Computed((*path, *inner), sql, sql, column.type)
        for inner, sql in _looked_back_by(column):
            yield Computed((*path, *inner), sql, sql)
        yield from _bounds_computed(path, column, column.type)


def _values_computed(column: Column) -> Iterator[tuple[KeyPath, str]]:
    """Where a column's values come from, other than from the input: (path, expression)."""
    if isinstance(column.default, Expression):
        yield ("default",), column.default.expression
    if isinstance(column.otherwise, Replacement) and column.otherwise.expression:
        yield ("otherwise",), column.otherwise.expression
    if column.fill and column.fill.expression:
        yield ("fill", "expression"), column.fill.expression
    if column.fill and column.fill.from_:
        yield ("fill", "from"), ident(column.fill.from_)


def _looked_back_by(column: Column) -> Iterator[tuple[KeyPath, str]]:
    """The columns that say which value is the previous one."""
    if column.fill and column.fill.previous:
        previous = column.fill.previous
        if previous.by:
            yield ("fill", "previous", "by"), ident(previous.by)
        for name in previous.within:
            yield ("fill", "previous", "within"), ident(name)


def _bounds_computed(path: KeyPath, part: Part, kind: Type) -> Iterator[Computed]:
    bounds = [(key, bound) for key, bound in part.bounds.items()]
    bounds += [("accepted", value) for value in part.accepted or ()]
    for key, bound in bounds:
        if isinstance(bound, Expression):
            compared = f"CAST(NULL AS {kind.sql}) < TRY({bound.expression})"
            yield Computed((*path, key), bound.expression, compared)
    for inner_path, inner, inner_kind in parts_of(path, part, kind):
        yield from _bounds_computed(inner_path, inner, inner_kind)


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
