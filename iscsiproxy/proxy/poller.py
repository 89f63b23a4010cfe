"""Who has something to read: one epoll for the data sockets of all pairs.

The scheduler is too slow to be asked for every PDU. One task owns an edge-triggered epoll and calls a plain function of
each link whose socket has become readable; only what that function cannot finish at once wakes the link's own task. As
long as traffic keeps coming, the task stays in epoll for up to a millisecond at a time and lets the others run at least
as often; when there is none it waits as everybody does.
"""

from __future__ import annotations

import select
from collections.abc import Callable
from time import perf_counter

import trio

__all__ = ["Poller"]

#: The longest the other tasks wait while there is traffic, in seconds; epoll knows nothing shorter.
_TURN = 0.001
_ENDED = select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR
_EVENTS = select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLET


class Poller:
    """A registry of sockets and what to call when they are readable. `close` it after `run` was cancelled."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._calls: dict[int, Callable[[bool, bool], bool]] = {}

    def __repr__(self) -> str:
        return f"<Poller {len(self._calls)} sockets>"

    def register(self, fd: int, call: Callable[[bool, bool], bool]) -> None:
        """Call `call(ended, failed)` when `fd` has become readable, has ended or failed.

        It is not told again before it has read until the socket was empty: that is a short read, or, when it has ended,
        only the end itself. `call` says whether it woke a task.
        """
        self._calls[fd] = call
        self._epoll.register(fd, _EVENTS)

    def unregister(self, fd: int) -> None:
        """Forget a socket, before it is closed."""
        if self._calls.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def close(self) -> None:
        """Give the epoll back."""
        self._epoll.close()

    async def run(self) -> None:
        """Call until cancelled."""
        poll, calls = self._epoll.poll, self._calls
        while True:
            await trio.lowlevel.wait_readable(self._epoll.fileno())
            turn = perf_counter() + _TURN
            while events := poll(_TURN):
                woken = False
                for fd, what in events:
                    # A call may close another link's socket: what is no longer registered has nothing to say.
                    call = calls.get(fd)
                    if call is not None and call(bool(what & _ENDED), bool(what & select.EPOLLERR)):
                        woken = True
                if woken or perf_counter() >= turn:
                    await trio.lowlevel.checkpoint()
                    if woken:
                        # The scheduler runs tasks in any order: only now the one that was woken has had its turn.
                        await trio.lowlevel.checkpoint()
                    turn = perf_counter() + _TURN
