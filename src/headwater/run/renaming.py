"""Taking over what was landed or built under an earlier name."""

from __future__ import annotations

from dataclasses import dataclass

from headwater.errors import HeadwaterError
from headwater.lake.lake import CommitNote
from headwater.lake.step import record_rename
from headwater.names import DatasetName
from headwater.plan.plan import Action
from headwater.project.definitions import Dataset, SourceDataset
from headwater.run.progress import Progress


@dataclass
class Renamer:
    """Gives built tables to the datasets that have new names."""

    run: Progress

    def take_over(self, dataset: Dataset, mark: str) -> None:
        """Take over what was landed or built under an earlier name, where it means the same.

        What prod has under the earlier name is taken over by prod alone, and whatever another
        environment has landed or built under the new one meanwhile.

        Raises where the built table of that meaning was taken over by another dataset: two that
        wrote to one table would not see each other's rows.
        """
        name = dataset.name
        mine = self.run.state.newest_build(name, mark)
        owner = self.run.state.owner(mine.position.table) if mine else None
        earlier = [old for old, new in self.run.renames.items() if new == name]
        former = next((old for old in earlier if self.run.owned_build(old, mark)), None)
        if former and self.run.is_prod and (owner != name or self.is_prods(former, mark)):
            self.rename(former, dataset, mark)
        elif owner and owner != name and (self.run.is_prod or isinstance(dataset, SourceDataset)):
            raise HeadwaterError(
                f"its built table is now that of {owner}, which it was renamed to",
                where=f"{dataset.file}:{dataset.line}",
                hint=f"remove it, or name it back: `renamed_from: {owner}`",
            )

    def is_prods(self, former: DatasetName, mark: str) -> bool:
        """Whether prod has what an earlier name means, under that name."""
        build, place = self.run.owned_build(former, mark), self.run.state.prod.names.get(former)
        return build is not None and place is not None and build.position.table == place.table

    def rename(self, former: DatasetName, dataset: Dataset, mark: str) -> None:
        self.run.flush()
        lock = self.run.lock(former)  # whoever still runs with the earlier name has committed then
        try:
            build = self.run.owned_build(former, mark)
            if build is None:  # another run was faster
                return
            reason = f"renamed from {former}"
            table = build.position.table
            identity = self.run.identity(dataset.name, table, mark, Action.RENAME, reason)
            note = CommitNote(message=f"{former} is now {dataset.name}", run_id=self.run.run_id)
            with self.run.lake.commit(note) as commit:
                record_rename(commit, identity, build)
            self.run.committed += 1
            self.run.steps[dataset.name].notes.append(f"{reason}; its rows were taken over")
        finally:
            lock.release()
        self.run.look_again()
