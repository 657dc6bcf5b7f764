"""Stated dialects: lines before the header, comments, texts for no value, tabs."""

from __future__ import annotations

import pytest

from tests.reading import Quarantined, read

COLUMNS = {"id": "bigint", "v": "varchar"}


@pytest.mark.parametrize("name", ["a.tsv", "a.tab", "a.TSV"])
def test_tabs_stand_between_fields_by_the_name(tmp_path, name):
    landed = read(tmp_path, {name: "id\tv\n1\ta,b;c\nx\tb\n"}, COLUMNS)
    assert landed.column("v") == ["a,b;c"]
    assert landed.quarantined == [Quarantined(2, 3, ("id.type",), "x\tb")]


def test_tabs_stand_between_fields_by_the_format(tmp_path):
    landed = read(tmp_path, {"a.txt": "v\na,b\nc,d\n"}, {"v": "varchar"}, "format: tsv")
    assert landed.column("v") == ["a,b", "c,d"]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=["lf", "crlf", "cr"])
def test_skipped_lines_are_no_records_and_lines_keep_their_numbers(tmp_path, end):
    lines = ["Report of; 2026", 'by "somebody', "", "id,v", "1,a", "x,b", "3", "4,d"]
    landed = read(tmp_path, {"a.csv": end.join(lines) + end}, COLUMNS, "dialect: {skip: 3}")
    assert landed.records() == [1, 4]
    assert [(q.record, q.line, q.content) for q in landed.quarantined] == [
        (2, 6, "x,b"),
        (3, 7, "3"),
    ]


def test_skipped_lines_may_be_more_than_there_are(tmp_path):
    landed = read(tmp_path, {"a.csv": "id,v\n1,a\n"}, COLUMNS, "dialect: {skip: 5}")
    (why,) = landed.refused.values()
    assert why.message == "the file is empty: it has no text"


COMMENTED = """\
# made by "us
id,v
1,a
#2,b
x,c
4,"d
# no comment
"
5,e # no comment either
#
6
#7,"
8,"#h"
"""


def test_comments_are_no_records_but_within_quotes_they_are_text(tmp_path):
    landed = read(tmp_path, {"a.csv": COMMENTED}, COLUMNS, "dialect: {comment: '#'}")
    assert landed.column("v") == ["a", "d\n# no comment\n", "e # no comment either", "#h"]
    assert landed.records() == [1, 3, 4, 6]
    assert landed.quarantined == [
        Quarantined(2, 5, ("id.type",), "x,c"),
        Quarantined(5, 11, ("line.too_few_fields",), "6"),
    ]


def test_comments_in_a_file_of_one_column_are_no_records(tmp_path):
    landed = read(tmp_path, {"a.csv": "v\n-- a\nb\n-- c\nd\n"}, {"v": "varchar"},
                  "dialect: {comment: '--'}")  # fmt: skip
    assert landed.column("v") == ["b", "d"]


def test_comments_that_blocks_cut_through(tmp_path):
    lines = [f'{n},"{"x" * (n % 80)}\n#{n}"\n#{n},"\n' for n in range(90_000)]
    text = "id,v\n" + "".join(lines)
    assert len(text) > 4 << 20
    landed = read(tmp_path, {"a.csv": text + "y,z\n"}, COLUMNS, "dialect: {comment: '#'}")
    assert landed.received == 90_001
    assert landed.quarantined == [Quarantined(90_001, 270_002, ("id.type",), "y,z")]


def test_comments_with_another_quote_and_escape(tmp_path):
    text = "id;v\n1;'it\\'s\n#x'\n#2;'\n3;c\n"
    dialect = "dialect: {comment: '#', delimiter: ';', quote: \"'\", escape: '\\'}"
    landed = read(tmp_path, {"a.csv": text}, COLUMNS, dialect)
    assert landed.column("v") == ["it's\n#x", "c"]


@pytest.mark.parametrize("stated", ["NA", "[NA, '-']"])
def test_texts_may_stand_for_no_value(tmp_path, stated):
    text = 'id,v\n1,NA\n2,"NA"\n3,na\nNA,d\n5,\n6,-,\n'
    columns = {"id": "{type: bigint, required: true}", "v": "varchar"}
    landed = read(tmp_path, {"a.csv": text}, columns, f"dialect: {{nullstr: {stated}}}")
    assert landed.column("v") == [None, None, "na", None]
    assert [(q.record, q.reasons) for q in landed.quarantined] == [
        (4, ("id.required",)),
        (6, ("line.too_many_fields",)),
    ]


def test_each_path_may_be_written_in_its_own_way(tmp_path):
    files = {
        "new_1.csv": "id,v\n1,é\n",
        "old_1.csv": "id;v\n2;é\nx;ß\n".encode("latin-1"),
        "old_2.csv": "id;v\n3;ñ\n".encode("latin-1"),
    }
    (tmp_path / "sources").mkdir()
    paths = (
        "path:\n  - glob: data/old_*.csv\n    encoding: latin-1\n    dialect: {delimiter: ';'}\n"
        "  - data/*.csv"
    )
    landed = read(tmp_path, files, COLUMNS, path=paths)
    assert landed.refused == {}
    assert landed.column("v") == ["é", "é", "ñ"]
    assert landed.quarantined == [Quarantined(2, 3, ("id.type",), "x;ß")]


# ---- columns of the path


def test_signs_of_globs_in_a_name_are_signs(tmp_path):
    names = ["a[1].csv", "a1.csv", "b?.csv", "b1.csv", "c*.jsonl", "c1.jsonl"]
    files = {n: f'{{"v": "{n}"}}' if "json" in n else f"v\n{n}\n" for n in names}
    landed = read(tmp_path, files, {"v": "varchar"})
    assert sorted(landed.column("v")) == sorted(names)


def test_names_in_a_path_make_columns(tmp_path):
    files = {"north/2026-01-01.csv": "id,v\n1,a\nx,b\n", "south/later.csv": "id,v\n2,c\n"}
    columns = {**COLUMNS, "day": "date", "where": "{from: region}"}
    landed = read(tmp_path, files, columns, path="path: data/{region}/{day}.csv")
    assert [(r["v"], str(r["day"]), r["where"]) for r in landed.rows] == [
        ("a", "2026-01-01", "north")
    ]
    assert [(q.record, q.line, q.reasons, q.content) for q in landed.quarantined] == [
        (2, 3, ("id.type",), "x,b"),
        (1, 2, ("day.type",), "2,c"),
    ]


def test_names_of_a_path_are_texts_as_they_stand(tmp_path):
    name = "it's ünit=x y_7"
    landed = read(
        tmp_path, {f"{name}_07.csv": "id,v\n1,a\n"}, None, path="path: 'data/{a}_{b}.csv'"
    )
    assert [(r["a"], r["b"]) for r in landed.rows] == [("it's ünit=x y", "7_07")]


@pytest.mark.parametrize(
    ("name", "text", "more"),
    [
        ("b.csv", "Place,v\n1,a\n", ()),
        ("b.jsonl", '{"PLACE": 1}\n', ()),
        ("b.jsonl", '{"v": "x", "place": 1}\n', ("unexpected_columns: ignore",)),
    ],
)
def test_a_name_that_the_file_has_too_is_refused_with_what_to_do(tmp_path, name, text, more):
    landed = read(tmp_path, {name: text}, {"v": "varchar"}, *more, path="path: data/{place}.*")
    (why,) = landed.refused.values()
    assert why.message == "the file has a column 'place', and its path makes one of that name"
    assert "{path_place}" in why.hint


def test_a_file_without_a_header_takes_its_names_from_the_rest_of_the_contract(tmp_path):
    columns = {"place": "varchar", **COLUMNS}
    landed = read(tmp_path, {"here.csv": "1,a\n2,b\n"}, columns, "dialect: {header: false}",
                  path="path: data/{place}.csv")  # fmt: skip
    assert [(r["place"], r["id"], r["v"]) for r in landed.rows] == [
        ("here", 1, "a"),
        ("here", 2, "b"),
    ]


def test_a_file_that_is_read_in_another_way_keeps_the_columns_of_its_path(tmp_path):
    text = 'id,v\n1,a\n\n2,"b\n3,c,\n4,d\n'
    landed = read(tmp_path, {"here.csv": text}, COLUMNS, path="path: data/{place}.csv")
    assert [(r["place"], r["id"]) for r in landed.rows] == [("here", 1), ("here", 4)]
    assert [q.line for q in landed.quarantined] == [4, 5]


@pytest.mark.parametrize("path", ["data/{}.csv", "data/{1}.csv", "data/{_x}.csv"])
def test_what_is_no_name_in_a_path_is_a_mistake(project, path):
    made = project(source=f"connector: files\ndatasets:\n  t:\n    path: '{path}'\n")
    code, _, errors = made.cli("check")
    assert code == 2
    assert "in a path names no column" in errors
