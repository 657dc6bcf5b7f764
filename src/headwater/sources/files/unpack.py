"""Unpacking: gzip, bz2, xz, zstd and zip, told by their content, also one within another.

Nothing is ever written under a name that an archive gives, and what unpacks to more than
`max_unpack_ratio` times its size is refused while it is unpacked. Memory: one block, and what the
packing looks back to (zstd: 128 MiB at most; xz: what the file asks for, usually up to 64 MiB).
"""

from __future__ import annotations

import bz2
import gzip
import hashlib
import lzma
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import IO, BinaryIO, cast

from headwater.errors import FileRefused
from headwater.project.definitions import FileFormat, Reading
from headwater.sources.batch import Item
from headwater.sources.files.archives import only_member, open_member
from headwater.sources.files.detect import Packing, format_of, packing_of

BLOCK_BYTES = 4 << 20
ALWAYS_UNPACKED_BYTES = 100_000_000
"""So much is unpacked however small the file is."""
_MAX_LAYERS = 3
_MAGIC_BYTES = 16


class Unpacked:
    """A file's bytes as they are when unpacked, to be read once, from front to back.

    is_packed   whether they differ from the file's own.
    """

    def __init__(self, item: Item, reading: Reading, raw: _Hashing, packed_bytes: int) -> None:
        self.item, self.raw = item, raw
        self.is_packed = bool(item.member)
        self._stream = _Stream(item, raw)
        self._ratio = reading.max_unpack_ratio
        self._limit = max(ALWAYS_UNPACKED_BYTES, packed_bytes * self._ratio)
        self._taken = 0

    def head(self, size: int) -> bytes:
        """The first `size` bytes, or all there are; they stay to be read."""
        return self._stream.head(size)

    def add_layer(self, packing: Packing, opened: IO[bytes]) -> None:
        self._stream = _Stream(self.item, opened, packing)
        self.is_packed = True

    @property
    def source(self) -> BinaryIO:
        return cast("BinaryIO", self._stream)

    def blocks(self) -> Iterator[bytes]:
        """All of it, in blocks."""
        while block := self._stream.read(BLOCK_BYTES):
            self._taken += len(block)
            if self.is_packed and self._taken > self._limit:
                raise too_large(self.item, self._ratio)
            yield block

    def content_hash(self) -> str:
        """The hash of the file's bytes as they stand, or of the archive's member."""
        with _telling_damage(self.item, None):
            while self.raw.read(BLOCK_BYTES):
                pass
        return self.raw.hash.hexdigest()


def too_large(item: Item, ratio: int) -> FileRefused:
    """Why a zip bomb is refused."""
    return FileRefused(
        f"unpacked, it is larger than 100 MB and more than {ratio} times its size",
        where=item.path,
        hint="if that is right for this file, set a higher `max_unpack_ratio:`",
    )


@contextmanager
def unpacked(item: Item, reading: Reading) -> Iterator[Unpacked]:
    """Open a file, and unpack it as often as it is packed. Raises FileRefused where it is
    damaged, or may not be read."""
    with ExitStack() as open_:
        raw, packed_bytes = _open(item, open_)
        found = Unpacked(item, reading, _Hashing(raw), packed_bytes)
        for depth in range(_MAX_LAYERS):
            packing = packing_of(found.head(_MAGIC_BYTES))
            if packing is None or _is_workbook(item, reading, packing):
                break
            with _telling_damage(item, packing):
                opened = _open_layer(item, reading, packing, found.source, depth, open_)
            found.add_layer(packing, opened)
        yield found


def content_hash(item: Item) -> str:
    """The hash of a file's bytes as they stand, packed or not; of a member's, unpacked."""
    with ExitStack() as open_:
        raw, _ = _open(item, open_)
        found = hashlib.sha256()
        with _telling_damage(item, None):
            while block := raw.read(BLOCK_BYTES):
                found.update(block)
        return found.hexdigest()


def _open(item: Item, open_: ExitStack) -> tuple[IO[bytes], int]:
    try:
        if item.member:
            return open_member(item, open_)
        return open_.enter_context(item.absolute.open("rb")), item.size_bytes
    except PermissionError as error:
        raise FileRefused(
            "the file may not be read", where=item.path, hint="check its permissions"
        ) from error


def _is_workbook(item: Item, reading: Reading, packing: Packing) -> bool:
    """Workbooks are zip archives, and are read as they are."""
    return packing is Packing.ZIP and format_of(item, reading) is FileFormat.EXCEL


def _open_layer(
    item: Item,
    reading: Reading,
    packing: Packing,
    source: BinaryIO,
    depth: int,
    open_: ExitStack,
) -> IO[bytes]:
    if packing is Packing.ZIP:
        if depth or item.member:
            raise FileRefused(
                "there is a zip archive within a packed file",
                where=item.path,
                hint="unpack the outer one first",
            )
        return only_member(item, reading.member, open_)
    if packing is Packing.GZIP:
        return cast("IO[bytes]", open_.enter_context(gzip.GzipFile(fileobj=source, mode="rb")))
    if packing is Packing.BZ2:
        return open_.enter_context(bz2.BZ2File(source))
    if packing is Packing.XZ:
        return open_.enter_context(lzma.LZMAFile(source))
    import pyarrow as pa  # takes a while to import, and only zstd needs it

    return cast("IO[bytes]", open_.enter_context(pa.CompressedInputStream(source, "zstd")))


class _Hashing:
    """A reader that hashes the bytes as they pass."""

    def __init__(self, raw: IO[bytes]) -> None:
        self.raw, self.hash = raw, hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        block = self.raw.read(size)
        self.hash.update(block)
        return block


class _Stream:
    """A reader that can look ahead, and that tells damage as what it is.

    What Python's and Arrow's readers ask of a file object is there too.
    """

    closed = False

    def __init__(
        self, item: Item, source: IO[bytes] | _Hashing, packing: Packing | None = None
    ) -> None:
        self.item, self.packing = item, packing
        self._source, self._ahead = source, b""

    def head(self, size: int) -> bytes:
        while len(self._ahead) < size:
            block = self._take(size - len(self._ahead))
            if not block:
                break
            self._ahead += block
        return self._ahead[:size]

    def read(self, size: int = -1) -> bytes:
        if self._ahead:
            block, self._ahead = self._ahead[:size], self._ahead[size:]
            return block
        return self._take(size)

    def _take(self, size: int) -> bytes:
        with _telling_damage(self.item, self.packing):
            return self._source.read(size)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False

    def writable(self) -> bool:
        return False

    def flush(self) -> None:
        pass

    def close(self) -> None:
        pass


@contextmanager
def _telling_damage(item: Item, packing: Packing | None) -> Iterator[None]:
    """Turn what the libraries say of damaged data into a refusal."""
    damage = (EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, OSError, ValueError)
    try:
        yield
    except damage as error:
        if isinstance(error, FileRefused):
            raise
        name = "zip" if packing is None and item.member else packing
        if not name:
            raise
        raise FileRefused(
            f"the {name} data ends early or is damaged",
            where=item.path,
            hint="copy the file again; nothing of it was landed",
        ) from error
