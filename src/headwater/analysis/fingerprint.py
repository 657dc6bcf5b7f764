"""Fingerprints: a hash of what a dataset means.

Of the whole definition in canonical form: formatting, comments, descriptions, aliases of tables and
CTEs and the order of conditions do not count (see `sql.canonical`), everything else does, the
columns of the result included (so `SELECT *` means its columns, not the star). The functions that
it uses count with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from headwater.contract.types import Type
from headwater.project.definitions import Dataset, PythonModel, SourceDataset, SqlModel, Store
from headwater.sql.query import digest

_Columns = Mapping[str, Type]


def fingerprint(
    dataset: Dataset,
    schema: _Columns | None,
    inputs: Iterable[_Columns] = (),
    marks: Sequence[str] = (),
) -> str:
    """The fingerprint of a dataset.

    schema  the columns of its result, where they are known.
    inputs  those of each dataset that it reads.
    marks   the fingerprints of these, in their order: a model means something else where what it
            reads does. Without them it is the definition's own, which earlier versions went by.
    """
    own = _own_fingerprint(dataset, schema, inputs)
    meanings = [function.text.meaning for function in dataset.functions]
    own = digest(own, *meanings) if meanings else own
    return digest(own, *marks) if marks else own


def first_fingerprint(model: SqlModel, schema: _Columns | None) -> str:
    """The fingerprint that the first version gave a model: tables that it built are known by it,
    so that an upgrade rebuilds nothing. Whoever is equal by it is equal by all later ones."""
    query = model.query.first_form
    return digest(_kind(model), query, model.contract.meaning(), _told(schema))


def _kind(model: SqlModel) -> str:
    return "sql" if model.store is Store.TABLE else "view"


def _told(schema: _Columns | None) -> str:
    return repr([(name, kind.sql) for name, kind in (schema or {}).items()])


def _own_fingerprint(dataset: Dataset, schema: _Columns | None, inputs: Iterable[_Columns]) -> str:
    if isinstance(dataset, SourceDataset):
        return dataset.fingerprint
    columns = _told(schema)
    contract = dataset.contract.meaning()
    if isinstance(dataset, SqlModel):
        nested = set(_nested(pair for each in inputs for pair in each.items()))
        query = dataset.query.canonical_over(nested)
        return digest(_kind(dataset), query, contract, columns)
    if isinstance(dataset, PythonModel):
        given = repr([(p.parameter, str(p.dataset), p.kind) for p in dataset.parameters])
        return digest("python", dataset.meaning, dataset.function, given, contract, columns)
    raise TypeError(f"no fingerprint for {type(dataset).__name__}")


def _nested(columns: Iterable[tuple[str, Type]]) -> Iterator[str]:
    """The names of columns and fields that hold fields."""
    for name, kind in columns:
        if kind.is_nested or kind.kind == "JSON":
            yield name
            yield from _nested(kind.parts)
