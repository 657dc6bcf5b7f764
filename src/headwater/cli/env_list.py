"""`headwater env list`."""

from __future__ import annotations

from headwater.api import list_environments
from headwater.cli.output import Output


def command(out: Output, project: str) -> int:
    found = list_environments(project)
    if out.is_json:
        out.json([state.as_dict() for state in found])
    elif not found:
        out.line("nothing is released yet: `headwater run`", "yellow")
    else:
        out.table(
            ["environment", "release", "at (UTC)", "by", "datasets", "different", "behind"],
            [
                [
                    state.name,
                    state.release,
                    state.released_at.replace(microsecond=0),
                    state.user_name,
                    state.datasets,
                    len(state.others),
                    len(state.behind),
                ]
                for state in found
            ],
        )
    return 0
