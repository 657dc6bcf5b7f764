"""Locks between processes: one for the lake's commits, one for each dataset's steps, and one
that says that a run is alive. They are files, so they end with their process."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from headwater.errors import LakeError, LakeLocked
from headwater.names import DatasetName


class Locks:
    """The locks of one lake. `folder` is made where it is missing."""

    def __init__(self, folder: Path, timeout_s: float) -> None:
        self.folder = folder
        self.timeout_s = timeout_s

    @contextmanager
    def commit(self) -> Iterator[None]:
        """Hold the lake's write lock. Raises LakeLocked after `timeout_s`."""
        lock = self._lock("lake")
        try:
            lock.acquire(timeout=self.timeout_s)
        except Timeout as error:
            raise LakeLocked(
                f"the lake has been locked for {self.timeout_s:g} s{self._holder()}",
                where=str(self.folder.parent),
                hint="wait for the other run to end, or raise lock_timeout_s in headwater.yaml",
            ) from error
        except OSError as error:
            raise unwritable(self.folder.parent, error) from error
        try:
            self._note_holder()
            yield
        finally:
            lock.release()

    def maintenance(self) -> FileLock:
        """The lock of whoever deletes data files, or copies them; not yet taken."""
        return self._lock("maintenance")

    def dataset(self, name: str) -> FileLock:
        """The lock of one dataset, not yet taken."""
        return self._lock(f"dataset-{name}")

    def take_free(self, names: Iterable[DatasetName], held: ExitStack) -> set[DatasetName]:
        """Take the locks of those datasets that nobody works on, until `held` ends; which."""
        free = set()
        for name in sorted(set(names)):
            lock = self.dataset(str(name))
            try:
                lock.acquire(timeout=0)
            except Timeout:
                continue
            held.callback(lock.release)
            free.add(name)
        return free

    def run(self, run_id: str) -> FileLock:
        """The lock that a run holds as long as it lives, not yet taken."""
        return self._lock(f"run-{run_id}")

    def dead_runs(self) -> list[str]:
        """The ids of runs that ended without saying so."""
        return [run_id for run_id, alive in self._runs() if not alive]

    def live_runs(self) -> list[str]:
        """The ids of runs that are going on."""
        return [run_id for run_id, alive in self._runs() if alive]

    def _runs(self) -> Iterator[tuple[str, bool]]:
        for path in sorted(self.folder.glob("run-*.lock")):
            lock = FileLock(path)
            try:
                lock.acquire(timeout=0)
            except (Timeout, OSError):  # whoever may not lock cannot tell, and takes it for alive
                yield path.stem.removeprefix("run-"), True
                continue
            lock.release()
            yield path.stem.removeprefix("run-"), False

    def forget_run(self, run_id: str) -> None:
        """Remove the lock file of a run that is over."""
        (self.folder / f"run-{run_id}.lock").unlink(missing_ok=True)

    def _lock(self, name: str) -> FileLock:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise unwritable(self.folder.parent, error) from error
        return FileLock(self.folder / f"{name}.lock", thread_local=False)

    def _note_holder(self) -> None:
        note = {"pid": os.getpid(), "host": socket.gethostname()}
        (self.folder / "lake.holder").write_text(json.dumps(note))

    def _holder(self) -> str:
        try:
            note = json.loads((self.folder / "lake.holder").read_text())
        except (OSError, ValueError):
            return ""
        return f" by process {note['pid']} on {note['host']}"


def unwritable(folder: Path, error: OSError) -> LakeError:
    """What to say where the lake's folder does not take writes."""
    return LakeError(
        f"the lake cannot be written: {error.strerror}",
        where=str(folder),
        hint="check the folder's permissions and the disk, or set another `lake:` folder",
    )
