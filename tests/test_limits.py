"""Limits of one model's build: memory, threads, time."""

from __future__ import annotations

import time

import duckdb
import pytest

from headwater.api import check_project, open_project
from headwater.engine import extensions
from headwater.engine.limits import BuildLimits, limited
from headwater.engine.session import Limits, connect
from headwater.errors import ExtensionMissing, ModelFailed

SLOW = "SELECT sum(x.range * y.range) AS n, (SELECT max(a) FROM s.t) AS a "
SLOW += "FROM range(10000000) AS x, range(10000000) AS y"
PYTHON = (
    "import time\n\nimport headwater as hw\n\n\n@hw.model(timeout_s=0.2)\n"
    "def p(t: hw.Input('s.t')):\n    time.sleep(0.4)\n    return t\n"
)
FILES = {
    "data/a.csv": "a,b\n1,x\n",
    "models/m/slow.sql": f"/* timeout_s: 0.3 */ {SLOW}",
    "models/m/sleepy.py": PYTHON,
    "models/m/reader.sql": "SELECT * FROM m.slow",
    "models/m/fine.sql": "SELECT 1 AS x",
}


def test_a_model_that_takes_too_long_fails_and_the_rest_goes_on(project):
    made = project(FILES)
    started = time.monotonic()
    report = made.run()
    assert time.monotonic() - started < 10
    words = {str(step.dataset): step for step in report.steps}
    error = words["m.slow"].error
    assert (error.message, error.where) == (
        "it took longer than timeout_s: 0.3",
        "models/m/slow.sql:1",
    )
    assert words["m.sleepy"].error.message == "it took longer than timeout_s: 0.2"
    assert {name: step.status for name, step in words.items()} == {
        "s.t": "done",
        "m.fine": "done",
        "m.slow": "failed",
        "m.sleepy": "failed",
        "m.reader": "blocked",
    }
    assert made.ask("SELECT * FROM m.fine") == [(1,)]
    assert made.ask("SELECT DISTINCT dataset FROM headwater.builds ORDER BY 1") == [
        ("m.fine",),
        ("s.t",),
    ]
    assert list((made.folder / ".headwater" / "data").glob("**/*slow*/*")) == []


def test_the_project_s_timeout_holds_where_a_model_says_none(project):
    made = project(
        {"headwater.yaml": "name: test\ntimeout_s: 0.3\n", "data/a.csv": "a,b\n1,x\n",
         "models/m/slow.sql": SLOW}
    )  # fmt: skip
    (step,) = made.run().failed
    assert step.error.message == "it took longer than timeout_s: 0.3"


def settings(con) -> tuple[str, int]:
    return con.execute(
        "SELECT current_setting('memory_limit'), current_setting('threads')"
    ).fetchone()


def test_a_build_s_limits_hold_during_the_build_alone():
    session = Limits(memory_limit="600MiB", threads=2)
    with connect(session) as con:
        before = settings(con)
        limits = BuildLimits(memory_limit="200MiB", threads=1, session=session)
        with limited(con, limits, "m.x"):
            assert settings(con) == ("200.0 MiB", 1)
        assert settings(con) == before
        with pytest.raises(ZeroDivisionError), limited(con, limits, "m.x"):
            raise ZeroDivisionError
        assert settings(con) == before


def test_a_lake_s_session_has_its_limits_and_loads_nothing_else(tmp_path, monkeypatch):
    limits = Limits(memory_limit="300MiB", threads=1, spill_folder=tmp_path)
    with extensions.lake_session(limits) as con:
        assert settings(con) == ("300.0 MiB", 1)
        assert con.execute("SELECT current_setting('temp_directory')").fetchone() == (
            str(tmp_path),
        )
        with pytest.raises(duckdb.Error):
            con.execute("LOAD spatial")  # nothing is downloaded
        with pytest.raises(duckdb.Error, match="Cannot change"):
            con.execute("SET allow_unsigned_extensions = true")
    monkeypatch.setattr(extensions, "LAKE", ("ducklake", "no_such_extension"))
    with pytest.raises(ExtensionMissing, match="no_such_extension is not there"):
        extensions.lake_session(limits)


def test_nothing_after_a_timeout_is_interrupted():
    with connect() as con:
        for _ in range(5):
            with pytest.raises(ModelFailed), limited(con, BuildLimits(timeout_s=0.02), "m.x"):
                con.execute("SELECT sum(a.range) FROM range(1000000) a, range(1000000) b")
            assert con.execute("SELECT count(*) FROM range(100000)").fetchone() == (100000,)


def test_a_model_s_memory_is_its_own(project):
    big = "SELECT list(range ORDER BY hash(range)) AS l FROM range(2000000)"
    made = project({"models/m/big.sql": f"/* memory_limit: 20MB */ {big}",
                    "models/m/fine.sql": "SELECT 1 AS x", "data/a.csv": "a,b\n1,x\n"})  # fmt: skip
    report = made.run()
    (step,) = report.failed
    assert step.error.message == "there is not enough memory or disk to compute it"
    assert made.ask("SELECT x FROM m.fine") == [(1,)]


def test_limits_change_no_fingerprint(project):
    made = project({"data/a.csv": "a,b\n1,x\n", "models/m/x.sql": "SELECT a FROM s.t"})
    made.run()
    made.write(
        {
            "headwater.yaml": "name: test\ntimeout_s: 100\nthreads: 1\nmemory_limit: 1GB\n",
            "models/m/x.sql": "/* {timeout_s: 50, threads: 1, memory_limit: 500MB} */\n"
            "SELECT a FROM s.t",
        }
    )
    assert made.run().status == "nothing"
    assert open_project(made.folder).project.settings.timeout_s == 100


@pytest.mark.parametrize(
    ("front", "told"),
    [
        ("timeout_s: 0", "input should be greater than 0"),
        ("threads: 0", "input should be greater than or equal to 1"),
        ("memory_limit: much", "string should match pattern"),
        ("timeout: 1", "unknown key 'timeout'"),
    ],
)
def test_a_limit_that_is_none_is_a_mistake(project, front, told):
    made = project({"models/m/x.sql": f"/*\n{front}\n*/\nSELECT a FROM s.t"})
    (mistake,) = check_project(made.folder)[1]
    assert (mistake.file, mistake.line) == ("models/m/x.sql", 2)
    assert mistake.message.startswith(told)
