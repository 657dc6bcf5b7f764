"""How commands show things: tables and colour on a terminal, plain text in a pipe, one JSON
value with `--json`. Results go to standard output, everything else to standard error."""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Iterable, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from headwater.errors import HeadwaterError, Mistake, ProjectMistakes

Branches = Sequence[tuple[str, "Branches"]]
"""Texts, each with what is below it."""


class Output:
    """What a command writes with. `is_json`: results as one JSON value."""

    def __init__(self, *, is_json: bool = False, show_traceback: bool = False) -> None:
        self.is_json = is_json
        self.show_traceback = show_traceback
        # In a pipe nothing is wrapped or cut.
        self.out = Console(width=None if sys.stdout.isatty() else 1_000_000, highlight=False)
        self.err = Console(
            width=None if sys.stderr.isatty() else 1_000_000, stderr=True, highlight=False
        )

    @property
    def is_terminal(self) -> bool:
        return self.err.is_terminal and not self.is_json

    def json(self, value: Any) -> None:
        """One JSON value on standard output."""
        sys.stdout.write(json.dumps(value, default=plain, ensure_ascii=False, indent=2) + "\n")

    def line(self, text: str = "", style: str = "") -> None:
        """One line of the result."""
        self.out.print(Text(text, style=style), soft_wrap=True)

    def note(self, text: str, style: str = "dim") -> None:
        """One line beside the result."""
        self.err.print(Text(text, style=style), soft_wrap=True)

    def tree(self, root: str, branches: Branches) -> None:
        """A tree: each text with what is below it."""
        shown = Tree(Text(root, "bold"))
        _grow(shown, branches)
        self.out.print(shown, soft_wrap=True)

    def table(
        self, headings: Sequence[str], rows: Iterable[Sequence[Any]], title: str = ""
    ) -> None:
        """A table; numbers to the right."""
        rows = list(rows)
        if title:
            self.line(title, "bold")
        shown = Table(box=None, pad_edge=False, header_style="bold", show_edge=False)
        for number, heading in enumerate(headings):
            values = [row[number] for row in rows]
            is_number = any(_is_number(value) for value in values)
            shown.add_column(heading, justify="right" if is_number else "left", overflow="fold")
        for row in rows:
            shown.add_row(*(Text(cell(value)) for value in row))
        self.out.print(shown)

    def error(self, error: HeadwaterError) -> None:
        """An error: what, where, what next."""
        if self.show_traceback:
            traceback.print_exception(error)
        if self.is_json:
            self.json(error.as_dict())
            return
        if isinstance(error, ProjectMistakes):
            for mistake in error.mistakes:
                self.mistake(mistake)
        self.err.print(
            Text.assemble(
                ("error", "bold red"),
                f": {error if not isinstance(error, ProjectMistakes) else error.message}",
            )
        )
        if error.hint:
            self.err.print(Text.assemble((" hint", "bold cyan"), f": {error.hint}"))

    def mistake(self, mistake: Mistake) -> None:
        """One mistake of a project, with the line it stands on."""
        self.err.print(Text.assemble((mistake.where, "bold"), f": {mistake.message}"))
        if mistake.source_line:
            self.err.print(Text(f"    {mistake.source_line}", "dim"))
            if mistake.column:
                indent = "".join(
                    "\t" if mark == "\t" else " "
                    for mark in mistake.source_line[: mistake.column - 1]
                )
                self.err.print(Text(f"    {indent}^", "red"))
        if mistake.hint:
            self.err.print(Text.assemble(("    hint", "cyan"), f": {mistake.hint}"))


def _grow(tree: Tree, branches: Branches) -> None:
    for text, below in branches:
        _grow(tree.add(Text(text)), below)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | Decimal) and not isinstance(value, bool)


def cell(value: Any) -> str:
    """A value as people read it in a table."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return f"{value:,}" if abs(value) >= 10_000 else str(value)
    if isinstance(value, datetime):
        return value.isoformat(sep=" ", timespec="seconds" if not value.microsecond else "auto")
    if isinstance(value, list | tuple):
        return ", ".join(cell(item) for item in value)
    return str(value)


def plain(value: Any) -> Any:
    """A value that JSON does not know, as one that it does."""
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, bytes):
        return value.hex()
    return str(value)
