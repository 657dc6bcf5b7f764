"""`headwater releases`."""

from __future__ import annotations

from headwater.cli.output import Output
from headwater.cli.records import fetch


def command(out: Output, project: str, environment: str, limit: int) -> int:
    rows = fetch(
        project,
        "SELECT release_id, released_at, user_name, moved, held_back, description, run_id "
        "FROM lake.headwater.releases WHERE environment = ? "
        f"ORDER BY release_id DESC LIMIT {int(limit)}",
        [environment],
        environment=environment,
    )
    if out.is_json:
        out.json(rows)
    elif not rows:
        out.line("nothing is released yet: `headwater run`", "yellow")
    else:
        out.table(
            ["release", "at (UTC)", "by", "moved", "held back", "datasets", "run"],
            [[str(row["release_id"]), *list(row.values())[1:]] for row in rows],
        )
    return 0
