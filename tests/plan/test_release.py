"""The release rule: what moves, what is held back and why."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.analysis.graph import Graph
from headwater.lake.state import Build, Position
from headwater.plan.plan import Action, decide_model, decide_release
from tests.analysis.graphs import NAMES, graph_of, graphs, name

OLD, NEW, OTHER = Position("t", 1), Position("t", 2), Position("u", 3)


def decided(graph: Graph, failed: str = "", *, atomic: bool = False, **more):
    """A release in which everything was built anew but what failed and its readers."""
    lost = graph.downstream(name(word) for word in failed.split())
    return decide_release(
        graph,
        {n: NEW for n in graph.order if n not in lost},
        {name(word): "it broke" for word in failed.split()},
        more.get("released", dict.fromkeys(graph.order, OLD)),
        more.get("gone", ()),
        atomic=atomic,
    )


def words(names) -> str:
    return " ".join(sorted(n.name for n in names))


#   a -> b -> d <- c     e -> f     g
SHAPE = {"a": "", "b": "a", "c": "", "d": "b c", "e": "", "f": "e", "g": ""}


@pytest.mark.parametrize(
    ("failed", "moves", "held"),
    [
        pytest.param("", "a b c d e f g", "", id="nothing failed"),
        pytest.param("g", "a b c d e f", "g", id="alone"),
        pytest.param("d", "e f g", "a b c d", id="what it reads stays with it"),
        pytest.param("b", "e f g", "a b c d", id="what shares a reader with it"),
        pytest.param("a", "e f g", "a b c d", id="from the top"),
        pytest.param("f g", "a b c d", "e f g", id="two of them"),
    ],
)
def test_what_failed_holds_back_all_that_shares_a_reader_with_it(failed, moves, held):
    decision = decided(graph_of(SHAPE), failed)
    assert (words(decision.moves), words(decision.held)) == (moves, held)


def test_what_was_computed_beside_older_rows_than_are_released_stays():
    graph = graph_of({"s": "", "x": "s", "y": "x", "z": ""})
    at = {word: name(word) for word in "sxyz"}
    ready = {at["s"]: Position("s", 9), at["x"]: Position("x", 25), at["z"]: Position("z", 9)}
    released = {at["s"]: Position("s", 19), at["x"]: Position("x", 20), at["z"]: Position("z", 8)}
    decision = decide_release(graph, ready, {}, released, (), atomic=False)
    assert (words(decision.moves), words(decision.held)) == ("z", "x")
    assert decision.held[at["x"]].startswith("it reads m.s, which another run has released newer")
    ready = {at["s"]: Position("s", 30), at["x"]: Position("x", 25), at["y"]: Position("y", 31)}
    released = {at["s"]: Position("s", 19), at["x"]: Position("x", 26), at["y"]: Position("y", 27)}
    decision = decide_release(graph, ready, {}, released, (), atomic=False)
    assert (words(decision.moves), words(decision.held)) == ("", "s y")


def test_atomic_holds_back_everything_if_anything_failed():
    decision = decided(graph_of(SHAPE), "g", atomic=True)
    assert not decision.moves
    assert words(decision.held) == "a b c d e f g"
    assert decision.held[name("a")] == "--atomic, and m.g failed"
    assert decided(graph_of(SHAPE), "", atomic=True).held == {}


def test_each_held_name_has_its_reason():
    held = decided(graph_of(SHAPE), "b").held
    assert held == {
        name("a"): "m.b reads it and failed, so both stay as they were",
        name("b"): "it broke",
        name("c"): held[name("c")],
        name("d"): "it reads m.b, which failed",
    }
    assert "m.d" in held[name("c")]


def test_a_name_that_would_not_have_moved_is_not_called_held():
    graph = graph_of(SHAPE)
    released = dict.fromkeys(graph.order, OLD) | {name("a"): NEW}
    assert name("a") not in decided(graph, "b", released=released).held


def test_names_that_the_project_no_longer_makes_are_removed_unless_atomic_fails():
    graph = graph_of({"a": ""})
    gone = (name("z"),)
    assert decided(graph, gone=gone).removed == gone
    assert decided(graph, "a", gone=gone, atomic=True).removed == ()


def test_a_decision_that_moves_and_removes_nothing_is_empty():
    graph = graph_of({"a": ""})
    assert decided(graph, released={name("a"): NEW}).is_empty
    assert not decided(graph).is_empty


# ---- properties


@st.composite
def situations(draw):
    graph = draw(graphs())
    some = st.sets(st.sampled_from(sorted(graph.order)))
    failed = dict.fromkeys(draw(some), "it broke")
    lost = graph.downstream(failed)
    positions = st.builds(Position, st.sampled_from(["t", "u"]), st.integers(1, 4))
    ready = {n: draw(positions) for n in graph.order if n not in lost}
    for n in draw(some):
        ready.pop(n, None)
    released = {n: draw(positions) for n in draw(some)}
    return graph, ready, failed, released, draw(st.booleans())


def behind(ready, released):
    """The names that are released ahead of where a run has them, in the same table."""
    return [
        n
        for n, p in ready.items()
        if n in released and p.table == released[n].table and p < released[n]
    ]


@given(situations())
def test_nothing_moves_back_and_nothing_moves_that_failed_or_reads_what_failed(situation):
    graph, ready, failed, released, atomic = situation
    decision = decide_release(graph, ready, failed, released, (), atomic=atomic)
    for moved, position in decision.moves.items():
        assert position == ready[moved]
        assert moved not in graph.downstream(failed)
        now = released.get(moved)
        assert now is None or now.table != position.table or now.snapshot_id < position.snapshot_id


@given(situations())
def test_no_name_both_moves_and_is_held(situation):
    graph, ready, failed, released, atomic = situation
    decision = decide_release(graph, ready, failed, released, (), atomic=atomic)
    assert not decision.moves.keys() & decision.held.keys()
    assert failed.keys() <= decision.held.keys()
    if atomic and failed:
        assert not decision.moves
    if not failed and not behind(ready, released):
        assert not decision.held


@given(situations())
def test_nothing_moves_beside_what_another_run_has_released_newer_rows_of(situation):
    graph, ready, failed, released, atomic = situation
    moves = decide_release(graph, ready, failed, released, (), atomic=atomic).moves.keys()
    for older in behind(ready, released):
        assert not moves & graph.downstream([older])
        assert not moves & graph.upstream([older])


@given(situations())
def test_nothing_moves_that_shares_a_reader_with_what_failed(situation):
    graph, ready, failed, released, atomic = situation
    decision = decide_release(graph, ready, failed, released, (), atomic=atomic)
    lost = graph.downstream(failed)
    assert not any(graph.downstream([moved]) & lost for moved in decision.moves)


@given(graphs(), st.data())
def test_nothing_released_reads_something_that_is_held_at_another_position(graph, data):
    failed = " ".join(n.name for n in data.draw(st.sets(st.sampled_from(sorted(graph.order)))))
    decision = decided(graph, failed)
    for moved in decision.moves:
        assert not decision.held.keys() & set(graph.inputs[moved])


# ---- what a model needs


def build_of(inputs: dict[str, Position]) -> Build:
    return Build(
        dataset=name("x"),
        position=NEW,
        fingerprint="f",
        row_count=1,
        columns={},
        inputs={name(word): position for word, position in inputs.items()},
        run_id="r",
        built_at=None,
    )


@pytest.mark.parametrize(
    ("inputs", "built", "earlier", "rebuild", "expected"),
    [
        pytest.param({"a": OLD}, None, None, False, "build: not built yet", id="first"),
        pytest.param(
            {"a": OLD}, None, {"a": OLD}, False, "build: its definition changed", id="defined"
        ),
        pytest.param(
            {"a": OTHER}, None, {"a": OLD}, False, "build: m.a changed", id="input is defined anew"
        ),
        pytest.param({"a": OLD}, {"a": OLD}, {}, False, "nothing: up to date", id="up to date"),
        pytest.param({"a": NEW}, {"a": OLD}, {}, False, "build: m.a changed", id="input moved"),
        pytest.param({"a": NEW}, {}, {}, False, "build: m.a changed", id="input is new"),
        pytest.param(
            dict.fromkeys("abcde", NEW),
            dict.fromkeys("abcde", OLD),
            {},
            False,
            "build: m.a, m.b, m.c and 2 more changed",
            id="many",
        ),
        pytest.param(
            {"a": OLD}, {"a": OLD}, {}, True, "build: asked for with --rebuild", id="asked for"
        ),
        pytest.param({}, {}, {}, False, "nothing: up to date", id="reads nothing"),
    ],
)
def test_a_model_is_built_where_it_or_its_inputs_changed(inputs, built, earlier, rebuild, expected):
    decision = decide_model(
        name("x"),
        {name(word): position for word, position in inputs.items()},
        None if built is None else build_of(built),
        None if earlier is None else build_of(earlier),
        rebuild=rebuild,
    )
    assert f"{decision.action.value}: {decision.reason}" == expected
    assert decision.action in Action


def test_the_names_of_the_random_graphs_are_names():
    assert all(str(name(word)) == f"m.{word}" for word in NAMES)
