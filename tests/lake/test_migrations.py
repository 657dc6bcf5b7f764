"""Lakes of older formats: migrated in place, with a copy of the catalog kept."""

from __future__ import annotations

import shutil
from pathlib import Path

import duckdb
import pytest

import headwater as hw
from headwater.api import back_up, restore
from headwater.engine import extensions
from headwater.errors import LakeLocked, LakeTooOld
from headwater.lake import lake as lakes
from headwater.lake.lake import Lake
from headwater.lake.locks import Locks
from headwater.lake.migrations import MIGRATIONS, Migration, migrations_from
from headwater.lake.state import FORMAT_VERSION, STATE_TABLES
from tests.conftest import SOURCE, Made

FORMATS = sorted(Path(__file__).parent.glob("format_*.sql"))
ROWS = "SELECT (SELECT count(*) FROM s.t), (SELECT sum(a) FROM m.x)"
FILES = {
    "headwater.yaml": "name: test\n",
    "sources/s.yaml": SOURCE,
    "data/a.csv": "a,b\n1,x\n2,y\nz,z\n",
    "models/m/x.sql": "SELECT a FROM s.t",
}


@pytest.fixture(scope="module", params=FORMATS, ids=lambda path: path.stem)
def original(request, tmp_path_factory):
    """A project with a lake of an older format."""
    made = Made(tmp_path_factory.mktemp("format") / "project").write(FILES)
    (made.folder / ".headwater/data").mkdir(parents=True)
    with duckdb.connect() as con:
        extensions.load(con, *extensions.LAKE)
        con.execute(
            f"ATTACH 'ducklake:sqlite:{made.folder}/.headwater/catalog.sqlite' AS lake "
            f"(DATA_INLINING_ROW_LIMIT 0, DATA_PATH '{made.folder}/.headwater/data', "
            "META_JOURNAL_MODE 'WAL')"
        )
        con.execute(request.param.read_text(encoding="utf-8"))
    return made


@pytest.fixture
def made(original, tmp_path):
    shutil.copytree(original.folder, tmp_path / "project")
    return Made(tmp_path / "project")


def lake_of(made: Made) -> Path:
    return made.folder / ".headwater"


def formats(made: Made) -> list[tuple]:
    return made.ask("SELECT version, migrated_from FROM headwater.lake_format ORDER BY created_at")


def test_there_is_a_lake_of_every_older_format_to_try():
    assert [path.stem for path in FORMATS] == [f"format_{n}" for n in range(1, FORMAT_VERSION)]


def test_migrations_go_up_one_by_one_to_the_format_of_this_version():
    assert [m.version for m in MIGRATIONS] == list(range(2, FORMAT_VERSION + 1))
    assert migrations_from(1) == MIGRATIONS
    assert migrations_from(FORMAT_VERSION) == ()


def test_a_migrated_lake_has_the_state_tables_of_a_new_one(made):
    with hw.open_project(made.folder).open_lake() as lake:
        found: dict[str, dict[str, str]] = {}
        for table, column, kind in lake.con.execute(
            "SELECT table_name, column_name, data_type FROM duckdb_columns() "
            "WHERE database_name = 'lake' AND schema_name = 'headwater'"
        ).fetchall():
            found.setdefault(table, {})[column] = kind
    assert found == STATE_TABLES


def test_a_run_migrates_the_lake_and_finds_its_work_done(made):
    report = made.run()
    assert [step.reason for step in report.steps] == ["no new files", "up to date"]
    assert made.ask(ROWS) == [(2, 3)]
    assert formats(made) == [(1, None), (FORMAT_VERSION, 1)]
    made.write({"data/b.csv": "a,b\n5,v\nq,q\n"})
    assert made.run().exit_code == 0
    assert made.ask(ROWS) == [(3, 8)]
    assert made.balances()
    assert made.ask("SELECT count(*) FROM headwater.quarantine") == [(2,)]
    assert formats(made) == [(1, None), (FORMAT_VERSION, 1)]


def test_reading_an_older_lake_says_how_to_migrate_it_and_changes_nothing(made):
    before = (lake_of(made) / "catalog.sqlite").read_bytes()
    with pytest.raises(LakeTooOld, match="the lake has format 1") as caught:
        made.ask(ROWS)
    assert "headwater run" in caught.value.hint
    for words in (["status"], ["ledger"], ["query", ROWS]):
        code, _, err = made.cli(*words)
        assert code == 1
        assert "headwater run" in err
    code, out, _ = made.cli("doctor")
    assert code == 0
    assert "! lake format: the lake has format 1" in out
    assert (lake_of(made) / "catalog.sqlite").read_bytes() == before


def test_the_catalog_before_is_kept_and_brings_the_older_lake_back(made):
    made.run()
    kept = lake_of(made) / f"catalog.before-format-{FORMAT_VERSION}.sqlite"
    for name in ("catalog.sqlite-wal", "catalog.sqlite-shm"):
        (lake_of(made) / name).unlink(missing_ok=True)
    kept.rename(lake_of(made) / "catalog.sqlite")
    with Lake.open_read_only(lake_of(made), may_be_older=True) as lake:
        assert lake.format_version() == 1
    assert made.run().exit_code == 0
    assert made.ask(ROWS) == [(2, 3)]


def test_a_migration_that_fails_leaves_the_lake_as_it_was(made, monkeypatch):
    broken = Migration(version=FORMAT_VERSION, statements=("SELECT no_such_column",))
    monkeypatch.setattr(lakes, "migrations_from", lambda _: (*MIGRATIONS, broken))
    with pytest.raises(hw.HeadwaterError):
        made.run()
    with Lake.open_read_only(lake_of(made), may_be_older=True) as lake:
        assert lake.format_version() == 1
    monkeypatch.undo()
    assert made.run().exit_code == 0
    assert made.ask(ROWS) == [(2, 3)]


def test_a_lake_with_a_run_of_an_older_headwater_alive_is_not_migrated(made):
    with (
        Locks(lake_of(made) / "locks", 1).run("20260101T000000-000000"),
        pytest.raises(LakeLocked, match="of an older Headwater"),
    ):
        made.run()
    with Lake.open_read_only(lake_of(made), may_be_older=True) as lake:
        assert lake.format_version() == 1


def test_an_older_lake_is_backed_up_and_restored_as_it_is_and_then_migrated(made):
    backup = made.folder.parent / "backup"
    done = back_up(made.folder, backup)
    assert (done.backup.lake_format, done.backup.release_id) == (1, 1)
    made.run()
    restore(backup, made.folder, replace=True)
    with pytest.raises(LakeTooOld):
        made.ask(ROWS)
    made.run()
    assert made.ask(ROWS) == [(2, 3)]
