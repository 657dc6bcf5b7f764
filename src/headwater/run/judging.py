"""By which datasets the rows of a source are judged that refer to them.

What has landed keeps its place when its parent moves. Another definition of a parent is another
matter, as environments share the tables of sources: rows that dev has judged by dev's parent are
none that prod would have. So a table that prod has is judged by prod's parents alone, and one that
prod does not have yet is judged again by whoever has other parents.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from headwater.errors import HeadwaterError, counted
from headwater.ingest.intake import Intake
from headwater.ingest.landing import Landing
from headwater.lake.state import Build, Position, State
from headwater.names import PROD, DatasetName
from headwater.plan.plan import judged_by_others
from headwater.project.definitions import SourceDataset


@dataclass
class Judging:
    """By what a landing judges the rows of a source.

    parents   where what it refers to stands.
    before    where that stood when the rows that are there were judged.
    others    what of it has another definition since, so that those are judged again.
    awaited   the files whose rows are to be judged again and are not yet.
    """

    dataset: SourceDataset
    parents: Mapping[DatasetName, Position]
    before: Mapping[DatasetName, Position] = field(default_factory=dict)
    others: tuple[DatasetName, ...] = ()
    awaited: set[str] = field(default_factory=set)

    def begin(self, intake: Intake) -> None:
        """Raise where rows are to be judged again that the intake does not bring."""
        brought = {item.path for item in intake.items}
        brought.update(file.path for file in intake.gone)
        self._refuse_without(self.awaited - brought)
        self.awaited -= {file.path for file in intake.gone}

    def take(self, landing: Landing) -> None:
        """Note what a landing judges. Until no file is awaited any more the table counts as judged
        by the parents before, so that whoever is killed does it again."""
        self.awaited -= {file.item.path for file in landing.files}
        landing.inputs = dict(self.before if self.awaited else self.parents)

    def end(self) -> None:
        """Raise where rows are left that were judged by other parents."""
        self._refuse_without(self.awaited)

    def _refuse_without(self, lost: Collection[str]) -> None:
        if lost:
            name = self.dataset.name
            raise HeadwaterError(
                f"{self.others[0]}, which {name} refers to, has another definition than when its "
                f"rows were judged, and they cannot be judged again without "
                f"{counted(len(lost), 'file')}: {', '.join(sorted(lost)[:3])}",
                where=f"{self.dataset.file}:{self.dataset.line}",
                hint=f"bring them back; or change the contract of {name}, so that it is landed "
                "into a table of its own",
            )


def judging(
    dataset: SourceDataset, table: str, state: State, parents: Mapping[DatasetName, Position]
) -> Judging:
    """By what the rows of a source are judged whose built table is `table`."""
    build = state.builds.get((dataset.name, table))
    others = judged_again(state, build, {given: place.table for given, place in parents.items()})
    if build is None or not others:
        return Judging(dataset, parents)
    landed = {path for (t, path), file in state.files.items() if t == table and file.is_landed}
    return Judging(dataset, parents, build.inputs, others, landed)


def judged_again(
    state: State, build: Build | None, parents: Mapping[DatasetName, str]
) -> tuple[DatasetName, ...]:
    """What a source refers to because of which all its rows are judged again.

    parents   what it refers to -> the built table of that.
    """
    is_prods = build is not None and state.is_prods(build.position.table)
    return () if is_prods else judged_by_others(build, parents)


def refuse_older(
    dataset: SourceDataset, build: Build | None, parents: Mapping[DatasetName, Position]
) -> None:
    """Raise where a source was landed beside newer rows of a parent than are read now: some of its
    rows may refer to those."""
    for given, place in parents.items():
        judged = build.inputs.get(given) if build else None
        if judged and judged.table == place.table and judged.snapshot_id > place.snapshot_id:
            raise HeadwaterError(
                f"{dataset.name} was landed beside a newer {given} than this run reads",
                where=f"{dataset.file}:{dataset.line}",
                hint=f"run that too: headwater run --select +{dataset.name}",
            )


def refuse_for_prod(
    dataset: SourceDataset,
    table: str,
    state: State,
    parents: Mapping[DatasetName, Position],
    environment: str,
) -> None:
    """Raise where an environment would judge rows of prod by other parents than prod's."""
    if environment == PROD or not state.is_prods(table):
        return
    names = state.prod.names
    for given, place in parents.items():
        if given in names and names[given].table != place.table:
            raise HeadwaterError(
                f"prod has {dataset.name} too, and judges it by another {given} than {environment}",
                where=f"{dataset.file}:{dataset.line}",
                hint=f"land and replay it in prod, or promote {environment} first",
            )
