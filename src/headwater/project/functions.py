"""The project's functions: which there are, which call which, and who uses them.

A function is one CREATE FUNCTION in `functions/NAME.sql`. Its text is known to whatever uses
it: a dataset's fingerprint covers it, and the tables that it reads are inputs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from graphlib import CycleError, TopologicalSorter
from typing import TypeVar

from headwater.errors import Mistake
from headwater.project.definitions import (
    Dataset,
    Function,
    FunctionNote,
    PythonModel,
    SqlCheck,
    SqlModel,
)
from headwater.project.mistakes import mistake_in
from headwater.sql.functions import FunctionText, called, called_in_texts, is_known_to_sql

D = TypeVar("D", bound=Dataset)


@dataclass
class Functions:
    """The functions found so far, and what is wrong with them.

    unread   the names of those with mistakes: what calls them cannot be judged.
    """

    texts: Mapping[str, str]
    found: dict[str, Function] = field(default_factory=dict)
    unread: set[str] = field(default_factory=set)
    mistakes: list[Mistake] = field(default_factory=list)

    def add(self, stem: str, file: str, note: FunctionNote | None, text: FunctionText) -> None:
        """Take one function that could be parsed; `stem` is its file's name."""
        other = self.found.get(text.name)
        if is_known_to_sql(text.name):
            self.refuse(text, file, *shadows(text.name))
        elif text.name != stem:
            self.refuse(
                text,
                file,
                f"the function is called {text.name!r}, its file {stem + '.sql'!r}",
                "give both the same name, in lower case",
            )
        elif other:
            line = other.text.place.line
            self.refuse(
                text,
                file,
                f"the function {text.name} is made twice: here and at {other.file}:{line}",
                "rename or remove one of them",
            )
        elif note is None:
            self.unread.add(text.name)
        else:
            self.found[text.name] = Function(file=file, note=note, text=text)

    def refuse(self, text: FunctionText, file: str, message: str, hint: str) -> None:
        self.unread.add(text.name)
        self.mistake(text, file, message, hint)

    def mistake(self, text: FunctionText, file: str, message: str, hint: str) -> None:
        whole = self.texts.get(file, "")
        self.mistakes.append(mistake_in(whole, file, text.place, message, hint))

    def finish(self) -> dict[str, Function]:
        """The functions, each with those that it calls; callees first. Those that call
        themselves are mistakes, and left out."""
        names = frozenset(self.found)
        made = {
            name: replace(function, calls=tuple(sorted(function.text.calls & names)))
            for name, function in self.found.items()
        }
        while True:
            try:
                order = list(
                    TopologicalSorter({n: f.calls for n, f in sorted(made.items())}).static_order()
                )
            except CycleError as error:
                cycle = list(reversed(error.args[1][:-1]))
                self._note_cycle(made, cycle)
                self.unread |= set(cycle)
                made = {n: f for n, f in made.items() if n not in cycle}
                made = {
                    n: replace(f, calls=tuple(c for c in f.calls if c in made))
                    for n, f in made.items()
                }
            else:
                return {name: made[name] for name in order}

    def _note_cycle(self, made: Mapping[str, Function], cycle: list[str]) -> None:
        start = cycle.index(min(cycle))
        cycle = cycle[start:] + cycle[:start]
        first = made[cycle[0]]
        loop = " -> ".join([*cycle, cycle[0]])
        hint = "a function cannot call itself, not through others either"
        self.mistake(first.text, first.file, f"a cycle: {loop}", hint)


def shadows(name: str) -> tuple[str, str]:
    """What to say of a function that has the name of one of SQL's own."""
    return f"{name!r} is a function of SQL itself", "give yours another name"


def closure(names: Iterable[str], functions: Mapping[str, Function]) -> tuple[Function, ...]:
    """The functions of these names and all that they call, callees first. `functions` has them
    in that order."""
    wanted, waiting = set(), [name for name in names if name in functions]
    while waiting:
        name = waiting.pop()
        if name not in wanted:
            wanted.add(name)
            waiting += functions[name].calls
    return tuple(function for name, function in functions.items() if name in wanted)


def used_in(sql: str, functions: Mapping[str, Function]) -> tuple[Function, ...]:
    """Every function that a text of SQL uses. Raises SqlError for text that has no end."""
    return closure(called(sql) & functions.keys(), functions) if functions else ()


def with_functions(dataset: D, functions: Mapping[str, Function]) -> D:
    """A dataset that knows the functions that it uses: in its query, its row rules, or (in a
    Python model) anywhere in its module."""
    names: set[str] = set()
    for path, expression in dataset.contract.expressions():
        if path[:1] != ("checks",):  # those are no part of what the rows mean
            names |= called(expression)
    if isinstance(dataset, SqlModel):
        names |= called(dataset.query.text)
    elif isinstance(dataset, PythonModel):
        names |= called_in_texts(dataset.meaning, frozenset(functions))
    used = closure(names & functions.keys(), functions)
    return replace(dataset, functions=used) if used else dataset


def check_with_functions(check: SqlCheck, functions: Mapping[str, Function]) -> SqlCheck:
    """A check that knows the functions that it uses."""
    return replace(check, functions=used_in(check.query.text, functions))
