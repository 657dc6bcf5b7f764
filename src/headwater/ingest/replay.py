"""Replay: quarantined rows of a source are judged again, as they are or fixed, and land.

A replay is a step of its own with a ledger line of its own: received from quarantine. A row keeps
its file and record number, so it takes the place in the order that it would have had. A row that
still breaks a rule stays where it is.

Memory: DuckDB's memory limit; in Python nothing.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import duckdb

from headwater.contract.across import across_rules, columns_of
from headwater.contract.compile import Compiled, Fate, compile_contract, unused
from headwater.contract.contract import OnDuplicate, Remedy
from headwater.contract.types import VARCHAR, Type, parse_type
from headwater.engine.judge import Aside, Verdict, count_reasons, explain, judge, look_across
from headwater.errors import ContractBroken, HeadwaterError, counted, suggestion, without_values
from headwater.ingest import writing
from headwater.ingest.writing import FATE, SEQ, THERE, Change, Shape
from headwater.lake.commit import Commit, at, with_ids
from headwater.lake.lake import Lake
from headwater.lake.ledger import Ledger
from headwater.lake.state import Position
from headwater.lake.step import StepIdentity, give_way_if_moved, record, step_row
from headwater.names import DatasetName
from headwater.project.definitions import (
    ORIGIN_COLUMNS,
    VALIDITY,
    FileDataset,
    SourceDataset,
    Write,
)
from headwater.sql.query import SqlError, read_expression
from headwater.sql.quote import columns as column_list
from headwater.sql.quote import ident, json_path, literal


@dataclass(frozen=True)
class Selection:
    """Which quarantined rows are meant; all that is stated must hold.

    reasons  the row has one of them.
    file     a part of its file's path.
    run_id   the run that put it there.
    ids      these rows.
    """

    reasons: tuple[str, ...] = ()
    file: str = ""
    run_id: str = ""
    ids: tuple[str, ...] = ()

    @classmethod
    def of(cls, reason: str, file: str, run_id: str, ids: Sequence[str]) -> Selection:
        """What a user asks for; "" for what is not stated."""
        return cls((reason,) if reason else (), file, run_id, tuple(ids))

    def condition(self) -> str:
        """SQL over `headwater.quarantine`."""
        parts = ["path IS NOT NULL"]
        if self.reasons:
            parts.append(f"list_has_any(reasons, [{', '.join(map(literal, self.reasons))}])")
        if self.file:
            parts.append(f"contains(path, {literal(self.file)})")
        if self.run_id:
            parts.append(f"run_id = {literal(self.run_id)}")
        if self.ids:
            parts.append(f"id IN ({', '.join(literal(row) for row in self.ids)})")
        return " AND ".join(parts)


@dataclass(frozen=True, kw_only=True)
class Request:
    """What to replay, and how it is fixed before.

    sets     input field or column -> an SQL expression over both, all of them texts.
    edited   a CSV file as `export` writes it, edited: only its rows are replayed.
    """

    selection: Selection = Selection()
    sets: Mapping[str, str] = field(default_factory=dict)
    edited: Path | None = None


@dataclass
class Replay:
    """A replay between its phases. See `ComputedStep`.

    inputs          where the datasets stand that it refers to.
    aside           the rows that rules across rows keep from landing; None without any.
    rows_table      the replayed rows: id, file_id, record, in order.
    changes_table   what they change in the table, as `writing.py` says it.
    broken          rule -> rows that still break it.
    """

    identity: StepIdentity
    dataset: SourceDataset
    inputs: dict[DatasetName, Position] = field(default_factory=dict)
    awaiting: tuple[DatasetName, ...] = ()
    columns: dict[str, Type] = field(default_factory=dict)
    verdict: Verdict | None = None
    rows_table: str = ""
    judged_table: str = ""
    changes_table: str = ""
    changes: dict[Change, int] = field(default_factory=dict)
    broken: dict[str, int] = field(default_factory=dict)
    aside: Aside | None = None
    row_count: int = 0
    notes: list[str] = field(default_factory=list)
    temp_tables: list[str] = field(default_factory=list)

    def apply(self, commit: Commit) -> tuple[Ledger, Position]:
        """See `ComputedStep`."""
        give_way_if_moved(commit, self.identity)
        verdict, table = self.verdict, self.identity.table
        assert verdict is not None
        before = commit.count(table)
        commit.add_columns(table, self._types, self.identity.there)
        commit.remove(table, self._picked(THERE, changes=[c for c in Change if c.takes_a_row]))
        written = commit.append(
            table,
            list(self.columns),
            self._picked(*self.columns, changes=[c for c in Change if c.is_written]),
        )
        i = self.identity
        done = f"id IN (SELECT id FROM {ident(self.rows_table)} WHERE ended)"
        commit.end_quarantine(i.dataset, i.table, done, "replayed", i.run_id, i.step)
        landed, updated = self._count(Change.LANDED), self._count(Change.UPDATED)
        unchanged = self._count(Change.UNCHANGED)
        placed = verdict.count(Fate.LANDED) - (self.aside.count if self.aside else 0)
        ledger = Ledger(
            dataset=i.dataset,
            received=verdict.received,
            landed=landed,
            updated=updated,
            unchanged=unchanged,
            deduplicated=placed - landed - updated - unchanged + self._fate(Fate.DEDUPLICATED),
            dropped=self._fate(Fate.DROPPED),
            quarantined=self._fate(Fate.QUARANTINED),
            rows_before=before,
            rows_after=commit.count(table),
            nulled=verdict.nulled,
            defaulted=verdict.defaulted,
            clipped=verdict.clipped,
        )
        position = record(
            commit,
            i,
            ledger,
            columns=self._types,
            inputs=self.inputs,
            definition=json.dumps(self.dataset.definition.model_dump(mode="json"), default=str),
            is_changed=written > 0,
        )
        return ledger, position

    @property
    def _types(self) -> dict[str, str]:
        return {name: kind.sql for name, kind in self.columns.items()}

    @property
    def leaving(self) -> int:
        """How many rows leave quarantine."""
        return 0 if self.verdict is None else self.verdict.received - self._fate(Fate.QUARANTINED)

    def _fate(self, fate: Fate) -> int:
        assert self.verdict is not None
        return self.verdict.count(fate) + (self.aside.fates.get(fate, 0) if self.aside else 0)

    def _count(self, change: Change) -> int:
        return self.changes.get(change, 0)

    def _picked(self, *names: str, changes: Sequence[Change]) -> str:
        kinds = ", ".join(str(change.value) for change in changes)
        return (
            f"SELECT {column_list(names)} FROM {ident(self.changes_table)} "
            f"WHERE {ident(FATE)} IN ({kinds})"
        )

    def discard(self, lake: Lake) -> None:
        """See `ComputedStep`."""
        for table in self.temp_tables:
            lake.con.execute(f"DROP TABLE IF EXISTS {ident(table)}")
        self.temp_tables.clear()


def discard_rows(commit: Commit, identity: StepIdentity, selection: Selection) -> int:
    """Note that quarantined rows are wanted no more; they stay on record. Returns how many."""
    i = identity
    count = commit.end_quarantine(
        i.dataset, i.table, selection.condition(), "discarded", i.run_id, i.step
    )
    commit.note("steps", [step_row(i, "committed", 0.0)])
    return count


def export_rows(
    lake: Lake, dataset: SourceDataset, table: str, selection: Selection, file: Path
) -> int:
    """Write quarantined rows as CSV for editing: _id, _reasons, _file, _line, _content, then a
    column for each field of the input. Returns how many."""
    source = f"{open_rows(table)} WHERE {selection.condition()}"
    keys = lake.con.execute(
        f"SELECT DISTINCT unnest(json_keys(CAST(fields AS JSON))) FROM {source} ORDER BY 1"
    ).fetchall()
    expected = [c.from_ or name for name, c in dataset.contract.columns.items()]
    fields = _spelled([*expected, *(key for (key,) in keys)])
    picked = [
        f"json_extract_string(fields, {literal(json_path(name))}) AS {ident(name)}"
        for name in fields
        if name not in _EXPORTED
    ]
    head = (
        "id AS _id, array_to_string(reasons, ' ') AS _reasons, path AS _file, line AS _line, "
        "content AS _content"
    )
    done = lake.con.execute(
        f"COPY (SELECT {', '.join([head, *picked])} FROM {source} "
        f"ORDER BY path, record) TO {literal(str(file))} (FORMAT csv, HEADER)"
    ).fetchone()
    return int(done[0]) if done else 0


def open_rows(table: str) -> str:
    """The rows of a built table that are in quarantine now, as SQL. (Those of before its dataset
    was renamed carry the earlier name.)"""
    return (
        "(SELECT * FROM lake.headwater.quarantine "
        f"WHERE built_table = {literal(table)} "
        "AND id NOT IN (SELECT id FROM lake.headwater.quarantine_outcomes "
        f"WHERE built_table = {literal(table)}))"
    )


def replay(
    lake: Lake,
    identity: StepIdentity,
    dataset: SourceDataset,
    request: Request,
    inputs: Mapping[DatasetName, Position] | None = None,
) -> Replay:
    """Judge quarantined rows again: the compute phase of a replay. Without rows to replay its
    `verdict` is None.

    inputs   where the datasets stand that it refers to; they are in the session under their names.

    Raises HeadwaterError where a fix does not bind, names no field, or its file does not fit.
    """
    step = Replay(identity, dataset, dict(inputs or {}))
    try:
        _refuse_placeless(dataset)
        fields = _pick_rows(lake.con, step, request)
        if not fields:
            return step
        relation = _fixed(lake.con, step, request, fields)
        compiled = compile_contract(
            dataset.contract, dict.fromkeys(fields, VARCHAR), otherwise=Remedy.QUARANTINE
        )
        step.judged_table = _temp(step, "replay_judged")
        step.verdict = judge(lake.con, compiled, relation, step.judged_table)
        _explain(lake.con, step, compiled)
        _set_columns(step, compiled)
        _look_across(lake.con, step, compiled)
        _end(lake.con, step)
        _work_out(lake.con, step, compiled)
    except duckdb.Error as error:
        step.discard(lake)
        raise lake.explain(error) from error
    except BaseException:
        step.discard(lake)
        raise
    return step


def _temp(step: Replay, word: str) -> str:
    table = f"{word}_{step.identity.step}"
    step.temp_tables.append(table)
    return table


def _refuse_placeless(dataset: SourceDataset) -> None:
    """Raise where rows that are replayed have no place."""
    definition = dataset.definition
    problem = ""
    if definition.write is Write.HISTORY and not definition.latest_by:
        problem = "a history that goes by when rows landed has no place for rows that are replayed"
        hint = "land them in a new file, or state `on_duplicate: latest by COLUMN`"
    elif definition.survivors:
        problem = "which values of a key survive is told from all its rows, so none can be replayed"
        hint = "mend the file, and run: all of it is landed again"
    if problem:
        raise HeadwaterError(problem, where=str(dataset.name), hint=hint)


# ---- picking and fixing --------------------------------------------------------------------


def _pick_rows(con: duckdb.DuckDBPyConnection, step: Replay, request: Request) -> list[str]:
    """Put the rows into the step's table, in order, a column for each field; the fields' names.
    None: no rows."""
    source = open_rows(step.identity.table)
    condition = request.selection.condition()
    picked = _temp(step, "replay_picked")
    con.execute(
        f"CREATE TEMP TABLE {ident(picked)} AS SELECT id, file_id, record, "
        f"CAST(fields AS JSON) AS fields FROM {source} WHERE {condition}"
    )
    edited = _edited(con, step, picked, request.edited) if request.edited else {}
    if not edited:
        _leave_unread(con, step, picked)
    keys = con.execute(
        f"SELECT DISTINCT unnest(json_keys(fields)) FROM {ident(picked)} ORDER BY 1"
    ).fetchall()
    expected = [c.from_ or name for name, c in step.dataset.contract.columns.items()]
    fields = _spelled([*expected, *edited.values(), *(key for (key,) in keys)])
    count = con.execute(f"SELECT count(*) FROM {ident(picked)}").fetchone()
    if not count or not count[0]:
        return []
    values = []
    for name in fields:
        value = f"json_extract_string(p.fields, {literal(json_path(name))})"
        if name.lower() in edited:
            value = f"e.{ident(edited[name.lower()])}"
        values.append(f"{value} AS {ident(f'field:{name}')}")
    join = f" JOIN {ident(_EDITED)} e ON e._id = p.id" if edited else ""
    step.rows_table = _temp(step, "replay_rows")
    con.execute(
        f"CREATE TEMP TABLE {ident(step.rows_table)} AS SELECT p.id, p.file_id, p.record, "
        f"FALSE AS ended, {', '.join(values)} FROM {ident(picked)} p{join} "
        "ORDER BY p.file_id, p.record"
    )
    return fields


def _spelled(names: Sequence[str]) -> list[str]:
    """Names whatever their case, each once, in order; spelled as the last one is."""
    return list({name.lower(): name for name in names}.values())


_EDITED = "replay_edited"


def _leave_unread(con: duckdb.DuckDBPyConnection, step: Replay, picked: str) -> None:
    """Leave out rows that could not be read into fields: only an edited file can mend them."""
    row = con.execute(f"DELETE FROM {ident(picked)} WHERE fields IS NULL").fetchone()
    if row and row[0]:
        step.notes.append(
            f"{counted(row[0], 'row')} could not be read into fields: "
            "export them, mend the fields, and `quarantine fix --from FILE`"
        )


def _edited(
    con: duckdb.DuckDBPyConnection, step: Replay, picked: str, file: Path
) -> dict[str, str]:
    """Read an edited file into a temp table, and keep of `picked` what it names; field (lower
    case) -> its column."""
    step.temp_tables.append(_EDITED)
    try:
        con.execute(
            f"CREATE OR REPLACE TEMP TABLE {ident(_EDITED)} AS SELECT * FROM read_csv("
            f"{literal(str(file))}, all_varchar = true, header = true, delim = ',', quote = '\"', "
            "escape = '\"', nullstr = '', auto_detect = false, columns = "
            f"{_header(file)})"
        )
    except (duckdb.Error, OSError, UnicodeDecodeError) as error:
        raise HeadwaterError(
            "the edited file cannot be read",
            where=str(file),
            hint="it is a CSV file as `headwater quarantine export` writes it, in UTF-8",
        ) from error
    unknown = con.execute(
        f"SELECT count(*) FROM {ident(_EDITED)} WHERE _id IS NULL OR _id NOT IN "
        f"(SELECT id FROM lake.headwater.quarantine "
        f"WHERE built_table = {literal(step.identity.table)})"
    ).fetchone()
    if unknown and unknown[0]:
        raise HeadwaterError(
            f"{counted(unknown[0], 'row')} of the edited file: the id is none of a quarantined row",
            where=str(file),
            hint="keep the column `_id` as `headwater quarantine export` wrote it",
        )
    con.execute(f"DELETE FROM {ident(picked)} WHERE id NOT IN (SELECT _id FROM {ident(_EDITED)})")
    names = [row[0] for row in con.execute(f"DESCRIBE {ident(_EDITED)}").fetchall()]
    return {name.lower(): name for name in names if name not in _EXPORTED}


_EXPORTED = ("_id", "_reasons", "_file", "_line", "_content")
"""The columns of an export before the fields."""


def _header(file: Path) -> str:
    """The columns of a CSV file as DuckDB wants them stated."""
    with file.open(encoding="utf-8-sig", newline="") as lines:
        names = next(csv.reader(lines), [])
    if "_id" not in names:
        raise HeadwaterError(
            "the edited file has no column '_id'",
            where=str(file),
            hint="edit a file that `headwater quarantine export` wrote",
        )
    return "{" + ", ".join(f"{literal(name)}: 'VARCHAR'" for name in names) + "}"


def _fixed(
    con: duckdb.DuckDBPyConnection, step: Replay, request: Request, fields: Sequence[str]
) -> str:
    """The rows' fields, fixed, as SQL."""
    named = [f"{ident(f'field:{name}')} AS {ident(name)}" for name in fields]
    folded = {name.lower(): name for name in fields}
    aliases = {}
    for name, column in step.dataset.contract.columns.items():
        given = folded.get((column.from_ or name).lower())
        if given and name.lower() not in folded:
            aliases[name.lower()] = given
            named.append(f"{ident(f'field:{given}')} AS {ident(name)}")
    rows = f"SELECT {', '.join(named)} FROM {ident(step.rows_table)}"
    values = {name: ident(name) for name in fields}
    for target, text in request.sets.items():
        fixed = folded.get(target.lower()) or aliases.get(target.lower())
        if fixed is None:
            raise HeadwaterError(
                f"--set {target}: the rows have no field of that name",
                hint=suggestion(target, [*fields, *aliases]),
            )
        values[fixed] = f"CAST(({_expression(target, text)}) AS VARCHAR)"
    picked = ", ".join(f"{sql} AS {ident(name)}" for name, sql in values.items())
    relation = f"(SELECT {picked} FROM ({rows}))"
    try:
        con.execute(f"SELECT count(*), count(COLUMNS(*)) FROM {relation}").fetchall()
    except duckdb.Error as error:
        message = str(error).split("\n")[0]
        raise HeadwaterError(
            f"the fix cannot be computed: {without_values(message)}",
            where=str(step.identity.dataset),
            hint=f"every field is a text; fields: {', '.join(list(fields)[:12])}",
        ) from error
    return relation


def _expression(target: str, text: str) -> str:
    try:
        return read_expression(text)
    except SqlError as error:
        raise HeadwaterError(
            f"--set {target}: {error.message}",
            hint=error.hint or "an SQL expression over the fields: --set 'fare=abs(fare::DOUBLE)'",
        ) from error


# ---- judging and placing -------------------------------------------------------------------


def _explain(con: duckdb.DuckDBPyConnection, step: Replay, compiled: Compiled) -> None:
    assert step.verdict is not None
    if step.verdict.received == step.verdict.count(Fate.LANDED) and not step.verdict.warned:
        return
    explained = _temp(step, "replay_explained")
    explain(con, compiled, step.judged_table, explained)
    step.broken = count_reasons(con, explained)
    if failed := step.verdict.count(Fate.FAILED):
        raise ContractBroken(
            f"{counted(failed, 'row')} break rules that say fail: {', '.join(step.broken)}",
            where=str(step.identity.dataset),
            hint="fix them, or choose another remedy",
        )


def _set_columns(step: Replay, compiled: Compiled) -> None:
    """The table's columns; fields that it lacks become columns as they do in landing."""
    there = {name: parse_type(kind) for name, kind in step.identity.there.items()}
    folded = {name.lower() for name in there}
    added = {n: kind for n, kind in compiled.columns if n.lower() not in folded}
    step.columns = {**there, **added}


def _rows(step: Replay) -> str:
    """The judged rows with their id, file, record and number (`nth`)."""
    assert step.verdict is not None
    number = ident(step.verdict.row)
    return (
        f"(SELECT j.*, r.id AS {ident(_ID)}, r.file_id AS _file_id, r.record AS _record, "
        f"j.{number} AS {ident(_NUMBER)} FROM {ident(step.judged_table)} j "
        f"JOIN {ident(step.rows_table)} r ON j.{number} = r.rowid)"
    )


_ID, _NUMBER = "replay:id", "replay:number"


def _merges(definition: FileDataset) -> bool:
    """Whether a row takes the place of the one with its key."""
    if not definition.key:
        return False
    if definition.write in (Write.UPSERT, Write.HISTORY):
        return True
    return definition.write is Write.REPLACE and definition.duplicates in (
        OnDuplicate.KEEP_LAST,
        OnDuplicate.LATEST,
    )


def _look_across(con: duckdb.DuckDBPyConnection, step: Replay, compiled: Compiled) -> None:
    """Find the rows that break rules across rows: that repeat a key whose row they cannot take
    the place of, say."""
    definition, expected = step.dataset.definition, step.identity.expected
    rules = across_rules(
        step.dataset.contract, otherwise=Remedy.QUARANTINE, with_key=not _merges(definition)
    )
    if not rules:
        return
    names = columns_of(rules)
    row_id = unused("_id", names)
    there = {name.lower() for name, _ in compiled.columns}
    picked = [ident(n) if n.lower() in there else f"NULL AS {ident(n)}" for n in names]
    rows = (
        f"(SELECT {', '.join(picked)}, {ident(_NUMBER)} AS {ident(row_id)} FROM {_rows(step)} "
        f"WHERE _fate = {Fate.LANDED.value})"
    )
    tables = (_temp(step, "replay_across"), _temp(step, "replay_aside"))
    step.aside = look_across(con, rules, rows, at(expected) if expected else None, row_id, tables)
    if step.aside is None:
        return
    kept = {rule.code: rule for rule in rules if rule.fate is not Fate.DEDUPLICATED}
    broken = {code: count for code, count in step.aside.broken.items() if code in kept}
    failing = [code for code in broken if kept[code].fate is Fate.FAILED]
    if failing:
        raise ContractBroken(
            f"rows break rules that say fail: {', '.join(failing)}",
            where=str(step.identity.dataset),
            hint="fix them, or choose another remedy",
        )
    step.broken = {**step.broken, **broken}


def _placed(step: Replay) -> str:
    """Which judged rows have a place in the table, as a SQL condition."""
    placed = f"_fate = {Fate.LANDED.value}"
    if step.aside:
        placed += f" AND {ident(_NUMBER)} NOT IN (SELECT _id FROM {ident(step.aside.table)})"
    return placed


def _end(con: duckdb.DuckDBPyConnection, step: Replay) -> None:
    """Mark the rows that leave quarantine: all but those that still break a rule."""
    stays = f"_fate = {Fate.QUARANTINED.value}"
    if step.aside:
        kept = f"SELECT _id FROM {ident(step.aside.table)} WHERE _fate = {Fate.QUARANTINED.value}"
        stays += f" OR {ident(_NUMBER)} IN ({kept})"
    con.execute(
        f"UPDATE {ident(step.rows_table)} SET ended = TRUE WHERE id NOT IN "
        f"(SELECT {ident(_ID)} FROM {_rows(step)} WHERE {stays})"
    )


def _work_out(con: duckdb.DuckDBPyConnection, step: Replay, compiled: Compiled) -> None:
    """Fill the table of changes."""
    definition = step.dataset.definition
    spelled = {name.lower(): name for name in step.columns}
    there = {name.lower() for name, _ in compiled.columns} | set(ORIGIN_COLUMNS)
    added = VALIDITY if definition.write is Write.HISTORY else ()
    picked = [
        f"CAST({ident(name) if name.lower() in there else 'NULL'} AS {kind.sql}) AS {ident(name)}"
        for name, kind in step.columns.items()
        if name not in added
    ]
    incoming = (
        f"SELECT {', '.join(picked)}, {ident(_NUMBER)} AS {ident(SEQ)} FROM {_rows(step)} "
        f"WHERE {_placed(step)}"
    )
    shape = Shape(
        content=tuple(n for n in step.columns if n not in ORIGIN_COLUMNS and n not in added),
        origin=tuple(n for n in step.columns if n in ORIGIN_COLUMNS),
        key=tuple(spelled.get(name.lower(), name) for name in definition.key),
        by=spelled.get(definition.latest_by.lower(), definition.latest_by),
    )
    query = (
        f"SELECT *, NULL::BIGINT AS {ident(THERE)}, {Change.LANDED.value} AS {ident(FATE)} "
        f"FROM ({incoming})"
    )
    if _merges(definition):
        assert step.identity.expected is not None
        existing = with_ids(step.identity.expected, list(step.identity.there), THERE)
        missing = [n for n in step.columns if n not in step.identity.there]
        nulls = "".join(f", CAST(NULL AS {step.columns[n].sql}) AS {ident(n)}" for n in missing)
        existing = f"SELECT *{nulls} FROM ({existing})"
        merge = writing.history if definition.write is Write.HISTORY else writing.upsert_in_order
        query = merge(shape, incoming, existing)
    step.changes_table = _temp(step, "replay_changes")
    con.execute(f"CREATE TEMP TABLE {ident(step.changes_table)} AS {query}")
    rows = con.execute(
        f"SELECT {ident(FATE)}, count(*) FROM {ident(step.changes_table)} GROUP BY ALL"
    ).fetchall()
    step.changes = {Change(fate): count for fate, count in rows}
    step.row_count = sum(n for change, n in step.changes.items() if change.is_written)
