"""The strategy `full`: compute the whole result and put it in place of what was there.

Compute: the model's query (the user's text, as it is) runs over its inputs, pinned; the result
is checked against the model's contract. Apply: the table's content is replaced, which keeps
the table and its earlier snapshots.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import duckdb

from headwater.contract.across import AcrossRule, across_rules, uniques
from headwater.contract.compile import Compiled, Fate, compile_contract, unused
from headwater.contract.contract import Contract, Remedy
from headwater.contract.survivorship import combined
from headwater.contract.types import Type, parse_type
from headwater.engine import python_model
from headwater.engine.judge import (
    Aside,
    Verdict,
    count_reasons,
    explain,
    judge,
    look_across,
    sample_rows,
)
from headwater.engine.limits import BuildLimits, limited
from headwater.errors import (
    ContractBroken,
    HeadwaterError,
    ModelFailed,
    counted,
    without_values,
)
from headwater.lake.commit import Commit, now
from headwater.lake.lake import Lake
from headwater.lake.ledger import Ledger
from headwater.lake.state import Position
from headwater.lake.step import (
    PREWRITTEN_ROWS,
    StepIdentity,
    give_way_if_moved,
    record,
    write_ahead,
)
from headwater.names import DatasetName
from headwater.project.definitions import Model, PythonModel
from headwater.sql.quote import columns as column_list
from headwater.sql.quote import dotted, ident, literal


@dataclass
class FullBuild:
    """A build between its phases. See `ComputedStep`.

    awaiting   inputs of the same commit group, whose positions are known when it commits.

    The result stands in the session under the dataset's own name, so that later models of the
    same commit read it as they would read the released one.
    """

    identity: StepIdentity
    model: Model
    inputs: dict[DatasetName, Position]
    awaiting: tuple[DatasetName, ...] = ()
    columns: dict[str, Type] = field(default_factory=dict)
    verdict: Verdict | None = None
    row_count: int = 0
    aside: dict[Fate, int] = field(default_factory=dict)
    broken: dict[str, int] = field(default_factory=dict)
    checks: list[tuple[str, Remedy]] = field(default_factory=list)
    quarantine: str = ""
    prewritten: Path | None = None
    temp_tables: list[str] = field(default_factory=list)
    samples: dict[str, list[str]] = field(default_factory=dict)

    @property
    def result(self) -> str:
        """The result in the session, as SQL."""
        return dotted("memory", *self.identity.dataset)

    def apply(self, commit: Commit) -> tuple[Ledger, Position]:
        """See `ComputedStep`."""
        give_way_if_moved(commit, self.identity)
        before, removed, landed = self._replace_content(commit)
        verdict = self.verdict
        ledger = Ledger(
            dataset=self.identity.dataset,
            received=verdict.received if verdict else self.row_count,
            landed=landed,
            deduplicated=self._count(Fate.DEDUPLICATED),
            dropped=self._count(Fate.DROPPED),
            quarantined=self._write_quarantine(commit),
            removed=removed,
            rows_before=before,
            rows_after=commit.count(self.identity.table),
            nulled=verdict.nulled if verdict else 0,
            defaulted=verdict.defaulted if verdict else 0,
            clipped=verdict.clipped if verdict else 0,
        )
        commit.note("checks", check_rows(self.identity, self.checks, self.broken, self.samples))
        position = record(
            commit,
            self.identity,
            ledger,
            columns=self.types,
            inputs=self.inputs,
            definition=self.model.definition_text,
        )
        return ledger, position

    @property
    def types(self) -> dict[str, str]:
        return {name: kind.sql for name, kind in self.columns.items()}

    def _count(self, fate: Fate) -> int:
        of_rows = self.verdict.count(fate) if self.verdict else 0
        return of_rows + self.aside.get(fate, 0)

    def _replace_content(self, commit: Commit) -> tuple[int, int, int]:
        """Put the result in place of what was there: (rows before, removed, landed)."""
        table = self.identity.table
        query = f"SELECT * FROM {self.result}"
        is_new = self.identity.expected is None
        before = 0 if is_new else commit.count(table)
        removed = commit.empty(table) if before else 0
        if self.prewritten:
            if is_new:
                commit.create_empty(table, self.types)
            commit.register_file(table, self.prewritten)
            landed = self.row_count
        elif is_new:
            landed = commit.create(table, self.types, query)
        else:
            landed = commit.append(table, list(self.columns), query)
        return before, removed, landed

    def _write_quarantine(self, commit: Commit) -> int:
        if not self.quarantine:
            return 0
        name = literal(str(self.identity.dataset))
        return commit.insert_state(
            "quarantine",
            f"SELECT {name} || '/{self.identity.run_id}/' || record, {name}, "
            f"{literal(self.identity.table)}, reasons, NULL, NULL, NULL, record, content, NULL, "
            f"{literal(self.identity.run_id)}, {self.identity.step}, {literal(now())} "
            f"FROM {ident(self.quarantine)} ORDER BY record",
        )

    def discard(self, lake: Lake) -> None:
        """See `ComputedStep`."""
        self.clear(lake.con)

    def clear(self, con: duckdb.DuckDBPyConnection) -> None:
        """Free what stands in the session. Safe to call twice."""
        for table in self.temp_tables:
            con.execute(f"DROP TABLE IF EXISTS {ident(table)}")
        self.temp_tables.clear()
        con.execute(f"DROP TABLE IF EXISTS {self.result}")


def check_rows(
    identity: StepIdentity,
    checks: list[tuple[str, Remedy]],
    broken: Mapping[str, int],
    samples: Mapping[str, list[str]],
) -> list[dict[str, object]]:
    """Rows of `headwater.checks`: each check of a model's contract, held or broken."""
    moment = now()
    return [
        {
            "run_id": identity.run_id,
            "step": identity.step,
            "dataset": str(identity.dataset),
            "check_name": code,
            "remedy": remedy.value,
            "status": "broken" if broken.get(code) else "held",
            "failed_rows": broken.get(code, 0),
            "sample": samples.get(code),
            "checked_at": moment,
        }
        for code, remedy in checks
    ]


def compute(
    lake: Lake,
    identity: StepIdentity,
    folder: Path,
    model: Model,
    inputs: dict[DatasetName, Position],
    schema: dict[str, Type] | None = None,
    limits: BuildLimits | None = None,
) -> FullBuild:
    """Compute and check a model's whole result: the compute phase.

    schema   the columns of a query's result, where binding has told them.
    limits   what the build may take.

    Its inputs must be in the session under their names, and nothing under its own; the caller
    sees to that. Raises ModelFailed or ContractBroken, and leaves nothing behind then.
    """
    build = FullBuild(identity, model, inputs)
    con = lake.con
    try:
        with limited(con, limits or BuildLimits(), f"{model.file}:{model.line}"):
            compute_result(con, build, folder, schema)
            if build.row_count > PREWRITTEN_ROWS:
                build.prewritten = write_ahead(
                    lake, identity, f"SELECT {column_list(build.columns)} FROM {build.result}"
                )
    except duckdb.Error as error:
        build.discard(lake)
        raise explain_failure(model, error) from error
    except BaseException:
        build.discard(lake)
        raise
    return build


def compute_result(
    con: duckdb.DuckDBPyConnection,
    build: FullBuild,
    folder: Path,
    schema: dict[str, Type] | None = None,
) -> None:
    """Compute a model's whole result into a session and check it. No lake is needed.

    folder   the project's, from which Python models import.

    What `compute` says of the session holds here; what is left behind `build.clear` removes.
    """
    model = build.model
    if isinstance(model, PythonModel):
        result = f"result_{build.identity.step}"
        build.temp_tables.append(result)
        python_model.call(con, folder, model, result)
        query = f"SELECT * FROM {ident(result)}"
        _judge(con, build, model, query, described(con, query))
    else:
        query = model.query.text
        _judge(con, build, model, query, schema or described(con, query))


def described(con: duckdb.DuckDBPyConnection, query: str) -> dict[str, Type]:
    """The columns of a query's result. Raises ModelFailed for types that no lake stores."""
    found = {}
    for name, kind, *_ in con.execute(f"DESCRIBE {query}").fetchall():
        try:
            found[name] = parse_type(kind)
        except ValueError as error:
            raise ModelFailed(
                f"the column {name!r} is {kind}, which a lake does not store",
                hint="cast it to another type",
            ) from error
    return found


def _judge(
    con: duckdb.DuckDBPyConnection,
    build: FullBuild,
    model: Model,
    query: str,
    schema: dict[str, Type],
) -> None:
    _refuse_wrong_columns(model, schema)
    contract = model.contract.completed(schema)
    compiled = compile_contract(contract, schema, otherwise=Remedy.FAIL)
    build.columns = {name: column.type for name, column in contract.columns.items()}
    build.checks = [(check.code, check.remedy) for check in compiled.checks]
    if compiled.is_trivial:
        made = con.execute(
            f"CREATE TABLE {build.result} AS SELECT {_as_stored(build.columns)} FROM ({query}\n)"
        ).fetchone()
    else:
        table = f"judged_{build.identity.step}"
        build.temp_tables.append(table)
        build.verdict = judge(con, compiled, f"({query}\n)", table)
        _settle(con, build, compiled, table)
        made = con.execute(
            f"CREATE TABLE {build.result} AS SELECT {column_list(build.columns)} "
            f"FROM {ident(table)} WHERE _fate = {Fate.LANDED.value}"
        ).fetchone()
    build.row_count = int(made[0]) if made else 0
    rules = across_rules(contract, otherwise=Remedy.FAIL)
    build.checks += [(rule.code, rule.remedy) for rule in rules if rule.remedy]
    # What survives of the rows of a key is there before it is compared with other rows.
    last = uniques(contract, Remedy.FAIL) if contract.survivors else ()
    for part in (rules[: len(rules) - len(last)], last):
        if part:
            _look_across(con, build, contract, part)


def _as_stored(columns: Mapping[str, Type]) -> str:
    """A result's columns with the types that the lake stores, so that a reader within the same
    commit sees what later readers see."""
    return ", ".join(f"CAST({ident(n)} AS {kind.sql}) AS {ident(n)}" for n, kind in columns.items())


def _refuse_wrong_columns(model: Model, schema: Mapping[str, Type]) -> None:
    there = {name.lower() for name in schema}
    missing = [
        name
        for name in (*model.contract.columns, *model.contract.key, model.contract.latest_by)
        if name and name.lower() not in there
    ]
    if missing:
        raise ModelFailed(
            f"the result has no column {', '.join(repr(name) for name in dict.fromkeys(missing))}",
            where=f"{model.file}:{model.line}",
            hint=f"it has: {', '.join(list(schema)[:20])}",
        )


def _settle(
    con: duckdb.DuckDBPyConnection, build: FullBuild, compiled: Compiled, table: str
) -> None:
    """Name the broken rules; keep quarantined rows; raise where a rule says fail."""
    assert build.verdict is not None
    if build.verdict.received == build.verdict.count(Fate.LANDED) and not build.verdict.warned:
        return
    explained = f"{table}_explained"
    build.temp_tables.append(explained)
    explain(con, compiled, table, explained)
    build.broken = count_reasons(con, explained)
    for code in build.broken:
        build.samples[code] = sample_rows(con, build.verdict, explained, code)
    failing = {check.code: check for check in compiled.checks if check.remedy is Remedy.FAIL}
    failed = build.verdict.count(Fate.FAILED)
    if failed:
        broken = [code for code in build.broken if code in failing]
        names = ", ".join(f"{code} ({failing[code].meaning.split(': ', 1)[-1]})" for code in broken)
        raise BrokenBuild(build, failed, build.verdict.received, names, _advice(broken))
    if build.verdict.count(Fate.QUARANTINED):
        build.quarantine = f"{table}_quarantine"
        build.temp_tables.append(build.quarantine)
        con.execute(
            f"CREATE TEMP TABLE {ident(build.quarantine)} AS "
            "SELECT e._id + 1 AS record, e.reasons, CAST(to_json(t._raw) AS VARCHAR) AS content "
            f"FROM {ident(table)} t JOIN {ident(explained)} e ON t.{build.verdict.row} = e._id "
            f"WHERE e._fate = {Fate.QUARANTINED.value}"
        )


def _advice(broken: list[str]) -> str:
    if any(code.endswith(".finite") for code in broken):
        return (
            "a division by zero gives no finite number: divide by nullif(divisor, 0), or set "
            "`otherwise: null` on the column"
        )
    return "`headwater show DATASET --failed` shows some of the rows; mend the query or the rule"


class BrokenBuild(ContractBroken):
    """A build whose rows break a rule that says `fail`. Carries the build, so that its checks
    can be recorded though nothing else of it is."""

    def __init__(self, build: FullBuild, failed: int, received: int, names: str, hint: str) -> None:
        super().__init__(
            f"{failed:,} of {counted(received, 'row')} break {names}",
            where=str(build.identity.dataset),
            hint=hint,
        )
        self.checks = check_rows(build.identity, build.checks, build.broken, build.samples)


def _look_across(
    con: duckdb.DuckDBPyConnection,
    build: FullBuild,
    contract: Contract,
    rules: tuple[AcrossRule, ...],
) -> None:
    """Find the rows that break rules across rows, and do with them what those say."""
    rows, number = _numbered(build)
    part = f"{build.identity.step}_{len(build.temp_tables)}"
    tables = (f"broken_across_{part}", f"aside_{part}")
    build.temp_tables += tables
    aside = look_across(con, rules, rows, None, number, tables)
    if aside is None:
        return
    for rule in rules:
        count = aside.broken.get(rule.code, 0)
        if count and rule.fate is not Fate.DEDUPLICATED:
            build.broken[rule.code] = count
            build.samples[rule.code] = _samples(con, build, rows, number, tables[0], rule)
    failing = [rule for rule in rules if rule.fate is Fate.FAILED and rule.code in aside.broken]
    if failing:
        failed = sum(aside.broken[rule.code] for rule in failing)
        names = ", ".join(f"{rule.code} ({rule.must})" for rule in failing)
        received = build.verdict.received if build.verdict else build.row_count
        raise BrokenBuild(build, failed, received, names, _advice_across(failing))
    if not aside.count:
        return
    build.verdict = build.verdict or Verdict(table="", fates={Fate.LANDED: build.row_count})
    if aside.fates.get(Fate.QUARANTINED):
        _quarantine_aside(con, build, rows, number, aside)
    for fate, count in aside.fates.items():
        build.aside[fate] = build.aside.get(fate, 0) + count
    con.execute(
        f"CREATE OR REPLACE TABLE {build.result} AS {_left(build, contract, rows, number, aside)}"
    )
    build.row_count -= aside.count


def _left(build: FullBuild, contract: Contract, rows: str, number: str, aside: Aside) -> str:
    """SELECT the rows that are left; of those with the same key what survives."""
    picked, row_id = column_list(build.columns), ident(number)
    gone = f"SELECT _id FROM {ident(aside.table)}"
    if not (contract.survivors and aside.fates.get(Fate.DEDUPLICATED)):
        return f"SELECT {picked} FROM {rows} WHERE {row_id} NOT IN ({gone})"
    key = column_list(contract.key)
    repeats = f"{gone} WHERE _fate = {Fate.DEDUPLICATED.value}"
    others = f"{gone} WHERE _fate <> {Fate.DEDUPLICATED.value}"
    numbered = f"(SELECT {column_list([*build.columns, number])} FROM {rows})"
    repeated = f"(SELECT DISTINCT {key} FROM {numbered} WHERE {row_id} IN ({repeats}))"
    several = (
        f"(SELECT * FROM {numbered} SEMI JOIN {repeated} USING ({key}) "
        f"WHERE {row_id} NOT IN ({others}))"
    )
    return (
        f"SELECT {picked} FROM {numbered} ANTI JOIN {repeated} USING ({key}) "
        f"WHERE {row_id} NOT IN ({others}) UNION ALL "
        f"SELECT * FROM ({combined(contract, build.columns, several, number)})"
    )


def _samples(
    con: duckdb.DuckDBPyConnection,
    build: FullBuild,
    rows: str,
    number: str,
    codes: str,
    rule: AcrossRule,
) -> list[str]:
    """Some of the rows that break a rule across rows, as JSON texts."""
    broken = f"SELECT _id FROM {ident(codes)} WHERE code = {literal(rule.code)}"
    found = con.execute(
        f"SELECT CAST(to_json(t) AS VARCHAR) FROM (SELECT {column_list(build.columns)} "
        f"FROM {rows} WHERE {ident(number)} IN ({broken}) LIMIT 20) t"
    ).fetchall()
    return [row[0] for row in found]


def _advice_across(failing: list[AcrossRule]) -> str:
    if any(rule.code == "key.duplicate" for rule in failing):
        return "group by the key, or set `on_duplicate: keep first`"
    return "`headwater show DATASET --failed` shows some of the rows; or set `otherwise: warn`"


def _quarantine_aside(
    con: duckdb.DuckDBPyConnection, build: FullBuild, rows: str, number: str, aside: Aside
) -> None:
    """Add the rows that rules across rows send to quarantine, numbered after all that were
    judged by themselves."""
    assert build.verdict is not None
    before = build.verdict.received + build.aside.get(Fate.QUARANTINED, 0)
    picked = ", ".join(f"{ident(name)} := r.{ident(name)}" for name in build.columns)
    query = (
        f"SELECT {before} + row_number() OVER (ORDER BY a._id) AS record, a.reasons, "
        f"CAST(to_json(struct_pack({picked})) AS VARCHAR) AS content "
        f"FROM (SELECT {column_list([*build.columns, number])} FROM {rows}) r "
        f"JOIN {ident(aside.table)} a ON r.{ident(number)} = a._id "
        f"WHERE a._fate = {Fate.QUARANTINED.value}"
    )
    if build.quarantine:
        con.execute(f"INSERT INTO {ident(build.quarantine)} {query}")
        return
    build.quarantine = f"aside_{build.identity.step}_quarantine"
    build.temp_tables.append(build.quarantine)
    con.execute(f"CREATE TEMP TABLE {ident(build.quarantine)} AS {query}")


def _numbered(build: FullBuild) -> tuple[str, str]:
    """The result's rows with what numbers them, in order: DuckDB's own `rowid`, which costs
    nothing, unless a column hides it."""
    if "rowid" not in {name.lower() for name in build.columns}:
        return build.result, "rowid"
    number = unused("_row", build.columns)
    return f"(SELECT *, row_number() OVER () AS {ident(number)} FROM {build.result})", number


_RUNTIME = (
    duckdb.ConversionException,
    duckdb.OutOfRangeException,
    duckdb.InvalidInputException,
    duckdb.DataError,
)


def explain_failure(model: Model, error: duckdb.Error) -> HeadwaterError:
    """DuckDB's error about a model, without the values that it may quote."""
    message = str(error).split("\n")[0].strip()
    folded = message.lower()
    where = f"{model.file}:{model.line}"
    if "out of memory" in folded or "no space left" in folded or "max_temp_directory" in folded:
        return ModelFailed(
            "there is not enough memory or disk to compute it",
            where=where,
            hint="raise memory_limit, of the model or in headwater.yaml, or free some disk",
        )
    if isinstance(error, _RUNTIME):
        message = without_values(message)
        hint = "guard the expression: TRY_CAST, TRY(…), nullif, or a rule on the source's column"
        return ModelFailed(message, where=where, hint=hint)
    return ModelFailed(message, where=where, hint="`headwater check` shows the line")
