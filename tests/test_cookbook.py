"""The cleaning cookbook holds: each recipe of docs/how-to/cleaning.md is run from the page.

How a recipe is read: a heading `###`; a `yaml` fence, which is the dataset without its `path`;
fences of input, one file each, in order, of the format that the fence names; a table of all rows
that land, without the columns of origin; a table `line | reasons`, if any row goes to quarantine;
a line `Counted: …`, if any row or cell is counted otherwise.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from headwater.api import check_project
from headwater.cli.output import plain
from tests.reading import Landed, read
from tests.test_docs import ROOT, Fence, fences

PAGE = ROOT / "docs/how-to/cleaning.md"
QUARANTINED = ["line", "reasons"]
Table = list[list[str]]


@dataclass(frozen=True)
class Recipe:
    """One recipe: what is declared, what comes in, what becomes of it."""

    title: str
    line: int
    dataset: str
    inputs: list[Fence]
    landed: Table
    quarantined: Table
    counted: str


def recipes() -> list[Recipe]:
    text = PAGE.read_text(encoding="utf-8")
    starts = [
        (match.group(1), text.count("\n", 0, match.start()) + 1)
        for match in re.finditer(r"^### (.+)$", text, re.M)
    ]
    ends = [line for _, line in starts[1:]] + [text.count("\n") + 1]
    return [
        _recipe(title, line, end, text.splitlines()[line - 1 : end - 1])
        for (title, line), end in zip(starts, ends, strict=True)
    ]


def _recipe(title: str, line: int, end: int, lines: list[str]) -> Recipe:
    inside = [fence for fence in fences(PAGE) if line < fence.line < end]
    (dataset,) = [fence for fence in inside if fence.kind == "yaml"]
    tables = _tables(lines)
    counted = [text.removeprefix("Counted: ") for text in lines if text.startswith("Counted: ")]
    return Recipe(
        title=title,
        line=line,
        dataset=dataset.body,
        inputs=[fence for fence in inside if fence.kind != "yaml"],
        landed=next(table for table in tables if table[0] != QUARANTINED),
        quarantined=next((table for table in tables if table[0] == QUARANTINED), [QUARANTINED]),
        counted=counted[0] if counted else "",
    )


def _tables(lines: list[str]) -> list[Table]:
    """The tables among lines of Markdown, with their headings."""
    found: list[Table] = []
    is_inside = False
    for line in lines:
        if line.startswith("| ") and not line.startswith("| ---"):
            if not is_inside:
                found.append([])
            found[-1].append([cell.strip() for cell in line.strip("|").split("|")])
        is_inside = line.startswith("|")
    return found


def _shown(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict | list):
        return json.dumps(value, default=plain)
    return str(value)


def _landed(found: Landed) -> Table:
    rows = [{k: v for k, v in row.items() if not k.startswith("_")} for row in found.rows]
    headings = list(rows[0]) if rows else []
    return [headings, *([_shown(value) for value in row.values()] for row in rows)]


def _quarantined(found: Landed) -> Table:
    rows = [[str(row.line), ", ".join(row.reasons)] for row in found.quarantined]
    return [QUARANTINED, *rows]


def _counted(found: Landed) -> str:
    counts = ("dropped", "deduplicated", "nulled", "defaulted", "clipped")
    return ", ".join(f"{getattr(found, c)} {c}" for c in counts if getattr(found, c))


@pytest.mark.parametrize("recipe", recipes(), ids=lambda recipe: recipe.title)
def test_a_recipe_does_what_it_shows(recipe: Recipe, tmp_path: Path):
    files = {f"{n}.{fence.kind}": fence.body for n, fence in enumerate(recipe.inputs, start=1)}
    found = read(tmp_path, files, None, recipe.dataset.rstrip("\n"))
    assert check_project(tmp_path)[1] == []
    assert found.refused == {}
    assert _landed(found) == recipe.landed
    assert _quarantined(found) == recipe.quarantined
    assert _counted(found) == recipe.counted
    assert found.is_balanced
