"""Random rows under random contracts: the compiled SQL agrees with a slow, obvious model."""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from headwater.contract.contract import Contract, Remedy
from tests.contract.judging import Judged, judge_rows

VALUES = [None, "", "0", "1", "-1", "5", "12", "1.5", "1.0", "1e1", "2.25", "x", "ab", "abc", "no"]
INTEGERS = st.integers(-2, 13)


@st.composite
def columns(draw) -> dict[str, Any]:
    kind = draw(st.sampled_from(["integer", "decimal(6,2)", "varchar", "boolean"]))
    found: dict[str, Any] = {"type": kind}
    if kind in ("integer", "decimal(6,2)"):
        if draw(st.booleans()):
            found["min"] = draw(INTEGERS)
        if draw(st.booleans()):
            found["max"] = draw(INTEGERS)
        if draw(st.integers(0, 3)) == 0:
            found["accepted"] = draw(st.lists(INTEGERS, min_size=1, max_size=3))
    if kind == "varchar":
        if draw(st.booleans()):
            found["accepted"] = draw(st.lists(st.sampled_from(["x", "ab", "5"]), min_size=1))
        if draw(st.booleans()):
            found["pattern"] = draw(st.sampled_from(["[a-z]+", "[0-9.]*", "x|ab"]))
        if draw(st.booleans()):
            found["length"] = draw(st.sampled_from([1, {"min": 1}, {"max": 2}]))
    found["required"] = draw(st.booleans())
    if draw(st.booleans()):
        found["default"] = {"varchar": "x", "boolean": True}.get(kind, 1)
    remedies = [None, "quarantine", "fail", "drop", "warn"]
    if not found["required"]:
        remedies.append("null")
    if "default" in found:
        remedies.append("default")
    if "min" in found or "max" in found:
        remedies.append("clip")
    if remedy := draw(st.sampled_from(remedies)):
        found["otherwise"] = remedy
    return found


@st.composite
def contracts(draw) -> dict[str, Any]:
    found: dict[str, Any] = {"columns": {"a": draw(columns()), "b": draw(columns())}}
    if draw(st.booleans()):
        check = draw(st.sampled_from(["a IS NOT NULL", "a IS NULL OR b IS NULL"]))
        remedy = draw(st.sampled_from(["quarantine", "drop", "fail", "warn"]))
        found["rules"] = [{"name": "r", "check": check, "otherwise": remedy}]
    return found


NOTHING = object()


def parsed(kind: str, text: str) -> Any:
    """The text as a value of its type; NOTHING if it is none."""
    if kind == "varchar":
        return text
    if kind == "boolean":
        words = {"1": True, "0": False, "no": False}
        return words.get(text, NOTHING)
    try:
        number = Decimal(text)
    except InvalidOperation:
        return NOTHING
    if kind == "integer":
        return int(number) if number == int(number) else NOTHING
    return number


def broken_rules(column: dict[str, Any], value: Any, text: str | None) -> list[str]:
    if value is NOTHING:
        return ["type"]
    if value is None:
        return ["required"] if column["required"] and text is None else []
    found = []
    if "accepted" in column and value not in column["accepted"]:
        found.append("accepted")
    if "min" in column and value < column["min"]:
        found.append("min")
    if "max" in column and value > column["max"]:
        found.append("max")
    if "pattern" in column and not re.fullmatch(column["pattern"], value):
        found.append("pattern")
    if "length" in column:
        length = column["length"]
        bounds = {"min": length, "max": length} if isinstance(length, int) else length
        if not bounds.get("min", 0) <= len(value) <= bounds.get("max", 99):
            found.append("length")
    return found


def judged_plainly(contract: dict[str, Any], row: dict[str, str | None], room: str) -> Judged:
    """The obvious model: column after column, then the rule, then the worst remedy."""
    values: dict[str, Any] = {}
    reasons: list[str] = []
    remedies: list[str] = []
    mended = {"null": 0, "default": 0, "clip": 0}
    for name, column in contract["columns"].items():
        text = row[name]
        filled = text is None and "default" in column
        value = None if text is None else parsed(column["type"], text)
        if filled:
            value = column["default"]
            mended["default"] += 1
        remedy = column.get("otherwise", room)
        broken = broken_rules(column, value, None if filled else text)
        if remedy in ("null", "default") and broken:
            value = None if remedy == "null" else column["default"]
            mended[remedy] += 1
            broken = []
        elif remedy == "clip":
            bounded = [rule for rule in broken if rule in ("min", "max")]
            if bounded:
                low, high = column.get("min"), column.get("max")
                value = low if low is not None and value < low else high
                mended["clip"] += 1
            rest = broken_rules(column, value, None if filled else text)
            broken = [rule for rule in rest if rule not in ("min", "max")]
            remedy = room
        for rule in broken:
            reasons.append(f"{name}.{rule}")
            remedies.append("quarantine" if rule == "type" and remedy == "warn" else remedy)
        values[name] = None if value is NOTHING else value
    for rule in contract.get("rules", ()):
        holds = (
            values["a"] is not None
            if rule["check"] == "a IS NOT NULL"
            else values["a"] is None or values["b"] is None
        )
        if not holds:
            reasons.append("rule.r")
            remedies.append(rule["otherwise"])
    fate = next(
        (
            fate
            for remedy, fate in (
                ("fail", "failed"),
                ("quarantine", "quarantined"),
                ("drop", "dropped"),
            )
            if remedy in remedies
        ),
        "landed",
    )
    if fate != "landed":
        return Judged(fate, (), tuple(reasons))
    counts = (mended["null"], mended["default"], mended["clip"])
    return Judged(fate, tuple(values.values()), tuple(reasons), counts)


ROWS = st.lists(
    st.fixed_dictionaries({"a": st.sampled_from(VALUES), "b": st.sampled_from(VALUES)}),
    min_size=1,
    max_size=6,
)


@settings(max_examples=120)
@given(contracts(), ROWS, st.sampled_from(["quarantine", "fail"]))
def test_the_compiled_contract_agrees_with_an_obvious_one(contract, rows, room):
    found = judge_rows(Contract.model_validate(contract), rows, otherwise=Remedy(room))
    assert found == [judged_plainly(contract, row, room) for row in rows]


@settings(max_examples=40)
@given(contracts(), ROWS)
def test_every_row_has_one_fate_and_a_reason_unless_it_lands(contract, rows):
    found = judge_rows(Contract.model_validate(contract), rows)
    assert len(found) == len(rows)
    assert all(row.reasons for row in found if row.fate != "landed")
