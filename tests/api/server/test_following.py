from __future__ import annotations

from contextlib import suppress
from typing import Any

import msgspec
import pytest
import trio
import trio.testing

from iscsiproxy.api.models import Event
from iscsiproxy.api.server.following import Gone, follow, while_there
from tests.api.fakes import FakeStream, event

__all__: list[str] = []


class Client:
    """The other end of a response: it reads a message at a time, and may go."""

    def __init__(self) -> None:
        self.gone = trio.Event()
        self._put, self._got = trio.open_memory_channel[Any](0)

    async def receive(self) -> Any:
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        await self._put.send(message)

    async def read(self) -> Any:
        return await self._got.receive()

    async def begin(self) -> None:
        start, first = await self.read(), await self.read()
        assert (start["status"], start["headers"]) == (200, [(b"content-type", b"application/x-ndjson")])
        assert first == {"type": "http.response.body", "body": b"", "more_body": True}


async def following(stream: FakeStream, client: Client) -> None:
    with suppress(Gone):
        await follow(stream, client.receive, client.send)


async def test_a_batch_is_sent_as_lines_when_it_comes(nursery: trio.Nursery) -> None:
    stream, client = FakeStream(), Client()
    nursery.start_soon(following, stream, client)
    await client.begin()
    stream.put(event(1), event(2, "über\u2028"))
    message = await client.read()
    assert message["more_body"]
    lines = message["body"].split(b"\n")
    assert [msgspec.json.decode(line, type=Event) for line in lines[:-1]] == [event(1), event(2, "über\u2028")]
    assert lines[-1] == b""
    stream.put()
    assert await client.read() == {"type": "http.response.body", "body": b"", "more_body": False}
    await stream.closed.wait()


async def test_when_nothing_happens_an_empty_line_says_that_we_are_there(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    stream, client = FakeStream(), Client()
    nursery.start_soon(following, stream, client)
    await client.begin()
    begun = autojump_clock.current_time()
    for n in (1, 2):
        assert await client.read() == {"type": "http.response.body", "body": b"\n", "more_body": True}
        assert autojump_clock.current_time() - begun == pytest.approx(15 * n)
    stream.put(event(1))
    assert b'"n":1' in (await client.read())["body"]
    client.gone.set()


async def test_a_client_that_goes_ends_the_stream(nursery: trio.Nursery) -> None:
    stream, client = FakeStream(), Client()
    nursery.start_soon(following, stream, client)
    await client.begin()
    client.gone.set()
    await stream.closed.wait()


async def test_a_client_that_goes_while_it_is_being_sent_to_ends_it_too(nursery: trio.Nursery) -> None:
    stream, client = FakeStream(), Client()
    nursery.start_soon(following, stream, client)
    await client.begin()
    stream.put(event(1))
    await trio.testing.wait_all_tasks_blocked()
    client.gone.set()
    await stream.closed.wait()


async def test_nothing_is_fetched_ahead_for_a_slow_client(nursery: trio.Nursery) -> None:
    stream, client = FakeStream(), Client()
    nursery.start_soon(following, stream, client)
    await client.begin()
    for n in range(10):
        stream.put(event(n))
    await trio.testing.wait_all_tasks_blocked()
    assert stream.batches == 1
    await client.read()
    await trio.testing.wait_all_tasks_blocked()
    assert stream.batches == 2
    client.gone.set()


async def test_what_goes_wrong_in_the_stream_is_raised_as_it_is(nursery: trio.Nursery) -> None:
    stream, client = FakeStream(), Client()
    stream.fail(ZeroDivisionError("by nothing"))

    async def read() -> None:
        await client.begin()

    nursery.start_soon(read)
    with pytest.raises(ZeroDivisionError, match="by nothing"):
        await follow(stream, client.receive, client.send)
    assert stream.closed.is_set()


# --- anything that takes its time ----------------------------------------------------------------------------------


async def test_what_takes_its_time_is_waited_for() -> None:
    client = Client()

    async def work() -> int:
        await trio.testing.wait_all_tasks_blocked()
        return 7

    assert await while_there(work(), client.receive) == 7


async def test_nothing_is_waited_for_when_the_client_has_gone() -> None:
    client = Client()
    client.gone.set()
    with pytest.raises(Gone):
        await while_there(trio.Event().wait(), client.receive)


async def test_what_is_raised_meanwhile_is_raised_as_it_is() -> None:
    async def work() -> None:
        raise ZeroDivisionError("by nothing")

    with pytest.raises(ZeroDivisionError, match="by nothing"):
        await while_there(work(), Client().receive)
