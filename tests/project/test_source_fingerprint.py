"""A source's fingerprint: what changes landed rows is in it, and nothing else."""

from __future__ import annotations

import pytest

from headwater.names import DatasetName
from headwater.project.definitions import FileDataset, SourceDataset


def fingerprint(**keys) -> str:
    definition = FileDataset(**{"path": "data/*.csv", "columns": {"a": "integer"}, **keys})
    return SourceDataset(
        name=DatasetName("s", "t"),
        file="sources/s.yaml",
        line=1,
        contract=definition,
        source="s",
        definition=definition,
    ).fingerprint


def test_a_project_of_the_first_version_keeps_its_fingerprints():
    assert fingerprint() == "d61810e3e8b2ef14"
    stated = {"format": "csv", "dialect": {"delimiter": ";", "header": False}}
    assert fingerprint(**stated) == "30fb88355db5d60b"


@pytest.mark.parametrize(
    "keys",
    [
        {"path": "other/*.csv"},
        {"path": ["data/*.csv", "other/*.csv"]},
        {"path": {"glob": "data/*.csv"}},
        {"path": {"glob": "data/*.csv", "max_unpack_ratio": 1000}},
        {"max_unpack_ratio": 1000},
        {"dialect": {"skip": 0, "comment": "", "nullstr": []}},
        {"description": "words"},
    ],
    ids=str,
)
def test_what_changes_no_rows_is_not_in_it(keys):
    assert fingerprint(**keys) == fingerprint()


CHANGES = [
    {"encoding": "latin-1"},
    {"records": "data.items"},
    {"sheet": "one"},
    {"range": "B2"},
    {"member": "*.csv"},
    {"format": "tsv"},
    {"dialect": {"skip": 1}},
    {"dialect": {"comment": "#"}},
    {"dialect": {"nullstr": "NA"}},
    {"path": "data/{day}.csv"},
    {"path": {"glob": "data/*.csv", "encoding": "latin-1"}},
    {"path": {"glob": "data/*.csv", "dialect": {"quote": "'"}}},
    {"path": {"glob": "data/*.csv", "member": "{day}.csv"}},
]


def test_each_key_that_changes_rows_changes_it():
    found = {fingerprint(), *(fingerprint(**keys) for keys in CHANGES)}
    assert len(found) == len(CHANGES) + 1


def test_an_encoding_is_the_same_by_any_of_its_names():
    assert fingerprint(encoding="latin-1") == fingerprint(encoding="ISO_8859-1")
