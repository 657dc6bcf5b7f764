"""Shared by the commands that list what the lake recorded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from headwater.api import open_project


def fetch(project: str, sql: str, parameters: Sequence[Any] = ()) -> list[dict[str, Any]]:
    """The rows of a query over the state tables of a project's lake, read-only."""
    with open_project(project).read_lake() as lake:
        result = lake.con.execute(sql, list(parameters))
        names = [column[0] for column in result.description or ()]
        return [dict(zip(names, row, strict=True)) for row in result.fetchall()]
