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


@dataclass
class Neighbours:
    """The environment that a run takes from.

    promote    the environment that is promoted; "" for none.
    promoted   its names.
    base       the names that prod had when it was built.
    """

    lake: Lake
    promote: str = ""
    builds: dict[tuple[DatasetName, Position], Build | None] = field(default_factory=dict)
    promoted: Mapping[DatasetName, Position] = field(default_factory=dict)
    base: Mapping[DatasetName, Position] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.promote:
            with self.lake.reading():
                self.promoted = self.lake.release_at(None, self.promote).names
                self.base = self.lake.release_at(self.lake.based_on(self.promote), PROD).names

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
