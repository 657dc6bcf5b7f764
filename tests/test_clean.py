"""`clean`: what nothing refers to goes, what any release within the retention needs stays."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

import headwater as hw
from headwater.cli.doctor import examine
from headwater.errors import LakeLocked, ReleaseRefused
from headwater.findings import Grade
from headwater.lake.commit import now
from headwater.run.clean import clean
from tests.conftest import SOURCE

FILES = {
    "data/1.csv": "a,b\n1,x\n2,y\n3,z\n",
    "models/m/x.sql": "SELECT a, b FROM s.t WHERE a > 1",
    "models/m/y.sql": "SELECT count(*) AS n FROM m.x",
}
OTHER = {"models/m/x.sql": "SELECT a, b FROM s.t WHERE a > 2"}


@pytest.fixture
def changed(project):
    """A project whose models have changed since their first release."""
    made = project(FILES)
    made.run()
    made.write(OTHER)
    made.run()
    return made


def clean_after(made, days=31, *, retention=30, dry_run=False):
    """A cleaning as if so many days had gone by."""
    opened = hw.open_project(made.folder)
    with opened.open_lake() as lake:
        return clean(lake, retention, dry_run=dry_run, moment=now() + timedelta(days=days))


def tables(made):
    with hw.open_project(made.folder).open_lake() as lake:
        rows = lake.con.execute(
            "SELECT table_name FROM duckdb_tables() WHERE schema_name = 'built' "
            "UNION ALL SELECT view_name FROM duckdb_views() WHERE schema_name = 'built'"
        ).fetchall()
    return sorted(row[0][:4] for row in rows)


def data_files(made):
    return sorted(Path(made.folder / ".headwater/data/built").glob("*/*.parquet"))


def test_what_a_release_within_the_retention_needs_stays(changed):
    found = clean_after(changed, 29)
    assert (found.tables, found.snapshots, found.files) == ((), 0, 0)
    hw.api.roll_back(changed.folder)
    assert changed.ask("FROM m.y") == [(2,)]


def test_what_only_older_releases_had_goes(changed):
    assert tables(changed) == ["m__x", "m__x", "m__y", "m__y", "s__t"]
    dry = clean_after(changed, dry_run=True)
    assert dry.files is None
    found = clean_after(changed)
    assert found.tables == dry.tables
    assert [str(build.dataset) for build in found.tables] == ["m.x", "m.y"]
    assert tables(changed) == ["m__x", "m__y", "s__t"]
    assert changed.ask("FROM m.y") == [(1,)]
    assert changed.ask("SELECT count(*), sum(rows) FROM headwater.cleaned_tables") == [(2, 3)]
    assert changed.run().status == "nothing"
    code, out, _ = changed.cli("doctor")
    assert (code, "all is well" in out) == (0, True)
    again = clean_after(changed)
    assert again.tables == ()


def test_files_go_with_the_snapshots_that_had_them(project):
    made = project(FILES)
    made.run()
    for least in (2, 0):
        made.write({"models/m/x.sql": f"SELECT a, b FROM s.t WHERE a > {least}"})
        made.run()
    before = data_files(made)
    found = clean_after(made)
    assert found.files == len(before) - len(data_files(made)) > 0
    assert made.ask("FROM m.y") == [(3,)]
    hw.api.back_up(made.folder, made.folder.parent / "backup")


def test_a_release_whose_rows_are_gone_is_not_gone_back_to(project):
    made = project(FILES)
    made.run()
    for least in (2, 0):
        made.write({"models/m/x.sql": f"SELECT a, b FROM s.t WHERE a > {least}"})
        made.run()
    clean_after(made)
    with pytest.raises(ReleaseRefused, match=r"the rows that it had of m\.x are not there"):
        hw.api.roll_back(made.folder, 2)
    with pytest.raises(
        ReleaseRefused, match=r"the rows that release 2 had of m\.[xy] are not there"
    ):
        hw.open_project(made.folder).diff(2, 3)


def test_a_release_is_not_gone_back_to_whose_tables_stand_only_in_an_old_snapshot(project):
    """Another environment needs the snapshot, for another dataset."""
    made = project({**FILES, "models/m/alone.sql": "SELECT count(*) AS n FROM s.t"})
    made.run()
    made.write({"models/m/x.sql": "SELECT a, b FROM s.t WHERE a > 0"})
    assert hw.open_project(made.folder, environment="dev").run().exit_code == 0
    made.write({"data/2.csv": "a,b\n7,q\n", "models/m/x.sql": "SELECT a, b FROM s.t WHERE a > 5"})
    assert made.run().exit_code == 0
    assert {str(build.dataset) for build in clean_after(made).tables} == {"m.x", "m.y"}
    with pytest.raises(ReleaseRefused, match=r"the rows that it had of m\.[xy] are not there"):
        hw.api.roll_back(made.folder, 1)
    assert [f for f in examine(str(made.folder)) if f.grade is Grade.PROBLEM] == []


def test_what_another_environment_has_stays(project):
    made = project(FILES)
    made.run()
    made.write(OTHER)
    hw.open_project(made.folder, environment="dev").run()
    clean_after(made)
    assert hw.open_project(made.folder, environment="dev").query("FROM m.y").rows() == [(1,)]
    made.write({"models/m/x.sql": "SELECT a, b FROM s.t WHERE a > 7"})
    hw.open_project(made.folder, environment="dev").run()
    hw.api.drop_environment(made.folder, "dev")
    assert len(clean_after(made).tables) == 4  # both that dev had
    assert made.ask("FROM m.y") == [(2,)]


def test_rows_that_wait_to_be_released_stay(project):
    """A source whose release a check holds back has landed rows that may be nowhere else."""
    made = project({**FILES, "checks/none.sql": "FROM s.t"})
    assert made.run().exit_code == 1
    found = clean_after(made)
    assert {str(build.dataset) for build in found.tables} == {"m.x", "m.y"}  # built again below
    (made.folder / "data/1.csv").unlink()
    (made.folder / "checks/none.sql").unlink()
    made.run()
    assert made.ask("FROM m.y") == [(2,)]


def test_a_removed_dataset_goes_whole(changed):
    (changed.folder / "models/m/y.sql").unlink()
    changed.run()
    clean_after(changed)
    assert tables(changed) == ["m__x", "s__t"]


def test_what_a_view_reads_stays(project):
    view = {"models/m/y.sql": "/*\nstore: none\n*/\nSELECT count(*) AS n FROM m.x"}
    made = project({**FILES, **view})
    made.run()
    made.write({"data/2.csv": "a,b\n9,q\n"})
    hw.open_project(made.folder).run(select="s.t")
    clean_after(made)
    assert made.ask("FROM m.y") == [(2,)]
    made.run()
    assert made.ask("FROM m.y") == [(3,)]


def test_what_comes_back_is_landed_and_built_anew(project):
    made = project(FILES)
    made.run()
    wide = SOURCE.replace("b: varchar", "b: {type: varchar, trim: true}")
    made.write({"sources/s.yaml": wide})
    made.run()
    clean_after(made)
    made.write({"sources/s.yaml": SOURCE, "data/2.csv": "a,b\n9,q\n"})
    report = made.run(replace=True)
    assert report.exit_code == 0
    assert made.ask("SELECT a FROM s.t ORDER BY a") == [(1,), (2,), (3,), (9,)]
    assert made.ask("FROM m.y") == [(3,)]
    assert made.balances()


def test_it_waits_for_nobody_and_disturbs_nobody(changed):
    opened = hw.open_project(changed.folder)
    going_on = pytest.raises(LakeLocked, match="run 20261126T000000-abcdef is going on")
    with opened.open_lake() as lake, lake.locks.run("20261126T000000-abcdef"), going_on:
        clean_after(changed)
    with opened.open_lake() as lake, lake.locks.maintenance():
        with pytest.raises(LakeLocked, match="a backup or another cleaning"):
            clean_after(changed)
        with pytest.raises(hw.HeadwaterError, match="the lake is being cleaned"):
            hw.api.back_up(changed.folder, changed.folder.parent / "backup")


def test_the_command_says_what_went(changed):
    code, out, _ = changed.cli("clean")
    assert (code, out) == (0, "nothing to clean: all that is built is needed\n")
    code, out, _ = changed.cli("clean", "--older-than", "0", "--dry-run")
    assert "2 tables and" in out
    code, out, _ = changed.cli("clean", "--older-than", "0")
    assert code == 0
    assert "removed    m__x__" in out
