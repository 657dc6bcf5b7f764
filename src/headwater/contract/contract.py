"""A contract: a dataset's columns, key, rules, owner and tags, and what happens to a row
where one does not hold.

These classes are the YAML: their fields are the keys that a user writes. Positions in the
file are the project room's business.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from headwater.contract.checks import RowCount, TableCheck
from headwater.contract.definition import (
    Definition,
    Fill,
    Replacement,
    Scalar,
    Value,
    Words,
    as_replacement,
    with_expressions,
)
from headwater.contract.freshness import Freshness
from headwater.contract.types import TYPE_WORDS, Type, parse_type
from headwater.errors import suggestion
from headwater.names import DatasetName
from headwater.places import KeyPath
from headwater.sql.query import SqlError, read_expression


class Remedy(StrEnum):
    """What happens to a row (or the step) where a rule does not hold."""

    QUARANTINE = "quarantine"
    """The row goes to quarantine with its reasons. The default on sources."""
    FAIL = "fail"
    """The step fails and nothing of it is committed. The default on models."""
    DROP = "drop"
    """The row is left out, and counted as dropped."""
    WARN = "warn"
    """The row lands, and the check is reported as a warning."""
    NULL = "null"
    """The value becomes NULL and the row lands; counted as nulled."""
    DEFAULT = "default"
    """The value becomes the column's `default` and the row lands; counted as defaulted."""
    FILL = "fill"
    """The value becomes what the column's `fill` gives, as if it were missing, and the row lands;
    counted as defaulted."""
    CLIP = "clip"
    """The value becomes the nearest of `min` and `max` and the row lands; counted as clipped."""


class OnDuplicate(StrEnum):
    """What happens to a row whose key is already there, in this batch or an earlier one."""

    QUARANTINE = "quarantine"
    """The row goes to quarantine as `key.duplicate`. The default on sources."""
    KEEP_FIRST = "keep first"
    """The row is left out, and counted as deduplicated."""
    KEEP_LAST = "keep last"
    """The row stays and the earlier one goes. The default with `write: upsert`."""
    LATEST = "latest by COLUMN"
    """The row with the greatest value of COLUMN stays, among equal ones the last; a NULL is less
    than any value."""
    FAIL = "fail"
    """The step fails. The default on models."""


KEPT = (OnDuplicate.KEEP_FIRST, OnDuplicate.KEEP_LAST, OnDuplicate.LATEST)
"""What makes one row of those with the same key."""


class MissingColumn(StrEnum):
    """What it means that a file does not have a column of the contract at all."""

    FAIL = "fail"
    """The file is refused."""
    NULL = "null"
    """No row has a value there, and none is filled in."""
    DEFAULT = "default"
    """Every row's value is missing: it is filled in by `fill` and `default`."""


class UnexpectedColumns(StrEnum):
    """What happens to columns of the input that the contract does not name."""

    KEEP = "keep"
    """They land under their own names, after the contract's columns, text as text."""
    IGNORE = "ignore"
    """They are left out, and the run says so."""
    FAIL = "fail"
    """The file is refused."""


def _as_type(value: Any) -> Type:
    if isinstance(value, Type):
        return value
    if not isinstance(value, str):
        raise PydanticCustomError("type", "a type is a word such as integer or decimal(10,2)")
    try:
        return parse_type(value)
    except ValueError as error:
        near = suggestion(value.split("(")[0].strip().lower(), TYPE_WORDS)
        raise PydanticCustomError("type", "{text}", {"text": str(error), "hint": near}) from error


def _as_remedy(value: Any) -> Any:
    return Remedy.NULL if value is None else value


def _as_remedy_or_value(value: Any) -> Any:
    if value is not None and not isinstance(value, str):
        return as_replacement(value)
    try:
        return Remedy(_as_remedy(value))
    except ValueError as error:
        words = [remedy.value for remedy in Remedy]
        raise PydanticCustomError(
            "otherwise",
            "must be one of: {words}; or {shape}",
            {
                "words": ", ".join(words),
                "shape": "{value: …}",
                "hint": suggestion(str(value), words),
            },
        ) from error


_OF_ROWS = (Remedy.QUARANTINE, Remedy.FAIL, Remedy.DROP, Remedy.WARN)


def _as_remedy_of_rows(value: Any) -> Any:
    if value is not None and value not in list(_OF_ROWS):
        raise PydanticCustomError(
            "otherwise",
            "a rule over several rows cannot mend a value: its remedies are {words}",
            {"words": ", ".join(_OF_ROWS)},
        )
    return value


def _as_missing_column(value: Any) -> Any:
    return MissingColumn.NULL if value is None else value


def _as_texts(value: Any) -> Any:
    """Texts of the input; whole numbers are taken for what they are written as."""
    values = value if isinstance(value, list | tuple) else [value]
    return tuple(_as_text(one) for one in values)


def _as_text(value: Any) -> str:
    if isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool)):
        return str(value)
    raise PydanticCustomError(
        "text", "texts of the input are meant", {"hint": "put each of them in quotes"}
    )


def _as_mapping(value: Any) -> Any:
    if not isinstance(value, dict) or not value:
        raise PydanticCustomError(
            "values",
            "a mapping is meant, from the input's text to the value",
            {"hint": "{Y: true}"},
        )
    if any(isinstance(one, dict | list) for one in value.values()):
        raise PydanticCustomError("values", "each text stands for one value, or for null")
    return {_as_text(key): one for key, one in value.items()}


def _as_formats(value: Any) -> Any:
    formats = value if isinstance(value, list | tuple) else [value]
    if not formats or not all(isinstance(one, str) for one in formats):
        raise PydanticCustomError("format", "a format is a text, or a list of them")
    return value if isinstance(value, str) else tuple(formats)


def _as_separator(value: Any) -> str:
    if not isinstance(value, str) or len(value) != 1 or value in "0123456789+-eE":
        raise PydanticCustomError("separator", "a separator is one character, and none of a number")
    return value


_LATEST_BY = "latest by "
_PLAIN_DUPLICATES = tuple(d.value for d in OnDuplicate if d is not OnDuplicate.LATEST)


def _as_on_duplicate(value: Any) -> Any:
    """`keep  last` -> `keep last`; `latest by  at` -> `latest by at`."""
    words = str(value).split(maxsplit=2)
    if [word.lower() for word in words[:2]] == ["latest", "by"] and len(words) == 3:
        return f"{_LATEST_BY}{words[2].strip()}"
    plain = " ".join(words).lower()
    if plain in _PLAIN_DUPLICATES:
        return plain
    raise PydanticCustomError(
        "on_duplicate",
        "`on_duplicate` is one of {known}",
        {
            "known": ", ".join(d.value for d in OnDuplicate),
            "hint": suggestion(plain, _PLAIN_DUPLICATES),
        },
    )


def _as_expression(value: Any) -> str:
    if not isinstance(value, str):
        raise PydanticCustomError("check", "a check is an SQL expression")
    try:
        return read_expression(value)
    except SqlError as error:
        raise PydanticCustomError(
            "check", "{text}", {"text": error.message, "hint": error.hint}
        ) from error


def _as_pattern(value: Any) -> str:
    try:
        re.compile(str(value))
    except re.error as error:
        raise PydanticCustomError(
            "pattern", "the pattern is no regular expression: {text}", {"text": str(error)}
        ) from error
    return str(value)


ColumnType = Annotated[Type, BeforeValidator(_as_type)]
OtherwiseRemedy = Annotated[Remedy | None, BeforeValidator(_as_remedy)]
OtherwiseOfColumn = Annotated[Remedy | Replacement | None, BeforeValidator(_as_remedy_or_value)]
RemedyOfRows = Annotated[Remedy | None, BeforeValidator(_as_remedy_of_rows)]
IfMissing = Annotated[MissingColumn | None, BeforeValidator(_as_missing_column)]
Texts = Annotated[tuple[str, ...], BeforeValidator(_as_texts)]
Mapped = Annotated[dict[str, Scalar | None], BeforeValidator(_as_mapping)]
Formats = Annotated[str | tuple[str, ...], BeforeValidator(_as_formats)]
Separator = Annotated[str, BeforeValidator(_as_separator)]


class Length(Definition):
    """Bounds on the number of characters of a text, both included."""

    min: int | None = Field(default=None, ge=0)
    max: int | None = Field(default=None, ge=0)


def _as_length(value: Any) -> Any:
    is_count = isinstance(value, int) and not isinstance(value, bool)
    return {"min": value, "max": value} if is_count else value


class Part(Definition):
    """A value that is part of another: a field of a struct, or each item of a list."""

    description: str = ""
    """What it means; for people."""
    required: bool = False
    """The value must not be missing."""
    accepted: tuple[Value, ...] | None = Field(default=None, min_length=1)
    """The values that are allowed."""
    min: Value | None = None
    """The least value allowed."""
    max: Value | None = None
    """The greatest value allowed."""
    pattern: Annotated[str, BeforeValidator(_as_pattern)] | None = None
    """A regular expression (RE2) that the whole text must match."""
    length: Annotated[Length, BeforeValidator(_as_length)] | None = None
    """How many characters the text has: a number, or `{min: …, max: …}`."""
    fields: dict[str, Part] | None = None
    """Field of a struct -> its rules."""
    items: Part | None = None
    """The rules of each item of a list."""
    otherwise: OtherwiseRemedy = None
    """The remedy where a rule of this value does not hold. Default: the column's."""

    @property
    def bounds(self) -> dict[str, Value]:
        """`min` and `max`, where they are stated."""
        both = {"min": self.min, "max": self.max}
        return {name: value for name, value in both.items() if value is not None}


class Unique(Definition):
    """No two rows have the same value. A missing value equals none."""

    otherwise: RemedyOfRows = None
    """What happens to a row whose value was there before: quarantine, fail, drop or warn.
    Default: the column's `otherwise`, where it is one of these."""


def _as_unique(value: Any) -> Any:
    if isinstance(value, bool):
        return Unique() if value else None
    return value


class Reference(Definition):
    """Each value is one of another dataset's column. A missing value refers to nothing."""

    to: str
    """The other dataset's column: `schema.name.column`."""
    otherwise: RemedyOfRows = None
    """What happens to a row whose value is not there: quarantine, fail, drop or warn. Default:
    the column's `otherwise`, where it is one of these."""

    @property
    def dataset(self) -> DatasetName:
        return DatasetName(*self.to.split(".")[:2])

    @property
    def column(self) -> str:
        return self.to.split(".")[2]

    @model_validator(mode="after")
    def _names_a_column(self) -> Self:
        if len(parts := self.to.split(".")) != 3 or not all(parts):
            raise PydanticCustomError(
                "references",
                "`references` names a column of a dataset: schema.name.column",
                {"hint": "references: crm.customers.id"},
            )
        return self


def _as_reference(value: Any) -> Any:
    return {"to": value} if isinstance(value, str) else value


class Survivor(StrEnum):
    """Which value a column takes where several rows with the same key become one."""

    LATEST = "latest"
    """That of the latest row: by `on_duplicate: latest by COLUMN`, else the last one. With
    `latest by COLUMN` of its own, that of the row with the greatest value there."""
    NOT_NULL = "not null"
    """The first that is not NULL, in the order in which `on_duplicate` prefers the rows."""
    MOST_FREQUENT = "most frequent"
    """The one that most of the rows have; NULL is none. Among equals the first, as above."""
    FROM = "{from: [...], by: COLUMN}"
    """The first that is not NULL, by where it is from: COLUMN names that, and the list says whom
    to trust first. Whoever is not in the list comes last."""


class Trust(Definition):
    """Whom to trust first: `{from: [crm, shop], by: system}`."""

    from_: Annotated[tuple[str, ...], BeforeValidator(_as_texts)] = Field(alias="from")
    """What the rows are from, the most trusted first."""
    by: str
    """The column that says what a row is from."""


class Survivorship(Definition):
    """Which value of several rows with the same key a column takes."""

    kind: Survivor
    from_: tuple[str, ...] = ()
    by: str = ""


def _as_survivorship(value: Any) -> Any:
    if value is None or isinstance(value, Survivorship):
        return value
    if isinstance(value, dict):
        trust = Trust.model_validate(value)
        return Survivorship(kind=Survivor.FROM, from_=trust.from_, by=trust.by)
    words = str(value).split(maxsplit=2)
    if [word.lower() for word in words[:2]] == ["latest", "by"] and len(words) == 3:
        return Survivorship(kind=Survivor.LATEST, by=words[2].strip())
    known = [kind.value for kind in Survivor if kind is not Survivor.FROM]
    plain = " ".join(words).lower()
    if plain in known:
        return Survivorship(kind=Survivor(plain))
    raise PydanticCustomError(
        "survivorship",
        "`survivorship` is one of {known}, latest by COLUMN, {shape}",
        {"known": ", ".join(known), "shape": Survivor.FROM.value, "hint": suggestion(plain, known)},
    )


class Column(Part):
    """One column of a contract."""

    type: ColumnType = Type("VARCHAR")
    """The type that the value must have; written as in DuckDB."""
    from_: str | None = Field(default=None, alias="from")
    """The input's name for it, where it differs."""
    description: str = ""
    """What the column means; for people."""
    tags: Words = ()
    """Words to find it by."""
    trim: bool = False
    """Whether blanks around a text are cut off. What is empty then is missing."""
    null_values: Texts | None = None
    """Texts that mean that the value is missing. Default: the dataset's."""
    values: Mapped | None = None
    """Text of the input -> what it stands for; a text that is not there breaks the rule."""
    format: Formats | None = None
    """How a date or time is written, as for strptime: `%d/%m/%Y`; or a list of such, tried in
    order."""
    decimal_separator: Separator | None = None
    """What stands before the decimals of a number. Default: the dataset's, else `.`."""
    thousands_separator: Separator | None = None
    """What stands between groups of three digits of a number. Default: the dataset's, else
    nothing."""
    fill: Fill | None = None
    """Where a missing value is taken from: `from`, `value`, `expression` or `previous`."""
    default: Value | None = None
    """What a missing value becomes, where `fill` gives none."""
    missing_column: IfMissing = None
    """What it means that a file does not have the column: `fail`, `null`, `default`."""
    unique: Annotated[
        Unique | None, BeforeValidator(_as_unique, json_schema_input_type=bool | Unique | None)
    ] = None
    """Whether no two rows may have the same value: `true`, or `{otherwise: …}`."""
    references: Annotated[
        Reference | None,
        BeforeValidator(_as_reference, json_schema_input_type=str | Reference | None),
    ] = None
    """The column of another dataset that must have the value: `schema.name.column`, or
    `{to: schema.name.column, otherwise: …}`."""
    otherwise: OtherwiseOfColumn = None  # type: ignore[assignment]
    """The remedy where a rule of this column does not hold; or a value instead, as
    `{value: …}` or `{expression: …}`."""

    survivorship: Annotated[
        Survivorship | None,
        BeforeValidator(_as_survivorship, json_schema_input_type=str | Trust | None),
    ] = None
    """Which value stays where several rows with the same key become one: `latest`,
    `latest by COLUMN`, `not null`, `most frequent`, or `{from: [crm, shop], by: COLUMN}`. Default:
    that of the row which `on_duplicate` keeps."""

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, value: Any) -> Any:
        return {"type": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _is_sound(self) -> Self:
        # A model's column has its type from the query, if it states none.
        is_typed = "type" in self.model_fields_set
        parts = {} if is_typed else {"fields": None, "items": None}
        for problem in unsound(self.model_copy(update=parts) if parts else self):
            raise PydanticCustomError("column", "{text}", {"text": problem})
        return self

    @property
    def formats(self) -> tuple[str, ...]:
        return (self.format,) if isinstance(self.format, str) else self.format or ()

    @property
    def fills_gaps(self) -> bool:
        """Whether something is put in place of a missing value."""
        return self.default is not None or self.fill is not None


def unsound(column: Column) -> list[str]:
    """What of a column's definition cannot work together, each as a sentence."""
    return [
        *_unsound_remedy(column),
        *_unsound_reading(column),
        *_unsound_part(column, column.type),
    ]


def _unsound_remedy(column: Column) -> list[str]:
    found = []
    if column.otherwise is Remedy.DEFAULT and column.default is None:
        found.append("`otherwise: default` needs a `default`")
    if column.otherwise is Remedy.FILL and column.fill is None:
        found.append("`otherwise: fill` needs a `fill`")
    if column.missing_column is MissingColumn.DEFAULT and not column.fills_gaps:
        found.append("`missing_column: default` needs a `default` or a `fill`")
    if column.missing_column is MissingColumn.NULL and column.required:
        found.append("`missing_column: null` on a required column can never land a row")
    return found


def _unsound_reading(column: Column) -> list[str]:
    found = []
    if column.format and column.type.kind not in ("DATE", "TIME", "TIMESTAMP", "TIMESTAMPTZ"):
        found.append(f"`format` is for dates and times, not for {column.type.sql}")
    if column.values and column.format:
        found.append("`values` says what each text stands for: leave `format` out")
    if column.values and column.type.is_nested:
        found.append(f"`values` gives single values, not {column.type.sql}")
    if column.trim and column.type.is_nested:
        found.append(f"`trim` is for texts, not for {column.type.sql}")
    separators = (column.decimal_separator, column.thousands_separator)
    if any(separators) and not column.type.is_number:
        found.append(f"separators are for numbers, not for {column.type.sql}")
    return found


def _unsound_part(part: Part, kind: Type, name: str = "") -> list[str]:
    """What of the rules over a value of a type, and over its parts, cannot work."""
    inside = f" ({name})" if name else ""
    found = []
    if part.otherwise is Remedy.NULL and part.required:
        found.append(f"`otherwise: null` on a required column can never land a row{inside}")
    if part.otherwise is Remedy.CLIP and part.min is None and part.max is None:
        found.append(f"`otherwise: clip` needs a `min` or a `max`{inside}")
    if part.otherwise in (Remedy.DEFAULT, Remedy.FILL) and not isinstance(part, Column):
        found.append(f"a part of a value has no `{part.otherwise.value}`{inside}")
    if (part.pattern or part.length) and kind.kind != "VARCHAR":
        found.append(f"`pattern` and `length` are for text{inside}")
    if kind.is_nested and (part.accepted or part.min is not None or part.max is not None):
        found.append(f"`accepted`, `min` and `max` do not apply to {kind.sql}{inside}")
    if part.fields is not None and kind.kind != "STRUCT":
        found.append(f"`fields` is for a struct, not for {kind.sql}{inside}")
    elif part.fields is not None:
        types = dict(kind.parts)
        for field, inner in part.fields.items():
            if field not in types:
                near = suggestion(field, list(types)) or f"it has: {', '.join(types)}"
                found.append(f"{kind.sql} has no field {field!r}: {near}{inside}")
            else:
                found += _unsound_part(inner, types[field], f"{name}.{field}".lstrip("."))
    if part.items is not None and kind.kind != "LIST":
        found.append(f"`items` is for a list, not for {kind.sql}{inside}")
    elif part.items is not None:
        found += _unsound_part(part.items, kind.parts[0][1], f"{name}[]" if name else "items")
    return found


class Rule(Definition):
    """A rule over the columns of one row."""

    name: str
    """One word; the quarantine gives `rule.NAME` as the reason."""
    check: Annotated[str, BeforeValidator(_as_expression)]
    """An SQL expression. The rule is broken where it is false; NULL passes, as in SQL."""
    description: str = ""
    """What the rule means; for people."""
    otherwise: OtherwiseRemedy = None
    """The remedy where it does not hold: quarantine, fail, drop or warn."""

    @model_validator(mode="after")
    def _is_sound(self) -> Self:
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", self.name):
            raise PydanticCustomError("rule", "a rule's name is one word of letters, digits and _")
        if self.otherwise in (Remedy.NULL, Remedy.DEFAULT, Remedy.FILL, Remedy.CLIP):
            raise PydanticCustomError(
                "rule",
                "a row rule cannot mend a value: its remedies are quarantine, fail, drop and warn",
            )
        return self


class Contract(Definition):
    """What a dataset's rows must be. Without columns everything is taken as it comes."""

    description: str = ""
    """What a row of the dataset is; for people."""
    owner: str = ""
    """Who answers for it; a source's owner is its datasets'."""
    tags: Words = ()
    """Words to select it by: `--select tag:finance`."""
    renamed_from: Words = ()
    """The dataset's earlier name, as `schema.name`, or several: what was landed or built under it
    is taken over where the rest of the definition means the same."""
    key: Words = ()
    """The columns that name a row; never missing."""
    on_duplicate: Annotated[str, BeforeValidator(_as_on_duplicate)] | None = None
    """What happens to a row whose key is there already: quarantine, keep first, keep last,
    latest by COLUMN, or fail. Default: quarantine on sources, fail on models."""
    columns: dict[str, Column] = Field(default_factory=dict)
    """Column -> its type and rules, in the order in which they land."""
    rules: tuple[Rule, ...] = ()
    """Rules over the columns of one row."""
    row_count: RowCount | None = None
    """How many rows there must be before a release: a number, or bounds."""
    checks: tuple[TableCheck, ...] = ()
    """Checks over all rows, before a release."""
    unexpected_columns: UnexpectedColumns = UnexpectedColumns.KEEP
    """What happens to columns of the input that `columns` does not name: keep, ignore, fail."""
    missing_columns: IfMissing = None
    """What it means that a file does not have a column of `columns`: `fail`, `null`, `default`.
    Default: a required one refuses the file, others are filled in or NULL."""
    null_values: Texts = ()
    """Texts that mean that a value is missing, in every column. An empty CSV field always is."""
    decimal_separator: Separator | None = None
    """What stands before the decimals of numbers, in every column. Default: `.`."""
    thousands_separator: Separator | None = None
    """What stands between groups of three digits of numbers, in every column."""
    freshness: Freshness | None = None
    """How old the newest row may be: `{column: …, warn_after: 1 day, fail_after: 3 days}`."""

    @model_validator(mode="after")
    def _is_sound(self) -> Self:
        names = [rule.name for rule in self.rules]
        for name in names:
            if names.count(name) > 1:
                raise PydanticCustomError(
                    "rules", "two rules are named {name}", {"name": repr(name)}
                )
        of_checks = [check.name for check in self.checks]
        for number, name in enumerate(of_checks):
            if name in of_checks[:number]:
                raise PydanticCustomError(
                    "checks",
                    "two checks are named {name}",
                    {"name": repr(name), "path": ("checks", number, "name")},
                )
        folded = [name.lower() for name in self.columns]
        for name in self.columns:
            if folded.count(name.lower()) > 1:
                raise PydanticCustomError(
                    "columns", "two columns are named {name}", {"name": repr(name)}
                )
        if self.on_duplicate and not self.key:
            raise PydanticCustomError("key", "`on_duplicate` needs a `key`")
        self._check_separators()
        self._check_survivorship()
        keys = {name.lower() for name in self.key}
        for name, column in self.columns.items():
            if name.lower() in keys and column.otherwise is Remedy.NULL:
                raise PydanticCustomError(
                    "key",
                    "a key is never missing: `otherwise: null` would make it so",
                    {
                        "path": ("columns", name, "otherwise"),
                        "hint": "leave it out, and the row goes to quarantine",
                    },
                )
        return self

    def _check_survivorship(self) -> None:
        keys = {name.lower() for name in self.key}
        for name, column in self.columns.items():
            if column.survivorship is None:
                continue
            problem, hint = "", ""
            if not (self.key and self.duplicates in KEPT):
                problem = "`survivorship` is about rows with the same key that become one"
                hint = "state a `key`, and `on_duplicate: keep first`, `keep last` or `latest by …`"
            elif name.lower() in keys:
                problem = "the rows of a key all have the same value here"
            if problem:
                raise PydanticCustomError(
                    "survivorship",
                    "{text}",
                    {"text": problem, "path": ("columns", name, "survivorship"), "hint": hint},
                )

    @property
    def survivors(self) -> dict[str, Survivorship]:
        """Column -> which of several values it takes."""
        return {n: c.survivorship for n, c in self.columns.items() if c.survivorship}

    def expressions(self) -> Iterator[tuple[KeyPath, str]]:
        """Every SQL expression that the contract holds, and where in it."""
        found: list[tuple[KeyPath, str]] = []

        def note(path: KeyPath, sql: str) -> str:
            found.append((path, sql))
            return sql

        self.with_expressions(note)
        return iter(found)

    def with_expressions(self, change: Callable[[KeyPath, str], str]) -> Self:
        """The contract with each of its `expressions` changed, by where it stands."""
        rules = tuple(
            rule.model_copy(update={"check": change(("rules", number, "check"), rule.check)})
            for number, rule in enumerate(self.rules)
        )
        columns = {
            name: with_expressions(column, ("columns", name), change)
            for name, column in self.columns.items()
        }
        checks = tuple(
            check.model_copy(update={"check": change(("checks", number, "check"), check.check)})
            for number, check in enumerate(self.checks)
        )
        if (rules, checks, columns) == (self.rules, self.checks, self.columns):
            return self
        return self.model_copy(update={"rules": rules, "checks": checks, "columns": columns})

    def _check_separators(self) -> None:
        written: dict[tuple[str, ...], tuple[str | None, str | None]]
        written = {("thousands_separator",): (self.decimal_separator, self.thousands_separator)}
        for name, column in self.columns.items():
            settled = self.settled(column)
            both = (settled.decimal_separator, settled.thousands_separator)
            written["columns", name] = both
        for path, (decimal, thousands) in written.items():
            if thousands is not None and thousands == (decimal or "."):
                raise PydanticCustomError(
                    "separator",
                    "`decimal_separator` and `thousands_separator` must differ",
                    {"path": path, "hint": "without one of its own a decimal separator is `.`"},
                )

    @property
    def references(self) -> dict[str, Reference]:
        """Column -> what its values refer to."""
        return {n: c.references for n, c in self.columns.items() if c.references}

    @property
    def never_missing(self) -> tuple[str, ...]:
        """The columns without whose values a row has no place."""
        return self.key

    @property
    def duplicates(self) -> OnDuplicate | None:
        """What `on_duplicate` says, without its column."""
        if self.on_duplicate is None:
            return None
        return OnDuplicate.LATEST if self.latest_by else OnDuplicate(self.on_duplicate)

    @property
    def latest_by(self) -> str:
        """The column of `on_duplicate: latest by COLUMN`; "" without."""
        said = self.on_duplicate or ""
        return said.removeprefix(_LATEST_BY) if said.startswith(_LATEST_BY) else ""

    def completed(self, schema: Mapping[str, Type]) -> Contract:
        """The contract of a result with these columns: all of them, in their order, each with
        the result's own type where the contract states none."""
        declared = {name.lower(): column for name, column in self.columns.items()}
        columns = {}
        for name, given in schema.items():
            column = declared.get(name.lower(), Column(type=given))
            stated = "type" in column.model_fields_set
            columns[name] = column if stated else column.model_copy(update={"type": given})
        return self.model_copy(update={"columns": columns})

    def with_types(self) -> Contract:
        """The contract of those columns alone whose types it states."""
        stated = {n: c for n, c in self.columns.items() if "type" in c.model_fields_set}
        return self.model_copy(update={"columns": stated})

    def settled(self, column: Column) -> Column:
        """A column with what it takes from the dataset: words for missing values, and how numbers
        are written."""
        taken: dict[str, Any] = {}
        if column.null_values is None and self.null_values:
            taken["null_values"] = self.null_values
        if column.type.is_number:
            for name in ("decimal_separator", "thousands_separator"):
                if getattr(column, name) is None and getattr(self, name) is not None:
                    taken[name] = getattr(self, name)
        return column.model_copy(update=taken) if taken else column

    def meaning(self) -> str:
        """What the contract does to rows, as canonical text, for fingerprints.

        Descriptions, owner and tags are left out, because they change nothing; so is what has
        its default, so that a property that is new in a later version changes nothing either.
        """
        words: dict[str, Any] = {
            "key": list(self.key),
            "columns": [
                {"name": name, **_said(column), "type": column.type.sql}
                for name, column in self.columns.items()
            ],
            "rules": [_said(rule) for rule in self.rules],
            **self.model_dump(mode="json", include=_MEANT, exclude_defaults=True),
        }
        return json.dumps(words, sort_keys=True)


_MEANT = {
    "on_duplicate",
    "unexpected_columns",
    "missing_columns",
    "null_values",
    "decimal_separator",
    "thousands_separator",
}


def _said(part: Definition) -> dict[str, Any]:
    silent = {"description", "tags", "type"}
    said = part.model_dump(mode="json", exclude=silent, exclude_defaults=True)
    if isinstance(part, Part):
        if part.fields is not None:
            said["fields"] = {name: _said(inner) for name, inner in part.fields.items()}
        if part.items is not None:
            said["items"] = _said(part.items)
    return said
