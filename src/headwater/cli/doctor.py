"""`headwater doctor`: is all well, and if not, what next."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb

from headwater.analysis.graph import renames
from headwater.api import OpenProject, check_project
from headwater.cli.output import Output
from headwater.cli.records import CURRENT_QUARANTINE
from headwater.engine.environment import examine_environment
from headwater.engine.session import Limits
from headwater.errors import HeadwaterError, NotAProject, counted, size_text
from headwater.findings import Finding, Grade
from headwater.lake.health import Leftovers, any_dataset, clean, examine_lake
from headwater.lake.lake import Lake
from headwater.lake.state import State
from headwater.names import DatasetName

_MARKS = {Grade.OK: ("✓", "green"), Grade.WARNING: ("!", "yellow"), Grade.PROBLEM: ("✗", "red")}


def command(out: Output, project: str, fix: bool) -> int:
    findings = []
    for finding in examine(project, fix=fix):
        findings.append(finding)
        if not out.is_json:
            _show(out, finding)
    counts = {grade.value: sum(f.grade is grade for f in findings) for grade in Grade}
    if out.is_json:
        out.json({"findings": [_plain(finding) for finding in findings], **counts})
    elif counts["problem"] or counts["warning"]:
        problems, warnings = counted(counts["problem"], "problem"), counts["warning"]
        out.line(f"{problems}, {counted(warnings, 'warning')}", "bold")
    else:
        out.line("all is well", "bold green")
    return 1 if counts["problem"] else 0


def examine(path: str, *, fix: bool = False) -> Iterator[Finding]:
    """Look at the environment, the project at or above `path`, and its lake.

    fix   remove what nobody needs any more before the lake is looked at.
    """
    opened, about_project = _project(path)
    settings = opened.project.settings if opened else None
    limits = Limits()
    if settings:
        limits = Limits(memory_limit=settings.memory_limit, threads=settings.threads)
    yield from examine_environment(limits)
    yield from about_project
    if opened is None:
        return
    folder = opened.project.lake_folder
    has_mistakes = any(finding.grade is Grade.PROBLEM for finding in about_project)
    is_made = any_dataset if has_mistakes else _is_made(opened)  # it may make what cannot be read
    if fix:
        yield _fixed(folder, is_made)
    can_be_read = False
    for finding in examine_lake(folder, limits, is_made):
        if finding.name == "format":
            can_be_read = finding.grade is Grade.OK
        yield finding
    if can_be_read:
        yield from _contents(opened)


def _project(path: str) -> tuple[OpenProject | None, list[Finding]]:
    try:
        opened, mistakes = check_project(path)
    except NotAProject as error:
        return None, [_finding("project", "project", Grade.WARNING, error.message, error.hint)]
    except HeadwaterError as error:
        return None, [_finding("project", "project", Grade.PROBLEM, str(error), error.hint)]
    name = opened.project.settings.name
    if mistakes:
        hint = f"`headwater check` shows them; the first is at {mistakes[0].where}"
        text = f"{name} has {counted(len(mistakes), 'mistake')}"
        return opened, [_finding("project", "project", Grade.PROBLEM, text, hint)]
    count = counted(len(opened.project.datasets), "dataset")
    text = f"{name}, {count}, no mistakes, in {opened.project.folder}"
    return opened, [_finding("project", "project", Grade.OK, text)]


def _is_made(opened: OpenProject) -> Callable[[str], bool]:
    """Whether the project makes a dataset, or did so under that name."""
    made = opened.project.datasets
    former = renames(made)

    def is_made(text: str) -> bool:
        try:
            name = DatasetName.parse(text)
        except ValueError:
            return False
        return name in made or name in former

    return is_made


def _fixed(folder: Path, is_made: Callable[[str], bool]) -> Finding:
    if not (folder / "catalog.sqlite").exists():
        return _finding("lake", "fix", Grade.OK, "there is no lake, so nothing was removed")
    try:
        found = clean(folder, is_made=is_made)
    except HeadwaterError as error:
        return _finding("lake", "fix", Grade.PROBLEM, error.message, error.hint)
    except OSError as error:
        text = f"not all could be removed: {error.strerror}"
        return _finding("lake", "fix", Grade.PROBLEM, text, "check the folder's permissions")
    return _finding("lake", "fix", Grade.OK, f"removed: {_removed(found)}")


def _removed(found: Leftovers) -> str:
    files = f"{counted(len(found.data), 'data file')} ({size_text(found.bytes)})"
    scratch = f"{len(found.scratch)} of tmp"
    told = f"{files}, {scratch}, {counted(len(found.dead_runs), 'lock')} of killed runs"
    if found.unfinished:
        told += f", {counted(len(found.unfinished), 'file')} half copied"
    for dataset, copies in found.raw.items():
        told += f", copies of {counted(len(copies), 'file')} of {dataset}"
    return told


def _contents(opened: OpenProject) -> Iterator[Finding]:
    """What the state tables say of the project's datasets."""
    try:
        with opened.read_lake() as lake, lake.reading():
            yield _removed_datasets(opened, lake.state_within())
            yield _quarantine(lake)
    except HeadwaterError as error:
        yield _finding("lake", "state tables", Grade.PROBLEM, error.message, error.hint)
    except duckdb.Error as error:
        text = f"they cannot be read: {str(error).splitlines()[0]}"
        hint = "`headwater restore` brings back a backup"
        yield _finding("lake", "state tables", Grade.PROBLEM, text, hint)


def _removed_datasets(opened: OpenProject, state: State) -> Finding:
    """Datasets that the project no longer makes, and whose rows still are in the lake."""
    made = opened.project.datasets
    gone = {name for name, table in state.builds if name not in made and state.owner(table) == name}
    gone = {name for name in gone if not opened.project.is_unread(name)}
    if not gone:
        return _finding("lake", "removed datasets", Grade.OK, "none")
    names = ", ".join(str(name) for name in sorted(gone)[:5])
    more = f" and {len(gone) - 5} more" if len(gone) > 5 else ""
    hint = "their rows stay as history; a dataset that comes back unchanged finds them"
    return _finding("lake", "removed datasets", Grade.OK, f"{names}{more}", hint)


def _quarantine(lake: Lake) -> Finding:
    ((rows, datasets),) = lake.rows(
        f"SELECT count(*), count(DISTINCT dataset) FROM {CURRENT_QUARANTINE}",
        [lake.environment],
    )
    if not rows:
        return _finding("lake", "quarantine", Grade.OK, "empty")
    text = f"{counted(rows, 'row')} of {counted(datasets, 'dataset')}"
    return _finding("lake", "quarantine", Grade.OK, text, "`headwater quarantine list` says why")


def _finding(area: str, name: str, grade: Grade, message: str, hint: str = "") -> Finding:
    return Finding(area=area, name=name, grade=grade, message=message, hint=hint)


def _show(out: Output, finding: Finding) -> None:
    mark, style = _MARKS[finding.grade]
    words = dict.fromkeys((finding.area, finding.name))  # the project's own finding has one
    out.line(f"{mark} {' '.join(words)}: {finding.message}", style)
    if finding.hint:
        out.line(f"    {finding.hint}", "dim")


def _plain(finding: Finding) -> dict[str, Any]:
    return {
        "area": finding.area,
        "name": finding.name,
        "grade": finding.grade.value,
        "message": finding.message,
        "hint": finding.hint,
    }
