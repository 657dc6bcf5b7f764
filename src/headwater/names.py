"""Dataset names: `schema.name`, each part a plain lower-case word.

The path of a file is the name of its dataset, so a name must be fit for a path, for SQL
without quotes, and for the built table that carries it.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_OURS = ("all", "built", "headwater", "lake")
_DUCKDBS = ("information_schema", "main", "memory", "pg_catalog", "system", "temp")
RESERVED_SCHEMAS = frozenset((*_OURS, *_DUCKDBS))
_WORD = re.compile(r"[a-z][a-z0-9_]*\Z")

PROD = "prod"
"""The environment that consumers read."""


class DatasetName(NamedTuple):
    """A dataset's name. Prints as `schema.name`.

    >>> str(DatasetName("marts", "daily_revenue"))
    'marts.daily_revenue'
    """

    schema: str
    name: str

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"

    @classmethod
    def parse(cls, text: str) -> DatasetName:
        """`schema.name` as a name. Raises ValueError for anything else."""
        parts = text.split(".")
        if len(parts) != 2:
            raise ValueError(f"a dataset is named schema.name, not {text!r}")
        return cls(*parts)


def fault(name: DatasetName) -> str:
    """Why a name may not be used, or "" if it may.

    >>> fault(DatasetName("built", "x"))
    "'built' is reserved"
    """
    for word in name:
        if reason := word_fault(word):
            return reason
    if name.schema in RESERVED_SCHEMAS or name.schema.startswith("pg_"):
        return f"{name.schema!r} is reserved"
    return ""


def environment_fault(environment: str) -> str:
    """Why an environment may not be called so, or "" if it may: its views stand in schemas that
    begin with its name.

    >>> environment_fault("dev"), environment_fault("built")
    ('', "'built' is reserved")
    """
    reserved = environment in RESERVED_SCHEMAS or environment.startswith("pg_")
    return f"{environment!r} is reserved" if reserved else word_fault(environment)


def view_name(environment: str, name: DatasetName) -> DatasetName:
    """The view that shows a dataset of an environment to any client of the lake.

    >>> str(view_name("prod", DatasetName("marts", "x")))
    'marts.x'
    >>> str(view_name("dev", DatasetName("marts", "x")))
    'dev__marts.x'
    """
    return name if environment == PROD else DatasetName(f"{environment}__{name.schema}", name.name)


def word_fault(word: str) -> str:
    """Why a word may be no part of a name, or "" if it may.

    >>> word_fault("a__b")
    "'a__b' holds '__', which is reserved"
    """
    if not _WORD.match(word):
        return f"{word!r} is no name: use lower-case letters, digits and _, a letter first"
    if "__" in word:
        return f"{word!r} holds '__', which is reserved"
    return ""
