"""Deciding which files a landing reads, and what it does to the rows that are there.

Pure: from what the dataset says, the files that are there and those that were landed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from math import inf

from headwater.errors import FileRefused
from headwater.lake.state import LandedFile
from headwater.project.definitions import FileDataset, Write
from headwater.sources.batch import Item

KEEP_COPIES = "with `raw_retention_days` the lake keeps copies for the next time"
"""What helps where files are gone."""


class Manner(Enum):
    """What a landing does to the rows that are there."""

    ADD = auto()
    """Nothing: rows are added."""
    REWRITE = auto()
    """Files are read again: their rows are exchanged, those of other files stay."""
    MERGE = auto()
    """Rows with the same key give way."""
    WHOLE = auto()
    """All files are read: what is there becomes what they say."""


@dataclass(frozen=True, kw_only=True)
class Intake:
    """What a landing reads.

    items      the files, in the order in which their rows land.
    before     path -> what was landed of it, for those of `items` that were.
    gone       files that were landed, are not there any more, and take their rows along.
    refused    files that are not read, and why.
    again      the paths of those that are read though they were landed.
    is_asked   whether they are because the user says so; else because they have changed.
    """

    manner: Manner
    items: tuple[Item, ...] = ()
    before: Mapping[str, LandedFile] = field(default_factory=dict)
    gone: tuple[LandedFile, ...] = ()
    refused: tuple[tuple[Item, FileRefused], ...] = ()
    again: frozenset[str] = frozenset()
    is_asked: bool = False

    @property
    def is_empty(self) -> bool:
        return not self.items and not self.gone

    def part(self, items: Sequence[Item]) -> Intake:
        """The same for some of the files; what an `ADD` or `REWRITE` does to one concerns none
        of the others."""
        before = {item.path: self.before[item.path] for item in items if item.path in self.before}
        manner = self.manner
        if manner is Manner.REWRITE and not before:
            manner = Manner.ADD
        return replace(self, manner=manner, items=tuple(items), before=before)

    @property
    def reason(self) -> str:
        """In a line."""
        return self.told({item.path for item in self.items})

    def told(self, paths: Collection[str]) -> str:
        """The same for some of the files."""
        again = len(self.again & set(paths))
        fresh = len(set(paths) - self.again - self.before.keys())
        words = [(fresh, "new"), (again, "relanded" if self.is_asked else "changed")]
        words.append((len(self.gone), "gone"))
        told = [
            f"1 {what} file" if count == 1 else f"{count} {what} files"
            for count, what in words
            if count
        ]
        return ", ".join(told) or "no new files"


def decide_intake(
    definition: FileDataset,
    items: Sequence[Item],
    known: Mapping[str, LandedFile],
    has_changed: Callable[[Item, LandedFile], bool],
    *,
    reland: bool = False,
    earlier: Mapping[str, LandedFile] | None = None,
    copy_of: Callable[[LandedFile], Item | None] = lambda file: None,
) -> Intake:
    """Which of `items` (the files that are there) to read, and which files that are gone, from
    their copies.

    known        path -> the newest of what was recorded of it in this built table.
    has_changed  whether a file differs from what was landed of it; may read the file.
    reland       read all files again, changed or not.
    earlier      path -> what was landed of it under the contract before, for those that were.
    copy_of      a file that is gone, to be read from its copy, if there is one; may look at it.
    """
    there = {path: file for path, file in known.items() if file.is_landed}
    present = {item.path for item in items}
    gone = tuple(file for path, file in sorted(there.items()) if path not in present)
    old = [item for item in items if item.path in there]
    if definition.write is Write.REPLACE:
        again = {i.path for i in old if reland or has_changed(i, there[i.path])}
        common = Intake(manner=Manner.ADD, again=frozenset(again), is_asked=reland)
        if len(old) == len(items) and not (again or gone):
            return common
        before = {item.path: there[item.path] for item in old}
        return replace(common, manner=Manner.WHOLE, items=tuple(items), before=before, gone=gone)
    earlier = earlier or {}
    lost = [file for path, file in earlier.items() if path not in present and path not in there]
    copies = [item for item in map(copy_of, lost) if item]
    # What was landed before lands again in the order in which it did, and what is new after it.
    fresh = [*(item for item in items if item.path not in there), *copies]
    turns = {item.path: _turn(earlier.get(item.path)) for item in fresh}
    arranged = sorted([*items, *copies], key=lambda item: turns.get(item.path, inf))
    if definition.write is Write.APPEND:
        again = {i.path for i in old if reland or has_changed(i, there[i.path])}
        return Intake(
            manner=Manner.REWRITE if again else Manner.ADD,
            items=tuple(i for i in arranged if i.path in again or i.path in turns),
            before={path: there[path] for path in again},
            again=frozenset(again),
            is_asked=reland,
        )
    changed = {i.path for i in old if has_changed(i, there[i.path])}
    merged = Intake(manner=Manner.MERGE, items=tuple(i for i in arranged if i.path in turns))
    if not (changed or reland):
        return merged
    found = {file.path: copy_of(file) for file in gone}
    old += [item for item in found.values() if item]
    mended = [item for item in old if reland or item.path in changed]
    if not mended:
        return merged
    lacking = [path for path, item in found.items() if not item]
    if refused := _refused(definition, mended, lacking):
        return replace(merged, refused=refused)
    # What a changed file has overwritten can only be told from all files, in the order in which
    # they landed; what changed lands last.
    steady = [item for item in old if item.path not in changed]
    steady.sort(key=lambda item: _turn(there[item.path]))
    rest = [item for item in arranged if item.path in turns or item.path in changed]
    return Intake(
        manner=Manner.WHOLE,
        items=(*steady, *rest),
        before={item.path: there[item.path] for item in old},
        again=frozenset(item.path for item in mended),
        is_asked=reland,
    )


def _turn(file: LandedFile | None) -> float:
    """When a file has landed among others; one that has not comes after them."""
    return file.file_id or 0 if file else inf


def _refused(
    definition: FileDataset, again: Sequence[Item], lacking: Sequence[str]
) -> tuple[tuple[Item, FileRefused], ...]:
    """The files of an `upsert` or `history` that cannot be landed again, and why."""
    if definition.write is Write.HISTORY and not definition.latest_by:
        problem = "when its rows were seen first cannot be told from the files"
        hint = "put new rows into a new file; or state `on_duplicate: latest by COLUMN`"
    elif lacking:
        problem = f"{lacking[0]}, which was landed too, is not there any more"
        hint = "bring it back, or put new rows into a new file; " + KEEP_COPIES
    else:
        return ()
    message = f"the file cannot be landed again: {problem}"
    return tuple((item, FileRefused(message, where=item.path, hint=hint)) for item in again)
