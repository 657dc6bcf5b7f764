"""`headwater test`: the unit tests of a project's models."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from headwater.analysis.graph import select
from headwater.api import OpenProject, check_project_and_tests
from headwater.cli.output import Output
from headwater.engine.unit_tests import ReadyTest
from headwater.errors import HeadwaterError, ProjectMistakes, UnknownSelection, counted
from headwater.project.recording import NewRows, recorded
from headwater.run.unit_tests import Outcome, Status, run_tests


def command(
    out: Output,
    selectors: list[str],
    project: str,
    variables: dict[str, str],
    update: bool,
    verbose: bool,
) -> int:
    started = time.monotonic()
    opened, tests, ready, mistakes = check_project_and_tests(project, variables=variables)
    if mistakes:
        raise ProjectMistakes(mistakes)
    wanted = _selected(opened, ready, selectors)
    outcomes = []
    for outcome in run_tests(opened.project.folder, tests, wanted):
        outcomes.append(outcome)
        if not (update and outcome.is_recordable):
            _show(out, outcome, verbose=verbose)
    if update:
        for outcome in _record(opened.project.folder, outcomes):
            _show(out, outcome, verbose=verbose)
    seconds = time.monotonic() - started
    _sum_up(out, outcomes, seconds, any_there=bool(ready))
    return 1 if any(outcome.status is Status.FAILED for outcome in outcomes) else 0


def _selected(
    opened: OpenProject, ready: Sequence[ReadyTest], selectors: list[str]
) -> list[ReadyTest]:
    """The tests that any of the selectors means: by name, by file, or by the model."""
    words = [word.strip() for text in selectors for word in _words(text, ready) if word.strip()]
    if not words:
        return list(ready)
    found: set[int] = set()
    for word in words:
        own = {n for n, one in enumerate(ready) if word in (one.test.name, one.test.file)}
        if not own:
            try:
                models = select(opened.graph, [word])
            except UnknownSelection as error:
                hint = error.hint or "a model, a test's name, or its file"
                raise UnknownSelection(f"{word}: nothing is named so", hint=hint) from error
            own = {n for n, one in enumerate(ready) if one.model.name in models}
        found |= own
    return [one for number, one in enumerate(ready) if number in found]


def _words(text: str, ready: Sequence[ReadyTest]) -> list[str]:
    """Commas separate, unless a test is called so."""
    return [text] if any(one.test.name == text for one in ready) else text.split(",")


def _show(out: Output, outcome: Outcome, *, verbose: bool) -> None:
    if out.is_json:
        return
    test = outcome.ready.test
    if outcome.status is Status.FAILED:
        out.line(f"failed    {test.title}: {outcome.message}  ({test.file}:{test.line})", "red")
        for line in outcome.detail.splitlines():
            out.line(f"    {line}", _STYLES.get(line[:1], ""))
    elif outcome.status is Status.RECORDED:
        out.line(f"recorded  {test.title}  ({test.file})", "yellow")
    elif verbose:
        out.line(f"passed    {test.title}  ({outcome.seconds:.3f} s)", "green")


_STYLES = {"-": "red", "+": "green", "~": "yellow"}


def _record(folder: Path, outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Write what models gave into the files of their tests, and say so in the outcomes."""
    by_file: dict[str, dict[int, Outcome]] = defaultdict(dict)
    for outcome in outcomes:
        if outcome.status is Status.FAILED and outcome.is_recordable:
            number = outcome.ready.test.path[1]
            by_file[outcome.ready.test.file][int(number)] = outcome
    changed = []
    for file, of_file in by_file.items():
        path = folder / file
        raw = path.read_bytes()
        mark = "\ufeff" if raw.startswith(b"\xef\xbb\xbf") else ""
        text = raw.decode("utf-8-sig")
        try:
            text = recorded(text, {number: _new_rows(one) for number, one in of_file.items()})
        except HeadwaterError as error:
            raise HeadwaterError(error.message, where=file, hint=error.hint) from error
        path.write_bytes((mark + text).encode())
        for outcome in of_file.values():
            # What else was wrong stays wrong.
            if not outcome.is_broken:
                outcome.status = Status.RECORDED
            changed.append(outcome)
    return changed


def _new_rows(outcome: Outcome) -> NewRows:
    """What to expect: of a test that names columns, those."""
    assert outcome.actual
    kinds, rows = outcome.actual
    expect = outcome.ready.test.expect
    named = {str(name).lower() for name in expect.columns} if expect else set()
    if expect and expect.rows:
        kinds = {name: kind for name, kind in kinds.items() if name.lower() in named}
    return NewRows(kinds, rows)


def _sum_up(out: Output, outcomes: Sequence[Outcome], seconds: float, *, any_there: bool) -> None:
    count = {status: sum(one.status is status for one in outcomes) for status in Status}
    failed, new = count[Status.FAILED], count[Status.RECORDED]
    if out.is_json:
        out.json(
            {
                "tests": [outcome.as_dict() for outcome in outcomes],
                **{status.value: number for status, number in count.items()},
                "seconds": round(seconds, 3),
            }
        )
        return
    if not any_there:
        out.note("there is no unit test yet: add tests/NAME.yaml")
    words = [counted(len(outcomes), "test")]
    words += [f"{failed} failed"] if failed else []
    words += [f"{new} recorded"] if new else []
    words += ["all passed"] if outcomes and not failed and not new else []
    style = "red" if failed else "yellow" if new or not outcomes else "green"
    out.line(f"{', '.join(words)}, {seconds:.1f} s", style)
