"""A row is proven by a test that ran, passed, and asserted something about the leg of the row's victim."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from tests.catalogue.harness import Claims
from tests.catalogue.rows import rows

__all__ = ["missing", "pytest_runtest_makereport", "pytest_runtest_setup"]


def pytest_runtest_setup() -> None:
    """Forget what the test before has asserted."""
    Claims.begin()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail a marked test that proves nothing."""
    report = yield
    ids = [str(one) for mark in item.iter_markers("row") for one in mark.args]
    if ids and not report.failed and (report.skipped or call.when == "call"):
        why = "a test that is skipped proves nothing" if report.skipped else missing(ids, {str(e) for e in Claims.made})
        if why:
            report.outcome = "failed"
            report.longrepr = why
    return report


def missing(ids: list[str], claimed: set[str]) -> str:
    """Say which of the rows has had nothing asserted about its victim; nothing if all have."""
    unproven = [one for one in ids if not claimed & _victims(one)]
    return f"nothing was asserted about the leg of the victim of {', '.join(unproven)}" if unproven else ""


def _victims(name: str) -> set[str]:
    victim = rows()[name].victim
    return {"initiator", "target"} if victim == "both" else {victim}
