"""What a run may take over from another environment, as it stands there.

A run of `dev` takes what prod has released; a promotion takes what the promoted environment has. A
built table belongs to whoever means the same by it, so nothing is copied.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from headwater.lake.lake import Lake
from headwater.lake.state import Build, Position, State
from headwater.names import PROD, DatasetName
from headwater.plan.plan import standing_since


@dataclass
class Neighbours:
    """The environment that a run takes from.

    promote    the environment that is promoted; "" for none.
    promoted   its names.
    held       those that a rollback holds there.
    base       name -> where prod had it when that environment got it as it has it now.
    """

    lake: Lake
    promote: str = ""
    builds: dict[tuple[DatasetName, Position], Build | None] = field(default_factory=dict)
    promoted: Mapping[DatasetName, Position] = field(default_factory=dict)
    held: Mapping[DatasetName, int] = field(default_factory=dict)
    base: Mapping[DatasetName, Position] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.promote:
            with self.lake.reading():
                release = self.lake.release_at(None, self.promote)
                self.promoted, self.held = release.names, release.held
                self.base = self._base()

    def _base(self) -> dict[DatasetName, Position]:
        """What prod had of each name when the promoted environment got it as it has it now, or
        lost it."""
        based_on = self.lake.bases(self.promote)
        now = self.lake.release_at(None, PROD).names
        since = standing_since(self.lake.names_ever(self.promote), now)
        then = {
            base: self.lake.release_at(base, PROD).names
            for base in {based_on.get(release, 0) for release in since.values()}
        }
        found = {name: then[based_on.get(release, 0)].get(name) for name, release in since.items()}
        return {name: place for name, place in found.items() if place}

    @property
    def whose(self) -> str:
        """Its name."""
        return self.promote or PROD

    def names(self, state: State) -> Mapping[DatasetName, Position]:
        """Its names: none for an ordinary run of prod."""
        if self.promote:
            return self.promoted
        return {} if self.lake.environment == PROD else state.prod.names

    def build(self, state: State, name: DatasetName, position: Position) -> Build | None:
        """The build of a dataset that ended at a position."""
        newest = state.builds.get((name, position.table))
        if newest and newest.position == position:
            return newest
        if (name, position) not in self.builds:
            self.builds[name, position] = self.lake.build_at(name, position)
        return self.builds[name, position]

    def whole_build(self, state: State, position: Position) -> Build | None:
        """The build of a table that ended at a position, if it set no row aside: which of several
        equal ones that was may follow from their order."""
        newest = state.newest_of_tables.get(position.table)
        build = self.build(state, newest.dataset, position) if newest else None
        return build if build and not self.lake.set_aside(build) else None

    def inputs(
        self, state: State, name: DatasetName, position: Position
    ) -> Mapping[DatasetName, Position] | None:
        """What a dataset was computed from at a position; None: that is not on record."""
        build = self.build(state, name, position)
        return build.inputs if build else None
