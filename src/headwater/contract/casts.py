r"""From an input's value to a contract's type, losing nothing in silence.

DuckDB's own casts are kind: `'1.5'` becomes the integer 2, a time zone is cut off, a struct
with a wrong field becomes one with a NULL. A contract promises more: each cast here is NULL
where the value is not exactly one of its type, and `is_lossy` says where that happened. A nested
value is cast part by part by the same casts; where one part is lost, the whole value is NULL.

Each expression tries the common way of writing first, by means that cost next to nothing, and
looks closer only at what is written in another way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from headwater.contract.types import FLOATS, JSON, VARCHAR, Type
from headwater.sql.quote import ident, literal

_FINER = r"\.[0-9]{6}[0-9]*[1-9]"
"""A fraction of a second that is finer than a microsecond."""
_ISO_MOMENT = r"[0-9]{4}-[0-9]{2}-[0-9]{2}[ T][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6}0*)?Z?"
_CLOCK = r"\s*[0-9]{1,2}:[0-9]{1,2}(:[0-9]{1,2}(\.[0-9]{1,6}0*)?)?Z?\s*"
_ZERO_OR_NOT_FINITE = r"(?i)\s*[+-]?((0+\.?0*|\.0+)(e[+-]?[0-9]+)?|inf|infinity|nan)\s*"
_SHORT_EXPONENT = r"\s*[+-]?[0-9.]{1,15}[eE][+-]?[0-9]{1,2}\s*"


@dataclass(frozen=True)
class Steps:
    """SQL that is computed in steps.

    named   (name, SQL), each over those before it. As columns of subqueries, one in the other,
            they cost the least.
    sql     the result, over all of them.
    """

    named: tuple[tuple[str, str], ...]
    sql: str

    @property
    def in_one(self) -> str:
        """One expression: each step is a lambda's parameter, so it is still computed once."""
        sql = self.sql
        for name, value in reversed(self.named):
            sql = f"list_transform([{value}], lambda {name}: {sql})[1]"
        return sql


@dataclass(frozen=True)
class _Place:
    """Where a value stands, for the names of its steps.

    prefix   what the names of the outermost value's steps begin with.
    depth    how many values it is in.
    """

    prefix: str
    depth: int = 0

    def name(self, word: str) -> str:
        return f"{word}{self.depth}" if self.depth else ident(f"{self.prefix}{word}")

    @property
    def inside(self) -> _Place:
        return _Place(self.prefix, self.depth + 1)


def cast(raw: str, given: Type, wanted: Type, formats: Sequence[str] = ()) -> str:
    """SQL for `raw` (of type `given`) as `wanted`; NULL where it is not one exactly.

    formats   how a date or time may be written, the first that fits; without any, as SQL does.
    """
    return cast_in_steps(raw, given, wanted, formats, "").in_one


def cast_in_steps(
    raw: str, given: Type, wanted: Type, formats: Sequence[str], prefix: str
) -> Steps:
    """The same in steps, whose names begin with `prefix`."""
    if formats:
        found = [_by_format(raw, wanted, format_) for format_ in formats]
        return Steps((), found[0] if len(found) == 1 else f"coalesce({', '.join(found)})")
    return _cast(raw, given, wanted, _Place(prefix))


def is_lossy(value: str, raw: str, given: Type, wanted: Type) -> str:
    """SQL that is true where `raw` is there and `value`, its cast, is not."""
    if given == wanted:
        return ""
    there = f"{value} IS NULL AND {raw} IS NOT NULL"
    if null := _json_null(raw, given, wanted):
        return f"{there} AND NOT {null}"
    return there


def is_absent(raw: str, given: Type, wanted: Type) -> str:
    """SQL that is true where the input has no value: JSON's `null` is none either."""
    if null := _json_null(raw, given, wanted):
        return f"{raw} IS NULL OR {null}"
    return f"{raw} IS NULL"


def is_missing(value: str, raw: str, given: Type, wanted: Type) -> str:
    """SQL that is true where there is no `value` because the input has none."""
    absent = is_absent(raw, given, wanted)
    return f"{value} IS NULL AND {f'({absent})' if ' OR ' in absent else absent}"


def _json_null(raw: str, given: Type, wanted: Type) -> str:
    """SQL that is true where `raw` is read as JSON and is its `null`: no value either."""
    if given == wanted or not (given == JSON or (given == VARCHAR and wanted.is_nested)):
        return ""
    return f"coalesce(json_type({_as_json(raw, given)}) = 'NULL', FALSE)"


def _cast(raw: str, given: Type, wanted: Type, place: _Place) -> Steps:
    if given == wanted:
        return Steps((), raw)
    if wanted.is_nested:
        return _nested(raw, given, wanted, place)
    if wanted == VARCHAR:
        return Steps((), f"CAST({raw} AS VARCHAR)")
    if given == VARCHAR:
        return Steps((), _from_text(raw, wanted))
    if given == JSON:
        text = place.name("text")
        return Steps(((text, f"json_extract_string({raw}, '$')"),), _from_text(text, wanted))
    return Steps((), _from_typed(raw, given, wanted))


# ---- from a value of another type ----------------------------------------------------------


def _from_typed(raw: str, given: Type, wanted: Type) -> str:
    value = f"TRY_CAST({raw} AS {wanted.sql})"
    if (given.kind, wanted.kind) == ("DOUBLE", "FLOAT"):
        return f"CASE WHEN {value} <> 0 OR {raw} = 0 THEN {value} END"
    if is_exact(given, wanted):
        return value
    return f"CASE WHEN TRY_CAST({value} AS {given.sql}) = {raw} THEN {value} END"


def is_exact(given: Type, wanted: Type) -> bool:
    """Whether DuckDB's cast between two types of values gives the same value or none. Any other
    is tried backwards."""
    if wanted.kind in FLOATS:
        # A binary fraction is asked for by name, so that a fraction becomes one is no loss. A
        # whole number must stay the same.
        is_whole = given.is_integer or (given.kind == "DECIMAL" and given.size[1] == 0)
        return not is_whole or given.kind in _WHOLE_WITHIN[wanted.kind]
    if given.is_integer or given.kind == "BOOLEAN":
        return wanted.is_number
    if given.kind == wanted.kind == "DECIMAL":
        return given.size[1] <= wanted.size[1]
    return wanted == JSON or (given.kind, wanted.kind) in _EXACT_TIMES


def can_stand_for(given: Type, wanted: Type) -> bool:
    """Whether a value of one type can be taken as one of another, by DuckDB's own cast, without
    losing anything in silence: it stays the same, or there is none."""
    if given == wanted or wanted == VARCHAR:
        return True
    if given.is_nested or wanted.is_nested or given == VARCHAR:
        return False
    return is_exact(given, wanted) and (given.is_number or not wanted.is_number)


def is_comparable(one: Type, other: Type) -> bool:
    """Whether values of two types can be held against each other as they are, and no cast can
    fail or make different ones equal."""
    return one == other or (one.is_integer and other.is_integer)


_SMALL = ("TINYINT", "SMALLINT", "UTINYINT", "USMALLINT")
_WHOLE_WITHIN = {"FLOAT": _SMALL, "DOUBLE": (*_SMALL, "INTEGER", "UINTEGER")}
_EXACT_TIMES = {
    ("DATE", "TIMESTAMP"),
    ("DATE", "TIMESTAMPTZ"),
    ("TIMESTAMP", "TIMESTAMPTZ"),
    ("TIMESTAMPTZ", "TIMESTAMP"),
}


# ---- from text -----------------------------------------------------------------------------


def _from_text(raw: str, wanted: Type) -> str:
    if wanted.is_integer:
        return _integer(raw, wanted)
    if wanted.kind in FLOATS:
        return _float(raw, wanted)
    if wanted.kind in _FROM_TEXT:
        return _FROM_TEXT[wanted.kind](raw, wanted)
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
    """As many decimals as the type has are the fast path, then fewer. More of them must be
    zeros. With an exponent, up to 15 digits are compared as DOUBLE, which tells them apart."""
    scale = wanted.size[1]
    value = f"TRY_CAST({raw} AS {wanted.sql})"
    fits = f"strpos({raw}, '.') = 0 OR length({raw}) - strpos({raw}, '.') <= {scale}"
    # To DuckDB a sign before a blank is zero.
    others = " AND ".join(
        f"NOT contains({raw}, {literal(sign)})" for sign in ("e", "E", "- ", "+ ")
    )
    zeros = literal(rf"\s*[+-]?[0-9]*\.[0-9]{{0,{scale}}}0*\s*")
    return (
        f"CASE WHEN CAST({value} AS VARCHAR) = {raw} THEN {value} "
        f"WHEN ({fits}) AND {others} THEN {value} "
        f"WHEN regexp_full_match({raw}, {zeros}) THEN {value} "
        f"WHEN regexp_full_match({raw}, {literal(_SHORT_EXPONENT)}) "
        f"AND CAST(CAST({value} AS VARCHAR) AS DOUBLE) = TRY_CAST({raw} AS DOUBLE) "
        f"THEN {value} END"
    )


def _float(raw: str, wanted: Type) -> str:
    """A number that is too large is not infinite, and one that is too small is not zero. The
    shortest ones of either kind have four characters (`1e39`) and five (`1e-46`)."""
    value = f"TRY_CAST({raw} AS {wanted.sql})"
    return (
        f"CASE WHEN isfinite({value}) AND ({value} <> 0 OR length({raw}) < 5) THEN {value} "
        f"WHEN regexp_full_match({raw}, {literal(_ZERO_OR_NOT_FINITE)}) THEN {value} END"
    )


def _timestamp(raw: str, wanted: Type) -> str:
    """In UTC, to the microsecond.

    DuckDB's TIMESTAMP knows no zone but Z: it cuts others off. So what may have one is read as
    TIMESTAMPTZ, in the session's UTC; that is slow. The first three shapes have no room for one.
    """
    shapes = " ".join(
        f"WHEN {raw} LIKE {literal(shape)} THEN TRY_CAST({raw} AS TIMESTAMP)"
        for shape in ("____-__-_____:__:__", "____-__-__", "____-__-_____:__")
    )
    moment = (
        f"CASE {shapes} "
        f"WHEN regexp_full_match({raw}, {literal(_ISO_MOMENT)}) THEN TRY_CAST({raw} AS TIMESTAMP) "
        f"WHEN NOT regexp_matches({raw}, {literal(_FINER)}) "
        f"THEN CAST(TRY_CAST({raw} AS TIMESTAMPTZ) AS TIMESTAMP) END"
    )
    return moment if wanted.kind == "TIMESTAMP" else f"CAST({moment} AS {wanted.sql})"


def _date(raw: str, wanted: Type) -> str:
    """A moment is a date where it is midnight, as it is written and in UTC."""
    written = f"TRY_CAST({raw} AS TIMESTAMP)"
    moment = f"CAST(TRY_CAST({raw} AS TIMESTAMPTZ) AS TIMESTAMP)"
    return (
        f"CASE WHEN {raw} LIKE '____-__-__' THEN TRY_CAST({raw} AS DATE) "
        f"WHEN {written} = date_trunc('day', {written}) AND {written} = {moment} "
        f"AND NOT regexp_matches({raw}, {literal(_FINER)}) THEN CAST({written} AS DATE) END"
    )


def _time(raw: str, wanted: Type) -> str:
    """DuckDB would take the time out of a timestamp, and cut a zone off."""
    return (
        f"CASE WHEN {raw} LIKE '__:__:__' OR regexp_full_match({raw}, {literal(_CLOCK)}) "
        f"THEN TRY_CAST({raw} AS TIME) END"
    )


_FROM_TEXT = {
    "DECIMAL": _decimal,
    "TIMESTAMP": _timestamp,
    "TIMESTAMPTZ": _timestamp,
    "DATE": _date,
    "TIME": _time,
}


def _by_format(raw: str, wanted: Type, format_: str) -> str:
    moment = f"try_strptime(CAST({raw} AS VARCHAR), {literal(format_)})"
    if wanted.kind == "DATE":
        return f"CASE WHEN {moment} = date_trunc('day', {moment}) THEN CAST({moment} AS DATE) END"
    if wanted.kind == "TIME":
        # The day where the format has none.
        return (
            f"CASE WHEN CAST({moment} AS DATE) = DATE '1900-01-01' THEN CAST({moment} AS TIME) END"
        )
    return f"CAST({moment} AS {wanted.sql})"


# ---- nested values -------------------------------------------------------------------------


def _nested(raw: str, given: Type, wanted: Type, place: _Place) -> Steps:
    """A nested value: unpacked by one level, then part by part."""
    if given.kind == wanted.kind:
        return _part_by_part(raw, given, wanted, place)
    steps = []
    if given != JSON:
        steps.append((place.name("json"), _as_json(raw, given)))
        raw = place.name("json")
    shape = wanted.one_level()
    unpacked = f"TRY_CAST({raw} AS {shape.sql})"
    if wanted.kind != "LIST":
        unpacked = _with_sound_keys(raw, wanted, unpacked)
    if shape == wanted:
        return Steps(tuple(steps), unpacked)
    parts = place.name("parts")
    found = _part_by_part(parts, shape, wanted, place)
    return Steps((*steps, (parts, unpacked), *found.named), found.sql)


def _as_json(raw: str, given: Type) -> str:
    if given == JSON:
        return raw
    return f"TRY_CAST({raw} AS JSON)" if given == VARCHAR else f"to_json({raw})"


def _with_sound_keys(json: str, wanted: Type, value: str) -> str:
    """SQL for `value` where `json` is an object with each key once, and none but the fields of
    a struct. Fields may be missing; a key of another case is another key."""
    keys = f"json_keys({json})"
    sound = f"json_type({json}) = 'OBJECT' AND list_unique({keys}) = len({keys})"
    if wanted.kind == "MAP":
        return f"CASE WHEN {sound} THEN {value} END"
    fields = f"[{', '.join(literal(name) for name, _ in wanted.parts)}]"
    return (
        f"CASE WHEN {keys} = {fields} THEN {value} "
        f"WHEN {sound} AND list_has_all({fields}, {keys}) THEN {value} END"
    )


def _part_by_part(raw: str, given: Type, wanted: Type, place: _Place) -> Steps:
    """`raw`, a value of the same kind as `wanted`, with each part cast. NULL where one is lost."""
    how = {"STRUCT": _struct, "LIST": _list, "MAP": _map}[wanted.kind]
    return how(raw, given, wanted, place)


def _struct(raw: str, given: Type, wanted: Type, place: _Place) -> Steps:
    fields = {name.lower(): (name, kind) for name, kind in given.parts}
    value = place.name("value")
    parts, kept = [], [f"{raw} IS NOT NULL"]
    for name, kind in wanted.parts:
        if name.lower() not in fields:
            parts.append(f"{ident(name)} := CAST(NULL AS {kind.sql})")
            continue
        there, have = fields.pop(name.lower())
        part = f"struct_extract({raw}, {literal(there)})"
        parts.append(f"{ident(name)} := {_cast(part, have, kind, place.inside).in_one}")
        if _can_be_lost(have, kind):
            made = f"struct_extract({value}, {literal(name)})"
            kept.append(f"({made} IS NOT NULL OR {part} IS NULL)")
    kept += [f"struct_extract({raw}, {literal(name)}) IS NULL" for name, _ in fields.values()]
    built = f"struct_pack({', '.join(parts)})"
    return Steps(((value, built),), f"CASE WHEN {' AND '.join(kept)} THEN {value} END")


def _list(raw: str, given: Type, wanted: Type, place: _Place) -> Steps:
    (_, have), (_, want) = given.parts[0], wanted.parts[0]
    element, value = place.inside.name("element"), place.name("value")
    part = _cast(element, have, want, place.inside).in_one
    built = f"list_transform({raw}, lambda {element}: {part})"
    if not _can_be_lost(have, want):
        return Steps((), built)
    kept = f"list_count({value}) = list_count({raw})"
    return Steps(((value, built),), f"CASE WHEN {kept} THEN {value} END")


def _map(raw: str, given: Type, wanted: Type, place: _Place) -> Steps:
    """Keys must be there and differ after the cast too."""
    entry, value = place.inside.name("entry"), place.name("value")
    casts = []
    for (name, have), (_, want) in zip(given.parts, wanted.parts, strict=True):
        part = f"struct_extract({entry}, {literal(name)})"
        casts.append(f"{name} := {_cast(part, have, want, place.inside).in_one}")
    built = f"list_transform(map_entries({raw}), lambda {entry}: struct_pack({', '.join(casts)}))"
    keys, values = (
        f"list_transform({value}, lambda {entry}: struct_extract({entry}, {literal(name)}))"
        for name in ("key", "value")
    )
    kept = (
        f"list_unique({keys}) = len({value}) AND "
        f"list_count({values}) = list_count(map_values({raw}))"
    )
    return Steps(((value, built),), f"CASE WHEN {kept} THEN map_from_entries({value}) END")


def _can_be_lost(given: Type, wanted: Type) -> bool:
    return given != wanted and wanted != VARCHAR
