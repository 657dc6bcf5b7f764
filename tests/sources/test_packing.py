"""Packed files: told by their content, bounded, and never written where an archive says."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import struct

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headwater.sources.files import unpack
from tests.packed import zipped
from tests.reading import Quarantined, read

COLUMNS = {"id": "bigint", "v": "varchar"}
TEXT = b"id,v\n1,a\nx,b\n3,c\n"


def zstd_frame(content: bytes) -> bytes:
    return pa.Codec("zstd").compress(content, asbytes=True)


PACKED = {
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zst": zstd_frame,
    "zip": lambda content: zipped({"a.csv": content}),
}


@pytest.mark.parametrize("ending", PACKED)
@pytest.mark.parametrize("name", ["a.csv.{}", "a.csv"], ids=["by its name", "by its content"])
def test_a_packed_file_is_read_as_what_is_in_it(tmp_path, ending, name):
    landed = read(tmp_path, {name.format(ending): PACKED[ending](TEXT)}, COLUMNS)
    assert landed.refused == {}
    assert landed.column("v") == ["a", "c"]
    assert landed.quarantined == [Quarantined(2, 3, ("id.type",), "x,b")]


@pytest.mark.parametrize("ending", ["gz", "bz2", "xz", "zst"])
def test_files_that_were_packed_and_joined_are_one(tmp_path, ending):
    pack = PACKED[ending]
    landed = read(tmp_path, {f"a.csv.{ending}": pack(b"id,v\n1,a\n") + pack(b"2,b\n")}, COLUMNS)
    assert landed.column("v") == ["a", "b"]


@pytest.mark.parametrize("format_", ["parquet", "jsonl"])
@pytest.mark.parametrize("ending", ["zst", "zip"])
def test_other_formats_may_be_packed_too(tmp_path, format_, ending):
    if format_ == "parquet":
        sink = io.BytesIO()
        pq.write_table(pa.table({"id": [1, 2]}), sink)
        content = sink.getvalue()
    else:
        content = b'{"id": 1}\n{"id": 2}\n'
    packed = zipped({f"a.{format_}": content}) if ending == "zip" else zstd_frame(content)
    landed = read(tmp_path, {f"a.{format_}.{ending}": packed}, {"id": "bigint"})
    assert landed.column("id") == [1, 2]


def test_a_name_may_promise_a_packing_that_is_not_there(tmp_path):
    landed = read(tmp_path, {"a.csv.gz": TEXT, "b.csv.zip": TEXT}, COLUMNS)
    assert landed.column("v") == ["a", "c", "a", "c"]


@pytest.mark.parametrize("ending", PACKED)
def test_a_packed_file_that_ends_early_is_refused(tmp_path, ending):
    rows = "".join(f"{n},{n * 7919 % 10007}\n" for n in range(20_000))
    packed = PACKED[ending](b"id,v\n" + rows.encode())
    files = {f"cut.csv.{ending}": packed[: len(packed) * 2 // 3], "good.csv": TEXT}
    landed = read(tmp_path, files, COLUMNS)
    (path, why), *others = landed.refused.items()
    assert (path, others) == (f"data/cut.csv.{ending}", [])
    assert why.message.endswith("data ends early or is damaged")
    assert "copy the file again" in why.hint
    assert landed.column("v") == ["a", "c"]


def test_damage_within_a_packed_file_is_told(tmp_path):
    rows = "".join(f"{n},{n * 7919 % 10007}\n" for n in range(20_000))
    for ending in ("bz2", "xz", "zip", "gz"):
        packed = bytearray(PACKED[ending](b"id,v\n" + rows.encode()))
        packed[len(packed) // 2] ^= 255
        landed = read(tmp_path, {"a.csv": bytes(packed)}, COLUMNS)
        assert [why.message for why in landed.refused.values()] == [
            f"the {'gzip' if ending == 'gz' else ending} data ends early or is damaged"
        ]


# ---- archives


def test_each_file_of_an_archive_is_a_file_of_its_own(tmp_path):
    archive = zipped(
        {
            "b.csv": b"id,v\n3,c\n",
            "in/a.csv.gz": gzip.compress(TEXT),
            "__MACOSX/a.csv": b"\0",
            ".hidden": b"\0",
        }
    )
    landed = read(tmp_path, {"all.zip": archive}, COLUMNS)
    assert landed.refused == {}
    assert [(row["_file_id"], row["v"]) for row in landed.rows] == [(1, "c"), (2, "a"), (2, "c")]


def test_member_picks_files_of_an_archive_and_makes_columns(tmp_path):
    archive = zipped({"north.csv": TEXT, "south.csv": TEXT, "readme.pdf": b"%PDF"})
    landed = read(tmp_path, {"x.zip": archive}, COLUMNS, "member: '{place}.csv'")
    assert landed.column("place") == ["north", "north", "south", "south"]


def test_an_archive_without_the_wanted_file_is_refused_alone(tmp_path):
    files = {"x.zip": zipped({"a.txt": TEXT}), "y.zip": zipped({"a.csv": TEXT})}
    landed = read(tmp_path, files, COLUMNS, "member: '*.csv'")
    (why,) = landed.refused.values()
    assert why.message == "no file in the zip archive matches '*.csv'"
    assert why.hint == "it holds a.txt"
    assert landed.column("v") == ["a", "c"]


def test_an_archive_of_many_files_under_another_name_is_refused(tmp_path):
    landed = read(tmp_path, {"a.csv": zipped({"a.csv": TEXT, "b.csv": TEXT})}, COLUMNS)
    (why,) = landed.refused.values()
    assert why.message == "the zip archive holds 2 files"
    assert "name it *.zip" in why.hint


@pytest.mark.parametrize("name", ["../x.csv", "/x.csv", "a/../../x.csv", "..\\x.csv", "C:\\x.csv"])
def test_an_archive_with_a_path_out_of_the_folder_is_refused_whole(tmp_path, name):
    files = {"x.zip": zipped({"a.csv": TEXT, name: TEXT}), "good.csv": TEXT}
    landed = read(tmp_path, files, COLUMNS)
    (why,) = landed.refused.values()
    assert why.message == "the zip archive has a file whose path leads out of the folder"
    assert landed.column("v") == ["a", "c"]
    assert not list(tmp_path.rglob("x.csv"))


def test_an_encrypted_archive_is_refused(tmp_path):
    packed = bytearray(zipped({"a.csv": TEXT}))
    packed[6] |= 1
    at = packed.index(b"PK\x01\x02")
    packed[at + 8] |= 1
    landed = read(tmp_path, {"x.zip": bytes(packed)}, COLUMNS)
    (why,) = landed.refused.values()
    assert why.message == "the zip archive is encrypted"


@pytest.mark.parametrize("ending", PACKED)
def test_a_bomb_is_refused_while_it_is_unpacked(tmp_path, ending, monkeypatch):
    monkeypatch.setattr(unpack, "ALWAYS_UNPACKED_BYTES", 1_000_000)
    bomb = PACKED[ending](b"id,v\n" + b"1,a\n" * 1_500_000)
    landed = read(tmp_path, {f"a.csv.{ending}": bomb}, COLUMNS, "max_unpack_ratio: 100")
    (why,) = landed.refused.values()
    assert why.message.endswith("and more than 100 times its size")
    assert "max_unpack_ratio" in why.hint


def test_how_far_a_file_may_be_packed_can_be_set(tmp_path, monkeypatch):
    monkeypatch.setattr(unpack, "ALWAYS_UNPACKED_BYTES", 1_000_000)
    packed = gzip.compress(
        b"id,v\n" + b"1,aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n" * 40_000
    )
    landed = read(tmp_path, {"a.csv.gz": packed}, COLUMNS, "max_unpack_ratio: 2000")
    assert landed.refused == {}


def test_an_archive_that_lies_about_a_size_is_not_believed(tmp_path):
    packed = bytearray(zipped({"a.csv": b"id,v\n" + b"1,a\n" * 1000}))
    at = packed.index(b"PK\x01\x02")
    packed[at + 24 : at + 28] = struct.pack("<I", 10)
    landed = read(tmp_path, {"x.zip": bytes(packed)}, COLUMNS)
    (why,) = landed.refused.values()
    assert why.message == "the zip data ends early or is damaged"
