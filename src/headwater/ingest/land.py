"""Landing files: each is read once under its contract, and every record is accounted for.

Compute: each file becomes a judged temp table; the rows that land, the records that do not and
their original text are worked out. Apply: all of it is written in one commit, with the file
list and the ledger. A file that cannot be read is refused by name and stops no other.

Memory: DuckDB's memory limit, and what does not fit goes to disk; in Python, one block of a
file and 20,000 quarantined records.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import duckdb

from headwater.contract.across import AcrossRule, across_rules, columns_of
from headwater.contract.columns import Check, is_needed
from headwater.contract.compile import Compiled, Fate, compile_contract, unused
from headwater.contract.contract import OnDuplicate, Remedy, UnexpectedColumns
from headwater.contract.types import Type, parse_type
from headwater.engine.judge import count_reasons, explain, judge, look_across
from headwater.errors import ContractBroken, FileRefused, HeadwaterError, counted
from headwater.ingest.copies import changed_while_read, keep, open_item
from headwater.ingest.intake import Intake, Manner
from headwater.ingest.landing import Landing, ReadFile, numbered, record_number
from headwater.ingest.merge import merging_of, work_out_changes
from headwater.ingest.writing import HELPERS
from headwater.lake.commit import at
from headwater.lake.lake import Lake
from headwater.lake.locks import unwritable
from headwater.lake.raw import Raw
from headwater.lake.state import LandedFile, Position
from headwater.lake.step import PREWRITTEN_ROWS, StepIdentity, write_ahead
from headwater.names import DatasetName
from headwater.project.definitions import ORIGIN_COLUMNS, Origin, SourceDataset, Write
from headwater.sources.batch import REASONS, Batch, Item, OpenItem
from headwater.sql.quote import ident, literal

DISK_WORDS = ("no space left", "disk is full", "file too large", "out of disk", "out of memory")


# ---- compute -------------------------------------------------------------------------------


def land(
    lake: Lake,
    identity: StepIdentity,
    dataset: SourceDataset,
    intake: Intake,
    landed: Iterable[LandedFile],
    inputs: Mapping[DatasetName, Position] | None = None,
    progress: Callable[[str], None] = lambda _: None,
    *,
    last_id: int = 0,
) -> Landing:
    """Read files under the dataset's contract: the compute phase of a landing step.

    landed   what this built table's files are known as, of each path the newest.
    inputs   where the datasets stand that it refers to; they are in the session under their names.
    last_id  of a new table: the greatest file id that one of its name ever had.

    Raises ContractBroken where rows break a rule whose remedy is `fail`; a file that cannot be
    read is in the landing's `refused`.
    """
    landing = Landing(identity, dataset, intake, inputs=dict(inputs or {}))
    landed = list(landed)
    known = {file.content_hash: file.path for file in landed if file.is_landed}
    next_id = 1 + max([last_id, *(file.file_id or 0 for file in landed)])
    scratch = lake.folder / "tmp" / identity.run_id
    raw = Raw(lake.folder, str(dataset.name)) if dataset.definition.raw_retention_days else None
    try:
        scratch.mkdir(parents=True, exist_ok=True)
        for item in intake.items:
            progress(item.path)
            file_id, version = _number(intake, item, next_id)
            try:
                file = _read_file(lake.con, landing, item, (file_id, version), scratch, raw)
            except FileRefused as refused:
                landing.refused.append((item, refused))
                continue
            other = known.get(file.content_hash, item.path)
            if other != item.path:
                landing.notes.append(f"{item.path} has the same content as {other}")
            known[file.content_hash] = item.path
            landing.files.append(file)
            next_id = max(next_id, file_id + 1)
        _refuse_failed_rows(landing)
        _refuse_half(landing)
        _set_columns(landing)
        landing.across = across_rules(
            dataset.contract, otherwise=Remedy.QUARANTINE, with_key=_finds_repeats(dataset)
        )
        if landing.files and landing.across:
            _look_across(lake, landing, scratch)
        landing.row_count = sum(file.landed for file in landing.files)
        if (landing.files or intake.gone) and (merging := merging_of(landing)):
            work_out_changes(lake, landing, merging)
        if landing.row_count > PREWRITTEN_ROWS:
            landing.prewritten = write_ahead(lake, identity, landing.rows_to_write())
            _drop_judged(lake, landing)
    except OSError as error:
        landing.discard(lake)
        raise unwritable(lake.folder, error) from error
    except duckdb.Error as error:
        landing.discard(lake)
        raise lake.explain(error) from error
    except BaseException:
        landing.discard(lake)
        raise
    return landing


def _number(intake: Intake, item: Item, next_id: int) -> tuple[int, int]:
    """A file's id and version. A file whose own rows are exchanged keeps its id, so that a row
    that did not change keeps its origin."""
    before = intake.before.get(item.path)
    if intake.manner is Manner.REWRITE and before and before.file_id is not None:
        return before.file_id, (before.version or 1) + 1
    return next_id, 1


def _refuse_half(landing: Landing) -> None:
    """Raise where not all could be read of what only makes sense as a whole."""
    if landing.intake.manner is Manner.WHOLE and landing.refused:
        item, error = landing.refused[0]
        raise HeadwaterError(
            f"{item.path} cannot be read, and the dataset is what all its files say: "
            f"{error.message}",
            where=str(landing.identity.dataset),
            hint=error.hint,
        )


def _finds_repeats(dataset: SourceDataset) -> bool:
    """Whether rows whose key came before are looked for one by one; where they take each other's
    place, the write mode does it."""
    definition = dataset.definition
    if definition.write in (Write.UPSERT, Write.HISTORY) or definition.survivors:
        return False
    return definition.duplicates not in (OnDuplicate.KEEP_LAST, OnDuplicate.LATEST)


def _drop_judged(lake: Lake, landing: Landing) -> None:
    for file in landing.files:
        lake.con.execute(f"DROP TABLE IF EXISTS {ident(file.verdict.table)}")


def _read_file(
    con: duckdb.DuckDBPyConnection,
    landing: Landing,
    item: Item,
    number: tuple[int, int],
    scratch: Path,
    raw: Raw | None,
) -> ReadFile:
    file_id, version = number
    table = f"batch_{landing.identity.step}_{file_id}"
    opened = open_item(con, item, landing.dataset.definition, scratch)
    try:
        compiled = _compile(landing.dataset, opened.batch)
        landing.temp_tables.append(table)
        try:
            verdict = judge(con, compiled, opened.batch.relation, table)
            opened.batch.when_read(verdict.received)
            is_mended = opened.mend()
            if is_mended:
                con.execute(f"DROP TABLE {ident(table)}")
                compiled = _compile(landing.dataset, opened.batch)
                verdict = judge(con, compiled, opened.batch.relation, table)
            fragments, shifted = _count_fragments(con, landing, opened, table)
        except duckdb.Error as error:
            raise _unreadable(item, error) from error
        if raw:
            keep(raw, item, opened.batch.content_hash, landing.identity.run_id)
        if not opened.still_the_same():
            raise changed_while_read(item)
        notes = list(opened.batch.notes)
        if not verdict.received and not fragments:
            notes.append("it has a header and no records")
        ignores = landing.dataset.contract.unexpected_columns is UnexpectedColumns.IGNORE
        if ignores and compiled.unexpected:
            notes.append(f"left out the columns {', '.join(compiled.unexpected)}")
        file = ReadFile(
            item=item,
            file_id=file_id,
            version=version,
            content_hash=opened.batch.content_hash,
            compiled=compiled,
            verdict=verdict,
            fragments=fragments,
            shifted=shifted,
            notes=tuple(notes),
            broken={},
            is_mended=is_mended,
        )
        _quarantine(con, landing, file, opened)
        return file
    except BaseException:
        con.execute(f"DROP TABLE IF EXISTS {ident(table)}")
        raise
    finally:
        opened.close()
        _empty(scratch)


def _compile(dataset: SourceDataset, batch: Batch) -> Compiled:
    contract = dataset.contract
    malformed = [
        Check(kind.code, f"coalesce({kind.broken}, FALSE)", Remedy.QUARANTINE, REASONS[kind.code])
        for kind in batch.malformed
    ]
    compiled = compile_contract(
        contract,
        batch.fields,
        otherwise=Remedy.QUARANTINE,
        hidden=batch.hidden,
        malformed=malformed,
    )
    needed = [name for name in compiled.missing if is_needed(contract, name)]
    if needed and batch.fields:
        wanted = [contract.columns[name].from_ or name for name in needed]
        raise FileRefused(
            f"the file has no column {', '.join(repr(name) for name in wanted)}, "
            f"which the contract of {dataset.name} requires",
            where=batch.item.path,
            hint=f"its columns: {', '.join(list(batch.fields)[:20])}",
        )
    if compiled.unexpected and contract.unexpected_columns is UnexpectedColumns.FAIL:
        raise FileRefused(
            f"the file has columns that the contract of {dataset.name} does not name: "
            f"{', '.join(compiled.unexpected[:20])}",
            where=batch.item.path,
            hint="add them to the contract, or set `unexpected_columns: keep`",
        )
    reserved = [n for n, _ in compiled.columns if n in compiled.clashes or n.lower() in _OURS]
    if reserved:
        raise FileRefused(
            f"the file has a column {reserved[0]!r}, a name that Headwater uses itself",
            where=batch.item.path,
            hint="give it another name with `from:`, or set `unexpected_columns: ignore`",
        )
    return compiled


_OURS = {*ORIGIN_COLUMNS, "_row", "_shift", *HELPERS}


def _unreadable(item: Item, error: duckdb.Error) -> HeadwaterError:
    folded = str(error).lower()
    if any(word in folded for word in DISK_WORDS):
        return HeadwaterError(
            "there is not enough disk or memory to read the file",
            where=item.path,
            hint="free some space, or raise memory_limit in headwater.yaml; nothing was committed",
        )
    # DuckDB's message may quote the row, so it stays in the cause.
    return FileRefused(
        "the file cannot be parsed",
        where=item.path,
        hint="state how it is written: `format:` and `dialect: {delimiter, quote, escape}`",
    )


def _count_fragments(
    con: duckdb.DuckDBPyConnection, landing: Landing, opened: OpenItem, table: str
) -> tuple[int, str]:
    """How many fragments the file has, and the temp table that says from which row on how many
    of them stand before it ("" without any)."""
    fragments, shifts = f"{table}_fragments", f"{table}_shifts"
    landing.temp_tables += [fragments, shifts]
    count = opened.fragments(fragments)
    if not count:
        return 0, ""
    con.execute(
        f"CREATE TEMP TABLE {ident(shifts)} AS SELECT record - nth AS from_row, max(nth) AS shift "
        "FROM (SELECT record, row_number() OVER (ORDER BY record) AS nth "
        f"FROM {ident(fragments)}) GROUP BY from_row"
    )
    return count, shifts


def _quarantine(
    con: duckdb.DuckDBPyConnection, landing: Landing, file: ReadFile, opened: OpenItem
) -> None:
    """Add the file's quarantined records to the step's quarantine, with their original text."""
    landed = file.verdict.count(Fate.LANDED)
    if file.verdict.received + file.fragments == landed and not file.verdict.warned:
        return
    table = file.verdict.table
    explained, rejected = f"{table}_explained", f"{table}_rejected"
    landing.temp_tables += [explained, rejected]
    explain(con, file.compiled, table, explained)
    file.broken.update(count_reasons(con, explained))
    con.execute(
        f"CREATE TEMP TABLE {ident(rejected)} AS "
        f"SELECT {record_number(file)} AS record, {_causes(file)} AS reasons, "
        f"CAST(to_json(b._raw) AS VARCHAR) AS content, {_fields(opened.batch)} AS fields "
        f"FROM {numbered(file)} b JOIN {ident(explained)} e ON b._row = e._id "
        f"WHERE e._fate = {Fate.QUARANTINED.value}"
    )
    if file.fragments:
        fragments = ident(f"{table}_fragments")
        con.execute(
            f"INSERT INTO {ident(rejected)} SELECT record, [code], content, NULL FROM {fragments}"
        )
        counts = con.execute(f"SELECT code, count(*) FROM {fragments} GROUP BY code").fetchall()
        file.broken.update(counts)
    _add_to_quarantine(con, landing, file, opened, rejected)


def _fields(batch: Batch) -> str:
    """SQL for the input's fields of an explained row as a JSON object; NULL where it could not be
    read into fields."""
    if not batch.fields:
        return "NULL"
    picked = ", ".join(
        f"{ident(name)} := struct_extract(b._raw, {literal(name)})" for name in batch.fields
    )
    unread = ", ".join(literal(kind.code) for kind in batch.malformed)
    packed = f"CAST(to_json(struct_pack({picked})) AS VARCHAR)"
    if not unread:
        return packed
    return f"CASE WHEN NOT list_has_any(e.reasons, [{unread}]) THEN {packed} END"


def _causes(file: ReadFile) -> str:
    """The reasons of an explained row without those that would only have warned."""
    mild = [c.code for c in file.compiled.checks if c.remedy is Remedy.WARN]
    if not mild:
        return "e.reasons"
    codes = ", ".join(literal(code) for code in mild)
    return f"list_filter(e.reasons, lambda code: code NOT IN ({codes}))"


def _add_to_quarantine(
    con: duckdb.DuckDBPyConnection,
    landing: Landing,
    file: ReadFile,
    opened: OpenItem,
    rejected: str,
) -> None:
    """Put the rows of `rejected` (record, reasons, content, fields) into the step's quarantine,
    with their lines and original text where the file has such."""
    _make_quarantine(con, landing)
    texts = f"{rejected}_texts"
    landing.temp_tables.append(texts)
    con.execute(f"CREATE TEMP TABLE {ident(texts)} (record BIGINT, line BIGINT, content VARCHAR)")
    opened.originals(_sorted_records(con, rejected), texts)
    con.execute(
        f"INSERT INTO {ident(landing.quarantine_table)} "
        f"SELECT {file.file_id}, {literal(_version(file))}, r.record, t.line, "
        f"{literal(file.item.path)}, r.reasons, "
        f"coalesce(t.content, r.content), r.fields FROM {ident(rejected)} r "
        f"LEFT JOIN {ident(texts)} t ON r.record = t.record"
    )


def _version(file: ReadFile) -> str:
    """What a quarantined row's id says of its file's version: nothing for the first."""
    return f".{file.version}" if file.version > 1 else ""


def _sorted_records(con: duckdb.DuckDBPyConnection, table: str) -> array[int]:
    """The record numbers of a table, ascending; 8 bytes each."""
    found = array("q")
    result = con.execute(f"SELECT record FROM {ident(table)} ORDER BY record")
    while part := result.fetchmany(10_000):
        found.extend(row[0] for row in part)
    return found


def _make_quarantine(con: duckdb.DuckDBPyConnection, landing: Landing) -> None:
    if landing.quarantine_table:
        return
    landing.quarantine_table = f"quarantine_{landing.identity.step}"
    landing.temp_tables.append(landing.quarantine_table)
    con.execute(
        f"CREATE TEMP TABLE {ident(landing.quarantine_table)} "
        "(file_id BIGINT, version VARCHAR, record BIGINT, line BIGINT, path VARCHAR, "
        "reasons VARCHAR[], content VARCHAR, fields VARCHAR)"
    )


def _refuse_failed_rows(landing: Landing) -> None:
    failed = landing.sum(Fate.FAILED)
    if not failed:
        return
    meanings = {c.code: c for file in landing.files for c in file.compiled.checks}
    codes = [
        f"{code} ({counted(count, 'row')})"
        for code, count in landing.broken.items()
        if code in meanings and meanings[code].remedy is Remedy.FAIL
    ]
    raise ContractBroken(
        f"{counted(failed, 'row')} break {', '.join(codes)}",
        where=str(landing.identity.dataset),
        hint="mend the input, or choose another remedy: otherwise: quarantine",
    )


def _set_columns(landing: Landing) -> None:
    """The table's columns: the contract's, those kept from any file so far, the origin."""
    ours = landing.dataset.validity
    columns: dict[str, Type] = {
        name: column.type for name, column in landing.dataset.contract.columns.items()
    }
    for name, stored in landing.identity.there.items():
        if name not in ORIGIN_COLUMNS and name not in ours:
            columns.setdefault(name, parse_type(stored))
    folded = {name.lower(): name for name in columns}
    for file in landing.files:
        for name, kind in file.compiled.columns:
            there = folded.setdefault(name.lower(), name)
            if columns.setdefault(there, kind) != kind:
                raise ContractBroken(
                    f"the column {name!r} is {kind.sql} here and {columns[there].sql} in the "
                    "files before",
                    where=file.item.path,
                    hint=f"give it a type in the contract: {name}: {{type: …}}",
                )
    columns.update(landing.dataset.validity)
    columns["_file_id"] = ORIGIN_COLUMNS["_file_id"]
    if landing.dataset.definition.origin is Origin.RECORD:
        columns["_record"] = ORIGIN_COLUMNS["_record"]
    landing.columns = columns


def _look_across(lake: Lake, landing: Landing, scratch: Path) -> None:
    """Find the rows that break rules across rows, and do with them what those say."""
    con, rules = lake.con, landing.across
    names = columns_of(rules)
    row_id = unused("_id", names)
    rows = " UNION ALL ".join(
        f"SELECT {_across(landing, file, names)}, "
        f"{file.file_id} * 1000000000000 + {file.verdict.row} AS {ident(row_id)} "
        f"FROM {ident(file.verdict.table)} WHERE _fate = {Fate.LANDED.value}"
        for file in landing.files
    )
    codes, table = (f"{word}_{landing.identity.step}" for word in ("broken_across", "aside_ids"))
    aside_table = f"aside_{landing.identity.step}"
    landing.temp_tables += [codes, table, aside_table]
    aside = look_across(con, rules, f"({rows})", _rows_that_stay(landing), row_id, (codes, table))
    if aside is None:
        return
    _refuse_across(landing, rules, aside.broken)
    landing.aside_table = aside_table
    con.execute(
        f"CREATE TEMP TABLE {ident(aside_table)} AS SELECT _id // 1000000000000 AS file_id, "
        f"_id % 1000000000000 AS _row, reasons, _fate FROM {ident(table)}"
    )
    fates: dict[int, dict[Fate, int]] = {}
    broken: dict[int, dict[str, int]] = {}
    for file_id, fate, count in con.execute(
        f"SELECT file_id, _fate, count(*) FROM {ident(aside_table)} GROUP BY ALL"
    ).fetchall():
        fates.setdefault(file_id, {})[Fate(fate)] = count
    left_out = Fate.DEDUPLICATED.value
    for file_id, code, count in con.execute(
        f"SELECT _id // 1000000000000 AS file_id, code, count(*) FROM {ident(codes)} "
        f"WHERE _fate <> {left_out} GROUP BY ALL ORDER BY ALL"
    ).fetchall():
        broken.setdefault(file_id, {})[code] = count
    for number, file in enumerate(landing.files):
        mine = fates.get(file.file_id, {})
        if mine.get(Fate.QUARANTINED):
            _quarantine_aside(con, landing, file, scratch)
        landing.files[number] = replace(
            file, aside=mine, broken={**file.broken, **broken.get(file.file_id, {})}
        )


def _across(landing: Landing, file: ReadFile, names: Sequence[str]) -> str:
    """The columns that rules across rows look at, as a file has them."""
    there = {name.lower(): name for name, _ in file.compiled.columns}
    kinds = {name.lower(): kind for name, kind in landing.columns.items()}
    return ", ".join(
        f"{ident(there[name.lower()])} AS {ident(name)}"
        if name.lower() in there
        else f"CAST(NULL AS {kinds[name.lower()].sql}) AS {ident(name)}"
        for name in names
    )


def _refuse_across(
    landing: Landing, rules: Sequence[AcrossRule], broken: Mapping[str, int]
) -> None:
    failing = [rule for rule in rules if rule.fate is Fate.FAILED and rule.code in broken]
    if not failing:
        return
    faults = [f"{counted(broken[rule.code], 'row')} {_fault(rule)}" for rule in failing]
    hint = "mend the input, or choose another remedy: otherwise: quarantine"
    if any(rule.code == "key.duplicate" for rule in failing):
        hint = "choose what to do with them: on_duplicate: keep first, or quarantine"
    raise ContractBroken("; ".join(faults), where=str(landing.identity.dataset), hint=hint)


def _fault(rule: AcrossRule) -> str:
    """What rows do that break a rule."""
    if rule.code == "key.duplicate":
        return f"repeat the key ({', '.join(rule.columns)})"
    return f"break {rule.code} ({rule.must})"


def _rows_that_stay(landing: Landing) -> str | None:
    """The rows of the table that this landing leaves where they are, as SQL."""
    position, intake = landing.identity.expected, landing.intake
    if position is None or intake.manner is Manner.WHOLE:
        return None
    files = [str(file.file_id) for file in landing.withdrawn]
    rows = at(position)
    return f"(SELECT * FROM {rows} WHERE _file_id NOT IN ({', '.join(files)}))" if files else rows


def _quarantine_aside(
    con: duckdb.DuckDBPyConnection, landing: Landing, file: ReadFile, scratch: Path
) -> None:
    """Add the rows of a file that rules across rows send to quarantine. What the input had there
    is read from it again: a row that could have landed does not carry it along."""
    rejected = f"{file.verdict.table}_aside"
    landing.temp_tables.append(rejected)
    opened = open_item(con, file.item, landing.dataset.definition, scratch)
    try:
        if opened.batch.content_hash != file.content_hash:
            raise changed_while_read(file.item)
        if file.is_mended:
            _mend_again(con, opened)
        batch = opened.batch
        raw = ", ".join(f"{ident(name)} := i.{ident(name)}" for name in batch.fields)
        packed = f"CAST(to_json(struct_pack({raw})) AS VARCHAR)" if raw else "NULL"
        number = unused("_number", [*batch.fields, *batch.hidden])
        con.execute(
            f"CREATE TEMP TABLE {ident(rejected)} AS SELECT b.record, a.reasons, "
            f"{packed} AS content, {packed} AS fields FROM (SELECT *, row_number() OVER () - 1 "
            f"AS {ident(number)} FROM {batch.relation}) i JOIN {ident(landing.aside_table)} a "
            f"ON i.{ident(number)} = a._row AND a.file_id = {file.file_id} "
            f"AND a._fate = {Fate.QUARANTINED.value} JOIN (SELECT _row AS place, "
            f"{record_number(file)} AS record FROM {numbered(file)}) b ON b.place = a._row"
        )
        _add_to_quarantine(con, landing, file, opened, rejected)
    finally:
        opened.close()
        _empty(scratch)


def _mend_again(con: duckdb.DuckDBPyConnection, opened: OpenItem) -> None:
    """Bring a file that was opened anew to where it is numbered as it was when it was read."""
    # What the reader refused is known when the query has ended: after the last row is fetched.
    counts = f"SELECT count(*), count(COLUMNS(*)) FROM {opened.batch.relation}"
    (row,) = con.execute(counts).fetchall()
    opened.batch.when_read(row[0])
    opened.mend()


def _empty(scratch: Path) -> None:
    for path in scratch.glob("*"):
        path.unlink(missing_ok=True)
