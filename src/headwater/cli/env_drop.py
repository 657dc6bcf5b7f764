"""`headwater env drop`."""

from __future__ import annotations

from headwater.api import drop_environment
from headwater.cli.output import Output
from headwater.errors import counted


def command(out: Output, environment: str, project: str) -> int:
    names = drop_environment(project, environment)
    if out.is_json:
        out.json({"environment": environment, "dropped": [str(name) for name in names]})
        return 0
    out.line(f"{environment} is dropped: {counted(len(names), 'name')}", "yellow")
    out.note("what was built for it stays until `headwater clean`")
    return 0
