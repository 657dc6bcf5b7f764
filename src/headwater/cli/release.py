"""`headwater release --resume`: go on after a rollback."""

from __future__ import annotations

from headwater.api import resume
from headwater.cli.output import Output
from headwater.errors import HeadwaterError, counted


def command(out: Output, project: str, environment: str, is_resumed: bool) -> int:
    if not is_resumed:
        raise HeadwaterError(
            "a release is made by `headwater run`",
            hint="after a rollback: headwater release --resume",
        )
    names = resume(project, environment)
    if out.is_json:
        out.json({"resumed": [str(name) for name in names]})
        return 0
    for name in names:
        out.line(f"resumed    {name}")
    out.line(f"{counted(len(names), 'dataset')}: `headwater run` releases what is built of them")
    return 0
