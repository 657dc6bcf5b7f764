"""Whatever the columns of an input are called, its rows land, are judged and are told apart."""

from __future__ import annotations

import csv
import io

import pytest

from tests.reading import Quarantined, read

NAMES = [
    *["select", "unit price", "it's", 'a"b', "a{b}", "ä", "reasons", "record", "element", "code"],
    *["nothing", "file_id", "_known", "b", "t", "nulled.id", "filled.id"],
    *["raw.id", "rowid", "{input}", "{extra}"],
]
RESERVED = ["_file_id", "_record", "_fate", "_raw", "_FATE"]


def table(*rows: tuple[str, ...]) -> str:
    target = io.StringIO()
    csv.writer(target, lineterminator="\n").writerows(rows)
    return target.getvalue()


@pytest.mark.parametrize("name", NAMES)
def test_a_column_may_have_any_name(tmp_path, name):
    text = table(("id", name), ("1", "p"), ("x", "q"), ("1", "r"), ("2", "s"))
    landed = read(tmp_path, {"a.csv": text}, {"id": "bigint"}, "key: id")
    assert not landed.refused
    assert [(row["id"], row[name]) for row in landed.rows] == [(1, "p"), (2, "s")]
    assert landed.quarantined == [
        Quarantined(2, 3, ("id.type",), "x,q"),
        Quarantined(3, 4, ("key.duplicate",), "1,r"),
    ]


@pytest.mark.parametrize("name", ["nr", "file_id", "_id", "rowid"])
def test_a_key_may_have_any_name(tmp_path, name):
    text = table((name, "v"), ("1", "p"), ("x", "q"), ("1", "r"), ("2", "s"))
    landed = read(tmp_path, {"a.csv": text}, {name: "bigint"}, f"key: {name}")
    assert landed.column("v") == ["p", "s"]
    assert [(q.record, q.reasons) for q in landed.quarantined] == [
        (2, (f"{name}.type",)),
        (3, ("key.duplicate",)),
    ]


@pytest.mark.parametrize("name", RESERVED)
def test_the_few_names_that_are_ours_are_refused_with_what_to_do(tmp_path, name):
    landed = read(tmp_path, {"a.csv": f"id,{name}\n1,2\n"}, {"id": "bigint"})
    (refused,) = landed.refused.values()
    assert refused.message == f"the file has a column '{name}', a name that Headwater uses itself"
    assert "from:" in refused.hint
