"""`headwater show`: a dataset's columns, contract, size and a few rows."""

from __future__ import annotations

from typing import Any

from headwater.analysis.checks import data_checks
from headwater.analysis.graph import renames
from headwater.api import OpenProject, open_project
from headwater.cli.output import Output
from headwater.contract.contract import Contract, Remedy
from headwater.contract.types import VARCHAR
from headwater.contract.words import RuleInWords, describe
from headwater.errors import UnknownDataset, suggestion
from headwater.lake.checks import newest_results
from headwater.lake.lake import Lake
from headwater.lake.query import describe_schema, sample
from headwater.names import PROD, DatasetName
from headwater.project.definitions import Dataset, SourceDataset, is_view


def command(
    out: Output, dataset: str, project: str, environment: str, failed: bool, limit: int
) -> int:
    opened = open_project(project, environment=environment)
    name = find(opened, dataset)
    with opened.read_lake() as lake, lake.reading():
        if failed:
            return _show_failed(out, opened, lake, name, limit)
        facts = _facts(opened, lake, name, limit)
    if out.is_json:
        out.json(facts)
    else:
        _show(out, facts)
    return 0


def find(opened: OpenProject, text: str) -> DatasetName:
    """The dataset that a word on the command line means. Raises UnknownDataset."""
    names = [name for name in opened.project.datasets if text in (str(name), name.name)]
    if len(names) == 1:
        return names[0]
    known = [str(name) for name in opened.project.datasets]
    if names:
        raise UnknownDataset(
            f"{text!r} could be {' or '.join(str(name) for name in names)}",
            hint="name it with its schema",
        )
    renamed = {str(old): new for old, new in renames(opened.project.datasets).items()}
    hint = f"it was renamed: {renamed[text]}" if text in renamed else suggestion(text, known)
    raise UnknownDataset(f"no dataset {text!r}", hint=hint)


def _facts(opened: OpenProject, lake: Lake, name: DatasetName, limit: int) -> dict[str, Any]:
    definition = opened.project.datasets[name]
    state = lake.state_within()
    position = state.released.get(name)
    facts: dict[str, Any] = {
        "dataset": str(name),
        "defined_in": f"{definition.file}:{definition.line}",
        "description": definition.contract.description,
        "owner": definition.contract.owner,
        "tags": list(definition.tags),
        "key": list(definition.contract.key),
        "reads": [str(given) for given in opened.graph.inputs[name]],
        "read_by": [str(reader) for reader in opened.graph.readers[name]],
        "released": bool(position),
        "stored": not is_view(definition),
    }
    rules = _rules(definition)
    facts["rules"] = rules.pop("rule", [])
    facts["checks"] = [
        f"{check.name}: {check.meaning}, otherwise {check.remedy.value}"
        for check in data_checks(opened.project)
        if name in check.inputs
    ]
    if position is None:
        columns = opened.bound.schemas.get(name, {})
        facts["columns"] = [
            _column(n, t.sql, definition.contract, rules) for n, t in columns.items()
        ]
        return facts
    build = state.builds.get((name, position.table))
    row = lake.con.execute(
        f"SELECT count(*) FROM lake.built.{position.table} AT (VERSION => {position.snapshot_id})"
    ).fetchone()
    facts |= {
        "rows": int(row[0]) if row else 0,
        "built_table": position.table,
        "snapshot_id": position.snapshot_id,
        "built_at": build.built_at if build else None,
        "columns": [
            _column(n, kind, definition.contract, rules)
            for n, kind in describe_schema(lake, position)
        ],
        "sample": sample(lake, position, limit).to_pylist(),
    }
    return facts


def _rules(definition: Dataset) -> dict[str, list[str]]:
    """Column (or "rule") -> its rules in words, with their remedies."""
    contract = definition.contract
    is_source = isinstance(definition, SourceDataset)
    fields = {column.from_ or n: VARCHAR for n, column in contract.columns.items()}
    otherwise = Remedy.QUARANTINE if is_source else Remedy.FAIL
    told = describe(contract, fields, otherwise=otherwise)
    found = {
        column.name: [
            _rule(rule, column.name) for rule in column.rules if rule.code != f"{column.name}.type"
        ]
        for column in told.columns
    }
    return {**found, "rule": [_rule(rule, "rule") for rule in told.rules]}


def _rule(rule: RuleInWords, of: str) -> str:
    """A rule of a column, or of a part of it, which is named then."""
    path = rule.code.rpartition(".")[0]
    return f"{'' if path == of else f'{path}: '}{rule.must}, otherwise {rule.remedy.value}"


def _column(
    name: str, kind: str, contract: Contract, rules: dict[str, list[str]]
) -> dict[str, Any]:
    declared = contract.columns.get(name)
    return {
        "name": name,
        "type": kind,
        "description": declared.description if declared else "",
        "rules": rules.get(name, []),
    }


def _show(out: Output, facts: dict[str, Any]) -> None:
    out.line(facts["dataset"], "bold")
    if facts["description"]:
        out.line(facts["description"])
    for word in ("defined_in", "owner", "tags", "key", "reads", "read_by"):
        value = facts[word]
        if value:
            text = ", ".join(value) if isinstance(value, list) else value
            out.line(f"  {word.replace('_', ' '):12}{text}")
    if facts["released"]:
        out.line(f"  {'rows':12}{facts['rows']:,}")
        if not facts["stored"]:
            out.line(f"  {'stored':12}no, computed where it is read")
        out.line(f"  {'built':12}{facts['built_at']} UTC, {facts['built_table']}")
    else:
        out.line("  not released yet: `headwater run` builds it", "yellow")
    out.line()
    out.table(
        ["column", "type", "rules", "description"],
        [[c["name"], c["type"], "; ".join(c["rules"]), c["description"]] for c in facts["columns"]],
    )
    for rule in facts["rules"]:
        out.line(f"  rule: {rule}")
    for check in facts["checks"]:
        out.line(f"  check {check}")
    if facts.get("sample"):
        rows = facts["sample"]
        out.line()
        out.table(list(rows[0]), [list(row.values()) for row in rows], title="some rows")


def _show_failed(
    out: Output, opened: OpenProject, lake: Lake, name: DatasetName, limit: int
) -> int:
    found = [*_broken_rules(lake, name), *_broken_checks(opened, lake, name)]
    for check in found:
        check["sample"] = (check["sample"] or [])[:limit]
    if out.is_json:
        out.json(found)
        return 0
    if not found:
        out.line(f"{name}: no check was broken in its last step", "green")
    for check in found:
        why = check["cause"] or f"{check['rows']:,} rows"
        out.line(f"{check['check']}: {why}, otherwise {check['remedy']}", "bold")
        for text in check["sample"]:
            out.line(f"  {text}")
        if not check["sample"] and not check["cause"]:
            out.line("  the rows are in quarantine: headwater quarantine list", "dim")
    return 0


def _broken_rules(lake: Lake, name: DatasetName) -> list[dict[str, Any]]:
    """The row rules that the dataset's newest step broke. A landing records those alone, so a
    step without any was clean."""
    rows = lake.rows(
        "SELECT run_id, check_name, remedy, sum(failed_rows), any_value(sample), max(checked_at) "
        "FROM lake.headwater.checks WHERE dataset = ? AND status = 'broken' "
        "AND fingerprint IS NULL AND run_id = (SELECT max_by(run_id, started_at) "
        "FROM lake.headwater.steps WHERE dataset = ? AND coalesce(environment, ?) = ?) "
        "GROUP BY run_id, check_name, remedy ORDER BY sum(failed_rows) DESC, check_name",
        [str(name), str(name), PROD, lake.environment],
    )
    return [
        {
            "run_id": row[0],
            "check": row[1],
            "remedy": row[2],
            "rows": int(row[3]),
            "sample": row[4],
            "at": row[5],
            "cause": "",
        }
        for row in rows
    ]


def _broken_checks(opened: OpenProject, lake: Lake, name: DatasetName) -> list[dict[str, Any]]:
    """The checks that read the dataset and whose newest result is broken."""
    newest = newest_results(lake, lake.release().names)
    found = []
    for check in data_checks(opened.project):
        result = newest.get(check.key)
        if name in check.inputs and result and not result.holds:
            found.append(
                {
                    "run_id": result.run_id,
                    "check": check.name,
                    "remedy": result.remedy,
                    "rows": result.failed_rows,
                    "sample": list(result.sample),
                    "at": result.checked_at,
                    "cause": result.cause,
                }
            )
    return found
