from __future__ import annotations

from tests.faults.page import PAGE, page

__all__: list[str] = []


def test_the_page_is_as_the_scenarios_are() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run: python -m tests.faults"
