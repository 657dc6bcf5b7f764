"""`headwater plan`: what a run would do, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headwater.cli.differences import show_differences
from headwater.cli.output import Output
from headwater.errors import NoLake, UnknownEnvironment, counted
from headwater.folder import find_project
from headwater.index.memo import Answer
from headwater.names import PROD

if TYPE_CHECKING:
    from headwater.lake.diff import DatasetDiff

_NOTHING, _BREAKS = 0, 2
_AT_REST = ("nothing", "reuse")
_STYLES = {"blocked": "red", "drop": "yellow", "nothing": "dim"}


def command(
    out: Output,
    select: Sequence[str],
    project: str,
    environment: str,
    variables: Mapping[str, Any],
    rebuild: bool,
    from_now: bool,
    land: bool,
    accept_breaking: bool,
    everything: bool,
    diff: bool,
) -> int:
    answer = Answer(
        find_project(Path(project)),
        {
            "command": "plan",
            "select": list(select),
            "variables": dict(variables),
            "rebuild": rebuild,
            "from_now": from_now,
            "land": land,
            "environment": environment,
        },
    )
    found = answer.known()
    if found is None:
        from headwater.api import open_project  # late: an answer that is known takes none of it
        from headwater.run.watched import watched

        opened = open_project(project, variables=variables, environment=environment)
        answer.watch(watched(opened.project))
        plan = opened.plan(select=select, rebuild=rebuild, from_now=from_now, land=land)
        found = plan.as_dict()
        answer.keep(found, opened.project.lake_folder)
    code = _BREAKS if found["breaking"] and not accept_breaking else _NOTHING
    built = _built(project, environment, variables) if diff else None
    if out.is_json:
        more = {} if built is None else {"diff": [each.as_dict() for each in built]}
        out.json({**found, **more, "exit_code": code})
        return code
    shown = [
        step
        for step in found["steps"]
        if everything or step["action"] not in _AT_REST or step["breaking"]
    ]
    show_plan(out, found, shown)
    if code:
        out.note(
            "hint: consumers may rely on what is taken away; --accept-breaking if that is meant",
            "cyan",
        )
    if built is not None:
        out.line("")
        out.line(f"what {environment} has built, beside prod:", "bold")
        show_differences(out, built)
    return code


def _built(project: str, environment: str, variables: Mapping[str, Any]) -> list[DatasetDiff]:
    """How what an environment has built differs from prod; of one that has built nothing yet,
    nothing does."""
    from headwater.api import open_project  # late: a plan alone may need none of it

    opened = open_project(project, variables=variables, environment=environment)
    try:
        return opened.diff_environments(PROD, environment)
    except (NoLake, UnknownEnvironment):
        return []


def show_plan(out: Output, found: Mapping[str, Any], steps: Sequence[Mapping[str, Any]]) -> None:
    """Print some steps of a plan, as `Plan.as_dict` gives it, then what there is in all."""
    for step in steps:
        _show(out, step)
    for name, release in found["rolled_back"].items():
        out.line(f"stays    {name}  rolled back by release {release}", "yellow")
    for name, release in found["superseded"].items():
        out.line(
            f"refused  {name}  is defined here as before release {release}, which has replaced "
            "that; to go back on purpose: --replace",
            "red",
        )
    out.line(_summary(found["steps"]), "bold")


def _show(out: Output, step: Mapping[str, Any]) -> None:
    style = _STYLES.get(step["action"], "")
    out.line(f"{step['action']:<8} {step['dataset']}  {step['reason']}", style)
    for what in step["breaking"]:
        out.line(f"         breaking: {what}", "red")
    if affected := step["affected"]:
        shown = ", ".join(affected[:5])
        more = f" and {len(affected) - 5} more" if len(affected) > 5 else ""
        out.line(f"         read by {shown}{more}", "dim")


def _summary(steps: Sequence[Mapping[str, Any]]) -> str:
    counts = Counter(step["action"] for step in steps)
    words = [
        f"{counts[action]} to {action}"
        for action in ("land", "build", "rename", "drop")
        if counts[action]
    ]
    if counts["reuse"]:
        words.append(f"{counts['reuse']} reused")
    if counts["blocked"]:
        words.append(f"{counts['blocked']} blocked")
    if counts["nothing"]:
        words.append(f"{counts['nothing']} up to date")
    doing = [step for step in steps if step["action"] not in _AT_REST]
    known = [step["seconds"] for step in doing if step["seconds"] is not None]
    about = f"; {counted(len(known), 'step')} took {sum(known):.1f} s last time" if known else ""
    return f"plan: {', '.join(words) or 'nothing to do'}{about}"
