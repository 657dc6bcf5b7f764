"""Reading a function: `CREATE FUNCTION name(a, b := 1) AS …`, in DuckDB's words a macro.

Only what the text says. Whether it binds is the engine's business, and which functions it may
call is `project`'s.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise

from sqlglot import Token, TokenType, exp
from sqlglot.dialects.duckdb import DuckDB

from headwater.places import Place, place_at
from headwater.sql.canonical import canonical
from headwater.sql.query import Query, SqlError, digest, read_query, statements
from headwater.sql.variables import variable_tokens

_FORM = "write  CREATE FUNCTION name(a, b := 1) AS …  or  AS TABLE SELECT …"
_NO_WORDS = frozenset([TokenType.STRING, TokenType.NUMBER, TokenType.L_PAREN, TokenType.R_PAREN])


@dataclass(frozen=True)
class FunctionText:
    """One parsed CREATE FUNCTION.

    name        what it is called, in lower case.
    place       where the name stands.
    head        `(a, b := 1) AS ` or `(a) AS TABLE `, as written.
    parameters  their names, in order.
    types, defaults
                of those parameters that state them, as written.
    is_table    whether it gives rows rather than a value.
    body        the query that it stands for; of a value's function `SELECT value`, with the
                places of the file.
    start       where in what was read `head` starts, in characters from 0.
    calls       the names that it calls as functions, in lower case, SQL's own among them.
    meaning     a hash of it without comments and formatting.
    """

    name: str
    place: Place
    head: str
    parameters: tuple[str, ...]
    is_table: bool
    body: Query
    start: int
    calls: frozenset[str]
    meaning: str
    types: Mapping[str, str] = field(default_factory=dict)
    defaults: Mapping[str, str] = field(default_factory=dict)

    @property
    def definition(self) -> str:
        """Everything after the name, with the body's variables in place."""
        return self.head + self.body_text

    @property
    def body_text(self) -> str:
        """The body alone."""
        return self.body.text if self.is_table else self.body.text[len("SELECT") :].lstrip()

    def offset(self, inside: int) -> int:
        """Where in the file a character of `definition` stands."""
        within = inside - len(self.head)
        if within < 0:
            return self.start + max(inside, 0)
        return self.body.offset(len(self.body.text) - len(self.body_text) + within)


def read_function(text: str, values: Mapping[str, str] | None = None) -> FunctionText:
    """Parse one CREATE FUNCTION or CREATE MACRO, of a value or a table. Raises SqlError.

    values   the project's variables, name -> SQL; None: they stay as they are.
    """
    found = statements(text)
    if not found:
        raise SqlError("there is no function here", hint=_FORM)
    if len(found) > 1:
        raise SqlError(
            f"{len(found)} statements where one function is meant",
            place_at(text, found[1][0].start),
            hint="a function has a file of its own",
        )
    head = _read_head(text, found[0])
    for token in variable_tokens(head.between):
        raise SqlError(
            "a parameter's default takes no variable",
            place_at(text, token.start - 1),
            hint=f"use ${token.text} in the body",
        )
    body, calls = _read_body(text, head, values)
    names = tuple(parts[0].text.lower() for parts in head.parameters)
    # Whoever reads a function's rows may see how it calls its columns; a parameter may be a struct.
    meant = canonical(body.text, names_count=head.is_table, nested=names)
    parameters = [(token.token_type.name, token.text) for token in head.between]
    return FunctionText(
        name=head.name.text.lower(),
        place=place_at(text, head.name.start),
        head=text[head.name.end + 1 : head.body[0].start],
        parameters=names,
        types=_said(text, head.parameters, is_default=False),
        defaults=_said(text, head.parameters, is_default=True),
        is_table=head.is_table,
        body=body,
        start=head.name.end + 1,
        calls=calls,
        meaning=digest(repr(parameters), str(head.is_table), meant),
    )


def called(text: str) -> frozenset[str]:
    """Every name that a text of SQL calls as a function, in lower case. A name that stands before
    a parenthesis for another reason is among them. Raises SqlError."""
    return frozenset().union(*(_calls(tokens) for tokens in statements(text)))


def called_in_texts(text: str, names: frozenset[str]) -> frozenset[str]:
    """Those of `names` that stand before a parenthesis anywhere in a text of any language."""
    words = re.findall(r"\b([A-Za-z_][A-Za-z0-9_]*)\s*\(", text)
    return names & {word.lower() for word in words}


def is_known_to_sql(name: str) -> bool:
    """Whether a name has a meaning of its own in SQL, so that no function may be called so."""
    word, parser = name.upper(), DuckDB.parser_class
    if word in parser.FUNCTIONS or word in parser.FUNCTION_PARSERS:
        return True
    try:
        query = read_query(f"SELECT {name}(1) FROM {name}(1)")
    except SqlError:
        return True
    calls = [node for node in query.tree.find_all(exp.Anonymous) if node.name.lower() == name]
    return len(calls) != 2


@dataclass(frozen=True)
class _Head:
    name: Token
    between: list[Token]
    parameters: list[list[Token]]
    is_table: bool
    body: list[Token]


def _read_head(text: str, tokens: list[Token]) -> _Head:
    """The parts of `CREATE [OR REPLACE] FUNCTION name (…) AS [TABLE] …`."""
    at = 1
    _expect(text, tokens, 0, "CREATE")
    if _word(tokens, at) == "OR" and _word(tokens, at + 1) == "REPLACE":
        at += 2
    _expect(text, tokens, at, "FUNCTION", "MACRO")
    name = _expect(text, tokens, at + 1)
    if _word(tokens, at + 2) == ".":
        raise SqlError(
            "a function's name has no schema", place_at(text, name.start), "write the name alone"
        )
    _expect(text, tokens, at + 2, "(")
    end = _closing(text, tokens, at + 2)
    _expect(text, tokens, end + 1, "AS")
    is_table = _word(tokens, end + 2) == "TABLE"
    body = tokens[end + 2 + is_table :]
    if not body:
        raise SqlError("the function has no body", place_at(text, tokens[-1].start), _FORM)
    between = tokens[at + 3 : end]
    return _Head(name, between, _parameters(between), is_table, body)


def _word(tokens: list[Token], at: int) -> str:
    return tokens[at].text.upper() if at < len(tokens) else ""


def _expect(text: str, tokens: list[Token], at: int, *words: str) -> Token:
    """The token at a position; it must be one of `words`, or any name if none are given."""
    token = tokens[min(at, len(tokens) - 1)]
    there = at < len(tokens) and (
        _word(tokens, at) in words if words else token.token_type not in _NO_WORDS
    )
    if not there:
        wanted = " or ".join(words) or "the function's name"
        raise SqlError(f"{wanted} is missing here", place_at(text, token.start), _FORM)
    return token


def _closing(text: str, tokens: list[Token], opening: int) -> int:
    depth = 0
    for at in range(opening, len(tokens)):
        depth += {"(": 1, ")": -1}.get(tokens[at].text, 0)
        if depth == 0:
            return at
    raise SqlError("a parenthesis is not closed", place_at(text, tokens[opening].start), _FORM)


def _parameters(tokens: list[Token]) -> list[list[Token]]:
    """The tokens of each part between commas."""
    parts: list[list[Token]] = [[]]
    depth = 0
    for token in tokens:
        depth += {"(": 1, ")": -1, "[": 1, "]": -1, "{": 1, "}": -1}.get(token.text, 0)
        if depth == 0 and token.token_type is TokenType.COMMA:
            parts.append([])
        else:
            parts[-1].append(token)
    return [part for part in parts if part]


def _said(text: str, parameters: list[list[Token]], *, is_default: bool) -> dict[str, str]:
    """Parameter -> its default, or its type, as written; of those that state one."""
    found = {}
    for name, *rest in parameters:
        mark = next((n for n, t in enumerate(rest) if t.token_type is TokenType.COLON_EQ), None)
        end = len(rest) if mark is None else mark
        part = rest[end + 1 :] if is_default else rest[:end]
        if part:
            found[name.text.lower()] = text[part[0].start : part[-1].end + 1]
    return found


def _read_body(
    text: str, head: _Head, values: Mapping[str, str] | None
) -> tuple[Query, frozenset[str]]:
    """The body as a query that stands where it stands in the file."""
    start = head.body[0].start
    blank = re.sub(r"[^\n]", " ", text[:start])
    if not head.is_table:
        # SELECT is as long as CREATE, so that all places stay.
        first = statements(text)[0][0].start
        blank = f"{blank[:first]}SELECT{blank[first + len('SELECT') :]}"
    query = read_query(blank + text[start:], values)
    if not head.is_table:
        _refuse_no_value(query, place_at(text, start))
    return query, _calls(head.body)


def _refuse_no_value(query: Query, place: Place) -> None:
    tree = query.tree
    is_one = isinstance(tree, exp.Select) and len(tree.expressions) == 1
    clauses = [key for key, value in tree.args.items() if value and key != "expressions"]
    if not is_one or clauses or isinstance(tree.expressions[0], exp.Alias | exp.Star):
        raise SqlError("a function gives one value", place, "of rows it is  AS TABLE SELECT …")


def _calls(tokens: list[Token]) -> frozenset[str]:
    return frozenset(
        token.text.lower()
        for token, after in pairwise(tokens)
        if after.token_type is TokenType.L_PAREN and token.token_type not in _NO_WORDS
    )
