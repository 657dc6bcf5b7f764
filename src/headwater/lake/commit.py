"""One commit of the lake: what is written between its beginning and its end.

Records for the state tables are gathered and written at the end, one statement a table: a
commit of two hundred steps costs little more than a commit of one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb

from headwater.lake.state import STATE_TABLES, Position
from headwater.names import DatasetName, view_name
from headwater.sql.quote import dotted, ident, literal
from headwater.sql.quote import rows as values


def now() -> datetime:
    """The moment, UTC, without a zone, as the state tables keep it."""
    return datetime.now(UTC).replace(tzinfo=None)


def built(table: str) -> str:
    """A built table, as SQL."""
    return dotted("lake", "built", table)


def at(position: Position) -> str:
    """A built table at its snapshot, as a SQL subquery."""
    return f"(SELECT * FROM {built(position.table)} AT (VERSION => {position.snapshot_id}))"


def with_ids(position: Position, names: Sequence[str], row_id: str) -> str:
    """A SELECT of a built table's columns at its snapshot, and of each row's id as `row_id`: it
    stays a row's own until the row is removed."""
    picked = ", ".join(ident(name) for name in names)
    return (
        f"SELECT {picked}, rowid AS {ident(row_id)} "
        f"FROM {built(position.table)} AT (VERSION => {position.snapshot_id})"
    )


class Commit:
    """An open commit.

    snapshot_id   the snapshot that it will be.
    environment   whose names it may move.
    notes         state table -> the rows that are added to it when the commit ends.
    """

    def __init__(self, con: duckdb.DuckDBPyConnection, snapshot_id: int, environment: str) -> None:
        self.con = con
        self.snapshot_id = snapshot_id
        self.environment = environment
        self.notes: dict[str, list[Mapping[str, Any]]] = {}
        self._newest: dict[tuple[str, str], int] | None = None

    @contextmanager
    def within(self, environment: str) -> Iterator[None]:
        """Move another environment's names meanwhile."""
        own, self.environment = self.environment, environment
        try:
            yield
        finally:
            self.environment = own

    # ---- built tables

    def newest(self, dataset: DatasetName, table: str) -> int | None:
        """The snapshot of a built table's newest build before this commit."""
        if self._newest is None:
            rows = self.con.execute(
                "SELECT dataset, built_table, max(snapshot_id) FROM lake.headwater.builds "
                "GROUP BY dataset, built_table"
            ).fetchall()
            self._newest = {(row[0], row[1]): row[2] for row in rows}
        return self._newest.get((str(dataset), table))

    def create(self, table: str, columns: Mapping[str, str], query: str) -> int:
        """Make a built table of a query's rows. Returns how many."""
        picked = ", ".join(
            f"CAST({ident(n)} AS {kind}) AS {ident(n)}" for n, kind in columns.items()
        )
        return self._count_of(f"CREATE TABLE {built(table)} AS SELECT {picked} FROM ({query})")

    def make_view(self, table: str, query: str) -> None:
        """Make a built table that is a view, or make it anew; earlier snapshots keep theirs. The
        query names no catalog, so any DuckLake client can read it."""
        self.con.execute("USE lake")
        try:
            self.con.execute(f"CREATE OR REPLACE VIEW {dotted('built', table)} AS {query}")
        finally:
            self.con.execute("USE memory")

    def create_empty(self, table: str, columns: Mapping[str, str]) -> None:
        """Make a built table without rows."""
        body = ", ".join(f"{ident(name)} {kind}" for name, kind in columns.items())
        self.con.execute(f"CREATE TABLE {built(table)} ({body})")

    def add_columns(self, table: str, columns: Mapping[str, str], there: Mapping[str, str]) -> None:
        """Add to a built table those of `columns` that it lacks; `there`: those that it has."""
        folded = {name.lower() for name in there}
        for name, kind in columns.items():
            if name.lower() not in folded:
                self.con.execute(f"ALTER TABLE {built(table)} ADD COLUMN {ident(name)} {kind}")

    def append(self, table: str, columns: Sequence[str], query: str) -> int:
        """Insert a query's rows into a built table, by name. Returns how many."""
        names = ", ".join(ident(name) for name in columns)
        return self._count_of(f"INSERT INTO {built(table)} ({names}) SELECT {names} FROM ({query})")

    def register_file(self, table: str, path: Path) -> None:
        """Make a Parquet file in the table's folder part of it."""
        self.con.execute(
            f"CALL ducklake_add_data_files('lake', {literal(table)}, {literal(str(path))}, "
            "schema => 'built', allow_missing => true)"
        )

    def remove(self, table: str, rows: str) -> int:
        """Remove rows from a built table: those whose ids the query `rows` gives (`rowid`, as
        `with_ids` reads them). Earlier snapshots keep them. Returns how many."""
        return self._count_of(f"DELETE FROM {built(table)} WHERE rowid IN ({rows})")

    def end_quarantine(
        self, dataset: DatasetName, table: str, which: str, outcome: str, run_id: str, step: int
    ) -> int:
        """Note what became of a built table's quarantined rows that `which` (SQL over
        `headwater.quarantine`) picks, but for those that have ended already. Returns how many.

        dataset   whose table it is now; rows of before it was renamed carry its earlier name.
        """
        ended = "lake.headwater.quarantine_outcomes"
        return self.insert_state(
            "quarantine_outcomes",
            f"SELECT id, {literal(str(dataset))}, built_table, "
            f"{literal(outcome)}, {literal(run_id)}, {step}, {literal(now())} "
            f"FROM lake.headwater.quarantine WHERE built_table = {literal(table)} "
            f"AND ({which}) AND id NOT IN "
            f"(SELECT id FROM {ended} WHERE built_table = {literal(table)})",
        )

    def forget_quarantine(
        self, dataset: DatasetName, table: str, before: datetime, run_id: str, step: int
    ) -> int:
        """Forget the content of a built table's rows that were put into quarantine before a moment,
        and end those that are open as expired. Earlier snapshots keep it. Returns how many ended.

        It is the one thing that is changed in a state table: to forget is to take away.
        """
        which = f"quarantined_at < {literal(before)}"
        ended = self.end_quarantine(dataset, table, which, "expired", run_id, step)
        self.con.execute(
            "UPDATE lake.headwater.quarantine SET content = NULL, fields = NULL "
            f"WHERE built_table = {literal(table)} AND {which} "
            "AND (content IS NOT NULL OR fields IS NOT NULL)"
        )
        return ended

    def empty(self, table: str) -> int:
        """Remove a built table's rows; earlier snapshots keep theirs. Returns how many."""
        return self._count_of(f"DELETE FROM {built(table)}")

    def drop(self, table: str, *, is_view: bool) -> None:
        """Remove a built table; earlier snapshots keep it."""
        self.con.execute(f"DROP {'VIEW' if is_view else 'TABLE'} {built(table)}")

    def count(self, table: str) -> int:
        """The rows of a built table as this commit leaves it. Answered from metadata."""
        return self._count_of(f"SELECT count(*) FROM {built(table)}")

    def _count_of(self, sql: str) -> int:
        row = self.con.execute(sql).fetchone()
        return int(row[0]) if row else 0

    # ---- names

    def point_views(self, names: Mapping[DatasetName, Position]) -> None:
        """Point the environment's views at positions of earlier commits. They name no catalog, so
        any DuckLake client can read them."""
        views = {view_name(self.environment, name): place for name, place in names.items()}
        self.con.execute("USE lake")
        try:
            for schema in sorted({view.schema for view in views}):
                self.con.execute(f"CREATE SCHEMA IF NOT EXISTS {ident(schema)}")
            for view, position in views.items():
                self.con.execute(
                    f"CREATE OR REPLACE VIEW {dotted(*view)} AS SELECT * FROM "
                    f"{dotted('built', position.table)} AT (VERSION => {position.snapshot_id})"
                )
        finally:
            self.con.execute("USE memory")

    def drop_view(self, name: DatasetName) -> None:
        """Remove one of the environment's views."""
        view = view_name(self.environment, name)
        self.con.execute(f"DROP VIEW IF EXISTS {dotted('lake', *view)}")

    # ---- state tables

    def insert_state(self, table: str, query: str) -> int:
        """Add a query's rows to a state table; its columns in the order of `STATE_TABLES`, which a
        table that was migrated need not have. Returns how many."""
        names = ", ".join(ident(name) for name in STATE_TABLES[table])
        return self._count_of(f"INSERT INTO {dotted('lake', 'headwater', table)} ({names}) {query}")

    def note(self, table: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Add rows to a state table when the commit ends. Where it keeps whose they are, and they
        do not say it, they are of the commit's environment."""
        if "environment" in STATE_TABLES[table]:
            rows = [{"environment": self.environment, **row} for row in rows]
        self.notes.setdefault(table, []).extend(rows)

    def write_notes(self) -> None:
        """Write what was noted."""
        for table, rows in self.notes.items():
            if not rows:
                continue
            target = dotted("lake", "headwater", table)
            # By name: in a lake that was migrated, a newer column stands last.
            self.con.execute(f"INSERT INTO {target} BY NAME {values(STATE_TABLES[table], rows)}")
