"""What is measured on: generated files and projects, the same on every machine.

One row in a thousand breaks a rule, never a type: so plain DuckDB can read the same file.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import duckdb

WORK = Path(__file__).parent / "work"
"""Everything that is generated and measured. Git-ignored; may be removed at any time."""

BIG_BYTES = 5_000_000_000

_COUNTRIES = "'AT', 'BE', 'CH', 'DE', 'DK', 'ES', 'FI', 'FR', 'IT', 'NL', 'NO', 'PL', 'PT', 'SE'"
_AT = "(TIMESTAMP '2026-01-01' + to_seconds(n))"
_AMOUNT = "CAST(((n * 7919) % 1000000) / 100 AS DECIMAL(10,2))"


def _bad(kind: int) -> str:
    """One row in 1,000 is bad, of five kinds in turn; this is true for the bad ones of `kind`."""
    return f"(n % 1000 = 0 AND (n // 1000) % 5 = {kind})"


@dataclass(frozen=True, kw_only=True)
class Table:
    """A generated file, and its contract.

    types    name -> type as DuckDB writes it.
    query    the rows, over `n`.
    source   the source's YAML; ORIGIN stands for what a row carries of where it came from.
    """

    name: str
    ending: str
    rows: int
    types: Mapping[str, str]
    query: str
    source: str

    @property
    def file(self) -> Path:
        return WORK / f"{self.name}.{self.ending}"


ORDERS = Table(
    name="orders",
    ending="csv",
    rows=500_000,
    types={
        "order_id": "BIGINT",
        "ordered_at": "TIMESTAMP",
        "delivered_at": "TIMESTAMP",
        "customer": "VARCHAR",
        "country": "VARCHAR",
        "quantity": "INTEGER",
        "amount": "DECIMAL(10,2)",
    },
    query=f"""
SELECT
    n AS order_id,
    {_AT} AS ordered_at,
    CASE WHEN {_bad(0)} THEN {_AT} - INTERVAL 1 DAY
         ELSE {_AT} + to_seconds(3600 + (n * 13) % 500000) END AS delivered_at,
    CASE WHEN NOT {_bad(1)}
         THEN md5(CAST(n % 40000 AS VARCHAR)) || '@example.com' END AS customer,
    CASE WHEN {_bad(2)} THEN 'ZZ' ELSE [{_COUNTRIES}][1 + (n * 3) % 14] END AS country,
    CASE WHEN {_bad(3)} THEN 0 ELSE 1 + (n * 31) % 99 END AS quantity,
    CASE WHEN {_bad(4)} THEN -1 ELSE {_AMOUNT} END AS amount
""",
    source=f"""\
connector: files
datasets:
  orders:
    path: data/*.csv
    origin: ORIGIN
    columns:
      order_id:     {{type: bigint, required: true, min: 1}}
      ordered_at:   {{type: timestamp, required: true, min: 2026-01-01}}
      delivered_at: {{type: timestamp, required: true, min: 2025-12-31}}
      customer:     {{type: varchar, required: true}}
      country:      {{type: varchar, required: true, accepted: [{_COUNTRIES}]}}
      quantity:     {{type: integer, required: true, min: 1, max: 100}}
      amount:       {{type: "decimal(10,2)", required: true, min: 0, max: 100000}}
    rules:
      - {{name: delivered_after_ordered, check: delivered_at > ordered_at}}
""",
)

EVENTS = Table(
    name="events",
    ending="jsonl",
    rows=500_000,
    types={
        "event_id": "BIGINT",
        "happened_at": "TIMESTAMP",
        "kind": "VARCHAR",
        "customer": "STRUCT(name VARCHAR, city VARCHAR, age INTEGER)",
        "tags": "VARCHAR[]",
        "quantity": "INTEGER",
        "amount": "DECIMAL(10,2)",
    },
    query=f"""
SELECT
    n AS event_id,
    {_AT} AS happened_at,
    CASE WHEN {_bad(0)} OR {_bad(1)} THEN 'unheard_of'
         ELSE ['view', 'cart', 'order', 'return'][1 + n % 4] END AS kind,
    {{'name': 'customer ' || (n % 40000), 'city': 'city ' || (n % 500), 'age': 18 + n % 70}}
        AS customer,
    CASE WHEN {_bad(2)} THEN [] ELSE ['tag' || (n % 7), 'tag' || (n % 11), 'tag' || (n % 13)] END
        AS tags,
    CASE WHEN {_bad(3)} THEN 0 ELSE 1 + (n * 31) % 99 END AS quantity,
    CASE WHEN {_bad(4)} THEN -1 ELSE {_AMOUNT} END AS amount
""",
    source="""\
connector: files
datasets:
  events:
    path: data/*.jsonl
    origin: ORIGIN
    columns:
      event_id:    {type: bigint, required: true, min: 1}
      happened_at: {type: timestamp, required: true, min: 2026-01-01}
      kind:        {type: varchar, required: true, accepted: [view, cart, order, return]}
      customer:    {type: "struct(name varchar, city varchar, age integer)", required: true}
      tags:        {type: "varchar[]", required: true}
      quantity:    {type: integer, required: true, min: 1, max: 100}
      amount:      {type: "decimal(10,2)", required: true, min: 0, max: 100000}
    rules:
      - {name: has_tags, check: len(tags) > 0}
""",
)


def make_file(table: Table) -> Path:
    """The table's file; written where it is missing."""
    if not table.file.is_file():
        write_rows(table, table.rows, table.file)
    return table.file


def make_big(table: Table, size_bytes: int) -> Path:
    """A file of about `size_bytes`: the table's rows, more of them."""
    path = WORK / f"{table.name}_big.{table.ending}"
    if not path.is_file() or abs(path.stat().st_size / size_bytes - 1) > 0.1:
        per_row = make_file(table).stat().st_size / table.rows
        write_rows(table, int(size_bytes / per_row), path)
    return path


def write_rows(table: Table, rows: int, path: Path) -> None:
    """Write the first `rows` rows. A file that is there is complete."""
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_suffix(".half")
    how = "FORMAT csv, HEADER" if table.ending == "csv" else "FORMAT json"
    with duckdb.connect(config={"memory_limit": "4GB"}) as con:
        con.execute(f"COPY ({table.query} FROM range(1, {rows} + 1) AS r(n)) TO '{half}' ({how})")
    half.rename(path)


def empty_folder(name: str) -> Path:
    """A new folder under `WORK`, with nothing in it."""
    folder = WORK / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def landing_project(name: str, table: Table, origin: str, settings: str = "") -> Path:
    """A project with one source and no model; its `data` is empty."""
    folder = empty_folder(name)
    (folder / "data").mkdir()
    (folder / "sources").mkdir()
    (folder / "headwater.yaml").write_text(f"name: {name}\n{settings}", encoding="utf-8")
    source = table.source.replace("ORIGIN", origin)
    (folder / "sources" / "raw.yaml").write_text(source, encoding="utf-8")
    return folder


def give_file(project: Path, file: Path, name: str) -> Path:
    """Put a file into a project's `data`, as another name of the same bytes."""
    target = project / "data" / f"{name}{file.suffix}"
    os.link(file, target)
    return target


def write(path: Path, text: str) -> None:
    """Write a file, and the folders that it is in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def joined_project(name: str, models: int) -> Path:
    """A project of `models` models in 10 layers, each of which joins three datasets of the layer
    before; the first reads a source with 100 rows."""
    folder = empty_folder(name)
    write(folder / "headwater.yaml", f"name: {name}\n")
    write(
        folder / "sources" / "src.yaml",
        "connector: files\ndatasets:\n  t:\n    path: data/*.csv\n    columns:\n"
        "      id: integer\n      a: integer\n      b: integer\n",
    )
    write(folder / "data" / "t.csv", joined_rows())
    for model, query in joined_models(models, lambda name: "src.t" if name == "t" else f"m.{name}"):
        write(folder / "models" / "m" / f"{model}.sql", query)
    return folder


def joined_models(models: int, written: Callable[[str], str]) -> Iterator[tuple[str, str]]:
    """The (name, query) of each model of `joined_project`; `written` says how a query writes the
    name of what it reads: `t`, or another model."""
    width = models // 10
    for number in range(models):
        layer, place = divmod(number, width)
        given = [
            written("t" if layer == 0 else f"l{layer - 1}_{(place + step) % width:03}")
            for step in (0, 1, 7)
        ]
        yield (
            f"l{layer}_{place:03}",
            f"-- model {number}\nSELECT x.id, x.a + {place} AS a, y.b + z.a % 5 AS b\n"
            f"FROM {given[0]} x\nJOIN {given[1]} y USING (id)\n"
            f"LEFT JOIN {given[2]} z ON z.id = x.id AND z.a >= 0\nWHERE x.b IS NOT NULL\n",
        )


def joined_rows() -> str:
    """The CSV that the first layer of `joined_models` reads."""
    return "\n".join(["id,a,b", *(f"{n},{n % 7},{n % 11}" for n in range(100))]) + "\n"


def model_project(name: str, models: int = 200, layers: int = 10) -> Path:
    """A project of one-line models. Each below the first layer reads two of the layer above."""
    folder = empty_folder(name)
    (folder / "headwater.yaml").write_text(f"name: {name}\n", encoding="utf-8")
    width = models // layers
    for layer in range(layers):
        below = folder / "models" / f"layer_{layer}"
        below.mkdir(parents=True)
        for n in range(width):
            text = f"SELECT {n} AS id, {n} * 2 AS value"
            if layer:
                above = f"layer_{layer - 1}"
                other = (n + 1) % width
                text = (
                    f"SELECT a.id, a.value + b.value AS value FROM {above}.model_{n} AS a "
                    f"CROSS JOIN {above}.model_{other} AS b"
                )
            (below / f"model_{n}.sql").write_text(text + "\n", encoding="utf-8")
    return folder


def mixed_project(name: str, sources: int = 39, models: int = 160, broken: int = 0) -> Path:
    """A project of `sources + models + 1` files, with columns and rules as people write them.

    broken   so many of the models name a column that their input does not have.
    """
    folder = empty_folder(name)
    (folder / "sources").mkdir()
    (folder / "models" / "marts").mkdir(parents=True)
    (folder / "headwater.yaml").write_text(f"name: {name}\n", encoding="utf-8")
    for n in range(sources):
        text = ORDERS.source.replace("ORIGIN", "record")
        (folder / "sources" / f"raw_{n}.yaml").write_text(text, encoding="utf-8")
    for n in range(models):
        amount = "amuont" if n < broken else "amount"
        text = (
            "/*\n"
            "description: One row per day and country.\n"
            "key: [day, country]\n"
            "owner: finance\n"
            "columns:\n"
            "  revenue: {description: Euros., min: 0}\n"
            "*/\n"
            f"SELECT CAST(ordered_at AS DATE) AS day, country, sum({amount}) AS revenue,\n"
            "    count(*) AS orders\n"
            f"FROM raw_{n % sources}.orders\n"
            f"WHERE quantity > {n}\n"
            "GROUP BY ALL\n"
        )
        (folder / "models" / "marts" / f"revenue_{n}.sql").write_text(text, encoding="utf-8")
    return folder


def unit_test_project(name: str, tests: int = 100, models: int = 25) -> Path:
    """A project of models with keys and rules, and so many unit tests of them, with a few rows
    each; all of them pass."""
    folder = empty_folder(name)
    for part in ("sources", "models/marts", "tests"):
        (folder / part).mkdir(parents=True)
    (folder / "headwater.yaml").write_text(f"name: {name}\n", encoding="utf-8")
    source = ORDERS.source.replace("ORIGIN", "record")
    (folder / "sources" / "raw.yaml").write_text(source, encoding="utf-8")
    for n in range(models):
        text = (
            "/*\nkey: [day, country]\ncolumns:\n  revenue: {required: true, min: 0}\n*/\n"
            "SELECT CAST(ordered_at AS DATE) AS day, country, sum(amount) AS revenue,\n"
            "    count(*) AS orders\n"
            f"FROM raw.orders\nWHERE quantity > {n}\nGROUP BY ALL\n"
        )
        (folder / "models" / "marts" / f"revenue_{n}.sql").write_text(text, encoding="utf-8")
        own = [test for test in range(tests) if test % models == n]
        lines = ["tests:"] if own else ["tests: []"]
        for test in own:
            rows = [
                f"        - {{ordered_at: 2026-01-0{day} 10:00:00, country: AT, "
                f"amount: {test}.{day}0, quantity: 99}}"
                for day in (1, 1, 2)
            ]
            lines += [f"  - name: test {test}", f"    model: marts.revenue_{n}", "    given:"]
            lines += ["      raw.orders:", *rows, "    expect:"]
            lines += [f"      - {{day: 2026-01-01, revenue: {test * 2}.20, orders: 2}}"]
            lines += [f"      - {{day: 2026-01-02, revenue: {test}.20, orders: 1}}"]
        text = "\n".join(lines) + "\n"
        (folder / "tests" / f"revenue_{n}.yaml").write_text(text, encoding="utf-8")
    return folder
