"""`python -m bench [NAME…] [--big] [--dlt] [--peers] [--repeats N] [--json]`."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict

import duckdb

from bench import commands, landing, merging
from bench.measure import Line

Figure = Callable[[int], list[Line]]

FIGURES: Mapping[str, Figure] = {
    "csv": landing.csv,
    "jsonl": landing.jsonl,
    "upsert": merging.upsert,
    "history": merging.history,
    "replay": merging.replay,
    "models": commands.models,
    "help": commands.help_,
    "check": commands.check,
    "unit": commands.unit,
    "plan": commands.plan,
    "plan_big": commands.plan_big,
    "diff": commands.diff,
    "big": commands.big,
}
"""Name -> figure. Each takes how often to repeat."""
LARGE = ("plan_big", "diff", "big")
"""Figures that take minutes, for `--big`."""
PEER_SIZES = {"plan": 200, "plan_big": 2_000}
"""Figure -> how many models `--peers` gives the peers beside it."""


def main(words: Sequence[str] | None = None) -> int:
    """Measure and print. Returns 0 if every bound holds, 1 if one does not."""
    asked = _parse(words)
    names = asked.names or [name for name in FIGURES if name not in LARGE]
    if "all" in names:
        names = list(FIGURES)
    if asked.big:
        names += [name for name in LARGE if name not in names]
    lines: list[Line] = []
    for name in names:
        started = time.monotonic()
        print(f"{name}: {_summary(FIGURES[name])}", file=sys.stderr)
        lines += FIGURES[name](asked.repeats)
        print(f"  took {time.monotonic() - started:.0f} s", file=sys.stderr)
    if asked.dlt:
        from bench import dlt_peer  # sets up an environment of its own

        lines += dlt_peer.lines(asked.repeats)
    if asked.peers:
        from bench import plan_peers  # sets up environments of its own

        sizes = [size for name, size in PEER_SIZES.items() if name in names]
        lines += plan_peers.lines(asked.repeats, sizes or [200])
    if asked.json:
        print(json.dumps([_as_dict(line) for line in lines], indent=2))
    else:
        print(f"\n{_machine()}\n\n{_table(lines)}")
    return 1 if any(line.holds is False for line in lines) else 0


def _parse(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure Headwater.")
    known = f"one of {', '.join(FIGURES)}; or all. Without a name: all but the large ones"
    parser.add_argument("names", nargs="*", metavar="NAME", help=known)
    parser.add_argument("--big", action="store_true", help="the large ones too")
    parser.add_argument("--dlt", action="store_true", help="compare with dlt (installs it)")
    parser.add_argument(
        "--peers",
        action="store_true",
        help="compare plan, or plan_big, with SQLMesh and dbt-core (installs them)",
    )
    parser.add_argument("--repeats", type=int, default=7, help="of each figure (default: 7)")
    parser.add_argument("--json", action="store_true", help="print one JSON list")
    asked = parser.parse_args(words)
    if unknown := set(asked.names) - {*FIGURES, "all"}:
        parser.error(f"unknown: {', '.join(sorted(unknown))}; {known}")
    return asked


def _summary(figure: Figure) -> str:
    return (figure.__doc__ or "").strip().split("\n")[0]


def _machine() -> str:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    return (
        f"{os.cpu_count()} cores, {memory:.0f} GB, Python {platform.python_version()}, "
        f"DuckDB {duckdb.__version__}. Medians."
    )


def _as_dict(line: Line) -> dict[str, object]:
    return {**asdict(line), "ratio": line.ratio, "holds": line.holds}


HEADER = ("figure", "what", "ours", "least-most", "peer", "ratio", "bound", "holds")


def _table(lines: Sequence[Line]) -> str:
    rows = [HEADER, *(_row(line) for line in lines)]
    widths = [max(len(row[n]) for row in rows) for n in range(len(HEADER))]
    rows.insert(1, tuple("-" * width for width in widths))
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        for row in rows
    )


def _row(line: Line) -> tuple[str, ...]:
    digits = 0 if line.unit == "MiB" else 3
    spread = f"{line.spread[0]:.{digits}f}-{line.spread[1]:.{digits}f}" if line.spread else ""
    bound = ""
    if line.bound is not None:
        bound = f"{line.bound:g}x" if line.peer else f"{line.bound:g} {line.unit}"
    return (
        line.figure,
        line.what,
        f"{line.ours:.{digits}f} {line.unit}",
        spread,
        f"{line.peer:.{digits}f} {line.unit}" if line.peer else "",
        f"{line.ratio:.2f}x" if line.ratio else "",
        bound,
        {True: "yes", False: "NO", None: ""}[line.holds],
    )


if __name__ == "__main__":
    sys.exit(main())
