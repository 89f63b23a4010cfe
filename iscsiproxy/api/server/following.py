"""What takes its time, for as long as the client stays; above all events as they happen, one JSON object a line.

The stream of events is bounded by itself. Here nothing is kept: the next batch is fetched when the last one has gone
out, so a client that is slow finds in the stream what it has missed, and nobody waits for it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final, Protocol, TypeAlias, TypeVar

import msgspec
import trio

from iscsiproxy.api.models import Event

__all__ = ["LINES", "Gone", "Message", "Receive", "Send", "Stream", "follow", "while_there"]

A = TypeVar("A")

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]

#: The type of what is sent
LINES: Final = "application/x-ndjson"
#: So often something is sent, or else an empty line: that is how a client that is gone is found, in seconds.
_ALIVE = 15.0

_ENCODER = msgspec.json.Encoder()


class Stream(Protocol):
    """Events for one client, kept within bounds."""

    async def batch(self) -> tuple[Event, ...]:
        """Wait for the next events; none: that was all. To be cancelled while it waits costs no event."""

    def close(self) -> None:
        """Keep no more of them."""


class Gone(Exception):  # noqa: N818 - no error: there is nobody left to answer
    """The client went before there was an answer."""


async def while_there(work: Awaitable[A], receive: Receive) -> A:
    """Wait for something as long as the client stays. Raises Gone."""
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_until_gone, receive, nursery.cancel_scope)
            answer = await work
            nursery.cancel_scope.cancel()
            return answer
    except ExceptionGroup as group:
        raise group.exceptions[0] from None  # a nursery wraps even a single one
    raise Gone


async def follow(stream: Stream, receive: Receive, send: Send) -> None:
    """Send what happens, until it ends or the client goes, which raises Gone. Closes the stream."""
    try:
        await send(
            {"type": "http.response.start", "status": 200, "headers": [(b"content-type", LINES.encode("ascii"))]}
        )
        # Without a first piece some servers keep the header back, and the client does not know that it listens now.
        await send({"type": "http.response.body", "body": b"", "more_body": True})
        await while_there(_send_all(stream, send), receive)
    finally:
        stream.close()


async def _send_all(stream: Stream, send: Send) -> None:
    more = True
    while more:
        lines = b"\n"
        with trio.move_on_after(_ALIVE):
            batch = await stream.batch()
            more = bool(batch)
            lines = _ENCODER.encode_lines(batch)
        await send({"type": "http.response.body", "body": lines, "more_body": more})


async def _until_gone(receive: Receive, scope: trio.CancelScope) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()
