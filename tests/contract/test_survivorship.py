"""Survivorship: which value stays where several rows with the same key become one."""

from __future__ import annotations

from collections import Counter

import duckdb
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from headwater.contract.contract import Column, Contract, Survivor
from headwater.contract.survivorship import combined

KINDS = ["latest", "latest by t", "not null", "most frequent", "{from: [b, a], by: s}", ""]
SPELLED = {"{from: [b, a], by: s}": {"from": ["b", "a"], "by": "s"}, "": None}
DUPLICATES = ["keep first", "keep last", "latest by t"]


def contract_of(kind: str, duplicates: str) -> Contract:
    return Contract.model_validate(
        {
            "key": "k",
            "on_duplicate": duplicates,
            "columns": {
                "k": "integer",
                "v": {"type": "varchar", "survivorship": SPELLED.get(kind, kind)},
                "t": "integer",
                "s": "varchar",
            },
        }
    )


def slow(rows, kind: str, duplicates: str):
    """The rows that stay, told row by row. `rows`: (k, v, t, s), in order."""
    numbered = list(enumerate(rows))

    def newest_first(column):
        """Rows by a column, greatest first and NULL last, then the last first."""
        return lambda row: (row[1][column] is None, -(row[1][column] or 0), -row[0])

    preference = {
        "keep first": lambda row: row[0],
        "keep last": lambda row: -row[0],
        "latest by t": newest_first(2),
    }[duplicates]
    groups: dict[object, list[tuple[int, tuple]]] = {}
    for number, row in numbered:
        groups.setdefault(row[0], []).append((number, row))
    found = []
    for group in groups.values():
        group.sort(key=preference)
        kept = group[0][1]
        there = [row for _, row in group if row[1] is not None]
        value = kept[1]
        if kind == "latest":
            order = newest_first(2) if duplicates == "latest by t" else lambda row: -row[0]
            value = min(group, key=order)[1][1]
        elif kind == "latest by t":
            # Among equal ones the one that is preferred.
            value = min(group, key=lambda row: (row[1][2] is None, -(row[1][2] or 0)))[1][1]
        elif kind == "not null":
            value = there[0][1] if there else None
        elif kind == "most frequent" and there:
            counts = Counter(row[1] for row in there)
            value = max(there, key=lambda row: counts[row[1]])[1]
        elif kind.startswith("{") and there:
            trusted = ["b", "a"]
            value = min(there, key=lambda r: trusted.index(r[3]) if r[3] in trusted else 2)[1]
        elif kind not in ("", "latest"):
            value = None
        found.append((kept[0], value, *kept[2:]))
    return sorted(found, key=str)


ROWS = st.lists(
    st.tuples(
        st.integers(1, 2),
        st.sampled_from([None, "x", "y", "z"]),
        st.one_of(st.none(), st.integers(0, 2)),
        st.sampled_from([None, "a", "b", "c"]),
    ),
    max_size=7,
)
MIXED = [(1, "x", 1, "a"), (1, None, 2, "b"), (1, "y", 0, "c"), (1, "y", None, None)]


@pytest.mark.parametrize("duplicates", DUPLICATES)
@pytest.mark.parametrize("kind", KINDS)
@given(rows=ROWS)
@example(rows=MIXED)
def test_what_survives_is_what_a_look_at_the_rows_of_each_key_says(kind, duplicates, rows):
    with duckdb.connect() as con:
        con.execute("CREATE TABLE given (k INTEGER, v VARCHAR, t INTEGER, s VARCHAR)")
        for row in rows:
            con.execute("INSERT INTO given VALUES (?, ?, ?, ?)", row)
        contract = contract_of(kind, duplicates)
        query = combined(contract, ["k", "v", "t", "s"], "(SELECT *, rowid AS n FROM given)", "n")
        assert sorted(con.execute(query).fetchall(), key=str) == slow(rows, kind, duplicates)


def test_each_kind_is_written_as_people_write_it():
    for text, kind, by in (
        ("Most  Frequent", Survivor.MOST_FREQUENT, ""),
        ("latest by  seen at", Survivor.LATEST, "seen at"),
        ("not null", Survivor.NOT_NULL, ""),
    ):
        rule = Column.model_validate({"survivorship": text}).survivorship
        assert rule
        assert (rule.kind, rule.by) == (kind, by)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("oldest", "`survivorship` is one of latest, not null, most frequent, latest by COLUMN"),
        ({"from": ["a"]}, "Field required"),
        ({"from": ["a"], "by": "s", "x": 1}, "x"),
    ],
)
def test_what_is_none_of_them_is_a_mistake(spec, message):
    with pytest.raises(ValidationError) as error:
        Column.model_validate({"survivorship": spec})
    assert message in str(error.value)


# ---- in a project ----------------------------------------------------------------------------

UNION = """\
/*
key: id
on_duplicate: latest by seen
columns:
  id: {description: "The person."}
  mail: {survivorship: not null, unique: true}
  name: {survivorship: most frequent}
  town: {survivorship: {from: [crm, shop], by: system}}
*/
SELECT * FROM s.t
"""
SOURCE = """\
connector: files
datasets:
  t:
    path: "data/{system}.csv"
    MORE
    columns:
      id: integer
      seen: date
      mail: varchar
      name: varchar
      town: varchar
      system: varchar
"""
CRM = "id,seen,mail,name,town\n1,2026-01-01,a@x,Ann,Oslo\n2,2026-01-01,b@x,Bo,Bonn\n"
SHOP = "id,seen,mail,name,town\n1,2026-01-03,,Anne,Rome\n1,2026-01-02,z@x,Ann,\n"
FOUND = [(1, "z@x", "Ann", "Oslo", "shop"), (2, "b@x", "Bo", "Bonn", "crm")]
SURVIVING = (
    SOURCE.replace("MORE", "write: replace\n    key: id\n    on_duplicate: latest by seen")
    .replace("mail: varchar", "mail: {type: varchar, survivorship: not null}")
    .replace("name: varchar", "name: {type: varchar, survivorship: most frequent}")
    .replace(
        "town: varchar",
        "town: {type: varchar, survivorship: {from: [crm, shop], by: system}}",
    )
)


def test_a_model_combines_the_rows_of_a_key(project):
    made = project(
        {
            "sources/s.yaml": SOURCE.replace("    MORE\n", ""),
            "data/crm.csv": CRM,
            "data/shop.csv": SHOP,
            "models/m/people.sql": UNION,
        },
        source=None,
    )
    report = made.run()
    (step,) = [step for step in report.steps if str(step.dataset) == "m.people"]
    assert (step.ledger.received, step.ledger.landed, step.ledger.deduplicated) == (4, 2, 2)
    found = made.ask("SELECT id, mail, name, town, system FROM m.people ORDER BY id")
    assert found == FOUND
    assert made.balances()
    made.write({"data/more.csv": "id,seen,mail,name,town\n3,2026-01-01,z@x,Cy,\n"})
    code, _, err = made.cli("run")
    assert code == 1
    assert "mail.unique" in err, "unique is about what survives"


def test_a_source_that_is_replaced_combines_them_too_and_a_mended_file_is_followed(project):
    made = project(
        {"sources/s.yaml": SURVIVING, "data/crm.csv": CRM, "data/shop.csv": SHOP}, source=None
    )
    made.run()
    asked = "SELECT id, mail, name, town, system FROM s.t ORDER BY id"
    assert made.ask(asked) == FOUND
    assert made.ask("SELECT received, landed, deduplicated FROM headwater.ledger") == [(4, 2, 2)]
    made.write({"data/shop.csv": SHOP + "1,2026-01-02,q@x,Ann,Rome\n"})
    made.run()
    assert made.ask(asked) == [(1, "q@x", "Ann", "Oslo", "shop"), FOUND[1]]
    assert made.balances()
    (told,) = [
        line
        for line in made.cli("show", "s.t", "--contract")[1].splitlines()
        if "the most frequent one" in line
    ]
    assert "of several rows with the same key" in told


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            SURVIVING.replace("write: replace", "write: upsert"),
            "cannot be had with `write: upsert`",
        ),
        (SURVIVING.replace("by: system", "by: sytem"), "survivorship goes by 'sytem'"),
        (SURVIVING.replace("    key: id\n    on_duplicate: latest by seen\n", ""), "same key"),
        (SURVIVING.replace("id: integer", "id: {survivorship: latest}"), "have the same value"),
    ],
)
def test_survivorship_that_cannot_be_is_a_mistake(project, source, message):
    made = project({"sources/s.yaml": source, "data/crm.csv": CRM}, source=None)
    code, _, err = made.cli("check")
    assert code == 2
    assert message in err
