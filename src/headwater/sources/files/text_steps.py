"""Text on its way to the parser: other encodings become UTF-8, and lines that are none of the
table (before the header, comments) become empty, so that all others keep their numbers.

Each step takes blocks of bytes and gives blocks of bytes. Memory: one block, and a quoted value
that a block ends in, up to 1 MiB of it.
"""

from __future__ import annotations

import codecs
import re
from typing import Protocol

from headwater.errors import FileRefused
from headwater.project.definitions import Dialect
from headwater.sources.batch import Item
from headwater.sources.files.detect import DELIMITERS

_MAX_HELD_BYTES = 1 << 20
_MAX_LINE_BYTES = 16 << 20


class Step(Protocol):
    """`finish` gives what is left when the last block was fed."""

    def feed(self, block: bytes) -> bytes: ...

    def finish(self) -> bytes: ...


def _mark_unreadable(error: UnicodeError) -> tuple[str | bytes, int]:
    """Put the byte FF for what is no character. It is in no UTF-8, so the parser refuses the line
    that it stands in."""
    if isinstance(error, UnicodeDecodeError):
        return "\udcff", error.end
    if isinstance(error, UnicodeEncodeError):
        return b"\xff" * (error.end - error.start), error.end
    raise error


codecs.register_error("headwater_mark", _mark_unreadable)


class ToUtf8:
    """Text of another encoding as UTF-8. What cannot be read spoils its own line, and no other.

    Raises FileRefused where the text is plainly UTF-8 and another encoding is stated.
    """

    def __init__(self, item: Item, encoding: str) -> None:
        self.item, self.encoding = item, encoding
        self._decoder = codecs.getincrementaldecoder(encoding)("headwater_mark")
        self._may_be_utf8 = not encoding.startswith(("utf-", "utf_"))
        self._is_ascii = True
        self._as_utf8 = codecs.getincrementaldecoder("utf-8")("strict")

    def feed(self, block: bytes) -> bytes:
        self._judge(block)
        return self._decoder.decode(block).encode("utf-8", "headwater_mark")

    def finish(self) -> bytes:
        self._judge(b"", final=True)
        if self._may_be_utf8 and not self._is_ascii:
            # By chance, text of another encoding is hardly ever valid UTF-8 from end to end.
            raise FileRefused(
                f"the file is UTF-8, and `encoding: {self.encoding}` is stated",
                where=self.item.path,
                hint="leave `encoding:` out for it, or state it for the other files alone: "
                "path: [{glob: …, encoding: …}, …]",
            )
        return self._decoder.decode(b"", final=True).encode("utf-8", "headwater_mark")

    def _judge(self, block: bytes, *, final: bool = False) -> None:
        if self._may_be_utf8:
            self._is_ascii = self._is_ascii and block.isascii()
            try:
                self._as_utf8.decode(block, final=final)
            except UnicodeDecodeError:
                self._may_be_utf8 = False


class LeaveOutLines:
    """CSV with its first `skip` lines empty, and those that begin with `comment`. A line within
    a quoted value is no line of its own.

    delimiter   what stands between fields; None: one of the usual.
    """

    def __init__(self, dialect: Dialect, delimiter: str | None) -> None:
        self.skip = dialect.skip
        quote = '"' if dialect.quote is None else dialect.quote
        sign, escape = re.escape(quote.encode()), re.escape((dialect.escape or "").encode())
        quoted = _quoted_field(sign, escape, delimiter)
        comment = dialect.comment
        self._left_out = _left_out_pattern(comment, quoted, sign) if comment else None
        self._unclosed = re.compile(quoted + rb"\Z") if comment and quoted else None
        self._held = b""

    def feed(self, block: bytes) -> bytes:
        block = self._held + block
        # A line that is not complete yet waits for its end; a carriage return may be half of one.
        end = max(block.rfind(b"\n"), block.rfind(b"\r", 0, -1)) + 1
        if self._unclosed and (open_ := self._unclosed.search(block, 0, end)):
            start = max(block.rfind(b"\n", 0, open_.start()), block.rfind(b"\r", 0, open_.start()))
            end = start + 1 if end - start <= _MAX_HELD_BYTES else end
        if len(block) - end > _MAX_LINE_BYTES:
            end = len(block)  # no such line is ever read
        self._held = block[end:]
        return self._leave_out(block[:end])

    def finish(self) -> bytes:
        rest, self._held = self._held, b""
        return self._leave_out(rest)

    def _leave_out(self, lines: bytes) -> bytes:
        skipped = b""
        while self.skip and lines:
            line = _LINE.match(lines)
            if line is None:
                break
            self.skip -= 1
            skipped += line[1]
            lines = lines[line.end() :]
        if self._left_out:
            lines = self._left_out.sub(rb"\1", lines)
        return skipped + lines


_LINE = re.compile(rb"[^\r\n]*(\r\n|\r|\n|\Z)")
_LINE_START = rb"(?<![^\r\n])"


def _field_start(delimiter: str | None) -> bytes:
    marks = [delimiter] if delimiter else DELIMITERS
    after = b"|".join(rb"(?<=" + re.escape(mark.encode()) + rb")" for mark in marks)
    return rb"(?:" + _LINE_START + rb"|" + after + rb")"


def _left_out_pattern(comment: str, quoted: bytes, sign: bytes) -> re.Pattern[bytes]:
    """A comment's line, or as group 1 a quoted field: that is passed over whole."""
    line = _LINE_START + re.escape(comment.encode()) + rb"[^\r\n]*+"
    return re.compile(line + (rb"|(" + quoted + sign + rb")" if quoted else rb"()"))


def _quoted_field(sign: bytes, escape: bytes, delimiter: str | None) -> bytes:
    """A quoted field but for the quote that closes it; b"" where there is no quoting."""
    if not sign:
        return b""
    if escape and escape != sign:
        inside = rb"(?:[^" + sign + escape + rb"]|" + escape + rb".)*+"
    else:
        inside = rb"(?:[^" + sign + rb"]|" + sign + sign + rb")*+"
    return _field_start(delimiter) + sign + rb"(?s:" + inside + rb")"
