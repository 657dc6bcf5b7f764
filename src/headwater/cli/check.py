"""`headwater check`: the project's files, and with `--data` the current release."""

from __future__ import annotations

from headwater.analysis.checks import data_checks
from headwater.api import OpenProject, check_project_and_tests, open_project
from headwater.cli.output import Output
from headwater.errors import ProjectMistakes, counted
from headwater.run.report import DataReport


def command(
    out: Output,
    project: str,
    environment: str,
    variables: dict[str, str],
    data: bool = False,
    select: list[str] | None = None,
) -> int:
    if data:  # unit tests say nothing of data
        opened = open_project(project, variables=variables, environment=environment)
        return _check_data(out, opened, select or [])
    opened, tests, _, mistakes = check_project_and_tests(
        project, variables=variables, environment=environment
    )
    if mistakes:
        raise ProjectMistakes(mistakes)
    datasets = opened.project.datasets
    checks = data_checks(opened.project)
    if out.is_json:
        out.json(
            {
                "mistakes": [],
                "datasets": [str(name) for name in opened.graph.order],
                "checks": [check.name for check in checks],
                "tests": [test.title for test in tests.tests],
            }
        )
    else:
        sources = sum(1 for dataset in datasets.values() if not hasattr(dataset, "query"))
        there = f"{len(datasets)} datasets"
        there += f", {counted(len(checks), 'check')}" if checks else ""
        there += f", {counted(len(tests.tests), 'unit test')}" if tests.tests else ""
        out.line(f"{opened.project.settings.name}: {there}, no mistakes", "green")
        if not sources:
            out.note("there is no source yet: add sources/NAME.yaml")
    return 0


def _check_data(out: Output, opened: OpenProject, select: list[str]) -> int:
    report = opened.check_data(select=select)
    if out.is_json:
        out.json(report.as_dict())
    else:
        _show(out, report)
    return report.exit_code


def _show(out: Output, report: DataReport) -> None:
    if not report.checks:
        out.line("there is no check yet: add checks/NAME.sql, or `row_count:` to a contract")
        return
    out.table(
        ["check", "result", "otherwise", "why"],
        [[check.name, check.status, check.remedy, check.cause] for check in report.checks],
    )
    for check in report.checks:
        if check.status == "broken" and check.failed_rows:
            out.note(f"`headwater checks {check.name}` shows some of its rows")
        if check.hint:
            out.note(f"{check.name}: {check.hint}")
    broken = [check for check in report.checks if check.status == "broken"]
    waiting = [check for check in report.checks if check.status == "waiting"]
    words = f"release {report.release}: {counted(len(report.checks), 'check')}, "
    words += f"{len(broken)} broken" if broken else "none broken"
    words += f", {len(waiting)} waiting" if waiting else ""
    out.line(words, "red" if report.failing else "yellow" if broken else "green")
