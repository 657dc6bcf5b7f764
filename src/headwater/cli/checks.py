"""`headwater checks`: the results of checks over time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from headwater.analysis.checks import DataCheck, data_checks
from headwater.api import OpenProject, open_project
from headwater.cli.output import Output
from headwater.errors import NoLake, UnknownCheck, suggestion
from headwater.lake.checks import CheckResult, results

TREND = 20
"""How many results a trend shows."""
_BARS = "▁▂▃▄▅▆▇█"


def command(out: Output, name: str, project: str, environment: str, limit: int) -> int:
    opened = open_project(project, environment=environment)
    checks = data_checks(opened.project)
    recorded = _recorded(opened, max(limit, TREND))
    if name:
        return _history(out, name, checks, recorded, limit)
    shown = [_newest(check, recorded) for check in checks]
    if out.is_json:
        out.json(shown)
    elif not shown:
        out.line("there is no check yet: add checks/NAME.sql, or `row_count:` to a contract")
    else:
        out.table(
            ["check", "result", "otherwise", "at (UTC)", "trend", "why"],
            [
                [row[key] for key in ("check", "status", "otherwise", "checked_at", "trend", "why")]
                for row in shown
            ],
        )
    return 0


def _recorded(opened: OpenProject, per_check: int) -> list[CheckResult]:
    try:
        with opened.read_lake() as lake, lake.reading():
            return results(lake, lake.release().names, per_check)
    except NoLake:
        return []


def _newest(check: DataCheck, recorded: Sequence[CheckResult]) -> dict[str, Any]:
    """A check with its newest result."""
    own = [result for result in recorded if result.key == check.key]
    newest = own[0] if own else None
    return {
        "check": check.name,
        "status": newest.status if newest else "not run yet",
        "otherwise": check.remedy_of(newest.remedy).value if newest else check.remedy.value,
        "checked_at": newest.checked_at.replace(microsecond=0) if newest else None,
        "trend": trend(own[:TREND]),
        "failed_rows": newest.failed_rows if newest else None,
        "why": newest.cause if newest else "",
        "meaning": check.meaning,
        "defined_in": check.where,
    }


def trend(newest_first: Sequence[CheckResult]) -> str:
    """The results from the oldest to the newest, one character each: a dot where the check
    held, else a bar as high as its rows are many.

    A check that does not look at single rows has full bars.
    """
    most = max((result.failed_rows or 0 for result in newest_first), default=0)
    marks = []
    for result in reversed(newest_first):
        if result.holds:
            marks.append("·")
        elif result.failed_rows and most:
            marks.append(_BARS[(result.failed_rows * (len(_BARS) - 1)) // most])
        else:
            marks.append(_BARS[-1])
    return "".join(marks)


def _history(
    out: Output,
    name: str,
    checks: Sequence[DataCheck],
    recorded: Sequence[CheckResult],
    limit: int,
) -> int:
    found = [result for result in recorded if _means(name, result.dataset, result.code)]
    known = [check for check in checks if _means(name, *check.key)]
    if not found and not known:
        names = [check.name for check in checks]
        raise UnknownCheck(f"no check {name!r}", hint=suggestion(name, names))
    shown = found[:limit]
    if out.is_json:
        out.json([result.as_dict() for result in shown])
        return 0
    for check in known:
        out.line(check.name, "bold")
        out.line(f"  {check.meaning}, otherwise {check.remedy.value}  ({check.where})")
    if not found:
        out.line("  not run yet: `headwater run`, or `headwater check --data`", "yellow")
        return 0
    out.table(
        ["at (UTC)", "check", "result", "rows", "why", "run"],
        [
            [
                result.checked_at.replace(microsecond=0),
                result.name,
                result.status,
                result.failed_rows,
                result.cause,
                result.run_id,
            ]
            for result in shown
        ],
    )
    if len({result.key for result in found}) == 1:
        out.line(f"trend  {trend(found[:TREND])}")
        for text in found[0].sample:
            out.line(f"  {text}")
    return 0


def _means(word: str, dataset: str | None, code: str) -> bool:
    """Whether a word of the command line means this check: its code, with or without its dataset
    and kind, or its dataset."""
    short = code.removeprefix("check.").removeprefix("rule.")
    names = {code, short, dataset, f"{dataset}.{code}", f"{dataset}.{short}"}
    return word in names
