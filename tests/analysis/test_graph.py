"""Who reads whom: the order, what lies up- and downstream, and what a selector names."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.analysis.graph import Graph, analyse, select
from headwater.errors import UnknownSelection
from headwater.project.read import read_leniently
from tests.analysis.graphs import graph_of, graphs, name

SHAPE = {"a": "", "b": "a", "c": "", "d": "b c", "e": "d", "f": ""}


def words(names) -> str:
    return " ".join(n.name for n in names)


def test_inputs_come_first_layer_by_layer_and_sorted_within():
    assert words(graph_of(SHAPE).order) == "a c f b d e"


def test_upstream_and_downstream_hold_the_names_themselves():
    graph = graph_of(SHAPE)
    assert words(sorted(graph.upstream([name("d")]))) == "a b c d"
    assert words(sorted(graph.downstream([name("b")]))) == "b d e"
    assert graph.upstream([]) == frozenset()


@given(graphs())
def test_the_order_respects_the_inputs_and_holds_each_name_once(graph):
    seen = set()
    for dataset in graph.order:
        assert seen.issuperset(graph.inputs[dataset])
        seen.add(dataset)
    assert sorted(graph.order) == sorted(graph.datasets)


@given(graphs(), st.data())
def test_equal_projects_have_equal_orders(graph, data):
    shuffled = dict(data.draw(st.permutations(list(graph.datasets.items()))))
    assert Graph(shuffled).order == graph.order


@given(graphs())
def test_upstream_and_downstream_mirror_each_other(graph):
    for one in graph.order:
        for other in graph.upstream([one]):
            assert one in graph.downstream([other])


# ---- selection

FILES = {
    "headwater.yaml": "name: t\n",
    "sources/src.yaml": "connector: files\ntags: [raw]\ndatasets:\n"
    "  one: {path: a.csv, columns: {x: integer}}\n"
    "  two: {path: b.csv, columns: {x: integer}, tags: [hot]}\n",
    "models/staging/one.sql": "SELECT x FROM src.one",
    "models/staging/two.sql": "/* {tags: hot} */ SELECT x FROM src.two",
    "models/marts/both.sql": "SELECT o.x FROM staging.one o JOIN staging.two t ON o.x = t.x",
    "models/marts/only.sql": "SELECT x FROM staging.one",
}


@pytest.fixture(scope="module")
def graph(tmp_path_factory) -> Graph:
    folder = tmp_path_factory.mktemp("select")
    for path, text in FILES.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    project, mistakes = read_leniently(folder, {})
    assert not mistakes
    found, between = analyse(project)
    assert not between
    return found


ALL = "marts.both marts.only src.one src.two staging.one staging.two"


@pytest.mark.parametrize(
    ("selectors", "expected"),
    [
        ([], ALL),
        (["marts.both"], "marts.both"),
        (["both"], "marts.both"),
        (["one"], "src.one staging.one"),
        (["+marts.only"], "marts.only src.one staging.one"),
        (["staging.two+"], "marts.both staging.two"),
        (["+staging.one+"], "marts.both marts.only src.one staging.one"),
        (["marts.*"], "marts.both marts.only"),
        (["+marts.*"], ALL),
        (["tag:hot"], "src.two staging.two"),
        (["tag:raw"], "src.one src.two"),
        (["+tag:hot"], "src.two staging.two"),
        (["source:src"], "src.one src.two"),
        (["source:src+"], ALL),
        (["both", "only"], "marts.both marts.only"),
        (["both,only"], "marts.both marts.only"),
        (["both, only"], "marts.both marts.only"),
    ],
)
def test_a_selector_names_datasets(graph, selectors, expected):
    assert " ".join(sorted(str(n) for n in select(graph, selectors))) == expected


@pytest.mark.parametrize(
    ("selector", "hint"),
    [
        ("marts.bth", "did you mean 'marts.both'?"),
        ("tag:nope", "known: "),
        ("source:marts", "known: "),
        ("+nope", "known: "),
        ("both,nope", "known: "),
        ("", "leave it out for all"),
        ("nope.*", "known: "),
    ],
)
def test_a_selector_that_names_nothing_is_refused_with_a_hint(graph, selector, hint):
    with pytest.raises(UnknownSelection, match="nothing is named so") as caught:
        select(graph, [selector])
    assert caught.value.hint.startswith(hint)
