"""What a project says: its settings, sources and models, frozen and typed.

Values only. How they are read from files is in `read.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from headwater.contract.contract import Contract, Definition, OnDuplicate, Words
from headwater.errors import Mistake, suggestion
from headwater.names import DatasetName
from headwater.places import KeyPath, Place, Places
from headwater.project.mistakes import mistake_in
from headwater.sql.query import Query, digest


class Settings(Definition):
    """`headwater.yaml`."""

    name: str = Field(min_length=1)
    """The project's name."""
    description: str = ""
    """What the project is for."""
    lake: str = ".headwater"
    """The folder of the lake, relative to the project's."""
    memory_limit: str | None = Field(
        default=None, pattern=r"^\d+(\.\d+)? ?(KB|MB|GB|TB|KiB|MiB|GiB|TiB)$"
    )
    """How much memory DuckDB may take, as `2GB`; what does not fit goes to disk. Default: half
    of the machine's."""
    threads: int | None = Field(default=None, ge=1)
    """How many threads DuckDB may use. Default: all cores."""
    lock_timeout_s: float = Field(default=600.0, ge=0)
    """How long to wait for another process's commit."""


class FileFormat(StrEnum):
    """How a file is written; by default told from its name."""

    CSV = "csv"
    JSONL = "jsonl"
    PARQUET = "parquet"


class Origin(StrEnum):
    """What each landed row carries of where it came from."""

    RECORD = "record"
    """`_file_id` and `_record`: the file, and the row's number in it."""
    FILE = "file"
    """`_file_id` alone."""


class Write(StrEnum):
    """What landing rows does to the rows that are there."""

    APPEND = "append"
    """Rows are added. A file that has changed has its own rows replaced."""
    UPSERT = "upsert"
    """A row takes the place of the one with its `key`, else it is added."""
    REPLACE = "replace"
    """The table holds what the files at `path` hold now; rows that are no longer there go."""
    HISTORY = "history"
    """Each version of a `key` is kept, with `valid_from` and `valid_to`: from when on it was
    valid, and until when (before that moment; NULL: it still is)."""


_DUPLICATES_OF: dict[Write, tuple[OnDuplicate, ...]] = {
    Write.APPEND: (OnDuplicate.QUARANTINE, OnDuplicate.KEEP_FIRST, OnDuplicate.FAIL),
    Write.UPSERT: (OnDuplicate.KEEP_LAST, OnDuplicate.LATEST),
    Write.REPLACE: tuple(OnDuplicate),
    Write.HISTORY: (OnDuplicate.LATEST,),
}
"""What `on_duplicate` can be, by write mode."""
VALIDITY = ("valid_from", "valid_to")
"""The columns that a history adds."""


def _one_character(value: Any) -> Any:
    names = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";", "pipe": "|", "space": " "}
    return names.get(value, value)


class Dialect(Definition):
    """How a CSV file is written. What is not stated is detected."""

    delimiter: Annotated[str, BeforeValidator(_one_character)] | None = Field(
        default=None, min_length=1, max_length=4
    )
    """What stands between fields; `tab`, `pipe`, `semicolon` and `comma` are understood too."""
    quote: str | None = Field(default=None, max_length=1)
    """What a field with a delimiter or line end in it is put in; `""` for nothing. Default: `"`."""
    escape: str | None = Field(default=None, max_length=1)
    """What stands before a quote that is meant as text. Default: the quote itself, doubled."""
    header: bool | None = None
    """Whether the first line names the columns. Without, they are the contract's, in order."""


class FileDataset(Contract):
    """A dataset landed from files: a contract, and where its files are."""

    path: Words
    """A path or glob, or a list of them; relative to the project's folder."""
    format: FileFormat | None = None
    """csv, jsonl or parquet; by default told from the file's name."""
    dialect: Dialect = Dialect()
    """How a CSV file is written, where detection is not to be relied on."""
    origin: Origin = Origin.RECORD
    """What each landed row carries of where it came from: `record` or `file`."""
    write: Write = Write.APPEND
    """What landing does to the rows that are there: append, upsert, replace or history."""

    @property
    def never_missing(self) -> tuple[str, ...]:
        is_ordered = self.write is Write.HISTORY and self.latest_by
        return (*self.key, self.latest_by) if is_ordered else self.key

    @model_validator(mode="after")
    def _writes_soundly(self) -> Self:
        for path, problem, hint in _unsound_writing(self):
            raise PydanticCustomError(
                "write", "{text}", {"text": problem, "path": path, "hint": hint}
            )
        return self


def _unsound_writing(dataset: FileDataset) -> Iterator[tuple[tuple[str, ...], str, str]]:
    """What of a write mode cannot work: (which key, why, what to do)."""
    write, given = dataset.write, dataset.duplicates
    if write in (Write.UPSERT, Write.HISTORY) and not dataset.key:
        yield ("write",), f"`write: {write}` needs a `key`", "key: the columns that name a row"
    if given and given not in _DUPLICATES_OF[write]:
        allowed = ", ".join(kind.value for kind in _DUPLICATES_OF[write])
        hint = f"with `write: {write}` it can be: {allowed}"
        if write is Write.APPEND:
            hint = "`write: upsert` lets newer rows take the place of older ones"
        yield (
            ("on_duplicate",),
            f"`on_duplicate: {dataset.on_duplicate}` cannot be had with `write: {write}`",
            hint,
        )
    folded = {name.lower() for name in dataset.columns}
    if dataset.latest_by and dataset.latest_by.lower() not in folded:
        yield (
            ("on_duplicate",),
            f"`latest by {dataset.latest_by}`: there is no such column",
            suggestion(dataset.latest_by, dataset.columns) or "add it to `columns`",
        )
    taken = [name for name in VALIDITY if name in folded]
    if write is Write.HISTORY and taken:
        yield (
            ("columns", taken[0]),
            f"a history has a column {taken[0]!r} of its own",
            f"give this one another name: {{from: {taken[0]}}}",
        )


class FilesSource(Definition):
    """`sources/NAME.yaml` with `connector: files`."""

    connector: str
    """What reads the source: `files`."""
    description: str = ""
    """Where the data comes from; for people."""
    owner: str = ""
    """Who answers for its datasets."""
    tags: Words = ()
    """Words to select all of its datasets by."""
    datasets: dict[str, FileDataset] = Field(min_length=1)
    """Name -> dataset: a contract, and where its files are."""

    @model_validator(mode="before")
    @classmethod
    def _known_connector(cls, value: Any) -> Any:
        if isinstance(value, dict) and value.get("connector", "files") != "files":
            raise PydanticCustomError(
                "connector", "unknown connector", {"hint": "this version reads: files"}
            )
        return value


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """One dataset of a project: a source's or a model's.

    file, line   where it is defined.
    contract     its contract.
    places       where in the file each part of the contract stands.
    """

    name: DatasetName
    file: str
    line: int
    contract: Contract
    places: Places = field(default=Places(), repr=False, compare=False)

    @property
    def tags(self) -> tuple[str, ...]:
        return self.contract.tags

    @property
    def inputs(self) -> tuple[DatasetName, ...]:
        return ()

    def place_of(self, path: KeyPath) -> Place:
        """Where a part of the contract stands: of `("columns", "fare", "min")`, say. The column
        may be spelled as the query spells it, in another case than the contract."""
        if path[:1] == ("columns",) and len(path) > 1:
            spelled = {name.lower(): name for name in self.contract.columns}
            column = str(path[1])
            path = ("columns", spelled.get(column.lower(), column), *path[2:])
        return self.places.of(path)


@dataclass(frozen=True, kw_only=True)
class SourceDataset(Dataset):
    """A dataset that is landed. `definition` is its part of the source's file."""

    source: str
    definition: FileDataset
    source_tags: tuple[str, ...] = ()

    @property
    def tags(self) -> tuple[str, ...]:
        return (*self.source_tags, *self.contract.tags)

    @property
    def fingerprint(self) -> str:
        """What changes landed rows: contract, format, dialect and origin. Not the path: files
        that are added later belong to the same table."""
        d = self.definition
        words = ["files", self.contract.meaning(), repr((d.format, d.dialect, d.origin))]
        if d.write is not Write.APPEND:
            words.append(d.write.value)
        return digest(*words)


@dataclass(frozen=True, kw_only=True)
class SqlModel(Dataset):
    """A dataset that one SELECT computes."""

    query: Query

    @property
    def inputs(self) -> tuple[DatasetName, ...]:
        return tuple(DatasetName(ref.schema, ref.name) for ref in self.query.tables)

    @property
    def definition_text(self) -> str:
        return self.query.text


@dataclass(frozen=True, kw_only=True)
class PythonInput:
    """One parameter of a Python model. `kind`: relation, arrow, polars or pandas."""

    parameter: str
    dataset: DatasetName
    kind: str
    place: Place


@dataclass(frozen=True, kw_only=True)
class PythonModel(Dataset):
    """A dataset that one Python function computes.

    meaning   the module and the project's modules that it imports, normalised.
    """

    path: Path
    function: str
    parameters: tuple[PythonInput, ...]
    meaning: str
    definition_text: str

    @property
    def inputs(self) -> tuple[DatasetName, ...]:
        return tuple(dict.fromkeys(p.dataset for p in self.parameters))


Model = SqlModel | PythonModel


@dataclass(frozen=True)
class Project:
    """A project's folder, read.

    datasets   by name, in the order of their files.
    texts      file -> its text.
    unread     datasets (`schema.name`, or `schema.` for all of one) whose definitions have
               mistakes of their own: what reads them cannot be judged.
    """

    folder: Path
    settings: Settings
    datasets: Mapping[DatasetName, Dataset]
    texts: Mapping[str, str] = field(default_factory=dict, repr=False)
    unread: frozenset[str] = frozenset()

    @property
    def lake_folder(self) -> Path:
        return lake_folder(self.folder, self.settings)

    def is_unread(self, name: DatasetName) -> bool:
        """Whether a dataset may well exist, but cannot be read."""
        return str(name) in self.unread or f"{name.schema}." in self.unread

    def mistake(self, file: str, place: Place, message: str, hint: str = "") -> Mistake:
        """A mistake in one of the project's files, with the line it stands on."""
        return mistake_in(self.texts.get(file, ""), file, place, message, hint)

    def mistake_of(self, dataset: Dataset, path: KeyPath, message: str, hint: str = "") -> Mistake:
        """A mistake in a part of a dataset's contract."""
        return self.mistake(dataset.file, dataset.place_of(path), message, hint)


def lake_folder(folder: Path, settings: Settings) -> Path:
    """Where the lake of the project in `folder` stands."""
    return (folder / settings.lake).resolve()
