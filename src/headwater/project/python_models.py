"""Python models, found by reading their syntax. Nothing of the user's is imported here."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headwater.names import DatasetName

KINDS = ("relation", "arrow", "polars", "pandas")


@dataclass(frozen=True)
class FoundInput:
    parameter: str
    dataset: DatasetName
    kind: str
    line: int
    column: int


@dataclass(frozen=True)
class FoundModel:
    """One function under `@hw.model`. `options`: its keyword arguments, literals only."""

    function: str
    description: str
    options: dict[str, Any]
    inputs: tuple[FoundInput, ...]
    line: int


@dataclass(frozen=True)
class Fault:
    line: int
    column: int
    message: str
    hint: str = ""


def find_models(text: str) -> tuple[list[FoundModel], list[Fault]]:
    """The models of a module's text, and what is wrong with them."""
    try:
        tree = ast.parse(text)
    except SyntaxError as error:
        return [], [Fault(error.lineno or 1, error.offset or 1, f"not Python: {error.msg}")]
    models, faults = [], []
    for node in tree.body:
        if not isinstance(node, ast.FunctionDef):
            continue
        for decorator in node.decorator_list:
            call = decorator.func if isinstance(decorator, ast.Call) else decorator
            if _names(call, "model"):
                model, found = _read_model(node, decorator)
                faults += found
                models.append(model)
    return models, faults


def normalised(path: Path, folder: Path) -> str:
    """What a module means: its syntax and that of the project's modules it imports, without
    comments, formatting and docstrings."""
    seen: dict[Path, str] = {}
    _normalise(path.resolve(), folder.resolve(), seen)
    return "\n".join(seen[key] for key in sorted(seen))


def _normalise(path: Path, folder: Path, seen: dict[Path, str]) -> None:
    if path in seen:
        return
    seen[path] = ""
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (SyntaxError, UnicodeDecodeError):
        return
    for node in ast.walk(tree):
        for module in _imported(node):
            for candidate in _places(module, path, folder):
                _normalise(candidate, folder, seen)
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Module) and _has_docstring(node):
            node.body = node.body[1:] or [ast.Pass()]
    seen[path] = ast.unparse(tree)


def _imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        base = node.module or ""
        return [base, *(f"{base}.{alias.name}".strip(".") for alias in node.names)]
    return []


def _places(module: str, path: Path, folder: Path) -> list[Path]:
    parts = module.split(".") if module else []
    found = []
    for base in (folder, path.parent):
        target = base.joinpath(*parts)
        found += [target.with_suffix(".py"), target / "__init__.py"] if parts else []
    return [place.resolve() for place in found if place.is_file()]


def _has_docstring(node: Any) -> bool:
    first = node.body[0] if node.body else None
    return (
        isinstance(first, ast.Expr)
        and isinstance(first.value, ast.Constant)
        and isinstance(first.value.value, str)
    )


def _names(node: ast.expr, word: str) -> bool:
    """Whether `node` is `word`, `hw.word` or `headwater.word`."""
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        return node.attr == word and node.value.id in ("hw", "headwater")
    return isinstance(node, ast.Name) and node.id == word


def _read_model(node: ast.FunctionDef, decorator: ast.expr) -> tuple[FoundModel, list[Fault]]:
    faults: list[Fault] = []
    options: dict[str, Any] = {}
    if isinstance(decorator, ast.Call):
        for keyword in decorator.keywords:
            try:
                options[keyword.arg or "**"] = ast.literal_eval(keyword.value)
            except ValueError:
                faults.append(
                    Fault(
                        keyword.value.lineno,
                        keyword.value.col_offset + 1,
                        f"{keyword.arg or '**'} must be written out: models are read, not run",
                    )
                )
    inputs = []
    for argument in [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]:
        found = _read_input(argument)
        if isinstance(found, Fault):
            faults.append(found)
        else:
            inputs.append(found)
    description = ast.get_docstring(node) or ""
    return FoundModel(node.name, description, options, tuple(inputs), node.lineno), faults


def _read_input(argument: ast.arg) -> FoundInput | Fault:
    line, column = argument.lineno, argument.col_offset + 1
    hint = 'write  trips: hw.Input("staging.trips")'
    call = argument.annotation
    if isinstance(call, ast.Constant) and isinstance(call.value, str):
        call = ast.parse(call.value, mode="eval").body
    if not isinstance(call, ast.Call) or not _names(call.func, "Input") or not call.args:
        return Fault(line, column, f"the parameter {argument.arg!r} names no dataset", hint)
    try:
        values = [ast.literal_eval(item) for item in call.args]
        named = {item.arg: ast.literal_eval(item.value) for item in call.keywords}
        kind = (values[1:] or [named.get("kind", "relation")])[0]
        name = DatasetName.parse(str(values[0]))
    except ValueError as error:
        return Fault(line, column, f"{argument.arg}: {error}", hint)
    if kind not in KINDS:
        return Fault(line, column, f"unknown kind {kind!r}", f"known: {', '.join(KINDS)}")
    return FoundInput(argument.arg, name, kind, line, column)
