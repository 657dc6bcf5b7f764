"""Runs as a whole: what they land, build, hold back and release, and what they say of it."""

from __future__ import annotations

import gzip
import json

import pytest

from headwater.names import DatasetName

GOOD = "a,b\n1,x\n2,y\n"
COPY = "SELECT a, b FROM s.t"


def names(found) -> set[str]:
    return {str(name) for name in found}


def step_of(report, word: str):
    return next(step for step in report.steps if str(step.dataset) == word)


def ledger_of(report, word: str) -> dict[str, int]:
    line = step_of(report, word).ledger
    return {key: value for key, value in vars(line).items() if key != "dataset" and value}


# ---- landing


def test_a_run_without_anything_new_does_nothing_and_says_so(project):
    made = project({"data/a.csv": GOOD, "models/m/x.sql": COPY})
    first, second = made.run(), made.run()
    assert (first.status, first.release) == ("succeeded", 1)
    assert (second.status, second.release, second.exit_code) == ("nothing", None, 0)
    assert made.ask("SELECT count(*) FROM headwater.runs") == [(1,)]


def test_every_row_is_accounted_for_in_the_ledger(project):
    source = (
        "connector: files\ndatasets:\n  t:\n    path: data/*\n    key: a\n"
        "    on_duplicate: keep first\n    columns:\n"
        "      a: {type: integer}\n"
        "      b: {type: integer, min: 0, max: 9, otherwise: clip}\n"
        "      c: {type: integer, min: 0, otherwise: drop}\n"
        "      d: {type: integer, default: 1, max: 5, otherwise: null}\n"
    )
    text = "a,b,c,d\n1,99,1,1\n1,1,1,1\n2,1,-1,1\nx,1,1,1\n3,1,1,9\n4,1,1,\n5,1\n"
    report = project({"data/a.csv": text}, source=source).run()
    assert ledger_of(report, "s.t") == {
        "received": 7,
        "landed": 3,
        "deduplicated": 1,
        "dropped": 1,
        "quarantined": 2,
        "rows_after": 3,
        "clipped": 1,
        "nulled": 1,
        "defaulted": 1,
    }


def test_keys_are_unique_over_all_files_ever_landed(project):
    source = "connector: files\ndatasets:\n  t: {path: data/*, key: a, columns: {a: integer}}\n"
    made = project({"data/a.csv": GOOD}, source=source)
    made.run()
    made.write({"data/b.csv": "a,b\n2,again\n3,z\n"})
    report = made.run()
    assert ledger_of(report, "s.t") == {
        "received": 2,
        "landed": 1,
        "quarantined": 1,
        "rows_before": 2,
        "rows_after": 3,
    }
    assert made.ask("SELECT reasons, path, line, content FROM headwater.quarantine") == [
        (["key.duplicate"], "data/b.csv", 2, "2,again")
    ]


def test_the_same_content_at_another_path_lands_with_a_note(project):
    made = project({"data/a.csv": GOOD})
    made.run()
    made.write({"data/b.csv": GOOD})
    report = made.run()
    assert step_of(report, "s.t").notes == ["data/b.csv has the same content as data/a.csv"]
    assert made.ask("SELECT count(*) FROM s.t") == [(4,)]


def test_a_file_that_is_gone_keeps_its_rows(project):
    made = project({"data/a.csv": GOOD})
    made.run()
    (made.folder / "data" / "a.csv").unlink()
    assert made.run().exit_code == 0
    assert made.ask("SELECT count(*) FROM s.t") == [(2,)]


def test_a_column_that_appears_later_is_added(project):
    made = project({"data/a.csv": GOOD})
    made.run()
    made.write({"data/b.csv": "a,b,c\n3,z,new\n"})
    made.run()
    assert made.ask("SELECT a, c FROM s.t ORDER BY a") == [(1, None), (2, None), (3, "new")]


def test_a_file_that_is_refused_alone_fails_its_dataset_at_once(project):
    made = project({"data/a.csv": "", "headwater.yaml": "name: t\nlock_timeout_s: 5\n"})
    report = made.run()
    assert report.exit_code == 1
    assert step_of(report, "s.t").refused.keys() == {"data/a.csv"}
    assert "data/a.csv" in str(step_of(report, "s.t").error)


def test_nothing_is_left_behind_in_the_lakes_scratch_folders(project):
    source = "connector: files\ndatasets:\n  t: {path: data/*, key: a, columns: {a: integer}}\n"
    made = project({"data/a.csv.gz": gzip.compress(b"a,b\n1,x\n1,y\n\nz\n")}, source=source)
    made.write({"data/cut.csv.gz": gzip.compress(GOOD.encode())[:20]})
    made.run()
    assert list((made.folder / ".headwater" / "tmp").glob("*")) == []
    assert list((made.folder / ".headwater" / "locks").glob("run-*")) == []


def test_landed_rows_carry_their_file_and_record(project):
    made = project({"data/a.csv": "a,b\n1,x\nbad,y\n3\n4,z\n", "data/b.csv": "a,b\n5,w\n"})
    made.run()
    assert made.ask(
        "SELECT f.path, t._record, t.a FROM s.t t JOIN headwater.files f ON t._file_id = f.file_id "
        "ORDER BY t.a"
    ) == [("data/a.csv", 1, 1), ("data/a.csv", 4, 4), ("data/b.csv", 1, 5)]


def test_a_warned_row_lands_and_its_rule_is_recorded(project):
    source = (
        "connector: files\ndatasets:\n  t:\n    path: data/*\n"
        "    columns: {a: {type: integer, min: 2, otherwise: warn}}\n"
    )
    made = project({"data/a.csv": GOOD}, source=source)
    assert made.run().exit_code == 0
    assert made.ask("SELECT count(*) FROM s.t") == [(2,)]
    checks = "SELECT check_name, remedy, status, failed_rows FROM headwater.checks"
    assert made.ask(checks) == [("a.min", "warn", "broken", 1)]


# ---- building


def test_a_changed_comment_rebuilds_nothing_and_a_changed_query_its_readers_too(project):
    made = project({"data/a.csv": GOOD, "models/m/x.sql": COPY, "models/m/y.sql": "FROM m.x"})
    made.run()
    made.write({"models/m/x.sql": f"/* about */ {COPY} -- why"})
    assert made.run().status == "nothing"
    made.write({"models/m/x.sql": f"{COPY} WHERE a > 1"})
    report = made.run()
    assert {str(s.dataset): s.reason for s in report.steps if s.status == "done"} == {
        "m.x": "its definition changed",
        "m.y": "m.x changed",
    }
    assert made.ask("SELECT a FROM m.y") == [(2,)]


def test_rebuild_builds_the_selected_models_again(project):
    made = project({"data/a.csv": GOOD, "models/m/x.sql": COPY, "models/m/y.sql": COPY})
    made.run()
    report = made.run(select="m.x", rebuild=True)
    assert [str(step.dataset) for step in report.steps if step.status == "done"] == ["m.x"]


def test_a_models_contract_mends_and_drops_and_quarantines_its_rows(project):
    front = (
        "/*\nkey: a\non_duplicate: keep first\ncolumns:\n"
        "  b: {accepted: [x, y], otherwise: quarantine}\n*/\n"
    )
    rows = "VALUES (1, 'x'), (1, 'y'), (2, 'z')"
    made = project({"data/a.csv": GOOD, "models/m/x.sql": f"{front}SELECT * FROM ({rows}) t(a, b)"})
    report = made.run()
    assert ledger_of(report, "m.x") == {
        "received": 3,
        "landed": 1,
        "deduplicated": 1,
        "quarantined": 1,
        "rows_after": 1,
    }
    assert made.ask("SELECT dataset, reasons, content FROM headwater.quarantine") == [
        ("m.x", ["b.accepted"], '{"a":2,"b":"z"}')
    ]


def test_a_model_that_breaks_its_contract_is_held_back_and_its_rows_can_be_looked_at(project):
    made = project({"data/a.csv": GOOD, "models/m/x.sql": f"/*\nkey: b\n*/\n{COPY}"})
    made.run()
    made.write({"data/b.csv": "a,b\n3,x\n"})
    report = made.run()
    assert report.exit_code == 1
    assert names(report.held) == {"s.t", "m.x"}
    assert made.ask("SELECT count(*) FROM m.x") == [(2,)], "the release stays as it was"
    code, out, _ = made.cli("show", "m.x", "--failed")
    assert code == 0
    assert "key.duplicate" in out


PYTHON = """\
import headwater as hw


@hw.model
def p(t: hw.Input("s.t", "{kind}")):
    {body}
"""


BODIES = {
    "relation": ("relation", 'return t.project("a AS n")'),
    "arrow": ("arrow", 'return t.select(["a"]).rename_columns(["n"])'),
    "arrow_stream": ("arrow", 'return t.select(["a"]).rename_columns(["n"]).to_reader()'),
    "polars": ("polars", 'return t.select(n="a")'),
    "polars_lazy": ("polars", 'return t.lazy().select(n="a")'),
    "pandas": ("pandas", 'return t[["a"]].rename(columns={"a": "n"})'),
}


def test_a_python_model_takes_and_returns_each_kind_of_table(project):
    models = {
        f"models/m/by_{word}.py": PYTHON.replace("{kind}", kind).replace("{body}", body)
        for word, (kind, body) in BODIES.items()
    }
    made = project({"data/a.csv": GOOD, **models})
    assert made.run().exit_code == 0
    for word in BODIES:
        assert made.ask(f"SELECT n FROM m.by_{word} ORDER BY n") == [(1,), (2,)], word


def python(body: str, deco: str = "@hw.model") -> str:
    return PYTHON.replace("{kind}", "relation").replace("{body}", body).replace("@hw.model", deco)


def test_a_model_may_be_named_like_a_module_that_models_import(project):
    body = "import polars, statistics; return polars.DataFrame({'n': [statistics.mean([1, 3])]})"
    made = project(
        {
            "data/a.csv": GOOD,
            "models/m/a.py": python(body),
            "models/m/polars.py": python("return t"),
            "models/m/statistics.py": python("return t"),
        }
    )
    assert made.run().exit_code == 0
    assert made.ask("SELECT n FROM m.a") == [(2,)]


FAILING = {
    "text": (python("return 'text'"), "p() returned str, which is no table"),
    "list": (python("return [1]"), "p() returned list, which is no table"),
    "dict": (python("return {'a': [1]}"), "p() returned dict, which is no table"),
    "key": (python("return t.project('a')", "@hw.model(key='nope')"), "has no column 'nope'"),
    "types": (
        python("return t.project(\"'x' AS a\")", "@hw.model(columns={'a': 'integer'})"),
        "2 of 2 rows break a.type (must be integer)",
    ),
    "lazy": (python("return t.project('CAST(b AS INTEGER) AS n')"), "cannot be computed"),
    "foreign": (python("import duckdb; return duckdb.sql('SELECT 1 AS a')"), "cannot be computed"),
    "module": ("import not_there_at_all\n" + python("return t"), "the module cannot be imported"),
}


def test_python_models_that_fail_fail_alone(project):
    models = {f"models/m/{word}.py": text for word, (text, _) in FAILING.items()}
    made = project({"data/a.csv": GOOD, "models/n/other.sql": "SELECT 1 AS x", **models})
    report = made.run()
    assert {step.dataset.name for step in report.failed} == set(FAILING)
    for step in report.failed:
        assert FAILING[step.dataset.name][1] in str(step.error)
        assert step.error.hint
    assert made.ask("SELECT x FROM n.other") == [(1,)]


def test_a_python_model_that_exits_fails_alone(project):
    made = project({"data/a.csv": GOOD, "models/m/p.py": python("raise SystemExit(3)")})
    (failed,) = made.run().failed
    assert "SystemExit was raised by p()" in str(failed.error)


def test_a_python_model_that_returns_a_column_twice_fails(project):
    made = project({"data/a.csv": GOOD, "models/m/p.py": python("return t.project('a, a')")})
    (failed,) = made.run().failed
    assert "'a'" in str(failed.error)


def test_a_query_over_a_python_model_without_columns_is_bound_when_it_is_built(project):
    made = project(
        {
            "data/a.csv": GOOD,
            "models/m/p.py": python("return t.project('a AS n')"),
            "models/n/good.sql": "SELECT n + 1 AS n FROM m.p",
        }
    )
    assert made.run().exit_code == 0
    assert made.ask("SELECT n FROM n.good ORDER BY n") == [(2,), (3,)]


def test_an_unknown_column_of_a_python_model_fails_that_query_alone(project):
    made = project(
        {
            "data/a.csv": GOOD,
            "models/m/p.py": python("return t.project('a AS n')"),
            "models/n/bad.sql": "SELECT nope FROM m.p",
            "models/o/other.sql": "SELECT 1 AS x",
        }
    )
    report = made.run()
    (failed,) = report.failed
    assert str(failed.error).startswith("models/n/bad.sql:1")
    assert "nope" in str(failed.error)
    assert made.ask("SELECT x FROM o.other") == [(1,)]


# ---- releasing

BAD = "SELECT CAST(b AS INTEGER) AS n FROM s.t"


def test_what_failed_is_named_with_its_reason_and_the_rest_goes_out(project):
    made = project(
        {
            "data/a.csv": GOOD,
            "models/m/bad.sql": BAD,
            "models/m/below.sql": "FROM m.bad",
            "models/n/other.sql": "SELECT 1 AS x",
        }
    )
    report = made.run()
    assert report.exit_code == 1
    assert names(report.moves) == {"n.other"}
    assert names(report.held) == {"s.t", "m.bad", "m.below"}
    assert step_of(report, "m.below").status == "blocked"
    assert "m.bad" in report.held[DatasetName("m", "below")]


def test_atomic_releases_nothing_if_anything_fails(project):
    made = project({"data/a.csv": GOOD, "models/m/bad.sql": BAD, "models/n/x.sql": "SELECT 1 AS x"})
    report = made.run(atomic=True)
    assert report.release is None
    assert names(report.held) == {"s.t", "m.bad", "n.x"}


def test_what_was_built_but_held_back_goes_out_once_the_rest_is_mended(project):
    made = project({"data/a.csv": GOOD, "models/m/bad.sql": BAD})
    made.run()
    made.write({"models/m/bad.sql": COPY})
    report = made.run()
    assert step_of(report, "s.t").status == "nothing", "it is not landed twice"
    assert names(report.moves) == {"s.t", "m.bad"}


def test_a_dataset_that_the_project_no_longer_makes_leaves_the_release(project):
    made = project({"data/a.csv": GOOD, "models/m/x.sql": COPY, "models/m/y.sql": COPY})
    made.run()
    (made.folder / "models" / "m" / "y.sql").unlink()
    report = made.run()
    assert names(report.removed) == {"m.y"}
    code, _, errors = made.cli("query", "FROM m.y")
    assert code == 1
    assert "no released dataset 'm.y'" in errors


def released_and_read(made) -> bool:
    """Whether each released model was computed from what is released beside it."""
    names = made.ask(
        "SELECT dataset, built_table, snapshot_id FROM headwater.release_names "
        "QUALIFY row_number() OVER (PARTITION BY dataset ORDER BY release_id DESC) = 1"
    )
    released = {row[0]: list(row[1:]) for row in names}
    builds = made.ask("SELECT dataset, built_table, snapshot_id, inputs FROM headwater.builds")
    return all(
        position == released[given]
        for dataset, table, snapshot, inputs in builds
        if released.get(dataset) == [table, snapshot]
        for given, position in json.loads(inputs).items()
    )


def test_the_release_is_consistent_after_a_run_of_all(project):
    made = project({"data/a.csv": GOOD, "models/m/x.sql": COPY, "models/m/y.sql": "FROM m.x"})
    made.run()
    made.write({"data/b.csv": "a,b\n3,z\n"})
    made.run()
    assert released_and_read(made)


TWO_READERS = {
    "data/a.csv": "a,b\n1,1\n",
    "models/m/strict.sql": BAD,
    "models/m/other.sql": "SELECT count(*) AS n FROM s.t",
}


def test_the_release_is_consistent_after_one_of_two_readers_failed(project):
    made = project(TWO_READERS)
    made.run()
    made.write({"data/b.csv": "a,b\n2,x\n"})
    assert made.run().exit_code == 1
    assert made.ask("SELECT n FROM m.other") == made.ask("SELECT count(*) FROM s.t")
    assert released_and_read(made)


def test_the_release_is_consistent_after_a_run_of_one_model(project):
    made = project(TWO_READERS)
    made.run()
    made.write({"data/b.csv": "a,b\n2,x\n"})
    report = made.run(select=["s.t", "m.strict"])
    assert names(report.held) == {"s.t", "m.strict"}
    made.run(select="m.other")
    assert released_and_read(made)


@pytest.mark.parametrize("key", ["rowid", "id", "_id", "_row"])
def test_a_model_keeps_the_first_row_of_a_key_whatever_its_columns_are_called(project, key):
    query = f"SELECT * FROM (VALUES (1, 3, 'a'), (2, 3, 'b'), (1, 3, 'c')) t({key}, rowid_, v)"
    if key == "id":
        query = query.replace("rowid_", "rowid")
    made = project({"models/m/x.sql": f"/*\nkey: {key}\non_duplicate: keep first\n*/\n{query}"})
    report = made.run(select="m.x")
    assert report.exit_code == 0, report.as_dict()
    assert made.ask("SELECT v FROM m.x ORDER BY v") == [("a",), ("b",)]


EARLIER = {"data/a.csv": GOOD, "models/m/x.sql": "SELECT a FROM s.t", "models/m/y.sql": "FROM m.x"}


def test_an_input_outside_the_run_is_read_as_it_was_released(project):
    made = project(EARLIER)
    made.run()
    made.write({"models/m/x.sql": "SELECT a FROM s.t WHERE a > 1"})
    made.write({"models/m/y.sql": "SELECT count(*) AS n FROM m.x"})
    report = made.run(select="m.y")
    assert report.exit_code == 0
    assert made.ask("SELECT n FROM m.y") == made.ask("SELECT count(*) FROM m.x")
    (step,) = report.steps
    assert step.notes == ["m.x is read as it was released; its definition has changed since"]


def test_an_input_outside_the_run_that_lacks_a_new_column_is_named(project):
    made = project(EARLIER)
    made.run()
    made.write({"models/m/x.sql": "SELECT a, b FROM s.t", "models/m/y.sql": "SELECT b FROM m.x"})
    report = made.run(select="m.y")
    (failed,) = report.failed
    assert str(failed.error) == (
        "models/m/y.sql:1: m.x is built by an earlier definition, without 'b'"
    )
    assert failed.error.hint == "build it too: headwater run --select +m.y"
    assert made.run(select="+m.y").exit_code == 0


def test_reports_are_plain_values(project):
    made = project({"data/a.csv": GOOD, "models/m/bad.sql": BAD})
    report = made.run().as_dict()
    assert report["status"] == "held back"
    assert report["exit_code"] == 1
    assert {step["dataset"]: step["status"] for step in report["steps"]} == {
        "s.t": "done",
        "m.bad": "failed",
    }
    assert report["steps"][1]["error"].keys() == {"error", "where", "hint"}


@pytest.mark.parametrize(
    ("word", "kept"),
    [("keep first", (1, 5, "a")), ("keep last", (1, None, "c")), ("latest by n", (1, 7, "b"))],
)
def test_a_model_keeps_the_row_of_a_key_that_its_contract_says(project, word, kept):
    query = "SELECT * FROM (VALUES (1, 5, 'a'), (1, 7, 'b'), (1, NULL, 'c')) t(id, n, v)"
    made = project({"models/m/x.sql": f"/*\nkey: id\non_duplicate: {word}\n*/\n{query}"})
    assert made.run(select="m.x").exit_code == 0
    assert made.ask("SELECT * FROM m.x") == [kept]
    assert made.balances()
