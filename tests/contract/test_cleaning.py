"""What a column does before its rules: cleaning texts, reading codes and numbers, filling gaps; and
rules and remedies whose values are computed, or are inside a value."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal

import pytest

from headwater.contract.columns import is_needed
from headwater.contract.contract import Remedy
from headwater.contract.types import parse_type
from tests.contract.judging import Judged, contract_of, judge_rows
from tests.reading import read


def rows_of(columns: str, *rows: dict[str, str | None], more: str = "") -> list[Judged]:
    return judge_rows(contract_of(f"{more}\ncolumns: {{{columns}}}"), rows)


def values_of(spec: str, *texts: str | None, more: str = "") -> list[object]:
    """What each text becomes in a column: its value, or the codes of the rules that it breaks."""
    found = rows_of(f"v: {{{spec}}}", *({"v": text} for text in texts), more=more)
    return [row.values[0] if row.fate == "landed" else row.reasons for row in found]


TYPE, VALUES = ("v.type",), ("v.values",)


# ---- what a text means


@pytest.mark.parametrize(
    ("spec", "texts", "expected"),
    [
        pytest.param(
            "trim: true",
            [" a b\t", "\u00a0x\u3000", " \n ", ""],
            ["a b", "x", None, None],
            id="blanks around a text, of any kind",
        ),
        pytest.param(
            "trim: true, required: true",
            ["  "],
            [("v.required",)],
            id="what is left empty is missing",
        ),
        pytest.param(
            "null_values: [NA, -999]",
            ["NA", "-999", "na", " NA"],
            [None, None, "na", " NA"],
            id="null words, as they are written",
        ),
        pytest.param("null_values: [NA], trim: true", [" NA "], [None], id="after trimming"),
        pytest.param("null_values: ['']", [""], [None], id="an empty text"),
        pytest.param(
            "type: integer, null_values: ['-'], default: 7",
            ["-", "x", None],
            [7, TYPE, 7],
            id="a null word becomes the default",
        ),
        pytest.param(
            "values: {'Y': 'yes', 'N': 'no', '': none}",
            ["Y", "N", "", "y", None],
            ["yes", "no", "none", VALUES, None],
            id="codes as texts, in their case",
        ),
        pytest.param(
            "type: boolean, values: {'Y': true, 'N': false, U: null}",
            ["Y", "N", "U", "true"],
            [True, False, None, VALUES],
            id="codes as booleans",
        ),
        pytest.param(
            "type: date, values: {never: 9999-12-31}",
            ["never", "2020-01-01"],
            [date(9999, 12, 31), VALUES],
            id="codes as dates",
        ),
        pytest.param(
            "type: integer, values: {a: 1}, min: 2",
            ["a"],
            [("v.min",)],
            id="what a code stands for is held to the rules",
        ),
        pytest.param(
            "type: integer, values: {a: 1}, otherwise: null",
            ["b"],
            [None],
            id="a code that is not there may be mended",
        ),
        pytest.param(
            "type: integer, values: {a: 1}, otherwise: warn",
            ["b"],
            [VALUES],
            id="what no code stands for cannot land with a warning",
        ),
        pytest.param(
            "type: date, format: ['%d/%m/%Y', '%d.%m.%y']",
            ["31/12/2020", "31.12.20", "2020-12-31"],
            [date(2020, 12, 31), date(2020, 12, 31), TYPE],
            id="several formats",
        ),
        pytest.param(
            "type: timestamp, format: ['%Y-%m-%d', '%d/%m/%Y %H:%M']",
            ["2020-01-02", "02/01/2020 10:30"],
            [datetime(2020, 1, 2), datetime(2020, 1, 2, 10, 30)],
            id="of a timestamp",
        ),
        pytest.param(
            "type: date, format: ['%d/%m/%Y', '%m/%d/%Y']",
            ["02/01/2020"],
            [date(2020, 1, 2)],
            id="the first format that fits counts",
        ),
    ],
)
def test_what_a_text_means(spec, texts, expected):
    assert values_of(spec, *texts) == expected


EUROPEAN = "type: 'decimal(12,2)', decimal_separator: ',', thousands_separator: '.'"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1.234,56", Decimal("1234.56")),
        ("-1.234.567,8", Decimal("-1234567.80")),
        ("1234,56", Decimal("1234.56")),
        ("0,5", Decimal("0.50")),
        (" 7 ", Decimal(7)),
        ("1,5e2", Decimal(150)),
        ("1.23,45", TYPE),
        ("12.34", TYPE),
        ("1234.567", TYPE),
        (".123,4", TYPE),
        ("1,234.56", TYPE),
        ("1,2,3", TYPE),
        ("1.234,567", TYPE),
        (",", TYPE),
        ("x", TYPE),
    ],
)
def test_separators_are_taken_strictly(text, expected):
    assert values_of(EUROPEAN, text) == [expected]


@pytest.mark.parametrize(
    ("spec", "text", "expected"),
    [
        ("type: integer, thousands_separator: ','", "1,234", 1234),
        ("type: integer, thousands_separator: ','", "1,23", TYPE),
        ("type: double, thousands_separator: ' '", "1 234.5", 1234.5),
        ('type: double, thousands_separator: "\'"', "1'234.5", 1234.5),
        ("type: integer, decimal_separator: ','", "1,0", 1),
        ("type: integer, decimal_separator: ','", "1.0", TYPE),
        ("type: bigint, thousands_separator: '.', decimal_separator: ','", "1.000.000", 1_000_000),
    ],
)
def test_separators_of_any_number(spec, text, expected):
    assert values_of(spec, text) == [expected]


def test_a_dataset_says_how_all_of_its_columns_are_written():
    contract = contract_of(
        "null_values: [NA]\ndecimal_separator: ','\nthousands_separator: '.'\n"
        "columns: {n: double, t: varchar, own: {null_values: []}, us: "
        "{type: double, decimal_separator: '.', thousands_separator: ','}}"
    )
    (row,) = judge_rows(contract, [{"n": "1.000,5", "t": "NA", "own": "NA", "us": "1,000.5"}])
    assert row.values == (1000.5, None, "NA", 1000.5)


def test_null_words_of_typed_values_are_values_of_their_type():
    contract = contract_of("columns: {v: {type: integer, null_values: [NA, -999]}}")
    rows = [{"v": "-999"}, {"v": "1"}]
    found = judge_rows(contract, rows, fields={"v": parse_type("double")})
    assert [row.values for row in found] == [(None,), (1,)]


# ---- gaps


def test_a_gap_is_filled_from_another_column_then_by_the_default():
    found = rows_of(
        "a: {type: integer, fill: {from: b}, default: 0}, b: integer",
        {"a": "1", "b": "2"},
        {"a": None, "b": "2"},
        {"a": None, "b": None},
        {"a": "x", "b": "2"},
    )
    assert found == [
        Judged("landed", (1, 2)),
        Judged("landed", (2, 2), (), (0, 1, 0)),
        Judged("landed", (0, None), (), (0, 1, 0)),
        Judged("quarantined", (), ("a.type",)),
    ]


@pytest.mark.parametrize(
    ("fill", "value", "filled"),
    [
        ("{value: 5}", 5, 1),
        ("{expression: b * 2}", 4, 1),
        ("{expression: 'b / 0'}", None, 0),
        ("{expression: 'nullif(b, 2)'}", None, 0),
    ],
)
def test_a_gap_is_filled_by_a_value_or_an_expression(fill, value, filled):
    (row,) = rows_of(f"a: {{type: integer, fill: {fill}}}, b: integer", {"a": None, "b": "2"})
    assert row == Judged("landed", (value, 2), (), (0, filled, 0))


def test_a_filled_value_is_held_to_the_rules_of_its_column():
    (row,) = rows_of(
        "a: {type: integer, max: 1, fill: {from: b}}, b: integer", {"a": None, "b": "2"}
    )
    assert row == Judged("quarantined", (), ("a.max",))


PREVIOUS = "v: {type: integer, min: 0, required: true, fill: {previous: {by: at, within: k}}}"


def test_a_gap_is_filled_by_the_last_sound_value_before_within_its_key():
    data = [  # out of order; (k, at, v) -> v, or the reasons
        (("a", "3", None), 5),
        (("a", "1", "5"), 5),
        (("a", "2", "-1"), ("v.min",)),
        (("b", "2", None), ("v.required",)),
        (("b", "3", "7"), 7),
        (("b", "4", None), 7),
        (("a", None, None), ("v.required",)),
        ((None, "9", None), ("v.required",)),
        (("b", "5", "x"), ("v.type",)),
        (("b", "6", None), 7),
    ]
    found = rows_of(
        f"k: varchar, at: integer, {PREVIOUS}",
        *(dict(zip(("k", "at", "v"), row, strict=True)) for row, _ in data),
    )
    assert [r.values[2] if r.fate == "landed" else r.reasons for r in found] == [v for _, v in data]
    assert sum(row.mended[1] for row in found) == 3


def test_without_by_the_order_of_the_file_counts_and_rows_stay_in_it():
    texts = [None if n % 3 else str(n) for n in range(300)]
    assert values_of("type: integer, fill: previous", *texts) == [n - n % 3 for n in range(300)]


def test_rows_stay_in_order_though_a_column_hides_their_number():
    found = rows_of(
        "rowid: {type: integer, fill: {previous: {by: at}}}, at: integer",
        {"rowid": None, "at": "2"},
        {"rowid": "1", "at": "1"},
    )
    assert [row.values for row in found] == [(1, 2), (1, 1)]


@pytest.mark.parametrize(
    ("meaning", "value", "needed"),
    [
        ("", 7, False),
        (", missing_column: null", None, False),
        (", missing_column: default", 7, False),
        (", missing_column: fail", 7, True),
    ],
)
def test_what_a_missing_column_means(meaning, value, needed):
    contract = contract_of(f"columns: {{a: integer, b: {{type: integer, default: 7{meaning}}}}}")
    (row,) = judge_rows(contract, [{"a": "1"}])
    assert row.values == (1, value)
    assert is_needed(contract, "b") is needed


@pytest.mark.parametrize(
    ("spec", "more", "refused"),
    [
        ("{type: integer, required: true}", (), True),
        ("{type: integer, required: true, fill: {from: id}}", (), False),
        ("{type: integer, required: true, default: 1}", ("missing_columns: null",), True),
        ("integer", (), False),
        ("integer", ("missing_columns: fail",), True),
        ("{type: integer, missing_column: null}", ("missing_columns: fail",), False),
    ],
)
def test_a_file_without_a_column_is_refused_where_the_contract_says_so(
    tmp_path, spec, more, refused
):
    landed = read(tmp_path, {"a.csv": "id\n1\n"}, {"id": "integer", "v": spec}, *more)
    assert list(landed.refused) == (["data/a.csv"] if refused else [])
    if refused:
        assert "has no column 'v'" in landed.refused["data/a.csv"].message


# ---- computed values


def test_bounds_defaults_and_accepted_values_may_be_computed():
    contract = contract_of(
        "columns:\n  low: integer\n  v: {type: integer, min: {expression: low}, "
        "max: {expression: 100 / low}, default: {expression: low + 1}}\n"
        "  code: {accepted: [none, {expression: upper(name)}]}\n  name: varchar"
    )
    rows = [
        {"low": "10", "v": "10", "code": "A", "name": "a"},
        {"low": "10", "v": "11", "code": "a", "name": "a"},
        {"low": "10", "v": "9", "code": "none", "name": None},
        {"low": "5", "v": None, "code": None, "name": "a"},
        {"low": None, "v": "1", "code": "A", "name": None},
    ]
    assert judge_rows(contract, rows) == [
        Judged("landed", (10, 10, "A", "a")),
        Judged("quarantined", (), ("v.max", "code.accepted")),
        Judged("quarantined", (), ("v.min",)),
        Judged("landed", (5, 6, None, "a"), (), (0, 1, 0)),
        Judged("quarantined", (), ("code.accepted",)),
    ]


def test_a_bound_that_cannot_be_computed_does_not_hold():
    spec = "type: integer, max: {{expression: CAST(t AS INTEGER)}}{}"
    for otherwise in ("", ", otherwise: clip"):
        found = rows_of(
            f"v: {{{spec.format(otherwise)}}}, t: varchar",
            {"v": "1", "t": "x"},
            {"v": None, "t": "x"},
        )
        assert [row.reasons for row in found] == [("v.max",), ()]


def test_clip_moves_a_value_to_a_computed_bound():
    (row,) = rows_of(
        "v: {type: integer, max: {expression: m}, otherwise: clip}, m: integer",
        {"v": "9", "m": "3"},
    )
    assert row == Judged("landed", (3, 3), (), (0, 0, 1))


@pytest.mark.parametrize(
    ("otherwise", "text", "expected"),
    [
        ("{value: 0}", "-5", Judged("landed", (0,), (), (0, 1, 0))),
        ("{value: 0}", "x", Judged("landed", (0,), (), (0, 1, 0))),
        ("{value: 0}", "5", Judged("landed", (5,))),
        ("{expression: abs(v)}", "-5", Judged("landed", (5,), (), (0, 1, 0))),
        ("{expression: abs(v)}", "x", Judged("quarantined", (), ("v.type",))),
        ("{expression: v - 1}", "-5", Judged("quarantined", (), ("v.min",))),
    ],
)
def test_a_value_may_stand_instead(otherwise, text, expected):
    assert rows_of(f"v: {{type: integer, min: 0, otherwise: {otherwise}}}", {"v": text}) == [
        expected
    ]


@pytest.mark.parametrize("fill", ["previous", "{previous: {by: n}}", "{from: n}"])
def test_a_value_that_breaks_a_rule_may_be_filled_as_if_it_were_missing(fill):
    spec = (
        f"n: integer, v: {{type: integer, max: 9, fill: {fill}, otherwise: fill, required: true}}"
    )
    texts = ["99", "5", "x", None, "77"]
    found = rows_of(spec, *({"n": str(n), "v": text} for n, text in enumerate(texts)))
    first = Judged("landed", (0, 0), (), (0, 1, 0))
    lost = Judged("quarantined", (), ("v.max",))
    values = [5, 5, 5] if fill != "{from: n}" else [2, 3, 4]
    assert found == [
        first if fill == "{from: n}" else lost,
        Judged("landed", (1, 5)),
        *(Judged("landed", (n, v), (), (0, 1, 0)) for n, v in enumerate(values, start=2)),
    ]


# ---- inside values

CUSTOMER = "type: 'struct(name varchar, age integer)', fields: {{age: {{{}}}}}"


@pytest.mark.parametrize(
    ("spec", "fate", "value", "reasons", "mended"),
    [
        ("min: 0", "quarantined", None, ("v.age.min",), (0, 0, 0)),
        ("min: 0, otherwise: fail", "failed", None, ("v.age.min",), (0, 0, 0)),
        ("min: 0, otherwise: drop", "dropped", None, ("v.age.min",), (0, 0, 0)),
        ("min: 0, otherwise: warn", "landed", -1, ("v.age.min",), (0, 0, 0)),
        ("min: 0, otherwise: null", "landed", None, (), (1, 0, 0)),
        ("min: 0, otherwise: clip", "landed", 0, (), (0, 0, 1)),
        ("accepted: [1]", "quarantined", None, ("v.age.accepted",), (0, 0, 0)),
        ("max: {expression: limit}", "quarantined", None, ("v.age.max",), (0, 0, 0)),
    ],
)
def test_a_rule_of_a_field_has_its_own_remedy(spec, fate, value, reasons, mended):
    (row,) = rows_of(
        f"v: {{{CUSTOMER.format(spec)}}}, limit: integer",
        {"v": '{"name": "Ada", "age": -1}', "limit": "-9"},
    )
    found = ({"name": "Ada", "age": value}, -9) if fate == "landed" else ()
    assert row == Judged(fate, found, reasons, mended)


def test_a_part_without_a_remedy_takes_the_columns():
    (row,) = rows_of(f"v: {{{CUSTOMER.format('min: 0')}, otherwise: null}}", {"v": '{"age": -1}'})
    assert row == Judged("landed", (None,), (), (1, 0, 0))


@pytest.mark.parametrize(
    ("spec", "text", "expected"),
    [
        ("max: 5", "[1, 5, null]", [1, 5, None]),
        ("max: 5", "[1, 6]", ("v[].max",)),
        ("required: true", "[1, null]", ("v[].required",)),
        ("max: 5, otherwise: null", "[1, 6, 9]", [1, None, None]),
        ("min: 0, max: 5, otherwise: clip", "[-1, 6, 3, null]", [0, 5, 3, None]),
        ("max: 5", "[]", []),
        ("max: 5", None, None),
        ("max: 5", "x", ("v.type",)),
    ],
)
def test_a_rule_of_the_items_of_a_list(spec, text, expected):
    assert values_of(f"type: 'integer[]', items: {{{spec}}}", text) == [expected]


def test_rules_at_any_depth_are_named_by_their_path():
    spec = (
        "type: 'struct(id integer, lines struct(qty integer, tags varchar[])[])[]', "
        "items: {fields: {id: {required: true}, lines: {items: {fields: {qty: {min: 1}, "
        "tags: {items: {pattern: '[a-z]+'}}}}}}}"
    )
    good = '[{"id": 1, "lines": [{"qty": 1, "tags": ["a"]}]}, {"id": 2, "lines": null}]'
    bad = '[{"id": 1, "lines": [{"qty": 0, "tags": ["a", "B"]}]}, {"lines": []}]'
    found = rows_of(f"v: {{{spec}}}", {"v": good}, {"v": bad})
    assert [row.fate for row in found] == ["landed", "quarantined"]
    assert found[1].reasons == (
        "v[].id.required",
        "v[].lines[].qty.min",
        "v[].lines[].tags[].pattern",
    )


@pytest.mark.parametrize("room", [Remedy.QUARANTINE, Remedy.FAIL])
def test_rules_inside_without_any_remedy_take_the_rooms(room):
    contract = contract_of("columns: {v: {type: 'integer[]', items: {max: 5}}}")
    (row,) = judge_rows(contract, [{"v": "[6]"}], otherwise=room)
    assert row.fate == ("failed" if room is Remedy.FAIL else "quarantined")


# ---- in models

MODEL = """\
/*
columns:
  b: {default: none}
  v: {fill: {previous: {by: a}}}
  w: {type: integer, values: {x: 1, y: 2}}
*/
SELECT a, b, nullif(a, 2) AS v, CASE WHEN a > 1 THEN 'x' ELSE 'y' END AS w FROM s.t
"""


def test_the_columns_of_a_model_are_cleaned_as_those_of_a_source(project):
    made = project({"data/a.csv": "a,b\n2,\n1,x\n3,\n", "models/m/q.sql": MODEL})
    made.run()
    assert made.ask("SELECT a, b, v, w FROM m.q ORDER BY a") == [
        (1, "x", 1, 2),
        (2, "none", 1, 1),
        (3, "none", 3, 1),
    ]
    assert made.ask("SELECT defaulted FROM headwater.ledger WHERE dataset = 'm.q'") == [(3,)]
    assert made.balances()
