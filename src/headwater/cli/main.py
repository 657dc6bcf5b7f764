"""The command `headwater`, short `hw`.

Here are only names, options and help; each command is loaded when it is called, so that
`--help` costs nothing. Exit codes: 0 done, 1 something failed or was held back, 2 wrong use or
a project with mistakes, 130 interrupted.
"""

from __future__ import annotations

import gc
import sys
from typing import Annotated

import typer

from headwater.cli.options import Env, Json, Limit, Project, Select, Var, call, variables_of
from headwater.cli.quarantine_app import app as quarantine_app
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
    call("init", json, folder=folder)


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
    call(
        "check",
        json,
        project=project,
        environment=env,
        data=data,
        select=select or [],
        variables=variables_of(var),
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
    call(
        "test",
        json,
        selectors=[*(selectors or []), *(select or [])],
        project=project,
        variables=variables_of(var),
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
    call(
        "run",
        json,
        project=project,
        environment=env,
        select=select or [],
        variables=variables_of(var),
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
    call(
        "query",
        json,
        sql=sql,
        project=project,
        environment=env,
        variables=variables_of(var),
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
        call("show_contract", json, dataset=dataset, project=project, environment=env)
    call(
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
    call(
        "plan",
        json,
        select=select or [],
        project=project,
        environment=env,
        variables=variables_of(var),
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
    call(
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
    call(
        "promote",
        json,
        environment=environment,
        project=project,
        variables=variables_of(var),
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
    call("env_list", json, project=project)


@env_app.command("drop", epilog="Example:  headwater env drop dev")
def env_drop(
    environment: Annotated[str, typer.Argument(help="Its name.")],
    project: Project = ".",
    json: Json = False,
) -> None:
    """Take an environment's names away; its tables stay until `headwater clean`."""
    call("env_drop", json, environment=environment, project=project)


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
    call("rollback", json, project=project, environment=env, to=to)


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
    call("release", json, project=project, environment=env, is_resumed=resume)


@app.command(epilog="Example:  headwater lineage marts.daily_revenue.revenue")
def lineage(
    name: Annotated[str, typer.Argument(help="schema.name, or schema.name.column.")],
    project: Project = ".",
    env: Env = PROD,
    up: Annotated[
        bool, typer.Option("--up/--down", help="Where it comes from, or what comes from it.")
    ] = True,
    json: Json = False,
) -> None:
    """Show which columns a column is computed from, or which are computed from it."""
    call("lineage", json, name=name, project=project, environment=env, up=up)


@app.command(epilog="Example:  headwater impact staging.trips.fare")
def impact(
    name: Annotated[str, typer.Argument(help="schema.name, or schema.name.column.")],
    project: Project = ".",
    env: Env = PROD,
    json: Json = False,
) -> None:
    """Show what would notice if a column, or any of a dataset, changed."""
    call("impact", json, name=name, project=project, environment=env)


@app.command(epilog="Example:  headwater status")
def status(project: Project = ".", env: Env = PROD, json: Json = False) -> None:
    """Show each dataset: what is released, what is built, what waits."""
    call("status", json, project=project, environment=env)


@app.command(epilog="Example:  headwater checks no_orphans")
def checks(
    name: Annotated[str, typer.Argument(help="A check, or a dataset with all of its.")] = "",
    project: Project = ".",
    env: Env = PROD,
    limit: Limit = 20,
    json: Json = False,
) -> None:
    """Show the results of checks over time, and rows that broke them."""
    call("checks", json, name=name, project=project, environment=env, limit=limit)


@app.command(epilog="Example:  headwater ledger tlc.trips")
def ledger(
    dataset: Annotated[str, typer.Argument(help="Only this dataset.")] = "",
    project: Project = ".",
    run_id: Annotated[str, typer.Option("--run", help="Only this run; `last` for the last.")] = "",
    limit: Limit = 50,
    json: Json = False,
) -> None:
    """Show what became of every row, step by step."""
    call("ledger", json, dataset=dataset, project=project, run_id=run_id, limit=limit)


app.add_typer(quarantine_app, name="quarantine")


@app.command(epilog="Example:  headwater releases")
def releases(
    project: Project = ".", env: Env = PROD, limit: Limit = 20, json: Json = False
) -> None:
    """List the releases, newest first."""
    call("releases", json, project=project, environment=env, limit=limit)


@app.command(epilog="Example:  headwater doctor")
def doctor(
    project: Project = ".",
    fix: Annotated[
        bool, typer.Option("--fix", help="Remove what killed runs left behind.")
    ] = False,
    json: Json = False,
) -> None:
    """Look whether all is well: packages, project, lake; and say what to do."""
    call("doctor", json, project=project, fix=fix)


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
    call("clean", json, project=project, older_than_days=older_than, dry_run=dry_run)


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
    call("schema", json, name=name, project=project, write=write)


@app.command(epilog="Example:  headwater backup /mnt/backups/shop")
def backup(
    folder: Annotated[str, typer.Argument(help="Where to: an empty folder, or the last backup's.")],
    project: Project = ".",
    json: Json = False,
) -> None:
    """Back up the lake, while runs go on; only new files are copied."""
    call("backup", json, folder=folder, project=project)


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
    call("restore", json, folder=folder, project=project, into=into, replace=replace)


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
