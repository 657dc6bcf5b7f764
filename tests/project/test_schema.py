"""The schemas for editors: whatever the reader takes they take, and unknown keys they refuse."""

from __future__ import annotations

import json
import re
from datetime import date, datetime, time
from pathlib import Path

import jsonschema
import pytest
from typer.testing import CliRunner

from headwater.cli.init import TEMPLATE_FILES
from headwater.cli.main import app
from headwater.contract.contract import Remedy
from headwater.project.document import read_document
from headwater.project.schema import SCHEMAS, attribute_docs, schema_of
from headwater.sql.query import split_front

ROOT = Path(__file__).resolve().parents[2]
_FENCE = re.compile(r"<!-- file: (?P<file>\S+) -->\n```\w+\n(?P<body>.*?)^```$", re.M | re.S)


def kind_of(path: str) -> str | None:
    if path.endswith("headwater.yaml"):
        return "settings"
    if "sources/" in path:
        return "source"
    if "models/" in path and path.endswith(".sql"):
        return "model"
    if "checks/" in path and path.endswith(".sql"):
        return "check"
    if re.search(r"(^|/)tests/.*\.yaml$", path):
        return "test"
    return None


def examples() -> list[tuple[str, str, str]]:
    """Where it stands, its kind and its text: all that docs, examples, the template and the
    fixtures of contracts show. (SQL without a leading comment has no YAML.)"""
    found = []
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        for fence in _FENCE.finditer(page.read_text(encoding="utf-8")):
            found.append((f"{page.name}: {fence['file']}", fence["file"], fence["body"]))
    for folder in (ROOT / "examples", ROOT / "src/headwater/cli/template"):
        for path in sorted([*folder.rglob("*.yaml"), *folder.rglob("*.sql")]):
            if ".headwater" not in path.parts:
                name = path.relative_to(folder).as_posix()
                found.append((name, path.as_posix(), path.read_text(encoding="utf-8")))
    found = [one for one in found if not one[1].endswith(".sql") or "/*" in one[2]]
    texts = [(where, kind, text) for where, path, text in found if (kind := kind_of(path))]
    for path in sorted((ROOT / "tests/contract/fixtures").glob("*.yaml")):
        texts.append((path.name, "model", path.read_text(encoding="utf-8")))
    return texts


EXAMPLES = examples()


def value_of(kind: str, text: str):
    """What stands in a text as JSON has it, and whether Headwater's reader takes it."""
    body = split_front(text)[0] if kind in ("model", "check") and "/*" in text else text
    document = read_document(body, "f", {})
    if not isinstance(document.value, dict) or not document.value:
        return None, False
    model, _ = SCHEMAS[kind]
    for key in ("input", "room"):  # the fixtures' own
        document.value.pop(key, None)
    value = plain(document.value)
    return value, not document.mistakes and document.validate(model) is not None


def plain(value):
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, date | datetime | time):
        return value.isoformat()
    return value


def refusal(kind: str, value) -> str:
    checker = jsonschema.Draft7Validator(schema_of(kind))
    return "; ".join(f"{e.json_path}: {e.message[:200]}" for e in checker.iter_errors(value))


@pytest.mark.parametrize(("where", "kind", "text"), EXAMPLES, ids=[e[0] for e in EXAMPLES])
def test_whatever_is_shown_and_read_the_schema_takes(where, kind, text):
    value, is_read = value_of(kind, text)
    if is_read:
        assert refusal(kind, value) == ""


def test_most_examples_can_be_read():
    read = [where for where, kind, text in EXAMPLES if value_of(kind, text)[1]]
    assert len(read) > 0.9 * len(EXAMPLES)
    assert set(TEMPLATE_FILES) >= {"headwater.yaml", "sources/shop.yaml"}


@pytest.mark.parametrize("kind", SCHEMAS)
def test_schemas_are_schemas(kind):
    jsonschema.Draft7Validator.check_schema(schema_of(kind))


SOUND = {
    "settings": {"name": "x"},
    "source": {
        "connector": "files",
        "datasets": {
            "t": {
                "path": "data/*.csv",
                "dialect": {"delimiter": "semicolon"},
                "columns": {
                    "a": {"type": "text", "length": {"min": 1}, "otherwise": None},
                    "b": {"type": "decimal(10, 2)[]"},
                    "c": "struct(city varchar, at timestamp)",
                    "d": {"length": 3},
                },
                "rules": [{"name": "r", "check": "a > 1", "otherwise": "warn"}],
            }
        },
    },
    "model": {
        "key": ["a"],
        "tags": "one",
        "columns": {"a": {"min": 1}},
        "row_count": {"min": 1, "severity": "warn"},
        "checks": [{"name": "c", "check": "min(a) > 0", "otherwise": "warn"}],
        "memory_limit": "1GB",
    },
    "check": {"description": "no orphans", "severity": "error", "tags": ["nightly"]},
    "test": {"tests": [{"name": "n", "model": "m.a", "expect_broken": "a.min", "ordered": True}]},
}


def mappings(value, path=()):
    """Every mapping of a value whose keys are ours, as paths."""
    if isinstance(value, dict):
        if path[-1:] not in (("datasets",), ("columns",)):
            yield path
        for key, inner in value.items():
            yield from mappings(inner, (*path, key))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from mappings(inner, (*path, number))


@pytest.mark.parametrize(
    ("kind", "path"), [(kind, path) for kind, value in SOUND.items() for path in mappings(value)]
)
def test_an_unknown_key_is_refused_wherever_it_stands(kind, path):
    assert refusal(kind, SOUND[kind]) == ""
    value = json.loads(json.dumps(SOUND[kind]))
    inner = value
    for step in path:
        inner = inner[step]
    inner["no_such_key"] = 1
    assert "no_such_key" in refusal(kind, value)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("settings", {"lake": "x"}),
        ("settings", {"name": "x", "memory_limit": "much"}),
        ("settings", {"name": "x", "threads": 0}),
        ("source", {"connector": "files", "datasets": {}}),
        ("source", {"connector": "files", "datasets": {"t": {"columns": {}}}}),
        ("model", {"columns": {"a": {"type": "=3"}}}),
        ("model", {"columns": {"a": {"otherwise": "quarantin"}}}),
        ("model", {"rules": [{"name": "r"}]}),
        ("model", {"unexpected_columns": "maybe"}),
        ("model", []),
        ("model", {"row_count": {"min": 1, "otherwise": "quarantine"}}),
        ("check", {"otherwise": "drop"}),
        ("test", {"tests": [{"name": "n"}]}),
        ("test", {"unit_tests": []}),
    ],
)
def test_what_cannot_be_read_is_refused(kind, value):
    assert refusal(kind, value)


def test_a_row_count_may_be_a_number():
    assert refusal("model", {"row_count": 10}) == ""


def test_rows_of_a_unit_test_have_the_columns_that_they_have():
    rows = [{"day": "2026-01-01", "city": {"zip": 1}, "tags": ["a", None]}]
    test = {"name": "n", "model": "m.a", "given": {"s.t": rows, "s.u": "u.csv"}, "expect": rows}
    assert refusal("test", {"tests": [{**test, "now": "2026-01-05", "variables": {"v": 2}}]}) == ""


def test_a_value_from_the_environment_may_stand_for_a_number():
    assert refusal("settings", {"name": "x", "threads": "${THREADS:-2}"}) == ""
    assert refusal("settings", {"name": "x", "threads": "two"})


@pytest.mark.parametrize("kind", SCHEMAS)
def test_every_key_is_described_in_the_words_of_its_class(kind):
    model, _ = SCHEMAS[kind]
    docs = attribute_docs(model)
    for key, said in schema_of(kind)["properties"].items():
        names = [n for n, field in model.model_fields.items() if (field.alias or n) == key]
        if names:
            assert said["description"] == docs[names[0]]
        else:  # a check's `severity`, which is `otherwise` in other words
            assert "`otherwise`" in said["description"]


def test_the_words_of_a_key_come_with_their_meaning():
    remedies = schema_of("model")["$defs"]["Remedy"]["oneOf"]
    assert [word["const"] for word in remedies] == [remedy.value for remedy in Remedy]
    assert all(word["description"] for word in remedies)


def test_the_command_prints_and_writes_them(project):
    made = project()
    result = CliRunner().invoke(app, ["schema"])
    assert json.loads(result.stdout) == {name: schema_of(name) for name in SCHEMAS}
    code, out, _ = made.cli("schema", "--write")
    assert code == 0
    assert "# yaml-language-server: $schema=../schemas/source.json" in out
    for name in SCHEMAS:
        text = (made.folder / "schemas" / f"{name}.json").read_text(encoding="utf-8")
        assert json.loads(text) == schema_of(name)
    made.write({"headwater.yaml": "# yaml-language-server: $schema=x\nname: test\n"})
    assert made.cli("check")[0] == 0
    code, _, err = made.cli("schema", "sorce")
    assert code == 1
    assert "did you mean 'source'?" in err
