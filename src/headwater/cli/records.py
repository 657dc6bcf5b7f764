"""Shared by the commands that list what the lake recorded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from headwater.api import read_lake
from headwater.lake.lake import ELSEWHERE
from headwater.names import PROD

CURRENT_QUARANTINE = """(
    SELECT q.* REPLACE (b.owner AS dataset) FROM lake.headwater.quarantine q JOIN (
        SELECT owner, max_by(built_table, snapshot_id) AS built_table,
            max_by(run_id, snapshot_id) AS run_id
        FROM (
            SELECT *, max_by(dataset, built_at) OVER (PARTITION BY built_table) AS owner
            FROM lake.headwater.builds WHERE built_table NOT IN (ELSEWHERE)
        ) GROUP BY owner
    ) b ON q.built_table = b.built_table
    ANTI JOIN lake.headwater.quarantine_outcomes o
        ON q.id = o.id AND q.built_table = o.built_table
    WHERE q.path IS NOT NULL OR q.run_id = b.run_id
)""".replace("ELSEWHERE", ELSEWHERE)
"""The quarantined rows of the built tables that count now in an environment, which is its first
parameter: a changed contract lands a source
anew, and a model's rejected rows are computed with it. Without those that were replayed,
discarded, withdrawn because their file was landed again, or expired. The dataset is whoever has
the built table now: it may have been renamed since."""


def fetch(
    project: str, sql: str, parameters: Sequence[Any] = (), *, environment: str = PROD
) -> list[dict[str, Any]]:
    """The rows of a query over the state tables of a project's lake, read-only."""
    with read_lake(project, environment) as lake:
        return lake.records(sql, parameters)
