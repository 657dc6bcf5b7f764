"""What the lake keeps of checks, and how the datasets that they read are put into the session."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from headwater.lake.commit import Commit, at
from headwater.lake.lake import Lake
from headwater.lake.query import describe_schema
from headwater.lake.state import Position
from headwater.names import PROD, DatasetName
from headwater.sql.quote import columns as column_list
from headwater.sql.quote import dotted, filled

CheckKey = tuple[str | None, str]
"""The dataset in whose contract a check stands (None: in none) and its code."""


@dataclass(frozen=True, kw_only=True)
class CheckResult:
    """One recorded result of a check.

    environment  where it was run.
    status       held or broken.
    failed_rows  the rows that broke it; None where it does not look at single rows.
    inputs       the positions that it was run over; none for a row rule.
    cause        why it did not hold, where rows alone do not say it.
    sample       some of the rows, as JSON texts.
    """

    run_id: str
    environment: str
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
            "environment": self.environment,
            "checked_at": self.checked_at,
            "status": self.status,
            "otherwise": self.remedy,
            "failed_rows": self.failed_rows,
            "cause": self.cause,
            "over": {str(name): [p.table, p.snapshot_id] for name, p in self.inputs.items()},
            "sample": list(self.sample),
        }


def results(
    lake: Lake,
    released: Mapping[DatasetName, Position],
    per_check: int = 1,
    *,
    with_row_rules: bool = True,
) -> list[CheckResult]:
    """The newest results of every check that was ever run, as far as they concern the lake's
    environment: newest first, at most `per_check` of each.

    Those are the ones that were found in it, and what others found over just what it has
    `released`.
    A row rule is told by who landed the rows: where this environment did not, that is prod.
    """
    found = []
    for known in recorded(lake, per_check, with_row_rules=with_row_rules).values():
        mine = [result for result in known if _concerns(result, lake.environment, released)]
        if not mine:
            mine = [r for r in known if r.fingerprint is None and r.environment == PROD]
        found += sorted(mine, key=lambda result: result.checked_at, reverse=True)[:per_check]
    found.sort(key=lambda result: (str(result.dataset or ""), result.code))
    return sorted(found, key=lambda result: result.checked_at, reverse=True)


def _concerns(
    result: CheckResult, environment: str, released: Mapping[DatasetName, Position]
) -> bool:
    return result.environment == environment or (
        bool(result.inputs)
        and all(released.get(name) == place for name, place in result.inputs.items())
    )


def recorded(
    lake: Lake, per_check: int = 1, *, with_row_rules: bool = False
) -> dict[CheckKey, list[CheckResult]]:
    """The newest results of each check in each environment, at most `per_check`: those of the
    lake's own environment first."""
    wanted = "TRUE" if with_row_rules else "fingerprint IS NOT NULL"
    whose = filled("coalesce(environment, ?)", [PROD])  # of before there were others
    rows = lake.con.execute(
        "SELECT run_id, dataset, check_name, remedy, status, failed_rows, checked_at, "
        f"fingerprint, inputs, cause, sample, {whose} FROM lake.headwater.checks WHERE {wanted} "
        f"QUALIFY row_number() OVER (PARTITION BY dataset, check_name, {whose} "
        f"ORDER BY checked_at DESC) <= {int(per_check)} ORDER BY checked_at DESC"
    ).fetchall()
    found: dict[CheckKey, list[CheckResult]] = {}
    for row in sorted(rows, key=lambda row: row[11] != lake.environment):
        result = CheckResult(
            run_id=row[0],
            environment=row[11],
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
        found.setdefault(result.key, []).append(result)
    return found


def newest_results(
    lake: Lake, released: Mapping[DatasetName, Position]
) -> dict[CheckKey, CheckResult]:
    """The newest result of each check that was ever run, row rules aside: see `results`."""
    return {result.key: result for result in results(lake, released, with_row_rules=False)}


def broken_rules(commit: Commit, dataset: DatasetName) -> set[str]:
    """The row rules of a dataset whose newest result in the commit's environment is that they were
    broken."""
    sql = filled(
        "SELECT check_name FROM lake.headwater.checks WHERE dataset = ? AND fingerprint IS NULL "
        "AND coalesce(environment, ?) = ? "
        "GROUP BY check_name HAVING max_by(status, checked_at) = 'broken'",
        [str(dataset), PROD, commit.environment],
    )
    rows = commit.con.execute(sql).fetchall()
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
    found: int | None = rows[0][0] if rows else None
    return found


def rows_at(lake: Lake, position: Position) -> int | None:
    """The rows that a dataset had at a position, as its build recorded them, under whatever name;
    None: that is not on record, as of a view."""
    rows = lake.rows(
        "SELECT max(row_count) FROM lake.headwater.builds WHERE built_table = ? "
        "AND snapshot_id = ?",
        [position.table, position.snapshot_id],
    )
    found: int | None = rows[0][0]
    return found


def place(lake: Lake, name: DatasetName, position: Position, hidden: Collection[str] = ()) -> None:
    """Put a dataset at a position into the session under its name, without the columns `hidden`."""
    names = [column for column, _ in describe_schema(lake, position) if column not in hidden]
    lake.con.execute(f"CREATE SCHEMA IF NOT EXISTS {dotted('memory', name.schema)}")
    lake.con.execute(
        f"CREATE OR REPLACE VIEW {dotted('memory', *name)} AS "
        f"SELECT {column_list(names)} FROM {at(position)}"
    )
