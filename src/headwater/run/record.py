"""The record of one run, as a row of `headwater.runs`."""

from __future__ import annotations

import secrets
import socket
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from headwater.lake.commit import now
from headwater.lake.lake import user_name


def new_run_id() -> str:
    """An id that sorts by time."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"


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
