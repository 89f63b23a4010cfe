"""Write the page of the shipped scenarios: `python -m tests.faults`."""

from __future__ import annotations

from tests.faults.page import PAGE, page

__all__: list[str] = []

PAGE.write_text(page(), encoding="utf-8")
