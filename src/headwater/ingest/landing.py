"""A landing step between its phases: what was read of which file, and how it is written."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from headwater.contract.across import AcrossRule
from headwater.contract.compile import Compiled, Fate
from headwater.contract.contract import Remedy
from headwater.contract.types import Type
from headwater.engine.judge import Verdict
from headwater.errors import FileRefused
from headwater.ingest.intake import Intake
from headwater.ingest.writing import FATE, SEQ, THERE, TURN, Change
from headwater.lake.checks import broken_rules
from headwater.lake.commit import Commit, now
from headwater.lake.lake import Lake
from headwater.lake.ledger import Ledger
from headwater.lake.state import LandedFile, Position
from headwater.lake.step import StepIdentity, give_way_if_moved, record
from headwater.names import DatasetName
from headwater.project.definitions import ORIGIN_COLUMNS, Origin, SourceDataset
from headwater.sources.batch import Item
from headwater.sql.quote import columns as column_list
from headwater.sql.quote import ident, literal


@dataclass(frozen=True, kw_only=True)
class ReadFile:
    """One file, judged.

    version     1, or how often a file was landed from this path under this id.
    fragments   how many pieces of it are no records.
    shifted     the temp table that tells how many of them stand before a row; "" without any.
    broken      rule -> rows that broke it.
    aside       what became of rows that could land by themselves, but break rules across rows.
    is_mended   whether its reader had to read it in another way than at first.
    """

    item: Item
    file_id: int
    version: int
    content_hash: str
    compiled: Compiled
    verdict: Verdict
    fragments: int
    shifted: str
    notes: tuple[str, ...]
    broken: dict[str, int]
    aside: Mapping[Fate, int] = field(default_factory=dict)
    is_mended: bool = False

    def count(self, fate: Fate) -> int:
        """How many of its rows a fate has, across rows looked at too."""
        return self.verdict.count(fate) + self.aside.get(fate, 0)

    @property
    def landed(self) -> int:
        return self.verdict.count(Fate.LANDED) - sum(self.aside.values())


@dataclass
class Landing:
    """A landing step between its phases. See `ComputedStep`.

    inputs          where the datasets stand that it refers to.
    across          its rules across rows.
    aside_table     the temp table of the rows that those keep from landing: `file_id`, `_row`,
                    `reasons`, `_fate`; "" without any.
    changes_table   the temp table of what changes in the built table (`writing.py`); "" where
                    rows are only added.
    changes         how many rows of each kind it has.
    incoming        how many rows came to be compared.
    """

    identity: StepIdentity
    dataset: SourceDataset
    intake: Intake
    inputs: dict[DatasetName, Position] = field(default_factory=dict)
    awaiting: tuple[DatasetName, ...] = ()
    across: tuple[AcrossRule, ...] = ()
    files: list[ReadFile] = field(default_factory=list)
    refused: list[tuple[Item, FileRefused]] = field(default_factory=list)
    columns: dict[str, Type] = field(default_factory=dict)
    quarantine_table: str = ""
    aside_table: str = ""
    changes_table: str = ""
    changes: dict[Change, int] = field(default_factory=dict)
    incoming: int = 0
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
        of_rows = {c.code: c.remedy for file in self.files for c in file.compiled.checks}
        return {**of_rows, **{rule.code: rule.remedy for rule in self.across if rule.remedy}}

    @property
    def withdrawn(self) -> tuple[LandedFile, ...]:
        """What was landed before of the files that were read again, and of those that are gone:
        it is all said anew."""
        before = self.intake.before
        again = [before[file.item.path] for file in self.files if file.item.path in before]
        return (*again, *self.intake.gone)

    def sum(self, fate: Fate) -> int:
        """How many rows a fate has, over all files."""
        return sum(file.count(fate) for file in self.files)

    # ---- apply

    def apply(self, commit: Commit) -> tuple[Ledger, Position]:
        """See `ComputedStep`."""
        give_way_if_moved(commit, self.identity)
        table = self.identity.table
        before = commit.count(table) if self.identity.expected else 0
        written = self._write_rows(commit)
        self._withdraw_quarantine(commit)
        updated = self.changes.get(Change.UPDATED, 0)
        unchanged = self.changes.get(Change.UNCHANGED, 0)
        landed = self.changes.get(Change.LANDED, 0) if self.changes_table else written
        repeated = self.incoming - landed - updated - unchanged if self.changes_table else 0
        ledger = Ledger(
            dataset=self.identity.dataset,
            received=sum(file.verdict.received + file.fragments for file in self.files),
            landed=landed,
            updated=updated,
            unchanged=unchanged,
            deduplicated=self.sum(Fate.DEDUPLICATED) + repeated,
            removed=self.changes.get(Change.REMOVED, 0),
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
        position = record(
            commit,
            self.identity,
            ledger,
            columns=self.types,
            inputs=self.inputs,
            definition=json.dumps(self.dataset.definition.model_dump(mode="json"), default=str),
            is_changed=bool(written or ledger.removed)
            or self.types.keys() != self.identity.there.keys(),
        )
        return ledger, position

    @property
    def types(self) -> dict[str, str]:
        return {name: kind.sql for name, kind in self.columns.items()}

    def _write_rows(self, commit: Commit) -> int:
        """Bring the table to where it shall be; returns how many rows were written."""
        table = self.identity.table
        if self.identity.expected is None:
            commit.create_empty(table, self.types)
        else:
            commit.add_columns(table, self.types, self.identity.there)
        if self.changes_table:
            commit.remove(table, self._rows_that_go())
        if self.prewritten:
            commit.register_file(table, self.prewritten)
            return self.row_count
        return commit.append(table, list(self.columns), self.rows_to_write())

    def rows_to_write(self) -> str:
        """The rows that are written, with the table's columns."""
        if not self.changes_table:
            return self.rows_sql()
        origin = [name for name in self.columns if name in ORIGIN_COLUMNS]
        return (
            f"SELECT {column_list(self.columns)} FROM {ident(self.changes_table)} "
            f"WHERE {_is_any(c for c in Change if c.is_written)} ORDER BY {column_list(origin)}"
        )

    def _rows_that_go(self) -> str:
        return (
            f"SELECT {ident(THERE)} FROM {ident(self.changes_table)} "
            f"WHERE {_is_any(c for c in Change if c.takes_a_row)}"
        )

    def incoming_sql(self) -> str:
        """The rows that came, of all files, as `writing.py` wants them."""
        return " UNION ALL BY NAME ".join(
            self._file_rows(
                file, f"{turn} * 1000000000000 + _row AS {ident(SEQ)}", f"{turn} AS {ident(TURN)}"
            )
            for turn, file in enumerate(self.files)
        )

    def rows_sql(self) -> str:
        """The rows that land, of all files."""
        return " UNION ALL BY NAME ".join(self._file_rows(file) for file in self.files)

    def _file_rows(self, file: ReadFile, *more: str) -> str:
        names = [ident(name) for name, _ in file.compiled.columns]
        picked = [*names, f"CAST({file.file_id} AS BIGINT) AS _file_id"]
        if self.dataset.definition.origin is Origin.RECORD:
            picked.append(f"{record_number(file)} AS _record")
        picked += more
        source = numbered(file)
        wanted = f"_fate = {Fate.LANDED.value}"
        if file.aside:
            gone = f"SELECT _row FROM {ident(self.aside_table)} WHERE file_id = {file.file_id}"
            wanted += f" AND _row NOT IN ({gone})"
        return f"SELECT {', '.join(picked)} FROM {source} WHERE {wanted}"

    def _write_quarantine(self, commit: Commit) -> int:
        if not self.quarantine_table:
            return 0
        name = literal(str(self.identity.dataset))
        return commit.insert_state(
            "quarantine",
            "SELECT "
            f"{name} || '/' || file_id || version || '/' || record, {name}, "
            f"{literal(self.identity.table)}, reasons, path, "
            f"line, file_id, record, content, fields, {literal(self.identity.run_id)}, "
            f"{self.identity.step}, {literal(now())} "
            f"FROM {ident(self.quarantine_table)} ORDER BY file_id, record",
        )

    def _withdraw_quarantine(self, commit: Commit) -> None:
        """What was rejected of files that are read again, or are gone, counts no more."""
        files = [str(file.file_id) for file in self.withdrawn if file.file_id is not None]
        if files:
            i = self.identity
            which = f"file_id IN ({', '.join(files)})"
            commit.end_quarantine(i.dataset, i.table, which, "withdrawn", i.run_id, i.step)

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
                "version": file.version,
                "path": file.item.path,
                "status": "landed",
                "reason": "; ".join(file.notes) or None,
                "size_bytes": file.item.size_bytes,
                "modified_at": file.item.modified_at,
                "content_hash": file.content_hash,
                "records": file.verdict.received + file.fragments,
                "landed": file.landed,
                "quarantined": file.count(Fate.QUARANTINED) + file.fragments,
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
        rows += [
            {
                **common,
                "file_id": file.file_id,
                "path": file.path,
                "status": "gone",
                "reason": "it is not there any more",
                "size_bytes": file.size_bytes,
                "modified_at": file.modified_at,
            }
            for file in self.intake.gone
        ]
        commit.note("files", rows)

    def _write_checks(self, commit: Commit) -> None:
        remedies = self.remedies
        moment = now()
        # That a rule holds is recorded where it did not before: a row for each rule of each
        # landing would soon be most of what the lake keeps.
        before = set() if self.identity.is_first else broken_rules(commit, self.identity.dataset)
        mended = before & remedies.keys()
        counts = {**dict.fromkeys(sorted(mended), 0), **self.broken}
        commit.note(
            "checks",
            [
                {
                    "run_id": self.identity.run_id,
                    "step": self.identity.step,
                    "dataset": str(self.identity.dataset),
                    "check_name": code,
                    "remedy": remedies.get(code, Remedy.QUARANTINE).value,
                    "status": "broken" if count else "held",
                    "failed_rows": count,
                    "checked_at": moment,
                }
                for code, count in counts.items()
            ],
        )

    def discard(self, lake: Lake) -> None:
        """See `ComputedStep`."""
        for table in self.temp_tables:
            lake.con.execute(f"DROP TABLE IF EXISTS {ident(table)}")
        self.temp_tables.clear()


def _is_any(changes: Iterable[Change]) -> str:
    return f"{ident(FATE)} IN ({', '.join(str(change.value) for change in changes)})"


def numbered(file: ReadFile) -> str:
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


def record_number(file: ReadFile) -> str:
    return "CAST(_row + 1 + _shift AS BIGINT)"
