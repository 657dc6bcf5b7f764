"""`headwater plan`: what a run would do, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from headwater.api import open_project
from headwater.cli.output import Output
from headwater.errors import counted
from headwater.plan.plan import Action
from headwater.plan.steps import Plan, PlannedStep

_NOTHING, _BREAKS = 0, 2
_STYLES = {
    Action.BLOCKED: "red",
    Action.DROP: "yellow",
    Action.NOTHING: "dim",
}


def command(
    out: Output,
    select: Sequence[str],
    project: str,
    environment: str,
    variables: Mapping[str, Any],
    rebuild: bool,
    from_now: bool,
    land: bool | None,
    accept_breaking: bool,
    everything: bool,
) -> int:
    opened = open_project(project, variables=variables, environment=environment)
    found = opened.plan(select=select, rebuild=rebuild, from_now=from_now, land=land)
    code = _BREAKS if found.breaking and not accept_breaking else _NOTHING
    if out.is_json:
        out.json({**found.as_dict(), "exit_code": code})
        return code
    show_plan(out, found, found.steps if everything else found.doing)
    if code:
        out.note(
            "hint: consumers may rely on what is taken away; --accept-breaking if that is meant",
            "cyan",
        )
    return code


def show_plan(out: Output, found: Plan, steps: Sequence[PlannedStep]) -> None:
    """Print some steps of a plan, then what there is in all."""
    for step in steps:
        _show(out, step)
    for name, release in found.held.items():
        out.line(f"stays    {name}  rolled back by release {release}", "yellow")
    for name, release in found.superseded.items():
        out.line(
            f"refused  {name}  is defined here as before release {release}, which has replaced "
            "that; to go back on purpose: --replace",
            "red",
        )
    out.line(_summary(found), "bold")


def _show(out: Output, step: PlannedStep) -> None:
    out.line(f"{step.action.value:<8} {step.dataset}  {step.reason}", _STYLES.get(step.action, ""))
    for what in step.breaking:
        out.line(f"         breaking: {what}", "red")
    if step.affected:
        shown = ", ".join(str(name) for name in step.affected[:5])
        more = f" and {len(step.affected) - 5} more" if len(step.affected) > 5 else ""
        out.line(f"         read by {shown}{more}", "dim")


def _summary(found: Plan) -> str:
    counts = Counter(step.action for step in found.steps)
    words = [
        f"{counts[action]} to {action.value}"
        for action in (Action.LAND, Action.BUILD, Action.RENAME, Action.DROP)
        if counts[action]
    ]
    if counts[Action.REUSE]:
        words.append(f"{counts[Action.REUSE]} reused")
    if counts[Action.BLOCKED]:
        words.append(f"{counts[Action.BLOCKED]} blocked")
    if counts[Action.NOTHING]:
        words.append(f"{counts[Action.NOTHING]} up to date")
    known = [step.seconds for step in found.doing if step.seconds is not None]
    about = f"; {counted(len(known), 'step')} took {sum(known):.1f} s last time" if known else ""
    return f"plan: {', '.join(words) or 'nothing to do'}{about}"
