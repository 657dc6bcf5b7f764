"""Queries made at random, over three small tables of whole numbers.

Each gives columns c0, c1, … of whole numbers, and the same rows whatever the order in which
DuckDB computes them. Every alias and every CTE has a name of its own, a letter and a number.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import count

from hypothesis import strategies as st

TABLES = {
    "t": ("id", "k", "a", "b"),
    "u": ("id", "k", "x", "y"),
    "v": ("id", "a", "z"),
}


@dataclass(frozen=True)
class Made:
    """A query and how many columns it has."""

    sql: str
    width: int

    @property
    def columns(self) -> list[str]:
        return [f"c{n}" for n in range(self.width)]


_numbers = count()


def alias(letter: str) -> str:
    """A name that no other part of a query has, until `_numbered` makes it a short one."""
    return f"{letter}_{next(_numbers)}_"


def _numbered(made: Made) -> Made:
    found = list(dict.fromkeys(re.findall(r"\b[a-z]_\d+_", made.sql)))
    short = {name: f"{name[0]}{n}" for n, name in enumerate(found, 1)}
    return Made(re.sub(r"\b[a-z]_\d+_", lambda name: short[name[0]], made.sql), made.width)


@st.composite
def base(draw) -> Made:
    table = draw(st.sampled_from(sorted(TABLES)))
    chosen = draw(st.lists(st.sampled_from(TABLES[table]), min_size=2, max_size=3, unique=True))
    name = alias("e")
    before, after = draw(
        st.sampled_from(
            [("", ""), (f"{table}.", ""), (f"s.{table}.", ""), (f"{name}.", f" {name}")]
        )
    )
    picked = ", ".join(f"{before}{name} AS c{n}" for n, name in enumerate(chosen))
    where = draw(
        st.sampled_from(["", f" WHERE {draw(conditions([f'{before}{c}' for c in chosen]))}"])
    )
    return Made(f"SELECT {picked} FROM s.{table}{after}{where}", len(chosen))


@st.composite
def expression(draw, columns: list[str]) -> str:
    one, other = draw(st.sampled_from(columns)), draw(st.sampled_from(columns))
    return draw(
        st.sampled_from(
            [
                one,
                f"{one} + {other}",
                f"coalesce({one}, {other}, 0)",
                f"CASE WHEN {one} > {other} THEN {one} ELSE 1 END",
                f"nullif({one}, {other})",
                "1",
            ]
        )
    )


@st.composite
def condition(draw, columns: list[str]) -> str:
    one, other = draw(st.sampled_from(columns)), draw(st.sampled_from(columns))
    number = draw(st.integers(0, 3))
    e, f = alias("e"), alias("f")
    return draw(
        st.sampled_from(
            [
                f"{one} > {number}",
                f"{one} IS NULL",
                f"{one} = {other}",
                f"{one} <= {other} OR {other} IS NULL",
                f"{one} IN (SELECT id FROM s.v)",
                f"EXISTS (SELECT 1 FROM s.u {e} WHERE {e}.k = {one} AND {e}.x > {number})",
                f"{one} IN (SELECT {e}.x FROM s.u AS {e} JOIN s.v {f} USING (id) WHERE {f}.z > 0)",
                f"{one} < (SELECT max(z) FROM s.v)",
            ]
        )
    )


@st.composite
def conditions(draw, columns: list[str]) -> str:
    """Up to three of them, joined by AND in one way or another."""
    found = draw(st.lists(condition(columns), min_size=1, max_size=3))
    found = [f"({each})" if " OR " in each and len(found) > 1 else each for each in found]
    if len(found) == 3 and draw(st.booleans()):
        return f"{found[0]} AND ({found[1]} AND {found[2]})"
    return " AND ".join(found)


def _all(made: Made, prefix: str = "") -> str:
    return ", ".join(f"{prefix}{name}" for name in made.columns)


@st.composite
def projected(draw, inner) -> Made:
    made = draw(inner)
    count = draw(st.integers(1, 3))
    picked = [f"{draw(expression(made.columns))} AS c{n}" for n in range(count)]
    return Made(f"SELECT {', '.join(picked)} FROM ({made.sql})", count)


@st.composite
def filtered(draw, inner) -> Made:
    made = draw(inner)
    how = draw(st.sampled_from(["SELECT * FROM ({}) WHERE {}", "FROM ({}) WHERE {}"]))
    return Made(how.format(made.sql, draw(conditions(made.columns))), made.width)


@st.composite
def joined(draw, inner) -> Made:
    left, right = draw(inner), draw(inner)
    kind = draw(st.sampled_from(["JOIN", "LEFT JOIN", "FULL JOIN", "SEMI JOIN", "ANTI JOIN"]))
    l, r = alias("l"), alias("r")  # noqa: E741
    on = " AND ".join(
        f"{l}.{draw(st.sampled_from(left.columns))} = {r}.{draw(st.sampled_from(right.columns))}"
        for _ in range(draw(st.integers(1, 2)))
    )
    names = [f"{l}.{c}" for c in left.columns]
    if kind not in ("SEMI JOIN", "ANTI JOIN"):
        names += [f"{r}.{c}" for c in right.columns]
    picked = ", ".join(f"{name} AS c{n}" for n, name in enumerate(names))
    sql = f"SELECT {picked} FROM ({left.sql}) {l} {kind} ({right.sql}) AS {r} ON {on}"
    return Made(sql, len(names))


@st.composite
def grouped(draw, inner) -> Made:
    made = draw(inner)
    by = draw(st.sampled_from(made.columns))
    of = draw(st.sampled_from(made.columns))
    call = draw(st.sampled_from(["sum({})", "count({})", "max({})", "count(DISTINCT {})"]))
    clause = draw(st.sampled_from([f"GROUP BY {by}", "GROUP BY ALL", "GROUP BY 1"]))
    other = draw(st.sampled_from(made.columns))
    q = alias("q")
    several, large = "count(*) > 1", f"max({q}.{other}) > 1"
    having = draw(st.sampled_from(["", several, large, f"{several} AND {large}"]))
    having = having and f" HAVING {having}"
    sql = f"SELECT {by} AS c0, {call.format(of)} AS c1 FROM ({made.sql}) {q} {clause}{having}"
    return Made(sql, 2)


@st.composite
def windowed(draw, inner) -> Made:
    made = draw(inner)
    of, by, order = (draw(st.sampled_from(made.columns)) for _ in range(3))
    call = draw(st.sampled_from([f"sum({of})", "count(*)", f"max({of})", "rank()"]))
    sql = (
        f"SELECT {_all(made)}, {call} OVER (PARTITION BY {by} ORDER BY {order}) "
        f"AS c{made.width} FROM ({made.sql})"
    )
    return Made(sql, made.width + 1)


@st.composite
def qualified(draw, inner) -> Made:
    made = draw(inner)
    by, order = (draw(st.sampled_from(made.columns)) for _ in range(2))
    over = draw(st.sampled_from([f"ORDER BY {order}", f"PARTITION BY {by} ORDER BY {order}"]))
    return Made(f"SELECT * FROM ({made.sql}) QUALIFY rank() OVER ({over}) = 1", made.width)


@st.composite
def combined(draw, inner) -> Made:
    left, right = draw(inner), draw(inner)
    width = min(left.width, right.width)
    how = draw(st.sampled_from(["UNION ALL", "UNION", "EXCEPT", "INTERSECT", "EXCEPT ALL"]))
    picked = ", ".join(f"c{n}" for n in range(width))
    sql = f"SELECT {picked} FROM ({left.sql}) {how} SELECT {picked} FROM ({right.sql})"
    return Made(f"SELECT * FROM ({sql})", width)


@st.composite
def reduced(draw, inner) -> Made:
    made = draw(inner)
    w, x, q = alias("w"), alias("x"), alias("q")
    how = draw(
        st.sampled_from(
            [
                "SELECT DISTINCT * FROM ({})",
                "SELECT * FROM ({}) ORDER BY ALL LIMIT 3",
                f"WITH {w} AS ({{}}) SELECT * FROM {w}",
                f"WITH {w} AS ({{}}) SELECT {w}.* FROM {w} WHERE {w}.c0 > 0 AND c0 < 9",
                f"WITH {w} AS ({{}}) SELECT * FROM {w} WHERE c0 IN "
                f"(SELECT {x}.c0 FROM {w} {x} WHERE {x}.c0 > 1)",
                f"WITH {w} AS ({{}}), {x} AS (SELECT * FROM {w} WHERE c0 > 0) "
                f"SELECT * FROM {x} {q}",
                f"SELECT *, (SELECT count(*) FROM s.u WHERE u.x > {q}.c0) AS extra FROM ({{}}) {q}",
            ]
        )
    )
    if "extra" in how:
        how = how.replace("extra", f"c{made.width}")
        return Made(how.format(made.sql), made.width + 1)
    return Made(how.format(made.sql), made.width)


def deeper(inner):
    return st.one_of(
        projected(inner),
        filtered(inner),
        joined(inner),
        grouped(inner),
        windowed(inner),
        qualified(inner),
        combined(inner),
        reduced(inner),
    )


queries = st.recursive(base(), deeper, max_leaves=4).map(_numbered)
