"""A run that has nothing to do: when the next one has nothing to do either, and its report.

Pure, but for a look into the lake's folder.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headwater.folder import RAW
from headwater.names import PROD, DatasetName
from headwater.run.report import Report, StepReport, new_run_id

if TYPE_CHECKING:
    from headwater.project.definitions import Settings


def idle_steps(report: Report, settings: Settings, lake: Path) -> list[list[str]] | None:
    """The steps of a run as [dataset, action, reason], if all that it did was to look, and a run
    at any later time will see the same as long as nothing changes; else None.

    A check that depends on the time is run each time, so its run is none of these. What ages by
    itself is: quarantine with `quarantine_retention_days`, and copies of files.
    """
    if settings.quarantine_retention_days or any((lake / RAW).glob("*/*")):
        return None
    steps = [[str(step.dataset), step.action, step.reason] for step in report.steps]
    return (
        steps
        if _timeless(report) == _timeless(idle_report(steps, 0.0, report.environment))
        else None
    )


def _timeless(report: Report) -> dict[str, Any]:
    """What a report says, but for when the run was and how long it took."""
    told = report.as_dict()
    told["steps"] = [{**step, "seconds": 0.0} for step in told["steps"]]
    return {**told, "run_id": "", "seconds": 0.0}


def idle_report(steps: Sequence[Sequence[str]], seconds: float, environment: str = PROD) -> Report:
    """The report of a run that had nothing to do in any of its steps."""
    return Report(
        run_id=new_run_id(),
        environment=environment,
        steps=[
            StepReport(
                dataset=DatasetName.parse(name), action=action, status="nothing", reason=reason
            )
            for name, action, reason in steps
        ],
        seconds=seconds,
    )


def is_quiet(lake: Path) -> bool:
    """Whether no other run is going on in a lake, or was killed and has to be cleared up after."""
    return not any((lake / "locks").glob("run-*.lock"))
