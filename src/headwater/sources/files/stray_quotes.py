"""Quotes that open and never close.

To a parser such a quote swallows every line up to the next quote, or to the end of the file.
Where that happened, the file is read again with each line that opens a quote and cannot be
completed replaced by a mark that is no record: that line alone goes to quarantine.

Looks at the lines that hold a quote one by one, and only in files where a first reading failed.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from headwater.sources.files.originals import each_line

MARK = "\x1a"
"""Stands for a line whose quote does not close; too few fields, or too many where one is meant."""
MAX_LINES = 200
"""A quoted value may go on over so many lines."""


def mark_lines(source: Path, target: Path, delimiter: str, quote: str, fields: int) -> int:
    """Copy a file, line for line, with MARK in place of each line that begins no record of
    properly quoted fields. Returns how many were replaced. Memory: MAX_LINES lines."""
    complete = _record_pattern(delimiter, quote)
    mark = (MARK if fields > 1 else f"{MARK}{delimiter}{MARK}").encode()
    sign = quote.encode()
    replaced = 0
    with source.open("rb") as text, target.open("wb") as out:
        lines = each_line(text)
        ahead: deque[bytes] = deque()
        while True:
            _fill(ahead, lines, 1)
            if not ahead:
                return replaced
            if sign not in ahead[0]:
                out.write(ahead.popleft())
                continue
            taken = _lines_of_record(ahead, lines, complete, sign)
            if taken:
                for _ in range(taken):
                    out.write(ahead.popleft())
            else:
                line = ahead.popleft()
                out.write(mark + line[len(line.rstrip(b"\r\n")) :])
                replaced += 1


def _lines_of_record(
    ahead: deque[bytes], lines: Iterator[bytes], complete: re.Pattern[bytes], sign: bytes
) -> int:
    """How many lines make one record from here on; 0 if none do. A line whose quotes pair up is
    one record, right or wrong: the parser says what is wrong with it."""
    text = b""
    for count in range(1, MAX_LINES + 1):
        _fill(ahead, lines, count)
        if len(ahead) < count:
            return 0
        text += ahead[count - 1]
        if sign in ahead[count - 1] and complete.fullmatch(text.rstrip(b"\r\n")):
            return count
        if count == 1 and text.count(sign) % 2 == 0:
            return 1
    return 0


def _fill(ahead: deque[bytes], lines: Iterator[bytes], count: int) -> None:
    if len(ahead) < count:
        ahead.extend(islice(lines, count - len(ahead)))


def _record_pattern(delimiter: str, quote: str) -> re.Pattern[bytes]:
    mark, sign = re.escape(delimiter.encode()), re.escape(quote.encode())
    first = re.escape(delimiter[0].encode())
    quoted = sign + rb"(?:[^" + sign + rb"]|" + sign + sign + rb")*+" + sign
    bare = rb"(?:[^" + sign + first + rb"\r\n][^" + first + rb"\r\n]*+)?+"
    field = rb"(?:" + quoted + rb"|" + bare + rb")"
    return re.compile(field + rb"(?:" + mark + field + rb")*+")
