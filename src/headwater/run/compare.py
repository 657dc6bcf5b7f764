"""Comparing two releases, or two environments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from headwater.errors import ReleaseRefused, UnknownDataset, suggestion
from headwater.lake.diff import DatasetDiff, Shows, all_columns, compare
from headwater.lake.lake import Lake
from headwater.lake.state import Position
from headwater.names import DatasetName


def compare_releases(
    lake: Lake,
    keys: Mapping[DatasetName, Sequence[str]],
    before: int | None = None,
    after: int | None = None,
    dataset: str = "",
    shows: Shows = all_columns,
) -> list[DatasetDiff]:
    """What differs between two releases, dataset by dataset; those that do not are left out.

    keys            dataset -> what names its rows.
    before, after   numbers of releases. Default: the newest, and the one before it.
    dataset         only this one; "" for all.
    shows           of which columns values may be shown.

    Raises ReleaseRefused, UnknownDataset.
    """
    releases = sorted(lake.releases())
    for number in (before, after):
        if number is not None and number not in releases:
            raise ReleaseRefused(
                f"there is no release {number}", hint="`headwater releases` lists them"
            )
    if before is None or after is None:
        if len(releases) < 2:
            raise ReleaseRefused(
                "there are no two releases to compare", hint="`headwater releases` lists them"
            )
        before, after = releases[-2], releases[-1]
    was, now = lake.release_at(before).names, lake.release_at(after).names
    for number, names in ((before, was), (after, now)):
        _refuse_lost(lake, number, names, dataset)
    return _compare(lake, keys, was, now, dataset, f"releases {before} and {after}", shows)


def _refuse_lost(
    lake: Lake, release: int, names: Mapping[DatasetName, Position], dataset: str
) -> None:
    """Raise where the rows of a release are not there any more."""
    for name, position in names.items():
        if dataset in ("", str(name)) and not lake.has(position):
            raise ReleaseRefused(
                f"the rows that release {release} had of {name} are not there any more",
                hint="compare later ones: `headwater releases`",
            )


def compare_environments(
    lake: Lake,
    keys: Mapping[DatasetName, Sequence[str]],
    before: str,
    after: str,
    dataset: str = "",
    shows: Shows = all_columns,
) -> list[DatasetDiff]:
    """The same between two environments, as they are released. Raises UnknownDataset."""
    was, now = lake.release_at(None, before).names, lake.release_at(None, after).names
    return _compare(lake, keys, was, now, dataset, f"{before} and {after}", shows)


def _compare(
    lake: Lake,
    keys: Mapping[DatasetName, Sequence[str]],
    was: Mapping[DatasetName, Position],
    now: Mapping[DatasetName, Position],
    dataset: str,
    what: str,
    shows: Shows,
) -> list[DatasetDiff]:
    names = sorted({*was, *now})
    if dataset:
        wanted = [name for name in names if str(name) == dataset]
        if not wanted:
            raise UnknownDataset(
                f"no dataset {dataset} in {what}",
                hint=suggestion(dataset, [str(name) for name in names]),
            )
        names = wanted
    found = [
        compare(lake, name, was.get(name), now.get(name), keys.get(name, ()), shows)
        for name in names
    ]
    return [diff for diff in found if not diff.is_equal]
