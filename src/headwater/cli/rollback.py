"""`headwater rollback`: go back to an earlier release."""

from __future__ import annotations

from headwater.api import roll_back
from headwater.cli.output import Output
from headwater.errors import counted


def command(out: Output, project: str, environment: str, to: int | None) -> int:
    done = roll_back(project, to, environment)
    if out.is_json:
        out.json(done.as_dict())
        return 0
    for name in done.moves:
        out.line(f"back       {name}", "yellow")
    for name in done.removed:
        out.line(f"removed    {name}: it was not there then", "yellow")
    what = counted(len(done.moves) + len(done.removed), "dataset")
    out.line(f"release {done.release}: {what} as at release {done.to}", "green bold")
    out.note("they stay there whatever is built, until `headwater release --resume`")
    return 0
