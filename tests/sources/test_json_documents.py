"""JSON documents: each record of the list is read as a JSON line would be, with its text and the
line that it begins in."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.sources.files import json_documents
from tests.reading import Landed, Quarantined, read

COLUMNS = {"id": "bigint", "v": "varchar"}


def read_json(folder, text: str | bytes, *more: str, name: str = "a.json") -> Landed:
    return read(folder, {name: text}, COLUMNS, *more)


PRETTY = """\
{
  "next": null,
  "skipped": [{"items": [1, "]}"]}, "a \\" { b"],
  "data": {"count": 3, "items": [
    {"id": 1,
     "v": "a\\u00e9"},
    {"id": "x", "v": "b"}, 7,
    {"id": 3, "v": "c", "V": "d"},
    {"id": 4,
     "v": "]"}
  ], "more": {"items": []}}
}
"""


@pytest.mark.parametrize("path", ["data.items", "$.data.items", '$."data".items'])
def test_records_of_a_document_land_with_number_line_and_text(tmp_path, path):
    landed = read_json(tmp_path, PRETTY, f"records: '{path}'")
    assert [(r["_record"], r["v"]) for r in landed.rows] == [(1, "aé"), (5, "]")]
    assert landed.quarantined == [
        Quarantined(2, 7, ("id.type",), '{"id": "x", "v": "b"}'),
        Quarantined(3, 7, ("line.no_object",), "7"),
        Quarantined(4, 8, ("line.repeated_key",), '{"id": 3, "v": "c", "V": "d"}'),
    ]


@pytest.mark.parametrize("text", ['[{"id":1,"v":"a"}]', '\n [\r\n{"id":1,\r\n"v":"a"}\n]\n'])
@pytest.mark.parametrize("more", [(), ("format: json",), ("records: $",)])
def test_a_document_that_is_a_list_needs_no_path(tmp_path, text, more):
    assert read_json(tmp_path, text, *more).column("v") == ["a"]


def test_a_document_may_be_one_record_where_that_is_said(tmp_path):
    assert read_json(tmp_path, '{"id": 1,\n"v": "a"}', "records: $").column("v") == ["a"]


def test_an_empty_list_has_no_records(tmp_path):
    landed = read_json(tmp_path, '{"items": [ ]}', "records: items")
    assert (landed.refused, landed.received) == ({}, 0)


def test_lines_of_objects_stay_json_lines(tmp_path):
    assert read_json(tmp_path, '{"id":1,"v":"a"}\n{"id":2,"v":"b"}\n').column("v") == ["a", "b"]


def test_numbers_keep_their_digits_and_broken_bytes_spoil_one_record(tmp_path):
    text = b'[{"id": 1, "n": 0.12345678901234567890}, {"id": 2, "n": 1, "v": "\xff"}]'
    columns = {"id": "bigint", "n": "decimal(30,20)", "v": "varchar"}
    landed = read(tmp_path, {"a.json": text}, columns)
    assert str(landed.rows[0]["n"]) == "0.12345678901234567890"
    assert [(q.record, q.reasons) for q in landed.quarantined] == [(2, ("line.broken_json",))]


@pytest.mark.parametrize(
    ("text", "path", "message", "hint"),
    [
        ('{"a": 1}', None, "the JSON document is an object, not a list", "records: $"),
        ("7", "$", "the JSON document is a single value", "records: data.items"),
        ('{"a": {"b": 1}}', "a.b", "what is at `records: a.b` is a single value", "name the"),
        ('{"a": {"b": {}}}', "a.b", "what is at `records: a.b` is an object", "name the list"),
        ('{"a": {"c": [], "d": 1}}', "a.b", "there is no 'b' on the way to", "keys there: c, d"),
        ('{"a": []}', "a.b", "there is no 'b' on the way to `records: a.b`", "no object there"),
    ],
)
def test_a_path_to_no_list_is_refused(tmp_path, text, path, message, hint):
    more = ["format: json", *([f"records: {path}"] if path else [])]
    (why,) = read_json(tmp_path, text, *more).refused.values()
    assert message in why.message
    assert hint in why.hint


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"items": [{"id": 1}, {"id": 2', "broken in line 1: the document ends early"),
        ('{"items": [{"id": 1},\n{"id": 2}', "broken in line 2: the document ends early"),
        ('{"items": [{"id": 1}]', "broken in line 1: the document ends early"),
        ('{"items": [{"id": 1}]} x', "broken in line 1: there is more after its end"),
        ('{"items": [{"id": 1}\n{"id": 2}]}', "broken in line 2: ',' is expected"),
        ('{"items": [{"id": NaN}]}', "broken in line 1: NaN is no JSON"),
        ('{"items": [{"id": 01}]}', "broken in line 1: "),
        ('{"a": "x", items: []}', "broken in line 1: a key is expected"),
        ('{"a" "x"}', "broken in line 1: ':' is expected"),
    ],
)
def test_a_document_that_is_not_json_is_refused_with_its_line(tmp_path, text, message):
    landed = read_json(tmp_path, text, "records: items")
    (why,) = landed.refused.values()
    assert message in why.message
    assert landed.rows == []


def test_a_record_that_is_too_long_is_refused_and_what_is_beside_is_passed_over(tmp_path):
    long = "x" * (17 << 20)
    landed = read_json(tmp_path, f'[{{"v": "{long}"}}]')
    assert "a value is longer than 16 MiB" in next(iter(landed.refused.values())).message
    numbers = ",".join(["12345678"] * 2_500_000)
    text = f'{{"big": [{numbers}], "items": [{{"id": 1, "v": "a"}}]}}'
    assert read_json(tmp_path, text, "records: items").column("v") == ["a"]


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(),
        lambda inner: st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=3), inner, max_size=3),
        max_leaves=12,
    ),
    st.lists(st.dictionaries(st.text(max_size=3), st.integers() | st.text()), max_size=5),
    st.sampled_from([None, 1]),
    st.booleans(),
    st.integers(1, 9),
)  # fmt: skip
def test_any_document_gives_its_records_however_it_is_cut(
    tmp_path_factory, beside, records, indent, escaped, block
):
    document = {"a": beside, "b": {"c": beside, "d": records, "e": beside}, "f": beside}
    path = tmp_path_factory.getbasetemp() / "any.json"
    text = json.dumps(document, indent=indent, ensure_ascii=escaped)
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    before = json_documents._BLOCK_BYTES
    json_documents._BLOCK_BYTES = block
    try:
        found = list(json_documents._records(path, None, "b.d"))
    finally:
        json_documents._BLOCK_BYTES = before
    assert [json.loads(r.text.decode("utf-8", "surrogatepass")) for r in found] == records
    lines = text.split("\n")
    assert all(lines[r.line - 1].lstrip().endswith(("{", "}", "},")) for r in found if indent)
