"""The commands: help, JSON, exit codes, formats, and what a query may not do."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from datetime import datetime
from decimal import Decimal

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

import headwater as hw
from headwater.cli.main import app
from headwater.errors import HeadwaterError, QueryRefused, UnknownDataset
from headwater.lake.lake import Lake
from headwater.lake.query import query

SOURCE = """\
connector: files
datasets:
  t:
    description: Some rows.
    path: data/*.csv
    columns:
      id: {type: bigint, required: true}
      v: {type: integer, min: 0}
      ts: timestamptz
      d: decimal(10,2)
"""
ROWS = "id,v,ts,d\n1,10,2020-01-01T00:00:00+02:00,1.50\nx,1,,\n3,,,\n4,-1,,\n"
MODEL = """\
/*
description: Doubled.
key: id
owner: someone
*/
SELECT id, v * 2 AS w, [v, 2] AS l, 'é,"' || chr(10) || 'x' AS s, ts, d FROM s.t
"""
COMMANDS = [
    ["init"],
    ["check"],
    ["run"],
    ["query"],
    ["show"],
    ["status"],
    ["ledger"],
    ["quarantine"],
    ["quarantine", "list"],
    ["quarantine", "show"],
    ["releases"],
    ["backup"],
    ["doctor"],
    ["schema"],
    ["test"],
    ["restore"],
]


NO_TESTS = {"tests": [], "passed": 0, "failed": 0, "recorded": 0}


def invoke(*words: str, text: str | None = None) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, list(words), input=text)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A project that was run once: two rows landed, two are in quarantine."""
    folder = tmp_path_factory.mktemp("cli")
    files = {
        "headwater.yaml": "name: shop\n",
        "sources/s.yaml": SOURCE,
        "data/a.csv": ROWS,
        "models/m/x.sql": MODEL,
    }
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    assert hw.open_project(folder).run().exit_code == 0
    return folder


def ask(made, *words: str, text: str | None = None) -> tuple[int, str, str]:
    return invoke(*words, "-C", str(made), text=text)


# ---- help


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_has_help_with_an_example(command):
    code, out, _ = invoke(*command, "--help")
    assert code == 0
    assert "Usage:" in out
    if command != ["quarantine"]:
        assert f"headwater {' '.join(command)}" in out.split("Example:")[1]


def test_the_commands_are_all_of_them():
    _, out, _ = invoke("--help")
    for command in COMMANDS:
        assert command[0] in out


def test_the_version_is_printed():
    code, out, _ = invoke("--version")
    assert code == 0
    assert out.startswith("headwater ")


def test_help_loads_neither_duckdb_nor_pydantic():
    code = (
        "import sys; sys.argv = ['headwater', '--help']\n"
        "from headwater.cli.main import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        "print([m for m in ('duckdb', 'pydantic', 'pyarrow', 'rich') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("command", ["run", "plan"])
def test_what_only_data_frames_need_is_not_loaded(project, command):
    made = project({"models/m/one.sql": "SELECT 1 AS x", "data/a.csv": "a\n1\n"})
    assert made.run().exit_code == 0
    (made.folder / "models/m/another.sql").write_text("SELECT * FROM m.one")
    code = (
        f"import os, sys; os.chdir({str(made.folder)!r}); sys.argv = ['headwater', {command!r}]\n"
        "from headwater.cli.main import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        "print([m for m in ('pandas', 'numpy', 'polars', 'openpyxl') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "another" in done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "[]"


# ---- JSON


@pytest.mark.parametrize(
    ("words", "look"),
    [
        (
            ["check"],
            lambda v: v == {"mistakes": [], "datasets": ["s.t", "m.x"], "checks": [], "tests": []},
        ),
        (["test"], lambda v: v.pop("seconds") < 60 and v == NO_TESTS),
        (["run"], lambda v: v["status"] == "nothing" and v["exit_code"] == 0),
        (["query", "SELECT 1 AS a"], lambda v: v == [{"a": 1}]),
        (
            ["show", "m.x"],
            lambda v: v["key"] == ["id"] and v["rows"] == 2 and len(v["sample"]) == 2,
        ),
        (["show", "s.t", "--failed"], lambda v: {c["check"] for c in v} == {"id.type", "v.min"}),
        (["status"], lambda v: [d["state"] for d in v["datasets"]] == ["released", "released"]),
        (["ledger"], lambda v: {line["dataset"] for line in v} == {"s.t", "m.x"}),
        (["ledger", "s.t"], lambda v: v[0]["received"] == 4 and v[0]["quarantined"] == 2),
        (["quarantine", "list"], lambda v: [r["rows"] for r in v["reasons"]] == [1, 1]),
        (["quarantine", "show", "s.t/1/2"], lambda v: v[0]["content"] == "x,1,,"),
        (["releases"], lambda v: v[0]["release_id"] == 1 and v[0]["moved"] == 2),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_json_is_one_value_on_standard_output(made, words, look):
    code, out, errors = ask(made, *words, "--json")
    assert code == 0
    assert errors == ""
    assert look(json.loads(out))


@pytest.mark.parametrize(
    "words",
    [["show", "m.nope"], ["query", "SELECT * FROM m.nope"], ["quarantine", "show", "nope"]],
    ids=" ".join,
)
def test_errors_are_json_too(made, words):
    code, out, _ = ask(made, *words, "--json")
    assert code == 1
    assert json.loads(out).keys() >= {"error", "where", "hint"}


# ---- text


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["check"], "shop: 2 datasets, no mistakes"),
        (["run"], "nothing to do"),
        (["show", "x"], "Doubled."),
        (["show", "m.x"], "someone"),
        (["status"], "shop: release 1"),
        (["ledger", "s.t"], "quarantined"),
        (["ledger", "--run", "last"], "m.x"),
        (["quarantine", "list"], "data/a.csv:3"),
        (["quarantine", "list", "--reason", "v.min"], "s.t/1/4"),
        (["quarantine", "list", "m.x"], "nothing is in quarantine"),
        (["quarantine", "show", "s.t/1/4"], "at least 0"),
        (["releases"], "s.t, m.x"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_command_says_what_it_found(made, words, expected):
    code, out, _ = ask(made, *words)
    assert code == 0
    assert expected in out


def test_init_makes_a_project_that_runs(tmp_path):
    folder = tmp_path / "My shop"
    assert invoke("init", str(folder))[0] == 0
    assert invoke("check", "-C", str(folder))[0] == 0
    assert invoke("run", "-C", str(folder))[0] == 0
    code, out, _ = invoke("query", "SELECT count(*) AS n FROM marts.revenue_by_day", "--json", "-C",
                          str(folder))  # fmt: skip
    assert code == 0
    assert json.loads(out)[0]["n"] > 0
    code, _, errors = invoke("init", str(folder))
    assert code == 1
    assert "exists and is not an empty folder" in errors


# ---- exit codes


def test_wrong_use_is_2():
    assert invoke("run", "--nope")[0] == 2
    assert invoke("nope")[0] == 2
    assert invoke("query")[0] == 2
    assert invoke("show", "x", "--limit", "0")[0] == 2


def test_no_project_is_2(tmp_path):
    code, _, errors = invoke("status", "-C", str(tmp_path))
    assert code == 2
    assert "no headwater.yaml" in errors
    assert "headwater init" in errors


def test_mistakes_and_unknown_selections_are_2(project):
    made = project({"models/m/a.sql": "SELECT nope FROM s.t"})
    assert made.cli("check")[0] == 2
    assert made.cli("run")[0] == 2
    good = project({"models/m/a.sql": "SELECT 1 AS x"})
    assert good.cli("run", "--select", "nope")[0] == 2


def test_a_step_that_fails_is_1_and_the_rest_is_released(project):
    made = project(
        {
            "data/a.csv": "a,b\n1,x\n",
            "models/m/bad.sql": "SELECT CAST(b AS INTEGER) AS n FROM s.t",
            "models/m/good.sql": "SELECT 1 AS x",
        }
    )
    code, out, _ = made.cli("run")
    assert code == 1
    assert "held back  m.bad" in out
    assert "release 1: 1 dataset" in out
    assert made.ask("SELECT x FROM m.good") == [(1,)]


def test_reading_before_the_first_run_says_that_there_is_no_lake_yet(project):
    made = project({"data/a.csv": "a,b\n1,x\n"})
    for words in (["query", "SELECT 1"], ["ledger"], ["quarantine", "list"], ["releases"]):
        code, _, errors = made.cli(*words)
        assert code == 1
        assert "there is no lake yet" in errors
        assert "headwater run" in errors
    assert made.cli("status")[0] == 0


def test_a_mistake_in_a_model_stops_no_reading(project):
    made = project({"data/a.csv": "a,b\n1,x\n"})
    made.run()
    made.write({"models/m/a.sql": "SELECT nope FROM s.t"})
    for words in (["query", "SELECT a FROM s.t"], ["ledger"], ["quarantine", "list"]):
        assert made.cli(*words)[0] == 0


# ---- output formats


EXPECTED = [
    {"id": 1, "w": 20, "l": [10, 2], "s": 'é,"\nx', "d": Decimal("1.50")},
    {"id": 3, "w": None, "l": [None, 2], "s": 'é,"\nx', "d": None},
]
QUERY = "SELECT id, w, l, s, d FROM m.x ORDER BY id"


def from_csv(raw: bytes) -> list[dict]:
    rows = csv.DictReader(io.StringIO(raw.decode(), newline=""))
    return [
        {
            "id": int(row["id"]),
            "w": int(row["w"]) if row["w"] else None,
            "l": json.loads(row["l"]),
            "s": row["s"],
            "d": Decimal(row["d"]) if row["d"] else None,
        }
        for row in rows
    ]


def from_json(raw: bytes) -> list[dict]:
    return [{**row, "d": row["d"] and Decimal(row["d"])} for row in json.loads(raw)]


def from_parquet(raw: bytes) -> list[dict]:
    return pq.read_table(io.BytesIO(raw)).to_pylist()


@pytest.mark.parametrize(
    ("format_", "back"), [("csv", from_csv), ("json", from_json), ("parquet", from_parquet)]
)
def test_rows_come_back_from_every_format_as_they_went_out(made, tmp_path, format_, back):
    target = tmp_path / f"out.{format_}"
    code, _, errors = ask(made, "query", QUERY, "--output", str(target))
    assert code == 0
    assert f"wrote {target}" in errors
    assert back(target.read_bytes()) == EXPECTED
    result = CliRunner().invoke(app, ["query", QUERY, "-f", format_, "-C", str(made)])
    assert back(result.stdout_bytes) == EXPECTED


def test_no_rows_are_a_valid_file_in_every_format(made, tmp_path):
    for format_, back in (("csv", from_csv), ("json", from_json), ("parquet", from_parquet)):
        target = tmp_path / f"empty.{format_}"
        assert ask(made, "query", f"{QUERY} LIMIT 0", "-o", str(target))[0] == 0
        assert back(target.read_bytes()) == []


def test_a_table_shows_the_rows_and_how_many(made):
    code, out, errors = ask(made, "query", "SELECT id, w FROM m.x ORDER BY id")
    assert code == 0
    assert [line.split() for line in out.splitlines()] == [["id", "w"], ["1", "20"], ["3"]]
    assert errors == "2 rows\n"


def test_a_query_can_come_from_standard_input(made):
    assert ask(made, "query", "-", "-f", "csv", text="SELECT 1 AS a")[1] == '"a"\n1\n'


def test_an_unknown_format_is_refused(made):
    code, _, errors = ask(made, "query", "SELECT 1", "-f", "xml")
    assert code == 1
    assert "known: table, csv, json, parquet" in errors


def test_a_query_that_fails_while_it_runs_is_an_error_and_no_traceback(made):
    for format_ in ("table", "csv", "json", "parquet"):
        sql = "SELECT CAST('x' || id AS INTEGER) FROM m.x"
        result = CliRunner().invoke(app, ["query", sql, "-f", format_, "-C", str(made)])
        assert result.exit_code == 1
        assert isinstance(result.exception, SystemExit), repr(result.exception)
        assert "Could not convert" in result.stderr


@pytest.mark.parametrize("way", ["rows", "arrow", "polars", "pandas", "iterate"])
def test_a_query_that_fails_while_it_runs_raises_our_error(made, way):
    result = hw.open_project(made).query("SELECT CAST('x' || id AS INTEGER) AS n FROM m.x")
    with pytest.raises(HeadwaterError):
        list(result) if way == "iterate" else getattr(result, way)()


def test_a_query_gives_arrow_polars_and_pandas(made):
    opened = hw.open_project(made)
    assert opened.query(QUERY).arrow().to_pylist() == EXPECTED
    assert opened.query("SELECT id FROM m.x ORDER BY id").polars()["id"].to_list() == [1, 3]
    assert opened.query("SELECT id FROM m.x ORDER BY id").pandas()["id"].tolist() == [1, 3]
    assert list(opened.query("SELECT id FROM m.x ORDER BY id")) == [(1,), (3,)]


# ---- what a query may not do


@pytest.fixture(scope="module")
def secret(tmp_path_factory):
    path = tmp_path_factory.mktemp("secret") / "secret.csv"
    path.write_text("a,b\n1,hunter2\n")
    return path


FORBIDDEN = [
    "SELECT * FROM read_csv('{file}')",
    "SELECT * FROM read_csv_auto('{file}')",
    "SELECT * FROM read_text('{file}')",
    "SELECT * FROM read_blob('{file}')",
    "SELECT * FROM read_json('{file}')",
    "SELECT * FROM read_parquet('{file}')",
    "SELECT * FROM parquet_scan('{file}')",
    "SELECT * FROM sniff_csv('{file}')",
    "SELECT * FROM glob('{file}*')",
    "SELECT * FROM '{file}'",
    'SELECT * FROM "{file}"',
    "FROM '{file}'",
    "SELECT * FROM sqlite_scan('{lake}/catalog.sqlite', 'ducklake_snapshot')",
    "SELECT (SELECT content FROM read_text('{file}'))",
    "SELECT 1 WHERE 'x' IN (SELECT content FROM read_text('{file}'))",
    "WITH c AS (SELECT * FROM read_text('{file}')) SELECT 1",
    "WITH c AS MATERIALIZED (FROM read_text('{file}')) FROM c",
    "SELECT * FROM m.x, LATERAL (SELECT * FROM read_text('{file}'))",
    "SELECT * FROM m.x UNION ALL BY NAME SELECT * FROM read_text('{file}')",
    "SELECT * FROM query('SELECT * FROM read_text(''{file}'')')",
    "SELECT * FROM query_table('{file}')",
    "SELECT * FROM json_execute_serialized_sql(json_serialize_sql('SELECT 1'))",
    "SELECT * FROM (SELECT * FROM (SELECT * FROM read_text('{file}')))",
    "SELECT * FROM (PIVOT read_csv('{file}') ON a USING count(*))",
    "SELECT * FROM (DESCRIBE SELECT * FROM read_csv('{file}'))",
    "DESCRIBE SELECT * FROM read_csv('{file}')",
    "SUMMARIZE '{file}'",
    "EXPLAIN SELECT * FROM read_text('{file}')",
    "EXPLAIN ANALYZE SELECT * FROM read_text('{file}')",
    "EXPLAIN ANALYZE COPY (SELECT 1) TO '{out}'",
    "COPY (SELECT 1) TO '{out}'",
    "COPY m.x FROM '{file}'",
    "EXPORT DATABASE '{out}'",
    "ATTACH '{out}' AS x",
    "DETACH lake",
    "USE lake",
    "INSTALL httpfs",
    "LOAD httpfs",
    "SET threads = 1",
    "SET enable_external_access = true",
    "RESET threads",
    "PRAGMA database_list",
    "PRAGMA enable_profiling",
    "CALL pragma_version()",
    "INSERT INTO m.x VALUES (1)",
    "UPDATE m.x SET w = 1",
    "DELETE FROM m.x",
    "DROP VIEW m.x",
    "CREATE TABLE x AS SELECT 1",
    "CREATE MACRO f() AS 1",
    "CREATE SECRET (TYPE s3)",
    "ALTER TABLE m.x ADD COLUMN y INTEGER",
    "BEGIN",
    "VACUUM",
    "CHECKPOINT",
    "PREPARE p AS SELECT 1",
    "SELECT 1; SELECT 2",
    "SELECT 1; DROP VIEW m.x",
    "",
    "not sql",
    "SELECT * FROM duckdb_secrets()",
    "SELECT * FROM duckdb_settings()",
    "SELECT * FROM ducklake_snapshots('lake')",
    "SELECT * FROM lake.snapshots()",
    "SELECT getenv('HOME')",
]


@pytest.mark.parametrize("sql", FORBIDDEN)
def test_a_query_reads_released_datasets_and_nothing_else(made, secret, tmp_path, sql):
    out = tmp_path / "out"
    text = sql.replace("{file}", str(secret)).replace("{out}", str(out))
    text = text.replace("{lake}", str(made / ".headwater"))
    with pytest.raises((QueryRefused, UnknownDataset)) as caught:
        query(Lake.open_read_only(made / ".headwater"), text).rows()
    assert "hunter2" not in str(caught.value)
    assert not out.exists()


HIDDEN = [
    "lake.built.x",
    "built.x",
    "lake.headwater.runs",
    "lake.m.x",
    "memory.m.x",
    "__ducklake_metadata_lake.ducklake_snapshot",
    "__ducklake_metadata_lake.main.ducklake_snapshot",
    "m.nope",
    "x",
    "headwater.nope",
]


@pytest.mark.parametrize("name", HIDDEN)
def test_a_query_sees_the_names_of_the_release_alone(made, name):
    with pytest.raises(UnknownDataset, match="no released dataset"):
        query(Lake.open_read_only(made / ".headwater"), f"SELECT * FROM {name}").rows()


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT table_name FROM information_schema.tables WHERE table_schema = 'built'",
        "SELECT tablename FROM pg_catalog.pg_tables WHERE schemaname = 'built'",
        "SELECT name FROM sqlite_master WHERE name LIKE 's__t__%'",
    ],
)
def test_the_catalogs_name_nothing_else(made, sql):
    assert hw.open_project(made).query(sql).rows() == []


def test_the_catalogs_name_what_is_released(made):
    sql = "SELECT table_schema, table_name FROM information_schema.tables ORDER BY ALL"
    assert hw.open_project(made).query(sql).rows() == [("m", "x"), ("s", "t")]


def test_a_dataset_that_is_built_but_held_back_cannot_be_queried(project):
    made = project(
        {"data/a.csv": "a,b\n1,x\n", "models/m/bad.sql": "SELECT CAST(b AS INTEGER) AS n FROM s.t"}
    )
    assert made.run().exit_code == 1
    with pytest.raises(UnknownDataset):
        made.ask("SELECT * FROM s.t")


@pytest.mark.parametrize(
    ("sql", "rows"),
    [
        ("SELECT id FROM m.x ORDER BY id", [(1,), (3,)]),
        ('SELECT id FROM "M"."X" ORDER BY id', [(1,), (3,)]),
        ("FROM m.x SELECT count(*)", [(2,)]),
        ("WITH m AS (SELECT 1 AS a) SELECT a FROM m", [(1,)]),
        ("WITH read_csv AS (SELECT 1 AS a) SELECT a FROM read_csv", [(1,)]),
        ("SELECT 'read_csv(''x'')' AS s", [("read_csv('x')",)]),
        ("SELECT * FROM range(2)", [(0,), (1,)]),
        ("SELECT unnest([1, 2]) AS u", [(1,), (2,)]),
        ("VALUES (1), (2)", [(1,), (2,)]),
        ("SELECT count(*) FROM headwater.quarantine", [(2,)]),
        ("SELECT 1;", [(1,)]),
        ("SELECT 1 -- the end", [(1,)]),
        ("SELECT o.id FROM m.x o JOIN s.t i ON o.id = i.id ORDER BY 1", [(1,), (3,)]),
        ("SELECT x.l[1], m.x.id FROM m.x WHERE x.id = 1", [(10, 1)]),
        ("SELECT max(id) FROM m.x WHERE w = (SELECT max(v) * 2 FROM s.t)", [(1,)]),
        *[
            pytest.param(sql, rows)
            for sql, rows in (
                ("SELECT id FROM m.x JOIN s.t USING (id) ORDER BY id", [(1,), (3,)]),
                ("SELECT count(*) FROM m.x NATURAL JOIN s.t", [(1,)]),
                ("SELECT count(*) FROM m.x SEMI JOIN s.t USING (id)", [(2,)]),
                ("SELECT t.id FROM m.x ASOF JOIN s.t ON x.id >= t.id ORDER BY 1", [(1,), (3,)]),
                ("SELECT u.e FROM m.x, unnest(x.l) AS u(e) WHERE id = 1 ORDER BY 1", [(2,), (10,)]),
                ("SELECT count(*) FROM m.x TABLESAMPLE 100%", [(2,)]),
            )
        ],
        pytest.param(
            "FROM (PIVOT (SELECT id FROM m.x) ON id IN (1, 3) USING count(*))",
            [(1, 1)],
            id="pivot",
        ),
    ],
)
def test_ordinary_queries_are_answered(made, sql, rows):
    assert hw.open_project(made).query(sql).rows() == rows


@pytest.mark.parametrize("sql", ["DESCRIBE m.x", "SUMMARIZE m.x", "EXPLAIN SELECT * FROM m.x"])
def test_a_query_may_ask_about_its_tables(made, sql):
    assert hw.open_project(made).query(sql).rows()


def test_files_can_be_read_when_that_is_allowed(made, secret):
    code, out, _ = ask(
        made, "query", f"SELECT b FROM read_csv('{secret}')", "--allow-files", "-f", "csv"
    )
    assert (code, out) == (0, '"b"\n"hunter2"\n')


def test_files_can_be_read_by_their_names_when_that_is_allowed(made, secret):
    code, out, _ = ask(made, "query", f"SELECT b FROM '{secret}'", "--allow-files", "-f", "csv")
    assert (code, out) == (0, '"b"\n"hunter2"\n')


def test_files_cannot_be_written_even_then(made, tmp_path):
    out = tmp_path / "out.csv"
    ask(made, "query", f"EXPLAIN ANALYZE COPY (SELECT 1) TO '{out}'", "--allow-files")
    assert not out.exists()


def test_a_moment_is_shown_in_utc(made):
    _, out, _ = ask(made, "query", "SELECT ts FROM s.t WHERE id = 1", "--json")
    assert datetime.fromisoformat(json.loads(out)[0]["ts"]) == datetime.fromisoformat(
        "2019-12-31T22:00:00+00:00"
    )


def test_an_interrupt_within_a_query_is_told_as_any_other():
    """DuckDB says it in an error of its own."""
    script = (
        "import os, signal, sys, threading\n"
        "import duckdb\n"
        "from headwater.cli import main, status\n"
        "def slow(out, **options):\n"
        "    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()\n"
        "    duckdb.sql('SELECT count(*) FROM range(10000000000) a, range(10) b').fetchall()\n"
        "status.command = slow\n"
        "sys.argv = ['headwater', 'status']\n"
        "main.main()\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 130, done.stderr
    assert "interrupted: what was committed stays" in done.stderr
    assert "Traceback" not in done.stderr
