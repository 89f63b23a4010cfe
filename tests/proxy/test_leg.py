from __future__ import annotations

import socket
from collections.abc import AsyncIterator

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from iscsiproxy.proxy.leg import Leg
from iscsiproxy.wire.opcodes import End


@pytest.fixture
async def ends() -> AsyncIterator[tuple[Leg, socket.socket]]:
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()) as peer:
        sock, _ = listener.accept()
        leg = Leg(sock, End.INITIATOR)
        yield leg, peer
        leg.close()


async def test_addresses_and_what_it_says_of_itself(ends: tuple[Leg, socket.socket]) -> None:
    leg, peer = ends
    assert str(leg.peer) == "{}:{}".format(*peer.getsockname())
    assert str(leg.local) == "{}:{}".format(*peer.getpeername())
    assert repr(leg).endswith(" open>")
    leg.stall(1)
    assert repr(leg).endswith(" stalled>")
    leg.close()
    assert repr(leg).endswith(" closed>")


async def test_send_waits_for_the_end_of_every_stall(ends: tuple[Leg, socket.socket]) -> None:
    leg, peer = ends
    leg.stall(1)
    leg.stall(2)
    assert leg.try_send(b"now") == 0
    async with trio.open_nursery() as nursery:
        nursery.start_soon(leg.send, b"later")
        leg.resume(1)
        leg.resume(99)
        await wait_all_tasks_blocked()
        assert leg.stalled
        leg.resume(2)
    assert peer.recv(100) == b"later"


async def test_send_blocks_while_the_peer_does_not_read(ends: tuple[Leg, socket.socket]) -> None:
    leg, peer = ends
    data = bytes(range(256)) * 40000
    got = bytearray()

    def read() -> None:
        while len(got) < len(data):
            got.extend(peer.recv(1 << 20))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(leg.send, data)
        await wait_all_tasks_blocked()
        await trio.to_thread.run_sync(read)
    assert bytes(got) == data


async def test_a_shut_leg_drops_what_is_sent_and_still_receives(ends: tuple[Leg, socket.socket]) -> None:
    leg, peer = ends
    assert leg.shut()
    assert not leg.shut()
    assert not await leg.send(b"into the void")
    assert peer.recv(1) == b""
    peer.sendall(b"x")
    await leg.readable()
    assert leg.receive_into(bytearray(10)) == 1


async def test_reset_and_close_are_news_once(ends: tuple[Leg, socket.socket]) -> None:
    leg, peer = ends
    closed: list[bool] = []
    leg.on_close = lambda: closed.append(leg.closed)
    assert leg.reset()
    assert not leg.reset()
    leg.close()
    assert closed == [True]
    with pytest.raises(ConnectionResetError):
        peer.recv(1)


async def test_closing_wakes_whoever_waits(ends: tuple[Leg, socket.socket]) -> None:
    leg, _ = ends
    leg.stall(1)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(leg.unstalled)
        nursery.start_soon(leg.send, b"x")
        await wait_all_tasks_blocked()
        leg.close()
