"""A contract as SQL: one pass that yields each row typed, mended and judged.

The compiled query keeps every row of its input and says of each what becomes of it (`_fate`).
Rows that do not simply land carry their input values along (`_raw`), and a second query over
those few names every rule that each of them broke. No row is looked at in Python.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import IntEnum

from headwater.contract.casts import cast_in_steps, is_lossy, is_missing
from headwater.contract.contract import Column, Contract, Remedy, Rule, UnexpectedColumns
from headwater.contract.types import FLOATS, Type
from headwater.sql.quote import Literal, ident, literal


class Fate(IntEnum):
    """What becomes of a row."""

    LANDED = 0
    QUARANTINED = 1
    DROPPED = 2
    FAILED = 3


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


@dataclass(frozen=True)
class Compiled:
    """A contract compiled against the fields of one input. The first `{input}` of a query stands
    for the relation (there may be others, in names): see `judge_over` and `reasons_over`.

    columns     the columns that land, in order, with their types.
    judge       SELECT of `columns`, then `_fate`, `_warned`, `_nulled`, `_defaulted`,
                `_clipped` (how many cells of the row) and `_raw` (a struct of the input's
                fields, NULL for a row that lands without a warning); one row per input row,
                in the order of the input.
    reasons     SELECT `_id`, `_fate`, `reasons` (codes, VARCHAR[]) from a relation that has
                `row_id`, `row_fate` and the input's fields.
    row_id, row_fate
                what the relation of `reasons` calls a row's number and fate: `_id` and `_fate`,
                unless fields of the input are called so.
    clashes     columns that cannot land, because the queries need their names.
    missing     the contract's columns that the input does not have.
    unexpected  the input's fields that the contract does not name.
    checks      all checks that send a row elsewhere or fail the step, in order.
    repairs     all checks whose remedy mends the value instead.
    """

    columns: tuple[tuple[str, Type], ...]
    judge: str
    reasons: str
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    checks: tuple[Check, ...]
    repairs: tuple[Check, ...] = ()
    row_id: str = "_id"
    row_fate: str = "_fate"
    clashes: tuple[str, ...] = ()

    def judge_over(self, relation: str) -> str:
        return self.judge.replace(_INPUT, relation, 1)

    def reasons_over(self, relation: str) -> str:
        return self.reasons.replace(_INPUT, relation, 1)

    @property
    def is_trivial(self) -> bool:
        """Whether every row lands as it is."""
        return not self.checks and not self.repairs


_INPUT = "{input}"
_JUDGED = ("_fate", "_warned", "_nulled", "_defaulted", "_clipped", "_raw")


def raw_field(name: str) -> str:
    """An input's field, as the compiled query's conditions name it."""
    return ident(f"raw:{name}:")


def compile_contract(
    contract: Contract,
    fields: Mapping[str, Type],
    *,
    otherwise: Remedy,
    hidden: Mapping[str, Type] | None = None,
    malformed: Iterable[Check] = (),
) -> Compiled:
    """Compile `contract` against an input with `fields` (name -> type, in order).

    otherwise  the remedy of a rule that names none: quarantine on sources, fail on models.
    hidden     fields that never land, for the conditions of `malformed` to look at.
    malformed  checks over raw fields that come before all others: where one of them is broken
               it is the only reason.

    Fields are matched to columns by `from` (else the column's name), regardless of case.
    """
    plans = _plan_columns(contract, fields, otherwise)
    taken = {plan.field for plan in plans if plan.field}
    unexpected = tuple(name for name in fields if name not in taken)
    kept = unexpected if contract.unexpected_columns is UnexpectedColumns.KEEP else ()
    names = {plan.name.lower() for plan in plans}
    kept = tuple(name for name in kept if name.lower() not in names)
    unreadable = list(malformed)
    checks = [*unreadable, *(check for plan in plans for check in plan.checks)]
    checks += [_rule_check(rule, otherwise) for rule in contract.rules]
    inputs = {**fields, **(hidden or {})}
    columns = [(plan.name, plan.column.type) for plan in plans]
    columns += [(name, fields[name]) for name in kept]
    pipeline = _pipeline(plans, kept, inputs)
    row_id, row_fate = unused("_id", inputs), unused("_fate", inputs)
    numbered = _pipeline(plans, kept, inputs, {_ROW_ID: row_id, _ROW_FATE: row_fate})
    ours = {name.lower() for name in _internal_names(plans, inputs)}
    return Compiled(
        columns=tuple(columns),
        judge=_judge(pipeline, [name for name, _ in columns], plans, checks, tuple(inputs)),
        reasons=_reasons(numbered, unreadable, checks),
        row_id=row_id,
        row_fate=row_fate,
        clashes=tuple(name for name, _ in columns if ident(name).lower() in ours),
        missing=tuple(plan.name for plan in plans if not plan.field),
        unexpected=unexpected,
        checks=tuple(checks),
        repairs=tuple(check for plan in plans for check in plan.repairs),
    )


# ---- one column ----------------------------------------------------------------------------


@dataclass(frozen=True)
class _Plan:
    """How one column comes out of its field.

    value    SQL for the typed value with its default; over raw fields and `steps`.
    mended   SQL for the value after its remedy, "" if the remedy mends nothing; over values.
    mends    SQL that is true where the remedy changed the value.
    counted  which repair count `mends` belongs to.
    checks   the rules that send the whole row elsewhere.
    repairs  the rules whose remedy is `mended`.
    steps    (name, SQL) of what `value` needs computed before it, each over those before.
    """

    name: str
    column: Column
    field: str
    raw: str
    value: str
    mended: str = ""
    mends: str = ""
    counted: str = ""
    checks: tuple[Check, ...] = ()
    repairs: tuple[Check, ...] = ()
    steps: tuple[tuple[str, str], ...] = ()


def _plan_columns(contract: Contract, fields: Mapping[str, Type], otherwise: Remedy) -> list[_Plan]:
    by_folded = {name.lower(): name for name in reversed(list(fields))}
    plans = []
    for name, column in contract.columns.items():
        wanted = column.from_ or name
        field = wanted if wanted in fields else by_folded.get(wanted.lower(), "")
        given = fields[field] if field else column.type
        required = column.required or name in contract.never_missing
        plans.append(_plan_column(name, column, field, given, required, otherwise))
    return plans


def _plan_column(
    name: str, column: Column, field: str, given: Type, required: bool, otherwise: Remedy
) -> _Plan:
    raw = raw_field(field) if field else f"CAST(NULL AS {column.type.sql})"
    found = cast_in_steps(raw, given, column.type, column.format, f"step:{name}:")
    value = found.sql
    if column.default is not None:
        value = f"CASE WHEN {raw} IS NULL THEN {_as(column, column.default)} ELSE {value} END"
    remedy = column.otherwise or otherwise
    checks = _column_checks(name, column, raw, given, required, remedy, otherwise)
    plan = _Plan(name, column, field, raw, value, steps=found.named, checks=tuple(checks))
    if remedy in (Remedy.NULL, Remedy.DEFAULT) and checks:
        mends = _any(check.broken for check in checks)
        instead = "NULL" if remedy is Remedy.NULL else _as(column, column.default)
        mended = f"CASE WHEN {mends} THEN {instead} ELSE {ident(name)} END"
        counted = "nulled" if remedy is Remedy.NULL else "defaulted"
        return replace(
            plan, mended=mended, mends=mends, counted=counted, checks=(), repairs=tuple(checks)
        )
    if remedy is Remedy.CLIP:
        bounds = [check for check in checks if check.code.endswith((".min", ".max"))]
        others = [_with_remedy(check, otherwise) for check in checks if check not in bounds]
        mends = _any(check.broken for check in bounds)
        return replace(
            plan,
            mended=_clip(name, column),
            mends=mends,
            counted="clipped",
            checks=tuple(others),
            repairs=tuple(bounds),
        )
    return plan


def _column_checks(
    name: str,
    column: Column,
    raw: str,
    given: Type,
    required: bool,
    remedy: Remedy,
    remedy_of_room: Remedy,
) -> list[Check]:
    value = ident(name)
    lossy = is_lossy(value, raw, given, column.type)
    if column.format:
        lossy = f"{value} IS NULL AND {raw} IS NOT NULL"
    # A value that is not of its type cannot land, so a warning is not enough for it.
    strict = Remedy.QUARANTINE if remedy is Remedy.WARN else remedy
    described = column.type.sql.lower() + (f" as {column.format}" if column.format else "")
    found: list[tuple[str, str, str, Remedy]] = [("type", lossy, f"must be {described}", strict)]
    if required:
        missing = is_missing(value, raw, given, column.type)
        found.append(("required", missing, "must not be missing", remedy))
    if column.accepted is not None:
        values = ", ".join(_as(column, item) for item in column.accepted)
        allowed = ", ".join(str(item) for item in column.accepted)
        found.append(("accepted", f"{value} NOT IN ({values})", f"one of {allowed}", remedy))
    if column.min is not None:
        found.append(
            ("min", f"{value} < {_as(column, column.min)}", f"at least {column.min}", remedy)
        )
    if column.max is not None:
        found.append(
            ("max", f"{value} > {_as(column, column.max)}", f"at most {column.max}", remedy)
        )
    if column.type.kind in FLOATS and remedy_of_room is Remedy.FAIL:
        found.append(("finite", f"NOT isfinite({value})", "must be a finite number", remedy))
    if column.pattern is not None:
        broken = f"NOT regexp_full_match({value}, {literal(column.pattern)})"
        found.append(("pattern", broken, f"must match {column.pattern}", remedy))
    if column.length is not None:
        bounds = []
        if column.length.min is not None:
            bounds.append(f"length({value}) < {column.length.min}")
        if column.length.max is not None:
            bounds.append(f"length({value}) > {column.length.max}")
        words = f"length {column.length.min or 0} to {column.length.max or 'any'}"
        found.append(("length", " OR ".join(bounds), words, remedy))
    return [
        Check(f"{name}.{kind}", f"({broken})", then, f"{name}: {words}")
        for kind, broken, words, then in found
        if broken
    ]


def _clip(name: str, column: Column) -> str:
    value = ident(name)
    arms = []
    if column.min is not None:
        arms.append(f"WHEN {value} < {_as(column, column.min)} THEN {_as(column, column.min)}")
    if column.max is not None:
        arms.append(f"WHEN {value} > {_as(column, column.max)} THEN {_as(column, column.max)}")
    return f"CASE {' '.join(arms)} ELSE {value} END"


def _rule_check(rule: Rule, otherwise: Remedy) -> Check:
    # An expression that cannot be computed for a row does not hold for it.
    broken = f"coalesce(TRY(({rule.check}) IS FALSE), TRUE)"
    return Check(f"rule.{rule.name}", broken, rule.otherwise or otherwise, rule.check)


def _with_remedy(check: Check, remedy: Remedy) -> Check:
    return Check(check.code, check.broken, remedy, check.meaning)


def _as(column: Column, value: Literal) -> str:
    return f"CAST({literal(value)} AS {column.type.sql})"


def _any(conditions: Iterable[str]) -> str:
    return " OR ".join(conditions) or "FALSE"


# ---- the query -----------------------------------------------------------------------------


_ROW_ID, _ROW_FATE = "row:id", "row:fate"


_REMEDIES_OF_ROWS = {
    Remedy.FAIL: Fate.FAILED,
    Remedy.QUARANTINE: Fate.QUARANTINED,
    Remedy.DROP: Fate.DROPPED,
    Remedy.WARN: None,
}
"""What the remedies that mend no value make of a row, the first one that applies."""


def _broken(remedy: Remedy) -> str:
    return f"row:{remedy.value}"


def _flag(counted: str, name: str) -> str:
    return f"mended:{counted}:{name}"


def _internal_names(plans: list[_Plan], fields: Iterable[str]) -> list[str]:
    """What the queries call their own columns, quoted."""
    flags = [_flag(counted, plan.name) for plan in plans for counted in (plan.counted, "filled")]
    steps = [step for plan in plans for step, _ in plan.steps]
    raws = [raw_field(name) for name in fields]
    rows = [_ROW_ID, _ROW_FATE, *(_broken(remedy) for remedy in _REMEDIES_OF_ROWS)]
    return [*(ident(name) for name in (*_JUDGED, *rows, *flags)), *steps, *raws]


def unused(name: str, names: Iterable[str]) -> str:
    """`name`, made longer until it is none of `names`."""
    folded = {other.lower() for other in names}
    while name.lower() in folded:
        name += "_"
    return name


def _pipeline(
    plans: list[_Plan],
    kept: tuple[str, ...],
    fields: Mapping[str, Type],
    also: Mapping[str, str] | None = None,
) -> str:
    """`WITH given …, input …, typed …, mended …`: fields in, named and mended values out.

    also   columns of the given relation that are carried along: name here -> name there.
    """
    raws = [f"{ident(there)} AS {ident(here)}" for here, there in (also or {}).items()]
    raws += [f"{ident(name)} AS {raw_field(name)}" for name in fields]
    values = [f"{plan.value} AS {ident(plan.name)}" for plan in plans]
    values += [f"{raw_field(name)} AS {ident(name)}" for name in kept]
    mends = [f"{plan.mended} AS {ident(plan.name)}" for plan in plans if plan.mended]
    flags = [
        f"({plan.mends}) AS {ident(_flag(plan.counted, plan.name))}" for plan in plans if plan.mends
    ]
    flags += [
        f"({plan.raw} IS NULL) AS {ident(_flag('filled', plan.name))}"
        for plan in plans
        if plan.column.default is not None
    ]
    star = f"* REPLACE ({', '.join(mends)})" if mends else "*"
    stages = [
        ("given", f"FROM {_INPUT}"),
        ("input", f"SELECT {_lines(raws or ['1 AS nothing'])}\n    FROM given"),
    ]
    for number, steps in enumerate(_in_turn(plans), start=1):
        stages.append((f"step_{number}", f"SELECT *{_more(steps)}\n    FROM {stages[-1][0]}"))
    stages.append(("typed", f"SELECT *{_more(values)}\n    FROM {stages[-1][0]}"))
    stages.append(("mended", f"SELECT {star}{_more(flags)}\n    FROM typed"))
    return "WITH " + ",\n".join(f"{name} AS (\n    {sql}\n)" for name, sql in stages)


def _in_turn(plans: list[_Plan]) -> list[list[str]]:
    """The steps of all plans: all first ones, then all second ones, …"""
    longest = max((len(plan.steps) for plan in plans), default=0)
    return [
        [f"{plan.steps[n][1]} AS {plan.steps[n][0]}" for plan in plans if n < len(plan.steps)]
        for n in range(longest)
    ]


def _judge(
    pipeline: str,
    names: list[str],
    plans: list[_Plan],
    checks: list[Check],
    fields: tuple[str, ...],
) -> str:
    # Computed as columns of their own, because within a CASE DuckDB goes through the conditions
    # one by one and keeps account of the rows that are left, which takes longer.
    broken = {}
    for remedy in _REMEDIES_OF_ROWS:
        if conditions := [check.broken for check in checks if check.remedy is remedy]:
            broken[remedy] = f"({_lines(conditions, ' OR')}) AS {ident(_broken(remedy))}"
    arms = [
        f"WHEN {ident(_broken(remedy))} THEN {fate.value}"
        for remedy, fate in _REMEDIES_OF_ROWS.items()
        if fate and remedy in broken
    ]
    fate_sql = f"CASE {' '.join(arms)} ELSE 0 END" if arms else "0"
    warned = ident(_broken(Remedy.WARN)) if Remedy.WARN in broken else "FALSE"
    raws = ", ".join(f"{ident(name)} := {raw_field(name)}" for name in fields)
    raw = f"struct_pack({raws})" if fields else "NULL"
    counts = [
        f"{_sum(plans, 'nulled')} AS _nulled",
        f"{_sum(plans, 'defaulted')} AS _defaulted",
        f"{_sum(plans, 'clipped')} AS _clipped",
    ]
    return (
        f"{pipeline},\n"
        f"broken AS (\n    SELECT *{_more(list(broken.values()))}\n    FROM mended\n),\n"
        f"judged AS (\n    SELECT *, CAST({fate_sql} AS UTINYINT) AS _fate,\n"
        f"        coalesce({warned}, FALSE) AS _warned\n    FROM broken\n)\n"
        f"SELECT {_lines([ident(name) for name in names])}{',' if names else ''}\n"
        f"    _fate, _warned, {', '.join(counts)},\n"
        f"    CASE WHEN _fate <> 0 OR _warned THEN {raw} END AS _raw\nFROM judged"
    )


def _sum(plans: list[_Plan], counted: str) -> str:
    flags = [_flag(counted, plan.name) for plan in plans if plan.counted == counted]
    if counted == "defaulted":
        flags += [_flag("filled", plan.name) for plan in plans if plan.column.default is not None]
    terms = [f"coalesce(CAST({ident(flag)} AS UTINYINT), 0)" for flag in flags]
    return f"CAST({' + '.join(terms)} AS UTINYINT)" if terms else "CAST(0 AS UTINYINT)"


def _reasons(pipeline: str, malformed: list[Check], checks: list[Check]) -> str:
    arms = [
        f"CASE WHEN {check.broken} THEN {literal(check.code)} END"
        for check in checks
        if check not in malformed
    ]
    codes = f"list_filter([{_lines(arms)}], lambda code: code IS NOT NULL)" if arms else "[]"
    for check in reversed(malformed):
        codes = f"CASE WHEN {check.broken} THEN [{literal(check.code)}] ELSE {codes} END"
    return (
        f"{pipeline}\nSELECT {ident(_ROW_ID)} AS _id, {ident(_ROW_FATE)} AS _fate,\n"
        f"    CAST({codes} AS VARCHAR[]) AS reasons\nFROM mended"
    )


def _lines(parts: list[str], joint: str = ",") -> str:
    return f"{joint}\n        ".join(parts)


def _more(parts: list[str]) -> str:
    return f",\n        {_lines(parts)}" if parts else ""
