"""`headwater impact`: who would notice if a column changed, or any of a dataset."""

from __future__ import annotations

from typing import Any

from headwater.analysis.lineage import ColumnRef, Reach, noticing
from headwater.api import OpenProject, open_project
from headwater.cli.lineage import named
from headwater.cli.output import Output
from headwater.errors import counted
from headwater.names import DatasetName


def command(out: Output, name: str, project: str, environment: str) -> int:
    opened = open_project(project, environment=environment)
    dataset, column = named(opened, name)
    lineage = opened.lineage
    start = (
        [ColumnRef(dataset, column)]
        if column
        else [ColumnRef(dataset, each) for each in lineage.datasets[dataset].columns]
    )
    reach = lineage.reach(start)
    if not column:
        reach = Reach(reach.columns, reach.rows | {dataset} | _readers(opened, dataset))
    facts = [
        _facts(opened, each, reach)
        for each in opened.graph.order
        if each in reach.datasets and each != dataset
    ]
    checks = noticing(opened.project, lineage, opened.bound.schemas, reach)
    if out.is_json:
        out.json(
            {
                "changed": name,
                "datasets": facts,
                "checks": [
                    {"check": c.name, "because_of": why, "where": c.where} for c, why in checks
                ],
            }
        )
        return 0
    if facts:
        out.table(
            ["dataset", "columns", "rows", "owner"],
            [
                [f["dataset"], f["columns"], "may change" if f["rows"] else "", f["owner"]]
                for f in facts
            ],
        )
    if checks:
        out.table(["check", "looks at"], [[check.name, why] for check, why in checks])
    columns = sum(len(fact["columns"]) for fact in facts)
    out.note(
        f"{name} reaches {counted(len(facts), 'dataset')} with {counted(columns, 'column')}, "
        f"and {counted(len(checks), 'check')}"
    )
    return 0


def _readers(opened: OpenProject, dataset: DatasetName) -> frozenset[DatasetName]:
    """What reads a dataset: with other rows of it they may have other rows too."""
    return opened.graph.downstream([dataset])


def _facts(opened: OpenProject, dataset: DatasetName, reach: Reach) -> dict[str, Any]:
    definition = opened.project.datasets[dataset]
    columns = [
        column
        for column in opened.lineage.datasets[dataset].columns
        if ColumnRef(dataset, column) in reach.columns
    ]
    return {
        "dataset": str(dataset),
        "columns": columns,
        "rows": dataset in reach.rows,
        "owner": definition.contract.owner,
        "where": f"{definition.file}:{definition.line}",
    }
