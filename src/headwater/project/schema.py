"""JSON Schemas of what a user writes, for editors: completion, descriptions, unknown keys.

They are made from the classes that read the files, so they cannot say something else. A schema is
never stricter than the reader: where a class takes a shorter form than it declares, as a type
alone for a column, the schema takes any single value there and leaves judging it to
`headwater check`. Unknown keys it refuses everywhere.
"""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Callable, Iterable
from enum import Enum
from itertools import pairwise
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from headwater.contract.checks import CheckHeader
from headwater.contract.types import TYPE_WORDS, Type
from headwater.project.definitions import FilesSource, ModelContract, Settings
from headwater.project.unit_tests import UnitTestsFile

DIALECT = "http://json-schema.org/draft-07/schema#"
"""The newest that all editors know."""
SCHEMAS: dict[str, tuple[type[BaseModel], str]] = {
    "settings": (Settings, "headwater.yaml"),
    "source": (FilesSource, "sources/*.yaml"),
    "model": (ModelContract, "the leading comment of models/**/*.sql"),
    "check": (CheckHeader, "the leading comment of checks/**/*.sql"),
    "test": (UnitTestsFile, "tests/**/*.yaml"),
}
"""Name -> the class that reads it, and what it is the schema of."""

_TOP = {model for model, _ in SCHEMAS.values()}

VARIABLE = {"type": "string", "pattern": r"\$\{[A-Za-z_][A-Za-z0-9_]*(:-[^}]*)?\}"}
"""A value from the environment, which may stand where another kind of value is meant."""
_SINGLE = ("string", "number", "boolean", "null")


def schema_of(name: str) -> dict[str, Any]:
    """The schema of that name. Costs 20 ms."""
    model, what = SCHEMAS[name]
    made = _Generator(by_alias=True).generate(model.__pydantic_core_schema__)
    settled: dict[str, Any] = _settled(made)
    return {"$schema": DIALECT, "title": f"Headwater: {what}", **settled}


class _Generator(GenerateJsonSchema):
    """Pydantic's generator, with our types, short forms and docstrings."""

    def dataclass_schema(self, schema: core_schema.DataclassSchema) -> JsonSchemaValue:
        if schema["cls"] is Type:
            return _type_schema()
        return super().dataclass_schema(schema)

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        made = super().model_schema(schema)
        docs = attribute_docs(schema["cls"])
        for name, field in schema["cls"].model_fields.items():
            said = made.get("properties", {}).get(field.alias or name)
            if said is not None and name in docs:
                said["description"] = docs[name]
        if schema["schema"]["type"] != "function-before" or schema["cls"] in _TOP:
            return made
        about = {"description": made.pop("description", "")}
        return {**about, "anyOf": [made, {"type": list(_SINGLE)}]}

    def enum_schema(self, schema: core_schema.EnumSchema) -> JsonSchemaValue:
        docs = attribute_docs(schema["cls"])
        words = [member for member in schema["members"] if isinstance(member, Enum)]
        return {
            "description": _first_paragraph(schema["cls"]),
            "oneOf": [
                {"const": word.value, "description": docs.get(word.name, "")} for word in words
            ],
        }

    def function_before_schema(
        self, schema: core_schema.BeforeValidatorFunctionSchema
    ) -> JsonSchemaValue:
        if "json_schema_input_schema" in schema:
            return super().function_before_schema(schema)
        inner = self.generate_inner(schema["schema"])
        if _is_of_fields(schema["schema"]) or self._is_of_type(inner):
            return inner  # see `model_schema`; and a type has a schema of its own
        return self._lenient(inner, schema["schema"])

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        made = super().default_schema(schema)
        default = made.get("default")
        if default is None or default == "" or isinstance(default, dict | list):
            made.pop("default", None)
        return made

    def _is_of_type(self, made: JsonSchemaValue) -> bool:
        meant = self.get_schema_from_definitions(made["$ref"]) if "$ref" in made else made
        return meant == _type_schema()

    def _lenient(self, inner: JsonSchemaValue, schema: CoreSchema) -> JsonSchemaValue:
        """What a value may be that is changed before it is read: as it is declared, or in a
        shorter form. Words of a list of words stay those words; mappings stay as they are."""
        kinds = [kind for kind in _SINGLE if kind != "string" or not _has_words(schema)]
        shorter: list[JsonSchemaValue] = [{"type": kinds}]
        if inner.get("type") == "array":
            items = inner.get("items", {})
            inner = {**inner, "items": {"anyOf": [items, {"type": list(_SINGLE)}]}}
        return {"anyOf": [inner, *shorter]}


def _type_schema() -> JsonSchemaValue:
    return {
        "description": f"A column type, as DuckDB writes it: {', '.join(TYPE_WORDS)}; "
        "decimal(10,2), varchar[], struct(city varchar), map(varchar, integer).",
        "type": "string",
        # Any word: the usual other names of the types (`text`, `int`) are understood too.
        "pattern": r"^\s*[A-Za-z][A-Za-z0-9_ ]*(\(.*\))?\s*(\[\d*\]\s*)*$",
        "examples": [*TYPE_WORDS, "decimal(10,2)", "varchar[]", "struct(city varchar)"],
    }


def _inner(schema: CoreSchema) -> Iterable[CoreSchema]:
    """The schemas that a core schema wraps or chooses from."""
    parts: dict[str, Any] = dict(schema)
    if isinstance(parts.get("schema"), dict):
        yield parts["schema"]
    if parts["type"] == "union":
        for choice in parts["choices"]:
            yield choice[0] if isinstance(choice, tuple) else choice


def _is_of_fields(schema: CoreSchema) -> bool:
    """Whether it is of the fields of a class, perhaps through validators."""
    wrapped = schema["type"].startswith("function-")
    return schema["type"] == "model-fields" or (
        wrapped and any(_is_of_fields(part) for part in _inner(schema))
    )


def _any(test: Callable[[CoreSchema], bool], schema: CoreSchema) -> bool:
    if test(schema):
        return True
    if schema["type"] in ("model", "dataclass"):
        return False
    return any(_any(test, part) for part in _inner(schema))


def _has_words(schema: CoreSchema) -> bool:
    return _any(lambda part: part["type"] == "enum", schema)


# ---- the schema, made plain ------------------------------------------------------------------


def _settled(schema: Any) -> Any:
    """A schema without what is of no use to an editor, and with values from the environment."""
    if isinstance(schema, list):
        return [_settled(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    plain: dict[str, Any] = {
        key: {name: _settled(part) for name, part in value.items()}
        if key in ("properties", "$defs")
        else value
        if key in ("const", "default", "description", "examples")
        else _settled(value)
        for key, value in schema.items()
        if key != "title"
    }
    if "description" in plain and isinstance(plain["description"], str):
        plain["description"] = " ".join(plain["description"].split("\n\n")[0].split())
    if "anyOf" in plain:
        # Bounds beside choices are meant for what the value becomes, not for what is written.
        about = _about(plain)
        choices = _choices(plain["anyOf"])
        plain = {**about, **(choices[0] if len(choices) == 1 else {"anyOf": choices})}
    if "$ref" in plain and len(plain) > 1:
        plain["allOf"] = [{"$ref": plain.pop("$ref")}]  # beside a $ref nothing counts
    if plain.get("type") in ("integer", "number", "boolean"):
        about = _about(plain)
        kind = {key: value for key, value in plain.items() if key not in about}
        plain = {**about, "anyOf": [kind, VARIABLE]}
    return plain


def _about(schema: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in schema.items() if key in ("description", "default")}


def _choices(choices: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Choices, flat, without those that another one includes."""
    flat: list[dict[str, Any]] = []
    for choice in choices:
        flat += choice["anyOf"] if choice.keys() == {"anyOf"} else [choice]
    kinds = {kind for part in flat if part.keys() == {"type"} for kind in _as_list(part["type"])}
    kinds -= {"integer"} if "number" in kinds else set()
    found: list[dict[str, Any]] = []
    for part in flat:
        is_within = part.get("type") in (*kinds, "integer" if "number" in kinds else "")
        if part.keys() != {"type"} and not is_within and part not in found:
            found.append(part)
    if kinds:
        found.append({"type": sorted(kinds) if len(kinds) > 1 else kinds.pop()})
    return found


def _as_list(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


# ---- what the source says beside a field -----------------------------------------------------


def attribute_docs(owner: type) -> dict[str, str]:
    """Attribute -> the docstring that stands below it, base classes included. Those whose source
    is not there have none."""
    found: dict[str, str] = {}
    for cls in reversed(owner.__mro__):
        if cls.__module__.split(".")[0] != "headwater":
            continue
        try:
            source = inspect.getsource(cls)
        except OSError:
            continue
        (tree,) = ast.parse(textwrap.dedent(source)).body
        body = tree.body if isinstance(tree, ast.ClassDef) else []
        for field, after in pairwise(body):
            text = after.value if isinstance(after, ast.Expr) else None
            if isinstance(text, ast.Constant) and isinstance(text.value, str):
                for name in _targets(field):
                    found[name] = " ".join(text.value.split())
    return found


def _targets(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        return [node.target.id]
    if isinstance(node, ast.Assign):
        return [target.id for target in node.targets if isinstance(target, ast.Name)]
    return []


def _first_paragraph(owner: Any) -> str:
    return " ".join(re.split(r"\n\s*\n", inspect.getdoc(owner) or "")[0].split())
