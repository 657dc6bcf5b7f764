"""Column types: the closed list, those that a lake stores.

A type is written as in DuckDB (`decimal(10,2)`, `varchar[]`, `struct(city varchar)`), in any
case, with the usual other names (`text`, `string`, `int`). It is kept as a small tree.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from sqlglot import exp
from sqlglot.errors import SqlglotError

from headwater.sql.parsing import parse_text
from headwater.sql.quote import ident

INTEGERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT")
UNSIGNED = ("UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT")
FLOATS = ("FLOAT", "DOUBLE")
TIMES = ("DATE", "TIME", "TIMESTAMP", "TIMESTAMPTZ", "INTERVAL")
OTHERS = ("BOOLEAN", "VARCHAR", "DECIMAL", "UUID", "JSON", "BLOB")
NESTED = ("STRUCT", "LIST", "MAP")

_TYPES = exp.DataType.Type
_KIND_OF = {
    _TYPES.TINYINT: "TINYINT",
    _TYPES.SMALLINT: "SMALLINT",
    _TYPES.INT: "INTEGER",
    _TYPES.BIGINT: "BIGINT",
    _TYPES.UTINYINT: "UTINYINT",
    _TYPES.USMALLINT: "USMALLINT",
    _TYPES.UINT: "UINTEGER",
    _TYPES.UBIGINT: "UBIGINT",
    _TYPES.FLOAT: "FLOAT",
    _TYPES.DOUBLE: "DOUBLE",
    _TYPES.DECIMAL: "DECIMAL",
    _TYPES.BOOLEAN: "BOOLEAN",
    _TYPES.TEXT: "VARCHAR",
    _TYPES.VARCHAR: "VARCHAR",
    _TYPES.CHAR: "VARCHAR",
    _TYPES.DATE: "DATE",
    _TYPES.TIME: "TIME",
    _TYPES.TIMESTAMP: "TIMESTAMP",
    _TYPES.DATETIME: "TIMESTAMP",
    _TYPES.TIMESTAMPNTZ: "TIMESTAMP",
    _TYPES.TIMESTAMPTZ: "TIMESTAMPTZ",
    _TYPES.INTERVAL: "INTERVAL",
    _TYPES.UUID: "UUID",
    _TYPES.JSON: "JSON",
    _TYPES.BLOB: "BLOB",
    _TYPES.VARBINARY: "BLOB",
    _TYPES.STRUCT: "STRUCT",
    _TYPES.LIST: "LIST",
    _TYPES.ARRAY: "LIST",
    _TYPES.MAP: "MAP",
}
TYPE_WORDS = tuple(
    word.lower() for word in (*INTEGERS, *UNSIGNED, *FLOATS, *TIMES, *OTHERS, *NESTED)
)


@dataclass(frozen=True)
class Type:
    """One column type.

    kind      one of the words of this module's lists.
    size      (precision, scale) of a DECIMAL, else ().
    parts     (field name, type) of a STRUCT; ("", type) of a LIST; ("key", …), ("value", …)
              of a MAP; else ().
    """

    kind: str
    size: tuple[int, ...] = ()
    parts: tuple[tuple[str, Type], ...] = ()

    @property
    def sql(self) -> str:
        """The type as DuckDB writes it."""
        if self.kind == "DECIMAL":
            return f"DECIMAL({self.size[0]},{self.size[1]})"
        if self.kind == "LIST":
            return f"{self.parts[0][1].sql}[]"
        if self.kind == "STRUCT":
            return f"STRUCT({', '.join(f'{ident(name)} {t.sql}' for name, t in self.parts)})"
        if self.kind == "MAP":
            return f"MAP({', '.join(t.sql for _, t in self.parts)})"
        return self.kind

    @property
    def is_integer(self) -> bool:
        return self.kind in INTEGERS or self.kind in UNSIGNED

    @property
    def is_number(self) -> bool:
        return self.is_integer or self.kind in FLOATS or self.kind == "DECIMAL"

    @property
    def is_nested(self) -> bool:
        return self.kind in NESTED

    def one_level(self) -> Type:
        """A nested type's outermost level: what is nested in it is JSON, every scalar VARCHAR."""
        return Type(
            self.kind,
            (),
            tuple((n, JSON if t.is_nested or t == JSON else VARCHAR) for n, t in self.parts),
        )


VARCHAR = Type("VARCHAR")
JSON = Type("JSON")


@lru_cache(maxsize=1024)
def parse_type(text: str) -> Type:
    """The type that a text names. Raises ValueError with a sentence for anything else.

    >>> parse_type("numeric(10, 2)").sql
    'DECIMAL(10,2)'
    >>> parse_type("struct(city text, tags string[])").sql
    'STRUCT("city" VARCHAR, "tags" VARCHAR[])'
    """
    try:
        cast = parse_text(f"CAST(NULL AS {text})")
    except (SqlglotError, RecursionError) as error:
        raise ValueError(f"unknown type {text!r}") from error
    if not isinstance(cast, exp.Cast) or not isinstance(cast.to, exp.DataType):
        raise ValueError(f"unknown type {text!r}")
    return _build(cast.to, text)


def _build(node: exp.Expression, text: str) -> Type:
    if isinstance(node, exp.DataType) and node.this in (_TYPES.INT128, _TYPES.UINT128):
        # What a sum of integers is in DuckDB. Parquet has no such type: DuckDB would write it as
        # a DOUBLE, and round.
        return Type("DECIMAL", (38, 0))
    if not isinstance(node, exp.DataType) or node.this not in _KIND_OF:
        raise ValueError(f"unknown type {text!r}")
    kind = _KIND_OF[node.this]
    inner = node.expressions
    if kind == "DECIMAL":
        size = tuple(int(param.name) for param in inner) or (18, 3)
        precision, scale = (*size, 0)[:2]
        if not (1 <= precision <= 38 and 0 <= scale <= precision):
            raise ValueError(f"{text!r}: a decimal has 1 to 38 digits, scale within them")
        return Type(kind, (precision, scale))
    if kind == "LIST":
        if len(inner) != 1:
            raise ValueError(f"{text!r}: a list is written TYPE[]")
        return Type(kind, (), (("", _build(inner[0], text)),))
    if kind == "STRUCT":
        fields = tuple(
            (part.name, _build(part.args["kind"], text))
            for part in inner
            if isinstance(part, exp.ColumnDef)
        )
        if not fields or len(fields) != len(inner):
            raise ValueError(f"{text!r}: a struct is written struct(name type, …)")
        return Type(kind, (), fields)
    if kind == "MAP":
        if len(inner) != 2:
            raise ValueError(f"{text!r}: a map is written map(key type, value type)")
        return Type(kind, (), (("key", _build(inner[0], text)), ("value", _build(inner[1], text))))
    return Type(kind)


def is_widened(was: Type, now: Type) -> bool:
    """Whether a type is of the same kind as another and has room for all of its values: what was
    computed with the one can be computed with the other.

    >>> is_widened(Type("INTEGER"), Type("BIGINT")), is_widened(Type("INTEGER"), Type("UBIGINT"))
    (True, False)
    >>> is_widened(Type("DECIMAL", (8, 2)), Type("DECIMAL", (9, 3)))
    True
    """
    if was == now or (was.kind, now.kind) == FLOATS:
        return True
    if was.is_integer and now.is_integer:
        signed = now.kind in INTEGERS
        sizes = INTEGERS if was.kind in INTEGERS else UNSIGNED
        place = sizes.index(was.kind)
        if (was.kind in INTEGERS) == signed:
            return (INTEGERS if signed else UNSIGNED).index(now.kind) >= place
        return signed and INTEGERS.index(now.kind) > place
    if was.kind == now.kind == "DECIMAL":
        digits, scale = was.size
        return now.size[1] >= scale and now.size[0] - now.size[1] >= digits - scale
    return False
