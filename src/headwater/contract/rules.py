"""The kinds of rules over one value, each as SQL that is true where it is broken.

One function a kind; `RULES` lists them in the order in which reasons are given, with what they
mean to people. A missing value breaks none of them but `required`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from headwater.contract.contract import Column, Part, Remedy
from headwater.contract.definition import Expression, Replacement, Value
from headwater.contract.types import FLOATS, Type
from headwater.sql.quote import Literal, literal


@dataclass(frozen=True)
class Subject:
    """A value under rules.

    part     its rules.
    value    SQL of the value.
    kind     its type.
    missing  SQL that is true where there is none because the input has none.
    lost     SQL that is true where there is none though the input has one; "" if that cannot be.
    no_code  the same for `values`: where the input is none of its texts.
    required whether it must be there: as its rules say, or because it is of the key.
    room     the remedy of rules that name none: `fail` in models.
    """

    part: Part
    value: str
    kind: Type
    missing: str
    lost: str = ""
    no_code: str = ""
    required: bool = False
    room: Remedy = Remedy.QUARANTINE


@dataclass(frozen=True)
class Broken:
    """Where a rule is broken, and what it says in words."""

    sql: str
    words: str


@dataclass(frozen=True)
class RuleKind:
    """A kind of rule. `meaning` says when it is broken."""

    compile: Callable[[Subject], Broken | None]
    meaning: str


def constant(value: Literal, kind: Type) -> str:
    """A constant of a contract as SQL of a type."""
    return f"CAST({literal(value)} AS {kind.sql})"


def computed(expression: str, kind: Type) -> str:
    """An expression of a contract as SQL of a type; NULL where it cannot be computed."""
    return f"TRY_CAST(TRY({expression}) AS {kind.sql})"


def as_sql(value: Value, kind: Type) -> str:
    if isinstance(value, Expression):
        return computed(value.expression, kind)
    return constant(value, kind)


def computes(part: Part) -> bool:
    """Whether something that a value is held against, or that takes its place, is computed."""
    values = [*part.bounds.values(), *(part.accepted or ())]
    if isinstance(part, Column):
        if part.default is not None:
            values.append(part.default)
        if part.fill and part.fill.expression is not None:
            return True
        if isinstance(part.otherwise, Replacement) and part.otherwise.expression is not None:
            return True
    inner = [*(part.fields or {}).values(), *([part.items] if part.items else [])]
    return any(isinstance(value, Expression) for value in values) or any(map(computes, inner))


def in_words(value: Value | None) -> str:
    """A value of a contract as people write it."""
    if isinstance(value, Expression):
        return value.expression
    if value is None:
        return "NULL"
    return str(value).lower() if isinstance(value, bool) else str(value)


# ---- one function a kind ---------------------------------------------------------------------


def _type(subject: Subject) -> Broken | None:
    described = subject.kind.sql.lower()
    if isinstance(subject.part, Column) and subject.part.formats:
        described += f" as {' or '.join(subject.part.formats)}"
    return Broken(subject.lost, f"must be {described}") if subject.lost else None


def _values(subject: Subject) -> Broken | None:
    if not (subject.no_code and isinstance(subject.part, Column) and subject.part.values):
        return None
    return Broken(subject.no_code, f"one of {', '.join(subject.part.values)}")


def _required(subject: Subject) -> Broken | None:
    return Broken(subject.missing, "must not be missing") if subject.required else None


def _accepted(subject: Subject) -> Broken | None:
    accepted = subject.part.accepted
    if accepted is None:
        return None
    words = f"one of {', '.join(in_words(item) for item in accepted)}"
    constants = [
        constant(item, subject.kind) for item in accepted if not isinstance(item, Expression)
    ]
    expressions = [item.expression for item in accepted if isinstance(item, Expression)]
    broken = [f"{subject.value} NOT IN ({', '.join(constants)})"] if constants else []
    # Of an expression without a value nothing is known: it allows no value, and forbids none.
    broken += [
        f"NOT coalesce(TRY({subject.value} = ({expression})), FALSE)" for expression in expressions
    ]
    if expressions:
        broken.insert(0, f"{subject.value} IS NOT NULL")
    return Broken(" AND ".join(broken), words)


def _min(subject: Subject) -> Broken | None:
    return _bound(subject, subject.part.min, "<", "at least")


def _max(subject: Subject) -> Broken | None:
    return _bound(subject, subject.part.max, ">", "at most")


def _bound(subject: Subject, bound: Value | None, sign: str, words: str) -> Broken | None:
    if bound is None:
        return None
    if isinstance(bound, Expression):
        # A bound that cannot be computed for a row does not hold for it; one that is NULL is none.
        beyond = f"TRY(({subject.value} {sign} ({bound.expression})) IS TRUE)"
        broken = f"{subject.value} IS NOT NULL AND coalesce({beyond}, TRUE)"
    else:
        broken = f"{subject.value} {sign} {constant(bound, subject.kind)}"
    return Broken(broken, f"{words} {in_words(bound)}")


def _finite(subject: Subject) -> Broken | None:
    if subject.kind.kind not in FLOATS or subject.room is not Remedy.FAIL:
        return None
    return Broken(f"NOT isfinite({subject.value})", "must be a finite number")


def _pattern(subject: Subject) -> Broken | None:
    pattern = subject.part.pattern
    if pattern is None:
        return None
    broken = f"NOT regexp_full_match({subject.value}, {literal(pattern)})"
    return Broken(broken, f"must match {pattern}")


def _length(subject: Subject) -> Broken | None:
    length = subject.part.length
    if length is None:
        return None
    bounds = []
    if length.min is not None:
        bounds.append(f"length({subject.value}) < {length.min}")
    if length.max is not None:
        bounds.append(f"length({subject.value}) > {length.max}")
    if not bounds:
        return None
    words = f"length {length.min or 0} to {length.max or 'any'}"
    return Broken(" OR ".join(bounds), words)


RULES = {
    "type": RuleKind(_type, "the value is not exactly one of the column's type or `format`"),
    "values": RuleKind(_values, "the text is none of those in `values`"),
    "required": RuleKind(_required, "the value is missing (`required`, or a column of the key)"),
    "accepted": RuleKind(_accepted, "the value is none of `accepted`"),
    "min": RuleKind(_min, "the value is less than `min`"),
    "max": RuleKind(_max, "the value is greater than `max`"),
    "finite": RuleKind(_finite, "the number is infinite or not a number (models only)"),
    "pattern": RuleKind(_pattern, "the text does not match `pattern`"),
    "length": RuleKind(_length, "the text is shorter or longer than `length`"),
}
"""Kind -> how it is compiled, in the order of reasons."""

OF_THE_TYPE = ("type", "values")
"""The kinds without which there is no value that could land, so a warning is not enough."""


def broken_rules(subject: Subject) -> Iterator[tuple[str, Broken]]:
    """The rules of a value, each with where it is broken."""
    for name, kind in RULES.items():
        if broken := kind.compile(subject):
            yield name, broken
