"""`headwater init`: a small project that works."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path

from headwater.cli.output import Output
from headwater.errors import HeadwaterError


def command(out: Output, folder: str) -> int:
    target = Path(folder)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise HeadwaterError(
            f"{folder} exists and is not an empty folder", hint="name another folder"
        )
    name = re.sub(r"[^a-z0-9_]+", "_", target.resolve().name.lower()).strip("_") or "project"
    written = []
    template = files("headwater.cli") / "template"
    for path in TEMPLATE_FILES:
        text = (template / path).read_text(encoding="utf-8").replace("PROJECT_NAME", name)
        place = target / (".gitignore" if path == "gitignore" else path)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text, encoding="utf-8")
        written.append(str(place))
    if out.is_json:
        out.json({"project": str(target), "files": written})
        return 0
    for path in written:
        out.line(f"  {path}")
    out.line()
    out.line(f"Next:  cd {folder}", "bold")
    out.line("       headwater run")
    out.line('       headwater query "SELECT * FROM marts.revenue_by_day"')
    return 0


TEMPLATE_FILES = (
    "headwater.yaml",
    "sources/shop.yaml",
    "data/orders_2026-01.csv",
    "models/staging/orders.sql",
    "models/marts/revenue_by_day.sql",
    "gitignore",
)
