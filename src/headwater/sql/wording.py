"""What an expression means: one text for all that mean the same.

A name of a column becomes the place of its relation in the FROM, and what the column means there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from sqlglot import exp

from headwater.sql import builtin
from headwater.sql.canonical import conditions_of, without_parentheses
from headwater.sql.functions import FunctionText
from headwater.sql.meant import Noted, Part, Relation, Scope, joined
from headwater.sql.query import digest
from headwater.sql.scopes import NotFollowed
from headwater.sql.trees import AT_PLACES, PLAIN, WITH_WORDS, is_star, only, raw


class Lost(NotFollowed):
    """What cannot be told of a part of a query, and touches what is around that part too."""


@dataclass
class Writer:
    """Writes an expression out.

    query      what a subquery gives.
    functions  the project's, also those that others use; those of rows are not followed.
    scope      what can be named.
    either     whether a name may be that of an entry of the select list where it is one of a
               column too.
    noted      what it was made of.
    bound      parameters of lambdas.
    """

    query: Callable[[exp.Expr, Scope], Relation]
    functions: Mapping[str, FunctionText]
    scope: Scope
    either: bool = False
    noted: Noted = field(default_factory=Noted)
    bound: frozenset[str] = frozenset()

    def part(self, node: exp.Expr) -> Part:
        text = self.write(without_parentheses(node))
        if text.startswith("=") and "." not in text:
            # By its name or its place, an entry is the same.
            return replace(self.noted.part(""), text=text[1:])
        return self.noted.part(text)

    def write(self, node: exp.Expr) -> str:
        if isinstance(node, exp.Column):
            return self.column(node)
        if isinstance(node, exp.Literal):
            return f"{node.this!r}" if node.is_string else f"{node.this}"
        if isinstance(node, exp.And):
            return f"and({','.join(sorted(map(self.write, conditions_of(node))))})"
        if isinstance(node, exp.Exists):
            return f"exists({self.subquery(node.this, only_rows=True)})"
        if isinstance(node, exp.Query | exp.Values):
            return self.subquery(node)
        if isinstance(node, exp.Window):
            return self.window(node)
        if isinstance(node, exp.Anonymous):
            return self.call(node)
        if isinstance(node, exp.GroupConcat | exp.PercentileCont | exp.PercentileDisc):
            return self.aggregate(node, isinstance(node, exp.GroupConcat))
        if isinstance(node, exp.Filter | exp.WithinGroup):
            return self.aggregate(node, False)
        if isinstance(node, exp.Identifier):
            if node.name.lower() not in self.bound:
                raise NotFollowed(f"the name {node.name}")
            return f"bound {node.name!r}"
        if isinstance(node, exp.Lambda):
            return self.function(node)
        if isinstance(node, exp.Where):
            return self.write(without_parentheses(node.this))
        if isinstance(node, exp.DataType | exp.Var):
            if not isinstance(node.parent, WITH_WORDS):
                raise NotFollowed(f"the word {node.name}")
            return raw(node)
        if not isinstance(node, PLAIN):
            raise NotFollowed(f"a {node.key.upper()}")
        return self.plain(node)

    def plain(self, node: exp.Expr, *, without: Sequence[str] = ()) -> str:
        """A node whose parts are all expressions of the same rows."""
        found = []
        for key in sorted(node.args):
            value = node.args[key]
            if value is None or value is False or key in without:
                continue
            if key == "this" and isinstance(node, exp.PropertyEQ | exp.Kwarg):
                found.append(f"{raw(value)}")  # the name of a field
            elif key == "expression" and isinstance(node, exp.Dot):
                if not isinstance(value, exp.Identifier):
                    raise NotFollowed("a function behind a dot")
                found.append(f"{value.name!r}")
            else:
                found.append(f"{key}={self.value(value)}")
        return f"{node.key}({','.join(found)})"

    def value(self, value: object) -> str:
        if isinstance(value, exp.Expr):
            return self.write(value)
        if isinstance(value, list):
            return f"[{','.join(map(self.value, value))}]"
        return repr(value)

    # ---- names

    def column(self, node: exp.Column) -> str:
        if isinstance(node.this, exp.Star):
            raise NotFollowed("a star within an expression")
        names = [part.name for part in node.parts]
        lower = [name.lower() for name in names]
        if lower[0] in self.bound:
            return f"bound {names!r}"
        entries = {each.part.text: each for each in self.scope.aliases.get(lower[0], ())}
        found = self.scope.find(lower)
        if found:
            where, part, count = found
            self.noted.note(part)
            self.noted.own = True
            text = named(where, part)
            entries.pop(digest(text), None)
            if self.either and count == 1 and entries:
                for entry in entries.values():
                    self.noted.add(entry.noted)
                text = f"either({text},{','.join(sorted(entries))})"
            return with_fields(text, names[count:])
        around = self.around(lower)
        if lower[0] in self.scope.later or (around and entries) or len(entries) > 1:
            raise NotFollowed(f"the name {lower[0]}")
        if entries:
            (entry,) = entries.values()
            self.noted.add(entry.noted)
            return with_fields(f"={entry.part.text}", names[1:])
        if not around:
            raise NotFollowed(f"the name {lower[0]}")
        text, part, count = around
        self.noted.note(part)
        self.noted.outer = True
        return with_fields(text, names[count:])

    def around(self, names: Sequence[str]) -> tuple[str, Part, int] | None:
        """What a name means in the scopes around."""
        scope = self.scope.outer
        while scope:
            found = scope.find(names)
            others = {each.part.text for each in scope.aliases.get(names[0], ())}
            if found:
                others.discard(digest(named(*found[:2])))
            if (others and not (found and found[2] > 1)) or names[0] in scope.later:
                raise NotFollowed(f"the name {names[0]}")
            if found:
                return f"^{scope.depth}.{named(*found[:2])}", found[1], found[2]
            scope = scope.outer
        return None

    # ---- subqueries, functions, windows

    def subquery(self, node: exp.Expr, *, only_rows: bool = False) -> str:
        if self.bound:
            raise NotFollowed("a subquery within a lambda")
        found = self.query(node, self.scope)
        if found.is_open and not only_rows:
            raise NotFollowed("a subquery whose columns are not known")
        parts = [found.rows] if only_rows else found.parts
        for part in parts:
            self.noted.note(part)
        return joined("subquery", *parts).text

    def call(self, node: exp.Anonymous) -> str:
        name = node.name.lower()
        if function := self.functions.get(name):
            return f"{name} {self.body(function)} {self.plain(node, without=('this',))}"
        if name in builtin.STEADY or name in builtin.CHOOSING:
            return self.aggregate(node, name in builtin.CHOOSING)
        if name == "array" and all(isinstance(each, exp.Query) for each in node.expressions):
            self.noted.is_chosen = True
        elif name not in builtin.SCALARS:
            raise NotFollowed(f"the function {name}()")
        elif name in builtin.NAMING:
            unnamed = [e for e in node.expressions if not isinstance(e, exp.PropertyEQ | exp.Kwarg)]
            if unnamed[0 if name in ("struct_pack", "union_value") else 1 :]:
                raise NotFollowed(f"the names of arguments of {name}()")
        return self.arguments(node)

    def body(self, function: FunctionText) -> str:
        """What a function of the project makes of its arguments, and of nothing else. Raises
        NotFollowed where it reads tables or names that it does not have itself, or aggregates."""
        select = function.body.form.tree
        if function.is_table or not isinstance(select, exp.Select):
            raise NotFollowed(f"the function {function.name}()")
        inner = replace(
            self, scope=Scope(ctes={}), noted=Noted(), bound=frozenset(function.parameters)
        )
        text = inner.write(without_parentheses(select.expressions[0]))
        if inner.noted != Noted():
            raise NotFollowed(f"the function {function.name}()")
        return digest(function.meaning, text)

    def arguments(self, node: exp.Expr) -> str:
        if not isinstance(node, exp.Anonymous):
            return self.plain(node)
        name = node.name.lower()
        if name == "count" and len(node.expressions) == 1 and is_star(node.expressions[0]):
            return "count(*)"
        return f"{name} {self.plain(node, without=('this',))}"

    def aggregate(self, node: exp.Expr, chooses: bool) -> str:
        inner = replace(self, noted=Noted())
        text = inner.arguments(node)
        if inner.noted.outer and not inner.noted.own:
            raise Lost("an aggregate of the rows around a subquery")
        self.noted.add(inner.noted)
        self.noted.aggregates = True
        self.noted.is_chosen |= chooses
        return text

    def function(self, node: exp.Lambda) -> str:
        names = [each.name for each in node.expressions]
        bound = self.bound | {name.lower() for name in names}
        inner = replace(self, bound=bound)
        return f"lambda({names!r},{inner.write(node.this)})"

    def window(self, node: exp.Expr) -> str:
        """A call over a window, or the definition of one."""
        only(node, "this", "partition_by", "order", "spec", "alias", "over")
        found = []
        if not isinstance(node.this, exp.Identifier):
            found.append(self.over(node.this))
            self.noted.windows = True
        if alias := node.args.get("alias"):
            if alias.name.lower() not in self.scope.windows:
                raise NotFollowed(f"the window {alias.name}")
            text, noted = self.scope.windows[alias.name.lower()]
            self.noted.add(noted)
            found.append(digest(text))
        spec = node.args.get("spec")
        if spec and f"{spec.args.get('kind')}".upper() == "ROWS":
            self.noted.is_chosen = True
        return f"{','.join(found)},{self.plain(node, without=('this', 'alias'))}"

    def over(self, node: exp.Expr) -> str:
        """A function that is called over a window."""
        if isinstance(node, exp.IgnoreNulls | exp.RespectNulls | exp.Filter | exp.WithinGroup):
            return f"{self.over(node.this)},{self.plain(node, without=('this',))}"
        if isinstance(node, exp.Anonymous) and node.name.lower() not in self.functions:
            name = node.name.lower()
            if name in builtin.STEADY or name in builtin.RANKS:
                return self.arguments(node)
            if name in builtin.CHOOSING or name in builtin.PLACES:
                self.noted.is_chosen = True
                return self.arguments(node)
        elif isinstance(node, AT_PLACES):
            self.noted.is_chosen = True
            return self.plain(node)
        raise NotFollowed(f"a window of {node.key.upper()}")


def named(where: str, part: Part) -> str:
    """A column in an expression: the place of its relation, and what it means there."""
    return f"#{where}:{part.text}"


def with_fields(text: str, names: Sequence[str]) -> str:
    return f"{text}.{list(names)!r}" if names else text
