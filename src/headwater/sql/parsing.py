"""The one way to sqlglot's parser, so that it fails alike as Python and compiled (`sqlglot[c]`)."""

from __future__ import annotations

from sqlglot import Token, TokenType, exp
from sqlglot.dialects.duckdb import DuckDB
from sqlglot.errors import ParseError

# Looking a dialect up by its name costs as much as parsing a short query.
DUCKDB = DuckDB()
DEEPEST = 200
"""How deeply brackets may stand within each other. The compiled parser ends the process where its
stack does; as Python it gives up at a fifth of this, or earlier."""
_OPENING = (TokenType.L_PAREN, TokenType.L_BRACKET, TokenType.L_BRACE)
_CLOSING = (TokenType.R_PAREN, TokenType.R_BRACKET, TokenType.R_BRACE)


def parse(
    tokens: list[Token],
    text: str,
    into: type[exp.Expr] | None = None,
    dialect: DuckDB = DUCKDB,
) -> exp.Expr | None:
    """The tree of one statement, or of one part (`into`); None where there is nothing.

    Raises ParseError, and RecursionError where it is nested too deeply.
    """
    depth = 0
    for token in tokens:
        if token.token_type in _OPENING:
            depth += 1
            if depth > DEEPEST:
                raise RecursionError("nested too deeply")
        elif token.token_type in _CLOSING:
            depth -= 1
    parser = dialect.parser()
    try:
        trees = parser.parse_into(into, tokens, text) if into else parser.parse(tokens, text)
    except TypeError as error:
        # A part that is missing where sqlglot does not look for it: compiled, it trips over that.
        raise ParseError(str(error)) from error
    return trees[0] if len(trees) == 1 else None


def parse_text(text: str, into: type[exp.Expr] | None = None) -> exp.Expr | None:
    """The same of a text. Raises TokenError too."""
    return parse(DUCKDB.tokenizer().tokenize(text), text, into)
