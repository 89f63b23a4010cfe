"""Serving the API inside the proxy: connections are taken here, hypercorn speaks HTTP on them.

A proxy that nobody attaches to pays nothing: starlette, hypercorn and the application are imported when the first
client says something. Hypercorn sends in scopes that cannot be cancelled, and leaves tasks behind that wait for ever
when a client goes at the wrong moment. So it is given each connection as a `_Line`: where that cannot send any more,
all that is done on it ends, and it is closed under hypercorn when the proxy ends.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import trio

from iscsiproxy.api.address import ApiAddress
from iscsiproxy.api.server.listening import listening

if TYPE_CHECKING:
    from iscsiproxy.api.server.app import Controls

__all__ = ["serve_api"]

#: Connections at one time: more than people open, few enough to leave the proxy its descriptors
_MOST_LINES = 64
#: How long a connection may say nothing between two requests, in seconds
_IDLE = 60.0
#: The longest request line and headers: a pattern of 4096 characters, each three bytes, each byte as %XX
_HEADER_BYTES = 1 << 16
#: Nothing can be accepted now, but soon again.
_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


async def serve_api(
    control: Controls,
    address: ApiAddress,
    *,
    task_status: trio.TaskStatus[ApiAddress] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until cancelled; then every connection is closed at once, and the socket is gone.

    Starts with the address as it is bound: with the port and the token. Raises UsageError if it cannot be used.
    """
    with listening(address) as (sock, bound):
        server = _Server(control, bound.token)
        async with trio.open_nursery() as nursery:
            task_status.started(bound)
            try:
                await server.accept(sock, nursery)
            finally:
                server.close()


class _Server:
    """All connections to the API."""

    def __init__(self, control: Controls, token: str | None) -> None:
        self._control = control
        self._token = token
        self._lines: set[_Line] = set()
        self._stack: _Speak | None = None
        self._importing = trio.Lock()

    def __repr__(self) -> str:
        return f"<_Server with {len(self._lines)} connections>"

    async def accept(self, listener: socket.socket, nursery: trio.Nursery) -> None:
        """Take connections until cancelled."""
        while True:
            try:
                sock, _ = listener.accept()
            except BlockingIOError:
                await trio.lowlevel.wait_readable(listener)
            except OSError as error:
                # The client went away before we took it, or descriptors are short: both pass.
                await trio.sleep(0.1 if error.errno in _EXHAUSTED else 0)
            else:
                if len(self._lines) < _MOST_LINES:
                    line = _Line(sock)
                    self._lines.add(line)
                    nursery.start_soon(self._serve, line)
                else:
                    sock.close()

    def close(self) -> None:
        """Close all connections, also under whoever is sending on one."""
        for line in self._lines:
            line.close()

    async def _serve(self, line: _Line) -> None:
        """Serve one client to its end. Raises nothing but cancellation."""
        try:
            with line.scope:
                # Whether we are there can be asked for nothing: then the line is closed without a word.
                if await line.speaks():
                    speak = await self._loaded()
                    await speak(line)
        except Exception as error:  # noqa: BLE001 - told to the control, and the run is no pass
            self._control.crashed(error)
        finally:
            self._lines.discard(line)
            line.close()

    async def _loaded(self) -> _Speak:
        """Give what speaks HTTP, imported when it is first wanted; connections go on meanwhile."""
        async with self._importing:
            if self._stack is None:
                self._stack = await trio.to_thread.run_sync(_load, self._control, self._token)
            return self._stack


class _Line:
    """A connection, as the stream that hypercorn takes it for; `scope` is all that is done on it."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self.socket = trio.socket.from_stdlib_socket(sock)
        self._stream = trio.SocketStream(self.socket)
        self.scope = trio.CancelScope()

    def __repr__(self) -> str:
        return f"<_Line {'closed' if self.socket.fileno() < 0 else self.socket.fileno()}>"

    async def speaks(self) -> bool:
        """Wait for the first byte; False if the client goes without one, or takes too long."""
        with trio.move_on_after(_IDLE):
            try:
                return bool(await self.socket.recv(1, socket.MSG_PEEK))
            except OSError:
                return False
        return False

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        """Receive; nothing: the client will say no more."""
        return await self._stream.receive_some(max_bytes)

    async def send_all(self, data: bytes) -> None:
        """Send all of it; a client that cannot be sent to is not to be listened to either."""
        try:
            await self._stream.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            self.scope.cancel()
            raise

    async def send_eof(self) -> None:
        """Send no more."""
        await self._stream.send_eof()

    async def aclose(self) -> None:
        """Close it."""
        self.close()
        await trio.lowlevel.checkpoint()

    def close(self) -> None:
        """Close it now."""
        self.socket.close()


_Speak: TypeAlias = Callable[[_Line], Awaitable[None]]


def _load(control: Controls, token: str | None) -> _Speak:
    """Import what it takes to speak HTTP, and make the application. Runs in a thread."""
    from hypercorn.config import Config
    from hypercorn.trio.tcp_server import TCPServer
    from hypercorn.trio.worker_context import WorkerContext
    from hypercorn.typing import ConnectionState
    from hypercorn.utils import wrap_app

    from iscsiproxy.api.server.app import make_app

    config = Config()
    config.accesslog = config.errorlog = None
    config.include_server_header = False
    config.keep_alive_timeout = _IDLE
    config.h11_max_incomplete_size = _HEADER_BYTES
    app = wrap_app(cast("Any", make_app(control, token=token)), 0, "asgi")
    context = WorkerContext(None)

    async def speak(line: _Line) -> None:
        await TCPServer(app, config, context, ConnectionState({}), cast("Any", line)).run()

    return speak
