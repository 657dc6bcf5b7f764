"""JSON documents: one value with a list of records somewhere in it.

Each record is copied, as it is written, to a line of its own, and those are read as JSON lines.
So a record that is no object goes to quarantine with its text, and the line it begins in; a
document that is not JSON is refused, because then nobody can tell where its records are.

Memory: one block of 4 MiB, and the longest record (16 MiB at most). What stands beside the list
may be larger: it is passed over.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

import duckdb

from headwater.contract.types import Type
from headwater.errors import FileRefused
from headwater.sources.batch import Item
from headwater.sources.files import originals
from headwater.sources.files.json_lines import MAX_OBJECT_BYTES, JsonLinesFile
from headwater.sources.files.spool import Spooled

WHOLE = "$"
_BLOCK_BYTES = 4 << 20


class JsonDocumentFile(JsonLinesFile):
    """One JSON document, open for reading. See JsonLinesFile.

    records   where the list of records is: `data.items`; None or `$`: the document itself.
    """

    def __init__(
        self,
        con: duckdb.DuckDBPyConnection,
        item: Item,
        spooled: Spooled,
        expected: Mapping[str, Type],
        scratch: Path,
        *,
        records: str | None,
        all_keys: bool,
    ) -> None:
        self.document, self.records = spooled.plain, records
        target = scratch / "records"
        with target.open("wb") as out:
            for record in _records(self.document, item, records):
                out.write(record.text.replace(b"\r", b" ").replace(b"\n", b" ") + b"\n")
        copied = replace(spooled, plain=target, head=b"", has_returns=False)
        super().__init__(con, item, copied, expected, scratch, all_keys=all_keys)

    def originals(self, records: Sequence[int], table: str) -> None:
        found = (
            (number, record.line, record.text)
            for number, record in enumerate(_records(self.document, self.item, self.records), 1)
        )
        originals.fill(self.con, table, found, records)


@dataclass(frozen=True)
class _Record:
    """A record's text as it is written, and the line that it begins in."""

    line: int
    text: bytes


def _records(path: Path, item: Item, records: str | None) -> Iterator[_Record]:
    with path.open("rb") as source:
        yield from _Document(source, item).records(records)


def keys_of(records: str) -> list[str]:
    """The keys of a path such as `data.items`, `$.data.items` or `$."a.b".items`.

    >>> keys_of('$.data."a.b"')
    ['data', 'a.b']
    """
    return [quoted or plain for quoted, plain in _KEY.findall(records.removeprefix(WHOLE))]


_KEY = re.compile(r'"([^"]+)"|([^."]+)')
_SPACE = re.compile(r"[ \t\r\n]*")
_STRUCTURE = re.compile(r'"(?:[^"\\]|\\.)*+"|[\[\]{}]|"', re.DOTALL)


class _Broken(Exception):
    """What cannot be read as JSON, in words."""


def _no_constant(name: str) -> None:
    raise _Broken(f"{name} is no JSON")


class _Document:
    """Walks through a document with a window of text. Bytes that are no UTF-8 are kept as they
    are, so that they spoil one record and no other."""

    def __init__(self, source: BinaryIO, item: Item) -> None:
        self.item, self._source = item, source
        self._decode = codecs.getincrementaldecoder("utf-8-sig")("surrogateescape")
        self._scan = json.JSONDecoder(parse_constant=_no_constant).raw_decode
        self._text, self._at = "", 0
        self._line, self._counted = 1, 0
        self._is_whole = False

    # ---- what there is

    def records(self, path: str | None) -> Iterator[_Record]:
        """The records of the list at `path`, in order. Raises FileRefused."""
        try:
            depth = self._go_to(path)
            if self._next() != "[":
                yield from self._alone(path)
            else:
                yield from self._list()
            self._leave(depth)
        except _Broken as broken:
            raise FileRefused(
                f"the JSON document is broken in line {self._line_here()}: {broken}",
                where=self.item.path,
                hint="nothing of it was landed; one object a line is `format: jsonl`",
            ) from broken

    def _go_to(self, path: str | None) -> int:
        """Go to the value at `path`; returns in how many objects it is."""
        keys = keys_of(path) if path else []
        for key in keys:
            if self._next() != "{":
                raise self._no_such_key(str(path), key, [])
            self._at += 1
            if (seen := self._find_key(key)) is not None:
                raise self._no_such_key(str(path), key, seen)
        return len(keys)

    def _find_key(self, wanted: str) -> list[str] | None:
        """Go to the value of a key of the object that begins here. None if it is there, else
        the keys that are (a hundred of them)."""
        seen: list[str] = []
        if self._next() == "}":
            return seen
        while True:
            if self._next() != '"':
                raise _Broken("a key is expected")
            key = json.loads(self._value())
            self._expect(":")
            if key == wanted:
                return None
            if len(seen) < 100:
                seen.append(key)
            self._pass_over()
            if self._next() == "}":
                return seen
            self._expect(",")

    def _alone(self, path: str | None) -> Iterator[_Record]:
        """The one record that a document is, where that is said."""
        is_object = self._next() == "{"
        if path != WHOLE or not is_object:
            raise self._no_list(path, is_object)
        line = self._line_here()
        yield _Record(line, self._bytes(self._value()))

    def _list(self) -> Iterator[_Record]:
        self._expect("[")
        if self._next() == "]":
            self._at += 1
            return
        while True:
            self._next()
            line = self._line_here()
            yield _Record(line, self._bytes(self._value()))
            if self._next() == "]":
                self._at += 1
                return
            self._expect(",")

    def _no_list(self, path: str | None, is_object: bool) -> FileRefused:
        kind = "an object" if is_object else "a single value"
        if path in (None, WHOLE):
            return FileRefused(
                f"the JSON document is {kind}, not a list of records",
                where=self.item.path,
                hint="state where in it the list is: `records: data.items`; `records: $` makes "
                "the whole object one record",
            )
        return FileRefused(
            f"what is at `records: {path}` is {kind}, not a list",
            where=self.item.path,
            hint="name the list itself, by the keys that lead to it: `records: data.items`",
        )

    def _no_such_key(self, path: str, key: str, seen: Sequence[str]) -> FileRefused:
        return FileRefused(
            f"there is no {key!r} on the way to `records: {path}`",
            where=self.item.path,
            hint=f"the keys there: {', '.join(seen[:8])}" if seen else "there is no object there",
        )

    # ---- steps

    def _next(self) -> str:
        """The next character that is no space; it stays to be read. Raises at the end."""
        while True:
            found = _SPACE.match(self._text, self._at)
            self._at = found.end() if found else self._at
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._read():
                raise _Broken("the document ends early")

    def _expect(self, sign: str) -> None:
        if self._next() != sign:
            raise _Broken(f"{sign!r} is expected")
        self._at += 1

    def _value(self) -> str:
        """The text of the value that begins here, and go behind it."""
        while True:
            try:
                _, end = self._scan(self._text, self._at)
            except (json.JSONDecodeError, RecursionError) as error:
                if isinstance(error, RecursionError):
                    raise _Broken("a value is nested too deeply") from error
                if not self._is_cut_off(error) or not self._read():
                    at_end = self._is_whole and error.pos >= len(self._text)
                    raise _Broken("the document ends early" if at_end else error.msg) from error
            else:
                rest = self._text[end : end + 3]
                may_go_on = len(rest) < 3 and not rest.strip("0123456789+-.eE")
                if not may_go_on or not self._read():
                    break  # only a number may go on in the next block
            if len(self._text) - self._at > MAX_OBJECT_BYTES:
                raise _Broken(f"a value is longer than {MAX_OBJECT_BYTES >> 20} MiB")
        text = self._text[self._at : end]
        self._at = end
        return text

    def _is_cut_off(self, error: json.JSONDecodeError) -> bool:
        """Whether more text may mend what the parser stumbled over: it is where the text ends,
        or a string that began before."""
        unclosed = error.msg.startswith(("Unterminated", "Invalid \\"))
        return unclosed or error.pos >= len(self._text) - 16

    def _pass_over(self) -> None:
        """Go behind the value that begins here, however long it is."""
        if self._next() in "[{":
            self._close(0)
        else:
            self._value()

    def _leave(self, depth: int) -> None:
        """Go behind the end of the `depth` objects around here, to the document's own end."""
        if depth:
            self._close(depth)
        self._end()

    def _close(self, depth: int) -> None:
        """Go behind the end of `depth` lists and objects, and of those that begin on the way."""
        while True:
            for match in _STRUCTURE.finditer(self._text, self._at):
                sign = match.group()
                if sign == '"':
                    break  # a text that is not complete yet
                self._at = match.end()
                depth += (sign in "[{") - (sign in "]}")
                if not depth and sign in "]}":
                    return
            else:
                self._at = len(self._text)
            if len(self._text) - self._at > MAX_OBJECT_BYTES:
                raise _Broken(f"a text is longer than {MAX_OBJECT_BYTES >> 20} MiB")
            if not self._read():
                raise _Broken("the document ends early")

    def _end(self) -> None:
        while self._at < len(self._text) or self._read():
            found = _SPACE.match(self._text, self._at)
            self._at = found.end() if found else self._at
            if self._at < len(self._text):
                raise _Broken("there is more after its end")

    # ---- the window

    def _read(self) -> bool:
        """Take in one more block; leaves out what was read. False at the end."""
        if self._is_whole:
            return False
        self._line_here()
        self._text, self._at, self._counted = self._text[self._at :], 0, 0
        block = self._source.read(_BLOCK_BYTES)
        self._is_whole = not block
        self._text += self._decode.decode(block, final=not block)
        return True

    def _line_here(self) -> int:
        self._line += self._text.count("\n", self._counted, self._at)
        self._counted = self._at
        return self._line

    @staticmethod
    def _bytes(text: str) -> bytes:
        return text.encode("utf-8", "surrogateescape")
