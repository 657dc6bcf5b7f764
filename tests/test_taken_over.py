"""A dataset that gains a column: only those who read it are built again."""

from __future__ import annotations

import pytest

import headwater as hw

FILES = {
    "data/1.csv": "a,b\n1,x\n2,y\n3,z\n",
    "models/st/t.sql": "SELECT a, b FROM s.t WHERE a > 1",
    "models/m/counts.sql": "SELECT count(*) AS n, sum(a) AS total FROM st.t",
    "models/m/all.sql": "SELECT * FROM st.t",
    "models/m/below.sql": "SELECT n + 1 AS more FROM m.counts",
    "models/m/through.sql": "SELECT b FROM m.all WHERE a = 2",
}
ADDED = {"models/st/t.sql": "SELECT a, b, a * 2 AS twice FROM s.t WHERE a > 1"}


@pytest.fixture
def ran(project):
    made = project(FILES)
    made.run()
    return made


def built(report):
    return sorted(str(step.dataset) for step in report.steps if step.status == "done")


def planned(made):
    plan = hw.open_project(made.folder).plan()
    return sorted(str(step.dataset) for step in plan.doing)


def tables(made):
    with hw.open_project(made.folder).read_lake() as lake, lake.reading():
        return {str(name): place for name, place in lake.release().names.items()}


def test_an_added_column_builds_those_that_read_it_alone(ran):
    before = tables(ran)
    ran.write(ADDED)
    assert planned(ran) == ["m.all", "st.t"]
    report = ran.run()
    assert built(report) == ["m.all", "st.t"]
    reasons = {str(step.dataset): step.reason for step in report.steps}
    assert reasons["m.counts"] == "what it reads of st.t is the same"
    assert reasons["m.through"] == "what it reads of m.all is the same"
    after = tables(ran)
    for name in ("m.counts", "m.below", "m.through"):
        assert after[name] == before[name]
    assert ran.ask("FROM m.all ORDER BY a") == [(2, "y", 4), (3, "z", 6)]
    assert ran.ask("FROM m.counts") == [(2, 5)]
    assert ran.run().status == "nothing"
    assert planned(ran) == []


def test_it_follows_its_inputs_afterwards(ran):
    ran.write(ADDED)
    ran.run()
    ran.write({"data/2.csv": "a,b\n9,q\n"})
    assert "m.counts" in built(ran.run())
    assert ran.ask("FROM m.counts") == [(3, 14)]
    assert ran.ask("FROM m.below") == [(4,)]


def test_new_rows_beside_a_new_column_are_not_missed(ran):
    ran.write({**ADDED, "data/2.csv": "a,b\n9,q\n"})
    assert {"m.counts", "m.below", "m.all", "st.t"} <= set(built(ran.run()))
    assert ran.ask("FROM m.counts") == [(3, 14)]


@pytest.mark.parametrize(
    ("query", "counts"),
    [
        pytest.param("SELECT a, b FROM s.t WHERE a > 2", (1, 3), id="rows"),
        pytest.param("SELECT a + 1 AS a, b FROM s.t WHERE a > 1", (2, 7), id="a column it reads"),
        pytest.param("SELECT DISTINCT a, b FROM s.t WHERE a > 1", (2, 5), id="distinct"),
        pytest.param("SELECT a, b FROM s.t WHERE a > 1 LIMIT 1", (1, 2), id="limit"),
        pytest.param("SELECT a, b FROM s.t JOIN s.t q USING (a, b) WHERE a > 1", (2, 5), id="join"),
    ],
)
def test_what_changes_what_they_read_builds_them(ran, query, counts):
    ran.write({"models/st/t.sql": query})
    assert {"st.t", "m.counts"} <= set(built(ran.run()))
    assert ran.ask("FROM m.below") == [(counts[0] + 1,)]
    (found,) = ran.ask("FROM m.counts")
    assert found[0] == counts[0]
    if "LIMIT" not in query:
        assert found == counts


def test_a_column_that_nobody_reads_may_change_or_go(ran):
    ran.write(ADDED)
    ran.run()
    ran.write({"models/st/t.sql": "SELECT a, b, a * 3 AS twice FROM s.t WHERE a > 1"})
    assert built(ran.run()) == ["m.all", "st.t"]
    ran.write({"models/st/t.sql": "SELECT a, b || '!' AS b FROM s.t WHERE a > 1"})
    assert built(ran.run()) == ["m.all", "m.through", "st.t"]
    assert ran.ask("FROM m.through") == [("y!",)]


def test_a_rule_on_another_column_may_cost_rows_so_it_counts(ran):
    judged = "/*\ncolumns:\n  b: {accepted: [y]}\n*/\n" + FILES["models/st/t.sql"]
    ran.write({"models/st/t.sql": judged})
    ran.run()
    ran.write({"models/st/t.sql": judged.replace("b: {accepted: [y]}", "b: {accepted: [y, z]}")})
    assert "m.counts" in built(ran.run())
    assert ran.ask("FROM m.counts") == [(2, 5)]


def test_which_of_equal_keys_stays_is_not_taken_for_the_same(ran):
    keyed = "/*\nkey: b\non_duplicate: keep first\n*/\nSELECT a, 'k' AS b{} FROM s.t WHERE a > 1"
    ran.write({"models/st/t.sql": keyed.format("")})
    ran.run()
    ran.write({"models/st/t.sql": keyed.format(", 1 AS one")})
    assert "m.counts" in built(ran.run())


def test_a_key_that_must_hold_chooses_nothing(ran):
    keyed = "/*\nkey: a\n*/\n"
    ran.write({"models/st/t.sql": keyed + FILES["models/st/t.sql"]})
    ran.run()
    ran.write({"models/st/t.sql": keyed + ADDED["models/st/t.sql"]})
    assert built(ran.run()) == ["m.all", "st.t"]


def test_dev_takes_over_what_reads_nothing_of_the_change(ran):
    ran.write(ADDED)
    dev = hw.open_project(ran.folder, environment="dev")
    assert built(dev.run()) == ["m.all", "st.t"]
    assert dev.query("FROM m.counts").rows() == [(2, 5)]
    report = hw.open_project(ran.folder).promote("dev")
    assert built(report) == []
    assert ran.run().status == "nothing"
