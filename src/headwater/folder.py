"""A project's folder: how it is found, and what stands where in it."""

from __future__ import annotations

from pathlib import Path

from headwater.errors import NotAProject

SETTINGS_FILE = "headwater.yaml"
DEFAULT_LAKE = ".headwater"
"""The lake's folder, unless the settings name another."""
CATALOG = "catalog.sqlite"
"""The catalog, in the lake's folder."""
RAW = "raw"
"""The folder of the copies of raw files, in the lake's."""


def find_project(start: Path) -> Path:
    """The nearest folder at or above `start` that holds `headwater.yaml`."""
    start = start.resolve()
    for folder in (start, *start.parents):
        if (folder / SETTINGS_FILE).is_file():
            return folder
    raise NotAProject(
        f"no {SETTINGS_FILE} in {start} or above",
        hint="`headwater init` makes a new project; --project DIR names another folder",
    )
