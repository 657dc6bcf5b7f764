"""The files of the index: JSON in the folder `index` of the lake's, each with a digest of itself.

Nothing depends on them. What cannot be read, or is not what was written, counts as missing; what
cannot be written is not there the next time. So a broken index costs time, and nothing else.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

FORMAT = 1
"""Of the files: one of another format counts as missing."""
FOLDER = "index"
SWITCH = "HEADWATER_NO_INDEX"
"""The environment variable that turns the index off, where it has a value."""
MAX_BYTES = 64 << 20
"""A file that would be larger is not written, and not read."""
MAX_ANSWERS = 24
"""So many answers are kept, one for each command and its options."""
UNFINISHED_S = 600.0
"""A file that is written for so long is written by nobody any more."""


def is_on() -> bool:
    """Whether the index is used at all."""
    return not os.environ.get(SWITCH)


class Store:
    """The index of one lake. `lake`: its folder."""

    def __init__(self, lake: Path) -> None:
        self.folder = lake / FOLDER

    def read(self, name: str) -> Any:
        """What was written under a name; None where it is not there or not whole."""
        try:
            with (self.folder / name).open("rb") as file:
                found = file.read(MAX_BYTES + 1)
            head, mark, body = found.partition(b"\n")
            if not mark or len(found) > MAX_BYTES or head != _head(name, body):
                return None
            return json.loads(body)
        except (OSError, ValueError, RecursionError, MemoryError):
            return None

    def write(self, name: str, value: Any) -> None:
        """Keep a value under a name: whole, or not at all."""
        body = json.dumps(value, separators=(",", ":")).encode()
        content = _head(name, body) + b"\n" + body
        if len(content) > MAX_BYTES:
            return
        part = self.folder / f"{name}.{secrets.token_hex(6)}.part"
        # On purpose: whoever may only read the lake, or has a full disk, plans without an index.
        with suppress(OSError):
            self.folder.mkdir(exist_ok=True)
            try:
                part.write_bytes(content)
                part.replace(self.folder / name)
            finally:
                part.unlink(missing_ok=True)

    def drop_old_answers(self) -> None:
        """Remove the answers that were kept first, where there are too many, and what killed
        processes did not finish."""
        with suppress(OSError):
            for _, path in sorted(self._found("answer-*.json"), reverse=True)[MAX_ANSWERS:]:
                path.unlink(missing_ok=True)
            for changed_s, path in self._found("*.part"):
                if changed_s < time.time() - UNFINISHED_S:
                    path.unlink(missing_ok=True)

    def _found(self, pattern: str) -> Iterator[tuple[float, Path]]:
        for path in self.folder.glob(pattern):
            with suppress(FileNotFoundError):
                yield path.stat().st_mtime, path


def _head(name: str, body: bytes) -> bytes:
    return f"headwater index {FORMAT} {name} {hashlib.sha256(body).hexdigest()}".encode()


def digest(*parts: str) -> str:
    """A hash of texts, each told from the next."""
    found = hashlib.sha256()
    for part in parts:
        content = part.encode(errors="surrogateescape")
        found.update(len(content).to_bytes(8, "big"))
        found.update(content)
    return found.hexdigest()


@cache
def versions() -> str:
    """A digest of the software that gives the answers: Python, the packages that are installed, and
    Headwater's own files, which may change without a version where somebody works on them."""
    parts = [sys.version, sys.platform, str(FORMAT)]
    for folder in dict.fromkeys(sys.path):
        with suppress(OSError):
            names = os.listdir(folder or ".")  # noqa: PTH208 - a Path for each costs as much again
            parts += sorted(name for name in names if name.endswith((".dist-info", ".egg-info")))
    own = Path(__file__).parent.parent
    for folder, _, names in sorted(os.walk(own)):
        for name in sorted(name for name in names if name.endswith(".py")):
            with suppress(OSError):
                facts = os.stat(os.path.join(folder, name))  # noqa: PTH116, PTH118 - the same
                parts.append(f"{folder}/{name} {facts.st_size} {facts.st_mtime_ns}")
    return digest(*parts)
