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


def two(lake, first, second) -> list[Position]:
    """Two tables."""
    found = []
    for body in (first, second):
        table = f"t{next(_number)}"
        lake.con.execute(f"CREATE TABLE {built(table)} AS {body}")
        found.append(Position(table, lake.newest_snapshot_id()))
    return found


def shifts(lake, first, second) -> dict[str, float]:
    diff = compare(lake, T, *two(lake, first, second))
    return {column.name: round(column.shift, 4) for column in diff.columns}


VALUES = st.lists(st.sampled_from([None, 1, 2, 3]), min_size=1, max_size=12)


@settings(max_examples=EXAMPLES, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(before=VALUES, after=VALUES)
@example(before=[2], after=[1])
@example(before=[1, 1, 2], after=[2, 2, 1])
@example(before=[None], after=[1])
def test_a_shift_of_few_texts_is_their_total_variation(lake, before, after):
    sides = [
        " UNION ALL ".join(f"SELECT {n} AS n, {f'chr({96 + v})' if v else 'NULL::VARCHAR'} AS v"
                           for n, v in enumerate(values))
        for values in (before, after)
    ]  # fmt: skip
    was, now = Counter(before), Counter(after)
    apart = sum(abs(was[v] / len(before) - now[v] / len(after)) for v in was | now) / 2
    found = shifts(lake, *sides).get("v", 0.0)
    assert found == pytest.approx(apart if apart >= 0.01 else 0, abs=1e-4)


@pytest.mark.parametrize(
    ("before", "after", "shift"),
    [
        pytest.param("range", "range", None, id="equal"),
        pytest.param("range", "range * 2", 0.5, id="half of it is above all there was"),
        pytest.param("range", "range - 1000", 1.0, id="all of it is below"),
        pytest.param("1", "0", 1.0, id="one value"),
        pytest.param("range / 7.0", "if(range % 4 = 0, NULL, range / 7.0)", 0.25, id="missing"),
        pytest.param("DATE '2026-01-01' + range::INT", "DATE '2027-01-01' + range::INT", 0.365,
                     id="dates"),
        pytest.param("range::DECIMAL(9,2)", "(range + 100)::DECIMAL(9,2)", 0.1, id="decimals"),
        pytest.param("range % 2 = 0", "range % 10 = 0", 0.4, id="booleans"),
        pytest.param("'x' || range % 3", "'x1'", 0.666, id="texts"),
        pytest.param("[range % 2]", "[3::BIGINT]", 1.0, id="lists"),
        pytest.param("NULL::INTEGER", "1", 1.0, id="nothing before"),
        pytest.param("'nan'::DOUBLE", "1.0::DOUBLE", 1.0, id="not a number"),
    ],
)  # fmt: skip
def test_a_shift_is_the_share_of_rows_that_are_spread_otherwise(lake, before, after, shift):
    found = shifts(
        lake, *(f"SELECT range AS k, {v} AS v FROM range(1000)" for v in (before, after))
    )
    assert found.get("v") == (shift if shift is None else pytest.approx(shift, abs=0.02))


def test_values_that_may_not_be_shown_are_not(lake):
    places = two(lake, "SELECT 1 AS k, 'a' AS name, 10 AS v", "SELECT 1 AS k, 'a' AS name, 30 AS v")
    diff = compare(lake, T, *places, ("k", "name"), lambda _, column: column == "k")
    assert diff.examples == {"changed": [{"k": 1}]}
    assert [(c.name, c.changed, c.mean, c.shift) for c in diff.columns] == [
        ("v", 1, (None, None), 1.0)
    ]
    diff = compare(lake, T, *places, ("k", "name"), lambda _, column: False)
    assert (diff.changed, diff.examples) == (1, {})


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
        "column changed missing mean shift",
        "b 1 0 33.3%",
        "n 0 0 20 -> 23.33 33.3%",
        "added, for example: 4",
        "removed, for example: 3",
        "changed, for example: 2",
        "s.t: 2 added, 2 removed; 3 -> 3 rows (by content)",
        "column changed missing mean shift",
        "a 0 2 -> 2.333 33.3%",
        "b 0 33.3%",
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
