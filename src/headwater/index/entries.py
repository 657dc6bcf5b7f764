"""Entries: what reading and binding told of a definition, under a digest of all that it came from.

A key holds everything that its value depends on, so an entry is never wrong, only of use or not.
Values are plain JSON. A definition with mistakes has none.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from headwater.index.store import Store, digest, is_on, versions

_FILE = "entries.json"


class Entries:
    """The entries of one project: those that are known, and those that this process has used."""

    def __init__(self, known: Mapping[str, Any] | None = None) -> None:
        self.known = dict(known or {})
        self.used: dict[str, Any] = {}

    def get(self, key: str) -> Any:
        """The value under a key; None: there is none."""
        if key in self.used:
            return self.used[key]
        value = self.known.get(key)
        if value is not None:
            self.used[key] = value
        return value

    def put(self, key: str, value: Any) -> None:
        self.used[key] = value

    @property
    def has_changed(self) -> bool:
        """Whether there is anything to write."""
        return self.used.keys() != self.known.keys()


def key(kind: str, *parts: str) -> str:
    """The key of what `parts` lead to."""
    return f"{kind} {digest(*parts)}"


def load_entries(lake: Path | None) -> Entries:
    """The entries beside the lake in the folder `lake`; none where there are none."""
    if lake is None or not is_on():
        return Entries()
    found = Store(lake).read(_FILE)
    if not isinstance(found, dict) or found.get("versions") != versions():
        return Entries()
    known = found.get("entries")
    return Entries(known if isinstance(known, dict) else None)


def save_entries(entries: Entries, lake: Path) -> None:
    """Keep what this process used; what it did not use goes."""
    if is_on() and entries.has_changed:
        Store(lake).write(_FILE, {"versions": versions(), "entries": entries.used})
        entries.known = dict(entries.used)
