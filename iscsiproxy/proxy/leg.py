"""One TCP connection of the proxy: the initiator leg or the target leg of a pair.

A leg only moves bytes. It never blocks the loop and uses the raw socket: `receive_into` and `try_send` are the socket's
own calls, and the scheduler is entered only when the kernel has nothing to give or to take, or a fault asks for time.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from random import Random

import trio

from iscsiproxy.proxy.address import Address
from iscsiproxy.wire.opcodes import End

__all__ = ["Leg"]

#: How much too late a slice may be, in seconds, for the next one to make up for it.
_LATE = 0.02

#: l_onoff, l_linger: close at once with a RST
_RESET = struct.pack("ii", 1, 0)


class Leg:
    """A connected, non-blocking TCP socket and how far it is closed. Owns the socket: `close` or `reset` ends it."""

    def __init__(self, sock: socket.socket, end: End) -> None:
        sock.setblocking(False)
        if sock.family in (socket.AF_INET, socket.AF_INET6):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.end = end
        self.local = Address.of(sock.getsockname())
        self.peer = Address.of(sock.getpeername())
        self.header_digest = False
        self.data_digest = False
        self.writable = True  #: nobody has closed our sending side
        self.discard = False  #: what comes in is read and thrown away
        self.closed = False
        self.receive_into = sock.recv_into
        self.fileno = sock.fileno()
        self.on_close: Callable[[], None] | None = None  #: called just before the socket is closed
        self._sock = sock
        self._stalls: set[int] = set()
        self._resumed = trio.Event()
        self._throttles: dict[int, tuple[int, Callable[[], int]]] = {}  # by token: bytes in a second, bytes at a time
        self._next_slice = 0.0
        self._unthrottled = trio.Event()

    def __repr__(self) -> str:
        state = "closed" if self.closed else "stalled" if self._stalls else "open" if self.writable else "half-closed"
        state += " throttled" if self._throttles else ""
        return f"<Leg {self.end} {self.local}-{self.peer} {state}>"

    @property
    def digests(self) -> tuple[bool, bool]:
        """Whether PDUs on this leg carry header and data digests now."""
        return self.header_digest, self.data_digest

    @property
    def stalled(self) -> bool:
        """Whether a fault forbids reading and writing now."""
        return bool(self._stalls)

    async def readable(self) -> None:
        """Wait until there is something to receive, an end or an error, and no stall.

        Raises trio.ClosedResourceError when the leg is closed meanwhile.
        """
        await trio.lowlevel.wait_readable(self._sock)
        await self.unstalled()

    async def unstalled(self) -> None:
        """Wait until no fault stalls the leg."""
        while self._stalls:
            await self._resumed.wait()

    def try_send(self, data: bytes | memoryview) -> int:
        """Send what the kernel takes now and say how much; 0 also while the leg is stalled or our side is closed.

        A throttled leg takes nothing in this way: only `send` has the patience. Raises OSError when the peer has reset
        the connection.
        """
        if self._stalls or self._throttles or not self.writable:
            return 0
        return self._offer(data)

    def _offer(self, data: bytes | memoryview) -> int:
        try:
            return self._sock.send(data)
        except BlockingIOError:
            return 0

    async def send(self, data: bytes | memoryview) -> bool:
        """Send all of `data`; what cannot be sent because our side is closed is dropped, and the answer is False.

        Raises OSError when the peer has reset the connection. Cancellation may leave part of the data sent.
        """
        sent = self.try_send(data)
        if sent == len(data):
            return True
        left = memoryview(data)[sent:]
        while left:
            await self.unstalled()
            if not self.writable:
                return False
            if self._throttles:
                left = left[await self._send_slice(left) :]
                continue
            await trio.lowlevel.wait_writable(self._sock)
            left = left[self.try_send(left) :]
        return True

    async def _send_slice(self, data: memoryview) -> int:
        """Send one slice when it is its time, and say how much of it went; 0 when something has changed meanwhile."""
        rate = min(rate for rate, _ in self._throttles.values())
        changed = self._unthrottled
        with trio.move_on_at(self._next_slice):
            await changed.wait()
        if changed.is_set() or self._stalls or not self.writable:
            return 0
        await trio.lowlevel.wait_writable(self._sock)
        size = min((draw() for _, draw in self._throttles.values()), default=len(data))
        sent = self._offer(data[:size])
        # What a wake-up was late is made up for, but not what the peer or a silence took.
        self._next_slice = max(self._next_slice, trio.current_time() - _LATE) + sent / rate
        return sent

    def stall(self, token: int) -> None:
        """Neither read nor write until `resume` with the same token."""
        if not self._stalls:
            self._resumed = trio.Event()
        self._stalls.add(token)

    def throttle(self, rate: int, size: int, token: int, *, most: int = 0, seed: int = 0) -> None:
        """Send at most `rate` bytes in a second, `size` at a time, until `resume` with the same token.

        With `most`, from `size` to `most` bytes at a time, drawn with `seed`: the same on every run, and another series
        on each leg. Of several throttles the smallest numbers hold.
        """
        drawn = Random(f"{seed} {self.end}")
        self._throttles[token] = (rate, (lambda: drawn.randint(size, most)) if most else lambda: size)
        self._rethrottle()

    def resume(self, token: int) -> None:
        """End one stall or throttle; unknown tokens are ignored."""
        self._stalls.discard(token)
        if not self._stalls:
            self._resumed.set()
        if self._throttles.pop(token, None) is not None:
            self._rethrottle()

    def _rethrottle(self) -> None:
        """Have whoever waits for the time of a slice look at the throttles again."""
        changed, self._unthrottled = self._unthrottled, trio.Event()
        changed.set()

    def shut(self) -> bool:
        """Close our sending side (FIN); tell whether that was news."""
        if self.closed or not self.writable:
            return False
        self.writable = False
        try:
            self._sock.shutdown(socket.SHUT_WR)
        except OSError:
            return False
        return True

    def reset(self) -> bool:
        """Close with a RST; tell whether that was news."""
        if self.closed:
            return False
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.close()
        return True

    def close(self) -> None:
        """Close the socket and wake whoever waits on it."""
        if self.closed:
            return
        self.closed = True
        self.writable = False
        self._stalls.clear()
        self._resumed.set()
        self._throttles.clear()
        self._unthrottled.set()
        if self.on_close is not None:
            self.on_close()
        trio.lowlevel.notify_closing(self._sock)
        self._sock.close()
