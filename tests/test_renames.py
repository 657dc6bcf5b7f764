"""Removed and renamed datasets: what is taken over, what stays, what readers are told."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pytest

import headwater as hw
from headwater.errors import ProjectMistakes, ReleaseRefused, UnknownDataset
from headwater.names import DatasetName
from headwater.plan.plan import ReleaseDecision, follow_renames
from tests.conftest import SOURCE, Made
from tests.plan.test_release import NEW, OLD

MODELS = {"models/m/x.sql": "SELECT a FROM s.t", "models/m/y.sql": "SELECT count(*) AS n FROM m.x"}
DATA = {"data/a.csv": "a,b\n1,x\n2,y\nz,z\n"}


def renamed(text: str, former: str, new: str) -> str:
    """The source with its dataset renamed."""
    return text.replace("  t:\n", f"  {new}:\n    renamed_from: {former}\n")


def positions(made) -> dict[str, str]:
    rows = made.ask(
        "SELECT dataset, built_table FROM headwater.release_names "
        "QUALIFY row_number() OVER (PARTITION BY dataset ORDER BY release_id DESC) = 1"
    )
    return {dataset: table for dataset, table in rows if table}


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    made = Made(tmp_path_factory.mktemp("renames") / "project")
    made.write({"headwater.yaml": "name: test\n", "sources/s.yaml": SOURCE, **DATA, **MODELS})
    assert made.run().exit_code == 0
    return made


@pytest.fixture
def ran(original, tmp_path):
    """A project that was run once. (Nothing has its lake open, so a plain copy is whole.)"""
    shutil.copytree(original.folder, tmp_path / "project")
    return Made(tmp_path / "project")


def test_a_renamed_source_is_taken_over_without_landing_anything_again(ran):
    table = positions(ran)["s.t"]
    ran.write(
        {"sources/s.yaml": renamed(SOURCE, "s.t", "u"), "models/m/x.sql": "SELECT a FROM s.u"}
    )
    report = ran.run()
    assert report.exit_code == 0
    steps = {str(step.dataset): step for step in report.steps}
    assert (steps["s.u"].reason, steps["s.u"].status) == ("no new files", "nothing")
    assert steps["s.u"].notes == ["renamed from s.t; its rows were taken over"]
    assert positions(ran)["s.u"] == table
    assert "s.t" not in positions(ran)
    assert ran.ask("SELECT count(*), (SELECT n FROM m.y) FROM s.u") == [(2, 2)]
    assert ran.ask("SELECT dataset, received FROM headwater.ledger WHERE received = 3") == [
        ("s.t", 3)
    ]
    assert report.renamed == {DatasetName("s", "t"): DatasetName("s", "u")}
    assert ran.run().status == "nothing"


def test_a_renamed_source_goes_on_where_it_was(ran):
    ran.write(
        {"sources/s.yaml": renamed(SOURCE, "s.t", "u"), "models/m/x.sql": "SELECT a FROM s.u"}
    )
    ran.write({"data/b.csv": "a,b\n3,z\nq,q\n"})
    assert ran.run().exit_code == 0
    ran.write({"data/c.csv": "a,b\n4,z\n"})
    assert ran.run().exit_code == 0
    assert ran.ask("SELECT count(*), count(DISTINCT (_file_id, _record)) FROM s.u") == [(4, 4)]
    assert ran.ask("SELECT count(*), count(DISTINCT id) FROM headwater.quarantine") == [(2, 2)]
    assert ran.balances()
    code, out, _ = ran.cli("ledger", "s.u", "--json")
    lines = json.loads(out)
    assert code == 0
    assert [line["dataset"] for line in lines] == ["s.u", "s.u", "s.t"]
    assert sum(line["landed"] - line["removed"] for line in lines) == lines[0]["rows_after"] == 4
    code, out, _ = ran.cli("quarantine", "list", "s.u", "--json")
    assert code == 0
    assert [row["id"] for row in json.loads(out)["rows"]] == ["s.u/2/2", "s.t/1/3"]


def test_a_file_that_changes_after_the_rename_replaces_its_rows_of_before(ran):
    ran.write(
        {"sources/s.yaml": renamed(SOURCE, "s.t", "u"), "models/m/x.sql": "SELECT a FROM s.u"}
    )
    assert ran.run().exit_code == 0
    ran.write({"data/a.csv": "a,b\n7,x\n"})
    assert ran.run().exit_code == 0
    assert ran.ask("SELECT a FROM s.u") == [(7,)]
    code, out, _ = ran.cli("quarantine", "list", "--json")
    assert (code, json.loads(out)["rows"]) == (0, [])
    assert ran.balances()


def test_rows_that_were_quarantined_before_the_rename_are_replayed_after_it(ran):
    ran.write(
        {"sources/s.yaml": renamed(SOURCE, "s.t", "u"), "models/m/x.sql": "SELECT a FROM s.u"}
    )
    assert ran.run().exit_code == 0
    code, _, err = ran.cli("quarantine", "fix", "s.u", "--set", "a='9'")
    assert code == 0, err
    assert ran.ask("SELECT a FROM s.u ORDER BY a") == [(1,), (2,), (9,)]
    assert json.loads(ran.cli("quarantine", "list", "--json")[1])["rows"] == []
    assert ran.balances()


def test_a_renamed_model_is_taken_over_without_a_build(ran):
    table = positions(ran)["m.y"]
    (ran.folder / "models/m/y.sql").unlink()
    ran.write({"models/n/counts.sql": "/*\nrenamed_from: m.y\n*/\n" + MODELS["models/m/y.sql"]})
    report = ran.run()
    assert [step.status for step in report.steps] == ["nothing"] * 3
    assert positions(ran)["n.counts"] == table
    assert ran.ask("SELECT * FROM n.counts") == [(2,)]
    ran.write({"data/b.csv": "a,b\n3,z\n"})
    assert ran.run().exit_code == 0
    assert ran.ask("SELECT * FROM n.counts") == [(3,)]
    assert positions(ran)["n.counts"] == table


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("@hw.model", "@hw.model(renamed_from='m.f')"),
        ("@hw.model(key='n')", "@hw.model(renamed_from='m.f', key='n')"),
    ],
)
def test_a_renamed_python_model_is_taken_over(project, before, after):
    text = (
        "import headwater as hw\n\n\n{}\ndef f(t: hw.Input('s.t')):\n"
        "    return t.aggregate('count(*) AS n')\n"
    )
    made = project({**DATA, "models/m/f.py": text.format(before)})
    made.run()
    table = positions(made)["m.f"]
    (made.folder / "models/m/f.py").unlink()
    made.write({"models/m/g.py": text.format(after)})
    report = made.run()
    assert [step.status for step in report.steps] == ["nothing"] * 2
    assert positions(made)["m.g"] == table
    assert made.ask("SELECT n FROM m.g") == [(2,)]


def test_a_dataset_that_was_renamed_and_changed_is_made_anew_and_the_old_name_goes(ran):
    changed = renamed(SOURCE, "s.t", "u").replace(
        "b: varchar", "b: {type: varchar, required: true}"
    )
    ran.write({"sources/s.yaml": changed, "models/m/x.sql": "SELECT a FROM s.u"})
    report = ran.run()
    assert report.exit_code == 0
    assert {str(s.dataset): s.reason for s in report.steps}["s.u"] == "1 new file"
    assert positions(ran).keys() == {"s.u", "m.x", "m.y"}


def test_several_earlier_names_are_tried_in_turn_and_a_name_can_be_given_back(ran):
    table = positions(ran)["m.y"]
    sql = MODELS["models/m/y.sql"]
    (ran.folder / "models/m/y.sql").unlink()
    ran.write({"models/m/w.sql": f"/*\nrenamed_from: [m.z, m.y]\n*/\n{sql}"})
    ran.run()
    (ran.folder / "models/m/w.sql").unlink()
    ran.write({"models/m/y.sql": f"/*\nrenamed_from: m.w\n*/\n{sql}"})
    report = ran.run()
    assert [step.status for step in report.steps] == ["nothing"] * 3
    assert positions(ran)["m.y"] == table
    assert "m.w" not in positions(ran)
    assert ran.run().status == "nothing"


def test_definitions_from_before_a_rename_are_refused_and_change_nothing(ran):
    before = {"sources/s.yaml": SOURCE, "models/m/x.sql": MODELS["models/m/x.sql"]}
    ran.write(
        {"sources/s.yaml": renamed(SOURCE, "s.t", "u"), "models/m/x.sql": "SELECT a FROM s.u"}
    )
    ran.run()
    released = positions(ran)
    ran.write({**before, "data/b.csv": "a,b\n3,z\n"})
    with pytest.raises(ReleaseRefused, match=r"m\.x is defined here as before release 2"):
        ran.run()
    report = ran.run(replace=True)
    assert report.exit_code == 1
    (failed,) = report.failed
    assert "its built table is now that of s.u" in str(failed.error)
    assert "renamed_from: s.u" in failed.error.hint
    assert positions(ran).keys() >= released.keys() - {"s.u"}
    assert ran.ask("SELECT count(*) FROM headwater.files WHERE status = 'landed'") == [(1,)]


def test_the_old_name_stays_released_until_the_new_one_comes(ran):
    broken = {"models/m/x.sql": "/*\nrules: [{name: few, check: a < 0}]\n*/\nSELECT a FROM s.u"}
    ran.write({"sources/s.yaml": renamed(SOURCE, "s.t", "u"), **broken})
    report = ran.run()
    assert report.exit_code == 1
    assert report.removed == ()
    assert "s.t" in positions(ran)
    assert "s.u" not in positions(ran)
    ran.write({"models/m/x.sql": "SELECT a FROM s.u"})
    assert ran.run().exit_code == 0
    assert positions(ran).keys() == {"s.u", "m.x", "m.y"}


def test_a_run_of_a_part_that_renames_removes_the_old_name_with_it(ran):
    (ran.folder / "models/m/y.sql").unlink()
    ran.write({"models/m/z.sql": "/*\nrenamed_from: m.y\n*/\n" + MODELS["models/m/y.sql"]})
    report = ran.run(select="m.z")
    assert report.removed == (DatasetName("m", "y"),)
    assert positions(ran).keys() == {"s.t", "m.x", "m.z"}


def test_readers_of_the_old_name_are_told_the_new_one(ran):
    ran.write({"sources/s.yaml": renamed(SOURCE, "s.t", "u")})
    with pytest.raises(ProjectMistakes) as caught:
        hw.open_project(ran.folder)
    assert [mistake.hint for mistake in caught.value.mistakes] == ["it was renamed: s.u"]
    code, _, err = ran.cli("show", "s.t")
    assert code == 2
    ran.write({"models/m/x.sql": "SELECT a FROM s.u"})
    ran.run()
    with pytest.raises(UnknownDataset) as told:
        ran.ask("SELECT * FROM s.t")
    assert told.value.hint == "it was renamed: s.u"
    code, _, err = ran.cli("show", "s.t")
    assert code == 1
    assert "it was renamed: s.u" in err


@pytest.mark.parametrize(
    ("front", "message"),
    [
        ("renamed_from: y", "a dataset is named schema.name, not 'y'"),
        ("renamed_from: m.y", "m.y is still made, at models/m/y.sql:1"),
        ("renamed_from: m.z", "m.a has the name m.z in its `renamed_from` too"),
    ],
)
def test_names_that_cannot_be_taken_over_are_mistakes(project, front, message):
    files = {"models/m/a.sql": "/*\nrenamed_from: m.z\n*/\nSELECT a FROM s.t"}
    made = project({**DATA, **MODELS, **files})
    made.write({"models/m/b.sql": f"/*\n{front}\n*/\nSELECT a + 1 AS c FROM s.t"})
    with pytest.raises(ProjectMistakes) as caught:
        hw.open_project(made.folder)
    (mistake,) = caught.value.mistakes
    assert (mistake.message, mistake.file, mistake.line) == (message, "models/m/b.sql", 2)


def test_two_runs_at_once_rename_once(ran):
    ran.write(
        {"sources/s.yaml": renamed(SOURCE, "s.t", "u"), "models/m/x.sql": "SELECT a FROM s.u"}
    )
    ran.write({"data/b.csv": "a,b\n3,z\n"})
    run = "import sys, headwater as hw; sys.exit(hw.open_project(sys.argv[1]).run().exit_code)"
    both = [subprocess.Popen([sys.executable, "-c", run, str(ran.folder)]) for _ in range(2)]
    assert [process.wait(timeout=120) for process in both] == [0, 0]
    assert ran.ask("SELECT count(*), count(DISTINCT (_file_id, _record)) FROM s.u") == [(3, 3)]
    renames = "SELECT count(*) FROM headwater.steps WHERE action = 'rename'"
    assert ran.ask(renames) == [(1,)]


def test_what_renames_remove_from_a_release():
    old, new, other = (DatasetName("m", word) for word in ("old", "new", "other"))
    moves = ReleaseDecision({new: NEW}, {}, (other, old))
    assert follow_renames(moves, {old: new}, {old: OLD, other: OLD}).removed == (old, other)
    part = ReleaseDecision({new: NEW}, {})
    assert follow_renames(part, {old: new}, {old: OLD}).removed == (old,)
    held = ReleaseDecision({}, {new: "held"}, (other, old))
    assert follow_renames(held, {old: new}, {old: OLD, other: OLD}).removed == (other,)


def test_a_removed_dataset_leaves_the_release_and_its_rows_stay_in_the_lake(ran):
    table = positions(ran)["m.y"]
    (ran.folder / "models/m/y.sql").unlink()
    report = ran.run()
    assert report.removed == (DatasetName("m", "y"),)
    with pytest.raises(UnknownDataset):
        ran.ask("SELECT * FROM m.y")
    with hw.open_project(ran.folder).read_lake() as lake:
        assert lake.con.execute(f"SELECT n FROM lake.built.{table}").fetchall() == [(2,)]
    code, out, _ = ran.cli("doctor")
    assert code == 0
    assert "lake removed datasets: m.y" in out
    ran.write({"models/m/y.sql": MODELS["models/m/y.sql"]})
    report = ran.run()
    assert [step.status for step in report.steps] == ["nothing"] * 3
    assert positions(ran)["m.y"] == table
