"""What a run of prod is not to do unless somebody says that it is meant, in words."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from headwater.analysis.graph import Graph
from headwater.errors import (
    HeadwaterError,
    ReleaseRefused,
    UnknownEnvironment,
    counted,
    suggestion,
)
from headwater.lake.state import Position
from headwater.names import DatasetName


def refuse_superseded(graph: Graph, found: Mapping[DatasetName, int]) -> None:
    """Raise where datasets are defined as before a release that has replaced that.

    found   name -> that release's number.
    """
    if not found:
        return
    # What reads a superseded dataset is superseded with it: only the first are worth a word.
    first = [name for name in found if not found.keys() & set(graph.inputs[name])] or list(found)
    raise ReleaseRefused(
        f"{shown(first)} {_is(first)} defined here as before release "
        f"{max(found[name] for name in first)}, which has replaced that",
        where=_where(graph, first[0]),
        hint="bring this folder up to date; or, to go back on purpose: --replace",
    )


def refuse_other_definitions(
    graph: Graph,
    environment: str,
    wanted: Mapping[DatasetName, str],
    there: Mapping[DatasetName, Position],
    held: Collection[DatasetName],
) -> None:
    """Raise where an environment was not built from what the project says now.

    wanted   name -> the built table that it has there as it is defined now.
    there    the environment's names.
    held     those that a rollback holds there.
    """
    for name in graph.order:
        if name not in there or wanted.get(name, there[name].table) != there[name].table:
            if name in held:
                raise _held_there(graph, environment, name)
            raise other_definition(graph, environment, name)
    more = sorted(there.keys() - graph.datasets.keys())
    if more:
        raise ReleaseRefused(
            f"{environment} has {shown(more)}, which the project does not make",
            hint=f"build it from this folder first: headwater run --env {environment}",
        )


def _held_there(graph: Graph, environment: str, name: DatasetName) -> HeadwaterError:
    return ReleaseRefused(
        f"{environment} was rolled back, which holds {name} as it was before",
        where=_where(graph, name),
        hint=f"let go of it first: headwater release --resume --env {environment}; then: "
        f"headwater run --env {environment}",
    )


def other_definition(graph: Graph, environment: str, name: DatasetName) -> HeadwaterError:
    """What to say where a dataset was built in an environment from another definition than the
    project's, or not at all."""
    return ReleaseRefused(
        f"{environment} has not built {name} as this folder defines it",
        where=_where(graph, name),
        hint=f"build it first: headwater run --env {environment}",
    )


def values_to_land(graph: Graph, environment: str, name: DatasetName) -> HeadwaterError:
    """What to say of a source whose contract has other values of variables in an environment, so
    that what was landed there is not what prod is to have."""
    return ReleaseRefused(
        f"{name} was landed in {environment} with that environment's values of variables",
        where=_where(graph, name),
        hint="land it in prod: headwater run",
    )


def judged_elsewhere(
    graph: Graph, environment: str, name: DatasetName, parent: DatasetName
) -> HeadwaterError:
    """What to say of a source whose rows were judged in an environment by another definition of
    what they refer to than prod is to have."""
    return ReleaseRefused(
        f"{name} was landed in {environment} beside another {parent} than prod is to have",
        where=_where(graph, name),
        hint="land it in prod, which judges its rows again: headwater run",
    )


def lacking_files(
    graph: Graph, environment: str, name: DatasetName, paths: Sequence[str]
) -> HeadwaterError:
    """What to say of a source of which prod has landed files that an environment has not."""
    return ReleaseRefused(
        f"{environment} has not landed {counted(len(paths), 'file')} of {name} that prod has: "
        f"{', '.join(paths[:3])}",
        where=_where(graph, name),
        hint=f"land them first: headwater run --env {environment}; or, to go without them on "
        "purpose: --replace",
    )


def refuse_conflicts(environment: str, found: Sequence[DatasetName]) -> None:
    """Raise where prod has got other definitions since an environment began from it."""
    if found:
        raise ReleaseRefused(
            f"prod has another definition of {shown(found)} since {environment} was built, "
            "which to promote would take back",
            hint=f"take that change into this folder and headwater run --env {environment}; "
            "or, to take it back on purpose: --replace",
        )


def no_environment(name: str, there: Iterable[str]) -> UnknownEnvironment:
    """What to say of an environment that nothing was released in."""
    made = f"`headwater run --env {name}` makes it, once it releases something"
    meant = suggestion(name, sorted(there))
    return UnknownEnvironment(
        f"there is no environment {name!r}: nothing is released in it",
        hint=f"{made}; {meant}" if meant else made,
    )


def shown(names: Sequence[DatasetName]) -> str:
    """Some names, the others counted.

    >>> shown([DatasetName("a", "x"), DatasetName("a", "y")])
    'a.x and a.y'
    """
    words = [str(name) for name in names[:3]]
    if len(names) > 3:
        words.append(f"{len(names) - 3} more")
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def _is(names: Sequence[DatasetName]) -> str:
    return "is" if len(names) == 1 else "are"


def _where(graph: Graph, name: DatasetName) -> str:
    dataset = graph.datasets[name]
    return f"{dataset.file}:{dataset.line}"
