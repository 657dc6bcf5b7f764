"""The reading door: a query over the current release, and over nothing else.

Names mean what the release says they mean, all at one snapshot. The session may not write,
load, attach, or reach files and network, unless `allow_files` says so.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import duckdb

from headwater.engine.macros import macro_sql
from headwater.errors import QueryRefused, UnknownDataset, suggestion, without_values
from headwater.lake.commit import at
from headwater.lake.lake import Lake
from headwater.lake.state import STATE_TABLES, Position
from headwater.names import DatasetName
from headwater.project.definitions import Function
from headwater.sql.query import table_parts
from headwater.sql.quote import dotted, literal

if TYPE_CHECKING:
    import pyarrow as pa  # 70 ms that only a query's result needs

TABLE_FUNCTIONS = frozenset(
    ["range", "generate_series", "unnest", "repeat", "repeat_row", "json_each", "json_tree"]
)
"""The table functions that a query may call without `allow_files`."""

_EXPLAIN = re.compile(r"\A\s*explain\b(\s*analyze\b)?(\s*\([^()]*\)(?=\s*[a-z]))?", re.IGNORECASE)
_CATALOGS = re.compile(
    r"information_schema|pg_catalog|sqlite_(temp_)?(master|schema)", re.IGNORECASE
)
_ABOUT_THE_QUERY = (duckdb.ParserException, duckdb.BinderException, duckdb.CatalogException)
_READING = (duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN)


class QueryResult:
    """The rows of a query. They are streamed, so they can be fetched once, by one of the methods.

    The lake is closed once they are fetched; `close` does it before. A query that fails on the
    way raises QueryRefused there.
    """

    def __init__(self, lake: Lake, relation: Any) -> None:
        self._lake = lake
        self._relation = relation

    def reader(self) -> pa.RecordBatchReader:
        """The rows as a stream of Arrow batches; memory: a batch of 100,000 rows. Call `close`
        when done with it."""
        import pyarrow as pa  # 70 ms that only a query's result needs

        try:
            stream = self._relation.to_arrow_reader(100_000)
        except duckdb.Error as error:
            raise _failed(error) from error
        return pa.RecordBatchReader.from_batches(stream.schema, _batches(stream))

    def arrow(self) -> pa.Table:
        """The rows as an Arrow table."""
        try:
            return self.reader().read_all()
        finally:
            self.close()

    def polars(self) -> Any:
        """The rows as a Polars DataFrame; needs the extra `headwater[polars]`."""
        import polars  # an optional, heavy package

        return polars.from_arrow(self.arrow())

    def pandas(self) -> Any:
        """The rows as a pandas DataFrame; needs the extra `headwater[pandas]`."""
        return self.arrow().to_pandas()

    def rows(self) -> list[tuple[Any, ...]]:
        """The rows as Python tuples."""
        table = self.arrow()
        return list(zip(*(column.to_pylist() for column in table.columns), strict=True))

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        return iter(self.rows())

    def close(self) -> None:
        """Let go of the lake. Safe to call twice."""
        self._relation = None
        self._lake.close()


def _batches(stream: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
    while True:
        try:
            batch = stream.read_next_batch()
        except StopIteration:
            return
        except (OSError, ValueError) as error:  # what Arrow makes of DuckDB's errors
            raise _failed(error) from error
        yield batch


def query(
    lake: Lake,
    sql: str,
    *,
    allow_files: bool = False,
    functions: Sequence[Function] = (),
) -> QueryResult:
    """Run one SELECT over the current release of a lake that was opened for it, read-only; it is
    closed with the result.

    functions   those of the project that it uses, callees first.

    Raises QueryRefused for anything that is not only a reading of datasets, UnknownDataset for
    names that are not released, and QueryRefused with DuckDB's words for SQL that fails.
    """
    try:
        if _refuse_statements(sql):
            _tree(lake.con, sql)  # EXPLAIN ANALYZE carries out what it explains
        if not allow_files:
            _refuse_functions(lake.con, sql, {function.name for function in functions})
            _confine(lake)
        tables = sorted({*_tables(sql), *(tuple(g) for f in functions for g in f.inputs)})
        lake.con.execute("BEGIN")
        if _CATALOGS.search(sql):  # it asks which tables there are
            tables = sorted({*tables, *((*name,) for name in lake.release().names)})
        _place(lake, tables, allow_files)
        for function in functions:
            lake.con.execute(macro_sql(function))
        return QueryResult(lake, lake.con.sql(sql))
    except duckdb.Error as error:
        lake.close()
        raise _failed(error) from error
    except BaseException:
        lake.close()
        raise


def _refuse_statements(sql: str) -> bool:
    """Refuse all but one SELECT; says whether it is asked to be explained."""
    try:
        statements = duckdb.extract_statements(sql)
    except duckdb.Error as error:
        raise _failed(error) from error
    if len(statements) != 1:
        raise QueryRefused(f"{len(statements)} statements where one query is meant")
    if statements[0].type not in _READING:
        kind = str(statements[0].type).split(".")[-1].lower()
        raise QueryRefused(
            f"a {kind} statement: `query` only reads",
            hint="tables are made by models; see `headwater run`",
        )
    return statements[0].type == duckdb.StatementType.EXPLAIN


def _tables(sql: str) -> list[tuple[str, ...]]:
    # A session without the lake, so that nothing of it is bound: names are only to be found.
    with duckdb.connect(":memory:") as con:
        try:
            names = con.get_table_names(sql, qualified=True)
        except (duckdb.BinderException, duckdb.CatalogException):
            # It binds all the same, over tables without columns, which some joins do not stand,
            # and without the project's functions.
            return sorted(_tables_of(_tree(con, sql)))
    return sorted({table_parts(name) for name in names})


def _tables_of(tree: Any) -> set[tuple[str, ...]]:
    """The tables of a serialised query, without the names that it gives itself."""
    nodes = list(_nodes(tree))
    own = {
        str(entry.get("key", "")).lower()
        for node in nodes
        if isinstance(node.get("cte_map"), dict)
        for entry in node["cte_map"].get("map", [])
    }
    found = set()
    for node in nodes:
        if node.get("type") == "BASE_TABLE":
            words = (node.get("catalog_name"), node.get("schema_name"), node.get("table_name"))
            parts = tuple(str(word).lower() for word in words if word)
            if len(parts) > 1 or parts[0] not in own:
                found.add(parts)
    return found


def _tree(con: duckdb.DuckDBPyConnection, sql: str) -> Any:
    """A query as DuckDB's own parser sees it. Raises QueryRefused where it gives no tree."""
    body = _EXPLAIN.sub("", sql)
    row = con.execute(f"SELECT json_serialize_sql({literal(body)}::VARCHAR)").fetchone()
    tree = json.loads(row[0]) if row else {}
    if tree.get("error"):
        raise QueryRefused(
            "this statement cannot be looked through",
            hint="write it as a SELECT, or give --allow-files if you trust it",
        )
    return tree


def _refuse_functions(con: duckdb.DuckDBPyConnection, sql: str, ours: set[str]) -> None:
    tree = _tree(con, sql)
    for name in sorted(set(_functions(tree))):
        if name not in TABLE_FUNCTIONS and name not in ours:
            raise QueryRefused(
                f"the table function {name}() may reach files or the network",
                hint="land files through a source, or give --allow-files if you trust the query",
            )


def _functions(tree: Any) -> Iterator[str]:
    for node in _nodes(tree):
        if node.get("type") == "TABLE_FUNCTION":
            yield str(node.get("function", {}).get("function_name", "")).lower()


def _nodes(node: Any) -> Iterator[dict[str, Any]]:
    """Every object within a JSON value, from the outside in."""
    if isinstance(node, dict):
        yield node
        for value in node.values():
            yield from _nodes(value)
    elif isinstance(node, list):
        for value in node:
            yield from _nodes(value)


def _confine(lake: Lake) -> None:
    lake.con.execute(f"SET allowed_directories = [{literal(str(lake.folder / 'data') + '/')}]")
    lake.con.execute("SET enable_external_access = false; SET lock_configuration = true")


def _place(lake: Lake, tables: list[tuple[str, ...]], allow_files: bool) -> None:
    """Put each of these tables into the session, at its released position."""
    released = lake.release().names
    bodies: dict[tuple[str, ...], str] = {}
    for parts in tables:
        if len(parts) == 2 and parts[0] == "headwater" and parts[1] in STATE_TABLES:
            bodies[parts] = f"SELECT * FROM {dotted('lake', *parts)}"
        elif len(parts) == 2 and DatasetName(*parts) in released:
            bodies[parts] = f"SELECT * FROM {at(released[DatasetName(*parts)])}"
        elif not (_CATALOGS.fullmatch(parts[0]) or (allow_files and _may_be_file(parts))):
            renamed = lake.renamed_to(DatasetName(*parts)) if len(parts) == 2 else None
            raise _unknown(parts, released, renamed)
    for schema in sorted({parts[0] for parts in bodies}):
        lake.con.execute(f"CREATE SCHEMA IF NOT EXISTS {dotted('memory', schema)}")
    for parts, body in bodies.items():
        lake.con.execute(f"CREATE VIEW {dotted('memory', *parts)} AS {body}")


def _may_be_file(parts: tuple[str, ...]) -> bool:
    """Whether a name is what DuckDB takes for a file: `'trips.csv'`."""
    return len(parts) == 1 and ("." in parts[0] or "/" in parts[0])


def _unknown(
    parts: tuple[str, ...],
    released: Mapping[DatasetName, Position],
    renamed: DatasetName | None,
) -> UnknownDataset:
    name = ".".join(parts)
    known = [str(dataset) for dataset in released] + [f"headwater.{t}" for t in STATE_TABLES]
    same = [dataset for dataset in known if dataset.endswith(f".{name}")]
    hint = f"name it with its schema: {same[0]}" if same else suggestion(name, known)
    if renamed:
        hint = f"it was renamed: {renamed}"
    return UnknownDataset(f"no released dataset {name!r}", hint=hint)


def _failed(error: Exception) -> QueryRefused:
    text = str(error)
    text = text.split("\n\nStack Trace")[0].split("\nStack Trace")[0]
    message, _, rest = text.partition("\n")
    if not isinstance(error, _ABOUT_THE_QUERY):
        message = without_values(message)
    # The lines of the user's own query, with DuckDB's mark under the place.
    shown = "\n".join(line for line in rest.split("\n") if line.strip())
    return QueryRefused(message, hint=shown)


def describe_schema(lake: Lake, position: Position) -> list[tuple[str, str]]:
    """The columns of a released dataset: (name, type)."""
    rows = lake.con.execute(f"DESCRIBE SELECT * FROM {at(position)}").fetchall()
    return [(row[0], row[1]) for row in rows]


def sample(lake: Lake, position: Position, rows: int) -> pa.Table:
    """A few rows of a released dataset, in no order."""
    return lake.con.sql(f"SELECT * FROM {at(position)} LIMIT {int(rows)}").to_arrow_table()
