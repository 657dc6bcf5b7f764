"""Parquet: typed columns, as they are."""

from __future__ import annotations

from collections.abc import Sequence

import duckdb

from headwater.contract.types import VARCHAR, Type, parse_type
from headwater.errors import FileRefused
from headwater.sources.batch import Batch, Item
from headwater.sources.files.discover import unchanged
from headwater.sources.files.spool import Spooled
from headwater.sql.quote import file_literal, ident


class ParquetFile:
    """One Parquet file, open for reading."""

    def __init__(self, con: duckdb.DuckDBPyConnection, item: Item, spooled: Spooled) -> None:
        self.con, self.item = con, item
        source = f"read_parquet({file_literal(spooled.plain)})"
        try:
            rows = con.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()
        except duckdb.Error as error:
            raise FileRefused(
                "the file is not Parquet, or is damaged",
                where=item.path,
                hint="copy the file again, or check the dataset's `path` and `format`",
            ) from error
        fields: dict[str, Type] = {}
        picked = []
        for name, kind, *_ in rows:
            if kind == "TIMESTAMP_NS" and self._is_finer(source, name):
                kind = "VARCHAR"  # whether such a moment can land is the contract's business
            fields[name], expression = _field(name, kind)
            picked.append(f"{expression} AS {ident(name)}")
        self.batch = Batch(
            item=item,
            relation=f"(SELECT {', '.join(picked)} FROM {source})",
            fields=fields,
            content_hash=spooled.content_hash,
        )

    def _is_finer(self, source: str, name: str) -> bool:
        """Whether a column has moments between two microseconds, which no lake stores."""
        found = self.con.execute(
            f"SELECT bool_or(epoch_ns({ident(name)}) % 1000 <> 0) FROM {source}"
        ).fetchone()
        return bool(found and found[0])

    def mend(self) -> bool:
        return False

    def fragments(self, table: str) -> int:
        return 0

    def originals(self, records: Sequence[int], table: str) -> None:
        """Parquet has no text: the quarantine keeps the row's values as JSON instead."""

    def still_the_same(self) -> bool:
        return unchanged(self.item)

    def close(self) -> None:
        pass


def _field(name: str, kind: str) -> tuple[Type, str]:
    """The type to read a column as, and the SQL that does; what no lake stores becomes text."""
    if kind in ("TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS"):
        return Type("TIMESTAMP"), f"CAST({ident(name)} AS TIMESTAMP)"
    if kind in ("HUGEINT", "UHUGEINT"):
        return parse_type(kind), f"CAST({ident(name)} AS {parse_type(kind).sql})"
    if kind == "VARCHAR":
        return VARCHAR, f"CAST({ident(name)} AS VARCHAR)"
    try:
        return parse_type(kind), ident(name)
    except ValueError:
        return VARCHAR, f"CAST({ident(name)} AS VARCHAR)"
