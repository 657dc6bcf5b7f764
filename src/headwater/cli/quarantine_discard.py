"""`headwater quarantine discard`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headwater.api import open_project
from headwater.cli.output import Output
from headwater.errors import HeadwaterError, counted


def command(
    out: Output, dataset: str, project: str, environment: str, every: bool, which: Mapping[str, Any]
) -> int:
    if not every and not any(which.values()):
        raise HeadwaterError(
            "say which rows: --reason, --file, --run or --id",
            hint="--all means all of the dataset's",
        )
    rows = open_project(project, environment=environment).discard_quarantine(dataset, **which)
    if out.is_json:
        out.json({"rows": rows})
    else:
        out.line(f"discarded {counted(rows, 'row')}")
    return 0
