"""Fingerprints: a hash of what a dataset means, of each of its columns, and of its rows.

Of the whole definition in canonical form: formatting, comments, descriptions, aliases of tables and
CTEs and the order of conditions do not count (see `sql.canonical`), everything else does, the
columns of the result included (so `SELECT *` means its columns, not the star). The functions that
it uses count with it; and of its inputs, what it uses of them: the columns that it reads, and the
rows (see `sql.meaning`). So an input that gains a column means nothing else to those who do not
read it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from headwater.contract.definition import with_expressions
from headwater.contract.types import Type
from headwater.index.entries import key
from headwater.names import DatasetName
from headwater.places import KeyPath
from headwater.project.definitions import Dataset, PythonModel, SourceDataset, SqlModel, Store
from headwater.sql.meaning import Meaning, Part, meaning
from headwater.sql.query import digest

_Columns = Mapping[str, Type]


@dataclass(frozen=True)
class Mark:
    """What a dataset means, as hashes.

    whole    of all of it: its fingerprint, by which its built table is known.
    rows     of which rows there are.
    columns  name in lower case -> of its values, row by row: where the rows of two datasets mean
             the same, and so do some columns, these hold the same. A column that is not here means
             the whole.
    """

    whole: str
    rows: str
    columns: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def opaque(cls, whole: str) -> Mark:
        """Of a dataset whose parts cannot be told apart."""
        return cls(whole, whole)

    def column(self, name: str) -> str:
        """The hash of a column."""
        return self.columns.get(name.lower()) or digest(self.whole, name.lower())


def mark_of(
    dataset: Dataset,
    schema: _Columns | None,
    result: _Columns | None,
    inputs: Mapping[DatasetName, _Columns],
    given: Mapping[DatasetName, Mark],
) -> Mark:
    """What a dataset means.

    schema  the columns of its result, where they are known.
    result  of an SQL model: those of its query, before its contract gives them types.
    inputs  those of each dataset that it reads, where they are known.
    given   what each of these means. (What a source refers to does not change what it means.)
    """
    if (
        isinstance(dataset, SqlModel)
        and dataset.inputs
        and schema is not None
        and result is not None
        and inputs.keys() >= set(dataset.inputs)
        and _is_followed(dataset, schema, result)
    ):
        # Before the canonical form, which changes the tree, so that one parse is enough for both.
        meant = _meaning(dataset, list(schema), inputs)
        own = own_fingerprint(dataset, schema, inputs.values())
        return _followed(dataset, own, meant, schema, result, given)
    own = own_fingerprint(dataset, schema, inputs.values())
    if isinstance(dataset, SourceDataset) or not dataset.inputs:
        return Mark.opaque(own)
    return Mark.opaque(digest(own, *(given[name].whole for name in dataset.inputs)))


def own_fingerprint(
    dataset: Dataset, schema: _Columns | None, inputs: Iterable[_Columns] = ()
) -> str:
    """The hash of a definition, whatever its inputs mean: earlier versions went by it."""
    own = _own_fingerprint(dataset, schema, inputs)
    meanings = [function.text.meaning for function in dataset.functions]
    return digest(own, *meanings) if meanings else own


def as_written(dataset: Dataset) -> str:
    """A hash of how a dataset is written, the values of variables in it. No parser has a say in it,
    so that it outlives them: what was built is known by it after an upgrade that makes another
    canonical form of the same text."""
    words = [dataset.contract_meaning]
    if isinstance(dataset, SourceDataset):
        words += ["source", dataset.fingerprint]
    elif isinstance(dataset, SqlModel):
        words += [_kind(dataset), dataset.query.text]
    elif isinstance(dataset, PythonModel):
        words += ["python", dataset.written, dataset.function, _parameters(dataset)]
    return digest(*words, *(f.text.head + f.text.body_text for f in dataset.functions))


def paths_of(dataset: Dataset) -> str:
    """A hash of where the files of a source are looked for; "" of a model."""
    if not isinstance(dataset, SourceDataset):
        return ""
    return digest(*(path.glob for path in dataset.definition.path))


_OWN_VALUES = frozenset(
    [
        *("name", "type", "required", "default", "accepted", "min", "max", "pattern", "length"),
        "otherwise",
    ]
)
"""What a contract may say of a column that concerns only the values of that column, and whether
their rows stay."""


def _is_followed(model: SqlModel, schema: _Columns, result: _Columns) -> bool:
    """Whether what a model's contract does is told column by column. (A row rule that fails the
    build, as it does if it says nothing else, or only warns, changes no row.)"""
    said = json.loads(model.contract_meaning)
    expressions: list[str] = []

    def note(_: KeyPath, expression: str) -> str:
        expressions.append(expression)
        return expression

    for name, column in model.contract.columns.items():
        with_expressions(column, ("columns", name), note)
    return (
        said.keys() <= {"key", "columns", "rules"}
        and all(rule.get("otherwise", "fail") in ("fail", "warn") for rule in said["rules"])
        and not expressions
        and all(column.keys() <= _OWN_VALUES for column in said["columns"])
        and [name.lower() for name in schema] == [name.lower() for name in result]
    )


def _followed(
    model: SqlModel,
    own: str,
    meant: Meaning,
    schema: _Columns,
    result: _Columns,
    given: Mapping[DatasetName, Mark],
) -> Mark:
    said = {each["name"].lower(): each for each in json.loads(model.contract_meaning)["columns"]}
    columns = {}
    judged = [name.lower() for name in model.contract.key]
    for (name, kind), was in zip(schema.items(), result.values(), strict=True):
        folded = name.lower()
        words = said.get(folded, {})
        told = json.dumps({**words, "type": kind.sql}, sort_keys=True)
        columns[folded] = digest("column", _resolved(meant.columns[name], given), told)
        if words.keys() - {"name", "type"} or kind.sql != was.sql:
            judged.append(folded)  # a value that does not keep it may cost its row
    rows = digest(
        *("rows", _kind(model), _resolved(meant.rows, given)),
        *(f"{name}={columns.get(name, own)}" for name in judged),
    )
    parts = (f"{name}={columns[name]}" for name in columns)
    return Mark(digest(own, rows, *parts), rows, columns)


def _resolved(part: Part, given: Mapping[DatasetName, Mark]) -> str:
    """The hash of a part, with what the inputs mean that it comes from."""
    values = {str(o): given[DatasetName(o.schema, o.table)].column(o.column) for o in part.reads}
    rows = {".".join(table): given[DatasetName(*table)].rows for table in part.tables}
    return digest(part.text, *(f"{n}={m}" for n, m in sorted([*values.items(), *rows.items()])))


def _meaning(
    model: SqlModel, names: Sequence[str], inputs: Mapping[DatasetName, _Columns]
) -> Meaning:
    """What a model's query means; found once for the same text over the same columns."""
    schemas = {(name.schema, name.name): list(columns) for name, columns in inputs.items()}
    nested = sorted(set(_nested(pair for each in inputs.values() for pair in each.items())))
    functions = {function.name: function.text for function in model.functions}
    entries = model.query.entries
    known = key(
        *("meaning", model.query.text, repr(names), repr(sorted(schemas.items())), repr(nested)),
        *(function.meaning for function in functions.values()),
    )
    if found := _meaning_told(entries.get(known), names):
        return found
    meant = meaning(
        model.query.text,
        schemas,
        names,
        nested=nested,
        functions=functions,
        form=model.query.form,
    )
    entries.put(known, [part.told for part in (meant.rows, *meant.columns.values())])
    return meant


def _meaning_told(told: object, names: Sequence[str]) -> Meaning | None:
    """The meaning that an entry tells; None where it tells none."""
    if not isinstance(told, list) or len(told) != len(names) + 1:
        return None
    try:
        rows, *columns = (Part.parse(each) for each in told)
    except (TypeError, ValueError):
        return None
    return Meaning(dict(zip(names, columns, strict=True)), rows)


def first_fingerprint(model: SqlModel, schema: _Columns | None) -> str:
    """The fingerprint that the first version gave a model: tables that it built are known by it,
    so that an upgrade rebuilds nothing. Whoever is equal by it is equal by all later ones."""
    query = model.query.first_form
    return digest(_kind(model), query, model.contract_meaning, _told(schema))


def _kind(model: SqlModel) -> str:
    return "sql" if model.store is Store.TABLE else "view"


def _told(schema: _Columns | None) -> str:
    return repr([(name, kind.sql) for name, kind in (schema or {}).items()])


def _own_fingerprint(dataset: Dataset, schema: _Columns | None, inputs: Iterable[_Columns]) -> str:
    if isinstance(dataset, SourceDataset):
        return dataset.fingerprint
    columns = _told(schema)
    contract = dataset.contract_meaning
    if isinstance(dataset, SqlModel):
        nested = set(_nested(pair for each in inputs for pair in each.items()))
        query = dataset.query.canonical_over(nested)
        return digest(_kind(dataset), query, contract, columns)
    if isinstance(dataset, PythonModel):
        given = _parameters(dataset)
        return digest("python", dataset.meaning, dataset.function, given, contract, columns)
    raise TypeError(f"no fingerprint for {type(dataset).__name__}")


def _parameters(model: PythonModel) -> str:
    return repr([(p.parameter, str(p.dataset), p.kind) for p in model.parameters])


def _nested(columns: Iterable[tuple[str, Type]]) -> Iterator[str]:
    """The names of columns and fields that hold fields."""
    for name, kind in columns:
        if kind.is_nested or kind.kind == "JSON":
            yield name
            yield from _nested(kind.parts)
