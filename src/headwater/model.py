"""The two words that a Python model is written with. They do nothing when they are run: models
are found by reading their syntax."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, overload

F = TypeVar("F", bound=Callable[..., Any])


class Input:
    """A parameter's dataset: `trips: hw.Input("staging.trips")`.

    kind   how the function gets it: `relation` (DuckDB, nothing is copied), `arrow`, `polars`
           or `pandas`.
    """

    def __init__(self, dataset: str, kind: str = "relation") -> None:
        self.dataset, self.kind = dataset, kind


@overload
def model(function: F) -> F: ...
@overload
def model(function: None = None, **options: Any) -> Callable[[F], F]: ...
def model(function: F | None = None, **options: Any) -> F | Callable[[F], F]:
    """Mark a function as a model. Its keywords are those of a contract: `key`, `columns`,
    `rules`, `row_count`, `checks`, `owner`, `tags`, `renamed_from`, `description`; and
    `memory_limit`, `threads`, `timeout_s`. They must be written out as literals.

    The function returns a DuckDB relation, an Arrow table, a Polars or a pandas DataFrame.
    """
    if function is not None:
        return function
    return lambda marked: marked
