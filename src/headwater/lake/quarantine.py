"""What has been in quarantine for too long. Forgetting it is a part of a commit: see
`Commit.forget_quarantine`.
"""

from __future__ import annotations

from datetime import datetime

from headwater.lake.lake import Lake
from headwater.names import DatasetName
from headwater.sql.quote import literal


def overdue(lake: Lake, before: datetime) -> dict[str, DatasetName]:
    """The built tables with rows that were put into quarantine before a moment and whose content
    is still there, or that are still open -> the dataset that they were of then."""
    rows = lake.con.execute(
        "SELECT built_table, any_value(dataset) FROM lake.headwater.quarantine q "
        f"WHERE quarantined_at < {literal(before)} "
        "AND (content IS NOT NULL OR fields IS NOT NULL OR NOT EXISTS "
        "(FROM lake.headwater.quarantine_outcomes o "
        "WHERE o.id = q.id AND o.built_table = q.built_table)) GROUP BY ALL ORDER BY ALL"
    ).fetchall()
    return {table: DatasetName.parse(name) for table, name in rows}
