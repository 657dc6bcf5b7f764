"""What each column of a query means, and what its rows mean.

Take two queries over the same tables. Where their rows mean the same, and so does each column of a
set, these columns hold the same, row by row, whatever is in the tables. So a column that is added
changes neither the rows nor the other columns, also where it passes through a CTE or a subquery;
unless rows are told apart by it, as by DISTINCT.

A query is followed from its tables up, SELECT by SELECT. Each relation has rows and columns that
mean something by themselves; in an expression, a name stands for the place of its relation in the
FROM and what the column means there. So no alias counts. What is not followed surely is opaque: one
text for its rows and all its columns. Texts that differ needlessly cost a rebuild, texts that are
wrongly equal would keep a wrong table.

Which of several equal rows comes first may follow from anything that the engine does on the way.
What depends on that means the whole query.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from sqlglot import exp
from sqlglot.errors import SqlglotError

from headwater.sql import builtin
from headwater.sql.canonical import CALLED_BY_SYNTAX, AsWritten, Form, rename
from headwater.sql.functions import FunctionText
from headwater.sql.lineage import Schemas
from headwater.sql.meant import (
    Entry,
    Field,
    Merged,
    Noted,
    Part,
    Relation,
    Scope,
    in_any_order,
    joined,
)
from headwater.sql.query import digest
from headwater.sql.scopes import NotFollowed, Origin
from headwater.sql.trees import (
    SETS,
    columns_of,
    is_parenthesis,
    is_place,
    may_choose,
    name_of,
    names_of,
    only,
    raw,
)
from headwater.sql.wording import Lost, Writer, named

__all__ = ["Meaning", "Part", "meaning"]

_NO_FUNCTIONS: Mapping[str, FunctionText] = {}


@dataclass(frozen=True)
class Meaning:
    """What a query means.

    columns  output column -> what its values mean, in output order.
    rows     which rows there are, and how often.
    """

    columns: Mapping[str, Part]
    rows: Part


def meaning(
    text: str,
    schemas: Schemas,
    names: Sequence[str],
    *,
    nested: Sequence[str] = (),
    functions: Mapping[str, FunctionText] = _NO_FUNCTIONS,
    form: Form | None = None,
) -> Meaning:
    """What a query that parses means.

    schemas    the columns of every table that it reads.
    names      the columns of its result, as binding tells them.
    nested     names of columns of these tables that hold fields, as for `canonical`.
    functions  the project's functions that it uses, also through others, by name.
    form       that of the text, where it is at hand.

    Pure; a walk over the tree. What a column of a table holds, its type included, is not in it.

    >>> schemas = {("s", "t"): ["a", "b"]}
    >>> one = meaning("SELECT a, b AS n FROM s.t AS q WHERE b > 0", schemas, ["a", "n"])
    >>> two = meaning("FROM s.t SELECT b + 1 AS m, t.a WHERE b>0", schemas, ["m", "a"])
    >>> one.rows == two.rows, one.columns["a"] == two.columns["a"]
    (True, True)
    """
    form = form or Form(text)
    try:
        found, shape = _followed(form, schemas, names, nested, functions)
    except (Lost, AsWritten, SqlglotError, RecursionError):
        walker = _Walker(schemas, functions)
        whole = replace(walker.everything, text=digest(form.canonical(nested=nested), walker.told))
        fields = [replace(whole, text=digest(whole.text, f"{n}")) for n, _ in enumerate(names)]
        return Meaning(dict(zip(names, fields, strict=True)), whole)
    parts = found.parts
    if any(part.is_chosen for part in parts):
        whole = joined("whole", in_any_order("parts", parts), Part(shape))
        parts = [joined("chosen", part, whole) if part.is_chosen else part for part in parts]
    return Meaning(dict(zip(names, parts[1:], strict=True)), parts[0])


def _followed(
    form: Form,
    schemas: Schemas,
    names: Sequence[str],
    nested: Sequence[str],
    functions: Mapping[str, FunctionText],
) -> tuple[Relation, str]:
    """The result of a query; and what there is of its form that the engine may go by, though it
    means nothing."""
    tree = form.tree
    walker = _Walker(schemas, functions)
    if walker.asks_chance(tree):
        raise Lost("chance")
    if functions.keys() & CALLED_BY_SYNTAX:
        raise Lost("a function that does not look like one")
    try:
        found = walker.query(tree, Scope(ctes={}))
    except NotFollowed as problem:
        if isinstance(problem, Lost):
            raise
        # What is opaque is known by its text, so aliases must not count in it.
        tree = form.take()
        rename(tree, nested)
        walker = _Walker(schemas, functions, is_lenient=True)
        found = walker.relation_of(tree, Scope(ctes={}))
    fits = len(found.fields) == len(names) and not found.is_open
    if not fits or not all(
        each.name in (None, name.lower()) for each, name in zip(found.fields, names, strict=True)
    ):
        raise Lost("which of its columns is which")
    tables = Counter(table.name.lower() for table in tree.find_all(exp.Table) if not table.db)
    ctes = [
        (tables[cte.alias.lower()], cte.args.get("materialized")) for cte in tree.find_all(exp.CTE)
    ]
    return found, repr(ctes)


@dataclass
class _Walker:
    """Follows a query down to its tables. `is_lenient`: what is not followed becomes opaque."""

    schemas: Schemas
    functions: Mapping[str, FunctionText]
    is_lenient: bool = False

    # ---- queries

    def relation_of(self, node: exp.Expr, scope: Scope, *, in_from: bool = False) -> Relation:
        """What a query gives, or anything that stands in a FROM. `scope`: what is around it."""
        try:
            return self.query(node, scope, in_from=in_from)
        except Lost:
            raise
        except NotFollowed:
            if not self.is_lenient:
                raise
            return self.opaque(node, scope)

    def query(self, node: exp.Expr, around: Scope, *, in_from: bool = False) -> Relation:
        more = node.args.get("joins") or columns_of(node.args.get("alias"))
        if more and not in_from and not isinstance(node, exp.Select):
            raise NotFollowed("a join outside of a FROM")  # `add` reads them
        if isinstance(node, exp.Table):
            return self.table(node, around)
        if isinstance(node, exp.Unnest):
            return self.unnested(node, around)
        if isinstance(node, exp.Lateral):
            only(node, "this", "alias", "joins")
            return self.relation_of(node.this, around)
        scope = Scope(ctes=self.ctes(node, around), outer=around)
        if isinstance(node, exp.Select):
            return self.select(node, scope)
        if isinstance(node, exp.SetOperation):
            return self.set_operation(node, scope)
        if isinstance(node, exp.Subquery):
            only(node, "this", "alias", "joins", "with_", "order", "limit", "offset")
            return self.ordered(node, self.query(node.this, scope), scope, None)
        if isinstance(node, exp.Values):
            return self.values(node, scope)
        raise NotFollowed(f"a {node.key.upper()}")

    def ctes(self, node: exp.Expr, around: Scope) -> Mapping[str, Relation]:
        """The names that are known within a query: those around it, and those of its WITH."""
        found = around.ctes
        with_ = node.args.get("with_")
        if not with_:
            return found
        only(with_, "expressions", "recursive")
        for number, cte in enumerate(with_.expressions):
            alias = cte.args["alias"]
            name, columns = alias.name.lower(), columns_of(alias)
            within = Scope(ctes=found, outer=around)
            if with_.recursive and any(t.name.lower() == name for t in cte.find_all(exp.Table)):
                if not self.is_lenient:
                    raise NotFollowed("a recursive CTE")
                relation = self.opaque(cte, within)
            else:
                only(cte, "this", "alias", "materialized")
                relation = self.relation_of(cte.this, within)
            relation = relation.renamed(name, columns)
            if any(part.is_chosen for part in relation.parts):
                # Who reads it twice gets one choice twice; two CTEs may choose differently.
                relation = _marked(relation, f"{around.depth}.{number}")
            found = {**found, name: relation}
        return found

    def values(self, node: exp.Expr, scope: Scope) -> Relation:
        only(node, "expressions", "alias", "joins")
        rows = [
            row.expressions if isinstance(row, exp.Tuple) else [row] for row in node.expressions
        ]
        if len({len(row) for row in rows}) != 1:
            raise NotFollowed("VALUES of several widths")
        columns = [
            joined("values", *(self.part_of(row[n], scope) for row in rows))
            for n in range(len(rows[0]))
        ]
        fields = tuple(Field(f"col{n}", part) for n, part in enumerate(columns))
        return Relation(fields, Part(digest("values", f"{len(rows)}")))

    def set_operation(self, node: exp.SetOperation, scope: Scope) -> Relation:
        only(node, "this", "expression", "with_", "distinct", "by_name", "order", "limit", "offset")
        left, right = self.relation_of(node.this, scope), self.relation_of(node.expression, scope)
        if left.is_open or right.is_open:
            raise NotFollowed("a set operation whose columns are not known")
        if node.args.get("by_name"):
            fields = _by_name(left, right)
        elif len(left.fields) == len(right.fields):
            fields = [
                Field(one.name, joined("both", one.part, other.part))
                for one, other in zip(left.fields, right.fields, strict=True)
            ]
        else:
            raise NotFollowed("a set operation whose sides differ")
        rows = joined(f"{node.key} {bool(node.args.get('distinct'))}", left.rows, right.rows)
        if node.args.get("distinct") or not isinstance(node, exp.Union):
            # What is equal to another row is no row of its own.
            rows = joined("of", rows, in_any_order("row", (each.part for each in fields)))
        return self.ordered(node, Relation(tuple(fields), rows), scope, None)

    def select(self, node: exp.Select, scope: Scope) -> Relation:
        only(node, *_SELECT)
        sources: list[Part] = []
        if from_ := node.args.get("from_"):
            sources += self.add(from_.this, scope)
        for lateral in node.args.get("laterals") or ():
            sources += self.add(lateral, scope)
        for join in node.args.get("joins") or ():
            sources.append(self.join(join, scope))
        for window in node.args.get("windows") or ():
            writer = Writer(self.query, self.functions, scope)
            scope.windows[window.name.lower()] = (writer.window(window), writer.noted)
        entries = self.entries(node, scope)

        rows = joined("from", *sources)
        if where := node.args.get("where"):
            rows = joined("where", rows, self.part_of(where.this, scope))
        rows = self.grouped(node, rows, entries, scope)
        groups = rows
        if having := node.args.get("having"):
            rows = joined("having", rows, self.part_of(having.this, scope, either=True))
        before = rows
        if qualify := node.args.get("qualify"):
            rows = joined("qualify", rows, self.part_of(qualify.this, scope, either=True))
        fields = tuple(Field(each.name, _settled(each, groups, before)) for each in entries)
        if distinct := node.args.get("distinct"):
            if on := distinct.args.get("on"):
                if is_place(on):
                    raise NotFollowed("DISTINCT ON a place")
                first = self.part_of(on, scope, either=True)
                rows = replace(joined("distinct on", rows, first), is_chosen=True)
            else:
                rows = joined("distinct", rows, in_any_order("row", (f.part for f in fields)))
        return self.ordered(node, Relation(fields, rows), scope, entries)

    def grouped(self, node: exp.Select, rows: Part, entries: Sequence[Entry], scope: Scope) -> Part:
        """The groups of a SELECT that has any, else its rows."""
        group = node.args.get("group")
        if not group:
            if node.args.get("having") or any(each.noted.aggregates for each in entries):
                return joined("one group", rows)
            return rows
        only(group, "expressions", "all")
        if group.args.get("all"):
            if group.expressions or any(each.noted.windows for each in entries):
                raise NotFollowed("GROUP BY ALL with more than columns")
            by = [each for each in entries if not each.noted.aggregates]
            # Of constants alone it makes no groups.
            kind = "groups" if by and all(each.noted.own for each in by) else "groups of all"
            return joined(kind, rows, in_any_order("key", (each.part for each in by)))
        keys = [self.key(each, entries, scope) for each in group.expressions]
        if any(isinstance(each, SETS) for each in group.expressions):
            return joined("sets", rows, *keys)
        return joined("groups", rows, in_any_order("key", keys))

    def key(self, node: exp.Expr, entries: Sequence[Entry], scope: Scope) -> Part:
        """What GROUP BY or ORDER BY goes by: an entry of the select list by its place or its name,
        or an expression."""
        if isinstance(node, exp.Literal) and not node.is_string:
            place = int(node.this) if node.this.isdigit() else 0
            if not 0 < place <= len(entries):
                raise NotFollowed(f"the place {node.this}")
            return entries[place - 1].part
        if is_place(node):
            raise NotFollowed("a place within more")
        return self.part_of(node, scope, either=True)

    def ordered(
        self, node: exp.Expr, found: Relation, scope: Scope, entries: Sequence[Entry] | None
    ) -> Relation:
        """A result in an order, and cut off.

        entries  what the columns of the result are in terms of `scope`; None: nothing but the
                 columns can be named.
        """
        rows, keys = found.rows, []
        if order := node.args.get("order"):
            only(order, "expressions")
            if entries is None:
                scope = Scope(scope.ctes, scope.outer, {0: found})
                entries = [Entry(f.name, f.part, Noted()) for f in found.fields]
            for ordered in order.expressions:
                only(ordered, "this", "desc", "nulls_first")
                how = f"{bool(ordered.args.get('desc'))} {bool(ordered.args.get('nulls_first'))}"
                for part in self.order_keys(ordered.this, found, entries, scope):
                    keys.append(part)
                    rows = joined(f"order {how}", rows, part)
        limits = [node.args[key] for key in ("limit", "offset") if node.args.get(key)]
        for limit in limits:
            rows = joined("limit", rows, self.part_of(limit, Scope(scope.ctes, scope.outer)))
        if limits and not {f.part.text for f in found.fields} <= {key.text for key in keys}:
            rows = replace(rows, is_chosen=True)
        return replace(found, rows=rows)

    def order_keys(
        self, by: exp.Expr, found: Relation, entries: Sequence[Entry], scope: Scope
    ) -> list[Part]:
        if isinstance(by, exp.Var) and by.name.upper() == "ALL":
            return [each.part for each in found.fields]
        if isinstance(by, exp.Column) and len(by.parts) == 1:
            # A name of the result goes before all others.
            named = [each.part for each in found.fields if each.name == by.name.lower()]
            if len(named) > 1:
                raise NotFollowed(f"which of the columns {by.name}")
            if named:
                return named
        if isinstance(by, exp.Literal) and not by.is_string:
            self.key(by, entries, scope)
            return [found.fields[int(by.this) - 1].part]
        return [self.key(by, entries, scope)]

    # ---- the select list

    def entries(self, node: exp.Select, scope: Scope) -> list[Entry]:
        """The columns of a SELECT."""
        found: list[Entry] = []
        names = [each.alias.lower() for each in node.expressions]
        for number, projection in enumerate(node.expressions):
            scope.later = frozenset(names[number + 1 :]) - {""}
            if isinstance(projection, exp.Star):
                new = self.star(projection, scope, "")
            elif isinstance(projection, exp.Column) and isinstance(projection.this, exp.Star):
                if len(projection.parts) != 2:
                    raise NotFollowed("a star behind several names")
                new = self.star(projection.this, scope, projection.table.lower())
            else:
                inner = projection.this if isinstance(projection, exp.Alias) else projection
                new = [self.entry(name_of(projection), inner, scope)]
            found += new
            for each in new:
                if each.name:
                    scope.aliases.setdefault(each.name, []).append(each)
        scope.later = frozenset()
        return found

    def entry(self, name: str | None, node: exp.Expr, scope: Scope) -> Entry:
        writer = Writer(self.query, self.functions, scope)
        return Entry(name, writer.part(node), writer.noted)

    def star(self, star: exp.Expr, scope: Scope, of: str) -> list[Entry]:
        only(star, "except_", "replace", "rename")
        columns = scope.star(of)
        changes = [each for key in star.args for each in star.args[key] or ()]
        if changes and any(name is None for name, _, _ in columns):
            raise NotFollowed("a star over columns whose names are not known")
        if any(isinstance(e, exp.Column) and len(e.parts) > 1 for e in changes):
            raise NotFollowed("EXCLUDE with a qualified name")
        out = {e.name.lower() for e in star.args.get("except_") or ()}
        new = {e.alias.lower(): e.this for e in star.args.get("replace") or ()}
        names = {e.this.name.lower(): e.alias.lower() for e in star.args.get("rename") or ()}
        found = []
        for name, where, part in columns:
            if name in out:
                continue
            if name in new:
                found.append(self.entry(name, new[name], scope))
                continue
            noted = Noted(own=True)
            noted.note(part)
            found.append(Entry(names.get(name or "", name), noted.part(named(where, part)), noted))
        return found

    # ---- FROM

    def add(self, node: exp.Expr, scope: Scope) -> list[Part]:
        """Put a relation into a scope; the rows that it brings."""
        if is_parenthesis(node):  # the names within are known outside
            only(node, "this", "joins")
            rows = self.add(node.this, scope)  # joins go from left to right anyway
        else:
            alias = node.args.get("alias")
            found = self.relation_of(node, scope, in_from=True)
            if isinstance(alias, exp.TableAlias):
                columns = [] if isinstance(node, exp.Unnest) else columns_of(alias)
                found = found.renamed(alias.name.lower(), columns)
            scope.add(found)
            rows = [found.rows]
        return rows + [self.join(join, scope) for join in node.args.get("joins") or ()]

    def table(self, node: exp.Table, scope: Scope) -> Relation:
        only(node, "this", "db", "alias", "joins")
        schema, name = node.db.lower(), node.name.lower()
        if not isinstance(node.this, exp.Identifier):
            columns = columns_of(node.args.get("alias"))
            call = node.this.name.lower() if isinstance(node.this, exp.Anonymous) else ""
            if call not in ("range", "generate_series") or call in self.functions or not columns:
                raise NotFollowed("a function of rows")
            rows = joined("series", self.part_of(node.this, scope))
            return Relation((Field(None, replace(rows, text=digest("item", rows.text))),), rows)
        if not schema and name in scope.ctes:
            return replace(scope.ctes[name], name=(name,))
        if (schema, name) not in self.schemas:
            raise Lost(f"the table {schema}.{name}")
        fields = tuple(
            Field(
                column.lower(),
                Part(
                    digest("column", schema, name, column.lower()),
                    frozenset([Origin(schema, name, column)]),
                ),
            )
            for column in self.schemas[schema, name]
        )
        rows = Part(digest("table", schema, name), tables=frozenset([(schema, name)]))
        return Relation(fields, rows, is_table=True, name=(schema, name))

    def unnested(self, node: exp.Unnest, scope: Scope) -> Relation:
        """Rows out of lists. Lists of structs may become several columns."""
        only(node, "expressions", "alias", "joins")
        rows = joined("unnest", *(self.part_of(each, scope) for each in node.expressions))
        fields = tuple(
            Field(name, replace(rows, text=digest("item", f"{n}", rows.text)))
            for n, name in enumerate(columns_of(node.args.get("alias")))
        )
        return Relation(fields, rows, is_open=True)

    def join(self, join: exp.Expr, scope: Scope) -> Part:
        """Add the right side of a join; the rows that it brings, and which there are then."""
        only(join, "this", "side", "kind", "method", "on", "using")
        words = [f"{join.args.get(key) or ''}".upper() for key in ("method", "side", "kind")]
        if "POSITIONAL" in words:
            raise NotFollowed("a positional join")
        before = frozenset(scope.relations)
        parts = self.add(join.this, scope)
        right = frozenset(scope.relations) - before
        using = [each.name.lower() for each in join.args.get("using") or ()]
        if "NATURAL" in words:
            if any(each.is_unsure for each in scope.relations.values()):
                raise NotFollowed("a natural join over names that are not known")
            using = [
                each.name or ""
                for place in sorted(right)
                for each in scope.relations[place].fields
                if any(scope.relations[p].column(each.name or "") for p in sorted(before))
            ]
        hidden = "SEMI" in words or "ANTI" in words
        for name in using:
            one, other = _side(scope, name, before), _side(scope, name, right)
            both = joined("using", one.part, other.part)
            parts.append(both)
            if not hidden:
                scope.merged[name] = Merged(both, one.places | other.places)
        if on := join.args.get("on"):
            parts.append(self.part_of(on, scope))
        for place in right if hidden else ():
            del scope.relations[place]
        found = joined(f"join {' '.join(words)}", *parts)
        return replace(found, is_chosen=True) if "ASOF" in words else found

    # ---- what is not followed

    @property
    def told(self) -> str:
        """What anything may depend on beside its text."""
        schemas = sorted((*key, *columns) for key, columns in self.schemas.items())
        functions = sorted((name, each.meaning) for name, each in self.functions.items())
        return digest(repr(schemas), repr(functions))

    @property
    def everything(self) -> Part:
        return Part("", self.all_of(self.schemas), frozenset(self.schemas))

    def all_of(self, tables: Iterable[tuple[str, str]]) -> frozenset[Origin]:
        return frozenset(
            Origin(*table, column) for table in tables for column in self.schemas.get(table, ())
        )

    def opaque(self, node: exp.Expr, scope: Scope) -> Relation:
        """A relation of which nothing is known but its text, and that of all that it may name."""
        names, is_open = names_of(node)
        read = [(t.db.lower(), t.name.lower()) for t in node.find_all(exp.Table)]
        stored = frozenset(self.schemas).intersection(read)
        known = [part for key in read if not key[0] for part in _parts_of(scope.ctes, key[1])]
        around = _around(scope)
        whole = joined("opaque", *known, *around)
        if any(call.name.lower() in self.functions for call in node.find_all(exp.Anonymous)):
            whole = joined("calls", whole, replace(self.everything, text=self.told))
        columns = self.all_of(stored)
        whole = Part(
            digest(raw(node, ("alias", "joins")), repr(sorted(columns)), whole.text),
            whole.reads | columns,
            whole.tables | stored,
            whole.is_chosen or may_choose(node),
        )
        fields = tuple(
            Field(name, replace(whole, text=digest(whole.text, f"{n}")))
            for n, name in enumerate(names)
        )
        return Relation(fields, whole, is_open=is_open)

    # ---- expressions

    def asks_chance(self, tree: exp.Expr) -> bool:
        """Whether it may give something else each time that it runs."""
        return any(each.calls & builtin.CHANCE for each in self.functions.values()) or any(
            isinstance(node, exp.TableSample | exp.Rand | exp.Uuid)
            or (isinstance(node, exp.Anonymous) and node.name.lower() in builtin.CHANCE)
            for node in tree.walk()
        )

    def part_of(self, node: exp.Expr, scope: Scope, *, either: bool = False) -> Part:
        """What a condition or a value means. `either`: whether a name may be that of an entry of
        the select list where it is one of a column too."""
        return Writer(self.query, self.functions, scope, either).part(node)


_SELECT = (
    *("expressions", "from_", "laterals", "joins", "where", "group", "having", "qualify"),
    *("windows", "distinct", "order", "limit", "offset", "with_"),
)


# ---- parts of a meaning ------------------------------------------------------------------------


def _settled(entry: Entry, groups: Part, rows: Part) -> Part:
    """A column of a result: with the rows that it looks at beside its own."""
    part = entry.part
    if entry.noted.aggregates:
        part = joined("of", part, groups)
    if entry.noted.windows:
        part = joined("over", part, rows)
    return part


def _by_name(left: Relation, right: Relation) -> list[Field]:
    """The columns of both sides; those of one name become one."""
    names = [each.name for each in (*left.fields, *right.fields)]
    if None in names:
        raise NotFollowed("a set operation by names that are not known")
    found = []
    for name in dict.fromkeys(names):
        one, other = left.column(name or ""), right.column(name or "")
        found.append(Field(name, joined("both", one or _NO_COLUMN, other or _NO_COLUMN)))
    return found


_NO_COLUMN = Part("")


def _side(scope: Scope, name: str, places: frozenset[int]) -> Merged:
    """The column that USING means on one side of a join."""
    merged = scope.merged.get(name)
    found = [merged] if merged and merged.places <= places else []
    for place in sorted(places):
        if not (merged and place in merged.places) and (
            part := scope.relations[place].column(name)
        ):
            noted = Noted()
            noted.note(part)
            found.append(Merged(noted.part(named(f"{place}", part)), frozenset([place])))
    if len(found) != 1:
        raise NotFollowed(f"which of the columns {name}")
    return found[0]


def _marked(relation: Relation, mark: str) -> Relation:
    def marked(part: Part) -> Part:
        return replace(part, text=digest("cte", mark, part.text)) if part.is_chosen else part

    fields = tuple(replace(each, part=marked(each.part)) for each in relation.fields)
    return replace(relation, fields=fields, rows=marked(relation.rows))


def _parts_of(ctes: Mapping[str, Relation], name: str) -> list[Part]:
    """All that a CTE means, with the names of its columns."""
    return _told(ctes[name]) if name in ctes else []


def _told(relation: Relation) -> list[Part]:
    names = Part(repr((relation.name, relation.is_open, [f.name for f in relation.fields])))
    return [names, *relation.parts]


def _around(scope: Scope | None) -> Iterator[Part]:
    """All that can be named from within a scope but its CTEs."""
    while scope:
        for place, relation in scope.relations.items():
            yield Part(f"{scope.depth}.{place}")
            yield from _told(relation)
        for name, merged in scope.merged.items():
            yield replace(merged.part, text=digest(name, merged.part.text))
        for name, entries in scope.aliases.items():
            for each in entries:
                yield replace(each.part, text=digest(name, each.part.text))
        scope = scope.outer
