from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable

import pytest
import trio
import trio.testing

from iscsiproxy.peers.initiator.errors import ConnectionLost, LoginFailed, ProtocolError, Redirected
from iscsiproxy.peers.initiator.session import discover, log_in, open_session
from iscsiproxy.peers.stream import PduStream
from iscsiproxy.wire.fields import NO_TAG
from iscsiproxy.wire.opcodes import Opcode
from iscsiproxy.wire.pdu import Pdu
from iscsiproxy.wire.text import encode_text
from tests.peers.initiator.script import SETTINGS, Script, login_response

Play = Callable[[Script], Awaitable[None]]


def stage(nursery: trio.Nursery, play: Play) -> Callable[[], Awaitable[trio.abc.Stream]]:
    """Give a connector whose other end is played by `play`."""

    async def connect() -> trio.abc.Stream:
        ours, theirs = trio.testing.memory_stream_pair()
        nursery.start_soon(play, Script(PduStream(theirs)))
        await trio.lowlevel.checkpoint()
        return ours

    return connect


async def welcome(target: Script) -> None:
    await target.log_in({})
    await target.log_out()
    assert await target.closed()


async def test_a_block_that_ends_well_logs_out_and_closes() -> None:
    async with trio.open_nursery() as nursery, open_session(stage(nursery, welcome), SETTINGS) as session:
        assert session.tsih == 7
        assert ("HeaderDigest", "None") in session.login_keys
    assert session.failure is not None


async def test_a_block_that_fails_closes_and_its_error_comes_through_as_it_is() -> None:
    async def play(target: Script) -> None:
        await target.log_in({})
        assert await target.closed()

    async with trio.open_nursery() as nursery:
        with pytest.raises(KeyError, match="mine"):
            async with open_session(stage(nursery, play), SETTINGS):
                raise KeyError("mine")


async def test_a_block_that_is_cancelled_closes() -> None:
    async def play(target: Script) -> None:
        await target.log_in({})
        assert await target.closed()

    async with trio.open_nursery() as nursery:
        with trio.CancelScope() as scope:
            async with open_session(stage(nursery, play), SETTINGS):
                scope.cancel()
                await trio.lowlevel.checkpoint()
        assert scope.cancelled_caught


async def test_a_target_that_ignores_the_logout_is_left(
    autojump_clock: trio.testing.MockClock,  # noqa: ARG001 -- sets the clock by being there
) -> None:
    async def play(target: Script) -> None:
        await target.log_in({})
        await target.receive(Opcode.LOGOUT_REQUEST)
        assert await target.closed()

    async with trio.open_nursery() as nursery:
        async with open_session(stage(nursery, play), SETTINGS.changed(logout_timeout=3)):
            pass
        assert trio.current_time() == 3


async def test_discovery() -> None:
    async def play(target: Script) -> None:
        await target.log_in({})
        assert target.offers["SessionType"] == "Discovery"
        request = await target.receive(Opcode.TEXT_REQUEST)
        answer = encode_text([("TargetName", "iqn.a"), ("TargetAddress", "127.0.0.1:3260,1")])
        await target.send(Pdu.build(Opcode.TEXT_RESPONSE, F=1, ITT=request["ITT"], TTT=NO_TAG, data=answer))
        assert (await target.log_out())["ReasonCode"] == 0
        assert await target.closed()

    async with trio.open_nursery() as nursery:
        [record] = await discover(stage(nursery, play), SETTINGS)
    assert (record.name, record.addresses) == ("iqn.a", ("127.0.0.1:3260,1",))


async def refuse(target: Script) -> None:
    await target.send(login_response(await target.receive(), Status_Class=2, Status_Detail=1))
    assert await target.closed()


async def hang_up(target: Script) -> None:
    await target.receive()
    await target.aclose()


async def babble(target: Script) -> None:
    await target.receive()
    await target.stream.send_bytes(b"HTTP/1.1 400 Bad Request\r\n\r\n" + bytes(300))
    assert await target.closed()


async def be_silent(target: Script) -> None:
    await target.receive()
    assert await target.closed()


async def redirect(target: Script) -> None:
    request = await target.receive()
    await target.send(login_response(request, {"TargetAddress": "127.0.0.1"}, Status_Class=1, Status_Detail=2))
    assert await target.closed()


@pytest.mark.parametrize(
    ("play", "error"),
    [
        (refuse, LoginFailed),
        (hang_up, ConnectionLost),
        (babble, ProtocolError),
        (be_silent, ConnectionLost),
        (redirect, Redirected),
    ],
)
async def test_a_login_that_fails_closes(
    play: Play,
    error: type[ConnectionLost],
    autojump_clock: trio.testing.MockClock,  # noqa: ARG001 -- sets the clock by being there
) -> None:
    async with trio.open_nursery() as nursery:
        with pytest.raises(error):
            await log_in(stage(nursery, play), SETTINGS.changed(login_timeout=3))


async def test_nobody_there_is_a_lost_connection() -> None:
    async def connect() -> trio.abc.Stream:
        await trio.lowlevel.checkpoint()
        raise ConnectionRefusedError

    with pytest.raises(ConnectionLost, match="no connection"):
        await log_in(connect, SETTINGS)


async def test_where_nobody_is_and_why() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(ConnectionLost, match=rf"^no connection to 127\.0\.0\.1 port {port}: Connection refused$"):
        await log_in(("127.0.0.1", port), SETTINGS)


async def test_a_redirection_is_followed_but_not_for_ever() -> None:
    async def serve(stream: trio.SocketStream) -> None:
        target = Script(PduStream(stream))
        request = await target.receive()
        logins.append(request)
        if len(logins) < 3:
            keys = {"TargetAddress": f"127.0.0.1:{port}"}
            await target.send(login_response(request, keys, Status_Class=1, Status_Detail=1))
        else:
            await target.send(login_response(request, Status_Class=2, Status_Detail=3))
        assert await target.closed()

    logins: list[Pdu] = []
    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        port: int = listeners[0].socket.getsockname()[1]
        nursery.start_soon(trio.serve_listeners, serve, listeners)
        with pytest.raises(LoginFailed, match="NOT_FOUND"):
            await log_in(("127.0.0.1", port), SETTINGS)
        assert len(logins) == 3
        logins.clear()
        with pytest.raises(Redirected):
            await log_in(("127.0.0.1", port), SETTINGS.changed(redirections=1))
        assert len(logins) == 2
        nursery.cancel_scope.cancel()
