"""Paths that make columns: `data/{region}/{day}.csv`. Pure."""

from __future__ import annotations

import re

_COLUMN = re.compile(r"\{([A-Za-z]\w*)\}")
_PARTS = re.compile(
    rf"(?P<column>{_COLUMN.pattern})|(?P<deep>\*\*/)|(?P<any>\*)|(?P<one>\?)|"
    r"(?P<kind>\[!?[^\]]+\])|(?P<plain>.)",
    re.DOTALL,
)


def as_glob(path: str) -> str:
    """A path's glob, in which each `{name}` stands for any text.

    >>> as_glob("data/{region}/*.csv")
    'data/*/*.csv'
    """
    return _COLUMN.sub("*", path)


def compiled(path: str) -> re.Pattern[str]:
    """A path with globs and names as a pattern, with a group for each name. A name stands for a
    text without `/` that is not empty, the first one for as little as can be; where a name comes
    again, it is the same text.

    >>> compiled("data/{region}/{day}_*.csv").fullmatch("data/north/2026-01-01_a.csv").groupdict()
    {'region': 'north', 'day': '2026-01-01'}
    """
    parts: list[str] = []
    seen: set[str] = set()
    for part in _PARTS.finditer(path):
        if name := part[2]:
            parts.append(f"(?P={name})" if name in seen else f"(?P<{name}>[^/]+?)")
            seen.add(name)
        elif part["deep"]:
            parts.append(r"(?:[^/]+/)*")
        elif part["any"]:
            parts.append(r"[^/]*")
        elif part["one"]:
            parts.append(r"[^/]")
        elif kind := part["kind"]:
            parts.append(f"[^{kind[2:]}" if kind.startswith("[!") else kind)
        else:
            parts.append(re.escape(part["plain"]))
    return re.compile("".join(parts))
