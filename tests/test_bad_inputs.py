"""What bad input gets: a clear word on what, where and what next, and nothing is lost."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import subprocess
import sys
import tracemalloc
from functools import partial

import duckdb
import pyarrow as pa
import pytest

from headwater.engine import extensions
from headwater.errors import FileRefused, LakeError, LakeLocked, LakeTooNew
from headwater.names import DatasetName
from headwater.project.definitions import Reading
from headwater.sources.batch import Item
from headwater.sources.files.spool import spool
from tests.packed import workbook, zipped

GOOD = "a,b\n1,x\n2,y\n"


def plain_lake(folder):
    con = duckdb.connect()
    extensions.load(con, *extensions.LAKE)
    lake = f"{folder}/.headwater"
    con.execute(
        f"ATTACH 'ducklake:sqlite:{lake}/catalog.sqlite' AS lake (DATA_PATH '{lake}/data/')"
    )
    return con


def truncated_gzip() -> bytes:
    return gzip.compress(b"a,b\n" + b"".join(b"%d,hello\n" % n for n in range(50_000)))[:40_000]


@pytest.mark.parametrize(
    ("name", "content", "message", "hint"),
    [
        ("empty.csv", b"", "the file is empty (0 bytes)", "run again when it is complete"),
        ("bin.csv", bytes(range(256)) * 20, "the file is binary, not text", "check the dataset's"),
        ("cut.csv.gz", truncated_gzip(), "the gzip data ends early", "copy the file again"),
        ("dup.csv", b"a,b,a\n1,2,3\n", "the header names 'a' more than once", "rename one of"),
        ("other.csv", b"b,c\n1,2\n", "the file has no column 'a'", "its columns: b, c"),
        ("p.csv", b"PAR1....", "the file is Parquet, not text", "set `format: parquet`"),
        (
            "z.csv",
            b"PK\x03\x04....",
            "the zip data ends early or is damaged",
            "copy the file again",
        ),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_by_name_and_stops_no_other(
    project, name, content, message, hint
):
    made = project(
        {"data/good.csv": GOOD, f"data/{name}": content},
        source="connector: files\ndatasets:\n  t:\n    path: data/*\n    format: csv\n"
        "    columns: {a: {type: integer, required: true}, b: varchar}\n",
    )
    report = made.run()
    assert report.exit_code == 1
    (path, why), *others = report.refused.items()
    assert not others
    assert path == f"data/{name}"
    assert why.startswith(message)
    assert hint in why
    assert made.ask("SELECT a FROM s.t ORDER BY a") == [(1,), (2,)]
    assert made.balances()
    rows = made.ask("SELECT path, status, reason FROM headwater.files ORDER BY status")
    assert rows[0][:2] == ("data/good.csv", "landed")
    assert rows[1][:2] == (f"data/{name}", "refused")


def truncated(pack) -> bytes:
    rows = "".join(f"{n},{n * 7919 % 10007}\n" for n in range(50_000))
    packed = pack(f"a,b\n{rows}".encode())
    return packed[: len(packed) // 2]


UTF16 = "a,b\n1,x\n".encode("utf-16-le")
TOO_LARGE = "unpacked, it is larger than 100 MB and more than 200 times its size"


NOT_AS_SAID = [
    ("mark.csv", "a\n1\n".encode("utf-16"), "encoding: latin-1",
     "the file begins with the byte order mark of utf-16, and `encoding: iso8859-1`",
     "leave `encoding:` out"),
    ("latin.csv", UTF16, "encoding: cp1252", "the file is utf-16-le by its zero bytes",
     "set `encoding: utf-16-le`"),
    ("order.csv", UTF16, "encoding: utf-16-be", "the file is utf-16-le by its zero bytes",
     "set `encoding: utf-16-le`"),
    ("bare.csv", UTF16, "", "the file is utf-16-le by its zero bytes", "set `encoding:"),
    ("long.csv", b"a,b\n1," + b"x" * 100_000_000, "",
     "a line of the file is longer than 16 MiB", "check the line ends"),
    ("long.jsonl", b'{"a": "' + b"x" * 100_000_000 + b'"}', "",
     "a line of the file is longer than 16 MiB", "`format: json`"),
    ("cut.csv.zst", truncated(partial(pa.compress, codec="zstd", asbytes=True)), "",
     "the zstd data ends early or is damaged", "copy the file again"),
    ("cut.csv.xz", truncated(lzma.compress), "", "the xz data ends early", "copy the file"),
    ("cut.csv.bz2", truncated(bz2.compress), "", "the bz2 data ends early", "copy the file"),
    ("cut.csv.zip", truncated(lambda text: zipped({"a.csv": text})), "",
     "the zip data ends early", "copy the file again"),
    ("out.zip", zipped({"a.csv": b"a,b\n9,x\n", "../out.csv": b"a,b\n9,x\n"}), "",
     "the zip archive has a file whose path leads out of the folder", "do not trust it"),
    ("bomb.csv.gz", gzip.compress(b"a,b\n" + b"1,x\n" * 30_000_000), "", TOO_LARGE,
     "`max_unpack_ratio:`"),
    ("bomb.xlsx", zipped({"xl/workbook.xml": b" " * 120_000_000}), "", TOO_LARGE,
     "`max_unpack_ratio:`"),
    ("sheet.xlsx", workbook({"one": [["a"], [1]]}), "sheet: two",
     "the workbook has no sheet 'two'", "known: one"),
    ("no_key.json", b'{"data": {"items": []}}', "records: data.rows",
     "there is no 'rows' on the way to `records: data.rows`", "the keys there: items"),
    ("no_list.json", b'{"data": {"items": {}}}', "records: data.items",
     "what is at `records: data.items` is an object, not a list", "name the list itself"),
]  # fmt: skip
"""Name, content, keys of its path; what is said, and the hint."""


def test_files_that_are_not_as_they_are_said_are_refused_by_name_and_stop_no_other(project):
    paths = [f"{{glob: 'bad/{name}', {keys}}}" for name, _, keys, _, _ in NOT_AS_SAID]
    made = project(
        {"data/good.csv": GOOD, **{f"bad/{name}": text for name, text, *_ in NOT_AS_SAID}},
        source="connector: files\ndatasets:\n  t:\n    path:\n      - data/good.csv\n"
        + "".join(f"      - {path}\n" for path in paths)
        + "    columns: {a: {type: integer, required: true}, b: varchar}\n",
    )
    report = made.run()
    assert report.exit_code == 1
    assert set(report.refused) == {f"bad/{name}" for name, *_ in NOT_AS_SAID}
    for name, _, _, message, hint in NOT_AS_SAID:
        assert report.refused[f"bad/{name}"].startswith(message), name
        assert hint in report.refused[f"bad/{name}"], name
    assert made.ask("SELECT a FROM s.t ORDER BY a") == [(1,), (2,)]
    assert made.balances()
    assert not list(made.folder.rglob("out.csv"))
    assert not list((made.folder / ".headwater" / "tmp").rglob("unpacked"))


def test_a_long_line_and_a_bomb_take_no_more_memory_than_others(tmp_path):
    """Looking over a file takes some blocks of 4 MiB, whatever is in it."""
    for name, content in {
        "long.csv": b"a,b\n1," + b"x" * 100_000_000,
        "bomb.csv.xz": lzma.compress(b"a,b\n1," + b"x" * 150_000_000, preset=0),
    }.items():
        path = tmp_path / name
        path.write_bytes(content)
        del content
        facts = path.stat()
        item = Item(path=name, absolute=path, size_bytes=facts.st_size, modified_ns=0)
        tracemalloc.start()
        try:
            with pytest.raises(FileRefused):
                spool(item, tmp_path / "scratch", Reading())
            assert tracemalloc.get_traced_memory()[1] < 40_000_000
        finally:
            tracemalloc.stop()


def test_five_thousand_columns_land(project):
    names = [f"column_of_a_long_name_{n}" for n in range(5000)]
    line = ",".join("1" for _ in names)
    made = project(
        {"data/wide.csv": f"{','.join(names)}\n{line}\n{line}\n"},
        source="connector: files\ndatasets:\n  t: {path: data/*.csv}\n",
    )
    report = made.run()
    assert report.exit_code == 0
    assert made.ask("SELECT count(*), max(column_of_a_long_name_4999) FROM s.t") == [(2, "1")]


def test_a_refused_file_lands_once_it_is_mended(project):
    made = project({"data/good.csv": GOOD, "data/late.csv": b""})
    assert made.run().refused
    assert made.run().refused, "it is tried again, and refused again"
    made.write({"data/late.csv": "a,b\n3,z\n"})
    assert made.run().exit_code == 0
    assert made.ask("SELECT count(*) FROM s.t") == [(3,)]
    assert made.ask("SELECT count(*) FROM headwater.files WHERE status = 'refused'") == [(1,)]


def test_a_run_whose_new_files_are_all_refused_ends_and_says_so(project):
    made = project({"data/good.csv": GOOD})
    made.run()
    made.write({"data/bad.csv": ""})
    code, out, _ = made.cli("run")
    assert code == 1
    assert "1 file refused" in out
    assert "nothing to do" not in out


def test_a_header_alone_lands_no_rows_and_says_so(project):
    made = project({"data/h.csv": "a,b\n"})
    report = made.run()
    assert report.exit_code == 0
    assert report.steps[0].notes == ["data/h.csv: it has a header and no records"]
    assert made.ask("SELECT * FROM s.t") == []


@pytest.mark.parametrize(
    ("path", "message", "hint"),
    [
        ("data", "data is a folder, not a file", "path: data/*.csv"),
        ("nothing/*.csv", "no file matches nothing/*.csv", "paths are relative to"),
    ],
)
def test_a_path_that_names_no_file(project, path, message, hint):
    made = project(
        {"data/good.csv": GOOD},
        source=f"connector: files\ndatasets:\n  t: {{path: '{path}'}}\n",
    )
    code, _, errors = made.cli("run")
    assert code == 1
    assert f"s.t: {message}" in errors
    assert hint in errors


UPSERT = """\
connector: files
datasets:
  t:
    path: data/*.csv
    write: upsert
    key: a
    columns: {a: {type: integer, required: true}, b: varchar}
"""


def test_a_changed_file_of_an_upsert_whose_other_files_are_gone_is_refused(project):
    made = project({"data/one.csv": GOOD, "data/two.csv": GOOD, "sources/s.yaml": UPSERT})
    made.run()
    made.write({"data/one.csv": "a,b\n9,x\n"})
    (made.folder / "data/two.csv").unlink()
    report = made.run()
    assert report.exit_code == 1
    assert "data/two.csv, which was landed too, is not there" in report.refused["data/one.csv"]
    assert made.ask("SELECT a FROM s.t ORDER BY a") == [(1,), (2,)]


def test_a_changed_file_that_cannot_be_read_keeps_its_rows(project):
    made = project({"data/good.csv": GOOD})
    made.run()
    made.write({"data/good.csv": ""})
    report = made.run()
    assert report.exit_code == 1
    assert "empty" in report.refused["data/good.csv"]
    assert made.ask("SELECT a FROM s.t ORDER BY a") == [(1,), (2,)]


def test_a_replaced_dataset_of_which_a_file_cannot_be_read_stays_as_it_is(project):
    source = UPSERT.replace("upsert", "replace")
    made = project({"data/one.csv": GOOD, "sources/s.yaml": source})
    made.run()
    made.write({"data/one.csv": "a,b\n9,x\n", "data/two.csv": ""})
    report = made.run()
    assert report.exit_code == 1
    assert "data/two.csv cannot be read" in str(report.failed[0].error)
    assert made.ask("SELECT a FROM s.t ORDER BY a") == [(1,), (2,)]


def test_a_changed_contract_whose_files_are_gone_is_refused_unless_told(project):
    made = project({"data/one.csv": GOOD, "data/two.csv": "a,b\n3,z\n"})
    made.run()
    (made.folder / "data/two.csv").unlink()
    text = (made.folder / "sources/s.yaml").read_text()
    made.write({"sources/s.yaml": text.replace("integer", "bigint")})
    report = made.run()
    error = report.failed[0].error
    assert "1 file that it was landed from: data/two.csv" in error.message
    assert "--from-now" in error.hint
    assert made.ask("SELECT a FROM s.t ORDER BY a") == [(1,), (2,), (3,)]
    assert made.run(from_now=True).exit_code == 0
    assert made.ask("SELECT a FROM s.t ORDER BY a") == [(1,), (2,)]


def test_a_lake_that_stays_locked(project):
    made = project({"data/good.csv": GOOD, "headwater.yaml": "name: t\nlock_timeout_s: 0.3\n"})
    made.run()
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys, headwater as hw\n"
            "lake = hw.open_project(sys.argv[1]).open_lake()\n"
            "with lake.locks.commit():\n    print('held', flush=True); sys.stdin.read()",
            str(made.folder),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(LakeLocked, match=r"locked for 0\.3 s by process") as caught:
            made.run()
        assert "lock_timeout_s" in caught.value.hint
        assert made.ask("SELECT count(*) FROM s.t") == [(2,)], "readers do not wait"
    finally:
        holder.communicate("")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become somebody without rights")
def test_a_read_only_lake_can_be_read_and_says_that_it_cannot_be_written(project):
    made = project({"data/good.csv": GOOD})
    made.run()
    made.write({"data/more.csv": "a,b\n3,z\n"})
    for path in [made.folder, *made.folder.parents]:
        if path.stat().st_uid == 0 and path != path.parent:
            path.chmod(path.stat().st_mode | 0o055)
    child = os.fork()
    if not child:
        code = 9
        try:
            os.setegid(65534)
            os.seteuid(65534)
            try:
                made.run()
            except LakeError as error:
                code = 0 if "cannot be written" in str(error) and error.hint else 8
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert made.ask("SELECT count(*) FROM s.t") == [(2,)]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to mount a small disk")
def test_a_full_disk_loses_nothing_and_the_next_run_goes_on(project, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("this machine lets nobody mount a disk")
    try:
        made = project(
            {
                "headwater.yaml": f"name: t\nlake: {disk}/lake\n",
                "data/a.csv": GOOD,
                "models/m/n.sql": "SELECT count(*) AS n FROM s.t",
            }
        )
        assert made.run().exit_code == 0
        rows = "".join(f"{n},{n * 7919 % 1_000_003}-{n}\n" for n in range(10, 200_000))
        made.write({"data/b.csv": "a,b\n" + rows})
        code, _, errors = made.cli("run")
        assert code == 1
        assert "the disk is full" in errors
        assert "free some space and run again" in errors
        assert made.ask("SELECT n FROM m.n") == [(2,)]
        subprocess.run(["mount", "-o", "remount,size=60m", str(disk)], check=True)
        assert made.run().exit_code == 0
        assert made.ask("SELECT n FROM m.n") == [(199_992,)]
        assert made.balances()
    finally:
        subprocess.run(["umount", str(disk)], check=False)


def test_a_lake_of_a_newer_version_is_left_alone(project):
    made = project({"data/good.csv": GOOD})
    made.run()
    with plain_lake(made.folder) as con:
        con.execute("INSERT INTO lake.headwater.lake_format VALUES (999, '9.9', NULL, NULL)")
    for act in (made.run, lambda: made.ask("SELECT 1")):
        with pytest.raises(LakeTooNew, match=r"format 999, made by Headwater 9\.9") as caught:
            act()
        assert "upgrade" in caught.value.hint


def test_a_ducklake_of_somebody_else_is_left_alone(project):
    made = project({"data/good.csv": GOOD})
    (made.folder / ".headwater").mkdir()
    with plain_lake(made.folder) as con:
        con.execute("CREATE TABLE lake.main.theirs (x INTEGER)")
    with pytest.raises(LakeError, match="not made by Headwater"):
        made.run()


@pytest.mark.parametrize(
    ("sql", "message", "hint"),
    [
        ("SELECT a, 1.0 / (a - 2) AS r FROM s.t", "1 of 2 rows break r.finite", "nullif(divisor"),
        ("SELECT CAST(b AS INTEGER) AS n FROM s.t", "Could not convert string '…'", "TRY_CAST"),
    ],
)
def test_a_model_that_fails_half_way(project, sql, message, hint):
    made = project({"data/good.csv": GOOD, "models/m/x.sql": sql})
    report = made.run()
    assert report.exit_code == 1
    (failed,) = report.failed
    assert message in str(failed.error)
    assert hint in failed.error.hint
    assert "'x'" not in str(failed.error), "no row values in errors"
    assert report.release is None
    assert made.ask("SELECT count(*) FROM headwater.steps WHERE status = 'failed'") == [(1,)]


@pytest.mark.parametrize(
    ("body", "message", "hint"),
    [
        ("raise ValueError('secret 123')", "ValueError was raised by p()", "--traceback"),
        ("return None", "p() returned None", "return the result"),
        ("return 5", "p() returned int, which is no table", "DuckDB relation"),
        ("return t.aggregate('count(*) AS n')", "the result has no column 'x'", "it has: n"),
        ("import not_there_at_all", "ModuleNotFoundError was raised by p()", "--traceback"),
    ],
)
def test_a_python_model_that_fails(project, body, message, hint):
    text = (
        "import headwater as hw\n\n\n@hw.model(columns={'x': 'integer'})\n"
        f"def p(t: hw.Input('s.t')):\n    {body}\n"
    )
    made = project({"data/good.csv": GOOD, "models/m/p.py": text})
    report = made.run()
    (failed,) = report.failed
    assert message in str(failed.error)
    assert str(failed.error).startswith("models/m/p.py:")
    assert hint in failed.error.hint
    assert "123" not in str(failed.error)
    assert report.held.keys() == {DatasetName("s", "t"), DatasetName("m", "p")}
