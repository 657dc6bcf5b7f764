"""What is different between the rows that were expected and those that are there. Pure.

Rows are compared as bags, unless their order counts. What is left is paired, by the key or by most
equal cells, so that a reader sees the cells that differ and not two rows to search through.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from headwater.contract.cells import Shown, equal
from headwater.contract.types import Type

Row = Mapping[str, Shown]
SHOWN_ROWS = 20
"""How many rows a difference shows."""
_PAIRED = 300
"""Of how many rows at the most those that are alike are looked for."""


class Mark(StrEnum):
    """What a line of a difference says."""

    MISSING = "-"
    """The row was expected and is not there."""
    UNEXPECTED = "+"
    """The row is there and was not expected."""
    CHANGED = "~"
    """The row is there with other values."""


@dataclass(frozen=True)
class Line:
    """One row that differs. `expected` and `actual`: None where there is none.

    number   the row's place in the order, from 1; 0 where the order does not count.
    """

    mark: Mark
    expected: Row | None
    actual: Row | None
    number: int = 0


@dataclass(frozen=True)
class Difference:
    """All that differs, over the compared columns. False if nothing does."""

    kinds: Mapping[str, Type]
    lines: tuple[Line, ...] = ()
    is_order: bool = False

    def __bool__(self) -> bool:
        return bool(self.lines)

    def count(self, mark: Mark) -> int:
        return sum(line.mark is mark for line in self.lines)

    @property
    def words(self) -> str:
        """How much differs, in one line."""
        if self.is_order:
            return "the rows are right, and in another order"
        said = {
            Mark.MISSING: "missing",
            Mark.UNEXPECTED: "not expected",
            Mark.CHANGED: "different",
        }
        parts = [
            f"{count} {'row' if count == 1 else 'rows'} {word}"
            for mark, word in said.items()
            if (count := self.count(mark))
        ]
        return ", ".join(parts)

    def text(self, limit: int = SHOWN_ROWS) -> str:
        """A table of the rows that differ; `~` shows `expected -> given` in cells that do."""
        if not self.lines:
            return ""
        has_numbers = any(line.number for line in self.lines)
        headings = ["", *(["row"] if has_numbers else []), *self.kinds]
        rows = [headings]
        for line in self.lines[:limit]:
            number = [str(line.number)] if has_numbers else []
            rows.append([line.mark.value, *number, *self.cells(line)])
        widths = [max(len(row[n]) for row in rows) for n in range(len(headings))]
        shown = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in rows
        ]
        if more := len(self.lines) - limit:
            shown += [f"… and {more} more"] if more > 0 else []
        return "\n".join(shown)

    def cells(self, line: Line) -> Iterator[str]:
        for name, kind in self.kinds.items():
            if line.expected is None or line.actual is None:
                yield cell_words((line.expected or line.actual or {}).get(name), kind)
                continue
            one, other = line.expected.get(name), line.actual.get(name)
            if equal(one, other, kind):
                yield cell_words(other, kind)
            else:
                shown = cell_words(one, kind), cell_words(other, kind)
                before, after = shown if shown[0] != shown[1] else (repr(one), repr(other))
                yield f"{before} -> {after}"

    def as_dict(self) -> dict[str, Any]:
        """The difference as plain values."""
        return {
            "rows": [
                {
                    "mark": line.mark.value,
                    "expected": dict(line.expected) if line.expected is not None else None,
                    "given": dict(line.actual) if line.actual is not None else None,
                }
                for line in self.lines
            ],
        }


def cell_words(value: Shown, kind: Type, unclear: str = "") -> str:
    """A value as a reader of a difference sees it: one line, and no two values alike.

    unclear   characters for which a text is put in quotes.

    >>> cell_words(None, Type("VARCHAR")), cell_words("NULL", Type("VARCHAR"))
    ('NULL', "'NULL'")
    """
    if isinstance(value, list):
        inner = kind.parts[0][1]
        return f"[{', '.join(cell_words(item, inner, _NESTING) for item in value)}]"
    if isinstance(value, dict):
        parts = dict(kind.parts)
        inner_of = {key: parts["value" if kind.kind == "MAP" else key] for key in value}
        pairs = (
            f"{key}: {cell_words(item, inner_of[key], _NESTING)}" for key, item in value.items()
        )
        return f"{{{', '.join(pairs)}}}"
    if value is None:
        return "NULL"
    is_clear = value.isprintable() and value == value.strip() and value not in ("", "NULL")
    has_marks = value.startswith("'") or "->" in value or any(mark in value for mark in unclear)
    return value if is_clear and not has_marks else repr(value)


_NESTING = ",[]{}"


def compare(
    kinds: Mapping[str, Type],
    expected: Sequence[Row],
    actual: Sequence[Row],
    *,
    key: Iterable[str] = (),
    ordered: bool = False,
) -> Difference:
    """What is different.

    kinds   the columns that are compared, with their types. Without any only the number of rows is.
    key     what names a row: by it rows are paired, where it is among the columns.
    """
    missing, unexpected = _left_over(kinds, expected, actual)
    if ordered:
        return _in_order(kinds, expected, actual, is_bag=not missing and not unexpected)
    if not missing and not unexpected:
        return Difference(kinds)
    folded = {name.lower(): name for name in kinds}
    named = [folded[name.lower()] for name in key if name.lower() in folded]
    has_key = bool(named) and len(named) == len(list(key))
    pairs = (
        _pairs_by_key(kinds, missing, unexpected, named)
        if has_key
        else _pairs_by_likeness(kinds, missing, unexpected)
    )
    lines = []
    partner = dict(pairs)
    for place, row in enumerate(missing):
        if place in partner:
            lines.append(Line(Mark.CHANGED, row, unexpected[partner[place]]))
        else:
            lines.append(Line(Mark.MISSING, row, None))
    taken = set(partner.values())
    lines += [
        Line(Mark.UNEXPECTED, None, row) for n, row in enumerate(unexpected) if n not in taken
    ]
    return Difference(kinds, tuple(lines))


def _same(kinds: Mapping[str, Type], one: Row, other: Row) -> bool:
    return all(equal(one.get(name), other.get(name), kind) for name, kind in kinds.items())


def _left_over(
    kinds: Mapping[str, Type], expected: Sequence[Row], actual: Sequence[Row]
) -> tuple[list[Row], list[Row]]:
    """The rows of each side without an equal on the other; each row has one equal at most."""
    waiting: dict[str, list[int]] = defaultdict(list)
    for place, row in enumerate(actual):
        waiting[_exactly(kinds, row)].append(place)
    missing = []
    for row in expected:
        same = waiting.get(_exactly(kinds, row))
        if same:
            same.pop(0)
        else:
            missing.append(row)
    unexpected = [
        actual[place] for place in sorted(p for places in waiting.values() for p in places)
    ]
    return _without_near(kinds, missing, unexpected)


def _without_near(
    kinds: Mapping[str, Type], missing: list[Row], unexpected: list[Row]
) -> tuple[list[Row], list[Row]]:
    """The same without those that are near: floating point numbers, JSON in other words."""
    exact = {name: kind for name, kind in kinds.items() if not _is_near(kind)}
    if len(exact) == len(kinds):
        return missing, unexpected
    waiting: dict[str, list[int]] = defaultdict(list)
    for place, row in enumerate(unexpected):
        waiting[_exactly(exact, row)].append(place)
    still, gone = [], set()
    for row in missing:
        places = waiting[_exactly(exact, row)]
        near = next((place for place in places if _same(kinds, row, unexpected[place])), None)
        if near is None:
            still.append(row)
        else:
            places.remove(near)
            gone.add(near)
    return still, [row for place, row in enumerate(unexpected) if place not in gone]


def _is_near(kind: Type) -> bool:
    """Whether values that are told by different texts can be equal."""
    return kind.kind in ("FLOAT", "DOUBLE", "JSON", "MAP") or any(
        _is_near(part) for _, part in kind.parts
    )


def _exactly(kinds: Mapping[str, Type], row: Row) -> str:
    return repr([row.get(name) for name in kinds])


def _in_order(
    kinds: Mapping[str, Type], expected: Sequence[Row], actual: Sequence[Row], *, is_bag: bool
) -> Difference:
    lines = []
    for place in range(max(len(expected), len(actual))):
        one = expected[place] if place < len(expected) else None
        other = actual[place] if place < len(actual) else None
        if one is not None and other is not None:
            if not _same(kinds, one, other):
                lines.append(Line(Mark.CHANGED, one, other, place + 1))
        else:
            mark = Mark.UNEXPECTED if one is None else Mark.MISSING
            lines.append(Line(mark, one, other, place + 1))
    return Difference(kinds, tuple(lines), is_order=is_bag and bool(lines))


def _pairs_by_key(
    kinds: Mapping[str, Type], missing: Sequence[Row], unexpected: Sequence[Row], key: Sequence[str]
) -> list[tuple[int, int]]:
    of_key = {name: kinds[name] for name in key}
    waiting: dict[str, list[int]] = defaultdict(list)
    for place, row in enumerate(unexpected):
        waiting[_exactly(of_key, row)].append(place)
    return [
        (place, places.pop(0))
        for place, row in enumerate(missing)
        if (places := waiting[_exactly(of_key, row)])
    ]


def _pairs_by_likeness(
    kinds: Mapping[str, Type], missing: Sequence[Row], unexpected: Sequence[Row]
) -> list[tuple[int, int]]:
    """Pairs with the most equal cells first; at least half of the cells are equal."""
    scores = []
    for place, row in enumerate(missing[:_PAIRED]):
        for other, candidate in enumerate(unexpected[:_PAIRED]):
            score = sum(
                equal(row.get(name), candidate.get(name), kind) for name, kind in kinds.items()
            )
            if score * 2 >= len(kinds) and score:
                scores.append((-score, place, other))
    found: list[tuple[int, int]] = []
    rows, others = set(), set()
    for _, place, other in sorted(scores):
        if place not in rows and other not in others:
            rows.add(place)
            others.add(other)
            found.append((place, other))
    return sorted(found)
