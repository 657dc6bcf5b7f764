"""What all that is read from YAML has in common, and the values that may stand in it: constants,
and expressions that are computed for each row.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, time
from decimal import Decimal
from typing import Annotated, Any, Self, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from headwater.sql.query import SqlError, read_value

Scalar = bool | int | float | Decimal | datetime | date | time | str


def _as_tuple(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


Words = Annotated[tuple[str, ...], BeforeValidator(_as_tuple)]


class Definition(BaseModel):
    """Base of all that is read from YAML: frozen, and strict about its keys."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", populate_by_name=True, arbitrary_types_allowed=True
    )


def _as_expression(value: Any) -> str:
    if isinstance(value, bool | int | float):
        return str(value)
    if not isinstance(value, str):
        raise PydanticCustomError("expression", "an expression is SQL over the row's columns")
    try:
        return read_value(value)
    except SqlError as error:
        raise PydanticCustomError(
            "expression", "{text}", {"text": error.message, "hint": error.hint}
        ) from error


Sql = Annotated[str, BeforeValidator(_as_expression)]


D = TypeVar("D", bound=Definition)


class Expression(Definition):
    """A value that is computed for each row: `{expression: SQL}`."""

    expression: Sql
    """An SQL expression over the columns of the row."""


def _as_value(value: Any) -> Any:
    if isinstance(value, dict):
        if set(value) != {"expression"}:
            raise PydanticCustomError(
                "value", "a value is a constant, or {shape}", {"shape": "{expression: SQL}"}
            )
        # Read here, so that what is wrong with it is said once and not for each kind of value.
        return Expression(expression=_as_expression(value["expression"]))
    if isinstance(value, list | tuple):
        raise PydanticCustomError("value", "one value is meant, not a list")
    return value


Value = Annotated[Scalar | Expression, BeforeValidator(_as_value)]
"""A constant, or an expression."""


class Previous(Definition):
    """The last value before, of rows of the same file (in a model: of the result)."""

    by: str | None = None
    """The column that says what comes before. Default: the order of the file."""
    within: Words = ()
    """The columns within whose equal values to look."""


def _as_previous(value: Any) -> Any:
    return {} if value in (None, True) else value


class Fill(Definition):
    """Where a missing value is taken from: one of these."""

    from_: str | None = Field(default=None, alias="from")
    """Another column of the contract."""
    value: Scalar | None = None
    """A constant."""
    expression: Sql | None = None
    """An SQL expression over the columns of the row."""
    previous: Annotated[Previous, BeforeValidator(_as_previous)] | None = None
    """The last value before: `{by: COLUMN, within: COLUMN}`."""

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, value: Any) -> Any:
        return {"previous": {}} if value == "previous" else value

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if len(self.model_fields_set) != 1:
            raise PydanticCustomError(
                "fill",
                "`fill` takes one of `from`, `value`, `expression` and `previous`",
                {"hint": "what is still missing then becomes the column's `default`"},
            )
        return self


class Replacement(Definition):
    """What a value that breaks a rule becomes instead: one of these."""

    value: Scalar | None = None
    """A constant."""
    expression: Sql | None = None
    """An SQL expression over the columns of the row."""


def as_replacement(value: Any) -> Replacement:
    """`{value: …}` or `{expression: …}`, read; raises PydanticCustomError for anything else."""
    if isinstance(value, Replacement):
        return value
    if isinstance(value, dict) and set(value) == {"expression"}:
        return Replacement(expression=_as_expression(value["expression"]))
    if isinstance(value, dict) and set(value) == {"value"} and isinstance(value["value"], Scalar):
        return Replacement(value=value["value"])
    raise PydanticCustomError(
        "otherwise",
        "a value instead is written {shape}",
        {"shape": "{value: …} or {expression: SQL}"},
    )


def with_expressions(
    part: D, path: tuple[str | int, ...], change: Callable[[tuple[str | int, ...], str], str]
) -> D:
    """A part of a definition with each SQL expression in it changed, by where it stands."""
    changed: dict[str, Any] = {}
    for name, field in type(part).model_fields.items():
        value = getattr(part, name)
        here = (*path, field.alias or name)
        if name == "expression" and isinstance(value, str):
            changed[name] = change(here, value)
        elif isinstance(value, Definition):
            changed[name] = with_expressions(value, here, change)
        elif isinstance(value, dict) and any(isinstance(v, Definition) for v in value.values()):
            changed[name] = {
                key: with_expressions(v, (*here, key), change) if isinstance(v, Definition) else v
                for key, v in value.items()
            }
        elif isinstance(value, tuple) and any(isinstance(v, Definition) for v in value):
            changed[name] = tuple(
                with_expressions(v, (*here, n), change) if isinstance(v, Definition) else v
                for n, v in enumerate(value)
            )
    different = {name: value for name, value in changed.items() if value != getattr(part, name)}
    return part.model_copy(update=different) if different else part
