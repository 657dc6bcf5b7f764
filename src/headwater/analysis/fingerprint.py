"""Fingerprints: a hash of what a dataset means.

For now of the whole definition in canonical form: formatting, comments and descriptions do not
count, everything else does, the columns of the result included (so `SELECT *` means its
columns, not the star). The functions that it uses count with it.
"""

from __future__ import annotations

from collections.abc import Mapping

from headwater.contract.types import Type
from headwater.project.definitions import Dataset, PythonModel, SourceDataset, SqlModel, Store
from headwater.sql.query import digest


def fingerprint(dataset: Dataset, schema: Mapping[str, Type] | None) -> str:
    """The fingerprint of a dataset. `schema`: the columns of its result, where they are known."""
    own = _own_fingerprint(dataset, schema)
    meanings = [function.text.meaning for function in dataset.functions]
    return digest(own, *meanings) if meanings else own


def _own_fingerprint(dataset: Dataset, schema: Mapping[str, Type] | None) -> str:
    if isinstance(dataset, SourceDataset):
        return dataset.fingerprint
    columns = repr([(name, kind.sql) for name, kind in (schema or {}).items()])
    contract = dataset.contract.meaning()
    if isinstance(dataset, SqlModel):
        kind = "sql" if dataset.store is Store.TABLE else "view"
        return digest(kind, dataset.query.canonical, contract, columns)
    if isinstance(dataset, PythonModel):
        inputs = repr([(p.parameter, str(p.dataset), p.kind) for p in dataset.parameters])
        return digest("python", dataset.meaning, dataset.function, inputs, contract, columns)
    raise TypeError(f"no fingerprint for {type(dataset).__name__}")
