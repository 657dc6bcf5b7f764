"""Rules across rows: the SQL they compile to, and what they find on rows in a real DuckDB."""

from __future__ import annotations

import os
from pathlib import Path

import duckdb
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from headwater.contract.across import AcrossRule, across_rules, broken_by, set_aside
from headwater.contract.compile import Fate
from headwater.contract.contract import Contract, Remedy
from headwater.engine.judge import look_across

FIXTURES = Path(__file__).parent / "fixtures" / "across"
UPDATE = bool(os.environ.get("HEADWATER_UPDATE_FIXTURES"))


def rules_of(case: str) -> tuple[AcrossRule, ...]:
    text = yaml.safe_load((FIXTURES / f"{case}.yaml").read_text())
    remedy = Remedy(text.pop("room", "quarantine"))
    return across_rules(Contract.model_validate(text), otherwise=remedy)


def shown(rules: tuple[AcrossRule, ...]) -> str:
    found = [
        f"-- {rule.code}: {rule.fate.name.lower()}: {rule.must}\n"
        f"{broken_by(rule, 'rows', 'existing', '_id', 'codes')};"
        for rule in rules
    ]
    return "\n".join([*found, "-- what does not land", f"{set_aside('codes')};", ""])


@pytest.mark.parametrize("case", ["shop", "room_of_models"])
def test_rules_across_rows_compile_to_the_sql_beside_them(case):
    path = FIXTURES / f"{case}.sql"
    if UPDATE:
        path.write_text(shown(rules_of(case)))
    assert shown(rules_of(case)) == path.read_text()


# ---- on rows ---------------------------------------------------------------------------------


REMEDIES = st.sampled_from(["quarantine", "drop", "warn"])
VALUES = st.one_of(st.none(), st.integers(0, 3))
ROWS = st.lists(st.tuples(VALUES, VALUES, VALUES), max_size=8)


def slow(rows, parents, existing, remedies) -> dict[int, tuple[list[str], str]]:
    """What becomes of the rows that break something, told row by row: code by code, and of those
    that are left only."""
    found: dict[int, list[tuple[str, str]]] = {}
    for place, (_, _, refers) in enumerate(rows):
        if refers is not None and refers not in parents:
            found.setdefault(place, []).append(("p.references", remedies["p"]))
    for code, column, remedy in (
        ("key.duplicate", 0, "quarantine"),
        ("u.unique", 1, remedies["u"]),
    ):
        gone = {n for n, broken in found.items() if any(r != "warn" for _, r in broken)}
        seen = {row[column] for row in existing} - {None}
        for place, row in enumerate(rows):
            if place in gone or row[column] is None:
                continue
            if row[column] in seen:
                found.setdefault(place, []).append((code, remedy))
            seen.add(row[column])
    fates = {}
    for place, broken in found.items():
        kept = [(code, remedy) for code, remedy in broken if remedy != "warn"]
        if kept:
            words = {remedy for _, remedy in kept}
            fate = "quarantined" if "quarantine" in words else "dropped"
            fates[place] = ([code for code, _ in kept], fate)
    return fates


@given(
    rows=ROWS,
    existing=ROWS,
    parents=st.sets(st.integers(0, 3)),
    remedies=st.fixed_dictionaries({"p": REMEDIES, "u": REMEDIES}),
)
def test_what_they_find_is_what_a_look_at_one_row_after_the_other_finds(
    rows, existing, parents, remedies
):
    contract = Contract.model_validate(
        {
            "key": "k",
            "columns": {
                "k": "integer",
                "u": {"type": "integer", "unique": {"otherwise": remedies["u"]}},
                "p": {
                    "type": "integer",
                    "references": {"to": "s.parents.id", "otherwise": remedies["p"]},
                },
            },
        }
    )
    rules = across_rules(contract, otherwise=Remedy.QUARANTINE)
    with duckdb.connect() as con:
        con.execute("CREATE SCHEMA s; CREATE TABLE s.parents (id INTEGER)")
        con.execute("INSERT INTO s.parents VALUES (NULL)")
        for number in parents:
            con.execute("INSERT INTO s.parents VALUES (?)", [number])
        for name, content in (("given", rows), ("there", existing)):
            con.execute(f"CREATE TABLE {name} (k INTEGER, u INTEGER, p INTEGER)")
            for row in content:
                con.execute(f"INSERT INTO {name} VALUES (?, ?, ?)", row)
        aside = look_across(con, rules, "given", "there", "rowid", ("codes", "aside"))
        wanted = slow(rows, parents, existing, remedies)
        found = {}
        if aside:
            found = {
                place: (reasons, Fate(fate).name.lower())
                for place, reasons, fate in con.execute("SELECT * FROM aside").fetchall()
            }
            assert aside.count == len(found)
    assert found == wanted


def test_of_a_key_the_latest_stays_and_a_unique_column_is_compared_among_those_that_stay():
    with duckdb.connect() as con:
        con.execute(
            "CREATE TABLE given AS SELECT * FROM (VALUES (1, TIMESTAMP '2026-01-01', 'a'), "
            "(1, TIMESTAMP '2026-01-02', 'b'), (2, TIMESTAMP '2026-01-01', 'a')) t(id, seen, mail)"
        )
        rules = rules_of("room_of_models")
        aside = look_across(con, rules, "given", None, "rowid", ("codes", "aside"))
        assert aside
        assert con.execute("SELECT * FROM aside").fetchall() == [(0, ["key.duplicate"], 4)]
        assert dict(aside.fates) == {Fate.DEDUPLICATED: 1}
