"""A contract in plain words: a line for each column, what is made of it, each rule and the key."""

from __future__ import annotations

import json

import pytest

SOURCE = """\
connector: files
datasets:
  t:
    path: data/*.csv
    key: id
    on_duplicate: keep first
    unexpected_columns: ignore
    null_values: [NA]
    freshness: {column: seen, warn_after: 1 day}
    columns:
      id: {from: ID, type: bigint, null_values: []}
      seen: {type: date, format: ["%d/%m/%Y", "%Y"], fill: {previous: {by: id, within: ok}}}
      ok: {type: boolean, values: {Y: true, U: null}, otherwise: null, missing_column: fail}
      v: {type: bigint, trim: true, min: 0, max: {expression: id * 2}, default: {expression: id},
          thousands_separator: ",", otherwise: {expression: abs(v)}}
      tags: {type: "varchar[]", items: {pattern: "[a-z]+", otherwise: drop}}
      w: {type: integer, min: 0, max: 9, otherwise: {value: 0}, null_values: []}
    rules:
      - {name: r, check: v > 0, otherwise: warn}
"""
MODEL = "/*\nkey: id\ncolumns:\n  v: {min: 0}\n*/\nSELECT id, v FROM s.t\n"
TOLD = """\
s.t (sources/s.yaml:3)
  rows are added to those that are there
  id names a row; a row whose key is there already is left out
  columns that it does not name are left out
  the newest seen may be old: a warning after 1 day
id: bigint, from 'ID'
  id.type: must be bigint, otherwise the row goes to quarantine
  id.required: must not be missing, otherwise the row goes to quarantine
seen: date
  missing where it is 'NA'
  written as %d/%m/%Y or %Y
  a missing value is filled in: by the last value before, by id within ok, of the same file
  seen.type: must be date as %d/%m/%Y or %Y, otherwise the row goes to quarantine
ok: boolean
  missing where it is 'NA'
  'Y' stands for true
  'U' stands for NULL
  where a file does not have the column: the file is refused
  ok.values: one of Y, U, otherwise the value becomes NULL
v: bigint
  blanks around it are cut off; what is empty then is missing
  missing where it is 'NA'
  written with '.' before decimals and ',' between thousands
  a missing value becomes id
  v.type: must be bigint, otherwise the value becomes ABS(v)
  v.min: at least 0, otherwise the value becomes ABS(v)
  v.max: at most id * 2, otherwise the value becomes ABS(v)
tags: varchar[]
  missing where it is 'NA'
  tags.type: must be varchar[], otherwise the row goes to quarantine
  tags[].pattern: must match [a-z]+, otherwise the row is left out
w: integer
  w.type: must be integer, otherwise the value becomes 0
  w.min: at least 0, otherwise the value becomes 0
  w.max: at most 9, otherwise the value becomes 0
rule.r: v > 0, otherwise the row lands with a warning
"""
TOLD_OF_MODEL = """\
m.q (models/m/q.sql:1)
  id names a row; a row whose key is there already fails the step
id: bigint
  id.required: must not be missing, otherwise the step fails and nothing is committed
v: bigint
  v.min: at least 0, otherwise the step fails and nothing is committed
"""


def test_a_contract_is_told_in_words_without_a_lake(project):
    made = project({"models/m/q.sql": MODEL}, source=SOURCE)
    assert made.cli("show", "s.t", "--contract") == (0, TOLD, "")
    assert made.cli("show", "m.q", "--contract") == (0, TOLD_OF_MODEL, "")
    assert not (made.folder / ".headwater").exists()


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ("write: upsert", "id names a row; of rows with the same key the last to land stays"),
        (
            "write: history\n    on_duplicate: latest by seen",
            "id names a row; of its versions the greatest seen is the valid one",
        ),
        ("on_duplicate: fail", "id names a row; a row whose key is there already fails the step"),
    ],
)
def test_what_becomes_of_a_repeated_key_is_said_by_write_mode(project, lines, told):
    source = SOURCE.replace("on_duplicate: keep first", lines)
    _, printed, _ = project({}, source=source).cli("show", "s.t", "--contract")
    assert told in [line.strip() for line in printed.splitlines()]


def test_the_words_as_json(project):
    made = project({}, source=SOURCE)
    code, printed, _ = made.cli("show", "s.t", "--contract", "--json")
    told = json.loads(printed)
    assert code == 0
    assert [column["name"] for column in told["columns"]] == [
        "id",
        "seen",
        "ok",
        "v",
        "tags",
        "w",
    ]
    assert told["columns"][5]["rules"][1] == {
        "code": "w.min",
        "must": "at least 0",
        "remedy": "default",
        "then": "the value becomes 0",
    }
