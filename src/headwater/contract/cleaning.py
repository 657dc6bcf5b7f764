r"""From what an input holds to what is meant by it, before it is given its type: blanks around it,
words that mean that there is nothing, separators of numbers, codes.
"""

from __future__ import annotations

import re

from headwater.contract.contract import Column
from headwater.contract.rules import constant
from headwater.contract.types import VARCHAR, Type
from headwater.sql.quote import literal

_BLANKS = r"^[\s\pZ]+|[\s\pZ]+$"


def cleaned(column: Column, raw: str, given: Type) -> str:
    """SQL for `raw` (of type `given`) without blanks around it, and NULL where it is a word for
    nothing. `raw` itself where the column asks for neither."""
    value = raw
    if column.trim and given == VARCHAR:
        value = _trimmed(value)
    if column.null_values and not given.is_nested:
        value = _without_null_words(value, given, column.null_values)
    return value


def _trimmed(raw: str) -> str:
    return f"nullif(regexp_replace({raw}, {literal(_BLANKS)}, '', 'g'), '')"


def _without_null_words(raw: str, given: Type, words: tuple[str, ...]) -> str:
    """Words are compared as texts with a text, and with any other value as values of its type."""
    texts = [literal(word) for word in words]
    if given != VARCHAR:
        texts = [f"TRY_CAST({text} AS {given.sql})" for text in texts]
    return f"CASE WHEN {raw} IN ({', '.join(texts)}) THEN NULL ELSE {raw} END"


def has_own_separators(column: Column, given: Type) -> bool:
    """Whether numbers are written in another way than SQL reads them."""
    stated = column.decimal_separator not in (None, ".") or column.thousands_separator is not None
    return stated and given == VARCHAR and column.type.is_number


def as_plain_number(column: Column, raw: str) -> str:
    """SQL for the text of a number, written as the column says, as SQL writes it; NULL where it is
    written in another way. Thousands are grouped by three digits, or not at all."""
    decimal, thousands = column.decimal_separator or ".", column.thousands_separator
    whole, plain = "[0-9]*", raw
    if thousands:
        whole = f"([0-9]{{1,3}}({re.escape(thousands)}[0-9]{{3}})+|[0-9]*)"
        plain = f"replace({plain}, {literal(thousands)}, '')"
    if decimal != ".":
        plain = f"replace({plain}, {literal(decimal)}, '.')"
    shape = rf"\s*[+-]?{whole}({re.escape(decimal)}[0-9]*)?([eE][+-]?[0-9]+)?\s*"
    return f"CASE WHEN regexp_full_match({raw}, {literal(shape)}) THEN {plain} END"


def mapped(column: Column, raw: str, given: Type) -> str:
    """SQL for what the text of `raw` stands for in the column's `values`; NULL where it is not
    there."""
    meanings = ", ".join(
        f"{literal(code)}: {constant(value, column.type)}"
        for code, value in (column.values or {}).items()
    )
    return f"MAP {{{meanings}}}[{as_text(raw, given)}]"


def is_no_code(column: Column, raw: str, given: Type) -> str:
    """SQL that is true where `raw` is there and is no key of the column's `values`."""
    codes = ", ".join(literal(code) for code in column.values or {})
    return f"{as_text(raw, given)} NOT IN ({codes})"


def as_text(raw: str, given: Type) -> str:
    return raw if given == VARCHAR else f"CAST({raw} AS VARCHAR)"
