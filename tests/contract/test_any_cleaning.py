"""Random texts under random cleaning: the compiled SQL agrees with a slow, obvious model."""

from __future__ import annotations

import re
from datetime import date, datetime
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from headwater.contract.contract import Contract
from tests.contract.judging import Judged, judge_rows

TEXTS = [None, "", " ", "NA", " NA ", "-", "Y", "y", "1", "1,5", "1.234,5", "12.34", "1.234", "x"]
TEXTS += ["31/12/2020", "2020-12-31", " 31/12/2020 ", "7", " 7", "-3"]
LOST = object()


@st.composite
def columns(draw) -> dict[str, Any]:
    kind = draw(st.sampled_from(["varchar", "integer", "double", "date"]))
    found: dict[str, Any] = {"type": kind, "trim": draw(st.booleans())}
    if draw(st.booleans()):
        found["null_values"] = draw(st.lists(st.sampled_from(["NA", "-", "7", ""]), max_size=3))
    if draw(st.integers(0, 2)) == 0:
        value = {"varchar": "yes", "integer": 5, "double": 2.5, "date": "2020-01-01"}[kind]
        found["values"] = {"Y": value, "x": None}
    elif kind == "date":
        found["format"] = draw(st.sampled_from(["%d/%m/%Y", ["%d/%m/%Y", "%Y-%m-%d"]]))
    elif kind in ("integer", "double") and draw(st.booleans()):
        found["decimal_separator"] = ","
        if draw(st.booleans()):
            found["thousands_separator"] = "."
    if draw(st.booleans()):
        found["required"] = True
    return found


def cleaned(column: dict[str, Any], text: str | None) -> str | None:
    if text is not None and column["trim"]:
        text = text.strip() or None
    return None if text in column.get("null_values", ()) else text


def typed(column: dict[str, Any], text: str) -> Any:
    kind = column["type"]
    if "values" in column:
        if text not in column["values"]:
            return LOST
        value = column["values"][text]
        return date.fromisoformat(value) if kind == "date" and value else value
    if kind == "varchar":
        return text
    if kind == "date":
        formats = column["format"]
        for format_ in [formats] if isinstance(formats, str) else formats:
            try:
                return datetime.strptime(text.strip(), format_).date()
            except ValueError:
                continue
        return LOST
    return number(kind, text.strip(), column)


def number(kind: str, text: str, column: dict[str, Any]) -> Any:
    decimal = column.get("decimal_separator", ".")
    thousands = column.get("thousands_separator")
    grouped = rf"[0-9]{{1,3}}({re.escape(thousands)}[0-9]{{3}})+|[0-9]+" if thousands else "[0-9]+"
    if not re.fullmatch(rf"[+-]?({grouped})({re.escape(decimal)}[0-9]*)?", text):
        return LOST
    value = float(text.replace(thousands or "_", "").replace(decimal, "."))
    if kind == "double":
        return value
    return int(value) if value == int(value) else LOST


def judged(column: dict[str, Any], text: str | None, rule: str) -> tuple[Any, list[str]]:
    meant = cleaned(column, text)
    if meant is None:
        return None, ["required"] if column.get("required") else []
    value = typed(column, meant)
    return (None, [rule]) if value is LOST else (value, [])


@settings(max_examples=120)
@given(columns(), st.lists(st.sampled_from(TEXTS), min_size=1, max_size=8))
def test_a_text_means_what_an_obvious_reading_of_it_says(column, texts):
    contract = Contract.model_validate({"columns": {"v": column}})
    rule = "values" if "values" in column else "type"
    expected = []
    for text in texts:
        value, broken = judged(column, text, rule)
        reasons = tuple(f"v.{name}" for name in broken)
        expected.append(
            Judged("quarantined", (), reasons) if broken else Judged("landed", (value,))
        )
    assert judge_rows(contract, [{"v": text} for text in texts]) == expected


@st.composite
def gaps(draw) -> tuple[dict[str, Any], list[dict[str, str | None]]]:
    fill = draw(
        st.sampled_from(
            [
                "previous",
                {"previous": {"by": "n"}},
                {"previous": {"within": "k"}},
                {"previous": {"by": "n", "within": ["k"]}},
                {"from": "n"},
                {"expression": "n + 1"},
                {"value": 3},
            ]
        )
    )
    column: dict[str, Any] = {"type": "integer", "max": 7, "fill": fill}
    if draw(st.booleans()):
        column["default"] = 0
    if draw(st.booleans()):
        column["otherwise"] = "fill"
    numbers = st.sampled_from([None, "1", "2", "5", "9", "x"])
    row = st.fixed_dictionaries(
        {
            "k": st.sampled_from([None, "a", "b"]),
            "n": st.sampled_from([None, "1", "2", "3"]),
            "v": numbers,
        }
    )
    return column, draw(st.lists(row, min_size=1, max_size=9))


def sound(text: str | None) -> int | None:
    """A value that others may take over: one of its type that breaks no rule."""
    return int(text) if text not in (None, "x") and int(text) <= 7 else None


def filled(column: dict[str, Any], rows: list[dict[str, str | None]], at: int) -> int | None:
    fill, row = column["fill"], rows[at]
    number = None if row["n"] is None else int(row["n"])
    if fill == "previous" or "previous" in fill:
        value = previous({} if fill == "previous" else fill["previous"], rows, at)
    elif "from" in fill:
        value = number
    elif "expression" in fill:
        value = None if number is None else number + 1
    else:
        value = fill["value"]
    return column.get("default") if value is None else value


def previous(how: dict[str, Any], rows: list[dict[str, str | None]], at: int) -> int | None:
    row = rows[at]
    if ("within" in how and row["k"] is None) or ("by" in how and row["n"] is None):
        return None

    def place(number: int) -> tuple[int, int]:
        return (int(rows[number]["n"] or 0) if "by" in how else 0, number)

    before = [
        number
        for number, other in enumerate(rows)
        if not ("within" in how and other["k"] != row["k"])
        and not ("by" in how and other["n"] is None)
        and place(number) < place(at)
        and sound(other["v"]) is not None
    ]
    return sound(rows[max(before, key=place)]["v"]) if before else None


@settings(max_examples=120)
@given(gaps())
def test_gaps_are_filled_as_an_obvious_reading_fills_them(made):
    column, rows = made
    contract = Contract.model_validate({"columns": {"k": "varchar", "n": "integer", "v": column}})
    expected = []
    for at, row in enumerate(rows):
        number = None if row["n"] is None else int(row["n"])
        is_sound = sound(row["v"]) is not None
        is_filled = row["v"] is None or (not is_sound and "otherwise" in column)
        value = filled(column, rows, at) if is_filled else sound(row["v"])
        if row["v"] is not None and value is None:
            reason = "v.type" if row["v"] == "x" else "v.max"
            expected.append(Judged("quarantined", (), (reason,)))
        else:
            counts = (0, int(is_filled and value is not None), 0)
            expected.append(Judged("landed", (row["k"], number, value), (), counts))
    assert judge_rows(contract, rows) == expected
