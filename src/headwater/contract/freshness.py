"""Freshness: how old a dataset's newest row may be.

Values only. What is asked of the rows is worked out in `analysis/checks.py`: to the runs it is a
check like the others.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, model_validator
from pydantic_core import PydanticCustomError

from headwater.contract.definition import Definition

_UNITS = {"minute": "minutes", "hour": "hours", "day": "days", "week": "weeks"}
_DURATION = re.compile(r"(?P<count>[0-9]+) +(?P<unit>minute|hour|day|week)s?")


def read_duration(text: str) -> timedelta:
    """A duration in words. Raises ValueError.

    >>> read_duration("36 hours")
    datetime.timedelta(days=1, seconds=43200)
    """
    match = _DURATION.fullmatch(text.strip())
    if not match:
        raise ValueError("a duration is a number of minutes, hours, days or weeks: 36 hours")
    return timedelta(**{_UNITS[match["unit"]]: int(match["count"])})


def _as_duration(value: Any) -> str:
    try:
        read_duration(str(value))
    except (ValueError, OverflowError) as error:
        raise PydanticCustomError("duration", "{text}", {"text": str(error)}) from error
    return str(value)


Duration = Annotated[str, BeforeValidator(_as_duration)]


class Fresh(StrEnum):
    """How fresh a dataset is."""

    FRESH = "fresh"
    """Its newest row is young enough."""
    WARN = "warn"
    """Its newest row is older than `warn_after`; or there is none."""
    FAIL = "fail"
    """Its newest row is older than `fail_after`; or there is none."""


class Freshness(Definition):
    """How old the newest row of a dataset may be."""

    column: str
    """The date or timestamp (UTC) that says how new a row is."""
    warn_after: Duration | None = None
    """The age from which on it is a warning: `36 hours`, `1 day`."""
    fail_after: Duration | None = None
    """The age from which on the check fails, and holds back new rows and what reads them."""

    @model_validator(mode="after")
    def _is_sound(self) -> Self:
        if self.warn_after is None and self.fail_after is None:
            raise PydanticCustomError("freshness", "`freshness` needs `warn_after` or `fail_after`")
        if (
            self.warn_after
            and self.fail_after
            and read_duration(self.warn_after) > read_duration(self.fail_after)
        ):
            raise PydanticCustomError("freshness", "`warn_after` is longer than `fail_after`")
        return self

    def judge(self, newest: datetime | None, now: datetime) -> Fresh:
        """How fresh a dataset is whose newest row is of `newest` (None: it has none). Both UTC,
        without a zone. A row of the future is fresh."""
        if newest is None:
            return Fresh.FAIL if self.fail_after else Fresh.WARN
        age = now - newest
        if self.fail_after and age > read_duration(self.fail_after):
            return Fresh.FAIL
        if self.warn_after and age > read_duration(self.warn_after):
            return Fresh.WARN
        return Fresh.FRESH

    @property
    def meaning(self) -> str:
        """What must hold, in words."""
        most = self.fail_after or self.warn_after
        words = f"its newest {self.column} is at most {most} old"
        return f"{words}, a warning after {self.warn_after}" if self._has_both else words

    @property
    def _has_both(self) -> bool:
        return self.warn_after is not None and self.fail_after is not None

    def cause(self, newest: datetime | None, now: datetime) -> str:
        """Why a dataset is not fresh, in words; "" if it is. See `judge`.

        >>> freshness = Freshness(column="seen", warn_after="1 day")
        >>> freshness.cause(datetime(2026, 1, 1, 10), datetime(2026, 1, 3))
        'its newest seen is 2026-01-01 10:00 (UTC), older than 1 day'
        """
        found = self.judge(newest, now)
        if found is Fresh.FRESH:
            return ""
        if newest is None:
            return f"it has no row with a {self.column}"
        bound = self.fail_after if found is Fresh.FAIL else self.warn_after
        moment = newest.isoformat(sep=" ", timespec="minutes")
        return f"its newest {self.column} is {moment} (UTC), older than {bound}"
