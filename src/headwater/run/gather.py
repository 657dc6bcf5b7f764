"""Which files a landing would read: what is there is held against what was landed.

Reads folders, and files where their size or time has changed; writes nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from headwater.analysis.fingerprint import paths_of
from headwater.errors import HeadwaterError, NoSuchInput, counted
from headwater.ingest.copies import Copies
from headwater.ingest.intake import KEEP_COPIES, Intake, Manner, decide_intake
from headwater.lake.raw import Raw
from headwater.lake.state import LandedFile, State
from headwater.names import DatasetName
from headwater.project.definitions import SourceDataset
from headwater.sources.batch import Item
from headwater.sources.files.discover import discover
from headwater.sources.files.unpack import content_hash

MAX_STEP_BYTES = 1 << 30
"""A landing step takes files up to so many bytes, and at least one."""


@dataclass(frozen=True)
class Gathered:
    """What is to land, and what the user should know about it."""

    intake: Intake
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Gatherer:
    """Gathers the files of one source dataset after the other.

    folder     the project's.
    lake       the lake's.
    renames    earlier name -> the name now.
    relanded   datasets all of whose files are read again.
    from_now   whether to go on without files that an earlier contract landed and that are gone.
    """

    folder: Path
    lake: Path
    renames: Mapping[DatasetName, DatasetName]
    relanded: frozenset[DatasetName] = frozenset()
    from_now: bool = False

    def gather(
        self, dataset: SourceDataset, table: str, state: State, *, again: bool = False
    ) -> Gathered:
        """What is to land into the built table `table`; `again`: all of it, whether it has landed
        or not. Raises NoSuchInput where no file was ever there, and HeadwaterError where files are
        gone that are needed."""
        known = {path: file for (t, path), file in state.files.items() if t == table}
        definition = dataset.definition
        missing: NoSuchInput | None = None
        try:
            items = discover(self.folder, definition, str(dataset.name))
        except NoSuchInput as error:
            missing = error
            items = discover(self.folder, definition, str(dataset.name), may_miss=True)
        earlier = self._landed_before(dataset, table, state)
        intake = decide_intake(
            definition,
            items,
            known,
            _has_changed,
            reland=again or dataset.name in self.relanded,
            earlier=earlier,
            copy_of=Copies(self.raw(dataset.name), self.folder, definition).of,
        )
        if missing and not any(item.copy_of for item in intake.items):
            if not any(file.is_landed for file in known.values()):
                raise missing
            note = f"{missing.message}; what was landed from it stays"
            return Gathered(Intake(manner=Manner.ADD), (note,))
        if any(place.table == table for place in state.released.values()):
            return Gathered(intake)  # what is missing was missed before it was released
        found = {item.path for item in (*items, *intake.items)}
        found.update(path for path, file in known.items() if file.is_landed)
        return Gathered(intake, self._miss(dataset.name, sorted(earlier.keys() - found)))

    def former(self, name: DatasetName) -> list[DatasetName]:
        """The names that a dataset had before."""
        return [old for old, new in self.renames.items() if new == name]

    def raw(self, name: DatasetName) -> Raw:
        """The copies of a dataset's files."""
        return Raw(self.lake, str(name), [str(old) for old in self.former(name)])

    def _landed_before(
        self, dataset: SourceDataset, table: str, state: State
    ) -> dict[str, LandedFile]:
        """The files that a dataset was landed from under the contract that it had before."""
        name = dataset.name
        before = table_before(state, {name, *self.former(name)}, table)
        build = state.newest_of_tables.get(before)
        own = {place.table for place in state.released.values()}
        if build and before not in own and build.paths not in (None, paths_of(dataset)):
            before = ""  # another environment's, whose files are elsewhere
        files = state.files.items() if before else ()
        return {path: file for (t, path), file in files if t == before and file.is_landed}

    def _miss(self, name: DatasetName, lost: Sequence[str]) -> tuple[str, ...]:
        """What to say where a dataset is to be landed anew and files that it was landed from are
        lost; raises where nobody has said that it may go without them."""
        if not lost:
            return ()
        what = f"{counted(len(lost), 'file')} that it was landed from: {', '.join(lost[:3])}"
        if not self.from_now:
            raise HeadwaterError(
                f"its contract changed, so all of it is landed again, but {what} cannot be found",
                where=str(name),
                hint="bring them back, or land what is there: headwater run --from-now; "
                + KEEP_COPIES,
            )
        return (f"landed without {what}",)


def table_before(state: State, names: Collection[DatasetName], table: str) -> str:
    """The built table that a dataset of these names had before it got `table`; "" without. That is
    what the environment has released, or prod, before it is what was landed last by anyone."""
    for released in (state.released, state.prod.names):
        for name in names:
            if name in released and released[name].table != table:
                return released[name].table
    others = [b for (n, t), b in state.builds.items() if n in names and t != table]
    newest = max(others, key=lambda build: build.position.snapshot_id, default=None)
    return newest.position.table if newest else ""


def _has_changed(item: Item, before: LandedFile) -> bool:
    """Whether a file differs from what was landed of it; read only where its size or time do."""
    if item.size_bytes == before.size_bytes and item.modified_at == before.modified_at:
        return False
    return content_hash(item) != before.content_hash


def portions(intake: Intake) -> list[Intake]:
    """An intake in portions of at most MAX_STEP_BYTES and at least one file, in order; one that
    only makes sense as a whole in one."""
    if intake.manner is Manner.WHOLE:
        return [] if intake.is_empty else [intake]
    found: list[list[Item]] = []
    size = 0
    for item in intake.items:
        if not found or size + item.size_bytes > MAX_STEP_BYTES:
            found.append([])
            size = 0
        found[-1].append(item)
        size += item.size_bytes
    return [intake.part(part) for part in found]
