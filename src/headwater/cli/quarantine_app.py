"""The commands of `headwater quarantine`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from headwater.cli.options import Env, Json, Limit, Project, call
from headwater.names import PROD

Reason = Annotated[str, typer.Option("--reason", help="Only rows with this reason.")]
InFile = Annotated[str, typer.Option("--file", help="Only rows of this file (a part of its path).")]
OfRun = Annotated[str, typer.Option("--run", help="Only rows that this run put there.")]
Ids = Annotated[list[str] | None, typer.Option("--id", help="Only this row; may be repeated.")]
OneSource = Annotated[str, typer.Argument(help="A dataset of a source, as schema.name.")]
app = typer.Typer(
    rich_markup_mode=None,
    help="Look at the rows that broke a rule; fix, replay and discard them.",
    no_args_is_help=True,
)


def _which(reason: str, file: str, run_id: str, ids: list[str] | None) -> dict[str, Any]:
    """Which rows of a dataset are meant."""
    return {"reason": reason, "file": file, "run_id": run_id, "ids": ids or []}


@app.command("list", epilog="Example:  headwater quarantine list tlc.trips")
def quarantine_list(
    dataset: Annotated[str, typer.Argument(help="Only this dataset.")] = "",
    project: Project = ".",
    env: Env = PROD,
    reason: Reason = "",
    file: InFile = "",
    limit: Limit = 20,
    json: Json = False,
) -> None:
    """Count the quarantined rows by reason, and list some."""
    call(
        "quarantine",
        json,
        dataset=dataset,
        project=project,
        environment=env,
        reason=reason,
        file=file,
        limit=limit,
    )


@app.command("show", epilog="Example:  headwater quarantine show tlc.trips/1/417")
def quarantine_show(
    row: Annotated[str, typer.Argument(help="The id of a row, as `quarantine list` gives it.")],
    project: Project = ".",
    env: Env = PROD,
    json: Json = False,
) -> None:
    """Show one quarantined row: reasons, original content, origin."""
    call("quarantine_row", json, row=row, project=project, environment=env)


@app.command("replay", epilog="Example:  headwater quarantine replay tlc.trips --reason fare.min")
def quarantine_replay(
    dataset: OneSource,
    project: Project = ".",
    env: Env = PROD,
    reason: Reason = "",
    file: InFile = "",
    run_id: OfRun = "",
    row: Ids = None,
    json: Json = False,
) -> None:
    """Judge quarantined rows again, land those that hold now, and release what follows."""
    call(
        "quarantine_replay",
        json,
        dataset=dataset,
        project=project,
        environment=env,
        which=_which(reason, file, run_id, row),
        sets=[],
        edited="",
    )


@app.command(
    "fix",
    epilog="Example:  headwater quarantine fix tlc.trips --reason fare.min "
    "--set 'fare=abs(fare::DOUBLE)'",
)
def quarantine_fix(
    dataset: OneSource,
    project: Project = ".",
    env: Env = PROD,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="FIELD=EXPRESSION",
            help="An SQL expression over the row's fields, which are texts; may be repeated.",
        ),
    ] = None,
    from_: Annotated[
        str, typer.Option("--from", metavar="FILE", help="An exported file, edited.")
    ] = "",
    reason: Reason = "",
    file: InFile = "",
    run_id: OfRun = "",
    row: Ids = None,
    json: Json = False,
) -> None:
    """Mend quarantined rows, then replay them."""
    call(
        "quarantine_replay",
        json,
        dataset=dataset,
        project=project,
        environment=env,
        which=_which(reason, file, run_id, row),
        sets=set_ or [],
        edited=from_,
        is_fix=True,
    )


@app.command("export", epilog="Example:  headwater quarantine export tlc.trips -o mend.csv")
def quarantine_export(
    dataset: OneSource,
    output: Annotated[str, typer.Option("--output", "-o", metavar="FILE", help="A CSV file.")],
    project: Project = ".",
    env: Env = PROD,
    reason: Reason = "",
    file: InFile = "",
    run_id: OfRun = "",
    row: Ids = None,
    json: Json = False,
) -> None:
    """Write quarantined rows to a file, to edit them and `fix --from` it."""
    call(
        "quarantine_export",
        json,
        dataset=dataset,
        project=project,
        environment=env,
        output=output,
        which=_which(reason, file, run_id, row),
    )


@app.command("discard", epilog="Example:  headwater quarantine discard tlc.trips --file 2019-01")
def quarantine_discard(
    dataset: OneSource,
    project: Project = ".",
    env: Env = PROD,
    reason: Reason = "",
    file: InFile = "",
    run_id: OfRun = "",
    row: Ids = None,
    every: Annotated[bool, typer.Option("--all", help="All of the dataset's rows.")] = False,
    json: Json = False,
) -> None:
    """Take rows off the list that nobody wants any more; they stay on record."""
    call(
        "quarantine_discard",
        json,
        dataset=dataset,
        project=project,
        environment=env,
        every=every,
        which=_which(reason, file, run_id, row),
    )


@app.command("counts", epilog="Example:  headwater quarantine counts tlc.trips")
def quarantine_counts(
    dataset: Annotated[str, typer.Argument(help="Only this dataset.")] = "",
    project: Project = ".",
    limit: Limit = 50,
    json: Json = False,
) -> None:
    """Count what went into quarantine by day and reason, and what became of it."""
    call("quarantine_counts", json, dataset=dataset, project=project, limit=limit)
