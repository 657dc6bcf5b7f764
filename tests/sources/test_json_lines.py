"""JSON lines: one object a line; what is none is quarantined with its line and text."""

from __future__ import annotations

import gzip
import json
import tempfile
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.reading import Landed, Quarantined, read

COLUMNS = {"id": "bigint", "v": "varchar"}


def read_json(folder: Path, content: str | bytes, columns=COLUMNS, *more: str) -> Landed:
    return read(folder, {"a.jsonl": content}, columns, *more)


def test_what_is_no_object_is_quarantined_alone(tmp_path):
    lines = [
        '{"id":1,"v":"a"}',
        '{"id":2,',
        "[1]",
        '"x"',
        "null",
        "17",
        '{"id":"x","v":"b"}',
        '{"id":8} {"id":9}',
        '{"id":10} trailing',
        "no json",
        '{"id":11}',
    ]
    landed = read_json(tmp_path, "\n".join(lines))
    assert [(row["_record"], row["id"], row["v"]) for row in landed.rows] == [
        (1, 1, "a"),
        (11, 11, None),
    ]
    reasons = ["line.broken_json", *["line.no_object"] * 4, "id.type", *["line.broken_json"] * 3]
    assert landed.quarantined == [
        Quarantined(number, number, (reason,), lines[number - 1])
        for number, reason in enumerate(reasons, start=2)
    ]
    assert landed.is_balanced


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=["LF", "CRLF", "CR"])
def test_every_line_end_gives_the_same_records(tmp_path, end):
    lines = ['{"id":1}', "broken", '{"id":"x"}', '{"id":4}']
    landed = read_json(tmp_path, end.join(lines))
    assert landed.records() == [1, 4]
    assert [(q.record, q.line, q.content) for q in landed.quarantined] == [
        (2, 2, "broken"),
        (3, 3, '{"id":"x"}'),
    ]


def test_mixed_line_ends_beside_escaped_quotes(tmp_path):
    text = '{"id":1,"v":"a\\"b"}\r{"id":2}\nbroken\r\n{"id":4,"v":"\\"c"}\r{"id":"x"}\r{"id":6}\n'
    landed = read_json(tmp_path, text)
    assert landed.records() == [1, 2, 4, 6]
    assert [(q.record, q.line, q.content) for q in landed.quarantined] == [
        (3, 3, "broken"),
        (5, 5, '{"id":"x"}'),
    ]


@pytest.mark.parametrize(
    "blank",
    [
        pytest.param("", id="nothing"),
        pytest.param("   ", id="blanks"),
        pytest.param("\t", id="tab"),
    ],
)
def test_blank_lines_are_no_records_but_count_as_lines(tmp_path, blank):
    landed = read_json(tmp_path, f'{blank}\n{{"id":1}}\n{blank}\nbroken\n{blank}\n{{"id":3}}\n')
    assert landed.records() == [1, 3]
    assert landed.quarantined == [Quarantined(2, 4, ("line.broken_json",), "broken")]


def test_a_byte_order_mark_is_no_part_of_the_first_record(tmp_path):
    landed = read_json(tmp_path, '\ufeff{"id":1,"v":"a"}\n{"id":2}\n')
    assert landed.column("id") == [1, 2]


def test_a_line_that_is_not_utf8_is_quarantined_alone(tmp_path):
    landed = read_json(tmp_path, b'{"id":1,"v":"caf\xe9"}\n{"id":2,"v":"ok"}\n')
    assert landed.column("v") == ["ok"]
    assert [(q.line, q.reasons) for q in landed.quarantined] == [(1, ("line.broken_json",))]


def test_scalars_are_read_as_text(tmp_path):
    text = (
        '{"id":1,"v":true}\n{"id":2,"v":1.25}\n'
        '{"id":4,"v":{"a":[1]}}\n{"id":5,"v":null}\n{"id":6}\n'
    )
    assert read_json(tmp_path, text).column("v") == [
        "true",
        "1.25",
        '{"a":[1]}',
        None,
        None,
    ]


def test_a_number_keeps_all_its_digits(tmp_path):
    landed = read_json(tmp_path, '{"id":1,"v":12345678901234567890.12}\n{"id":2,"v":0.1}\n')
    assert landed.column("v") == ["12345678901234567890.12", "0.1"]


def test_long_numbers_keep_their_digits_wherever_a_type_asks_for_them(tmp_path):
    long = "0.10000000000000000555"
    kinds = {"d": "decimal(38,20)", "f": "double", "s": "struct(x varchar)", "j": "json"}
    text = f'{{"d":{long},"f":{long},"s":{{"x":{long}}},"j":{{"x":{long}}},"w":[{long}]}}\n'
    landed = read_json(tmp_path, text + '{"d":1.5}\n', kinds)
    assert landed.rows[0] | {"d": str(landed.rows[0]["d"])} == {
        "d": long,
        "f": 0.1,
        "s": {"x": long},
        "j": '{"x":0.1}',
        "w": "[0.1]",
        "_file_id": 1,
        "_record": 1,
    }


@pytest.mark.parametrize(
    "number", ["123456789012.0001", "99999999999999.99", "1234567890123456e-3"]
)
def test_the_digits_of_a_long_number_may_stand_before_its_point(tmp_path, number):
    landed = read_json(tmp_path, f'{{"id":1,"v":{number}}}\n')
    assert Decimal(landed.column("v")[0]) == Decimal(number)


def test_a_line_with_a_long_number_is_quarantined_as_it_was(tmp_path):
    line = '{"id":"x","v":12345678901234567890.12}'
    landed = read_json(tmp_path, f'{{"id":1}}\n\n{line}\n')
    assert landed.quarantined == [Quarantined(2, 3, ("id.type",), line)]


def test_two_spellings_of_a_key_in_one_object_are_quarantined(tmp_path):
    landed = read_json(tmp_path, '{"id":1,"v":"a","V":"b"}\n{"ID":2}\n')
    assert landed.column("id") == [2]
    assert [q.reasons for q in landed.quarantined] == [("line.repeated_key",)]


def test_keys_match_whatever_their_case(tmp_path):
    landed = read_json(tmp_path, '{"ID":1,"V":"a"}\n{"Id":2,"v":"b"}\n')
    assert landed.column("id") == [1, 2]
    assert landed.column("v") == ["a", "b"]


def test_unexpected_keys_land_as_text_from_whichever_line_has_them(tmp_path):
    landed = read_json(tmp_path, '{"id":1}\n{"id":2,"w":[1,2]}\n{"id":3,"x":"y"}\n')
    assert landed.column("w") == [None, "[1,2]", None]
    assert landed.column("x") == [None, None, "y"]


def test_keys_that_differ_in_case_alone_are_one_column(tmp_path):
    landed = read_json(tmp_path, '{"id":1,"w":"a"}\n{"id":2,"W":"b"}\n')
    assert not landed.refused
    assert landed.column("w") == ["a", "b"]


def test_a_key_that_stands_twice_loses_no_value_in_silence(tmp_path):
    landed = read_json(tmp_path, '{"id":1,"id":2,"v":"b"}\n{"id":3}\n')
    assert landed.column("id") == [3]
    assert [(q.line, q.content) for q in landed.quarantined] == [(1, '{"id":1,"id":2,"v":"b"}')]


NESTED = {
    "id": "bigint",
    "s": "struct(a integer, b varchar[])",
    "l": "integer[]",
    "j": "json",
}


def test_nested_values_land_with_their_types(tmp_path):
    text = (
        '{"id":1,"s":{"a":1,"b":["x","y"]},"l":[1,2],"j":{"k":[1]}}\n'
        '{"id":2,"s":null,"l":null}\n{"id":3,"s":{"a":null},"l":[]}\n'
    )
    landed = read_json(tmp_path, text, NESTED)
    assert landed.column("s") == [{"a": 1, "b": ["x", "y"]}, None, {"a": None, "b": None}]
    assert landed.column("l") == [[1, 2], None, []]
    assert landed.column("j") == ['{"k":[1]}', None, None]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ('"s":{"a":"x"}', "s.type"),
        ('"s":{"a":1.5}', "s.type"),
        ('"s":[1]', "s.type"),
        ('"s":"text"', "s.type"),
        ('"s":{"b":"no list"}', "s.type"),
        ('"s":{"a":1,"c":2}', "s.type"),
        ('"l":[1,"z"]', "l.type"),
        ('"l":[1.5]', "l.type"),
        ('"l":{"a":1}', "l.type"),
        ('"l":[[1]]', "l.type"),
    ],
)
def test_a_nested_value_that_would_lose_something_is_quarantined(tmp_path, value, reason):
    landed = read_json(tmp_path, f'{{"id":1,{value}}}\n', NESTED)
    assert landed.quarantined == [Quarantined(1, 1, (reason,), f'{{"id":1,{value}}}')]


@pytest.mark.parametrize("text", ['[{"id":1}]', '\n [\n{"id":1}\n]\n'])
def test_one_json_document_is_refused_with_what_to_do(tmp_path, text):
    (refused,) = read_json(tmp_path, text).refused.values()
    assert refused.message == "the file is one JSON document, not JSON lines"
    assert "format: json" in refused.hint


def test_a_packed_file_reads_like_a_plain_one(tmp_path):
    text = '{"id":1,"v":"a"}\n\nbroken\n{"id":3}\n'
    plain = read(tmp_path / "plain", {"a.jsonl": text}, COLUMNS)
    packed = read(tmp_path / "packed", {"a.jsonl.gz": gzip.compress(text.encode())}, COLUMNS)
    assert packed == plain


SCALARS = st.none() | st.booleans() | st.integers(-99, 99) | st.text('a"\\é\n', max_size=4)
LINES = st.one_of(
    st.fixed_dictionaries({"id": st.integers(0, 99), "v": SCALARS}).map(json.dumps),
    st.fixed_dictionaries({"id": st.integers(0, 99), "v": SCALARS}).map(
        lambda row: json.dumps(row, ensure_ascii=False)
    ),
    st.fixed_dictionaries({"id": st.just("x")}).map(json.dumps),
    st.sampled_from(["", '{"id":', "[1]", "null", "x", '"y"', "{}"]),
)


@settings(max_examples=40)
@given(st.lists(LINES, max_size=8), st.sampled_from(["\n", "\r\n"]))
def test_any_file_agrees_with_a_plain_reading(lines, end):
    if not "".join(lines):
        return
    with tempfile.TemporaryDirectory() as folder:
        if "".join(lines).startswith("["):
            lines = ["{}", *lines]
        landed = read_json(Path(folder), end.join(lines) + end)
    rows, rejected = [], []
    filled = [(number, line) for number, line in enumerate(lines, start=1) if line]
    for record, (number, text) in enumerate(filled, start=1):
        try:
            value = json.loads(text)
        except ValueError:
            rejected.append(Quarantined(record, number, ("line.broken_json",), text))
            continue
        if not isinstance(value, dict):
            rejected.append(Quarantined(record, number, ("line.no_object",), text))
        elif value.get("id") == "x":
            rejected.append(Quarantined(record, number, ("id.type",), text))
        else:
            v = value.get("v")
            shown = v if v is None or isinstance(v, str) else json.dumps(v)
            rows.append((record, value.get("id"), shown))
    assert [(r["_record"], r["id"], r["v"]) for r in landed.rows] == rows
    assert landed.quarantined == rejected
    assert landed.is_balanced
