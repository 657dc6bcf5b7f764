"""Parquet: typed columns as they are; the contract holds them to its own types."""

from __future__ import annotations

import io
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.reading import Landed, read

NOON = datetime(2020, 1, 1, 12)
NOON_NS = 1_577_880_000 * 10**9


def parquet(**columns: pa.Array) -> bytes:
    target = io.BytesIO()
    pq.write_table(pa.table(columns), target)
    return target.getvalue()


def read_parquet(folder: Path, content: bytes, columns: dict[str, str] | None) -> Landed:
    return read(folder, {"a.parquet": content}, columns)


def test_columns_land_with_the_types_they_have(tmp_path):
    content = parquet(
        i=pa.array([1, None]),
        d=pa.array([Decimal("1.25"), None], pa.decimal128(10, 2)),
        t=pa.array([datetime(2020, 1, 2, 3, 4, 5), None], pa.timestamp("ns")),
        s=pa.array([{"a": [1]}, None]),
        e=pa.array(["x", None]).dictionary_encode(),
    )
    landed = read_parquet(tmp_path, content, None)
    assert landed.rows == [
        {
            "i": 1,
            "d": Decimal("1.25"),
            "t": datetime(2020, 1, 2, 3, 4, 5),
            "s": {"a": [1]},
            "e": "x",
            "_file_id": 1,
            "_record": 1,
        },
        dict.fromkeys(["i", "d", "t", "s", "e"]) | {"_file_id": 1, "_record": 2},
    ]


def test_a_row_that_breaks_the_contract_keeps_its_values_as_json(tmp_path):
    content = parquet(a=pa.array([1, 300, None]), b=pa.array(["x", "y", "z"]))
    landed = read_parquet(tmp_path, content, {"a": "{type: tinyint, required: true}"})
    assert landed.column("a") == [1]
    assert [(q.record, q.line, q.reasons, q.content) for q in landed.quarantined] == [
        (2, None, ("a.type",), '{"a":300,"b":"y"}'),
        (3, None, ("a.required",), '{"a":null,"b":"z"}'),
    ]
    assert landed.is_balanced


@pytest.mark.parametrize(
    ("values", "wanted", "kept"),
    [
        (pa.array([1.0, 1.5]), "integer", [1]),
        (pa.array([1, 3_000_000_000]), "integer", [1]),
        pytest.param(
            pa.array([Decimal("1.230"), Decimal("1.239")]),
            "decimal(10,2)",
            [Decimal("1.23")],
        ),
        pytest.param(
            pa.array([datetime(2020, 1, 1), datetime(2020, 1, 1, 10)]),
            "date",
            [date(2020, 1, 1)],
        ),
        (pa.array(["7", "7.5"]), "bigint", [7]),
        (pa.array([[1.0], [1.5]]), "integer[]", [[1]]),
        (pa.array([0.5, 1e300]), "float", [0.5]),
        (pa.array([NOON_NS, NOON_NS + 1], pa.timestamp("ns")), "timestamp", [NOON]),
    ],
    ids=["double", "bigint", "decimal", "timestamp", "text", "list", "float", "nanoseconds"],
)
def test_a_value_that_is_not_exactly_one_of_the_type_is_quarantined(tmp_path, values, wanted, kept):
    landed = read_parquet(tmp_path, parquet(a=values), {"a": wanted})
    assert landed.column("a") == kept
    assert [(q.record, q.reasons) for q in landed.quarantined] == [(2, ("a.type",))]


def test_a_damaged_file_is_refused(tmp_path):
    whole = parquet(a=pa.array(list(range(1000))))
    for name, content in {"cut": whole[:-20], "text": b"a,b\n1,2\n"}.items():
        (refused,) = read_parquet(tmp_path / name, content, None).refused.values()
        assert refused.message == "the file is not Parquet, or is damaged"
        assert "copy the file again" in refused.hint


def test_a_file_without_rows_lands_none(tmp_path):
    landed = read_parquet(tmp_path, parquet(a=pa.array([], pa.int32())), {"a": "integer"})
    assert (landed.received, landed.rows) == (0, [])
