"""`headwater diff`: what differs between two releases, or two environments."""

from __future__ import annotations

from collections.abc import Sequence

from headwater.api import open_project
from headwater.cli.differences import show_differences
from headwater.cli.output import Output
from headwater.errors import ReleaseRefused
from headwater.names import PROD


def command(
    out: Output,
    names: Sequence[str],
    releases: tuple[int, int] | None,
    project: str,
    environment: str,
) -> int:
    datasets = [name for name in names if "." in name]
    environments = [name for name in names if "." not in name]
    if len(datasets) > 1 or len(environments) > 2 or (environments and releases):
        raise ReleaseRefused(
            "that is more than two things to compare",
            hint="headwater diff [DATASET] --release A B, or headwater diff prod dev [DATASET]",
        )
    opened = open_project(project, environment=environment)
    dataset = datasets[0] if datasets else ""
    if environments:
        was, now = environments if len(environments) == 2 else (PROD, environments[0])
        found = opened.diff_environments(was, now, dataset)
    else:
        before, after = releases or (None, None)
        found = opened.diff(before, after, dataset)
    if out.is_json:
        out.json([diff.as_dict() for diff in found])
        return 0
    show_differences(out, found)
    return 0
