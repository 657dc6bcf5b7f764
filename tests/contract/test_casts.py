"""From an input's value to a contract's type: exactly, or not at all."""

from __future__ import annotations

from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

import pytest

from headwater.contract.casts import cast, is_lossy
from headwater.contract.types import parse_type
from headwater.sql.quote import literal
from tests.contract.judging import session

NO = "no value of its type"


def cast_one(value: str | None, given: str, wanted: str, format_: str | None = None) -> Any:
    """The value in the wanted type, or NO where the contract calls it lossy."""
    have, want = parse_type(given), parse_type(wanted)
    lossy = is_lossy("v", "r", have, want) or "FALSE"
    row = session().execute(
        f"SELECT v, coalesce({lossy}, FALSE) FROM (SELECT r, {cast('r', have, want, format_)} AS v "
        f"FROM (SELECT CAST({literal(value)} AS {have.sql}) AS r))"
    )
    found, is_lost = row.fetchone()
    return NO if is_lost else found


@pytest.mark.parametrize("value", [None, "1"])
@pytest.mark.parametrize("wanted", ["integer", "date", "varchar[]", "struct(a integer)", "uuid"])
def test_a_missing_value_is_missing_in_every_type(value, wanted):
    assert cast_one(None, "varchar", wanted) is None


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("12", 12),
        ("-12", -12),
        ("+5", 5),
        (" 12 ", 12),
        ("1.0", 1),
        ("1.", 1),
        ("1e2", 100),
        ("1.5e1", 15),
        ("1.5", NO),
        ("1e-1", NO),
        ("2147483647", 2147483647),
        ("2147483648", NO),
        ("1e10", NO),
        ("1,000", NO),
        ("true", NO),
        ("x", NO),
        ("", NO),
        ("e", NO),
        ("1.0000000001", NO),
        ("0.99999999999", NO),
        ("0x1F", NO),
        ("1_000", NO),
    ],
)
def test_text_as_an_integer(value, expected):
    assert cast_one(value, "varchar", "integer") == expected


@pytest.mark.parametrize(
    ("value", "wanted", "expected"),
    [
        ("9223372036854775807", "bigint", 9223372036854775807),
        ("9223372036854775807.0", "bigint", 9223372036854775807),
        ("9007199254740993", "bigint", 9007199254740993),
        ("9223372036854775808", "bigint", NO),
        ("255", "utinyint", 255),
        ("256", "utinyint", NO),
        ("-1", "utinyint", NO),
    ],
)
def test_text_as_integers_of_other_sizes(value, wanted, expected):
    assert cast_one(value, "varchar", wanted) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("1.23", Decimal("1.23")),
        ("1.230", Decimal("1.23")),
        ("-5", Decimal("-5")),
        ("1e2", Decimal("100")),
        ("12345678.12", Decimal("12345678.12")),
        ("123456789", NO),
        ("x", NO),
        ("1.239", NO),
        ("0.001", NO),
        ("1e-3", NO),
        ("1e-40", NO),
        ("150e-3", Decimal("0.15")),
        ("155e-3", NO),
        ("15e-1", Decimal("1.5")),
        ("0E-10", Decimal(0)),
        ("- ", NO),
    ],
)
def test_text_as_a_decimal(value, expected):
    assert cast_one(value, "varchar", "decimal(10,2)") == expected


@pytest.mark.parametrize(
    ("value", "wanted", "expected"),
    [
        ("0.1", "double", 0.1),
        ("1e308", "double", 1e308),
        ("-inf", "double", float("-inf")),
        ("x", "double", NO),
        ("0.5", "float", 0.5),
        ("1e400", "double", NO),
        ("1e39", "float", NO),
        ("1e-400", "double", NO),
        ("1e-46", "float", NO),
        ("0.000", "double", 0.0),
        ("-0e5", "double", 0.0),
        (" Infinity", "double", float("inf")),
    ],
)
def test_text_as_a_floating_point_number(value, wanted, expected):
    assert cast_one(value, "varchar", wanted) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [("true", True), ("T", True), ("yes", True), ("1", True), ("n", False), ("0", False),
     ("False", False), ("on", NO), ("2", NO), ("", NO)],
)  # fmt: skip
def test_text_as_a_boolean(value, expected):
    assert cast_one(value, "varchar", "boolean") == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2020-01-02", date(2020, 1, 2)),
        ("2020-01-02 00:00:00", date(2020, 1, 2)),
        ("2020-01-02T00:00:00Z", date(2020, 1, 2)),
        ("2020-01-02 10:00:00", NO),
        ("2020-02-30", NO),
        ("02/01/2020", NO),
        ("2020-01-02x", NO),
        ("20200102", NO),
        ("2020-01-02T00:00:00+02:00", NO),
        ("2020-01-02T22:00:00-02:00", NO),
        ("20-1-2 1:1", NO),
    ],
)
def test_text_as_a_date(value, expected):
    assert cast_one(value, "varchar", "date") == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2020-01-02 10:00:00", datetime(2020, 1, 2, 10)),
        ("2020-01-02T10:00", datetime(2020, 1, 2, 10)),
        ("2020-01-02", datetime(2020, 1, 2)),
        ("2020-01-02 10:00:00.123456", datetime(2020, 1, 2, 10, 0, 0, 123456)),
        ("2020-01-02 10:00:00Z", datetime(2020, 1, 2, 10)),
        ("2020-01-02 10:00:00+02", datetime(2020, 1, 2, 8)),
        ("2020-01-02T10:00:00+02:00", datetime(2020, 1, 2, 8)),
        ("2020-01-02T10:00:00-05:30", datetime(2020, 1, 2, 15, 30)),
        ("2020-01-02T10:00:00.5+02:00", datetime(2020, 1, 2, 8, 0, 0, 500000)),
        ("2020-01-02T10:00:00.123456000Z", datetime(2020, 1, 2, 10, 0, 0, 123456)),
        ("2020-01-02T10:00:00.123456789Z", NO),
        ("2020-01-02 10:00:00.1234567", NO),
        ("999-1-2 1:2:3+02:00", datetime(999, 1, 1, 23, 2, 3)),
        ("2020-07-02 10:00:00 Europe/Berlin", datetime(2020, 7, 2, 8)),
        ("2020-01-02 25:00:00", NO),
        ("1577959200", NO),
        ("x", NO),
        ("2020-1-2 1:00:00+02", datetime(2020, 1, 1, 23)),
    ],
)
def test_text_as_a_timestamp_is_in_utc(value, expected):
    assert cast_one(value, "varchar", "timestamp") == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("10:11:12", time(10, 11, 12)),
        ("10:11", time(10, 11)),
        ("10:11:12.123456", time(10, 11, 12, 123456)),
        ("10:11:12.1234567", NO),
        ("25:00:00", NO),
        ("2020-01-02 10:11:12", NO),
        ("10:11:12+02", NO),
    ],
)
def test_text_as_a_time(value, expected):
    assert cast_one(value, "varchar", "time") == expected


@pytest.mark.parametrize(
    ("value", "given", "wanted", "expected"),
    [
        ("1.0", "double", "integer", 1),
        ("1.5", "double", "integer", NO),
        ("nan", "double", "integer", NO),
        ("1e300", "double", "bigint", NO),
        ("300", "bigint", "tinyint", NO),
        ("1.230", "decimal(10,3)", "decimal(10,2)", Decimal("1.23")),
        ("1.239", "decimal(10,3)", "decimal(10,2)", NO),
        ("2020-01-02 00:00:00", "timestamp", "date", date(2020, 1, 2)),
        ("2020-01-02 10:00:00", "timestamp", "date", NO),
        ("2020-01-02 10:00:00", "timestamp", "time", NO),
        ("2020-01-02 10:00:00+02", "timestamptz", "timestamp", datetime(2020, 1, 2, 8)),
        ("7", "bigint", "varchar", "7"),
        ("2", "integer", "boolean", NO),
        ("9007199254740993", "bigint", "double", NO),
        ("16777217", "integer", "float", NO),
        ("16777217", "decimal(10,0)", "float", NO),
        ("0.1", "decimal(10,2)", "double", 0.1),
        ("1e-300", "double", "float", NO),
        ("2", "smallint", "boolean", NO),
        ("1", "smallint", "boolean", True),
    ],
)
def test_typed_values_as_another_type(value, given, wanted, expected):
    assert cast_one(value, given, wanted) == expected


@pytest.mark.parametrize(
    ("value", "wanted", "format_", "expected"),
    [
        ("31/12/2020", "date", "%d/%m/%Y", date(2020, 12, 31)),
        ("12/31/2020", "date", "%d/%m/%Y", NO),
        ("31/12/2020x", "date", "%d/%m/%Y", NO),
        ("31/12/2020 10:11", "timestamp", "%d/%m/%Y %H:%M", datetime(2020, 12, 31, 10, 11)),
        ("10.30", "time", "%H.%M", time(10, 30)),
        ("31/12/2020 10:11", "date", "%d/%m/%Y %H:%M", NO),
        ("31/12/2020 00:00", "date", "%d/%m/%Y %H:%M", date(2020, 12, 31)),
        ("31/12/2020 10:11", "time", "%d/%m/%Y %H:%M", NO),
    ],
)
def test_a_format_says_how_dates_and_times_are_written(value, wanted, format_, expected):
    assert cast_one(value, "varchar", wanted, [format_]) == expected


def test_a_format_with_a_zone_gives_a_timestamp_in_utc():
    want = parse_type("timestamp")
    sql = cast("r", parse_type("varchar"), want, ["%d/%m/%Y %H:%M %z"])
    row = session().execute(
        f"SELECT typeof(v), CAST(v AS VARCHAR) FROM (SELECT {sql} AS v "
        "FROM (SELECT '31/12/2020 10:00 +0200' AS r))"
    )
    assert row.fetchone() == ("TIMESTAMP", "2020-12-31 08:00:00")


NESTED = [
    ("[1,2]", "integer[]", [1, 2]),
    ('["1"]', "integer[]", [1]),
    ("[1,null]", "integer[]", [1, None]),
    ("[]", "integer[]", []),
    ('[1,"z"]', "integer[]", NO),
    ('{"a":1}', "integer[]", NO),
    ("[[1]]", "integer[]", NO),
    ("1", "integer[]", NO),
    ("[[1],[2,3]]", "integer[][]", [[1], [2, 3]]),
    ('[[1],["x"]]', "integer[][]", NO),
    ("[1]", "integer[][]", NO),
    ('{"a":1}', "struct(a integer)", {"a": 1}),
    ('{"a":null}', "struct(a integer)", {"a": None}),
    ("{}", "struct(a integer)", {"a": None}),
    ('{"a":"x"}', "struct(a integer)", NO),
    ('{"a":{"x":1}}', "struct(a integer)", NO),
    ("[1]", "struct(a integer)", NO),
    ('"text"', "struct(a integer)", NO),
    ('{"a":{"b":[1]}}', "struct(a struct(b integer[]))", {"a": {"b": [1]}}),
    ('{"a":{"b":["x"]}}', "struct(a struct(b integer[]))", NO),
    ('{"a":{"b":{"c":1}}}', "struct(a struct(b integer[]))", NO),
    ('{"a":{"b":null}}', "struct(a struct(b integer[]))", {"a": {"b": None}}),
    ('[{"a":1},null]', "struct(a integer)[]", [{"a": 1}, None]),
    ('[{"a":1},{"a":"x"}]', "struct(a integer)[]", NO),
    ('[{"a":1},[1]]', "struct(a integer)[]", NO),
    ('{"k":1}', "map(varchar, integer)", {"k": 1}),
    ("[1]", "map(varchar, integer)", NO),
    ('{"a b":1,"c.d":2}', 'struct("a b" integer, "c.d" integer)', {"a b": 1, "c.d": 2}),
    ('{"a b":"x"}', 'struct("a b" integer, "c.d" integer)', NO),
    ("[1.5]", "integer[]", NO),
    ('{"a":1.5}', "struct(a integer)", NO),
    ("[1.239]", "decimal(10,2)[]", NO),
    ('{"a":1,"b":2}', "struct(a integer)", NO),
    ('{"A":1}', "struct(a integer)", NO),
    ('{"k":"x"}', "map(varchar, integer)", NO),
    ('{"k":["x"]}', "map(varchar, integer[])", NO),
    ('["2020-01-02T10:00:00+02:00"]', "timestamp[]", [datetime(2020, 1, 2, 8)]),
]


@pytest.mark.parametrize(("value", "wanted", "expected"), NESTED)
def test_json_as_a_nested_value(value, wanted, expected):
    assert cast_one(value, "json", wanted) == expected


def test_text_that_is_no_json_is_no_nested_value():
    assert cast_one("not json", "varchar", "integer[]") == NO
    assert cast_one("[1]", "varchar", "integer[]") == [1]


def test_a_decimal_of_full_width_is_not_rounded():
    assert cast_one("1.239", "varchar", "decimal(38,2)") == NO
    assert cast_one("1.230", "varchar", "decimal(38,2)") == Decimal("1.23")


@pytest.mark.parametrize(
    ("value", "wanted", "expected"),
    [
        ("null", "struct(a integer)", None),
        (" null ", "integer[]", None),
        ('{"a":1,"a":1}', "struct(a integer)", NO),
        ('[{"a":{"b":1,"b":1}}]', "struct(a struct(b integer))[]", NO),
        ('{"k":1,"k":2}', "map(varchar, integer)", NO),
        ('{"1":1,"01":2}', "map(integer, integer)", NO),
        ('{"1":1,"2":null}', "map(integer, integer)", {1: 1, 2: None}),
        ("{}", "map(integer, integer[])", {}),
        ('{"a":{"x":1}}', "struct(a varchar)", {"a": '{"x":1}'}),
        ('{"a":[1,{"b":null}]}', "struct(a json)", {"a": '[1,{"b":null}]'}),
        ('{"a":null,"b":[null]}', "struct(a json, b json[])", {"a": None, "b": [None]}),
    ],
)
def test_json_as_a_nested_value_in_its_corners(value, wanted, expected):
    for given in ("json", "varchar"):
        assert cast_one(value, given, wanted) == expected


def test_a_json_scalar_is_read_as_its_text():
    assert cast_one('"5"', "json", "integer") == 5
    assert cast_one("1.5", "json", "integer") == NO
    assert cast_one("null", "json", "integer") is None


TYPED = [
    ("{'a': 1, 'b': 2}", "struct(a bigint, b bigint)", "struct(b integer, a integer)",
     {"b": 2, "a": 1}),
    ("{'a': 1, 'b': NULL}", "struct(a bigint, b bigint)", "struct(a integer)", {"a": 1}),
    ("{'a': 1, 'b': 2}", "struct(a bigint, b bigint)", "struct(a integer)", NO),
    ("{'a': 1}", "struct(a bigint)", "struct(a bigint, b integer)", {"a": 1, "b": None}),
    ("{'a': NULL}", "struct(a bigint)", "struct(a integer)", {"a": None}),
    ("[1.5, NULL]", "double[]", "decimal(4,1)[]", [Decimal("1.5"), None]),
    ("['2020-01-01 10:00:00']", "timestamp[]", "date[]", NO),
    ("MAP {'1': 1.5}", "map(varchar, double)", "map(integer, decimal(4,1))", {1: Decimal("1.5")}),
    ("MAP {'1': 1.5}", "map(varchar, double)", "map(integer, integer)", NO),
    ("{'a': 1}", "struct(a bigint)", "map(varchar, integer)", {"a": 1}),
    ("[1]", "bigint[]", "struct(a integer)", NO),
]  # fmt: skip


@pytest.mark.parametrize(("value", "given", "wanted", "expected"), TYPED)
def test_a_nested_value_as_another_nested_type(value, given, wanted, expected):
    have, want = parse_type(given), parse_type(wanted)
    value = f"SELECT CAST({value} AS {have.sql}) AS r"
    query = f"SELECT r, {cast('r', have, want)} AS v FROM ({value})"
    row = session().execute(f"SELECT v, {is_lossy('v', 'r', have, want)} FROM ({query})")
    found, is_lost = row.fetchone()
    assert (NO if is_lost else found) == expected


def test_a_missing_nested_value_is_missing_whatever_its_type():
    for given in ("struct(a bigint)", "bigint[]", "map(varchar, bigint)"):
        wanted = given.replace("bigint", "integer")
        assert cast_one(None, given, wanted) is None
