"""`headwater quarantine export`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headwater.api import open_project
from headwater.cli.output import Output
from headwater.errors import counted


def command(
    out: Output, dataset: str, project: str, environment: str, output: str, which: Mapping[str, Any]
) -> int:
    rows = open_project(project, environment=environment).export_quarantine(
        dataset, output, **which
    )
    if out.is_json:
        out.json({"rows": rows, "file": output})
        return 0
    out.line(f"{counted(rows, 'row')} to {output}")
    out.note(f"edit the fields, then: headwater quarantine fix {dataset} --from {output}")
    return 0
