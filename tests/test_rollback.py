"""Going back to an earlier release, and going on again."""

from __future__ import annotations

import json

import pytest

import headwater as hw

MODELS = {
    "models/m/x.sql": "SELECT a, b FROM s.t",
    "models/m/y.sql": "SELECT count(*) AS n FROM m.x",
    "models/m/other.sql": "SELECT 1 AS one",
}


@pytest.fixture
def made(project):
    """A project with two releases: one row of s.t, then two."""
    made = project({"data/1.csv": "a,b\n1,x\n", **MODELS})
    made.run()
    made.write({"data/2.csv": "a,b\n2,y\n"})
    made.run()
    return made


def n(made) -> int:
    return made.ask("SELECT n FROM m.y")[0][0]


def through_views(made) -> list[tuple[int, int]]:
    """What any DuckLake client sees."""
    with hw.open_project(made.folder).read_lake() as lake:
        return lake.con.execute(
            "SELECT (SELECT count(*) FROM lake.s.t), (SELECT n FROM lake.m.y)"
        ).fetchall()


def test_a_rollback_moves_the_names_and_nothing_else(made):
    rows = made.ask("SELECT count(*) FROM headwater.builds")
    code, out, err = made.cli("rollback")
    assert code == 0, err
    assert "release 3: 3 datasets as at release 1" in out
    assert n(made) == 1
    assert made.ask("SELECT count(*) FROM s.t") == [(1,)]
    assert through_views(made) == [(1, 1)]
    assert made.ask("SELECT count(*) FROM headwater.builds") == rows


def test_it_is_a_release_of_its_own(made):
    made.cli("rollback")
    out = made.cli("releases", "--json")[1]
    newest = json.loads(out)[0]
    assert (newest["release_id"], newest["moved"], newest["description"]) == (
        3,
        3,
        "back to release 1: m.x, m.y, s.t",
    )
    assert made.ask("SELECT max_by(command, ended_at) FROM headwater.runs") == [("rollback",)]


def test_it_holds_whatever_later_runs_build_until_it_is_resumed(made):
    made.cli("rollback")
    made.write({"data/3.csv": "a,b\n3,z\n", "models/m/other.sql": "SELECT 2 AS one"})
    code, out, err = made.cli("run")
    assert code == 0, err
    assert "stays      s.t: rolled back by release 3, until `headwater release --resume`" in out
    assert n(made) == 1, "it landed and was built, and is not released"
    assert made.ask("SELECT one FROM m.other") == [(2,)], "what was not rolled back goes on"
    code, out, _ = made.cli("status")
    assert "rolled back" in out
    code, out, _ = made.cli("release", "--resume")
    assert code == 0
    assert n(made) == 1, "nothing moves by itself"
    made.run()
    assert n(made) == 3
    assert made.balances()


def test_what_reads_something_that_is_held_stays_with_it(made):
    made.write({"models/m/z.sql": "SELECT sum(a) AS total FROM m.x"})
    made.cli("rollback")
    report = made.run()
    assert {str(name): why for name, why in report.parked.items()} == {
        "s.t": "rolled back by release 3, until `headwater release --resume`",
        "m.x": "rolled back by release 3, until `headwater release --resume`",
        "m.y": "rolled back by release 3, until `headwater release --resume`",
        "m.z": "it reads s.t, which is rolled back",
    }
    assert report.exit_code == 0
    made.cli("release", "--resume")
    made.run()
    assert made.ask("SELECT total FROM m.z") == [(3,)]


def test_a_dataset_that_was_not_there_goes_and_does_not_come_back_by_itself(made):
    made.write({"models/m/late.sql": "SELECT 1 AS one"})
    made.run()
    out = made.cli("rollback")[1]
    assert "removed    m.late: it was not there then" in out
    with pytest.raises(hw.HeadwaterError):
        made.ask("SELECT * FROM m.late")
    made.run()
    with pytest.raises(hw.HeadwaterError):
        made.ask("SELECT * FROM m.late")
    made.cli("release", "--resume")
    made.run()
    assert made.ask("SELECT * FROM m.late") == [(1,)]


def test_a_dataset_that_was_removed_since_comes_back_and_stays(made):
    (made.folder / "models/m/y.sql").unlink()
    made.run()
    code, _, err = made.cli("rollback")
    assert code == 0, err
    assert n(made) == 2
    made.run()
    assert n(made) == 2
    made.cli("release", "--resume")
    made.run()
    with pytest.raises(hw.HeadwaterError):
        n(made)


def test_going_back_again_goes_further_back(made):
    made.write({"data/3.csv": "a,b\n3,z\n"})
    made.run()
    assert [hw.roll_back(made.folder).to for _ in range(2)] == [2, 1]
    assert n(made) == 1
    assert hw.roll_back(made.folder, 3).release == 6
    assert n(made) == 3
    assert [str(name) for name in hw.resume(made.folder)] == ["m.x", "m.y", "s.t"]
    assert made.run().status == "nothing"


def test_it_goes_back_though_the_project_is_broken_now(made):
    made.write({"models/m/x.sql": "SELEC"})
    assert made.cli("run")[0] == 2
    assert made.cli("rollback")[0] == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("rollback", "--to", "9"), "there is no release 9"),
        (("rollback", "--to", "2"), "every name is as release 2 left it"),
        (("release", "--resume"), "nothing is rolled back"),
        (("release",), "a release is made by `headwater run`"),
    ],
)
def test_what_cannot_be_done_says_why(made, words, message):
    before = made.ask("SELECT count(*) FROM headwater.releases")
    code, _, err = made.cli(*words)
    assert code == 1
    assert message in err
    assert made.ask("SELECT count(*) FROM headwater.releases") == before


def test_before_the_first_release_there_is_nothing_to_go_back_to(project):
    made = project({"data/1.csv": "a,b\n1,x\n"})
    assert "there is no lake yet" in made.cli("rollback")[2]
    made.run()
    assert "there is no release before this one" in made.cli("rollback")[2]


def test_a_release_whose_rows_are_gone_is_refused_and_nothing_moves(made):
    lost = made.ask("SELECT max(snapshot_id) FROM headwater.release_names WHERE release_id = 1")
    with hw.open_project(made.folder).open_lake() as lake:
        lake.con.execute(f"CALL ducklake_expire_snapshots('lake', versions => [{lost[0][0]}])")
    code, _, err = made.cli("rollback")
    assert code == 1
    assert "release 1 cannot be gone back to: the rows that it had of m." in err
    assert n(made) == 2
