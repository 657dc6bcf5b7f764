"""`headwater restore`: a lake, brought back from its backup."""

from __future__ import annotations

from headwater.api import restore
from headwater.cli.backup import facts, told
from headwater.cli.output import Output


def command(out: Output, folder: str, project: str, into: str, replace: bool) -> int:
    done = restore(folder, project, into=into, replace=replace)
    if out.is_json:
        out.json(facts(done))
        return 0
    out.line(f"restored, as backed up at {done.backup.made_at}: {told(done)}", "green")
    if done.aside:
        out.line(f"  the lake that was there is now {done.aside.name}; remove it when all is well")
    return 0
