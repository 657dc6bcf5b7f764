"""Each write mode gives the table that a slow, obviously right model gives, whatever the files:
duplicates, late rows, rows that break the contract, changed, grown and vanished files."""

from __future__ import annotations

import csv
import io
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st

import headwater as hw
from tests.ingest import slow

SOURCE = """\
connector: files
datasets:
  t:
    path: data/*.csv
    origin: {origin}
{more}    columns:
      id: {{type: integer, required: true}}
      n: integer
      v: {{type: varchar, accepted: [a, b, c]}}
"""
BAD = "x"
"""A value that no contract accepts."""

cells = st.tuples(
    st.integers(1, 4),
    st.one_of(st.integers(1, 5), st.none()),
    st.sampled_from(["a", "b", "c", "a", "b", "c", BAD]),
)
contents = st.lists(cells, max_size=6)
events = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.integers(0, 3), contents),
        st.tuples(st.just("grow"), st.integers(0, 3), contents),
        st.tuples(st.just("vanish"), st.integers(0, 3)),
        st.tuples(st.just("run")),
    ),
    min_size=2,
    max_size=8,
)


LATE = [
    ("write", 0, [(1, 5, "a"), (2, 2, "b")]),
    ("run",),
    ("write", 1, [(1, 3, "b"), (2, None, "c"), (3, 1, "x"), (3, 1, "a")]),
]
"""A late row, one without a moment, and one that breaks the contract."""
MENDED = [
    ("write", 0, [(1, 1, "a"), (1, 1, "a"), (2, 2, "x")]),
    ("write", 1, [(1, 3, "b"), (4, 4, "c")]),
    ("run",),
    ("write", 0, [(1, 1, "a"), (2, 2, "b"), (1, 1, "c")]),
    ("grow", 1, [(3, 4, "c"), (1, 2, "b")]),
    ("run",),
    ("vanish", 0),
]
"""A file that is corrected, one that grows, one that vanishes."""


class World:
    """A project, the files that are there, and those that have landed, in order."""

    def __init__(self, folder: Path, more: str, origin: str) -> None:
        self.folder = folder
        (folder / "data").mkdir(parents=True)
        (folder / "sources").mkdir()
        (folder / "headwater.yaml").write_text("name: t\nthreads: 1\n")
        text = "".join(f"    {line}\n" for line in more.splitlines())
        (folder / "sources" / "s.yaml").write_text(SOURCE.format(more=text, origin=origin))
        self.project = hw.open_project(folder)
        self.there: dict[str, list[Any]] = {}
        self.landed: dict[str, list[Any]] = {}
        self.history: list[slow.File] = []
        self.refused: set[str] = set()

    def happen(self, event: tuple[Any, ...]) -> None:
        kind, *rest = event
        if kind == "run":
            self.run()
            return
        name = f"f{rest[0]}.csv"
        if kind == "vanish":
            self.there.pop(name, None)
            (self.folder / "data" / name).unlink(missing_ok=True)
            return
        before = self.there.get(name, []) if kind == "grow" else []
        self.there[name] = [*before, *rest[1]]
        out = io.StringIO()
        csv.writer(out, lineterminator="\n").writerows([("id", "n", "v"), *self.there[name]])
        (self.folder / "data" / name).write_text(out.getvalue())

    def run(self) -> None:
        """A run, and the same for the model: what differs from what was landed lands."""
        if not self.there and not self.landed:
            return
        report = self.project.run()
        assert not report.failed, report.as_dict()
        self.refused = {Path(path).name for path in report.refused}
        for name, rows in sorted(self.there.items()):
            if self.landed.get(name) != rows and name not in self.refused:
                self.landed[name] = list(rows)
                kept = [{"id": i, "n": n, "v": v} for i, n, v in rows if v != BAD]
                self.history.append(slow.File(name, tuple(kept)))

    def rows(self, columns: str = "id, n, v") -> list[tuple[Any, ...]]:
        return self.project.query(f"SELECT {columns} FROM s.t").rows()

    def check_balances(self) -> None:
        lines = self.project.query(
            "SELECT received - landed - updated - unchanged - deduplicated - dropped "
            "- quarantined, rows_after - rows_before - landed + removed FROM headwater.ledger"
        ).rows()
        assert all(line == (0, 0) for line in lines)
        (held,) = self.project.query(
            "SELECT arg_max(rows_after, committed_at) FROM headwater.ledger"
        ).rows()
        assert held[0] == len(self.rows())

    def quarantined(self) -> Counter[str]:
        rows = self.project.query(
            "SELECT path FROM headwater.quarantine WHERE id NOT IN "
            "(SELECT id FROM headwater.quarantine_outcomes)"
        ).rows()
        return Counter(Path(path).name for (path,) in rows)


def play(tmp_path_factory: Any, history: list[Any], more: str, origin: str = "record") -> World:
    world = World(tmp_path_factory.mktemp("world"), more, origin)
    for event in history:
        world.happen(event)
    world.run()
    return world


EXAMPLES = int(os.environ.get("HEADWATER_EXAMPLES", "6"))
examples = settings(max_examples=EXAMPLES, phases=[Phase.explicit, Phase.reuse, Phase.generate])


@pytest.mark.parametrize("origin", ["record", "file"])
@examples
@given(history=events)
@example(history=LATE)
@example(history=MENDED)
def test_append_holds_the_newest_version_of_each_file(tmp_path_factory, origin, history):
    world = play(tmp_path_factory, history, "write: append", origin)
    if not world.landed:
        return
    assert Counter(world.rows()) == slow.append(world.history)
    world.check_balances()
    bad = {n: sum(r[2] == BAD for r in rows) for n, rows in world.landed.items()}
    assert world.quarantined() == Counter({n: c for n, c in bad.items() if c})


@pytest.mark.parametrize("more", ["write: replace", "write: replace\nkey: [id, n, v]"])
@examples
@given(history=events)
@example(history=LATE)
@example(history=MENDED)
def test_replace_holds_what_the_files_say(tmp_path_factory, more, history):
    if "key" in more:
        history = [_with_moments(event) for event in history]
    world = play(
        tmp_path_factory, history, f"{more}\non_duplicate: keep first" if "key" in more else more
    )
    if not world.there:
        return  # nothing is there: what was landed stays
    wanted = slow.replace([slow.File(n, _good(rows)) for n, rows in world.there.items()])
    found = Counter(world.rows())
    assert found == (Counter(dict.fromkeys(wanted, 1)) if "key" in more else wanted)
    world.check_balances()


@pytest.mark.parametrize("by", ["", "n"])
@examples
@given(history=events)
@example(history=LATE)
@example(history=MENDED)
def test_upsert_holds_the_newest_row_of_each_key(tmp_path_factory, by, history):
    more = "write: upsert\nkey: id" + (f"\non_duplicate: latest by {by}" if by else "")
    world = play(tmp_path_factory, history, more)
    if not world.landed:
        return
    found = {row[0]: row for row in world.rows()}
    assert found == slow.upsert(world.history, by)
    world.check_balances()


@examples
@given(history=events)
@example(history=LATE)
@example(history=MENDED)
def test_a_history_has_no_gap_and_no_overlap(tmp_path_factory, history):
    history = [_with_moments(event) for event in history]
    world = play(tmp_path_factory, history, "write: history\nkey: id\non_duplicate: latest by n")
    if not world.landed:
        return
    found = world.rows("id, n, v, valid_from, valid_to")
    assert len(found) == len(set(found))
    assert set(found) == slow.history(world.history, "n")
    world.check_balances()


@examples
@given(history=events)
@example(history=LATE)
@example(history=MENDED)
def test_a_history_of_landings_has_each_state_of_a_key(tmp_path_factory, history):
    world = play(tmp_path_factory, history, "write: history\nkey: id")
    if not world.landed:
        return
    found: dict[int, list[tuple[Any, ...]]] = {}
    until: dict[int, Any] = {}
    rows = sorted(world.rows("id, n, v, valid_from, valid_to"), key=lambda row: row[3])
    for *row, start, end in rows:
        assert start == until.get(row[0], start)
        until[row[0]] = end
        found.setdefault(row[0], []).append(tuple(row))
    assert all(end is None for end in until.values())
    assert found == slow.history_of_landings(world.history)
    world.check_balances()


def test_the_same_export_again_writes_only_what_differs(tmp_path):
    world = World(tmp_path / "w", "write: upsert\nkey: id", "record")
    world.happen(("write", 0, [(1, 1, "a"), (2, 1, "b"), (3, 1, "c")]))
    world.run()
    world.happen(("write", 1, [(1, 1, "a"), (2, 2, "b"), (4, 1, "c")]))
    world.run()
    (line,) = world.project.query(
        "SELECT received, landed, updated, unchanged, removed FROM headwater.ledger "
        "ORDER BY committed_at DESC LIMIT 1"
    ).rows()
    assert line == (3, 1, 1, 1, 0)


def test_a_model_reads_the_validity_of_a_history(tmp_path):
    world = World(tmp_path / "w", "write: history\nkey: id\non_duplicate: latest by n", "record")
    world.happen(("write", 0, [(1, 1, "a"), (1, 3, "b")]))
    (world.folder / "models" / "m").mkdir(parents=True)
    (world.folder / "models" / "m" / "x.sql").write_text(
        "SELECT id, v FROM s.t WHERE valid_from <= 2 AND (valid_to > 2 OR valid_to IS NULL)"
    )
    world.project = hw.open_project(world.folder)
    world.run()
    assert world.project.query("SELECT * FROM m.x").rows() == [(1, "a")]


def _with_moments(event: tuple[Any, ...]) -> tuple[Any, ...]:
    """The event without missing moments."""
    if len(event) < 3:
        return event
    return (*event[:2], [(i, n or 1, v) for i, n, v in event[2]])


def _good(rows: list[Any]) -> tuple[slow.Row, ...]:
    return tuple({"id": i, "n": n, "v": v} for i, n, v in rows if v != BAD)
