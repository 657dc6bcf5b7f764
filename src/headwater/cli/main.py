"""The command `headwater`, short `hw`.

Here are only names, options and help; each command is loaded when it is called, so that
`--help` costs nothing. Exit codes: 0 done, 1 something failed or was held back, 2 wrong use or
a project with mistakes, 130 interrupted.
"""

from __future__ import annotations

import gc
import sys
from importlib import import_module
from typing import Annotated, Any

import typer

from headwater.errors import (
    HeadwaterError,
    NotAProject,
    ProjectMistakes,
    UnknownEnvironment,
    UnknownSelection,
)
from headwater.names import PROD

app = typer.Typer(
    name="headwater",
    help="From raw files to released, trustworthy tables: one folder, one command.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)

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


def _call(module: str, json: bool, **arguments: Any) -> None:
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
        out.note("interrupted: what was committed stays, nothing half-done does; run again", "red")
        code = 130
    raise typer.Exit(code)


def _variables(words: list[str] | None) -> dict[str, str]:
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


@app.callback(invoke_without_command=True)
def top(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        from importlib.metadata import version as version_of

        typer.echo(f"headwater {version_of('headwater')}")
        raise typer.Exit(0)


@app.command(epilog="Example:  headwater init shop")
def init(
    folder: Annotated[str, typer.Argument(help="The folder to make; it may exist if empty.")],
    json: Json = False,
) -> None:
    """Make a small working project."""
    _call("init", json, folder=folder)


@app.command(epilog="Example:  headwater check")
def check(
    project: Project = ".",
    env: Env = PROD,
    data: Annotated[
        bool, typer.Option("--data", help="Run the checks over the current release instead.")
    ] = False,
    select: Select = None,
    var: Var = None,
    json: Json = False,
) -> None:
    """Find every mistake in the project's files; touches no data."""
    if select and not data:
        raise typer.BadParameter("it goes with --data", param_hint="--select")
    _call(
        "check",
        json,
        project=project,
        environment=env,
        data=data,
        select=select or [],
        variables=_variables(var),
    )


@app.command("test", epilog="Example:  headwater test marts.daily_revenue")
def unit_test(
    selectors: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[WHAT]...", help="Models as for --select, names of tests, or their files."
        ),
    ] = None,
    project: Project = ".",
    select: Select = None,
    var: Var = None,
    update: Annotated[
        bool,
        typer.Option("--update", help="Record what models give as what failing tests expect."),
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Name the tests that pass, too.")
    ] = False,
    json: Json = False,
) -> None:
    """Run the unit tests of models, in memory; needs no lake and no data."""
    _call(
        "test",
        json,
        selectors=[*(selectors or []), *(select or [])],
        project=project,
        variables=_variables(var),
        update=update,
        verbose=verbose,
    )


@app.command(epilog="Example:  headwater run --select +marts.daily_revenue")
def run(
    project: Project = ".",
    env: Env = PROD,
    select: Select = None,
    var: Var = None,
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Build the selected models though up to date.")
    ] = False,
    reland: Annotated[
        list[str] | None,
        typer.Option(
            "--reland", metavar="SOURCE", help="Land a source's files again, changed or not."
        ),
    ] = None,
    from_now: Annotated[
        bool,
        typer.Option("--from-now", help="Go on without files that an earlier contract landed."),
    ] = False,
    land: Annotated[
        bool, typer.Option("--land", help="Land new files outside of prod, too.")
    ] = False,
    replace: Annotated[
        bool,
        typer.Option("--replace", help="Go back to definitions that a release has replaced."),
    ] = False,
    atomic: Annotated[
        bool, typer.Option("--atomic", help="Release nothing if anything fails.")
    ] = False,
    show_traceback: Annotated[
        bool, typer.Option("--traceback", help="Show the causes of errors; may print values.")
    ] = False,
    json: Json = False,
) -> None:
    """Land new files, build what changed, check it, and release it."""
    _call(
        "run",
        json,
        project=project,
        environment=env,
        select=select or [],
        variables=_variables(var),
        rebuild=rebuild,
        reland=reland or [],
        from_now=from_now,
        land=land,
        replace=replace,
        atomic=atomic,
        show_traceback=show_traceback,
    )


@app.command(
    epilog="Example:  headwater query 'SELECT * FROM marts.daily_revenue' --format csv -o out.csv"
)
def query(
    sql: Annotated[str, typer.Argument(help="One SELECT; `-` reads it from standard input.")],
    project: Project = ".",
    env: Env = PROD,
    var: Var = None,
    format: Annotated[
        str, typer.Option("--format", "-f", help="table, csv, json or parquet.")
    ] = "table",
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="FILE", help="Write to a file.")
    ] = "",
    allow_files: Annotated[
        bool, typer.Option("--allow-files", help="Let the query read files and the network.")
    ] = False,
    json: Json = False,
) -> None:
    """Ask the current release a question in SQL."""
    _call(
        "query",
        json,
        sql=sql,
        project=project,
        environment=env,
        variables=_variables(var),
        format_=format,
        output=output,
        allow_files=allow_files,
    )


@app.command(epilog="Example:  headwater show marts.daily_revenue")
def show(
    dataset: Annotated[str, typer.Argument(help="A dataset, as schema.name.")],
    project: Project = ".",
    env: Env = PROD,
    failed: Annotated[
        bool, typer.Option("--failed", help="Rows that broke a check in the last build.")
    ] = False,
    contract: Annotated[
        bool, typer.Option("--contract", help="What its contract means, in words; needs no lake.")
    ] = False,
    limit: Limit = 10,
    json: Json = False,
) -> None:
    """Show a dataset: its columns, contract, size and a few rows."""
    if contract:
        _call("show_contract", json, dataset=dataset, project=project)
    _call(
        "show", json, dataset=dataset, project=project, environment=env, failed=failed, limit=limit
    )


@app.command(epilog="Example:  headwater plan --select staging.trips+")
def plan(
    select: Select = None,
    project: Project = ".",
    env: Env = PROD,
    var: Var = None,
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="As if models were built though they are up to date.")
    ] = False,
    from_now: Annotated[
        bool, typer.Option("--from-now", help="Land without files that are gone.")
    ] = False,
    land: Annotated[bool, typer.Option("--land", help="As for run.")] = False,
    accept_breaking: Annotated[
        bool,
        typer.Option("--accept-breaking", help="Exit with 0 though something is taken away."),
    ] = False,
    everything: Annotated[
        bool, typer.Option("--all", help="Also what nothing is done to.")
    ] = False,
    diff: Annotated[
        bool,
        typer.Option(
            "--diff", help="At the end, how what the environment has built differs from prod."
        ),
    ] = False,
    json: Json = False,
) -> None:
    """Show what a run would do, and why; nothing is done."""
    if diff and env == PROD:
        raise typer.BadParameter("prod is what is compared with: add --env", param_hint="--diff")
    _call(
        "plan",
        json,
        select=select or [],
        project=project,
        environment=env,
        variables=_variables(var),
        rebuild=rebuild,
        from_now=from_now,
        land=land,
        accept_breaking=accept_breaking,
        everything=everything,
        diff=diff,
    )


@app.command(epilog="Example:  headwater diff prod dev marts.daily_revenue")
def diff(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[BEFORE] [AFTER] [DATASET]",
            help="Two environments (or one, against prod), and one dataset, as schema.name.",
        ),
    ] = None,
    release: Annotated[
        tuple[int, int] | None,
        typer.Option(
            "--release", metavar="BEFORE AFTER", help="Two releases. Default: the last two."
        ),
    ] = None,
    project: Project = ".",
    env: Env = PROD,
    json: Json = False,
) -> None:
    """Show what differs between two releases or environments: columns, rows and values."""
    _call(
        "diff",
        json,
        names=names or [],
        releases=release,
        project=project,
        environment=env,
    )


@app.command(epilog="Example:  headwater promote dev")
def promote(
    environment: Annotated[str, typer.Argument(help="The environment that prod is to be like.")],
    project: Project = ".",
    var: Var = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be done.")
    ] = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="Though prod has got other definitions since.")
    ] = False,
    accept_breaking: Annotated[
        bool, typer.Option("--accept-breaking", help="Though something is taken away.")
    ] = False,
    json: Json = False,
) -> None:
    """Make prod have what an environment has: names move, nothing is built twice."""
    _call(
        "promote",
        json,
        environment=environment,
        project=project,
        variables=_variables(var),
        dry_run=dry_run,
        replace=replace,
        accept_breaking=accept_breaking,
    )


env_app = typer.Typer(
    rich_markup_mode=None, help="List environments, and drop them.", no_args_is_help=True
)
app.add_typer(env_app, name="env")


@env_app.command("list", epilog="Example:  headwater env list")
def env_list(project: Project = ".", json: Json = False) -> None:
    """List the environments, and what of each differs from prod."""
    _call("env_list", json, project=project)


@env_app.command("drop", epilog="Example:  headwater env drop dev")
def env_drop(
    environment: Annotated[str, typer.Argument(help="Its name.")],
    project: Project = ".",
    json: Json = False,
) -> None:
    """Take an environment's names away; its tables stay until `headwater clean`."""
    _call("env_drop", json, environment=environment, project=project)


@app.command(epilog="Example:  headwater rollback --to 12")
def rollback(
    to: Annotated[
        int | None,
        typer.Option("--to", metavar="RELEASE", min=1, help="Its number. Default: the one before."),
    ] = None,
    project: Project = ".",
    env: Env = PROD,
    json: Json = False,
) -> None:
    """Go back to an earlier release, at once; it holds until `release --resume`."""
    _call("rollback", json, project=project, environment=env, to=to)


@app.command(epilog="Example:  headwater release --resume")
def release(
    resume: Annotated[
        bool, typer.Option("--resume", help="Let later runs move what was rolled back.")
    ] = False,
    project: Project = ".",
    env: Env = PROD,
    json: Json = False,
) -> None:
    """Let go of what a rollback holds. (`headwater run` makes releases.)"""
    _call("release", json, project=project, environment=env, is_resumed=resume)


@app.command(epilog="Example:  headwater lineage marts.daily_revenue.revenue")
def lineage(
    name: Annotated[str, typer.Argument(help="schema.name, or schema.name.column.")],
    project: Project = ".",
    up: Annotated[
        bool, typer.Option("--up/--down", help="Where it comes from, or what comes from it.")
    ] = True,
    json: Json = False,
) -> None:
    """Show which columns a column is computed from, or which are computed from it."""
    _call("lineage", json, name=name, project=project, up=up)


@app.command(epilog="Example:  headwater impact staging.trips.fare")
def impact(
    name: Annotated[str, typer.Argument(help="schema.name, or schema.name.column.")],
    project: Project = ".",
    json: Json = False,
) -> None:
    """Show what would notice if a column, or any of a dataset, changed."""
    _call("impact", json, name=name, project=project)


@app.command(epilog="Example:  headwater status")
def status(project: Project = ".", env: Env = PROD, json: Json = False) -> None:
    """Show each dataset: what is released, what is built, what waits."""
    _call("status", json, project=project, environment=env)


@app.command(epilog="Example:  headwater checks no_orphans")
def checks(
    name: Annotated[str, typer.Argument(help="A check, or a dataset with all of its.")] = "",
    project: Project = ".",
    limit: Limit = 20,
    json: Json = False,
) -> None:
    """Show the results of checks over time, and rows that broke them."""
    _call("checks", json, name=name, project=project, limit=limit)


@app.command(epilog="Example:  headwater ledger tlc.trips")
def ledger(
    dataset: Annotated[str, typer.Argument(help="Only this dataset.")] = "",
    project: Project = ".",
    run_id: Annotated[str, typer.Option("--run", help="Only this run; `last` for the last.")] = "",
    limit: Limit = 50,
    json: Json = False,
) -> None:
    """Show what became of every row, step by step."""
    _call("ledger", json, dataset=dataset, project=project, run_id=run_id, limit=limit)


quarantine_app = typer.Typer(
    rich_markup_mode=None,
    help="Look at the rows that broke a rule; fix, replay and discard them.",
    no_args_is_help=True,
)
app.add_typer(quarantine_app, name="quarantine")


@quarantine_app.command("list", epilog="Example:  headwater quarantine list tlc.trips")
def quarantine_list(
    dataset: Annotated[str, typer.Argument(help="Only this dataset.")] = "",
    project: Project = ".",
    env: Env = PROD,
    reason: Annotated[str, typer.Option("--reason", help="Only this reason.")] = "",
    file: Annotated[str, typer.Option("--file", help="Only this file.")] = "",
    limit: Limit = 20,
    json: Json = False,
) -> None:
    """Count the quarantined rows by reason, and list some."""
    _call(
        "quarantine",
        json,
        dataset=dataset,
        project=project,
        environment=env,
        reason=reason,
        file=file,
        limit=limit,
    )


@quarantine_app.command("show", epilog="Example:  headwater quarantine show tlc.trips/1/417")
def quarantine_show(
    row: Annotated[str, typer.Argument(help="The id of a row, as `quarantine list` gives it.")],
    project: Project = ".",
    env: Env = PROD,
    json: Json = False,
) -> None:
    """Show one quarantined row: reasons, original content, origin."""
    _call("quarantine_row", json, row=row, project=project, environment=env)


Reason = Annotated[str, typer.Option("--reason", help="Only rows with this reason.")]
InFile = Annotated[str, typer.Option("--file", help="Only rows of this file (a part of its path).")]
OfRun = Annotated[str, typer.Option("--run", help="Only rows that this run put there.")]
Ids = Annotated[list[str] | None, typer.Option("--id", help="Only this row; may be repeated.")]
OneSource = Annotated[str, typer.Argument(help="A dataset of a source, as schema.name.")]


@quarantine_app.command(
    "replay", epilog="Example:  headwater quarantine replay tlc.trips --reason fare.min"
)
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
    _call(
        "quarantine_replay",
        json,
        dataset=dataset,
        project=project,
        environment=env,
        which={"reason": reason, "file": file, "run_id": run_id, "ids": row or []},
        sets=[],
        edited="",
    )


@quarantine_app.command(
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
    _call(
        "quarantine_replay",
        json,
        dataset=dataset,
        project=project,
        environment=env,
        which={"reason": reason, "file": file, "run_id": run_id, "ids": row or []},
        sets=set_ or [],
        edited=from_,
        is_fix=True,
    )


@quarantine_app.command(
    "export", epilog="Example:  headwater quarantine export tlc.trips -o mend.csv"
)
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
    _call(
        "quarantine_export",
        json,
        dataset=dataset,
        project=project,
        environment=env,
        output=output,
        which={"reason": reason, "file": file, "run_id": run_id, "ids": row or []},
    )


@quarantine_app.command(
    "discard", epilog="Example:  headwater quarantine discard tlc.trips --file 2019-01"
)
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
    _call(
        "quarantine_discard",
        json,
        dataset=dataset,
        project=project,
        environment=env,
        every=every,
        which={"reason": reason, "file": file, "run_id": run_id, "ids": row or []},
    )


@quarantine_app.command("counts", epilog="Example:  headwater quarantine counts tlc.trips")
def quarantine_counts(
    dataset: Annotated[str, typer.Argument(help="Only this dataset.")] = "",
    project: Project = ".",
    limit: Limit = 50,
    json: Json = False,
) -> None:
    """Count what went into quarantine by day and reason, and what became of it."""
    _call("quarantine_counts", json, dataset=dataset, project=project, limit=limit)


@app.command(epilog="Example:  headwater releases")
def releases(
    project: Project = ".", env: Env = PROD, limit: Limit = 20, json: Json = False
) -> None:
    """List the releases, newest first."""
    _call("releases", json, project=project, environment=env, limit=limit)


@app.command(epilog="Example:  headwater doctor")
def doctor(
    project: Project = ".",
    fix: Annotated[
        bool, typer.Option("--fix", help="Remove what killed runs left behind.")
    ] = False,
    json: Json = False,
) -> None:
    """Look whether all is well: packages, project, lake; and say what to do."""
    _call("doctor", json, project=project, fix=fix)


@app.command(epilog="Example:  headwater clean --dry-run")
def clean(
    project: Project = ".",
    older_than: Annotated[
        int | None,
        typer.Option(
            "--older-than",
            metavar="DAYS",
            min=0,
            help="Releases of so many days are kept. Default: release_retention_days.",
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    json: Json = False,
) -> None:
    """Remove built tables, snapshots and files that no release needs any more."""
    _call("clean", json, project=project, older_than_days=older_than, dry_run=dry_run)


@app.command(epilog="Example:  headwater schema source")
def schema(
    name: Annotated[
        str, typer.Argument(help="settings, source, model, check or test. Default: all.")
    ] = "",
    project: Project = ".",
    write: Annotated[
        bool, typer.Option("--write", help="Write them into the project's folder `schemas`.")
    ] = False,
    json: Json = False,
) -> None:
    """Print the JSON Schemas of a project's files, for editors."""
    _call("schema", json, name=name, project=project, write=write)


@app.command(epilog="Example:  headwater backup /mnt/backups/shop")
def backup(
    folder: Annotated[str, typer.Argument(help="Where to: an empty folder, or the last backup's.")],
    project: Project = ".",
    json: Json = False,
) -> None:
    """Back up the lake, while runs go on; only new files are copied."""
    _call("backup", json, folder=folder, project=project)


@app.command(epilog="Example:  headwater restore /mnt/backups/shop")
def restore(
    folder: Annotated[str, typer.Argument(help="The backup's folder.")],
    project: Project = ".",
    into: Annotated[
        str,
        typer.Option("--into", metavar="FOLDER", help="The lake's folder. Default: the project's."),
    ] = "",
    replace: Annotated[
        bool, typer.Option("--replace", help="Move the lake that is there aside.")
    ] = False,
    json: Json = False,
) -> None:
    """Bring back a lake from its backup."""
    _call("restore", json, folder=folder, project=project, into=into, replace=replace)


def main() -> None:
    """The console script."""
    # What is imported and read stays to the end: looking for garbage among it every 700 objects
    # costs a twentieth of a command.
    gc.set_threshold(50_000)
    try:
        app()
    except BrokenPipeError:
        sys.stderr.close()
        raise SystemExit(0) from None
