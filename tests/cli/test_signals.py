from __future__ import annotations

import os
import signal

import pytest
import trio

from iscsiproxy.cli.signals import listen_to_signals

__all__: list[str] = []


@pytest.mark.parametrize("which", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_asks_for_the_end(which: signal.Signals) -> None:
    asked = trio.Event()
    async with trio.open_nursery() as nursery:
        await nursery.start(listen_to_signals, asked)
        assert not asked.is_set()
        os.kill(os.getpid(), which)
        with trio.fail_after(5):
            await asked.wait()
        nursery.cancel_scope.cancel()
