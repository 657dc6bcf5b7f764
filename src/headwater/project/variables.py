"""The values of a project's variables: what `headwater.yaml` declares, and what was given
instead.

SQL sees them as literals of their type. Whether a text is one of that type only a database can
say: `engine/variables.py` asks.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headwater.contract.values import text_of
from headwater.errors import Mistake, suggestion
from headwater.folder import SETTINGS_FILE
from headwater.places import Places
from headwater.project.definitions import Settings, Value
from headwater.project.mistakes import mistake_in


def values_of(settings: Settings, given: Mapping[str, Any]) -> dict[str, Value]:
    """The variables that have a value, by name."""
    found = {}
    for name, variable in settings.variables.items():
        value = given.get(name, variable.default)
        if value is not None:
            found[name] = Value(name, variable.type_, text_of(value), name in given)
    return found


def literals(values: Mapping[str, Value]) -> dict[str, str]:
    """The values as SQL, by name."""
    return {name: value.sql for name, value in values.items()}


def unknown(settings: Settings, given: Mapping[str, Any]) -> list[Mistake]:
    """Values that were given for variables which the project does not declare."""
    known = list(settings.variables)
    hint = "headwater.yaml declares no `variables:`"
    return [
        Mistake(
            file=f"--var {name}",
            message=f"no variable {name!r}",
            hint=suggestion(name, known) if known else hint,
        )
        for name in given
        if name not in settings.variables
    ]


def without_value(
    settings: Settings, values: Mapping[str, Value], text: str, places: Places
) -> list[Mistake]:
    """Variables that have neither a default nor a value given. `text`: that of headwater.yaml."""
    return [
        mistake_in(
            text,
            SETTINGS_FILE,
            places.of(("variables", name)),
            f"the variable {name!r} has no value",
            f"give it a `default`, or --var {name}=…",
        )
        for name in settings.variables
        if name not in values
    ]


def unused(name: str, where: str) -> Mistake:
    """A value that was given and that nothing uses."""
    return Mistake(
        file=f"--var {name}", message=f"{where} does not use ${name}", hint="leave it out"
    )


def wrong_value(value: Value, text: str, places: Places) -> Mistake:
    """A value that is none of its variable's type. `text`: that of headwater.yaml."""
    kind = value.type.sql.lower()
    path = ("variables", value.name) if value.given else ("variables", value.name, "default")
    what = f"--var {value.name}" if value.given else f"the variable {value.name!r}"
    return mistake_in(text, SETTINGS_FILE, places.of(path), f"{what} must be {kind}", "")
