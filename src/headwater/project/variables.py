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
from headwater.names import PROD
from headwater.places import KeyPath, Places
from headwater.project.definitions import Settings, Value
from headwater.project.mistakes import mistake_in


def values_of(
    settings: Settings, given: Mapping[str, Any], environment: str = PROD
) -> dict[str, Value]:
    """The variables that have a value, by name: the one that was given, else that of the
    environment, else the default."""
    there = {value.name: value for value in _values_in(settings, environment)}
    found = {}
    for name, variable in settings.variables.items():
        if given.get(name) is not None:
            found[name] = Value(name, variable.type_, text_of(given[name]), given=True)
        elif name in there:
            found[name] = there[name]
        elif variable.default is not None:
            found[name] = Value(name, variable.type_, text_of(variable.default))
    return found


def stated_values(settings: Settings) -> list[Value]:
    """Every value that headwater.yaml states: defaults, and those of environments."""
    defaults = [
        Value(name, variable.type_, text_of(variable.default))
        for name, variable in settings.variables.items()
        if variable.default is not None
    ]
    return defaults + [v for name in settings.environments for v in _values_in(settings, name)]


def _values_in(settings: Settings, environment: str) -> list[Value]:
    if environment not in settings.environments:
        return []
    return [
        Value(name, settings.variables[name].type_, text_of(value), environment=environment)
        for name, value in settings.environments[environment].variables.items()
    ]


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
    path: KeyPath = ("variables", value.name)
    what = f"the variable {value.name!r}"
    if value.given:
        what = f"--var {value.name}"
    elif value.environment:
        path = ("environments", value.environment, *path)
    else:
        path = (*path, "default")
    return mistake_in(text, SETTINGS_FILE, places.of(path), f"{what} must be {kind}", "")
