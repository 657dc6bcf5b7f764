"""One pass over a file's bytes before it is parsed.

It takes the content's hash, unpacks, brings text to UTF-8, and learns what the parser must know:
how lines end, whether there are quotes, whether this is text at all. Memory: some blocks of 4 MiB.
Disk: the size of a file that is packed or of another encoding, as UTF-8, until it is landed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from headwater.errors import FileRefused
from headwater.project.definitions import Dialect, Reading
from headwater.sources.batch import Item
from headwater.sources.files.detect import BOM, DELIMITERS, Shape, shape_of
from headwater.sources.files.text_steps import LeaveOutLines, Step, ToUtf8
from headwater.sources.files.unpack import BLOCK_BYTES, Unpacked, unpacked

HEAD_BYTES = 2 << 20
_SHAPE_BYTES = 64 << 10
MAX_LINE_BYTES = 16 << 20
"""DuckDB reads text in pieces of some more bytes, and passes over a line that fills one."""


@dataclass(frozen=True, kw_only=True)
class Spooled:
    """A file, unpacked, with what one look over its bytes told.

    plain          the file to parse: the original, or a copy that is unpacked and UTF-8.
    shape          how the file is written.
    head           its first bytes, up to 2 MiB.
    has_feeds      whether lines end with a line feed alone.
    has_crlf       whether lines end with carriage return and line feed.
    has_returns    whether there are carriage returns alone.
    has_quote      whether a double quote occurs.
    has_text       whether there is anything but line ends and a byte order mark.
    delimiters     how often each of some single characters occurs.
    """

    plain: Path
    shape: Shape
    head: bytes
    content_hash: str
    has_feeds: bool
    has_crlf: bool
    has_returns: bool
    has_quote: bool
    has_text: bool
    delimiters: Mapping[str, int]

    @property
    def has_mixed_ends(self) -> bool:
        return self.has_feeds + self.has_crlf + self.has_returns > 1


def spool(item: Item, scratch: Path, reading: Reading) -> Spooled:
    """Look over a file. Raises FileRefused for an empty, binary, unreadable or cut-off one, and
    for one that is not written as it is stated."""
    if item.size_bytes == 0:
        raise FileRefused(
            "the file is empty (0 bytes)",
            where=item.path,
            hint="was it still being written? remove it, or run again when it is complete",
        )
    with unpacked(item, reading) as packed:
        shape = _shape(item, reading, packed)
        facts = _Facts(shape, _counted(shape.dialect) if shape.is_csv else "")
        steps = _steps(item, shape)
        plain = item.absolute
        if packed.is_packed or steps:
            plain = scratch / "unpacked"  # never under a name that an archive gives
            _copy(packed.blocks(), steps, plain, facts)
            content_hash = packed.content_hash()
        else:
            with item.absolute.open("rb") as raw:
                content_hash = _look_over(raw, facts)
    if shape.is_lines and facts.longest_line > MAX_LINE_BYTES:
        raise FileRefused(
            f"a line of the file is longer than {MAX_LINE_BYTES >> 20} MiB",
            where=item.path,
            hint="check the line ends and `format:`; a long JSON document is `format: json`",
        )
    return facts.spooled(plain, content_hash)


def _shape(item: Item, reading: Reading, packed: Unpacked) -> Shape:
    try:
        return shape_of(item, reading, packed.head(_SHAPE_BYTES))
    except FileRefused:
        # Damaged data may look like anything: if that is what it is, this tells.
        for _ in packed.blocks() if packed.is_packed else ():
            pass
        raise


def _counted(dialect: Dialect) -> str:
    """The characters that may be the delimiter of a CSV file, where it is one byte."""
    stated = dialect.delimiter
    if not stated:
        return "".join(DELIMITERS)
    return stated if len(stated) == 1 and stated.isascii() else ""


def _steps(item: Item, shape: Shape) -> list[Step]:
    """What the text goes through before it is parsed."""
    dialect = shape.dialect
    found: list[Step] = []
    if shape.encoding:
        found.append(ToUtf8(item, shape.encoding))
    if shape.is_csv and (dialect.skip or dialect.comment):
        found.append(LeaveOutLines(dialect, dialect.delimiter))
    return found


def _copy(blocks: Iterator[bytes], steps: Sequence[Step], plain: Path, facts: _Facts) -> None:
    plain.parent.mkdir(parents=True, exist_ok=True)
    with plain.open("wb") as out:
        for block in _through(blocks, steps):
            facts.take(block)
            out.write(block)


def _through(blocks: Iterator[bytes], steps: Sequence[Step]) -> Iterator[bytes]:
    for step in steps:
        blocks = _through_one(blocks, step)
    return (block for block in blocks if block)


def _through_one(blocks: Iterator[bytes], step: Step) -> Iterator[bytes]:
    for block in blocks:
        yield step.feed(block)
    yield step.finish()


class _Facts:
    def __init__(self, shape: Shape, delimiters: str) -> None:
        self.shape = shape
        self.delimiters = dict.fromkeys(delimiters, 0)
        self.has_text = False
        self.longest_line = 0
        self._line = 0
        self.head = b""
        self.last = b""
        self.has_feeds = self.has_crlf = self.has_returns = self.has_quote = False

    def take(self, block: bytes) -> None:
        if len(self.head) < HEAD_BYTES:
            self.head += block[: HEAD_BYTES - len(self.head)]
        if not self.shape.is_text:
            return
        if not self.has_text:
            self.has_text = bool(block.removeprefix(BOM).strip(b"\r\n"))
        for mark in self.delimiters:
            # To find none is ten times as fast as to count none.
            if (sign := mark.encode()) in block:
                self.delimiters[mark] += block.count(sign)
        if b"\r" in block or self.last == b"\r":
            # A pair may be split between two blocks: look at the end of the last one again.
            seen = self.last + block if self.last == b"\r" else block
            body = seen[:-1] if seen.endswith(b"\r") else seen
            pairs = body.count(b"\r\n")
            self.has_crlf = self.has_crlf or pairs > 0
            self.has_feeds = self.has_feeds or body.count(b"\n") > pairs
            self.has_returns = self.has_returns or body.count(b"\r") > pairs
        else:
            self.has_feeds = self.has_feeds or b"\n" in block
        self.has_quote = self.has_quote or b'"' in block
        self.last = block[-1:]
        self._measure_lines(block)

    def _measure_lines(self, block: bytes) -> None:
        """Lines within a block are short: only those count that go on from block to block."""
        end = b"\n" if self.has_feeds or self.has_crlf else b"\r"
        first = block.find(end)
        if first < 0:
            self._line += len(block)
        else:
            self.longest_line = max(self.longest_line, self._line + first)
            self._line = len(block) - block.rfind(end) - 1
        self.longest_line = max(self.longest_line, self._line)

    def spooled(self, plain: Path, content_hash: str) -> Spooled:
        return Spooled(
            plain=plain,
            shape=self.shape,
            head=self.head,
            content_hash=content_hash,
            has_feeds=self.has_feeds,
            has_crlf=self.has_crlf,
            has_returns=self.has_returns or self.last == b"\r",
            has_quote=self.has_quote,
            has_text=self.has_text,
            delimiters=self.delimiters,
        )


def _look_over(raw: BinaryIO, facts: _Facts) -> str:
    """Hash in a thread of its own (hashing lets go of the interpreter) while we look."""
    found = hashlib.sha256()
    with ThreadPoolExecutor(1) as hasher:
        hashed: Future[None] | None = None
        for block in _blocks(raw):
            if hashed:
                hashed.result()
            hashed = hasher.submit(found.update, block)
            facts.take(block)
        if hashed:
            hashed.result()
    return found.hexdigest()


def has_blank_lines(path: Path) -> bool:
    """Whether two line ends may follow each other."""
    last = b"\n"
    with path.open("rb") as source:
        for block in _blocks(source):
            seen = last + block
            if b"\n\n" in seen or b"\n\r" in seen or b"\r\r" in seen:
                return True
            last = block[-1:]
    return False


def _blocks(source: BinaryIO) -> Iterator[bytes]:
    while block := source.read(BLOCK_BYTES):
        yield block


def rewrite_lines(spooled: Spooled, target: Path, *, keep_quoted: bool) -> None:
    """Copy the text with every line ending in a line feed alone and without blank lines.

    With `keep_quoted` text within double quotes stays as it is, unless they do not pair up.
    Memory: the longest piece between two quotes, at least one block.
    """
    quoted = keep_quoted and spooled.has_quote and not _odd_quotes(spooled.plain)
    target.parent.mkdir(parents=True, exist_ok=True)
    state = _Rewriter(keep_quoted=quoted)
    with spooled.plain.open("rb") as source, target.open("wb") as out:
        for block in _blocks(source):
            out.write(state.feed(block))
        out.write(state.finish())


def _odd_quotes(path: Path) -> bool:
    with path.open("rb") as source:
        return sum(block.count(b'"') for block in _blocks(source)) % 2 == 1


class _Rewriter:
    def __init__(self, *, keep_quoted: bool) -> None:
        self.keep_quoted = keep_quoted
        self.inside = False
        self.held = b""
        self.at_line_start = True
        self.is_start = True

    def feed(self, block: bytes) -> bytes:
        block = self.held + block
        # A carriage return at the very end may belong to a line feed that is still to come.
        self.held = block[-1:] if block.endswith(b"\r") else b""
        return self._rewrite(block.removesuffix(self.held) if self.held else block)

    def finish(self) -> bytes:
        rest, self.held = self.held, b""
        return self._rewrite(rest)

    def _rewrite(self, block: bytes) -> bytes:
        if not self.keep_quoted:
            return self._unify(block)
        pieces = []
        for number, piece in enumerate(block.split(b'"')):
            if number:
                self.inside = not self.inside
                pieces.append(b'"')
                self.at_line_start = False
            if self.inside:
                pieces.append(piece)
            else:
                pieces.append(self._unify(piece))
        return b"".join(pieces)

    def _unify(self, text: bytes) -> bytes:
        if not text:
            return text
        if self.is_start:
            text, self.is_start = text.removeprefix(BOM), False
        text = text.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        while b"\n\n" in text:
            text = text.replace(b"\n\n", b"\n")
        if self.at_line_start:
            text = text.removeprefix(b"\n")
        if text:
            self.at_line_start = text.endswith(b"\n")
        return text
