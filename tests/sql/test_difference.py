"""What differs between two versions of a query, in words."""

from __future__ import annotations

import pytest

from headwater.sql.difference import difference


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ("SELECT a FROM t", "select a -- the a\nfrom t", ()),
        ("SELECT a FROM t", "SELECT a, b + 1 AS c FROM t", ("c: new, b + 1",)),
        ("SELECT a, b FROM t", "SELECT a FROM t", ("b: gone",)),
        ("SELECT a FROM t WHERE a > 0", "SELECT a FROM t WHERE a > 1", ("filter: a > 0 -> a > 1",)),
        ("SELECT a FROM t", "SELECT a FROM t WHERE a > 1", ("filter: none -> a > 1",)),
        ("SELECT a FROM t", "SELECT a FROM u", ("FROM: t -> u",)),
        (
            "SELECT a FROM t JOIN u USING (k)",
            "SELECT a FROM t LEFT JOIN u USING (k)",
            ("joins: JOIN u USING (k) -> LEFT JOIN u USING (k)",),
        ),
        ("SELECT a FROM t GROUP BY a", "SELECT a FROM t GROUP BY ALL", None),
        (
            "WITH w AS (SELECT 1 AS a) SELECT a FROM w",
            "WITH w AS (SELECT 2 AS a) SELECT a FROM w",
            ("the CTE w",),
        ),
        ("SELECT a FROM t UNION SELECT 1", "SELECT a FROM t UNION SELECT 2", ("the query",)),
        ("SELECT (", "SELECT a FROM t", ()),
    ],
)
def test_a_difference_is_told_part_by_part(before, after, told):
    found = difference(before, after)
    assert found == told if told is not None else len(found) == 1


def test_long_expressions_are_cut():
    (told,) = difference("SELECT a AS x FROM t", f"SELECT {' + '.join('abcdefgh' * 9)} AS x FROM t")
    assert told.endswith(" …")
    assert len(told) < 80
