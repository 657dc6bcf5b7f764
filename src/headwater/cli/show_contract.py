"""`headwater show --contract`: what a dataset's contract means, in words. Needs no lake."""

from __future__ import annotations

from dataclasses import asdict

from headwater.api import OpenProject, open_project
from headwater.cli.output import Output
from headwater.cli.show import find
from headwater.contract.contract import Remedy
from headwater.contract.types import VARCHAR
from headwater.contract.words import ContractInWords, RuleInWords, describe
from headwater.names import DatasetName
from headwater.project.definitions import FileDataset, SourceDataset, Write


def command(out: Output, dataset: str, project: str, environment: str) -> int:
    opened = open_project(project, environment=environment)
    name = find(opened, dataset)
    told = _describe(opened, name)
    if out.is_json:
        facts = asdict(told)
        out.json({"dataset": str(name), "contract": facts.pop("dataset"), **facts})
    else:
        definition = opened.project.datasets[name]
        out.line(f"{name} ({definition.file}:{definition.line})", "bold")
        if isinstance(definition, SourceDataset):
            out.line(f"  {_WRITES[definition.definition.write]}")
        _show(out, told)
    return 0


_WRITES = {
    Write.APPEND: "rows are added to those that are there",
    Write.UPSERT: "a row takes the place of the one with its key, else it is added",
    Write.REPLACE: "the table holds what the files hold now",
    Write.HISTORY: "each version of a key is kept, with valid_from and valid_to",
}


def _describe(opened: OpenProject, name: DatasetName) -> ContractInWords:
    definition = opened.project.datasets[name]
    contract = definition.contract
    if isinstance(definition, SourceDataset):
        fields = {column.from_ or n: VARCHAR for n, column in contract.columns.items()}
        repeats = _repeats(definition.definition)
        return describe(contract, fields, otherwise=Remedy.QUARANTINE, repeats=repeats)
    result = opened.bound.results.get(name, {n: c.type for n, c in contract.columns.items()})
    return describe(contract.completed(result), result, otherwise=Remedy.FAIL)


def _repeats(dataset: FileDataset) -> str:
    """What the write mode makes of a row whose key is there already; "" where it says nothing."""
    order = f"the greatest {dataset.latest_by}" if dataset.latest_by else "the last to land"
    if dataset.write is Write.HISTORY:
        return f"of its versions {order} is the valid one"
    if dataset.write is Write.UPSERT:
        return f"of rows with the same key {order} stays"
    return ""


def _show(out: Output, told: ContractInWords) -> None:
    for line in told.dataset:
        out.line(f"  {line}")
    for column in told.columns:
        out.line(f"{column.name}: {column.what}", "bold")
        for line in column.reading:
            out.line(f"  {line}")
        for rule in column.rules:
            out.line(f"  {_rule(rule)}")
    for rule in told.rules:
        out.line(_rule(rule))


def _rule(rule: RuleInWords) -> str:
    return f"{rule.code}: {rule.must}, otherwise {rule.then}"
