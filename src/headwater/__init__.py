"""Headwater: from raw files to released, trustworthy tables.

The short face for users; everything is loaded when it is first asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from headwater.errors import HeadwaterError
from headwater.model import Input, model

if TYPE_CHECKING:
    from headwater import testing
    from headwater.api import OpenProject, check_project, open_project, resume, roll_back

_OF_API = ("OpenProject", "check_project", "open_project", "resume", "roll_back")
__all__ = [
    "HeadwaterError",
    "Input",
    "OpenProject",
    "check_project",
    "model",
    "open_project",
    "resume",
    "roll_back",
    "testing",
]


def __getattr__(name: str) -> Any:
    if name in _OF_API:
        from headwater import api  # loads DuckDB and pydantic, which a model file does not need

        return getattr(api, name)
    if name == "testing":
        from importlib import import_module

        return import_module("headwater.testing")
    raise AttributeError(f"module 'headwater' has no attribute {name!r}")
