"""`headwater quarantine show`."""

from __future__ import annotations

from headwater.api import open_project
from headwater.cli.output import Output
from headwater.cli.records import fetch
from headwater.contract.compile import compile_contract
from headwater.contract.contract import Remedy
from headwater.contract.types import VARCHAR
from headwater.errors import UnknownDataset
from headwater.names import DatasetName

_LINE_CODES = {
    "line.too_few_fields": "the line has too few fields",
    "line.too_many_fields": "the line has too many fields",
    "line.broken_quote": "a quote is not closed, or text follows it",
    "line.not_utf8": "the line is not UTF-8",
    "line.too_long": "the line is too long",
    "line.broken_json": "the line is not JSON",
    "line.no_object": "the line is JSON, but not an object",
    "key.duplicate": "the key was there before",
}


def command(out: Output, row: str, project: str) -> int:
    rows = fetch(project, "SELECT * FROM lake.headwater.quarantine WHERE id = ?", [row])
    if not rows:
        raise UnknownDataset(
            f"no quarantined row {row!r}", hint="`headwater quarantine list` gives the ids"
        )
    meanings = _meanings(project, rows[0]["dataset"])
    if out.is_json:
        out.json(
            [
                {**found, "meanings": [meanings.get(r, r) for r in found["reasons"]]}
                for found in rows
            ]
        )
        return 0
    for found in rows:
        out.line(found["id"], "bold")
        for reason in found["reasons"]:
            out.line(f"  {reason}: {meanings.get(reason, '')}", "red")
        if found["path"]:
            out.line(f"  from {found['path']}:{found['line'] or '?'}, record {found['record']}")
        out.line(f"  run {found['run_id']}, {found['quarantined_at']} UTC")
        out.line()
        out.line(found["content"] or "")
    return 0


def _meanings(project: str, dataset: str) -> dict[str, str]:
    opened = open_project(project)
    definition = opened.project.datasets.get(DatasetName.parse(dataset))
    if definition is None:
        return _LINE_CODES
    fields = {c.from_ or name: VARCHAR for name, c in definition.contract.columns.items()}
    compiled = compile_contract(definition.contract, fields, otherwise=Remedy.QUARANTINE)
    return {**_LINE_CODES, **{check.code: check.meaning for check in compiled.checks}}
