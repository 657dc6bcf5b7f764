"""A mistake in one of the project's files, with the line that it stands on."""

from __future__ import annotations

from headwater.errors import Mistake
from headwater.places import Place, line_at


def mistake_in(text: str, file: str, place: Place, message: str, hint: str = "") -> Mistake:
    """A mistake in a file with this text."""
    return Mistake(
        file=file,
        line=place.line,
        column=place.column,
        message=message,
        hint=hint,
        source_line=line_at(text, place.line),
    )
