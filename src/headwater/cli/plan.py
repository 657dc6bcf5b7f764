"""`headwater plan`: what a run would do, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from headwater.cli.output import Output
from headwater.errors import counted
from headwater.folder import find_project
from headwater.index.memo import Answer

_NOTHING, _BREAKS = 0, 2
_STYLES = {"blocked": "red", "drop": "yellow", "nothing": "dim"}


def command(
    out: Output,
    select: Sequence[str],
    project: str,
    variables: Mapping[str, Any],
    rebuild: bool,
    from_now: bool,
    accept_breaking: bool,
    everything: bool,
    environment: str = "prod",
) -> int:
    answer = Answer(
        find_project(Path(project)),
        {
            "command": "plan",
            "select": list(select),
            "variables": dict(variables),
            "rebuild": rebuild,
            "from_now": from_now,
            "environment": environment,
        },
    )
    found = answer.known() or _planned(answer, project, select, variables, rebuild, from_now)
    code = _BREAKS if found["breaking"] and not accept_breaking else _NOTHING
    if out.is_json:
        out.json({**found, "exit_code": code})
        return code
    for step in found["steps"]:
        if everything or step["action"] != "nothing":
            _show(out, step)
    for name, release in found["rolled_back"].items():
        out.line(f"stays    {name}  rolled back by release {release}", "yellow")
    out.line(_summary(found["steps"]), "bold")
    if code:
        out.note(
            "hint: consumers may rely on what is taken away; --accept-breaking if that is meant",
            "cyan",
        )
    return code


def _planned(
    answer: Answer,
    project: str,
    select: Sequence[str],
    variables: Mapping[str, Any],
    rebuild: bool,
    from_now: bool,
) -> dict[str, Any]:
    """Plan, and keep the plan as the answer."""
    from headwater.api import open_project  # late: an answer that is known takes none of it
    from headwater.run.watched import watched

    opened = open_project(project, variables=variables)
    answer.watch(watched(opened.project))
    found = opened.plan(select=select, rebuild=rebuild, from_now=from_now).as_dict()
    answer.keep(found, opened.project.lake_folder)
    return found


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
    if counts["blocked"]:
        words.append(f"{counts['blocked']} blocked")
    if counts["nothing"]:
        words.append(f"{counts['nothing']} up to date")
    doing = [step for step in steps if step["action"] != "nothing"]
    known = [step["seconds"] for step in doing if step["seconds"] is not None]
    about = f"; {counted(len(known), 'step')} took {sum(known):.1f} s last time" if known else ""
    return f"plan: {', '.join(words) or 'nothing to do'}{about}"
