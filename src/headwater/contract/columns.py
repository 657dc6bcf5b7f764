"""How one column comes out of its field: what is meant by it, its type, its gaps, its rules and
their remedies, each as SQL.

How the columns stand together in one query is in `compile.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from headwater.contract.casts import Steps, cast_in_steps, is_absent, is_lossy, is_missing
from headwater.contract.cleaning import (
    as_plain_number,
    cleaned,
    has_own_separators,
    is_no_code,
    mapped,
)
from headwater.contract.contract import Column, Contract, MissingColumn, Remedy
from headwater.contract.definition import Expression, Fill, Previous, Replacement
from headwater.contract.inside import Inside, any_of, clipped, rules_inside
from headwater.contract.rules import (
    OF_THE_TYPE,
    Broken,
    Subject,
    as_sql,
    broken_rules,
    computed,
    constant,
)
from headwater.contract.types import VARCHAR, Type
from headwater.sql.quote import ident

ROW_NUMBER = "row:number"
"""The row's place in the input, where it is needed."""


def carry(name: str) -> str:
    return f"carried:{name}"


@dataclass(frozen=True)
class Check:
    """One way in which a row can break its contract.

    code       `column.rule` or `rule.name`; what the quarantine gives as a reason.
    broken     SQL over the compiled query's columns; true where the row breaks it.
    remedy     what follows.
    meaning    the rule in words, without values of rows.
    """

    code: str
    broken: str
    remedy: Remedy
    meaning: str


def raw_field(name: str) -> str:
    """An input's field, as the compiled query's conditions name it."""
    return ident(f"raw:{name}:")


def is_needed(contract: Contract, name: str) -> bool:
    """Whether an input that does not have a column of the contract at all cannot be taken."""
    column = contract.columns[name]
    meaning = column.missing_column or contract.missing_columns
    is_filled = column.fills_gaps and meaning is not MissingColumn.NULL
    is_required = column.required or name in contract.never_missing
    return meaning is MissingColumn.FAIL or (is_required and not is_filled)


@dataclass(frozen=True)
class Plan:
    """How one column comes out of its field. A value goes from the first of these to the last.

    source   the input's field; "" where it has none.
    raw      SQL of the field.
    clean    SQL of what is meant by it: `raw`, unless the column asks for cleaning.
    steps    (name, SQL) of what `value` needs computed before it, each over those before.
    value    SQL for the typed value, with its default if that is a constant; over `clean` and
             `steps`.
    filling  SQL for what a missing value becomes, over the typed values; "" for nothing more.
    mended   SQL for the value after its remedy, "" if no remedy mends anything; over values.
    counts   repair count -> SQL, over values, that is true where this column's cell belongs to it.
    checks   the rules that send the whole row elsewhere.
    repairs  the rules whose remedy is `mended`.
    refills  whether that remedy is to fill the value anew.
    """

    name: str
    column: Column
    source: str
    raw: str
    clean: str
    given: Type
    value: str
    steps: tuple[tuple[str, str], ...] = ()
    filling: str = ""
    mended: str = ""
    counts: Mapping[str, str] = field(default_factory=dict)
    checks: tuple[Check, ...] = ()
    repairs: tuple[Check, ...] = ()
    refills: bool = False

    @property
    def absent(self) -> str:
        """SQL that is true where the input has no value."""
        return is_absent(self.clean, self.given, self.column.type)

    @property
    def missing(self) -> str:
        """SQL, over values, that is true where there is none because the input has none."""
        return is_missing(ident(self.name), self.clean, self.given, self.column.type)

    @property
    def is_filled(self) -> bool:
        """Whether gaps are filled in a stage of their own, once all values have their types."""
        return bool(self.filling)

    @property
    def cleans(self) -> bool:
        """Whether a value may become another one though no rule is broken."""
        return self.clean != self.raw or self.column.fills_gaps or bool(self.column.values)

    @property
    def looks_back(self) -> bool:
        return self.is_filled and bool(self.column.fill and self.column.fill.previous)


def plan_columns(contract: Contract, fields: Mapping[str, Type], otherwise: Remedy) -> list[Plan]:
    by_folded = {name.lower(): name for name in reversed(list(fields))}
    plans = []
    for name, stated in contract.columns.items():
        column = contract.settled(stated)
        wanted = column.from_ or name
        found = wanted if wanted in fields else by_folded.get(wanted.lower(), "")
        if not found and (column.missing_column or contract.missing_columns) is MissingColumn.NULL:
            column = column.model_copy(update={"default": None, "fill": None, "otherwise": None})
        given = fields[found] if found else column.type
        required = column.required or name in contract.never_missing
        plans.append(_plan_column(name, column, found, given, required, otherwise))
    return plans


def _plan_column(
    name: str, column: Column, found: str, given: Type, required: bool, otherwise: Remedy
) -> Plan:
    raw = raw_field(found) if found else f"CAST(NULL AS {column.type.sql})"
    clean = raw
    if found and cleaned(column, raw, given) != raw:
        clean = ident(f"clean:{name}:")
    typed = _typed(name, column, clean, given)
    plan = Plan(name, column, found, raw, clean, given, typed.sql, typed.named)
    inside = rules_inside(column, ident(name), column.type, name)
    own = _own_rules(plan, required, otherwise)
    plan = _with_gaps_filled(plan, own)
    checks = _checks(name, own, inside, column.otherwise or otherwise)
    return _with_remedy(_with_parts(plan, inside, otherwise), checks, inside, otherwise)


def _typed(name: str, column: Column, clean: str, given: Type) -> Steps:
    """The value as one of its type, NULL where it is none."""
    if column.values:
        return Steps((), mapped(column, clean, given))
    prefix = f"step:{name}:"
    if has_own_separators(column, given):
        number = ident(f"{prefix}number")
        found = cast_in_steps(number, VARCHAR, column.type, (), prefix)
        return Steps(((number, as_plain_number(column, clean)), *found.named), found.sql)
    return cast_in_steps(clean, given, column.type, column.formats, prefix)


# ---- its gaps ------------------------------------------------------------------------------


def _with_gaps_filled(plan: Plan, own: list[tuple[str, Broken]]) -> Plan:
    """The plan with what a missing value becomes: at once where that is a constant, else once all
    values have their types."""
    column = plan.column
    default = "" if column.default is None else as_sql(column.default, column.type)
    if column.fill is None and not default:
        return plan
    if column.fill is None and not isinstance(column.default, Expression):
        value = f"CASE WHEN {plan.absent} THEN {default} ELSE {plan.value} END"
        return replace(plan, value=value)
    found = [_fill(plan, column.fill, own)] if column.fill else []
    found += [default] if default else []
    return replace(plan, filling=f"coalesce({', '.join(found)})" if len(found) > 1 else found[0])


def as_carried(plan: Plan) -> Plan:
    """The plan of a column whose values are not filled again, but taken from a judged table."""
    carried = ident(carry(plan.name))
    mended = plan.mended.replace(plan.filling, carried) if plan.refills else plan.mended
    return replace(plan, filling=carried, mended=mended)


def _fill(plan: Plan, fill: Fill, own: list[tuple[str, Broken]]) -> str:
    kind = plan.column.type
    if fill.from_ is not None:
        return f"TRY_CAST({ident(fill.from_)} AS {kind.sql})"
    if fill.expression is not None:
        return computed(fill.expression, kind)
    if fill.previous is not None:
        return _previous(plan.name, fill.previous, own)
    return constant(fill.value, kind)


def _previous(name: str, previous: Previous, own: list[tuple[str, Broken]]) -> str:
    """The last value before that breaks no rule of its column."""
    broken = any_of(
        [f"({rule.sql})" for kind, rule in own if kind not in (*OF_THE_TYPE, "required")]
    )
    sound = f"CASE WHEN ({broken}) IS NOT TRUE THEN {ident(name)} END"
    parts = ", ".join(ident(key) for key in previous.within)
    within = f"PARTITION BY {parts} " if parts else ""
    order = ", ".join([*([ident(previous.by)] if previous.by else []), ident(ROW_NUMBER)])
    value = (
        f"last_value({sound} IGNORE NULLS) OVER ({within}ORDER BY {order} "
        "ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)"
    )
    # A row of which it is not known where it belongs has none before it.
    known = [*previous.within, *([previous.by] if previous.by else [])]
    if not known:
        return value
    there = " AND ".join(f"{ident(key)} IS NOT NULL" for key in known)
    return f"CASE WHEN {there} THEN {value} END"


# ---- its rules and their remedies ----------------------------------------------------------


def _own_rules(plan: Plan, required: bool, room: Remedy) -> list[tuple[str, Broken]]:
    """The rules over the column's whole value."""
    column, value = plan.column, ident(plan.name)
    lost = is_lossy(value, plan.clean, plan.given, column.type)
    no_code = ""
    if column.values:
        lost = ""
        no_code = f"{value} IS NULL AND {is_no_code(column, plan.clean, plan.given)}"
    elif column.format:
        lost = f"{value} IS NULL AND {plan.clean} IS NOT NULL"
    subject = Subject(
        column, value, column.type, plan.missing, lost, no_code, required=required, room=room
    )
    return list(broken_rules(subject))


def _checks(
    name: str, own: list[tuple[str, Broken]], inside: Inside, stated: Remedy | Replacement
) -> list[Check]:
    """The rules that have the column's remedy."""
    remedy = Remedy.DEFAULT if isinstance(stated, Replacement) else stated
    strict = Remedy.QUARANTINE if remedy is Remedy.WARN else remedy
    checks = [
        _check(f"{name}.{kind}", broken, strict if kind in OF_THE_TYPE else remedy)
        for kind, broken in own
    ]
    return checks + [_check(rule.code, rule.broken, remedy) for rule in inside.open]


def _check(code: str, broken: Broken, remedy: Remedy) -> Check:
    return Check(code, f"({broken.sql})", remedy, f"{code.rpartition('.')[0]}: {broken.words}")


_MENDING = (Remedy.NULL, Remedy.DEFAULT, Remedy.FILL, Remedy.CLIP)
"""The remedies that mend a value; the others send the row elsewhere."""


def _with_parts(plan: Plan, inside: Inside, otherwise: Remedy) -> Plan:
    """The plan with the remedies that parts of the value name themselves."""
    settled = [_check(r.code, r.broken, r.remedy) for r in inside.found if r.remedy is not None]
    checks = [check for check in settled if check.remedy not in _MENDING]
    repairs = [check for check in settled if check.remedy in _MENDING]
    counts = {
        counted: any_of(broken)
        for counted, remedy in (("nulled", Remedy.NULL), ("clipped", Remedy.CLIP))
        if (broken := [check.broken for check in repairs if check.remedy is remedy])
    }
    mended = inside.value if repairs else ""
    return replace(plan, mended=mended, counts=counts, checks=tuple(checks), repairs=tuple(repairs))


def _with_remedy(plan: Plan, checks: list[Check], inside: Inside, room: Remedy) -> Plan:
    """The plan with the column's remedy for `checks`."""
    stated = plan.column.otherwise or room
    if not checks:
        return plan
    if stated is Remedy.NULL:
        return _mended(plan, checks, "NULL", "nulled")
    if stated is Remedy.CLIP:
        return _clipped(plan, checks, room)
    if stated is Remedy.DEFAULT and plan.column.default is not None:
        instead = as_sql(plan.column.default, plan.column.type)
        is_known = not isinstance(plan.column.default, Expression)
        return _mended(plan, checks, instead, "defaulted", () if is_known else (room,))
    if stated is Remedy.FILL:
        return replace(_mended(plan, checks, plan.filling, "defaulted", (room,)), refills=True)
    if isinstance(stated, Replacement) and stated.expression is None:
        instead = constant(stated.value, plan.column.type)
        return _mended(plan, checks, instead, "defaulted")
    if isinstance(stated, Replacement):
        instead = computed(stated.expression or "", plan.column.type)
        return _mended(plan, checks, instead, "defaulted", (room,))
    return replace(plan, checks=(*checks, *plan.checks))


def _mended(
    plan: Plan, checks: list[Check], instead: str, counted: str, again: tuple[Remedy, ...] = ()
) -> Plan:
    """The plan whose value becomes `instead` where a check is broken.

    again   the remedy of the same checks over the value instead, where it is not known before
            that it holds to them.
    """
    broken = any_of([check.broken for check in checks])
    if again:  # without a value to put there, the row has the reasons that it had
        instead = f"coalesce({instead}, {ident(plan.name)})"
    mended = f"CASE WHEN {broken} THEN {instead} ELSE {plan.mended or ident(plan.name)} END"
    once_more = [replace(check, remedy=remedy) for remedy in again for check in checks]
    return replace(
        plan,
        mended=mended,
        counts={**plan.counts, counted: _either(plan.counts.get(counted, ""), broken)},
        checks=(*once_more, *plan.checks),
        repairs=(*checks, *plan.repairs),
    )


def _either(one: str, other: str) -> str:
    return f"{one} OR {other}" if one else other


def _clipped(plan: Plan, checks: list[Check], room: Remedy) -> Plan:
    """The plan whose value is moved to the nearest bound; other rules have the room's remedy. So
    have bounds that are computed, for rows where they cannot be."""
    codes = [f"{plan.name}.{name}" for name in plan.column.bounds]
    bounds = [check for check in checks if check.code in codes]
    again = any(isinstance(bound, Expression) for bound in plan.column.bounds.values())
    others = [check for check in checks if again or check not in bounds]
    return replace(
        plan,
        mended=clipped(plan.column, ident(plan.name), plan.column.type),
        counts={**plan.counts, "clipped": any_of([check.broken for check in bounds])},
        checks=tuple(replace(check, remedy=room) for check in others),
        repairs=tuple(bounds),
    )
