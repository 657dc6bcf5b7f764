"""Backup and restore: what is copied, what is refused, what a restored lake is."""

from __future__ import annotations

import errno
import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import duckdb
import pytest

import headwater as hw
from headwater.api import back_up, restore
from headwater.engine import extensions
from headwater.errors import BackupRefused, NoLake
from headwater.lake import backup as backups
from headwater.lake.catalog import copy_catalog, examine_catalog
from headwater.sql.quote import literal
from tests.conftest import Made

FILES = {
    "headwater.yaml": "name: test\n",
    "sources/s.yaml": "connector: files\ndatasets: {t: {path: data/*.csv, columns: {a: int}}}\n",
    "data/a.csv": "a\n1\n2\nx\n",
    "models/m/x.sql": "SELECT a FROM s.t",
}
ROWS = "SELECT count(*), sum(a) FROM m.x"


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """A project that was run, and its backup."""
    made = Made(tmp_path_factory.mktemp("backup") / "project").write(FILES)
    made.run()
    back_up(made.folder, made.folder.parent / "backup")
    return made


@pytest.fixture
def made(original, tmp_path):
    """A copy of it, to be changed. (Nothing has the lake open, so a plain copy is whole.)"""
    shutil.copytree(original.folder.parent, tmp_path, dirs_exist_ok=True)
    return Made(tmp_path / "project")


def backup_of(made: Made) -> Path:
    return made.folder.parent / "backup"


def names(folder: Path) -> set[str]:
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}


def test_a_backup_holds_the_catalog_and_the_files_that_it_names(made):
    said = json.loads((backup_of(made) / "backup.json").read_text())
    facts = examine_catalog(backup_of(made) / said["catalog"])
    assert names(backup_of(made)) == {
        *(f"data/{name}" for name in facts.files),
        *("backup.json", said["catalog"], ".lock"),
    }
    assert (said["release_id"], said["files"]) == (1, len(facts.files))
    assert said["bytes"] == sum(facts.files.values())


def test_only_new_files_are_copied_and_the_old_catalog_goes(made):
    made.write({"data/b.csv": "a\n3\n"})
    made.run()
    first = back_up(made.folder, backup_of(made))
    assert 0 < first.files_copied < first.backup.files
    again = back_up(made.folder, backup_of(made))
    assert (again.files_copied, again.bytes_copied) == (0, 0)
    assert len(list(backup_of(made).glob("catalog-*"))) == 1


def test_what_no_commit_holds_is_not_backed_up(made):
    stray = made.folder / ".headwater/data/built/s__t__0/hw-x-1.parquet"
    stray.parent.mkdir()
    stray.write_bytes(b"written ahead")
    with hw.open_project(made.folder).open_lake() as lake:
        lake.con.execute("BEGIN; INSERT INTO lake.headwater.runs (run_id) VALUES ('open')")
        back_up(made.folder, backup_of(made))
        lake.con.execute("ROLLBACK")
    restore(backup_of(made), made.folder, replace=True)
    assert made.ask("SELECT count(*) FROM headwater.runs") == [(1,)]
    assert not stray.exists()


def test_a_backup_while_the_same_process_reads_and_writes_hurts_neither(made):
    project = hw.open_project(made.folder)
    with project.read_lake() as reader, project.open_lake() as writer:
        reader.con.execute("BEGIN")
        assert reader.con.execute("SELECT count(*) FROM lake.headwater.runs").fetchone() == (1,)
        back_up(made.folder, backup_of(made))
        with writer.commit(backups_note()) as commit:
            commit.note("runs", [{"run_id": "later"}])
        assert reader.con.execute("SELECT count(*) FROM lake.headwater.runs").fetchone() == (1,)
        reader.con.execute("ROLLBACK")
        assert reader.con.execute("SELECT count(*) FROM lake.headwater.runs").fetchone() == (2,)


def backups_note():
    from headwater.lake.lake import CommitNote

    return CommitNote(message="test")


def test_a_restored_lake_is_the_one_that_was_backed_up_and_runs_go_on_in_it(made):
    before = made.ask(ROWS)
    shutil.rmtree(made.folder / ".headwater")
    done = restore(backup_of(made), made.folder)
    assert (done.aside, done.files_copied) == (None, done.backup.files)
    assert made.ask(ROWS) == before == [(2, 3)]
    assert made.run().release is None
    made.write({"data/b.csv": "a\n3\n"})
    assert made.run().exit_code == 0
    assert made.ask(ROWS) == [(3, 6)]
    assert made.balances()


def test_a_lake_is_restored_from_a_moved_backup_into_another_folder_and_its_views_read_there(made):
    moved = made.folder.parent / "elsewhere"
    backup_of(made).rename(moved)
    shutil.rmtree(made.folder / ".headwater")
    target = made.folder.parent / "new place" / "it's a lake"
    target.parent.mkdir()
    restore(moved, into=target)
    with closing(sqlite3.connect(target / "catalog.sqlite")) as con:
        where = con.execute("SELECT value FROM ducklake_metadata WHERE key = 'data_path'")
        assert where.fetchone() == (f"{target}/data/",)
        assert con.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    shutil.rmtree(moved)
    made.write({"headwater.yaml": f'name: test\nlake: "{target}"\n'})
    assert made.ask(ROWS) == [(2, 3)]
    with duckdb.connect() as con:  # any DuckLake client
        extensions.load(con, *extensions.LAKE)
        where = literal(f"ducklake:sqlite:{target}/catalog.sqlite")
        con.execute(f"ATTACH {where} AS other (READ_ONLY); USE other")
        assert con.execute(ROWS).fetchall() == [(2, 3)]


def test_a_lake_that_is_there_is_only_replaced_when_told_and_then_kept_aside(made):
    made.write({"data/b.csv": "a\n3\n"})
    made.run()
    with pytest.raises(BackupRefused, match="there is a lake already"):
        restore(backup_of(made), made.folder)
    assert made.ask(ROWS) == [(3, 6)]
    done = restore(backup_of(made), made.folder, replace=True)
    assert made.ask(ROWS) == [(2, 3)]
    assert done.aside
    done.aside.rename(done.aside.with_name("kept"))
    made.write({"headwater.yaml": "name: test\nlake: kept\n"})
    assert made.ask(ROWS) == [(3, 6)]


def test_an_empty_folder_becomes_the_lake_and_one_with_other_things_does_not(made):
    empty, other = made.folder.parent / "empty", made.folder.parent / "other"
    empty.mkdir()
    assert restore(backup_of(made), into=empty).aside is None
    assert (empty / "catalog.sqlite").exists()
    other.mkdir()
    (other / "letter.txt").write_text("dear")
    with pytest.raises(BackupRefused, match=r"holds other things: letter\.txt"):
        restore(backup_of(made), into=other, replace=True)


def test_a_full_disk_leaves_the_backup_before_whole(made, monkeypatch):
    made.write({"data/b.csv": "a\n3\n"})
    made.run()

    def full(source, target):
        Path(target).write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device", str(target))

    with monkeypatch.context() as patched:
        patched.setattr(backups.shutil, "copyfile", full)
        with pytest.raises(BackupRefused, match="the disk is full"):
            back_up(made.folder, backup_of(made))
    assert len(list(backup_of(made).glob("catalog-*"))) == 1
    restore(backup_of(made), made.folder, replace=True)
    assert made.ask(ROWS) == [(2, 3)]


def test_a_lake_with_a_run_alive_is_not_replaced(made):
    with hw.open_project(made.folder).open_lake() as lake, lake.locks.run("r1"):
        with pytest.raises(BackupRefused, match="run r1 is going on"):
            restore(backup_of(made), made.folder, replace=True)
        lake.locks.forget_run("r1")
    assert made.ask(ROWS) == [(2, 3)]
    assert not list(made.folder.glob(".*restoring*"))


def test_files_that_vanish_while_they_are_copied_make_the_backup_begin_again(made, monkeypatch):
    # As if somebody had expired snapshots: the first catalog names a file that is gone.
    made.write({"data/b.csv": "a\n3\n"})
    made.run()
    seen = []

    def copy_with_a_ghost(path, target, **more):
        facts = copy_catalog(path, target, **more)
        if not seen:
            facts.files["built/t/gone.parquet"] = 1
        seen.append(target)
        return facts

    monkeypatch.setattr(backups, "copy_catalog", copy_with_a_ghost)
    done = back_up(made.folder, backup_of(made))
    assert len(seen) == 2
    assert done.files_copied > 0
    assert len(list(backup_of(made).glob("catalog-*"))) == 1


def damaged(made: Made, what: str) -> None:
    folder = backup_of(made)
    data = sorted((folder / "data").rglob("*.parquet"))
    if what == "a file is missing":
        data[0].unlink()
    elif what == "a file is cut short":
        data[0].write_bytes(data[0].read_bytes()[:-1])
    elif what == "the catalog is missing":
        next(folder.glob("catalog-*")).unlink()
    elif what == "the catalog was changed":
        with next(folder.glob("catalog-*")).open("r+b") as file:
            file.write(b"X")
    elif what == "no manifest":
        (folder / "backup.json").unlink()
    elif what == "half a manifest":
        (folder / "backup.json").write_text('{"layout": 1')
    elif what == "a newer layout":
        said = json.loads((folder / "backup.json").read_text())
        (folder / "backup.json").write_text(json.dumps({**said, "layout": 99}))
    elif what == "a catalog elsewhere":
        said = json.loads((folder / "backup.json").read_text())
        said["catalog"] = "../catalog-1.sqlite"
        (folder / "backup.json").write_text(json.dumps(said))


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("a file is missing", "1 file of 2 are missing or cut short"),
        ("a file is cut short", "1 file of 2 are missing or cut short"),
        ("the catalog is missing", "is not there"),
        ("the catalog was changed", "not as it was written"),
        ("no manifest", "there is no backup"),
        ("half a manifest", "cannot be read"),
        ("a newer layout", "newer Headwater"),
        ("a catalog elsewhere", "is not there"),
    ],
)
def test_a_backup_that_is_not_whole_is_not_restored(made, what, message):
    damaged(made, what)
    with pytest.raises(BackupRefused, match=message):
        restore(backup_of(made), made.folder, replace=True)
    assert made.ask(ROWS) == [(2, 3)]
    assert [path.name for path in made.folder.glob(".headwater*")] == [".headwater"]


def test_a_damaged_backup_is_mended_by_the_next(made):
    damaged(made, "a file is cut short")
    assert back_up(made.folder, backup_of(made)).files_copied == 1
    restore(backup_of(made), made.folder, replace=True)
    assert made.ask(ROWS) == [(2, 3)]


def test_places_that_cannot_hold_a_backup_are_refused(made):
    lake = made.folder / ".headwater"
    other = made.folder.parent / "other"
    other.mkdir()
    (other / "letter.txt").write_text("dear")
    for folder, message in (
        (lake, "apart from its lake"),
        (lake / "backup", "apart from its lake"),
        (made.folder, "apart from its lake"),
        (other, "holds other things: letter.txt"),
        (other / "letter.txt", "not a folder"),
    ):
        with pytest.raises(BackupRefused, match=message):
            back_up(made.folder, folder)
    shutil.rmtree(lake)
    with pytest.raises(NoLake):
        back_up(made.folder, backup_of(made))


def test_the_backup_of_another_lake_is_left_alone(made):
    shutil.rmtree(made.folder / ".headwater")
    made.run()
    before = names(backup_of(made))
    with pytest.raises(BackupRefused, match="another lake"):
        back_up(made.folder, backup_of(made))
    assert names(backup_of(made)) == before


def test_a_lake_that_lacks_a_file_is_not_backed_up(made, monkeypatch):
    monkeypatch.setattr(backups.time, "sleep", lambda _: None)
    (gone, *_) = (made.folder / ".headwater/data/built").rglob("*.parquet")
    gone.unlink()
    with pytest.raises(BackupRefused, match="names a file that is not there"):
        back_up(made.folder, made.folder.parent / "new")
    assert back_up(made.folder, backup_of(made)).files_copied == 0  # the backup still has it


def test_two_backups_at_once_do_not_share_a_folder(made):
    with backups._only_one(backup_of(made), must=True):
        with pytest.raises(BackupRefused, match="another process is at work"):
            back_up(made.folder, backup_of(made))
        with pytest.raises(BackupRefused, match="another process is at work"):
            restore(backup_of(made), made.folder, replace=True)


def test_the_commands_say_what_they_did(made):
    code, out, _ = made.cli("backup", str(backup_of(made)))
    assert code == 0
    assert "release 1, 2 files" in out
    code, out, err = made.cli("restore", str(backup_of(made)))
    assert (code, out) == (1, "")
    assert "--replace" in err
    code, out, _ = made.cli("restore", str(backup_of(made)), "--replace", "--json")
    said = json.loads(out)
    assert (code, said["release_id"], said["files_copied"]) == (0, 1, 2)
    assert Path(said["aside"]).is_dir()
