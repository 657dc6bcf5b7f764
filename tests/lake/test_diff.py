"""What differs between two releases: exactly, whether the change feed tells it or all rows do."""

from __future__ import annotations

import json
import os
from collections import Counter

import pytest
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st

import headwater as hw
from headwater.lake.commit import built
from headwater.lake.diff import compare
from headwater.lake.state import Position
from headwater.names import DatasetName

T = DatasetName("s", "t")
EXAMPLES = int(os.environ.get("HEADWATER_EXAMPLES", "6"))
ROWS = st.dictionaries(
    st.integers(0, 4),
    st.tuples(st.sampled_from([None, 1, 2]), st.sampled_from(["x", None])),
    max_size=4,
)


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    folder = tmp_path_factory.mktemp("diff")
    (folder / "headwater.yaml").write_text("name: t\n")
    (folder / "models" / "m").mkdir(parents=True)
    (folder / "models" / "m" / "x.sql").write_text("SELECT 1 AS one")
    project = hw.open_project(folder)
    project.run()
    with project.open_lake() as lake:
        yield lake


_number = iter(range(1_000_000))


def positions(lake, states, *, in_one_table: bool) -> list[Position]:
    """A table that takes these states (key -> values) in turn; or one table for each."""
    found = []
    table = f"t{next(_number)}"
    for rows in states:
        if not found or not in_one_table:
            table = f"t{next(_number)}"
            lake.con.execute(f"CREATE TABLE {built(table)} (k INTEGER, a INTEGER, b VARCHAR)")
        rows_there = lake.con.execute(f"SELECT k, a, b FROM {built(table)}").fetchall()
        there = {row[0]: row[1:] for row in rows_there}
        lake.con.execute("BEGIN")
        for key in [key for key in there if rows.get(key) != there[key]]:
            lake.con.execute(f"DELETE FROM {built(table)} WHERE k = {key}")
        for key, (a, b) in rows.items():
            if there.get(key) != (a, b):
                lake.con.execute(f"INSERT INTO {built(table)} VALUES (?, ?, ?)", [key, a, b])
        lake.con.execute("COMMIT")
        found.append(Position(table, lake.newest_snapshot_id()))
    return found


@pytest.mark.parametrize("in_one_table", [True, False])
@pytest.mark.parametrize("key", [("K",), ()], ids=["by key", "by content"])
@settings(max_examples=EXAMPLES, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(states=st.lists(ROWS, min_size=2, max_size=4))
@example(states=[{1: (1, "x")}, {1: (2, "x")}, {1: (1, "x")}])
@example(states=[{1: (1, "x"), 2: (1, None)}, {1: (2, "x")}, {1: (2, None), 3: (1, "x")}])
def test_a_difference_is_exact(lake, in_one_table, key, states):
    places = positions(lake, states, in_one_table=in_one_table)
    before, after = states[0], states[-1]
    diff = compare(lake, T, places[0], places[-1], key)
    assert diff.rows == (len(before), len(after))
    if key and places[0] != places[-1]:
        both = before.keys() & after.keys()
        changed = [k for k in both if before[k] != after[k]]
        assert (diff.added, diff.removed, diff.changed) == (
            len(after.keys() - before.keys()),
            len(before.keys() - after.keys()),
            len(changed),
        )
        by_column = {c.name: c.changed for c in diff.columns if c.changed}
        wanted = {
            name: sum(before[k][n] != after[k][n] for k in changed) for n, name in enumerate("ab")
        }
        assert by_column == {name: count for name, count in wanted.items() if count}
        examples = {kind: [one["k"] for one in keys] for kind, keys in diff.examples.items()}
        assert examples.get("changed", []) == sorted(changed)
    else:
        was, now = Counter(before.items()), Counter(after.items())
        assert (diff.added, diff.removed, diff.changed) == (
            (now - was).total(),
            (was - now).total(),
            0,
        )
    assert diff.is_equal == (before == after)


def test_equal_rows_are_told_apart_by_counting_them(lake):
    table = f"t{next(_number)}"
    lake.con.execute(f"CREATE TABLE {built(table)} AS SELECT 1 AS a FROM range(3)")
    one = Position(table, lake.newest_snapshot_id())
    lake.con.execute(f"INSERT INTO {built(table)} SELECT 1 FROM range(2)")
    two = Position(table, lake.newest_snapshot_id())
    diff = compare(lake, T, one, two, ("a",))
    assert (diff.key, diff.added, diff.removed) == ((), 2, 0), "the key names no row"


def test_columns_that_came_went_or_changed_their_type(lake):
    tables = []
    for body in ("1 AS k, 2 AS a, 'x' AS gone", "1 AS K, 2::BIGINT AS a, TRUE AS more"):
        table = f"t{next(_number)}"
        lake.con.execute(f"CREATE TABLE {built(table)} AS SELECT {body}")
        tables.append(Position(table, lake.newest_snapshot_id()))
    diff = compare(lake, T, *tables, ("k",))
    assert diff.new_columns == {"more": "BOOLEAN"}
    assert diff.gone_columns == {"gone": "VARCHAR"}
    assert diff.retyped == {"a": ("INTEGER", "BIGINT")}
    assert (diff.added, diff.removed, diff.changed) == (0, 0, 0)
    assert not diff.is_equal


# ---- as a command ------------------------------------------------------------------------------


@pytest.fixture
def made(project):
    made = project(
        {
            "data/1.csv": "a,b\n1,x\n2,y\n3,z\n",
            "models/m/x.sql": "/*\nkey: a\n*/\nSELECT a, b, a * 10 AS n FROM s.t",
            "models/m/same.sql": "SELECT 1 AS one",
        }
    )
    made.run()
    made.write({"data/1.csv": "a,b\n1,x\n2,why\n4,z\n"})
    made.run()
    return made


def test_the_last_two_releases_are_compared(made):
    code, out, err = made.cli("diff")
    assert code == 0, err
    told = [" ".join(line.split()) for line in out.splitlines()]
    assert told == [
        "m.x: 1 added, 1 removed, 1 changed; 3 -> 3 rows (by a)",
        "column changed missing mean",
        "b 1 0",
        "n 0 0 20 -> 23.33",
        "added, for example: 4",
        "removed, for example: 3",
        "changed, for example: 2",
        "s.t: 2 added, 2 removed; 3 -> 3 rows (by content)",
        "column changed missing mean",
        "a 0 2 -> 2.333",
    ]


def test_releases_are_named_by_their_numbers_and_it_tells_json(made):
    made.write({"models/m/new.sql": "SELECT 1 AS one"})
    (made.folder / "models/m/same.sql").unlink()
    made.run()
    code, out, _ = made.cli("diff", "--release", "1", "3", "--json")
    assert code == 0
    facts = {fact["dataset"]: fact for fact in json.loads(out)}
    assert sorted(facts) == ["m.new", "m.same", "m.x", "s.t"]
    assert (facts["m.new"]["rows_before"], facts["m.new"]["rows_after"]) == (None, 1)
    assert (facts["m.same"]["rows_before"], facts["m.same"]["rows_after"]) == (1, None)
    assert facts["m.x"]["examples"] == {
        "added": [{"a": 4}],
        "changed": [{"a": 2}],
        "removed": [{"a": 3}],
    }
    code, out, _ = made.cli("diff", "m.x", "--release", "2", "3")
    assert out == "nothing differs\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("diff", "--release", "1", "9"), "there is no release 9"),
        (("diff", "m.y"), "no dataset m.y in releases 1 and 2"),
    ],
)
def test_what_is_not_there_is_said(made, words, message):
    code, _, err = made.cli(*words)
    assert code == 1
    assert message in err


def test_a_rollback_can_be_looked_at(made):
    hw.roll_back(made.folder)
    assert "m.x: 1 added, 1 removed, 1 changed" in made.cli("diff")[1]
    assert made.cli("diff", "--release", "1", "3")[1] == "nothing differs\n"
