"""`headwater schema`: the JSON Schemas of what a user writes."""

from __future__ import annotations

import json
from pathlib import Path

from headwater.cli.output import Output
from headwater.errors import HeadwaterError, suggestion
from headwater.folder import find_project
from headwater.project.schema import SCHEMAS, schema_of

FOLDER = "schemas"


def command(out: Output, name: str, project: str, write: bool) -> int:
    if name and name not in SCHEMAS:
        raise HeadwaterError(f"no schema {name!r}", hint=suggestion(name, SCHEMAS))
    names = [name] if name else list(SCHEMAS)
    if not write:
        found = {each: schema_of(each) for each in names}
        out.json(found[name] if name else found)
        return 0
    folder = find_project(Path(project)) / FOLDER
    folder.mkdir(exist_ok=True)
    written = []
    for each in names:
        path = folder / f"{each}.json"
        text = json.dumps(schema_of(each), indent=2, ensure_ascii=False) + "\n"
        path.write_text(text, encoding="utf-8")
        written.append(f"{FOLDER}/{path.name}")
    if out.is_json:
        out.json({"files": written})
        return 0
    for file in written:
        out.line(f"wrote {file}")
    out.line()
    out.line("Editors that know the YAML language server take the schema from a file's first line.")
    out.line("In headwater.yaml:")
    out.line(f"    # yaml-language-server: $schema={FOLDER}/settings.json", "bold")
    out.line("In each file of sources/:")
    out.line(f"    # yaml-language-server: $schema=../{FOLDER}/source.json", "bold")
    out.line("In each file of unit tests in tests/:")
    out.line(f"    # yaml-language-server: $schema=../{FOLDER}/test.json", "bold")
    out.line("Or once for all of them, in VS Code's .vscode/settings.json:")
    out.line(
        f'    "yaml.schemas": {{"{FOLDER}/settings.json": "headwater.yaml", '
        f'"{FOLDER}/source.json": "sources/**/*.yaml", "{FOLDER}/test.json": "tests/**/*.yaml"}}',
        "bold",
    )
    return 0
