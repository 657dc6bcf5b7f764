"""Deciding which files a landing reads, and what it does to the rows that are there.

Pure: from what the dataset says, the files that are there and those that were landed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum, auto

from headwater.errors import FileRefused
from headwater.lake.state import LandedFile
from headwater.project.definitions import FileDataset, Write
from headwater.sources.batch import Item


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
) -> Intake:
    """Which of `items` (the files that are there) to read.

    known        path -> the newest of what was recorded of it in this built table.
    has_changed  whether a file differs from what was landed of it; may read the file.
    reland       read all files again, changed or not.
    """
    there = {path: file for path, file in known.items() if file.is_landed}
    present = {item.path for item in items}
    fresh = [item for item in items if item.path not in there]
    old = [item for item in items if item.path in there]
    again = [i for i in old if reland or has_changed(i, there[i.path])]
    gone = tuple(file for path, file in sorted(there.items()) if path not in present)
    common = Intake(
        manner=Manner.ADD, again=frozenset(item.path for item in again), is_asked=reland
    )
    if definition.write is Write.REPLACE:
        if not (fresh or again or gone):
            return common
        before = {item.path: there[item.path] for item in old}
        return replace(common, manner=Manner.WHOLE, items=tuple(items), before=before, gone=gone)
    if definition.write is Write.APPEND:
        before = {item.path: there[item.path] for item in again}
        left = {item.path for item in old} - common.again
        chosen = tuple(item for item in items if item.path not in left)
        manner = Manner.REWRITE if again else Manner.ADD
        return replace(common, manner=manner, items=chosen, before=before)
    if not again:
        return replace(common, manner=Manner.MERGE, items=tuple(fresh))
    if refused := _refused(definition, again, gone):
        return Intake(manner=Manner.MERGE, items=tuple(fresh), refused=refused)
    # What a changed file has overwritten can only be told from all files, in the order in which
    # they landed; what changed lands last.
    steady = [item for item in old if item.path not in common.again]
    steady.sort(key=lambda item: there[item.path].file_id or 0)
    unmoved = {item.path for item in steady}
    return replace(
        common,
        manner=Manner.WHOLE,
        items=(*steady, *(item for item in items if item.path not in unmoved)),
        before={item.path: there[item.path] for item in old},
    )


def _refused(
    definition: FileDataset, again: Sequence[Item], gone: Sequence[LandedFile]
) -> tuple[tuple[Item, FileRefused], ...]:
    """The files of an `upsert` or `history` that cannot be landed again, and why."""
    if definition.write is Write.HISTORY and not definition.latest_by:
        problem = "when its rows were seen first cannot be told from the files"
        hint = "put new rows into a new file; or state `on_duplicate: latest by COLUMN`"
    elif gone:
        problem = f"{gone[0].path}, which was landed too, is not there any more"
        hint = "bring it back, or put new rows into a new file"
    else:
        return ()
    message = f"the file cannot be landed again: {problem}"
    return tuple((item, FileRefused(message, where=item.path, hint=hint)) for item in again)
