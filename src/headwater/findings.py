"""What an examination finds: one finding each, good or bad, with what to do next."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Grade(StrEnum):
    """How good a finding is."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that was looked at.

    area   environment, project or lake.
    name   what was looked at, in a word or two.
    hint   what to do next; "" where there is nothing to do.
    """

    area: str
    name: str
    grade: Grade
    message: str
    hint: str = ""
