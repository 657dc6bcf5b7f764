"""The record of one run, as a row of `headwater.runs`."""

from __future__ import annotations

import socket
from datetime import datetime
from importlib.metadata import version
from typing import Any

from headwater.lake.commit import now
from headwater.lake.lake import user_name
from headwater.run.report import new_run_id

__all__ = ["new_run_id", "run_row"]


def run_row(run_id: str, started_at: datetime, status: str, command: str) -> dict[str, Any]:
    """A row of `headwater.runs`, of a run that ends now."""
    return {
        "run_id": run_id,
        "started_at": started_at,
        "ended_at": now(),
        "status": status,
        "command": command,
        "user_name": user_name(),
        "host": socket.gethostname(),
        "headwater_version": version("headwater"),
    }
