"""Variables in SQL: `$name`, put in as a typed literal.

The name is found among the tokens, so that texts and comments that hold a `$` stay as they are,
and what stands in its place is made by us, never pasted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from sqlglot import Token, TokenType, exp
from sqlglot.errors import TokenError

from headwater.errors import suggestion
from headwater.places import place_at
from headwater.sql.faults import SqlError
from headwater.sql.parsing import DUCKDB, parse_text


@dataclass(frozen=True)
class Edit:
    """A part of a text that was replaced. `at`: where it stands afterwards, from 0."""

    at: int
    length_now: int
    length_before: int


def place_before(edits: Sequence[Edit], inside: int) -> int:
    """Where a character of the edited text stood before; of a replaced part, its start."""
    grown = 0
    for edit in edits:
        if inside < edit.at:
            break
        if inside < edit.at + edit.length_now:
            return edit.at - grown
        grown += edit.length_now - edit.length_before
    return inside - grown


def put_in(
    text: str, tokens: Sequence[Token], values: Mapping[str, str], start: int, end: int
) -> tuple[str, tuple[Edit, ...]]:
    """`text[start:end]` with the variables' literals in place. `values`: name -> SQL.

    Raises SqlError for a name that no variable has.
    """
    parts, edits, last, length = [], [], start, 0
    for token in variable_tokens(tokens):
        name, at = token.text, token.start - 1
        if name not in values:
            raise SqlError(f"no variable {name!r}", place_at(text, at), _hint(name, values))
        kept = text[last:at]
        parts += [kept, values[name]]
        length += len(kept)
        edits.append(Edit(length, len(values[name]), len(name) + 1))
        length += len(values[name])
        last = token.end + 1
    return "".join([*parts, text[last:end]]), tuple(edits)


def _hint(name: str, values: Mapping[str, str]) -> str:
    near = suggestion(name, list(values))
    return near or f"declare it in headwater.yaml:  variables: {{{name}: …}}"


def put_into_tree(tree: exp.Expr, values: Mapping[str, str]) -> None:
    """Do the same in a tree; names that no variable has stay."""
    for node in list(tree.find_all(exp.Placeholder)):
        if node.name in values:
            value = parse_text(values[node.name], exp.Condition)
            if value is not None:
                node.replace(value)


def fill(text: str, values: Mapping[str, str]) -> str:
    """A text of SQL with the variables' literals in place. Raises SqlError."""
    if "$" not in text:
        return text
    return put_in(text, _tokens(text), values, 0, len(text))[0]


def _tokens(text: str) -> list[Token]:
    try:
        return DUCKDB.tokenizer().tokenize(text)
    except TokenError as error:
        raise SqlError("the SQL does not parse: a quote or a comment has no end") from error


def variables_in(text: str) -> frozenset[str]:
    """The names of the variables in a text of SQL. Raises SqlError."""
    if "$" not in text:
        return frozenset()
    return frozenset(t.text for t in variable_tokens(_tokens(text)))


def variable_tokens(tokens: Sequence[Token]) -> Iterator[Token]:
    """The names of variables among tokens. (`$1` is none.)"""
    for token, after in pairwise(tokens):
        is_mark = token.token_type is TokenType.PARAMETER and token.text == "$"
        is_name = after.token_type is not TokenType.NUMBER and after.start == token.end + 1
        if is_mark and is_name:
            yield after
