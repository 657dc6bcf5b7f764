"""Unit tests of models: `tests/**/*.yaml`, read.

What a file says, and where. Whether its models, columns and values are there is looked at in
`engine/unit_tests.py`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

from headwater.contract.cells import Written
from headwater.contract.definition import Definition, Scalar, Words
from headwater.errors import Mistake
from headwater.places import TOP, KeyPath, Place, Places
from headwater.project.csv_rows import CsvFault, read_csv
from headwater.project.document import Document, read_document
from headwater.project.mistakes import mistake_in

FOLDER = "tests"


def _one_line(value: Any) -> Any:
    if isinstance(value, str) and ("\n" in value or not value.strip()):
        raise PydanticCustomError("name", "a name is one line, with something in it")
    return value


def _as_moment(value: Any) -> Any:
    """A moment in UTC, without a zone."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            value = None
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day)
    if not isinstance(value, datetime):
        raise PydanticCustomError(
            "now", "a date and a time are meant", {"hint": "now: 2026-01-05 12:00:00"}
        )
    return value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value


def _as_rows(value: Any) -> Any:
    if value is None:
        return None
    if not isinstance(value, list) or not all(isinstance(row, dict) for row in value):
        raise PydanticCustomError(
            "rows", "rows are a list of mappings", {"hint": "- {day: 2026-01-01, revenue: 6}"}
        )
    return value


def _as_list(value: Any) -> Any:
    return [] if value is None else value


def _as_given(value: Any) -> Any:
    return value if isinstance(value, str) else _as_rows(_as_list(value))


Moment = Annotated[datetime | None, BeforeValidator(_as_moment)]
Rows = Annotated[list[dict[str, Any]] | None, BeforeValidator(_as_rows)]
Given = Annotated[str | list[dict[str, Any]], BeforeValidator(_as_given)]


class UnitTestDefinition(Definition):
    """One unit test: what a model gives for these rows of its inputs."""

    name: Annotated[str, BeforeValidator(_one_line)]
    """What is tested, in one line; each test of a model has a name of its own."""
    model: str
    """The model, as `schema.name`."""
    description: str = ""
    """Why; for people."""
    now: Moment = None
    """What time it is to the model, UTC. Without it a model that asks the time is refused."""
    variables: dict[str, Scalar] = Field(default_factory=dict)
    """Variable -> its value in this test. Default: that of headwater.yaml."""
    given: dict[str, Given] = Field(default_factory=dict)
    """Input -> its rows, each a mapping of column to value; or the path of a CSV file. An input
    that is not given is empty, a column that is not given is NULL."""
    expect: Rows = None
    """The rows that the model gives. Only the columns that any of them names are compared."""
    ordered: bool = False
    """Whether the rows must come in this order."""
    expect_broken: Words | None = None
    """The rules of the model's contract that rows break: `revenue.min`, `rule.NAME`,
    `key.duplicate`; these and no others. Default: no rule that says `fail`."""


class UnitTestsFile(Definition):
    """`tests/**/*.yaml`."""

    tests: Annotated[list[UnitTestDefinition], BeforeValidator(_as_list)]
    """The unit tests."""


@dataclass(frozen=True, kw_only=True)
class GivenRows:
    """The rows of one input.

    file    the file that they stand in: that of the test, or a CSV.
    places  of each row that of each of its columns; what is not there stands at `place`.
    header  the columns that are named once for all rows.
    """

    file: str
    place: Place
    rows: Sequence[Mapping[str, Any]]
    places: Sequence[Mapping[str, Place]]
    header: Mapping[str, Place] = field(default_factory=dict)

    @property
    def columns(self) -> dict[str, Place]:
        """Every column that is named, with the place where it is first."""
        found = dict(self.header)
        for row in self.places:
            for column, place in row.items():
                found.setdefault(column, place)
        return found

    def place_of(self, row: int, column: str) -> Place:
        return self.places[row].get(column, self.place)


@dataclass(frozen=True, kw_only=True)
class UnitTest:
    """One unit test, and where it stands.

    path    where in its file: `("tests", 2)`.
    given   the inputs as they are named, each with its rows.
    expect  None: it says nothing of rows.
    """

    file: str
    path: KeyPath
    definition: UnitTestDefinition
    places: Places = field(repr=False, compare=False)
    given: Mapping[str, GivenRows] = field(default_factory=dict)
    expect: GivenRows | None = None

    @property
    def name(self) -> str:
        return self.definition.name

    @property
    def line(self) -> int:
        return self.places.of().line

    @property
    def title(self) -> str:
        """The test's name with its model's: together there is only one."""
        return f"{self.definition.model}: {self.name}"


@dataclass(frozen=True)
class UnitTests:
    """All unit tests of a project. `texts`: file -> its text."""

    tests: tuple[UnitTest, ...] = ()
    mistakes: tuple[Mistake, ...] = ()
    texts: Mapping[str, str] = field(default_factory=dict, repr=False)

    def mistake(self, file: str, place: Place, message: str, hint: str = "") -> Mistake:
        """A mistake in one of the files, with the line that it stands on."""
        return mistake_in(self.texts.get(file, ""), file, place, message, hint)


def read_tests(folder: Path) -> UnitTests:
    """The unit tests of the project in `folder`, and what is wrong with their files.

    A YAML file that has nothing to do with unit tests is left alone, as all other files are.
    """
    reader = _Reader(folder.resolve())
    found = sorted((reader.folder / FOLDER).glob("**/*.y*ml"))
    for path in found:
        if path.suffix in (".yaml", ".yml"):
            reader.file(path)
    return UnitTests(tuple(reader.tests), tuple(reader.mistakes), reader.texts)


_OURS = re.compile(r"^(unit_)?tests?[ \t]*:", re.MULTILINE | re.IGNORECASE)
"""A key that says, or is meant to say, that a YAML file holds unit tests."""


@dataclass
class _Reader:
    folder: Path
    tests: list[UnitTest] = field(default_factory=list)
    mistakes: list[Mistake] = field(default_factory=list)
    texts: dict[str, str] = field(default_factory=dict)
    seen: dict[tuple[str, str], UnitTest] = field(default_factory=dict)

    def file(self, path: Path) -> None:
        file = path.relative_to(self.folder).as_posix()
        try:
            text = path.read_text(encoding="utf-8-sig")
        except (UnicodeDecodeError, OSError):
            return  # whatever it is, it is no YAML
        if not _OURS.search(text):
            if _is_list_of_tests(text):
                document = Document(file, text)
                document.note(TOP, "the tests stand alone here", "put them under a key `tests:`")
                self.mistakes += document.mistakes
            return
        self.texts[file] = text
        document = read_document(text, file, None, as_written=_is_cell)
        read = document.validate(UnitTestsFile) if not document.mistakes else None
        for number, definition in enumerate(read.tests if read else ()):
            self.test(document, ("tests", number), definition)
        self.mistakes += document.mistakes

    def test(self, document: Document, path: KeyPath, definition: UnitTestDefinition) -> None:
        test = UnitTest(
            file=document.file,
            path=path,
            definition=definition,
            places=document.places.within(path),
            given={
                name: rows
                for name, given in definition.given.items()
                if (rows := self.given(document, (*path, "given", name), given))
            },
            expect=None
            if definition.expect is None
            else _rows(document, (*path, "expect"), definition.expect),
        )
        other = self.seen.get((definition.model.lower(), definition.name))
        if other:
            message = f"the test {definition.name!r} of {definition.model} is there twice: here "
            message += f"and at {other.file}:{other.line}"
            document.mistake((*path, "name"), message, "give one of them another name")
            return
        self.seen[definition.model.lower(), definition.name] = test
        self.tests.append(test)

    def given(self, document: Document, path: KeyPath, given: Any) -> GivenRows | None:
        """The rows of an input; None, with a mistake noted, if its file cannot be read."""
        if not isinstance(given, str):
            return _rows(document, path, given)
        where = (self.folder / given).resolve()
        if not where.is_relative_to(self.folder):
            document.mistake(path, "the path leads out of the project")
            return None
        if where.suffix.lower() != ".csv":
            hint = "- {column: value} on lines of their own, or the path of a CSV file"
            document.mistake(path, "rows are meant, or a CSV file", hint)
            return None
        file = where.relative_to(self.folder).as_posix()
        try:
            text = where.read_bytes().decode("utf-8-sig")
        except (UnicodeDecodeError, OSError):
            there = "is not UTF-8 text" if where.is_file() else "is not there"
            hint = "paths start at the project's folder"
            document.mistake(path, f"the file {file} {there}", hint)
            return None
        self.texts[file] = text
        try:
            read = read_csv(text)
        except CsvFault as fault:
            self.mistakes.append(mistake_in(text, file, fault.place, fault.message, fault.hint))
            return None
        return GivenRows(
            file=file, place=TOP, rows=read.rows, places=read.places, header=read.header
        )


def _rows(document: Document, path: KeyPath, rows: Sequence[Mapping[str, Any]]) -> GivenRows:
    places = document.places
    return GivenRows(
        file=document.file,
        place=places.of(path),
        rows=rows,
        places=[
            {column: places.of((*path, number, column)) for column in row}
            for number, row in enumerate(rows)
        ],
    )


def _is_cell(path: KeyPath) -> bool:
    """Whether the value at a path of a file belongs to a row: it stays as it is written."""
    kind = path[2] if len(path) > 2 else ""
    return (kind == "given" and len(path) > 5) or (kind == "expect" and len(path) > 4)


def _is_list_of_tests(text: str) -> bool:
    return bool(
        re.search(r"^- +(name|model): ", text, re.MULTILINE)
        and re.search(r"^ +(given|expect):", text, re.MULTILINE)
    )


__all__ = ["FOLDER", "GivenRows", "UnitTest", "UnitTests", "UnitTestsFile", "Written", "read_tests"]
