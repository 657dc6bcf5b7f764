"""Every error survives the way through a worker process, with all that it says."""

from __future__ import annotations

import importlib
import inspect
import multiprocessing
import pickle
import pkgutil
from concurrent.futures import ProcessPoolExecutor

import pytest

import headwater
from headwater.errors import HeadwaterError, Mistake, ProjectMistakes, suggestion
from headwater.lake.state import Position
from headwater.lake.step import StepIdentity
from headwater.names import DatasetName
from headwater.refresh.full import BrokenBuild, FullBuild


def every_error() -> list[type[HeadwaterError]]:
    for module in pkgutil.walk_packages(headwater.__path__, "headwater."):
        importlib.import_module(module.name)
    found, waiting = [], [HeadwaterError]
    while waiting:
        kind = waiting.pop()
        found.append(kind)
        waiting += kind.__subclasses__()
    return sorted(set(found), key=lambda kind: kind.__name__)


def an_error(kind: type[HeadwaterError]) -> HeadwaterError:
    if kind is ProjectMistakes:
        return ProjectMistakes([Mistake(file="a.sql", line=1, column=2, message="m", hint="h")])
    if kind is BrokenBuild:
        identity = StepIdentity(
            run_id="r",
            step=1,
            dataset=DatasetName("a", "b"),
            table="t",
            fingerprint="f",
            planned_at=0,
            expected=Position("t", 1),
            action="build",
            reason="why",
        )
        return BrokenBuild(FullBuild(identity, None, {}), 1, 2, "a.min", "mend it")
    return kind("what happened", where="a.sql:7", hint="do this next")


def raise_it(error: HeadwaterError) -> None:
    raise error


@pytest.fixture(scope="module")
def worker():
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        yield pool


@pytest.mark.parametrize("kind", every_error(), ids=lambda kind: kind.__name__)
def test_an_error_comes_back_from_a_worker_as_it_was_raised(worker, kind):
    error = an_error(kind)
    with pytest.raises(kind) as caught:
        worker.submit(raise_it, error).result(timeout=60)
    back = caught.value
    assert type(back) is kind
    assert str(back) == str(error)
    assert (back.message, back.where, back.hint) == (error.message, error.where, error.hint)
    assert back.as_dict() == error.as_dict()
    assert back.args == error.args


@pytest.mark.parametrize("kind", every_error(), ids=lambda kind: kind.__name__)
def test_an_error_can_be_copied_by_pickle(kind):
    error = an_error(kind)
    assert vars(pickle.loads(pickle.dumps(error))) == vars(error)


@pytest.mark.parametrize("kind", every_error(), ids=lambda kind: kind.__name__)
def test_each_error_says_what_it_is_for(kind):
    assert inspect.getdoc(kind) != inspect.getdoc(Exception)
    assert issubclass(kind, HeadwaterError)


def test_an_error_reads_where_then_what():
    assert str(HeadwaterError("what", where="a.sql:1")) == "a.sql:1: what"
    assert str(HeadwaterError("what")) == "what"


def test_mistakes_are_in_the_order_of_files_and_lines():
    error = ProjectMistakes(
        [
            Mistake(file="b", line=1, message="3"),
            Mistake(file="a", line=10, message="2"),
            Mistake(file="a", line=9, column=3, message="1"),
        ]
    )
    assert str(error).splitlines() == [
        "the project has 3 mistakes",
        "a:9:3: 1",
        "a:10: 2",
        "b:1: 3",
    ]


@pytest.mark.parametrize(
    ("word", "known", "expected"),
    [
        ("custmer_id", ["customer_id", "day"], "did you mean 'customer_id'?"),
        ("zzz", ["b", "a"], "known: a, b"),
        ("zzz", [str(n) for n in range(9)], "known: 0, 1, 2, 3, 4, 5, 6, 7, …"),
        ("zzz", [], ""),
    ],
)
def test_a_suggestion_is_the_nearest_word_or_the_known_ones(word, known, expected):
    assert suggestion(word, known) == expected
