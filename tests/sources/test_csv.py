"""CSV: the good rows land with their record numbers; the others are quarantined with their
line and text. However the file is written."""

from __future__ import annotations

import gzip
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.reading import Landed, Quarantined, read
from tests.sources.plain_csv import read_plainly

COLUMNS = {"id": "bigint", "v": "varchar"}
DELIMITERS = [
    pytest.param(",", id="comma"),
    pytest.param(";", id="semicolon"),
    pytest.param("\t", id="tab"),
    pytest.param("|", id="pipe"),
]


def read_csv(folder: Path, content: str | bytes, *more: str) -> Landed:
    return read(folder, {"a.csv": content}, COLUMNS, *more)


# ---- delimiters


@pytest.mark.parametrize("delimiter", DELIMITERS)
def test_a_delimiter_is_detected_from_the_header(tmp_path, delimiter):
    text = "id,v\n1,a;|\n2,b\n".replace(",", delimiter).replace("a;|", '"a;|,\t"')
    assert read_csv(tmp_path, text).column("v") == ["a;|,\t", "b"]


@pytest.mark.parametrize("delimiter", DELIMITERS)
def test_a_delimiter_is_detected_without_a_contract(tmp_path, delimiter):
    text = "id,first name,v\n1,x y,a\n2,z,b\n".replace(",", delimiter)
    landed = read(tmp_path, {"a.csv": text}, None)
    assert list(landed.rows[0])[:3] == ["id", "first name", "v"]
    assert landed.column("v") == ["a", "b"]


@pytest.mark.parametrize("delimiter", DELIMITERS)
def test_a_line_with_too_few_fields_does_not_spoil_the_detection(tmp_path, delimiter):
    text = "id,v\n1,a\nx,b\n3\n4,e\n".replace(",", delimiter)
    landed = read(tmp_path, {"a.csv": text}, None)
    assert landed.column("v") == ["a", "b", "e"]


@pytest.mark.parametrize(
    ("stated", "delimiter"),
    [('","', ","), ('";"', ";"), ("tab", "\t"), ("pipe", "|"), ('"^"', "^"), ('"||"', "||")],
)
def test_a_delimiter_can_be_stated(tmp_path, stated, delimiter):
    text = delimiter.join(["id", "v"]) + "\n1" + delimiter + "a\nx" + delimiter + "b\n3\n"
    landed = read_csv(tmp_path, text, f"dialect: {{delimiter: {stated}}}")
    assert landed.column("v") == ["a"]
    assert [(q.line, q.reasons) for q in landed.quarantined] == [
        (3, ("id.type",)),
        (4, ("line.too_few_fields",)),
    ]


def test_a_file_without_a_header_takes_the_contracts_columns_in_order(tmp_path):
    landed = read_csv(tmp_path, "1,a\nx,b\n3\n4,e\n", "dialect: {header: false}")
    assert landed.column("v") == ["a", "e"]
    assert landed.records() == [1, 4]
    assert [(q.record, q.line) for q in landed.quarantined] == [(2, 2), (3, 3)]


# ---- faults of single lines


def test_each_fault_of_a_line_has_its_reason_its_line_and_its_text(tmp_path):
    text = 'id,v\n1,a\n2\n3,b,c\n4,"d"e\nx,f\n6,"g\nh"\n7,i,j,k\n8,l\n'
    landed = read_csv(tmp_path, text)
    assert [(row["_record"], row["id"], row["v"]) for row in landed.rows] == [
        (1, 1, "a"),
        (6, 6, "g\nh"),
        (8, 8, "l"),
    ]
    assert landed.quarantined == [
        Quarantined(2, 3, ("line.too_few_fields",), "2"),
        Quarantined(3, 4, ("line.too_many_fields",), "3,b,c"),
        Quarantined(4, 5, ("line.broken_quote",), '4,"d"e'),
        Quarantined(5, 6, ("id.type",), "x,f"),
        Quarantined(7, 9, ("line.too_many_fields",), "7,i,j,k"),
    ]
    assert landed.is_balanced


def test_a_line_that_is_not_utf8_is_quarantined_alone(tmp_path):
    landed = read_csv(tmp_path, b"id,v\n1,a\n2,caf\xe9\n3,c\nx,d\n")
    assert landed.records() == [1, 3]
    assert landed.quarantined == [
        Quarantined(2, 3, ("line.not_utf8",), "2,caf\ufffd"),
        Quarantined(4, 5, ("id.type",), "x,d"),
    ]


def test_a_quote_within_a_value_is_text(tmp_path):
    landed = read_csv(tmp_path, 'id,v\n1,5" pipe\n2,a"b"c\nx,d\n')
    assert landed.column("v") == ['5" pipe', 'a"b"c']
    assert landed.quarantined == [Quarantined(3, 4, ("id.type",), "x,d")]


def test_a_quote_that_never_closes_costs_its_own_line(tmp_path):
    landed = read_csv(tmp_path, 'id,v\n1,a\n2,"b\n3,c\n4,"d"\nx,e\n6,f\n')
    assert landed.records() == [1, 3, 4, 6]
    assert [(q.record, q.line, q.content) for q in landed.quarantined] == [
        (2, 3, '2,"b'),
        (5, 6, "x,e"),
    ]


@pytest.mark.parametrize("line", ["   ", "\t", " , , "])
def test_a_line_of_blanks_is_a_record_with_the_wrong_number_of_fields(tmp_path, line):
    landed = read_csv(tmp_path, f"id,v\n1,a\n{line}\n3,c\n")
    assert landed.records() == [1, 3]
    assert [(q.record, q.line, q.content) for q in landed.quarantined] == [(2, 3, line)]


@pytest.mark.parametrize("line", ["2,b,", "2,b,,,", '2,b,""', ",,,"])
def test_empty_fields_beyond_the_headers_are_too_many(tmp_path, line):
    landed = read_csv(tmp_path, f"id,v\n1,a\n{line}\n3,c\n")
    assert landed.records() == [1, 3]
    assert landed.quarantined == [Quarantined(2, 3, ("line.too_many_fields",), line)]


@pytest.mark.parametrize(
    ("delimiter", "quote"), [(",", '"'), ("||", '"'), (";", "'")], ids=["comma", "two", "quote"]
)
def test_empty_fields_beyond_the_headers_are_told_apart_from_all_else(tmp_path, delimiter, quote):
    lines = ["id,further", "1,a", "2,b,", "3", "'4','e,\n'", "5,", "6,g,x", "x,h", "", "9,i,,,"]
    swapped = [line.replace(",", delimiter).replace("'", quote) for line in lines]
    dialect = f"dialect: {{delimiter: '{delimiter}', quote: {quote!r}}}"
    columns = {"id": "bigint", "further": "varchar"}
    landed = read(tmp_path, {"a.csv": "\n".join(swapped)}, columns, dialect)
    assert [(row["_record"], row["further"]) for row in landed.rows] == [
        (1, "a"),
        (4, f"e{delimiter}\n"),
        (5, None),
    ]
    assert [(q.record, q.line, q.reasons) for q in landed.quarantined] == [
        (2, 3, ("line.too_many_fields",)),
        (3, 4, ("line.too_few_fields",)),
        (6, 8, ("line.too_many_fields",)),
        (7, 9, ("id.type",)),
        (8, 11, ("line.too_many_fields",)),
    ]
    assert [q.content for q in landed.quarantined][:2] == swapped[2:4]


def test_an_empty_field_beyond_a_single_column_is_one_too_many(tmp_path):
    landed = read(tmp_path, {"a.csv": "id\n1\n2,\n3\n"}, {"id": "bigint"})
    assert landed.column("id") == [1, 3]
    assert landed.quarantined == [Quarantined(2, 3, ("line.too_many_fields",), "2,")]


def test_a_repeated_key_keeps_its_text_beside_a_quote_that_never_closes(tmp_path):
    text = 'id,v\n1,"a\n2,b\n2,c\n3,d,\n4,"e"\n4,f\n'
    landed = read_csv(tmp_path, text, "key: id")
    assert [(q.record, q.line, q.content) for q in landed.quarantined] == [
        (1, 2, '1,"a'),
        (3, 4, "2,c"),
        (4, 5, "3,d,"),
        (6, 7, "4,f"),
    ]


def test_a_line_longer_than_any_buffer_is_one_record(tmp_path):
    text = "id,v\n1," + "a" * 3_000_000 + "\nx,b\n3,c\n"
    landed = read_csv(tmp_path, text)
    assert landed.received == 3
    assert 3 in landed.records()
    assert {(q.record, q.line) for q in landed.quarantined} >= {(2, 3)}


# ---- line ends, blank lines, byte order marks


@pytest.mark.parametrize(
    "end",
    [
        pytest.param("\n", id="LF"),
        pytest.param("\r\n", id="CRLF"),
        pytest.param("\r", id="CR"),
    ],
)
@pytest.mark.parametrize("bom", ["", "\ufeff"], ids=["plain", "BOM"])
@pytest.mark.parametrize("last", [True, False], ids=["ended", "not ended"])
def test_every_line_end_gives_the_same_records(tmp_path, end, bom, last):
    lines = ["id,v", "1,a", "x,b", "3", "4,d", "5,e,f"]
    landed = read_csv(tmp_path, bom + end.join(lines) + (end if last else ""))
    assert [(row["_record"], row["v"]) for row in landed.rows] == [(1, "a"), (4, "d")]
    assert landed.quarantined == [
        Quarantined(2, 3, ("id.type",), "x,b"),
        Quarantined(3, 4, ("line.too_few_fields",), "3"),
        Quarantined(5, 6, ("line.too_many_fields",), "5,e,f"),
    ]


def test_mixed_line_ends_give_the_same_records_and_are_noted(tmp_path):
    landed = read_csv(tmp_path, "id,v\r\n1,a\nx,b\r3\r\n4,d\n5,e,f")
    assert landed.records() == [1, 4]
    assert [(q.record, q.line, q.content) for q in landed.quarantined] == [
        (2, 3, "x,b"),
        (3, 4, "3"),
        (5, 6, "5,e,f"),
    ]
    assert landed.notes == ["its lines end in different ways"]


def test_mixed_line_ends_beside_quoted_ones(tmp_path):
    landed = read_csv(tmp_path, 'id,v\r\n1,"a\r\nb"\nx,c\r3,"d\re"\r\n4\n5,f\n')
    assert [(row["_record"], row["v"]) for row in landed.rows] == [
        (1, "a\r\nb"),
        (3, "d\re"),
        (5, "f"),
    ]
    assert [(q.record, q.line, q.content) for q in landed.quarantined] == [
        (2, 4, "x,c"),
        (4, 7, "4"),
    ]


def test_blank_lines_are_no_records_but_count_as_lines(tmp_path):
    text = '\n\nid,v\n\n1,"a\n\nb"\n\n2,b,c\n\n\n3,x\n4\n\nx,z\n5,e\n\n'
    landed = read_csv(tmp_path, text)
    assert [(row["_record"], row["v"]) for row in landed.rows] == [
        (1, "a\n\nb"),
        (3, "x"),
        (6, "e"),
    ]
    assert [(q.record, q.line, q.content) for q in landed.quarantined] == [
        (2, 9, "2,b,c"),
        (4, 13, "4"),
        (5, 15, "x,z"),
    ]


# ---- other quotes


def test_another_quote_can_be_stated(tmp_path):
    text = "id,v\n1,'a\nb'\nx,'c,d'\n2\n3,'it''s'\n"
    landed = read_csv(tmp_path, text, 'dialect: {quote: "\'"}')
    assert landed.column("v") == ["a\nb", "it's"]
    assert [(q.record, q.line, q.content) for q in landed.quarantined] == [
        (2, 4, "x,'c,d'"),
        (3, 5, "2"),
    ]


def test_another_escape_can_be_stated(tmp_path):
    text = 'id,v\n1,"a \\"b\n c"\nx,"c,d"\n2\n3,f\n'
    landed = read_csv(tmp_path, text, "dialect: {escape: '\\'}")
    assert landed.column("v") == ['a "b\n c', "f"]
    assert [(q.record, q.line, q.content) for q in landed.quarantined] == [
        (2, 4, 'x,"c,d"'),
        (3, 5, "2"),
    ]


def test_quotes_can_be_nothing_but_text(tmp_path):
    text = 'id,v\n1,"a\nx,c"d\n2\n3,"\n'
    landed = read_csv(tmp_path, text, 'dialect: {quote: ""}')
    assert landed.column("v") == ['"a', '"']
    assert [(q.record, q.line, q.content) for q in landed.quarantined] == [
        (2, 3, 'x,c"d'),
        (3, 4, "2"),
    ]


def test_quotes_as_text_stay_apart_from_blank_lines(tmp_path):
    text = 'id,v\n1,"a\n\nx,c"d\n\n2\n3,"\n'
    landed = read_csv(tmp_path, text, 'dialect: {quote: ""}')
    assert landed.column("v") == ['"a', '"']
    assert [(q.record, q.line, q.content) for q in landed.quarantined] == [
        (2, 4, 'x,c"d'),
        (3, 6, "2"),
    ]


# ---- columns


def test_an_unnamed_column_gets_a_name(tmp_path):
    landed = read_csv(tmp_path, "id,v,\n1,a,b\n")
    assert landed.column("column_3") == ["b"]


def test_a_column_may_be_named_like_another_ones_raw_field(tmp_path):
    landed = read_csv(tmp_path, "id,v,raw.id\n1,a,b\n")
    assert landed.rows[0] | {} == {
        "id": 1,
        "v": "a",
        "raw.id": "b",
        "_file_id": 1,
        "_record": 1,
    }


def test_header_names_match_whatever_their_case_and_blanks(tmp_path):
    landed = read_csv(tmp_path, " ID , V \n1,a\n")
    assert landed.rows[0]["id"] == 1
    assert landed.rows[0]["v"] == "a"


def test_a_header_may_hold_line_ends_in_quotes(tmp_path):
    landed = read_csv(tmp_path, '"id","v","long\nname"\n1,a,b\nx,c,d\n')
    assert landed.rows[0]["long\nname"] == "b"
    assert landed.quarantined == [Quarantined(2, 4, ("id.type",), "x,c,d")]


def test_an_empty_value_is_missing_and_blanks_are_text(tmp_path):
    landed = read_csv(tmp_path, 'id,v\n1,\n2," "\n3, \n')
    assert landed.column("v") == [None, " ", " "]


def test_a_single_column_keeps_its_records(tmp_path):
    landed = read(tmp_path, {"a.csv": "id\n1\n\n2\nx\n4,5\n"}, {"id": "bigint"})
    assert landed.column("id") == [1, 2]
    assert [(q.record, q.line, q.content) for q in landed.quarantined] == [
        (3, 5, "x"),
        (4, 6, "4,5"),
    ]


@pytest.mark.parametrize(
    "content", ["\n\n\n", "\ufeff", "\r\n"], ids=["blank lines", "BOM", "CRLF"]
)
def test_a_file_without_any_text_is_refused_as_empty(tmp_path, content):
    (refused,) = read_csv(tmp_path, content).refused.values()
    assert "empty" in refused.message


def test_a_packed_file_reads_like_a_plain_one(tmp_path):
    text = '\n1,"a\nb"\n\nx,c\n3\n4,d\n'.replace("\n1", "id,v\n1", 1)
    plain = read(tmp_path / "plain", {"a.csv": text}, COLUMNS)
    packed = read(tmp_path / "packed", {"a.csv.gz": gzip.compress(text.encode())}, COLUMNS)
    assert packed == plain


# ---- any file


def _quoted(value: str) -> str:
    return '"' + value.replace('"', '""') + '"'


@st.composite
def csv_files(draw, ends: tuple[str, ...]) -> tuple[str, str]:
    """(text, delimiter): records of 3 fields, some with too few or too many or a first one that
    is no number, values in quotes with anything in them, blank lines in between."""
    delimiter = draw(st.sampled_from(",;\t|"))
    end = st.sampled_from(ends)
    bare = st.text(st.sampled_from("ab 'é,;\t|"), max_size=4).map(
        lambda text: text.replace(delimiter, "")
    )
    pieces = st.sampled_from(["a", '"', delimiter, *ends])
    inside = st.lists(pieces, min_size=1, max_size=5).map("".join)
    value = st.one_of(bare, bare, inside.map(_quoted))
    number = st.one_of(
        st.integers(0, 99).map(str), st.integers(0, 99).map(str), st.sampled_from(["x", ""])
    )
    lines = [delimiter.join(["id", "v", "w"])]
    for _ in range(draw(st.integers(0, 8))):
        count = draw(st.sampled_from([2, 2, 2, 2, 1, 3, 0]))
        if draw(st.integers(0, 5)) == 0:
            lines.append("")
        else:
            # What empty fields beyond the header's mean has a test of its own.
            values = [*(draw(value) for _ in range(count)), *(["x"] if count > 2 else [])]
            lines.append(delimiter.join([draw(number), *values]))
    text = "".join(line + draw(end) for line in lines)
    if draw(st.booleans()):
        text = text.rstrip("\r\n")
    return ("\ufeff" if draw(st.integers(0, 4)) == 0 else "") + text, delimiter


def _agrees_with_a_plain_reading(text: str, delimiter: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        columns = {"id": "bigint", "v": "varchar", "w": "varchar"}
        landed = read(Path(folder), {"a.csv": text}, columns)
    rows, rejected = [], []
    for number, record in enumerate(read_plainly(text, delimiter)[1:], start=1):
        fields = record.fields
        if len(fields) != 3:
            code = "line.too_few_fields" if len(fields) < 3 else "line.too_many_fields"
            rejected.append(Quarantined(number, record.line, (code,), record.text))
        elif fields[0] and not fields[0].isdigit():
            rejected.append(Quarantined(number, record.line, ("id.type",), record.text))
        else:
            known = int(fields[0]) if fields[0] else None
            rows.append((number, known, fields[1] or None, fields[2] or None))
    assert [(r["_record"], r["id"], r["v"], r["w"]) for r in landed.rows] == rows
    assert landed.quarantined == rejected
    assert landed.is_balanced


RANDOM = settings(max_examples=40)


@RANDOM
@given(csv_files(("\n",)))
def test_any_file_with_line_feeds_agrees_with_a_plain_reading(case):
    _agrees_with_a_plain_reading(*case)


@RANDOM
@given(csv_files(("\r\n",)))
def test_any_file_with_carriage_returns_and_line_feeds_agrees_with_a_plain_reading(case):
    _agrees_with_a_plain_reading(*case)


@RANDOM
@given(csv_files(("\r",)))
def test_any_file_with_carriage_returns_alone_agrees_with_a_plain_reading(case):
    _agrees_with_a_plain_reading(*case)


@RANDOM
@given(csv_files(("\n", "\r\n", "\r")))
def test_any_file_with_mixed_line_ends_agrees_with_a_plain_reading(case):
    _agrees_with_a_plain_reading(*case)
