"""Relations and scopes: what a name in a query stands for, in columns of the tables that it reads.

A relation is anything that stands in a FROM. What is known of a column is its origins: the input
columns that its values are computed from.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple


class Origin(NamedTuple):
    """A column of a table that a query reads. Prints as `schema.table.column`."""

    schema: str
    table: str
    column: str

    def __str__(self) -> str:
        return f"{self.schema}.{self.table}.{self.column}"


Origins = frozenset[Origin]
NOTHING: Origins = frozenset()


class NotFollowed(Exception):
    """A part of a query whose columns cannot be told. The argument says which."""


@dataclass(frozen=True)
class Field:
    """One column of a relation. `name` None: it has one that is not known."""

    name: str | None
    origins: Origins

    def is_called(self, name: str) -> bool:
        return self.name is not None and self.name.lower() == name.lower()


@dataclass(frozen=True)
class Relation:
    """What stands in a FROM, or the result of a query.

    fields   its columns, in order.
    rest     the origins of further columns whose names are not known, after the others; None: there
             are none.
    rows     what decides which rows there are.
    name     what its columns may be qualified by: (table,) or (schema, table).
    """

    fields: tuple[Field, ...] = ()
    rest: Origins | None = None
    rows: Origins = NOTHING
    name: tuple[str, ...] = ()

    @property
    def all_origins(self) -> Origins:
        """What any of its columns is computed from."""
        return union(*(field.origins for field in self.fields), self.rest or NOTHING)

    def column(self, name: str) -> Origins | None:
        """The origins of a column; None if there is none of that name."""
        found = [field.origins for field in self.fields if field.is_called(name)]
        if found:
            return union(*found)
        return self.rest

    def is_named(self, parts: Iterable[str]) -> bool:
        """Whether (table,) or (schema, table) means it."""
        wanted = tuple(part.lower() for part in parts)
        mine = tuple(part.lower() for part in self.name)
        return bool(wanted) and mine[-len(wanted) :] == wanted

    def renamed(self, name: str, columns: Iterable[str] = ()) -> Relation:
        """The relation under an alias, its first columns under other names."""
        new = list(columns)
        fields = [
            replace(field, name=new[n]) if n < len(new) else field
            for n, field in enumerate(self.fields)
        ]
        fields += [Field(extra, self.rest or NOTHING) for extra in new[len(self.fields) :]]
        return replace(self, fields=tuple(fields), name=(name,) if name else self.name)


def opaque(origins: Origins, rows: Origins | None = None) -> Relation:
    """A relation of which nothing is known but what any of its columns may be computed from."""
    return Relation(rest=origins, rows=origins if rows is None else rows)


def union(*parts: Origins) -> Origins:
    return NOTHING.union(*parts)


@dataclass
class Scope:
    """What can be named within one SELECT.

    relations  those of its FROM, in order.
    merged     columns that USING made one -> their origins.
    outer      the scope around it, for what is correlated.
    aliases    names of its own select list.
    windows    named windows -> what they go by.
    ctes       names that WITH gave, here and around.
    """

    ctes: Mapping[str, Relation]
    outer: Scope | None = None
    relations: list[Relation] = field(default_factory=list)
    merged: dict[str, Origins] = field(default_factory=dict)
    aliases: dict[str, Origins] = field(default_factory=dict)
    windows: dict[str, Origins] = field(default_factory=dict)

    def inner(self, ctes: Mapping[str, Relation] | None = None) -> Scope:
        """A scope within this one."""
        return Scope(ctes=self.ctes if ctes is None else ctes, outer=self)

    def resolve(self, parts: tuple[str, ...]) -> Origins | None:
        """The origins of `a`, `t.a`, `s.t.a`, or of a field in a struct: `a.f`, `t.a.f`, …

        As DuckDB does: a table's column goes before a struct's field, a column before an alias of
        the select list, what is near before what is around. None: nothing is called so.
        """
        for count in (2, 1):
            if len(parts) > count:
                for relation in self.relations:
                    if relation.is_named(parts[:count]):
                        found = relation.column(parts[count])
                        if found is not None:
                            return found
        name = parts[0]
        found = self._column(name)
        if found is not None:
            return found
        whole = [relation for relation in self.relations if relation.is_named([name])]
        if whole and len(parts) == 1:  # a row as a struct
            return union(*(relation.all_origins for relation in whole))
        if name.lower() in self.aliases:
            return self.aliases[name.lower()]
        return self.outer.resolve(parts) if self.outer else None

    def _column(self, name: str) -> Origins | None:
        if name.lower() in self.merged:
            return self.merged[name.lower()]
        certain = [
            field.origins
            for relation in self.relations
            for field in relation.fields
            if field.is_called(name)
        ]
        if certain:
            return union(*certain)
        possible = [r.rest for r in self.relations if r.rest is not None]
        return union(*possible) if possible else None

    def star(self, of: str = "") -> tuple[list[Field], Origins | None]:
        """The columns of `*`, or of `t.*`; and the origins of those whose names are not known."""
        found: list[Field] = []
        rest: list[Origins] = []
        seen: set[str] = set()
        for relation in self.relations:
            if of and not relation.is_named([of]):
                continue
            for each in relation.fields:
                key = (each.name or "").lower()
                if not of and key in self.merged:
                    if key not in seen:
                        found.append(Field(each.name, self.merged[key]))
                    seen.add(key)
                else:
                    found.append(each)
            if relation.rest is not None:
                rest.append(relation.rest)
        return found, union(*rest) if rest else None

    def has(self, name: str) -> bool:
        """Whether a relation is called so."""
        return any(relation.is_named([name]) for relation in self.relations)

    @property
    def everything(self) -> Origins:
        """What anything that can be named here is computed from."""
        here = union(*(relation.all_origins for relation in self.relations), *self.merged.values())
        return here | self.outer.everything if self.outer else here
