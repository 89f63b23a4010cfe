"""Being asked to end: Ctrl-C and SIGTERM."""

from __future__ import annotations

import signal
from collections.abc import Callable

import trio

__all__ = ["listen_to_signals"]


async def listen_to_signals(
    asked: trio.Event, ours: Callable[[], bool] = lambda: True, *, task_status: trio.TaskStatus[None]
) -> None:
    """Set `asked` when somebody wants us to end; runs until cancelled. Ctrl-C counts while the keyboard is `ours`."""
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        task_status.started()
        async for number in signals:
            if number != signal.SIGINT or ours():
                asked.set()
