"""A control without a proxy: a real class behind the API's own seam, which answers whatever it was told to.

It keeps what it was asked, so that tests can see what came through; what it does not expect is an error of ours, as it
would be of the proxy's control.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import trio

from iscsiproxy.api.models import Event, EventQuery
from iscsiproxy.api.operations import OPERATIONS

__all__ = ["FakeControl", "FakeStream", "event"]

_NAMES = frozenset(operation.name for operation in OPERATIONS)


def event(n: int, text: str = "something") -> Event:
    """Make an event."""
    return Event(n=n, at=n / 10, conn=1, event="connected", text=text)


class FakeStream:
    """The events that are put into it, in their order."""

    def __init__(self) -> None:
        self._put, self._got = trio.open_memory_channel[tuple[Event, ...] | Exception](1000)
        self.batches = 0
        self.closed = trio.Event()

    def put(self, *events: Event) -> None:
        """Let these happen; none: that was all."""
        self._put.send_nowait(events)

    def fail(self, error: Exception) -> None:
        """Let this go wrong."""
        self._put.send_nowait(error)

    async def batch(self) -> tuple[Event, ...]:
        batch = await self._got.receive()
        if isinstance(batch, Exception):
            raise batch
        self.batches += 1
        return batch

    def close(self) -> None:
        self._put.close()
        self._got.close()
        self.closed.set()


class FakeControl:
    """`answers` maps operations to what they give: a value, an exception to raise, or a function of what was sent."""

    def __init__(self, **answers: Any) -> None:
        assert answers.keys() <= _NAMES
        self.answers = answers
        self.asked: list[tuple[Any, ...]] = []
        self.calls = 0
        self.crashes: list[Exception] = []
        self.streams: list[FakeStream] = []

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name not in _NAMES:
            raise AttributeError(name)

        def done(*given: Any) -> Any:
            self.asked.append((name, *given))
            answer = self.answers[name]
            if isinstance(answer, Exception):
                raise answer
            return answer(*given) if callable(answer) else answer

        return done

    def events(self, query: EventQuery) -> FakeStream:
        self.asked.append(("events", query))
        if isinstance(refusal := self.answers.get("events"), Exception):
            raise refusal
        self.streams.append(FakeStream())
        return self.streams[-1]

    def called(self) -> None:
        self.calls += 1

    def crashed(self, error: Exception) -> None:
        self.crashes.append(error)
