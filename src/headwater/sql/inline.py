"""A query that needs nothing of its session: its functions written out, its tables replaced.

So any client of the lake can read the view of a model that is not stored. The text is made anew
from the tree, so whoever uses it binds it and compares with what the user's own text gives.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from sqlglot import exp

from headwater.sql.faults import SqlError
from headwater.sql.functions import FunctionText
from headwater.sql.parsing import DUCKDB, parse_text
from headwater.sql.query import Query
from headwater.sql.quote import columns as column_list
from headwater.sql.quote import ident


def inlined(
    query: Query,
    functions: Mapping[str, FunctionText],
    table: Callable[[str, str], str],
    columns: Mapping[str, str],
) -> str:
    """A query as SQL that stands alone.

    functions  those that it uses, also through others, by name.
    table      (schema, name) -> SQL of a subquery, in parentheses, to stand for a table.
    columns    the columns of its result, name -> type, which they are cast to; "": not cast.

    Raises SqlError for a call that cannot be written out.
    """
    writer = _Writer(functions, table)
    body = writer.finish(writer.write(query.tree))
    picked = ", ".join(
        f"CAST({ident(name)} AS {kind}) AS {ident(name)}" if kind else ident(name)
        for name, kind in columns.items()
    )
    return f"SELECT {picked} FROM ({body}) AS result({column_list(columns)})"


@dataclass
class _Writer:
    """Writes one query out. What has no tree of sqlglot's stands as a marked name until the end."""

    functions: Mapping[str, FunctionText]
    table: Callable[[str, str], str]
    marked: dict[str, str] = field(default_factory=dict)

    def mark(self, sql: str) -> exp.Identifier:
        name = exp.to_identifier(f"headwater:{len(self.marked)}:", quoted=True)
        self.marked[DUCKDB.generate(name)] = sql
        return name

    def finish(self, tree: exp.Expr) -> str:
        sql = DUCKDB.generate(tree, comments=False)
        for mark in reversed(self.marked):  # those that hold others were marked after them
            sql = sql.replace(mark, self.marked[mark])
        return sql

    def write(self, tree: exp.Expr) -> exp.Expr:
        """A copy of a tree with its calls written out and its tables replaced."""
        tree = tree.copy()
        self.replace_tables(tree)
        while call := self.next_call(tree):
            body = self.body(call)
            new = exp.Paren(this=body)
            if call is tree:
                return new
            call.replace(new)
        return tree

    def next_call(self, tree: exp.Expr) -> exp.Anonymous | None:
        for node in tree.find_all(exp.Anonymous):
            function = self.functions.get(node.name.lower())
            if function and not function.is_table:
                return node
        return None

    def replace_tables(self, tree: exp.Expr) -> None:
        replaced = set()
        for node in list(tree.find_all(exp.Table)):
            called = node.this
            if isinstance(called, exp.Anonymous) and called.name.lower() in self.functions:
                name, sql = called.name, f"({DUCKDB.generate(self.body(called))})"
            elif isinstance(called, exp.Identifier) and node.db:
                name, sql = node.name, self.table(node.db.lower(), node.name.lower())
                replaced.add((node.db.lower(), node.name.lower()))
            else:
                continue
            if not node.alias:
                node.set("alias", exp.TableAlias(this=exp.to_identifier(name, quoted=True)))
            node.set("this", self.mark(sql))
            node.set("db", None)
        for column in list(tree.find_all(exp.Column)):
            if (column.args.get("db") and (column.db.lower(), column.table.lower())) in replaced:
                column.set("db", None)

    def body(self, call: exp.Anonymous) -> exp.Expr:
        """What a call stands for, with its arguments in place."""
        function = self.functions[call.name.lower()]
        given = _arguments(function, call)
        tree = function.body.tree.copy()
        for node in list(tree.find_all(exp.Column)):
            if not node.table and node.name.lower() in given:
                node.replace(exp.Paren(this=given[node.name.lower()].copy()))
        tree = self.write(tree)
        return tree if function.is_table else tree.expressions[0]


def _arguments(function: FunctionText, call: exp.Anonymous) -> dict[str, exp.Expr]:
    """Parameter -> the expression that a call gives it, or its default."""
    found: dict[str, exp.Expr] = {}
    for number, argument in enumerate(call.expressions):
        if isinstance(argument, exp.PropertyEQ | exp.Kwarg):
            found[argument.this.name.lower()] = argument.expression
        elif number < len(function.parameters):
            found[function.parameters[number]] = argument
    for name in function.parameters:
        if name not in found and name in function.defaults:
            tree = parse_text(function.defaults[name], exp.Condition)
            if tree is not None:
                found[name] = tree
    missing = [name for name in function.parameters if name not in found]
    if missing or len(found) > len(function.parameters):
        raise SqlError(f"{function.name}() does not take these arguments")
    if function.types:
        found = {
            name: exp.cast(value, function.types[name], dialect="duckdb")
            if name in function.types
            else value
            for name, value in found.items()
        }
    return found
