"""A contract in plain words: what is made of each column, what it must be, and what follows where
it is not. Told by what the contract compiles to, so that it is what happens.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from headwater.contract.across import across_rules
from headwater.contract.columns import Check
from headwater.contract.compile import compile_contract
from headwater.contract.contract import (
    Column,
    Contract,
    MissingColumn,
    OnDuplicate,
    Remedy,
    UnexpectedColumns,
)
from headwater.contract.definition import Fill, Replacement
from headwater.contract.rules import in_words
from headwater.contract.survivorship import in_words as survivor_in_words
from headwater.contract.types import Type


@dataclass(frozen=True)
class RuleInWords:
    """A rule: its code, what must hold, its remedy, and what that does."""

    code: str
    must: str
    remedy: Remedy
    then: str


@dataclass(frozen=True)
class ColumnInWords:
    """A column: what it is, what is made of its values before its rules, and its rules."""

    name: str
    what: str
    reading: tuple[str, ...]
    rules: tuple[RuleInWords, ...]


@dataclass(frozen=True)
class ContractInWords:
    """A contract: what holds for all of a dataset, its columns, and its row rules."""

    dataset: tuple[str, ...]
    columns: tuple[ColumnInWords, ...]
    rules: tuple[RuleInWords, ...]


def describe(
    contract: Contract,
    fields: Mapping[str, Type],
    *,
    otherwise: Remedy,
    repeats: str = "",
) -> ContractInWords:
    """A contract in words, for an input with `fields` (name -> type).

    otherwise   the remedy of rules that name none: `quarantine` on sources, `fail` on models.
    repeats     what becomes of a row whose key is there already, where something else than the
                contract says so: in words.
    """
    compiled = compile_contract(contract, fields, otherwise=otherwise)
    rules: dict[str, list[RuleInWords]] = {name: [] for name in contract.columns}
    of_rows = []
    for check in (*compiled.checks, *compiled.repairs):
        name = column_of(check.code, contract)
        if name and not _is_said_again(check, compiled.repairs):
            rules[name].append(_rule(check, contract.columns[name]))
        elif not name:
            of_rows.append(_rule(check, None))
    for rule in across_rules(contract, otherwise=otherwise, with_key=False):
        if rule.remedy:
            (name,) = rule.columns
            follows = _REMEDIES[rule.remedy]
            rules[name].append(RuleInWords(rule.code, rule.must, rule.remedy, follows))
    columns = tuple(
        ColumnInWords(
            name,
            _what(column),
            tuple(_reading(contract.settled(column), contract)),
            tuple(rules[name]),
        )
        for name, column in contract.columns.items()
    )
    dataset = tuple(_dataset(contract, otherwise, repeats))
    return ContractInWords(dataset, columns, tuple(of_rows))


def column_of(code: str, contract: Contract) -> str:
    """The column whose rule has a code; "" for a row rule."""
    found = [name for name in contract.columns if code.startswith((f"{name}.", f"{name}["))]
    return max(found, key=len, default="")


def _is_said_again(check: Check, repairs: tuple[Check, ...]) -> bool:
    """Whether a check only looks once more at what its own remedy made of the value."""
    return check not in repairs and check.code in {repair.code for repair in repairs}


def _rule(check: Check, column: Column | None) -> RuleInWords:
    path = check.code.rpartition(".")[0]
    return RuleInWords(
        check.code,
        check.meaning.removeprefix(f"{path}: "),
        check.remedy,
        _follows(check, column),
    )


def _follows(check: Check, column: Column | None) -> str:
    if check.remedy is Remedy.DEFAULT and column is not None:
        return f"the value becomes {_instead(column)}"
    return _REMEDIES[check.remedy]


_REMEDIES = {
    Remedy.QUARANTINE: "the row goes to quarantine",
    Remedy.FAIL: "the step fails and nothing is committed",
    Remedy.DROP: "the row is left out",
    Remedy.WARN: "the row lands with a warning",
    Remedy.NULL: "the value becomes NULL",
    Remedy.DEFAULT: "the value becomes the default",
    Remedy.FILL: "the value is filled in as if it were missing",
    Remedy.CLIP: "the value becomes the nearest bound",
}


def _instead(column: Column) -> str:
    if not isinstance(column.otherwise, Replacement):
        return "NULL" if column.default is None else in_words(column.default)
    if column.otherwise.expression is not None:
        return column.otherwise.expression
    return in_words(column.otherwise.value)


def _what(column: Column) -> str:
    described = column.type.sql.lower()
    return f"{described}, from {column.from_!r}" if column.from_ else described


def _reading(column: Column, contract: Contract) -> Iterator[str]:
    """What is made of a column's values before its rules, in order."""
    if column.trim:
        yield "blanks around it are cut off; what is empty then is missing"
    if column.null_values:
        yield f"missing where it is {_listed(column.null_values)}"
    for text, value in (column.values or {}).items():
        yield f"{text!r} stands for {in_words(value)}"
    if column.formats:
        yield f"written as {' or '.join(column.formats)}"
    if column.decimal_separator or column.thousands_separator:
        thousands = column.thousands_separator
        groups = f"{thousands!r} between thousands" if thousands else "nothing between thousands"
        yield f"written with {column.decimal_separator or '.'!r} before decimals and {groups}"
    if column.fill:
        yield f"a missing value is filled in: {_source_of(column.fill)}"
    if column.default is not None:
        what = "what is still missing" if column.fill else "a missing value"
        yield f"{what} becomes {in_words(column.default)}"
    meaning = column.missing_column or contract.missing_columns
    if meaning is not None:
        yield f"where a file does not have the column: {_MISSING[meaning]}"
    if column.survivorship:
        yield f"of several rows with the same key: {survivor_in_words(column.survivorship)}"


def _listed(words: tuple[str, ...]) -> str:
    return " or ".join(repr(word) for word in words)


def _source_of(fill: Fill) -> str:
    if fill.from_ is not None:
        return f"from {fill.from_}"
    if fill.expression is not None:
        return fill.expression
    if fill.previous is None:
        return in_words(fill.value)
    within = f" within {', '.join(fill.previous.within)}" if fill.previous.within else ""
    by = f"by {fill.previous.by}" if fill.previous.by else "in the order of the file"
    return f"by the last value before, {by}{within}, of the same file"


_MISSING = {
    MissingColumn.FAIL: "the file is refused",
    MissingColumn.NULL: "NULL in every row",
    MissingColumn.DEFAULT: "every value is missing, and filled in",
}
_DUPLICATES = {
    OnDuplicate.QUARANTINE: "a row whose key is there already goes to quarantine",
    OnDuplicate.KEEP_FIRST: "a row whose key is there already is left out",
    OnDuplicate.KEEP_LAST: "a row whose key is there already takes the earlier one's place",
    OnDuplicate.LATEST: "of rows with the same key the one with the greatest {column} stays",
    OnDuplicate.FAIL: "a row whose key is there already fails the step",
}
_UNEXPECTED = {
    UnexpectedColumns.KEEP: "columns that it does not name land under their own names",
    UnexpectedColumns.IGNORE: "columns that it does not name are left out",
    UnexpectedColumns.FAIL: "a file with columns that it does not name is refused",
}


def _dataset(contract: Contract, otherwise: Remedy, repeats: str) -> Iterator[str]:
    if contract.key:
        follows = repeats or _DUPLICATES[contract.duplicates or OnDuplicate(otherwise.value)]
        key = ", ".join(contract.key)
        yield f"{key} names a row; {follows.format(column=contract.latest_by)}"
    if otherwise is Remedy.QUARANTINE:
        yield _UNEXPECTED[contract.unexpected_columns]
    if freshness := contract.freshness:
        ages = [
            f"{words} after {age}"
            for words, age in (
                ("a warning", freshness.warn_after),
                ("a failure", freshness.fail_after),
            )
            if age
        ]
        yield f"the newest {freshness.column} may be old: {', '.join(ages)}"
