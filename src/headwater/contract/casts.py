"""From an input's value to a contract's type, losing nothing in silence.

DuckDB's own casts are kind: `'1.5'` becomes the integer 2, a time zone is cut off, a struct
with a wrong field becomes one with a NULL. A contract promises more, so each cast here is NULL
where the value is not exactly one of its type, and `is_lossy` says where that happened.
"""

from __future__ import annotations

from headwater.contract.types import FLOATS, VARCHAR, Type
from headwater.sql.quote import ident, literal


def cast(raw: str, given: Type, wanted: Type, format_: str | None = None) -> str:
    """SQL for `raw` (of type `given`) as `wanted`; NULL where it is not one exactly."""
    if format_:
        return _by_format(raw, wanted, format_)
    if given == wanted:
        return raw
    if wanted.is_nested:
        return f"TRY_CAST({text_shape(raw, given, wanted)} AS {wanted.sql})"
    if given.kind in ("VARCHAR", "JSON"):
        return _from_text(raw, wanted)
    if wanted.kind == "VARCHAR":
        return f"CAST({raw} AS VARCHAR)"
    value = f"TRY_CAST({raw} AS {wanted.sql})"
    if _can_lose(given, wanted):
        return f"CASE WHEN TRY_CAST({value} AS {given.sql}) = {raw} THEN {value} END"
    return value


def _can_lose(given: Type, wanted: Type) -> bool:
    """Whether a cast between two types of values may round or cut; then it is tried backwards.
    A binary fraction is asked for by name, so becoming one is no loss."""
    if wanted.is_number and given.is_number:
        return wanted.kind not in FLOATS
    return (given.kind, wanted.kind) in {
        ("TIMESTAMP", "DATE"),
        ("TIMESTAMPTZ", "DATE"),
        ("INTEGER", "BOOLEAN"),
        ("BIGINT", "BOOLEAN"),
    }


def is_lossy(value: str, raw: str, given: Type, wanted: Type) -> str:
    """SQL that is true where `raw` is there and `value`, its cast, does not say all of it."""
    if given == wanted:
        return ""
    if not wanted.is_nested:
        return f"{value} IS NULL AND {raw} IS NOT NULL"
    json = _as_json(raw, given)
    return f"{raw} IS NOT NULL AND {_differs(json, text_shape(raw, given, wanted), value, wanted)}"


def text_shape(raw: str, given: Type, wanted: Type) -> str:
    """`raw` in the shape of `wanted` with every scalar as text: nothing is lost but the shape."""
    return f"TRY_CAST({_as_json(raw, given)} AS {wanted.with_text_leaves().sql})"


def _as_json(raw: str, given: Type) -> str:
    if given.kind == "JSON":
        return raw
    if given.kind == "VARCHAR":
        return f"TRY_CAST({raw} AS JSON)"
    return f"to_json({raw})"


def _from_text(raw: str, wanted: Type) -> str:
    if wanted.kind == "VARCHAR":
        return f"CAST({raw} AS VARCHAR)"
    if wanted.is_integer:
        return _integer(raw, wanted)
    if wanted.kind == "DECIMAL":
        return _decimal(raw, wanted)
    if wanted.kind == "TIMESTAMP":
        # Up to seconds there is no room for a zone. Longer ones may carry one: read with it,
        # in the session's UTC.
        return (
            f"CASE WHEN length({raw}) <= 19 THEN TRY_CAST({raw} AS TIMESTAMP) "
            f"ELSE CAST(TRY_CAST({raw} AS TIMESTAMPTZ) AS TIMESTAMP) END"
        )
    if wanted.kind == "DATE":
        moment = f"TRY_CAST({raw} AS TIMESTAMP)"
        return (
            f"CASE WHEN length({raw}) <= 10 THEN TRY_CAST({raw} AS DATE) "
            f"WHEN {moment} = date_trunc('day', {moment}) THEN CAST({moment} AS DATE) END"
        )
    return f"TRY_CAST({raw} AS {wanted.sql})"


def _integer(raw: str, wanted: Type) -> str:
    """Plain digits are the fast path: they come back as they were. Then `+5`, `007`, `1.0` and
    `1e2` are whole numbers too; `1.5`, `0x1F` and `1_000` are none."""
    value = f"TRY_CAST({raw} AS {wanted.sql})"
    digits = f"split_part(trim({raw}), '.', 1)"
    exact = f"TRY_CAST({raw} AS DECIMAL(38,9))"
    return (
        f"CASE WHEN CAST({value} AS VARCHAR) = {raw} THEN {value} "
        f"WHEN regexp_full_match({raw}, '\\s*[+-]?[0-9]+(\\.0*)?\\s*') "
        f"THEN TRY_CAST({digits} AS {wanted.sql}) "
        f"WHEN regexp_full_match({raw}, '\\s*[+-]?[0-9]+[eE][+]?[0-9]+\\s*') THEN {value} "
        f"WHEN regexp_full_match({raw}, '\\s*[+-]?[0-9]+\\.[0-9]{{1,9}}[eE][+]?[0-9]+\\s*') "
        f"AND {exact} = trunc({exact}) THEN TRY_CAST({exact} AS {wanted.sql}) END"
    )


def _decimal(raw: str, wanted: Type) -> str:
    """As many decimals as the type has are the fast path; more of them must be zeros."""
    precision, scale = wanted.size
    value = f"TRY_CAST({raw} AS {wanted.sql})"
    fits = f"strpos({raw}, '.') = 0 OR length({raw}) - strpos({raw}, '.') <= {scale}"
    plain = f"NOT contains({raw}, 'e') AND NOT contains({raw}, 'E')"
    wide = f"DECIMAL(38,{38 - (precision - scale)})"
    exact = f"TRY_CAST({raw} AS {wide})"
    return (
        f"CASE WHEN ({fits}) AND {plain} THEN {value} "
        f"WHEN {exact} = CAST({value} AS {wide}) THEN {value} END"
    )


def _by_format(raw: str, wanted: Type, format_: str) -> str:
    moment = f"try_strptime(CAST({raw} AS VARCHAR), {literal(format_)})"
    return f"CAST({moment} AS {wanted.sql})"


def _differs(json: str, text: str, value: str, wanted: Type) -> str:
    """True where `value` (of the nested type `wanted`) lost something that `json` has."""
    if wanted.kind == "STRUCT":
        inside = [
            _part_differs(
                f"json_extract({json}, {literal('$.' + _json_key(name))})",
                f"struct_extract({text}, {literal(name)})",
                f"struct_extract({value}, {literal(name)})",
                part,
            )
            for name, part in wanted.parts
        ]
        shape = f"json_type({json}) NOT IN ('OBJECT', 'NULL')"
    elif wanted.kind == "LIST":
        inside = [_elements_differ(json, text, value, wanted.parts[0][1])]
        shape = f"json_type({json}) NOT IN ('ARRAY', 'NULL')"
    else:
        inside = [f"cardinality({text}) <> cardinality({value})"]
        shape = f"json_type({json}) NOT IN ('OBJECT', 'NULL')"
    return f"({' OR '.join([f'{json} IS NULL', shape, *(part for part in inside if part)])})"


def _part_differs(json: str, text: str, value: str, wanted: Type) -> str:
    if wanted == VARCHAR:
        return ""
    if not wanted.is_nested:
        return f"({value} IS NULL AND {text} IS NOT NULL)"
    return f"({json} IS NOT NULL AND {_differs(json, text, value, wanted)})"


def _elements_differ(json: str, text: str, value: str, wanted: Type) -> str:
    if wanted == VARCHAR:
        return ""
    if not wanted.is_nested:
        return f"list_count({text}) <> list_count({value})"
    element = ident("element")
    inner = _part_differs(f"{element}[1]", f"{element}[2]", f"{element}[3]", wanted)
    zipped = f"list_zip(TRY_CAST({json} AS JSON[]), {text}, {value})"
    return f"list_bool_or(list_transform({zipped}, lambda {element}: {inner}))"


def _json_key(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
