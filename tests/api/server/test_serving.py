from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from iscsiproxy.api.address import ApiAddress
from iscsiproxy.api.client import AsyncClient, AsyncEvents, Unreachable
from iscsiproxy.api.models import Injected, Recording
from iscsiproxy.api.server import serving as module
from iscsiproxy.errors import UsageError
from tests.api.fakes import FakeControl, event
from tests.api.served import LOOPBACK, serving

__all__: list[str] = []

RECORDING = Recording(on=False, lines=())
ASKED = b"GET /v1/recording HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture
def path(tmp_path: Path) -> ApiAddress:
    return ApiAddress(path=tmp_path / "x.sock")


@pytest.fixture
def control() -> FakeControl:
    return FakeControl(recording=RECORDING)


async def connected(address: ApiAddress) -> trio.SocketStream:
    assert address.path is not None
    return await trio.open_unix_socket(address.path)


async def read(stream: trio.SocketStream, ending: bytes) -> bytes:
    data = b""
    while not data.endswith(ending):
        piece = await stream.receive_some()
        assert piece, data
        data += piece
    return data


async def test_it_answers_on_a_socket_and_on_loopback(control: FakeControl, path: ApiAddress) -> None:
    for address in (path, LOOPBACK):
        async with serving(control, address) as bound, AsyncClient(bound) as client:
            assert await client.recording() == RECORDING
    assert control.crashes == []


async def test_it_says_at_once_that_it_cannot_listen(control: FakeControl, tmp_path: Path) -> None:
    async with trio.open_nursery() as nursery:
        with pytest.raises(UsageError, match="cannot listen at"):
            await nursery.start(module.serve_api, control, ApiAddress(path=tmp_path / "no" / "x"))


async def test_several_clients_are_served_at_a_time(control: FakeControl, path: ApiAddress) -> None:
    waiting = trio.Event()
    answer = Injected(rule="", sent=None, asks=False, answer=None)

    async def later(_: object) -> Injected:
        await waiting.wait()
        return answer

    control.answers["inject"] = later
    async with (
        serving(control, path),
        AsyncClient(path) as one,
        AsyncClient(path) as two,
        trio.open_nursery() as nursery,
    ):

        async def inject() -> None:
            assert await one.inject(pdu="NOP-In") == answer

        nursery.start_soon(inject)
        while not control.asked:
            assert await two.recording() == RECORDING
            control.asked = [asked for asked in control.asked if asked[0] == "inject"]
        waiting.set()


async def test_a_connection_serves_many_requests(control: FakeControl, path: ApiAddress) -> None:
    async with serving(control, path):
        stream = await connected(path)
        for _ in range(5):
            await stream.send_all(ASKED)
            assert b"200" in await read(stream, b'"lines":[]}')
        await stream.aclose()


# --- nobody attaches -----------------------------------------------------------------------------------------------

_LOADED = """
import sys, trio
from tests.api.fakes import FakeControl
from iscsiproxy.api.client import ApiAddress, AsyncClient, find
from iscsiproxy.api.models import Injected, Recording
from iscsiproxy.api.server.serving import serve_api
from pathlib import Path

def stack():
    return sorted({name.partition(".")[0] for name in sys.modules} & {"starlette", "hypercorn", "jinja2"})

async def main():
    address = ApiAddress(path=Path(sys.argv[1]))
    async with trio.open_nursery() as nursery:
        await nursery.start(serve_api, FakeControl(recording=Recording(on=False, lines=())), address)
        print(stack())
        assert find(address.path.parent) == (address,)
        await trio.testing.wait_all_tasks_blocked(0.05)
        print(stack())
        async with AsyncClient(address) as client:
            await client.recording()
        print(stack())
        nursery.cancel_scope.cancel()

import trio.testing
trio.run(main)
"""


def test_what_speaks_http_is_imported_when_somebody_speaks(tmp_path: Path) -> None:
    """Neither to listen nor to be found takes it."""
    tmp_path.chmod(0o700)
    command = [sys.executable, "-X", "dev", "-W", "error", "-c", _LOADED, str(tmp_path / "x.sock")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["[]", "[]", "['hypercorn', 'starlette']"]
    assert done.stderr == ""


async def test_an_error_while_it_is_loaded_is_told_and_the_next_client_tries_again(
    control: FakeControl, path: ApiAddress, monkeypatch: pytest.MonkeyPatch
) -> None:
    load, tried = module._load, []

    def first_fails(*args: Any) -> Any:
        tried.append(args)
        if len(tried) == 1:
            raise ImportError("no hypercorn")
        return load(*args)

    monkeypatch.setattr(module, "_load", first_fails)
    async with serving(control, path), AsyncClient(path) as client:
        with pytest.raises(Unreachable):
            await client.recording()
        assert [str(crash) for crash in control.crashes] == ["no hypercorn"]
        assert await client.recording() == RECORDING


# --- clients that misbehave ----------------------------------------------------------------------------------------


async def test_a_client_that_goes_is_noticed_and_its_stream_closed(control: FakeControl, path: ApiAddress) -> None:
    async with serving(control, path):
        stream = await connected(path)
        await stream.send_all(b"GET /v1/events HTTP/1.1\r\nHost: x\r\n\r\n")
        await read(stream, b"\r\n\r\n")
        assert not control.streams[0].closed.is_set()
        await stream.aclose()
        await control.streams[0].closed.wait()


async def test_one_that_went_with_another_request_on_its_lips_is_noticed_when_it_is_sent_to(
    control: FakeControl, path: ApiAddress
) -> None:
    async with serving(control, path):
        stream = await connected(path)
        await stream.send_all(b"GET /v1/events HTTP/1.1\r\nHost: x\r\n\r\n" + ASKED)
        await read(stream, b"\r\n\r\n")
        await stream.aclose()
        while not control.streams[0].closed.is_set():
            control.streams[0].put(event(1))
            await trio.testing.wait_all_tasks_blocked()
        # And nothing of it is left: the server has room for its full number of others.
        others = [await connected(path) for _ in range(module._MOST_LINES)]
        for other in others:
            await other.send_all(ASKED)
            await read(other, b'"lines":[]}')
            await other.aclose()


async def test_a_client_too_many_is_turned_away_until_another_goes(control: FakeControl, path: ApiAddress) -> None:
    async with serving(control, path), AsyncClient(path) as client:
        others = [await connected(path) for _ in range(module._MOST_LINES)]
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(Unreachable):
            await client.recording()
        await others.pop().aclose()
        await trio.testing.wait_all_tasks_blocked()
        assert await client.recording() == RECORDING
        for other in others:
            await other.aclose()


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(b"\r\n\r\n\r\n", id="empty"),
        pytest.param(b"nonsense\r\n\r\n", id="nonsense"),
        pytest.param(b"GET /\xff HTTP/1.1\r\n\r\n", id="no-ascii"),
        pytest.param(b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * 20_000, id="endless"),
        pytest.param(b"\0", id="zero"),
    ],
)
async def test_what_is_no_http_costs_only_its_own_connection(
    control: FakeControl, path: ApiAddress, said: bytes
) -> None:
    async with serving(control, path), AsyncClient(path) as client:
        stream = await connected(path)
        try:
            await stream.send_all(said)
            await stream.send_eof()
            answer = await stream.receive_some()
        except trio.BrokenResourceError:
            answer = b""
        assert answer == b"" or answer.startswith(b"HTTP/1.1 4")
        await stream.aclose()
        assert await client.recording() == RECORDING
    assert control.crashes == []


async def test_a_body_that_is_far_too_large_is_heard_out_and_refused(control: FakeControl, path: ApiAddress) -> None:
    async with serving(control, path):
        stream = await connected(path)
        await stream.send_all(b"POST /v1/clear HTTP/1.1\r\nHost: x\r\nContent-Length: 8388608\r\n\r\n")
        await stream.send_all(bytes(8 << 20))
        assert b" 413 " in await read(stream, b"]}")
        await stream.send_all(ASKED)
        assert b" 200 " in await read(stream, b'"lines":[]}')
        await stream.aclose()


async def test_a_client_that_says_no_more_still_gets_its_answer(control: FakeControl, path: ApiAddress) -> None:
    async with serving(control, path):
        stream = await connected(path)
        await stream.send_all(ASKED)
        await stream.send_eof()
        assert b" 200 " in await read(stream, b'"lines":[]}')
        await stream.aclose()


async def test_a_client_that_goes_waits_for_no_answer(control: FakeControl, path: ApiAddress) -> None:
    ended = trio.Event()

    async def later(_: object) -> Injected:
        try:
            await trio.sleep_forever()
        finally:
            ended.set()

    control.answers["inject"] = later
    async with serving(control, path):
        stream = await connected(path)
        await stream.send_all(b'POST /v1/inject HTTP/1.1\r\nHost: x\r\nContent-Length: 16\r\n\r\n{"pdu":"NOP-In"}')
        while not control.asked:
            await trio.testing.wait_all_tasks_blocked(0.01)
        await stream.aclose()
        await ended.wait()
    assert control.crashes == []


async def test_an_error_in_a_stream_breaks_it_off(control: FakeControl, path: ApiAddress) -> None:
    async with serving(control, path), AsyncClient(path) as client:
        async with client.events() as events:
            control.streams[0].put(event(1))
            control.streams[0].fail(ZeroDivisionError("by nothing"))
            assert (await anext(events)).n == 1
            with pytest.raises(Unreachable, match="has gone"):
                await anext(events)
        assert control.streams[0].closed.is_set()
        assert [repr(crash) for crash in control.crashes] == ["ZeroDivisionError('by nothing')"]
        assert await client.recording() == RECORDING


# --- the end -------------------------------------------------------------------------------------------------------


async def test_the_end_closes_what_is_open_at_once(control: FakeControl, path: ApiAddress) -> None:
    async with AsyncClient(path) as client, trio.open_nursery() as clients:
        async with trio.open_nursery() as server:
            await server.start(module.serve_api, control, path)
            idle, spoke = await connected(path), await connected(path)
            await spoke.send_all(ASKED)
            await read(spoke, b'"lines":[]}')
            events = await client.events().__aenter__()
            clients.start_soon(_closed, idle)
            clients.start_soon(_closed, spoke)
            clients.start_soon(_ends, events)
            await trio.testing.wait_all_tasks_blocked()
            server.cancel_scope.cancel()
        assert control.streams[0].closed.is_set()
        assert path.path is not None
        assert not path.path.exists()
    assert control.crashes == []


async def _ends(events: AsyncEvents) -> None:
    async with events:
        with pytest.raises(Unreachable, match="has gone"):
            await anext(events)


async def _closed(stream: trio.SocketStream) -> None:
    assert await stream.receive_some() == b""
    await stream.aclose()


@pytest.mark.parametrize("address", ["socket", "loopback"])
async def test_the_end_does_not_wait_for_a_client_that_does_not_read(
    control: FakeControl, path: ApiAddress, address: str
) -> None:
    async with trio.open_nursery() as server:
        bound = await server.start(module.serve_api, control, path if address == "socket" else LOOPBACK)
        async with AsyncClient(bound) as client:
            await client.events().__aenter__()
            (stream,) = control.streams
            for n in range(100):
                stream.put(event(n, "x" * 1_000_000))
            fetched = -1
            while stream.batches != fetched:
                fetched = stream.batches
                await trio.testing.wait_all_tasks_blocked(0.05)
            assert fetched < 100
            with trio.CancelScope(shield=True), trio.fail_after(5):
                server.cancel_scope.cancel()
                await stream.closed.wait()
    assert control.crashes == []


async def test_a_request_in_hand_ends_with_the_server(control: FakeControl, path: ApiAddress) -> None:
    ended = trio.Event()

    async def later(_: object) -> Recording:
        try:
            await trio.sleep_forever()
        finally:
            ended.set()

    control.answers["inject"] = later
    async with AsyncClient(path) as client, trio.open_nursery() as clients:
        async with trio.open_nursery() as server:
            await server.start(module.serve_api, control, path)

            async def inject() -> None:
                with pytest.raises(Unreachable, match="has gone"):
                    await client.inject(pdu="NOP-In", wait=1000)

            clients.start_soon(inject)
            while not control.asked:
                await trio.testing.wait_all_tasks_blocked(0.01)
            server.cancel_scope.cancel()
        assert ended.is_set()
