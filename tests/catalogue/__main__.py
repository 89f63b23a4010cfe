"""Write the table: `python -m tests.catalogue`."""

from __future__ import annotations

from tests.catalogue.rows import TABLE, table

__all__: list[str] = []

TABLE.write_text(table(), encoding="utf-8")
