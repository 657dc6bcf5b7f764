"""The content of a project's files, without reading those that have not changed.

A file is known by its size, its times and its inode. As Git does, a file that was changed just
before it was looked at is not known by these: it may have been changed again within the same tick
of the clock, so it is read again the next time.
"""

from __future__ import annotations

import glob
import hashlib
import os
import re
import stat
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headwater.folder import SETTINGS_FILE
from headwater.index.store import digest

FOLDERS = ("sources", "models", "functions", "checks")
"""Where the definitions stand that a plan reads."""
JUST_NOW_NS = 2_000_000_000
"""What has changed within this time is not known by its times: file systems keep them in steps of
up to two seconds."""
_DEFINITION = re.compile(r"\.(sql|py|y.*ml)\Z", re.IGNORECASE)
_VARIABLE = re.compile(rb"\$\{([A-Za-z_][A-Za-z0-9_]*)")

Mark = tuple[int, ...]
"""Size, time of change, time of any change to the inode, and the inode: (0,) for none."""


@dataclass(frozen=True)
class Facts:
    """What is known of a file.

    mark       how it is told from what it was.
    content    the hash of its content; "" where it cannot be read.
    variables  the environment variables that it may name.
    """

    mark: Mark
    content: str
    variables: tuple[str, ...] = ()


def mark_of(facts: os.stat_result) -> Mark:
    return (facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns, facts.st_ino, facts.st_dev)


def is_settled(mark: Mark, moment_ns: int) -> bool:
    """Whether a file with this mark has not been changed just before a moment."""
    return max(mark[1:3], default=0) < moment_ns - JUST_NOW_NS


def definition_files(folder: Path) -> list[str]:
    """The paths in a project at which reading may find a definition: more than it reads, never
    fewer. Links are followed."""
    found = [SETTINGS_FILE]
    seen: set[tuple[int, int]] = set()
    for top in FOLDERS:
        for path, folders, names in os.walk(folder / top, followlinks=True):
            facts = os.stat(path)  # noqa: PTH116 - a Path for each costs as much again
            if (facts.st_dev, facts.st_ino) in seen:  # a link that leads back up
                folders.clear()
                continue
            seen.add((facts.st_dev, facts.st_ino))
            inside = os.path.relpath(path, folder)
            found += [f"{inside}/{name}" for name in (*names, *folders) if _DEFINITION.search(name)]
    return sorted(found)


def look(folder: Path, known: Any) -> tuple[dict[str, Facts], dict[str, Any]]:
    """The definition files of a project: path -> facts; and what to remember of them.

    known   what was remembered the last time.
    """
    known = known if isinstance(known, dict) else {}
    facts: dict[str, Facts] = {}
    kept: dict[str, Any] = {}
    for path in definition_files(folder):
        facts[path] = _remembered(folder / path, known.get(path)) or read(folder / path)
        if is_settled(facts[path].mark, time.time_ns()):
            one = facts[path]
            kept[path] = [list(one.mark), one.content, list(one.variables)]
    return facts, kept


def _remembered(path: Path, known: Any) -> Facts | None:
    """What was remembered of a file, if it is what it was."""
    try:
        mark, content, variables = known
        if list(mark_of(path.stat())) == mark:
            return Facts(tuple(mark), str(content), tuple(variables))
    except (OSError, TypeError, ValueError):
        pass
    return None


def read(path: Path) -> Facts:
    """The facts of a file, from its content. Its mark is (0, …) where it cannot be read, or is
    changed meanwhile: then nobody remembers it."""
    try:
        with path.open("rb") as file:
            before = mark_of(os.fstat(file.fileno()))
            content = file.read()
            after = mark_of(os.fstat(file.fileno()))
    except OSError as error:
        return Facts((0, time.time_ns(), 0), f"unread {error.errno}")
    names = tuple(sorted({name.decode() for name in _VARIABLE.findall(content)}))
    mark = before if before == after else (0, time.time_ns(), 0)
    return Facts(mark, hashlib.sha256(content).hexdigest(), names)


def environment_digest(names: Iterable[str], environment: Mapping[str, str]) -> str:
    """A digest of the values of environment variables: the values themselves are not kept."""
    values = [f"{name}={environment[name]}" for name in sorted(set(names)) if name in environment]
    return digest(*values, f"TZ={environment.get('TZ')}")


def variables_in(texts: Iterable[str]) -> set[str]:
    """The environment variables that texts may name."""
    return {
        name.decode() for text in texts for name in _VARIABLE.findall(text.encode(errors="replace"))
    }


# ---- files that are no definitions ----------------------------------------------------------


@dataclass(frozen=True)
class Listing:
    """What was found at some paths, as a digest; `is_settled`: nothing of it changed just now."""

    digest: str
    is_settled: bool


def listing(patterns: Iterable[str], moment_ns: int) -> Listing:
    """The files that globs match, with their marks; and of one without any, whether its folder
    is there."""
    return _listing((line for pattern in patterns for line in _matches(pattern)), moment_ns)


def _matches(pattern: str) -> Iterator[tuple[str, Mark]]:
    found = sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207 - absolute globs
    for path in found:
        yield f"{pattern}\0{path}\0{os.path.realpath(path)}", _mark_at(path)
    parent = str(Path(pattern).parent)
    yield f"{pattern}\0in\0{bool(found or glob.glob(parent))}", ()  # noqa: PTH207 - the same


def tree(folder: Path, moment_ns: int) -> Listing:
    """All files below a folder, with their marks."""
    paths = sorted(
        os.path.join(path, name)  # noqa: PTH118 - a Path for each costs as much again
        for path, _, names in os.walk(folder)
        for name in names
    )
    return _listing(((path, _mark_at(path)) for path in paths), moment_ns)


def _mark_at(path: str) -> Mark:
    """The mark of a file; of a folder only that it is one: what is put into it changes its own."""
    try:
        facts = os.stat(path)  # noqa: PTH116 - the same
    except OSError:
        return (0,)
    return (-1,) if stat.S_ISDIR(facts.st_mode) else mark_of(facts)


def _listing(found: Iterable[tuple[str, Mark]], moment_ns: int) -> Listing:
    lines, settled = [], True
    for text, mark in found:
        lines.append(f"{text}\0{mark}")
        settled = settled and is_settled(mark, moment_ns)
    return Listing(digest(*lines), settled)
