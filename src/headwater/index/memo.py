"""Answers that are given again, as long as nothing has changed that they depend on.

An answer is kept with the circumstances in which it was found, and given again where all of them
are the same: the software, the question with its options, the content of each definition, the
environment variables that they name, the newest snapshot of the lake, the files that hold its
state, the copies of raw files, and the input files that the sources' paths match. They are looked
at before and after the answer is found; where they differ, nothing is kept.

What depends on the time is not kept by whoever asks (see `Answer.keep`).
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headwater.folder import CATALOG, DEFAULT_LAKE, RAW, SETTINGS_FILE
from headwater.index.catalog import catalog_digest
from headwater.index.files import (
    environment_digest,
    is_settled,
    listing,
    look,
    read,
    tree,
)
from headwater.index.store import Store, digest, is_on, versions

_FILES = "files.json"
_STATE = "data/headwater"
"""The data files of the state tables. They never change, but may be lost."""
_LAKE = re.compile(r"""^lake:[ \t]*(["']?)(?P<lake>[^"'#\n]*?)\1[ \t]*(#.*)?$""", re.MULTILINE)
_VARIABLE = re.compile(r"\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^}]*))?\}")


def likely_lake(folder: Path) -> Path | None:
    """Where the lake of a project stands, as far as can be told without reading YAML; None where
    there is none, or none that has a catalog. A guess: whoever writes there makes sure first."""
    try:
        text = (folder / SETTINGS_FILE).read_text(encoding="utf-8-sig")
    except (OSError, ValueError):
        return None
    match = _LAKE.search(text)
    words = match["lake"] if match else DEFAULT_LAKE
    words = _VARIABLE.sub(lambda m: os.environ.get(m["name"]) or m["default"] or "", words)
    try:
        lake = (folder / words).resolve()
        return lake if words and (lake / CATALOG).is_file() else None
    except (OSError, ValueError):
        return None


@dataclass(frozen=True)
class Watched:
    """What an answer depends on, as only reading the definitions tells.

    patterns     absolute globs: those of the sources' paths.
    modules      where Python modules are, or would be, that definitions import.
    definitions  the files in the project that were read.
    """

    patterns: Sequence[str]
    modules: Sequence[str]
    definitions: Collection[str] = ()


class Answer:
    """The answer to one question, if it is known.

    The order in which it is used: `known`; if that is None, `watch` once the definitions are
    read, and `keep` with what was found.

    folder    the project's.
    question  all that the answer depends on and that comes from whoever asks.
    """

    def __init__(self, folder: Path, question: Mapping[str, Any]) -> None:
        self.folder = folder
        self.question = digest(*(f"{name}={question[name]!r}" for name in sorted(question)))
        self.name = f"answer-{self.question[:24]}.json"
        self.started_ns = time.time_ns()
        self.watched: tuple[Watched, dict[str, str]] | None = None
        self.definitions: set[str] = set()
        self.lake = likely_lake(folder) if is_on() else None
        self.before = self._circumstances()

    def known(self) -> Any:
        """The answer; None where it is not known, or no longer."""
        if self.lake is None or self.before is None:
            return None
        found = Store(self.lake).read(self.name)
        try:
            if found["circumstances"] != self.before:
                return None
            watched = Watched(found["patterns"], found["modules"])
            if self._look(watched, must_be_settled=False) != found["watched"]:
                return None
            return found["answer"]
        except (OSError, TypeError, KeyError, ValueError):
            return None

    def watch(self, watched: Watched) -> None:
        """Note what the answer depends on, before it is looked for."""
        if not self.definitions.issuperset(watched.definitions):
            return  # a file that nobody has looked at counts
        with suppress(OSError):
            looked = self._look(watched, must_be_settled=True)
            self.watched = (watched, looked) if looked else None

    def keep(self, answer: Any, lake: Path) -> None:
        """Keep the answer, if the circumstances in which it was found are those of now.

        lake   where the lake stands in truth. It is not open.
        """
        if self.before is None or self.watched is None or self.lake != lake:
            return
        watched, looked = self.watched
        try:
            is_same = self._circumstances() == self.before
            if not is_same or self._look(watched, must_be_settled=True) != looked:
                return
        except OSError:
            return
        store = Store(lake)
        store.write(
            self.name,
            {
                "circumstances": self.before,
                "patterns": list(watched.patterns),
                "modules": list(watched.modules),
                "watched": looked,
                "answer": answer,
            },
        )
        store.drop_old_answers()

    def _circumstances(self) -> dict[str, str] | None:
        """A digest of each thing that the answer depends on; None where that cannot be told."""
        if self.lake is None:
            return None
        catalog = catalog_digest(self.lake)
        if catalog is None:
            return None
        store = Store(self.lake)
        remembered = store.read(_FILES)
        try:
            facts, kept = look(self.folder, remembered)
            copies = tree(self.lake / RAW, self.started_ns)
            state = tree(self.lake / _STATE, self.started_ns)
        except OSError:
            return None
        if kept != remembered:
            store.write(_FILES, kept)
        self.definitions = set(facts)
        names = {name for one in facts.values() for name in one.variables}
        return {
            "versions": versions(),
            "question": self.question,
            "folder": str(self.folder),
            "definitions": digest(*(f"{path}\0{one.content}" for path, one in facts.items())),
            "environment": environment_digest(names, os.environ),
            "catalog": catalog,
            "copies": copies.digest,
            "state": state.digest,
        }

    def _look(self, watched: Watched, *, must_be_settled: bool) -> dict[str, str]:
        """A digest of what is watched; empty where it has to be settled and is not: what changes
        just now may change again without a trace."""
        files = listing(watched.patterns, self.started_ns)
        modules = [(path, read(Path(path))) for path in watched.modules]
        settled = files.is_settled and all(
            one.content.startswith("unread") or is_settled(one.mark, self.started_ns)
            for _, one in modules
        )
        if must_be_settled and not settled:
            return {}
        return {
            "files": files.digest,
            "modules": digest(*(f"{path}\0{one.content}" for path, one in modules)),
        }
