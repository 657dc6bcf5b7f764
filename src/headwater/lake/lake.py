"""A DuckLake: opened, read at snapshots, written in short commits under a lock.

Only this room opens transactions on the lake. A commit takes the lake's lock first and begins
afterwards, because a transaction that was begun before somebody else's commit cannot commit.
"""

from __future__ import annotations

import getpass
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import duckdb

from headwater.engine.extensions import lake_session
from headwater.engine.session import Limits, quote_path
from headwater.errors import HeadwaterError, LakeError, LakeLocked, LakeTooNew, LakeTooOld, NoLake
from headwater.folder import CATALOG
from headwater.lake.catalog import copy_catalog
from headwater.lake.commit import Commit, at, now
from headwater.lake.locks import Locks, unwritable
from headwater.lake.migrations import migrations_from
from headwater.lake.raw import delete_parts
from headwater.lake.state import (
    FORMAT_VERSION,
    STATE_TABLES,
    Build,
    LandedFile,
    Position,
    Release,
    State,
)
from headwater.names import PROD, DatasetName
from headwater.sql.quote import Literal, dotted, filled, ident, literal

_METADATA = "__ducklake_metadata_lake"
"""Where DuckLake attaches its own catalog's tables."""
INLINED_RECORDS = 100
"""Up to so many rows of one write to a state table are kept in the catalog, not in a file of
their own. Rows of built tables never are: DuckLake 1.0 keeps inlined structs as text and does
not read every type back from it as it was."""


@dataclass(frozen=True, kw_only=True)
class CommitNote:
    """Who commits what: kept with the snapshot.

    is_large   whether it holds so many tables that its catalog statements count.
    """

    message: str
    run_id: str = ""
    author: str = ""
    is_large: bool = False


ELSEWHERE = """
    SELECT DISTINCT built_table FROM lake.headwater.builds CROSS JOIN (SELECT ? AS asked)
    WHERE (asked, built_table) NOT IN (
        SELECT (environment, max_by(built_table, release_id))
        FROM lake.headwater.release_names GROUP BY environment, dataset
        HAVING max_by(built_table IS NOT NULL, release_id)
    ) AND (asked, built_table) NOT IN (
        SELECT (coalesce(s.environment, 'prod'), b.built_table)
        FROM lake.headwater.builds b JOIN lake.headwater.steps s USING (run_id, step)
    )
"""
"""The built tables that the environment that is asked for neither has nor made: others did."""


class Lake:
    """One lake, attached to one DuckDB session.

    A reader opens it read-only and never waits for a lock. Use as a context manager.

    environment   whose releases are read and made.
    """

    def __init__(
        self,
        con: duckdb.DuckDBPyConnection,
        folder: Path,
        locks: Locks,
        environment: str = PROD,
    ) -> None:
        self.con = con
        self.folder = folder
        self.locks = locks
        self.environment = environment
        self._made_at = 0  # the snapshot that made it, if it was made just now

    # ---- opening

    @classmethod
    def open(
        cls,
        folder: Path,
        *,
        limits: Limits | None = None,
        lock_timeout_s: float = 600.0,
        environment: str = PROD,
    ) -> Lake:
        """Open for writing; made where it is missing, and migrated where it is older."""
        locks = Locks(folder / "locks", lock_timeout_s)
        spill = folder / "tmp"
        limits = replace(limits or Limits(), spill_folder=spill)
        catalog = folder / CATALOG
        # Attaching a catalog that is not there makes it, so nobody else may attach meanwhile.
        with locks.commit():
            try:
                folder.mkdir(parents=True, exist_ok=True)
                (folder / "data").mkdir(exist_ok=True)
                (folder / ".gitignore").write_text("*\n")
            except OSError as error:
                raise unwritable(folder, error) from error
            con = lake_session(limits)
            lake = cls(con, folder, locks, environment)
            is_new = not catalog.exists()
            lake._attach(catalog, read_only=False)
            try:
                if is_new or not lake._is_made():
                    lake._make()
            except BaseException:
                con.close()
                raise
        return lake

    @classmethod
    def open_read_only(
        cls,
        folder: Path,
        *,
        limits: Limits | None = None,
        catalog: str = CATALOG,
        may_be_older: bool = False,
        environment: str = PROD,
    ) -> Lake:
        """Open for reading. Raises NoLake where nothing has been landed yet, and LakeTooOld.

        catalog        the name of its catalog's file; a backup's has another.
        may_be_older   whether a lake that is still to be migrated will do.
        """
        file = folder / catalog
        if not file.is_file():
            raise NoLake("there is no lake yet", where=str(folder), hint="`headwater run` makes it")
        limits = limits or Limits()
        spill = Path(tempfile.gettempdir()) / f"headwater-{os.getpid()}"
        con = lake_session(replace(limits, spill_folder=spill))
        lake = cls(con, folder, Locks(folder / "locks", 0), environment)
        lake._attach(file, read_only=True)
        try:
            found = lake._check_format()
            if found < FORMAT_VERSION and not may_be_older:
                raise LakeTooOld(
                    f"the lake has format {found}; this is Headwater {version('headwater')}, "
                    f"which reads format {FORMAT_VERSION}",
                    where=str(folder),
                    hint="`headwater run` migrates it, and keeps a copy of its catalog",
                )
        except BaseException:
            con.close()
            raise
        return lake

    def __enter__(self) -> Lake:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def explain(self, error: duckdb.Error) -> HeadwaterError:
        """DuckDB's error about the lake or its disk, as what to do about it."""
        return _explain(error, self.folder)

    def close(self) -> None:
        self.con.close()

    def _attach(self, catalog: Path, *, read_only: bool) -> None:
        options = [
            "DATA_INLINING_ROW_LIMIT 0",
            f"DATA_PATH {quote_path(self.folder / 'data')}",
            "OVERRIDE_DATA_PATH true",  # the folder may have been moved
            "META_BUSY_TIMEOUT 60000",
        ]
        if read_only:
            # Hidden: what a reader's queries ask DuckDB's catalogs about is the release alone.
            options += ["READ_ONLY", "HIDDEN true"]
        else:
            options.append("META_JOURNAL_MODE 'WAL'")  # it stays so; a reader may not set it
        target = literal(f"ducklake:sqlite:{catalog}")
        try:
            self.con.execute(f"ATTACH {target} AS lake ({', '.join(options)})")
        except duckdb.Error as error:
            self.con.close()
            raise _explain(error, self.folder) from error

    def _is_made(self) -> bool:
        if self._format():
            found = self._check_format()
            if found < FORMAT_VERSION:
                self._migrate(found)
            return True
        self._refuse_strangers()
        return False

    def _make(self) -> None:
        # Settings can only be made for schemas that are committed. Whoever is killed before
        # the format is written has made no lake yet: the next one does all of it again.
        self.con.execute(
            "BEGIN; CREATE SCHEMA IF NOT EXISTS lake.headwater; "
            "CREATE SCHEMA IF NOT EXISTS lake.built; COMMIT"
        )
        self.con.execute(
            f"CALL lake.set_option('data_inlining_row_limit', {INLINED_RECORDS}, "
            "schema => 'headwater')"
        )
        with self._transaction(CommitNote(message="make the lake")) as commit:
            for table, columns in STATE_TABLES.items():
                body = ", ".join(f"{ident(name)} {kind}" for name, kind in columns.items())
                self.con.execute(f"CREATE TABLE {dotted('lake', 'headwater', table)} ({body})")
            commit.note("lake_format", [_format_row()])
        self._made_at = commit.snapshot_id

    def _migrate(self, found: int) -> None:
        """Bring the state tables from an older format to this one, in one commit, under the
        lock that `open` holds."""
        alive = self.locks.live_runs()
        if alive:  # of that older Headwater: a run of this one would have migrated the lake
            raise LakeLocked(
                f"run {alive[0]}, of an older Headwater, is going on in this lake",
                where=str(self.folder),
                hint="wait for it to end; then the lake is migrated",
            )
        self._keep_catalog()
        note = CommitNote(message=f"migrate the lake from format {found} to {FORMAT_VERSION}")
        with self._transaction(note) as commit:
            for migration in migrations_from(found):
                for statement in migration.statements:
                    self.con.execute(statement)
            commit.note("lake_format", [_format_row(migrated_from=found)])

    def _keep_catalog(self) -> None:
        """Put a copy of the catalog aside, whole or not at all. With it in place of the catalog,
        the older Headwater goes on from here: data files are never changed."""
        kept = self.folder / f"catalog.before-format-{FORMAT_VERSION}.sqlite"
        part = kept.with_name(f"{kept.name}.part")
        part.unlink(missing_ok=True)
        copy_catalog(self.folder / CATALOG, part)
        part.replace(kept)

    def _format(self) -> tuple[int, str] | None:
        """The lake's format and the Headwater that made it; None where there is none yet."""
        try:
            rows = self.con.execute(
                "SELECT version, headwater_version FROM lake.headwater.lake_format"
            ).fetchall()
        except duckdb.CatalogException:
            return None
        except duckdb.Error as error:
            raise _explain(error, self.folder) from error
        return max(rows, default=None)

    def format_version(self) -> int:
        """The version of its state tables."""
        found = self._format()
        return found[0] if found else 0

    def _check_format(self) -> int:
        """The lake's format, if it is one that we know."""
        found = self._format()
        if found is None:
            self._refuse_strangers()
            # A first run is making it just now, or was killed while it did.
            raise _no_lake(self.folder)
        if found[0] > FORMAT_VERSION:
            raise LakeTooNew(
                f"the lake has format {found[0]}, made by Headwater {found[1]}; "
                f"this is Headwater {version('headwater')}, which knows format {FORMAT_VERSION}",
                where=str(self.folder),
                hint="upgrade: pip install --upgrade headwater",
            )
        return found[0]

    def _refuse_strangers(self) -> None:
        # One look: another process may make the lake between two.
        rows = self.rows(
            f"SELECT bool_or(table_name = 'lake_format') FROM {_METADATA}.ducklake_table"
        )
        if rows[0][0] is False:
            raise LakeError(
                "this DuckLake was not made by Headwater",
                where=str(self.folder),
                hint="set another `lake:` folder in headwater.yaml",
            )

    # ---- reading

    def rows(self, sql: str, values: Sequence[Literal] = ()) -> list[tuple[Any, ...]]:
        """The rows of a query; a value for each `?` in it."""
        try:
            return self.con.execute(filled(sql, values)).fetchall()
        except duckdb.Error as error:
            raise _explain(error, self.folder) from error

    def snapshot_id(self) -> int:
        """The newest snapshot; inside a reading or a commit, the one that it is pinned to."""
        return int(self.rows("SELECT id FROM lake.current_snapshot()")[0][0])

    def newest_snapshot_id(self) -> int:
        """The same outside of readings and commits. Costs 1 ms; the other one, after a commit,
        also reads which tables there are."""
        rows = self.rows(f"SELECT max(snapshot_id) FROM {_METADATA}.ducklake_snapshot")
        return int(rows[0][0])

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Everything that is read inside is of one snapshot."""
        self.con.execute("BEGIN")
        try:
            yield
        finally:
            self.con.execute("ROLLBACK")

    def state(self) -> State:
        """What the state tables say, all at one snapshot. Costs about 50 ms, and grows with
        the number of files, builds and names ever recorded."""
        if self._made_at and self._made_at == self.newest_snapshot_id():
            return State(snapshot_id=self._made_at)  # nobody has written to it yet
        with self.reading():
            return self.state_within()

    def state_within(self) -> State:
        """The same inside a transaction or reading that is already open."""
        release = self.release()
        is_prod = self.environment == PROD
        return State(
            snapshot_id=self.snapshot_id(),
            builds=self._newest_builds(),
            files=self._newest_files(),
            released=release.names,
            release_id=release.release_id,
            held=release.held,
            prod=release if is_prod else self.release_at(None, PROD),
        )

    def release(self) -> Release:
        """The names of the environment, within an open reading or commit."""
        return self.release_at(None)

    def release_at(self, release_id: int | None, environment: str = "") -> Release:
        """The same as a release left them; None: the newest. Of one that there never was, the one
        before. Positions of an earlier one that were given up for a newer snapshot are that.

        environment   by default that of this lake.
        """
        upto = "" if release_id is None else f" AND release_id <= {int(release_id)}"
        rows = self.rows(
            "SELECT release_id, dataset, built_table, snapshot_id, held_by FROM "
            f"lake.headwater.release_names WHERE environment = ?{upto} "
            "QUALIFY row_number() OVER (PARTITION BY dataset ORDER BY release_id DESC) = 1",
            [environment or self.environment],
        )
        names = {
            DatasetName.parse(dataset): Position(table, snapshot)
            for _, dataset, table, snapshot, _ in rows
            if table is not None
        }
        if release_id is not None:
            again = self.moved_on()
            names = {name: again.get(place, place) for name, place in names.items()}
        held = {DatasetName.parse(row[1]): row[4] for row in rows if row[4] is not None}
        return Release(max((row[0] for row in rows), default=0), names, held)

    def newest_release_id(self) -> int:
        """The number of the newest release; 0 without one. Also of a lake that is still to be
        migrated. Within an open reading or commit."""
        rows = self.rows(
            "SELECT coalesce(max(release_id), 0) FROM lake.headwater.releases "
            "WHERE environment = ?",
            [self.environment],
        )
        return int(rows[0][0])

    def releases(self, environment: str = "") -> dict[int, int]:
        """Each release's number -> that of the release whose names it has: its own, but for one
        that went back, or moved nothing. Within an open reading or commit."""
        rows = self.rows(
            "SELECT release_id, coalesce(rolled_back_to, release_id) FROM lake.headwater.releases "
            "WHERE environment = ? ORDER BY release_id",
            [environment or self.environment],
        )
        return dict(rows)

    def renamed_to(self, name: DatasetName) -> DatasetName | None:
        """What a dataset was renamed to: whoever has taken its built table over."""
        rows = self.rows(
            "SELECT max_by(dataset, built_at) FROM lake.headwater.builds WHERE built_table IN "
            "(SELECT max_by(built_table, built_at) FROM lake.headwater.builds WHERE dataset = ?)",
            [str(name)],
        )
        owner = rows[0][0]
        return DatasetName.parse(owner) if owner and owner != str(name) else None

    def build_at(self, name: DatasetName, position: Position) -> Build | None:
        """The build of a dataset that ended at a position; None: there was none."""
        rows = self.records(
            "SELECT dataset, built_table, fingerprint, snapshot_id, row_count, columns, inputs, "
            "run_id, built_at, written, paths FROM lake.headwater.builds "
            "WHERE dataset = ? AND built_table = ? AND snapshot_id = ? "
            "ORDER BY built_at DESC LIMIT 1",
            [str(name), position.table, position.snapshot_id],
        )
        return Build.of(rows[0]) if rows else None

    def set_aside(self, build: Build) -> int:
        """How many rows of its query a build did not take."""
        rows = self.rows(
            "SELECT coalesce(sum(quarantined + deduplicated + dropped), 0) "
            "FROM lake.headwater.ledger WHERE run_id = ? AND dataset IN "
            "(SELECT dataset FROM lake.headwater.builds WHERE built_table = ?)",
            [build.run_id, build.position.table],
        )
        return int(rows[0][0])

    def environments(self) -> dict[str, int]:
        """The environments that have names -> how many."""
        rows = self.rows(
            "SELECT environment, count(*) FROM (SELECT environment, dataset, "
            "max_by(built_table IS NOT NULL, release_id) AS is_there "
            "FROM lake.headwater.release_names GROUP BY ALL) WHERE is_there "
            "GROUP BY environment ORDER BY environment <> ?, environment",
            [PROD],
        )
        return dict(rows)

    def has_tried(self, environment: str) -> bool:
        """Whether an environment was run, in vain, since it has had names or ever."""
        rows = self.rows(
            "SELECT 1 FROM lake.headwater.runs WHERE environment = ? AND started_at > "
            "coalesce((SELECT max(released_at) FROM lake.headwater.releases "
            "WHERE environment = ?), TIMESTAMP 'epoch') LIMIT 1",
            [environment, environment],
        )
        return bool(rows)

    def newest_releases(self) -> dict[str, tuple[int, datetime, str]]:
        """Each environment -> its newest release: the number, when, UTC without a zone, by whom."""
        rows = self.rows(
            "SELECT environment, max(release_id), max_by(released_at, release_id), "
            "max_by(user_name, release_id) FROM lake.headwater.releases GROUP BY environment"
        )
        return {environment: (number, at, who) for environment, number, at, who in rows}

    def tables_elsewhere(self) -> frozenset[str]:
        """The built tables that other environments made, and this one does not have."""
        rows = self.rows(ELSEWHERE, [self.environment])
        return frozenset(row[0] for row in rows)

    def last_file_id(self, table: str) -> int:
        """The greatest id that a file of a built table ever had, cleaned away or not; 0: none."""
        rows = self.rows(
            "SELECT coalesce(max(file_id), 0) FROM lake.headwater.files WHERE built_table = ?",
            [table],
        )
        return int(rows[0][0])

    def newest_of(self, environment: str) -> frozenset[str]:
        """Of each dataset the built table that an environment has made last."""
        rows = self.rows(
            "SELECT max_by(b.built_table, b.snapshot_id) FROM lake.headwater.builds b "
            "JOIN lake.headwater.steps s USING (run_id, step) "
            "WHERE coalesce(s.environment, ?) = ? GROUP BY b.dataset",
            [PROD, environment],
        )
        return frozenset(row[0] for row in rows)

    def bases(self, environment: str) -> dict[int, int]:
        """Each release of an environment -> the release of prod that it was made from."""
        rows = self.rows(
            "SELECT release_id, based_on FROM lake.headwater.releases "
            "WHERE environment = ? AND based_on IS NOT NULL",
            [environment],
        )
        return dict(rows)

    def names_ever(self, environment: str) -> list[tuple[int, DatasetName, str | None]]:
        """Every move of an environment's names: the release, the name and the built table that it
        got, None where it went; in the order of releases."""
        rows = self.rows(
            "SELECT release_id, dataset, built_table FROM lake.headwater.release_names "
            "WHERE environment = ? ORDER BY release_id",
            [environment],
        )
        return [(release, DatasetName.parse(name), table) for release, name, table in rows]

    def released_since(self, moment: datetime) -> set[tuple[DatasetName, Position]]:
        """Everything that any environment's names have pointed at since a moment, UTC without a
        zone: what they did then, and what later releases moved them to. Of rows that were pinned
        to a newer snapshot, that one."""
        rows = self.rows(
            "WITH moves AS (SELECT n.environment, n.dataset, n.built_table, n.snapshot_id, "
            "lead(r.released_at) OVER (PARTITION BY n.environment, n.dataset "
            "ORDER BY n.release_id) AS left_at FROM lake.headwater.release_names n "
            "JOIN lake.headwater.releases r USING (environment, release_id)) "
            "SELECT DISTINCT dataset, built_table, snapshot_id FROM moves "
            "WHERE built_table IS NOT NULL AND (left_at IS NULL OR left_at >= ?)",
            [moment],
        )
        again = self.moved_on()
        places = ((DatasetName.parse(name), Position(*place)) for name, *place in rows)
        return {(name, again.get(place, place)) for name, place in places}

    def moved_on(self) -> dict[Position, Position]:
        """Positions that were given up for a newer snapshot with the same rows -> the newest."""
        rows = self.rows(
            "SELECT built_table, snapshot_id, max(newest) FROM (SELECT built_table, snapshot_id, "
            "max(snapshot_id) OVER (PARTITION BY built_table, run_id, step) AS newest "
            "FROM lake.headwater.builds) WHERE newest > snapshot_id GROUP BY ALL"
        )
        return {Position(table, old): Position(table, new) for table, old, new in rows}

    def stands(self, position: Position) -> bool:
        """Whether the rows of a position are still there, and those of a table that is: one that
        was cleaned away may still be seen in a snapshot that is kept for another."""
        ((count,),) = self.rows(
            f"SELECT count(*) FROM {_standing('builds', 'built_at')} "
            "WHERE r.built_table = ? AND r.snapshot_id = ?",
            [position.table, position.snapshot_id],
        )
        return bool(count) and self.has(position)

    def has(self, position: Position) -> bool:
        """Whether the rows of a position can still be read."""
        try:
            self.con.execute(f"EXPLAIN SELECT * FROM {at(position)}").fetchall()
        except duckdb.Error:
            return False
        return True

    def ever_named(self) -> frozenset[DatasetName]:
        """The datasets that have, or had, a name in any environment."""
        rows = self.rows("SELECT DISTINCT dataset FROM lake.headwater.release_names")
        return frozenset(DatasetName.parse(row[0]) for row in rows)

    def snapshots(self) -> dict[int, datetime]:
        """The snapshots that are there -> when they were made, UTC without a zone."""
        return dict(
            self.rows(
                "SELECT snapshot_id, make_timestamp(epoch_us(snapshot_time)) "
                "FROM lake.snapshots() ORDER BY snapshot_id"
            )
        )

    def built_views(self) -> frozenset[str]:
        """The built tables that are views: they are computed where they are read."""
        rows = self.rows(
            f"SELECT view_name FROM {_METADATA}.ducklake_view v "
            f"JOIN {_METADATA}.ducklake_schema s USING (schema_id) "
            "WHERE s.schema_name = 'built' AND v.end_snapshot IS NULL"
        )
        return frozenset(row[0] for row in rows)

    def expire(self, snapshots: Sequence[int]) -> int:
        """Forget snapshots, and delete the data files that no other one has; how many files.

        Safe to be killed in: what is forgotten and not deleted is deleted the next time. Hold the
        lake's lock.
        """
        if snapshots:
            listed = ", ".join(str(int(number)) for number in snapshots)
            self.rows(
                f"SELECT count(*) FROM ducklake_expire_snapshots('lake', versions => [{listed}])"
            )
        rows = self.rows(
            "SELECT count(*) FROM ducklake_cleanup_old_files('lake', cleanup_all => true)"
        )
        return int(rows[0][0])

    def history(self) -> dict[tuple[DatasetName, str], int]:
        """(name, built table) -> the newest release of the environment that moved the name to it,
        rollbacks aside."""
        rows = self.rows(
            "SELECT n.dataset, n.built_table, max(n.release_id) "
            "FROM lake.headwater.release_names n JOIN lake.headwater.releases r "
            "USING (environment, release_id) WHERE environment = ? "
            "AND n.built_table IS NOT NULL AND r.rolled_back_to IS NULL GROUP BY ALL",
            [self.environment],
        )
        return {(DatasetName.parse(name), table): release for name, table, release in rows}

    def _newest_builds(self) -> dict[tuple[DatasetName, str], Build]:
        rows = self.records(
            "SELECT dataset, built_table, fingerprint, snapshot_id, row_count, columns, inputs, "
            f"run_id, built_at, written, paths FROM {_standing('builds', 'built_at')} "
            "QUALIFY row_number() OVER "
            "(PARTITION BY dataset, built_table ORDER BY snapshot_id DESC, built_at DESC) = 1"
        )
        builds = map(Build.of, rows)
        return {(build.dataset, build.position.table): build for build in builds}

    def _newest_files(self) -> dict[tuple[str, str], LandedFile]:
        rows = self.records(
            "SELECT dataset, built_table, file_id, version, path, status, reason, size_bytes, "
            f"modified_at, content_hash, records FROM {_standing('files', 'seen_at')} "
            "QUALIFY row_number() OVER (PARTITION BY built_table, path "
            "ORDER BY status = 'refused', seen_at DESC) = 1"
        )
        return {(file.built_table, file.path): file for file in map(LandedFile.of, rows)}

    def records(self, sql: str, values: Sequence[Literal] = ()) -> list[dict[str, Any]]:
        """The same, by column."""
        rows = self.rows(sql, values)
        names = [column[0] for column in self.con.description or ()]
        return [dict(zip(names, row, strict=True)) for row in rows]

    # ---- writing

    def change_mark(self) -> tuple[int, ...]:
        """Something that differs after every commit of anybody; costs no query. (It may also
        differ without one.)"""
        mark: list[int] = []
        for name in (CATALOG, f"{CATALOG}-wal"):
            try:
                facts = (self.folder / name).stat()
            except FileNotFoundError:
                continue
            mark += [facts.st_mtime_ns, facts.st_size]
        return tuple(mark)

    @contextmanager
    def commit(self, note: CommitNote) -> Iterator[Commit]:
        """One commit, under the lake's lock.

        Whatever is raised inside rolls everything back.
        """
        with self.locks.commit(), self._transaction(note) as commit:
            yield commit

    @contextmanager
    def _transaction(self, note: CommitNote) -> Iterator[Commit]:
        try:
            self.con.execute("BEGIN")
            commit = Commit(self.con, self.snapshot_id() + 1, self.environment)
            yield commit
            commit.write_notes()
            extra = json.dumps({"run_id": note.run_id})
            self.con.execute(
                f"CALL lake.set_commit_message({literal(note.author or user_name())}, "
                f"{literal(note.message)}, extra_info => {literal(extra)})"
            )
            if note.is_large:
                self._commit_on_one_thread()
            else:
                self.con.execute("COMMIT")
        except BaseException as error:
            self._rollback()
            # DuckLake leaves the files of a commit that failed; they may be why it failed.
            self._unlink_unknown("*/ducklake-*.parquet")
            if isinstance(error, duckdb.Error):
                raise _explain(error, self.folder) from error
            raise
        made = self.newest_snapshot_id()
        if made != commit.snapshot_id:
            # Only a writer that does not take our lock can get between.
            raise LakeError(
                f"snapshot {made} was made where {commit.snapshot_id} was expected: another "
                "program writes to this lake without Headwater's lock",
                where=str(self.folder),
                hint="let only Headwater write to the lake, then run again with --rebuild",
            )

    def _commit_on_one_thread(self) -> None:
        """COMMIT of many tables: it is a thousand tiny statements to the catalog, and handing
        each to several threads takes twice as long (measured: 200 tables, 0.3 s for 0.6 s)."""
        row = self.con.execute("SELECT current_setting('threads')").fetchone()
        threads = int(row[0]) if row else 1
        self.con.execute("SET threads = 1")
        try:
            self.con.execute("COMMIT")
        finally:
            self.con.execute(f"SET threads = {threads}")

    def _rollback(self) -> None:
        try:
            self.con.execute("ROLLBACK")
        except duckdb.Error as error:
            if "no transaction is active" not in str(error):
                raise

    def data_folder(self, table: str) -> Path:
        """Where the files of a built table stand."""
        folder = self.folder / "data" / "built" / table
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def clear_away(self, run_id: str) -> None:
        """Remove what a run leaves behind: its scratch folder, its lock, files that it wrote ahead
        and did not commit, and copies of files that it did not finish."""
        self._unlink_unknown(f"*/hw-{run_id}-*.parquet")
        delete_parts(self.folder, run_id)
        shutil.rmtree(self.folder / "tmp" / run_id, ignore_errors=True)
        self.locks.forget_run(run_id)

    def clear_after_dead_runs(self, alive: str) -> None:
        """Do the same for runs that were killed, and remove the files of their open commit.

        Takes the lake's lock when there are any: who holds it knows that nobody is writing.
        """
        dead = [run_id for run_id in self.locks.dead_runs() if run_id != alive]
        if not dead:
            return
        with self.locks.commit():
            self._unlink_unknown("*/ducklake-*.parquet")
        for run_id in dead:
            self.clear_away(run_id)

    def _unlink_unknown(self, pattern: str) -> None:
        """Remove those of the data files that no snapshot knows."""
        files = list((self.folder / "data").glob(f"*/{pattern}"))
        if not files:
            return
        tables = ("ducklake_data_file", "ducklake_delete_file")
        known = {
            Path(row[0]).name
            for table in (*tables, "ducklake_files_scheduled_for_deletion")
            for row in self.rows(f"SELECT path FROM {_METADATA}.{table}")
        }
        for file in files:
            if file.name not in known:
                file.unlink(missing_ok=True)


def _standing(table: str, moment: str) -> str:
    """A state table of records of built tables, without those of tables that were cleaned away
    since; `moment`: its column that says when a record was made."""
    return (
        f"lake.headwater.{table} r ANTI JOIN lake.headwater.cleaned_tables c "
        f"ON c.built_table = r.built_table AND c.cleaned_at >= r.{moment}"
    )


def _format_row(migrated_from: int | None = None) -> dict[str, Any]:
    """A row of `headwater.lake_format`."""
    return {
        "version": FORMAT_VERSION,
        "headwater_version": version("headwater"),
        "created_at": now(),
        "migrated_from": migrated_from,
    }


def _no_lake(folder: Path) -> NoLake:
    return NoLake("there is no lake yet", where=str(folder), hint="`headwater run` makes it")


def user_name() -> str:
    """Who is running this."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return ""


def _explain(error: duckdb.Error, folder: Path) -> HeadwaterError:
    """DuckDB's error about the lake, as what to do about it."""
    text = str(error)
    folded = text.lower()
    hint = ""
    message = text.split("\n")[0]
    if "database is locked" in folded:
        message = "another program holds the lake's catalog"
        hint = "close the program that has catalog.sqlite open, and run again"
    elif "readonly database" in folded or "read-only" in folded or "permission denied" in folded:
        message = "the lake cannot be written: it is read-only"
        hint = "check the permissions of the folder and of catalog.sqlite"
    elif (
        "no space left" in folded
        or "disk is full" in folded
        or "disk i/o" in folded
        or "file too large" in folded
        or "out of disk" in folded
    ):
        message = "the disk is full; nothing of this step was committed"
        hint = "free some space and run again: what was committed stays"
    elif "not a database" in folded or "malformed" in folded:
        message = "catalog.sqlite is damaged or is no catalog"
        hint = "restore it from a copy, or remove the lake's folder to land everything again"
    elif "unable to open database" in folded:
        message = "the lake's catalog cannot be opened"
        hint = "check that the folder exists and may be written"
    return LakeError(message, where=str(folder), hint=hint)
