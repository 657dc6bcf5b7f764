"""`references` and `unique` on sources: rules across rows, rows that wait, and what becomes of
them."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st

import headwater as hw
from tests.ingest import slow

SHOP = """\
connector: files
datasets:
  customers:
    path: data/customers*.csv
    key: id
    columns:
      id: {type: integer}
      name: varchar
  orders:
    path: data/orders*.csv
    columns:
      id: {type: integer, required: true}
      customer: {from: customer_id, type: integer, references: REFERENCE}
      day: {type: date, format: "%d.%m.%Y"}
"""
CUSTOMERS = "id,name\n1,Ann\n2,Bob\n"
ORDERS = "id,customer_id,day\n10,1,01.02.2026\n11,3,02.02.2026\n12,,03.02.2026\n13,4,04.02.2026\n"


def shop(reference: str = "shop.customers.id") -> str:
    return SHOP.replace("REFERENCE", reference)


@pytest.fixture
def made(project):
    made = project(
        {
            "sources/shop.yaml": shop(),
            "data/customers.csv": CUSTOMERS,
            "data/orders.csv": ORDERS,
            "models/m/days.sql": "SELECT count(*) AS n, max(day) AS newest FROM shop.orders",
        },
        source=None,
    )
    made.first = made.run()
    return made


def orders(made):
    return [row[0] for row in made.ask("SELECT id FROM shop.orders ORDER BY id")]


def waiting(made):
    return made.ask(
        "SELECT record, line, reasons, content FROM headwater.quarantine WHERE id NOT IN "
        "(SELECT id FROM headwater.quarantine_outcomes) ORDER BY record"
    )


def snapshots(made):
    return made.ask("SELECT max(snapshot_id) FROM headwater.builds")[0][0]


def test_a_row_whose_parent_is_missing_waits_in_quarantine(made):
    assert orders(made) == [10, 12], "what refers to nothing lands"
    assert waiting(made) == [
        (2, 3, ["customer.references"], "11,3,02.02.2026"),
        (4, 5, ["customer.references"], "13,4,04.02.2026"),
    ]
    assert made.balances()


def test_it_lands_by_itself_once_the_parent_is_there_and_what_reads_it_follows(made):
    made.write({"data/customers2.csv": "id,name\n3,Cho\n"})
    report = made.run()
    (step,) = [s for s in report.steps if str(s.dataset) == "shop.orders"]
    assert step.notes == ["2 rows waited for what they refer to; 1 of them came through"]
    assert (step.ledger.received, step.ledger.landed, step.ledger.quarantined) == (2, 1, 1)
    assert orders(made) == [10, 11, 12]
    assert made.ask("SELECT _record, day FROM shop.orders WHERE id = 11")[0][0] == 2
    assert [row[0] for row in waiting(made)] == [4]
    assert made.ask("SELECT n FROM m.days") == [(3,)]
    assert made.balances()


def test_rows_are_tried_again_only_where_the_parent_has_moved(made):
    before = snapshots(made)
    report = made.run()
    assert [s.status for s in report.steps] == ["nothing"] * 3
    made.write({"data/customers2.csv": "id,name\n7,Eve\n"})
    made.run()
    assert orders(made) == [10, 12]
    tried = made.ask("SELECT count(*) FROM headwater.steps WHERE action = 'replay'")
    assert tried == [(1,)]
    made.run()
    assert made.ask("SELECT count(*) FROM headwater.steps WHERE action = 'replay'") == tried
    assert snapshots(made) >= before


def test_the_plan_says_that_rows_wait_for_something_that_changes(made):
    def planned():
        return [(str(s.dataset), s.reason) for s in hw.open_project(made.folder).plan().doing]

    assert planned() == []
    made.write({"data/customers2.csv": "id,name\n3,Cho\n"})
    waits = ("shop.orders", "2 rows waiting for shop.customers, which has changed")
    days = ("m.days", "shop.orders changes")
    assert planned() == [("shop.customers", "1 new file"), waits, days]
    made.run(select=["shop.customers"])
    assert planned() == [waits, days]
    made.run()
    assert planned() == []


def test_new_rows_and_waiting_ones_come_through_in_one_run(made):
    made.write(
        {
            "data/customers2.csv": "id,name\n3,Cho\n4,Dan\n",
            "data/orders2.csv": "id,customer_id,day\n20,4,05.02.2026\n21,9,05.02.2026\n",
        }
    )
    report = made.run()
    (step,) = [s for s in report.steps if str(s.dataset) == "shop.orders"]
    assert (step.ledger.received, step.ledger.landed, step.ledger.quarantined) == (4, 3, 1)
    assert orders(made) == [10, 11, 12, 13, 20]
    assert made.balances()


def test_a_replay_of_other_rows_leaves_the_waiting_ones_to_the_next_run(made):
    made.write({"data/orders2.csv": "id,customer_id,day\nx,1,05.02.2026\n"})
    made.run()
    made.write({"data/customers2.csv": "id,name\n3,Cho\n"})
    made.run(select=["shop.customers"])
    code, _, err = made.cli(
        "quarantine", "fix", "shop.orders", "--reason", "id.type", "--set", "id='30'"
    )
    assert code == 0, err
    assert orders(made) == [10, 12, 30]
    made.run()
    assert orders(made) == [10, 11, 12, 30]
    assert made.balances()


def test_a_row_that_waits_can_be_fixed(made):
    code, _, err = made.cli(
        "quarantine", "fix", "shop.orders", "--reason", "customer.references", "--set", "customer=2"
    )
    assert code == 0, err
    assert orders(made) == [10, 11, 12, 13]


@pytest.mark.parametrize(
    ("otherwise", "landed", "dropped", "warned"),
    [("warn", [10, 11, 12, 13], 0, 2), ("drop", [10, 12], 2, 0)],
)
def test_the_other_remedies(project, otherwise, landed, dropped, warned):
    reference = f"{{to: shop.customers.id, otherwise: {otherwise}}}"
    made = project(
        {
            "sources/shop.yaml": shop(reference),
            "data/customers.csv": CUSTOMERS,
            "data/orders.csv": ORDERS,
        },
        source=None,
    )
    report = made.run()
    (step,) = [s for s in report.steps if str(s.dataset) == "shop.orders"]
    assert orders(made) == landed
    assert step.ledger.dropped == dropped
    assert step.warnings == ({"customer.references": warned} if warned else {})
    assert not waiting(made)
    assert made.balances()


def test_fail_fails_the_step(project):
    made = project(
        {
            "sources/shop.yaml": shop("{to: shop.customers.id, otherwise: fail}"),
            "data/customers.csv": CUSTOMERS,
            "data/orders.csv": ORDERS,
        },
        source=None,
    )
    code, _, err = made.cli("run")
    assert code == 1
    assert "2 rows break customer.references (must be there as shop.customers.id)" in err
    assert made.ask("SELECT count(*) FROM headwater.ledger WHERE dataset = 'shop.orders'") == [(0,)]


def test_a_parent_that_fails_blocks_what_refers_to_it(made):
    made.write(
        {"sources/shop.yaml": shop().replace("name: varchar", "name: integer, otherwise: x")}
    )
    text = shop().replace("name: varchar", "name: {type: varchar, length: 1, otherwise: fail}")
    made.write({"sources/shop.yaml": text, "data/orders2.csv": "id,customer_id,day\n30,1,\n"})
    report = made.run()
    states = {str(s.dataset): s.status for s in report.steps}
    assert states["shop.customers"] == "failed"
    assert states["shop.orders"] == "blocked"
    assert orders(made) == [10, 12]


def test_what_was_never_landed_cannot_be_referred_to(project):
    made = project(
        {
            "sources/shop.yaml": shop(),
            "data/customers.csv": CUSTOMERS,
            "data/orders.csv": ORDERS,
        },
        source=None,
    )
    code, _, err = made.cli("run", "--select", "shop.orders")
    assert code == 1
    assert "shop.orders refers to shop.customers, which is not there yet" in err
    assert "headwater run --select +shop.orders" in err


@pytest.mark.parametrize("store", ["table", "none"])
def test_a_source_can_refer_to_a_model(project, store):
    made = project(
        {
            "sources/shop.yaml": shop("m.known.id"),
            "data/customers.csv": CUSTOMERS,
            "data/orders.csv": ORDERS,
            "models/m/known.sql": f"/*\nstore: {store}\n*/\nSELECT id FROM shop.customers\n",
        },
        source=None,
    )
    made.run()
    assert orders(made) == [10, 12]
    made.write({"data/customers2.csv": "id,name\n3,Cho\n"})
    made.run()
    assert orders(made) == [10, 11, 12]


def test_an_upsert_lets_a_row_through_with_its_parent_in_its_order(project):
    source = shop().replace(
        "  orders:\n",
        "  orders:\n    key: id\n    write: upsert\n    on_duplicate: latest by day\n",
    )
    made = project(
        {
            "sources/shop.yaml": source,
            "data/customers.csv": CUSTOMERS,
            "data/orders1.csv": "id,customer_id,day\n1,3,02.02.2026\n2,3,02.02.2026\n",
        },
        source=None,
    )
    made.run()
    made.write({"data/orders2.csv": "id,customer_id,day\n1,1,05.02.2026\n2,1,01.02.2026\n"})
    made.run()
    made.write({"data/customers3.csv": "id,name\n3,Cho\n"})
    made.run()
    found = made.ask("SELECT id, customer FROM shop.orders ORDER BY id")
    assert found == [(1, 1), (2, 3)], "a newer row stays; an older one gives way"
    assert not waiting(made)
    assert made.balances()


# ---- mistakes --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reference", "message", "hint"),
    [
        ("shop.customer.id", "no dataset 'shop.customer'", "shop.customers"),
        ("shop.customers.idd", "shop.customers has no column 'idd'", "did you mean 'id'?"),
        ("shop.customers.name", "'customer' is integer, and shop.customers.name varchar", "same"),
        ("shop.customers", "schema.name.column", "references: crm.customers.id"),
        ("shop.orders.id", "a cycle: shop.orders -> shop.orders", "checks/*.sql"),
        ("{to: shop.customers.id, otherwise: 'null'}", "cannot mend a value", ""),
    ],
)
def test_a_reference_that_cannot_be_is_a_mistake_with_its_line(project, reference, message, hint):
    made = project({"sources/shop.yaml": shop(reference)}, source=None)
    code, _, err = made.cli("check")
    assert code == 2
    assert message in err
    assert hint in err
    assert "sources/shop.yaml:13:" in err


def test_a_cycle_of_references_between_sources_is_named(project):
    text = shop().replace("name: varchar", "last: {type: integer, references: shop.orders.id}")
    made = project({"sources/shop.yaml": text}, source=None)
    code, _, err = made.cli("check")
    assert code == 2
    assert "a cycle: shop.customers -> shop.orders -> shop.customers" in err
    assert "`references` needs the rows there before; look with a check instead: checks" in err


def test_a_history_by_landing_has_no_place_for_rows_that_wait(project):
    text = shop().replace("  orders:\n", "  orders:\n    key: id\n    write: history\n")
    made = project({"sources/shop.yaml": text}, source=None)
    code, _, err = made.cli("check")
    assert code == 2
    assert "has no place for rows that wait" in err


# ---- unique ----------------------------------------------------------------------------------

PEOPLE = """\
connector: files
datasets:
  people:
    path: data/*.csv
    MORE
    columns:
      id: {type: integer}
      mail: {type: varchar, trim: true, UNIQUE}
"""


def people(project, unique="unique: true", more="key: id", **files):
    text = PEOPLE.replace("UNIQUE", unique).replace("MORE", more)
    return project(
        {"sources/s.yaml": text, **{f"data/{n}.csv": t for n, t in files.items()}}, source=None
    )


A = "id,mail\n1,a@x\n2, a@x\n3,\n4,\n1,b@x\n5,b@x\n"


def test_a_repeated_value_is_set_aside_whatever_its_key_and_a_key_is_looked_at_first(project):
    made = people(project, a=A)
    made.run()
    assert made.ask("SELECT id, mail FROM s.people ORDER BY id") == [
        (1, "a@x"),
        (3, None),
        (4, None),
        (5, "b@x"),
    ]
    assert waiting(made) == [
        (2, 3, ["mail.unique"], "2, a@x"),
        (5, 6, ["key.duplicate"], "1,b@x"),
    ]
    assert made.balances()


def test_a_value_is_compared_with_what_landed_before_and_can_be_fixed(project):
    made = people(project, a="id,mail\n1,a@x\n", b="id,mail\n2,a@x\n")
    made.run()
    assert [row[2] for row in waiting(made)] == [["mail.unique"]]
    code, _, err = made.cli("quarantine", "replay", "s.people")
    assert code == 0, err
    assert len(waiting(made)) == 1
    made.cli("quarantine", "fix", "s.people", "--set", "mail='z@x'")
    assert made.ask("SELECT id, mail FROM s.people ORDER BY id") == [(1, "a@x"), (2, "z@x")]
    assert made.balances()


@pytest.mark.parametrize(
    ("otherwise", "landed", "word"),
    [("warn", 2, "mail.unique"), ("drop", 1, "1 dropped")],
)
def test_other_remedies_of_unique(project, otherwise, landed, word):
    made = people(project, f"unique: {{otherwise: {otherwise}}}", a="id,mail\n1,a\n2,a\n")
    code, _, err = made.cli("run")
    assert code == 0
    assert word in err
    assert made.ask("SELECT count(*) FROM s.people") == [(landed,)]
    assert made.balances()


def test_the_columns_own_remedy_holds_where_it_is_one_for_rows(project):
    made = people(project, "unique: true, otherwise: drop", a="id,mail\n1,a\n2,a\n")
    made.run()
    assert not waiting(made)
    made = people(project, "unique: true, length: {max: 3}, otherwise: 'null'", b="id,mail\n3,a\n")
    made.run()
    assert [row[2] for row in waiting(made)] == [["mail.unique"]] * 2


@pytest.mark.parametrize("write", ["upsert", "history"])
def test_unique_is_refused_where_rows_take_each_others_place(project, write):
    made = people(project, more=f"key: id\n    write: {write}")
    code, _, err = made.cli("check")
    assert code == 2
    assert "`unique` cannot be had where rows take each other's place" in err
    assert "sources/s.yaml:9:41" in err


# ---- models ----------------------------------------------------------------------------------

MODEL = """\
/*
columns:
  customer: {{{spec}}}
*/
SELECT a AS id, b AS customer FROM s.t
"""


def model(project, spec):
    return project(
        {
            "data/a.csv": "a,b\n1,x\n2,x\n3,y\n4,\n",
            "models/m/known.sql": "SELECT 'x' AS name",
            "models/m/o.sql": MODEL.format(spec=spec),
        }
    )


@pytest.mark.parametrize(
    ("spec", "code", "landed"),
    [
        ("unique: true", "customer.unique", None),
        ("references: m.known.name", "customer.references", None),
        ("unique: true, otherwise: warn", "customer.unique", [1, 2, 3, 4]),
        ("unique: {otherwise: drop}", "customer.unique", [1, 3, 4]),
        ("unique: {otherwise: quarantine}", "customer.unique", [1, 3, 4]),
        ("references: {to: m.known.name, otherwise: quarantine}", "customer.references", [1, 2, 4]),
        ("references: {to: m.known.name, otherwise: warn}", "customer.references", [1, 2, 3, 4]),
    ],
)
def test_a_model_is_held_to_them_too(project, spec, code, landed):
    made = model(project, spec)
    report = made.run()
    (step,) = [s for s in report.steps if str(s.dataset) == "m.o"]
    if landed is None:
        assert step.status == "failed"
        assert code in step.error.message
        assert made.ask(
            "SELECT status FROM headwater.checks WHERE dataset = 'm.o' AND check_name = ?".replace(
                "?", f"'{code}'"
            )
        ) == [("broken",)]
        return
    assert [row[0] for row in made.ask("SELECT id FROM m.o ORDER BY id")] == landed
    assert code in {**step.broken, **step.warnings}
    quarantined = made.ask("SELECT reasons FROM headwater.quarantine")
    assert quarantined == ([([code],)] if "quarantine" in spec else [])
    assert made.balances()


def test_a_model_that_refers_to_another_is_built_after_it_and_again_when_that_moves(project):
    made = model(project, "references: {to: m.known.name, otherwise: quarantine}")
    opened = hw.open_project(made.folder)
    names = [str(name) for name in opened.graph.order]
    assert names.index("m.known") < names.index("m.o")
    made.run()
    made.write({"models/m/known.sql": "SELECT 'x' AS name UNION ALL SELECT 'y'"})
    made.run()
    assert made.ask("SELECT count(*) FROM m.o") == [(4,)]


# ---- whatever the order ------------------------------------------------------------------------

WAITING = """\
connector: files
datasets:
  parents: {path: parents/*.csv, columns: {id: integer}}
  t:
    path: data/*.csv
    MORE
    columns:
      id: {type: integer, required: true}
      n: {type: integer, required: true}
      v: {type: integer, references: s.parents.id}
"""
EXAMPLES = int(os.environ.get("HEADWATER_EXAMPLES", "6"))
PARENT = st.integers(0, 3)
EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("parents"), st.lists(PARENT, min_size=1, max_size=2)),
        st.tuples(
            st.just("data"),
            st.lists(
                st.tuples(st.integers(1, 3), st.integers(1, 4), st.one_of(PARENT, st.none())),
                max_size=5,
            ),
        ),
        st.just(("run",)),
    ),
    min_size=2,
    max_size=8,
)
LATE_PARENT = [
    ("parents", [0]),
    ("data", [(1, 2, 3), (2, 1, 0), (3, 3, None)]),
    ("run",),
    ("data", [(1, 1, 0), (2, 4, 3), (3, 1, 2)]),
    ("run",),
    ("parents", [3]),
    ("run",),
    ("parents", [2]),
]
"""Rows that wait for different parents, and rows of the same keys that come meanwhile."""


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ("write: append", slow.append),
        ("write: upsert\n    key: id", slow.upsert),
        (
            "write: upsert\n    key: id\n    on_duplicate: latest by n",
            lambda files: slow.upsert(files, "n"),
        ),
        (
            "write: history\n    key: id\n    on_duplicate: latest by n",
            lambda files: slow.history(files, "n"),
        ),
    ],
    ids=["append", "upsert", "latest", "history"],
)
@settings(max_examples=max(2, EXAMPLES // 3), phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(events=EVENTS)
@example(events=LATE_PARENT)
def test_in_the_end_the_table_is_what_it_were_had_the_parents_come_first(
    tmp_path_factory, more, told, events
):
    folder = tmp_path_factory.mktemp("waiting")
    for path in ("data", "parents", "sources"):
        (folder / path).mkdir()
    (folder / "headwater.yaml").write_text("name: t\nthreads: 1\n")
    (folder / "sources" / "s.yaml").write_text(WAITING.replace("MORE", more))
    (folder / "parents" / "0.csv").write_text("id\n")
    (folder / "data" / "0.csv").write_text("id,n,v\n")
    project = hw.open_project(folder)
    project.run()
    parents: set[int] = set()
    files = []
    for number, (kind, *rest) in enumerate(events, start=1):
        if kind == "run":
            assert not project.run().failed
            continue
        (rows,) = rest
        if kind == "parents":
            parents |= set(rows)
            lines = ["id", *map(str, rows)]
        else:
            files.append((f"{number}.csv", rows))
            lines = ["id,n,v", *(f"{i},{n},{'' if v is None else v}" for i, n, v in rows)]
        _write(folder / kind / f"{number}.csv", lines)
    assert not project.run().failed
    through = [
        slow.File(
            name,
            tuple({"id": i, "n": n, "v": v} for i, n, v in rows if v is None or v in parents),
        )
        for name, rows in files
    ]
    wanted = told(through)
    if not isinstance(wanted, Counter):
        wanted = Counter(wanted.values() if isinstance(wanted, dict) else wanted)
    columns = "id, n, v, valid_from, valid_to" if "history" in more else "id, n, v"
    found = project.query(f"SELECT {columns} FROM s.t").rows()
    assert Counter(found) == wanted
    waiting = project.query(
        "SELECT count(*) FROM headwater.quarantine WHERE id NOT IN "
        "(SELECT id FROM headwater.quarantine_outcomes)"
    ).rows()
    lost = [v for _, rows in files for _, _, v in rows if v is not None and v not in parents]
    assert waiting == [(len(lost),)]
    unbalanced = project.query(
        "SELECT count(*) FROM headwater.ledger WHERE received <> landed + updated + unchanged + "
        "deduplicated + dropped + quarantined OR rows_after <> rows_before + landed - removed"
    ).rows()
    assert unbalanced == [(0,)]


def _write(path: Path, lines: list[str]) -> None:
    path.write_text("\n".join(lines) + "\n")
