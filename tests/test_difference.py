"""What a difference says, and that it says nothing exactly where rows are the same."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.contract.types import parse_type
from headwater.run.difference import compare

KINDS = {"k": parse_type("integer"), "v": parse_type("varchar"), "x": parse_type("double")}
rows = st.lists(
    st.fixed_dictionaries(
        {
            "k": st.sampled_from(["1", "2", None]),
            "v": st.sampled_from(["a", "b", None]),
            "x": st.sampled_from(["0.1", "nan", "inf", None]),
        }
    ),
    max_size=6,
)


def row(k, v, x=None):
    return {"k": k, "v": v, "x": x}


@given(rows, st.randoms())
def test_rows_are_a_bag(some, random):
    others = list(some)
    random.shuffle(others)
    assert not compare(KINDS, some, others)


@given(rows, rows)
def test_bags_differ_exactly_where_their_counts_do(some, others):
    def bag(them):
        return sorted(repr(sorted(one.items())) for one in them)

    found = compare(KINDS, some, others)
    assert bool(found) is (bag(some) != bag(others))
    expected = [line.expected for line in found.lines if line.expected is not None]
    actual = [line.actual for line in found.lines if line.actual is not None]
    # What is the same stands on both sides, as often.
    left, right = bag(some), bag(others)
    for one in bag(expected):
        left.remove(one)
    for one in bag(actual):
        right.remove(one)
    assert left == right


@given(rows, rows)
def test_in_order_means_place_by_place(some, others):
    found = compare(KINDS, some, others, ordered=True)
    assert bool(found) is (some != others)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("1.0", "1.0000000001", True),
        ("1.0", "1.00000001", False),
        ("1e300", "1.0000000001e300", True),
        ("0.0", "-0.0", True),
        ("0.0", "1e-300", False),
        ("nan", "nan", True),
        ("nan", "1.0", False),
        ("inf", "inf", True),
        ("inf", "-inf", False),
        ("inf", "1e308", False),
        (None, None, True),
        (None, "nan", False),
    ],
)
def test_floats_are_near_or_not(one, other, same):
    assert (not compare(KINDS, [row("1", "a", one)], [row("1", "a", other)])) is same


def test_a_difference_is_read_line_by_line():
    expected = [row("1", "a", "1.5"), row("2", "b", "2.5"), row("3", "c", "3.5")]
    actual = [row("1", "a", "1.5"), row("2", "NULL", "2.5"), row("4", None, None)]
    found = compare(KINDS, expected, actual, key=["k"])
    assert found.words == "1 row missing, 1 row not expected, 1 row different"
    assert found.text().splitlines() == [
        "   k  v            x",
        "~  2  b -> 'NULL'  2.5",
        "-  3  c            3.5",
        "+  4  NULL         NULL",
    ]


def test_without_a_key_rows_are_paired_that_are_most_alike():
    expected = [row("1", "a", "1.5"), row("2", "a", "1.5")]
    actual = [row("2", "b", "1.5"), row("1", "a", "9.5")]
    assert compare(KINDS, expected, actual).text().splitlines()[1:] == [
        "~  1  a       1.5 -> 9.5",
        "~  2  a -> b  1.5",
    ]


def test_another_order_is_said_as_such():
    one, other = row("1", "a"), row("2", "b")
    found = compare(KINDS, [one, other], [other, one], ordered=True)
    assert found.words == "the rows are right, and in another order"
    assert found.text().splitlines()[1].split()[:2] == ["~", "1"]


def test_twenty_rows_are_shown_and_the_others_counted():
    found = compare(KINDS, [row(str(n), "a") for n in range(33)], [])
    assert found.text().splitlines()[-1] == "… and 13 more"
    assert len(found.text().splitlines()) == 22


def test_values_that_look_alike_are_shown_apart():
    kinds = {"v": parse_type("varchar"), "l": parse_type("varchar[]")}
    found = compare(kinds, [{"v": "a", "l": ["a, b"]}], [{"v": "a ", "l": ["a", "b"]}])
    assert found.text().splitlines()[1:] == ["-  a     ['a, b']", "+  'a '  [a, b]"]
