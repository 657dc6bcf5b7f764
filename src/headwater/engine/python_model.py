"""Calling a Python model: its module is imported only now, its result becomes a table."""

from __future__ import annotations

import importlib.util
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb

from headwater.errors import ModelFailed
from headwater.project.definitions import PythonModel
from headwater.sql.quote import dotted, ident


def call(con: duckdb.DuckDBPyConnection, folder: Path, model: PythonModel, table: str) -> None:
    """Run the model's function and put its result into the temp table `table`.

    The inputs are found in the session under their dataset names. Raises ModelFailed.
    """
    with _importable(folder, model.path.parent):
        function = _function(model)
        arguments = {
            given.parameter: _as_kind(con, dotted(*given.dataset), given.kind)
            for given in model.parameters
        }
        try:
            result = function(**arguments)
        except (Exception, SystemExit) as error:
            raise ModelFailed(
                f"{type(error).__name__} was raised by {model.function}()",
                where=_where(model, error),
                hint="the cause is shown by `headwater run --traceback`; its text may hold values",
            ) from error
        _store(con, model, result, table)


def _function(model: PythonModel) -> Any:
    name = f"_headwater_models.{model.name.schema}.{model.name.name}"
    spec = importlib.util.spec_from_file_location(name, model.path)
    if spec is None or spec.loader is None:
        raise ModelFailed("the file is no Python module", where=model.file)
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise ModelFailed(
            f"the module cannot be imported: {type(error).__name__}: {_import_word(error)}",
            where=_where(model, error),
            hint="install what it imports into this environment",
        ) from error
    return getattr(module, model.function)


def _import_word(error: Exception) -> str:
    return (
        str(error) if isinstance(error, ImportError | SyntaxError | NameError) else "see the cause"
    )


def _where(model: PythonModel, error: BaseException) -> str:
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename == str(model.path)]
    line = frames[-1].lineno if frames else model.line
    return f"{model.file}:{line}"


def _as_kind(con: duckdb.DuckDBPyConnection, table: str, kind: str) -> Any:
    relation = con.sql(f"SELECT * FROM {table}")
    if kind == "arrow":
        return relation.to_arrow_table()
    if kind == "polars":
        return relation.pl()
    if kind == "pandas":
        return relation.df()
    return relation


def _store(con: duckdb.DuckDBPyConnection, model: PythonModel, result: Any, table: str) -> None:
    where = f"{model.file}:{model.line}"
    if result is None:
        raise ModelFailed(
            f"{model.function}() returned None",
            where=where,
            hint="return the result: a DuckDB relation, Arrow, Polars or pandas",
        )
    _refuse_repeated_columns(result, model, where)
    try:
        if isinstance(result, duckdb.DuckDBPyRelation):
            con.execute(f"DROP VIEW IF EXISTS {ident('python_result')}")
            result.create_view("python_result", replace=True)
        else:
            con.register("python_result", result)
    except Exception as error:
        raise ModelFailed(
            f"{model.function}() returned {type(result).__name__}, which is no table",
            where=where,
            hint="return a DuckDB relation, Arrow, Polars or pandas",
        ) from error
    try:
        con.execute(f"CREATE TEMP TABLE {ident(table)} AS SELECT * FROM python_result")
    except duckdb.Error as error:
        raise ModelFailed(
            f"the result of {model.function}() cannot be computed: {type(error).__name__}",
            where=where,
            hint="run the function by hand to see its cause",
        ) from error
    finally:
        if not isinstance(result, duckdb.DuckDBPyRelation):
            con.unregister("python_result")
        else:
            con.execute("DROP VIEW IF EXISTS python_result")


def _refuse_repeated_columns(result: Any, model: PythonModel, where: str) -> None:
    """DuckDB would give the second one another name."""
    seen: set[str] = set()
    for name in _column_names(result):
        if name.lower() in seen:
            raise ModelFailed(
                f"{model.function}() returned two columns {name!r}",
                where=where,
                hint="give each column a name of its own; upper and lower case are the same",
            )
        seen.add(name.lower())


def _column_names(result: Any) -> list[str]:
    if hasattr(result, "collect_schema"):  # Polars, lazy or not
        return list(result.collect_schema().names())
    if hasattr(result, "column_names"):  # Arrow
        return list(result.column_names)
    return [str(name) for name in getattr(result, "columns", ())]


@contextmanager
def _importable(*folders: Path) -> Iterator[None]:
    """The project's own modules can be imported while its models run. They come last: a model
    may be called like a package that others import."""
    before = list(sys.path)
    known = set(sys.modules)
    sys.path += [str(folder) for folder in folders]
    try:
        yield
    finally:
        sys.path[:] = before
        for name in set(sys.modules) - known:
            origin = getattr(sys.modules[name], "__file__", None) or ""
            if any(Path(origin).is_relative_to(folder) for folder in folders if origin):
                del sys.modules[name]
