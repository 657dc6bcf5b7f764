"""CSV: every field is read as text; what it means is the contract's business.

The parse is strict: a line with too many or too few fields, with a broken quote or broken
UTF-8 is a fragment, never a guess. DuckDB numbers the lines that it refuses; the others keep
their order, so each record's number is known.

One fault DuckDB lets pass: fields beyond the header's that are empty. A file whose delimiters are
not as many as its records ask for is looked at again, and where such fields are found it is read
in another way: with one field more, and each one that a line does not have told from an empty one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import duckdb

from headwater.contract.columns import raw_field
from headwater.contract.compile import unused
from headwater.contract.types import VARCHAR, Type
from headwater.errors import FileRefused
from headwater.project.definitions import Dialect
from headwater.sources.batch import Batch, Item, Malformed
from headwater.sources.files import originals
from headwater.sources.files.detect import dialect_of, first_line, split
from headwater.sources.files.discover import unchanged
from headwater.sources.files.spool import Spooled, has_blank_lines, rewrite_lines
from headwater.sources.files.stray_quotes import MARK, mark_lines
from headwater.sql.quote import file_literal, ident, literal

_BOOLEAN = Type("BOOLEAN")
_NO_FIELD = "\x1a(no field)"
"""What stands for a field that a line does not have must be no text of a file. Where it is one
all the same, its line goes to quarantine."""
_CODES = {
    "MISSING COLUMNS": "line.too_few_fields",
    "TOO MANY COLUMNS": "line.too_many_fields",
    "UNQUOTED VALUE": "line.broken_quote",
    "LINE SIZE OVER MAXIMUM": "line.too_long",
    "INVALID ENCODING": "line.not_utf8",
    "INVALID STATE": "line.broken_quote",
}


class CsvFile:
    """One CSV file, open for reading."""

    def __init__(
        self,
        con: duckdb.DuckDBPyConnection,
        item: Item,
        spooled: Spooled,
        dialect: Dialect,
        expected: Sequence[str],
        scratch: Path,
    ) -> None:
        self.con, self.item, self.spooled = con, item, spooled
        if not spooled.has_text:
            raise FileRefused(
                "the file is empty: it has no text",
                where=item.path,
                hint="was it still being written? remove it, or run again when it is complete",
            )
        self.delimiter, self.quote, self.escape = dialect_of(
            con, spooled.plain, spooled.head, dialect, expected
        )
        has_header = dialect.header is not False
        first = split(first_line(spooled.head), self.delimiter, self.quote)
        self.names = column_names(item, first, expected, has_header=has_header)
        self.header_lines = 1 if has_header else 0
        self.nullstr = dialect.nullstr
        self.leaves_out_lines = bool(dialect.skip or dialect.comment)
        self.scratch = scratch
        self.marked: Path | None = None
        self.rewritten = self._rewrite(spooled)
        self.received = 0
        self.rejects = f"rejects_{id(self)}"
        notes = []
        if spooled.has_mixed_ends:
            notes.append("its lines end in different ways")
        self.batch = Batch(
            item=item,
            relation=self._relation(),
            fields=dict.fromkeys(self.names, VARCHAR),
            content_hash=spooled.content_hash,
            notes=tuple(notes),
            when_read=self._count_received,
        )

    def _rewrite(self, spooled: Spooled) -> Path | None:
        """A copy with lines that end alike and none that is blank, where that is needed."""
        is_odd = spooled.has_returns or spooled.has_mixed_ends or _starts_oddly(spooled)
        if not (is_odd or self.leaves_out_lines):
            return None
        return self._without_blank_lines(spooled)

    def _without_blank_lines(self, spooled: Spooled) -> Path:
        target = self.scratch / f"{self.item.absolute.name}.rewritten"
        rewrite_lines(spooled, target, keep_quoted=self.quote == '"')
        return target

    @property
    def _may_be_quoted(self) -> bool:
        return bool(self.quote) and (self.quote != '"' or self.spooled.has_quote)

    @property
    def path(self) -> Path:
        """The file to parse."""
        return self.rewritten or self.marked or self.spooled.plain

    def _relation(self) -> str:
        source = self._read_csv(self.names, *self._keeping_refused)
        if not self.nullstr:
            return source
        picked = [f"{self._value(ident(name))} AS {ident(name)}" for name in self.names]
        return f"(SELECT {', '.join(picked)} FROM {source})"

    def _value(self, field: str) -> str:
        """SQL of a field's value: NULL for the texts that stand for none."""
        if not self.nullstr:
            return field
        texts = ", ".join(literal(text) for text in self.nullstr)
        return f"CASE WHEN {field} NOT IN ({texts}) THEN {field} END"

    @property
    def _keeping_refused(self) -> tuple[str, ...]:
        return (
            "store_rejects = true",
            "rejects_limit = 0",
            f"rejects_table = {literal(self.rejects)}",
            f"rejects_scan = {literal(self.rejects + '_scan')}",
        )

    def _read_csv(self, names: Sequence[str], *more: str) -> str:
        columns = ", ".join(f"{literal(name)}: 'VARCHAR'" for name in names)
        options = [
            file_literal(self.path),
            "auto_detect = false",
            "compression = 'none'",  # whatever the name says
            "strict_mode = true",
            f"header = {str(self.header_lines == 1).lower()}",
            f"delim = {literal(self.delimiter)}",
            f"quote = {literal(self.quote)}",
            f"escape = {literal(self.escape)}",
            f"columns = {{{columns}}}",
            *more,
        ]
        return f"read_csv({', '.join(options)})"

    def _count_received(self, rows: int) -> None:
        self.received = rows

    def mend(self) -> bool:
        """Whether a quote that never closes has swallowed lines (they are freed), blank lines put
        the numbers of refused lines out (they are left out), or empty fields passed that are too
        many (then `batch` tells them)."""
        refused = self._count_refused()
        freed = bool(refused) and self._free_swallowed_lines()
        has_more = (freed or not self._has_as_many_delimiters()) and self._has_more_fields()
        # DuckDB counts blank lines when it numbers what it refuses, and no others.
        numbered = (refused or has_more) and self.rewritten is None
        rewritten = numbered and has_blank_lines(self.path)
        if rewritten:
            self.rewritten = self._without_blank_lines(replace(self.spooled, plain=self.path))
        if not (freed or has_more or rewritten):
            return False
        self.close()
        if has_more:
            self.batch = self._telling_fields_apart()
        else:
            self.batch = replace(self.batch, relation=self._relation())
        return True

    def _count_refused(self) -> int:
        found = self.con.execute(f"SELECT count(*) FROM {ident(self.rejects)}").fetchone()
        return int(found[0]) if found else 0

    # ---- empty fields beyond the header's

    def _has_as_many_delimiters(self) -> bool:
        """Whether the file has no delimiter more than its records need, so none has a field too
        many. False where that is not known."""
        there = self.spooled.delimiters.get(self.delimiter)
        if there is None:
            return False
        row = self.con.execute(
            f"SELECT count(*), sum(length(line) - length(replace(line, {literal(self.delimiter)}, "
            f"''))) FROM (SELECT any_value(csv_line) AS line FROM {ident(self.rejects)} "
            "GROUP BY line)"
        ).fetchone()
        refused, theirs = row or (0, 0)
        if refused and self._may_be_quoted:
            return False
        needed = (self.received + self.header_lines) * (len(self.names) - 1)
        return bool(there == needed + (theirs or 0))

    def _more_fields(self, *more: str) -> str:
        """The relation with one field more, the last. A field that a line does not have is NULL,
        one that is empty is a text without characters."""
        further = unused("further", self.names)
        return self._read_csv(
            [*self.names, further], "null_padding = true", f"nullstr = {literal(_NO_FIELD)}", *more
        )

    def _has_more_fields(self) -> bool:
        """Whether a line has more fields than the header though DuckDB did not refuse it."""
        further = ident(unused("further", self.names))
        condition = f"WHERE {further} IS NOT NULL"
        found = None
        for more in ((), ("parallel = false",)):
            source = self._more_fields("ignore_errors = true", *more)
            try:
                found = self.con.execute(f"SELECT count(*) FROM {source} {condition}").fetchone()
                break
            except duckdb.Error:
                # DuckDB cannot read in parallel so where quoted values hold line ends.
                if more:
                    raise
        return bool(found and found[0])

    def _telling_fields_apart(self) -> Batch:
        first, last = self.names[0], self.names[-1]
        further = unused("further", self.names)
        taken = [*self.names, further]
        few, many, mark = (unused(name, taken) for name in ("_few", "_many", "_mark"))
        values = {name: self._value(ident(name)) for name in self.names}
        picked = [f"nullif({value}, '') AS {ident(name)}" for name, value in values.items()]
        picked += [
            f"{ident(last)} IS NULL AS {ident(few)}",
            f"{ident(further)} IS NOT NULL AS {ident(many)}",
            f"{ident(first)} IS NOT DISTINCT FROM {literal(MARK)} AS {ident(mark)}",
        ]
        slowly = ["parallel = false"] if self._may_be_quoted else []
        source = self._more_fields(*self._keeping_refused, *slowly)
        return replace(
            self.batch,
            relation=f"(SELECT {', '.join(picked)} FROM {source})",
            hidden=dict.fromkeys((few, many, mark), _BOOLEAN),
            malformed=(
                Malformed("line.broken_quote", raw_field(mark)),
                Malformed("line.too_few_fields", raw_field(few)),
                Malformed("line.too_many_fields", raw_field(many)),
            ),
        )

    # ---- quotes that never close

    def _free_swallowed_lines(self) -> bool:
        if not self.quote or self.escape != self.quote:
            return False
        swallowed = self.con.execute(
            f"SELECT count(*) FROM {ident(self.rejects)} WHERE CAST(error_type AS VARCHAR) IN "
            "('UNQUOTED VALUE', 'INVALID STATE', 'LINE SIZE OVER MAXIMUM') "
            "AND contains(rtrim(csv_line, chr(10) || chr(13)), chr(10))"
        ).fetchone()
        if not swallowed or not swallowed[0]:
            return False
        marked = self.scratch / f"{self.item.absolute.name}.marked"
        plain = self.spooled.plain
        if not mark_lines(plain, marked, self.delimiter, self.quote, len(self.names)):
            return False
        self.marked = marked
        self.rewritten = self._rewrite(replace(self.spooled, plain=marked))
        return True

    # ---- after the reading

    def fragments(self, table: str) -> int:
        if not self._count_refused():
            return 0
        codes = dict(_CODES)
        if self.spooled.shape.encoding:
            codes["INVALID ENCODING"] = "line.wrong_encoding"
        arms = " ".join(
            f"WHEN {literal(kind)} THEN {literal(code)}" for kind, code in codes.items()
        )
        # A line may be refused for several faults; the first one stands for it.
        made = self.con.execute(
            f"CREATE TEMP TABLE {ident(table)} AS SELECT "
            f"CAST(line - {self.header_lines} AS BIGINT) AS record, "
            f"CASE WHEN any_value(csv_line)[1] = {literal(MARK)} THEN 'line.broken_quote' "
            f"ELSE CASE arg_min(CAST(error_type AS VARCHAR), byte_position) {arms} "
            "ELSE 'line.unreadable' END END AS code, any_value(left(csv_line, 10000)) AS content "
            f"FROM {ident(self.rejects)} GROUP BY line"
        ).fetchone()
        return int(made[0]) if made else 0

    def originals(self, records: Sequence[int], table: str) -> None:
        path = self.spooled.plain
        if self._may_be_quoted:
            found = originals.quoted_lines(
                path,
                self.marked or path,
                skip=self.header_lines,
                delimiter=self.delimiter,
                quote=self.quote,
                escape=self.escape,
            )
        else:
            single = len(self.names) == 1 and self.rewritten is None
            found = originals.lines(
                path,
                records,
                skip=self.header_lines,
                blanks="none" if single else "empty",
                returns=self.spooled.has_returns,
            )
        originals.fill(self.con, table, found, records)

    def still_the_same(self) -> bool:
        return unchanged(self.item)

    def close(self) -> None:
        for suffix in ("", "_scan"):
            self.con.execute(f"DROP TABLE IF EXISTS {ident(self.rejects + suffix)}")


def _starts_oddly(spooled: Spooled) -> bool:
    return spooled.head[:1] in (b"\n", b"\r")


def column_names(
    item: Item, fields: Sequence[str], expected: Sequence[str], *, has_header: bool
) -> list[str]:
    """What the fields are called that a file begins with: what its header says, or else the
    expected names, in order. Raises FileRefused for a name that is there twice."""
    if not has_header:
        return [expected[n] if n < len(expected) else f"column_{n + 1}" for n in range(len(fields))]
    names = [name.strip() or f"column_{n + 1}" for n, name in enumerate(fields)]
    counts = Counter(name.lower() for name in names)
    twice = sorted({name for name in names if counts[name.lower()] > 1})
    if twice:
        raise FileRefused(
            f"the header names {', '.join(repr(name) for name in twice)} more than once",
            where=f"{item.path}:1",
            hint="rename one of the columns in the file, or state `dialect: {header: false}`",
        )
    return names
