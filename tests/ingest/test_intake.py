"""Which files a landing reads, and what it does to the rows that are there: pure decisions."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest

from headwater.ingest.intake import Intake, Manner, decide_intake
from headwater.lake.state import LandedFile
from headwater.names import DatasetName
from headwater.project.definitions import FileDataset
from headwater.sources.batch import Item

NAME = DatasetName("s", "t")


def item(path: str) -> Item:
    return Item(path=path, absolute=Path("/", path), size_bytes=1, modified_ns=0)


def landed(path: str, file_id: int, status: str = "landed") -> LandedFile:
    return LandedFile(
        dataset=NAME,
        built_table="t",
        path=path,
        status=status,
        size_bytes=1,
        modified_at=datetime(2026, 1, 1),
        file_id=file_id,
    )


def decide(
    write: str, there: str, known: dict[str, LandedFile], changed: str = "", **more
) -> Intake:
    words = {"path": "x", "write": write}
    if write in ("upsert", "history"):
        words |= {"key": "id", "columns": {"id": "integer", "n": "integer"}}
    if more.pop("by", False):
        words["on_duplicate"] = "latest by n"
    definition = FileDataset.model_validate(words)
    items = [item(path) for path in there]
    return decide_intake(definition, items, known, lambda i, _: i.path in changed, **more)


def paths(intake: Intake) -> str:
    return "".join(item.path for item in intake.items)


KNOWN = {"a": landed("a", 1), "b": landed("b", 2)}


@pytest.mark.parametrize(
    ("write", "there", "changed", "manner", "read", "reason"),
    [
        ("append", "ab", "", Manner.ADD, "", "no new files"),
        ("append", "abc", "", Manner.ADD, "c", "1 new file"),
        ("append", "abc", "b", Manner.REWRITE, "bc", "1 new file, 1 changed file"),
        ("append", "b", "", Manner.ADD, "", "no new files"),
        ("replace", "ab", "", Manner.ADD, "", "no new files"),
        ("replace", "ab", "b", Manner.WHOLE, "ab", "1 changed file"),
        ("replace", "b", "", Manner.WHOLE, "b", "1 gone file"),
        ("upsert", "abc", "", Manner.MERGE, "c", "1 new file"),
        ("upsert", "abcd", "a", Manner.WHOLE, "bacd", "2 new files, 1 changed file"),
    ],
)
def test_what_is_read(write, there, changed, manner, read, reason):
    intake = decide(write, there, KNOWN, changed)
    assert (intake.manner, paths(intake), intake.reason) == (manner, read, reason)


def test_a_refused_file_is_tried_again_and_a_gone_one_that_is_back_is_new():
    known = {"a": landed("a", 1, "refused"), "b": landed("b", 2, "gone")}
    assert paths(decide("append", "ab", known)) == "ab"


def test_landing_again_reads_all_in_the_order_in_which_they_landed():
    known = {"a": landed("a", 2), "b": landed("b", 1)}
    intake = decide("upsert", "ab", known, reland=True)
    assert intake.manner is Manner.WHOLE
    assert intake.reason == "2 relanded files"
    assert decide("append", "ab", known, reland=True).manner is Manner.REWRITE


def test_what_cannot_be_told_again_is_refused():
    gone = decide("upsert", "a", KNOWN, "a")
    assert [item.path for item, _ in gone.refused] == ["a"]
    assert "b, which was landed too" in gone.refused[0][1].message
    by_landing = decide("history", "ab", KNOWN, "a")
    assert "seen first" in by_landing.refused[0][1].message
    assert not decide("history", "ab", KNOWN, "a", by=True).refused


def test_a_portion_without_a_changed_file_only_adds():
    intake = decide("append", "abc", KNOWN, "b")
    assert intake.part([item("c")]).manner is Manner.ADD
    assert intake.part([item("b")]).manner is Manner.REWRITE


# ---- files that are gone -----------------------------------------------------------------------


def copies(of: str):
    """The copies that there are."""
    return lambda file: replace(item(file.path), copy_of="hash") if file.path in of else None


EARLIER = {"c": landed("c", 1), "a": landed("a", 2), "b": landed("b", 3)}


@pytest.mark.parametrize("write", ["append", "upsert", "history"])
@pytest.mark.parametrize(
    ("there", "known", "kept", "read"),
    [
        pytest.param("0a", {}, "cb", "cab0", id="anew, in the old order"),
        pytest.param("0a", {}, "b", "ab0", id="without those that have no copy"),
        pytest.param("0abc", {}, "abc", "cab0", id="what is there is no copy"),
        pytest.param("0a", {"c": landed("c", 1)}, "cb", "ab0", id="the rest, after a kill"),
        pytest.param("0", {p: landed(p, 1) for p in "abc"}, "abc", "0", id="all were landed"),
    ],
)
def test_what_was_landed_before_lands_anew_from_copies(write, there, known, kept, read):
    intake = decide(write, there, known, earlier=EARLIER, copy_of=copies(kept))
    assert paths(intake) == read
    assert {i.path for i in intake.items if i.copy_of} == (set(kept) & set(read)) - set(there)
    assert not intake.before


def test_a_replace_reads_no_copies():
    intake = decide("replace", "a", KNOWN, "a", earlier=EARLIER, copy_of=copies("abc"))
    assert (paths(intake), [file.path for file in intake.gone]) == ("a", ["b"])


def test_an_upsert_with_a_changed_file_reads_those_that_are_gone_from_their_copies():
    known = {"a": landed("a", 3), "b": landed("b", 1), "c": landed("c", 2)}
    intake = decide("upsert", "ad", known, "a", copy_of=copies("bc"))
    assert (intake.manner, paths(intake)) == (Manner.WHOLE, "bcad")
    assert (intake.before, intake.reason) == (known, "1 new file, 1 changed file")
    lacking = decide("upsert", "ad", known, "a", copy_of=copies("c"))
    assert (paths(lacking), [i.path for i, _ in lacking.refused]) == ("d", ["a"])
    assert "b, which was landed too" in lacking.refused[0][1].message
    assert "raw_retention_days" in lacking.refused[0][1].hint
    assert paths(decide("upsert", "a", known, copy_of=copies("bc"))) == ""


def test_landing_again_reads_copies_too_and_what_changed_last():
    known = {"a": landed("a", 1), "b": landed("b", 3), "c": landed("c", 2)}
    again = decide("upsert", "ab", known, "a", reland=True, copy_of=copies("c"))
    assert (paths(again), again.reason) == ("cba", "3 relanded files")
    assert paths(decide("upsert", "", known, reland=True, copy_of=copies("abc"))) == "acb"
    assert paths(decide("append", "ab", known, reland=True, copy_of=copies("c"))) == "ab"
