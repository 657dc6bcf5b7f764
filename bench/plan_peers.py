"""SQLMesh and dbt-core beside `headwater plan` and `run`: the same models, in turns.

Each peer has an environment and a project of its own under `bench/work`, with the DuckDB that we
have. Models are tables everywhere, the CSV is a seed of theirs. Whole processes; what they keep
between two of them (our index, SQLMesh's `.cache`, dbt's partial parse) is there, except where a
line says that it is not. Their reports to their makers are switched off.

What is compared, and what answers the same question there:

- What would be done, nothing changed. SQLMesh: `sqlmesh plan`. dbt: `dbt ls --select
  state:modified+` beside the manifest of the last build, which compares files and binds no column.
- A run with nothing new. SQLMesh: `sqlmesh run`, which asks the clock whether a model is due, not
  the data. dbt: `dbt build --select state:modified+`; without a selection dbt builds all each
  time, so what that costs is the line of the first build.
- One model changed that nothing reads, in the environment dev, which is there. SQLMesh:
  `sqlmesh plan dev --auto-apply`. dbt: `dbt build --target dev --select state:modified+ --defer`.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
import venv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb

from bench.commands import HEADWATER, SETTLED_S
from bench.inputs import (
    WORK,
    empty_folder,
    joined_models,
    joined_project,
    joined_rows,
    write,
)
from bench.measure import Line, Process, alternate, compared, run_process, timed_process

Command = Sequence[str | Path]

_DUCKDB = f"duckdb=={duckdb.__version__}"
PACKAGES: Mapping[str, tuple[str, ...]] = {
    "sqlmesh": ("sqlmesh>=0.230,<1", _DUCKDB),
    "dbt": ("dbt-core==1.10.*", "dbt-duckdb>=1.9,<2", _DUCKDB),
}
"""Peer -> what its environment holds."""

_QUIET = (
    "env",
    "DO_NOT_TRACK=1",
    "SQLMESH__DISABLE_ANONYMIZED_ANALYTICS=true",
    f"SQLMESH_HOME={WORK / 'sqlmesh_home'}",  # else it writes into the home folder
)


@dataclass(frozen=True, kw_only=True)
class Side:
    """One tool with its project: the commands that are measured.

    leaf     the file of a model that nothing reads.
    forget   what it keeps between processes, to be removed.
    keep     called after the first build.
    leads    by how much the leaf's `a` in dev is more than in prod: what `dev` must have moved.
    """

    name: str
    folder: Path
    leaf: Path
    first: Command
    plan: Command
    idle: Command
    dev: Command
    forget: Path
    keep: Callable[[], object]
    leads: Callable[[], int]


def lines(repeats: int, sizes: Sequence[int]) -> list[Line]:
    """SQLMesh and dbt with the models of `plan`, beside ours. Large sizes are measured once."""
    peers = [name for name in PACKAGES if _environment(name)]
    print(f"peers: load before {_load()}", file=sys.stderr)
    found = [
        line
        for models in (sizes if peers else ())
        for line in _compare(peers, models, repeats if models < 1_000 else 1)
    ]
    print(f"peers: load after {_load()}", file=sys.stderr)
    return found


def _compare(peers: Sequence[str], models: int, repeats: int) -> list[Line]:
    make = {"sqlmesh": _sqlmesh, "dbt": _dbt}
    sides = [_ours(models), *(make[name](models) for name in peers)]
    first = [[_prepare(side)] for side in sides]
    time.sleep(SETTLED_S)
    plans = alternate(*(_timed(s.plan, s) for s in sides), repeats=repeats, warm_ups=0)
    idles = alternate(*(_timed(s.idle, s) for s in sides), repeats=repeats, warm_ups=0)
    colds = alternate(*(_cold(s) for s in sides), repeats=repeats, warm_ups=0)
    changes = alternate(*(_changed_leaf(s) for s in sides), repeats=repeats, warm_ups=0)
    peaks = [_peak_mib(side) for side in sides]
    size = f"{models:,} models"
    whats = {
        f"{size}, first build": first,
        f"plan, {size}, nothing changed": plans,
        f"plan, {size}, nothing kept": colds,
        f"run, {size}, nothing new": idles,
        f"run in dev, {size}, one leaf changed": changes,
    }
    found = [
        compared(side.name, what, taken[0], taken[n], None)
        for n, side in enumerate(sides[1:], start=1)
        for what, taken in whats.items()
    ]
    return found + [
        Line(
            figure=side.name,
            what=f"plan, {size}, nothing kept, peak memory",
            ours=peaks[0],
            peer=peak,
            unit="MiB",
        )
        for side, peak in zip(sides[1:], peaks[1:], strict=True)
    ]


def _prepare(side: Side) -> float:
    """The first build, in prod; then a build in dev, and all that is kept between processes."""
    seconds = timed_process(side.first, side.folder)
    side.keep()
    _changed_leaf(side)()
    return seconds


def _timed(command: Command, side: Side) -> Callable[[], float]:
    return lambda: timed_process(command, side.folder)


def _cold(side: Side) -> Callable[[], float]:
    """A plan of a tool that has kept nothing but its state; the next one has it again."""

    def once() -> float:
        _forget(side)
        return timed_process(side.plan, side.folder)

    return once


def _changed_leaf(side: Side) -> Callable[[], float]:
    """A run in dev after a change that it has not seen; prod's definition is put back."""

    def once() -> float:
        prod = side.leaf.read_text(encoding="utf-8")
        more = side.leads() + 1_000
        side.leaf.write_text(prod.replace("x.a + ", f"x.a + {more} + "), encoding="utf-8")
        seconds = timed_process(side.dev, side.folder)
        if side.leads() != more:
            raise RuntimeError(f"{side.name}: dev was not built from the changed model")
        side.leaf.write_text(prod, encoding="utf-8")
        timed_process(side.plan, side.folder)
        timed_process(side.idle, side.folder)
        return seconds

    return once


def _peak_mib(side: Side) -> float:
    """Of the process itself; the processes that SQLMesh reads models in come on top."""
    _forget(side)
    done: Process = run_process(side.plan, side.folder)
    if done.status:
        raise RuntimeError(f"{side.name} ended with {done.status}:\n{done.output[-2000:]}")
    return done.peak_mib


def _forget(side: Side) -> None:
    if side.forget.is_dir():
        shutil.rmtree(side.forget)
    else:
        side.forget.unlink()


def _ours(models: int) -> Side:
    folder = joined_project(f"peers_headwater_{models}", models)
    leaf = f"l9_{models // 10 - 1:03}"

    def least(environment: str) -> int:
        query = f"SELECT min(a) AS a FROM m.{leaf}"
        command = [HEADWATER, "query", "--env", environment, "--json", query]
        done = subprocess.run(command, cwd=folder, capture_output=True, check=False)
        return json.loads(done.stdout)[0]["a"] if done.returncode == 0 else 0

    def leads() -> int:
        dev = least("dev")
        return dev - least("prod") if dev else 0

    return Side(
        name="headwater",
        folder=folder,
        leaf=folder / "models" / "m" / f"{leaf}.sql",
        first=[HEADWATER, "run"],
        plan=[HEADWATER, "plan"],
        idle=[HEADWATER, "run"],
        dev=[HEADWATER, "run", "--env", "dev"],
        forget=folder / ".headwater" / "index",
        keep=lambda: None,
        leads=leads,
    )


def _sqlmesh(models: int) -> Side:
    """Models of kind FULL: tables, as ours are."""
    folder = empty_folder(f"peers_sqlmesh_{models}")
    write(
        folder / "config.yaml",
        "gateways:\n  local:\n    connection: {type: duckdb, database: store.duckdb}\n"
        "default_gateway: local\nmodel_defaults: {dialect: duckdb}\n"
        "disable_anonymized_analytics: true\n",
    )
    write(folder / "seeds" / "t.csv", joined_rows())
    seed = "MODEL (name src.t, kind SEED (path '../seeds/t.csv'),\n"
    write(folder / "models" / "t.sql", f"{seed}  columns (id INTEGER, a INTEGER, b INTEGER));\n")
    for name, query in joined_models(models, lambda given: f"{_schema(given)}.{given}"):
        write(folder / "models" / f"{name}.sql", f"MODEL (name m.{name}, kind FULL);\n\n{query}")
    leaf = f"l9_{models // 10 - 1:03}"
    tool = (*_QUIET, _program("sqlmesh"))
    return Side(
        name="sqlmesh",
        folder=folder,
        leaf=folder / "models" / f"{leaf}.sql",
        first=[*tool, "plan", "--auto-apply", "--no-prompts"],
        plan=[*tool, "plan", "--no-prompts"],
        idle=[*tool, "run"],
        dev=[*tool, "plan", "dev", "--auto-apply", "--no-prompts"],
        forget=folder / ".cache",
        keep=lambda: None,
        leads=lambda: _leads(folder, f"m__dev.{leaf}", f"m.{leaf}"),
    )


def _dbt(models: int) -> Side:
    """Models materialized as tables. Dev has a target folder of its own, so that each environment
    has its own partial parse, and what is not built there is read from prod."""
    folder = empty_folder(f"peers_dbt_{models}")
    write(
        folder / "dbt_project.yml",
        "name: peers\nversion: 1.0.0\nprofile: peers\nmodels: {+materialized: table}\n"
        "flags: {send_anonymous_usage_stats: false}\n",
    )
    output = f"{{type: duckdb, path: store.duckdb, threads: {os.cpu_count()}, schema: "
    write(
        folder / "profiles.yml",
        f"peers:\n  target: prod\n  outputs:\n    prod: {output}prod}}\n    dev: {output}dev}}\n",
    )
    write(folder / "seeds" / "t.csv", joined_rows())
    for name, query in joined_models(models, lambda given: f"{{{{ ref('{given}') }}}}"):
        write(folder / "models" / f"{name}.sql", query)
    leaf = f"l9_{models // 10 - 1:03}"
    tool = (*_QUIET, _program("dbt"))
    changed = ("--select", "state:modified+", "--state", "state")
    return Side(
        name="dbt",
        folder=folder,
        leaf=folder / "models" / f"{leaf}.sql",
        first=[*tool, "build"],
        plan=[*tool, "ls", *changed],
        idle=[*tool, "build", *changed],
        dev=[*tool, "build", "--target", "dev", "--target-path", "dev", *changed, "--defer"],
        forget=folder / "target" / "partial_parse.msgpack",
        keep=lambda: _keep_state(folder),
        leads=lambda: _leads(folder, f"dev.{leaf}", f"prod.{leaf}"),
    )


def _keep_state(folder: Path) -> None:
    """Keep the manifest of the build, which dbt compares with."""
    (folder / "state").mkdir()
    shutil.copy(folder / "target" / "manifest.json", folder / "state")


def _schema(name: str) -> str:
    return "src" if name == "t" else "m"


def _leads(folder: Path, dev: str, prod: str) -> int:
    with duckdb.connect(str(folder / "store.duckdb"), read_only=True) as con:
        try:
            found = con.execute(
                f"SELECT (SELECT min(a) FROM {dev}) - (SELECT min(a) FROM {prod})"
            ).fetchone()
        except duckdb.CatalogException:  # dev is not there yet
            return 0
    return int(found[0]) if found else 0


def _program(peer: str) -> Path:
    return WORK / f"{peer}_venv" / "bin" / peer


def _environment(peer: str) -> bool:
    """Whether the peer's environment is there; sets it up. Says why where it cannot be."""
    if _program(peer).is_file():
        return True
    print(f"setting up an environment for {peer}", file=sys.stderr)
    folder = WORK / f"{peer}_venv"
    venv.create(folder, with_pip=True)
    command = [folder / "bin" / "python", "-m", "pip", "install", "--quiet", *PACKAGES[peer]]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        wanted = ", ".join(PACKAGES[peer])
        print(f"{peer} is left out; pip cannot install {wanted}:", file=sys.stderr)
        print(done.stderr[-2000:], file=sys.stderr)
    return done.returncode == 0


def _load() -> str:
    return " ".join(f"{load:.2f}" for load in os.getloadavg())
