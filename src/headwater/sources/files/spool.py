"""One pass over a file's bytes before it is parsed.

It takes the content's hash, unpacks gzip, and learns what the parser must know: how lines end,
whether there are quotes, whether this is text at all. Memory: one block of 4 MiB. Disk: the
unpacked size of a gzipped file, until the file is landed.
"""

from __future__ import annotations

import gzip
import hashlib
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, BinaryIO, cast

from headwater.errors import FileRefused
from headwater.sources.batch import Item

BLOCK_BYTES = 4 << 20
_GZIP_MAGIC = b"\x1f\x8b"


@dataclass(frozen=True, kw_only=True)
class Spooled:
    """A file, unpacked, with what one look over its bytes told.

    plain          the file to parse: the original, or its unpacked copy.
    head           its first bytes, up to 64 KiB.
    line_feeds     how many lines end with a line feed, with or without a carriage return.
    crlf           how many of them end with both.
    lone_returns   carriage returns without a line feed.
    has_quote      whether a double quote occurs.
    has_blank      whether two line ends may follow each other, or it starts with one.
    """

    plain: Path
    head: bytes
    content_hash: str
    line_feeds: int
    crlf: int
    lone_returns: int
    has_quote: bool
    has_blank: bool

    @property
    def has_mixed_ends(self) -> bool:
        kinds = (self.crlf > 0, self.line_feeds > self.crlf, self.lone_returns > 0)
        return sum(kinds) > 1


def spool(item: Item, scratch: Path, *, is_text: bool) -> Spooled:
    """Look over a file. Raises FileRefused for an empty, binary, unreadable or cut-off one."""
    if item.size_bytes == 0:
        raise FileRefused(
            "the file is empty (0 bytes)",
            where=item.path,
            hint="was it still being written? remove it, or run again when it is complete",
        )
    facts = _Facts(is_text)
    try:
        with item.absolute.open("rb") as raw:
            packed = raw.read(2) == _GZIP_MAGIC
            raw.seek(0)
            if packed:
                plain = scratch / f"{item.absolute.name.removesuffix('.gz')}.unpacked"
                _unpack(raw, plain, facts)
            else:
                plain = item.absolute
                for block in _blocks(raw):
                    facts.hash.update(block)
                    facts.take(block)
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
    def __init__(self, is_text: bool) -> None:
        self.is_text = is_text
        self.hash = hashlib.sha256()
        self.head = b""
        self.last = b"\n"
        self.line_feeds = self.crlf = self.returns = 0
        self.has_quote = self.has_blank = False

    def take(self, block: bytes) -> None:
        if len(self.head) < 65536:
            self.head += block[: 65536 - len(self.head)]
        if not self.is_text:
            return
        self.line_feeds += block.count(b"\n")
        if b"\r" in block or self.last == b"\r":
            self.returns += block.count(b"\r")
            self.crlf += block.count(b"\r\n")
            self.crlf += self.last == b"\r" and block[:1] == b"\n"
        self.has_quote = self.has_quote or b'"' in block
        self.has_blank = (
            self.has_blank
            or (self.last in b"\r\n" and block[:1] in (b"\n", b"\r"))
            or b"\n\n" in block
            or (self.returns > 0 and (b"\n\r" in block or b"\r\r" in block))
        )
        self.last = block[-1:]

    def spooled(self, plain: Path) -> Spooled:
        return Spooled(
            plain=plain,
            head=self.head,
            content_hash=self.hash.hexdigest(),
            line_feeds=self.line_feeds,
            crlf=self.crlf,
            lone_returns=self.returns - self.crlf,
            has_quote=self.has_quote,
            has_blank=self.has_blank,
        )


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


def rewrite_lines(spooled: Spooled, target: Path) -> None:
    """Copy the text with every line ending in a line feed alone and without blank lines.

    Text within double quotes stays as it is, unless the quotes do not pair up.
    Memory: the longest piece between two quotes, at least one block.
    """
    quoted = spooled.has_quote and not _odd_quotes(spooled.plain)
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
        text = text.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        while b"\n\n" in text:
            text = text.replace(b"\n\n", b"\n")
        if self.at_line_start:
            text = text.removeprefix(b"\n")
        if text:
            self.at_line_start = text.endswith(b"\n")
        return text
