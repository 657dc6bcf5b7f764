"""`headwater ledger`."""

from __future__ import annotations

from headwater.cli.output import Output
from headwater.cli.records import fetch

_ALWAYS = ("received", "landed", "quarantined", "removed", "rows_before", "rows_after")
_SOMETIMES = (
    "updated", "unchanged", "deduplicated", "dropped", "nulled", "defaulted", "clipped",
)  # fmt: skip

_EARLIER = (
    "SELECT earlier.dataset FROM lake.headwater.builds earlier "
    "JOIN lake.headwater.builds b USING (built_table) WHERE b.dataset = ? "
    "OR b.dataset LIKE '%.' || ?"
)
"""The names that a dataset had before: whoever has builds of its built tables."""


def command(out: Output, dataset: str, project: str, run_id: str, limit: int) -> int:
    newest = "(SELECT max_by(run_id, committed_at) FROM lake.headwater.ledger)"
    wanted = newest if run_id == "last" else "?"
    conditions, parameters = ["TRUE"], []
    if dataset:
        conditions.append(f"(dataset = ? OR dataset LIKE '%.' || ? OR dataset IN ({_EARLIER}))")
        parameters += [dataset] * 4
    if run_id:
        conditions.append(f"run_id = {wanted}")
        parameters += [] if run_id == "last" else [run_id]
    rows = fetch(
        project,
        f"SELECT * FROM lake.headwater.ledger WHERE {' AND '.join(conditions)} "
        f"ORDER BY committed_at DESC, step DESC LIMIT {int(limit)}",
        parameters,
    )
    if out.is_json:
        out.json(rows)
        return 0
    used = [name for name in _SOMETIMES if any(row[name] for row in rows)]
    counts = [
        *_ALWAYS[:2],
        *used[:0],
        *[n for n in used if n not in ("nulled", "defaulted", "clipped")],
    ]
    counts += [*_ALWAYS[2:], *[n for n in used if n in ("nulled", "defaulted", "clipped")]]
    out.table(
        ["run", "step", "dataset", *(name.replace("_", " ") for name in counts)],
        [
            [row["run_id"], str(row["step"]), row["dataset"], *(row[name] for name in counts)]
            for row in reversed(rows)
        ],
    )
    return 0
