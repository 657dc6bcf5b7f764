"""Landing without a lake: the compute phase of a landing step in a plain DuckDB session.

Reading and judging need no lake, and opening one costs more than reading a small file.
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from headwater.contract.compile import Fate
from headwater.engine.session import Limits, connect
from headwater.errors import FileRefused
from headwater.ingest.intake import Intake, Manner
from headwater.ingest.land import land
from headwater.lake.lake import Lake
from headwater.lake.locks import Locks
from headwater.lake.step import StepIdentity
from headwater.project.definitions import SourceDataset
from headwater.project.read import read_project
from headwater.sources.files.discover import discover
from headwater.sql.quote import ident

_step = itertools.count(1)


@dataclass(frozen=True)
class Quarantined:
    record: int
    line: int | None
    reasons: tuple[str, ...]
    content: str


@dataclass(frozen=True)
class Landed:
    """What became of the files. `rows` and `quarantined` are in the order of the files."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    quarantined: list[Quarantined] = field(default_factory=list)
    refused: dict[str, FileRefused] = field(default_factory=dict)
    received: int = 0
    dropped: int = 0
    deduplicated: int = 0
    broken: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    nulled: int = 0
    defaulted: int = 0
    clipped: int = 0

    @property
    def is_balanced(self) -> bool:
        accounted = len(self.rows) + len(self.quarantined) + self.dropped + self.deduplicated
        return self.received == accounted

    def column(self, name: str) -> list[Any]:
        return [row[name] for row in self.rows]

    def records(self) -> list[int]:
        return [row["_record"] for row in self.rows]


@cache
def _lake() -> Lake:
    folder = Path(tempfile.mkdtemp(prefix="headwater-test-"))
    return Lake(connect(Limits(spill_folder=folder / "tmp")), folder, Locks(folder / "locks", 1))


def source(columns: Mapping[str, str] | None = None, *more: str, path: str = "path: data/*") -> str:
    """`sources/s.yaml` with the dataset `s.t`; `more` are lines of the dataset."""
    lines = ["connector: files", "datasets:", "  t:"]
    lines += [f"    {line}" for text in (path, *more) for line in text.split("\n")]
    if columns:
        lines += ["    columns:", *(f"      {name}: {spec}" for name, spec in columns.items())]
    return "\n".join(lines) + "\n"


def read(
    folder: Path,
    files: Mapping[str, str | bytes],
    columns: Mapping[str, str] | None,
    *more: str,
    path: str = "path: data/*",
) -> Landed:
    """Read `files` (name in `data/` -> content) as the dataset `s.t` with these columns.

    Raises ContractBroken as a landing step does.
    """
    (folder / "data").mkdir(parents=True, exist_ok=True)
    (folder / "sources").mkdir(exist_ok=True)
    (folder / "headwater.yaml").write_text("name: test\n")
    (folder / "sources" / "s.yaml").write_text(source(columns, *more, path=path))
    for name, content in files.items():
        raw = content if isinstance(content, bytes) else content.encode()
        (folder / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "data" / name).write_bytes(raw)
    (dataset,) = read_project(folder, {}).datasets.values()
    assert isinstance(dataset, SourceDataset)
    return _read(folder, dataset)


def _read(folder: Path, dataset: SourceDataset) -> Landed:
    lake = _lake()
    step = next(_step)
    identity = StepIdentity(
        run_id=f"test-{step}",
        step=step,
        dataset=dataset.name,
        table=f"t{step}",
        fingerprint="f",
        planned_at=0,
        expected=None,
        action="land",
        reason="test",
    )
    items = tuple(discover(folder, dataset.definition, "s.t"))
    landing = land(lake, identity, dataset, Intake(manner=Manner.ADD, items=items), [])
    try:
        return Landed(
            rows=_rows(lake, landing.rows_sql()) if landing.files else [],
            quarantined=_quarantined(lake, landing.quarantine_table),
            refused={item.path: error for item, error in landing.refused},
            received=sum(file.verdict.received + file.fragments for file in landing.files),
            dropped=landing.sum(Fate.DROPPED),
            deduplicated=landing.sum(Fate.DEDUPLICATED),
            broken=landing.broken,
            notes=[*landing.notes, *(note for file in landing.files for note in file.notes)],
            nulled=sum(file.verdict.nulled for file in landing.files),
            defaulted=sum(file.verdict.defaulted for file in landing.files),
            clipped=sum(file.verdict.clipped for file in landing.files),
        )
    finally:
        landing.discard(lake)


def _rows(lake: Lake, sql: str) -> list[dict[str, Any]]:
    result = lake.con.execute(f"SELECT * FROM ({sql}) ORDER BY ALL")
    names = [column[0] for column in result.description or ()]
    found = [dict(zip(names, row, strict=True)) for row in result.fetchall()]
    return sorted(found, key=lambda row: (row["_file_id"], row.get("_record", 0)))


def _quarantined(lake: Lake, table: str) -> list[Quarantined]:
    if not table:
        return []
    rows: Sequence[tuple[Any, ...]] = lake.con.execute(
        f"SELECT record, line, reasons, content FROM {ident(table)} ORDER BY file_id, record"
    ).fetchall()
    return [Quarantined(row[0], row[1], tuple(row[2]), row[3]) for row in rows]
