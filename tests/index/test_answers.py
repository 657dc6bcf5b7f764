"""With the index or without it, a plan and a run say the same; and the index is used."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import headwater as hw
from headwater.api import read_lake
from headwater.index.files import look
from headwater.index.store import FOLDER, MAX_ANSWERS, Store
from tests.conftest import Made
from tests.index.conftest import FILES, JUST_NOW_S, SETTINGS, Asked


def writes(path: str, content: str) -> Callable[[Asked], None]:
    return lambda asked: asked.made.write({path: content}) and None


def removes(path: str) -> Callable[[Asked], None]:
    return lambda asked: (asked.made.folder / path).unlink(missing_ok=True)


def same_size_and_time(path: str, old: str, new: str) -> Callable[[Asked], None]:
    """Change a file so that its size and its time of change stay."""

    def edit(asked: Asked) -> None:
        file = asked.made.folder / path
        facts = file.stat()
        file.write_text(file.read_text().replace(old, new))
        assert file.stat().st_size == facts.st_size
        os.utime(file, ns=(facts.st_atime_ns, facts.st_mtime_ns))

    return edit


def in_place(path: str, old: str, new: str) -> Callable[[Asked], None]:
    def edit(asked: Asked) -> None:
        file = asked.made.folder / path
        if file.exists():
            file.write_text(file.read_text().replace(old, new))

    return edit


def runs(*words: str) -> Callable[[Asked], None]:
    return lambda asked: asked.told("run", *words) and None


def touches(path: str) -> Callable[[Asked], None]:
    return lambda asked: (asked.made.folder / path).touch()


def renames(asked: Asked) -> None:
    body = FILES["models/m/y.sql"].removeprefix("/*\n")
    asked.made.write({"models/m/named.sql": f"/*\nrenamed_from: m.y\n{body}"})
    removes("models/m/y.sql")(asked)


def moves(asked: Asked) -> None:
    old = asked.made.folder / "models/m/alone.sql"
    if old.exists():
        old.rename(old.with_name("lone.sql"))


EDITS: dict[str, Callable[[Asked], None]] = {
    "nothing": lambda asked: None,
    "query": in_place("models/m/x.sql", "a >=", "a + 1 >="),
    "query of the same size and time": same_size_and_time("models/m/alone.sql", "1", "2"),
    "comment": in_place("models/m/x.sql", "SELECT", "-- why\nSELECT"),
    "new model": writes("models/m/new.sql", "SELECT sum(n) AS n FROM m.y"),
    "no model": removes("models/m/z.sql"),
    "moved model": moves,
    "contract of a model": in_place("models/m/y.sql", "min: 0", "min: 1"),
    "mistake": writes("models/m/alone.sql", "SELECT one FROM m.y"),
    "mended mistake": writes("models/m/alone.sql", "SELECT n AS one FROM m.y"),
    "function": in_place("functions/twice.sql", "n * 2", "n + n"),
    "function that nothing uses": writes(
        "functions/half.sql", "CREATE FUNCTION half(n INTEGER) AS n / 2;\n"
    ),
    "check": writes("checks/no_nulls.sql", "SELECT * FROM m.x WHERE b IS NULL"),
    "mistaken check": writes("checks/bad.sql", "SELECT c FROM m.x"),
    "python model": in_place("models/m/py.py", "AS a", "+ 1 AS a"),
    "module of a python model": in_place("helpers/rate.py", "2", "3"),
    "module that shadows another": writes("models/m/helpers/rate.py", "RATE = 7\n"),
    "default of a variable": writes("headwater.yaml", SETTINGS.replace("floor: 0", "floor: 2")),
    "contract of a source": in_place("sources/s.yaml", "b: varchar", "b: {type: varchar, min: a}"),
    "column of a source": in_place("sources/s.yaml", "b: varchar", "b: varchar, c: varchar"),
    "path of a source": in_place("sources/s.yaml", "data/*.csv", "data/1*.csv"),
    "environment variable": lambda asked: asked.monkeypatch.setenv("LENGTH", "9"),
    "use of a variable": in_place(
        "sources/s.yaml", "b: varchar", 'b: {type: varchar, length: "<= ${LENGTH:-3}"}'
    ),
    "new input file": writes("data/2.csv", "a,b\n7,q\n"),
    "new input folder": writes("more/two/9.csv", "a\n9\n"),
    "changed input file": writes("data/1.csv", "a,b\n1,x\n2,y\n3,z\n"),
    "input file of the same size": in_place("data/1.csv", "1,x", "4,x"),
    "no input file": removes("data/1.csv"),
    "touched input file": touches("data/1.csv"),
    "rejected row": writes("more/one/2.csv", "a\n-1\n"),
    "run": runs(),
    "run of a part": runs("--select", "+m.x"),
    "rebuild": runs("--rebuild", "--select", "m.y"),
    "rollback": lambda asked: asked.made.cli("rollback") and None,
    "rename": renames,
}  # fmt: skip

QUESTIONS = (("plan",), ("plan", "--select", "m.x+"), ("plan", "--var", "floor=1"))


def test_what_is_unchanged_is_answered_from_the_index(asked):
    first = [asked.told(*words) for words in QUESTIONS]
    assert all(asked.is_answered(*words) for words in QUESTIONS)
    assert [asked.told(*words) for words in QUESTIONS] == first
    assert [asked.plain(*words) for words in QUESTIONS] == first


@pytest.mark.parametrize("name", EDITS)
def test_after_any_edit_the_plan_is_what_it_is_without_the_index(asked, name):
    asked.told("plan")
    EDITS[name](asked)
    without = asked.plain("plan")
    assert asked.told("plan") == without
    asked.settle()
    assert asked.told("plan") == without
    assert asked.told("plan") == without  # as it was kept just now
    assert asked.is_answered("plan") == ("steps" in without[1])


@settings(
    max_examples=3,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(edits=st.lists(st.sampled_from(sorted(EDITS)), min_size=2, max_size=6))
def test_plans_are_equal_over_any_sequence_of_edits(asked, tmp_path_factory, edits):
    whole = Asked(Made(tmp_path_factory.mktemp("any") / "project"), asked.monkeypatch)
    asked.monkeypatch.delenv("LENGTH", raising=False)
    shutil.copytree(asked.made.folder, whole.made.folder)
    for name in edits:
        EDITS[name](whole)
        assert whole.told("plan") == whole.plain("plan"), edits
        whole.settle()
        assert whole.told("plan") == whole.plain("plan"), edits


OF_RUNS = (
    "nothing",
    "query",
    "comment",
    "mistake",
    "check",
    "module of a python model",
    "default of a variable",
    "new input file",
    "no input file",
    "touched input file",
    "rejected row",
    "run of a part",
    "rollback",
    "rename",
)


@pytest.mark.parametrize("name", OF_RUNS)
def test_a_run_does_what_it_does_without_the_index(asked, name, tmp_path):
    """Two equal projects go through the same; one of them has an index."""
    asked.told("run")
    other = Asked(Made(tmp_path / "other/project"), asked.monkeypatch)
    shutil.copytree(asked.made.folder, other.made.folder)
    for each in (asked, other):
        each.settle()
    EDITS[name](asked)
    with other.monkeypatch.context() as context:
        context.setenv("HEADWATER_NO_INDEX", "1")
        EDITS[name](other)
    for _ in range(2):
        asked.settle()
        assert _named_alike(asked.told("run"), asked) == _named_alike(other.plain("run"), other)
        assert _newest_snapshot(asked) == _newest_snapshot(other)


def _newest_snapshot(asked: Asked) -> int:
    with read_lake(asked.made.folder) as lake:
        return lake.newest_snapshot_id()


def _named_alike(told: object, asked: Asked) -> str:
    return repr(told).replace(str(asked.made.folder), "…")


def test_a_run_with_nothing_new_is_answered_from_the_index(asked):
    first = asked.told("run")
    assert first[1]["status"] == "nothing"
    before = asked.made.newest_snapshot()
    assert asked.is_answered("run")
    assert asked.told("run") == first == asked.plain("run")
    _, out, _ = asked.made.cli("run")
    assert out.startswith("nothing to do: no new files, all models up to date, ")
    assert asked.made.newest_snapshot() == before
    assert not asked.is_answered("run", "--rebuild")
    assert not asked.is_answered("run", "--select", "m.x")


@pytest.mark.parametrize(
    "files",
    [
        pytest.param(
            {"checks/young.sql": "SELECT * FROM m.alone WHERE now() < TIMESTAMP '2000-01-01'"},
            id="a check that asks the time",
        ),
        pytest.param(
            {"models/m/alone.sql": "/*\nfreshness: {column: d, warn_after: 1h}\n*/\n"
             "SELECT TIMESTAMP '2000-01-01' AS d"},
            id="freshness",
        ),
        pytest.param(
            {"headwater.yaml": SETTINGS + "quarantine_retention_days: 3\n"},
            id="quarantine that is to be forgotten",
        ),
        pytest.param(
            {"sources/s.yaml": FILES["sources/s.yaml"].replace(
                "path: data/*.csv", "path: data/*.csv\n    raw_retention_days: 3")},
            id="copies of files that are to be deleted",
        ),
        pytest.param({"more/one/3.csv": b"\xff\xfe\x00\x00nothing"}, id="a file that is refused"),
    ],
)  # fmt: skip
def test_what_depends_on_the_time_is_run_each_time(asked, files):
    asked.made.write(files)
    if "sources/s.yaml" in files:
        asked.told("run", "--reland", "s")
    for _ in range(3):
        asked.settle()
        asked.told("run")
    asked.settle()
    assert not asked.is_answered("run")


def test_a_run_waits_for_another_one_as_ever(asked):
    asked.told("run")
    with hw.open_project(asked.made.folder).open_lake() as lake:
        with lake.locks.run("20260101T000000-abcdef"):
            assert not asked.is_answered("run")
        lake.locks.forget_run("20260101T000000-abcdef")
    assert asked.is_answered("run")


# ---- what is looked at ----------------------------------------------------------------------


def test_a_file_changed_within_a_tick_of_the_clock_is_read_again(tmp_path, monkeypatch):
    """A file system that keeps times in steps of a second, and no other."""
    monkeypatch.setattr(
        "headwater.index.files.mark_of",
        lambda facts: (facts.st_size, facts.st_mtime_ns // 10**9 * 10**9, 0, 0, 0),
    )
    file = tmp_path / "headwater.yaml"

    def content_after_an_edit() -> bool:
        file.write_text("name: a\n")
        before, kept = look(tmp_path, {})
        facts = file.stat()
        file.write_text("name: b\n")
        os.utime(file, ns=(facts.st_atime_ns, facts.st_mtime_ns))
        after, _ = look(tmp_path, kept)
        return after["headwater.yaml"].content != before["headwater.yaml"].content

    assert content_after_an_edit()
    monkeypatch.setattr("headwater.index.files.JUST_NOW_NS", -(10**10))
    assert not content_after_an_edit()  # so it is this rule that finds it


def test_what_was_changed_just_now_is_not_answered_from_the_index(asked, monkeypatch):
    monkeypatch.setattr("headwater.index.files.JUST_NOW_NS", 10**12)
    asked.told("plan")
    assert not asked.is_answered("plan")


def test_a_definition_that_the_index_does_not_look_at_keeps_no_answer(asked, monkeypatch):
    monkeypatch.setattr("headwater.index.files.FOLDERS", ("sources", "models", "functions"))
    asked.told("plan")
    assert not asked.is_answered("plan")


def test_a_change_while_the_plan_is_made_keeps_no_answer(asked, monkeypatch):
    plan = hw.OpenProject.plan
    monkeypatch.setattr(
        hw.OpenProject,
        "plan",
        lambda self, **options: (plan(self, **options), EDITS["new model"](asked))[0],
    )
    asked.told("plan")
    monkeypatch.undo()
    assert not asked.is_answered("plan")
    assert asked.told("plan")[1]["steps"][-1]["dataset"] == "m.new"


def test_a_lake_that_was_restored_is_another_one(asked, tmp_path):
    asked.made.cli("backup", str(tmp_path / "copy"))
    EDITS["new input file"](asked)
    asked.told("run")
    asked.settle()
    assert asked.told("plan")[1] == asked.plain("plan")[1]
    assert asked.is_answered("plan")
    asked.made.cli("restore", str(tmp_path / "copy"), "--replace")
    assert asked.told("plan") == asked.plain("plan")
    assert "1 new file" in str(asked.told("plan"))


def test_secrets_of_the_environment_are_not_kept(asked):
    asked.monkeypatch.setenv("LENGTH", "98765")
    EDITS["use of a variable"](asked)
    asked.told("run")
    asked.settle()
    asked.told("plan")
    kept = Path(asked.made.folder, ".headwater", FOLDER)
    texts = {path.name: path.read_text() for path in kept.glob("*") if path.name != "entries.json"}
    assert texts
    assert not any("98765" in text for text in texts.values())


# ---- what is not there, or not whole --------------------------------------------------------


def test_before_the_first_run_nothing_is_written(project):
    made = project(FILES)
    assert made.cli("plan")[0] == 0
    assert made.cli("check")[0] == 0
    assert not (made.folder / ".headwater").exists()


def test_a_lake_elsewhere_has_its_index_there(asked, tmp_path):
    asked.made.write({"headwater.yaml": SETTINGS + "lake: '${WHERE:-../else}' # there\n"})
    asked.told("run")
    asked.settle()
    asked.told("plan")
    assert asked.is_answered("plan")
    assert (tmp_path / "else/index/entries.json").is_file()
    asked.monkeypatch.setenv("WHERE", ".headwater")
    assert asked.told("plan") == asked.plain("plan")


def test_a_lake_whose_folder_is_not_told_by_a_look_is_planned_all_the_same(asked):
    asked.made.write({"headwater.yaml": SETTINGS + '"lake": ../else\n'})
    asked.told("run")
    asked.settle()
    assert asked.told("plan") == asked.plain("plan") == asked.told("plan")
    assert not asked.is_answered("plan")


def test_an_index_that_cannot_be_written_is_none(asked):
    index = asked.made.folder / ".headwater" / FOLDER
    shutil.rmtree(index)
    index.write_text("in the way")
    assert asked.told("plan") == asked.plain("plan")
    assert not asked.is_answered("plan")
    assert asked.told("run") == asked.plain("run")


def test_the_index_can_be_deleted_at_any_time(asked):
    told = asked.told("plan")
    shutil.rmtree(asked.made.folder / ".headwater" / FOLDER)
    assert asked.told("plan") == told
    assert asked.is_answered("plan")


def _spoilt(whole: bytes, other: bytes) -> dict[str, bytes]:
    head, _, body = whole.partition(b"\n")
    middle = len(whole) // 2
    return {
        "empty": b"",
        "cut": whole[:middle],
        "cut after its head": head + b"\n",
        "longer": whole + b" ",
        "a bit flipped": whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :],
        "zeros": bytes(len(whole)),
        "no JSON": b"\x80\x04" + whole,
        "other JSON": b'{"answer": {"steps": [], "breaking": [], "rolled_back": {}}}',
        "a number": head + b"\n1",
        "deep": head + b"\n" + b"[" * 200_000,
        "another body": head + b"\n" + body.replace(b"up to date", b"not built yet") + b" ",
        "another file": other,
    }


@pytest.mark.parametrize("way", sorted(_spoilt(b"x\ny", b"")))
def test_a_spoilt_index_gives_the_right_plan(asked, way):
    EDITS["query"](asked)
    asked.settle()
    for words in QUESTIONS:
        asked.told(*words)
    folder = asked.made.folder / ".headwater" / FOLDER
    whole = {path: path.read_bytes() for path in sorted(folder.iterdir())}
    assert {path.name.split("-")[0] for path in whole} == {"answer", "entries.json", "files.json"}
    right = {words: asked.plain(*words) for words in QUESTIONS}
    for number, path in enumerate(whole):
        for file, content in whole.items():
            file.write_bytes(content)
        path.write_bytes(_spoilt(whole[path], list(whole.values())[number - 1])[way])
        words = QUESTIONS[number % len(QUESTIONS)]
        assert asked.told(*words) == right[words], path.name
    for path, content in whole.items():
        path.write_bytes(_spoilt(content, b"")[way])
    for words in QUESTIONS:
        assert asked.told(*words) == right[words]


def test_what_was_written_whole_but_means_nothing_counts_as_missing(asked):
    """Of another make: its digest is right, and its content none that we would write."""
    asked.told("plan")
    right = asked.plain("plan")
    store = Store(asked.made.folder / ".headwater")
    for name in asked.index():
        whole = store.read(name)
        for value in (None, 1, "a", [], [[]], {}, {"entries": 1}, {"answer": 1}):
            store.write(name, value)
            assert asked.told("plan") == right, (name, value)
        store.write(name, whole)
    entries = store.read("entries.json")
    for value in (1, [], [[]], {}, [None, None, None], [1] * 6):
        entries["entries"] = dict.fromkeys(entries["entries"], value)
        store.write("entries.json", entries)
        EDITS["comment"](asked)
        assert asked.told("plan") == right, value


def test_an_answer_of_another_project_is_none(asked, tmp_path):
    asked.told("plan")
    moved = Asked(Made(tmp_path / "moved"), asked.monkeypatch)
    shutil.copytree(asked.made.folder, moved.made.folder)
    EDITS["query"](moved)
    assert moved.told("plan") == moved.plain("plan") != asked.told("plan")


def test_another_headwater_has_another_index(asked):
    asked.told("plan")
    assert asked.is_answered("plan")
    asked.monkeypatch.setattr("headwater.index.memo.versions", lambda: "another")
    assert not asked.is_answered("plan")


def test_two_processes_at_once_say_the_same(asked):
    code = "import sys; from headwater.cli.main import app; app(sys.argv[1:])"
    EDITS["query"](asked)
    words = ["plan", "--json", "--project", str(asked.made.folder)]
    started = [
        subprocess.Popen([sys.executable, "-c", code, *words], stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    told = {process.communicate(timeout=120)[0] for process in started}
    assert len(told) == 1
    asked.settle()
    assert asked.told("plan") == asked.plain("plan")
    assert not [name for name in asked.index() if name.endswith(".part")]


# ---- what it costs --------------------------------------------------------------------------


def test_only_what_changed_and_what_is_below_it_is_read_and_bound_again(asked):
    asked.told("plan")
    steady = hw.open_project(asked.made.folder).bound.entries
    assert steady.used.keys() <= steady.known.keys()
    EDITS["query"](asked)
    bound = hw.open_project(asked.made.folder).bound
    news = sorted(key.split()[0] for key in bound.entries.used.keys() - steady.known.keys())
    assert news == ["bound", "query"]  # m.x: its columns are the same, so below it all is known
    in_place("models/m/x.sql", "AS double", "AS twofold")(asked)
    bound = hw.open_project(asked.made.folder).bound
    news = sorted(key.split()[0] for key in bound.entries.used.keys() - steady.known.keys())
    assert news == ["bound"] * 5 + ["query"]  # m.x, m.y, m.z, m.py and the check


def test_the_index_keeps_what_the_newest_plan_used(asked):
    store = Store(asked.made.folder / ".headwater")
    sizes = []
    for number in range(4):
        asked.made.write({"models/m/alone.sql": f"SELECT {number} AS one"})
        asked.told("plan")
        sizes.append(len(store.read("entries.json")["entries"]))
    assert len(set(sizes[1:])) == 1
    for number in range(MAX_ANSWERS + 5):
        asked.told("plan", "--var", f"floor={number}")
    assert sum(name.startswith("answer") for name in asked.index()) == MAX_ANSWERS
    assert JUST_NOW_S < 1
