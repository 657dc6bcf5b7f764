"""The plan says what a run then does, and why; and does nothing itself."""

from __future__ import annotations

import json

import pytest

import headwater as hw

FILES = {
    "data/1.csv": "a,b\n1,x\n2,y\n",
    "models/m/x.sql": "SELECT a, b, a * 2 AS twice FROM s.t",
    "models/m/y.sql": "SELECT count(*) AS n FROM m.x",
    "models/m/alone.sql": "SELECT 1 AS one",
}


@pytest.fixture
def made(project):
    made = project(FILES)
    made.run()
    return made


def planned(made, **options) -> dict[str, tuple[str, str]]:
    """Dataset -> (action, reason), of what something is done to."""
    found = hw.open_project(made.folder).plan(**options)
    return {str(step.dataset): (step.action.value, step.reason) for step in found.doing}


def done(made, **options) -> dict[str, tuple[str, str]]:
    report = made.run(**options)
    return {
        str(step.dataset): (step.action, step.reason)
        for step in report.steps
        if step.status == "done"
    }


def test_before_the_first_run_there_is_no_lake_and_all_is_to_be_made(project):
    made = project(FILES)
    assert planned(made) == {
        "s.t": ("land", "1 new file"),
        "m.x": ("build", "not built yet"),
        "m.y": ("build", "not built yet"),
        "m.alone": ("build", "not built yet"),
    }
    assert not (made.folder / ".headwater").exists()
    assert planned(made) == done(made)


def test_with_nothing_new_there_is_nothing_to_do_and_nothing_is_written(made):
    before = made.newest_snapshot()
    code, out, _ = made.cli("plan")
    assert code == 0
    assert out == "plan: 4 up to date\n"
    assert made.newest_snapshot() == before


@pytest.mark.parametrize(
    ("edit", "steps"),
    [
        (
            {"data/2.csv": "a,b\n3,z\n"},
            {
                "s.t": ("land", "1 new file"),
                "m.x": ("build", "s.t changes"),
                "m.y": ("build", "m.x changes"),
            },
        ),
        (
            {"data/1.csv": "a,b\n1,x\n3,y\n"},
            {
                "s.t": ("land", "1 changed file"),
                "m.x": ("build", "s.t changes"),
                "m.y": ("build", "m.x changes"),
            },
        ),
        (
            {"models/m/y.sql": "SELECT count(*) AS n FROM m.x WHERE a > 1"},
            {"m.y": ("build", "its definition changed: filter: none -> a > 1")},
        ),
        (
            {"models/m/x.sql": "SELECT a, b, a * 3 AS twice FROM s.t"},
            {
                "m.x": ("build", "its definition changed: twice: a * 2 -> a * 3"),
            },
        ),
        ({"models/m/y.sql": "-- a comment\nSELECT  count(*) AS n\nFROM m.x"}, {}),
        (
            {"models/m/new.sql": "SELECT one FROM m.alone"},
            {"m.new": ("build", "not built yet")},
        ),
    ],
    ids=["new file", "changed file", "filter", "column", "comment", "new model"],
)
def test_it_names_each_step_with_its_reason_and_the_run_does_them(made, edit, steps):
    made.write(edit)
    assert planned(made) == steps
    ran = done(made)
    assert {name: action for name, (action, _) in ran.items()} == {
        name: action for name, (action, _) in steps.items()
    }
    assert planned(made) == {}


def test_a_changed_contract_of_a_source_is_told_key_by_key(made):
    text = (made.folder / "sources/s.yaml").read_text()
    made.write({"sources/s.yaml": text.replace("required: true", "min: 0")})
    steps = planned(made)
    assert steps["s.t"] == (
        "land",
        "its contract changed: columns.a.required: true -> false; columns.a.min: none -> 0; "
        "landed again: 1 new file",
    )
    assert list(done(made)) == ["s.t", "m.x", "m.y"]


def test_a_rename_and_a_removal(made):
    (made.folder / "models/m/alone.sql").rename(made.folder / "models/m/lone.sql")
    made.write({"models/m/lone.sql": "/*\nrenamed_from: m.alone\n*/\nSELECT 1 AS one"})
    (made.folder / "models/m/y.sql").unlink()
    code, out, _ = made.cli("plan")
    assert code == 2, "what is removed may be missed"
    assert "rename   m.lone  renamed from m.alone" in out
    assert "drop     m.alone  it has another name now" in out
    assert "drop     m.y  nothing makes it any more\n         breaking: it is gone" in out
    assert made.cli("plan", "--accept-breaking")[0] == 0
    made.run()
    assert planned(made) == {}


@pytest.mark.parametrize(
    ("query", "breaking"),
    [
        ("SELECT a, b FROM s.t", ["the column 'twice' is gone"]),
        (
            "SELECT a, b, CAST(a AS TINYINT) AS twice FROM s.t",
            ["the column 'twice' is tinyint, and was integer"],
        ),
        ("SELECT a, b, CAST(a AS BIGINT) AS twice, 1 AS more FROM s.t", []),
    ],
    ids=["removed", "narrower", "wider and more"],
)
def test_what_consumers_may_rely_on_and_is_taken_away_is_breaking(made, query, breaking):
    made.write({"models/m/x.sql": query})
    code, out, _ = made.cli("plan", "--json")
    facts = json.loads(out)
    (step,) = [step for step in facts["steps"] if step["dataset"] == "m.x"]
    assert step["breaking"] == breaking
    assert step["affected"] == ["m.y"]
    assert step["rows"] == 2
    assert (code, facts["exit_code"]) == ((2, 2) if breaking else (0, 0))
    assert facts["breaking"] == (["m.x"] if breaking else [])


def test_what_cannot_be_made_blocks_what_reads_it(made):
    (made.folder / "data/1.csv").unlink()
    text = (made.folder / "sources/s.yaml").read_text()
    made.write({"sources/s.yaml": text.replace("required: true", "min: 0")})
    steps = planned(made)
    assert steps["s.t"][0] == "blocked"
    assert "no file" in steps["s.t"][1] or "cannot be found" in steps["s.t"][1]
    assert steps["m.x"] == ("blocked", "s.t cannot be made")


def test_a_selection_is_planned_alone(made):
    made.write({"data/2.csv": "a,b\n3,z\n", "models/m/alone.sql": "SELECT 2 AS one"})
    assert list(planned(made, select="m.alone")) == ["m.alone"]
    assert planned(made, select="m.y", rebuild=True) == {
        "m.y": ("build", "asked for with --rebuild")
    }
    assert list(done(made, select="m.alone")) == ["m.alone"]


def test_what_is_rolled_back_is_said_to_stay(made):
    made.write({"data/2.csv": "a,b\n3,z\n"})
    made.run()
    hw.roll_back(made.folder)
    out = made.cli("plan")[1]
    assert "stays    s.t  rolled back by release 3" in out


def test_columns_that_are_only_known_once_built_are_taken_from_what_is_built(project):
    made = project(
        {
            "data/1.csv": "a,b\n1,x\n",
            "sources/s.yaml": "connector: files\ndatasets: {t: {path: data/*.csv}}\n",
            "models/m/x.sql": "SELECT a, b FROM s.t",
            "models/m/f.py": (
                "import headwater as hw\n\n\n@hw.model\ndef f(x: hw.Input('m.x')):\n"
                "    return x.aggregate('count(*) AS n')\n"
            ),
            "models/m/y.sql": "SELECT n + 1 AS more FROM m.f",
        },
        source=None,
    )
    assert set(planned(made)) == {"s.t", "m.x", "m.f", "m.y"}
    made.run()
    assert planned(made) == {}
    assert made.run().status == "nothing"
    made.write({"models/m/y.sql": "SELECT n + 2 AS more FROM m.f"})
    assert planned(made) == {
        "m.y": ("build", "its definition changed: more: n + 1 -> n + 2"),
    }
