"""What columns and rows mean: values, and what can be named within one SELECT.

A relation's rows are meant by a text. Within those rows, each column is meant by a text of its own:
how the column's value of a row comes about. `meaning.py` finds them out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from headwater.sql.query import digest
from headwater.sql.scopes import NotFollowed, Origin

Tables = frozenset[tuple[str, str]]


@dataclass(frozen=True)
class Part:
    """What the values of a column mean, or what rows there are.

    text    stable between processes; no alias counts in it.
    reads   input columns whose values count.
    tables  (schema, table) of inputs whose rows count.
    is_chosen
            whether it may follow from an order that the query does not fix: which of several equal
            rows comes first.
    """

    text: str
    reads: frozenset[Origin] = frozenset()
    tables: Tables = frozenset()
    is_chosen: bool = False

    @property
    def told(self) -> list[Any]:
        """It as plain JSON."""
        reads = sorted(list(origin) for origin in self.reads)
        return [self.text, reads, sorted(list(table) for table in self.tables), self.is_chosen]

    @classmethod
    def parse(cls, told: list[Any]) -> Part:
        """It from what `told` gave. Raises TypeError and ValueError for anything else."""
        text, reads, tables, is_chosen = told
        if not isinstance(text, str) or not isinstance(is_chosen, bool):
            raise TypeError("not what a part tells of itself")
        return cls(
            text,
            frozenset(Origin(*origin) for origin in reads),
            frozenset((schema, table) for schema, table in tables),
            is_chosen,
        )


def joined(kind: str, *parts: Part) -> Part:
    """A part that is made of others, in their order."""
    return Part(
        digest(kind, *(part.text for part in parts)),
        frozenset().union(*(part.reads for part in parts)),
        frozenset().union(*(part.tables for part in parts)),
        any(part.is_chosen for part in parts),
    )


def in_any_order(kind: str, parts: Iterable[Part]) -> Part:
    """A part that is made of others, whatever their order, and however often there is each."""
    return joined(kind, *{part.text: part for part in sorted(parts, key=_text)}.values())


def _text(part: Part) -> str:
    return part.text


@dataclass(frozen=True)
class Field:
    """One column of a relation. `name` None: it has one that is not known. In lower case."""

    name: str | None
    part: Part


@dataclass(frozen=True)
class Relation:
    """What stands in a FROM, or the result of a query.

    fields    its columns, in order.
    rows      which rows there are.
    is_open   whether it may have columns that are not among `fields`, anywhere between them.
    is_table  whether it is a table, which has more columns than those that are shown.
    name      what its columns may be qualified by: (table,) or (schema, table).
    """

    fields: tuple[Field, ...]
    rows: Part
    is_open: bool = False
    is_table: bool = False
    name: tuple[str, ...] = ()

    def is_named(self, parts: Sequence[str]) -> bool:
        return bool(self.name) and self.name[-len(parts) :] == tuple(parts)

    def column(self, name: str) -> Part | None:
        """The column of a name; None: none of those that are known."""
        found = [each.part for each in self.fields if each.name == name]
        if len(found) > 1:
            raise NotFollowed(f"which of the columns {name}")
        if found:
            return found[0]
        if self.is_table and name in _HIDDEN:
            raise NotFollowed(f"the name {name}")
        return None

    @property
    def is_unsure(self) -> bool:
        """Whether it may have columns of names that are not known."""
        names = {each.name for each in self.fields}
        # Of two columns of one name, DuckDB gives the second another.
        return self.is_open or None in names or len(names) < len(self.fields)

    def renamed(self, name: str, columns: Sequence[str]) -> Relation:
        """The relation under an alias, its first columns under other names."""
        if columns and self.is_open:
            raise NotFollowed("names of columns that are not known")
        fields = [
            replace(each, name=columns[n]) if n < len(columns) else each
            for n, each in enumerate(self.fields)
        ]
        return replace(self, fields=tuple(fields), name=(name,) if name else self.name)

    @property
    def parts(self) -> list[Part]:
        """Its rows and columns."""
        return [self.rows, *(each.part for each in self.fields)]


_HIDDEN = frozenset(["rowid", "snapshot_id", "filename", "file_row_number", "file_index"])
"""Columns that DuckLake has beside those of a table."""


@dataclass
class Noted:
    """What an expression turned out to be made of, beside its text.

    aggregates, windows  whether it has any of its own.
    is_chosen            as in `Part`.
    own, outer           whether it names columns of its own FROM, and of those around it.
    """

    reads: set[Origin] = field(default_factory=set)
    tables: set[tuple[str, str]] = field(default_factory=set)
    aggregates: bool = False
    windows: bool = False
    is_chosen: bool = False
    own: bool = False
    outer: bool = False

    def note(self, part: Part) -> None:
        self.reads |= part.reads
        self.tables |= part.tables
        self.is_chosen |= part.is_chosen

    def add(self, other: Noted) -> None:
        self.reads |= other.reads
        self.tables |= other.tables
        self.aggregates |= other.aggregates
        self.windows |= other.windows
        self.is_chosen |= other.is_chosen
        self.own |= other.own
        self.outer |= other.outer

    def part(self, text: str) -> Part:
        return Part(digest(text), frozenset(self.reads), frozenset(self.tables), self.is_chosen)


@dataclass(frozen=True)
class Entry:
    """An entry of a select list: its name, its text in terms of the FROM, and what that notes."""

    name: str | None
    part: Part
    noted: Noted


@dataclass(frozen=True)
class Merged:
    """Columns that USING made one. `places`: of the relations that they come from."""

    part: Part
    places: frozenset[int]


@dataclass
class Scope:
    """What can be named within one SELECT.

    ctes       names that WITH gave, here and around.
    outer      the scope around it, for what is correlated.
    relations  those of its FROM by their place, as far as it was read.
    read       how many those were, with those that cannot be named any more.
    aliases    entries of its select list by their names, as far as it was read.
    later      names of the entries that were not read yet.
    windows    named windows -> their text.
    """

    ctes: Mapping[str, Relation]
    outer: Scope | None = None
    relations: dict[int, Relation] = field(default_factory=dict)
    read: int = 0
    merged: dict[str, Merged] = field(default_factory=dict)
    aliases: dict[str, list[Entry]] = field(default_factory=dict)
    later: frozenset[str] = frozenset()
    windows: dict[str, tuple[str, Noted]] = field(default_factory=dict)

    @property
    def depth(self) -> int:
        return self.outer.depth + 1 if self.outer else 0

    def add(self, relation: Relation) -> int:
        """Put a relation at the next place."""
        place = self.read
        self.relations[place] = relation
        self.read += 1
        return place

    def find(self, parts: Sequence[str]) -> tuple[str, Part, int] | None:
        """What a name means in the FROM: (where, the column, how many parts of the name that
        took). None: surely nothing.

        parts  `a`, `t.a`, `s.t.a`, perhaps with names of fields behind.
        """
        found: list[tuple[str, Part, int]] = []
        for count in (1, 2):
            if len(parts) <= count:
                break
            named = [p for p, each in self.relations.items() if each.is_named(parts[:count])]
            for place in named:
                column = self.relations[place].column(parts[count])
                if column is None:
                    raise NotFollowed(f"the name {'.'.join(parts)}")
                found.append((f"{place}", column, count + 1))
        if len(found) == 1:
            return found[0]  # a column of a table goes before a field of a column
        name = parts[0]
        merged = self.merged.get(name)
        if merged:
            found.append(("using", merged.part, 1))
        for place, relation in self.relations.items():
            if merged and place in merged.places:
                continue
            column = relation.column(name)
            if column is not None:
                found.append((f"{place}", column, 1))
        if not found and any(each.is_named([name]) for each in self.relations.values()):
            raise NotFollowed(f"a row as a value: {name}")
        # Two columns of one name would be refused, so one that is known is the only one.
        if not found and any(each.is_unsure for each in self.relations.values()):
            raise NotFollowed(f"the name {name}")
        if len(found) > 1:
            raise NotFollowed(f"which of the columns {name}")
        return found[0] if found else None

    def star(self, of: str = "") -> list[tuple[str | None, str, Part]]:
        """The columns of `*`, or of `t.*`: name, where, column."""
        named = {p: r for p, r in self.relations.items() if not of or r.is_named([of])}
        if of and len(named) != 1:
            raise NotFollowed(f"what {of}.* is")
        found: list[tuple[str | None, str, Part]] = []
        seen: set[str] = set()
        for place, relation in named.items():
            if relation.is_open:
                raise NotFollowed("a star over columns that are not known")
            for each in relation.fields:
                merged = None if of or each.name is None else self.merged.get(each.name)
                if merged and place in merged.places and each.name:
                    if each.name not in seen:
                        found.append((each.name, "using", merged.part))
                    seen.add(each.name)
                else:
                    found.append((each.name, f"{place}", each.part))
        return found

    @property
    def has_names(self) -> bool:
        """Whether anything here or around could be meant by a name."""
        return bool(self.relations or self.aliases) or bool(self.outer and self.outer.has_names)
