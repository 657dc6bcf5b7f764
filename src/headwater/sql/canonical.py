"""The canonical form of a query: one text for all ways of writing the same.

Equal texts mean the same result over the same tables; the names of the result's columns apart,
where no alias states them. Formatting, comments, the case of keywords and of names, the aliases of
tables and CTEs, the order of conditions joined by AND, and the other spellings that the parser
reads alike do not count. All else does.

What a name means is told from the query alone. Where that is not certain, the name stays as it is:
texts that differ needlessly cost a rebuild, texts that are wrongly equal would keep a wrong table.
Functions stay as they are called: sqlglot knows many by several names, and drops arguments that it
does not know.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise, zip_longest
from typing import Any

from sqlglot import ErrorLevel, Token, TokenType, exp
from sqlglot.dialects.duckdb import DuckDB
from sqlglot.errors import SqlglotError

from headwater.sql.parsing import parse


class _Verbatim(DuckDB):
    """DuckDB's dialect with the paths of JSON as they are written: 'a.b' is not '$.a.b'."""

    def to_json_path(self, path: exp.Expr | None) -> exp.Expr | None:
        return path


_DUCKDB = _Verbatim()
_READ = DuckDB.parser_class
_WITH_SYNTAX = frozenset(
    (
        *("FIRST_VALUE", "LAST_VALUE", "NTH_VALUE", "LAG", "LEAD"),  # IGNORE NULLS
        *("PERCENTILE_CONT", "PERCENTILE_DISC"),  # WITHIN GROUP
        *("CAST", "TRY_CAST", "EXTRACT", "OVERLAY", "POSITION", "SUBSTRING", "TRIM"),
        *("GROUP_CONCAT", "LISTAGG", "STRING_AGG"),
        "COLUMNS",  # *COLUMNS(…)
    )
)
"""Functions that have a syntax of their own: as calls of what is not known they would not parse."""
_CALLS = frozenset((*_READ.FUNCTIONS, *_READ.FUNCTION_PARSERS)) - _WITH_SYNTAX
_PLAIN_CALLS = _CALLS - set(_READ.NO_PAREN_FUNCTION_PARSERS)
"""What is a plain call where it is not quoted."""
_MARK = "\ue000"
"""Behind the name of a function, so that the parser does not know it."""

CALLED_BY_SYNTAX = frozenset(name.lower() for name in (*_WITH_SYNTAX, "IF")) | frozenset(
    token.name.lower() for token in _READ.NO_PAREN_FUNCTIONS
)
"""Functions that are no plain calls in a tree of a `Form`."""
_WORDS = frozenset(word.lower() for word in DuckDB.tokenizer_class.KEYWORDS) | frozenset(
    DuckDB.generator_class.RESERVED_KEYWORDS
)
_TEXTS = (
    exp.Literal,
    exp.RawString,
    exp.ByteString,
    exp.HexString,
    exp.National,
    exp.UnicodeString,
)
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OURS = re.compile(r"_[tw][0-9]+_[0-9]+")
_CHANCE = frozenset(
    ["random", "uuid", "uuidv4", "uuidv7", "gen_random_uuid", "setseed", "nextval", "currval"]
)


def canonical(text: str, *, names_count: bool = False, nested: Iterable[str] = ()) -> str:
    """The canonical form of a query that parses.

    names_count  whether the result's columns keep the names that DuckDB makes up for what has no
                 alias; False where they are compared otherwise.
    nested       names of columns of the tables that it reads that hold fields: one before a dot
                 may be meant where an alias is called so too.

    Pure. It can be run, and gives the rows that the query gives.

    >>> canonical('select T.A from s.x as t where (b>1) and T.a = 2 -- why')
    'SELECT _t0_0.a FROM s.x AS _t0_0 WHERE _t0_0.a = 2 AND b > 1'
    """
    return Form(text).canonical(names_count=names_count, nested=nested)


class Form:
    """The tree of a query, with what means the same made one; not for SQL to be made of. Parsed
    once for all that looks at it, and once more after what changes it."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._nodes: list[exp.Expr] | None = None

    @property
    def tree(self) -> exp.Expr:
        """To be looked at. Raises AsWritten where its very words count, and what sqlglot raises."""
        return self._read()[0]

    def take(self) -> exp.Expr:
        """The same, to be changed."""
        return self._take()[0]

    def _read(self) -> list[exp.Expr]:
        if self._nodes is None:
            tokens = _DUCKDB.tokenizer().tokenize(self.text)
            if _has_bare_fraction(tokens):
                raise AsWritten
            self._nodes = _read(self.text, tokens)
        return self._nodes

    def _take(self) -> list[exp.Expr]:
        nodes, self._nodes = self._read(), None
        return nodes

    def canonical(self, *, names_count: bool = False, nested: Iterable[str] = ()) -> str:
        """The canonical form: see there."""
        try:
            nodes = self._take()
            tree = nodes[0]
            reader = _Reader(others={name.lower() for name in nested})
            try:
                reader.query(tree, None, {}, 0, is_named=names_count)
            except _NamesStay:
                reader.all_stay = True
            reader.rename()
            generator = _DUCKDB.generator(comments=False, unsupported_level=ErrorLevel.RAISE)
            _sort_conditions(nodes, generator)
            meant = hash(tree)
            found = str(generator.generate(tree, copy=False))
            # What sqlglot drops in silence when it writes, it cannot read again.
            if hash(_read(found, _DUCKDB.tokenizer().tokenize(found))[0]) != meant:
                raise AsWritten
            return found
        except (AsWritten, SqlglotError, RecursionError):
            return _as_written(self.text, _DUCKDB.tokenizer().tokenize(self.text))


def rename(tree: exp.Expr, nested: Iterable[str] = ()) -> None:
    """Give relations and CTEs of a tree of a `Form` names that follow from their places, if
    what each name means is certain."""
    reader = _Reader(others={name.lower() for name in nested})
    try:
        reader.query(tree, None, {}, 0, is_named=False)
    except (AsWritten, _NamesStay):
        return
    reader.rename()


def _read(text: str, tokens: list[Token]) -> list[exp.Expr]:
    """The nodes of a query's tree, outer ones before inner ones."""
    if _MARK in text:
        raise AsWritten
    _mark_calls(tokens)
    tree = parse(tokens, text, dialect=_DUCKDB)
    if tree is None:
        raise AsWritten
    nodes = list(tree.walk())
    for node in nodes:
        _unify(node)
    return nodes


def _mark_calls(tokens: Sequence[Token]) -> None:
    """Make the parser take functions for what it does not know, but those with a syntax of their
    own. (A parser class that knows fewer cannot be: compiled, as sqlglot may be, it has no heirs.)
    """
    before = TokenType.COMMA
    for token, after in pairwise(tokens):
        if (
            after.token_type is TokenType.L_PAREN
            and token.token_type in _READ.FUNC_TOKENS
            and token.text.upper() in (_CALLS if token.token_type in _QUOTED else _PLAIN_CALLS)
            and before not in _NO_CALL_AFTER
            and not (token.token_type is TokenType.REPLACE and before in _ENDS)  # * REPLACE (…)
        ):
            token.text += _MARK
        before = token.token_type


_QUOTED = (TokenType.IDENTIFIER,)
_NO_CALL_AFTER = (TokenType.DCOLON, TokenType.ALIAS)  # a type, a name
_ENDS = (TokenType.STAR, TokenType.R_PAREN, TokenType.VAR, TokenType.IDENTIFIER)


class AsWritten(Exception):
    """The very words of the query count, or sqlglot does not know some of them."""


class _NamesStay(Exception):
    """What a name of the query means cannot be told."""


def _has_bare_fraction(tokens: Sequence[Token]) -> bool:
    """Whether a number starts with its point: `.5` has another type than `0.5`, which sqlglot
    makes of it."""
    return any(
        dot.token_type is TokenType.DOT and number.token_type is TokenType.NUMBER
        for dot, number in pairwise(tokens)
    )


def _unify(node: exp.Expr) -> None:
    """Make one of what means the same, and two of what sqlglot would write alike."""
    name = node.args.get("this")
    if isinstance(name, str) and name.endswith(_MARK):
        node.set("this", name[:-1])
    if isinstance(node, exp.Identifier):
        name = node.name
        if node.args.get("quoted") and _PLAIN.fullmatch(name) and name.lower() not in _WORDS:
            node.set("quoted", False)
    elif isinstance(node, exp.Ordered):
        node.set("desc", node.args.get("desc") or None)
    elif isinstance(node, exp.Join):
        told = node.args.get("on") or node.args.get("using") or node.args.get("method")
        if node.kind == "OUTER" or (node.kind == "INNER" and told):
            node.set("kind", None)
        if isinstance(node.this, exp.Unnest) and not (told or node.kind):
            node.set("on", exp.true())
    elif isinstance(node, exp.RawString):
        node.replace(exp.Literal.string(node.name))
    elif isinstance(node, exp.Pow):
        node.replace(exp.Anonymous(this="POWER", expressions=[node.this, node.expression]))
    elif isinstance(node, exp.RegexpLike):
        # `a ~ b`: sqlglot writes regexp_matches, which finds parts of a text too.
        parts = [node.this, node.expression]
        node.replace(exp.Anonymous(this="REGEXP_FULL_MATCH", expressions=parts))
    elif isinstance(node, exp.Any) and not isinstance(node.this, exp.Subquery | exp.Paren):
        inner = node.this
        if isinstance(inner, exp.Query):
            node.set("this", exp.Subquery(this=inner))


def _as_written(text: str, tokens: Sequence[Token]) -> str:
    """A query without comments and formatting. Signs that stand together stay together."""
    parts = []
    for token, after in zip_longest(tokens, tokens[1:]):
        word = text[token.start : token.end + 1]
        together = after and after.start == token.end + 1 and not re.search(r"[\w()\[\]{},]", word)
        parts.append(word if together else f"{word} ")
    return "".join(parts).strip()


# ---- what names mean ---------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Cte:
    """A part of WITH. `columns`: those that it surely has."""

    node: exp.CTE
    name: str
    new: str
    columns: frozenset[str]


@dataclass(frozen=True, eq=False)
class _Relation:
    """What stands in a FROM.

    node     the part of the tree that has its alias.
    name     what its columns are qualified by; "" if they cannot be.
    new      what they are to be qualified by.
    schema   of a table without alias.
    columns  those that it surely has.
    stays    whether its name is seen elsewhere than before a dot.
    """

    node: exp.Expr
    name: str
    new: str
    schema: str = ""
    columns: frozenset[str] = frozenset()
    stays: bool = False


@dataclass(eq=False)
class _Scope:
    """What can be named within one SELECT: the relations of its FROM as far as it was read. `read`:
    how many those were, with those that cannot be named any more."""

    depth: int
    outer: _Scope | None
    relations: list[_Relation] = field(default_factory=list)
    read: int = 0


_Ctes = Mapping[str, _Cte]


@dataclass
class _Reader:
    """Finds out what each name in a query means.

    others     names in any other place than before a dot: there they may be columns, fields of
               structs, whole rows, …
    doubtful   names before a dot that may mean more than one thing, or none that is known.
    lost       names of tables that are neither a CTE's nor have a schema.
    relations, ctes
               all of them.
    uses       columns that are qualified by a relation.
    full_uses  columns that are qualified by a table's schema and name.
    cte_uses   where a FROM names a CTE.
    bare       columns that are not qualified.
    folded     identifiers whose case nobody sees.
    all_stay   whether no name can be told for certain.
    """

    others: set[str] = field(default_factory=set)
    doubtful: set[str] = field(default_factory=set)
    lost: set[str] = field(default_factory=set)
    relations: list[_Relation] = field(default_factory=list)
    ctes: list[_Cte] = field(default_factory=list)
    uses: list[tuple[exp.Column, _Relation]] = field(default_factory=list)
    full_uses: list[tuple[exp.Column, _Relation]] = field(default_factory=list)
    cte_uses: list[tuple[exp.Table, _Cte]] = field(default_factory=list)
    bare: list[exp.Expr] = field(default_factory=list)
    folded: list[exp.Expr] = field(default_factory=list)
    all_stay: bool = False

    # ---- queries

    def query(
        self, node: exp.Expr, outer: _Scope | None, ctes: _Ctes, depth: int, *, is_named: bool
    ) -> None:
        """Read a query. `is_named`: whether the names of its columns can be seen."""
        ctes = self.with_(node, outer, ctes, depth)
        if isinstance(node, exp.Select):
            self.select(node, outer, ctes, depth, is_named=is_named)
            return
        scope = _Scope(depth, outer)
        if isinstance(node, exp.SetOperation):
            by_name = bool(node.args.get("by_name"))
            self.query(node.this, outer, ctes, depth + 1, is_named=is_named or by_name)
            self.query(node.expression, outer, ctes, depth + 1, is_named=by_name)
            self.rest(node, scope, ctes, ("this", "expression", "with_"))
        elif isinstance(node, exp.Subquery):
            if node.args.get("alias"):
                raise _NamesStay
            self.query(node.this, outer, ctes, depth + 1, is_named=is_named)
            self.rest(node, scope, ctes, ("this", "with_"))
        elif isinstance(node, exp.Values):
            self.rest(node, scope, ctes, ())
        elif isinstance(node, exp.Table):
            self.add(node, scope, ctes)
        else:
            raise AsWritten

    def with_(self, node: exp.Expr, outer: _Scope | None, ctes: _Ctes, depth: int) -> _Ctes:
        with_ = node.args.get("with_")
        if not with_:
            return ctes
        for number, each in enumerate(with_.expressions):
            alias = each.args["alias"]
            columns = _surely_named(alias, _names_given(each.this))
            cte = _Cte(each, alias.name.lower(), f"_w{depth}_{number}", columns)
            self.columns(alias)
            self.folded.append(alias.this)
            self.ctes.append(cte)
            after = {**ctes, cte.name: cte}
            within = after if with_.recursive else ctes
            named = not _names_all(alias, each.this)
            self.query(each.this, outer, within, depth + 1, is_named=named)
            self.rest(each, _Scope(depth, outer), within, ("this", "alias"))
            ctes = after
        return ctes

    def select(
        self, node: exp.Select, outer: _Scope | None, ctes: _Ctes, depth: int, *, is_named: bool
    ) -> None:
        if is_named and any(map(_has_made_up_name, node.expressions)):
            raise AsWritten
        scope = _Scope(depth, outer)
        if from_ := node.args.get("from_"):
            self.add(from_.this, scope, ctes)
        for lateral in node.args.get("laterals") or ():
            self.add(lateral, scope, ctes)
        for join in node.args.get("joins") or ():
            self.join(join, scope, ctes)
        self.rest(node, scope, ctes, ("from_", "laterals", "joins", "with_"))

    # ---- FROM

    def add(self, node: exp.Expr, scope: _Scope, ctes: _Ctes) -> None:
        if node.args.get("pivots"):
            raise AsWritten  # it makes names of values, and values of names
        if isinstance(node, exp.Table):
            self.table(node, scope, ctes)
        elif isinstance(node, exp.Subquery) and _is_parenthesis(node):
            if node.args.get("alias"):
                raise _NamesStay
            self.add(node.this, scope, ctes)
        elif isinstance(node, exp.Subquery):
            if node.args.get("with_"):
                raise _NamesStay
            named = not _names_all(node.args.get("alias"), node.this)
            self.query(node.this, scope, ctes, scope.depth + 1, is_named=named)
            self.rest(node, scope, ctes, ("this", "alias", "joins"))
            self.relation(node, scope, columns=_names_given(node.this))
        elif isinstance(node, exp.Values):
            self.rest(node, scope, ctes, ("alias", "joins"))
            self.relation(node, scope, stays=not node.alias)
        elif isinstance(node, exp.Lateral) and isinstance(node.this, exp.Subquery):
            self.query(node.this, scope, ctes, scope.depth + 1, is_named=True)
            self.rest(node, scope, ctes, ("this", "alias", "joins"))
            self.relation(node, scope, columns=_names_given(node.this))
        elif isinstance(node, exp.Unnest):
            self.rest(node, scope, ctes, ("alias", "joins"))
            self.relation(node, scope, stays=not _column_names(node))
        else:
            raise _NamesStay
        for join in node.args.get("joins") or ():
            self.join(join, scope, ctes)

    def table(self, node: exp.Table, scope: _Scope, ctes: _Ctes) -> None:
        self.rest(node, scope, ctes, ("this", "db", "alias", "joins"))
        if not isinstance(node.this, exp.Identifier):
            if not isinstance(node.this, exp.GenerateSeries) and not _is_series(node.this):
                raise _NamesStay  # a function's columns are not known
            self.expression(node.this, scope, ctes)
            self.relation(node, scope, stays=not _column_names(node))
            return
        schema, name = node.db.lower(), node.name.lower()
        self.folded += [part for part in (node.this, node.args.get("db")) if part]
        columns: frozenset[str] = frozenset()
        if not schema and name in ctes:
            self.cte_uses.append((node, ctes[name]))
            columns = ctes[name].columns
        elif not schema:
            self.lost.add(name)
        elif schema == "recurring":
            raise _NamesStay
        self.relation(node, scope, name, schema, columns)

    def relation(
        self,
        node: exp.Expr,
        scope: _Scope,
        name: str = "",
        schema: str = "",
        columns: frozenset[str] = frozenset(),
        *,
        stays: bool = False,
    ) -> None:
        alias = node.args.get("alias")
        if isinstance(alias, exp.TableAlias):
            self.columns(alias)
            if alias.this:
                name, schema = alias.name.lower(), ""
                self.folded.append(alias.this)
        new = f"_t{scope.depth}_{scope.read}"
        scope.read += 1
        relation = _Relation(node, name, new, schema, _surely_named(alias, columns), stays)
        scope.relations.append(relation)
        self.relations.append(relation)

    def columns(self, alias: exp.TableAlias) -> None:
        self.others.update(column.name.lower() for column in alias.columns)

    def join(self, join: exp.Join, scope: _Scope, ctes: _Ctes) -> None:
        before = list(scope.relations)
        self.add(join.this, scope, ctes)
        self.bare += [part for part in join.args.get("using") or () if _is_identifier(part)]
        self.rest(join, scope, ctes, ("this",))
        if join.kind in ("SEMI", "ANTI"):
            scope.relations = before

    # ---- expressions

    def rest(self, node: exp.Expr, scope: _Scope, ctes: _Ctes, without: Sequence[str]) -> None:
        """Read all parts of a node but some."""
        for key, value in node.args.items():
            if key not in without:
                for part in value if isinstance(value, list) else (value,):
                    if isinstance(part, exp.Expr):
                        self.expression(part, scope, ctes)

    def expression(self, node: exp.Expr, scope: _Scope, ctes: _Ctes) -> None:
        if isinstance(node, exp.Query | exp.Values):
            self.query(node, scope, ctes, scope.depth + 1, is_named=False)
        elif isinstance(node, exp.Column):
            self.column(node, scope, ctes)
        elif isinstance(node, exp.Identifier):
            self.others.add(node.name.lower())
        elif isinstance(node, _TEXTS):
            if "{" in node.name:  # the types of json_transform, say, which name fields
                self.others.update(word.lower() for word in _PLAIN.findall(node.this))
        elif isinstance(node, exp.Pivot | exp.Table) or _sees_its_text(node):
            raise AsWritten
        else:
            for child in node.iter_expressions():
                self.expression(child, scope, ctes)

    def column(self, node: exp.Column, scope: _Scope, ctes: _Ctes) -> None:
        if isinstance(node.this, exp.Star):
            self.rest(node.this, scope, ctes, ())
        first, *more = node.parts
        if not more:
            self.others.add(first.name.lower())
            if _is_identifier(first):
                self.bare.append(first)
            return
        relation = self.found(first.name.lower(), more[0].name.lower(), scope)
        full = self.full(first.name, more[0].name, scope) if len(more) > 1 else None
        self.folded.append(first)
        if relation and not full:
            self.uses.append((node, relation))
        elif full and not relation:
            self.full_uses.append((node, full))
            more = more[1:]
        else:
            self.doubtful.add(first.name.lower())
        self.others.update(part.name.lower() for part in more)

    def found(self, name: str, column: str, scope: _Scope | None) -> _Relation | None:
        """The relation that the name before a column means."""
        found: list[list[_Relation]] = []
        while scope:
            if here := [each for each in scope.relations if each.name == name]:
                found.append(here)
            scope = scope.outer
        if found and (len(found[0]) > 1 or (found[1:] and column not in found[0][0].columns)):
            # A column that the nearest has not is looked for in the next.
            self.doubtful.add(name)
        return found[0][0] if found else None

    def full(self, schema: str, name: str, scope: _Scope | None) -> _Relation | None:
        """The table without alias that `schema.name` before a dot means."""
        wanted = (schema.lower(), name.lower())
        found: list[_Relation] = []
        while scope:
            found += [each for each in scope.relations if (each.schema, each.name) == wanted]
            scope = scope.outer
        if len(found) > 1:
            raise _NamesStay
        return found[0] if found else None

    # ---- new names

    def rename(self) -> None:
        """Give relations and CTEs their new names where that is certain."""
        names = {relation.name for relation in self.relations}
        for identifier in self.bare:
            self.others.add(identifier.name.lower())
            if identifier.name.lower() not in names:  # a whole row is called as it is spelled
                self.folded.append(identifier)
        taken = self.others | self.doubtful | self.lost
        if self.all_stay or any(_OURS.fullmatch(n) or n.startswith("unnamed_") for n in taken):
            return
        for identifier in self.folded:
            _fold(identifier)
        stay = {each for each in self.relations if each.stays or each.name in taken}
        stay |= {each for _, each in self.full_uses if each.schema in taken}
        counts = Counter(cte.name for cte in self.ctes)
        for cte in self.ctes:
            if counts[cte.name] == 1 and cte.name not in self.lost:
                cte.node.args["alias"].set("this", exp.to_identifier(cte.new))
        for table, cte in self.cte_uses:
            if counts[cte.name] == 1 and cte.name not in self.lost:
                if not table.alias:
                    _call(table, cte.name)
                table.set("this", exp.to_identifier(cte.new))
        for relation in self.relations:
            if relation not in stay:
                _call(relation.node, relation.new)
        for column, relation in self.full_uses:
            if relation not in stay:
                column.set(_keys(column)[0], None)
        for column, relation in (*self.uses, *self.full_uses):
            if relation not in stay:
                first, second, *_ = _keys(column)
                column.set(first, exp.to_identifier(relation.new))
                _fold(column.args[second])  # surely a column: a key of JSON keeps its case


def _call(node: exp.Expr, name: str) -> None:
    alias = node.args.get("alias")
    if isinstance(alias, exp.TableAlias):
        alias.set("this", exp.to_identifier(name))
    else:
        node.set("alias", exp.TableAlias(this=exp.to_identifier(name)))


def _sees_its_text(node: exp.Expr) -> bool:
    """Whether it gives the text of its argument."""
    return isinstance(node, exp.Anonymous) and node.name.lower() == "alias"


def _fold(node: exp.Expr) -> None:
    if isinstance(node, exp.Identifier):
        node.set("this", node.name.lower())


def _keys(column: exp.Column) -> list[str]:
    """The arguments that hold the parts of a column's name, in order."""
    return [key for key in ("catalog", "db", "table", "this") if column.args.get(key)]


def _is_identifier(node: object) -> bool:
    return isinstance(node, exp.Identifier)


def _column_names(node: exp.Expr) -> list[exp.Expr]:
    alias = node.args.get("alias")
    return list(alias.columns) if isinstance(alias, exp.TableAlias) else []


_MANY = (exp.Star, exp.Columns, exp.Explode, exp.Unnest)
"""What may become several columns, with names of their own."""


def _names_given(query: exp.Expr) -> frozenset[str]:
    """Names of columns that a query surely has."""
    while isinstance(query, exp.SetOperation | exp.Subquery):
        query = query.this
    if not isinstance(query, exp.Select):
        return frozenset()
    return frozenset(
        each.alias_or_name.lower()
        for each in query.expressions
        if isinstance(each, exp.Alias | exp.Column) and not isinstance(each.this, _MANY)
    )


def _surely_named(alias: object, columns: frozenset[str]) -> frozenset[str]:
    """What the columns are called under an alias."""
    if isinstance(alias, exp.TableAlias) and alias.columns:
        return frozenset(column.name.lower() for column in alias.columns)
    return columns


def _is_series(node: exp.Expr) -> bool:
    return isinstance(node, exp.Anonymous) and node.name.lower() in ("range", "generate_series")


def _is_parenthesis(node: exp.Subquery) -> bool:
    """Whether it is a join in parentheses."""
    inner = node.this
    return isinstance(inner, exp.Table) or (
        isinstance(inner, exp.Subquery)
        and (bool(inner.args.get("alias")) or _is_parenthesis(inner))
    )


def _names_all(alias: object, query: exp.Expr) -> bool:
    """Whether an alias names every column of a query."""
    if not isinstance(alias, exp.TableAlias) or not isinstance(query, exp.Select):
        return False
    return len(alias.columns) >= len(query.expressions) and not query.is_star


def _has_made_up_name(node: exp.Expr) -> bool:
    """Whether DuckDB names a column by the text of its expression."""
    return not isinstance(node, exp.Alias | exp.Aliases | exp.Column | exp.Star)


# ---- conditions --------------------------------------------------------------------------------

_TIGHT = (exp.Predicate, exp.Column, exp.Anonymous, exp.Boolean, exp.Not)
"""What needs no parentheses beside AND."""


def _sort_conditions(nodes: Sequence[exp.Expr], generator: Any) -> None:
    """Put conditions that AND joins in the order of their texts.

    nodes  those of a tree, outer ones before inner ones.
    """
    for node in reversed(nodes):
        if isinstance(node, exp.Where | exp.Having | exp.Qualify):
            node.set("this", without_parentheses(node.this))
        elif isinstance(node, exp.Join) and node.args.get("on"):
            node.set("on", without_parentheses(node.args["on"]))
        elif isinstance(node, exp.And) and not _is_joined(node):
            conditions = list(conditions_of(node))
            if not any(map(_asks_chance, conditions)):
                conditions.sort(key=lambda each: str(generator.generate(each)))
            whole: exp.Expr = conditions[0]
            for condition in conditions[1:]:
                whole = exp.And(this=whole, expression=condition)
            node.set("this", whole.this)
            node.set("expression", whole.args["expression"])


def _is_joined(node: exp.And) -> bool:
    """Whether a chain is part of another, perhaps in parentheses."""
    parent = node.parent
    while isinstance(parent, exp.Paren):
        parent = parent.parent
    return isinstance(parent, exp.And)


def conditions_of(node: exp.Expr) -> Iterator[exp.Expr]:
    """The conditions that AND joins in a chain, whatever its parentheses."""
    inner = without_parentheses(node)
    if isinstance(inner, exp.And):
        yield from conditions_of(inner.this)
        yield from conditions_of(inner.expression)
    else:
        yield inner if isinstance(inner, _TIGHT) else node


def without_parentheses(node: exp.Expr) -> exp.Expr:
    while isinstance(node, exp.Paren):
        node = node.this
    return node


def _asks_chance(node: exp.Expr) -> bool:
    """Whether the rows for which it is computed could be seen: it draws a number."""
    return any(call.name.lower() in _CHANCE for call in node.find_all(exp.Anonymous))
