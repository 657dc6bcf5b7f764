"""`headwater quarantine replay` and `fix`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from headwater.api import open_project
from headwater.cli.output import Output
from headwater.cli.run import show_report, watched
from headwater.errors import HeadwaterError


def command(
    out: Output,
    dataset: str,
    project: str,
    environment: str,
    which: Mapping[str, Any],
    sets: Sequence[str],
    edited: str,
    is_fix: bool = False,
) -> int:
    if is_fix and not sets and not edited:
        raise HeadwaterError(
            "say how to mend the rows",
            hint="--set 'FIELD=EXPRESSION', or --from FILE with a file that `export` wrote",
        )
    opened = open_project(project, environment=environment)
    with watched(out) as observer:
        report = opened.replay(
            dataset, sets=dict(map(_assigned, sets)), edited=edited, observer=observer, **which
        )
    return show_report(out, report)


def _assigned(text: str) -> tuple[str, str]:
    name, sign, expression = text.partition("=")
    if not sign or not name.strip() or not expression.strip():
        raise HeadwaterError(
            "--set takes FIELD=EXPRESSION", hint="--set 'fare=abs(CAST(fare AS DOUBLE))'"
        )
    return name.strip(), expression.strip()
