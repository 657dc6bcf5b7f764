"""Files landed from their copies in the lake, when they themselves are gone."""

from __future__ import annotations

import gzip
import io
import os
import shutil
import signal
import time
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import headwater as hw
from headwater.api import back_up, restore
from headwater.cli.doctor import examine
from headwater.findings import Grade
from headwater.ingest import land as landing
from headwater.lake import raw as raws
from tests.conftest import Made
from tests.killing.harness import in_child

ONE, TWO = "a,b\n1,x\nno,y\n2,z\n", "a,b\n3,x\n"


def source(*more: str, path: str = "data/*", a: str = "integer", days: str = "30") -> str:
    lines = [f"path: {path}", *more, f"columns: {{a: {{type: {a}, required: true}}, b: varchar}}"]
    if days:
        lines.append(f"raw_retention_days: {days}")
    return "connector: files\ndatasets:\n  t:\n" + "".join(f"    {line}\n" for line in lines)


def copies(made: Made, dataset: str = "s.t") -> list[Path]:
    return sorted((made.folder / ".headwater/raw" / dataset).glob("*"))


def clean_the_landing_zone(made: Made) -> None:
    shutil.rmtree(made.folder / "data")


def age(made: Made, days: float) -> None:
    for path in copies(made):
        moment = time.time() - days * 86400
        os.utime(path, (moment, moment))


def step_of(report):
    return next(step for step in report.steps if str(step.dataset) == "s.t")


def rows(made: Made, columns: str = "a, b") -> list[tuple]:
    """The rows with the paths that they come from, in the order in which these landed."""
    return made.ask(
        f"SELECT {columns}, path FROM s.t JOIN (SELECT file_id, path FROM headwater.files "
        "WHERE status = 'landed' AND built_table = (SELECT max_by(built_table, built_at) "
        "FROM headwater.builds WHERE dataset = 's.t')) ON _file_id = file_id "
        "ORDER BY _file_id, _record"
    )


def quarantined(made: Made) -> list[tuple]:
    return made.ask(
        "SELECT path, line, content, reasons FROM headwater.quarantine "
        "WHERE run_id = (SELECT max(run_id) FROM headwater.quarantine) ORDER BY ALL"
    )


# ---- a changed contract ------------------------------------------------------------------------


def test_a_changed_contract_lands_files_that_are_gone_from_their_copies(project):
    made = project({"data/1.csv": ONE, "data/2.csv": TWO}, source=source())
    made.run()
    before = (rows(made), quarantined(made))
    clean_the_landing_zone(made)
    made.write({"sources/s.yaml": source(a="bigint")})
    report = made.run()
    assert report.exit_code == 0
    assert step_of(report).notes == ["2 files landed from their copies in the lake"]
    assert (rows(made), quarantined(made)) == before
    assert before[1] == [("data/1.csv", 3, "no,y", ["a.type"])]
    assert made.ask("SELECT typeof(a) FROM s.t LIMIT 1") == [("BIGINT",)]
    assert made.balances()
    assert made.run().status == "nothing"


def test_what_is_there_is_landed_from_its_file_and_all_in_the_old_order(project):
    made = project({"data/2.csv": TWO}, source=source())
    made.run()
    made.write({"data/1.csv": ONE, "data/3.csv": "a,b\n4,x\n"})
    made.run()
    (made.folder / "data/3.csv").unlink()
    made.write({"sources/s.yaml": source(a="bigint"), "data/0.csv": "a,b\n9,x\n"})
    assert step_of(made.run()).notes == ["1 file landed from its copy in the lake"]
    assert [row[2] for row in rows(made)] == [
        *("data/2.csv", "data/1.csv", "data/1.csv", "data/3.csv", "data/0.csv")
    ]


def test_a_second_changed_contract_finds_the_copies_too(project):
    made = project({"data/1.csv": ONE}, source=source())
    made.run()
    clean_the_landing_zone(made)
    for kind in ("bigint", "double"):
        made.write({"sources/s.yaml": source(a=kind)})
        assert made.run().exit_code == 0
    assert [row[0] for row in rows(made)] == [1.0, 2.0]


def zipped(members: dict[str, str]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in members.items():
            archive.writestr(name, text)
    return out.getvalue()


def test_packed_files_stay_packed_and_an_archive_is_kept_once(project):
    files = {
        "data/p.csv.gz": gzip.compress(ONE.encode(), mtime=0),
        "data/z.zip": zipped({"in/1.csv": TWO, "in/2.csv": "a,b\n5,x\nno,q\n"}),
    }
    made = project(files, source=source())
    made.run()
    before = (rows(made), quarantined(made))
    assert {path.read_bytes() for path in copies(made)} == set(files.values())
    assert {"".join(path.suffixes) for path in copies(made)} == {".csv.gz", ".zip"}
    clean_the_landing_zone(made)
    made.write({"sources/s.yaml": source(a="bigint")})
    assert step_of(made.run()).notes == ["3 files landed from their copies in the lake"]
    assert (rows(made), quarantined(made)) == before
    assert {row[2] for row in before[0]} == {
        *("data/p.csv.gz", "data/z.zip/in/1.csv", "data/z.zip/in/2.csv")
    }


def test_path_columns_and_readings_are_as_with_the_file(project):
    paths = "[{glob: 'data/{region}/*.csv'}, {glob: 'data/*.zip', member: '{region}.txt', "
    paths += "dialect: {delimiter: pipe}}]"
    made = project(
        {"data/north/1.csv": TWO, "data/all.zip": zipped({"south.txt": "a|b\n4|y\n"})},
        source=source(path=paths),
    )
    made.run()
    before = rows(made, "a, b, region")
    clean_the_landing_zone(made)
    made.write({"sources/s.yaml": source(path=paths, a="bigint")})
    assert made.run().exit_code == 0
    assert rows(made, "a, b, region") == before
    assert sorted(row[2] for row in before) == ["north", "south"]


def test_where_there_is_no_copy_the_run_refuses_and_names_the_key(project):
    made = project({"data/1.csv": ONE, "data/2.csv": TWO}, source=source(days=""))
    made.run()
    assert copies(made) == []
    (made.folder / "data/1.csv").unlink()
    made.write({"sources/s.yaml": source(a="bigint")})
    error = made.run().failed[0].error
    assert "1 file that it was landed from: data/1.csv" in error.message
    assert "raw_retention_days" in error.hint
    report = made.run(from_now=True)
    assert (report.exit_code, [row[0] for row in rows(made)]) == (0, [3])


def test_a_renamed_dataset_finds_what_was_kept_under_its_earlier_name(project):
    made = project({"data/1.csv": ONE}, source=source())
    made.run()
    clean_the_landing_zone(made)
    text = source("renamed_from: s.t", a="bigint").replace("  t:", "  u:")
    made.write({"sources/s.yaml": text})
    assert made.run().exit_code == 0
    assert made.ask("SELECT a FROM s.u ORDER BY a") == [(1,), (2,)]
    assert [f.name for f in examine(str(made.folder)) if f.grade is not Grade.OK] == []


def test_raw_retention_is_no_part_of_the_fingerprint(project):
    made = project({"data/1.csv": ONE}, source=source(days=""))
    made.run()
    made.write({"sources/s.yaml": source(days="7")})
    assert made.run().status == "nothing"
    assert copies(made) == []  # it was received before
    made.run(reland="s")
    assert len(copies(made)) == 1


def test_a_source_states_it_for_its_datasets_and_a_dataset_for_itself(project):
    text = source(days="").replace("datasets:", "raw_retention_days: 5\ndatasets:")
    text += "  u: {path: data/*, raw_retention_days: 0, columns: {a: varchar}}\n"
    made = project({"data/1.csv": ONE}, source=text)
    made.run()
    assert (len(copies(made)), copies(made, "s.u")) == (1, [])


# ---- write modes -------------------------------------------------------------------------------

UPSERT = ("write: upsert", "key: a")


def test_a_changed_file_of_an_upsert_lands_though_another_is_gone(project):
    made = project({"data/1.csv": "a,b\n1,x\n2,x\n"}, source=source(*UPSERT))
    made.run()
    made.write({"data/2.csv": "a,b\n2,y\n3,y\n"})
    made.run()
    (made.folder / "data/1.csv").unlink()
    made.write({"data/2.csv": "a,b\n3,z\n"})
    report = made.run()
    assert (report.exit_code, report.refused) == (0, {})
    assert step_of(report).notes == ["1 file landed from its copy in the lake"]
    assert made.ask("SELECT a, b FROM s.t ORDER BY a") == [(1, "x"), (2, "x"), (3, "z")]
    assert made.balances()


@pytest.mark.parametrize(
    "mode", [UPSERT, ("write: history", "key: a", "on_duplicate: latest by b")]
)
def test_all_is_landed_again_from_copies_in_the_order_of_landing(project, mode):
    made = project({"data/2.csv": "a,b\n1,x\n2,x\n"}, source=source(*mode))
    made.run()
    made.write({"data/1.csv": "a,b\n2,y\n"})
    made.run()
    before = made.ask("SELECT * EXCLUDE (_file_id, _record) FROM s.t ORDER BY ALL")
    clean_the_landing_zone(made)
    report = made.run(reland="s.t")
    assert report.exit_code == 0
    assert step_of(report).notes == ["2 files landed from their copies in the lake"]
    assert made.ask("SELECT * EXCLUDE (_file_id, _record) FROM s.t ORDER BY ALL") == before
    assert step_of(report).ledger.received == 3


def test_a_replaced_dataset_is_not_brought_back(project):
    made = project({"data/1.csv": ONE, "data/2.csv": TWO}, source=source("write: replace"))
    made.run()
    (made.folder / "data/1.csv").unlink()
    made.run()
    assert rows(made) == [(3, "x", "data/2.csv")]
    made.write({"sources/s.yaml": source("write: replace", a="bigint")})
    assert made.run(from_now=True).exit_code == 0
    made.run(reland="s")
    assert [row[0] for row in made.ask("SELECT a FROM s.t")] == [3]


# ---- keeping -----------------------------------------------------------------------------------


def test_the_same_bytes_are_written_once_and_then_received_anew(project):
    made = project({"data/1.csv": ONE}, source=source())
    made.run()
    (copy,) = copies(made)
    inode = copy.stat().st_ino
    age(made, 10)
    made.run(reland="s")
    assert copies(made) == [copy]
    assert copy.stat().st_ino == inode
    assert time.time() - copy.stat().st_mtime < 3600


def test_landing_from_a_copy_does_not_receive_it_anew(project):
    made = project({"data/1.csv": ONE}, source=source())
    made.run()
    clean_the_landing_zone(made)
    age(made, 10)
    made.write({"sources/s.yaml": source(a="bigint")})
    made.run()
    assert time.time() - copies(made)[0].stat().st_mtime > 9 * 86400


def test_a_copy_goes_when_its_time_is_over_or_the_key_is(project):
    made = project({"data/1.csv": ONE}, source=source())
    made.run()
    age(made, 29)
    made.run()
    assert len(copies(made)) == 1
    made.run_at(datetime.now(UTC).replace(tzinfo=None) + timedelta(days=2))
    assert copies(made) == []
    made.run(reland="s")
    assert len(copies(made)) == 1
    made.write({"sources/s.yaml": source(days="")})
    assert made.run().status == "nothing"
    assert copies(made) == []


def test_a_failed_landing_deletes_no_copy(project):
    made = project({"data/1.csv": ONE, "data/2.csv": TWO}, source=source())
    made.run()
    copies(made)[0].unlink()
    clean_the_landing_zone(made)
    age(made, 31)
    made.write({"sources/s.yaml": source(a="bigint")})
    assert made.run().exit_code == 1
    assert len(copies(made)) == 1


def test_a_file_that_changes_while_it_is_kept_is_refused(project, monkeypatch):
    made = project({"data/1.csv": ONE, "data/2.csv": TWO}, source=source())
    keep = raws.Raw.keep

    def slow(self, source, content_hash, run_id):
        if source.name == "1.csv":
            facts = source.stat()
            source.write_text(ONE.replace("1", "7"))  # of the same size, and dated back
            os.utime(source, ns=(facts.st_atime_ns, facts.st_mtime_ns))
        return keep(self, source, content_hash, run_id)

    monkeypatch.setattr(raws.Raw, "keep", slow)
    report = made.run()
    assert "changed while it was read" in report.refused["data/1.csv"]
    assert len(copies(made)) == 1
    assert rows(made) == [(3, "x", "data/2.csv")]


def test_a_full_disk_while_a_file_is_kept_fails_the_step_with_a_clear_word(project, monkeypatch):
    made = project({"data/1.csv": ONE}, source=source())

    def full(path):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(raws, "sync", full)
        error = made.run().failed[0].error
    assert "the lake cannot be written: No space left on device" in str(error)
    assert copies(made) == []
    assert made.run().exit_code == 0


def damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 0xFF
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("name", "content", "where"),
    [
        ("1.csv", ONE.encode(), "data/1.csv"),
        ("1.csv.gz", gzip.compress(ONE.encode(), mtime=0), "data/1.csv.gz"),
        ("1.zip", zipped({"m.csv": ONE * 20}), "data/1.zip/m.csv"),
    ],
    ids=["plain", "gz", "zip"],
)
def test_a_damaged_copy_is_refused_by_name(project, name, content, where):
    made = project({f"data/{name}": content, "data/2.csv": TWO}, source=source())
    made.run()
    kept = next(p for p in copies(made) if p.read_bytes() == content)
    damage(kept)
    clean_the_landing_zone(made)
    made.write({"sources/s.yaml": source(a="bigint")})
    report = made.run()
    assert report.exit_code == 1
    assert report.refused.keys() == {where}
    assert "its copy in the lake is damaged" in report.refused[where]
    assert f"raw/s.t/{kept.name}" in report.refused[where]
    assert [row[0] for row in rows(made)] == [3]
    made.write({f"data/{name}": content})
    assert made.run().exit_code == 0
    assert kept.read_bytes() == content


# ---- kills, backups, the doctor ------------------------------------------------------------------


def killed(made: Made, prepare) -> None:
    """A run in a child process that kills itself where `prepare` says."""

    def work() -> int:
        prepare()
        return hw.open_project(made.folder).run().exit_code

    _, status = os.waitpid(in_child(work), 0)
    assert os.WIFSIGNALED(status)


def kill(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_run_that_is_killed_between_copy_and_commit_is_gone_on_with(project):
    made = project({"data/1.csv": ONE, "data/2.csv": TWO}, source=source())
    killed(made, lambda: setattr(landing.Landing, "apply", kill))
    assert len(copies(made)) == 2
    assert made.run().exit_code == 0
    assert len(copies(made)) == 2
    assert len(rows(made)) == 3


def test_a_copy_that_was_being_written_is_removed(project):
    made = project({"data/1.csv": ONE, "data/2.csv": TWO}, source=source())
    killed(made, lambda: setattr(raws, "sync", kill))
    assert [path.suffix for path in copies(made)] == [".part"]
    found = {f.name: f.message for f in examine(str(made.folder), fix=True)}
    assert "1 file half copied" in found["fix"]
    assert copies(made) == []
    killed(made, lambda: setattr(raws, "sync", kill))
    assert made.run().exit_code == 0
    assert {path.suffix for path in copies(made)} == {".csv"}


def test_a_run_that_is_killed_while_it_lands_from_copies_goes_on_with_the_others(
    project, monkeypatch
):
    made = project({"data/1.csv": ONE, "data/2.csv": TWO}, source=source())
    made.run()
    clean_the_landing_zone(made)
    made.write({"sources/s.yaml": source(a="bigint")})
    monkeypatch.setattr("headwater.run.gather.MAX_STEP_BYTES", 1)
    read = landing._read_file

    def read_one(con, landing_, item, *more):
        return kill() if item.path == "data/2.csv" else read(con, landing_, item, *more)

    killed(made, lambda: setattr(landing, "_read_file", read_one))
    report = made.run()
    assert step_of(report).notes == ["1 file landed from its copy in the lake"]
    assert [row[0] for row in rows(made)] == [1, 2, 3]


def test_a_backup_takes_the_copies_along_and_forgets_those_that_are_gone(project, tmp_path):
    made = project({"data/1.csv": ONE, "data/2.csv": TWO}, source=source())
    made.run()
    age(made, 10)
    first = back_up(made.folder, tmp_path / "backup")
    assert (first.backup.raw_files, first.backup.raw_bytes) == (2, len(ONE + TWO))
    assert back_up(made.folder, tmp_path / "backup").files_copied == 0
    copies(made)[0].unlink()
    assert back_up(made.folder, tmp_path / "backup").backup.raw_files == 1
    (kept,) = copies(made)
    there = tmp_path / "backup/raw/s.t"
    assert [path.name for path in there.iterdir()] == [kept.name]
    assert (there / kept.name).stat().st_mtime_ns == kept.stat().st_mtime_ns


def test_a_restored_lake_lands_from_its_copies(project, tmp_path):
    made = project({"data/1.csv": ONE}, source=source())
    made.run()
    age(made, 10)
    back_up(made.folder, tmp_path / "backup")
    shutil.rmtree(made.folder / ".headwater")
    clean_the_landing_zone(made)
    restore(tmp_path / "backup", made.folder)
    assert time.time() - copies(made)[0].stat().st_mtime > 9 * 86400
    made.write({"sources/s.yaml": source(a="bigint")})
    assert made.run().exit_code == 0
    assert [row[0] for row in rows(made)] == [1, 2]


def test_the_doctor_counts_copies_and_removes_those_of_removed_datasets(project):
    made = project({"data/1.csv": ONE, "data/2.csv": TWO}, source=source())
    made.run()
    found = {f.name: f for f in examine(str(made.folder), fix=True)}
    assert found["raw"].grade is Grade.OK
    assert found["raw"].message == f"copies of 2 files as received, {len(ONE + TWO)} bytes"
    made.write({"sources/s.yaml": source().replace("  t:", "  u:")})
    found = {f.name: f for f in examine(str(made.folder))}
    assert found["raw"].grade is Grade.WARNING
    assert "2 files of s.t, which the project does not make" in found["raw"].message
    made.write({"sources/broken.yaml": "connector: files\n"})
    assert "raw" not in [
        f.name for f in examine(str(made.folder), fix=True) if f.grade is Grade.WARNING
    ]
    assert len(copies(made)) == 2  # what has mistakes may make it
    (made.folder / "sources/broken.yaml").unlink()
    found = {f.name: f for f in examine(str(made.folder), fix=True)}
    assert "copies of 2 files of s.t" in found["fix"].message
    assert "raw" not in found
    assert not (made.folder / ".headwater/raw/s.t").exists()
