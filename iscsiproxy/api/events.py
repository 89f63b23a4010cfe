"""Events as a client gets them: one JSON object a line, put together from whatever pieces arrive."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from types import TracebackType
from typing import Self

import httpx

from iscsiproxy.api.address import ApiAddress
from iscsiproxy.api.answers import decoded, reaching
from iscsiproxy.api.models import Event

__all__ = ["AsyncEvents", "Events"]


class _Lines:
    """Puts events together from pieces of bytes."""

    def __init__(self, address: ApiAddress) -> None:
        self._address = address
        self._rest = b""
        self._events: deque[Event] = deque()

    def feed(self, piece: bytes) -> None:
        *lines, self._rest = (self._rest + piece).split(b"\n")
        # An empty line only says that the proxy is there.
        self._events.extend(decoded(line, Event, self._address) for line in lines if line)

    def next(self) -> Event | None:
        return self._events.popleft() if self._events else None


class Events:
    """Events as they come, to be gone through once. Close it, or use it as a context manager."""

    def __init__(self, response: httpx.Response, address: ApiAddress) -> None:
        self._response = response
        self._pieces = response.iter_raw()
        self._lines = _Lines(address)
        self._address = address

    def __repr__(self) -> str:
        return f"<Events from {self._address}{', closed' if self._response.is_closed else ''}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[Event]:
        return self

    def __next__(self) -> Event:
        """Wait for the next event. Raises Unreachable if the proxy goes."""
        while (event := self._lines.next()) is None:
            if self._response.is_closed:
                raise StopIteration
            with reaching(self._address):
                self._lines.feed(next(self._pieces))
        return event

    def close(self) -> None:
        """Want no more of them."""
        self._response.close()


class AsyncEvents:
    """Events as they come, to be gone through once: `async with client.events() as events: async for event in events`.

    It listens from the beginning of the block, or from the first event that is asked for.
    """

    def __init__(self, open_: Callable[[], Awaitable[httpx.Response]], address: ApiAddress) -> None:
        self._open = open_
        self._response: httpx.Response | None = None
        self._pieces: AsyncIterator[bytes] | None = None
        self._lines = _Lines(address)
        self._address = address
        self._closed = False

    def __repr__(self) -> str:
        return f"<AsyncEvents from {self._address}{', closed' if self._closed else ''}>"

    async def __aenter__(self) -> Self:
        await self._opened()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __aiter__(self) -> AsyncIterator[Event]:
        return self

    async def __anext__(self) -> Event:
        """Wait for the next event. Raises ApiError when it is opened, Unreachable if the proxy goes."""
        while (event := self._lines.next()) is None:
            if self._closed:
                raise StopAsyncIteration
            pieces = await self._opened()
            with reaching(self._address):
                self._lines.feed(await anext(pieces))
        return event

    async def aclose(self) -> None:
        """Want no more of them."""
        self._closed = True
        if self._response is not None and self._pieces is not None:
            await self._response.aclose()
            # What is left of it is gone through, as far as it goes: trio warns of generators that are let lie.
            with suppress(httpx.HTTPError, httpx.StreamError):
                async for _ in self._pieces:
                    pass

    async def _opened(self) -> AsyncIterator[bytes]:
        if self._pieces is None:
            self._response = await self._open()
            self._pieces = self._response.aiter_raw()
        return self._pieces
