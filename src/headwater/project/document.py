"""YAML with positions: a document as plain values, and where each of them stands.

The values are YAML 1.2's: `no` and `on` are words, not booleans, and `10:30` is no number. A key
that stands twice is a mistake. `${NAME}` and `${NAME:-default}` are taken from the environment,
in values only, and where there is one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from headwater.contract.cells import Written
from headwater.errors import Mistake, suggestion
from headwater.places import TOP, KeyPath, Place, Places
from headwater.project.mistakes import mistake_in

_VARIABLE = re.compile(r"\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^}]*))?\}")
_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
M = TypeVar("M", bound=BaseModel)


class _Loader(_Base):  # type: ignore[misc]
    """PyYAML's safe loader with YAML 1.2's idea of booleans and numbers: `10:30` and `1_000` are
    words, `010` is ten, `1e6` is a number."""


_INTEGER = "tag:yaml.org,2002:int"
_NO_TEXTS = ("tag:yaml.org,2002:null", "tag:yaml.org,2002:binary")
_KINDS = {
    "tag:yaml.org,2002:bool": (r"^(?:true|True|TRUE|false|False|FALSE)$", "tTfF"),
    _INTEGER: (r"^(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)$", "-+0123456789"),
    "tag:yaml.org,2002:float": (
        r"^(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"
        r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$",
        "-+.0123456789",
    ),
}
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in _KINDS]
    for first, resolvers in _Base.yaml_implicit_resolvers.items()
}
for _tag, (_pattern, _first) in _KINDS.items():
    _Loader.add_implicit_resolver(_tag, re.compile(_pattern), list(_first))


@dataclass
class Document:
    """One YAML text, read.

    source     the whole text of the file that it stands in.
    start      where in the file it starts.
    value      its content as dicts, lists and scalars; {} if it holds none.
    mistakes   what is wrong with it so far; grows as it is used.
    found      where in the file each key and value stands.
    """

    file: str
    source: str
    start: Place = TOP
    value: Any = field(default_factory=dict)
    mistakes: list[Mistake] = field(default_factory=list)
    found: dict[KeyPath, Place] = field(default_factory=dict)

    @property
    def places(self) -> Places:
        return Places(self.found)

    def mistake(self, path: KeyPath, message: str, hint: str = "") -> None:
        """Note a mistake at `path` (keys and indexes from the top), or at its nearest parent."""
        self.note(self.places.of(path), message, hint)

    def note(self, place: Place, message: str, hint: str = "") -> None:
        """Note a mistake at a place of the file."""
        self.mistakes.append(mistake_in(self.source, self.file, place, message, hint))

    def place_of(self, mark: yaml.Mark) -> Place:
        """Where in the file YAML's `mark` is."""
        before = self.start.column - 1 if mark.line == 0 else 0
        return Place(self.start.line + mark.line, before + mark.column + 1)

    def validate(self, model: type[M], path: KeyPath = ()) -> M | None:
        """The value at `path` as a `model`; None, with its mistakes noted, if it is none."""
        value = self.value
        for step in path:
            value = value[step]
        try:
            return model.model_validate(value)
        except ValidationError as error:
            for problem in error.errors(include_url=False, include_input=False):
                self._note_problem(model, path, problem)
            return None

    def _note_problem(self, model: type[BaseModel], path: KeyPath, problem: Any) -> None:
        # Pydantic names union branches and validators in the path; keep what is in the text.
        # Our own validators may add where within their value the mistake is.
        context = problem.get("ctx") or {}
        where = path
        for step in (*problem["loc"], *context.get("path", ())):
            if (*where, step) in self.found:
                where = (*where, step)
        hint = str(context.get("hint", ""))
        if problem["type"] == "extra_forbidden":
            key = str(problem["loc"][-1])
            known = _known_keys(model, problem["loc"])
            comma = "put a text that holds a comma in quotes" if " " in key else ""
            self.mistake((*path, *problem["loc"]), f"unknown key {key!r}", comma or known)
        elif problem["type"] == "missing":
            self.mistake(where, f"the key {problem['loc'][-1]!r} is missing here", hint)
        elif problem["type"] == "enum":
            self.mistake(where, f"must be one of: {context['expected']}", hint)
        else:
            message = str(problem["msg"])
            self.mistake(where, message[:1].lower() + message[1:], hint)


def read_document(
    text: str,
    file: str,
    environment: Mapping[str, str] | None,
    first_line: int = 1,
    *,
    first_column: int = 1,
    source: str = "",
    as_written: Callable[[KeyPath], bool] | None = None,
) -> Document:
    """Read YAML; what is wrong with it is in the document's `mistakes`.

    environment                None: nothing is taken from it, `${NAME}` is a text.
    first_line, first_column   where in the file the YAML starts.
    source                     the file's whole text, where the YAML is not all of it.
    as_written                 which scalars stay as they are written: see `Written`.
    """
    document = Document(file, source or text, Place(first_line, first_column))
    try:
        node = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problem = error.problem or error.context or "it cannot be read"
        place = document.place_of(mark) if mark else document.start
        # What ends too early is missed after the last line.
        last = first_line + text.count("\n")
        document.note(
            Place(min(place.line, last), place.column), f"not YAML: {problem}", _yaml_hint(problem)
        )
        return document
    except yaml.YAMLError as error:
        document.note(document.start, f"not YAML: {str(error).splitlines()[0]}")
        return document
    if node is not None:
        document.value = _Builder(document, text, environment, as_written).build(node, ())
    return document


class _Builder:
    def __init__(
        self,
        document: Document,
        text: str,
        environment: Mapping[str, str] | None,
        as_written: Callable[[KeyPath], bool] | None,
    ) -> None:
        self.document = document
        self.text = text
        self.environment = environment
        self.as_written = as_written
        self.scalars = yaml.constructor.SafeConstructor()

    def build(self, node: yaml.Node, path: KeyPath) -> Any:
        self.document.found.setdefault(path, self.document.place_of(node.start_mark))
        if isinstance(node, yaml.MappingNode):
            return self.mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.build(item, (*path, n)) for n, item in enumerate(node.value)]
        return self.scalar(node, path)

    def mapping(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, Any]:
        built: dict[str, Any] = {}
        for key_node, value_node in self.rejoined(node):
            key = str(key_node.value)
            here = (*path, key)
            self.document.found[here] = self.document.place_of(key_node.start_mark)
            if key in built:
                self.document.mistake(here, f"the key {key!r} stands here twice", "keep one")
            built[key] = self.build(value_node, here)
        return built

    def rejoined(self, node: yaml.MappingNode) -> list[tuple[yaml.Node, yaml.Node]]:
        """The pairs of a mapping. In `{type: decimal(10,2), min: 0}` YAML ends the value at the
        comma within the parentheses and takes `2)` for a key; here it is one value again."""
        pairs: list[tuple[yaml.Node, yaml.Node]] = []
        for key, value in node.value:
            last = pairs[-1][1] if pairs and node.flow_style else None
            is_tail = isinstance(value, yaml.ScalarNode) and value.value == "" and not value.style
            if isinstance(last, yaml.ScalarNode) and is_tail and _is_open(last):
                start, end = last.start_mark.index, key.end_mark.index
                text = self.text[start:end]
                whole = yaml.ScalarNode(last.tag, text, last.start_mark, key.end_mark)
                pairs[-1] = (pairs[-1][0], whole)
            else:
                pairs.append((key, value))
        return pairs

    def scalar(self, node: Any, path: KeyPath) -> Any:
        if self.as_written and self.as_written(path) and node.tag not in _NO_TEXTS:
            return Written(node.value, is_plain=not node.style)
        if "${" in node.value and self.environment is not None:
            text = _VARIABLE.sub(lambda match: self.variable(match, path), node.value)
            tag = _Loader("").resolve(yaml.ScalarNode, text, (not node.style, False))
            node = yaml.ScalarNode(tag, text, node.start_mark, node.end_mark, node.style)
        try:
            if node.tag == _INTEGER:
                return int(node.value, 0 if node.value[:2] in ("0o", "0x") else 10)
            return self.scalars.construct_object(node)
        except (yaml.YAMLError, ValueError):
            self.document.mistake(path, "this value cannot be read", "put it in quotes")
            return None

    def variable(self, match: re.Match[str], path: KeyPath) -> str:
        name, default = match["name"], match["default"]
        value = (self.environment or {}).get(name) or default
        if value is None:
            self.document.mistake(
                path,
                f"the environment variable {name} is not set",
                f"set it, or give a default: ${{{name}:-…}}",
            )
            return ""
        return value


def _is_open(node: yaml.ScalarNode) -> bool:
    return not node.style and node.value.count("(") > node.value.count(")")


def _yaml_hint(problem: str) -> str:
    if "mapping values are not allowed" in problem:
        return "put a text that holds ': ' in quotes"
    if "\\t" in problem:
        return "indent with spaces"
    if "expected ',' or" in problem:
        return "close the bracket; a text that holds brackets is put in quotes"
    return ""


def _known_keys(model: type[BaseModel], loc: tuple[str | int, ...]) -> str:
    """A hint for an unknown key: the nearest key that the model at `loc` knows."""
    current: Any = model
    for step in loc[:-1]:
        nested = _model_of(current, step)
        current = nested or current
    names = [info.alias or name for name, info in current.model_fields.items()]
    return suggestion(str(loc[-1]), names)


def _model_of(model: type[BaseModel], step: str | int) -> type[BaseModel] | None:
    for name, info in model.model_fields.items():
        if step in (name, info.alias):
            return _inner_model(info.annotation)
    return None


def _inner_model(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for part in getattr(annotation, "__args__", ()):
        if found := _inner_model(part):
            return found
    return None
