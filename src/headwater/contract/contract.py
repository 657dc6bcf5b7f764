"""A contract: a dataset's columns, key, rules, owner and tags, and what happens to a row
where one does not hold.

These classes are the YAML: their fields are the keys that a user writes. Positions in the
file are the project room's business.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import date, datetime, time
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from headwater.contract.types import TYPE_WORDS, Type, parse_type
from headwater.errors import suggestion
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


def _as_tuple(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


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


Scalar = bool | int | float | Decimal | datetime | date | time | str
ColumnType = Annotated[Type, BeforeValidator(_as_type)]
OtherwiseRemedy = Annotated[Remedy | None, BeforeValidator(_as_remedy)]
Words = Annotated[tuple[str, ...], BeforeValidator(_as_tuple)]


class Definition(BaseModel):
    """Base of all that is read from YAML: frozen, and strict about its keys."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", populate_by_name=True, arbitrary_types_allowed=True
    )


class Length(Definition):
    """Bounds on the number of characters of a text, both included."""

    min: int | None = Field(default=None, ge=0)
    max: int | None = Field(default=None, ge=0)


def _as_length(value: Any) -> Any:
    is_count = isinstance(value, int) and not isinstance(value, bool)
    return {"min": value, "max": value} if is_count else value


class Column(Definition):
    """One column of a contract."""

    type: ColumnType = Type("VARCHAR")
    """The type that the value must have; written as in DuckDB."""
    from_: str | None = Field(default=None, alias="from")
    """The input's name for it, where it differs."""
    description: str = ""
    """What the column means; for people."""
    tags: Words = ()
    """Words to find it by."""
    required: bool = False
    """The value must not be missing."""
    default: Scalar | None = None
    """What a missing value becomes."""
    accepted: tuple[Scalar, ...] | None = Field(default=None, min_length=1)
    """The values that are allowed."""
    min: Scalar | None = None
    """The least value allowed."""
    max: Scalar | None = None
    """The greatest value allowed."""
    pattern: Annotated[str, BeforeValidator(_as_pattern)] | None = None
    """A regular expression (RE2) that the whole text must match."""
    length: Annotated[Length, BeforeValidator(_as_length)] | None = None
    """How many characters the text has: a number, or `{min: …, max: …}`."""
    format: str | None = None
    """How a date or time is written, as for strptime: `%d/%m/%Y`."""
    otherwise: OtherwiseRemedy = None
    """The remedy where a rule of this column does not hold."""

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, value: Any) -> Any:
        return {"type": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _is_sound(self) -> Self:
        for problem in unsound(self):
            raise PydanticCustomError("column", "{text}", {"text": problem})
        return self


def unsound(column: Column) -> list[str]:
    """What of a column's definition cannot work together, each as a sentence."""
    found = []
    if column.otherwise is Remedy.DEFAULT and column.default is None:
        found.append("`otherwise: default` needs a `default`")
    if column.otherwise is Remedy.NULL and column.required:
        found.append("`otherwise: null` on a required column can never land a row")
    if column.otherwise is Remedy.CLIP and column.min is None and column.max is None:
        found.append("`otherwise: clip` needs a `min` or a `max`")
    if column.format and column.type.kind not in ("DATE", "TIME", "TIMESTAMP", "TIMESTAMPTZ"):
        found.append(f"`format` is for dates and times, not for {column.type.sql}")
    if (column.pattern or column.length) and column.type.kind != "VARCHAR":
        found.append("`pattern` and `length` are for text")
    if column.type.is_nested and (
        column.accepted or column.min is not None or column.max is not None
    ):
        found.append(f"`accepted`, `min` and `max` do not apply to {column.type.sql}")
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
        if self.otherwise in (Remedy.NULL, Remedy.DEFAULT, Remedy.CLIP):
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
    unexpected_columns: UnexpectedColumns = UnexpectedColumns.KEEP
    """What happens to columns of the input that `columns` does not name: keep, ignore, fail."""

    @model_validator(mode="after")
    def _is_sound(self) -> Self:
        names = [rule.name for rule in self.rules]
        for name in names:
            if names.count(name) > 1:
                raise PydanticCustomError(
                    "rules", "two rules are named {name}", {"name": repr(name)}
                )
        folded = [name.lower() for name in self.columns]
        for name in self.columns:
            if folded.count(name.lower()) > 1:
                raise PydanticCustomError(
                    "columns", "two columns are named {name}", {"name": repr(name)}
                )
        if self.on_duplicate and not self.key:
            raise PydanticCustomError("key", "`on_duplicate` needs a `key`")
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
            **self.model_dump(
                mode="json", include={"on_duplicate", "unexpected_columns"}, exclude_defaults=True
            ),
        }
        return json.dumps(words, sort_keys=True)


def _said(part: Definition) -> dict[str, Any]:
    silent = {"description", "tags", "type"}
    return part.model_dump(mode="json", exclude=silent, exclude_defaults=True)
