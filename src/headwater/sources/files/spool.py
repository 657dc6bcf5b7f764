"""One pass over a file's bytes before it is parsed.

It takes the content's hash, unpacks gzip, and learns what the parser must know: how lines end,
whether there are quotes, whether this is text at all. Memory: one block of 4 MiB. Disk: the
unpacked size of a gzipped file, until the file is landed.
"""

from __future__ import annotations

import gzip
import hashlib
import zlib
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO, BinaryIO, cast

from headwater.errors import FileRefused
from headwater.sources.batch import Item

BLOCK_BYTES = 4 << 20
BOM = b"\xef\xbb\xbf"
_GZIP_MAGIC = b"\x1f\x8b"


@dataclass(frozen=True, kw_only=True)
class Spooled:
    """A file, unpacked, with what one look over its bytes told.

    plain          the file to parse: the original, or its unpacked copy.
    head           its first bytes, up to 64 KiB.
    has_feeds      whether lines end with a line feed alone.
    has_crlf       whether lines end with carriage return and line feed.
    has_returns    whether there are carriage returns alone.
    has_quote      whether a double quote occurs.
    has_text       whether there is anything but line ends and a byte order mark.
    delimiters     how often each of some single characters occurs.
    """

    plain: Path
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


def spool(item: Item, scratch: Path, *, is_text: bool, delimiters: str = "") -> Spooled:
    """Look over a file, and count the ASCII characters `delimiters` in it.

    Raises FileRefused for an empty, binary, unreadable or cut-off one.
    """
    if item.size_bytes == 0:
        raise FileRefused(
            "the file is empty (0 bytes)",
            where=item.path,
            hint="was it still being written? remove it, or run again when it is complete",
        )
    facts = _Facts(is_text, delimiters)
    try:
        with item.absolute.open("rb") as raw:
            packed = raw.read(2) == _GZIP_MAGIC
            raw.seek(0)
            if packed:
                plain = scratch / f"{item.absolute.name.removesuffix('.gz')}.unpacked"
                _unpack(raw, plain, facts)
            else:
                plain = item.absolute
                _look_over(raw, facts)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise FileRefused(
            "the gzip data ends early or is damaged",
            where=item.path,
            hint="copy the file again; nothing of it was landed",
        ) from error
    except PermissionError as error:
        raise FileRefused(
            "the file may not be read", where=item.path, hint="check its permissions"
        ) from error
    if is_text:
        _refuse_what_is_no_text(item, facts.head)
    return facts.spooled(plain)


def content_hash(item: Item) -> str:
    """The hash of a file's bytes as they stand, packed or not."""
    with item.absolute.open("rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()


class _Facts:
    def __init__(self, is_text: bool, delimiters: str) -> None:
        self.is_text = is_text
        self.delimiters = dict.fromkeys(delimiters, 0)
        self.has_text = False
        self.hash = hashlib.sha256()
        self.head = b""
        self.last = b""
        self.has_feeds = self.has_crlf = self.has_returns = self.has_quote = False

    def take(self, block: bytes) -> None:
        if len(self.head) < 65536:
            self.head += block[: 65536 - len(self.head)]
        if not self.is_text:
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

    def spooled(self, plain: Path) -> Spooled:
        return Spooled(
            plain=plain,
            head=self.head,
            content_hash=self.hash.hexdigest(),
            has_feeds=self.has_feeds,
            has_crlf=self.has_crlf,
            has_returns=self.has_returns or self.last == b"\r",
            has_quote=self.has_quote,
            has_text=self.has_text,
            delimiters=self.delimiters,
        )


def _look_over(raw: BinaryIO, facts: _Facts) -> None:
    """Hash in a thread of its own (hashing lets go of the interpreter) while we look."""
    with ThreadPoolExecutor(1) as hasher:
        hashed: Future[None] | None = None
        for block in _blocks(raw):
            if hashed:
                hashed.result()
            hashed = hasher.submit(facts.hash.update, block)
            facts.take(block)
        if hashed:
            hashed.result()


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


def _unpack(raw: BinaryIO, plain: Path, facts: _Facts) -> None:
    plain.parent.mkdir(parents=True, exist_ok=True)
    packed = cast("BinaryIO", _Hashing(raw, facts))
    with gzip.GzipFile(fileobj=packed, mode="rb") as unpacked, plain.open("wb") as out:
        for block in _blocks(unpacked):
            facts.take(block)
            out.write(block)


class _Hashing:
    """A reader that hashes the packed bytes as they pass."""

    def __init__(self, raw: BinaryIO, facts: _Facts) -> None:
        self.raw, self.facts = raw, facts

    def read(self, size: int = -1) -> bytes:
        block = self.raw.read(size)
        self.facts.hash.update(block)
        return block


def _blocks(source: IO[bytes] | gzip.GzipFile) -> Iterator[bytes]:
    while block := source.read(BLOCK_BYTES):
        yield block


def _refuse_what_is_no_text(item: Item, head: bytes) -> None:
    if head.startswith((b"\xff\xfe", b"\xfe\xff")) or head[:200].count(b"\0") > 50:
        raise FileRefused(
            "the file is UTF-16 text",
            where=item.path,
            hint="convert it to UTF-8: iconv -f UTF-16 -t UTF-8",
        )
    if head.startswith(b"PAR1"):
        raise FileRefused(
            "the file is Parquet, not text", where=item.path, hint="set `format: parquet`"
        )
    if head.startswith(b"PK\x03\x04"):
        raise FileRefused(
            "the file is a zip archive, not text", where=item.path, hint="unpack it first"
        )
    if b"\0" in head:
        raise FileRefused(
            "the file is binary, not text",
            where=item.path,
            hint="check the dataset's `path`, or set `format:`",
        )


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
