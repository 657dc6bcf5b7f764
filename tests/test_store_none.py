"""Models that are not stored: `store: none`, computed where they are read."""

from __future__ import annotations

import duckdb
import pytest

import headwater as hw
from headwater.api import check_project
from headwater.engine import extensions

NONE = "/*\nstore: none\ncolumns:\n  d: {type: bigint, description: Twice a.}\n*/\n"
FILES = {
    "headwater.yaml": "name: test\nvariables: {least: 2}\n",
    "data/a.csv": "a,b\n1,x\n2,y\n3,z\n",
    "functions/doubled.sql": "CREATE FUNCTION doubled(x BIGINT, times := 2) AS x * times",
    "functions/above.sql": "CREATE FUNCTION above(least) AS TABLE\n"
    "SELECT *, doubled(a) AS d FROM s.t WHERE a >= least",
    "models/m/thin.sql": NONE + "SELECT s.t.a, doubled(t.a, times := 2) AS d, _record AS n,\n"
    "'$least' AS word FROM s.t WHERE t.a >= $least -- why",
    "models/m/thick.sql": "SELECT a, d FROM m.thin",
    "models/m/over.sql": "/* store: none */ WITH x AS (SELECT sum(d) AS d FROM m.thick)\n"
    "SELECT x.d, count(*) AS n FROM x, above(doubled(1)) AS y JOIN m.thin ON thin.a = y.a\n"
    "GROUP BY ALL",
    "models/m/top.sql": "SELECT * FROM m.over",
    "models/m/p.py": "import headwater as hw\n\n\n@hw.model\n"
    "def p(t: hw.Input('m.thin')):\n    return t.aggregate('sum(d) AS d')\n",
}


def done(report) -> str:
    return " ".join(sorted(str(s.dataset) for s in report.steps if s.status == "done"))


def test_a_model_that_is_not_stored_is_read_as_any_other(project):
    made = project(FILES)
    report = made.run()
    assert (report.exit_code, len(report.moves)) == (0, 6)
    assert made.ask("SELECT * FROM m.thin ORDER BY a") == [(2, 4, 2, "$least"), (3, 6, 3, "$least")]
    assert made.ask("SELECT * FROM m.thick ORDER BY a") == [(2, 4), (3, 6)]
    assert made.ask("SELECT * FROM m.top") == made.ask("SELECT * FROM m.over") == [(10, 2)]
    assert made.ask("SELECT * FROM m.p") == [(10,)]
    assert made.ask("SELECT dataset FROM headwater.ledger ORDER BY ALL") == [
        ("m.p",), ("m.thick",), ("m.top",), ("s.t",),
    ]  # fmt: skip
    assert made.balances()
    assert done(made.run()) == ""
    assert "no, computed where it is read" in made.cli("show", "m.thin")[1]
    code, out, _ = made.cli("status")
    assert (code, "m.thin" in out) == (0, True)


def test_any_client_of_the_lake_reads_the_same_release(project):
    made = project(FILES)
    made.run()
    before = made.ask("SELECT * FROM m.over")
    con = duckdb.connect()
    extensions.load(con, *extensions.LAKE)
    folder = made.folder / ".headwater"
    con.execute(f"ATTACH 'ducklake:sqlite:{folder}/catalog.sqlite' AS mine (READ_ONLY)")
    assert con.execute("FROM mine.m.over").fetchall() == before
    assert con.execute("SELECT a, d FROM mine.m.thin ORDER BY a").fetchall() == [(2, 4), (3, 6)]
    con.close()


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        pytest.param(
            {"data/b.csv": "a,b\n9,x\n"}, "m.over m.p m.thick m.thin m.top s.t", id="rows"
        ),
        pytest.param(
            {"models/m/thin.sql": FILES["models/m/thin.sql"].replace("t.a >=", "t.a >")},
            "m.over m.p m.thick m.thin m.top",
            id="its query",
        ),
        pytest.param(
            {"models/m/over.sql": FILES["models/m/over.sql"].replace("y.a", "y.a AND y.a > 2")},
            "m.over m.top",
            id="the query of the last one",
        ),
        pytest.param(
            {"models/m/thin.sql": FILES["models/m/thin.sql"].replace("-- why", "-- so")},
            "",
            id="a comment",
        ),
        pytest.param(
            {"models/m/thin.sql": FILES["models/m/thin.sql"].replace("store: none\n", "")},
            "m.over m.p m.thick m.thin m.top",
            id="stored from now on",
        ),
    ],
)
def test_what_changes_it_rebuilds_what_reads_it(project, files, expected):
    made = project(FILES)
    made.run()
    made.write(files)
    report = made.run()
    assert report.exit_code == 0
    assert done(report) == expected
    fresh = made.ask("SELECT sum(d) FROM m.thin")
    assert made.ask("SELECT sum(d) FROM m.thick") == made.ask("SELECT * FROM m.p") == fresh


def test_a_release_that_is_held_back_keeps_the_view_as_it_was(project):
    made = project(
        {
            **FILES,
            "models/m/picky.sql": "/* {rules: [{name: few, check: n < 3}]} */\n"
            "SELECT count(*) AS n FROM m.thin",
        }
    )
    assert made.run().exit_code == 0
    made.write({"data/b.csv": "a,b\n9,x\n"})
    report = made.run()
    assert report.exit_code == 1
    assert {"m.thin", "s.t"} <= {str(name) for name in report.held}
    assert made.ask("SELECT max(a) FROM m.thin") == made.ask("SELECT max(a) FROM s.t") == [(3,)]


def test_what_is_not_selected_is_read_as_released(project):
    made = project(FILES)
    made.run()
    made.write(
        {"data/b.csv": "a,b\n9,x\n", "models/m/thick.sql": "SELECT a, d + 0 AS d FROM m.thin"}
    )
    assert hw.open_project(made.folder).run(select="m.thick").exit_code == 0
    assert made.ask("SELECT max(a) FROM m.thick") == [(3,)]


HINT = "put it on a model that reads this one, or store this one"
VIEW = "leave out `store: none`, or put what is special about it into a model before"
MISTAKES = [
    ("/*\nstore: none\nkey: a\n*/ SELECT a FROM s.t", (3, 1, "`key` is about rows that are built, "
     "and with `store: none` none are", HINT), "a key"),
    ("/*\nstore: none\ncolumns: {a: {min: 1}}\n*/ SELECT a FROM s.t",
     (3, 15, "`min` is about rows that are built, and with `store: none` none are", HINT),
     "a rule"),
    ("/*\nstore: none\ncolumns: {a: bigint}\n*/ SELECT a FROM s.t",
     (3, 11, "the query gives 'a' as INTEGER, the contract says BIGINT",
      "with `store: none` the query must cast it: CAST(… AS BIGINT)"), "another type"),
    ("/*\nstore: none\n*/ SELECT a FROM s.t JOIN u.t USING (a)",
     (3, 4, "the query cannot be written out as a view, which `store: none` needs", VIEW),
     "two tables of one name"),
    ("/*\nstore: nothing\n*/ SELECT a FROM s.t",
     (2, 1, "must be one of: 'table' or 'none'", ""), "an unknown word"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "expected"), [pytest.param(t, e, id=name) for t, e, name in MISTAKES]
)
def test_each_mistake_has_its_place(project, text, expected):
    made = project({"models/m/a.sql": text, "models/u/t.sql": "SELECT a FROM s.t"})
    told = [(m.line, m.column, m.message, m.hint) for m in check_project(made.folder)[1]]
    assert told == [expected]


def test_a_python_model_is_always_stored(project):
    made = project({"models/m/p.py": "import headwater as hw\n\n\n@hw.model(store='none')\n"
                    "def p(t: hw.Input('s.t')):\n    return t\n"})  # fmt: skip
    told = [(m.line, m.column, m.message) for m in check_project(made.folder)[1]]
    assert told == [(4, 11, "a Python model is always stored: `store: none` is for SQL")]
