"""How the state tables of an older lake become those of this version. Pure: descriptions only.

Whoever changes `STATE_TABLES` raises `FORMAT_VERSION` by one (once between two releases of
Headwater) and says here what makes the one out of the other. A new column stands last
in a table that was migrated, so state tables are written by name. A migration that was released is
never changed.

`Lake.open` carries them out: under the lake's lock, all in one commit, after it has put a copy of
the catalog aside.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from headwater.sql.quote import dotted, ident


def add_column(table: str, column: str, kind: str) -> str:
    """The statement that adds a column; it is NULL in the rows that are there.

    >>> add_column("files", "note", "VARCHAR")
    'ALTER TABLE "lake"."headwater"."files" ADD COLUMN "note" VARCHAR'
    """
    return f"ALTER TABLE {dotted('lake', 'headwater', table)} ADD COLUMN {ident(column)} {kind}"


def add_table(table: str, columns: Mapping[str, str]) -> str:
    """The statement that adds a state table."""
    body = ", ".join(f"{ident(name)} {kind}" for name, kind in columns.items())
    return f"CREATE TABLE {dotted('lake', 'headwater', table)} ({body})"


@dataclass(frozen=True, kw_only=True)
class Migration:
    """One step up.

    version      the version that it makes, of the one before.
    statements   SQL, carried out in order.
    """

    version: int
    statements: tuple[str, ...]


MIGRATIONS: tuple[Migration, ...] = (
    Migration(
        version=2,
        statements=(
            add_column("lake_format", "migrated_from", "INTEGER"),
            add_column("files", "version", "INTEGER"),
            add_column("quarantine", "fields", "VARCHAR"),
            add_column("builds", "written", "VARCHAR"),
            add_column("builds", "paths", "VARCHAR"),
            add_column("checks", "fingerprint", "VARCHAR"),
            add_column("checks", "inputs", "VARCHAR"),
            add_column("checks", "cause", "VARCHAR"),
            add_column("checks", "environment", "VARCHAR"),
            add_column("runs", "environment", "VARCHAR"),
            add_column("steps", "environment", "VARCHAR"),
            add_column("releases", "rolled_back_to", "BIGINT"),
            add_column("releases", "based_on", "BIGINT"),
            add_column("release_names", "held_by", "BIGINT"),
            add_table(
                "cleaned_tables",
                {
                    "built_table": "VARCHAR",
                    "dataset": "VARCHAR",
                    "rows": "BIGINT",
                    "run_id": "VARCHAR",
                    "cleaned_at": "TIMESTAMP",
                },
            ),
            add_table(
                "quarantine_outcomes",
                {
                    "id": "VARCHAR",
                    "dataset": "VARCHAR",
                    "built_table": "VARCHAR",
                    "outcome": "VARCHAR",
                    "run_id": "VARCHAR",
                    "step": "INTEGER",
                    "ended_at": "TIMESTAMP",
                },
            ),
        ),
    ),
)
"""All of them, oldest first, without a gap."""


def migrations_from(version: int) -> tuple[Migration, ...]:
    """Those that a lake of `version` needs, in order."""
    return tuple(migration for migration in MIGRATIONS if migration.version > version)
