"""The copies of files: how they are called, and which are kept no longer."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from headwater.lake.raw import ContentDiffers, Copy, Raw, content_hash_of, copy_name, outdated

NOW = datetime(2026, 3, 31, 12)
HASH = "0123456789abcdef" * 4


def copy(name: str, age: timedelta) -> Copy:
    return Copy(path=Path(name), size_bytes=1, modified_at=NOW - age)


DAY = timedelta(days=1)
KEPT = [copy("new", 0 * DAY), copy("due", 30 * DAY), copy("old", 30 * DAY + timedelta(seconds=1))]


@pytest.mark.parametrize(
    ("days", "gone"),
    [(30, "old"), (29, "due old"), (31, ""), (0, "new due old"), (None, "new due old")],
)
def test_which_copies_are_kept_no_longer(days, gone):
    assert [found.path.name for found in outdated(KEPT, days, NOW)] == gone.split()


@pytest.mark.parametrize(
    ("name", "suffixes"),
    [
        ("a.csv", ".csv"),
        ("a.2026.csv.gz", ".2026.csv.gz"),
        ("a", ""),
        (".csv", ""),
        (f"a.{'b' * 92}.c.csv.gz", ".c.csv.gz"),
        (f"a.{'ü' * 100}", ""),
    ],
)
def test_a_copy_has_the_suffixes_of_its_file_and_a_name_that_is_not_too_long(name, suffixes):
    assert copy_name(HASH, name) == HASH + suffixes


def test_what_is_kept_is_what_the_hash_says_or_nothing(tmp_path):
    source = tmp_path / "a.csv"
    source.write_text("a\n1\n")
    raw = Raw(tmp_path / "lake", "s.t")
    with pytest.raises(ContentDiffers):
        raw.keep(source, HASH, "run")
    assert list((tmp_path / "lake/raw").rglob("*.*")) == [tmp_path / "lake/raw/s.t"]
    kept = raw.keep(source, content_hash_of(source), "run")
    assert [found.path for found in raw.copies()] == [kept]
    assert raw.find(content_hash_of(source), "other.csv") == kept
    assert raw.find(content_hash_of(source), "other.txt") is None
