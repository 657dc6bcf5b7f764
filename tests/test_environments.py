"""Environments: names that point at built tables, and what moves from one to the other."""

from __future__ import annotations

import json

import pytest

import headwater as hw
from headwater.errors import ReleaseRefused, UnknownEnvironment
from headwater.names import DatasetName
from headwater.plan.plan import Action
from headwater.run.environments import environments
from tests.conftest import SOURCE
from tests.opening import did, opened, promote

FILES = {
    "data/1.csv": "a,b\n1,x\n2,y\n3,z\n",
    "models/m/x.sql": "SELECT a, b FROM s.t WHERE a > 1",
    "models/m/y.sql": "SELECT count(*) AS n, sum(a) AS total FROM m.x",
    "models/m/alone.sql": "SELECT a FROM s.t",
}
WIDER = {"models/m/x.sql": "SELECT a, b FROM s.t WHERE a > 0"}


@pytest.fixture
def ran(project):
    """A project that prod has released."""
    made = project(FILES)
    made.run()
    return made


def run(made, environment="dev", **options):
    return opened(made, environment).run(**options)


def names(made, environment="prod"):
    """What an environment points at, by name."""
    with opened(made, environment).read_lake() as lake, lake.reading():
        return {str(name): place for name, place in lake.release().names.items()}


def ask(made, sql, environment="dev"):
    return opened(made, environment).query(sql).rows()


def steps_in_lake(made):
    return ask(made, "SELECT count(*) FROM headwater.steps WHERE status = 'committed'", "prod")[0][
        0
    ]


# ---- a new environment


def test_it_starts_as_prod_and_builds_nothing(ran):
    before = steps_in_lake(ran)
    report = run(ran)
    assert report.exit_code == 0
    assert did(report) == {}
    assert names(ran, "dev") == names(ran)
    assert steps_in_lake(ran) == before
    assert run(ran).status == "nothing"


def test_it_builds_what_differs_and_leaves_prod_alone(ran):
    before = names(ran)
    ran.write(WIDER)
    assert did(run(ran)) == {"m.x": "build", "m.y": "build"}
    assert ask(ran, "FROM m.y") == [(3, 6)]
    assert ask(ran, "FROM m.y", "prod") == [(2, 5)]
    assert names(ran) == before
    assert names(ran, "dev")["m.alone"] == before["m.alone"]
    ran.write(FILES)
    assert run(ran, "prod").status == "nothing"  # prod's tables were not touched


def test_its_views_stand_beside_prods_for_any_client(ran):
    ran.write(WIDER)
    run(ran)
    with opened(ran).read_lake() as lake:
        assert lake.con.execute("FROM lake.dev__m.y").fetchall() == [(3, 6)]
        assert lake.con.execute("FROM lake.m.y").fetchall() == [(2, 5)]


def test_a_part_of_it_takes_the_rest_from_prod(ran):
    ran.write(WIDER)
    run(ran, select="m.x")
    assert names(ran, "dev").keys() == names(ran).keys()
    assert names(ran, "dev")["m.y"] == names(ran)["m.y"]
    assert names(ran, "dev")["m.x"] != names(ran)["m.x"]


def test_one_that_nobody_made_is_named(ran):
    with pytest.raises(UnknownEnvironment, match="no environment 'dve'"):
        ask(ran, "FROM m.y", "dve")
    with pytest.raises(UnknownEnvironment, match="no environment 'dve'"):
        promote(ran, "dve")
    with pytest.raises(UnknownEnvironment, match="'built' is reserved"):
        opened(ran, "built")
    with pytest.raises(ReleaseRefused, match="prod is what"):
        promote(ran, "prod")


def test_an_environment_of_a_new_lake_lands_and_builds_all(project):
    made = project(FILES)
    assert did(run(made)).keys() == {"s.t", "m.x", "m.y", "m.alone"}
    assert names(made) == {}
    report = promote(made)
    assert did(report) == {}
    assert names(made) == names(made, "dev")
    assert did(run(made, "prod")) == {}


# ---- sources


def test_shared_sources_are_read_as_prod_released_them(ran):
    run(ran)
    ran.write({"data/2.csv": "a,b\n9,q\n"})
    assert run(ran).status == "nothing"
    assert did(run(ran, "prod")).keys() == {"s.t", "m.x", "m.y", "m.alone"}
    report = run(ran)
    assert did(report) == {}
    assert names(ran, "dev") == names(ran)


def test_it_lands_shared_sources_where_that_is_asked_for_and_once(ran):
    ran.write({"data/2.csv": "a,b\n9,q\n"})
    assert did(run(ran, land=True))["s.t"] == "land"
    assert ask(ran, "SELECT count(*) FROM s.t") == [(4,)]
    assert ask(ran, "SELECT count(*) FROM s.t", "prod") == [(3,)]
    report = run(ran, "prod")
    assert "land" not in did(report).values()
    assert names(ran) == names(ran, "dev")
    assert ask(ran, "SELECT count(*) FROM headwater.files WHERE status = 'landed'") == [(2,)]


def test_it_does_not_go_back_behind_what_it_landed(ran):
    ran.write({"data/2.csv": "a,b\n9,q\n"})
    run(ran, land=True)
    before = names(ran, "dev")
    assert run(ran).status == "nothing"
    assert names(ran, "dev") == before


def test_another_contract_is_another_table_with_files_of_its_own(ran):
    ran.write({"sources/s.yaml": SOURCE.replace("b: varchar", "b: {type: varchar, accepted: [x]}")})
    assert did(run(ran))["s.t"] == "land"
    assert ask(ran, "SELECT a FROM s.t") == [(1,)]
    assert ask(ran, "SELECT count(*) FROM s.t", "prod") == [(3,)]
    ran.write({"data/2.csv": "a,b\n7,x\n"})
    assert did(run(ran))["s.t"] == "land"  # it is dev's own, so dev lands it
    ran.write({"sources/s.yaml": SOURCE})
    assert did(run(ran, "prod"))["s.t"] == "land"
    assert ask(ran, "SELECT a FROM s.t ORDER BY a", "prod") == [(1,), (2,), (3,), (7,)]


def test_what_dev_has_quarantined_is_its_own(ran):
    ran.write({"sources/s.yaml": SOURCE.replace("b: varchar", "b: {type: varchar, accepted: [x]}")})
    run(ran)
    assert "nothing is in quarantine" in ran.cli("quarantine", "list")[1]
    assert ran.cli("quarantine", "discard", "s.t", "--all")[1] == "discarded 0 rows\n"
    assert "b.accepted" in ran.cli("quarantine", "list", "--env", "dev")[1]
    assert ran.cli("quarantine", "discard", "s.t", "--all", "--env", "dev")[1] == (
        "discarded 2 rows\n"
    )
    ran.write({"sources/s.yaml": SOURCE})
    (_, first, *_) = ran.cli("status")[1].splitlines()[1:]
    assert "released" in first
    assert "newer" not in ran.cli("status")[1]


# ---- promoting


def test_promoting_moves_names_and_builds_nothing(ran):
    ran.write(WIDER)
    run(ran)
    before = steps_in_lake(ran)
    plan = opened(ran).plan_promotion("dev")
    assert {str(s.dataset): s.action.value for s in plan.reused} == {"m.x": "reuse", "m.y": "reuse"}
    assert plan.doing == ()
    report = promote(ran)
    assert did(report) == {}
    assert {str(name) for name in report.moves} == {"m.x", "m.y"}
    assert steps_in_lake(ran) == before
    assert names(ran) == names(ran, "dev")
    assert ask(ran, "FROM m.y", "prod") == [(3, 6)]
    assert promote(ran).status == "nothing"
    assert run(ran, "prod").status == "nothing"


def test_promoting_catches_up_where_inputs_have_moved_in_prod(ran):
    ran.write(WIDER)
    run(ran)
    ran.write({**FILES, "data/2.csv": "a,b\n10,q\n"})
    run(ran, "prod")
    ran.write(WIDER)
    plan = opened(ran).plan_promotion("dev")
    assert {str(step.dataset): step.reason for step in plan.doing} == {
        "m.x": "s.t changed",
        "m.y": "m.x changes",
    }
    assert did(promote(ran)) == {"m.x": "build", "m.y": "build"}
    assert ask(ran, "FROM m.y", "prod") == [(4, 16)]
    assert ask(ran, "FROM m.y", "dev") == [(3, 6)]  # dev stays where it was until it runs
    assert did(run(ran)) == {}
    assert names(ran, "dev") == names(ran)


def test_what_prod_has_of_a_model_from_older_files_is_not_all_that_is_promoted(ran):
    """Two environments have the same model over other files; the one with fewer was built later."""
    ran.write({**WIDER, "data/2.csv": "a,b\n10,q\n"})
    run(ran, "anna", land=True)
    run(ran, "ben")
    promote(ran, "ben")
    assert ask(ran, "FROM m.y", "prod") == [(3, 6)]
    plan = opened(ran).plan_promotion("anna")
    assert {str(step.dataset) for step in plan.doing} == {"m.x", "m.y"}
    assert did(promote(ran, "anna")) == {"m.x": "build", "m.y": "build"}
    assert ask(ran, "SELECT count(*) FROM s.t", "prod") == [(4,)]
    assert ask(ran, "FROM m.y", "prod") == [(4, 16)]


def test_promoting_lands_nothing(ran):
    ran.write(WIDER)
    run(ran)
    ran.write({"data/2.csv": "a,b\n10,q\n"})
    assert did(promote(ran)) == {}
    assert ask(ran, "SELECT count(*) FROM s.t", "prod") == [(3,)]


def test_promoting_takes_over_a_source_with_what_dev_has_landed_of_it(ran):
    ran.write({"sources/s.yaml": SOURCE.replace("b: varchar", "b: {type: varchar, accepted: [x]}")})
    run(ran)
    assert did(promote(ran)) == {}
    assert ask(ran, "SELECT a FROM s.t", "prod") == [(1,)]
    ran.write({"data/2.csv": "a,b\n7,x\n"})
    assert did(run(ran, "prod"))["s.t"] == "land"
    assert ask(
        ran,
        "SELECT count(*) FROM headwater.files WHERE status = 'landed' "
        "AND built_table = (SELECT max_by(built_table, seen_at) FROM headwater.files)",
    ) == [(2,)]


def test_what_a_check_holds_back_is_not_promoted(ran):
    ran.write(WIDER)
    run(ran)
    ran.write({"checks/few.sql": "SELECT * FROM m.y WHERE n > 2"})
    report = promote(ran)
    assert report.exit_code == 1
    assert ask(ran, "FROM m.y", "prod") == [(2, 5)]


FEWER = "/*\nrow_count: {max_decrease: 50%}\n*/\nSELECT a FROM s.t WHERE a > LEAST"


def test_how_many_rows_there_were_is_what_prod_has(project):
    """A bound on what is lost is held against what would be replaced, in dev and in prod."""
    made = project({**FILES, "models/m/x.sql": FEWER.replace("LEAST", "0"), "models/m/y.sql": ""})
    (made.folder / "models/m/y.sql").unlink()
    run(made, "prod")
    run(made)
    made.write({"models/m/x.sql": FEWER.replace("LEAST", "2")})
    (failed,) = run(made).checks
    assert (failed.name, failed.status) == ("m.x.row_count", "broken")
    assert failed.meaning == "at most 50 % fewer than before"
    assert ask(made, "SELECT count(*) FROM m.x") == [(3,)], "held back in dev"
    assert run(made, "new").exit_code == 1, "a new environment begins with what prod has"
    made.write({"models/m/x.sql": FEWER.replace("LEAST", "1")})
    assert run(made).exit_code == 0
    made.write({"models/m/x.sql": FEWER.replace("LEAST", "2")})
    assert run(made).exit_code == 0, "dev has lost a half, and now a half of that"
    report = promote(made)
    assert [(c.name, c.status) for c in report.checks] == [("m.x.row_count", "broken")]
    assert report.exit_code == 1
    assert ask(made, "SELECT count(*) FROM m.x", "prod") == [(3,)]
    assert run(made, "prod").exit_code == 1
    assert ask(made, "SELECT count(*) FROM m.x", "prod") == [(3,)]


def test_what_went_wrong_in_dev_is_no_news_of_prod(ran):
    ran.write({"checks/few.sql": "SELECT * FROM m.y WHERE n > 2"})
    assert run(ran, "prod").exit_code == 0
    run(ran)
    ran.write({**WIDER, "models/m/alone.sql": "SELECT a, error('no') AS e FROM s.t"})
    assert run(ran).exit_code == 1
    told = {env: ran.cli("status", "--json", "--env", env)[1] for env in ("prod", "dev")}
    assert "held back by the check few" in told["dev"]
    assert "Invalid Input Error" in told["dev"]
    assert "few" not in told["prod"]
    assert "Invalid Input Error" not in told["prod"]
    assert " held " in ran.cli("checks")[1]
    assert " broken " in ran.cli("checks", "--env", "dev")[1]
    assert len(ran.cli("checks", "few")[1].splitlines()) < len(
        ran.cli("checks", "few", "--env", "dev")[1].splitlines()
    )
    assert "few" in ran.cli("show", "--failed", "m.y", "--env", "dev")[1]
    assert "no check was broken" in ran.cli("show", "--failed", "m.y")[1]


def test_a_check_that_held_in_dev_need_not_run_again_where_prod_takes_the_same(ran):
    ran.write({"checks/few.sql": "SELECT * FROM m.y WHERE n > 3"})
    assert [c.name for c in run(ran, "prod").checks] == ["few"]
    assert run(ran).checks == []
    ran.write(WIDER)
    assert [c.status for c in run(ran).checks] == ["held"]
    assert run(ran, "prod", select="s.t").checks == []
    report = promote(ran)
    assert report.checks == []
    (newest, _) = json.loads(ran.cli("checks", "few", "--json")[1])
    assert newest["environment"] == "dev"
    assert newest["status"] == "held"
    found = ask(ran, "SELECT DISTINCT environment FROM headwater.runs ORDER BY ALL", "prod")
    assert found == [("dev",), ("prod",)]


def test_what_dev_was_not_built_from_is_not_promoted(ran):
    run(ran)
    ran.write(WIDER)
    with pytest.raises(ReleaseRefused, match=r"dev has not built m\.x as this folder") as refused:
        promote(ran)
    assert refused.value.where == "models/m/x.sql:1"
    run(ran)
    ran.write({"models/m/more.sql": "SELECT 1 AS one"})
    with pytest.raises(ReleaseRefused, match=r"dev has not built m\.more"):
        promote(ran)
    (ran.folder / "models/m/more.sql").unlink()
    (ran.folder / "models/m/alone.sql").unlink()
    with pytest.raises(ReleaseRefused, match=r"dev has m\.alone, which the project does not make"):
        promote(ran)
    run(ran)
    report = promote(ran)
    assert report.removed == (DatasetName("m", "alone"),)


def test_what_prod_has_changed_since_is_not_taken_back(ran):
    ran.write({"models/m/alone.sql": "SELECT a + 1 AS a FROM s.t"})
    run(ran, "anna")
    ran.write({**FILES, **WIDER})
    run(ran, "ben")
    promote(ran, "ben")
    ran.write({**FILES, "models/m/alone.sql": "SELECT a + 1 AS a FROM s.t"})
    with pytest.raises(ReleaseRefused, match=r"another definition of m\.x and m\.y since anna"):
        promote(ran, "anna")
    ran.write(WIDER)
    assert did(run(ran, "anna")) == {}
    promote(ran, "anna")
    assert ask(ran, "FROM m.y", "prod") == [(3, 6)]
    assert ask(ran, "SELECT max(a) FROM m.alone", "prod") == [(4,)]


def test_taking_it_back_on_purpose(ran):
    run(ran, "anna")
    ran.write(WIDER)
    run(ran, "prod")
    ran.write(FILES)
    with pytest.raises(ReleaseRefused):
        promote(ran, "anna")
    report = promote(ran, "anna", replace=True)
    assert did(report) == {}
    assert ask(ran, "FROM m.y", "prod") == [(2, 5)]


def test_a_promotion_can_be_rolled_back_and_resumed(ran):
    before = names(ran)
    ran.write(WIDER)
    run(ran)
    promote(ran)
    hw.api.roll_back(ran.folder)
    assert names(ran) == before
    assert run(ran, "prod").parked.keys() == {DatasetName("m", "x"), DatasetName("m", "y")}
    hw.api.resume(ran.folder)
    assert did(run(ran, "prod")) == {}
    assert names(ran) == names(ran, "dev")


# ---- definitions that prod has left behind


def test_an_old_folder_is_refused_by_prod_alone(ran):
    ran.write(WIDER)
    run(ran, "prod")
    released = names(ran)
    ran.write(FILES)
    with pytest.raises(ReleaseRefused, match=r"m\.x is defined here as before release 2") as told:
        run(ran, "prod")
    assert "--replace" in told.value.hint
    assert names(ran) == released
    assert opened(ran).plan().superseded == {DatasetName("m", "x"): 2, DatasetName("m", "y"): 2}
    assert run(ran, "dev").exit_code == 0
    assert run(ran, "prod", select="m.alone").exit_code == 0
    assert did(run(ran, "prod", replace=True)) == {}
    assert ask(ran, "FROM m.y", "prod") == [(2, 5)]


def test_a_changed_definition_that_prod_never_had_is_no_old_one(ran):
    for least in (0, 2, 3):
        ran.write({"models/m/x.sql": f"SELECT a, b FROM s.t WHERE a > {least}"})
        assert run(ran, "prod").exit_code == 0


def test_another_value_of_a_variable_is_no_old_definition(project):
    made = project(
        {
            **FILES,
            "headwater.yaml": "name: p\nvariables: {least: 1}\n",
            "models/m/x.sql": "SELECT a, b FROM s.t WHERE a > $least",
        }
    )
    made.run()
    opened = hw.open_project(made.folder, variables={"least": "2"})
    assert opened.run().exit_code == 0
    assert ask(made, "FROM m.y", "prod") == [(1, 3)]
    assert did(run(made, "prod")) == {}
    assert ask(made, "FROM m.y", "prod") == [(2, 5)]


SAMPLED = {
    **FILES,
    "headwater.yaml": "name: p\nvariables: {least: 1, most: 9}\n"
    "environments: {dev: {variables: {least: 2}}}\n",
    "models/m/x.sql": "SELECT a, b FROM s.t WHERE a >= $least",
}


def test_an_environment_has_values_of_its_own(project):
    made = project(SAMPLED)
    assert did(run(made, "prod")).keys() == {"s.t", "m.x", "m.y", "m.alone"}
    assert did(run(made)).keys() == {"m.x", "m.y"}
    assert ask(made, "FROM m.y", "prod") == [(3, 6)]
    assert ask(made, "FROM m.y") == [(2, 5)]
    assert ask(made, "SELECT count(*) FROM m.x WHERE a > $least") == [(1,)]
    assert ask(made, "SELECT count(*) FROM m.x WHERE a > $least", "prod") == [(2,)]
    given = hw.open_project(made.folder, environment="dev", variables={"least": 3})
    assert did(given.run()).keys() == {"m.x", "m.y"}
    assert ask(made, "FROM m.y") == [(1, 3)]


def test_what_has_other_values_in_dev_is_built_anew_where_it_is_promoted(project):
    made = project(SAMPLED)
    run(made, "prod")
    run(made)
    assert did(promote(made)) == {}
    assert ask(made, "FROM m.y", "prod") == [(3, 6)]
    made.write({"models/m/x.sql": "SELECT a, b FROM s.t WHERE a > $least",
                "models/m/alone.sql": "SELECT a + 1 AS a FROM s.t"})  # fmt: skip
    run(made)
    assert ask(made, "FROM m.y") == [(1, 3)]
    steps = opened(made).plan_promotion("dev").steps
    assert [str(s.dataset) for s in steps if s.action is Action.BUILD] == ["m.x", "m.y"]
    assert did(promote(made)).keys() == {"m.x", "m.y"}
    assert ask(made, "FROM m.y", "prod") == [(2, 5)]
    assert names(made)["m.alone"] == names(made, "dev")["m.alone"]
    assert promote(made).status == "nothing"
    made.write({"models/m/x.sql": "SELECT a, b FROM s.t WHERE a < $least"})
    for _ in range(2):
        with pytest.raises(
            ReleaseRefused, match=r"dev has not built m\.x as this folder defines it"
        ):
            promote(made)
        # Nor where it was built with a value that was given for once.
        hw.open_project(made.folder, environment="dev", variables={"least": 3}).run()
    run(made)
    assert did(promote(made)).keys() == {"m.x", "m.y"}


def test_a_value_may_be_that_of_prod_alone(project):
    settings = (
        "name: p\nvariables: {least: 2}\nenvironments: {prod: {variables: {least: 1}}, dev: }\n"
    )
    made = project({**SAMPLED, "headwater.yaml": settings})
    run(made, "prod")
    run(made)
    assert (ask(made, "FROM m.y", "prod"), ask(made, "FROM m.y")) == ([(3, 6)], [(2, 5)])
    made.write({"models/m/alone.sql": "SELECT a + 1 AS a FROM s.t"})
    run(made)
    assert did(promote(made)) == {}
    assert names(made)["m.alone"] == names(made, "dev")["m.alone"]
    assert (ask(made, "FROM m.y", "prod"), ask(made, "FROM m.y")) == ([(3, 6)], [(2, 5)])


def test_what_is_said_of_a_dataset_is_said_with_the_values_of_the_environment(project):
    source = SOURCE + "    rules:\n      - {name: least, check: a >= $least}\n"
    made = project({**SAMPLED, "models/m/x.sql": FILES["models/m/x.sql"]}, source=source)
    run(made, "prod")
    run(made)
    assert "a >= CAST('2'" in made.cli("show", "s.t", "--contract", "--env", "dev")[1]
    assert "a >= CAST('1'" in made.cli("show", "s.t", "--contract")[1]
    (row,) = ask(made, "SELECT id FROM headwater.quarantine")
    assert "a >= CAST('2'" in made.cli("quarantine", "show", row[0], "--env", "dev")[1]


def test_a_source_with_other_values_in_dev_is_landed_by_prod_itself(project):
    source = SOURCE + "    rules:\n      - {name: least, check: a >= $least}\n"
    made = project({**SAMPLED, "models/m/x.sql": FILES["models/m/x.sql"]}, source=source)
    run(made, "prod")
    run(made)
    assert ask(made, "SELECT count(*) FROM m.alone") == [(2,)]
    assert did(promote(made)) == {}
    made.write({"sources/s.yaml": source.replace(">=", ">")})
    run(made)
    with pytest.raises(ReleaseRefused, match=r"s\.t was landed in dev with that environment's"):
        promote(made)
    made.write({"data/2.csv": "a,b\n"})
    run(made, "prod")
    made.write({"data/2.csv": "a,b\n8,q\n"})
    assert not opened(made).plan_promotion("dev").doing
    assert promote(made).status == "nothing"
    assert ask(made, "SELECT count(*) FROM m.alone", "prod") == [(2,)]


def test_after_a_rollback_the_folder_is_not_old(ran):
    ran.write(WIDER)
    run(ran, "prod")
    hw.api.roll_back(ran.folder)
    assert run(ran, "prod").exit_code == 0  # held, not refused
    ran.write(FILES)
    assert run(ran, "prod").exit_code == 0


# ---- names that change hands


def test_a_rename_in_dev_takes_nothing_from_prod(ran):
    (ran.folder / "models/m/alone.sql").unlink()
    ran.write({"models/m/own.sql": "/*\nrenamed_from: m.alone\n*/\nSELECT a FROM s.t"})
    run(ran)
    (ran.folder / "models/m/own.sql").unlink()
    ran.write({"models/m/alone.sql": FILES["models/m/alone.sql"]})
    assert run(ran, "prod").exit_code == 0
    assert ask(ran, "SELECT count(*) FROM m.alone", "prod") == [(3,)]


def test_a_source_may_become_a_model_and_a_column_another_type(ran):
    two = SOURCE.replace("  t:\n", "  raw:\n")
    ran.write({"sources/s.yaml": two, "models/s/t.sql": "SELECT a::VARCHAR AS a, b FROM s.raw"})
    ran.write({"models/m/x.sql": "SELECT a, b FROM s.t WHERE a > '1'"})
    ran.write({"models/m/y.sql": "SELECT count(*) AS n, sum(a::INT) AS total FROM m.x"})
    assert run(ran).exit_code == 0
    assert ask(ran, "FROM m.y") == [(2, 5)]
    plan = opened(ran).plan_promotion("dev")
    assert ("the column 'a' is varchar, and was integer",) in {s.breaking for s in plan.breaking}
    assert promote(ran).exit_code == 0
    assert ask(ran, "SELECT typeof(a) FROM s.t LIMIT 1", "prod") == [("VARCHAR",)]


# ---- which there are


def test_they_are_listed_with_what_differs_and_can_be_dropped(ran):
    ran.write(WIDER)
    run(ran)
    ran.write({"data/2.csv": "a,b\n9,q\n"})
    ran.write(FILES)
    run(ran, "prod")
    with opened(ran).read_lake() as lake:
        prod, dev = environments(lake)
    assert (prod.name, prod.release, prod.others) == ("prod", 2, ())
    assert (dev.name, dev.release, dev.datasets) == ("dev", 1, 4)
    assert dev.others == (DatasetName("m", "x"), DatasetName("m", "y"))
    assert dev.behind == (DatasetName("m", "alone"), DatasetName("s", "t"))
    assert len(hw.api.drop_environment(ran.folder, "dev")) == 4
    with pytest.raises(UnknownEnvironment):
        ask(ran, "FROM m.y")
    with opened(ran).read_lake() as lake:
        assert [e.name for e in environments(lake)] == ["prod"]
        views = lake.con.execute("SELECT count(*) FROM duckdb_views() WHERE schema_name = 'dev__m'")
        assert views.fetchall() == [(0,)]
    assert run(ran).exit_code == 0
    assert names(ran, "dev") == names(ran)
    with pytest.raises(ReleaseRefused, match="prod is never dropped"):
        hw.api.drop_environment(ran.folder, "prod")


def test_what_differs_from_prod_is_shown(ran):
    ran.write(WIDER)
    run(ran)
    found = {str(diff.dataset): diff for diff in opened(ran).diff_environments("prod", "dev")}
    assert found.keys() == {"m.x", "m.y"}
    assert (found["m.x"].added, found["m.x"].removed) == (1, 0)
    code, out, _ = ran.cli("diff", "dev", "m.x")
    assert code == 0
    assert "m.x: 1 added, 0 removed" in out


def test_a_plan_can_end_with_what_differs_from_prod(ran):
    plan = ("plan", "--env", "dev", "--diff")
    code, out, _ = ran.cli(*plan)
    assert (code, out.splitlines()[-2:]) == (
        0,
        ["what dev has built, beside prod:", "nothing differs"],
    )
    ran.write(WIDER)
    run(ran)
    for _ in range(2):  # the second answer is known
        code, out, _ = ran.cli(*plan)
        said = out.split("what dev has built, beside prod:\n")
        assert (code, said[0].splitlines()[0]) == (0, "plan: 4 up to date")
        assert [line[: line.index(";")] for line in said[1].splitlines() if " rows " in line] == [
            "m.x: 1 added, 0 removed",
            "m.y: 1 added, 1 removed",
        ]
    told = json.loads(ran.cli(*plan, "--json")[1])
    assert [each["dataset"] for each in told["diff"]] == ["m.x", "m.y"]
    assert "diff" not in json.loads(ran.cli("plan", "--env", "dev", "--json")[1])
    assert ran.cli("plan", "--diff")[0] == 2
