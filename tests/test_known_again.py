"""An upgrade may give the same definitions other fingerprints: what was built is known again, by
how it was written."""

from __future__ import annotations

import pytest

import headwater as hw
from headwater.lake.lake import CommitNote, Lake
from tests.opening import did

FILES = {
    "headwater.yaml": "name: p\nvariables: {least: 0}\n",
    "data/1.csv": "a,b\n1,x\n2,y\n3,z\n",
    "functions/twice.sql": "CREATE FUNCTION twice(v) AS v * 2",
    "models/m/x.sql": "SELECT twice(a) AS a, b FROM s.t WHERE a > $least",
    "models/m/view.sql": "/*\nstore: none\n*/\nSELECT * FROM m.x",
    "models/m/y.sql": "/*\nkey: b\n*/\nSELECT b, sum(a) AS total FROM m.view GROUP BY b",
    "models/m/p.py": "import headwater as hw\n\n\n@hw.model\ndef p(y: hw.Input('m.y')):\n"
    "    # half of it\n    return y.project('total / 2 AS half')\n",
    "models/m/z.sql": "SELECT count(*) AS n FROM m.p",
}


def upgrade(made, table="builds", change="fingerprint = md5(fingerprint)"):
    """Make the lake one of a version that had other fingerprints."""
    opened = hw.open_project(made.folder)
    with Lake.open(opened.project.lake_folder) as lake, lake.commit(CommitNote(message="u")) as c:
        c.con.execute(f"UPDATE lake.headwater.{table} SET {change}")


@pytest.fixture
def ran(project):
    made = project(FILES)
    assert made.run().exit_code == 0
    return made


def planned(made):
    return {str(s.dataset): s.reason for s in hw.open_project(made.folder).plan().doing}


def test_nothing_is_built_after_an_upgrade_and_all_is_known_by_its_new_fingerprint(ran):
    names = ran.ask("SELECT DISTINCT built_table FROM headwater.builds ORDER BY ALL")
    known = "SELECT dataset, max_by(fingerprint, built_at) FROM headwater.builds GROUP BY 1"
    before = ran.ask(f"{known} ORDER BY ALL")
    upgrade(ran)
    assert planned(ran) == {}
    assert did(ran.run()) == {}
    assert ran.ask("SELECT DISTINCT built_table FROM headwater.builds ORDER BY ALL") == names
    assert ran.ask(f"{known} ORDER BY ALL") == before
    rows = ran.ask("SELECT count(*) FROM headwater.builds")
    assert ran.run().status == "nothing"
    assert ran.ask("SELECT count(*) FROM headwater.builds") == rows, "told once"


def test_a_comment_that_changed_before_the_upgrade_does_not_stand_in_its_way(ran):
    ran.write({"models/m/x.sql": "SELECT twice(a) AS a, b -- why\nFROM s.t WHERE a > $least"})
    assert did(ran.run()) == {}
    upgrade(ran)
    assert did(ran.run()) == {}


@pytest.mark.parametrize(
    ("change", "built"),
    [
        ({"models/m/x.sql": "SELECT twice(a) AS a, b FROM s.t WHERE a > 1"}, "x view y p z"),
        ({"functions/twice.sql": "CREATE FUNCTION twice(v) AS v * 3"}, "x view y p z"),
        ({"headwater.yaml": "name: p\nvariables: {least: 1}\n"}, "x view y p z"),
        ({"models/m/p.py": FILES["models/m/p.py"].replace("/ 2", "/ 4")}, "p z"),
        ({"models/m/view.sql": "SELECT * FROM m.x"}, "view y p z"),
        ({"models/m/y.sql": FILES["models/m/y.sql"].replace("key: b", "key: total")}, "y p z"),
        ({"data/2.csv": "a,b\n9,q\n"}, "s.t x view y p z"),
    ],
)
def test_what_changes_with_the_upgrade_is_built_with_what_reads_it(ran, change, built):
    ran.write(change)
    upgrade(ran)
    expected = {name if "." in name else f"m.{name}" for name in built.split()}
    assert did(ran.run()).keys() == expected
    assert ran.run().status == "nothing"


@pytest.mark.parametrize("is_upgraded", [False, True])
def test_after_it_a_change_reaches_only_those_who_read_what_changed(ran, is_upgraded):
    if is_upgraded:
        upgrade(ran)
    ran.run()
    ran.write({"models/m/x.sql": "SELECT twice(a) AS a, b, 1 AS more FROM s.t WHERE a > $least"})
    assert did(ran.run()).keys() == {"m.x", "m.view"}


def test_a_new_environment_after_it_builds_nothing(ran):
    upgrade(ran)
    assert did(hw.open_project(ran.folder, environment="dev").run()) == {}
    assert did(ran.run()) == {}


def test_what_was_written_is_not_known_of_an_older_lake_until_it_runs(ran):
    upgrade(ran, change="written = NULL")
    assert did(ran.run()) == {}
    upgrade(ran)
    assert did(ran.run()) == {}
