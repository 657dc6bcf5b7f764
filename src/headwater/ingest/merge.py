"""Working out what a landing changes of the rows that are there: the thin part of `writing.py`.

Memory: DuckDB's memory limit; what does not fit goes to disk.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from headwater.contract.survivorship import combined
from headwater.contract.types import Type
from headwater.errors import HeadwaterError
from headwater.ingest import writing
from headwater.ingest.intake import Manner
from headwater.ingest.landing import Landing
from headwater.ingest.writing import FATE, SEQ, THERE, TURN, Change, Shape
from headwater.lake.commit import with_ids
from headwater.lake.lake import Lake
from headwater.project.definitions import ORIGIN_COLUMNS, Origin, Write
from headwater.sql.quote import ident

Merging = Callable[[Shape, str, str], str]
"""(shape, incoming, existing) -> the changes, as SQL."""


def merging_of(landing: Landing) -> Merging | None:
    """How a landing's rows meet those that are there; None where they are only added."""
    definition, manner = landing.dataset.definition, landing.intake.manner
    if manner is Manner.ADD:
        return None
    if manner is Manner.REWRITE:
        numbered = definition.origin is Origin.RECORD
        return lambda shape, mine, theirs: writing.rewrite(shape, mine, theirs, numbered=numbered)
    if definition.write is Write.UPSERT:
        return writing.replace if manner is Manner.WHOLE else writing.upsert
    if definition.write is Write.HISTORY:
        if manner is Manner.WHOLE:
            return writing.replace_history
        if definition.latest_by:
            return writing.history
        moment = landing.identity.started_at
        return lambda shape, mine, theirs: writing.history_of_landings(shape, mine, theirs, moment)
    return writing.replace


def work_out_changes(lake: Lake, landing: Landing, merging: Merging) -> None:
    """Fill the landing's table of changes, and count them."""
    contract, columns = landing.dataset.contract, landing.columns
    shape = Shape(
        content=tuple(n for n in columns if n not in ORIGIN_COLUMNS and n not in _added(landing)),
        origin=tuple(n for n in columns if n in ORIGIN_COLUMNS),
        key=tuple(_spelled(name, columns) for name in contract.key),
        by=_spelled(contract.latest_by, columns),
    )
    if contract.survivors:
        shape = replace(
            shape,
            survivors=lambda rows: combined(
                contract, shape.content, f"({rows})", SEQ, also=[*shape.origin, SEQ]
            ),
        )
    table = f"changes_{landing.identity.step}"
    landing.temp_tables.append(table)
    query = merging(shape, _incoming(landing, shape), _existing(landing))
    lake.con.execute(f"CREATE TEMP TABLE {ident(table)} AS {query}")
    rows = lake.con.execute(
        f"SELECT {ident(FATE)}, count(*) FROM {ident(table)} GROUP BY ALL"
    ).fetchall()
    landing.changes_table = table
    landing.changes = {Change(fate): count for fate, count in rows}
    landing.incoming = landing.row_count
    landing.row_count = sum(n for change, n in landing.changes.items() if change.is_written)


def _added(landing: Landing) -> tuple[str, ...]:
    return tuple(landing.dataset.validity)


def _spelled(name: str, columns: Mapping[str, Type]) -> str:
    """A column's name as the table has it."""
    return next((there for there in columns if there.lower() == name.lower()), name)


def _incoming(landing: Landing, shape: Shape) -> str:
    """The rows that came, with all of the table's columns."""
    if not landing.files:
        return f"SELECT {_nothing(landing.columns, (SEQ, TURN))} WHERE FALSE"
    there = {name.lower() for file in landing.files for name, _ in file.compiled.columns}
    there |= {name.lower() for name in shape.origin}
    picked = [
        ident(name) if name.lower() in there else f"CAST(NULL AS {kind.sql}) AS {ident(name)}"
        for name, kind in landing.columns.items()
        if name not in _added(landing)
    ]
    helpers = f"{ident(SEQ)}, {ident(TURN)}"
    return f"SELECT {', '.join(picked)}, {helpers} FROM ({landing.incoming_sql()})"


def _existing(landing: Landing) -> str:
    """The rows that are there and that this landing is about."""
    position, intake = landing.identity.expected, landing.intake
    if position is None:
        return f"SELECT {_nothing(landing.columns, (THERE,))} WHERE FALSE"
    _refuse_rowid(landing)
    there = {name.lower(): name for name in landing.identity.there}
    stored = with_ids(position, list(landing.identity.there), THERE)
    picked = [
        ident(there[name.lower()]) + f" AS {ident(name)}"
        if name.lower() in there
        else f"CAST(NULL AS {kind.sql}) AS {ident(name)}"
        for name, kind in landing.columns.items()
    ]
    rows = f"SELECT {', '.join(picked)}, {ident(THERE)} FROM ({stored})"
    if intake.manner is Manner.REWRITE:
        files = ", ".join(str(file.file_id) for file in landing.withdrawn)
        rows += f" WHERE _file_id IN ({files})"
    return rows


def _nothing(columns: Mapping[str, Type], helpers: tuple[str, ...]) -> str:
    picked = [f"CAST(NULL AS {kind.sql}) AS {ident(name)}" for name, kind in columns.items()]
    return ", ".join([*picked, *(f"CAST(NULL AS BIGINT) AS {ident(name)}" for name in helpers)])


def _refuse_rowid(landing: Landing) -> None:
    """A column of that name hides the ids of a table's rows."""
    if any(name.lower() == "rowid" for name in landing.columns):
        raise HeadwaterError(
            "rows of a table with a column 'rowid' cannot be exchanged",
            where=str(landing.identity.dataset),
            hint="give the column another name: row_id: {from: rowid}",
        )
