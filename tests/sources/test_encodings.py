"""Encodings: stated or told by a mark; what cannot be read is never taken for text."""

from __future__ import annotations

import codecs
import gzip

import pytest

from tests.reading import Quarantined, read

COLUMNS = {"id": "bigint", "v": "varchar"}
TEXT = "id,v\n1,café\nx,straße\n3,\u4e2d\n"
LATIN = "id,v\n1,café\nx,straße\n3,ñ\n"


@pytest.mark.parametrize(
    ("encoding", "stated"),
    [
        ("utf-16", None),
        ("utf-16-le", "utf-16-le"),
        ("utf-16-be", "UTF-16BE"),
        ("utf-16-le", "utf-16"),
        ("utf-16", "utf-16"),
        ("utf-32", None),
        ("utf-8-sig", None),
        ("utf-8-sig", "utf-8"),
        ("gb18030", "gb18030"),
    ],
)
def test_text_of_an_encoding_is_read_with_lines_and_originals(tmp_path, encoding, stated):
    more = [f"encoding: {stated}"] if stated else []
    text = TEXT.replace("é", "e").replace("ß", "ss") if encoding == "gb18030" else TEXT
    landed = read(tmp_path, {"a.csv": text.encode(encoding)}, COLUMNS, *more)
    assert landed.refused == {}
    assert landed.column("v")[1] == "\u4e2d"
    assert landed.quarantined == [Quarantined(2, 3, ("id.type",), text.splitlines()[2])]


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "iso-8859-15", "mac-roman", "cp850"])
def test_old_encodings_are_read_when_they_are_stated(tmp_path, encoding):
    raw = LATIN.encode(encoding)
    landed = read(tmp_path, {"a.csv": raw}, COLUMNS, f"encoding: {encoding}")
    assert landed.column("v") == ["café", "ñ"]
    assert landed.quarantined[0].content == "x,straße"


@pytest.mark.parametrize("mark", [codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE], ids=["le", "be"])
def test_a_mark_of_either_order_is_understood_in_json_lines(tmp_path, mark):
    kind = "utf-16-le" if mark == codecs.BOM_UTF16_LE else "utf-16-be"
    raw = mark + '{"id": 1, "v": "é"}\r\n{"id": "x"}\r\n'.encode(kind)
    landed = read(tmp_path, {"a.jsonl": raw}, COLUMNS)
    assert landed.column("v") == ["é"]
    assert landed.quarantined == [Quarantined(2, 2, ("id.type",), '{"id": "x"}')]


@pytest.mark.parametrize(
    ("raw", "encoding", "line"),
    [
        (b"id,v\n1,a\n2,\x81\n3,c\n", "cp1252", 3),
        (b"id,v\n1,a\n2,\x80\xff\n3,c\n", "gb18030", 3),
        ("id,v\n1,a\n2,".encode("utf-16-le") + b"\x00\xd8" + "\n3,c\n".encode("utf-16-le"),
         "utf-16-le", 3),
    ],
    ids=["cp1252", "gb18030", "utf-16"],
)  # fmt: skip
def test_a_line_that_is_not_of_the_encoding_is_quarantined_alone(tmp_path, raw, encoding, line):
    landed = read(tmp_path, {"a.csv": raw}, COLUMNS, f"encoding: {encoding}")
    assert landed.column("v") == ["a", "c"]
    (bad,) = landed.quarantined
    assert (bad.record, bad.line, bad.reasons) == (2, line, ("line.wrong_encoding",))
    assert "\ufffd" in bad.content


@pytest.mark.parametrize(
    ("raw", "stated", "message", "hint"),
    [
        (TEXT.encode("utf-16"), "latin-1", "begins with the byte order mark of utf-16", "leave"),
        (TEXT.encode("utf-16"), "utf-8", "begins with the byte order mark of utf-16", "leave"),
        (TEXT.encode("utf-16-le"), None, "is utf-16-le by its zero bytes", "utf-16-le"),
        (TEXT.encode("utf-16-be"), "cp1252", "is utf-16-be by its zero bytes", "utf-16-be"),
        (TEXT.encode("utf-16-be"), "utf-16-le", "is utf-16-be by its zero bytes", "utf-16-be"),
        (LATIN.encode("latin-1"), "utf-16", "is not utf-16: it has no zero bytes", "leave"),
        (LATIN.encode("latin-1"), "utf-16-le", "is not utf-16-le", "state another"),
        (TEXT.encode("utf-8-sig"), "latin-1", "the byte order mark of utf-8", "leave"),
        (TEXT.encode(), "latin-1", "the file is UTF-8, and `encoding: iso8859-1`", "leave"),
        (TEXT.encode(), "cp1252", "the file is UTF-8, and `encoding: cp1252`", "leave"),
    ],
)
def test_a_wrong_encoding_is_never_taken_for_text(tmp_path, raw, stated, message, hint):
    more = [f"encoding: {stated}"] if stated else []
    landed = read(tmp_path, {"a.csv": raw}, COLUMNS, *more)
    assert landed.rows == []
    (why,) = landed.refused.values()
    assert message in why.message
    assert hint in why.hint


def test_text_of_ascii_alone_is_the_same_in_all_of_them(tmp_path):
    landed = read(tmp_path, {"a.csv": b"id,v\n1,a\n"}, COLUMNS, "encoding: latin-1")
    assert landed.column("v") == ["a"]


def test_characters_and_lines_may_be_split_between_blocks(tmp_path):
    rows = "".join(f"{n},{'é' * (n % 70)}\u4e2d\r\n" for n in range(80_000))
    raw = ("id,v\r\n" + rows + "x,last\r\n").encode("utf-16")
    assert len(raw) > 4 << 20
    landed = read(tmp_path, {"a.csv": raw}, COLUMNS, "unexpected_columns: ignore")
    assert landed.received == 80_001
    assert landed.quarantined == [Quarantined(80_001, 80_002, ("id.type",), "x,last")]


def test_an_encoding_and_a_packing_may_come_together(tmp_path):
    packed = gzip.compress(LATIN.encode("cp1252"))
    landed = read(tmp_path, {"a.csv.gz": packed}, COLUMNS, "encoding: cp1252")
    assert landed.column("v") == ["café", "ñ"]


@pytest.mark.parametrize("name", ["nope", "base64", "rot13", "unicode_escape", "idna"])
def test_what_is_no_encoding_of_text_is_a_mistake(project, name):
    made = project(
        {"data/a.csv": TEXT},
        source=f"connector: files\ndatasets:\n  t:\n    path: data/*\n    encoding: {name}\n",
    )
    code, _, errors = made.cli("check")
    assert code == 2
    assert f"sources/s.yaml:5:5: unknown encoding '{name}'" in errors
