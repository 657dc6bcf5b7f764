"""The Python face: the same functions that the command line calls.

What lands, builds and queries is imported where it is called: to check a project takes none of
it, and importing it takes longer than reading a hundred files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headwater.analysis.graph import Graph, analyse
from headwater.engine.bind import Bound, bind
from headwater.engine.session import Limits, connect
from headwater.engine.unit_tests import ReadyTest, ready_tests
from headwater.engine.variables import wrong_values
from headwater.errors import (
    Mistake,
    NoLake,
    ProjectMistakes,
    QueryRefused,
    ReleaseRefused,
    UnknownDataset,
    UnknownEnvironment,
    suggestion,
)
from headwater.folder import find_project
from headwater.index.entries import load_entries, save_entries
from headwater.index.memo import likely_lake
from headwater.names import PROD, DatasetName, environment_fault
from headwater.places import Places
from headwater.project.definitions import (
    Dataset,
    Function,
    Project,
    Settings,
    SourceDataset,
    lake_folder,
)
from headwater.project.functions import closure
from headwater.project.read import read_functions, read_leniently, read_settings
from headwater.project.unit_tests import UnitTests, read_tests
from headwater.project.variables import literals, unknown, unused, values_of, wrong_value
from headwater.run.refusals import no_environment
from headwater.sql.faults import SqlError
from headwater.sql.functions import called
from headwater.sql.variables import fill, variables_in

if TYPE_CHECKING:
    from headwater.analysis.lineage import ProjectLineage
    from headwater.lake.backup import Copied
    from headwater.lake.diff import DatasetDiff
    from headwater.lake.lake import Lake
    from headwater.lake.query import QueryResult
    from headwater.plan.steps import Plan
    from headwater.run.clean import Cleaned
    from headwater.run.environments import EnvironmentState
    from headwater.run.options import Options
    from headwater.run.report import DataReport, Observer, Report
    from headwater.run.rollback import Rollback


@dataclass(frozen=True)
class OpenProject:
    """A project, read and checked. Nothing stays open between calls.

    variables     the values that were given in place of the defaults of headwater.yaml.
    environment   whose releases are made and read.
    """

    project: Project
    graph: Graph
    bound: Bound
    variables: Mapping[str, Any] = field(default_factory=dict)
    environment: str = PROD

    def run(
        self,
        *,
        select: Sequence[str] | str = (),
        rebuild: bool = False,
        reland: Sequence[str] | str = (),
        from_now: bool = False,
        atomic: bool = False,
        land: bool = False,
        replace: bool = False,
        observer: Observer | None = None,
        command: str = "run",
    ) -> Report:
        """Land, build, check and release. What fails is in the report, not raised.

        reland     sources (or datasets) whose files are landed again, changed or not.
        from_now   go on without files that an earlier contract landed and that are gone.
        land       outside of prod: land new files of sources that prod has landed, too.
        replace    in prod: go on though a newer release has replaced what the project says.

        Raises UnknownSelection, and ReleaseRefused for a project that prod has left behind.
        """
        from headwater.run.options import Options
        from headwater.run.run import run

        options = Options(
            select=_words(select),
            rebuild=rebuild,
            reland=[_source_selector(word) for word in _words(reland)],
            from_now=from_now,
            atomic=atomic,
            lands=land,
            replace=replace,
            command=command,
        )
        with self.open_lake() as lake:
            report = run(self.project, self.graph, self.bound, lake, options, observer)
        self._keep_entries()
        return report

    def promote(
        self, environment: str, *, replace: bool = False, observer: Observer | None = None
    ) -> Report:
        """Make prod have what an environment has, as the project defines it: its built tables are
        taken over as they are, those whose inputs have moved in prod since catch up first, and all
        of it is checked and released in one commit. Nothing is landed.

        replace   go on though prod has other definitions since the environment was built.

        Raises UnknownEnvironment; and ReleaseRefused where it was not built from the project as it
        is now, or prod has moved on in another direction.
        """
        from headwater.run.run import run

        _refuse_to_promote_prod(environment)
        mine = self._in(PROD)
        if mine is not self:
            return mine.promote(environment, replace=replace, observer=observer)
        options = self._promotion(environment, replace)
        self.read_lake(PROD).close()  # to promote what is not there makes no lake
        with self.open_lake(PROD) as lake:
            report = run(self.project, self.graph, self.bound, lake, options, observer)
        self._keep_entries()
        return report

    def _as_in(self, environment: str) -> tuple[Project, Graph, Bound] | None:
        """The project as it means in an environment where its variables have other values."""
        there = values_of(self.project.settings, self.variables, environment)
        if {n: v.sql for n, v in there.items()} == {
            n: v.sql for n, v in self.project.variables.items()
        }:
            return None
        opened = self._in(environment)
        return opened.project, opened.graph, opened.bound

    def _in(self, environment: str) -> OpenProject:
        """The project as it means in an environment."""
        if environment == self.environment:
            return self
        return open_project(self.project.folder, variables=self.variables, environment=environment)

    def plan_promotion(self, environment: str, *, replace: bool = False) -> Plan:
        """What `promote` would do; nothing is done. Raises what `promote` raises."""
        from headwater.run.guard import refuse_promotion
        from headwater.run.preview import preview

        _refuse_to_promote_prod(environment)
        mine = self._in(PROD)
        with self.read_lake(PROD) as lake:
            _refuse_unknown(lake, environment)
            options = mine._promotion(environment, replace)
            refuse_promotion(mine.project, mine.graph, mine.bound, lake, options)
            return preview(mine.project, mine.graph, mine.bound, lake, promote=environment)

    def _promotion(self, environment: str, replace: bool) -> Options:
        from headwater.run.options import Options

        return Options(
            promote=environment,
            promoted=self._as_in(environment),
            replace=replace,
            command=f"promote {environment}",
        )

    def plan(
        self,
        *,
        select: Sequence[str] | str = (),
        rebuild: bool = False,
        from_now: bool = False,
        land: bool = False,
    ) -> Plan:
        """What `run` would do, with the reason for each step; nothing is done. Raises
        UnknownSelection."""
        from headwater.run.preview import preview

        try:
            lake: Lake | None = self.read_lake(may_be_new=True)
        except NoLake:
            lake = None
        with lake or nullcontext():
            found = preview(
                self.project,
                self.graph,
                self.bound,
                lake,
                selectors=_words(select),
                rebuild=rebuild,
                from_now=from_now,
                lands=land,
            )
        if lake:
            self._keep_entries()
        return found

    def _keep_entries(self) -> None:
        """Keep in the index what reading and binding the definitions told."""
        save_entries(self.bound.entries, self.project.lake_folder)

    def diff(
        self, before: int | None = None, after: int | None = None, dataset: str = ""
    ) -> list[DatasetDiff]:
        """What differs between two releases, dataset by dataset; those that do not are left out.

        before, after   their numbers. Default: the newest one, and the one before.
        dataset         only this one.

        Raises NoLake, ReleaseRefused, UnknownDataset.
        """
        from headwater.run.compare import compare_releases

        with self.read_lake() as lake:
            keys = {name: d.contract.key for name, d in self.project.datasets.items()}
            return compare_releases(lake, keys, before, after, dataset)

    def diff_environments(self, before: str, after: str, dataset: str = "") -> list[DatasetDiff]:
        """What differs between two environments, dataset by dataset; those that do not are left
        out.

        dataset   only this one.

        Raises NoLake, UnknownEnvironment, UnknownDataset.
        """
        from headwater.run.compare import compare_environments

        with self.read_lake(before) as lake:
            _refuse_unknown(lake, after)
            keys = {name: d.contract.key for name, d in self.project.datasets.items()}
            return compare_environments(lake, keys, before, after, dataset)

    @cached_property
    def lineage(self) -> ProjectLineage:
        """Which column is computed from which, over all datasets. From the definitions alone."""
        from headwater.analysis.lineage import project_lineage

        return project_lineage(self.project, self.graph, self.bound.schemas, self.bound.results)

    def check_data(
        self, *, select: Sequence[str] | str = (), observer: Observer | None = None
    ) -> DataReport:
        """Run the checks that are no row rules over the current release, and record what they
        found. What is broken is in the report, not raised. Raises NoLake, UnknownSelection."""
        from headwater.run.checks import check_release

        words = [select] if isinstance(select, str) else list(select)
        self.read_lake().close()  # to check what is not there makes no lake
        with self.open_lake() as lake:
            return check_release(self.project, self.graph, lake, words, observer)

    def replay(
        self,
        dataset: str,
        *,
        reason: str = "",
        file: str = "",
        run_id: str = "",
        ids: Sequence[str] = (),
        sets: Mapping[str, str] | None = None,
        edited: str | Path | None = None,
        observer: Observer | None = None,
    ) -> Report:
        """Judge quarantined rows of a source again, land those that keep the contract now, build
        what reads them and release it.

        reason, file, run_id, ids   which rows; all that is stated must hold.
        sets     field -> SQL expression over the fields (texts) that fixes it first.
        edited   a CSV file that `export_quarantine` wrote, edited.

        The same again replays nothing: a row leaves quarantine once.
        """
        from headwater.ingest.replay import Request, Selection
        from headwater.run.options import Options
        from headwater.run.run import run

        name = self._source(dataset).name
        selection = Selection.of(reason, file, run_id, ids)
        request = Request(
            selection=selection, sets=sets or {}, edited=Path(edited) if edited else None
        )
        options = Options(select=[f"{name}+"], replay=(name, request), command="replay")
        with self.open_lake() as lake:
            return run(self.project, self.graph, self.bound, lake, options, observer)

    def discard_quarantine(
        self,
        dataset: str,
        *,
        reason: str = "",
        file: str = "",
        run_id: str = "",
        ids: Sequence[str] = (),
    ) -> int:
        """Note that quarantined rows of a source are wanted no more; how many. They stay on
        record, and the ledger as it is."""
        from headwater.ingest.replay import Selection
        from headwater.run.quarantine import discard

        selection = Selection.of(reason, file, run_id, ids)
        with self.open_lake() as lake:
            return discard(lake, self._source(dataset), selection)

    def export_quarantine(
        self,
        dataset: str,
        to: str | Path,
        *,
        reason: str = "",
        file: str = "",
        run_id: str = "",
        ids: Sequence[str] = (),
    ) -> int:
        """Write quarantined rows of a source as CSV, to be edited and replayed; how many."""
        from headwater.ingest.replay import Selection
        from headwater.run.quarantine import export

        selection = Selection.of(reason, file, run_id, ids)
        with self.read_lake() as lake:
            return export(lake, self._source(dataset), selection, Path(to))

    def _source(self, dataset: str) -> SourceDataset:
        """A dataset that is landed, by its name."""
        found = self.project.datasets.get(DatasetName.parse(dataset))
        if not isinstance(found, SourceDataset):
            sources = [str(n) for n, d in self.project.datasets.items() if _is_source(d)]
            what = "is computed by a model: its rows are computed with it" if found else ""
            raise UnknownDataset(
                f"{dataset} {what or 'is no dataset of this project'}",
                hint=suggestion(dataset, sources),
            )
        return found

    def query(self, sql: str, *, allow_files: bool = False) -> QueryResult:
        """Run one SELECT over the current release.

        >>> open_project("taxi").query("SELECT 1 AS one").rows()  # doctest: +SKIP
        [(1,)]
        """
        return _query(
            self.project.folder,
            self.project.settings,
            sql,
            allow_files,
            self.variables,
            self.environment,
        )

    def open_lake(self, environment: str = "") -> Lake:
        """The project's lake, open for writing; made where it is missing.

        environment   by default the project's.
        """
        from headwater.lake.lake import Lake

        return Lake.open(
            self.project.lake_folder,
            limits=_limits(self.project.settings),
            lock_timeout_s=self.project.settings.lock_timeout_s,
            environment=environment or self.environment,
        )

    def read_lake(self, environment: str = "", *, may_be_new: bool = False) -> Lake:
        """The project's lake, read-only. Raises NoLake, and UnknownEnvironment unless it may be
        one that is still to be made."""
        lake = _read_lake(
            self.project.folder, self.project.settings, environment or self.environment
        )
        return lake if may_be_new else _known(lake)


def _is_source(dataset: Dataset) -> bool:
    return isinstance(dataset, SourceDataset)


def _words(given: Sequence[str] | str) -> list[str]:
    return [given] if isinstance(given, str) else list(given)


def _source_selector(word: str) -> str:
    """A source's name alone means all of its datasets."""
    return word if "." in word or ":" in word else f"source:{word}"


def read_lake(path: str | Path = ".", environment: str = PROD) -> Lake:
    """The lake of the project at or above `path`, read-only; its definitions are not read. Raises
    NoLake, UnknownEnvironment."""
    folder = find_project(Path(path))
    return _known(_read_lake(folder, read_settings(folder), environment))


def roll_back(path: str | Path = ".", to: int | None = None, environment: str = PROD) -> Rollback:
    """Make the released names of the project at or above `path` be what they were at release `to`
    (by default the one before), and hold them there. Its definitions are not read.

    Raises NoLake, UnknownEnvironment, ReleaseRefused.
    """
    from headwater.run.rollback import roll_back as carry_out

    with _written_lake(path, environment) as lake:
        return carry_out(lake, to)


def resume(path: str | Path = ".", environment: str = PROD) -> tuple[DatasetName, ...]:
    """Let go of what rollbacks hold, so that the next run moves it again; which names. Raises
    NoLake, UnknownEnvironment, ReleaseRefused."""
    from headwater.run.rollback import resume as carry_out

    with _written_lake(path, environment) as lake:
        return carry_out(lake)[1]


def drop_environment(path: str | Path, environment: str) -> tuple[DatasetName, ...]:
    """Take an environment's names away; which. What was built for it stays until `clean`. Raises
    NoLake, UnknownEnvironment, ReleaseRefused."""
    from headwater.run.environments import drop

    with _written_lake(path, environment) as lake:
        return drop(lake)


def clean(
    path: str | Path = ".", retention_days: int | None = None, *, dry_run: bool = False
) -> Cleaned:
    """Remove the built tables and snapshots of the project at or above `path` that no release of
    the last `retention_days` (by default the setting `release_retention_days`) needs.

    Raises NoLake; LakeLocked while a run or a backup goes on.
    """
    from headwater.run.clean import clean as carry_out

    settings = read_settings(find_project(Path(path)))
    days = settings.release_retention_days if retention_days is None else retention_days
    with read_lake(path) if dry_run else _written_lake(path, PROD) as lake:
        return carry_out(lake, days, dry_run=dry_run)


def list_environments(path: str | Path = ".") -> list[EnvironmentState]:
    """The environments of the project at or above `path`, prod first. Raises NoLake."""
    from headwater.run.environments import environments

    with read_lake(path) as lake:
        return environments(lake)


def _written_lake(path: str | Path, environment: str) -> Lake:
    """The lake of the project at or above `path`, open for writing. Raises NoLake."""
    from headwater.lake.lake import Lake

    folder = find_project(Path(path))
    settings = read_settings(folder)
    # To go back in what is not there makes no lake.
    _known(_read_lake(folder, settings, environment)).close()
    return Lake.open(
        lake_folder(folder, settings),
        limits=_limits(settings),
        lock_timeout_s=settings.lock_timeout_s,
        environment=environment,
    )


def _known(lake: Lake) -> Lake:
    """A lake in which its environment has been made. Raises UnknownEnvironment."""
    try:
        _refuse_unknown(lake, lake.environment, may_be_empty=True)
    except BaseException:
        lake.close()
        raise
    return lake


def _refuse_unknown(lake: Lake, environment: str, *, may_be_empty: bool = False) -> None:
    """Raise UnknownEnvironment; `may_be_empty`: not of one that was run, but released nothing."""
    if environment == PROD:
        return
    there = lake.environments()
    if environment not in there and not (may_be_empty and lake.has_tried(environment)):
        raise no_environment(environment, there)


def _refuse_to_promote_prod(environment: str) -> None:
    if environment == PROD:
        raise ReleaseRefused("prod is what an environment is promoted to")


def query_project(
    path: str | Path,
    sql: str,
    *,
    allow_files: bool = False,
    variables: Mapping[str, Any] | None = None,
    environment: str = PROD,
) -> QueryResult:
    """Run one SELECT over the current release of the project at or above `path`; of its
    definitions only the functions are read.

    variables   values in place of the defaults of headwater.yaml; each must be used.
    """
    folder = find_project(Path(path))
    given = variables or {}
    settings = read_settings(folder)
    _refuse_unused(folder, settings, sql, given, environment)
    return _query(folder, settings, sql, allow_files, given, environment)


def back_up(path: str | Path, folder: str | Path) -> Copied:
    """Back up the lake of the project at or above `path` into `folder`, while runs go on.

    Raises NoLake, and BackupRefused where `folder` is not free for it or the lake is damaged.
    """
    from headwater.lake.backup import back_up

    found = find_project(Path(path))
    return back_up(lake_folder(found, read_settings(found)), Path(folder))


def restore(
    folder: str | Path, path: str | Path = ".", *, into: str | Path = "", replace: bool = False
) -> Copied:
    """Make the backup in `folder` the lake of the project at or above `path`, or a lake in the
    folder `into`. A lake that is there is moved aside if `replace` says so.

    Raises BackupRefused where it may not, and where the backup is not whole.
    """
    from headwater.lake.backup import restore

    if into:
        return restore(Path(folder), Path(into), replace=replace)
    found = find_project(Path(path))
    return restore(Path(folder), lake_folder(found, read_settings(found)), replace=replace)


def _read_lake(folder: Path, settings: Settings, environment: str = PROD) -> Lake:
    from headwater.lake.lake import Lake

    return Lake.open_read_only(
        lake_folder(folder, settings), limits=_limits(settings), environment=environment
    )


def _query(
    folder: Path,
    settings: Settings,
    sql: str,
    allow_files: bool,
    given: Mapping[str, Any],
    environment: str,
) -> QueryResult:
    from headwater.lake.query import query

    functions = _functions_of(folder, sql, given, environment)
    sql = _filled(settings, sql, functions, given, environment)
    lake = _known(_read_lake(folder, settings, environment))
    return query(lake, sql, allow_files=allow_files, functions=functions)


def _filled(
    settings: Settings,
    sql: str,
    functions: Sequence[Function],
    given: Mapping[str, Any],
    environment: str,
) -> str:
    """A query with the values of its variables. Raises QueryRefused for an unknown one, and
    ProjectMistakes for a value that is none of its type."""
    used = _variables_of(sql, functions)
    if not used:
        return sql
    values = values_of(settings, given, environment)
    try:
        sql = fill(sql, literals(values))
    except SqlError as error:
        raise QueryRefused(error.message, hint=error.hint) from error
    with connect() as con:
        wrong = wrong_values(con, [value for name, value in values.items() if name in used])
    if wrong:
        raise ProjectMistakes([wrong_value(value, "", Places()) for value in wrong])
    return sql


def _variables_of(sql: str, functions: Sequence[Function]) -> frozenset[str]:
    """The variables of a query and of the functions that it uses."""
    try:
        own = variables_in(sql)
    except SqlError:
        own = frozenset()  # DuckDB says better what is wrong with it
    return own.union(*(function.text.body.variables for function in functions))


def _refuse_unused(
    folder: Path, settings: Settings, sql: str, given: Mapping[str, Any], environment: str
) -> None:
    """Raise ProjectMistakes for values that are given and declared or used nowhere."""
    if not given:
        return
    mistakes = unknown(settings, given)
    used = _variables_of(sql, _functions_of(folder, sql, given, environment))
    mistakes += [
        unused(name, "the query")
        for name in given
        if name in settings.variables and name not in used
    ]
    if mistakes:
        raise ProjectMistakes(mistakes)


def _functions_of(
    folder: Path, sql: str, given: Mapping[str, Any], environment: str = PROD
) -> tuple[Function, ...]:
    """The project's functions that a query calls. Raises ProjectMistakes if one that it calls
    cannot be read."""
    if not (folder / "functions").is_dir():
        return ()
    functions, unread, mistakes = read_functions(
        folder, variables=given, environment_name=environment
    )
    try:
        names = called(sql)
    except SqlError:
        return ()  # DuckDB says better what is wrong with it
    if names & unread:
        raise ProjectMistakes(mistakes)
    return closure(names & functions.keys(), functions)


def _limits(settings: Settings) -> Limits:
    return Limits(memory_limit=settings.memory_limit, threads=settings.threads)


def open_project(
    path: str | Path = ".",
    *,
    variables: Mapping[str, Any] | None = None,
    environment: str = PROD,
) -> OpenProject:
    """Read the project at or above `path` and check it.

    variables     values in place of the defaults of headwater.yaml.
    environment   whose releases are made and read; `prod` is what consumers read.

    Raises NotAProject, UnknownEnvironment for what is no name, and ProjectMistakes with all
    mistakes at once.
    """
    if reason := environment_fault(environment):
        raise UnknownEnvironment(f"no name for an environment: {reason}")
    opened, mistakes = _read_and_bind(path, variables, environment)
    if mistakes:
        raise ProjectMistakes(mistakes)
    return opened


def check_project(
    path: str | Path = ".", *, variables: Mapping[str, Any] | None = None
) -> tuple[OpenProject, list[Mistake]]:
    """The project as far as it can be read, and all its mistakes: in the files, between them,
    in what their queries bind to, and in its unit tests, which a run does not look at."""
    opened, _, _, mistakes = check_project_and_tests(path, variables=variables)
    return opened, mistakes


def check_project_and_tests(
    path: str | Path = ".",
    *,
    variables: Mapping[str, Any] | None = None,
    environment: str = PROD,
) -> tuple[OpenProject, UnitTests, list[ReadyTest], list[Mistake]]:
    """The same with the project's unit tests, and those of them that can be run."""
    opened, mistakes = _read_and_bind(path, variables, environment)
    tests = read_tests(opened.project.folder)
    ready, of_tests = ready_tests(opened.project, opened.graph, opened.bound, tests)
    return opened, tests, ready, [*mistakes, *tests.mistakes, *of_tests]


def _read_and_bind(
    path: str | Path, variables: Mapping[str, Any] | None, environment: str = PROD
) -> tuple[OpenProject, list[Mistake]]:
    folder = find_project(Path(path))
    entries = load_entries(likely_lake(folder))
    project, mistakes = read_leniently(
        folder, variables=variables, entries=entries, environment_name=environment
    )
    graph, between = analyse(project)
    bound = bind(project, graph, entries=entries)
    return OpenProject(project, graph, bound, variables or {}, environment), [
        *mistakes,
        *between,
        *bound.mistakes,
    ]
