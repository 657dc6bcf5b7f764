"""`headwater run`: progress while it goes on, then what it did."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rich.text import Text

from headwater.cli.output import Output
from headwater.errors import counted
from headwater.folder import find_project
from headwater.index.memo import Answer
from headwater.names import PROD, DatasetName
from headwater.run.idle import idle_report, idle_steps, is_quiet
from headwater.run.report import CheckReport, Observer, Report, StepReport

if TYPE_CHECKING:
    from rich.progress import Progress

_MARKS = {"done": ("✓", "green"), "failed": ("✗", "red"), "blocked": ("·", "yellow")}


def command(
    out: Output,
    project: str,
    environment: str,
    select: list[str],
    variables: dict[str, str],
    rebuild: bool,
    reland: list[str],
    from_now: bool,
    land: bool,
    replace: bool,
    atomic: bool,
) -> int:
    started = time.monotonic()
    answer = Answer(
        find_project(Path(project)),
        {
            "command": "run",
            "select": list(select),
            "variables": dict(variables),
            "rebuild": rebuild,
            "reland": list(reland),
            "from_now": from_now,
            "land": land,
            "replace": replace,
            "atomic": atomic,
            "environment": environment,
        },
    )
    known = answer.known()
    if known is not None and answer.lake and is_quiet(answer.lake):
        return show_report(out, idle_report(known, time.monotonic() - started, environment))
    from headwater.api import open_project  # late: where nothing is to do, none of it is needed
    from headwater.run.watched import watched as depends_on

    opened = open_project(project, variables=variables, environment=environment)
    answer.watch(depends_on(opened.project))
    with watched(out) as observer:
        report = opened.run(
            select=select,
            rebuild=rebuild,
            reland=reland,
            from_now=from_now,
            land=land,
            replace=replace,
            atomic=atomic,
            observer=observer,
        )
    idle = idle_steps(report, opened.project.settings, opened.project.lake_folder)
    if idle is not None:
        answer.keep(idle, opened.project.lake_folder)
    return show_report(out, report)


@contextmanager
def watched(out: Output) -> Iterator[Observer]:
    """Shows on a terminal what is going on, and each step as it ends."""
    if not out.is_terminal:
        yield _Shower(out, None)
        return
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    progress = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        TimeElapsedColumn(),
        console=out.err,
        transient=True,
    )
    with progress:
        yield _Shower(out, progress)


def show_report(out: Output, report: Report) -> int:
    """Print what a run did; its exit code."""
    if out.is_json:
        out.json(report.as_dict())
    else:
        _summary(out, report)
    if out.show_traceback:
        for step in report.failed:
            if step.error:
                out.error(step.error)
    return report.exit_code


class _Shower:
    """Shows steps as they end; on a terminal also what is going on."""

    def __init__(self, out: Output, progress: Progress | None) -> None:
        self.out, self.progress = out, progress
        self.task = progress.add_task("starting", total=None) if progress else None

    def started(self, dataset: DatasetName, action: str, detail: str) -> None:
        if self.progress and self.task is not None:
            self.progress.update(self.task, description=f"{action} {dataset}  {detail}")

    def done(self, step: StepReport) -> None:
        if self.out.is_json or (step.status == "nothing" and not step.refused and not step.notes):
            return
        mark, style = _MARKS.get(step.status, ("·", "dim"))
        self.out.err.print(
            Text.assemble(
                (f"{mark} ", style), f"{step.action:5} {step.dataset}  ", (_words(step), "dim")
            )
        )
        if step.broken and step.status == "done":
            self.out.note(f"        {_counts(step.broken)}")
        if step.warnings:
            self.out.note(f"        warning: {_counts(step.warnings)}", "yellow")
        for note in step.notes[:5]:
            self.out.note(f"        {note}")
        if len(step.notes) > 5:
            self.out.note(f"        and {len(step.notes) - 5} more notes")
        for path, why in step.refused.items():
            self.out.note(f"        refused {path}: {why}", "red")
        if step.error:
            self.out.note(f"        {step.error}", "red")
            if step.error.hint:
                self.out.note(f"        hint: {step.error.hint}", "cyan")

    def checking(self, check: str) -> None:
        if self.progress and self.task is not None:
            self.progress.update(self.task, description=f"check {check}")

    def checked(self, check: CheckReport) -> None:
        if self.out.is_json:
            return
        mark, style = check_mark(check)
        words = f"  {check.cause}" if check.cause else ""
        self.out.err.print(
            Text.assemble((f"{mark} ", style), f"check {check.name}", (words, "dim"))
        )
        if check.status == "broken":
            if check.remedy == "warn":
                self.out.note("        warning: it is released all the same", "yellow")
            if check.failed_rows:
                self.out.note(f"        hint: `headwater checks {check.name}` shows some", "cyan")
            if check.hint:
                self.out.note(f"        hint: {check.hint}", "cyan")


def check_mark(check: CheckReport) -> tuple[str, str]:
    """The mark and colour of a check's result."""
    if check.status == "broken":
        return ("✗", "red") if check.fails else ("!", "yellow")
    return ("✓", "green") if check.status == "held" else ("·", "dim")


def _counts(rules: Mapping[str, int]) -> str:
    shown = ", ".join(f"{code} {count:,}" for code, count in list(rules.items())[:6])
    return shown + (f" and {len(rules) - 6} more" if len(rules) > 6 else "")


def _words(step: StepReport) -> str:
    parts = [step.reason]
    if step.ledger:
        line = step.ledger
        rows = counted(line.landed, "row")
        if step.action in ("land", "replay"):
            rows = f"{line.received:,} received, {line.landed:,} landed"
        parts.append(rows)
        words = ("updated", "unchanged", "removed") if step.action != "build" else ()
        for word in (*words, "quarantined", "deduplicated", "dropped"):
            if count := getattr(line, word):
                parts.append(f"{count:,} {word}")
        for word in ("nulled", "defaulted", "clipped"):
            if count := getattr(line, word):
                parts.append(f"{counted(count, 'cell')} {word}")
    if step.status == "done":
        parts.append(f"{step.seconds:.2f} s")
    return ", ".join(part for part in parts if part)


def _summary(out: Output, report: Report) -> None:
    for name, why in report.held.items():
        out.line(f"held back  {name}: {why}", "yellow")
    for name, why in report.parked.items():
        out.line(f"stays      {name}: {why}", "yellow")
    for name in report.removed:
        why = "the project no longer makes it; its rows stay in the lake's history"
        if new := report.renamed.get(name):
            out.line(f"renamed    {name}: it is now {new}", "yellow")
        else:
            out.line(f"removed    {name}: {why}", "yellow")
    if report.expired:
        out.line(f"expired    {counted(report.expired, 'row')} of quarantine, with their content")
    if report.refused:
        what = f"{counted(len(report.refused), 'file')} refused, tried again by the next run"
        out.line(f"{what}: {', '.join(list(report.refused)[:3])}", "yellow")
    if report.release is not None:
        moved = len(report.moves) + len(report.removed)
        what = counted(moved, "dataset")
        of = "" if report.environment == PROD else f" of {report.environment}"
        out.line(f"release {report.release}{of}: {what}, {report.seconds:.1f} s", "green bold")
    elif report.failed or report.held:
        out.line(
            f"no release: what is released stays as it was, {report.seconds:.1f} s", "yellow bold"
        )
    elif report.checks:
        broken = sum(check.status == "broken" for check in report.checks)
        words = counted(len(report.checks), "check")
        words += f" run, {broken} broken" if broken else " run, none broken"
        style = "yellow bold" if broken else "green"
        out.line(f"nothing to release: {words}, {report.seconds:.1f} s", style)
    elif not report.refused:
        words = "nothing to do: no new files, all models up to date"
        if any(step.action == "replay" and step.status == "nothing" for step in report.steps):
            words = "nothing to replay: no such row is in quarantine"
        if any(step.status == "done" for step in report.steps):
            words = "no release: what landed changed no row"
        out.line(f"{words}, {report.seconds:.1f} s", "green")
