from __future__ import annotations

import os
import signal

import pytest
import trio
import trio.testing

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


async def test_ctrl_c_is_left_to_who_has_the_keyboard() -> None:
    asked, ours = trio.Event(), [False]
    async with trio.open_nursery() as nursery:
        await nursery.start(listen_to_signals, asked, lambda: ours[0])
        os.kill(os.getpid(), signal.SIGINT)
        await trio.testing.wait_all_tasks_blocked(0.01)
        before = asked.is_set()
        ours[0] = True
        os.kill(os.getpid(), signal.SIGINT)
        with trio.fail_after(5):
            await asked.wait()
        assert not before
        nursery.cancel_scope.cancel()


async def test_being_told_to_end_counts_whoever_has_the_keyboard() -> None:
    asked = trio.Event()
    async with trio.open_nursery() as nursery:
        await nursery.start(listen_to_signals, asked, lambda: False)
        os.kill(os.getpid(), signal.SIGTERM)
        with trio.fail_after(5):
            await asked.wait()
        nursery.cancel_scope.cancel()
