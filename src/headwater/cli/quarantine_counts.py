"""`headwater quarantine counts`."""

from __future__ import annotations

from headwater.cli.output import Output
from headwater.cli.records import fetch


def command(out: Output, dataset: str, project: str, limit: int) -> int:
    rows = fetch(
        project,
        """
        SELECT CAST(quarantined_at AS DATE) AS day, q.dataset, reason, count(*) AS quarantined,
            count_if(outcome = 'replayed') AS replayed,
            count_if(outcome = 'discarded') AS discarded,
            count_if(outcome = 'withdrawn') AS withdrawn,
            count_if(outcome = 'expired') AS expired,
            count_if(outcome IS NULL) AS waiting
        FROM (SELECT *, unnest(reasons) AS reason FROM lake.headwater.quarantine) q
        LEFT JOIN lake.headwater.quarantine_outcomes o
            ON q.id = o.id AND q.built_table = o.built_table
        WHERE ? = '' OR q.dataset = ? OR q.dataset LIKE '%.' || ?
        GROUP BY ALL ORDER BY day DESC, q.dataset, quarantined DESC, reason LIMIT ?
        """,
        [dataset, dataset, dataset, limit],
    )
    if out.is_json:
        out.json(rows)
    elif rows:
        out.table(list(rows[0]), [list(row.values()) for row in rows])
    else:
        out.line("nothing was ever in quarantine", "green")
    return 0
