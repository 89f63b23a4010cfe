from __future__ import annotations

import socket
import struct

import trio

from iscsiproxy.proxy.poller import Poller

_RESET = struct.pack("ii", 1, 0)


def _tcp() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        one = socket.create_connection(listener.getsockname())
        other, _ = listener.accept()
    one.setblocking(False)
    return one, other


async def test_it_tells_of_data_of_the_end_and_of_a_failure() -> None:
    poller = Poller()
    ours, theirs = _tcp()
    told: list[tuple[bool, bool]] = []
    news = trio.Event()

    def call(ended: bool, failed: bool) -> bool:
        told.append((ended, failed))
        news.set()
        return True

    poller.register(ours.fileno(), call)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(poller.run)
        theirs.sendall(b"x")
        await news.wait()
        assert told == [(False, False)]
        assert ours.recv(10) == b"x"
        news = trio.Event()
        theirs.shutdown(socket.SHUT_WR)
        await news.wait()
        assert told[-1] == (True, False)
        news = trio.Event()
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        theirs.close()
        await news.wait()
        assert told[-1] == (True, True)
        nursery.cancel_scope.cancel()
    poller.unregister(ours.fileno())
    poller.unregister(ours.fileno())
    poller.close()
    ours.close()


async def test_what_is_unregistered_by_another_call_is_not_called() -> None:
    poller = Poller()
    pairs = [_tcp() for _ in range(2)]
    called: list[int] = []
    done = trio.Event()

    def call_of(index: int) -> None:
        def call(ended: bool, failed: bool) -> bool:
            called.append(index)
            poller.unregister(pairs[1 - index][0].fileno())
            done.set()
            return ended and failed

        poller.register(pairs[index][0].fileno(), call)

    for index, (_, theirs) in enumerate(pairs):
        call_of(index)
        theirs.sendall(b"x")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(poller.run)
        await done.wait()
        nursery.cancel_scope.cancel()
    assert len(called) == 1
    poller.close()
    for ours, theirs in pairs:
        ours.close()
        theirs.close()
