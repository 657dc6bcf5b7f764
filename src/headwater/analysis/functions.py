"""What is wrong with a project's functions as the other files see them. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from headwater.errors import Mistake, suggestion
from headwater.names import DatasetName
from headwater.project.definitions import Function, Project
from headwater.project.functions import used_in


def function_mistakes(project: Project) -> list[Mistake]:
    """Functions that read datasets which nothing makes, and row rules and aggregates that use
    functions which read any."""
    if not project.functions:
        return []
    known = [str(name) for name in project.datasets]
    mistakes = [
        project.mistake(
            function.file, ref.place, *no_dataset(DatasetName(ref.schema, ref.name), known)
        )
        for function in project.functions.values()
        for ref in function.text.body.tables
        if DatasetName(ref.schema, ref.name) not in project.datasets
        and not project.is_unread(DatasetName(ref.schema, ref.name))
    ]
    for dataset in project.datasets.values():
        for path, expression in dataset.contract.expressions():
            what, hint = _AGGREGATE if path[:1] == ("checks",) else _ROW_RULE
            mistakes += [
                project.mistake_of(
                    dataset, path, f"{what}, and {function.name}() reads tables", hint
                )
                for function in used_in(expression, project.functions)
                if reads_tables(function)
            ]
    return mistakes


_AGGREGATE = (
    "a check of a contract reads no other table",
    "write it as a query, in checks/NAME.sql",
)
_ROW_RULE = ("a row rule looks at one row", "write a model for that check")


def reads_tables(function: Function) -> bool:
    """Whether a function needs more than its arguments."""
    return bool(function.inputs) or function.text.is_table


def no_dataset(given: DatasetName, known: Sequence[str]) -> tuple[str, str]:
    """What to say of a dataset that nothing makes: (message, hint). `known`: those there are."""
    text = str(given) if given.schema else given.name
    hint = suggestion(text, known)
    if not given.schema:
        same = [name for name in known if name.endswith(f".{given.name}")]
        hint = f"name it with its schema: {same[0]}" if same else hint
    return f"no dataset {text!r}", hint
