"""Column lineage of one query, from its syntax alone.

For each output column: the input columns that its values are computed from. Beside them: the input
columns that only decide which rows there are, through filters, joins, groups and order. Both sets
may be too large, never too small: what cannot be followed is taken to depend on all that it reads,
and the lineage says so.

    SELECT a.x + b.y AS z FROM a JOIN b ON a.k = b.k WHERE a.w > 0
    z: a.x, b.y     rows: a.k, b.k, a.w
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from sqlglot import exp

from headwater.sql.scopes import (
    NOTHING,
    Field,
    NotFollowed,
    Origin,
    Origins,
    Relation,
    Scope,
    opaque,
    union,
)

Schemas = Mapping[tuple[str, str], Sequence[str]]
"""(schema, table) -> the names of its columns, in order."""


@dataclass(frozen=True, kw_only=True)
class Lineage:
    """Where the columns of a query's result come from.

    columns  output column -> what its values are computed from.
    rows     what decides which rows there are.
    blurred  what could not be followed, in words; "" if all could. Then `columns` or `rows` hold
             more than they must.
    """

    columns: Mapping[str, Origins]
    rows: Origins
    blurred: str = ""

    @property
    def is_exact(self) -> bool:
        return not self.blurred


def lineage(tree: exp.Expr, schemas: Schemas, names: Sequence[str]) -> Lineage:
    """The lineage of a query.

    schemas  the columns of every table that it reads.
    names    the columns of its result, as binding tells them.

    Pure; a walk over the tree.
    """
    walker = _Walker(schemas)
    try:
        found = walker.query(tree, Scope(ctes={}))
    except NotFollowed as problem:
        walker.blur(str(problem))
        found = opaque(walker.all_read(tree))
    fields = _fitted(found, names, walker)
    return Lineage(
        columns=dict(zip(names, fields, strict=True)),
        rows=found.rows,
        blurred="; ".join(dict.fromkeys(walker.blurred)),
    )


def read_by(tree: exp.Expr, schemas: Schemas) -> Origins:
    """All that the result of a query depends on: its values, or which rows there are."""
    walker = _Walker(schemas)
    try:
        found = walker.query(tree, Scope(ctes={}))
    except NotFollowed:
        return walker.all_read(tree)
    return found.all_origins | found.rows


def _fitted(found: Relation, names: Sequence[str], walker: _Walker) -> list[Origins]:
    """The origins of the result's columns, in their order."""
    known = [field.origins for field in found.fields]
    missing = len(names) - len(known)
    fits = missing == 0 or (missing > 0 and found.rest is not None)
    agree = all(
        field.name is None or field.is_called(name)
        for field, name in zip(found.fields, names, strict=False)
    )
    if fits and agree:
        return known + [found.rest or NOTHING] * missing
    walker.blur("which of its columns is which")
    return [found.all_origins] * len(names)


@dataclass
class _Walker:
    """Follows a query down to its tables. `blurred`: what could not be followed."""

    schemas: Schemas
    blurred: list[str] = field(default_factory=list)

    def blur(self, what: str) -> None:
        self.blurred.append(what)

    # ---- queries

    def query(self, node: exp.Expr, scope: Scope) -> Relation:
        """What a query gives. `scope`: what is around it."""
        scope = Scope(ctes=self.ctes(node, scope), outer=scope)
        kinds: list[tuple[type[exp.Expr], Callable[[exp.Expr, Scope], Relation]]] = [
            (exp.Select, self.select),
            (exp.SetOperation, self.set_operation),
            (exp.Subquery, self.subquery),
            (exp.Values, self.values),
            (exp.Pivot, self.pivot_statement),
            (exp.Table, self.table),
        ]
        for kind, follow in kinds:
            if isinstance(node, kind):
                return follow(node, scope)
        raise NotFollowed(f"a {node.key.upper()}")

    def ctes(self, node: exp.Expr, scope: Scope) -> dict[str, Relation]:
        """The names that are known within a query: those around it, and those of its WITH."""
        found = dict(scope.ctes)
        with_ = node.args.get("with_")
        if not with_:
            return found
        for cte in with_.expressions:
            name, columns = cte.alias_or_name, [c.name for c in cte.args["alias"].columns]
            body = cte.this
            within = Scope(ctes=found, outer=scope.outer)
            if with_.recursive and isinstance(body, exp.SetOperation):
                relation = self.recursive(name, columns, body, within)
            else:
                relation = self.query(body, within).renamed(name, columns)
            found = {**found, name.lower(): relation}
        return found

    def recursive(
        self, name: str, columns: Sequence[str], body: exp.SetOperation, scope: Scope
    ) -> Relation:
        """A recursive CTE: what it starts from, and what follows from that, until no more does."""
        found = self.query(body.this, scope).renamed(name, columns)
        while True:
            ctes = {**scope.ctes, name.lower(): found}
            more = self.query(body, Scope(ctes=ctes, outer=scope.outer)).renamed(name, columns)
            grown = _both(found, more)
            if grown == found:
                return found
            found = grown

    def subquery(self, node: exp.Expr, scope: Scope) -> Relation:
        found = self.query(node.this, scope)
        found = self.pivoted(node, found, scope)
        found = self.ordered(node, found, scope)
        return _aliased(node, found)

    def values(self, node: exp.Expr, scope: Scope) -> Relation:
        rows = [
            row.expressions if isinstance(row, exp.Tuple) else [row] for row in node.expressions
        ]
        width = max((len(row) for row in rows), default=0)
        fields = tuple(
            Field(f"col{n}", union(*(self.refs(row[n], scope) for row in rows if n < len(row))))
            for n in range(width)
        )
        return _aliased(node, Relation(fields))

    def set_operation(self, node: exp.Expr, scope: Scope) -> Relation:
        left, right = self.query(node.this, scope), self.query(node.expression, scope)
        by_name = bool(node.args.get("by_name"))
        if by_name:
            found = _by_name(left, right)
        elif left.rest is None and right.rest is None and len(left.fields) == len(right.fields):
            found = _both(left, right)
        else:
            self.blur("a set operation whose columns are not known")
            found = opaque(left.all_origins | right.all_origins, left.rows | right.rows)
        if isinstance(node, exp.Except | exp.Intersect):
            found = replace(left, rows=found.rows, name=())
        if node.args.get("distinct") or not isinstance(node, exp.Union):
            # What is equal to another row is no row of its own.
            found = replace(found, rows=found.rows | left.all_origins | right.all_origins)
        return self.ordered(node, found, scope)

    def select(self, node: exp.Expr, scope: Scope) -> Relation:
        rows: list[Origins] = []
        from_ = node.args.get("from_")
        if from_:
            rows.append(self.add(from_.this, scope))
        for lateral in node.args.get("laterals") or ():
            rows.append(self.add(lateral, scope))
        for join in node.args.get("joins") or ():
            rows.append(self.join(join, scope))
        for window in node.args.get("windows") or ():
            scope.windows[window.name.lower()] = self.refs_of(window.args.values(), scope)
        fields, rest, grouped = self.select_list(node, scope)
        for part in ("where", "group", "having", "qualify"):
            if clause := node.args.get(part):
                rows.append(self.refs(clause, scope))
        rows.append(self.groups(node, fields, grouped))
        unnested = [e for p in node.expressions for e in p.find_all(exp.Explode, exp.Unnest)]
        rows.append(self.refs_of(unnested, scope))
        found = Relation(tuple(fields), rest, union(*rows))
        if distinct := node.args.get("distinct"):
            on = distinct.args.get("on")
            decides = self.refs(on, scope) if on else found.all_origins
            found = replace(found, rows=found.rows | decides)
        return self.ordered(node, found, scope)

    def groups(self, node: exp.Expr, fields: Sequence[Field], grouped: Origins) -> Origins:
        """What GROUP BY goes by where it names columns of the select list by their number, or all
        that are no aggregates."""
        group = node.args.get("group")
        if not group:
            return NOTHING
        found = [grouped] if group.args.get("all") else []
        for literal in group.find_all(exp.Literal):
            if literal.is_int and 0 < int(literal.this) <= len(fields):
                found.append(fields[int(literal.this) - 1].origins)
        return union(*found)

    def ordered(self, node: exp.Expr, found: Relation, scope: Scope) -> Relation:
        """A result in an order, and cut off."""
        parts: list[exp.Expr] = [
            node.args[part] for part in ("limit", "offset") if node.args.get(part)
        ]
        decides = []
        order = node.args.get("order")
        for ordered in order.expressions if order else ():
            by = ordered.this
            if isinstance(by, exp.Literal) or (isinstance(by, exp.Var) and by.name == "ALL"):
                decides.append(found.all_origins)
            elif isinstance(by, exp.Column) and (own := _called(found, by)) is not None:
                decides.append(own)  # a name of the result goes before all others
            else:
                parts.append(by)
        inside = Scope(ctes=scope.ctes, outer=scope, relations=[found])
        for part in parts:
            decides += [self.refs(part, inside), self.refs(part, scope, lenient=True)]
        return replace(found, rows=union(found.rows, *decides))

    # ---- the select list

    def select_list(
        self, node: exp.Expr, scope: Scope
    ) -> tuple[list[Field], Origins | None, Origins]:
        """The columns of a SELECT, the origins of those after them that are not known, and what
        GROUP BY ALL would go by."""
        fields: list[Field] = []
        rest: list[Origins] = []
        grouped: list[Origins] = []
        for projection in node.expressions:
            found, more = self.projected(projection, scope)
            if rest:
                # Behind columns that are not known nobody knows which one is which.
                more = union(*(each.origins for each in found), more or NOTHING)
            else:
                fields += found
            if more is not None:
                rest.append(more)
            for each in found:
                if each.name:
                    scope.aliases.setdefault(each.name.lower(), each.origins)
            if not _aggregates(projection):
                grouped += [each.origins for each in found] + ([more] if more else [])
        return fields, union(*rest) if rest else None, union(*grouped)

    def projected(self, projection: exp.Expr, scope: Scope) -> tuple[list[Field], Origins | None]:
        """What one entry of a select list becomes: columns, and the origins of others whose names
        are not known."""
        if isinstance(projection, exp.Star):
            return self.star(projection, scope, "")
        if isinstance(projection, exp.Column) and isinstance(projection.this, exp.Star):
            of = projection.table
            if scope.has(of):
                return self.star(projection.this, scope, of)
            return [], self.resolve((of,), scope)  # the fields of a struct
        inner = projection.unalias()
        chosen = _picking(inner)
        if chosen:
            return self.columns_picked(projection, inner, chosen, scope)
        if isinstance(inner, exp.Explode | exp.Unnest) and _may_be_many(inner):
            return [], self.refs(inner, scope)
        name = projection.alias_or_name or None
        if isinstance(inner, exp.Dot) and not isinstance(projection, exp.Alias):
            name = inner.name
        return [Field(name, self.refs(inner, scope))], None

    def star(self, star: exp.Expr, scope: Scope, of: str) -> tuple[list[Field], Origins | None]:
        fields, rest = scope.star(of)
        out = {e.name.lower() for e in star.args.get("except_") or ()}
        new = {e.alias.lower(): self.refs(e.this, scope) for e in star.args.get("replace") or ()}
        names = {e.this.name.lower(): e.alias for e in star.args.get("rename") or ()}
        found = []
        for each in fields:
            key = (each.name or "").lower()
            if key not in out:
                name = names.get(key, each.name)
                found.append(Field(name, new.get(key, each.origins)))
        return found, rest

    def columns_picked(
        self, projection: exp.Expr, inner: exp.Expr, chosen: Sequence[exp.Expr], scope: Scope
    ) -> tuple[list[Field], Origins | None]:
        """An expression over COLUMNS(…): one column for each that is picked."""
        picks = [self.picked(node, scope) for node in chosen]
        others = self.refs(inner, scope, without=chosen)
        fields, rest = picks[0]
        if rest is not None or any(len(p[0]) != len(fields) or p[1] is not None for p in picks):
            everything = union(*(f.origins for pick in picks for f in pick[0]))
            return [], everything | others | union(*(p[1] or NOTHING for p in picks))
        plain = isinstance(projection, exp.Columns | exp.Like)
        return [
            Field(
                each.name if plain else None,
                union(others, *(pick[0][n].origins for pick in picks)),
            )
            for n, each in enumerate(fields)
        ], None

    def picked(self, node: exp.Expr, scope: Scope) -> tuple[list[Field], Origins | None]:
        """The columns that COLUMNS(…), or the star of `* LIKE …`, means."""
        if isinstance(node.this, exp.Star):
            return self.star(node.this, scope, "")
        fields, rest = scope.star()
        by = node.this
        if isinstance(by, exp.Literal) and by.is_string and rest is None:
            try:
                pattern = re.compile(by.this)
                return [each for each in fields if pattern.search(each.name or "")], None
            except re.error:
                pass  # RE2 and Python's differ: then any of them may be meant
        if isinstance(by, exp.Array) and all(isinstance(e, exp.Literal) for e in by.expressions):
            wanted = {e.this.lower() for e in by.expressions}
            return [f for f in fields if (f.name or "").lower() in wanted], rest
        return [], union(*(each.origins for each in fields), rest or NOTHING)

    # ---- FROM

    def add(self, node: exp.Expr, scope: Scope) -> Origins:
        """Put a relation into a scope; what decides which rows it has."""
        if _is_parenthesis(node):  # the names within are known outside
            rows = [self.add(node.this, scope)]
        else:
            found = self.relation(node, scope)
            scope.relations.append(found)
            rows = [found.rows]
        for join in node.args.get("joins") or ():
            rows.append(self.join(join, scope))
        return union(*rows)

    def relation(self, node: exp.Expr, scope: Scope) -> Relation:
        if isinstance(node, exp.Unnest):
            return self.unnested(node, scope)
        if isinstance(node, exp.Lateral):
            inner = node.this
            found = (
                self.unnested(inner, scope)
                if isinstance(inner, exp.Unnest | exp.Explode)
                else self.query(inner, scope)
            )
            return _aliased(node, found)
        if isinstance(node, exp.Table):
            return self.table(node, scope)
        if isinstance(node, exp.Paren):
            return self.relation(node.this, scope)
        return self.query(node, scope)

    def table(self, node: exp.Expr, scope: Scope) -> Relation:
        assert isinstance(node, exp.Table)
        schema, name = node.db, node.name
        if not isinstance(node.this, exp.Identifier):
            found = self.table_function(node.this, scope)
        elif not schema and name.lower() in scope.ctes:
            found = replace(scope.ctes[name.lower()], name=(name,))
        else:
            found = self.stored(schema, name)
        return _aliased(node, self.pivoted(node, found, scope))

    def stored(self, schema: str, name: str) -> Relation:
        """A table that is read."""
        key = (schema.lower(), name.lower())
        if key not in self.schemas:
            raise NotFollowed(f"the table {schema}.{name}")
        fields = tuple(Field(c, frozenset([Origin(*key, c)])) for c in self.schemas[key])
        return Relation(fields, name=(schema, name))

    def table_function(self, call: exp.Expr, scope: Scope) -> Relation:
        origins = self.refs(call, scope)
        return opaque(origins)

    def unnested(self, node: exp.Expr, scope: Scope) -> Relation:
        """Rows out of lists: how many there are follows from the lists too."""
        origins = self.refs_of(node.args.values(), scope)
        return _aliased(node, opaque(origins))

    def join(self, join: exp.Expr, scope: Scope) -> Origins:
        """Add the right side of a join; what decides which rows there are then."""
        hidden = (join.args.get("kind") or "").upper() in ("SEMI", "ANTI")
        before = list(scope.relations)
        rows = [self.add(join.this, scope)]
        right = scope.relations[len(before) :]
        using = [identifier.name for identifier in join.args.get("using") or ()]
        if (join.args.get("method") or "").upper() == "NATURAL":
            theirs = [field.name for r in right for field in r.fields if field.name]
            using = [n for n in theirs if any(r.column(n) is not None for r in before)]
        for name in using:
            both = union(*(r.column(name) or NOTHING for r in (*before, *right)))
            if not hidden:
                scope.merged[name.lower()] = scope.merged.get(name.lower(), NOTHING) | both
            rows.append(both | scope.merged.get(name.lower(), NOTHING))
        if on := join.args.get("on"):
            rows.append(self.refs(on, scope))
        if hidden:
            scope.relations[len(before) :] = []
        return union(*rows)

    # ---- PIVOT and UNPIVOT

    def pivoted(self, node: exp.Expr, found: Relation, scope: Scope) -> Relation:
        for pivot in node.args.get("pivots") or ():
            found = self.pivot(pivot, found, scope)
        return found

    def pivot_statement(self, node: exp.Expr, scope: Scope) -> Relation:
        found = self.pivot(node, self.relation(node.this, scope), scope)
        return self.ordered(node, found, scope)

    def pivot(self, node: exp.Expr, found: Relation, scope: Scope) -> Relation:
        inside = Scope(ctes=scope.ctes, outer=scope, relations=[found])
        parts = [*node.expressions, *(node.args.get("fields") or ()), *_listed(node, "using")]
        if node.args.get("unpivot"):
            return self.unpivot(node, found, inside)
        spread = self.refs_of(parts, inside)
        named = {c.name.lower() for part in parts for c in part.find_all(exp.Column)}
        if group := node.args.get("group"):
            kept = [Field(c.alias_or_name, self.refs(c, inside)) for c in group.expressions]
            by = self.refs(group, inside)
        else:
            kept = [f for f in found.fields if (f.name or "").lower() not in named]
            by = union(*(f.origins for f in kept), found.rest or NOTHING)
        return Relation(tuple(kept), spread | (found.rest or NOTHING), found.rows | by | spread)

    def unpivot(self, node: exp.Expr, found: Relation, inside: Scope) -> Relation:
        columns = [
            column
            for part in (*node.expressions, *(node.args.get("fields") or ()))
            for column in part.find_all(exp.Column, exp.Columns, exp.Star)
        ]
        if any(not isinstance(c, exp.Column) or isinstance(c.this, exp.Star) for c in columns):
            return opaque(found.all_origins, found.rows | found.all_origins)
        taken = {c.name.lower() for c in columns}
        kept = [f for f in found.fields if (f.name or "").lower() not in taken]
        origins = union(*(self.refs(c, inside) for c in columns))
        # NULLs become no rows, so the values decide which rows there are.
        return Relation(tuple(kept), origins | (found.rest or NOTHING), found.rows | origins)

    # ---- expressions

    def refs_of(self, parts: Iterable[object], scope: Scope) -> Origins:
        found = []
        for part in parts:
            for node in part if isinstance(part, list) else [part]:
                if isinstance(node, exp.Expr):
                    found.append(self.refs(node, scope))
        return union(*found)

    def refs(
        self,
        node: exp.Expr,
        scope: Scope,
        *,
        without: Sequence[exp.Expr] = (),
        lenient: bool = False,
    ) -> Origins:
        """What an expression is computed from.

        without  parts of it that are left out.
        lenient  leave out names that mean nothing here.
        """
        return union(*self._refs(node, scope, frozenset(), without, lenient))

    def _refs(
        self,
        node: exp.Expr,
        scope: Scope,
        bound: frozenset[str],
        without: Sequence[exp.Expr],
        lenient: bool,
    ) -> Iterator[Origins]:
        if any(node is part for part in without):
            return
        if isinstance(node, exp.Query):
            found = self.query(node, scope)
            yield found.all_origins | found.rows
            return
        if isinstance(node, exp.Column):
            if isinstance(node.this, exp.Star):
                yield scope.everything
                return
            parts = tuple(part.name for part in node.parts)
            if parts[0].lower() in bound:
                return
            yield (
                NOTHING if lenient and scope.resolve(parts) is None else self.resolve(parts, scope)
            )
            return
        if isinstance(node, exp.Columns | exp.PositionalColumn) or (
            isinstance(node, exp.Star) and not isinstance(node.parent, exp.Count)
        ):
            yield scope.everything
        if isinstance(node, exp.Window) and (name := node.args.get("alias")):
            yield scope.windows.get(name.name.lower(), NOTHING)
        if isinstance(node, exp.Window) and isinstance(node.this, exp.Identifier):
            yield scope.windows.get(node.this.name.lower(), NOTHING)
        if isinstance(node, exp.Lambda):
            bound |= {parameter.name.lower() for parameter in node.expressions}
        if isinstance(node, exp.Comprehension):
            bound |= {name.name.lower() for name in _comprehended(node)}
        for child in node.iter_expressions():
            yield from self._refs(child, scope, bound, without, lenient)

    def resolve(self, parts: tuple[str, ...], scope: Scope) -> Origins:
        found = scope.resolve(parts)
        if found is None:
            self.blur(f"the name {'.'.join(parts)}")
            return scope.everything
        return found

    def all_read(self, tree: exp.Expr) -> Origins:
        """Every column of every table that a query names."""
        return frozenset(
            Origin(table.db.lower(), table.name.lower(), column)
            for table in tree.find_all(exp.Table)
            for column in self.schemas.get((table.db.lower(), table.name.lower()), ())
        )


# ---- parts ---------------------------------------------------------------------------------


def _aliased(node: exp.Expr, found: Relation) -> Relation:
    alias = node.args.get("alias")
    if not isinstance(alias, exp.TableAlias):
        return found
    return found.renamed(alias.name, [column.name for column in alias.columns])


def _both(left: Relation, right: Relation) -> Relation:
    """Rows of both, column by column; named as the left one."""
    fields = tuple(
        Field(one.name, one.origins | other.origins)
        for one, other in zip(left.fields, right.fields, strict=False)
    )
    rest = None
    if left.rest is not None or right.rest is not None:
        rest = (left.rest or NOTHING) | (right.rest or NOTHING)
    return Relation(fields, rest, left.rows | right.rows, left.name)


def _by_name(left: Relation, right: Relation) -> Relation:
    found = {(f.name or "").lower(): f for f in left.fields}
    for each in right.fields:
        key = (each.name or "").lower()
        before = found.get(key, Field(each.name, NOTHING))
        found[key] = Field(before.name, before.origins | each.origins)
    rest = None
    if left.rest is not None or right.rest is not None:
        rest = (left.rest or NOTHING) | (right.rest or NOTHING)
    return Relation(tuple(found.values()), rest, left.rows | right.rows)


def _called(found: Relation, column: exp.Column) -> Origins | None:
    """The origins of a result's column; None if it has none of that name."""
    if column.table:
        return None
    named = [field.origins for field in found.fields if field.is_called(column.name)]
    return union(*named) if named else None


def _listed(node: exp.Expr, key: str) -> list[exp.Expr]:
    value = node.args.get(key)
    return list(value) if isinstance(value, list) else []


def _comprehended(node: exp.Expr) -> list[exp.Expr]:
    found = [node.args.get("expression"), node.args.get("position")]
    return [part for part in found if isinstance(part, exp.Expr)]


def _picking(node: exp.Expr) -> list[exp.Expr]:
    """The parts of an entry of a select list by which it stands for several columns."""
    found: list[exp.Expr] = list(node.find_all(exp.Columns))
    return found or [
        star
        for star in node.find_all(exp.Star)
        if isinstance(star.parent, exp.Like | exp.ILike | exp.SimilarTo | exp.Glob)
    ]


def _is_parenthesis(node: exp.Expr) -> bool:
    """Whether a part of a FROM is a join in parentheses. (DuckDB gives it no name.)"""
    return isinstance(node, exp.Subquery) and isinstance(node.this, exp.Table)


def _may_be_many(node: exp.Expr) -> bool:
    """Whether an unnest may give several columns: a struct's fields."""
    return any(isinstance(part, exp.PropertyEQ) for part in node.expressions)


def _aggregates(node: exp.Expr) -> bool:
    """Whether an expression is an aggregate, so that no group goes by it."""
    if isinstance(node, exp.AggFunc):
        return True
    if isinstance(node, exp.Window | exp.Query):
        return False
    return any(map(_aggregates, node.iter_expressions()))
