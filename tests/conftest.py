"""What every test may use: the gate before real peers, and a tgtd of one's own."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator

import pytest
from hypothesis import settings

from tests.real import peers
from tests.real.tgtd import Tgtd, running_tgtd

__all__ = ["pytest_collection_finish", "pytest_runtest_setup", "tgtd"]

# The same examples in every run, and no deadline for one of them: a busy machine is not a failure.
settings.register_profile("iscsiproxy", deadline=None, derandomize=True)
settings.load_profile("iscsiproxy")


def pytest_collection_finish() -> None:
    """Keep the collector off what lasts as long as the tests: else it stops them for half a second now and then."""
    gc.collect()
    gc.freeze()


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip or fail a test that is marked `peers` where one of them is missing."""
    for mark in item.iter_markers("peers"):
        peers.need(*mark.args)


@pytest.fixture
async def tgtd() -> AsyncIterator[Tgtd]:
    """Start a private tgtd with one LUN of 64 MiB, as it is out of the box."""
    peers.need("tgtd")
    async with running_tgtd() as running:
        yield running
