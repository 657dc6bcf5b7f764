"""Rules inside a value: over the fields of a struct, over each item of a list, at any depth.

A rule is named by its path, such as `customer.age.min` and `tags[].pattern`. A part without a
remedy takes that of what it is part of, up to the column.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from headwater.contract.contract import Part, Remedy
from headwater.contract.rules import Broken, Subject, as_sql, broken_rules
from headwater.contract.types import Type
from headwater.sql.quote import ident, literal


@dataclass(frozen=True)
class Found:
    """A rule by its code, and where it is broken. `remedy`: None as long as it has none."""

    code: str
    broken: Broken
    remedy: Remedy | None = None


@dataclass(frozen=True)
class Inside:
    """What the rules inside a value are.

    value   SQL of the value, its parts mended.
    found   the rules, in order.
    """

    value: str
    found: tuple[Found, ...] = ()

    @property
    def open(self) -> tuple[Found, ...]:
        """The rules that take the remedy of what the value is part of."""
        return tuple(rule for rule in self.found if rule.remedy is None)

    def with_remedy(self, remedy: Remedy, rules: tuple[Found, ...]) -> tuple[Found, ...]:
        """All rules, these of them with a remedy."""
        return tuple(replace(r, remedy=remedy) if r in rules else r for r in self.found)


def rules_inside(part: Part, value: str, kind: Type, path: str, depth: int = 0) -> Inside:
    """The rules inside `value`, which is called `path` and has the rules `part`."""
    if part.fields:
        return _in_fields(part.fields, value, kind, path, depth)
    if part.items:
        return _in_items(part.items, value, kind, path, depth)
    return Inside(value)


def clipped(part: Part, value: str, kind: Type, instead: str | None = None) -> str:
    """SQL for the nearest of a part's bounds where `value` is beyond one; else `instead`."""
    arms = []
    for name, sign in (("min", "<"), ("max", ">")):
        if name in part.bounds:
            bound = as_sql(part.bounds[name], kind)
            arms.append(f"WHEN {value} {sign} {bound} THEN {bound}")
    return f"CASE {' '.join(arms)} ELSE {instead or value} END"


def any_of(conditions: list[str]) -> str:
    return " OR ".join(conditions) or "FALSE"


def _in_fields(fields: dict[str, Part], value: str, kind: Type, path: str, depth: int) -> Inside:
    found: list[Found] = []
    packed, is_mended = [], False
    for name, of_field in kind.parts:
        field = f"struct_extract({value}, {literal(name)})"
        inside = Inside(field)
        if part := fields.get(name):
            missing = f"{value} IS NOT NULL AND {field} IS NULL"
            inside = _of_part(part, field, of_field, f"{path}.{name}", missing, depth)
        found += inside.found
        is_mended = is_mended or inside.value != field
        packed.append(f"{ident(name)} := {inside.value}")
    if not is_mended:
        return Inside(value, tuple(found))
    mended = f"CASE WHEN {value} IS NOT NULL THEN struct_pack({', '.join(packed)}) END"
    return Inside(mended, tuple(found))


def _in_items(part: Part, value: str, kind: Type, path: str, depth: int) -> Inside:
    item = ident(f"item:{depth}")
    inside = _of_part(part, item, kind.parts[0][1], f"{path}[]", f"{item} IS NULL", depth + 1)
    found = _each(inside.found, lambda sql: f"len(list_filter({value}, lambda {item}: {sql})) > 0")
    if inside.value == item:
        return Inside(value, found)
    return Inside(f"list_transform({value}, lambda {item}: {inside.value})", found)


def _each(found: tuple[Found, ...], wrap: Callable[[str], str]) -> tuple[Found, ...]:
    return tuple(
        replace(rule, broken=replace(rule.broken, sql=wrap(rule.broken.sql))) for rule in found
    )


def _of_part(part: Part, value: str, kind: Type, path: str, missing: str, depth: int) -> Inside:
    """The rules of a part and inside it, with its remedy where it names one."""
    inside = rules_inside(part, value, kind, path, depth)
    subject = Subject(part, value, kind, missing, required=part.required)
    own = tuple(Found(f"{path}.{name}", broken) for name, broken in broken_rules(subject))
    inside = Inside(inside.value, (*own, *inside.found))
    if part.otherwise is None:
        return inside
    if part.otherwise is Remedy.CLIP:
        bounds = tuple(rule for rule in own if rule.code.endswith((".min", ".max")))
        return Inside(
            clipped(part, value, kind, inside.value), inside.with_remedy(Remedy.CLIP, bounds)
        )
    settled = inside.with_remedy(part.otherwise, inside.open)
    if part.otherwise is not Remedy.NULL:
        return Inside(inside.value, settled)
    broken = any_of([f"({rule.broken.sql})" for rule in inside.open])
    return Inside(f"CASE WHEN {broken} THEN NULL ELSE {inside.value} END", settled)
