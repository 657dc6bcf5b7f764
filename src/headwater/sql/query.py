"""Reading a query: its front comment, its tables, its canonical text.

Only what a query says. Whether its tables exist is `analysis`' business, and whether it
binds is the engine's.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from sqlglot import Token, TokenType, exp
from sqlglot.errors import ParseError, TokenError

from headwater.index.entries import Entries, key
from headwater.places import TOP, Place, place_at
from headwater.sql.canonical import Form
from headwater.sql.faults import SqlError
from headwater.sql.parsing import DUCKDB, parse, parse_text
from headwater.sql.variables import (
    Edit,
    place_before,
    put_in,
    put_into_tree,
    variable_tokens,
)

__all__ = ["Query", "SqlError", "TableRef", "digest", "read_expression", "read_query"]

_FRONT = re.compile(r"\s*/\*(?P<yaml>.*?)\*/", re.DOTALL)
_READING_FUNCTIONS = re.compile(
    r"(read_|parquet_|sniff_csv|glob$|sqlite_|postgres_|mysql_|iceberg_|delta_|ducklake_|st_read)"
)
_NONE: frozenset[str] = frozenset()


@dataclass(frozen=True)
class TableRef:
    """A table that a query reads, and the place where it is first named."""

    schema: str
    name: str
    place: Place = TOP

    @property
    def text(self) -> str:
        return f"{self.schema}.{self.name}" if self.schema else self.name


@dataclass(frozen=True)
class Query:
    """One parsed SELECT.

    text    the query as the user wrote it, from its first word to its last: without comments
            around it and without a semicolon, so that it can stand within another query. Where
            a variable stood, its value does.
    start   where `text` starts in what was read, in characters from 0.
    tables  each table read, once, in the order of first use.
    words   every column name that the query spells out.
    parsed  gives its tree.
    variables  those that it uses.
    edits   where `text` differs from what was read.
    entries  what is known of texts that were read before.
    """

    text: str
    start: int
    tables: tuple[TableRef, ...]
    words: frozenset[str]
    parsed: Callable[[], exp.Expr] = field(repr=False, compare=False)
    variables: frozenset[str] = frozenset()
    edits: tuple[Edit, ...] = ()
    entries: Entries = field(default_factory=Entries, repr=False, compare=False)

    @cached_property
    def tree(self) -> exp.Expr:
        """Its syntax, for the rooms that look into it; not to be changed. A query that was read
        before is parsed when it is first asked for."""
        return self.parsed()

    def offset(self, inside: int) -> int:
        """Where in what was read a character of `text` stands."""
        return self.start + place_before(self.edits, max(inside, 0))

    @cached_property
    def is_fickle(self) -> bool:
        """Whether it may give something else over the same tables: it asks the time or chance."""
        return _is_fickle(self.tree)

    @cached_property
    def form(self) -> Form:
        """Its tree as the fingerprints look at it."""
        return Form(self.text)

    @cached_property
    def canonical(self) -> str:
        """One text for all ways of writing this query: equal texts mean the same rows."""
        # Only fingerprints need it, so a mere check does not pay for it.
        return self.canonical_over(frozenset())

    def canonical_over(self, nested: Collection[str]) -> str:
        """The same where columns and fields of these names hold fields."""
        known = key("canonical", self.text, *sorted(nested))
        found = self.entries.get(known)
        if not isinstance(found, str):
            found = self.form.canonical(nested=nested)
            self.entries.put(known, found)
        return found

    @property
    def first_form(self) -> str:
        """What the first version hashed: the query without comments and formatting."""
        return DUCKDB.generate(self.tree, comments=False, normalize=True)


def split_front(text: str) -> tuple[str, int, str]:
    """A model file as (YAML of the leading comment, its first line, the query).

    The query keeps its lines: the comment is replaced by as many line breaks, so that a
    place in the query is a place in the file.
    """
    match = _FRONT.match(text)
    if not match:
        return "", 1, text
    blank = re.sub(r"[^\n]", " ", match.group(0))
    return match.group("yaml"), front_place(text).line, blank + text[match.end() :]


def front_place(text: str) -> Place:
    """Where the YAML of a model file's leading comment starts."""
    match = _FRONT.match(text)
    return place_at(text, match.start("yaml") if match else 0)


def read_query(
    text: str,
    values: Mapping[str, str] | None = None,
    kind: str = "model",
    entries: Entries | None = None,
) -> Query:
    """Parse one SELECT (or UNION, VALUES, WITH …). Raises SqlError.

    values   the project's variables, name -> SQL; None: they stay as they are.
    kind     what the query is to be, for messages: model or check.
    entries  what is known of texts that were read before; what is read is noted there.
    """
    if entries is None:
        return _read_query(text, values, kind)
    known = key("query", text, kind, repr(None if values is None else sorted(values.items())))
    query = _known_query(entries.get(known), lambda: _read_query(text, values, kind).tree)
    if query is None:
        query = _read_query(text, values, kind)
        entries.put(known, _facts(query))
    return replace(query, entries=entries)


def _facts(query: Query) -> list[Any]:
    """What reading a query tells, its tree aside, as plain JSON."""
    return [
        query.text,
        query.start,
        [[table.schema, table.name, *table.place] for table in query.tables],
        sorted(query.words),
        sorted(query.variables),
        [[edit.at, edit.length_now, edit.length_before] for edit in query.edits],
    ]


def _known_query(facts: Any, parsed: Callable[[], exp.Expr]) -> Query | None:
    """The query of these facts; None where there are none."""
    try:
        text, start, tables, words, variables, edits = facts
        return Query(
            text=text,
            start=start,
            tables=tuple(TableRef(s, n, Place(line, column)) for s, n, line, column in tables),
            words=frozenset(words),
            parsed=parsed,
            variables=frozenset(variables),
            edits=tuple(Edit(*edit) for edit in edits),
        )
    except (TypeError, ValueError):
        return None


def _read_query(text: str, values: Mapping[str, str] | None, kind: str) -> Query:
    found = statements(text)
    if not found:
        raise SqlError("there is no query here", hint="write one SELECT after the comment")
    if len(found) > 1:
        raise SqlError(
            f"{len(found)} statements where one SELECT is meant",
            place_at(text, found[1][0].start),
            hint=f"a {kind} is one query; make a {kind} of each",
        )
    (tokens,) = found
    start, end = tokens[0].start, tokens[-1].end + 1
    tree = _parse(text, tokens)
    if not isinstance(tree, exp.Query | exp.Values):
        raise SqlError(
            f"a {tree.key.upper()} statement where a SELECT is meant",
            place_at(text, start),
            hint=f"a {kind} is one SELECT; {_WHAT_FOR[kind]}",
        )
    tables: list[exp.Table] = []
    ours: set[str] = set()
    words: set[str] = set()
    for node in tree.walk():
        if isinstance(node, exp.Table):
            tables.append(node)
        elif isinstance(node, exp.CTE):
            ours.add(node.alias_or_name.lower())
        elif isinstance(node, exp.Column):
            words.add(node.name.lower())
    whole = text[start:end]
    edits: tuple[Edit, ...] = ()
    if values is not None:
        whole, edits = put_in(text, tokens, values, start, end)
    if edits:
        put_into_tree(tree, values or {})
    return Query(
        text=whole,
        start=start,
        tables=tuple(_read_tables(text, tables, ours)),
        words=frozenset(words),
        parsed=lambda: tree,
        variables=frozenset(token.text for token in variable_tokens(tokens)) if edits else _NONE,
        edits=edits,
    )


_WHAT_FOR = {
    "model": "Headwater writes the table",
    "check": "the rows that it returns are those that break it",
}


def statements(text: str) -> list[list[Token]]:
    """The tokens of each statement, without the semicolons. Comments are no tokens.
    Raises SqlError."""
    tokenizer = DUCKDB.tokenizer()
    try:
        tokens = tokenizer.tokenize(text)
    except TokenError as error:
        # What it came from alone tells where the text began whose end was looked for.
        start = re.search(r":(\d+)$", str(error.__context__))
        raise SqlError(
            "the query does not parse: what starts here has no end",
            place_at(text, int(start[1]) if start else len(text)),
            hint="close the quote or the comment",
        ) from error
    found: list[list[Token]] = [[]]
    for token in tokens:
        if token.token_type is TokenType.SEMICOLON:
            found.append([])
        else:
            found[-1].append(token)
    return [statement for statement in found if statement]


def _parse(text: str, tokens: list[Token]) -> exp.Expr:
    """The tree of one statement."""
    try:
        tree = parse(tokens, text)
    except ParseError as error:
        raise _syntax_error(text, tokens, error) from error
    except RecursionError as error:
        raise SqlError(
            "the query is nested too deeply",
            place_at(text, tokens[0].start),
            hint="give its parts names, with WITH or as models",
        ) from error
    if tree is None:
        raise SqlError("there is no query here", hint="write one SELECT after the comment")
    return tree


def _syntax_error(text: str, tokens: list[Token], error: ParseError) -> SqlError:
    first = error.errors[0] if error.errors else {}
    # sqlglot gives the place of a token's last character.
    last = (first.get("line"), first.get("col"))
    offset = next((token.start for token in tokens if (token.line, token.col) == last), 0)
    description = str(first.get("description") or "")
    if not description or "<class" in description:
        description = "something is missing here"
    return SqlError(f"the query does not parse: {_sentence(description)}", place_at(text, offset))


def read_expression(text: str) -> str:
    """One condition over the columns of a row, in canonical text. Raises SqlError.

    >>> read_expression("a>1  and b is not  null")
    'a > 1 AND NOT b IS NULL'
    """
    return _expression(
        text, "a row rule", "one condition is meant", "fare >= 0  or  b > a", _NO_CONDITIONS
    )


def read_aggregate(text: str) -> str:
    """One condition over all rows of a table, in canonical text. Raises SqlError.

    >>> read_aggregate("count(*)>1  and min( a ) >= 0")
    'COUNT(*) > 1 AND MIN(a) >= 0'
    """
    return _expression(
        text,
        "a check of a contract",
        "one condition is meant",
        "count(*) > 0  or  sum(fare) > 0",
        _NO_AGGREGATES,
    )


def read_value(text: str) -> str:
    """One value that is computed from the columns of a row, in canonical text. Raises SqlError.

    >>> read_value("coalesce( a,0 )*2")
    'COALESCE(a, 0) * 2'
    """
    return _expression(
        text, "a value", "one value is meant", "fare / 100  or  upper(code)", _NO_VALUES
    )


_Refusals = tuple[tuple[tuple[type[exp.Expr], ...], str, str], ...]
"""What makes an expression none of its kind: kinds of nodes, message, hint. In a message {what}
and {meant} are those of `_expression`."""


def _expression(text: str, what: str, meant: str, example: str, refusals: _Refusals) -> str:
    try:
        tree = parse_text(text, exp.Condition)
    except (ParseError, TokenError) as error:
        raise SqlError("the expression does not parse") from error
    except RecursionError as error:
        raise SqlError("the expression is nested too deeply", hint=_IN_A_MODEL) from error
    if tree is None:
        raise SqlError(meant, hint=f"such as  {example}")
    for kinds, message, hint in refusals:
        if tree.find(*kinds):
            raise SqlError(message.format(what=what, meant=meant), hint=hint)
    if any(not re.match(r"[A-Za-z_]", node.name) for node in tree.find_all(exp.Placeholder)):
        raise SqlError(f"{what} takes no parameters", hint="name a variable:  $since")
    return DUCKDB.generate(tree, copy=False, comments=False)


_ELSEWHERE = "write it as a query, in checks/NAME.sql"
_IN_A_MODEL = "compute it in a model"
_NO_PARAMETERS = ((exp.Parameter,), "{what} takes no parameters", "name a variable:  $since")
_NO_SUBQUERIES = "{what} looks at one row: no subqueries"
_NO_ROWS = "{what} looks at one row: no aggregates and windows"
_NO_CONDITIONS: _Refusals = (
    ((exp.Query, exp.Values), _NO_SUBQUERIES, _ELSEWHERE),
    ((exp.AggFunc, exp.Window), _NO_ROWS, "put it under `checks:`, which look at all rows"),
    ((exp.Star, exp.Columns), "{meant}, not columns", "name the column"),
    _NO_PARAMETERS,
)
_NO_VALUES: _Refusals = (
    ((exp.Query, exp.Values), _NO_SUBQUERIES, _IN_A_MODEL),
    ((exp.AggFunc, exp.Window), _NO_ROWS, _IN_A_MODEL),
    ((exp.Star, exp.Columns), "{meant}, not columns", "name the column"),
    _NO_PARAMETERS,
)
_NO_AGGREGATES: _Refusals = (
    ((exp.Query, exp.Values), "{what} reads no other table", _ELSEWHERE),
    ((exp.Window,), "{what} gives one value: no windows", _ELSEWHERE),
    ((exp.Columns,), "{meant}, not columns", "name the column"),
    _NO_PARAMETERS,
)


def table_parts(text: str) -> tuple[str, ...]:
    """A table as DuckDB prints it, perhaps with its alias, as its lower-case parts.

    >>> table_parts('tlc."Trips" AS t')
    ('tlc', 'trips')
    """
    plain = re.split(r" (?:AS|TABLESAMPLE) ", text)[0]
    table = exp.to_table(plain, dialect="duckdb")
    parts = (table.catalog, table.db, table.name)
    return tuple(part.lower() for part in parts if part)


def expression_words(text: str) -> frozenset[str]:
    """Every column that an expression spells out; of `customer.city` that is `customer`."""
    tree = parse_text(text, exp.Condition)
    if tree is None:
        return frozenset()
    return frozenset(column.parts[0].name for column in tree.find_all(exp.Column))


def expression_is_fickle(text: str) -> bool:
    """Whether an expression may give something else over the same rows.

    >>> expression_is_fickle("max(at) > now() - INTERVAL 1 DAY")
    True
    """
    tree = parse_text(text, exp.Condition)
    return tree is not None and _is_fickle(tree)


_FICKLE = (
    exp.CurrentDate,
    exp.CurrentDatetime,
    exp.CurrentTime,
    exp.CurrentTimestamp,
    exp.Localtime,
    exp.Localtimestamp,
    exp.Rand,
    exp.TableSample,
    exp.Uuid,
)
_FICKLE_NAMES = frozenset(
    [
        *("now", "today", "transaction_timestamp", "get_current_timestamp", "get_current_time"),
        *("current_localtime", "current_localtimestamp", "random", "uuid", "uuidv4", "uuidv7"),
        *("gen_random_uuid", "setseed", "nextval", "age"),
    ]
)


def _is_fickle(tree: exp.Expr) -> bool:
    return any(
        isinstance(node, _FICKLE)
        or (isinstance(node, exp.Anonymous) and node.name.lower() in _FICKLE_NAMES)
        for node in tree.walk()
    )


def repeated_parts(expressions: Iterable[str]) -> tuple[frozenset[str], frozenset[str]]:
    """What stands in expressions more than once: (columns, other parts), in lower case.

    >>> columns, others = repeated_parts(["CAST(a AS INT) > 0", "CAST(A AS INT) < b", "b = 2"])
    >>> sorted(columns), sorted(others)
    (['a', 'b'], ['cast(a as int)'])
    """
    columns, others = Counter[str](), Counter[str]()
    for text in expressions:
        tree = parse_text(text, exp.Condition)
        for node in tree.walk() if tree else ():
            if isinstance(node, exp.Column):
                columns[node.parts[0].name.lower()] += 1
            elif not isinstance(node, _LEAVES):
                others[DUCKDB.generate(node, comments=False).lower()] += 1
    return _repeated(columns), _repeated(others)


_LEAVES = (exp.Literal, exp.Identifier, exp.DataType, exp.Boolean, exp.Null, exp.Interval)


def _repeated(counts: Counter[str]) -> frozenset[str]:
    return frozenset(part for part, count in counts.items() if count > 1)


def digest(*parts: str) -> str:
    """A short hash of texts, the same on every machine: 16 hexadecimal digits."""
    return hashlib.sha256("\x00".join(parts).encode()).hexdigest()[:16]


def _read_tables(text: str, tables: list[exp.Table], ours: set[str]) -> list[TableRef]:
    """Each table once. A name without a schema that a CTE of the query has (`ours`) is that CTE."""
    found: dict[tuple[str, str], TableRef] = {}
    for table in tables:
        place = _place(text, table)
        if not isinstance(table.this, exp.Identifier):
            _refuse_reading(table.this, place)
            continue
        schema, name = table.db.lower(), table.name.lower()
        if table.catalog:
            raise SqlError(
                f"{table.catalog}.{table.db}.{table.name} has three parts",
                place,
                hint=f"name the dataset: {table.db}.{table.name}",
            )
        if schema or name not in ours:
            ref = TableRef(schema, name, place)
            known = found.setdefault((schema, name), ref)
            if ref.place < known.place:
                found[schema, name] = ref
    return sorted(found.values(), key=lambda ref: ref.place)


def _refuse_reading(function: exp.Expr, place: Place) -> None:
    """A table function is no table; one that reads files or other databases is refused."""
    if not isinstance(function, exp.Func):
        return
    name = (function.name if isinstance(function, exp.Anonymous) else function.sql_name()).lower()
    if _READING_FUNCTIONS.match(name):
        raise SqlError(
            f"{name}() reads past the lake",
            place,
            hint="describe the files in sources/ and read the dataset, so that it is accounted for",
        )


def _place(text: str, node: exp.Expr) -> Place:
    """Where the first word of a part of the query stands."""
    starts = [part.meta["start"] for part in node.walk() if "start" in part.meta]
    return place_at(text, min(starts, default=0))


def _sentence(text: str) -> str:
    text = re.sub(r"\x1b\[[0-9;]*m", "", text).strip().splitlines()[0].rstrip(".")
    return text[:1].lower() + text[1:]
