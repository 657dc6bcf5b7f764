"""dlt, for comparison: the same CSV into a DuckDB file, in an environment of its own.

Two ways: rows as Python dictionaries, as dlt's own documentation has it, and Arrow batches. dlt
checks no rules here and keeps no quarantine; only its types are those that it infers.
"""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

from bench.inputs import ORDERS, WORK, empty_folder, make_file
from bench.measure import Line, alternate, limited, timed_process

PACKAGES = ("dlt[duckdb]>=1,<2", "pyarrow>=18")

SCRIPT = """
import csv, sys
import dlt

path, way = sys.argv[1:]


@dlt.resource(name="orders", write_disposition="append")
def orders():
    if way == "arrow":
        import pyarrow.csv

        yield from pyarrow.csv.open_csv(path)
    else:
        with open(path, newline="") as source:
            yield from csv.DictReader(source)


pipeline = dlt.pipeline("orders", destination=dlt.destinations.duckdb("orders.duckdb"),
                        dataset_name="raw", pipelines_dir="pipelines")
pipeline.run(orders())
with pipeline.sql_client() as client:
    found = client.execute_sql("SELECT count(*) FROM orders")[0][0]
assert found == int(ROWS), found
"""


def lines(repeats: int) -> list[Line]:
    """Whole processes; the slow way once, the Arrow way as often as everything else."""
    python = _environment()
    file = make_file(ORDERS)
    script = WORK / "dlt_orders.py"
    script.write_text(SCRIPT.replace("ROWS", str(ORDERS.rows)), encoding="utf-8")

    def once(way: str) -> float:
        return timed_process([python, script, file, way], empty_folder(f"dlt_{way}"))

    (arrow,) = alternate(lambda: once("arrow"), repeats=repeats)
    (rows,) = alternate(lambda: once("rows"), repeats=1, warm_ups=0)
    return [
        limited("dlt", "the CSV, Arrow batches", arrow, None),
        limited("dlt", "the CSV, Python rows", rows, None),
    ]


def _environment() -> Path:
    folder = WORK / "dlt_venv"
    python = folder / "bin" / "python"
    if not python.is_file():
        print("setting up an environment for dlt", file=sys.stderr)
        venv.create(folder, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *PACKAGES], check=True)
    return python
