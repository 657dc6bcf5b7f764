"""Measuring: repeats that alternate, medians, and one line of the result table for each figure.

Two things that are compared run in turn, so that whatever else the machine does hits both. A
run that is measured returns its own seconds: what it sets up and clears away is not in them.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

Timed = Callable[[], float]
"""Does one run and returns what it took, in seconds."""

SAMPLE_S = 0.05
"""How often a process's memory is looked at."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line of the table.

    ours, peer   medians: seconds, or MiB where `unit` says so; peer None: there is none.
    bound        what `ours / peer` may be at most; without a peer, what `ours` may be.
                 None: shown for comparison only.
    spread       (least, most) of our repeats.
    """

    figure: str
    what: str
    ours: float
    peer: float | None = None
    bound: float | None = None
    unit: str = "s"
    spread: tuple[float, float] | None = None

    @property
    def ratio(self) -> float | None:
        return self.ours / self.peer if self.peer else None

    @property
    def holds(self) -> bool | None:
        """Whether the bound holds; None where there is none."""
        if self.bound is None:
            return None
        return (self.ours if self.peer is None else self.ours / self.peer) <= self.bound


def alternate(*runs: Timed, repeats: int, warm_ups: int = 1) -> list[list[float]]:
    """The seconds of each of `runs`, `repeats` times in turn; the warm-ups are thrown away."""
    taken: list[list[float]] = [[] for _ in runs]
    for turn in range(warm_ups + repeats):
        for seconds, run in zip(taken, runs, strict=True):
            one = run()
            if turn >= warm_ups:
                seconds.append(one)
    return taken


def compared(
    figure: str, what: str, ours: Sequence[float], peer: Sequence[float], bound: float | None
) -> Line:
    """A line from the repeats of two runs, in seconds."""
    return Line(
        figure=figure,
        what=what,
        ours=median(ours),
        peer=median(peer),
        bound=bound,
        spread=(min(ours), max(ours)),
    )


def limited(figure: str, what: str, ours: Sequence[float], bound: float | None) -> Line:
    """A line from the repeats of one run, in seconds, with a limit of its own."""
    return Line(
        figure=figure, what=what, ours=median(ours), bound=bound, spread=(min(ours), max(ours))
    )


@dataclass(frozen=True, kw_only=True)
class Process:
    """A process that has ended. `peak_mib` is its resident memory at its highest."""

    seconds: float
    peak_mib: float
    status: int
    output: str


def run_process(command: Sequence[str | Path], folder: Path, log: Path | None = None) -> Process:
    """Run a command in a folder, and watch how much memory it takes.

    The peak is the kernel's own high-water mark of the process (VmHWM), read every 50 ms. The
    mark that the parent gets at the end (ru_maxrss) is of no use here: it counts the parent's
    own memory in, from before the child was a program of its own.
    """
    log = log or folder / "bench.log"
    with log.open("wb") as out:
        started = time.perf_counter()
        child = subprocess.Popen(
            [str(word) for word in command],
            cwd=folder,
            env=environment(),
            stdout=out,
            stderr=subprocess.STDOUT,
        )
        peak_kib = 0
        while True:
            peak_kib = max(peak_kib, _high_water_kib(child.pid))
            try:
                status = child.wait(SAMPLE_S)
                break
            except subprocess.TimeoutExpired:
                continue
        seconds = time.perf_counter() - started
    return Process(
        seconds=seconds,
        peak_mib=peak_kib / 1024,
        status=status,
        output=log.read_text(encoding="utf-8", errors="replace"),
    )


def timed_process(command: Sequence[str | Path], folder: Path, expected: int = 0) -> float:
    """The seconds of one process, start to end. Raises RuntimeError if it ends otherwise."""
    started = time.perf_counter()
    done = subprocess.run(
        [str(word) for word in command],
        cwd=folder,
        env=environment(),
        capture_output=True,
        check=False,
    )
    seconds = time.perf_counter() - started
    if done.returncode != expected:
        said = (done.stdout + done.stderr).decode("utf-8", "replace")[-2000:]
        raise RuntimeError(f"{command[0]} ended with {done.returncode}:\n{said}")
    return seconds


def environment() -> dict[str, str]:
    """The environment of a measured process: bytecode is kept, as pip keeps it of all that it
    installs. Else our own modules alone, which stand here as they are edited, would be compiled
    anew by each process."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def _high_water_kib(pid: int) -> int:
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return 0
    for line in status.splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1])
    return 0
