"""The checks of a project that are no row rules, each as what is to be run.

`checks/*.sql`, the row counts, the aggregates and the freshness of contracts become one kind of
value here: a query over some datasets. Each has a fingerprint of its own, which is no part of any
dataset's, so a new or changed check is run again and nothing is rebuilt for it. Whether a check
fails or only warns is left out of it: the finding is the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from headwater.analysis.graph import Graph, select
from headwater.contract.checks import CheckRemedy, RowCount, TableCheck
from headwater.contract.freshness import Freshness, read_duration
from headwater.errors import UnknownSelection, counted
from headwater.names import DatasetName
from headwater.project.definitions import Dataset, Function, Project, SourceDataset, SqlCheck
from headwater.project.functions import used_in
from headwater.sql.query import digest, expression_is_fickle, expression_words
from headwater.sql.quote import dotted, ident


class CheckKind(StrEnum):
    """What the query of a check gives."""

    ROWS = "rows"
    """The rows that break it; it holds where there are none."""
    TRUTH = "truth"
    """One value; it holds where that is true."""
    COUNT = "count"
    """A number of rows, to be held against bounds."""
    NEWEST = "newest"
    """The newest moment, to be held against ages."""


@dataclass(frozen=True, kw_only=True)
class DataCheck:
    """One check.

    code      what the results are recorded as: the file's name, `row_count`, `check.NAME` or
              `freshness`.
    dataset   whose contract it stands in; None for a check with a file of its own.
    remedy    what follows where it does not hold; for an age the worst that may follow.
    inputs    the datasets that it reads.
    query     SQL over them, by their names.
    words     the columns that the query spells out.
    meaning   what must hold, in words.
    hint      what next where it does not hold; "" where that is for its author to say.
    where     file:line.
    functions the functions of the project that it uses, callees first.
    is_fickle whether it may find something else over the same data, because the time counts.
    """

    code: str
    dataset: DatasetName | None
    kind: CheckKind
    remedy: CheckRemedy
    inputs: tuple[DatasetName, ...]
    query: str = field(repr=False)
    words: frozenset[str] = field(repr=False)
    meaning: str
    where: str
    fingerprint: str
    hint: str = ""
    tags: tuple[str, ...] = ()
    row_count: RowCount | None = None
    freshness: Freshness | None = None
    functions: tuple[Function, ...] = ()
    is_fickle: bool = False

    @property
    def name(self) -> str:
        """What people call it: `no_orphans`, `tlc.trips.row_count`, `tlc.trips.check.paid`."""
        return f"{self.dataset}.{self.code}" if self.dataset else self.code

    @property
    def key(self) -> tuple[str | None, str]:
        """What its results are found by: dataset and code, as they are recorded."""
        return (str(self.dataset) if self.dataset else None, self.code)

    def remedy_of(self, recorded: str) -> CheckRemedy:
        """What follows from a result that was recorded with a remedy: for an age that remedy,
        because the finding decides; else what the check says now."""
        return CheckRemedy(recorded) if self.freshness else self.remedy


def data_checks(project: Project) -> tuple[DataCheck, ...]:
    """All of them: those of the contracts in the order of their files, then `checks/*.sql`."""
    of_contracts = [
        check
        for dataset in project.datasets.values()
        for check in contract_checks(dataset, project.functions)
    ]
    return (*of_contracts, *(_of_file(check) for check in project.checks.values()))


def contract_checks(dataset: Dataset, functions: Mapping[str, Function]) -> Iterator[DataCheck]:
    """The checks of one contract. `functions`: those of the project."""
    contract = dataset.contract
    if contract.row_count:
        yield _row_count(dataset, contract.row_count)
    for number, check in enumerate(contract.checks):
        yield _aggregate(dataset, check, number, used_in(check.check, functions))
    if contract.freshness:
        yield _freshness(dataset, contract.freshness)


def aggregate_query(dataset: DatasetName, expression: str) -> str:
    """One row with the value of an expression of aggregates. HAVING makes it refuse any other."""
    return f"SELECT ({expression}) FROM {dotted(*dataset)} HAVING TRUE"


def _of_file(check: SqlCheck) -> DataCheck:
    return DataCheck(
        code=check.name,
        dataset=None,
        kind=CheckKind.ROWS,
        remedy=check.header.otherwise,
        inputs=check.inputs,
        query=check.query.text,
        words=check.words,
        meaning=check.header.description or "its query returns no row",
        where=f"{check.file}:{check.line}",
        fingerprint=_mark(check.functions, "check", check.query.canonical),
        tags=check.header.tags,
        functions=check.functions,
        is_fickle=check.query.is_fickle or _are_fickle(check.functions),
    )


def _row_count(dataset: Dataset, count: RowCount) -> DataCheck:
    bounds = [str(part) for part in (count.min, count.max, count.max_decrease, count.max_increase)]
    return DataCheck(
        code="row_count",
        dataset=dataset.name,
        kind=CheckKind.COUNT,
        remedy=count.otherwise,
        inputs=(dataset.name,),
        query=f"SELECT count(*) FROM {dotted(*dataset.name)}",
        words=frozenset(),
        meaning=_bounds(count),
        where=f"{dataset.file}:{dataset.place_of(('row_count',)).line}",
        fingerprint=digest("row_count", *bounds),
        tags=dataset.tags,
        row_count=count,
    )


def _bounds(count: RowCount) -> str:
    """The bounds of a row count in words."""
    if count.min is not None and count.min == count.max:
        words = [f"exactly {counted(count.min, 'row')}"]
    else:
        words = [f"at least {counted(count.min, 'row')}"] if count.min is not None else []
        words += [f"at most {counted(count.max, 'row')}"] if count.max is not None else []
    if count.max_decrease is not None:
        words.append(f"at most {count.max_decrease} % fewer than before")
    if count.max_increase is not None:
        words.append(f"at most {count.max_increase} % more than before")
    return ", ".join(words)


def _aggregate(
    dataset: Dataset, check: TableCheck, number: int, functions: tuple[Function, ...]
) -> DataCheck:
    return DataCheck(
        code=f"check.{check.name}",
        dataset=dataset.name,
        kind=CheckKind.TRUTH,
        remedy=check.otherwise,
        inputs=(dataset.name,),
        query=aggregate_query(dataset.name, check.check),
        words=expression_words(check.check),
        meaning=check.check,
        where=f"{dataset.file}:{dataset.place_of(('checks', number)).line}",
        fingerprint=_mark(functions, "aggregate", check.check),
        tags=dataset.tags,
        functions=functions,
        is_fickle=expression_is_fickle(check.check) or _are_fickle(functions),
    )


def _freshness(dataset: Dataset, freshness: Freshness) -> DataCheck:
    ages = [
        str(read_duration(age)) if age else ""
        for age in (freshness.warn_after, freshness.fail_after)
    ]
    where = f"{dataset.file}:{dataset.place_of(('freshness',)).line}"
    is_source = isinstance(dataset, SourceDataset)
    mend = "land newer rows" if is_source else "see whether what it reads is fresh"
    return DataCheck(
        code="freshness",
        dataset=dataset.name,
        kind=CheckKind.NEWEST,
        remedy=CheckRemedy.FAIL if freshness.fail_after else CheckRemedy.WARN,
        inputs=(dataset.name,),
        query=newest_query(dataset.name, freshness.column),
        words=frozenset([freshness.column]),
        meaning=freshness.meaning,
        where=where,
        fingerprint=digest("freshness", freshness.column.lower(), *ages),
        hint=f"{mend}, or let it be older: `freshness` in {where}",
        tags=dataset.tags,
        freshness=freshness,
        is_fickle=True,
    )


def newest_query(dataset: DatasetName, column: str) -> str:
    """One row with the newest moment in a column, UTC; NULL without any. A date counts from its
    beginning."""
    # A year that Python does not have is infinitely far away.
    return (
        "SELECT CASE WHEN newest > DATE '9999-12-31' THEN TIMESTAMP 'infinity' "
        "WHEN newest < DATE '0001-01-01' THEN TIMESTAMP '-infinity' "
        "ELSE CAST(newest AS TIMESTAMP) END "
        f"FROM (SELECT max({ident(column)}) AS newest FROM {dotted(*dataset)})"
    )


def _mark(functions: Iterable[Function], *parts: str) -> str:
    """The fingerprint of a check: what it says, and what the functions say that it uses."""
    return digest(*parts, *(function.text.meaning for function in functions))


def _are_fickle(functions: Iterable[Function]) -> bool:
    return any(function.text.body.is_fickle for function in functions)


def select_checks(
    checks: Iterable[DataCheck], graph: Graph, selectors: Iterable[str]
) -> tuple[DataCheck, ...]:
    """The checks that any of `selectors` means: by their name, by a tag of their own, or because
    they read a dataset that it selects. All of them for no selector. Raises UnknownSelection."""
    checks = tuple(checks)
    words = [word.strip() for text in selectors for word in text.split(",") if word.strip()]
    if not words:
        return checks
    wanted: set[str] = set()
    for word in words:
        kind, _, value = word.partition(":")
        own = {
            check.name
            for check in checks
            if word == check.name or (kind == "tag" and value in check.tags)
        }
        try:
            datasets = select(graph, [word])
        except UnknownSelection:
            if not own:
                raise
            datasets = frozenset()
        wanted |= own
        wanted |= {check.name for check in checks if datasets.intersection(check.inputs)}
    return tuple(check for check in checks if check.name in wanted)
