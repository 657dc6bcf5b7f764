"""Finding files by a dataset's paths, and telling from a recorded path how it was found."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from headwater.project.definitions import FileDataset
from headwater.sources.files.discover import discover, discoveries


def dataset(*paths: object) -> FileDataset:
    return FileDataset.model_validate({"path": list(paths)})


def make(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        if name.endswith(".zip"):
            with zipfile.ZipFile(folder / name, "w") as archive:
                archive.writestr("m.csv", "a")
                archive.writestr("in/n_x.csv", "a")
        else:
            (folder / name).write_text("a")


@pytest.mark.parametrize(
    "paths",
    [
        ["data/a.csv"],
        ["data/*"],
        ["data/**"],
        ["data/**/*.csv"],
        ["data/{region}/*.csv", "data/*.zip", "data/**/*"],
        ["data/{region}/{day}_*.csv"],
        [{"glob": "data/*.zip", "member": "in/{kind}_{x}.csv"}, "data/*.zip"],
        [{"glob": "data/b.zip", "format": "excel"}],
        ["data/[ab].csv", "data/?.zip"],
        ["data/folder.zip/*.csv"],
        ["data/*.zip/*.csv"],
        ["../other/*.csv"],
        ["link/*.csv"],
        ["link/{name}.csv"],
    ],
)
def test_what_a_path_tells_of_a_file_is_told_without_it(tmp_path, paths):
    folder, other = tmp_path / "project", tmp_path / "other"
    make(folder, "data/a.csv", "data/b.zip", "data/x/1_a.csv", "data/y/2_b.csv")
    make(folder, "data/folder.zip/c.csv")
    make(other, "o.csv")
    (folder / "link").symlink_to(other)
    definition = dataset(*paths)
    found = discover(folder, definition, "s.t")
    assert found
    for item in found:
        ways = list(discoveries(folder, definition, item.path))
        way = next(way for way in ways if way.member == item.member)
        assert (way.pattern, way.captured) == (item.pattern, item.captured), item.path
        # A folder may be called as an archive would be, and an archive match as a folder.
        assert way == ways[0] or ".zip/" in item.path


def test_a_file_that_no_path_matches_is_not_found(tmp_path):
    assert list(discoveries(tmp_path, dataset("data/*.csv"), "data/x/a.csv")) == []
    assert list(discoveries(tmp_path, dataset("data/*.csv"), "data/a.csv.gz")) == []
