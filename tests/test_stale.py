"""What is called up to date is what a fresh lake would have."""

from __future__ import annotations

import shutil

import pytest

import headwater as hw
from tests.opening import did, opened

SOURCE = """\
connector: files
datasets:
  t:
    path: data/*.csv
    columns: {id: integer, a: integer}
"""
FILES = {
    "sources/s.yaml": SOURCE,
    "data/1.csv": "id,a\n1,10\n2,20\n",
    "models/m/k.sql": "SELECT id, a FROM s.t",
    "models/m/n.sql": "SELECT sum(a) AS total FROM m.k",
}
TWICE = {"models/m/k.sql": "SELECT id, a * 2 AS a FROM s.t"}
WIDER = {"models/m/k.sql": "SELECT id, a, 1 AS more FROM s.t"}


@pytest.fixture
def ran(project):
    made = project(FILES, source=None)
    assert made.run().exit_code == 0
    return made


def fresh(made, sql):
    """What a lake that is made anew from the same folder answers."""
    folder = made.folder.parent / "fresh"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(made.folder, folder, ignore=shutil.ignore_patterns(".headwater"))
    other = hw.open_project(folder)
    assert other.run().exit_code == 0
    return other.query(sql).rows()


def is_true(made, *tables, environment="prod"):
    for table in tables:
        sql = f"SELECT * FROM {table} ORDER BY ALL"
        assert opened(made, environment).query(sql).rows() == fresh(made, sql), table


def test_a_model_that_was_built_beside_an_older_input_is_built_again_beside_the_new(ran):
    ran.write(TWICE)
    opened(ran).run(select="m.n")
    assert ran.ask("FROM m.n") == [(30,)]
    assert {str(s.dataset) for s in opened(ran).plan().doing} == {"m.k", "m.n"}
    assert did(opened(ran).run()) == {"m.k": "build", "m.n": "build"}
    is_true(ran, "m.k", "m.n")


def test_a_run_of_a_part_has_nothing_to_do_where_only_what_it_does_not_make_has_changed(ran):
    ran.write(TWICE)
    assert did(opened(ran).run(select="m.n")) == {}
    assert opened(ran).plan(select="m.n").doing == ()


def test_a_changed_model_over_an_older_input_is_another_than_over_the_new(ran):
    ran.write({**TWICE, "models/m/n.sql": "SELECT sum(a) + 1 AS total FROM m.k"})
    assert {str(s.dataset) for s in opened(ran).plan(select="m.n").doing} == {"m.n"}
    assert did(opened(ran).run(select="m.n")) == {"m.n": "build"}
    assert ran.ask("FROM m.n") == [(31,)]
    opened(ran).run()
    is_true(ran, "m.k", "m.n")
    ran.write({"models/m/k.sql": FILES["models/m/k.sql"]})
    opened(ran).run(replace=True)
    is_true(ran, "m.k", "m.n")


def test_so_it_is_in_dev_and_when_that_is_promoted(ran):
    ran.write(TWICE)
    opened(ran, "dev").run(select="m.n")
    opened(ran, "dev").run()
    is_true(ran, "m.k", "m.n", environment="dev")
    opened(ran).promote("dev")
    is_true(ran, "m.k", "m.n")


def test_a_fix_from_quarantine_takes_along_what_reads_it_beside_older_inputs(project):
    made = project(
        {
            **FILES,
            "sources/s.yaml": SOURCE
            + "  u:\n    path: more/*.csv\n    columns: {a: {type: integer}}\n",
            "more/1.csv": "a\n1\nx\n",
            "models/m/n.sql": "SELECT sum(a) AS total FROM (FROM m.k UNION ALL BY NAME FROM s.u)",
        },
        source=None,
    )
    made.run()
    made.write(TWICE)
    code, _, err = made.cli("quarantine", "fix", "s.u", "--set", "a='5'")
    assert code == 0, err
    assert made.ask("FROM m.n") == [(36,)]
    opened(made).run()
    assert made.ask("FROM m.n") == [(66,)]


def test_what_only_the_clock_tells_apart_is_not_the_same(ran):
    ran.write({"models/m/k.sql": "SELECT id, a, now()::TIMESTAMP AS moment FROM s.t"})
    ran.write({"models/m/n.sql": "SELECT max(moment) AS moment FROM m.k"})
    opened(ran).run()
    ran.write({"models/m/k.sql": "SELECT id, a, now()::TIMESTAMP AS moment, 1 AS more FROM s.t"})
    opened(ran).run()
    assert ran.ask("SELECT max(moment) = (SELECT moment FROM m.n) FROM m.k") == [(True,)]


def test_a_view_names_what_it_reads_now(ran):
    ran.write({"models/m/v.sql": "/*\nstore: none\n*/\nSELECT sum(a) AS total FROM m.k"})
    opened(ran).run()
    ran.write(WIDER)
    assert did(opened(ran).run()) == {"m.k": "build", "m.v": "build"}
    code, _, err = ran.cli("clean", "--older-than", "0")
    assert code == 0, err
    assert ran.ask("FROM m.v") == [(30,)]
    opened(ran).run()  # the view is made anew, over the snapshots that there are
    assert ran.ask("FROM m.v") == [(30,)]
    assert opened(ran).run().status == "nothing"
