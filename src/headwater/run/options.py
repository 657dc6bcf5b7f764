"""What a run is asked to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from headwater.analysis.graph import Graph
from headwater.engine.bind import Bound
from headwater.ingest.replay import Request
from headwater.names import DatasetName
from headwater.project.definitions import Project


@dataclass(frozen=True, kw_only=True)
class Options:
    """What a run is asked to do.

    select    selectors; none: everything.
    rebuild   build the selected models though they are up to date.
    reland    selectors of sources whose files are landed again, changed or not.
    from_now  land without the files that are gone, where a new contract lands all again.
    replay    (dataset, what of its quarantine is replayed): instead of landing its new files.
    atomic    release nothing if anything fails.
    lands     outside of prod: whether files are landed of sources that prod has landed.
    replace   go on though a newer release has replaced the definitions.
    promote   the environment whose built tables prod takes over; nothing is landed then.
    promoted  the project as it means in that environment, where its variables have other values.
    moment    what ages are counted to, UTC without a zone; by default the run's beginning.
    """

    select: Sequence[str] = ()
    rebuild: bool = False
    reland: Sequence[str] = ()
    from_now: bool = False
    replay: tuple[DatasetName, Request] | None = None
    atomic: bool = False
    lands: bool = False
    replace: bool = False
    promote: str = ""
    promoted: tuple[Project, Graph, Bound] | None = None
    command: str = "run"
    moment: datetime | None = None
