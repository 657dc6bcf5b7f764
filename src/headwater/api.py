"""The Python face: the same functions that the command line calls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from headwater.analysis.graph import Graph, analyse
from headwater.engine.bind import Bound, bind
from headwater.engine.session import Limits
from headwater.errors import Mistake, ProjectMistakes
from headwater.lake.lake import Lake
from headwater.lake.query import QueryResult, query
from headwater.project.definitions import Project, Settings
from headwater.project.read import find_project, read_leniently, read_settings
from headwater.run.report import Observer, Report
from headwater.run.run import Options, run


@dataclass(frozen=True)
class OpenProject:
    """A project, read and checked. Nothing stays open between calls."""

    project: Project
    graph: Graph
    bound: Bound

    @property
    def limits(self) -> Limits:
        settings = self.project.settings
        return Limits(memory_limit=settings.memory_limit, threads=settings.threads)

    def run(
        self,
        *,
        select: Sequence[str] | str = (),
        rebuild: bool = False,
        atomic: bool = False,
        observer: Observer | None = None,
        command: str = "run",
    ) -> Report:
        """Land, build, check and release. What fails is in the report, not raised."""
        words = [select] if isinstance(select, str) else list(select)
        options = Options(select=words, rebuild=rebuild, atomic=atomic, command=command)
        with self.open_lake() as lake:
            return run(self.project, self.graph, self.bound, lake, options, observer)

    def query(self, sql: str, *, allow_files: bool = False) -> QueryResult:
        """Run one SELECT over the current release.

        >>> open_project("taxi").query("SELECT 1 AS one").rows()  # doctest: +SKIP
        [(1,)]
        """
        return query(self.project.lake_folder, sql, allow_files=allow_files, limits=self.limits)

    def open_lake(self) -> Lake:
        """The project's lake, open for writing; made where it is missing."""
        return Lake.open(
            self.project.lake_folder,
            limits=self.limits,
            lock_timeout_s=self.project.settings.lock_timeout_s,
        )

    def read_lake(self) -> Lake:
        """The project's lake, read-only. Raises NoLake."""
        return Lake.open_read_only(self.project.lake_folder, limits=self.limits)


def open_settings(path: str | Path = ".") -> tuple[Path, Settings]:
    """A project's folder and settings, without reading the rest of it: all that is needed to
    look into its lake."""
    folder = find_project(Path(path))
    return folder, read_settings(folder)


def read_lake(path: str | Path = ".") -> Lake:
    """The lake of the project at or above `path`, read-only, without reading its definitions."""
    folder, settings = open_settings(path)
    limits = Limits(memory_limit=settings.memory_limit, threads=settings.threads)
    return Lake.open_read_only((folder / settings.lake).resolve(), limits=limits)


def query_project(path: str | Path, sql: str, *, allow_files: bool = False) -> QueryResult:
    """Run one SELECT over the current release of the project at or above `path`."""
    folder, settings = open_settings(path)
    limits = Limits(memory_limit=settings.memory_limit, threads=settings.threads)
    return query((folder / settings.lake).resolve(), sql, allow_files=allow_files, limits=limits)


def open_project(path: str | Path = ".") -> OpenProject:
    """Read the project at or above `path` and check it.

    Raises NotAProject, and ProjectMistakes with all mistakes at once.
    """
    opened, mistakes = check_project(path)
    if mistakes or opened is None:
        raise ProjectMistakes(mistakes)
    return opened


def check_project(path: str | Path = ".") -> tuple[OpenProject | None, list[Mistake]]:
    """The project as far as it can be read, and all its mistakes: in the files, between them,
    and in what their queries bind to."""
    project, mistakes = read_leniently(find_project(Path(path)))
    if project is None:
        return None, mistakes
    graph, between = analyse(project)
    bound = bind(project, graph)
    return OpenProject(project, graph, bound), [*mistakes, *between, *bound.mistakes]
