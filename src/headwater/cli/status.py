"""`headwater status`: each dataset, what is released of it and what waits."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from headwater.analysis.checks import DataCheck, data_checks
from headwater.api import OpenProject, open_project
from headwater.cli.output import Output
from headwater.contract.checks import CheckRemedy
from headwater.contract.freshness import Fresh
from headwater.engine.checks import evaluate
from headwater.errors import NoLake, counted
from headwater.lake.checks import CheckResult, newest_results, place
from headwater.lake.commit import now
from headwater.lake.lake import Lake
from headwater.lake.query import describe_schema
from headwater.lake.state import Build, Position, State
from headwater.names import PROD, DatasetName


def command(
    out: Output, project: str, moment: datetime | None = None, environment: str = PROD
) -> int:
    """`moment`: when it is, UTC without a zone; by default now."""
    opened = open_project(project, environment=environment)
    ages: dict[DatasetName, dict[str, Any]] = {}
    try:
        with opened.read_lake() as lake:
            state = lake.state()
            elsewhere = lake.tables_elsewhere()
            failures = _failures(lake)
            unfinished = _unfinished(lake)
            results = newest_results(lake, state.released)
            ages = _ages(opened, lake, state, moment or now())
            shown = _released_builds(lake, state)
    except NoLake:
        state, failures, unfinished, results = State(snapshot_id=0), {}, [], {}
        elsewhere, shown = frozenset(), {}
    checks = [
        (check, results[check.key])
        for check in data_checks(opened.project)
        if check.key in results and not results[check.key].holds
    ]
    rows = _rows(opened, state, elsewhere, failures, checks, ages, shown)
    if out.is_json:
        broken = [result.as_dict() for _, result in checks]
        out.json(
            {
                "release": state.release_id or None,
                "datasets": rows,
                "broken_checks": broken,
                "unfinished": unfinished,
            }
        )
        return 0
    release = f"release {state.release_id}" if state.release_id else "nothing released yet"
    of = "" if environment == PROD else f" of {environment}"
    out.line(f"{opened.project.settings.name}: {release}{of}", "bold")
    out.table(
        ["dataset", "state", "rows", "built (UTC)", "note"],
        [[row[key] for key in ("dataset", "state", "rows", "built_at", "note")] for row in rows],
    )
    for check, result in checks:
        if check.freshness and result.inputs == _released(check, state):
            continue  # it is judged anew, and stands in the table
        remedy = check.remedy_of(result.remedy)
        words = f"check {check.name}: {result.cause}, otherwise {remedy.value}"
        out.line(words, "red" if remedy is CheckRemedy.FAIL else "yellow")
    for run_id in unfinished:
        out.note(f"run {run_id} did not finish; the next run goes on from what it committed")
    return 0


def _ages(
    opened: OpenProject, lake: Lake, state: State, moment: datetime
) -> dict[DatasetName, dict[str, Any]]:
    """How fresh the released datasets are whose contracts say how old they may be."""
    found = {}
    for check in data_checks(opened.project):
        freshness, released = check.freshness, _released(check, state)
        if not freshness:
            continue
        for name, position in released.items():
            there = {column.lower() for column, _ in describe_schema(lake, position)}
            # What is released may be of a contract that did not have the column yet.
            if freshness.column.lower() in there:
                place(lake, name, position)
                finding = evaluate(lake.con, check, moment)
                found[name] = {
                    "state": freshness.judge(finding.newest, moment).value,
                    "column": freshness.column,
                    "newest": finding.newest,
                    "cause": finding.cause,
                }
    return found


def _released(check: DataCheck, state: State) -> dict[DatasetName, Position]:
    """What a check reads, as it is released."""
    return {name: state.released[name] for name in check.inputs if name in state.released}


def _age_note(age: dict[str, Any] | None) -> str:
    if not age or age["state"] == Fresh.FRESH:
        return ""
    return f"not fresh ({age['state']}): {age['cause']}"


def _rows(
    opened: OpenProject,
    state: State,
    elsewhere: frozenset[str],
    failures: dict[str, str],
    broken: list[tuple[DataCheck, CheckResult]],
    ages: dict[DatasetName, dict[str, Any]],
    shown: Mapping[DatasetName, Build],
) -> list[dict[str, Any]]:
    rows = []
    for name in opened.graph.order:
        released = state.released.get(name)
        builds = [
            b for (n, table), b in state.builds.items() if n == name and table not in elsewhere
        ]
        newest = max(builds, key=lambda build: build.position.snapshot_id, default=None)
        if newest is None:
            word = "not built"
        elif name in state.held:
            word = "rolled back"
        elif released is None:
            word = "built, not released"
        elif newest.position != released:
            word = "newer than released"
        else:
            word = "released"
        refused = [
            file.path
            for file in state.files.values()
            if file.dataset == name
            and file.status == "refused"
            and (opened.project.folder / file.path).exists()
        ]
        note = failures.get(str(name), "").removeprefix(f"{name}: ")
        for check, result in broken:
            if (
                check.remedy_of(result.remedy) is CheckRemedy.FAIL
                and newest
                and newest.position != released
                and result.inputs.get(name) == newest.position
            ):
                note = note or f"held back by the check {check.name}"
        if name in state.held:
            note = note or f"by release {state.held[name]}, until `headwater release --resume`"
        if refused:
            note = f"{counted(len(refused), 'file')} refused: {', '.join(refused[:2])}"
        note = "; ".join(part for part in (note, _age_note(ages.get(name))) if part)
        build = shown.get(name, newest)
        rows.append(
            {
                "dataset": str(name),
                "state": word,
                "rows": build.row_count if build else None,
                "built_at": build.built_at.replace(microsecond=0) if build else None,
                "freshness": ages.get(name),
                "note": note,
            }
        )
    return rows


def _released_builds(lake: Lake, state: State) -> dict[DatasetName, Build]:
    """What consumers have of the datasets that have something else built."""
    found = {}
    for name, position in state.released.items():
        newest = state.builds.get((name, position.table))
        is_newest = newest is not None and newest.position == position
        build = newest if is_newest else lake.build_at(name, position)
        if build:
            found[name] = build
    return found


def _failures(lake: Lake) -> dict[str, str]:
    """Datasets whose newest step in this environment failed -> the error."""
    rows = lake.rows(
        "SELECT dataset, error FROM lake.headwater.steps WHERE coalesce(environment, ?) = ? "
        "QUALIFY row_number() OVER "
        "(PARTITION BY dataset ORDER BY started_at DESC) = 1 AND status = 'failed'",
        [PROD, lake.environment],
    )
    return dict(rows)


def _unfinished(lake: Lake) -> list[str]:
    rows = lake.rows(
        "SELECT DISTINCT run_id FROM lake.headwater.steps WHERE run_id NOT IN "
        "(SELECT run_id FROM lake.headwater.runs) AND coalesce(environment, ?) = ? "
        "AND started_at > coalesce((SELECT max(started_at) FROM lake.headwater.runs "
        "WHERE coalesce(environment, ?) = ?), TIMESTAMP 'epoch') ORDER BY run_id",
        [PROD, lake.environment] * 2,
    )
    return [row[0] for row in rows]
