from __future__ import annotations

import socket
from collections.abc import AsyncIterator

import pytest
import trio
import trio.testing
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


class Recorded(socket.socket):
    """A socket that remembers how much it was given at a time."""

    sizes: list[int]

    def send(self, data: bytes | memoryview, flags: int = 0, /) -> int:  # type: ignore[override]
        self.sizes.append(len(data))
        return super().send(data, flags)


@pytest.fixture
async def recorded() -> AsyncIterator[tuple[Leg, Recorded, socket.socket]]:
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()) as peer:
        accepted, _ = listener.accept()
        sock = Recorded(fileno=accepted.detach())
        sock.sizes = []
        leg = Leg(sock, End.INITIATOR)
        yield leg, sock, peer
        leg.close()


async def test_a_throttled_leg_sends_slices(recorded: tuple[Leg, Recorded, socket.socket]) -> None:
    leg, sock, peer = recorded
    leg.throttle(100_000, 3, 1)
    assert repr(leg).endswith(" open throttled>")
    assert leg.try_send(b"at once") == 0, "the fast path has no patience"
    assert await leg.send(b"0123456789")
    assert sock.sizes == [3, 3, 3, 1]
    assert peer.recv(100) == b"0123456789"
    leg.resume(1)
    assert leg.try_send(b"at once") == 7


async def test_the_time_between_slices_is_that_of_the_rate(
    autojump_clock: trio.testing.MockClock,  # noqa: ARG001 -- sets the clock by being there
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()):
        accepted, _ = listener.accept()
        leg = Leg(accepted, End.INITIATOR)
        leg.throttle(100, 10, 1)
        begun = trio.current_time()
        await leg.send(bytes(100))
        # The first slice owes nothing, the last one is paid for by whoever comes next.
        assert trio.current_time() - begun == pytest.approx(0.9, abs=0.021)
        await leg.send(bytes(1))
        assert trio.current_time() - begun == pytest.approx(1.0, abs=0.021)
        await trio.sleep(60)
        begun = trio.current_time()
        await leg.send(bytes(100))
        assert trio.current_time() - begun == pytest.approx(0.9, abs=0.021), "a silence saves nothing up"
        leg.close()


async def test_of_several_throttles_the_smallest_numbers_hold(recorded: tuple[Leg, Recorded, socket.socket]) -> None:
    leg, sock, _ = recorded
    leg.throttle(1_000_000, 2, 1)
    leg.throttle(500_000, 5, 2)
    await leg.send(bytes(4))
    leg.resume(1)
    await leg.send(bytes(10))
    leg.resume(2)
    leg.resume(2)
    await leg.send(bytes(10))
    assert sock.sizes == [2, 2, 5, 5, 10]


async def test_slices_of_drawn_sizes_are_the_same_on_every_run(
    recorded: tuple[Leg, Recorded, socket.socket],
) -> None:
    leg, sock, peer = recorded
    runs = []
    for seed in (7, 7, 8):
        leg.throttle(1 << 40, 2, 1, most=9, seed=seed)
        await leg.send(bytes(200))
        leg.resume(1)
        runs.append(list(sock.sizes))
        sock.sizes.clear()
        assert peer.recv(200, socket.MSG_WAITALL) == bytes(200)
    assert runs[0] == runs[1] != runs[2]
    assert {size for run in runs for size in run[:-1]} == set(range(2, 10))
    leg.throttle(1 << 40, 2, 1, most=9, seed=7)
    leg.throttle(1 << 40, 3, 2)
    await leg.send(bytes(200))
    assert set(sock.sizes[:-1]) == {2, 3}


async def test_the_end_of_a_throttle_lets_the_rest_go_at_once(recorded: tuple[Leg, Recorded, socket.socket]) -> None:
    leg, sock, peer = recorded
    leg.throttle(1, 1, 1)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(leg.send, bytes(1000))
        await wait_all_tasks_blocked()
        assert sock.sizes == [1]
        leg.resume(1)
    assert sock.sizes == [1, 999]
    assert len(peer.recv(2000)) == 1000


async def test_a_throttled_leg_may_be_stalled_shut_and_closed(recorded: tuple[Leg, Recorded, socket.socket]) -> None:
    leg, sock, _ = recorded
    leg.throttle(1, 1, 1)
    went: list[bool] = []

    async def send(count: int) -> None:
        went.append(await leg.send(bytes(count)))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(send, 10)
        await wait_all_tasks_blocked()
        leg.stall(2)
        leg.resume(1)
        await wait_all_tasks_blocked()
        assert sock.sizes == [1]
        leg.resume(2)
    leg.throttle(1, 1, 3)
    leg._next_slice = float("inf")
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(send, 10)
            await wait_all_tasks_blocked()
            leg.close()
    assert went == [True, False]
