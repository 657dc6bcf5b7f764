"""Who reads whom.

The graph of a project's datasets: its order, what lies up- and downstream, and the mistakes
that only show when all files are seen together.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from graphlib import CycleError, TopologicalSorter

from headwater.analysis.functions import function_mistakes, no_dataset
from headwater.errors import Mistake, UnknownSelection, suggestion
from headwater.names import DatasetName
from headwater.places import Place
from headwater.project.definitions import (
    Dataset,
    Project,
    PythonModel,
    SourceDataset,
    SqlCheck,
    SqlModel,
)


@dataclass(frozen=True)
class Graph:
    """The datasets and their inputs; `order` is a topological one, stable for equal projects."""

    datasets: Mapping[DatasetName, Dataset]

    @cached_property
    def inputs(self) -> dict[DatasetName, tuple[DatasetName, ...]]:
        return {name: dataset.inputs for name, dataset in self.datasets.items()}

    @cached_property
    def readers(self) -> dict[DatasetName, tuple[DatasetName, ...]]:
        found: dict[DatasetName, list[DatasetName]] = {name: [] for name in self.datasets}
        for name, inputs in self.inputs.items():
            for given in inputs:
                found[given].append(name)
        return {name: tuple(readers) for name, readers in found.items()}

    @cached_property
    def order(self) -> tuple[DatasetName, ...]:
        """Inputs first. Layer by layer and sorted within, so that two runs lock alike."""
        sorter = TopologicalSorter(
            {name: sorted(self.inputs[name]) for name in sorted(self.inputs)}
        )
        sorter.prepare()
        found: list[DatasetName] = []
        while sorter.is_active():
            ready = sorted(sorter.get_ready())
            found += ready
            sorter.done(*ready)
        return tuple(found)

    def upstream(self, names: Iterable[DatasetName]) -> frozenset[DatasetName]:
        """`names` and all that they are computed from."""
        return _reach(names, self.inputs)

    def downstream(self, names: Iterable[DatasetName]) -> frozenset[DatasetName]:
        """`names` and all that is computed from them."""
        return _reach(names, self.readers)


def _reach(
    names: Iterable[DatasetName], edges: Mapping[DatasetName, tuple[DatasetName, ...]]
) -> frozenset[DatasetName]:
    found: set[DatasetName] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += edges.get(name, ())
    return frozenset(found)


def analyse(project: Project) -> tuple[Graph, list[Mistake]]:
    """The graph of those datasets whose inputs exist, and the mistakes between the files."""
    mistakes = function_mistakes(project)
    broken: set[DatasetName] = set()
    for dataset in project.datasets.values():
        through = {given for function in dataset.functions for given in function.inputs}
        for given in dataset.inputs:
            if given not in project.datasets:
                # What a function names is noted at the function, once.
                if not project.is_unread(given) and given not in through:
                    mistakes.append(_unknown_input(project, dataset, given))
                broken.add(dataset.name)
    for check in project.checks.values():
        through = {given for function in check.functions for given in function.inputs}
        mistakes += [
            _unknown_input(project, check, given)
            for given in check.inputs
            if given not in project.datasets
            and not project.is_unread(given)
            and given not in through
        ]
    mistakes += _rename_mistakes(project)
    while True:
        more = {
            dataset.name
            for dataset in project.datasets.values()
            if dataset.name not in broken and broken.intersection(dataset.inputs)
        }
        if not more:
            break
        broken |= more
    whole = {name: d for name, d in project.datasets.items() if name not in broken}
    cycle = _cycle(whole)
    while cycle:
        mistakes.append(_cycle_mistake(project, cycle))
        gone = _reach(cycle, Graph(whole).readers)
        whole = {name: d for name, d in whole.items() if name not in gone}
        cycle = _cycle(whole)
    return Graph(whole), mistakes


def renames(datasets: Mapping[DatasetName, Dataset]) -> dict[DatasetName, DatasetName]:
    """Earlier name -> the dataset that has it in `renamed_from`. Names that are none are left
    out; `analyse` finds them."""
    found: dict[DatasetName, DatasetName] = {}
    for dataset in datasets.values():
        for text in dataset.contract.renamed_from:
            parts = text.split(".")
            if len(parts) == 2:
                found.setdefault(DatasetName(*parts), dataset.name)
    return found


def _rename_mistakes(project: Project) -> list[Mistake]:
    """`renamed_from` names a dataset that nothing makes any more, and no other one has it."""
    mistakes = []
    taken = renames(project.datasets)
    for dataset in project.datasets.values():
        for text in dataset.contract.renamed_from:
            try:
                former = DatasetName.parse(text)
            except ValueError as error:
                problem, hint = str(error), ""
            else:
                other = project.datasets.get(former)
                if other:
                    problem = f"{former} is still made, at {other.file}:{other.line}"
                    hint = "remove one of the two"
                elif taken[former] != dataset.name:
                    problem = f"{taken[former]} has the name {former} in its `renamed_from` too"
                    hint = "one built table can be taken over by one dataset"
                else:
                    continue
            mistakes.append(project.mistake_of(dataset, ("renamed_from",), problem, hint))
    return mistakes


def _unknown_input(project: Project, reader: Dataset | SqlCheck, given: DatasetName) -> Mistake:
    known = [str(name) for name in project.datasets if name != reader.name]
    message, hint = no_dataset(given, known)
    if new := renames(project.datasets).get(given):
        hint = f"it was renamed: {new}"
    return project.mistake(reader.file, _place(reader, given), message, hint)


def _place(reader: Dataset | SqlCheck, given: DatasetName) -> Place:
    """Where a dataset or a check names one of its inputs."""
    if isinstance(reader, SqlModel | SqlCheck):
        for ref in reader.query.tables:
            if (ref.schema, ref.name) == given:
                return ref.place
    if isinstance(reader, PythonModel):
        for parameter in reader.parameters:
            if parameter.dataset == given:
                return parameter.place
    if isinstance(reader, Dataset):
        for column, reference in reader.contract.references.items():
            if reference.dataset == given:
                return reader.place_of(("columns", column, "references"))
    return Place(reader.line, 1)


def _is_referred_to(reader: Dataset, given: DatasetName) -> bool:
    """Whether an input is only what columns refer to."""
    if isinstance(reader, SqlModel) and given in [(r.schema, r.name) for r in reader.query.tables]:
        return False
    return given in [reference.dataset for reference in reader.contract.references.values()]


def _cycle(datasets: Mapping[DatasetName, Dataset]) -> list[DatasetName]:
    try:
        TopologicalSorter({name: d.inputs for name, d in datasets.items()}).prepare()
    except CycleError as error:
        return list(reversed(error.args[1][:-1]))
    return []


def _cycle_mistake(project: Project, cycle: list[DatasetName]) -> Mistake:
    start = cycle.index(min(cycle))
    cycle = cycle[start:] + cycle[:start]
    first = project.datasets[cycle[0]]
    reads = next(name for name in first.inputs if name in cycle)
    loop = " -> ".join(str(name) for name in [*cycle, cycle[0]])
    hint = "a model cannot be computed from itself"
    for name, given in zip(cycle, [*cycle[1:], cycle[0]], strict=True):
        if _is_referred_to(project.datasets[name], given):
            hint = (
                "`references` needs the rows there before; look with a check instead: checks/*.sql"
            )
    return project.mistake(first.file, _place(first, reads), f"a cycle: {loop}", hint)


def select(graph: Graph, selectors: Iterable[str]) -> frozenset[DatasetName]:
    """The datasets that any of `selectors` names; all of them for no selector.

    `name` or `schema.name`, `+name` with all upstream, `name+` with all downstream, `tag:x`,
    `source:x`; `schema.*` for a schema. Commas separate too. Raises UnknownSelection.
    """
    texts = list(selectors)
    if not texts:
        return frozenset(graph.datasets)
    words = [word for text in texts for word in text.split(",") if word.strip()]
    if not words:
        raise UnknownSelection("--select '': nothing is named so", hint="leave it out for all")
    return frozenset().union(*(_select_one(graph, word.strip()) for word in words))


def _select_one(graph: Graph, word: str) -> frozenset[DatasetName]:
    up, down = word.startswith("+"), word.endswith("+")
    core = word.removeprefix("+").removesuffix("+")
    found = frozenset(name for name, d in graph.datasets.items() if _matches(name, d, core))
    if not found:
        raise UnknownSelection(f"--select {word}: nothing is named so", hint=_known(graph, core))
    if up:
        found |= graph.upstream(found)
    if down:
        found |= graph.downstream(found)
    return found


def _known(graph: Graph, word: str) -> str:
    """A hint for a selector that names nothing: what there is of the kind that it asks for."""
    kind, _, value = word.partition(":")
    datasets = graph.datasets.values()
    if kind == "tag" and value:
        known, none = {tag for d in datasets for tag in d.tags}, "no dataset has a tag"
    elif kind == "source" and value:
        known = {d.source for d in datasets if isinstance(d, SourceDataset)}
        none = "there is no source"
    elif word.endswith(".*"):
        value, known = word[:-2], {name.schema for name in graph.datasets}
        none = "the project has no datasets yet"
    else:
        value, known = word, {str(name) for name in graph.datasets}
        none = "the project has no datasets yet"
    return suggestion(value, sorted(known)) or none


def _matches(name: DatasetName, dataset: Dataset, word: str) -> bool:
    kind, _, value = word.partition(":")
    if kind == "tag" and value:
        return value in dataset.tags
    if kind == "source" and value:
        return isinstance(dataset, SourceDataset) and dataset.source == value
    if word.endswith(".*"):
        return name.schema == word[:-2]
    return word in (str(name), name.name)
