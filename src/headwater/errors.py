"""The root error: what went wrong, where, and what to do next.

Every error that Headwater raises on purpose is a `HeadwaterError`. Messages travel further
than data, so they never hold row values or secrets.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence


class HeadwaterError(Exception):
    """Root of every error we raise on purpose.

    message  what happened, one sentence.
    where    the file, dataset or step it happened to ("" when the message says it).
    hint     what to do next.
    """

    def __init__(self, message: str, *, where: str = "", hint: str = "") -> None:
        super().__init__(message)
        self.message, self.where, self.hint = message, where, hint

    def __str__(self) -> str:
        return f"{self.where}: {self.message}" if self.where else self.message

    def __reduce__(self) -> tuple[Any, ...]:  # keyword-only constructors do not unpickle alone
        return _revive, (type(self), self.args, self.__dict__)

    def as_dict(self) -> dict[str, Any]:
        """The error as plain values, for `--json`."""
        return {"error": self.message, "where": self.where, "hint": self.hint}


def _revive(
    kind: type[HeadwaterError], args: tuple[Any, ...], state: dict[str, Any]
) -> HeadwaterError:
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(state)
    return error


@dataclass(frozen=True, kw_only=True, order=True)
class Mistake:
    """One mistake in a project's files. `line` and `column` count from 1; 0 means unknown."""

    file: str
    line: int = 0
    column: int = 0
    message: str
    hint: str = ""
    source_line: str = ""

    @property
    def where(self) -> str:
        parts = [self.file, *(str(n) for n in (self.line, self.column) if n)]
        return ":".join(parts)


class ProjectMistakes(HeadwaterError):
    """All mistakes found in a project, in file order."""

    def __init__(self, mistakes: Sequence[Mistake]) -> None:
        self.mistakes = tuple(sorted(mistakes))
        count = len(self.mistakes)
        super().__init__(
            f"the project has {count} mistake{'s' if count != 1 else ''}",
            hint="mend the lines shown and run `headwater check` again",
        )

    def __str__(self) -> str:
        lines = [f"{m.where}: {m.message}" for m in self.mistakes]
        return "\n".join([self.message, *lines])

    def as_dict(self) -> dict[str, Any]:
        return {
            **super().as_dict(),
            "mistakes": [
                {
                    "file": m.file,
                    "line": m.line,
                    "column": m.column,
                    "message": m.message,
                    "hint": m.hint,
                    "source_line": m.source_line,
                }
                for m in self.mistakes
            ],
        }


class NotAProject(HeadwaterError, FileNotFoundError):
    """No `headwater.yaml` here or above."""


class UnknownDataset(HeadwaterError, LookupError):
    """A dataset name that nothing makes, or that is not released."""


class UnknownEnvironment(HeadwaterError, LookupError):
    """An environment that nothing was released in, or that may not be called so."""


class UnknownCheck(HeadwaterError, LookupError):
    """A check that the project does not have and that was never run."""


class UnknownSelection(HeadwaterError, LookupError):
    """A `--select` that matches nothing."""


class LakeError(HeadwaterError):
    """The lake cannot be opened, read or written."""


class LakeLocked(LakeError, TimeoutError):
    """Another process held the lake's write lock for too long."""


class LakeTooNew(LakeError):
    """The lake was made by a newer Headwater."""


class LakeTooOld(LakeError):
    """The lake was made by an older Headwater, and must be migrated before it is read."""


class NoLake(LakeError, FileNotFoundError):
    """Nothing has been landed yet."""


class BackupRefused(HeadwaterError):
    """A backup or restore that cannot be done, or a backup that is not whole."""


class ReleaseRefused(HeadwaterError):
    """A run, promotion, rollback or resumption that may not be done, or cannot."""


class ExtensionMissing(HeadwaterError, ImportError):
    """A DuckDB extension that we need is not installed."""


class FileRefused(HeadwaterError):
    """An input file that cannot be landed as it is. The other files are not affected."""


class NoSuchInput(HeadwaterError, FileNotFoundError):
    """A dataset's path matches no file."""


class ModelFailed(HeadwaterError):
    """A model's query or function failed, or its result cannot be used."""


class ContractBroken(HeadwaterError):
    """Rows break a rule whose remedy is `fail`."""


class UnbalancedStep(HeadwaterError):
    """A ledger that does not add up. This is a defect of Headwater: nothing was committed."""


class Superseded(HeadwaterError):
    """Another run committed this dataset since we planned; ours gives way."""


class QueryRefused(HeadwaterError):
    """A query that a reading door does not allow."""


def counted(count: int, word: str) -> str:
    """A number with its word.

    >>> counted(1, "row"), counted(2500, "row")
    ('1 row', '2,500 rows')
    """
    return f"{count:,} {word}" + ("" if count == 1 else "s")


def size_text(count: int) -> str:
    """A number of bytes as people read it.

    >>> size_text(999), size_text(1_500_000)
    ('999 bytes', '1.5 MB')
    """
    if count < 1000:
        return counted(count, "byte")
    amount = count / 1000
    for unit in ("kB", "MB", "GB"):
        if amount < 1000:
            return f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} TB"


def without_values(message: str) -> str:
    """A message of DuckDB's about rows, without the values that it quotes.

    >>> without_values("Could not convert string 'x1' to INT32")
    "Could not convert string '…' to INT32"
    """
    message = re.sub(r"'[^']*'|\"[^\"]*\"", "'…'", message)
    return re.sub(r"(?<![A-Za-z_\d])[-+]?\d[\d.,:]*", "…", message)


def suggestion(word: str, known: Collection[str]) -> str:
    """A hint: the nearest known word, else the first few that are known.

    >>> suggestion("custmer_id", ["customer_id", "day"])
    "did you mean 'customer_id'?"
    """
    if near := get_close_matches(word, list(known), n=1):
        return f"did you mean {near[0]!r}?"
    if not known:
        return ""
    shown = sorted(known)[:8]
    more = ", …" if len(known) > len(shown) else ""
    return f"known: {', '.join(shown)}{more}"
