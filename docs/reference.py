"""Prints the reference pages from the code: `python docs/reference.py` writes docs/reference/.

What is said there comes from the classes, their docstrings and the command line itself, so it
cannot be wrong for long: a test fails when the pages are out of date.
"""

from __future__ import annotations

import inspect
import sys
import types
import typing
from collections.abc import Iterable
from enum import Enum, StrEnum
from pathlib import Path
from typing import Any

import typer
from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticUndefined

from headwater import errors
from headwater.cli.main import app
from headwater.contract import checks, contract, definition, freshness
from headwater.contract import types as column_types
from headwater.contract.across import ACROSS
from headwater.contract.cells import TOLERANCE
from headwater.contract.rules import RULES
from headwater.contract.types import TYPE_WORDS, Type
from headwater.lake.state import FORMAT_VERSION, STATE_TABLES
from headwater.project import definitions, unit_tests
from headwater.project.schema import attribute_docs
from headwater.sources.batch import REASONS

FOLDER = Path(__file__).parent / "reference"
NOTE = "<!-- Printed from the code by docs/reference.py; do not edit. -->\n"

TABLES = {
    "lake_format": "The version of the state tables, written when the lake is made or migrated.",
    "runs": "One row per run that came to its end.",
    "steps": "One row per step: what was done with a dataset, why, and how it ended.",
    "ledger": "One row per committed step: what became of every row. Both balances hold.",
    "files": "What is known of each file of a source; the newest row of a path counts.",
    "cleaned_tables": "Built tables that `headwater clean` removed; what was recorded of them "
    "before counts no more.",
    "builds": "One row per commit of a built table: what it holds and what it was computed from.",
    "checks": "What checks found: held or broken, and some of the rows. A row rule has a row per "
    "step of a model, and for a source where it was broken or holds again; any other check has one "
    "for each time it was run, with its fingerprint and the positions that it was run over.",
    "quarantine": "The rows that broke a rule: reasons, origin, original content.",
    "quarantine_outcomes": "What became of rows that left quarantine.",
    "releases": "One row per release.",
    "release_names": "The names that a release moved, and where to; no table means removed.",
}
NAMES = {
    definitions.FileDataset: "dataset",
    checks.RowCount: "whole number or row count",
    checks.TableCheck: "check",
}
"""What a definition is called where it is the value of a key."""


# ---- what the source says beside a field -----------------------------------------------------


def first_sentence(owner: Any) -> str:
    return " ".join((inspect.getdoc(owner) or "").split("\n\n")[0].split())


def table(headings: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines = [list(headings)]
    lines += [[cell.replace("|", "\\|") for cell in row] for row in rows]
    lines.insert(1, ["---"] * len(lines[0]))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


# ---- settings and contracts ------------------------------------------------------------------


def properties(model: type[BaseModel], *, leave_out: Iterable[str] = ()) -> str:
    docs = attribute_docs(model)
    rows = []
    for name, field in model.model_fields.items():
        if name not in leave_out:
            kind = _kind(model.__annotations__.get(name, field.annotation), field.annotation)
            rows.append([f"`{field.alias or name}`", kind, _default(field), docs.get(name, "")])
    return table(["key", "value", "default", "meaning"], rows)


def _kind(written: Any, annotation: Any) -> str:
    if annotation is Type:
        return "type"
    if "Words" in str(written):
        return "text, or a list of them"
    origin, parts = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return _kind("", parts[0])
    if origin in (typing.Union, types.UnionType):
        kinds = {_kind("", part) for part in parts if part is not type(None)}
        return "value" if len(kinds) > 3 else " or ".join(sorted(kinds))
    if origin is tuple and parts[0] is definitions.FilePath:
        return "path, or a list of them"
    if origin is tuple:
        return f"list of {_kind('', parts[0])}s"
    if origin is dict:
        return f"mapping of name to {_kind('', parts[1])}"
    if inspect.isclass(annotation) and issubclass(annotation, Enum):
        return ", ".join(f"`{member.value}`" for member in annotation)
    if inspect.isclass(annotation) and issubclass(annotation, BaseModel):
        return NAMES.get(annotation, annotation.__name__.lower())
    names = {"str": "text", "int": "whole number", "float": "number", "bool": "true or false"}
    names["Decimal"] = "percentage"
    return names.get(getattr(annotation, "__name__", ""), "value")


def _default(field: Any) -> str:
    if field.is_required():
        return "must be given"
    value = field.default
    if value is PydanticUndefined or value in (None, "", ()) or isinstance(value, BaseModel):
        return ""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{value.sql.lower() if isinstance(value, Type) else value}`"


def words(kind: type[StrEnum]) -> str:
    docs = attribute_docs(kind)
    return table(["word", "meaning"], [[f"`{m.value}`", docs.get(m.name, "")] for m in kind])


def settings_page() -> str:
    return (
        "# Settings\n\n`headwater.yaml` at the top of a project's folder.\n\n"
        + properties(definitions.Settings)
        + "\nValues may hold `${NAME}` and `${NAME:-default}`, which are taken from the "
        "environment; so may those of the files in `sources/`.\n"
        + "\n## A variable\n\n"
        + first_sentence(definitions.Variable)
        + "\n\n"
        + properties(definitions.Variable)
        + "\n## An environment\n\n"
        + first_sentence(definitions.Environment)
        + "\n\n"
        + properties(definitions.Environment)
    )


def functions_page() -> str:
    return (
        "# Functions\n\n`functions/NAME.sql`: one `CREATE FUNCTION NAME(…) AS value` or "
        "`AS TABLE SELECT …`; see [Models](../how-to/models.md#functions). Its leading comment:\n\n"
        + properties(definitions.FunctionNote)
    )


def sources_page() -> str:
    of_contract = set(contract.Contract.model_fields)
    return (
        "# Sources\n\n## `sources/NAME.yaml`\n\n"
        + properties(definitions.FilesSource)
        + "\n## A dataset of a source\n\n"
        + "All keys of a [contract](contracts.md), and:\n\n"
        + properties(definitions.FileDataset, leave_out=of_contract)
        + "\n## `format`\n\n"
        + first_sentence(definitions.FileFormat)
        + "\n\n"
        + words(definitions.FileFormat)
        + "\nA further `.gz`, `.bz2`, `.xz`, `.zst` or `.zip` may follow; how a file is packed is "
        "told from its content.\n\n## A path\n\n"
        + "A path or glob, or a mapping with this key and any of "
        + ", ".join(f"`{name}`" for name in definitions.Reading.model_fields)
        + ". What is not stated for a path is the dataset's.\n\n"
        + properties(definitions.FilePath, leave_out=definitions.Reading.model_fields)
        + "\n## `dialect`\n\n"
        + first_sentence(definitions.Dialect)
        + "\n\n"
        + properties(definitions.Dialect)
        + "\n## `origin`\n\n"
        + first_sentence(definitions.Origin)
        + "\n\n"
        + words(definitions.Origin)
    )


def models_page() -> str:
    of_contract = set(contract.Contract.model_fields)
    return (
        "# Models\n\nThe leading comment of `models/**/NAME.sql`, or the keywords of "
        "`@hw.model(…)`: all keys of a [contract](contracts.md), and:\n\n"
        + properties(definitions.ModelContract, leave_out=of_contract)
        + "\n## `store`\n\n"
        + first_sentence(definitions.Store)
        + "\n\n"
        + words(definitions.Store)
    )


def contracts_page() -> str:
    return (
        "# Contracts\n\n"
        + first_sentence(contract.Contract)
        + "\n\n"
        + properties(contract.Contract)
        + "\n## A column\n\nA type alone, or these keys. First what it is, and how it is read and "
        "filled:\n\n"
        + properties(contract.Column, leave_out=_RULES_OF_PARTS)
        + "\nThen its rules, and their remedy:\n\n"
        + properties(contract.Column, leave_out=set(contract.Column.model_fields) - _RULES_OF_PARTS)
        + "\n## A part of a value\n\n"
        + first_sentence(contract.Part)
        + "\n\n"
        + properties(contract.Part)
        + "\nWhere a value can stand, `{expression: SQL}` can stand too: "
        + first_sentence(definition.Expression).lower().split(":")[0]
        + ".\n\n## `fill`\n\n"
        + first_sentence(definition.Fill)
        + "\n\n"
        + properties(definition.Fill)
        + "\n`fill: previous` is short for `fill: {previous: {}}`. Of `previous`:\n\n"
        + properties(definition.Previous)
        + "\n## `missing_column`\n\n"
        + first_sentence(contract.MissingColumn)
        + "\n\n"
        + words(contract.MissingColumn)
        + "\n## `freshness`\n\n"
        + first_sentence(freshness.Freshness)
        + "\n\n"
        + properties(freshness.Freshness)
        + "\n## Which remedies a rule can have\n\n"
        + _rules_and_remedies()
        + "\n## A rule\n\n"
        + first_sentence(contract.Rule)
        + "\n\n"
        + properties(contract.Rule)
        + "\n## `row_count`\n\n"
        + first_sentence(checks.RowCount)
        + "\n\n"
        + properties(checks.RowCount)
        + "\n## `checks`\n\n"
        + first_sentence(checks.TableCheck)
        + "\n\n"
        + properties(checks.TableCheck)
        + "\n## Remedies\n\n"
        + first_sentence(contract.Remedy)
        + "\n\n"
        + words(contract.Remedy)
        + "\n## `on_duplicate`\n\n"
        + first_sentence(contract.OnDuplicate)
        + "\n\n"
        + words(contract.OnDuplicate)
        + "\n## `survivorship`\n\n"
        + first_sentence(contract.Survivor)
        + "\n\n"
        + words(contract.Survivor)
        + "\n## `unexpected_columns`\n\n"
        + first_sentence(contract.UnexpectedColumns)
        + "\n\n"
        + words(contract.UnexpectedColumns)
    )


def checks_page() -> str:
    return (
        "# Checks\n\n## `checks/NAME.sql`\n\nOne `SELECT`: the rows that it returns are those "
        "that break the check. Its leading comment is YAML:\n\n"
        + properties(checks.CheckHeader)
        + "\nThe checks of a contract are on [its page](contracts.md).\n\n## `otherwise`\n\n"
        + first_sentence(checks.CheckRemedy)
        + "\n\n"
        + words(checks.CheckRemedy)
    )


def unit_tests_page() -> str:
    return (
        "# Unit tests\n\n`tests/**/*.yaml`: "
        + first_sentence(unit_tests.UnitTestDefinition)[0].lower()
        + first_sentence(unit_tests.UnitTestDefinition)[1:]
        + " See [Unit tests](../how-to/unit-tests.md). The file is a mapping with one key, "
        "`tests`, a list of tests with these keys:\n\n"
        + properties(unit_tests.UnitTestDefinition)
        + "\nA YAML file below `tests/` without such a key is left alone.\n\n## A value\n\n"
        + table(
            ["type of the column", "how a value is written"],
            [
                ["all", "`null`, `~` or nothing: NULL"],
                ["`varchar`", "as it stands, in quotes or not: `007` is the text `007`"],
                [
                    "numbers, dates, times, intervals, `uuid`, `boolean`",
                    "as in SQL, in quotes or not: `1.50`, `2026-01-05 12:00:00`, `2 days`, `nan`",
                ],
                ["lists", "`[a, b]`"],
                ["structs, maps", "`{city: Bern}`; fields that are not there are NULL"],
                ["`json`", "a mapping, a list, or a text that is JSON: `'\"a\"'`"],
                ["`blob`", '`"\\\\xAA"` as DuckDB writes it, or YAML\'s `!!binary`'],
                ["any nested one", "a text that is JSON, too: so it is written in a CSV file"],
            ],
        )
        + f"\nFloating point numbers are equal that differ by at most {TOLERANCE:g}, relative to "
        "the greater one.\n"
    )


_RULES_OF_PARTS = set(contract.Part.model_fields) - {"description"}


def _rules_and_remedies() -> str:
    """Rule -> when it is broken, and the remedies that it can have; told by trying."""
    rows = [
        [f"`{name}`", kind.meaning, ", ".join(f"`{r}`" for r in _remedies_of(name))]
        for name, kind in RULES.items()
    ]
    rows += [
        [f"`{name}`", meaning, ", ".join(f"`{r}`" for r in _remedies_of(name))]
        for name, meaning in ACROSS.items()
    ]
    of_rows = [remedy.value for remedy in contract.Remedy if _is_for(remedy)]
    rows.append(["a row rule", "its `check` is false", ", ".join(f"`{word}`" for word in of_rows)])
    return table(["rule", "broken where", "remedies"], rows) + (
        "\nWith `warn` a value that is none of its type (`type`, `values`) is quarantined all the "
        "same: there is nothing that could land.\n"
    )


def _is_across(rule: str, remedy: contract.Remedy) -> bool:
    """Whether a rule across rows can have a remedy."""
    said = {"to": "a.b.c"} if rule == "references" else {}
    try:
        contract.Column.model_validate({rule: {**said, "otherwise": remedy.value}})
    except ValidationError:
        return False
    return True


def _remedies_of(rule: str) -> list[str]:
    """The remedies that a column with this rule can have."""
    examples: dict[str, dict[str, Any]] = {
        "values": {"values": {"Y": "yes"}},
        "required": {"required": True},
        "accepted": {"accepted": ["x"]},
        "min": {"min": "x"},
        "max": {"max": "x"},
        "pattern": {"pattern": "x"},
        "length": {"length": 1},
    }
    if rule in ACROSS:
        return [remedy.value for remedy in contract.Remedy if _is_across(rule, remedy)]
    found = []
    for word in [remedy.value for remedy in contract.Remedy] + ["{value: …}", "{expression: …}"]:
        otherwise = {word.strip("{").split(":")[0]: "x"} if word.startswith("{") else word
        given = {**examples.get(rule, {}), "otherwise": otherwise}
        try:
            contract.Column.model_validate({"default": "x", "fill": {"value": "x"}, **given})
        except ValidationError:
            continue
        found.append(word)
    return found


def _is_for(remedy: contract.Remedy) -> bool:
    try:
        contract.Rule.model_validate({"name": "r", "check": "a", "otherwise": remedy.value})
    except ValidationError:
        return False
    return True


def types_page() -> str:
    groups = [
        ("whole numbers", column_types.INTEGERS),
        ("whole numbers from 0 on", column_types.UNSIGNED),
        ("floating point", column_types.FLOATS),
        ("time", column_types.TIMES),
        ("others", column_types.OTHERS),
        ("nested", column_types.NESTED),
    ]
    listed = [word for _, group in groups for word in group]
    assert [word.lower() for word in listed] == list(TYPE_WORDS)
    rows = [[name, ", ".join(f"`{word.lower()}`" for word in group)] for name, group in groups]
    return (
        "# Column types\n\nThe closed list; written as in DuckDB, in any case.\n\n"
        + table(["kind", "types"], rows)
        + "\n`decimal(10,2)` has 10 digits, 2 of them after the point. Nested types are written "
        "`varchar[]`, `struct(city varchar, tags varchar[])` and `map(varchar, integer)`. The "
        "usual other names work too: `text`, `string`, `int`, `numeric`, `datetime`.\n"
    )


# ---- the lake --------------------------------------------------------------------------------


def state_page() -> str:
    parts = [
        "# State tables\n",
        f"The schema `headwater` of every lake, format {FORMAT_VERSION}. They are ordinary "
        'tables: `headwater query "SELECT * FROM headwater.ledger"`. All times are UTC.\n',
    ]
    for name, columns in STATE_TABLES.items():
        parts.append(f"## `headwater.{name}`\n\n{TABLES[name]}\n")
        parts.append(table(["column", "type"], ([f"`{c}`", t] for c, t in columns.items())))
    return "\n".join(parts)


def reasons_page() -> str:
    return (
        "# Reasons\n\nThe codes in `reasons` of the quarantine and in `headwater.checks`.\n\n"
        "## Of a column\n\n"
        + table(["reason", "the row is there because"], _column_reasons())
        + "\nOf a part of a value the path is named: `customer.age.min` is of the field `age` of "
        "the column `customer`, `tags[].pattern` of any item of the list `tags`.\n"
        + "\n## Of a row\n\n"
        + table(
            ["reason", "the row is there because"],
            [
                ["`rule.NAME`", "the rule of that name is false, or could not be computed"],
                ["`key.duplicate`", REASONS["key.duplicate"]],
            ],
        )
        + "\n## Of all rows\n\nIn `headwater.checks` alone; see [checks](../how-to/checks.md).\n\n"
        + table(
            ["check", "it does not hold because"],
            [
                ["`row_count`", "there are too few or too many rows"],
                ["`check.NAME`", "the aggregate of that name is not true, or cannot be computed"],
                ["`NAME`", "the query of `checks/NAME.sql` returns rows, or cannot be computed"],
            ],
        )
        + "\n## Of a line that could not be read\n\n"
        + table(
            ["reason", "meaning"],
            [[f"`{c}`", text] for c, text in REASONS.items() if c.startswith("line.")],
        )
    )


def _column_reasons() -> list[list[str]]:
    meanings = {code: kind.meaning for code, kind in RULES.items()} | ACROSS
    return [[f"`COLUMN.{code}`", meaning] for code, meaning in meanings.items()]


def errors_page() -> str:
    rows = []
    for name, kind in sorted(vars(errors).items()):
        if inspect.isclass(kind) and issubclass(kind, errors.HeadwaterError):
            rows.append([f"`{name}`", f"`{kind.__bases__[0].__name__}`", first_sentence(kind)])
    return (
        "# Errors\n\nWhat Python code can catch, from `headwater.errors`. Each has `message`, "
        "`where` and `hint`.\n\n" + table(["error", "is a", "meaning"], rows)
    )


# ---- the command line ------------------------------------------------------------------------


def commands() -> dict[str, Any]:
    """Every command, by what is typed after `headwater`."""
    found: dict[str, Any] = {}

    def walk(command: Any, path: tuple[str, ...]) -> None:
        inner = getattr(command, "commands", None)
        if inner is None:
            found[" ".join(path)] = command
        for name, child in (inner or {}).items():
            walk(child, (*path, name))

    walk(typer.main.get_command(app), ())
    return found


def commands_page() -> str:
    parts = [
        "# Commands\n",
        "`hw` is short for `headwater`. Every command takes `--help`. Exit codes: 0 done, 1 "
        "something failed, was held back or refused, 2 wrong use, a project with mistakes, or a "
        "breaking change that is not accepted (`plan`, `promote`), 130 interrupted.\n",
    ]
    for name, command in commands().items():
        arguments = [p for p in command.params if p.param_type_name == "argument"]
        usage = " ".join(
            f"{p.name.upper()}" if p.required else f"[{p.name.upper()}]" for p in arguments
        )
        parts.append(f"## `headwater {name}`\n\n{first_sentence(command.callback)}\n")
        example = (command.epilog or "").removeprefix("Example:").strip()
        parts.append(f"```sh\n{example}\n```\n")
        rows = [[f"`{p.name.upper()}`", getattr(p, "help", "") or ""] for p in arguments]
        rows += [_option(p) for p in command.params if p.param_type_name == "option"]
        parts.append(f"Usage: `headwater {f'{name} {usage}'.strip()} [OPTIONS]`\n")
        parts.append(table(["option", "meaning"], rows))
    return "\n".join(parts)


def _option(option: Any) -> list[str]:
    value = (
        "" if option.is_flag else f" {option.metavar or option.name.upper().removesuffix('_ID')}"
    )
    default = option.default
    shown = f" Default: `{default}`." if default not in (None, False, "", (), []) else ""
    return [", ".join(f"`{o}{value}`" for o in option.opts), (option.help or "") + shown]


PAGES = {
    "commands.md": commands_page,
    "settings.md": settings_page,
    "sources.md": sources_page,
    "models.md": models_page,
    "functions.md": functions_page,
    "contracts.md": contracts_page,
    "checks.md": checks_page,
    "unit-tests.md": unit_tests_page,
    "types.md": types_page,
    "reasons.md": reasons_page,
    "state.md": state_page,
    "errors.md": errors_page,
}


def pages() -> dict[str, str]:
    """File name -> text, as they should be."""
    return {name: NOTE + "\n" + page() for name, page in PAGES.items()}


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for name, text in pages().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
        sys.stdout.write(f"wrote {FOLDER / name}\n")


if __name__ == "__main__":
    main()
