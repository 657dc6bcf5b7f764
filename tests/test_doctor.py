"""`headwater doctor`: on sound and broken lakes, and what `--fix` removes."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

import headwater as hw
from headwater.cli.doctor import examine
from headwater.findings import Grade
from headwater.lake import health
from headwater.lake.lake import CommitNote, Lake
from tests.conftest import SOURCE, Made

FILES = {
    "headwater.yaml": "name: test\n",
    "sources/s.yaml": SOURCE,
    "data/a.csv": "a,b\n1,x\n2,y\nx,z\n",
    "models/m/x.sql": "SELECT a FROM s.t",
}
DEAD = "20200101T000000-abcdef"


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    made = Made(tmp_path_factory.mktemp("doctor") / "project").write(FILES)
    made.run()
    return made


@pytest.fixture
def made(original, tmp_path):
    """A copy of it, to be broken. (Nothing has the lake open, so a plain copy is whole.)"""
    shutil.copytree(original.folder, tmp_path / "project")
    return Made(tmp_path / "project")


def found(made: Made, *, fix: bool = False) -> dict[str, str]:
    """What is not well, by what was looked at: `grade: message`."""
    return {
        finding.name: f"{finding.grade.value}: {finding.message}"
        for finding in examine(str(made.folder), fix=fix)
        if finding.grade is not Grade.OK
    }


def lake_of(made: Made) -> Path:
    return made.folder / ".headwater"


def data_files(made: Made) -> list[Path]:
    return sorted((lake_of(made) / "data/built").rglob("*.parquet"))


def test_all_is_well_with_a_sound_lake_and_each_finding_is_told(original):
    code, out, _ = original.cli("doctor")
    assert code == 0, out
    assert out.endswith("all is well\n")
    code, out, _ = original.cli("doctor", "--json")
    said = json.loads(out)
    assert (code, said["problem"], said["warning"]) == (0, 0, 0)
    assert {f["name"] for f in said["findings"] if f["area"] == "lake"} == {
        "disk",
        "locks",
        "catalog",
        "write-ahead log",
        "data files",
        "leftovers",
        "format",
        "files per table",
        "release",
        "removed datasets",
        "quarantine",
    }
    messages = {f["name"]: f["message"] for f in said["findings"]}
    assert messages["quarantine"] == "1 row of 1 dataset"
    assert messages["release"] == "release 1, 2 datasets"


def test_looking_changes_nothing(made):
    def state() -> dict[str, int]:
        files = [p for p in lake_of(made).rglob("*") if p.is_file()]
        names = {str(p): p.stat().st_mtime_ns for p in files}
        return {n: t for n, t in names.items() if not n.endswith(("-wal", "-shm"))}

    before = state()
    found(made)
    assert state() == before


def test_outside_of_a_project_the_environment_is_looked_at_alone(tmp_path):
    code, out, err = Made(tmp_path).cli("doctor")
    assert (code, err) == (0, "")
    assert "! project: no headwater.yaml" in out
    assert " lake " not in out


def test_a_project_without_a_lake_is_well(project):
    assert found(project({"data/a.csv": "a,b\n1,x\n"})) == {}


def test_a_project_with_mistakes_is_a_problem_and_its_lake_is_looked_at_all_the_same(made):
    made.write({"models/m/y.sql": "SELECT nope FROM s.t"})
    code, out, _ = made.cli("doctor")
    assert code == 1
    assert "test has 1 mistake" in out
    assert "lake release: release 1" in out


def break_catalog(made: Made, how: str) -> None:
    catalog = lake_of(made) / "catalog.sqlite"
    if how == "no database":
        catalog.write_bytes(b"not a database at all, but long enough to be looked at" * 9)
    elif how == "empty":
        catalog.write_bytes(b"")
    elif how == "a hole":
        with catalog.open("r+b") as file:
            file.seek(4096)
            file.write(b"\0" * 4096 * 8)
    elif how == "another program's":
        catalog.unlink()
        with closing(sqlite3.connect(catalog)) as con:
            con.execute("CREATE TABLE mine (a)")


@pytest.mark.parametrize("how", ["no database", "empty", "a hole", "another program's"])
def test_a_broken_catalog_is_a_problem_with_advice_and_nothing_is_removed(made, how):
    break_catalog(made, how)
    before = data_files(made)
    code, out, err = made.cli("doctor", "--fix")
    assert (code, err) == (1, "")
    assert "✗ lake catalog" in out
    assert "headwater restore" in out
    assert data_files(made) == before


def test_missing_and_cut_data_files_are_told_with_their_tables(made):
    first, second = data_files(made)
    first.unlink()
    second.write_bytes(b"PAR1")
    code, out, _ = made.cli("doctor")
    assert code == 1
    assert f"1 file is missing, of {first.parent.name}" in out
    assert f"1 file is of another size than the catalog says, of {second.parent.name}" in out


def test_a_lake_of_a_newer_headwater_is_a_problem_that_says_so(made):
    with Lake.open(lake_of(made)) as lake, lake.commit(CommitNote(message="x")) as commit:
        commit.note("lake_format", [{"version": 999, "headwater_version": "9.9"}])
    assert "the lake has format 999" in found(made)["format"]
    stray = lake_of(made) / "data/built/s__t__0/hw-x-1.parquet"
    stray.parent.mkdir()
    stray.touch()
    assert "the lake has format 999" in found(made, fix=True)["fix"]
    assert stray.exists()


def leave_behind(made: Made) -> list[Path]:
    """What a run leaves that was killed."""
    lake = lake_of(made)
    table = data_files(made)[0].parent
    left = [
        table / f"hw-{DEAD}-1.parquet",
        table / "ducklake-0000.parquet",
        lake / "tmp" / DEAD / "a.csv",
        lake / "locks" / f"run-{DEAD}.lock",
    ]
    for path in left:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x" * 1000)
    return left


def test_leftovers_of_killed_runs_are_told_and_fixed(made):
    left = leave_behind(made)
    fresh = lake_of(made) / "tmp" / "duckdb_temp_storage_DEFAULT-0.tmp"
    old = fresh.with_name("duckdb_temp_storage_DEFAULT-1.tmp")
    for path in (fresh, old):
        path.touch()
    os.utime(old, (0, 0))
    said = "warning: 1 run killed; 2 data files in no snapshot, 2.0 kB; 2 entries in tmp"
    assert found(made) == {"leftovers": said}
    before = set(data_files(made)) - set(left)
    assert found(made, fix=True) == {}
    assert set(data_files(made)) == before
    assert [path.exists() for path in (*left, fresh, old)] == [False] * 4 + [True, False]
    assert made.ask("SELECT count(*) FROM m.x") == [(2,)]


def test_what_a_live_run_writes_is_left_alone(made):
    leave_behind(made)
    run_id = "20300101T000000-123456"
    table = data_files(made)[0].parent
    mine = [table / f"hw-{run_id}-1.parquet", lake_of(made) / "tmp" / run_id / "a.csv"]
    with hw.open_project(made.folder).open_lake() as lake, lake.locks.run(run_id):
        for path in mine:
            path.parent.mkdir(exist_ok=True)
            path.touch()
        # Without the lock, DuckLake's file may be of a commit that is going on.
        assert "1 data file in no snapshot" in found(made)["leftovers"]
        removed = health.clean(lake_of(made))
        assert {Path(name).name for name in removed.data} == {
            "ducklake-0000.parquet",
            f"hw-{DEAD}-1.parquet",
        }
        assert all(path.exists() for path in mine)


def test_a_file_that_is_committed_while_fix_looks_stays(made, monkeypatch):
    # The catalog is read after the files were listed, so what was committed in between is known.
    path = data_files(made)[0].with_name("hw-20200101T000000-000000-1.parquet")
    shutil.copy(data_files(made)[0], path)
    listed = health._listed
    with hw.open_project(made.folder).open_lake() as lake:

        def commit_meanwhile(folder):
            seen = listed(folder)
            lake.con.execute("BEGIN")
            lake.con.execute(
                f"CALL ducklake_add_data_files('lake', '{path.parent.name}', '{path}', "
                "schema => 'built', allow_missing => true)"
            )
            lake.con.execute("COMMIT")
            return seen

        monkeypatch.setattr(health, "_listed", commit_meanwhile)
        assert not health.clean(lake_of(made)).data
    assert path.exists()


def test_locks_that_keep_nobody_out_are_a_problem(made, monkeypatch):
    class NoLock:
        def __init__(self, *_, **__):
            pass

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def acquire(self, timeout=0):
            pass

        def release(self):
            pass

    monkeypatch.setattr(health, "FileLock", NoLock)
    assert "gives one lock to two at once" in found(made)["locks"]


@pytest.mark.parametrize(
    ("constant", "value", "name", "message"),
    [
        ("LEAST_FREE_BYTES", 1 << 60, "disk", "are free"),
        ("LARGE_WAL_BYTES", -1, "write-ahead log", "catalog.sqlite-wal has"),
        ("MANY_FILES", 0, "files per table", "has 1 file"),
    ],
)
def test_what_grows_too_large_is_a_warning(made, monkeypatch, constant, value, name, message):
    monkeypatch.setattr(health, constant, value)
    assert message in found(made)[name]
    assert found(made)[name].startswith("warning")


def test_a_memory_limit_beyond_the_machine_is_a_warning(made):
    made.write({"headwater.yaml": "name: test\nmemory_limit: 900TB\n"})
    assert "DuckDB may take" in found(made)["memory"]


def test_a_lake_moved_aside_is_told(made):
    shutil.copytree(lake_of(made), made.folder / ".headwater.replaced-20260101T000000")
    assert ".headwater.replaced-20260101T000000" in found(made)["restores"]
