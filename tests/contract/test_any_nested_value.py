"""Random JSON as random nested types: the compiled SQL agrees with a slow, obvious reading."""

from __future__ import annotations

import json
from decimal import Decimal, InvalidOperation
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headwater.contract.casts import cast, cast_in_steps, is_lossy
from headwater.contract.types import Type, parse_type
from headwater.sql.quote import literal
from tests.contract.judging import session

NAMES = ["a", "b c", "X", 'q"q']
SCALARS = [parse_type(kind) for kind in ("integer", "varchar", "decimal(6,2)")]


def struct(fields: dict[str, Type]) -> Type:
    return Type("STRUCT", (), tuple(fields.items()))


def nested(parts: st.SearchStrategy[Type]) -> st.SearchStrategy[Type]:
    keys = st.sampled_from(SCALARS[:2])
    return st.one_of(
        st.dictionaries(st.sampled_from(NAMES), parts, min_size=1, max_size=3).map(struct),
        parts.map(lambda part: Type("LIST", (), (("", part),))),
        st.tuples(keys, parts).map(
            lambda two: Type("MAP", (), (("key", two[0]), ("value", two[1])))
        ),
    )


TYPES = nested(st.recursive(st.sampled_from(SCALARS), nested, max_leaves=4))
LEAVES = st.one_of(
    st.none(),
    st.sampled_from([1, -3, 1.0, 1.5, 2.25, 1.239, True, "4", "07", "x", "", 'é"', "null"]),
)


@st.composite
def values(draw, kind: Type) -> Any:
    """A value that is mostly of this type."""
    if draw(st.integers(0, 12)) == 0:
        return draw(st.sampled_from([None, 1, "x", [1], {"a": 1}, {"A": 1}]))
    if kind.kind == "STRUCT":
        there = [part for part in kind.parts if draw(st.integers(0, 5))]
        also = {"A": 1} if draw(st.integers(0, 15)) == 0 else {}
        return {name: draw(values(part)) for name, part in there} | also
    if kind.kind == "LIST":
        return draw(st.lists(values(kind.parts[0][1]), max_size=3))
    if kind.kind == "MAP":
        return draw(st.dictionaries(st.sampled_from("01k"), values(kind.parts[1][1]), max_size=2))
    return draw(LEAVES)


class NoValue(Exception):
    pass


def read_plainly(value: Any, kind: Type) -> Any:
    """The value as one of the type. Raises NoValue where it is none exactly."""
    if value is None:
        return None
    if kind.kind == "STRUCT":
        if not isinstance(value, dict) or value.keys() - {name for name, _ in kind.parts}:
            raise NoValue
        return {name: read_plainly(value.get(name), part) for name, part in kind.parts}
    if kind.kind == "LIST":
        if not isinstance(value, list):
            raise NoValue
        return [read_plainly(item, kind.parts[0][1]) for item in value]
    if kind.kind == "MAP":
        if not isinstance(value, dict):
            raise NoValue
        keys = [read_plainly(key, kind.parts[0][1]) for key in value]
        if len(set(keys)) < len(keys):
            raise NoValue
        items = [read_plainly(item, kind.parts[1][1]) for item in value.values()]
        return dict(zip(keys, items, strict=True))
    return read_scalar(value if isinstance(value, str) else shown(value), kind)


def shown(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def read_scalar(text: str, kind: Type) -> Any:
    if kind.kind == "VARCHAR":
        return text
    try:
        number = Decimal(text)
    except InvalidOperation as error:
        raise NoValue from error
    places = kind.size[1] if kind.size else 0
    if number != round(number, places):
        raise NoValue
    return number if kind.size else int(number)


def cases() -> st.SearchStrategy[tuple[Type, list[Any]]]:
    return TYPES.flatmap(lambda kind: st.tuples(st.just(kind), st.lists(values(kind), max_size=8)))


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(cases(), st.sampled_from(["json", "varchar"]))
def test_any_json_as_any_nested_type_agrees_with_an_obvious_reading(case, given_as):
    kind, found = case
    have = parse_type(given_as)
    texts = [*(literal(shown(value)) for value in found), "NULL"]
    source = " UNION ALL ".join(
        f"SELECT {n} AS n, CAST({text} AS {have.sql}) AS r" for n, text in enumerate(texts)
    )
    expected = []
    for value in [*found, None]:
        try:
            expected.append((read_plainly(value, kind), False))
        except NoValue:
            expected.append((None, True))
    assert (
        judged(f"SELECT n, r, {cast('r', have, kind)} AS v FROM ({source})", have, kind) == expected
    )
    steps = cast_in_steps("r", have, kind, None, "step:")
    for name, sql in steps.named:
        source = f"SELECT *, {sql} AS {name} FROM ({source})"
    assert judged(f"SELECT n, r, {steps.sql} AS v FROM ({source})", have, kind) == expected


def judged(query: str, have: Type, kind: Type) -> list[tuple[Any, bool]]:
    lossy = f"coalesce({is_lossy('v', 'r', have, kind)}, FALSE)"
    return session().execute(f"SELECT v, {lossy} FROM ({query}) ORDER BY n").fetchall()
