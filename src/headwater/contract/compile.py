"""A contract as SQL: one pass that yields each row typed, mended and judged.

The compiled query keeps every row of its input and says of each what becomes of it (`_fate`).
Rows that do not simply land carry their input values along (`_raw`), and a second query over
those few names every rule that each of them broke. No row is looked at in Python.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum

from headwater.contract.cleaning import cleaned
from headwater.contract.columns import (
    ROW_NUMBER,
    Check,
    Plan,
    as_carried,
    carry,
    plan_columns,
    raw_field,
)
from headwater.contract.contract import Contract, Remedy, Rule, UnexpectedColumns
from headwater.contract.rules import computes
from headwater.contract.types import JSON, VARCHAR, Type
from headwater.sql.query import repeated_parts
from headwater.sql.quote import ident, literal


class Fate(IntEnum):
    """What becomes of a row."""

    LANDED = 0
    QUARANTINED = 1
    DROPPED = 2
    FAILED = 3
    DEDUPLICATED = 4
    """Left out, because it repeats another one."""


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
    carried     column of a judged table -> what the relation of `reasons` calls it: values that
                were filled in from other rows or may differ when they are computed again.
    clashes     columns that cannot land, because the queries need their names.
    missing     the contract's columns that the input does not have.
    unexpected  the input's fields that the contract does not name.
    checks      all checks that send a row elsewhere or fail the step, in order.
    repairs     all checks whose remedy mends the value instead.
    cleans      whether values may become others though no rule is broken: gaps are filled, say.
    is_shared   whether a part of an expression that may fail for a row stands in another one too:
                each must be computed where it stands, so that its failure stays there.
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
    carried: Mapping[str, str] = field(default_factory=dict)
    clashes: tuple[str, ...] = ()
    cleans: bool = False
    is_shared: bool = False

    def judge_over(self, relation: str) -> str:
        return self.judge.replace(_INPUT, relation, 1)

    def reasons_over(self, relation: str) -> str:
        return self.reasons.replace(_INPUT, relation, 1)

    @property
    def is_trivial(self) -> bool:
        """Whether every row lands as it is."""
        return not (self.checks or self.repairs or self.cleans)


_INPUT = "{input}"
_JUDGED = ("_fate", "_warned", "_nulled", "_defaulted", "_clipped", "_raw")


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
    plans = plan_columns(contract, fields, otherwise)
    taken = {plan.source for plan in plans if plan.source}
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
    carried = {
        plan.name: unused(f"carried:{plan.name}", inputs) for plan in plans if plan.is_filled
    }
    numbered = _pipeline(
        [as_carried(plan) if plan.is_filled else plan for plan in plans],
        kept,
        inputs,
        {
            _ROW_ID: row_id,
            _ROW_FATE: row_fate,
            **{carry(name): there for name, there in carried.items()},
        },
    )
    ours = {name.lower() for name in _internal_names(plans, inputs)}
    return Compiled(
        columns=tuple(columns),
        judge=_judge(pipeline, [name for name, _ in columns], plans, checks, tuple(inputs)),
        reasons=_reasons(numbered, unreadable, checks),
        row_id=row_id,
        row_fate=row_fate,
        carried=carried,
        clashes=tuple(name for name, _ in columns if ident(name).lower() in ours),
        missing=tuple(plan.name for plan in plans if not plan.source),
        unexpected=unexpected,
        checks=tuple(checks),
        repairs=tuple(check for plan in plans for check in plan.repairs),
        cleans=any(plan.cleans for plan in plans),
        is_shared=_shares_parts(contract, dict(columns)),
    )


def _shares_parts(contract: Contract, types: Mapping[str, Type]) -> bool:
    if any(computes(column) for column in contract.columns.values()):
        return True  # a column's bound, say, is compared with and put in place of a value
    if not contract.rules:
        return False
    columns, others = repeated_parts(rule.check for rule in contract.rules)
    kinds = {name.lower(): kind for name, kind in types.items()}
    # A text may be cast where it is compared with a value of another type, without a word.
    return bool(others) or any(not _is_plain(kinds.get(name)) for name in columns)


def _is_plain(kind: Type | None) -> bool:
    return kind is not None and kind not in (VARCHAR, JSON) and not kind.is_nested


def _rule_check(rule: Rule, otherwise: Remedy) -> Check:
    # An expression that cannot be computed for a row does not hold for it.
    broken = f"coalesce(TRY(({rule.check}) IS FALSE), TRUE)"
    return Check(f"rule.{rule.name}", broken, rule.otherwise or otherwise, rule.check)


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


def _internal_names(plans: list[Plan], fields: Iterable[str]) -> list[str]:
    """What the queries call their own columns, quoted."""
    flags = [_flag(count, plan.name) for plan in plans for count in (*plan.counts, "filled")]
    steps = [step for plan in plans for step, _ in plan.steps]
    steps += [plan.clean for plan in plans if plan.clean != plan.raw]
    raws = [raw_field(name) for name in fields]
    rows = [_ROW_ID, _ROW_FATE, *(_broken(remedy) for remedy in _REMEDIES_OF_ROWS)]
    rows += [ROW_NUMBER, *(carry(plan.name) for plan in plans if plan.is_filled)]
    return [*(ident(name) for name in (*_JUDGED, *rows, *flags)), *steps, *raws]


def unused(name: str, names: Iterable[str]) -> str:
    """`name`, made longer until it is none of `names`."""
    folded = {other.lower() for other in names}
    while name.lower() in folded:
        name += "_"
    return name


def _pipeline(
    plans: list[Plan],
    kept: tuple[str, ...],
    fields: Mapping[str, Type],
    also: Mapping[str, str] | None = None,
) -> str:
    """`WITH given …, input …, typed …, mended …`: fields in, named and mended values out.

    also   columns of the given relation that are carried along: name here -> name there.
    """
    raws = [f"{ident(there)} AS {ident(here)}" for here, there in (also or {}).items()]
    raws += [f"{ident(name)} AS {raw_field(name)}" for name in fields]
    if not also and _looks_back(plans):
        raws.append(f"row_number() OVER () AS {ident(ROW_NUMBER)}")
    stages = [
        ("given", f"FROM {_INPUT}"),
        ("input", f"SELECT {_lines(raws or ['1 AS nothing'])}\n    FROM given"),
    ]
    for name, star, more in (
        ("cleaned", "*", _cleaning(plans)),
        *((f"step_{n}", "*", steps) for n, steps in enumerate(_in_turn(plans), start=1)),
        ("typed", "*", _values(plans, kept)),
        ("filled", _star(_fillings(plans)), []),
        ("mended", _star(_mends(plans)), _flags(plans)),
    ):
        if more or star != "*" or name in ("typed", "mended"):
            stages.append((name, f"SELECT {star}{_more(more)}\n    FROM {stages[-1][0]}"))
    return "WITH " + ",\n".join(f"{name} AS (\n    {sql}\n)" for name, sql in stages)


def _looks_back(plans: list[Plan]) -> bool:
    """Whether rows are looked at in their order."""
    return any(plan.looks_back for plan in plans)


def _star(replaced: list[str]) -> str:
    return f"* REPLACE ({', '.join(replaced)})" if replaced else "*"


def _cleaning(plans: list[Plan]) -> list[str]:
    return [
        f"{cleaned(plan.column, plan.raw, plan.given)} AS {plan.clean}"
        for plan in plans
        if plan.clean != plan.raw
    ]


def _values(plans: list[Plan], kept: tuple[str, ...]) -> list[str]:
    values = [f"{plan.value} AS {ident(plan.name)}" for plan in plans]
    return values + [f"{raw_field(name)} AS {ident(name)}" for name in kept]


def _fillings(plans: list[Plan]) -> list[str]:
    return [
        f"CASE WHEN {plan.missing} THEN {plan.filling} ELSE {ident(plan.name)} END "
        f"AS {ident(plan.name)}"
        for plan in plans
        if plan.is_filled
    ]


def _mends(plans: list[Plan]) -> list[str]:
    return [f"{plan.mended} AS {ident(plan.name)}" for plan in plans if plan.mended]


def _flags(plans: list[Plan]) -> list[str]:
    """Which cells were repaired, as columns for the counts."""
    flags = [
        f"({sql}) AS {ident(_flag(counted, plan.name))}"
        for plan in plans
        for counted, sql in plan.counts.items()
    ]
    return flags + [
        f"({_was_filled(plan)}) AS {ident(_flag('filled', plan.name))}"
        for plan in plans
        if plan.column.fills_gaps
    ]


def _was_filled(plan: Plan) -> str:
    if not plan.is_filled:
        return plan.absent
    return f"({plan.absent}) AND {ident(plan.name)} IS NOT NULL"


def _in_turn(plans: list[Plan]) -> list[list[str]]:
    """The steps of all plans: all first ones, then all second ones, …"""
    longest = max((len(plan.steps) for plan in plans), default=0)
    return [
        [f"{plan.steps[n][1]} AS {plan.steps[n][0]}" for plan in plans if n < len(plan.steps)]
        for n in range(longest)
    ]


def _judge(
    pipeline: str,
    names: list[str],
    plans: list[Plan],
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
        + (f"\nORDER BY {ident(ROW_NUMBER)}" if _looks_back(plans) else "")
    )


def _sum(plans: list[Plan], counted: str) -> str:
    flags = [_flag(counted, plan.name) for plan in plans if counted in plan.counts]
    if counted == "defaulted":
        flags += [_flag("filled", plan.name) for plan in plans if plan.column.fills_gaps]
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
