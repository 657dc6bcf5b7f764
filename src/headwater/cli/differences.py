"""Printing how rows differ, for `headwater diff` and `headwater plan --diff`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from headwater.cli.output import Output, cell
from headwater.errors import counted

if TYPE_CHECKING:
    from headwater.lake.diff import DatasetDiff


def show_differences(out: Output, found: Sequence[DatasetDiff]) -> None:
    """Print what differs, dataset by dataset."""
    for diff in found:
        _show(out, diff)
    if not found:
        out.line("nothing differs")


def _show(out: Output, diff: DatasetDiff) -> None:
    was, now = diff.rows
    if was is None or now is None:
        words = (
            f"new, {counted(now or 0, 'row')}" if was is None else f"gone, {counted(was, 'row')}"
        )
        out.line(f"{diff.dataset}: {words}", "bold")
        return
    by = f"by {', '.join(diff.key)}" if diff.key else "by content"
    counts = [f"{diff.added:,} added", f"{diff.removed:,} removed"]
    counts += [f"{diff.changed:,} changed"] if diff.key else []
    out.line(f"{diff.dataset}: {', '.join(counts)}; {was:,} -> {now:,} rows ({by})", "bold")
    for name, kind in (diff.new_columns or {}).items():
        out.line(f"  new column {name}: {kind.lower()}", "green")
    for name, kind in (diff.gone_columns or {}).items():
        out.line(f"  column gone {name}: {kind.lower()}", "red")
    for name, (one, other) in (diff.retyped or {}).items():
        out.line(f"  column {name}: {one.lower()} -> {other.lower()}", "yellow")
    if diff.columns:
        out.table(
            ["  column", "changed", "missing", "mean", "shift"],
            [
                [
                    f"  {column.name}",
                    column.changed,
                    _both(column.nulls),
                    _both(tuple(_rounded(value) for value in column.mean)),
                    f"{column.shift:.1%}",
                ]
                for column in diff.columns
            ],
        )
    for kind, keys in (diff.examples or {}).items():
        shown = "; ".join(", ".join(cell(value) for value in key.values()) for key in keys)
        out.line(f"  {kind}, for example: {shown}", "dim")


def _both(values: tuple[object, ...]) -> str:
    was, now = values
    if was == now:
        return "" if was is None else str(was)
    return f"{cell(was) or 'none'} -> {cell(now) or 'none'}"


def _rounded(value: float | None) -> str | None:
    return None if value is None else f"{value:.4g}"
