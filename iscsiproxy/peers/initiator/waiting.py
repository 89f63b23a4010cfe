"""What tasks of one session wait on: an answer, a tap, something that the target says by itself.

Everything here is bounded: a target that talks without end costs a fixed amount of memory.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Generic, Self, TypeVar

import trio

from iscsiproxy.peers.initiator.errors import CommandFailed, ConnectionLost
from iscsiproxy.wire.codes import ASYNC_EVENT, REJECT_REASON
from iscsiproxy.wire.opcodes import Opcode
from iscsiproxy.wire.pdu import Pdu

__all__ = ["Events", "Pending", "Tap", "flat_nursery"]

T = TypeVar("T")

#: How many events a session remembers.
_REMEMBERED = 256


@asynccontextmanager
async def flat_nursery() -> AsyncIterator[trio.Nursery]:
    """Open a nursery that ends with its block, and lets what the block raises through as it is, in no group."""
    failure: BaseException | None = None
    async with trio.open_nursery() as nursery:
        try:
            yield nursery
        except BaseException as error:  # noqa: BLE001 -- raised again behind the nursery, which would wrap it in a group
            failure = error
        nursery.cancel_scope.cancel()
    if failure is not None:
        raise failure


class Pending(Generic[T]):
    """An answer that will come, once: a value or an error. The first one counts."""

    __slots__ = ("_error", "_event", "_value")

    def __init__(self) -> None:
        self._event = trio.Event()
        self._value: T | None = None
        self._error: ConnectionLost | CommandFailed | None = None

    def __repr__(self) -> str:
        return f"<Pending {'waits' if not self.settled else repr(self._error or self._value)}>"

    @property
    def settled(self) -> bool:
        """Whether the answer is here."""
        return self._event.is_set()

    def settle(self, value: T) -> None:
        """Give the answer."""
        if not self.settled:
            self._value = value
            self._event.set()

    def fail(self, error: ConnectionLost | CommandFailed) -> None:
        """Give an error instead of the answer."""
        if not self.settled:
            self._error = error
            self._event.set()

    async def over(self) -> None:
        """Wait until it is settled, and say nothing about how."""
        await self._event.wait()

    async def wait(self) -> T:
        """Wait for the answer, or raise the error. Any number of tasks may wait, and cancel their waiting."""
        await self._event.wait()
        if self._error is not None:
            raise self._error.again()
        assert self._value is not None
        return self._value


class Tap:
    """PDUs as they come from the target, as an async iterator that ends with the session or the `with` block.

    At most `capacity` wait to be taken; then the oldest goes and `missed` counts it.
    """

    def __init__(self, capacity: int, close: Callable[[Tap], None]) -> None:
        self.missed = 0
        self._capacity = capacity
        self._held: deque[Pdu] = deque()
        self._close = close
        self._closed = False
        self._news = trio.Event()

    def __repr__(self) -> str:
        return f"<Tap {len(self._held)} held, {self.missed} missed{', closed' if self._closed else ''}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        self._close(self)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Pdu:
        pdu = await self.get()
        if pdu is None:
            raise StopAsyncIteration
        return pdu

    def put(self, pdu: Pdu) -> None:
        """Add a PDU."""
        if len(self._held) >= self._capacity:
            self._held.popleft()
            self.missed += 1
        self._held.append(pdu)
        self._wake()

    def close(self) -> None:
        """End it behind what is held."""
        self._closed = True
        self._wake()

    def _wake(self) -> None:
        self._news.set()
        self._news = trio.Event()

    async def get(self) -> Pdu | None:
        """Wait for the next PDU; None when there will be no more."""
        await trio.lowlevel.checkpoint()
        while not self._held:
            if self._closed:
                return None
            await self._news.wait()
        return self._held.popleft()

    async def find(self, opcode: int) -> Pdu | None:
        """Wait for the next PDU with this opcode; None when there will be none."""
        async for pdu in self:
            if pdu.opcode == opcode:
                return pdu
        return None


class Events:
    """What the target said by itself: asynchronous messages, Rejects and pings, the last few hundred of them."""

    def __init__(self) -> None:
        self.asyncs: deque[Pdu] = deque(maxlen=_REMEMBERED)
        self.rejects: deque[Pdu] = deque(maxlen=_REMEMBERED)
        self.pings: deque[Pdu] = deque(maxlen=_REMEMBERED)
        self._news = trio.Event()
        self._over = False

    def __repr__(self) -> str:
        asyncs = [ASYNC_EVENT.text(pdu["AsyncEvent"]) for pdu in self.asyncs]
        rejects = [REJECT_REASON.text(pdu["Reason"]) for pdu in self.rejects]
        return f"<Events async {asyncs} rejects {rejects} pings {len(self.pings)}>"

    def add(self, pdu: Pdu) -> None:
        """Remember a PDU."""
        kind = {Opcode.ASYNC: self.asyncs, Opcode.REJECT: self.rejects}.get(Opcode(pdu.opcode), self.pings)
        kind.append(pdu)
        self._wake()

    def close(self) -> None:
        """Tell those who wait that nothing more will come."""
        self._over = True
        self._wake()

    def _wake(self) -> None:
        self._news.set()
        self._news = trio.Event()

    async def until(self, happened: Callable[[Events], bool]) -> bool:
        """Wait until something is true of the events; False if the session ended first."""
        await trio.lowlevel.checkpoint()
        while not happened(self):
            if self._over:
                return False
            await self._news.wait()
        return True
