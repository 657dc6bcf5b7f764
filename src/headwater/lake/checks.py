"""What the lake keeps of checks, and how the datasets that they read are put into the session."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import duckdb

from headwater.lake.commit import at
from headwater.lake.lake import Lake
from headwater.lake.query import describe_schema
from headwater.lake.state import Position
from headwater.names import DatasetName
from headwater.sql.quote import columns as column_list
from headwater.sql.quote import dotted, filled

CheckKey = tuple[str | None, str]
"""The dataset in whose contract a check stands (None: in none) and its code."""


@dataclass(frozen=True, kw_only=True)
class CheckResult:
    """One recorded result of a check.

    status       held or broken.
    failed_rows  the rows that broke it; None where it does not look at single rows.
    inputs       the positions that it was run over; none for a row rule.
    cause        why it did not hold, where rows alone do not say it.
    sample       some of the rows, as JSON texts.
    """

    run_id: str
    dataset: str | None
    code: str
    remedy: str
    status: str
    failed_rows: int | None
    checked_at: datetime
    fingerprint: str | None
    inputs: Mapping[DatasetName, Position]
    cause: str
    sample: tuple[str, ...]

    @property
    def key(self) -> CheckKey:
        return (self.dataset, self.code)

    @property
    def name(self) -> str:
        """As people name it: see `DataCheck.name`."""
        return f"{self.dataset}.{self.code}" if self.dataset else self.code

    @property
    def holds(self) -> bool:
        return self.status == "held"

    def as_dict(self) -> dict[str, Any]:
        return {
            "check": self.name,
            "run_id": self.run_id,
            "checked_at": self.checked_at,
            "status": self.status,
            "otherwise": self.remedy,
            "failed_rows": self.failed_rows,
            "cause": self.cause,
            "over": {str(name): [p.table, p.snapshot_id] for name, p in self.inputs.items()},
            "sample": list(self.sample),
        }


def results(lake: Lake, per_check: int = 1, *, with_row_rules: bool = True) -> list[CheckResult]:
    """The newest results of every check that was ever run: newest first, at most `per_check` of
    each."""
    wanted = "TRUE" if with_row_rules else "fingerprint IS NOT NULL"
    rows = lake.con.execute(
        "SELECT run_id, dataset, check_name, remedy, status, failed_rows, checked_at, "
        f"fingerprint, inputs, cause, sample FROM lake.headwater.checks WHERE {wanted} "
        "QUALIFY row_number() OVER "
        f"(PARTITION BY dataset, check_name ORDER BY checked_at DESC) <= {int(per_check)} "
        "ORDER BY checked_at DESC, dataset, check_name"
    ).fetchall()
    return [
        CheckResult(
            run_id=row[0],
            dataset=row[1],
            code=row[2],
            remedy=row[3],
            status=row[4],
            failed_rows=row[5],
            checked_at=row[6],
            fingerprint=row[7],
            inputs=positions_of(row[8] or "{}"),
            cause=row[9] or "",
            sample=tuple(row[10] or ()),
        )
        for row in rows
    ]


def newest_results(lake: Lake) -> dict[CheckKey, CheckResult]:
    """The newest result of each check that was ever run, row rules aside."""
    return {result.key: result for result in results(lake, with_row_rules=False)}


def broken_rules(con: duckdb.DuckDBPyConnection, dataset: DatasetName) -> set[str]:
    """The row rules of a dataset whose newest result is that they were broken."""
    sql = filled(
        "SELECT check_name FROM lake.headwater.checks WHERE dataset = ? AND fingerprint IS NULL "
        "GROUP BY check_name HAVING max_by(status, checked_at) = 'broken'",
        [str(dataset)],
    )
    rows = con.execute(sql).fetchall()
    return {row[0] for row in rows}


def positions_of(text: str) -> dict[DatasetName, Position]:
    """Positions as `text_of` wrote them."""
    return {
        DatasetName.parse(name): Position(*position) for name, position in json.loads(text).items()
    }


def text_of(positions: Mapping[DatasetName, Position]) -> str:
    """Positions as the state tables keep them: JSON, dataset -> [built table, snapshot]."""
    return json.dumps({str(name): [p.table, p.snapshot_id] for name, p in positions.items()})


def rows_released_before(lake: Lake, name: DatasetName, position: Position) -> int | None:
    """The rows that a dataset had in the newest release of it other than `position`; None where
    there is no such release."""
    rows = lake.rows(
        "SELECT b.row_count FROM lake.headwater.release_names r JOIN lake.headwater.builds b "
        "USING (dataset, built_table, snapshot_id) WHERE r.environment = ? AND r.dataset = ? "
        "AND NOT (r.built_table = ? AND r.snapshot_id = ?) ORDER BY r.release_id DESC LIMIT 1",
        [lake.environment, str(name), position.table, position.snapshot_id],
    )
    return int(rows[0][0]) if rows else None


def rows_at(lake: Lake, name: DatasetName, position: Position) -> int | None:
    """The rows that a dataset had at a position, as its build recorded them."""
    rows = lake.rows(
        "SELECT row_count FROM lake.headwater.builds WHERE dataset = ? AND built_table = ? "
        "AND snapshot_id = ?",
        [str(name), position.table, position.snapshot_id],
    )
    return int(rows[0][0]) if rows else None


def place(lake: Lake, name: DatasetName, position: Position, hidden: Collection[str] = ()) -> None:
    """Put a dataset at a position into the session under its name, without the columns `hidden`."""
    names = [column for column, _ in describe_schema(lake, position) if column not in hidden]
    lake.con.execute(f"CREATE SCHEMA IF NOT EXISTS {dotted('memory', name.schema)}")
    lake.con.execute(
        f"CREATE OR REPLACE VIEW {dotted('memory', *name)} AS "
        f"SELECT {column_list(names)} FROM {at(position)}"
    )
