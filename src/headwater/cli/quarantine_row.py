"""`headwater quarantine show`."""

from __future__ import annotations

from headwater.api import open_project
from headwater.cli.output import Output
from headwater.cli.records import CURRENT_QUARANTINE, fetch
from headwater.contract.compile import compile_contract
from headwater.contract.contract import Remedy
from headwater.contract.types import VARCHAR
from headwater.errors import UnknownDataset
from headwater.names import DatasetName
from headwater.sources.batch import REASONS


def command(out: Output, row: str, project: str, environment: str) -> int:
    rows = fetch(
        project,
        f"SELECT * FROM {CURRENT_QUARANTINE} WHERE id = ?",
        [environment, row],
        environment=environment,
    )
    if not rows:
        raise UnknownDataset(f"no quarantined row {row!r}", hint=_hint(row, project))
    meanings = _meanings(project, environment, rows[0]["dataset"])
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


def _hint(row: str, project: str) -> str:
    """What became of a row that is not in quarantine."""
    ended = fetch(
        project,
        "SELECT outcome, ended_at FROM lake.headwater.quarantine_outcomes WHERE id = ? "
        "ORDER BY ended_at DESC LIMIT 1",
        [row],
    )
    if not ended:
        return "`headwater quarantine list` gives the ids"
    return f"it was there, and {ended[0]['outcome']} on {ended[0]['ended_at']:%Y-%m-%d}"


def _meanings(project: str, environment: str, dataset: str) -> dict[str, str]:
    opened = open_project(project, environment=environment)
    definition = opened.project.datasets.get(DatasetName.parse(dataset))
    if definition is None:
        return REASONS
    fields = {c.from_ or name: VARCHAR for name, c in definition.contract.columns.items()}
    compiled = compile_contract(definition.contract, fields, otherwise=Remedy.QUARANTINE)
    return {**REASONS, **{check.code: check.meaning for check in compiled.checks}}
