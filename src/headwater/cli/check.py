"""`headwater check`."""

from __future__ import annotations

from headwater.api import check_project
from headwater.cli.output import Output
from headwater.errors import ProjectMistakes


def command(out: Output, project: str, variables: dict[str, str]) -> int:
    opened, mistakes = check_project(project, variables=variables)
    if mistakes:
        raise ProjectMistakes(mistakes)
    datasets = opened.project.datasets
    if out.is_json:
        out.json({"mistakes": [], "datasets": [str(name) for name in opened.graph.order]})
    else:
        sources = sum(1 for dataset in datasets.values() if not hasattr(dataset, "query"))
        out.line(f"{opened.project.settings.name}: {len(datasets)} datasets, no mistakes", "green")
        if not sources:
            out.note("there is no source yet: add sources/NAME.yaml")
    return 0
