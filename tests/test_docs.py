"""The docs hold: what they show is run here, and the reference pages are what the code prints.

How a page is read (README.md, docs/tutorial.md and docs/how-to/*.md):

- A fence below `<!-- file: PATH -->` is written to PATH.
- In a `console` fence each line after `$ ` is a command, run by bash, in order, in a folder of
  the page's own. The lines below it are its output, compared whole unless there are none: `…`
  in a line stands for any text, a line `…` for any lines, and spaces are not counted.
- A command that does not end with 0 is followed by `$ echo $?`, so that readers see it too.
- A `python` fence without a path is run; a `text` fence right below it is what it prints.
- Other fences are only shown.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = [
    ROOT / "README.md",
    ROOT / "docs/tutorial.md",
    *sorted((ROOT / "docs/how-to").glob("*.md")),
]
_FENCE = re.compile(
    r"(?:<!-- file: (?P<file>\S+) -->\n)?^```(?P<kind>\w+)\n(?P<body>.*?)^```$", re.M | re.S
)


@dataclass(frozen=True)
class Fence:
    """One fence of a page: what to do with it, and the line it stands on."""

    kind: str
    file: str
    body: str
    line: int


def fences(page: Path) -> list[Fence]:
    text = page.read_text(encoding="utf-8")
    return [
        Fence(m["kind"], m["file"] or "", m["body"], text.count("\n", 0, m.start()) + 1)
        for m in _FENCE.finditer(text)
    ]


def commands(body: str) -> list[tuple[str, str]]:
    """The commands of a console fence, each with the output that is shown."""
    found: list[tuple[str, str]] = []
    for line in body.splitlines():
        if line.startswith("$ "):
            found.append((line[2:], ""))
        else:
            command, output = found[-1]
            found[-1] = (command, f"{output}{line}\n")
    return found


def agrees(shown: str, real: str) -> bool:
    """Whether an output is what the docs show of it."""
    lines = [" ".join(line.split()) for line in shown.splitlines() if line.strip()]
    parts = [
        r"(?:.*\n)*?" if line == "…" else re.escape(line).replace("…", ".*") + r"\n"
        for line in lines
    ]
    told = "".join(f"{' '.join(line.split())}\n" for line in real.splitlines() if line.strip())
    return re.fullmatch("".join(parts), told) is not None


class Shell:
    """Runs a page's commands one after the other; remembers the folder and the last exit code."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.code = folder, 0
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        self.environment = {**os.environ, "PATH": path, "PYTHONUTF8": "1", "COLUMNS": "200"}
        self.environment["EXAMPLES"] = str(ROOT / "examples")

    def run(self, command: str) -> str:
        script = f"(exit {self.code})\n{command}\ncode=$?; printf '\\0%s' \"$PWD\"; exit $code"
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=120,
            check=False,
        )
        output, _, folder = done.stdout.decode().rpartition("\0")
        self.folder, self.code = Path(folder or self.folder), done.returncode
        return output


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_what_the_docs_show_is_what_happens(page, tmp_path):
    shell = Shell(tmp_path)
    printed: str | None = None
    for fence in fences(page):
        place = f"{page.name}:{fence.line}"
        if fence.file:
            target = shell.folder / fence.file
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(fence.body, encoding="utf-8")
        elif fence.kind == "python":
            (tmp_path / "shown.py").write_text(fence.body, encoding="utf-8")
            printed = shell.run(f"python {tmp_path / 'shown.py'}")
            assert shell.code == 0, f"{place}\n{printed}"
            continue
        elif fence.kind == "text" and printed is not None:
            assert agrees(fence.body, printed), f"{place}\n{printed}"
        elif fence.kind == "console":
            run_console(shell, fence, place)
        printed = None


def run_console(shell: Shell, fence: Fence, place: str) -> None:
    steps = commands(fence.body)
    for number, (command, shown) in enumerate(steps):
        output = shell.run(command)
        told = number + 1 < len(steps) and steps[number + 1][0] == "echo $?"
        assert shell.code == 0 or told, f"{place}: {command}: exit {shell.code}\n{output}"
        assert not shown or agrees(shown, output), f"{place}: {command}\n{output}"


# ---- nothing is missing ----------------------------------------------------------------------


def reference():
    spec = importlib.util.spec_from_file_location("docs_reference", ROOT / "docs/reference.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


REFERENCE = reference()


def test_the_reference_pages_are_what_the_code_prints():
    there = {
        path.name: path.read_text(encoding="utf-8")
        for path in (ROOT / "docs/reference").glob("*.md")
    }
    assert there == REFERENCE.pages(), "run: python docs/reference.py"


@pytest.mark.parametrize("name", REFERENCE.commands())
def test_each_command_is_shown_in_the_docs_and_run_from_there(name):
    shown = [
        command
        for page in PAGES
        for fence in fences(page)
        if fence.kind == "console"
        for command, _ in commands(fence.body)
    ]
    assert any(f"headwater {name}" in command for command in shown)


@pytest.mark.parametrize(("name", "command"), REFERENCE.commands().items())
def test_the_example_of_each_help_is_right_use(name, command):
    words = shlex.split(command.epilog.removeprefix("Example:"))
    assert words[: 1 + len(name.split())] == ["headwater", *name.split()]
    command.make_context(name, words[1 + len(name.split()) :])  # raises for wrong use


KINDS = [
    "Settings",
    "FilesSource",
    "FileDataset",
    "FilePath",
    "Dialect",
    "Column",
    "Part",
    "Fill",
    "Previous",
    "Freshness",
    "RowCount",
    "TableCheck",
    "CheckHeader",
    "UnitTestDefinition",
    "UnitTestsFile",
]


@pytest.mark.parametrize("kind", [*KINDS, "Rule"])
def test_each_key_of_a_project_is_shown_in_a_how_to_page(kind):
    definitions = {
        **vars(REFERENCE.definitions),
        **vars(REFERENCE.contract),
        **vars(REFERENCE.checks),
        **vars(REFERENCE.definition),
        **vars(REFERENCE.unit_tests),
    }
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    keys = [field.alias or name for name, field in definitions[kind].model_fields.items()]
    assert [key for key in keys if not re.search(rf"\b{key}:", text)] == []


@pytest.mark.parametrize(
    "page",
    [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))],
    ids=lambda page: page.relative_to(ROOT).as_posix(),
)
def test_no_link_of_the_docs_is_broken(page):
    links = re.findall(r"\]\((?!https?:)([^)#\s]+)", page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize(
    ("shown", "real", "same"),
    [
        ("a  b\n", "a b\n", True),
        ("a\n", "a\nb\n", False),
        ("a\n…\n", "a\nb\nc\n", True),
        ("took … s\n", "took 0.12 s\n", True),
        ("b\n", "a\nb\n", False),
    ],
    ids=["spaces", "more lines", "any lines", "any text", "whole"],
)
def test_outputs_are_compared_whole(shown, real, same):
    assert agrees(shown, real) is same
