"""A contract as SQL: one pass that yields each row typed, mended and judged.

The compiled query keeps every row of its input and says of each what becomes of it (`_fate`).
Rows that do not simply land carry their input values along (`_raw`), and a second query over
those few names every rule that each of them broke. No row is looked at in Python.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import IntEnum

from headwater.contract.casts import Steps, cast_in_steps, is_absent, is_lossy, is_missing
from headwater.contract.cleaning import (
    as_plain_number,
    cleaned,
    has_own_separators,
    is_no_code,
    mapped,
)
from headwater.contract.contract import (
    Column,
    Contract,
    MissingColumn,
    Remedy,
    Rule,
    UnexpectedColumns,
)
from headwater.contract.definition import Expression, Fill, Previous, Replacement
from headwater.contract.inside import Inside, any_of, clipped, rules_inside
from headwater.contract.rules import (
    OF_THE_TYPE,
    Broken,
    Subject,
    as_sql,
    broken_rules,
    computed,
    computes,
    constant,
)
from headwater.contract.types import JSON, VARCHAR, Type
from headwater.sql.query import repeated_parts
from headwater.sql.quote import ident, literal


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
        [_as_carried(plan) if plan.is_filled else plan for plan in plans],
        kept,
        inputs,
        {
            _ROW_ID: row_id,
            _ROW_FATE: row_fate,
            **{_carry(name): there for name, there in carried.items()},
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


def is_needed(contract: Contract, name: str) -> bool:
    """Whether an input that does not have a column of the contract at all cannot be taken."""
    column = contract.columns[name]
    meaning = column.missing_column or contract.missing_columns
    is_filled = column.fills_gaps and meaning is not MissingColumn.NULL
    is_required = column.required or name in contract.never_missing
    return meaning is MissingColumn.FAIL or (is_required and not is_filled)


# ---- one column ----------------------------------------------------------------------------


@dataclass(frozen=True)
class _Plan:
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


def _plan_columns(contract: Contract, fields: Mapping[str, Type], otherwise: Remedy) -> list[_Plan]:
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
) -> _Plan:
    raw = raw_field(found) if found else f"CAST(NULL AS {column.type.sql})"
    clean = raw
    if found and cleaned(column, raw, given) != raw:
        clean = ident(f"clean:{name}:")
    typed = _typed(name, column, clean, given)
    plan = _Plan(name, column, found, raw, clean, given, typed.sql, typed.named)
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


def _with_gaps_filled(plan: _Plan, own: list[tuple[str, Broken]]) -> _Plan:
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


def _as_carried(plan: _Plan) -> _Plan:
    """The plan of a column whose values are not filled again, but taken from a judged table."""
    carried = ident(_carry(plan.name))
    mended = plan.mended.replace(plan.filling, carried) if plan.refills else plan.mended
    return replace(plan, filling=carried, mended=mended)


def _fill(plan: _Plan, fill: Fill, own: list[tuple[str, Broken]]) -> str:
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
    order = ", ".join([*([ident(previous.by)] if previous.by else []), ident(_NUMBER)])
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


def _own_rules(plan: _Plan, required: bool, room: Remedy) -> list[tuple[str, Broken]]:
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


def _with_parts(plan: _Plan, inside: Inside, otherwise: Remedy) -> _Plan:
    """The plan with the remedies that parts of the value name themselves."""
    settled = [_check(r.code, r.broken, r.remedy) for r in inside.found if r.remedy is not None]
    checks = [check for check in settled if check.remedy in _REMEDIES_OF_ROWS]
    repairs = [check for check in settled if check.remedy not in _REMEDIES_OF_ROWS]
    counts = {
        counted: any_of(broken)
        for counted, remedy in (("nulled", Remedy.NULL), ("clipped", Remedy.CLIP))
        if (broken := [check.broken for check in repairs if check.remedy is remedy])
    }
    mended = inside.value if repairs else ""
    return replace(plan, mended=mended, counts=counts, checks=tuple(checks), repairs=tuple(repairs))


def _with_remedy(plan: _Plan, checks: list[Check], inside: Inside, room: Remedy) -> _Plan:
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
    plan: _Plan, checks: list[Check], instead: str, counted: str, again: tuple[Remedy, ...] = ()
) -> _Plan:
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


def _clipped(plan: _Plan, checks: list[Check], room: Remedy) -> _Plan:
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


def _rule_check(rule: Rule, otherwise: Remedy) -> Check:
    # An expression that cannot be computed for a row does not hold for it.
    broken = f"coalesce(TRY(({rule.check}) IS FALSE), TRUE)"
    return Check(f"rule.{rule.name}", broken, rule.otherwise or otherwise, rule.check)


# ---- the query -----------------------------------------------------------------------------


_ROW_ID, _ROW_FATE = "row:id", "row:fate"
_NUMBER = "row:number"
"""The row's place in the input, where it is needed."""


def _carry(name: str) -> str:
    return f"carried:{name}"


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
    flags = [_flag(count, plan.name) for plan in plans for count in (*plan.counts, "filled")]
    steps = [step for plan in plans for step, _ in plan.steps]
    steps += [plan.clean for plan in plans if plan.clean != plan.raw]
    raws = [raw_field(name) for name in fields]
    rows = [_ROW_ID, _ROW_FATE, *(_broken(remedy) for remedy in _REMEDIES_OF_ROWS)]
    rows += [_NUMBER, *(_carry(plan.name) for plan in plans if plan.is_filled)]
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
    if not also and _looks_back(plans):
        raws.append(f"row_number() OVER () AS {ident(_NUMBER)}")
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


def _looks_back(plans: list[_Plan]) -> bool:
    """Whether rows are looked at in their order."""
    return any(plan.looks_back for plan in plans)


def _star(replaced: list[str]) -> str:
    return f"* REPLACE ({', '.join(replaced)})" if replaced else "*"


def _cleaning(plans: list[_Plan]) -> list[str]:
    return [
        f"{cleaned(plan.column, plan.raw, plan.given)} AS {plan.clean}"
        for plan in plans
        if plan.clean != plan.raw
    ]


def _values(plans: list[_Plan], kept: tuple[str, ...]) -> list[str]:
    values = [f"{plan.value} AS {ident(plan.name)}" for plan in plans]
    return values + [f"{raw_field(name)} AS {ident(name)}" for name in kept]


def _fillings(plans: list[_Plan]) -> list[str]:
    return [
        f"CASE WHEN {plan.missing} THEN {plan.filling} ELSE {ident(plan.name)} END "
        f"AS {ident(plan.name)}"
        for plan in plans
        if plan.is_filled
    ]


def _mends(plans: list[_Plan]) -> list[str]:
    return [f"{plan.mended} AS {ident(plan.name)}" for plan in plans if plan.mended]


def _flags(plans: list[_Plan]) -> list[str]:
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


def _was_filled(plan: _Plan) -> str:
    if not plan.is_filled:
        return plan.absent
    return f"({plan.absent}) AND {ident(plan.name)} IS NOT NULL"


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
        + (f"\nORDER BY {ident(_NUMBER)}" if _looks_back(plans) else "")
    )


def _sum(plans: list[_Plan], counted: str) -> str:
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
