"""What the commands of the command line share: options, and how a command is called."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any

import typer

from headwater.errors import (
    HeadwaterError,
    NotAProject,
    ProjectMistakes,
    UnknownEnvironment,
    UnknownSelection,
)

if TYPE_CHECKING:
    from headwater.cli.output import Output

Project = Annotated[
    str, typer.Option("--project", "-C", metavar="DIR", help="The project's folder, or one in it.")
]
Env = Annotated[
    str,
    typer.Option(
        "--env",
        metavar="NAME",
        envvar="HEADWATER_ENV",
        show_envvar=False,
        help="The environment; prod is what consumers read.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON value.")]
Select = Annotated[
    list[str] | None,
    typer.Option(
        "--select",
        "-s",
        metavar="WHAT",
        help="name, +name (and upstream), name+ (and downstream), tag:x, source:x; repeatable.",
    ),
]
Var = Annotated[
    list[str] | None,
    typer.Option(
        "--var",
        metavar="NAME=VALUE",
        help="A value for a variable of headwater.yaml, in place of its default; repeatable.",
    ),
]
Limit = Annotated[int, typer.Option("--limit", "-n", min=1, help="How many rows at the most.")]


def call(module: str, json: bool, **arguments: Any) -> None:
    """Load a command's module, call its function, turn errors into exit codes."""
    from headwater.cli.output import Output  # late: `--help` needs no rich

    show_traceback = bool(arguments.pop("show_traceback", False))
    out = Output(is_json=json, show_traceback=show_traceback)
    command = import_module(f"headwater.cli.{module}")
    try:
        code = command.command(out, **arguments)
    except (ProjectMistakes, NotAProject, UnknownSelection, UnknownEnvironment) as error:
        out.error(error)
        code = 2
    except HeadwaterError as error:
        out.error(error)
        code = 1
    except KeyboardInterrupt:
        code = _interrupted(out)
    except RuntimeError as error:
        if "Query interrupted" not in str(error):  # as DuckDB says it
            raise
        code = _interrupted(out)
    raise typer.Exit(code)


def _interrupted(out: Output) -> int:
    out.note("interrupted: what was committed stays, nothing half-done does; run again", "red")
    return 130


def variables_of(words: list[str] | None) -> dict[str, str]:
    """`--var name=value`, each name once."""
    found: dict[str, str] = {}
    for word in words or []:
        name, mark, value = word.partition("=")
        if not mark or not name:
            raise typer.BadParameter(f"{word!r}: write NAME=VALUE", param_hint="--var")
        if name in found:
            raise typer.BadParameter(f"{name!r} is given twice", param_hint="--var")
        found[name] = value
    return found
