"""What Headwater stands on here: Python, packages, DuckDB's extensions, memory."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

import duckdb
from packaging.requirements import Requirement

from headwater.engine import extensions
from headwater.engine.session import Limits, connect
from headwater.errors import ExtensionMissing
from headwater.findings import Finding, Grade

_CONTAINER_LIMIT = Path("/sys/fs/cgroup/memory.max")
_AREA = "environment"


def examine_environment(limits: Limits | None = None) -> Iterator[Finding]:
    """Look at everything that is not the project's. Takes 0.3 s and changes nothing."""
    yield _python()
    yield from _packages()
    yield from _extensions()
    yield _memory(limits or Limits())


def _python() -> Finding:
    kind = f"{platform.python_implementation()} {platform.python_version()}"
    return Finding(
        area=_AREA, name="python", grade=Grade.OK, message=f"{kind}, {sys.platform}, {_machine()}"
    )


def _machine() -> str:
    return platform.machine() or "unknown machine"


def _packages() -> Iterator[Finding]:
    """Each package that Headwater needs, against the versions that it was made for."""
    yield Finding(
        area=_AREA, name="headwater", grade=Grade.OK, message=f"version {version('headwater')}"
    )
    for line in requires("headwater") or ():
        needed = Requirement(line)
        if needed.marker and not needed.marker.evaluate({"extra": ""}):
            continue
        try:
            found = version(needed.name)
        except PackageNotFoundError:
            yield Finding(
                area=_AREA,
                name=needed.name,
                grade=Grade.PROBLEM,
                message="is not installed",
                hint=f"pip install '{needed.name}{needed.specifier}'",
            )
            continue
        fits = needed.specifier.contains(found, prereleases=True)
        yield Finding(
            area=_AREA,
            name=needed.name,
            grade=Grade.OK if fits else Grade.PROBLEM,
            message=f"version {found}" + ("" if fits else f", needed is {needed.specifier}"),
            hint="" if fits else f"pip install '{needed.name}{needed.specifier}'",
        )


def _extensions() -> Iterator[Finding]:
    with connect(Limits()) as con:  # which takes only what DuckDB has signed
        for name in extensions.LAKE:
            try:
                extensions.load(con, name)
            except ExtensionMissing as error:
                yield Finding(
                    area=_AREA,
                    name=f"extension {name}",
                    grade=Grade.PROBLEM,
                    message=error.message,
                    hint=error.hint,
                )
                continue
            source = "from its wheel" if extensions.is_in_wheel(name) else "as DuckDB installed it"
            yield Finding(
                area=_AREA,
                name=f"extension {name}",
                grade=Grade.OK,
                message=f"loads, {source}, with DuckDB's signature",
            )


def _memory(limits: Limits) -> Finding:
    there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    allowed = min(there, _container_limit() or there)
    taken = f"{gibibytes(allowed)} are there"
    try:
        with connect(limits) as con:
            row = con.execute(
                "SELECT current_setting('memory_limit'), "
                "parse_formatted_bytes(current_setting('memory_limit'))"
            ).fetchone()
    except duckdb.Error as error:
        return Finding(
            area=_AREA,
            name="memory",
            grade=Grade.PROBLEM,
            message=f"DuckDB does not take the memory limit: {str(error).splitlines()[0]}",
            hint="set `memory_limit` in headwater.yaml, as 2GB",
        )
    assert row
    text, limit = str(row[0]), int(row[1])
    if limit > allowed:
        return Finding(
            area=_AREA,
            name="memory",
            grade=Grade.WARNING,
            message=f"DuckDB may take {text}, and only {taken}",
            hint="set a lower `memory_limit` in headwater.yaml; what does not fit goes to disk",
        )
    return Finding(
        area=_AREA, name="memory", grade=Grade.OK, message=f"DuckDB may take {text}, {taken}"
    )


def _container_limit() -> int | None:
    """What the container may take, in bytes; None where there is no such limit."""
    try:
        text = _CONTAINER_LIMIT.read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None


def gibibytes(count: int) -> str:
    """A number of bytes as DuckDB writes memory.

    >>> gibibytes(3 * 2**29)
    '1.5 GiB'
    """
    return f"{count / 2**30:.1f} GiB"
