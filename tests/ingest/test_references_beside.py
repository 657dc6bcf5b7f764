"""What a source's rows refer to may mean something else in another environment, while both share
the source's table: prod's rows are judged by prod's parents alone."""

from __future__ import annotations

import pytest

from headwater.errors import ReleaseRefused
from headwater.run import landing
from tests.opening import opened

CUSTOMERS = """\
connector: files
datasets:
  customers:
    path: data/customers.csv
    columns: {id: integer, country: varchar}
"""
ORDERS = """\
connector: files
datasets:
  orders:
    path: data/orders/*.csv
    columns:
      id: integer
      customer: {type: integer, references: m.clients.id}
"""
NEW_ORDERS = ORDERS.replace("id: integer\n", "id: {type: integer, min: 0}\n")
PROD = "SELECT id FROM crm.customers WHERE country = 'at'"
DEV = "SELECT id FROM crm.customers"
ROWS = {
    "data/customers.csv": "id,country\n1,at\n2,de\n",
    "data/orders/1.csv": "id,customer\n10,1\n11,2\n",
    "data/orders/2.csv": "id,customer\n20,2\n21,1\n",
}


def definitions(clients, orders=ORDERS):
    return {"models/m/clients.sql": clients, "sources/web.yaml": orders}


@pytest.fixture
def made(project):
    return project(
        {**ROWS, "sources/crm.yaml": CUSTOMERS, **definitions(PROD), "models/m/n.sql": COUNT},
        source=None,
    )


COUNT = "SELECT count(*) AS n FROM web.orders"


def run(made, environment="prod", **options):
    return opened(made, environment).run(**options)


def orders(made, environment="prod"):
    found = opened(made, environment).query("SELECT id FROM web.orders ORDER BY id").rows()
    return [row[0] for row in found]


def step(report, name="web.orders"):
    return next(s for s in report.steps if str(s.dataset) == name)


def planned(made, environment="prod"):
    steps = opened(made, environment).plan().steps
    return next(s.reason for s in steps if str(s.dataset) == "web.orders")


def test_prod_judges_again_what_dev_has_landed_beside_another_parent(made):
    made.write(definitions(DEV))
    run(made, "dev")
    assert orders(made, "dev") == [10, 11, 20, 21]
    made.write(definitions(PROD))
    why = "m.clients has another definition than when its rows were judged: 2 relanded files"
    assert planned(made) == why
    report = run(made)
    assert step(report).reason == "2 relanded files"
    assert step(report).notes == [
        "all rows are judged again: m.clients has another definition than when they were"
    ]
    assert orders(made) == [10, 21]
    assert orders(made, "dev") == [10, 11, 20, 21], "dev's release stays what it is"
    assert made.ask("FROM m.n") == [(2,)]
    assert made.balances()
    assert run(made).status == "nothing"


def test_what_prod_has_is_not_judged_by_others(made):
    run(made)
    assert orders(made) == [10, 21]
    made.write({**definitions(DEV), "data/orders/3.csv": "id,customer\n30,2\n"})
    report = run(made, "dev")
    assert step(report).status == "nothing"
    assert orders(made, "dev") == [10, 21]
    for options in ({"land": True}, {"reland": ["web.orders"]}):
        error = step(run(made, "dev", **options)).error
        assert (
            error.message == "prod has web.orders too, and judges it by another m.clients than dev"
        )
        assert error.hint == "land and replay it in prod, or promote dev first"
        assert error.where == "sources/web.yaml:3"
    code, _, err = made.cli("quarantine", "replay", "web.orders", "--env", "dev")
    assert code == 1
    assert "judges it by another m.clients than dev" in err
    made.write(definitions(PROD))
    assert step(run(made, "dev", land=True)).status == "done", "they mean the same now"
    run(made)
    assert orders(made) == [10, 21]
    made.write(definitions(DEV))
    run(made, "dev")
    opened(made, "prod").promote("dev")
    assert orders(made) == [10, 21], "what waits is tried by the next run"
    run(made)
    assert orders(made) == [10, 11, 20, 21, 30]


def test_a_change_of_both_is_dev_s_own_until_it_is_promoted(made):
    run(made)
    made.write(definitions(DEV, NEW_ORDERS))
    assert step(run(made, "dev")).status == "done"
    assert orders(made, "dev") == [10, 11, 20, 21]
    narrower = definitions("SELECT id FROM crm.customers WHERE country = 'de'", NEW_ORDERS)
    made.write(narrower)
    report = run(made, "dev")
    assert step(report).reason == "2 relanded files"
    assert orders(made, "dev") == [11, 20]
    assert run(made, "dev").status == "nothing"
    assert step(opened(made, "prod").promote("dev")).status == "nothing"
    assert orders(made) == [11, 20]
    assert run(made).status == "nothing"


def test_a_promotion_takes_no_rows_over_that_were_judged_by_another_parent(made):
    made.write(
        {
            "headwater.yaml": "name: shop\nvariables:\n  country: at\n"
            "environments:\n  dev: {variables: {country: de}}\n",
            **definitions("SELECT id FROM crm.customers WHERE country = $country"),
        }
    )
    run(made, "dev")
    assert orders(made, "dev") == [11, 20]
    with pytest.raises(ReleaseRefused, match=r"beside another m\.clients than prod is") as refused:
        opened(made, "prod").promote("dev")
    assert refused.value.hint == "land it in prod, which judges its rows again: headwater run"
    run(made)
    assert orders(made) == [10, 21]
    assert opened(made, "prod").promote("dev").exit_code == 0
    assert orders(made) == [10, 21]


def test_without_the_files_they_cannot_be_judged_again(made):
    made.write(definitions(DEV))
    run(made, "dev")
    made.write(definitions(PROD))
    (made.folder / "data/orders/1.csv").unlink()
    error = step(run(made)).error
    assert "cannot be judged again without 1 file: data/orders/1.csv" in error.message
    assert error.where == "sources/web.yaml:3"
    assert "web.orders" not in {str(name) for name in run(made).moves}
    made.write(ROWS)
    run(made)
    assert orders(made) == [10, 21]


def test_a_file_that_cannot_be_read_any_more_leaves_the_rest_unreleased(made):
    made.write(definitions(DEV))
    run(made, "dev")
    made.write({**definitions(PROD), "data/orders/2.csv": "id,id,customer\n"})
    for _ in range(2):  # it is found out again
        report = run(made)
        assert "without 1 file: data/orders/2.csv" in step(report).error.message
    made.write(ROWS)
    run(made)
    assert orders(made) == [10, 21]
    assert made.balances()


def test_whoever_is_killed_between_two_portions_judges_all_again(made, monkeypatch):
    made.write(definitions(DEV))
    run(made, "dev")
    made.write(definitions(PROD))
    monkeypatch.setattr("headwater.run.gather.MAX_STEP_BYTES", 1)
    landed, real = [], landing.land

    def stops(*args, **options):
        if landed:
            raise KeyboardInterrupt
        landed.append(args)
        return real(*args, **options)

    monkeypatch.setattr(landing, "land", stops)
    with pytest.raises(KeyboardInterrupt):
        run(made)
    monkeypatch.setattr(landing, "land", real)
    assert step(run(made)).reason in ("2 relanded files", "2 files")
    assert orders(made) == [10, 21]
    assert made.balances()
