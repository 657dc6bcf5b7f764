"""`headwater clean`: remove what nothing refers to any more."""

from __future__ import annotations

from headwater.api import clean
from headwater.cli.output import Output
from headwater.errors import counted


def command(out: Output, project: str, older_than_days: int | None, dry_run: bool) -> int:
    found = clean(project, older_than_days, dry_run=dry_run)
    if out.is_json:
        out.json(found.as_dict())
        return 0
    verb = "would go" if dry_run else "removed"
    for build in found.tables:
        rows = "" if build.row_count is None else f", {counted(build.row_count, 'row')}"
        out.line(f"{verb:<10} {build.position.table}: {build.dataset}{rows}", "yellow")
    what = f"{counted(len(found.tables), 'table')} and {counted(found.snapshots, 'snapshot')}"
    files = "" if found.files is None else f", {counted(found.files, 'file')} deleted"
    if found.tables or found.snapshots or found.files:
        out.line(f"{what} {verb}{files}", "bold")
    else:
        out.line("nothing to clean: all that is built is needed", "green")
    return 0
