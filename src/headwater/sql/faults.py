"""What is wrong with a text of SQL."""

from __future__ import annotations

from headwater.places import Place


class SqlError(Exception):
    """Text that is no query. `place`: None where there is nothing to point at."""

    def __init__(self, message: str, place: Place | None = None, hint: str = "") -> None:
        super().__init__(message, place, hint)
        self.message, self.place, self.hint = message, place, hint
