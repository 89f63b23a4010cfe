from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio

from iscsiproxy.api.client import ApiAddress, ApiError, AsyncClient, Client, Unreachable, find
from iscsiproxy.api.models import Injected, Kill, Recording, RecordingSwitch
from iscsiproxy.api.server.app import make_app
from iscsiproxy.api.server.refusal import Refusal
from iscsiproxy.errors import UsageError
from tests.api.fakes import FakeControl, event
from tests.api.served import LOOPBACK, serving

__all__: list[str] = []

RECORDING = Recording(on=False, lines=("drop any PDU",))


@pytest.fixture
def control() -> FakeControl:
    return FakeControl(recording=RECORDING)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "x.sock"


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    directory = tmp_path / "iscsiproxy"
    directory.mkdir(mode=0o700)
    return directory


# --- what both can do ----------------------------------------------------------------------------------------------


def plainly(address: ApiAddress) -> None:
    """Do a bit of everything, as a plain program does."""
    with Client(address) as client:
        assert client.recording() == RECORDING
        assert client.record(on=True) == RECORDING
        with pytest.raises(ApiError, match=r"^no such connection \(there is 1\)$") as caught:
            client.kill(3, how="fin")
        assert (caught.value.status, caught.value.error) == (404, "not_found")
        with client.events(pdus=True) as events:
            assert client.inject(pdu="NOP-In").rule == "by hand"
            assert [next(events).n, next(events).n, next(events).n] == [1, 2, 3]
        assert list(events) == []
        with client.events(limit=3) as events:
            client.inject(pdu="NOP-In")
            assert [one.text for one in events] == ["a", "b\u2028", "c"]
        with pytest.raises(ApiError, match="no such field"):
            client.events(where="x")


async def awaited(address: ApiAddress) -> None:
    """Do the same, as an asynchronous program does."""
    async with AsyncClient(address) as client:
        assert await client.recording() == RECORDING
        assert await client.record(on=True) == RECORDING
        with pytest.raises(ApiError, match=r"^no such connection \(there is 1\)$") as caught:
            await client.kill(3, how="fin")
        assert (caught.value.status, caught.value.error) == (404, "not_found")
        async with client.events(pdus=True) as events:
            assert (await client.inject(pdu="NOP-In")).rule == "by hand"
            assert [(await anext(events)).n for _ in range(3)] == [1, 2, 3]
        assert [one async for one in events] == []
        async with client.events(limit=3) as events:
            await client.inject(pdu="NOP-In")
            assert [one.text async for one in events] == ["a", "b\u2028", "c"]
        with pytest.raises(ApiError, match="no such field"):
            await anext(client.events(where="x"))


class Lively(FakeControl):
    """Something happens when something is injected."""

    def __init__(self) -> None:
        super().__init__(
            recording=RECORDING,
            record=RECORDING,
            kill=Refusal(404, "no such connection", hint="there is 1"),
            inject=self._happen,
        )

    def _happen(self, _: object) -> Injected:
        stream = self.streams[-1]
        stream.put(event(1, "a"), event(2, "b\u2028"))
        stream.put(event(3, "c"))
        stream.put()
        return Injected(rule="by hand", sent=None, asks=False, answer=None)

    def events(self, query: Any) -> Any:
        if query.where:
            raise Refusal(400, "no such field")
        return super().events(query)


ASKED = [
    ("recording",),
    ("record", RecordingSwitch(on=True)),
    ("kill", 3, Kill(how="fin")),
]


@pytest.mark.parametrize("where", ["socket", "loopback"])
async def test_a_plain_program(path: Path, where: str) -> None:
    control = Lively()
    async with serving(control, ApiAddress(path=path) if where == "socket" else LOOPBACK) as address:
        await trio.to_thread.run_sync(plainly, address)
    assert control.asked[:3] == ASKED
    assert all(stream.closed.is_set() for stream in control.streams)


@pytest.mark.parametrize("where", ["socket", "loopback"])
async def test_a_program_under_trio(path: Path, where: str) -> None:
    control = Lively()
    async with serving(control, ApiAddress(path=path) if where == "socket" else LOOPBACK) as address:
        await awaited(address)
    assert control.asked[:3] == ASKED
    assert all(stream.closed.is_set() for stream in control.streams)


@pytest.mark.parametrize("where", ["socket", "loopback"])
async def test_a_program_under_asyncio(path: Path, where: str) -> None:
    control = Lively()
    async with serving(control, ApiAddress(path=path) if where == "socket" else LOOPBACK) as address:
        await trio.to_thread.run_sync(lambda: asyncio.run(awaited(address)))
    assert control.asked[:3] == ASKED
    assert all(stream.closed.is_set() for stream in control.streams)


async def test_a_transport_may_be_given(control: FakeControl) -> None:
    transport = httpx.ASGITransport(make_app(control, token="mine"))
    async with AsyncClient(transport=transport, token="mine") as client:
        assert await client.recording() == RECORDING
    async with AsyncClient("http://localhost", transport=transport) as client:
        with pytest.raises(ApiError, match="wants a token") as caught:
            await client.recording()
    assert caught.value.status == 401


# --- where it is ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["{path}", "unix:{path}"])
async def test_an_address_is_a_text_or_a_path(control: FakeControl, path: Path, form: str) -> None:
    async with serving(control, ApiAddress(path=path)):
        for address in (form.format(path=path), path):
            async with AsyncClient(address) as client:
                assert await client.recording() == RECORDING


async def test_the_token_is_taken_from_the_environment(control: FakeControl, monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(control) as bound:
        monkeypatch.setenv("ISCSIPROXY_TOKEN", str(bound.token))
        monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
        async with AsyncClient(f"{bound.host}:{bound.port}") as client:
            assert await client.recording() == RECORDING


async def test_the_only_proxy_that_runs_here_needs_no_address(control: FakeControl, directory: Path) -> None:
    with pytest.raises(Unreachable, match=r"^no proxy with an API runs here; say where it is, or start one"):
        Client()
    one, two = (ApiAddress(path=directory / name) for name in ("1.sock", "2.sock"))
    async with serving(control, one):
        async with AsyncClient() as client:
            assert client.address == one
            assert await client.recording() == RECORDING
        async with serving(control, two):
            with pytest.raises(UsageError, match=f"several proxies run here; say which: {one}, {two}$"):
                Client()


async def test_proxies_are_found_while_they_answer(control: FakeControl, directory: Path) -> None:
    assert find() == ()
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(directory / "0.sock"))
    async with serving(control, ApiAddress(path=directory / "2.sock")):
        async with serving(control, ApiAddress(path=directory / "1.sock")):
            assert [str(one) for one in find()] == [f"{directory}/1.sock", f"{directory}/2.sock"]
        assert [str(one) for one in find(directory)] == [f"{directory}/2.sock"]


def test_nothing_is_found_where_others_could_have_put_it(directory: Path) -> None:
    directory.chmod(0o777)
    with pytest.raises(UsageError, match="is open to others"):
        find()
    assert find(directory / "none") == ()


# --- nobody there --------------------------------------------------------------------------------------------------


def test_where_nobody_is() -> None:
    with (
        Client("/nowhere/x.sock") as client,
        pytest.raises(Unreachable, match=r"^no proxy answers at /nowhere/x.sock: nobody listens there"),
    ):
        client.proxy()
    with (
        Client("127.0.0.1:1") as client,
        pytest.raises(Unreachable, match=r"^no proxy answers at http://127.0.0.1:1: "),
    ):
        client.events()


async def test_where_nobody_answers(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(path))
        silent.listen()
        async with AsyncClient(path, timeout=0.05) as client:
            with pytest.raises(Unreachable, match=f"^the proxy at {path} does not answer$"):
                await client.proxy()


async def test_an_injection_may_take_longer(control: FakeControl, path: Path) -> None:
    async def later(_: object) -> Injected:
        await trio.sleep(0.2)
        return Injected(rule="by hand", sent=None, asks=False, answer=None)

    control.answers["inject"] = later
    async with serving(control, ApiAddress(path=path)), AsyncClient(path, timeout=0.05) as client:
        assert (await client.inject(pdu="NOP-In", wait=10)).rule == "by hand"


def test_a_client_says_what_it_is_and_never_its_token() -> None:
    client = Client("127.0.0.1:1", token="mine")
    assert repr(client) == "<Client of http://127.0.0.1:1>"
    client.close()
    assert repr(client) == "<Client of http://127.0.0.1:1, closed>"
