"""Excel: a sheet's cells are read exactly, and its rows are known by their numbers."""

from __future__ import annotations

import datetime as dt
import gzip
import io
import zipfile
from decimal import Decimal

import pytest

from headwater.sources.files import excel_files
from tests.packed import workbook
from tests.reading import Quarantined, read

COLUMNS = {"id": "bigint", "v": "varchar"}


def changed(book: bytes, old: bytes, new: bytes) -> bytes:
    """The workbook with another text in its first sheet."""
    sink = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(book)) as given, zipfile.ZipFile(sink, "w") as made:
        for part in given.infolist():
            content = given.read(part)
            if part.filename == "xl/worksheets/sheet1.xml":
                assert old in content
                content = content.replace(old, new)
            made.writestr(part.filename, content)
    return sink.getvalue()


def test_cells_are_read_exactly(tmp_path):
    moment = dt.datetime(2026, 1, 2, 3, 4, 5)
    book = workbook(
        {
            "one": [
                ["id", "price", "at", "day", "code", "ok", "took", "clock"],
                [1, 19.99, moment, dt.date(2026, 1, 2), "007", True, dt.timedelta(hours=30), None],
                [2, 0.3, None, None, " x\ny ", False, None, dt.time(1, 2, 3)],
            ]
        }
    )
    # Excel itself writes 17 digits.
    book = changed(book, b"<v>19.99<", b"<v>19.989999999999998<")
    book = changed(book, b"<v>0.3<", b"<v>0.30000000000000004<")
    columns = {
        "id": "bigint", "price": "double", "at": "timestamp", "day": "date", "code": "varchar",
        "ok": "boolean", "took": "varchar", "clock": "time",
    }  # fmt: skip
    landed = read(tmp_path, {"a.xlsx": book}, columns)
    assert landed.quarantined == []
    first, second = (list(row.values())[:8] for row in landed.rows)
    assert first == [1, 19.99, moment, dt.date(2026, 1, 2), "007", True, "30:00:00", None]
    assert second == [2, 0.1 + 0.2, None, None, " x\ny ", False, None, dt.time(1, 2, 3)]
    landed = read(tmp_path, {"a.xlsx": book}, {"id": "bigint", "price": "decimal(10,2)"})
    assert landed.rows[0]["price"] == Decimal("19.99")
    assert landed.quarantined[0].reasons == ("price.type",)


def test_empty_rows_are_no_records_and_rows_keep_their_numbers(tmp_path):
    lines = [[], ["id", "v"], [1, "a"], [], [None, ""], ["x", "b"], [3, "c", "more"], [4]]
    landed = read(tmp_path, {"a.xlsx": workbook({"s": lines})}, COLUMNS)
    assert [(r["_record"], r["id"], r["v"]) for r in landed.rows] == [(1, 1, "a"), (4, 4, None)]
    assert landed.quarantined == [
        Quarantined(2, 6, ("id.type",), '{"id":"x","v":"b"}'),
        Quarantined(3, 7, ("line.too_many_fields",), '["3", "c", "more"]'),
    ]


@pytest.mark.parametrize(
    ("more", "values"),
    [
        (("sheet: two",), ["b"]),
        (("sheet: TWO",), ["b"]),
        ((), ["a"]),
        (("sheet: three", "range: B3:C5"), ["c", "d"]),
        (("sheet: three", "range: b3:c"), ["c", "d", "e"]),
        (("sheet: three", "range: B4:C5", "dialect: {header: false, nullstr: c}"), [None, "d"]),
    ],
)
def test_a_sheet_and_a_range_can_be_picked(tmp_path, more, values):
    book = workbook(
        {
            "one": [["id", "v"], [1, "a"]],
            "two": [["id", "v"], [2, "b"]],
            "three": [
                ["a report"], [None, "of"], ["x", "id", "v"], ["x", 3, "c"], ["x", 4, "d"],
                ["x", 5, "e"],
            ],
        }
    )  # fmt: skip
    landed = read(tmp_path, {"a.xlsx": book}, COLUMNS, *more)
    assert landed.refused == {}
    assert landed.column("v") == values
    assert bool(landed.notes) == (not more)


def test_a_workbook_under_another_name_and_packed(tmp_path):
    book = workbook({"s": [["id", "v"], [1, "a"]]})
    files = {"a.bin": book, "b.xlsx.gz": gzip.compress(book)}
    landed = read(tmp_path, files, COLUMNS, "format: excel")
    assert landed.column("v") == ["a", "a"]


def bomb() -> bytes:
    sink = io.BytesIO(workbook({"s": [["id", "v"], [1, "a"]]}))
    with zipfile.ZipFile(sink, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/bomb.xml", b" " * 3_000_000)
    return sink.getvalue()


@pytest.mark.parametrize(
    ("content", "more", "message", "hint"),
    [
        (workbook({"one": [["id"]]}), ("sheet: on",), "the workbook has no sheet 'on'", "'one'"),
        (workbook({"one": []}), (), "the sheet is empty", "check `sheet:` and `range:`"),
        (workbook({"s": [["id", "ID"]]}), (), "the header names 'ID', 'id' more", "rename"),
        (workbook({"s": [["id"]]})[:900], (), "the workbook is damaged, or is none", "again"),
        (b"id,v\n1,a\n", (), "the file is no Excel workbook", "`format:`"),
        (b"\xd0\xcf\x11\xe0" + bytes(600), (), "the workbook is of the old kind", ".xlsx"),
        (bomb(), (), "unpacked, it is larger than 100 MB and more than", "max_unpack_ratio"),
    ],
    ids=["no such sheet", "empty", "twice", "cut off", "text", "old", "bomb"],
)
def test_a_workbook_that_cannot_be_read_is_refused(
    tmp_path, monkeypatch, content, more, message, hint
):
    monkeypatch.setattr(excel_files, "ALWAYS_UNPACKED_BYTES", 1_000_000)
    landed = read(tmp_path, {"a.xlsx": content}, COLUMNS, *more)
    (why,) = landed.refused.values()
    assert message in why.message
    assert hint in why.hint


def test_a_part_that_is_larger_than_it_says_is_not_read_on(tmp_path):
    packed = bytearray(workbook({"s": [["id", "v"], *([n, "a"] for n in range(2000))]}))
    at = packed.rindex(b"xl/worksheets/sheet1.xml") - 46
    assert packed[at : at + 4] == b"PK\x01\x02"
    packed[at + 24 : at + 28] = (100).to_bytes(4, "little")
    landed = read(tmp_path, {"a.xlsx": bytes(packed)}, COLUMNS)
    (why,) = landed.refused.values()
    assert why.message == "the workbook is damaged, or is none"
