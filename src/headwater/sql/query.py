"""Reading a query: its front comment, its tables, its canonical text.

Only what a query says. Whether its tables exist is `analysis`' business, and whether it
binds is the engine's.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

import sqlglot
from sqlglot import exp
from sqlglot.errors import ParseError, TokenError
from sqlglot.optimizer.scope import traverse_scope

_FRONT = re.compile(r"\s*/\*(?P<yaml>.*?)\*/", re.DOTALL)
_READING_FUNCTIONS = re.compile(
    r"(read_|parquet_|sniff_csv|glob$|sqlite_|postgres_|mysql_|iceberg_|delta_|ducklake_|st_read)"
)


class SqlError(Exception):
    """Text that is no query. `line` and `column` count from 1; 0 means unknown."""

    def __init__(self, message: str, line: int = 0, column: int = 0, hint: str = "") -> None:
        super().__init__(message, line, column, hint)
        self.message, self.line, self.column, self.hint = message, line, column, hint


@dataclass(frozen=True)
class TableRef:
    """A table that a query reads, where it is first named (line and column from 1)."""

    schema: str
    name: str
    line: int = 0
    column: int = 0

    @property
    def text(self) -> str:
        return f"{self.schema}.{self.name}" if self.schema else self.name


@dataclass(frozen=True)
class Query:
    """One parsed SELECT.

    text       the query as the user wrote it, without a trailing semicolon.
    canonical  the same without comments and formatting; equal texts mean the same query.
    tables     each table read, once, in the order of first use.
    words      every column name that the query spells out.
    """

    text: str
    canonical: str
    tables: tuple[TableRef, ...]
    words: frozenset[str]


def split_front(text: str) -> tuple[str, int, str]:
    """A model file as (YAML of the leading comment, its first line, the query).

    The query keeps its lines: the comment is replaced by as many line breaks, so that a
    line number in the query is a line number in the file.
    """
    match = _FRONT.match(text)
    if not match:
        return "", 1, text
    before = text[: match.start("yaml")].count("\n")
    blank = re.sub(r"[^\n]", " ", match.group(0))
    return match.group("yaml"), before + 1, blank + text[match.end() :]


def read_query(text: str) -> Query:
    """Parse one SELECT (or UNION, VALUES, WITH …). Raises SqlError."""
    try:
        trees = [tree for tree in sqlglot.parse(text, read="duckdb") if tree is not None]
    except ParseError as error:
        first = error.errors[0] if error.errors else {}
        raise SqlError(
            f"the query does not parse: {_sentence(first.get('description') or str(error))}",
            first.get("line") or 0,
            first.get("col") or 0,
        ) from error
    except TokenError as error:
        raise SqlError(f"the query does not parse: {_sentence(str(error))}") from error
    if not trees:
        raise SqlError("there is no query here", hint="write one SELECT after the comment")
    if len(trees) > 1:
        raise SqlError(
            f"{len(trees)} statements where one SELECT is meant",
            *_position(trees[1]),
            hint="a model is one query; make a model of each",
        )
    tree = trees[0]
    if not isinstance(tree, exp.Query):
        raise SqlError(
            f"a {tree.key.upper()} statement where a SELECT is meant",
            *_position(tree),
            hint="a model is one SELECT; Headwater writes the table",
        )
    return Query(
        text=text.strip().rstrip(";").rstrip() if "--" not in text else _without_semicolon(text),
        canonical=tree.sql("duckdb", comments=False, normalize=True),
        tables=tuple(_tables(tree)),
        words=frozenset(column.name.lower() for column in tree.find_all(exp.Column)),
    )


def read_expression(text: str) -> str:
    """One boolean expression in canonical text. Raises SqlError.

    >>> read_expression("a>1  and b is not  null")
    'a > 1 AND NOT b IS NULL'
    """
    try:
        tree = sqlglot.parse_one(f"SELECT 1 WHERE (\n{text}\n)", read="duckdb")
    except (ParseError, TokenError) as error:
        raise SqlError("the expression does not parse") from error
    where = tree.args.get("where")
    if not isinstance(tree, exp.Select) or where is None or len(tree.args["expressions"]) != 1:
        raise SqlError("one expression is meant")
    inner = where.this
    inner = inner.this if isinstance(inner, exp.Paren) else inner
    if inner.find(exp.Query):
        raise SqlError(
            "a row rule looks at one row: no subqueries", hint="write a model for that check"
        )
    return str(inner.sql("duckdb", comments=False))


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
    """Every column name that an expression spells out."""
    tree = sqlglot.parse_one(text, read="duckdb")
    return frozenset(column.name for column in tree.find_all(exp.Column))


def digest(*parts: str) -> str:
    """A short hash of texts, the same on every machine: 16 hexadecimal digits."""
    return hashlib.sha256("\x00".join(parts).encode()).hexdigest()[:16]


def _tables(tree: exp.Query) -> list[TableRef]:
    found: dict[tuple[str, str], TableRef] = {}
    for scope in traverse_scope(tree):
        for source in scope.sources.values():
            if isinstance(source, exp.Table):
                _refuse_functions(source)
                ref = TableRef(source.db.lower(), source.name.lower(), *_position(source))
                if source.catalog:
                    raise SqlError(
                        f"{source.catalog}.{source.db}.{source.name} has three parts",
                        *_position(source),
                        hint=f"name the dataset: {source.db}.{source.name}",
                    )
                found.setdefault((ref.schema, ref.name), ref)
    # Tables that the scopes do not reach (a pivot's source, a lateral's) are found by walking.
    names = {cte.alias_or_name.lower() for cte in tree.find_all(exp.CTE)}
    for table in tree.find_all(exp.Table):
        _refuse_functions(table)
        ref = TableRef(table.db.lower(), table.name.lower(), *_position(table))
        if isinstance(table.this, exp.Identifier) and (ref.schema or ref.name not in names):
            found.setdefault((ref.schema, ref.name), ref)
    return sorted(found.values(), key=lambda ref: (ref.line, ref.column))


def _refuse_functions(table: exp.Table) -> None:
    function = table.this
    if not isinstance(function, exp.Func):
        return
    name = (function.name if isinstance(function, exp.Anonymous) else function.sql_name()).lower()
    if _READING_FUNCTIONS.match(name):
        raise SqlError(
            f"{name}() reads past the lake",
            *_position(function),
            hint="describe the files in sources/ and read the dataset, so that it is accounted for",
        )


def _position(node: exp.Expr) -> tuple[int, int]:
    for candidate in node.walk():
        line = candidate.meta.get("line")
        if line:
            # sqlglot counts the column of a token's last character.
            length = len(candidate.name) if isinstance(candidate, exp.Identifier) else 1
            quoted = 2 if candidate.args.get("quoted") else 0
            return line, max(1, candidate.meta.get("col", 1) - length - quoted + 1)
    return 0, 0


def _sentence(text: str) -> str:
    text = re.sub(r"\x1b\[[0-9;]*m", "", text).strip().splitlines()[0].rstrip(".")
    return text[:1].lower() + text[1:]


def _without_semicolon(text: str) -> str:
    tokens = sqlglot.tokenize(text, read="duckdb")
    while tokens and tokens[-1].text == ";":
        text = text[: tokens[-1].start] + " " + text[tokens[-1].end + 1 :]
        tokens.pop()
    # A trailing line comment must not swallow what we put after the query.
    return text.strip() + "\n"
