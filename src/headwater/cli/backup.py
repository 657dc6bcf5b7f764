"""`headwater backup`: the lake, copied while runs go on."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from headwater.api import back_up
from headwater.cli.output import Output
from headwater.errors import counted, size_text
from headwater.lake.backup import Copied


def command(out: Output, folder: str, project: str) -> int:
    done = back_up(project, folder)
    if out.is_json:
        out.json(facts(done))
        return 0
    out.line(f"backed up into {folder}: {told(done)}", "green")
    out.line(
        f"  copied {counted(done.files_copied, 'file')}, {size_text(done.bytes_copied)}, "
        f"in {done.seconds:.1f} s; the others were there",
    )
    return 0


def told(done: Copied) -> str:
    """What is in the backup, in words."""
    backup = done.backup
    release = f"release {backup.release_id}" if backup.release_id else "nothing released yet"
    told = f"{release}, {counted(backup.files, 'file')}, {size_text(backup.bytes)}"
    if backup.raw_files:
        raw = counted(backup.raw_files, "file")
        told += f"; copies of {raw} as received, {size_text(backup.raw_bytes)}"
    return told


def facts(done: Copied) -> dict[str, Any]:
    """What was done, for `--json`."""
    return {
        **asdict(done.backup),
        "files_copied": done.files_copied,
        "bytes_copied": done.bytes_copied,
        "seconds": round(done.seconds, 3),
        "aside": str(done.aside) if done.aside else None,
    }
