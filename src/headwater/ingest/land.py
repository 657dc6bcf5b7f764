"""Landing files: each is read once under its contract, and every record is accounted for.

Compute: each file becomes a judged temp table; the rows that land, the records that do not and
their original text are worked out. Apply: all of it is written in one commit, with the file
list and the ledger. A file that cannot be read is refused by name and stops no other.

Memory: DuckDB's memory limit, and what does not fit goes to disk; in Python, one block of a
file and 20,000 quarantined records.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import duckdb

from headwater.contract.compile import Check, Compiled, Fate, compile_contract, is_needed, unused
from headwater.contract.contract import OnDuplicate, Remedy, UnexpectedColumns
from headwater.contract.types import Type, parse_type
from headwater.engine.bind import ORIGIN_COLUMNS
from headwater.engine.judge import (
    Verdict,
    count_reasons,
    explain,
    judge,
    repeated_keys,
)
from headwater.errors import ContractBroken, FileRefused, HeadwaterError, counted
from headwater.lake.commit import Commit, at, now
from headwater.lake.lake import Lake
from headwater.lake.ledger import Ledger
from headwater.lake.locks import unwritable
from headwater.lake.state import LandedFile
from headwater.lake.step import (
    PREWRITTEN_ROWS,
    StepIdentity,
    give_way_if_moved,
    record,
    write_ahead,
)
from headwater.names import DatasetName
from headwater.project.definitions import Origin, SourceDataset
from headwater.sources.batch import REASONS, Batch, Item, OpenItem
from headwater.sources.files.connector import open_file
from headwater.sql.quote import ident, literal

DISK_WORDS = ("no space left", "disk is full", "file too large", "out of disk", "out of memory")


@dataclass(frozen=True, kw_only=True)
class ReadFile:
    """One file, judged.

    fragments   how many pieces of it are no records.
    shifted     the temp table that tells how many of them stand before a row; "" without any.
    broken      rule -> rows that broke it.
    repeats     rows whose key was there before.
    is_mended   whether its reader had to read it in another way than at first.
    """

    item: Item
    file_id: int
    content_hash: str
    compiled: Compiled
    verdict: Verdict
    fragments: int
    shifted: str
    notes: tuple[str, ...]
    broken: dict[str, int]
    repeats: int = 0
    is_mended: bool = False


@dataclass
class Landing:
    """A landing step between its phases. See `ComputedStep`."""

    identity: StepIdentity
    dataset: SourceDataset
    awaiting: tuple[DatasetName, ...] = ()
    files: list[ReadFile] = field(default_factory=list)
    refused: list[tuple[Item, FileRefused]] = field(default_factory=list)
    columns: dict[str, Type] = field(default_factory=dict)
    quarantine_table: str = ""
    repeats_table: str = ""
    deduplicated: int = 0
    prewritten: Path | None = None
    row_count: int = 0
    notes: list[str] = field(default_factory=list)
    temp_tables: list[str] = field(default_factory=list)

    # ---- what it says

    @property
    def broken(self) -> dict[str, int]:
        """Reason -> rows, over all files."""
        found: dict[str, int] = {}
        for file in self.files:
            for reason, count in file.broken.items():
                found[reason] = found.get(reason, 0) + count
        return found

    @property
    def remedies(self) -> dict[str, Remedy]:
        """Rule -> its remedy."""
        return {c.code: c.remedy for file in self.files for c in file.compiled.checks}

    def sum(self, fate: Fate) -> int:
        return sum(file.verdict.count(fate) for file in self.files)

    # ---- apply

    def apply(self, commit: Commit) -> Ledger:
        """See `ComputedStep`."""
        give_way_if_moved(commit, self.identity)
        table = self.identity.table
        before = commit.count(table) if self.identity.expected else 0
        landed = self._append(commit)
        ledger = Ledger(
            dataset=self.identity.dataset,
            received=sum(file.verdict.received + file.fragments for file in self.files),
            landed=landed,
            deduplicated=self.deduplicated,
            dropped=self.sum(Fate.DROPPED),
            quarantined=self._write_quarantine(commit),
            rows_before=before,
            rows_after=commit.count(table),
            nulled=sum(file.verdict.nulled for file in self.files),
            defaulted=sum(file.verdict.defaulted for file in self.files),
            clipped=sum(file.verdict.clipped for file in self.files),
        )
        self._write_files(commit)
        self._write_checks(commit)
        record(
            commit,
            self.identity,
            ledger,
            columns=self.types,
            inputs={},
            definition=json.dumps(self.dataset.definition.model_dump(mode="json"), default=str),
        )
        return ledger

    @property
    def types(self) -> dict[str, str]:
        return {name: kind.sql for name, kind in self.columns.items()}

    def _append(self, commit: Commit) -> int:
        table = self.identity.table
        if self.identity.expected is None:
            commit.create_empty(table, self.types)
        else:
            commit.add_columns(table, self.types, self.identity.there)
        if self.prewritten:
            commit.register_file(table, self.prewritten)
            return self.row_count
        return commit.append(table, list(self.columns), self.rows_sql())

    def rows_sql(self) -> str:
        """The rows that land, of all files."""
        return " UNION ALL BY NAME ".join(self._file_rows(file) for file in self.files)

    def _file_rows(self, file: ReadFile) -> str:
        names = [ident(name) for name, _ in file.compiled.columns]
        picked = [*names, f"CAST({file.file_id} AS BIGINT) AS _file_id"]
        if self.dataset.definition.origin is Origin.RECORD:
            picked.append(f"{_record(file)} AS _record")
        source = _numbered(file)
        wanted = f"_fate = {Fate.LANDED.value}"
        if self.repeats_table and file.repeats:
            gone = f"SELECT _row FROM {ident(self.repeats_table)} WHERE file_id = {file.file_id}"
            wanted += f" AND _row NOT IN ({gone})"
        return f"SELECT {', '.join(picked)} FROM {source} WHERE {wanted}"

    def _write_quarantine(self, commit: Commit) -> int:
        if not self.quarantine_table:
            return 0
        name = literal(str(self.identity.dataset))
        sql = (
            "INSERT INTO lake.headwater.quarantine SELECT "
            f"{name} || '/' || file_id || '/' || record, {name}, "
            f"{literal(self.identity.table)}, reasons, path, "
            f"line, file_id, record, content, {literal(self.identity.run_id)}, "
            f"{self.identity.step}, {literal(now())} "
            f"FROM {ident(self.quarantine_table)} ORDER BY file_id, record"
        )
        row = commit.con.execute(sql).fetchone()
        return int(row[0]) if row else 0

    def _write_files(self, commit: Commit) -> None:
        moment = now()
        common = {
            "dataset": str(self.identity.dataset),
            "built_table": self.identity.table,
            "run_id": self.identity.run_id,
            "step": self.identity.step,
            "seen_at": moment,
        }
        rows = [
            {
                **common,
                "file_id": file.file_id,
                "path": file.item.path,
                "status": "landed",
                "reason": "; ".join(file.notes) or None,
                "size_bytes": file.item.size_bytes,
                "modified_at": file.item.modified_at,
                "content_hash": file.content_hash,
                "records": file.verdict.received + file.fragments,
                "landed": file.verdict.count(Fate.LANDED) - file.repeats,
                "quarantined": file.verdict.count(Fate.QUARANTINED)
                + file.fragments
                + (0 if self.deduplicated else file.repeats),
            }
            for file in self.files
        ]
        rows += [
            {
                **common,
                "path": item.path,
                "status": "refused",
                "reason": error.message,
                "size_bytes": item.size_bytes,
                "modified_at": item.modified_at,
            }
            for item, error in self.refused
        ]
        commit.note("files", rows)

    def _write_checks(self, commit: Commit) -> None:
        remedies = self.remedies
        moment = now()
        commit.note(
            "checks",
            [
                {
                    "run_id": self.identity.run_id,
                    "step": self.identity.step,
                    "dataset": str(self.identity.dataset),
                    "check_name": code,
                    "remedy": remedies.get(code, Remedy.QUARANTINE).value,
                    "status": "broken",
                    "failed_rows": count,
                    "checked_at": moment,
                }
                for code, count in self.broken.items()
            ],
        )

    def discard(self, lake: Lake) -> None:
        """See `ComputedStep`."""
        for table in self.temp_tables:
            lake.con.execute(f"DROP TABLE IF EXISTS {ident(table)}")
        self.temp_tables.clear()


def _numbered(file: ReadFile) -> str:
    """The judged table with each row's place (`_row`, from 0) and how many fragments stand
    before it (`_shift`)."""
    row = file.verdict.row
    number = "" if row == "_row" else f", {row} AS _row"
    rows = f"(SELECT *{number} FROM {ident(file.verdict.table)})"
    if not file.shifted:
        return f"(SELECT *, 0 AS _shift FROM {rows})"
    return (
        f"(SELECT r.*, coalesce(s.shift, 0) AS _shift FROM {rows} r "
        f"ASOF LEFT JOIN {ident(file.shifted)} s ON r._row >= s.from_row)"
    )


def _record(file: ReadFile) -> str:
    return "CAST(_row + 1 + _shift AS BIGINT)"


# ---- compute -------------------------------------------------------------------------------


def land(
    lake: Lake,
    identity: StepIdentity,
    dataset: SourceDataset,
    items: Sequence[Item],
    landed: Iterable[LandedFile],
    progress: Callable[[str], None] = lambda _: None,
) -> Landing:
    """Read `items` under the dataset's contract: the compute phase of a landing step.

    landed   the files that this built table holds already.

    Raises ContractBroken where rows break a rule whose remedy is `fail`; a file that cannot be
    read is in the landing's `refused`.
    """
    landing = Landing(identity, dataset)
    known = {file.content_hash: file.path for file in landed if file.status == "landed"}
    next_id = 1 + max((file.file_id or 0 for file in landed), default=0)
    scratch = lake.folder / "tmp" / identity.run_id
    try:
        scratch.mkdir(parents=True, exist_ok=True)
        for item in items:
            progress(item.path)
            try:
                file = _read_file(lake.con, landing, item, next_id, scratch)
            except FileRefused as refused:
                landing.refused.append((item, refused))
                continue
            if other := known.get(file.content_hash):
                landing.notes.append(f"{item.path} has the same content as {other}")
            known[file.content_hash] = item.path
            landing.files.append(file)
            next_id += 1
        _refuse_failed_rows(landing)
        _set_columns(landing)
        if dataset.contract.key and landing.files:
            _find_repeats(lake, landing, scratch)
        landing.row_count = landing.sum(Fate.LANDED) - sum(f.repeats for f in landing.files)
        if landing.row_count > PREWRITTEN_ROWS:
            landing.prewritten = write_ahead(lake, identity, _ordered(landing))
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


def _ordered(landing: Landing) -> str:
    names = ", ".join(ident(name) for name in landing.columns)
    return f"SELECT {names} FROM ({landing.rows_sql()})"


def _drop_judged(lake: Lake, landing: Landing) -> None:
    for file in landing.files:
        lake.con.execute(f"DROP TABLE IF EXISTS {ident(file.verdict.table)}")


def _read_file(
    con: duckdb.DuckDBPyConnection, landing: Landing, item: Item, file_id: int, scratch: Path
) -> ReadFile:
    table = f"batch_{landing.identity.step}_{file_id}"
    opened = open_file(con, item, landing.dataset.definition, scratch)
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
        if not opened.still_the_same():
            raise FileRefused(
                "the file changed while it was read",
                where=item.path,
                hint="it is tried again by the next run; write it elsewhere and move it in",
            )
        notes = list(opened.batch.notes)
        if not verdict.received and not fragments:
            notes.append("it has a header and no records")
        ignores = landing.dataset.contract.unexpected_columns is UnexpectedColumns.IGNORE
        if ignores and compiled.unexpected:
            notes.append(f"left out the columns {', '.join(compiled.unexpected)}")
        file = ReadFile(
            item=item,
            file_id=file_id,
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


_OURS = {*ORIGIN_COLUMNS, "_row", "_shift"}


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
        f"SELECT {_record(file)} AS record, {_causes(file)} AS reasons, "
        "CAST(to_json(b._raw) AS VARCHAR) AS content "
        f"FROM {_numbered(file)} b JOIN {ident(explained)} e ON b._row = e._id "
        f"WHERE e._fate = {Fate.QUARANTINED.value}"
    )
    if file.fragments:
        fragments = ident(f"{table}_fragments")
        con.execute(
            f"INSERT INTO {ident(rejected)} SELECT record, [code], content FROM {fragments}"
        )
        counts = con.execute(f"SELECT code, count(*) FROM {fragments} GROUP BY code").fetchall()
        file.broken.update(counts)
    _add_to_quarantine(con, landing, file, opened, rejected)


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
    """Put the rows of `rejected` (record, reasons, content) into the step's quarantine, with
    their lines and original text where the file has such."""
    _make_quarantine(con, landing)
    texts = f"{rejected}_texts"
    landing.temp_tables.append(texts)
    con.execute(f"CREATE TEMP TABLE {ident(texts)} (record BIGINT, line BIGINT, content VARCHAR)")
    opened.originals(_sorted_records(con, rejected), texts)
    con.execute(
        f"INSERT INTO {ident(landing.quarantine_table)} "
        f"SELECT {file.file_id}, r.record, t.line, {literal(file.item.path)}, r.reasons, "
        f"coalesce(t.content, r.content) FROM {ident(rejected)} r "
        f"LEFT JOIN {ident(texts)} t ON r.record = t.record"
    )


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
        f"CREATE TEMP TABLE {ident(landing.quarantine_table)} (file_id BIGINT, record BIGINT, "
        "line BIGINT, path VARCHAR, reasons VARCHAR[], content VARCHAR)"
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
    columns: dict[str, Type] = {
        name: column.type for name, column in landing.dataset.contract.columns.items()
    }
    for name, stored in landing.identity.there.items():
        if name not in ORIGIN_COLUMNS:
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
    columns["_file_id"] = ORIGIN_COLUMNS["_file_id"]
    if landing.dataset.definition.origin is Origin.RECORD:
        columns["_record"] = ORIGIN_COLUMNS["_record"]
    landing.columns = columns


def _find_repeats(lake: Lake, landing: Landing, scratch: Path) -> None:
    """Find the rows whose key came before, and do with them what `on_duplicate` says."""
    contract, con = landing.dataset.contract, lake.con
    key = contract.key
    row_id = unused("_id", key)
    rows = " UNION ALL ".join(
        f"SELECT {', '.join(ident(name) for name in key)}, "
        f"{file.file_id} * 1000000000000 + {file.verdict.row} AS {ident(row_id)} "
        f"FROM {ident(file.verdict.table)} WHERE _fate = {Fate.LANDED.value}"
        for file in landing.files
    )
    existing = at(landing.identity.expected) if landing.identity.expected else None
    table = f"repeats_{landing.identity.step}"
    landing.temp_tables.append(table)
    con.execute(
        f"CREATE TEMP TABLE {ident(table)} AS SELECT _id // 1000000000000 AS file_id, "
        f"_id % 1000000000000 AS _row FROM ({repeated_keys(rows, key, existing, row_id)})"
    )
    counts = dict(
        con.execute(f"SELECT file_id, count(*) FROM {ident(table)} GROUP BY file_id").fetchall()
    )
    if not counts:
        return
    total = sum(counts.values())
    landing.repeats_table = table
    action = contract.on_duplicate or OnDuplicate.QUARANTINE
    if action is OnDuplicate.FAIL:
        raise ContractBroken(
            f"{total} rows repeat the key ({', '.join(key)})",
            where=str(landing.identity.dataset),
            hint="choose what to do with them: on_duplicate: keep first, or quarantine",
        )
    for number, file in enumerate(landing.files):
        if repeats := counts.get(file.file_id, 0):
            broken = dict(file.broken)
            if action is OnDuplicate.QUARANTINE:
                broken["key.duplicate"] = repeats
                _quarantine_repeats(con, landing, file, table, scratch)
            landing.files[number] = replace(file, repeats=repeats, broken=broken)
    if action is OnDuplicate.KEEP_FIRST:
        landing.deduplicated = total


def _quarantine_repeats(
    con: duckdb.DuckDBPyConnection, landing: Landing, file: ReadFile, repeats: str, scratch: Path
) -> None:
    rejected = f"{file.verdict.table}_repeats"
    landing.temp_tables.append(rejected)
    names = ", ".join(f"{ident(n)} := b.{ident(n)}" for n, _ in file.compiled.columns)
    con.execute(
        f"CREATE TEMP TABLE {ident(rejected)} AS SELECT {_record(file)} AS record, "
        f"['key.duplicate'] AS reasons, CAST(to_json(struct_pack({names})) AS VARCHAR) AS content "
        f"FROM {_numbered(file)} b "
        f"WHERE _row IN (SELECT _row FROM {ident(repeats)} WHERE file_id = {file.file_id})"
    )
    opened = open_file(con, file.item, landing.dataset.definition, scratch)
    try:
        if file.is_mended:
            _mend_again(con, opened)
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
