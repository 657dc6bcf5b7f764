"""What a project says: its settings, sources and models, frozen and typed.

Values only. How they are read from files is in `read.py`.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time
from decimal import Decimal
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from headwater.contract.across import references
from headwater.contract.checks import CheckHeader
from headwater.contract.contract import ColumnType, Contract, OnDuplicate, Remedy
from headwater.contract.definition import Definition, Scalar, Words
from headwater.contract.types import Type
from headwater.errors import Mistake, suggestion
from headwater.folder import DEFAULT_LAKE
from headwater.names import PROD, DatasetName, environment_fault
from headwater.places import KeyPath, Place, Places
from headwater.project.mistakes import mistake_in
from headwater.sql.functions import FunctionText
from headwater.sql.query import Query, digest
from headwater.sql.quote import literal


def _as_variable(value: Any) -> Any:
    return value if isinstance(value, dict) else {"default": value}


class Variable(Definition):
    """One variable: a default alone, or these keys."""

    type: ColumnType | None = None
    """The type of its value. Default: that of `default` (date, timestamp, boolean, bigint, double
    or varchar)."""
    default: Scalar | None = None
    """Its value where none is given. Without one it must be given: `--var name=value`."""
    description: str = ""
    """What it is for; for people."""

    @property
    def type_(self) -> Type:
        """The type, stated or inferred."""
        return self.type or next(
            Type(kind) for given, kind in _KINDS_OF_VALUES if isinstance(self.default, given)
        )

    @model_validator(mode="after")
    def _is_sound(self) -> Self:
        if self.type is None and self.default is None:
            raise PydanticCustomError("variable", "a variable needs a `type` or a `default`")
        if self.type and self.type.is_nested:
            raise PydanticCustomError("variable", "a variable holds one value, not a nested one")
        return self


_KINDS_OF_VALUES: tuple[tuple[type, str], ...] = (
    (bool, "BOOLEAN"),
    (int, "BIGINT"),
    (float, "DOUBLE"),
    (Decimal, "DOUBLE"),
    (datetime, "TIMESTAMP"),
    (date, "DATE"),
    (time, "TIME"),
    (str, "VARCHAR"),
)


MemoryLimit = Annotated[str | None, Field(pattern=r"^\d+(\.\d+)? ?(KB|MB|GB|TB|KiB|MiB|GiB|TiB)$")]


class Environment(Definition):
    """What is otherwise in one environment, as `dev`."""

    variables: dict[str, Scalar | None] = Field(default_factory=dict)
    """Name -> its value there, in place of the variable's default."""


class Settings(Definition):
    """`headwater.yaml`."""

    name: str = Field(min_length=1)
    """The project's name."""
    description: str = ""
    """What the project is for."""
    lake: str = DEFAULT_LAKE
    """The folder of the lake, relative to the project's."""
    memory_limit: MemoryLimit = None
    """How much memory DuckDB may take, as `2GB`; what does not fit goes to disk. Default: half
    of the machine's."""
    threads: int | None = Field(default=None, ge=1)
    """How many threads DuckDB may use. Default: all cores."""
    timeout_s: float | None = Field(default=None, gt=0)
    """How long the build of one model may take, in seconds. Default: no limit."""
    lock_timeout_s: float = Field(default=600.0, ge=0)
    """How long to wait for another process's commit."""
    quarantine_retention_days: int | None = Field(default=None, ge=1, le=36_500)
    """After how many days a run forgets what a quarantined row held. Default: never."""
    release_retention_days: int = Field(default=30, ge=0, le=36_500)
    """How long releases can be gone back to: `clean` keeps what those of so many days need."""
    variables: dict[str, Annotated[Variable, BeforeValidator(_as_variable)]] = Field(
        default_factory=dict
    )
    """Name -> its value, or `{type: …, default: …}`; SQL names it as `$name`."""
    environments: dict[
        str, Annotated[Environment, BeforeValidator(lambda value: {} if value is None else value)]
    ] = Field(default_factory=dict)
    """Name of an environment -> what is otherwise there: `{dev: {variables: {since: …}}}`."""

    @model_validator(mode="after")
    def _names_are_words(self) -> Self:
        for name in self.variables:
            if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
                raise PydanticCustomError(
                    "variables",
                    "{name} is no name for a variable",
                    {
                        "name": repr(name),
                        "path": ("variables", name),
                        "hint": "use lower-case letters, digits and _, a letter first",
                    },
                )
        return self

    @model_validator(mode="after")
    def _environments_are_sound(self) -> Self:
        for environment, settings in self.environments.items():
            if reason := environment_fault(environment):
                raise PydanticCustomError(
                    "environments",
                    "no name for an environment: {reason}",
                    {"reason": reason, "path": ("environments", environment)},
                )
            for name, value in settings.variables.items():
                if value is None:
                    raise PydanticCustomError(
                        "environments",
                        "the variable {name} has no value here",
                        {
                            "name": repr(name),
                            "path": ("environments", environment, "variables", name),
                            "hint": "write one, or leave the line out",
                        },
                    )
                if name in self.variables:
                    continue
                raise PydanticCustomError(
                    "environments",
                    "no variable {name}",
                    {
                        "name": repr(name),
                        "path": ("environments", environment, "variables", name),
                        "hint": suggestion(name, list(self.variables))
                        or "declare it under `variables:` too",
                    },
                )
        return self


class FileFormat(StrEnum):
    """How a file is written; by default told from its name."""

    CSV = "csv"
    """Lines of fields; the delimiter is detected. `.csv`, `.txt`, `.psv`"""
    TSV = "tsv"
    """The same with tabs between fields. `.tsv`, `.tab`"""
    JSONL = "jsonl"
    """A JSON object a line. `.jsonl`, `.ndjson`, and `.json` that does not begin with a list"""
    JSON = "json"
    """One JSON document with a list of records in it: see `records`. `.json`"""
    PARQUET = "parquet"
    """`.parquet`, `.pq`"""
    EXCEL = "excel"
    """A sheet of a workbook. `.xlsx`, `.xlsm`"""


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
    """Whether the first line names the columns. Without, they are the contract's, in order. Counts
    for sheets too."""
    skip: int = Field(default=0, ge=0, le=100_000)
    """How many lines stand before the header, or before the first record. They are left out."""
    comment: str = Field(default="", max_length=4)
    """What a line begins with that is a comment. Such lines are left out."""
    nullstr: Words = ()
    """Texts that stand for no value, quoted or not, as `NA`. An empty field is none either."""


_CODECS_OF_OTHER_THINGS = {
    "idna", "mbcs", "oem", "punycode", "raw-unicode-escape", "undefined", "unicode-escape",
}  # fmt: skip
"""What Python calls text encodings, though they are none of files, or not the same everywhere."""


def _as_encoding(value: Any) -> Any:
    """An encoding's name as Python spells it, so that one encoding has one name."""
    if not isinstance(value, str):
        return value
    try:
        found = codecs.lookup(value)
    except (LookupError, ValueError):
        found = None
    # Codecs between bytes and bytes (base64, zip, …) are no encodings of text.
    is_text = found is not None and getattr(found, "_is_text_encoding", True)
    if found is None or not is_text or found.name.replace("_", "-") in _CODECS_OF_OTHER_THINGS:
        raise PydanticCustomError(
            "encoding",
            "unknown encoding {value}",
            {"value": repr(value), "hint": suggestion(value.lower(), _USUAL_ENCODINGS)},
        )
    return "utf-8" if found.name == "utf-8-sig" else found.name


_USUAL_ENCODINGS = (
    "utf-8", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "latin-1", "iso-8859-15", "cp1250",
    "cp1251", "cp1252", "cp437", "cp850", "mac-roman", "koi8-r", "gbk", "gb18030", "big5",
    "shift_jis", "euc-jp", "euc-kr",
)  # fmt: skip


_CELL = "[A-Za-z]{1,3}([1-9][0-9]{0,6})?"


class Reading(Definition):
    """How files are read, where that is not told from their names and first bytes."""

    format: FileFormat | None = None
    """How the file is written; by default told from its name."""
    dialect: Dialect = Dialect()
    """How a CSV file is written, where detection is not to be relied on."""
    encoding: Annotated[str, BeforeValidator(_as_encoding)] | None = None
    """How text is written in bytes: `latin-1`, `cp1252`, `utf-16`, … Default: what a byte order
    mark tells, else UTF-8."""
    records: str | None = Field(default=None, min_length=1)
    """Where in a JSON document the list of records is: `data.items`. `$` is the document."""
    sheet: str | None = Field(default=None, min_length=1)
    """Which sheet of a workbook is read. Default: the first."""
    range: str | None = Field(default=None, pattern=rf"^{_CELL}(:{_CELL})?$")
    """Which cells of the sheet: `B3:F100`, `B3:F`, `B3` (from there on) or `B:F`. Default: all."""
    member: str | None = Field(default=None, min_length=1)
    """Which files of a zip archive are read: a glob. Default: all but hidden ones."""
    max_unpack_ratio: int = Field(default=200, ge=1)
    """A packed file that is larger than 100 MB unpacked, and so many times its size, is refused."""

    @model_validator(mode="after")
    def _keys_of_the_format(self) -> Self:
        of_other_formats = {
            "records": (FileFormat.JSON,),
            "sheet": (FileFormat.EXCEL,),
            "range": (FileFormat.EXCEL,),
        }
        for key, formats in of_other_formats.items():
            if getattr(self, key) is not None and self.format not in (None, *formats):
                raise PydanticCustomError(
                    "format",
                    "`{key}` is for `format: {other}`",
                    {"key": key, "other": formats[0].value, "path": (key,)},
                )
        return self


_PATH_COLUMN = re.compile(r"(?<!\$)\{(\w*)\}")


class FilePath(Reading):
    """Files of a dataset, and how they are read where that differs from its others."""

    glob: str
    """A path or glob, relative to the project's folder; `{name}` in it makes a column."""

    @model_validator(mode="after")
    def _column_names(self) -> FilePath:
        names = _PATH_COLUMN.findall(f"{self.glob}/{self.member or ''}")
        if len({name.lower() for name in names}) < len(set(names)):
            raise PydanticCustomError("path", "two columns of the path differ in case alone")
        for name in names:
            if not name.isidentifier() or name.startswith("_"):
                raise PydanticCustomError(
                    "path",
                    "{name} in a path names no column",
                    {
                        "name": f"{{{name}}}",
                        "hint": "write a name of letters and digits: data/{region}/*.csv",
                    },
                )
        return self

    def over(self, dataset: Reading) -> Reading:
        """How these files are read: as stated here, else as for the `dataset`."""
        own = {name: getattr(self, name) for name in self.model_fields_set - {"glob", "dialect"}}
        stated = {n: getattr(self.dialect, n) for n in self.dialect.model_fields_set}
        inherited = {name: getattr(dataset, name) for name in Reading.model_fields}
        dialect = dataset.dialect.model_copy(update=stated)
        return Reading(**{**inherited, **own, "dialect": dialect})


_WrittenPath = str | FilePath
Days = Annotated[int | None, Field(ge=0, le=100_000)]


def _as_paths(value: Any) -> Any:
    values = value if isinstance(value, list | tuple) else [value]
    return tuple({"glob": part} if isinstance(part, str) else part for part in values)


class FileDataset(Contract, Reading):
    """A dataset landed from files: a contract, and where its files are."""

    path: Annotated[
        tuple[FilePath, ...],
        BeforeValidator(_as_paths, json_schema_input_type=_WrittenPath | list[_WrittenPath]),
    ] = Field(min_length=1)
    """A path or glob, or a list of them; relative to the project's folder. `{name}` in it makes a
    column. A mapping with `glob` states how those files are read."""
    origin: Origin = Origin.RECORD
    """What each landed row carries of where it came from: `record` or `file`."""
    write: Write = Write.APPEND
    """What landing does to the rows that are there: append, upsert, replace or history."""
    raw_retention_days: Days = None
    """For how many days the lake keeps a copy of each file as it was received, to land it again
    once the file itself is gone. Default: that of the source, else none; 0: none."""

    def reading(self, number: int) -> Reading:
        """How the files of the path of that number are read."""
        return self.path[number].over(self)

    def reading_meaning(self) -> str:
        """What the reading does to rows, as canonical text, for fingerprints.

        The keys of the first version stand as it wrote them, all others only where they say
        something. A path says nothing, unless it makes columns or states how its files are read.
        """
        d = self.dialect
        first = f"Dialect({', '.join(f'{n}={getattr(d, n)!r}' for n in _FIRST_KEYS)})"
        words = f"({self.format!r}, {first}, {self.origin!r})"
        more = {
            **_said(self, {"encoding", "records", "sheet", "range", "member"}),
            **_said(self.dialect, {"skip", "comment", "nullstr"}),
        }
        said_of_paths = set(FilePath.model_fields) - {"max_unpack_ratio"}
        paths = [_said(path, said_of_paths) for path in self.path]
        if any(len(path) > 1 or _PATH_COLUMN.search(path["glob"]) for path in paths):
            more["path"] = paths
        return f"{words} {json.dumps(more, sort_keys=True)}" if more else words

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
    yield from _unsound_across(dataset)
    taken = [name for name in VALIDITY if name in folded]
    if write is Write.HISTORY and taken:
        yield (
            ("columns", taken[0]),
            f"a history has a column {taken[0]!r} of its own",
            f"give this one another name: {{from: {taken[0]}}}",
        )


def _unsound_across(dataset: FileDataset) -> Iterator[tuple[tuple[str, ...], str, str]]:
    """What of its rules across rows cannot work: (which key, why, what to do)."""
    write = dataset.write
    gives_way = dataset.duplicates in (OnDuplicate.KEEP_LAST, OnDuplicate.LATEST)
    gives_way = gives_way or bool(dataset.survivors)
    for name, column in dataset.columns.items():
        if column.unique and (gives_way or write in (Write.UPSERT, Write.HISTORY)):
            yield (
                ("columns", name, "unique"),
                "`unique` cannot be had where rows take each other's place: a value may move from "
                "one key to another",
                "put it on a model that reads this dataset",
            )
    for name in dataset.survivors:
        if write is not Write.REPLACE:
            yield (
                ("columns", name, "survivorship"),
                f"`survivorship` cannot be had with `write: {write}`: what rows said that landed "
                "before and gave way is not there any more",
                "land all rows, and combine them in a model; or `write: replace`",
            )
    waits = [
        rule.columns[0]
        for rule in references(dataset, Remedy.QUARANTINE)
        if rule.remedy is Remedy.QUARANTINE
    ]
    if waits and write is Write.HISTORY and not dataset.latest_by:
        yield (
            ("columns", waits[0], "references"),
            "a history that goes by when rows landed has no place for rows that wait for what "
            "they refer to",
            "state `on_duplicate: latest by COLUMN`, or {to: …, otherwise: warn}",
        )
    if waits and dataset.survivors:
        yield (
            ("columns", waits[0], "references"),
            "where several rows become one there is no place for rows that wait for what they "
            "refer to",
            "{to: …, otherwise: warn}; or combine the rows in a model",
        )


_FIRST_KEYS = ("delimiter", "quote", "escape", "header")


def _said(part: Definition, keys: set[str]) -> dict[str, Any]:
    return part.model_dump(mode="json", include=keys, exclude_defaults=True)


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
    raw_retention_days: Days = None
    """What it is for those of its datasets that do not state it."""
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


def _as_store(value: Any) -> Any:
    return Store.NONE.value if value is None else value


class Store(StrEnum):
    """Whether a model's rows are stored."""

    TABLE = "table"
    """They are computed by a run and kept as a built table."""
    NONE = "none"
    """They are computed where they are read; the lake holds a view."""


_NEED_NO_ROWS = frozenset(["description", "owner", "tags", "columns", "store"])
_COLUMN_NEEDS_NO_ROWS = frozenset(["description", "tags", "type"])


class ModelContract(Contract):
    """A model's leading comment, or the keywords of its decorator: a contract, and these."""

    store: Annotated[Store, BeforeValidator(_as_store)] = Store.TABLE
    """Whether its rows are stored: `table` or `none` (SQL models only)."""
    memory_limit: MemoryLimit = None
    """How much memory its build may take, as `2GB`. Default: that of headwater.yaml."""
    threads: int | None = Field(default=None, ge=1)
    """How many threads its build may use. Default: that of headwater.yaml."""
    timeout_s: float | None = Field(default=None, gt=0)
    """How long its build may take, in seconds; then it is interrupted and fails. Default: that of
    headwater.yaml."""

    @model_validator(mode="after")
    def _needs_no_rows(self) -> Self:
        if self.store is Store.TABLE:
            return self
        needy: list[KeyPath] = [(name,) for name in sorted(self.model_fields_set - _NEED_NO_ROWS)]
        for name, column in self.columns.items():
            said = sorted(column.model_fields_set - _COLUMN_NEEDS_NO_ROWS)
            needy += [("columns", name, key) for key in said]
        for path in needy[:1]:
            raise PydanticCustomError(
                "store",
                "{key} is about rows that are built, and with `store: none` none are",
                {
                    "key": f"`{path[-1]}`",
                    "path": path,
                    "hint": "put it on a model that reads this one, or store this one",
                },
            )
        return self


@dataclass(frozen=True)
class Value:
    """What one variable stands for.

    text    the value as a text.
    given   whether it was given for this command.
    environment
            the environment that has it in place of the default; "": it is the default.
    """

    name: str
    type: Type
    text: str
    given: bool = False
    environment: str = ""

    @property
    def sql(self) -> str:
        """A literal of its type."""
        return f"CAST({literal(self.text)} AS {self.type.sql})"


class FunctionNote(Definition):
    """The leading comment of `functions/NAME.sql`."""

    description: str = ""
    """What the function gives; for people."""


@dataclass(frozen=True, kw_only=True)
class Function:
    """A function of the project: SQL that has a name, in a file of its own.

    calls   the functions of the project that it calls itself.
    """

    file: str
    note: FunctionNote
    text: FunctionText
    calls: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return self.text.name

    @property
    def inputs(self) -> tuple[DatasetName, ...]:
        """The datasets that it reads itself."""
        return tuple(DatasetName(ref.schema, ref.name) for ref in self.text.body.tables)


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """One dataset of a project: a source's or a model's.

    file, line   where it is defined.
    contract     its contract.
    places       where in the file each part of the contract stands.
    functions    every function that it uses, also through others; callees first.
    contract_variables
                 the variables whose values stand in its contract.
    """

    name: DatasetName
    file: str
    line: int
    contract: Contract
    places: Places = field(default=Places(), repr=False, compare=False)
    functions: tuple[Function, ...] = ()
    contract_variables: frozenset[str] = frozenset()

    @property
    def variables(self) -> frozenset[str]:
        """The variables whose values are part of what it means."""
        of_functions = (function.text.body.variables for function in self.functions)
        return self.contract_variables.union(*of_functions)

    @property
    def tags(self) -> tuple[str, ...]:
        return self.contract.tags

    @cached_property
    def contract_meaning(self) -> str:
        """See `Contract.meaning`; several hashes go by it."""
        return self.contract.meaning()

    @property
    def inputs(self) -> tuple[DatasetName, ...]:
        """The datasets that it needs: those that its columns refer to."""
        return tuple(dict.fromkeys(r.dataset for r in self.contract.references.values()))

    def place_of(self, path: KeyPath) -> Place:
        """Where a part of the contract stands: of `("columns", "fare", "min")`, say. The column
        may be spelled as the query spells it, in another case than the contract."""
        if path[:1] == ("columns",) and len(path) > 1:
            spelled = {name.lower(): name for name in self.contract.columns}
            column = str(path[1])
            path = ("columns", spelled.get(column.lower(), column), *path[2:])
        return self.places.of(path)


ORIGIN_COLUMNS: dict[str, Type] = {"_file_id": Type("BIGINT"), "_record": Type("BIGINT")}
"""What a landed row carries of where it came from."""


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
    def validity(self) -> dict[str, Type]:
        """The columns that a history adds, with their types; none for others."""
        if self.definition.write is not Write.HISTORY:
            return {}
        by = self.definition.latest_by.lower()
        kinds = {name.lower(): column.type for name, column in self.contract.columns.items()}
        return dict.fromkeys(VALIDITY, kinds.get(by, Type("TIMESTAMP")))

    @property
    def fingerprint(self) -> str:
        """What changes landed rows: contract, reading, origin and write mode. Not the path: files
        that are added later belong to the same table."""
        d = self.definition
        words = ["files", self.contract_meaning, d.reading_meaning()]
        if d.write is not Write.APPEND:
            words.append(d.write.value)
        return digest(*words)


def input_columns(dataset: Dataset, schema: Iterable[str], words: frozenset[str]) -> list[str]:
    """The columns of an input that a query sees: those of its schema, and the columns of
    origin where the query names them (so `*` does not carry them along)."""
    names = list(schema)
    extra = [name for name in ORIGIN_COLUMNS if name in words and name not in names]
    return [*names, *(extra if isinstance(dataset, SourceDataset) else [])]


def input_schemas(
    dataset: Dataset,
    datasets: Mapping[DatasetName, Dataset],
    schemas: Mapping[DatasetName, Mapping[str, Type]],
) -> dict[DatasetName, dict[str, Type]]:
    """The columns that a dataset sees of what it reads, where they are known."""
    words = dataset.words if isinstance(dataset, SqlModel) else frozenset()
    return {
        given: {
            name: schemas[given].get(name) or ORIGIN_COLUMNS[name]
            for name in input_columns(datasets[given], schemas[given], words)
        }
        for given in dataset.inputs
        if given in schemas
    }


@dataclass(frozen=True, kw_only=True)
class SqlModel(Dataset):
    """A dataset that one SELECT computes."""

    query: Query

    @property
    def variables(self) -> frozenset[str]:
        return self.query.variables | super().variables

    @property
    def store(self) -> Store:
        return self.contract.store if isinstance(self.contract, ModelContract) else Store.TABLE

    @property
    def inputs(self) -> tuple[DatasetName, ...]:
        own = [DatasetName(ref.schema, ref.name) for ref in self.query.tables]
        return tuple(dict.fromkeys([*own, *_read_by(self.functions), *super().inputs]))

    @property
    def words(self) -> frozenset[str]:
        """Every column name that the query and its functions spell out."""
        return self.query.words.union(*(f.text.body.words for f in self.functions))

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
    written   the same as they are written.
    """

    path: Path
    function: str
    parameters: tuple[PythonInput, ...]
    meaning: str
    written: str
    definition_text: str

    @property
    def inputs(self) -> tuple[DatasetName, ...]:
        own = [p.dataset for p in self.parameters]
        return tuple(dict.fromkeys([*own, *_read_by(self.functions), *super().inputs]))


def _read_by(functions: Iterable[Function]) -> list[DatasetName]:
    return [given for function in functions for given in function.inputs]


Model = SqlModel | PythonModel


def is_view(dataset: Dataset) -> bool:
    """Whether a dataset is a model that is not stored."""
    return isinstance(dataset, SqlModel) and dataset.store is Store.NONE


def is_fickle(dataset: Dataset) -> bool:
    """Whether a dataset may have other rows over the same inputs: its query asks the time or
    chance. (A function in Python is taken not to.)"""
    return isinstance(dataset, SqlModel) and (
        dataset.query.is_fickle or any(f.text.body.is_fickle for f in dataset.functions)
    )


@dataclass(frozen=True, kw_only=True)
class SqlCheck:
    """A check that one SELECT makes: it returns the rows that break it.

    name         the file's, without its ending.
    file, line   where it is defined.
    functions    every function that it uses, also through others; callees first.
    """

    name: str
    file: str
    line: int = 1
    header: CheckHeader
    query: Query
    functions: tuple[Function, ...] = ()

    @property
    def inputs(self) -> tuple[DatasetName, ...]:
        own = [DatasetName(ref.schema, ref.name) for ref in self.query.tables]
        return tuple(dict.fromkeys([*own, *_read_by(self.functions)]))

    @property
    def words(self) -> frozenset[str]:
        """Every column name that the query and its functions spell out."""
        return self.query.words.union(*(f.text.body.words for f in self.functions))


@dataclass(frozen=True)
class Project:
    """A project's folder, read.

    datasets   by name, in the order of their files.
    checks     those of `checks/`, by name.
    texts      file -> its text.
    unread     datasets (`schema.name`, or `schema.` for all of one) whose definitions have
               mistakes of their own: what reads them cannot be judged.
    functions  by name, callees first.
    unread_functions
               functions with mistakes of their own: what calls them cannot be judged.
    variables  the values that they have in this opening of the project, by name.
    environment
               that which it was opened for.
    places     where in headwater.yaml each setting stands.
    """

    folder: Path
    settings: Settings
    datasets: Mapping[DatasetName, Dataset]
    texts: Mapping[str, str] = field(default_factory=dict, repr=False)
    unread: frozenset[str] = frozenset()
    checks: Mapping[str, SqlCheck] = field(default_factory=dict)
    functions: Mapping[str, Function] = field(default_factory=dict)
    unread_functions: frozenset[str] = frozenset()
    variables: Mapping[str, Value] = field(default_factory=dict)
    environment: str = PROD
    places: Places = field(default=Places(), repr=False)

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
