"""Telling how a file is written: its packing, format, encoding and dialect, from its name, its
first bytes and what is stated. What is stated wins, unless the bytes say that it cannot be.

The one place for this: readers are told, and do not look themselves. Pure, but for DuckDB's
sniffer, which looks at the first rows of CSV whose header says nothing.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path, PurePosixPath

import duckdb

from headwater.errors import FileRefused
from headwater.project.definitions import Dialect, FileFormat, Reading
from headwater.sources.batch import Item
from headwater.sql.quote import file_literal

BOM = b"\xef\xbb\xbf"
DELIMITERS = (",", ";", "\t", "|")


# ---- packing -------------------------------------------------------------------------------


class Packing(StrEnum):
    """How bytes are packed."""

    GZIP = "gzip"
    BZ2 = "bz2"
    XZ = "xz"
    ZSTD = "zstd"
    ZIP = "zip"


_PACKED = {
    Packing.GZIP: re.compile(rb"\x1f\x8b\x08"),
    Packing.BZ2: re.compile(rb"BZh[1-9](?:1AY&SY|\x17rE8P\x90)"),
    Packing.XZ: re.compile(rb"\xfd7zXZ\x00"),
    Packing.ZSTD: re.compile(rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18"),
    Packing.ZIP: re.compile(rb"PK(?:\x03\x04|\x05\x06)"),
}
_PACKED_ENDINGS = (".gz", ".bz2", ".xz", ".zst", ".zip")


def packing_of(head: bytes) -> Packing | None:
    """How a file is packed that begins with these bytes (10 are enough); None: it is not."""
    return next((kind for kind, pattern in _PACKED.items() if pattern.match(head)), None)


def plain_name(item: Item) -> str:
    """The name that a file has when it is unpacked."""
    name = PurePosixPath(item.member).name if item.member else item.absolute.name
    while name.lower().endswith(_PACKED_ENDINGS):
        name = name.rpartition(".")[0]
    return name


# ---- format and encoding ---------------------------------------------------------------------


@dataclass(frozen=True)
class Shape:
    """How a file is written.

    encoding   "" for UTF-8, and for what is no text.
    dialect    as it is stated, or follows from the format; the rest is told from the text.
    """

    format: FileFormat
    encoding: str = ""
    dialect: Dialect = field(default_factory=Dialect)

    @property
    def is_text(self) -> bool:
        return self.format not in (FileFormat.PARQUET, FileFormat.EXCEL)

    @property
    def is_lines(self) -> bool:
        return self.is_csv or self.format is FileFormat.JSONL

    @property
    def is_csv(self) -> bool:
        return self.format in (FileFormat.CSV, FileFormat.TSV)


_ENDINGS = {
    ".csv": FileFormat.CSV,
    ".tsv": FileFormat.TSV,
    ".tab": FileFormat.TSV,
    ".txt": FileFormat.CSV,
    ".psv": FileFormat.CSV,
    ".jsonl": FileFormat.JSONL,
    ".ndjson": FileFormat.JSONL,
    ".json": FileFormat.JSONL,
    ".parquet": FileFormat.PARQUET,
    ".pq": FileFormat.PARQUET,
    ".xlsx": FileFormat.EXCEL,
    ".xlsm": FileFormat.EXCEL,
}


def format_of(item: Item, reading: Reading) -> FileFormat | None:
    """A file's format as it is stated, or else by its name; None: that tells none."""
    return reading.format or _ENDINGS.get(_ending(item))


def _ending(item: Item) -> str:
    return PurePosixPath(plain_name(item)).suffix.lower()


def shape_of(item: Item, reading: Reading, head: bytes) -> Shape:
    """How a file is written whose unpacked bytes begin with `head`.

    Raises FileRefused where that cannot be as it is stated, or where it cannot be told.
    """
    format_ = format_of(item, reading)
    if format_ is None:
        raise FileRefused(
            f"the ending {_ending(item)!r} tells no format",
            where=item.path,
            hint=f"set `format:` to one of {', '.join(kind.value for kind in FileFormat)}",
        )
    if format_ in (FileFormat.PARQUET, FileFormat.EXCEL):
        return Shape(format_)
    encoding = _encoding_of(item, reading.encoding, head)
    text = head.removeprefix(BOM)
    if encoding:
        text = codecs.getincrementaldecoder(encoding)("replace").decode(head).encode()
    _refuse_what_is_no_text(item, text)
    if not reading.format and format_ is FileFormat.JSONL:
        format_ = _kind_of_json(item, reading, text)
    dialect = reading.dialect
    if format_ is FileFormat.TSV and not dialect.delimiter:
        dialect = dialect.model_copy(update={"delimiter": "\t"})
    return Shape(format_, encoding, dialect)


def _kind_of_json(item: Item, reading: Reading, text: bytes) -> FileFormat:
    """JSON lines, or one document: that begins with a list, or with a brace alone on its line."""
    if reading.records:
        return FileFormat.JSON
    first = text.lstrip().split(b"\n", 1)[0].strip()
    is_document = first.startswith(b"[") or first == b"{"
    by_name = plain_name(item).lower().endswith(".json")
    return FileFormat.JSON if is_document and by_name else FileFormat.JSONL


_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
"""Byte order mark -> encoding. The codecs of these names read the mark, and leave it out."""


def _encoding_of(item: Item, stated: str | None, head: bytes) -> str:
    """The encoding to read text with; "" for UTF-8."""
    marked = next((name for mark, name in _MARKS.items() if head.startswith(mark)), "")
    family = re.sub(r"-[lb]e$", "", stated or "")
    if marked:
        if stated and family != marked:
            raise FileRefused(
                f"the file begins with the byte order mark of {marked}, and "
                f"`encoding: {stated}` is stated",
                where=item.path,
                hint="leave `encoding:` out for it: a byte order mark is understood",
            )
        return "" if marked == "utf-8" else marked
    guessed = _wide_encoding(head)
    if guessed and stated not in (guessed, "utf-16"):
        said = f"`encoding: {stated}` is stated" if stated else "no byte order mark says so"
        raise FileRefused(
            f"the file is {guessed} by its zero bytes, and {said}",
            where=item.path,
            hint=f"set `encoding: {guessed}` for it",
        )
    if family in ("utf-16", "utf-32"):
        return _wide_as_stated(item, str(stated), guessed, head)
    return "" if stated in (None, "utf-8") else str(stated)


def _wide_as_stated(item: Item, stated: str, guessed: str, head: bytes) -> str:
    if b"\0" not in head:  # a line end alone has one
        raise FileRefused(
            f"the file is not {stated}: it has no zero bytes",
            where=item.path,
            hint="leave `encoding:` out for UTF-8, or state another one",
        )
    if stated.endswith(("-le", "-be")):
        return stated
    if stated == "utf-16" and guessed:
        return guessed
    raise FileRefused(
        f"the file has no byte order mark, so `encoding: {stated}` does not say in which order "
        "its bytes are",
        where=item.path,
        hint=f"set `encoding: {stated}-le` or `encoding: {stated}-be`",
    )


def _wide_encoding(head: bytes) -> str:
    """utf-16-le or utf-16-be, where nearly every other byte is zero: text of mostly Latin letters;
    else ""."""
    sample = head[:1000]
    even, odd = sample[::2], sample[1::2]
    least = max(1, len(odd) // 2)
    if odd.count(0) >= least and even.count(0) * 10 <= len(even):
        return "utf-16-le"
    if even.count(0) >= least and odd.count(0) * 10 <= len(odd):
        return "utf-16-be"
    return ""


_OTHER_FILES = {
    b"PAR1": ("the file is Parquet, not text", "set `format: parquet`"),
    b"PK\x03\x04": (
        "the file is a zip archive or a workbook, not text",
        "set `format: excel` if it is one",
    ),
    b"\xd0\xcf\x11\xe0": (
        "the file is an old Excel workbook or another Office document, not text",
        "save it as .xlsx",
    ),
}


def _refuse_what_is_no_text(item: Item, head: bytes) -> None:
    for magic, (message, hint) in _OTHER_FILES.items():
        if head.startswith(magic):
            raise FileRefused(message, where=item.path, hint=hint)
    if b"\0" in head:
        raise FileRefused(
            "the file is binary, not text",
            where=item.path,
            hint="check the dataset's `path`, or set `format:` or `encoding:`",
        )


# ---- dialect of CSV --------------------------------------------------------------------------


def dialect_of(
    con: duckdb.DuckDBPyConnection,
    plain: Path,
    head: bytes,
    dialect: Dialect,
    expected: Sequence[str],
) -> tuple[str, str, str]:
    """Delimiter, quote and escape of a CSV file.

    plain      the file as UTF-8, which begins with `head`.
    expected   the names that its header may have.
    """
    quote = '"' if dialect.quote is None else dialect.quote
    escape = dialect.escape if dialect.escape is not None else quote
    if dialect.delimiter:
        return dialect.delimiter, quote, escape
    first = first_line(head)
    if found := _delimiter_of(first, quote, expected):
        return found, quote, escape
    # No header that the contract knows: let DuckDB's sniffer look at the first rows.
    try:
        sniffed = con.execute(
            f"SELECT Delimiter FROM sniff_csv({file_literal(plain)}, sample_size = 2000, "
            "compression = 'none')"
        ).fetchone()
    except duckdb.Error:
        sniffed = None
    if sniffed and sniffed[0] in DELIMITERS and sniffed[0] in first:
        return sniffed[0], quote, escape
    counts = {mark: first.count(mark) for mark in DELIMITERS}
    return max(counts, key=lambda mark: counts[mark]), quote, escape


def _delimiter_of(header: str, quote: str, expected: Sequence[str]) -> str:
    """The delimiter under which the header names most of the expected columns."""
    wanted = {name.lower() for name in expected}
    scores = {}
    for mark in DELIMITERS:
        fields = {name.strip().lower() for name in split(header, mark, quote)}
        scores[mark] = len(fields & wanted)
    best = max(scores, key=lambda mark: scores[mark])
    return best if scores[best] * 2 > len(wanted) else ""


def first_line(head: bytes) -> str:
    """The first line of CSV that is not empty, up to the end of `head`."""
    text = head.removeprefix(BOM).decode("utf-8", "replace").lstrip("\r\n")
    # A quoted header may hold line ends: end at the first one outside of quotes.
    inside = False
    for match in re.finditer(r'["\r\n]', text):
        if match.group() == '"':
            inside = not inside
        elif not inside:
            return text[: match.start()]
    return text


def split(line: str, delimiter: str, quote: str) -> list[str]:
    """The fields of a line."""
    if len(delimiter) > 1:
        return line.split(delimiter)
    csv.field_size_limit(1 << 30)  # under a wrong delimiter, a long header is one field
    whole = io.StringIO(line, newline="")  # a quoted name may hold a line end
    if quote:
        rows = list(csv.reader(whole, delimiter=delimiter, quotechar=quote))
    else:
        rows = list(csv.reader(whole, delimiter=delimiter, quoting=csv.QUOTE_NONE))
    return rows[0] if rows else [""]
