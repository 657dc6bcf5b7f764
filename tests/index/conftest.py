"""What the tests of the index share: a project with some of everything, and asking it twice."""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from headwater.index import files
from headwater.index.store import SWITCH
from tests.conftest import Made

SETTINGS = "name: test\nvariables:\n  floor: 0\n"
FILES = {
    "headwater.yaml": SETTINGS,
    "sources/s.yaml": """\
connector: files
datasets:
  t:
    path: data/*.csv
    columns: {a: {type: integer, required: true}, b: varchar}
  u:
    path: more/{kind}/*.csv
    columns: {a: {type: integer, min: 0}, kind: varchar}
    key: a
    write: upsert
""",
    "data/1.csv": "a,b\n1,x\n2,y\n",
    "more/one/1.csv": "a\n1\n5\n",
    "functions/twice.sql": "CREATE FUNCTION twice(n INTEGER) AS n * 2;\n",
    "models/m/x.sql": "SELECT a, b, twice(a) AS double FROM s.t WHERE a >= $floor",
    "models/m/y.sql": "/*\ncolumns:\n  n: {min: 0}\n*/\nSELECT count(*) AS n FROM m.x",
    "models/m/z.sql": "SELECT x.a, kind FROM m.x x JOIN s.u USING (a)",
    "models/m/alone.sql": "SELECT 1 AS one",
    "models/m/py.py": (
        "import headwater as hw\nfrom helpers import rate\n\n\n"
        '@hw.model(columns={"a": "bigint"})\n'
        'def py(x: hw.Input("m.x")):\n    return x.project(f"a * {rate.RATE} AS a")\n'
    ),
    "helpers/__init__.py": "",
    "helpers/rate.py": "RATE = 2\n",
    "checks/no_nulls.sql": "SELECT * FROM m.x WHERE a IS NULL",
}

JUST_NOW_S = 0.04


@dataclass
class Asked:
    """A project that is asked with the index and without it."""

    made: Made
    monkeypatch: pytest.MonkeyPatch

    def plain(self, *words: str) -> tuple[int, Any, str]:
        """What a command says without the index."""
        with self.monkeypatch.context() as context:
            context.setenv(SWITCH, "1")
            return self.told(*words)

    def told(self, *words: str) -> tuple[int, Any, str]:
        """What a command says, but for when it was and how long it took."""
        code, out, err = self.made.cli(*words, "--json")
        return code, _timeless(json.loads(out), words[0]), err

    def settle(self) -> None:
        """Let what was changed just now be changed a while ago."""
        time.sleep(JUST_NOW_S * 1.5)

    def index(self) -> list[str]:
        """The names of the index's files."""
        return sorted(path.name for path in (self.made.folder / ".headwater/index").glob("*"))

    def is_answered(self, *words: str) -> bool:
        """Whether a command is answered from the index: nothing of the project is read then."""

        def refuse(*_: object, **__: object) -> None:
            raise AssertionError("the project was read")

        with self.monkeypatch.context() as context:
            context.setattr("headwater.api.open_project", refuse)
            try:
                self.told(*words)
            except json.JSONDecodeError:
                return False
        return True


def _timeless(told: Any, command: str) -> Any:
    """What was told, but for the run's id and how long each part took."""
    if command != "run" or "steps" not in told:
        return told
    parts = {part: [{**one, "seconds": 0} for one in told[part]] for part in ("steps", "checks")}
    return {**told, **parts, "run_id": "", "seconds": 0}


@pytest.fixture(scope="session")
def after_a_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project of everything, after its first run; to be copied."""
    made = Made(tmp_path_factory.mktemp("index") / "project").write(FILES)
    code, out, _ = made.cli("run", "--json")
    assert (code, json.loads(out)["status"]) == (0, "succeeded"), out
    return made.folder


@pytest.fixture
def asked(after_a_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Asked:
    """A project of everything, after its first run."""
    monkeypatch.setattr(files, "JUST_NOW_NS", int(JUST_NOW_S * 1e9))
    shutil.copytree(after_a_run, tmp_path / "project")
    found = Asked(Made(tmp_path / "project"), monkeypatch)
    found.settle()
    return found
