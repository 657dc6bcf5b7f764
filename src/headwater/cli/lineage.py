"""`headwater lineage`: where columns come from, and what comes from them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from headwater.analysis.lineage import ColumnRef, ProjectLineage
from headwater.api import OpenProject, open_project
from headwater.cli.output import Branches, Output
from headwater.errors import UnknownDataset, UnknownSelection, suggestion
from headwater.names import DatasetName
from headwater.project.definitions import SourceDataset


def command(out: Output, name: str, project: str, environment: str, up: bool) -> int:
    opened = open_project(project, environment=environment)
    dataset, column = named(opened, name)
    if out.is_json:
        out.json(_facts(opened, dataset, column, up))
        return 0
    found = opened.lineage.datasets[dataset]
    refs = [ColumnRef(dataset, column)] if column else _columns(opened.lineage, dataset)
    # Where columns cannot be told apart, one stands for all.
    alike = not column and bool(found.blurred) and len(set(found.columns.values())) == 1
    for ref in refs[:1] if alike else refs:
        below = _up(opened, ref, set()) if up else _down(opened.lineage, ref, set())
        out.tree(f"{dataset} (each column)" if alike else str(ref), below)
    if up and (
        rows := _listed(found.rows) + [_field(opened, dataset, f) for f in sorted(found.deciding)]
    ):
        out.line(f"which rows {dataset} has follows from: {', '.join(rows)}")
    if not refs:
        out.line(f"the columns of {dataset} are known once it is built", "yellow")
    if found.blurred:
        out.note(f"{dataset}: {found.blurred} could not be followed, so this may be too much")
    return 0


def named(opened: OpenProject, text: str) -> tuple[DatasetName, str]:
    """What a user means: a dataset, and the column as it spells it ("" for all of them). Raises
    UnknownDataset, UnknownSelection."""
    schema, _, rest = text.partition(".")
    table, _, column = rest.partition(".")
    name = DatasetName(schema, table)
    if name not in opened.lineage.datasets:
        known = [str(known) for known in opened.lineage.datasets]
        raise UnknownDataset(f"no dataset {text or repr(text)}", hint=suggestion(text, known))
    if not column:
        return name, ""
    columns = list(opened.lineage.datasets[name].columns)
    for known_column in columns:
        if known_column.lower() == column.lower():
            return name, known_column
    raise UnknownSelection(
        f"{name} has no column {column!r}",
        hint=suggestion(column, columns) or f"it has: {', '.join(columns[:20])}",
    )


def _columns(lineage: ProjectLineage, dataset: DatasetName) -> list[ColumnRef]:
    return [ColumnRef(dataset, column) for column in lineage.datasets[dataset].columns]


def _listed(refs: Iterable[ColumnRef]) -> list[str]:
    return [str(ref) for ref in sorted(refs)]


def _field(opened: OpenProject, dataset: DatasetName, name: str) -> str:
    """A field of a source's files."""
    definition = opened.project.datasets[dataset]
    assert isinstance(definition, SourceDataset)
    paths = ", ".join(path.glob for path in definition.definition.path)
    return f"{name!r} in {paths}"


def _up(opened: OpenProject, ref: ColumnRef, seen: set[ColumnRef]) -> Branches:
    """What a column is computed from; what was shown above is not shown again."""
    found: list[tuple[str, Branches]] = []
    dataset = opened.lineage.datasets[ref.dataset]
    found += [
        (_field(opened, ref.dataset, name), ())
        for name in sorted(dataset.fields.get(ref.column, ()))
    ]
    for origin in sorted(opened.lineage.inputs_of(ref)):
        again = origin in seen
        seen.add(origin)
        below = () if again else _up(opened, origin, seen)
        more = " (as above)" if again and _has_more(opened, origin) else ""
        found.append((f"{origin}{more}", below))
    return found


def _has_more(opened: OpenProject, ref: ColumnRef) -> bool:
    dataset = opened.lineage.datasets[ref.dataset]
    return bool(opened.lineage.inputs_of(ref) or dataset.fields.get(ref.column))


def _down(lineage: ProjectLineage, ref: ColumnRef, seen: set[ColumnRef]) -> Branches:
    """What is computed from a column, and whose rows it decides on."""
    found: list[tuple[str, Branches]] = []
    users = lineage.users_of(ref)
    for name in dict.fromkeys(user.dataset for user in users if _is_blurred(lineage, user)):
        found.append((f"{name} (each column)", ()))
    for user in users:
        if _is_blurred(lineage, user):
            continue
        again = user in seen
        seen.add(user)
        below = () if again else _down(lineage, user, seen)
        more = " (as above)" if again and lineage.users_of(user) else ""
        found.append((f"{user}{more}", below))
    found += [(f"which rows {name} has", ()) for name in lineage.decided_by(ref)]
    return found


def _is_blurred(lineage: ProjectLineage, ref: ColumnRef) -> bool:
    return bool(lineage.datasets[ref.dataset].blurred)


def _facts(opened: OpenProject, dataset: DatasetName, column: str, up: bool) -> dict[str, Any]:
    """The same as values: for each column its neighbours, one step, and all that is beyond."""
    lineage = opened.lineage
    found = lineage.datasets[dataset]
    refs = [ColumnRef(dataset, column)] if column else _columns(lineage, dataset)
    facts: dict[str, Any] = {
        "dataset": str(dataset),
        "direction": "up" if up else "down",
        "is_exact": not found.blurred,
        "columns": {},
    }
    if up:
        facts["rows"] = _listed(found.rows)
        facts["rows_fields"] = sorted(found.deciding)
    for ref in refs:
        near = lineage.inputs_of(ref) if up else lineage.users_of(ref)
        facts["columns"][ref.column] = {
            "columns": _listed(near),
            "all_columns": _listed(_beyond(lineage, ref, up)),
            **(
                {"fields": sorted(found.fields.get(ref.column, ()))}
                if up
                else {"rows_of": [str(name) for name in lineage.decided_by(ref)]}
            ),
        }
    return facts


def _beyond(lineage: ProjectLineage, ref: ColumnRef, up: bool) -> set[ColumnRef]:
    found: set[ColumnRef] = set()
    waiting = [ref]
    while waiting:
        one = waiting.pop()
        near = lineage.inputs_of(one) if up else lineage.users_of(one)
        fresh = set(near) - found
        found |= fresh
        waiting += fresh
    return found
