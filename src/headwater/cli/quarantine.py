"""`headwater quarantine list`."""

from __future__ import annotations

from headwater.cli.output import Output
from headwater.cli.records import CURRENT_QUARANTINE, fetch


def command(
    out: Output,
    dataset: str,
    project: str,
    environment: str,
    reason: str,
    file: str,
    limit: int,
) -> int:
    conditions, parameters = ["TRUE"], [environment]
    if dataset:
        conditions.append("(dataset = ? OR dataset LIKE '%.' || ?)")
        parameters += [dataset, dataset]
    if reason:
        conditions.append("list_contains(reasons, ?)")
        parameters.append(reason)
    if file:
        conditions.append("contains(path, ?)")
        parameters.append(file)
    where = " AND ".join(conditions)
    counts = fetch(
        project,
        f"SELECT dataset, reason, count(*) AS rows, count(DISTINCT path) AS files FROM "
        f"(SELECT dataset, path, unnest(reasons) AS reason FROM {CURRENT_QUARANTINE} "
        f"WHERE {where}) GROUP BY ALL ORDER BY rows DESC, dataset, reason",
        parameters,
        environment=environment,
    )
    rows = fetch(
        project,
        f"SELECT id, reasons, path, line FROM {CURRENT_QUARANTINE} WHERE {where} "
        f"ORDER BY quarantined_at DESC, file_id, record LIMIT {int(limit)}",
        parameters,
        environment=environment,
    )
    if out.is_json:
        out.json({"reasons": counts, "rows": rows})
        return 0
    if not counts:
        out.line("nothing is in quarantine", "green")
        return 0
    out.table(["dataset", "reason", "rows", "files"], [list(row.values()) for row in counts])
    out.line()
    out.table(
        ["id", "reasons", "where"],
        [[row["id"], row["reasons"], _where(row["path"], row["line"])] for row in rows],
    )
    out.note("headwater quarantine show ID prints a row as it came")
    return 0


def _where(path: str | None, line: int | None) -> str:
    return ":".join(str(part) for part in (path, line) if part is not None)
