"""What the tests share: making a project, running it, asking it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from typer.testing import CliRunner

import headwater as hw
from headwater.cli.main import app
from headwater.run.options import Options
from headwater.run.run import run

# How long an example takes says how busy the machine is, not whether the property holds.
settings.register_profile("ours", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("ours")

SOURCE = """\
connector: files
datasets:
  t:
    path: data/*.csv
    columns:
      a: {type: integer, required: true}
      b: varchar
"""


@dataclass
class Made:
    """A project in a folder of its own."""

    folder: Path

    def write(self, files: Mapping[str, str | bytes]) -> Made:
        for path, content in files.items():
            target = self.folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content if isinstance(content, bytes) else content.encode())
        return self

    def run(self, **options: Any) -> Any:
        return hw.open_project(self.folder).run(**options)

    def run_at(self, moment: datetime, **options: Any) -> Any:
        """A run as if it were that moment, UTC, to all that counts ages."""
        opened = hw.open_project(self.folder)
        with opened.open_lake() as lake:
            asked = Options(moment=moment, **options)
            return run(opened.project, opened.graph, opened.bound, lake, asked)

    def newest_snapshot(self) -> int:
        with hw.open_project(self.folder).read_lake() as lake:
            return lake.newest_snapshot_id()

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        return hw.open_project(self.folder).query(sql).rows()

    def cli(self, *words: str) -> tuple[int, str, str]:
        """A command as (exit code, standard output, standard error)."""
        result = CliRunner().invoke(app, [*words, "--project", str(self.folder)])
        return result.exit_code, result.stdout, result.stderr

    def balances(self) -> bool:
        """Whether the ledger has lines and every one of them adds up."""
        rows = self.ask(
            "SELECT count(*), bool_and(received = landed + updated + unchanged + deduplicated "
            "+ dropped + quarantined AND rows_after = rows_before + landed - removed) "
            "FROM headwater.ledger"
        )
        return rows[0][0] > 0 and rows[0][1]


@pytest.fixture
def project(tmp_path: Path) -> Callable[..., Made]:
    """Make a project of these files; a settings file and the source `s.t` are there already."""

    def make(files: Mapping[str, str | bytes] | None = None, source: str | None = SOURCE) -> Made:
        made = Made(tmp_path / "project")
        made.write({"headwater.yaml": "name: test\n"})
        if source:
            made.write({"sources/s.yaml": source})
        return made.write(files or {})

    return make
