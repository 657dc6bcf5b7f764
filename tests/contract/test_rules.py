"""Every kind of rule under every remedy, on rows in a real DuckDB."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal

import pytest

from headwater.contract.contract import Remedy
from headwater.errors import ContractBroken
from tests.contract.judging import Judged, contract_of, judge_rows
from tests.reading import read

KINDS = {
    "type": ("type: integer", "12", 12, "x"),
    "required": ("type: integer, required: true", "12", 12, None),
    "accepted": ("type: integer, accepted: [1, 12]", "12", 12, "13"),
    "min": ("type: integer, min: 10", "10", 10, "9"),
    "max": ("type: integer, max: 12", "12", 12, "13"),
    "pattern": ("type: varchar, pattern: '[a-c]+'", "abc", "abc", "abcd"),
    "length": ("type: varchar, length: {min: 2, max: 3}", "éé", "éé", "éééé"),
    "format": ("type: date, format: '%d/%m/%Y'", "31/12/2020", date(2020, 12, 31), "12/31/2020"),
}
DEFAULT = {"pattern": "abc", "length": "zz", "format": "2020-01-01"}


def default_of(kind: str) -> str:
    return DEFAULT.get(kind, "12")


def code_of(kind: str) -> str:
    return "v.type" if kind == "format" else f"v.{kind}"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("remedy", ["quarantine", "fail", "drop", "warn"])
def test_a_broken_rule_sends_the_row_where_its_remedy_says(kind, remedy):
    spec, good, value, bad = KINDS[kind]
    contract = contract_of(f"columns: {{v: {{{spec}, otherwise: {remedy}}}}}")
    landed, broken = judge_rows(contract, [{"v": good}, {"v": bad}])
    assert landed == Judged("landed", (value,))
    reasons = (code_of(kind),)
    if remedy != "warn":
        fate = {"quarantine": "quarantined", "fail": "failed", "drop": "dropped"}[remedy]
        assert broken == Judged(fate, (), reasons)
    elif kind in ("type", "format"):
        assert broken == Judged("quarantined", (), reasons), "no value of its type: cannot land"
    else:
        kept = bad if kind in ("pattern", "length") else bad and int(bad)
        assert broken == Judged("landed", (kept,), reasons)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "required"])
@pytest.mark.parametrize("remedy", ["null", "default"])
def test_a_broken_rule_mends_the_value(kind, remedy):
    spec, good, value, bad = KINDS[kind]
    default = f", default: '{default_of(kind)}'" if remedy == "default" else ""
    contract = contract_of(f"columns: {{v: {{{spec}{default}, otherwise: '{remedy}'}}}}")
    landed, mended = judge_rows(contract, [{"v": good}, {"v": bad}])
    assert landed == Judged("landed", (value,))
    if remedy == "null":
        assert mended == Judged("landed", (None,), (), (1, 0, 0))
    else:
        typed = {"pattern": "abc", "length": "zz", "format": date(2020, 1, 1)}.get(kind, 12)
        assert mended == Judged("landed", (typed,), (), (0, 1, 0))


def test_a_missing_value_that_is_required_becomes_its_default():
    contract = contract_of("columns: {v: {type: integer, required: true, default: 12}}")
    assert judge_rows(contract, [{"v": None}]) == [Judged("landed", (12,), (), (0, 1, 0))]


@pytest.mark.parametrize(
    ("given", "value", "clipped"), [("-1", 0, 1), ("0", 0, 0), ("9", 9, 0), ("12", 9, 1)]
)
def test_clip_moves_a_value_to_the_nearest_bound(given, value, clipped):
    contract = contract_of("columns: {v: {type: integer, min: 0, max: 9, otherwise: clip}}")
    assert judge_rows(contract, [{"v": given}]) == [Judged("landed", (value,), (), (0, 0, clipped))]


def test_what_cannot_be_clipped_goes_where_the_room_sends_it():
    contract = contract_of(
        "columns: {v: {type: integer, required: true, min: 0, max: 9, otherwise: clip}}"
    )
    rows = [{"v": "x"}, {"v": None}]
    assert judge_rows(contract, rows) == [
        Judged("quarantined", (), ("v.type",)),
        Judged("quarantined", (), ("v.required",)),
    ]
    assert [r.fate for r in judge_rows(contract, rows, otherwise=Remedy.FAIL)] == ["failed"] * 2


@pytest.mark.parametrize("otherwise", [Remedy.QUARANTINE, Remedy.FAIL])
def test_a_rule_without_a_remedy_takes_the_rooms(otherwise):
    contract = contract_of("columns: {v: {type: integer, min: 0}}")
    fate = "failed" if otherwise is Remedy.FAIL else "quarantined"
    assert judge_rows(contract, [{"v": "-1"}], otherwise=otherwise) == [
        Judged(fate, (), ("v.min",))
    ]


def test_a_missing_value_breaks_no_rule_but_required():
    contract = contract_of(
        "columns:\n  a: {type: integer, min: 0, max: 9, accepted: [1]}\n"
        "  b: {pattern: x, length: 1}\n  c: {type: date, format: '%Y'}"
    )
    assert judge_rows(contract, [dict.fromkeys("abc")]) == [Judged("landed", (None,) * 3)]


def test_a_row_names_every_rule_that_it_breaks():
    contract = contract_of(
        "columns:\n  a: {type: integer, min: 5, max: 1, accepted: [9]}\n"
        "  b: {required: true}\nrules: [{name: r, check: a > 4}]"
    )
    assert judge_rows(contract, [{"a": "3", "b": None}]) == [
        Judged("quarantined", (), ("a.accepted", "a.min", "a.max", "b.required", "rule.r"))
    ]


def test_fail_goes_before_quarantine_and_quarantine_before_drop():
    contract = contract_of(
        "columns:\n  a: {type: integer, min: 1, otherwise: drop}\n"
        "  b: {type: integer, min: 1, otherwise: quarantine}\n"
        "  c: {type: integer, min: 1, otherwise: fail}"
    )
    rows = [dict(zip("abc", row, strict=True)) for row in ("000", "001", "011", "111")]
    fates = ["failed", "quarantined", "dropped", "landed"]
    assert [row.fate for row in judge_rows(contract, rows)] == fates


# ---- row rules


@pytest.mark.parametrize(
    ("remedy", "fate"),
    [("quarantine", "quarantined"), ("fail", "failed"), ("drop", "dropped"), ("warn", "landed")],
)
def test_a_row_rule_sends_the_row_where_its_remedy_says(remedy, fate):
    contract = contract_of(
        "columns: {a: integer, b: integer}\n"
        f"rules: [{{name: ordered, check: b >= a, otherwise: {remedy}}}]"
    )
    good, bad, missing = judge_rows(
        contract, [{"a": "1", "b": "2"}, {"a": "2", "b": "1"}, {"a": None, "b": "1"}]
    )
    assert good == Judged("landed", (1, 2))
    assert (bad.fate, bad.reasons) == (fate, ("rule.ordered",))
    assert missing == Judged("landed", (None, 1)), "NULL passes, as in SQL"


def test_a_row_rule_that_cannot_be_computed_for_a_row_does_not_hold_for_it():
    contract = contract_of("columns: {a: varchar}\nrules: [{name: r, check: CAST(a AS INT) > 0}]")
    rows = judge_rows(contract, [{"a": "1"}, {"a": "x"}, {"a": "-1"}])
    assert [row.fate for row in rows] == ["landed", "quarantined", "quarantined"]


def test_rules_that_share_a_part_that_cannot_be_computed_do_not_hold():
    contract = contract_of(
        "columns: {a: varchar}\nrules:\n- {name: r, check: CAST(a AS INT) > 0}\n"
        "- {name: s, check: CAST(a AS INT) < 9}\n"
        "- {name: t, check: CAST(a AS INT) < 8, otherwise: warn}"
    )
    found = judge_rows(contract, [{"a": "x"}, {"a": "1"}])
    assert [row.reasons for row in found] == [("rule.r", "rule.s", "rule.t"), ()]


def test_a_row_rule_sees_mended_values():
    contract = contract_of(
        "columns: {a: {type: integer, max: 5, otherwise: clip}, b: {type: integer, default: 7}}\n"
        "rules: [{name: r, check: a <= 5 and b = 7}]"
    )
    assert judge_rows(contract, [{"a": "9", "b": None}]) == [
        Judged("landed", (5, 7), (), (0, 1, 1))
    ]


# ---- bounds are of the column's type


@pytest.mark.parametrize(
    ("spec", "good", "bad"),
    [
        ("type: date, min: 2020-01-01", "2020-01-01", "2019-12-31"),
        ("type: timestamp, max: 2020-01-01 10:00:00", "2020-01-01 10:00:00", "2020-01-01 10:00:01"),
        ("type: 'decimal(10,2)', accepted: [1.10, 2]", "1.1", "1.11"),
        ("type: double, accepted: [0.1]", "0.1", "0.2"),
        ("type: varchar, accepted: [1, yes]", "1", "2"),
        ("type: varchar, min: b", "b", "a"),
        ("type: boolean, accepted: [true]", "true", "false"),
        ("type: varchar, length: 3", "😀éa", "😀😀😀😀"),
    ],
)
def test_bounds_are_compared_in_the_columns_type(spec, good, bad):
    contract = contract_of(f"columns: {{v: {{{spec}}}}}")
    fates = [row.fate for row in judge_rows(contract, [{"v": good}, {"v": bad}])]
    assert fates == ["landed", "quarantined" if bad else "landed"]


# ---- fields and columns


def test_fields_are_found_by_from_and_whatever_their_case():
    contract = contract_of("columns: {a: {from: Price, type: 'decimal(5,2)'}, B: integer}")
    (row,) = judge_rows(contract, [{"PRICE": "1.25", "b": "2", "c": "kept"}])
    assert row.values == (Decimal("1.25"), 2, "kept")


def test_a_column_that_the_input_does_not_have_is_missing_in_every_row():
    contract = contract_of("columns: {a: integer, t: {type: timestamp, default: 2020-01-01}}")
    (row,) = judge_rows(contract, [{"a": "1"}])
    assert row.values == (1, datetime(2020, 1, 1))


@pytest.mark.parametrize(("unexpected", "values"), [("keep", (1, "x")), ("ignore", (1,))])
def test_unexpected_columns_are_kept_or_left_out(unexpected, values):
    contract = contract_of(f"columns: {{a: integer}}\nunexpected_columns: {unexpected}")
    assert judge_rows(contract, [{"a": "1", "b": "x"}])[0].values == values


def test_a_column_may_be_named_like_another_ones_raw_field():
    contract = contract_of("columns: {a: integer}")
    assert judge_rows(contract, [{"a": "1", "raw.a": "x"}])[0].values == (1, "x")


# ---- keys


def test_a_key_is_never_missing():
    contract = contract_of("key: a\ncolumns: {a: integer}")
    assert judge_rows(contract, [{"a": None}]) == [Judged("quarantined", (), ("a.required",))]


REPEATS = "id,v\n1,a\n1,b\n2,c\n1,d\n,e\n"


def test_a_repeated_key_is_quarantined_and_the_first_row_lands(tmp_path):
    landed = read(tmp_path, {"a.csv": REPEATS}, {"id": "integer", "v": "varchar"}, "key: id")
    assert landed.column("v") == ["a", "c"]
    assert [(q.line, q.reasons, q.content) for q in landed.quarantined] == [
        (3, ("key.duplicate",), "1,b"),
        (5, ("key.duplicate",), "1,d"),
        (6, ("id.required",), ",e"),
    ]
    assert landed.is_balanced


def test_keep_first_counts_the_repeats_as_deduplicated(tmp_path):
    landed = read(
        tmp_path,
        {"a.csv": REPEATS, "b.csv": "id,v\n2,x\n3,y\n"},
        {"id": "integer", "v": "varchar"},
        "key: id",
        "on_duplicate: keep first",
    )
    assert landed.column("v") == ["a", "c", "y"]
    assert landed.deduplicated == 3
    assert landed.is_balanced


def test_a_repeated_key_can_fail_the_step(tmp_path):
    with pytest.raises(ContractBroken, match="2 rows repeat the key") as caught:
        read(tmp_path, {"a.csv": REPEATS}, {"id": "integer"}, "key: id", "on_duplicate: fail")
    assert "keep first" in caught.value.hint


def test_a_rule_that_says_fail_fails_the_step_and_names_the_rules(tmp_path):
    columns = {"id": "integer", "v": "{type: varchar, accepted: [a], otherwise: fail}"}
    with pytest.raises(ContractBroken, match=r"4 rows break v\.accepted \(4 rows\)") as caught:
        read(tmp_path, {"a.csv": REPEATS}, columns)
    assert "otherwise: quarantine" in caught.value.hint
