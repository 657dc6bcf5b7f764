"""Checks that are no row rules: what must hold of a table as a whole.

A row rule says what becomes of a row; a check looks at all of them, and only tells whether a
release may go out. So none of this is part of a contract's meaning: a changed check is run
again, and nothing is rebuilt for it.

These classes are the YAML. What is run is worked out in `analysis/checks.py`.
"""

from __future__ import annotations

import re
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from headwater.contract.definition import Definition, Words
from headwater.sql.query import SqlError, read_aggregate


class CheckRemedy(StrEnum):
    """What follows where a check does not hold."""

    FAIL = "fail"
    """Nothing that the check reads is released. The default."""
    WARN = "warn"
    """It is reported and recorded, and released all the same."""


_PERCENT = re.compile(r"\s*(\d+(?:\.\d+)?)\s*%\s*")


def _as_percent(value: Any) -> Any:
    if value is None or isinstance(value, Decimal):
        return value
    match = _PERCENT.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise PydanticCustomError("percent", "must be a percentage", {"hint": "such as 10%"})
    return Decimal(match[1])


def _as_aggregate(value: Any) -> str:
    if not isinstance(value, str):
        raise PydanticCustomError("check", "a check is an SQL expression")
    try:
        return read_aggregate(value)
    except SqlError as error:
        raise PydanticCustomError(
            "check", "{text}", {"text": error.message, "hint": error.hint}
        ) from error


Percent = Annotated[Decimal | None, BeforeValidator(_as_percent)]


def _show_severity(schema: dict[str, Any]) -> None:
    """What JSON Schemas say of the key that `_Checked` understands beside its own."""
    schema["properties"]["severity"] = {
        "description": "As `otherwise`; `error` is `fail`.",
        "enum": ["fail", "warn", "error"],
    }


class _Checked(Definition):
    """What all checks have."""

    model_config = ConfigDict(json_schema_extra=_show_severity)

    otherwise: CheckRemedy = CheckRemedy.FAIL
    """What follows where it does not hold. `severity: warn` and `severity: error` are understood
    too."""

    @model_validator(mode="before")
    @classmethod
    def _severity(cls, value: Any) -> Any:
        if not isinstance(value, dict) or "severity" not in value:
            return value
        if "otherwise" in value:
            raise PydanticCustomError(
                "check",
                "`severity` and `otherwise` say the same",
                {"path": ("severity",), "hint": "keep `otherwise`"},
            )
        word = value["severity"]
        if word not in ("fail", "warn", "error"):
            raise PydanticCustomError(
                "check", "must be one of: 'warn' or 'error'", {"path": ("severity",)}
            )
        rest = {key: said for key, said in value.items() if key != "severity"}
        return {**rest, "otherwise": "fail" if word == "error" else word}


class RowCount(_Checked):
    """How many rows a dataset has: a number, or bounds, all included."""

    min: int | None = Field(default=None, ge=0)
    """The fewest rows allowed."""
    max: int | None = Field(default=None, ge=0)
    """The most rows allowed."""
    max_decrease: Percent = None
    """How much fewer rows than are released now, as `10%`."""
    max_increase: Percent = None
    """How much more rows than are released now, as `200%`."""
    description: str = ""
    """Why so; for people."""

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, value: Any) -> Any:
        is_count = isinstance(value, int) and not isinstance(value, bool)
        return {"min": value, "max": value} if is_count else value

    @model_validator(mode="after")
    def _is_sound(self) -> Self:
        bounds = (self.min, self.max, self.max_decrease, self.max_increase)
        if all(bound is None for bound in bounds):
            raise PydanticCustomError(
                "row_count", "a bound is missing", {"hint": "`min`, `max`, or a number of rows"}
            )
        if self.min is not None and self.max is not None and self.min > self.max:
            raise PydanticCustomError("row_count", "`min` is greater than `max`")
        return self

    @property
    def is_relative(self) -> bool:
        """Whether it looks at what is released before."""
        return self.max_decrease is not None or self.max_increase is not None


class TableCheck(_Checked):
    """A check over all rows of a dataset: an expression of aggregates."""

    name: str
    """One word; results are recorded as `check.NAME`."""
    check: Annotated[str, BeforeValidator(_as_aggregate)]
    """An SQL expression of aggregates, such as `sum(fare) > 0`. The check holds if it is true."""
    description: str = ""
    """What the check means; for people."""

    @model_validator(mode="after")
    def _is_sound(self) -> Self:
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", self.name):
            raise PydanticCustomError(
                "check", "a check's name is one word of letters, digits and _", {"path": ("name",)}
            )
        return self


class CheckHeader(_Checked):
    """The leading comment of `checks/NAME.sql`."""

    description: str = ""
    """What the check means; for people."""
    owner: str = ""
    """Who answers for it."""
    tags: Words = ()
    """Words to select it by."""
