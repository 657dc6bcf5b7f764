"""Python models, found by reading their syntax. Nothing of the user's is imported here."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from headwater.names import DatasetName
from headwater.places import KeyPath, Place, characters_before, line_at

KINDS = ("relation", "arrow", "polars", "pandas")


@dataclass(frozen=True)
class FoundInput:
    parameter: str
    dataset: DatasetName
    kind: str
    place: Place


@dataclass(frozen=True)
class FoundModel:
    """One function under `@hw.model`.

    options   its keyword arguments, literals only.
    places    where each of them stands, and what is in it.
    """

    function: str
    description: str
    options: dict[str, Any]
    places: dict[KeyPath, Place]
    inputs: tuple[FoundInput, ...]
    line: int


@dataclass(frozen=True)
class Fault:
    place: Place
    message: str
    hint: str = ""


def find_models(text: str) -> tuple[list[FoundModel], list[Fault]]:
    """The models of a module's text, and what is wrong with them."""
    try:
        tree = ast.parse(text)
    except SyntaxError as error:
        place = Place(error.lineno or 1, error.offset or 1)
        return [], [Fault(place, f"not Python: {error.msg}")]
    reader = _Reader(text)
    for node in tree.body:
        for decorator in getattr(node, "decorator_list", ()):
            call = decorator.func if isinstance(decorator, ast.Call) else decorator
            if _names(call, "model"):
                reader.read(node, decorator)
    return reader.models, reader.faults


class Modules(NamedTuple):
    """A module and the project's modules that it imports.

    meaning   their syntax, without comments, formatting and docstrings.
    written   their texts.
    """

    meaning: str
    written: str


def modules_of(path: Path, folder: Path) -> Modules:
    """A module, with those that it imports, and those that they import."""
    seen: dict[Path, Modules] = {}
    _read_modules(path.resolve(), folder.resolve(), seen)
    found = [seen[key] for key in sorted(seen)]
    return Modules(*("\n".join(parts) for parts in zip(*found, strict=True)))


def _read_modules(path: Path, folder: Path, seen: dict[Path, Modules]) -> None:
    if path in seen:
        return
    seen[path] = Modules("", "")
    try:
        text = path.read_text(encoding="utf-8-sig")
        tree = ast.parse(text)
    except (SyntaxError, UnicodeDecodeError):
        return
    for node in ast.walk(tree):
        for module in _imported(node):
            for candidate in _places(module, path, folder):
                _read_modules(candidate, folder, seen)
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Module) and _has_docstring(node):
            node.body = node.body[1:] or [ast.Pass()]
        if isinstance(node, ast.FunctionDef):
            node.decorator_list = [_without_former_name(mark) for mark in node.decorator_list]
    seen[path] = Modules(ast.unparse(tree), text)


def module_places(path: Path, folder: Path) -> set[Path]:
    """Where `modules_of` looks for a module, those that it imports, and those that they import:
    what is there, and what is not and would be read if it were."""
    found: set[Path] = set()
    waiting = [path.resolve()]
    seen = set(waiting)
    while waiting:
        module = waiting.pop()
        try:
            tree = ast.parse(module.read_text(encoding="utf-8-sig"))
        except (SyntaxError, UnicodeDecodeError):
            continue
        for name in {name for node in ast.walk(tree) for name in _imported(node)}:
            found.update(_candidates(name, module, folder.resolve()))
            more = set(_places(name, module, folder.resolve())) - seen
            seen |= more
            waiting += sorted(more)
    return found | seen


def _without_former_name(decorator: ast.expr) -> ast.expr:
    """`@hw.model(…)` without `renamed_from`: a dataset means what it meant under another name."""
    if not (isinstance(decorator, ast.Call) and _names(decorator.func, "model")):
        return decorator
    kept = [keyword for keyword in decorator.keywords if keyword.arg != "renamed_from"]
    if len(kept) == len(decorator.keywords):
        return decorator
    return ast.Call(decorator.func, decorator.args, kept) if kept else decorator.func


def _imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        base = node.module or ""
        return [base, *(f"{base}.{alias.name}".strip(".") for alias in node.names)]
    return []


def _places(module: str, path: Path, folder: Path) -> list[Path]:
    return [place.resolve() for place in _candidates(module, path, folder) if place.is_file()]


def _candidates(module: str, path: Path, folder: Path) -> list[Path]:
    """The files that a module may be in, there or not."""
    parts = module.split(".") if module else []
    found = []
    for base in (folder, path.parent):
        target = base.joinpath(*parts)
        found += [target.with_suffix(".py"), target / "__init__.py"] if parts else []
    return found


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


class _Reader:
    """Reads the models of one module's text, and notes what is wrong with them."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.models: list[FoundModel] = []
        self.faults: list[Fault] = []

    def place(self, node: Any) -> Place:
        line = line_at(self.text, node.lineno)
        return Place(node.lineno, characters_before(line, node.col_offset) + 1)

    def fault(self, node: Any, message: str, hint: str = "") -> None:
        self.faults.append(Fault(self.place(node), message, hint))

    def read(self, node: ast.stmt, decorator: ast.expr) -> None:
        if not isinstance(node, ast.FunctionDef):
            kind = "a class" if isinstance(node, ast.ClassDef) else "an async function"
            self.fault(node, f"a model is a plain function, not {kind}", "write it with `def`")
            return
        options, places = self.options(decorator)
        arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        inputs = [found for found in map(self.input, arguments) if found]
        description = ast.get_docstring(node) or ""
        self.models.append(
            FoundModel(node.name, description, options, places, tuple(inputs), node.lineno)
        )

    def options(self, decorator: ast.expr) -> tuple[dict[str, Any], dict[KeyPath, Place]]:
        """The decorator's keyword arguments, and where they stand."""
        options: dict[str, Any] = {}
        places: dict[KeyPath, Place] = {}
        for keyword in decorator.keywords if isinstance(decorator, ast.Call) else ():
            name = keyword.arg or "**"
            try:
                options[name] = ast.literal_eval(keyword.value)
            except (ValueError, TypeError):
                self.fault(keyword.value, f"{name} must be written out: models are read, not run")
            places[(name,)] = self.place(keyword)
            self.find_places(keyword.value, (name,), places)
        return options, places

    def find_places(self, node: ast.expr, path: KeyPath, places: dict[KeyPath, Place]) -> None:
        """Note where the parts of a literal stand: its keys, and the items of its lists."""
        if isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                if isinstance(key, ast.Constant) and isinstance(key.value, str):
                    places[(*path, key.value)] = self.place(key)
                    self.find_places(value, (*path, key.value), places)
        elif isinstance(node, ast.List | ast.Tuple):
            for number, item in enumerate(node.elts):
                places[(*path, number)] = self.place(item)
                self.find_places(item, (*path, number), places)

    def input(self, argument: ast.arg) -> FoundInput | None:
        hint = 'write  trips: hw.Input("staging.trips")'
        call = _annotation(argument)
        if not isinstance(call, ast.Call) or not _names(call.func, "Input") or not call.args:
            self.fault(argument, f"the parameter {argument.arg!r} names no dataset", hint)
            return None
        try:
            values = [ast.literal_eval(item) for item in call.args]
            named = {item.arg: ast.literal_eval(item.value) for item in call.keywords}
            kind = (values[1:] or [named.get("kind", "relation")])[0]
            name = DatasetName.parse(str(values[0]))
        except ValueError as error:
            self.fault(argument, f"{argument.arg}: {error}", hint)
            return None
        if kind not in KINDS:
            self.fault(argument, f"unknown kind {kind!r}", f"known: {', '.join(KINDS)}")
            return None
        return FoundInput(argument.arg, name, kind, self.place(argument))


def _annotation(argument: ast.arg) -> ast.expr | None:
    """A parameter's annotation; one that is written as a text is read."""
    written = argument.annotation
    if isinstance(written, ast.Constant) and isinstance(written.value, str):
        try:
            return ast.parse(written.value, mode="eval").body
        except SyntaxError:
            return None
    return written
