"""What one model's build may take: memory, threads, time. Set before it, restored after it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import duckdb

from headwater.engine.session import Limits, memory_limit_of
from headwater.errors import ModelFailed
from headwater.sql.quote import literal

_AGAIN_S = 0.05


@dataclass(frozen=True, kw_only=True)
class BuildLimits:
    """The limits of one build. None: those of the session; of `timeout_s`: no limit.

    session   what the session goes back to.
    """

    memory_limit: str | None = None
    threads: int | None = None
    timeout_s: float | None = None
    session: Limits = field(default_factory=Limits)


@contextmanager
def limited(con: duckdb.DuckDBPyConnection, limits: BuildLimits, where: str) -> Iterator[None]:
    """Carry out a build under its limits.

    Raises ModelFailed where it took longer than `timeout_s`. A query is interrupted then; Python
    code cannot be, so a function goes on until its next query, or its end.
    """
    with _settings(con, limits), _watch(con, limits.timeout_s) as watch:
        try:
            yield
        except BaseException as error:
            if watch.is_over and not isinstance(error, KeyboardInterrupt):
                raise _too_long(limits, where) from error
            raise
        if watch.is_over:
            raise _too_long(limits, where)


def _too_long(limits: BuildLimits, where: str) -> ModelFailed:
    return ModelFailed(
        f"it took longer than timeout_s: {limits.timeout_s:g}",
        where=where,
        hint="raise timeout_s, of the model or in headwater.yaml, or make the model cheaper",
    )


@contextmanager
def _settings(con: duckdb.DuckDBPyConnection, limits: BuildLimits) -> Iterator[None]:
    row = con.execute("SELECT current_setting('threads')").fetchone() if limits.threads else None
    try:
        if limits.memory_limit:
            con.execute(f"SET memory_limit = {literal(limits.memory_limit)}")
        if limits.threads:
            con.execute(f"SET threads = {int(limits.threads)}")
        yield
    finally:
        if limits.memory_limit:
            con.execute(f"SET memory_limit = {literal(memory_limit_of(limits.session))}")
        if row:
            con.execute(f"SET threads = {int(row[0])}")


@dataclass
class _Watch:
    is_over: bool = False


@contextmanager
def _watch(con: duckdb.DuckDBPyConnection, timeout_s: float | None) -> Iterator[_Watch]:
    """Interrupt whatever query runs once the time is over, and those that follow."""
    watch = _Watch()
    if timeout_s is None:
        yield watch
        return
    done = threading.Event()

    def interrupt() -> None:
        wait_s = timeout_s
        while not done.wait(wait_s):
            watch.is_over = True
            con.interrupt()
            wait_s = _AGAIN_S  # a build is several queries, and this may have come between two

    thread = threading.Thread(target=interrupt, name="headwater-timeout", daemon=True)
    thread.start()
    try:
        yield watch
    finally:
        # Joined, so that no interrupt comes later and hits a query of somebody else's.
        done.set()
        thread.join()
