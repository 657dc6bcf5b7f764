"""An obvious reading of CSV, one character after the other: what the fast one must agree with."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Record:
    """One record: the line it begins on, its text as it stands, and its fields."""

    line: int
    text: str = ""
    fields: list[str] = field(default_factory=list)


def read_plainly(text: str, delimiter: str, quote: str = '"') -> list[Record]:
    """The records of a text with well-formed quotes. LF, CR LF and CR each end a line; blank
    lines are no records."""
    text = text.removeprefix("\ufeff")
    records: list[Record] = []
    line, place = 1, 0
    while place < len(text):
        record = Record(line)
        start, value, inside = place, "", False
        while place < len(text):
            mark = text[place]
            if inside and mark == quote and text[place + 1 : place + 2] == quote:
                value += quote
                place += 2
                continue
            if mark == quote:
                inside = not inside
                place += 1
                continue
            end = _line_end(text, place)
            if end and not inside:
                break
            if mark == delimiter and not inside:
                record.fields.append(value)
                value = ""
                place += 1
                continue
            value += end or mark
            line += bool(end)
            place += len(end) or 1
        record.text = text[start:place]
        record.fields.append(value)
        place += len(_line_end(text, place))
        line += 1
        if record.text:
            records.append(record)
    return records


def _line_end(text: str, place: int) -> str:
    if text.startswith("\r\n", place):
        return "\r\n"
    return text[place : place + 1] if text[place : place + 1] in ("\n", "\r") else ""
