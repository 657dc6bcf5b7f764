"""What a part of a query's tree is, as far as that can be seen from it alone.

Of trees as `canonical.Form` gives them.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlglot import exp

from headwater.sql import builtin
from headwater.sql.scopes import NotFollowed

SETS = (exp.Cube, exp.Rollup, exp.GroupingSets)
AT_PLACES = (exp.FirstValue, exp.LastValue, exp.NthValue, exp.Lag, exp.Lead)
AGGREGATES = (exp.GroupConcat, exp.PercentileCont, exp.PercentileDisc)
WITH_WORDS = (
    *(exp.Cast, exp.TryCast, exp.Extract, exp.Interval, exp.WindowSpec),
    *(exp.DataType, exp.DataTypeParam),
)
PLAIN = (
    *(exp.Add, exp.Sub, exp.Mul, exp.Div, exp.IntDiv, exp.Mod, exp.DPipe, exp.Neg),
    *(exp.BitwiseAnd, exp.BitwiseOr, exp.BitwiseXor, exp.BitwiseNot),
    *(exp.BitwiseLeftShift, exp.BitwiseRightShift),
    *(exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.NullSafeEQ, exp.NullSafeNEQ),
    *(exp.Or, exp.Not, exp.Is, exp.In, exp.Between, exp.Like, exp.ILike, exp.Glob, exp.SimilarTo),
    *(exp.Escape, exp.Any, exp.All, exp.Paren, exp.Tuple, exp.Null, exp.Boolean),
    *(exp.Cast, exp.TryCast, exp.Case, exp.If, exp.Extract, exp.Substring, exp.Trim),
    *(exp.StrPosition, exp.Overlay, exp.Interval, exp.AtTimeZone),
    *(exp.Dot, exp.Bracket, exp.Slice, exp.Array, exp.Struct, exp.PropertyEQ, exp.Kwarg),
    *(exp.ToMap, exp.JSONExtract, exp.JSONExtractScalar),
    *(exp.CurrentDate, exp.CurrentTime, exp.CurrentTimestamp, exp.Localtime, exp.Localtimestamp),
    *(exp.Distinct, exp.Order, exp.Ordered, exp.Window, exp.WindowSpec, exp.IgnoreNulls),
    *(exp.RespectNulls, exp.Filter, exp.WithinGroup, *AGGREGATES, *AT_PLACES, *SETS),
    *(exp.Limit, exp.Offset, exp.Fetch, exp.LimitOptions),
)
"""What is computed from its parts alone."""


def only(node: exp.Expr, *known: str) -> None:
    """Whether a node has no other parts than those that are followed."""
    for key, value in node.args.items():
        if value and key not in known:
            raise NotFollowed(f"{key.upper()} of a {node.key.upper()}")


def raw(node: exp.Expr, without: Sequence[str] = ()) -> str:
    """All that a tree says, names as they are."""
    if isinstance(node, exp.Identifier):
        return f"{node.name!r}"
    found = []
    for key in sorted(node.args):
        value = node.args[key]
        if value is None or value is False or key in without:
            continue
        if isinstance(value, exp.Expr):
            found.append(f"{key}={raw(value)}")
        elif isinstance(value, list):
            each = (raw(v) if isinstance(v, exp.Expr) else repr(v) for v in value)
            found.append(f"{key}=[{','.join(each)}]")
        else:
            found.append(f"{key}={value!r}")
    return f"{node.key}({','.join(found)})"


def name_of(projection: exp.Expr) -> str | None:
    """What a column of a result is called; None: what DuckDB makes up."""
    if isinstance(projection, exp.Alias | exp.Column):
        return str(projection.alias_or_name).lower()
    if isinstance(projection, exp.Dot):
        return str(projection.expression.name).lower()
    return None


def names_of(node: exp.Expr) -> tuple[list[str | None], bool]:
    """Names of the columns of what is not followed, and whether there may be others."""
    columns = columns_of(node.args.get("alias"))
    while isinstance(node, exp.CTE | exp.SetOperation | exp.Subquery) and not _pivots(node):
        if node.args.get("by_name"):
            return [], True
        node = node.this
    if not isinstance(node, exp.Select):
        return [], True
    names = [name_of(each) for each in node.expressions]
    for number, name in enumerate(columns[: len(names)]):
        names[number] = name
    many = any(
        isinstance(each, exp.Star | exp.Columns | exp.Explode | exp.Unnest)
        or (isinstance(each, exp.Anonymous) and each.name.lower() == "unnest")
        for projection in node.expressions
        for each in projection.walk()
    )
    return ([], True) if many and columns else (names, many)


def _pivots(node: exp.Expr) -> bool:
    return bool(node.args.get("pivots"))


def columns_of(alias: object) -> list[str]:
    """The names that an alias gives to columns."""
    if not isinstance(alias, exp.TableAlias):
        return []
    return [column.name.lower() for column in alias.columns]


def is_parenthesis(node: exp.Expr) -> bool:
    """Whether a part of a FROM is a join in parentheses."""
    if not isinstance(node, exp.Subquery) or node.args.get("alias"):
        return False
    inner = node.this
    return isinstance(inner, exp.Table) or (
        isinstance(inner, exp.Subquery) and (bool(inner.args.get("alias")) or is_parenthesis(inner))
    )


def is_place(node: exp.Expr) -> bool:
    """Whether a number that may be a place of the select list stands in it, beside others."""
    if isinstance(node, exp.Literal):
        return not node.is_string
    if isinstance(node, exp.Paren | exp.Tuple | exp.Cube | exp.Rollup | exp.GroupingSets):
        return any(map(is_place, node.iter_expressions()))
    return False


def is_star(node: exp.Expr) -> bool:
    return isinstance(node, exp.Star) and not any(node.args.values())


_NO_CHOICE = builtin.SCALARS | builtin.STEADY | builtin.RANKS | {"unnest"}


def may_choose(node: exp.Expr) -> bool:
    """Whether what is not followed may follow from the order of equal rows."""
    for each in node.walk():
        if isinstance(each, (exp.Limit, exp.Offset, exp.Fetch, exp.GroupConcat, *AT_PLACES)):
            return True
        if isinstance(each, exp.Anonymous) and each.name.lower() not in _NO_CHOICE:
            return True
        if isinstance(each, exp.Distinct) and each.args.get("on"):
            return True
        if isinstance(each, exp.WindowSpec) and f"{each.args.get('kind')}".upper() == "ROWS":
            return True
        if isinstance(each, exp.Join) and each.args.get("method"):
            return True
    return False
