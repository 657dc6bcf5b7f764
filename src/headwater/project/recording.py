"""Writing rows into the `expect:` of unit tests, and leaving all else in the file as it is.

The part of the text where the rows stand is replaced; comments, order and style around it stay.
What comes out is read again before anybody writes it: it says what it said, and the new rows.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from headwater.contract.cells import Shown
from headwater.contract.types import VARCHAR, Type
from headwater.errors import HeadwaterError
from headwater.project.document import read_document

_KEY = "expect"


@dataclass(frozen=True)
class NewRows:
    """The rows to expect, with the columns to name."""

    kinds: Mapping[str, Type]
    rows: Sequence[Mapping[str, Shown]]

    @property
    def lines(self) -> list[str]:
        """Each row as a YAML mapping on one line."""
        cells = [
            [f"{_key(name)}: {written(row[name], kind)}" for name, kind in self.kinds.items()]
            for row in self.rows
        ]
        return [f"{{{', '.join(of_row)}}}" for of_row in cells]


def recorded(text: str, rows: Mapping[int, NewRows]) -> str:
    """The text of a file of unit tests in which the tests of these numbers (from 0) expect other
    rows. Raises HeadwaterError where the text cannot be changed so."""
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    newline = "\r\n" if "\r\n" in text else "\n"
    edits = sorted(
        (_edit(text, _test_node(root, number), new, newline) for number, new in rows.items()),
        reverse=True,
    )
    changed = text
    for start, end, part in edits:
        changed = changed[:start] + part + changed[end:]
    if _without(text, rows) != _without(changed, rows) or not _expect(changed, rows):
        raise HeadwaterError(
            "the file is written in a way that its rows cannot be replaced",
            hint="write `expect:` out, without an anchor or an alias",
        )
    return changed


def _test_node(root: Any, number: int) -> yaml.MappingNode:
    pairs = root.value if isinstance(root, yaml.MappingNode) else []
    tests = next((value for key, value in pairs if key.value == "tests"), None)
    assert isinstance(tests, yaml.SequenceNode)
    node = tests.value[number]
    assert isinstance(node, yaml.MappingNode)
    return node


def _edit(text: str, test: yaml.MappingNode, new: NewRows, newline: str) -> tuple[int, int, str]:
    """(start, end, what stands there instead) in the text."""
    lines = new.lines
    in_line = f"[{', '.join(lines)}]"
    there = next(((key, value) for key, value in test.value if key.value == _KEY), None)
    if test.flow_style:
        if there:
            start = text.index(":", there[0].end_mark.index) + 1
            return start, max(_end(there[1]), start), f" {in_line}"
        last = max(_end(value) for _, value in test.value)
        return last, last, f", {_KEY}: {in_line}"
    indent = " " * test.value[0][0].start_mark.column
    block = newline.join(["", *(f"{indent}  - {line}" for line in lines)]) if lines else " []"
    if not there:
        last = len(text[: max(_end(value) for _, value in test.value)].rstrip())
        # A comment may follow on the line.
        end = next((n for n in range(last, len(text)) if text[n] in "\r\n"), len(text))
        return end, end, f"{newline}{indent}{_KEY}:{block}"
    key, value = there
    colon = text.index(":", key.end_mark.index) + 1
    end = max(len(text[: _end(value)].rstrip()), colon)
    comment = re.match(r"[ \t]+#[^\r\n]*", text[colon:])
    note = comment.group() if comment and value.start_mark.index > colon else ""
    if note and not lines:
        return colon, end, f" []{note}"
    return colon, end, f"{note}{block}"


def _end(node: yaml.Node) -> int:
    """Where a node ends: a block ends with its last part, not with the comments after it."""
    if isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        parts = node.value
        if isinstance(node, yaml.MappingNode):
            parts = [part for pair in node.value for part in pair]
        return max(_end(part) for part in parts)
    return int(node.end_mark.index)


def _without(text: str, rows: Mapping[int, NewRows]) -> Any:
    """What a text says, without the rows of these tests."""
    document = read_document(text, "", None, as_written=lambda path: len(path) > 4)
    if document.mistakes:
        return None
    tests = document.value["tests"]
    for number in rows:
        tests[number].pop(_KEY, None)
    return document.value


def _expect(text: str, rows: Mapping[int, NewRows]) -> bool:
    """Whether these tests expect as many rows, with these columns, as they should."""
    document = read_document(text, "", None)
    for number, new in rows.items():
        found = document.value["tests"][number].get(_KEY)
        if not isinstance(found, list) or len(found) != len(new.rows):
            return False
        if any(list(row) != list(new.kinds) for row in found):
            return False
    return True


# ---- values as YAML ------------------------------------------------------------------------

_WORDS = re.compile(r"[A-Za-z_][A-Za-z0-9_./@-]*( [A-Za-z0-9_./@-]+)*")
_PLAIN = re.compile(r"[0-9A-Za-z+.-][0-9A-Za-z+.() -]*(:[0-9A-Za-z+.() -]+)*")
_RESERVED = frozenset(["null", "true", "false", "yes", "no", "on", "off", "nan", "inf", "infinity"])


def written(value: Shown, kind: Type) -> str:
    """A value as YAML that is read as this value again, on one line.

    >>> written("007", VARCHAR), written("7", Type("INTEGER")), written(None, VARCHAR)
    ('"007"', '7', 'null')
    """
    if value is None:
        return "null"
    if isinstance(value, list):
        inner = kind.parts[0][1]
        return f"[{', '.join(written(item, inner) for item in value)}]"
    if isinstance(value, dict):
        parts = dict(kind.parts)
        is_map = kind.kind == "MAP"
        pairs = (
            f"{_key(name)}: {written(item, parts['value'] if is_map else parts[name])}"
            for name, item in value.items()
        )
        return f"{{{', '.join(pairs)}}}"
    if kind.kind in ("VARCHAR", "JSON", "BLOB"):
        return value if kind == VARCHAR and _is_word(value) else _quoted(value)
    is_plain = _PLAIN.fullmatch(value) and value == value.strip() and not value.startswith("- ")
    return value if is_plain and value.lower() not in ("null",) else _quoted(value)


def _key(name: str) -> str:
    return name if _is_word(name) else _quoted(name)


def _is_word(text: str) -> bool:
    return bool(_WORDS.fullmatch(text)) and text.lower() not in _RESERVED


def _quoted(text: str) -> str:
    return f'"{"".join(_escaped(mark) for mark in text)}"'


def _escaped(mark: str) -> str:
    if mark in '"\\':
        return f"\\{mark}"
    if mark.isprintable() and mark not in ("\ufeff", "\u2028", "\u2029", "\x85"):
        return mark
    code = ord(mark)
    named = {0: "\\0", 9: "\\t", 10: "\\n", 13: "\\r"}.get(code)
    if named:
        return named
    return (
        f"\\x{code:02X}" if code < 256 else f"\\u{code:04X}" if code < 65536 else f"\\U{code:08X}"
    )
