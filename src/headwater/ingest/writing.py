"""Write modes as SQL: what the rows that came change of the rows that are there.

Each function gives one SELECT over two relations. It yields the rows that came, once for each
place in the table, and the rows that go: `FATE` says what becomes of each, and `THERE` which row
of the table it is about. What is written are the differences alone, so the change feed of the
table, and all that reads it, follows what really changed.

incoming   the table's columns without validity, `SEQ` (the order in which rows landed) and
           `TURN` (from 0: which file of the step).
existing   the table's columns, and `THERE`, the row's id.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum

from headwater.project.definitions import VALIDITY
from headwater.sql.quote import columns as column_list
from headwater.sql.quote import ident, literal

SEQ, TURN, THERE, FATE = "write:seq", "write:turn", "write:there", "write:fate"
_NTH, _AT, _SAME, _UNTIL = "write:nth", "write:at", "write:same", "write:until"
HELPERS = (SEQ, TURN, THERE, FATE, _NTH, _AT, _SAME, _UNTIL)
"""Names that no column of a dataset can have."""


class Change(IntEnum):
    """What becomes of a row."""

    LANDED = 0
    """It came and is new."""
    UPDATED = 1
    """It came and takes the place of a row."""
    UNCHANGED = 2
    """It came and is there already, value for value."""
    OUTDATED = 3
    """It came, and a newer one is there."""
    REMOVED = 4
    """It is there, and goes."""
    CLOSED = 5
    """A version that is there, whose validity ends at another moment now."""

    @property
    def is_written(self) -> bool:
        return self in (Change.LANDED, Change.UPDATED, Change.CLOSED)

    @property
    def takes_a_row(self) -> bool:
        return self in (Change.UPDATED, Change.REMOVED, Change.CLOSED)


@dataclass(frozen=True, kw_only=True)
class Shape:
    """A table as the write modes see it.

    content   the columns that say what a row is.
    origin    the columns that say where it came from.
    key       what names a row; () without.
    by        the column that orders the versions of a key; "" for the order of landing.
    survivors incoming -> one row for each key, with `SEQ`; None: the newest row.
    """

    content: tuple[str, ...]
    origin: tuple[str, ...]
    key: tuple[str, ...] = ()
    by: str = ""
    survivors: Callable[[str], str] | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        return (*self.content, *self.origin)


def upsert(shape: Shape, incoming: str, existing: str) -> str:
    """The newest row of each key takes the place of the one that is there, unless that one is
    newer."""
    return _upserted(shape, incoming, existing, _is_newer(shape))


def upsert_in_order(shape: Shape, incoming: str, existing: str) -> str:
    """The same for rows that landed before, by their origin: of two rows that are as new, the
    one from the later file stays, then the one with the greater record number."""
    mine, theirs = (
        f"({', '.join(f'{side}.{ident(name)}' for name in shape.origin)})" for side in "ne"
    )
    later = f"{theirs} > {mine}"
    if shape.by:
        same = f"n.{ident(shape.by)} IS NOT DISTINCT FROM e.{ident(shape.by)}"
        later = f"({_is_newer(shape)}) OR ({same} AND {later})"
    return _upserted(shape, incoming, existing, later)


def _upserted(shape: Shape, incoming: str, existing: str, newer: str) -> str:
    outdated = f"WHEN {newer} THEN {Change.OUTDATED.value}\n         " if newer else ""
    return f"""
WITH newest AS ({_newest(shape, incoming, shape.key)}),
existing AS ({existing})
SELECT {_of("n", shape.columns)}, {_there("e")},
    CASE WHEN {_there("e", "")} IS NULL THEN {Change.LANDED.value}
         {outdated}WHEN {_equal(shape.content)} THEN {Change.UNCHANGED.value}
         ELSE {Change.UPDATED.value} END AS {ident(FATE)}
FROM newest n LEFT JOIN existing e ON {_joined(shape.key)}"""


def replace(shape: Shape, incoming: str, existing: str) -> str:
    """The rows that came are all that there shall be. Without a key, equal rows are told apart
    by counting them."""
    if not shape.key:
        return _exchanged(
            shape, _counted(shape, incoming, SEQ), _counted(shape, existing, THERE), [_NTH], True
        )
    newest = shape.survivors(incoming) if shape.survivors else _newest(shape, incoming, shape.key)
    return _exchanged(shape, newest, existing, shape.key, False)


def rewrite(shape: Shape, incoming: str, existing: str, *, numbered: bool) -> str:
    """The rows that came are all that there shall be of their files; `existing` are those that
    are there of them.

    numbered   whether a row's number is kept, so that it is the same row if its number is; else
               it is the same if it is equal.
    """
    if numbered:
        return _exchanged(shape, incoming, existing, shape.origin, False)
    whole = Shape(content=shape.columns, origin=())
    return _exchanged(
        whole, _counted(whole, incoming, SEQ), _counted(whole, existing, THERE), [_NTH], True
    )


def history(shape: Shape, incoming: str, existing: str) -> str:
    """Each (key, moment) is a version; of two rows for one the last landed stays. A version is
    valid until the next one's moment, so a late row shortens the one before it."""
    moment = (*shape.key, shape.by)
    written = f"{Change.LANDED.value}, {Change.UPDATED.value}"
    return f"""
WITH existing AS ({existing}),
newest AS ({_newest(shape, incoming, moment)}),
compared AS MATERIALIZED (
    SELECT {_of("n", shape.columns)}, {_there("e")},
        CASE WHEN {_there("e", "")} IS NULL THEN {Change.LANDED.value}
             WHEN {_equal(shape.content)} THEN {Change.UNCHANGED.value}
             ELSE {Change.UPDATED.value} END AS {ident(FATE)}
    FROM newest n LEFT JOIN existing e ON {_joined(moment)}),
versions AS (
    SELECT *, NULL AS {ident(_UNTIL)} FROM compared WHERE {ident(FATE)} IN ({written})
    UNION ALL BY NAME
    SELECT {_of("e", shape.columns)}, {_there("e")}, {Change.CLOSED.value} AS {ident(FATE)},
        e.valid_to AS {ident(_UNTIL)}
    FROM existing e
    SEMI JOIN (SELECT * FROM compared WHERE {ident(FATE)} IN ({written})) n
        ON {_joined(shape.key)}
    ANTI JOIN (SELECT * FROM compared WHERE {ident(FATE)} = {Change.UPDATED.value}) u
        ON {_there("e", "")} = {_there("u", "")}),
closed AS (
    SELECT *, {ident(shape.by)} AS valid_from, {_next(shape, ident(shape.by))} AS valid_to
    FROM versions)
SELECT * EXCLUDE ({ident(_UNTIL)}) FROM closed
WHERE {ident(FATE)} <> {Change.CLOSED.value} OR valid_to IS DISTINCT FROM {ident(_UNTIL)}
UNION ALL BY NAME
SELECT * FROM compared WHERE {ident(FATE)} = {Change.UNCHANGED.value}"""


def replace_history(shape: Shape, incoming: str, existing: str) -> str:
    """A whole history anew: every version that there shall be is among the rows that came."""
    moment = (*shape.key, shape.by)
    versions = f"""
SELECT *, {ident(shape.by)} AS valid_from, {_next(shape, ident(shape.by))} AS valid_to
FROM ({_newest(shape, incoming, moment)})"""
    whole = Shape(content=(*shape.content, *VALIDITY), origin=shape.origin)
    return _exchanged(whole, versions, existing, moment, False)


def history_of_landings(shape: Shape, incoming: str, existing: str, moment: datetime) -> str:
    """Each file tells how things stand when it lands, a microsecond after the one before it: a
    row that differs from its key's current version is a new one. `moment` (UTC): the first."""
    keys = ", ".join(ident(name) for name in shape.key)
    content = f"struct_pack({', '.join(f'{ident(n)} := {ident(n)}' for n in shape.content)})"
    turn = f"to_microseconds({ident(TURN)})"
    window = f"OVER (PARTITION BY {keys} ORDER BY {ident(_AT)})"
    return f"""
WITH existing AS ({existing}),
current AS (SELECT * FROM existing WHERE valid_to IS NULL),
newest AS ({_newest(shape, incoming, (*shape.key, TURN))}),
seen AS (
    SELECT {_of("n", shape.columns)}, NULL AS {ident(THERE)},
        greatest(CAST({literal(moment)} AS TIMESTAMP) + {turn},
                 e.valid_from + {turn} + INTERVAL 1 MICROSECOND) AS {ident(_AT)}
    FROM newest n LEFT JOIN current e ON {_joined(shape.key)}
    UNION ALL BY NAME
    SELECT {_of("e", shape.columns)}, {_there("e")}, e.valid_from AS {ident(_AT)}
    FROM current e SEMI JOIN newest n ON {_joined(shape.key)}),
compared AS (
    SELECT *, {ident(THERE)} IS NULL AND coalesce(
        {content} IS NOT DISTINCT FROM lag({content}) {window}, FALSE) AND
        lag(TRUE) {window} IS NOT NULL AS {ident(_SAME)}
    FROM seen),
closed AS (
    SELECT * EXCLUDE ({ident(_SAME)}), {ident(_AT)} AS valid_from,
        lead({ident(_AT)}) {window} AS valid_to
    FROM compared WHERE NOT {ident(_SAME)})
SELECT * EXCLUDE ({ident(_AT)}),
    CASE WHEN {ident(THERE)} IS NULL THEN {Change.LANDED.value} ELSE {Change.CLOSED.value} END
        AS {ident(FATE)}
FROM closed WHERE {ident(THERE)} IS NULL OR valid_to IS NOT NULL
UNION ALL BY NAME
SELECT {column_list(shape.columns)}, {Change.UNCHANGED.value} AS {ident(FATE)}
FROM compared WHERE {ident(_SAME)}"""


# ---- parts ---------------------------------------------------------------------------------


def _newest(shape: Shape, rows: str, place: Sequence[str]) -> str:
    """The row of each place that stays: by the shape's order, among equal ones the last."""
    order = f"{ident(shape.by)} DESC NULLS LAST, " if shape.by and shape.by not in place else ""
    return (
        f"SELECT * FROM ({rows}) QUALIFY row_number() OVER "
        f"(PARTITION BY {column_list(place)} ORDER BY {order}{ident(SEQ)} DESC) = 1"
    )


def _exchanged(
    shape: Shape, incoming: str, existing: str, place: Sequence[str], by_content: bool
) -> str:
    """What is in `incoming` for what is in `existing`, matched by `place` (and by their whole
    content, with `by_content`)."""
    matched = _joined(place)
    if by_content:
        matched = f"{_equal(shape.content)} AND {matched}"
    return f"""
WITH incoming AS ({incoming}),
existing AS ({existing})
SELECT {_of("n", shape.columns)}, {_there("e")},
    CASE WHEN n.{ident(SEQ)} IS NULL THEN {Change.REMOVED.value}
         WHEN {_there("e", "")} IS NULL THEN {Change.LANDED.value}
         WHEN {_equal(shape.content)} THEN {Change.UNCHANGED.value}
         ELSE {Change.UPDATED.value} END AS {ident(FATE)}
FROM incoming n FULL JOIN existing e ON {matched}"""


def _counted(shape: Shape, rows: str, order: str) -> str:
    """`rows`, each with how many equal ones come before it."""
    return (
        "SELECT *, row_number() OVER "
        f"(PARTITION BY {column_list(shape.content)} ORDER BY {ident(order)}) "
        f"AS {ident(_NTH)} FROM ({rows})"
    )


def _next(shape: Shape, moment: str) -> str:
    keys = column_list(shape.key)
    return f"lead({moment}) OVER (PARTITION BY {keys} ORDER BY {moment})"


def _is_newer(shape: Shape) -> str:
    """Whether the row that is there is newer; "" where it never is."""
    if not shape.by:
        return ""
    mine, theirs = f"n.{ident(shape.by)}", f"e.{ident(shape.by)}"
    return f"{theirs} IS NOT NULL AND ({mine} IS NULL OR {theirs} > {mine})"


def _equal(names: Sequence[str]) -> str:
    return " AND ".join(f"n.{ident(n)} IS NOT DISTINCT FROM e.{ident(n)}" for n in names)


def _joined(names: Sequence[str]) -> str:
    return " AND ".join(f"n.{ident(n)} = e.{ident(n)}" for n in names)


def _of(side: str, names: Sequence[str]) -> str:
    return ", ".join(f"{side}.{ident(name)}" for name in names)


def _there(side: str, alias: str = THERE) -> str:
    named = f"{side}.{ident(THERE)}"
    return f"{named} AS {ident(alias)}" if alias else named
