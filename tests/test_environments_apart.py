"""What is tried in one environment takes nothing from another, and nothing of it slips through."""

from __future__ import annotations

import pytest

from headwater.errors import ReleaseRefused
from tests.opening import ask, did, opened, promote

INTEGER = """\
connector: files
datasets:
  t:
    path: data/*.csv
    columns: {id: integer, a: integer}
"""
BIGINT = INTEGER.replace("a: integer", "a: bigint")
AT_LEAST = INTEGER.replace("a: integer", "a: {type: integer, min: 15}")
FILES = {
    "sources/s.yaml": INTEGER,
    "data/1.csv": "id,a\n1,10\n2,20\n",
    "models/m/k.sql": "SELECT id, a FROM s.t",
    "models/m/n.sql": "SELECT sum(a) AS total FROM m.k",
}


@pytest.fixture
def ran(project):
    made = project(FILES, source=None)
    assert made.run().exit_code == 0
    return made


def run(made, environment="prod", **options):
    return opened(made, environment).run(**options)


def total(made, environment="prod"):
    return ask(made, "FROM m.n", environment)[0][0]


def errors(report):
    return [str(s.error) for s in report.steps if s.error]


def remove(made, path):
    (made.folder / path).unlink()


# ---- promoting


def test_promoting_is_done_with_prods_values_wherever_the_project_was_opened(project):
    settings = "name: p\nvariables: {least: 0}\nenvironments: {dev: {variables: {least: 15}}}\n"
    model = {"models/m/k.sql": "SELECT id, a FROM s.t WHERE a > $least", "headwater.yaml": settings}
    made = project({**FILES, **model}, source=None)
    run(made)
    run(made, "dev")
    assert (total(made), total(made, "dev")) == (30, 20)
    assert opened(made, "dev").plan_promotion("dev").doing == ()
    assert did(opened(made, "dev").promote("dev")) == {}
    assert total(made) == 30


def test_replacing_on_purpose_is_not_to_promote_what_was_never_tried(ran):
    run(ran, "dev")
    ran.write({"models/m/n.sql": "SELECT sum(a) + 1 AS total FROM m.k"})
    with pytest.raises(ReleaseRefused, match=r"dev has not built m\.n as this folder defines it"):
        promote(ran, replace=True)
    assert total(ran) == 30


@pytest.mark.parametrize("nights", [0, 1])
def test_a_run_of_dev_from_the_same_folder_does_not_settle_a_conflict(ran, nights):
    twice = {"models/m/k.sql": "SELECT id, a * 2 AS a FROM s.t"}
    thrice = {
        "models/m/k.sql": "SELECT id, a * 3 AS a FROM s.t",
        "models/m/z.sql": "SELECT 1 AS one",
    }
    ran.write(twice)
    run(ran, "dev")
    ran.write(thrice)
    run(ran)
    remove(ran, "models/m/z.sql")
    for night in range(nights):
        ran.write({**thrice, f"data/night{night}.csv": "id,a\n9,1\n"})
        run(ran)
        ran.write(twice)
        remove(ran, "models/m/z.sql")
        assert did(run(ran, "dev")).keys() == {"m.k", "m.n"}
    ran.write(twice)
    with pytest.raises(
        ReleaseRefused, match=r"another definition of m\.k, m\.n and m\.z since dev"
    ):
        promote(ran)
    ran.write(thrice)
    run(ran, "dev")
    assert did(promote(ran)) == {}
    assert ask(ran, "FROM m.z") == [(1,)]


def test_what_was_taken_out_in_dev_is_no_conflict(ran):
    run(ran, "dev")
    remove(ran, "models/m/n.sql")
    run(ran, "dev")
    assert [str(name) for name in promote(ran).removed] == ["m.n"]


def test_promoting_a_contract_takes_no_file_from_prod(ran):
    ran.write({"sources/s.yaml": BIGINT})
    run(ran, "dev")
    ran.write({"sources/s.yaml": INTEGER, "data/2.csv": "id,a\n3,7\n"})
    run(ran)
    ran.write({"sources/s.yaml": BIGINT})
    with pytest.raises(
        ReleaseRefused, match=r"dev has not landed 1 file of s\.t that prod has"
    ) as no:
        promote(ran)
    assert "headwater run --env dev" in no.value.hint
    run(ran, "dev")
    promote(ran)
    assert total(ran) == 37


# ---- files that are gone


def test_going_on_without_files_in_dev_is_not_to_do_so_in_prod(ran):
    ran.write({"data/2.csv": "id,a\n3,7\n"})
    run(ran)
    remove(ran, "data/1.csv")
    ran.write({"sources/s.yaml": BIGINT})
    assert run(ran, "dev", from_now=True).exit_code == 0
    assert total(ran, "dev") == 7
    (error,) = errors(run(ran))
    assert "1 file that it was landed from: data/1.csv" in error
    ran.write({"sources/s.yaml": INTEGER.replace("a: integer", "a: smallint")})
    (error,) = errors(run(ran))
    assert "1 file that it was landed from: data/1.csv" in error
    assert total(ran) == 37
    assert run(ran, from_now=True).exit_code == 0
    assert run(ran).status == "nothing"
    assert total(ran) == 7


def test_rows_of_prod_that_wait_to_be_released_are_not_cleaned_away(ran):
    ran.write(
        {
            "sources/s.yaml": BIGINT,
            "data/2.csv": "id,a\n3,7\n",
            "checks/few.sql": "SELECT * FROM s.t WHERE a = 7",
        }
    )
    assert run(ran).exit_code == 1
    remove(ran, "data/2.csv")
    ran.write({"sources/s.yaml": INTEGER.replace("a: integer", "a: hugeint")})
    run(ran, "dev", from_now=True)
    ran.cli("clean", "--older-than", "0")
    remove(ran, "checks/few.sql")
    ran.write({"sources/s.yaml": BIGINT})
    assert run(ran).exit_code == 0
    assert total(ran) == 37


def test_copies_are_prods_to_delete(project):
    kept = INTEGER + "    raw_retention_days: 30\n"
    made = project({**FILES, "sources/s.yaml": kept}, source=None)
    run(made)
    remove(made, "data/1.csv")
    made.write({"sources/s.yaml": BIGINT})
    run(made, "dev", from_now=True)
    made.write({"sources/s.yaml": kept.replace("a: integer", "a: smallint")})
    assert errors(run(made)) == []
    assert total(made) == 30


# ---- quarantine


def test_what_is_landed_again_after_a_cleaning_has_a_quarantine_of_its_own(ran):
    ran.write({"sources/s.yaml": AT_LEAST})
    run(ran, "dev")
    ran.cli("env", "drop", "dev")
    ran.write({"sources/s.yaml": INTEGER, "data/2.csv": "id,a\n3,30\n"})
    run(ran)
    assert "3 tables and" in ran.cli("clean", "--older-than", "0")[1]
    ran.write({"sources/s.yaml": AT_LEAST})
    run(ran, "dev")
    ids = ask(ran, "SELECT id FROM headwater.quarantine")
    assert len(ids) == len(set(ids)) == 2
    code, _, err = ran.cli("quarantine", "fix", "s.t", "--set", "a='25'", "--env", "dev")
    assert code == 0, err
    assert total(ran, "dev") == 75


def test_discarding_in_prod_discards_what_prod_has(project):
    made = project({**FILES, "sources/s.yaml": AT_LEAST}, source=None)
    run(made)
    for kind in ("bigint", "hugeint"):
        made.write({"sources/s.yaml": AT_LEAST.replace("type: integer", f"type: {kind}")})
        run(made, "dev")
    made.write({"sources/s.yaml": AT_LEAST})
    assert "a.min" in made.cli("quarantine", "list")[1]
    assert made.cli("quarantine", "discard", "s.t", "--all")[1] == "discarded 1 row\n"
    assert "nothing is in quarantine" in made.cli("quarantine", "list")[1]
    made.cli("quarantine", "fix", "s.t", "--set", "a='25'")
    assert total(made) == 20


# ---- names


RENAMED = INTEGER.replace("  t:\n", "  u:\n    renamed_from: s.t\n")
OVER_U = {"models/m/k.sql": "SELECT id, a FROM s.u"}


def test_a_rename_that_was_tried_in_dev_leaves_prod_its_rows(project):
    made = project({**FILES, "sources/s.yaml": AT_LEAST}, source=None)
    run(made)
    made.cli("quarantine", "fix", "s.t", "--set", "a='25'")
    assert total(made) == 45
    renamed = AT_LEAST.replace("  t:\n", "  u:\n    renamed_from: s.t\n")
    made.write({"sources/s.yaml": renamed, **OVER_U})
    plan = opened(made, "dev").plan()
    assert {str(s.dataset): s.action for s in plan.doing}["s.u"] == "land"
    assert run(made, "dev").exit_code == 0
    assert total(made, "dev") == 20
    plan = {str(s.dataset): str(s.action) for s in opened(made).plan().steps}
    assert plan["s.u"] == "rename"
    report = run(made)
    assert "renamed from s.t; its rows were taken over" in report.steps[0].notes
    assert total(made) == 45
    assert run(made).status == "nothing"
    run(made, "dev")
    assert total(made, "dev") == 45, "it shares what prod has under that name now"


def test_an_old_folder_writes_to_no_table_that_has_another_name_now(ran):
    ran.write({"sources/s.yaml": RENAMED, **OVER_U})
    run(ran)
    ran.write({**FILES, "data/2.csv": "id,a\n3,7\n"})
    (error,) = errors(run(ran, "dev"))
    assert "its built table is now that of s.u" in error
    ran.write({"sources/s.yaml": RENAMED, **OVER_U})
    assert run(ran).exit_code == 0
    assert total(ran) == 37


# ---- parts, checks


def test_a_part_of_prod_releases_no_row_whose_parent_it_does_not_release(project):
    made = project(
        {
            "sources/s.yaml": "connector: files\ndatasets:\n"
            "  c: {path: c/*.csv, columns: {id: integer}}\n"
            "  o: {path: o/*.csv, columns: {c: {type: integer, references: s.c.id}}}\n",
            "c/1.csv": "id\n1\n",
            "o/1.csv": "c\n1\n2\n",
        },
        source=None,
    )
    run(made)
    made.write({"c/2.csv": "id\n2\n"})
    run(made, "dev", land=True)
    report = run(made, select="s.o")
    assert "s.o was landed beside a newer s.c than this run reads" in errors(report)[0]
    assert ask(made, "SELECT c FROM s.o") == [(1,)]
    assert run(made).exit_code == 0
    assert ask(made, "SELECT c FROM s.o ORDER BY c") == [(1,), (2,)]


HEAD = "/*\nrow_count: {max_decrease: 10%}\nMORE*/\nSELECT a FROM s.t WHERE a > LEAST"


def model(least, more=""):
    return HEAD.replace("LEAST", str(least)).replace("MORE", more)


def test_a_new_name_is_no_way_around_a_bound(ran):
    ran.write({"models/m/x.sql": model(0)})
    run(ran)
    remove(ran, "models/m/x.sql")
    ran.write({"models/m/y.sql": model(15, "renamed_from: m.x\n")})
    (failed,) = [check for check in run(ran).checks if check.status == "broken"]
    assert failed.name == "m.y.row_count"


def test_a_view_that_becomes_a_table_has_no_rows_to_lose(ran):
    ran.write({"models/m/x.sql": "/*\nstore: none\n*/\nSELECT a FROM s.t"})
    run(ran)
    ran.write({"models/m/x.sql": model(0)})
    assert run(ran).exit_code == 0
    assert ran.cli("check", "--data")[0] == 0


def test_the_doctor_takes_a_view_for_what_it_is(ran):
    ran.write({"models/m/x.sql": "/*\nstore: none\n*/\nSELECT a FROM s.t"})
    run(ran)
    code, out, _ = ran.cli("doctor")
    assert "without a built table" not in out
    assert code == 0


def test_a_part_reads_a_source_with_the_columns_that_are_released(project):
    source = "connector: files\ndatasets:\n  t: {path: data/*.csv}\n"
    made = project(
        {
            "sources/s.yaml": source,
            "data/1.csv": "a\n1\n",
            "models/m/n.sql": "SELECT *, 1 AS one FROM s.t",
        },
        source=None,
    )
    run(made)
    made.write({"data/2.csv": "a,extra\n2,x\n"})
    run(made, "dev", land=True)
    made.write({"models/m/n.sql": "SELECT *, 2 AS one FROM s.t"})
    assert errors(run(made, select="m.n")) == []
    assert ask(made, "FROM m.n") == [("1", 2)]
    run(made)
    assert len(ask(made, "SELECT a, extra, one FROM m.n")) == 2


# ---- what is said


def test_a_dry_run_says_what_the_promotion_would(ran):
    run(ran, "dev")
    ran.write({"models/m/n.sql": "SELECT sum(a) + 1 AS total FROM m.k"})
    asked = [ran.cli("promote", "dev", *more) for more in (["--dry-run"], [])]
    assert asked[0] == asked[1]
    assert asked[0][0] == 1
    assert "dev has not built m.n as this folder defines it" in asked[0][2]


def test_what_a_rollback_holds_in_dev_is_let_go_of_before_it_is_promoted(ran):
    run(ran, "dev")
    ran.write({"models/m/n.sql": "SELECT sum(a) + 1 AS total FROM m.k"})
    run(ran, "dev")
    ran.cli("rollback", "--env", "dev")
    code, _, err = ran.cli("promote", "dev")
    assert code == 1
    assert "dev was rolled back, which holds m.n as it was before" in err
    assert "headwater release --resume --env dev" in err
    ran.cli("release", "--resume", "--env", "dev")
    run(ran, "dev")
    promote(ran)
    assert total(ran) == 31


def test_a_plan_tells_what_breaks_where_the_table_is_there_already(ran):
    ran.write({"models/m/k.sql": "SELECT a FROM s.t"})
    run(ran, "dev")
    code, out, _ = ran.cli("plan")
    assert code == 2
    assert "reuse    m.k" in out
    assert "breaking: the column 'id' is gone" in out


def test_reasons_name_an_environment_only_where_there_is_one(ran):
    reasons = {step.reason for step in opened(ran).plan().steps}
    assert reasons == {"up to date", "no new files"}


def test_the_status_shows_what_is_released(ran):
    ran.write({"data/2.csv": "id,a\n3,7\n"})
    run(ran)
    ran.cli("rollback", "--to", "1")
    rows = {line.split()[0]: line for line in ran.cli("status")[1].splitlines()}
    assert "rolled back     2" in rows["m.k"]


def test_an_empty_selection_is_none(ran):
    code, _, err = ran.cli("run", "--select", "")
    assert code == 2
    assert "--select '': nothing is named so" in err


def test_a_part_of_prod_takes_nothing_that_dev_built_over_something_else(ran):
    ran.write({"models/m/k.sql": "SELECT id, a * 2 AS a FROM s.t"})
    run(ran, "dev")
    report = run(ran, select="m.n")
    assert (total(ran), report.status) == (30, "nothing")


# ---- files that are elsewhere


SAMPLE = {"sample/x.csv": "id,a\n7,7\n"}
ELSEWHERE = INTEGER.replace("data/*.csv", "${DATA:-data}/*.csv")


def test_a_source_with_files_of_its_own_has_a_table_of_its_own(ran, monkeypatch):
    ran.write({"sources/s.yaml": ELSEWHERE, **SAMPLE})
    assert run(ran).status == "nothing"
    monkeypatch.setenv("DATA", "sample")
    plan = {str(s.dataset): s.reason for s in opened(ran, "dev").plan().doing}
    assert plan["s.t"] == "its files are elsewhere here: 1 new file"
    for options in ({}, {"land": True}):
        run(ran, "dev", **options)
        assert (total(ran), total(ran, "dev")) == (30, 7)
    monkeypatch.delenv("DATA")
    assert run(ran).status == "nothing"
    with pytest.raises(ReleaseRefused, match=r"dev has not built s\.t as this folder defines it"):
        promote(ran)
    assert did(run(ran, "dev")) == {}
    assert total(ran, "dev") == 30


def test_the_first_to_land_may_be_dev_with_files_of_its_own(project, monkeypatch):
    made = project({**FILES, "sources/s.yaml": ELSEWHERE, **SAMPLE}, source=None)
    monkeypatch.setenv("DATA", "sample")
    run(made, "dev")
    assert total(made, "dev") == 7
    monkeypatch.delenv("DATA")
    with pytest.raises(ReleaseRefused):
        promote(made)
    run(made)
    assert total(made) == 30
    assert run(made).status == "nothing"
    (made.folder / "more").mkdir()
    made.write({"sources/s.yaml": ELSEWHERE.replace("data}", "more}"), "more/2.csv": "id,a\n3,5\n"})
    run(made)
    assert total(made) == 35, "prod looks for its files in another place: what has landed stays"
    assert run(made).status == "nothing"
    run(made, "dev")
    assert total(made, "dev") == 35
    promote(made)
    assert total(made) == 35


def test_a_new_place_in_prod_lands_nothing_again(ran):
    ran.write({"sources/s.yaml": INTEGER.replace("data/", "more/"), "more/2.csv": "id,a\n3,5\n"})
    report = run(ran)
    assert next(s.reason for s in report.steps if str(s.dataset) == "s.t") == "1 new file"
    assert total(ran) == 35
    assert did(run(ran, "dev")) == {}
    assert total(ran, "dev") == 35


def test_an_environment_whose_first_run_failed_tells_why(ran):
    ran.write({"checks/no.sql": "SELECT * FROM m.k"})
    assert run(ran, "qa").exit_code == 1
    code, out, err = ran.cli("status", "--env", "qa")
    assert (code, "nothing released yet" in out) == (0, True), err
    assert "broken" in ran.cli("checks", "--env", "qa")[1]
    assert ran.cli("status", "--env", "other")[0] == 2
    (ran.folder / "checks/no.sql").unlink()
    run(ran, "qa")
    ran.cli("env", "drop", "qa")
    assert ran.cli("status", "--env", "qa")[0] == 2


def test_after_a_rollback_in_dev_the_conflict_is_the_one_that_there_was(ran):
    twice = {"models/m/k.sql": "SELECT id, a * 2 AS a FROM s.t"}
    ran.write(twice)
    run(ran, "dev")
    ran.write({"models/m/k.sql": "SELECT id, a * 4 AS a FROM s.t"})
    run(ran, "dev")
    ran.write({"models/m/k.sql": "SELECT id, a * 3 AS a FROM s.t"})
    run(ran)
    ran.cli("rollback", "--env", "dev")
    ran.cli("release", "--resume", "--env", "dev")
    ran.write(twice)
    run(ran, "dev")
    with pytest.raises(ReleaseRefused, match=r"another definition of m\.k and m\.n since dev"):
        promote(ran)


def test_a_bound_is_held_against_what_is_there_now(project):
    made = project({**FILES, "models/m/x.sql": model(0)}, source=None)
    made.write({"data/1.csv": "id,a\n" + "".join(f"{n},{n}\n" for n in range(1, 101))})
    run(made)
    for least in (8, 15):
        made.write({"models/m/x.sql": model(least)})
        assert run(made).exit_code == 0
    made.cli("rollback", "--to", "1")
    made.cli("release", "--resume")
    report = run(made)
    assert [(c.name, c.status) for c in report.checks] == [("m.x.row_count", "broken")]
    assert ask(made, "SELECT count(*) FROM m.x") == [(100,)]
