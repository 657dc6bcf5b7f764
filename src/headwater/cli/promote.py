"""`headwater promote`: make prod have what an environment has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headwater.api import open_project
from headwater.cli.output import Output
from headwater.cli.plan import show_plan
from headwater.cli.run import show_report, watched

_BREAKS = 2


def command(
    out: Output,
    environment: str,
    project: str,
    variables: Mapping[str, Any],
    dry_run: bool,
    replace: bool,
    accept_breaking: bool,
) -> int:
    opened = open_project(project, variables=variables)
    plan = opened.plan_promotion(environment, replace=replace)
    breaks = bool(plan.breaking) and not accept_breaking
    if not out.is_json:
        moving = [step.as_dict() for step in (*plan.reused, *plan.doing)]
        show_plan(out, plan.as_dict(), moving)
    elif dry_run or breaks:
        out.json({**plan.as_dict(), "exit_code": _BREAKS if breaks else 0})
    if breaks:
        out.note(
            "hint: consumers may rely on what is taken away; --accept-breaking if that is meant",
            "cyan",
        )
        return _BREAKS
    if dry_run:
        return 0
    with watched(out) as observer:
        report = opened.promote(environment, replace=replace, observer=observer)
    return show_report(out, report)
