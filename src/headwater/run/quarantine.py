"""Discarding and exporting what is in quarantine."""

from __future__ import annotations

from pathlib import Path

import duckdb

from headwater.errors import HeadwaterError
from headwater.ingest.replay import Selection, discard_rows, export_rows
from headwater.lake.lake import CommitNote, Lake
from headwater.lake.state import Build
from headwater.lake.step import StepIdentity
from headwater.project.definitions import SourceDataset
from headwater.run.record import new_run_id


def discard(lake: Lake, dataset: SourceDataset, selection: Selection) -> int:
    """Discard the rows of a dataset's newest table that are selected; how many. One commit."""
    run_id = new_run_id()
    with (
        lake.locks.dataset(str(dataset.name)),
        lake.commit(CommitNote(message=f"discard {dataset.name}", run_id=run_id)) as commit,
    ):
        build = _newest(lake, dataset)
        identity = StepIdentity(
            run_id=run_id,
            step=1,
            dataset=dataset.name,
            table=build.position.table,
            fingerprint=build.fingerprint,
            planned_at=commit.snapshot_id - 1,
            expected=build.position,
            action="discard",
            reason="asked for",
        )
        return discard_rows(commit, identity, selection)


def export(lake: Lake, dataset: SourceDataset, selection: Selection, to: Path) -> int:
    """Write the rows of a dataset's newest table that are selected as CSV; how many."""
    with lake.reading():
        table = _newest(lake, dataset).position.table
    try:
        return export_rows(lake, dataset, table, selection, to)
    except duckdb.IOException as error:
        raise HeadwaterError(
            "the file cannot be written", where=str(to), hint="check its folder and its permissions"
        ) from error


def _newest(lake: Lake, dataset: SourceDataset) -> Build:
    """The newest build of a dataset that no other environment has for itself."""
    elsewhere = lake.tables_elsewhere()
    builds = lake.state_within().builds.items()
    found = [b for (n, table), b in builds if n == dataset.name and table not in elsewhere]
    if not found:
        raise HeadwaterError(
            "nothing was landed yet", where=str(dataset.name), hint="`headwater run` lands it"
        )
    return max(found, key=lambda build: build.position.snapshot_id)
