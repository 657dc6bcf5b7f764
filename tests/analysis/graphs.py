"""Graphs for tests: from a short text, and random ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hypothesis import strategies as st

from headwater.analysis.graph import Graph
from headwater.contract.contract import Contract
from headwater.names import DatasetName
from headwater.project.definitions import Dataset

NAMES = "abcdefgh"


@dataclass(frozen=True, kw_only=True)
class Plain(Dataset):
    reads: tuple[DatasetName, ...] = ()

    @property
    def inputs(self) -> tuple[DatasetName, ...]:
        return self.reads


def name(word: str) -> DatasetName:
    return DatasetName("m", word)


def graph_of(shape: Mapping[str, str]) -> Graph:
    """`{"b": "a"}`: b reads a. All in the schema m."""
    return Graph(
        {
            name(word): Plain(
                name=name(word),
                file=f"models/m/{word}.sql",
                line=1,
                contract=Contract(),
                reads=tuple(name(given) for given in reads.split()),
            )
            for word, reads in shape.items()
        }
    )


@st.composite
def graphs(draw) -> Graph:
    """Up to eight datasets, each reading some of those before it; in no order."""
    words = list(NAMES[: draw(st.integers(1, 8))])
    shape = {
        word: " ".join(sorted(draw(st.sets(st.sampled_from(words[:number])))) if number else [])
        for number, word in enumerate(words)
    }
    return graph_of(dict(draw(st.permutations(sorted(shape.items())))))
