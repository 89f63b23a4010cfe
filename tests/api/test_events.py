from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import httpx
import msgspec
import pytest

from iscsiproxy.api.answers import Unreachable
from iscsiproxy.api.client import ApiAddress
from iscsiproxy.api.events import AsyncEvents, Events
from tests.api.fakes import event

__all__: list[str] = []

HERE = ApiAddress(host="127.0.0.1", port=7)
LINES = b"".join(msgspec.json.encode(event(n, "ü\u2028\x85")) + b"\n" for n in range(3))


class Pieces(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A response that comes in pieces, and breaks off where an exception stands."""

    def __init__(self, *pieces: bytes | Exception) -> None:
        self.pieces = pieces
        self.closed = False

    def __iter__(self) -> Iterator[bytes]:
        for piece in self.pieces:
            if isinstance(piece, Exception):
                raise piece
            yield piece

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self:
            yield piece

    def close(self) -> None:
        self.closed = True

    async def aclose(self) -> None:
        self.closed = True


def plain(pieces: Pieces) -> Events:
    return Events(httpx.Response(200, stream=pieces), HERE)


def later(pieces: Pieces) -> AsyncEvents:
    async def opened() -> httpx.Response:
        return httpx.Response(200, stream=pieces)

    return AsyncEvents(opened, HERE)


@pytest.mark.parametrize("size", [1, 2, 7, 100, 10_000])
async def test_events_come_whole_however_they_are_cut(size: int) -> None:
    pieces = [LINES[at : at + size] for at in range(0, len(LINES), size)]
    assert [one.n for one in plain(Pieces(*pieces))] == [0, 1, 2]
    assert [one.n async for one in later(Pieces(*pieces))] == [0, 1, 2]


async def test_empty_lines_are_passed_over() -> None:
    assert [one.n for one in plain(Pieces(b"\n", b"\n" + LINES + b"\n"))] == [0, 1, 2]


async def test_a_proxy_that_goes_is_told_after_what_it_said() -> None:
    broken = LINES + b'{"n":', httpx.RemoteProtocolError("cut")
    events, awaited = plain(Pieces(*broken)), later(Pieces(*broken))
    assert [next(events).n for _ in range(3)] == [0, 1, 2]
    assert [(await anext(awaited)).n for _ in range(3)] == [0, 1, 2]
    with pytest.raises(Unreachable, match="has gone: cut"):
        next(events)
    with pytest.raises(Unreachable, match="has gone: cut"):
        await anext(awaited)


async def test_what_is_no_event_is_told() -> None:
    with pytest.raises(Unreachable, match="says what this version does not understand"):
        next(plain(Pieces(b"<html>\n")))


async def test_after_the_end_of_the_block_there_is_nothing_more() -> None:
    pieces = Pieces(LINES, LINES)
    with plain(pieces) as events:
        next(events)
    assert pieces.closed
    assert repr(events) == "<Events from http://127.0.0.1:7, closed>"
    assert [one.n for one in events] == [1, 2]  # what had come already
    pieces = Pieces(LINES, LINES)
    async with later(pieces) as awaited:
        await anext(awaited)
    assert pieces.closed
    assert repr(awaited) == "<AsyncEvents from http://127.0.0.1:7, closed>"
    assert [one.n async for one in awaited] == [1, 2]


async def test_one_that_was_never_opened_can_be_closed() -> None:
    events = later(Pieces(LINES))
    await events.aclose()
    assert [one async for one in events] == []
