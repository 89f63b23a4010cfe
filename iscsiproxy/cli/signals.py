"""Being asked to end: Ctrl-C and SIGTERM."""

from __future__ import annotations

import signal

import trio

__all__ = ["listen_to_signals"]


async def listen_to_signals(asked: trio.Event, *, task_status: trio.TaskStatus[None]) -> None:
    """Set `asked` when somebody wants us to end; runs until cancelled."""
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        task_status.started()
        async for _ in signals:
            asked.set()
