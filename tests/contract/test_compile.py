"""Before and after: contracts as they are written, and the SQL that they compile to.

`HEADWATER_UPDATE_FIXTURES=1 pytest tests/contract/test_compile.py` writes the SQL anew; then
read the difference.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml

from headwater.contract.compile import Compiled, compile_contract
from headwater.contract.contract import Contract, Remedy
from headwater.contract.rules import RULES
from headwater.contract.types import parse_type
from tests.contract.judging import session

FIXTURES = Path(__file__).parent / "fixtures"
CASES = sorted(path.stem for path in FIXTURES.glob("*.yaml"))
UPDATE = bool(os.environ.get("HEADWATER_UPDATE_FIXTURES"))


def compiled(case: str) -> tuple[Compiled, dict[str, str]]:
    text = yaml.safe_load((FIXTURES / f"{case}.yaml").read_text())
    fields = text.pop("input")
    remedy = Remedy(text.pop("room", "quarantine"))
    types = {name: parse_type(kind) for name, kind in fields.items()}
    return compile_contract(Contract.model_validate(text), types, otherwise=remedy), fields


def shown(found: Compiled) -> str:
    checks = [f"-- {c.code}: {c.remedy.value}: {c.meaning}" for c in found.checks]
    repairs = [f"-- {c.code}: {c.remedy.value} (mends): {c.meaning}" for c in found.repairs]
    others = [f"-- missing: {', '.join(found.missing)}"] if found.missing else []
    others += [f"-- unexpected: {', '.join(found.unexpected)}"] if found.unexpected else []
    head = [*checks, *repairs, *others]
    return "\n".join([*head, "", found.judge + ";", "", found.reasons + ";", ""])


@pytest.mark.parametrize("case", CASES)
def test_a_contract_compiles_to_the_sql_beside_it(case):
    found, _ = compiled(case)
    path = FIXTURES / f"{case}.sql"
    if UPDATE:
        path.write_text(shown(found))
    assert shown(found) == path.read_text()


@pytest.mark.parametrize("case", CASES)
def test_the_compiled_sql_is_sql_that_duckdb_takes(case):
    found, fields = compiled(case)
    nulls = ", ".join(f'CAST(NULL AS {kind}) AS "{name}"' for name, kind in fields.items())
    con = session()
    con.execute(found.judge.replace("{input}", f"(SELECT {nulls})"))
    assert [column[0] for column in con.description][: len(found.columns)] == [
        name for name, _ in found.columns
    ]
    carried = "".join(f'NULL AS "{there}", ' for there in found.carried.values())
    con.execute(found.reasons_over(f"(SELECT 1 AS _id, 0 AS _fate, {carried}{nulls})"))


def test_each_kind_of_rule_and_each_remedy_has_a_fixture():
    codes = {
        check.code.rpartition(".")[2]
        for case in CASES
        for found in [compiled(case)[0]]
        for check in (*found.checks, *found.repairs)
    }
    assert set(RULES) <= codes
    assert {"rule_row_rule", "rule_key", "rule_default", "rule_format"} <= set(CASES)
    remedies = {case.removeprefix("remedy_") for case in CASES}
    assert {remedy.value for remedy in Remedy} | {"value", "expression"} <= remedies


def test_a_contract_that_only_fills_gaps_is_not_trivial():
    for spec in ({"default": "x"}, {"fill": {"value": "x"}}, {"trim": True}):
        columns = {"a": {"type": "varchar", **spec}}
        found = compile_contract(
            Contract.model_validate({"columns": columns}),
            {"a": parse_type("varchar")},
            otherwise=Remedy.FAIL,
        )
        assert not found.is_trivial


def test_a_contract_without_rules_over_text_is_trivial():
    found = compile_contract(
        Contract.model_validate({"columns": {"a": "varchar"}}),
        {"a": parse_type("varchar")},
        otherwise=Remedy.QUARANTINE,
    )
    assert found.is_trivial
