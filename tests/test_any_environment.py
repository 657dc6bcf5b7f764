"""Whatever is done, in whatever order, each environment holds what a slow and plain model says.

The number of examples follows HEADWATER_EXAMPLES.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st

import headwater as hw
from headwater.errors import NoLake, ReleaseRefused, UnknownEnvironment
from tests.killing.promotions import (
    LEAST,
    SEEN,
    SOURCES,
    TOTALS,
    Variant,
    add_file,
    check,
    content,
    write_definitions,
)

EXAMPLES = max(int(os.environ.get("HEADWATER_EXAMPLES", "6")) // 2, 1)

Names = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Held:
    """What an environment holds: all of it was built as `variant` says, over `files` files."""

    variant: Variant
    files: int


@dataclass
class Slow:
    """What the folder and each environment hold.

    base       what prod had when an environment was built.
    releases   prod's, by number.
    moved_to   (name, how it is defined) -> prod's newest release that moved it there.
    cleaned    whether the lake was cleaned.
    went_back  whether prod's newest names are those of an earlier release, resumed or not.
    """

    variant: Variant = field(default_factory=Variant)
    files: int = 1
    holds: dict[str, Held] = field(default_factory=dict)
    base: dict[str, Held | None] = field(default_factory=dict)
    releases: dict[int, Held] = field(default_factory=dict)
    moved_to: dict[tuple[str, tuple[int, ...]], int] = field(default_factory=dict)
    cleaned: bool = False
    is_rolled_back: bool = False
    went_back: bool = False

    @property
    def prod(self) -> Held | None:
        return self.holds.get("prod")

    def release(self, held: Held, report: Any) -> None:
        """Prod has run: what it builds is released, but for what a rollback holds."""
        if not self.is_rolled_back:
            self.holds["prod"] = held
        if report.release:
            self.releases[report.release] = self.holds["prod"]
            self.went_back = False
            for name in map(str, report.moves):
                self.moved_to[name, held.variant.tables()[name]] = report.release

    def files_seen(self, environment: str, *, land: bool) -> int:
        """How many files an environment's next run reads: those that it or prod has, if prod
        defines the source as the folder does; else it lands them all."""
        there = [self.prod, self.holds.get(environment)]
        mine = [h.files for h in there if h and h.variant.source == self.variant.source]
        shared = self.prod is not None and self.prod.variant.source == self.variant.source
        return max(mine) if shared and not land else self.files

    def refuses(self, environment: str, *, replace: bool) -> bool:
        """Whether to promote it is refused."""
        there = self.holds[environment]
        if there.variant != self.variant:
            return True
        now = _tables(self.prod)
        if replace or not now:
            return False
        base, wanted = _tables(self.base[environment]), _tables(there)
        for name, table in now.items():
            if table not in (base.get(name), wanted[name]):
                return True  # prod has got another definition since
            mine = self.moved_to.get((name, wanted[name]), 0)
            if table != wanted[name] and 0 < mine < self.moved_to.get((name, table), 0):
                return True  # prod has left that behind
        return False


def _tables(held: Held | None) -> Names:
    return held.variant.tables() if held else {}


def step(folder: Path, slow: Slow, action: tuple[Any, ...]) -> None:
    """Do one thing to the lake, and to the model."""
    what, *more = action
    if what == "file":
        add_file(folder)
        slow.files += 1
    elif what == "define":
        slow.variant = more[0]
        write_definitions(folder, slow.variant)
    elif what == "run":
        report = hw.open_project(folder).run(replace=True)
        assert report.exit_code == 0
        slow.release(Held(slow.variant, slow.files), report)
    elif what == "try":
        run_beside(folder, slow, *more)
    elif what == "promote":
        promote(folder, slow, *more)
    elif what == "back":
        roll_back(folder, slow)
    elif what == "resume":
        if slow.is_rolled_back:
            hw.resume(folder)
        else:
            with pytest.raises((ReleaseRefused, NoLake)):
                hw.resume(folder)
        slow.is_rolled_back = False
    elif what == "clean" and slow.holds:
        hw.api.clean(folder, 0)
        slow.cleaned = True
    if slow.holds:
        newest = newest_release(folder)
        if newest and slow.prod:  # whatever has made it, it has what prod has now
            for number in range(max(slow.releases, default=0) + 1, newest + 1):
                slow.releases[number] = slow.prod


def run_beside(folder: Path, slow: Slow, environment: str, land: bool) -> None:
    held = Held(slow.variant, slow.files_seen(environment, land=land))
    report = hw.open_project(folder, environment=environment).run(land=land or None)
    assert report.exit_code == 0
    slow.holds[environment] = held
    if report.release:
        slow.base[environment] = slow.prod


def promote(folder: Path, slow: Slow, environment: str, replace: bool) -> None:
    project = hw.open_project(folder)
    if environment not in slow.holds:
        with pytest.raises((UnknownEnvironment, NoLake)):
            project.promote(environment, replace=replace)
    elif slow.refuses(environment, replace=replace):
        with pytest.raises(ReleaseRefused):
            project.promote(environment, replace=replace)
    else:
        there = [slow.holds[environment], slow.prod]
        same = [h.files for h in there if h and h.variant.source == slow.variant.source]
        report = project.promote(environment, replace=replace)
        assert report.exit_code == 0
        slow.release(Held(slow.variant, max(same)), report)


def roll_back(folder: Path, slow: Slow) -> None:
    refused = None
    try:
        found = hw.roll_back(folder)
    except (NoLake, ReleaseRefused) as error:
        refused = error
    if refused is None:
        slow.holds["prod"] = slow.releases[found.release] = slow.releases[found.to]
        slow.is_rolled_back = slow.went_back = True
    elif slow.cleaned:  # what it would go back to may be gone
        assert isinstance(refused, ReleaseRefused)
    else:
        assert len(slow.releases) < 2 or slow.went_back, refused.message


def newest_release(folder: Path) -> int:
    with hw.api.read_lake(folder) as lake, lake.reading():
        return lake.newest_release_id()


def compare(folder: Path, slow: Slow) -> None:
    """Each environment holds what the model says, and no other one is there."""
    if not slow.holds:
        return
    with hw.api.read_lake(folder) as lake, lake.reading():
        assert lake.environments().keys() == slow.holds.keys()
    for environment, held in slow.holds.items():
        seen = hw.open_project(folder, environment=environment).query(SEEN).rows()[0]
        assert seen == content(held.variant, held.files), f"{environment} does not hold {held}"


VARIANTS = st.builds(
    Variant,
    st.integers(0, len(SOURCES) - 1),
    st.integers(0, len(LEAST) - 1),
    st.integers(0, len(TOTALS) - 1),
)
BESIDE = st.sampled_from(["dev", "dev", "other"])
ACTIONS = st.one_of(
    st.just(("file",)),
    st.tuples(st.just("define"), VARIANTS),
    st.just(("run",)),
    st.tuples(st.just("try"), BESIDE, st.booleans()),
    st.tuples(st.just("promote"), BESIDE, st.booleans()),
    st.just(("back",)),
    st.just(("resume",)),
    st.just(("clean",)),
)

CHANGED, NARROW = Variant(x=1), Variant(source=1)
# Two environments have the same models over other files: what was built later reads the older ones.
OLDER_IS_BUILT_LATER = [
    ("run",),
    ("file",),
    ("define", CHANGED),
    ("try", "dev", True),
    ("try", "other", False),
    ("promote", "other", False),
    ("promote", "dev", True),
]
BACK_AND_FORTH = [
    ("run",),
    ("define", CHANGED),
    ("try", "dev", False),
    ("promote", "dev", False),
    ("file",),
    ("back",),
    ("run",),
    ("clean",),
    ("resume",),
    ("run",),
    ("back",),
]
ANOTHER_CONTRACT = [
    ("run",),
    ("define", NARROW),
    ("file",),
    ("try", "dev", False),
    ("clean",),
    ("promote", "dev", False),
    ("define", Variant()),
    ("clean",),
    ("try", "dev", False),
    ("promote", "dev", False),
    ("promote", "dev", True),
]


@pytest.mark.torture  # a minute and more
@settings(max_examples=EXAMPLES, phases=[Phase.explicit, Phase.generate])
@given(st.lists(ACTIONS, min_size=4, max_size=14))
@example(OLDER_IS_BUILT_LATER)
@example(BACK_AND_FORTH)
@example(ANOTHER_CONTRACT)
def test_each_environment_holds_what_was_done_to_it(tmp_path_factory, actions):
    folder = tmp_path_factory.mktemp("any")
    slow = Slow()
    write_definitions(folder, slow.variant)
    add_file(folder)
    for action in actions:
        step(folder, slow, action)
        compare(folder, slow)
    if slow.prod:
        check(folder)
