"""From a folder to a `Project`: every file is read, and every mistake is noted before any is
raised."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from headwater.contract.checks import CheckHeader
from headwater.contract.contract import Contract
from headwater.errors import Mistake, ProjectMistakes, suggestion
from headwater.folder import SETTINGS_FILE
from headwater.index.entries import Entries
from headwater.names import PROD, DatasetName, fault, word_fault
from headwater.places import TOP, KeyPath, Place, Places, place_at
from headwater.project.definitions import (
    Dataset,
    FileDataset,
    FilesSource,
    Function,
    FunctionNote,
    Model,
    ModelContract,
    Project,
    PythonInput,
    PythonModel,
    Settings,
    SourceDataset,
    SqlCheck,
    SqlModel,
    Store,
    Value,
)
from headwater.project.document import Document, read_document
from headwater.project.functions import Functions, check_with_functions, with_functions
from headwater.project.mistakes import mistake_in
from headwater.project.python_models import FoundModel, find_models, modules_of
from headwater.project.variables import literals, unknown, unused, values_of, without_value
from headwater.sql.functions import called, read_function
from headwater.sql.query import Query, SqlError, front_place, read_query, split_front
from headwater.sql.variables import fill, variables_in

C = TypeVar("C", bound=Contract)


def read_settings(folder: Path, environment: Mapping[str, str] | None = None) -> Settings:
    """The settings of the project in `folder`, and nothing else of it."""
    reader = _Reader(folder.resolve(), os.environ if environment is None else environment)
    settings = reader.settings()
    if reader.mistakes:
        raise ProjectMistakes(reader.mistakes)
    return settings


def read_functions(
    folder: Path,
    environment: Mapping[str, str] | None = None,
    variables: Mapping[str, Any] | None = None,
    environment_name: str = PROD,
) -> tuple[dict[str, Function], set[str], list[Mistake]]:
    """The functions of the project in `folder`, callees first, and nothing else of it; also the
    names of those that cannot be read, and why."""
    reader = _reader(folder, environment, variables, environment_name)
    reader.settings()
    return reader.functions(), reader.unread_functions, reader.mistakes


def read_project(folder: Path, environment: Mapping[str, str] | None = None) -> Project:
    """Read the project in `folder`. Raises ProjectMistakes with all of them at once.

    What the files say of each other (unknown tables, cycles) is `analysis`' business.
    """
    project, mistakes = read_leniently(folder, environment)
    if mistakes:
        raise ProjectMistakes(mistakes)
    return project


def read_leniently(
    folder: Path,
    environment: Mapping[str, str] | None = None,
    variables: Mapping[str, Any] | None = None,
    entries: Entries | None = None,
    environment_name: str = PROD,
) -> tuple[Project, list[Mistake]]:
    """The project with those of its datasets that can be read, and all mistakes. Settings with
    a mistake are left at their defaults.

    variables   values given in place of those of headwater.yaml.
    entries     what is known of definitions that were read before.
    environment_name
                the environment, as `dev`, whose values the variables have otherwise.
    """
    reader = _reader(folder, environment, variables, environment_name)
    reader.entries = entries
    return reader.read()


def read_model_again(
    project: Project, model: Model, variables: Mapping[str, Any]
) -> tuple[Model | None, frozenset[str]]:
    """A model of a project that is read, with other values of variables: only its file, and those
    of the functions. Also which variables it uses, through its functions too. None: with these
    values it cannot be read."""
    reader = _reader(project.folder, None, variables, project.environment)
    reader.settings()
    functions = reader.functions()
    reader.used = set()
    path = reader.folder / model.file
    if isinstance(model, PythonModel):
        reader.python_models(path)
    else:
        reader.sql_model(path)
    found = reader.datasets.get(model.name)
    if reader.mistakes or not isinstance(found, SqlModel | PythonModel):
        return None, frozenset()
    found = with_functions(found, functions) if functions else found
    used = reader.used.union(*(f.text.body.variables for f in found.functions))
    return found, frozenset(used)


def _reader(
    folder: Path,
    environment: Mapping[str, str] | None,
    variables: Mapping[str, Any] | None,
    environment_name: str,
) -> _Reader:
    environment = os.environ if environment is None else environment
    return _Reader(folder.resolve(), environment, variables or {}, environment_name)


@dataclass
class _Reader:
    folder: Path
    environment: Mapping[str, str]
    given: Mapping[str, Any] = field(default_factory=dict)
    environment_name: str = PROD
    mistakes: list[Mistake] = field(default_factory=list)
    datasets: dict[DatasetName, Dataset] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    unread: set[str] = field(default_factory=set)
    checks: dict[str, SqlCheck] = field(default_factory=dict)
    unread_functions: set[str] = field(default_factory=set)
    values: dict[str, Value] = field(default_factory=dict)
    literals: dict[str, str] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)
    places: Places = field(default_factory=Places)
    entries: Entries | None = None

    def read(self) -> tuple[Project, list[Mistake]]:
        settings = self.settings()
        text = self.texts.get(SETTINGS_FILE, "")
        self.mistakes += unknown(settings, self.given)
        self.mistakes += without_value(settings, self.values, text, self.places)
        functions = self.functions()
        for path in sorted((self.folder / "sources").glob("**/*.y*ml")):
            self.source(path)
        for path in sorted((self.folder / "models").glob("**/*")):
            if path.suffix == ".sql":
                self.sql_model(path)
            elif path.suffix == ".py" and not path.name.startswith("_"):
                self.python_models(path)
        for path in sorted((self.folder / "checks").glob("**/*.sql")):
            self.sql_check(path)
        if functions:
            for name, dataset in self.datasets.items():
                self.datasets[name] = with_functions(dataset, functions)
            for word, check in self.checks.items():
                self.checks[word] = check_with_functions(check, functions)
        self.refuse_empty_checks()
        project = Project(
            self.folder,
            settings,
            self.datasets,
            self.texts,
            frozenset(self.unread),
            self.checks,
            functions,
            frozenset(self.unread_functions),
            self.values,
            self.environment_name,
            self.places,
        )
        if not self.mistakes:
            idle = [name for name in self.given if name not in self.used]
            self.mistakes += [unused(name, "the project") for name in idle]
        return project, self.mistakes

    def settings(self) -> Settings:
        document = self.document(self.folder / SETTINGS_FILE)
        settings = document.validate(Settings) if document and not document.mistakes else None
        self.take(document)
        settings = settings or Settings(name=self.folder.name or "project")
        self.places = document.places if document else Places()
        self.values = values_of(settings, self.given, self.environment_name)
        self.literals = literals(self.values)
        return settings

    # ---- files

    def text(self, path: Path) -> str | None:
        file = path.relative_to(self.folder).as_posix()
        try:
            self.texts[file] = path.read_text(encoding="utf-8-sig")
        except UnicodeDecodeError:
            self.mistakes.append(Mistake(file=file, message="the file is not UTF-8 text"))
            return None
        except OSError as error:
            self.mistakes.append(
                Mistake(file=file, message=f"the file cannot be read: {error.strerror}")
            )
            return None
        return self.texts[file]

    def document(self, path: Path) -> Document | None:
        text = self.text(path)
        if text is None:
            return None
        return read_document(text, path.relative_to(self.folder).as_posix(), self.environment)

    def take(self, document: Document | None) -> None:
        if document:
            self.mistakes += document.mistakes

    def add(self, dataset: Dataset, place: Place) -> None:
        reason = fault(dataset.name)
        other = self.datasets.get(dataset.name)
        if reason:
            self.mistake_at(dataset.file, place, f"{dataset.name}: {reason}")
        elif other:
            self.mistake_at(
                dataset.file,
                place,
                f"{dataset.name} is made twice: here and at {other.file}:{other.line}",
                "rename or remove one of them",
            )
        else:
            self.datasets[dataset.name] = dataset
            self.unread.discard(str(dataset.name))

    def mistake_at(self, file: str, place: Place, message: str, hint: str = "") -> None:
        self.mistakes.append(mistake_in(self.texts.get(file, ""), file, place, message, hint))

    # ---- functions

    def functions(self) -> dict[str, Function]:
        """The functions of the project, callees first."""
        functions = Functions(self.texts)
        for path in sorted((self.folder / "functions").glob("**/*.sql")):
            self.function(path, functions)
        found = functions.finish()
        self.mistakes += functions.mistakes
        self.unread_functions |= functions.unread
        return found

    def function(self, path: Path, functions: Functions) -> None:
        text = self.text(path)
        if text is None:
            return
        file = path.relative_to(self.folder).as_posix()
        document, body = self.front(text, file)
        note = document.validate(FunctionNote) if not document.mistakes else None
        self.take(document)
        try:
            function = read_function(body, self.literals)
            self.used |= function.body.variables
            functions.add(path.stem, file, note, function)
        except SqlError as error:
            functions.unread.add(path.stem.lower())
            self.sql_mistake(file, error, body, document.start.line)

    # ---- sources

    def source(self, path: Path) -> None:
        document = self.document(path)
        if document is None:
            return
        if not document.mistakes and not isinstance(document.value, dict):
            document.note(TOP, "a source is a mapping", "start with `connector: files`")
        source = document.validate(FilesSource) if not document.mistakes else None
        if source is None:
            self.unread.add(f"{path.stem}.")
        for name, definition in source.datasets.items() if source else ():
            places = document.places.within(("datasets", name))
            variables = _variables_in(definition)
            definition = self.filled(document, definition, ("datasets", name))
            definition = _with_defaults(definition, source) if source else definition
            self.add(
                SourceDataset(
                    name=DatasetName(path.stem, name),
                    file=document.file,
                    line=places.of().line,
                    contract=definition,
                    places=places,
                    source=path.stem,
                    definition=definition,
                    contract_variables=variables,
                    source_tags=source.tags if source else (),
                ),
                places.of(),
            )
            _check_key(document, definition, ("datasets", name))
        self.take(document)

    # ---- models

    def sql_model(self, path: Path) -> None:
        self.model_is_unread(path)
        text = self.text(path)
        if text is None:
            return
        file = path.relative_to(self.folder).as_posix()
        name = self.model_name(path, file)
        document, body = self.front(text, file)
        contract = document.validate(ModelContract) if not document.mistakes else None
        variables = _variables_in(contract)
        if contract:
            contract = self.filled(document, contract)
        self.take(document)
        query = self.query(document, body, "model")
        if query is None:
            return
        if contract and name:
            model = SqlModel(
                name=name,
                file=file,
                line=1,
                contract=contract,
                places=document.places,
                contract_variables=variables,
                query=query,
            )
            self.add(model, TOP)

    def front(self, text: str, file: str) -> tuple[Document, str]:
        """The leading comment of an SQL file, and the SQL. A comment that is no mapping is a
        description."""
        front, first_line, body = split_front(text)
        document = read_document(
            front,
            file,
            self.environment,
            first_line,
            first_column=front_place(text).column,
            source=text,
        )
        if not document.mistakes and not isinstance(document.value, dict):
            document.value = {"description": " ".join(str(document.value).split())}
        return document, body

    def query(self, document: Document, body: str, kind: str) -> Query | None:
        """The query of an SQL file; None, with a mistake noted, if it has none."""
        try:
            query = read_query(body, self.literals, kind, self.entries)
        except SqlError as error:
            self.sql_mistake(document.file, error, body, document.start.line)
            return None
        self.used |= query.variables
        return query

    def filled(self, document: Document, contract: C, path: KeyPath = ()) -> C:
        """A contract with the values of variables in its expressions."""

        def fill_one(where: KeyPath, expression: str) -> str:
            try:
                filled = fill(expression, self.literals)
            except SqlError as error:
                document.mistake((*path, *where), error.message, error.hint)
                return "TRUE"  # so that nothing else is found wrong with it
            self.used |= variables_in(expression)
            return filled

        return contract.with_expressions(fill_one)

    def sql_mistake(self, file: str, error: SqlError, body: str, first_line: int) -> None:
        place = error.place or Place(min(body.count("\n") + 1, first_line), 1)
        self.mistake_at(file, place, error.message, error.hint)

    def model_is_unread(self, path: Path) -> None:
        """Until a model is added, it is one that could not be read."""
        self.unread.add(f"{path.relative_to(self.folder / 'models').parts[0]}.{path.stem}")

    def python_models(self, path: Path) -> None:
        text = self.text(path)
        if text is None:
            return
        file = path.relative_to(self.folder).as_posix()
        found, faults = find_models(text)
        for problem in faults:
            self.mistake_at(file, problem.place, problem.message, problem.hint)
        if found or faults:
            self.model_is_unread(path)
        name = self.model_name(path, file) if found else None
        if len(found) > 1:
            self.mistake_at(
                file,
                Place(found[1].line, 1),
                "two models in one file",
                "a dataset has a file of its own",
            )
        elif found and name and not faults:
            self.python_model(path, file, name, found[0], text)

    def python_model(
        self, path: Path, file: str, name: DatasetName, found: FoundModel, text: str
    ) -> None:
        options = {"description": found.description, **found.options}
        top = Place(found.line, 1)
        document = Document(file, text, value=options, found={(): top, **found.places})
        contract = document.validate(ModelContract)
        if contract and contract.store is Store.NONE:
            document.mistake(
                ("store",),
                "a Python model is always stored: `store: none` is for SQL",
                "leave it out",
            )
        if contract:
            contract = self.filled(document, contract)
        self.take(document)
        if contract is None:
            return
        modules = modules_of(path, self.folder)
        self.add(
            PythonModel(
                name=name,
                file=file,
                line=found.line,
                contract=contract,
                places=document.places,
                path=path,
                function=found.function,
                parameters=tuple(
                    PythonInput(
                        parameter=i.parameter,
                        dataset=i.dataset,
                        kind=i.kind,
                        place=i.place,
                    )
                    for i in found.inputs
                ),
                meaning=modules.meaning,
                written=modules.written,
                definition_text=text,
            ),
            top,
        )

    # ---- checks

    def sql_check(self, path: Path) -> None:
        text = self.text(path)
        if text is None:
            return
        file = path.relative_to(self.folder).as_posix()
        document, body = self.front(text, file)
        header = document.validate(CheckHeader) if not document.mistakes else None
        self.take(document)
        query = self.query(document, body, "check")
        if not header or not query:
            return
        other = self.checks.get(path.stem)
        reason = word_fault(path.stem)
        if reason:
            self.mistake_at(file, TOP, reason, "rename the file")
        elif other:
            message = f"the check {path.stem!r} stands in two files: here and in {other.file}"
            self.mistake_at(file, TOP, message, "rename one of them")
        else:
            self.checks[path.stem] = SqlCheck(name=path.stem, file=file, header=header, query=query)

    def refuse_empty_checks(self) -> None:
        """Note the checks that read no dataset, not through functions either."""
        for name, check in list(self.checks.items()):
            calls_unread = self.unread_functions & called(check.query.text)
            if not check.inputs and not calls_unread:
                place = place_at(self.texts[check.file], check.query.start)
                message = "the check reads no dataset"
                self.mistake_at(check.file, place, message, "name one as schema.name")
                del self.checks[name]

    def model_name(self, path: Path, file: str) -> DatasetName | None:
        parts = path.relative_to(self.folder / "models").parts
        if len(parts) < 2:
            self.mistake_at(
                file,
                TOP,
                "a model stands in a folder, which is its schema",
                f"move it to models/staging/{path.name} or the like",
            )
            return None
        return DatasetName(parts[0], path.stem)


def _variables_in(contract: Contract | None) -> frozenset[str]:
    """The variables in a contract's expressions, but for those of checks: they change no row."""
    found: set[str] = set()
    for path, expression in contract.expressions() if contract else ():
        if path[:1] != ("checks",):
            with suppress(SqlError):  # noted as a mistake where it is filled
                found |= variables_in(expression)
    return frozenset(found)


def _with_defaults(definition: FileDataset, source: FilesSource) -> FileDataset:
    """A dataset with what its source states for all of them."""
    taken: dict[str, Any] = {}
    if source.owner and not definition.owner:
        taken["owner"] = source.owner
    if source.raw_retention_days is not None and definition.raw_retention_days is None:
        taken["raw_retention_days"] = source.raw_retention_days
    return definition.model_copy(update=taken) if taken else definition


def _check_key(document: Document, contract: Contract, where: KeyPath) -> None:
    """A source's key names columns of its contract. (A model's may name any column of its
    result, so it is looked at when it is bound.)"""
    known = {name.lower() for name in contract.columns}
    for key in contract.key if known else ():
        if key.lower() not in known:
            document.mistake(
                (*where, "key"), f"the contract has no column {key!r}", suggestion(key, known)
            )
