"""The embedded target on the network: listeners, and for every connection one task that reads and one that writes.

What a connection still has to say is made when there is room for it: the writer asks the core for as much as one send
may carry, and the reader leaves requests in the socket while too many answers wait. So what a peer can make us hold is
what it has negotiated, and a little more.

A connection that goes wrong, by the peer's doing or by ours, ends alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from math import inf

import trio

from iscsiproxy.errors import FramingError, UsageError
from iscsiproxy.peers.stream import PduStream
from iscsiproxy.peers.target.connection import Connection
from iscsiproxy.peers.target.node import Node
from iscsiproxy.peers.target.session import Session
from iscsiproxy.peers.target.settings import TargetSettings
from iscsiproxy.wire.pdu import Pdu

__all__ = ["Notice", "TargetServer", "portal_text"]

#: How much one send carries at most, give or take a PDU, in bytes.
_BATCH = 1 << 18
#: How long a connection that has ended may take to hear our last words, in seconds.
_FAREWELL = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """Something that happened to connection number `conn`: `connected`, `closed` or `crashed`, and how."""

    conn: int
    peer: str
    what: str
    text: str


class TargetServer:
    """Serves one node. `on_notice` is told of connections, `tap` of every PDU, with the connection's number.

    `crashes` holds the errors of our own that ended a connection: a run with one proves nothing.
    """

    def __init__(
        self,
        node: Node,
        *,
        on_notice: Callable[[Notice], None] | None = None,
        tap: Callable[[int, Pdu], None] | None = None,
    ) -> None:
        self.node = node
        self.crashes: list[Exception] = []
        self._on_notice = on_notice
        self._tap = tap
        self._count = 0
        self._open = 0
        self._terms: dict[Session, object] = {}

    def __repr__(self) -> str:
        return f"<TargetServer {self._open} connections of {self._count}, {len(self.crashes)} crashes>"

    async def serve(
        self,
        addresses: Sequence[tuple[str, int]],
        *,
        task_status: trio.TaskStatus[tuple[tuple[str, int], ...]] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Listen at hosts and ports (0: any free one) and serve until cancelled; then close whatever is open.

        Starts with the addresses as they are bound. Raises UsageError if one cannot be listened at.
        """
        listeners: list[trio.SocketListener] = []
        try:
            for host, port in addresses:
                try:
                    listeners += await trio.open_tcp_listeners(port, host=host)
                except OSError as error:
                    at = portal_text(host, port)
                    raise UsageError(f"cannot listen at {at}: {error.strerror or error}") from error
            async with trio.open_nursery() as nursery:
                self.node.on_orphaned = lambda session: nursery.start_soon(self._retain, session)
                await nursery.start(trio.serve_listeners, self._accepted, listeners)
                task_status.started(tuple(_name(listener.socket) for listener in listeners))
        finally:
            self.node.on_orphaned = self.node.expire
            for listener in listeners:
                listener.socket.close()

    async def _accepted(self, stream: trio.SocketStream) -> None:
        try:
            portal = portal_text(*_name(stream.socket))
            peer = portal_text(*stream.socket.getpeername()[:2])
        except OSError:  # it has gone already
            stream.socket.close()
            return
        await self.serve_stream(stream, portal=portal, peer=peer)

    async def serve_stream(self, stream: trio.abc.Stream, *, portal: str, peer: str = "?") -> None:
        """Serve one connection to its end. Closes `stream`; raises nothing but cancellation.

        `portal` is the `host:port` that the initiator connected to, `peer` the initiator's.
        """
        self._count += 1
        conn = self._count
        self._open += 1
        self._note(conn, peer, "connected", f"at {portal}")
        pdus = PduStream(stream)
        try:
            try:
                tap = partial(self._tap, conn) if self._tap is not None else None
                reason = await _Conversation(self.node.accept(portal), pdus, self.node.settings, tap).run()
                self._note(conn, peer, "closed", reason)
            except* Exception as raised:  # noqa: BLE001 -- recorded, and the run proves nothing
                # Our own fault costs this connection only; whoever runs the server is told.
                self.crashes.extend(_leaves(raised))
                self._note(conn, peer, "crashed", "; ".join(map(repr, _leaves(raised))))
                pdus.reset()
        finally:
            self._open -= 1
            await trio.aclose_forcefully(stream)

    async def _retain(self, session: Session) -> None:
        """Keep a session that has lost its connection for as long as was agreed (RFC 7143 13.16)."""
        term = self._terms[session] = object()
        try:
            await trio.sleep(session.parameters.time2retain)
        finally:
            # It may have found a connection since, and lost that too: then another term has begun.
            if self._terms.get(session) is term:
                del self._terms[session]
                self.node.expire(session)

    def _note(self, conn: int, peer: str, what: str, text: str) -> None:
        if self._on_notice is not None:
            self._on_notice(Notice(conn=conn, peer=peer, what=what, text=text))


class _Conversation:
    """One connection: the core on one side, the stream on the other."""

    def __init__(
        self,
        core: Connection,
        stream: PduStream,
        settings: TargetSettings,
        tap: Callable[[Pdu], None] | None,
    ) -> None:
        self._core = core
        self._stream = stream
        self._settings = settings
        self._tap = tap
        self._reason = ""
        self._born = self._heard = self._said = trio.current_time()
        self._settled = False  # the login is over
        self._asked = False  # a ping went out, and nothing has come since
        self._done = False  # all has been said
        self._news = trio.Event()  # there may be output
        self._room = trio.Event()  # output was taken from the core
        self._life = trio.CancelScope()
        self._patience = trio.CancelScope()
        core.on_output = self._woken

    def __repr__(self) -> str:
        return f"<_Conversation {self._core!r}{', done' if self._done else ''}>"

    async def run(self) -> str:
        """Talk until one end has had enough; give the reason. Leaves the stream for its owner to close."""
        self._obey()
        try:
            async with trio.open_nursery() as nursery:
                self._life = nursery.cancel_scope
                nursery.start_soon(self._write)
                nursery.start_soon(self._read)
        finally:
            # The session hears of it before its initiator can be back.
            self._core.lost()
        if self._done:
            await self._stream.finish(_FAREWELL)
        return self._reason or self._core.reason

    # --- receiving ------------------------------------------------------------------------------------------------

    async def _read(self) -> None:
        while True:
            with trio.CancelScope(deadline=self._deadline()) as self._patience:
                await self._receive()
            if not self._patience.cancelled_caught:
                break
            self._look()
        if not self._core.closed:
            self._life.cancel()

    async def _receive(self) -> None:
        """Hand over what comes until the connection or the stream ends."""
        core, stream = self._core, self._stream
        while not core.closed:
            while core.stalled:
                self._room = trio.Event()
                await self._room.wait()
                self._heard = trio.current_time()  # somebody takes what we send
            try:
                pdu = await stream.receive()
            except FramingError as error:
                core.garbled(str(error))
                return
            except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
                self._reason = f"broken: {error.__cause__ or error}"
                return
            if pdu is None:
                self._reason = "by the initiator"
                return
            if self._tap is not None:
                self._tap(pdu)
            core.receive(pdu)
            self._obey()
            self._heard = trio.current_time()
            self._asked = False
            if not self._settled and core.logged_in:
                self._settled = True
                self._patience.deadline = self._deadline()

    def _obey(self) -> None:
        """Receive from now on as the core has negotiated."""
        header, data = self._core.receive_digests
        self._stream.expect_digests(header=header, data=data)
        self._stream.limit(self._core.receive_segment)

    # --- patience -------------------------------------------------------------------------------------------------

    def _deadline(self) -> float:
        """Tell when to look whether the initiator is still there, from all that is known now."""
        settings = self._settings
        if not self._settled:
            return self._born + (settings.login_timeout or inf)
        idle = self._heard + (settings.nop_interval or inf) * (2 if self._asked else 1)
        # No Data-Out may be due now, but at any time later.
        since = max(self._heard, self._said) if self._core.awaits_data else trio.current_time()
        return min(idle, since + (settings.data_timeout or inf))

    def _look(self) -> None:
        """Drop the connection if its time is up, or ask for a sign of life."""
        core, settings = self._core, self._settings
        now = trio.current_time()
        if now < self._deadline():
            return
        if not self._settled:
            core.drop(f"no login in {settings.login_timeout:g} s")
        elif settings.data_timeout and core.awaits_data and now >= max(self._heard, self._said) + settings.data_timeout:
            core.drop(f"no Data-Out for {settings.data_timeout:g} s")
        elif self._asked:
            core.drop(f"no sign of life for {2 * settings.nop_interval:g} s")
        else:
            self._asked = True
            core.ping()

    # --- sending --------------------------------------------------------------------------------------------------

    def _woken(self) -> None:
        """Take note that there may be output, or an end; another connection may be the cause."""
        self._news.set()
        if self._core.closed:
            self._life.deadline = min(self._life.deadline, trio.current_time() + _FAREWELL)

    async def _write(self) -> None:
        """Send what there is until the connection ends; then end the reader too."""
        while True:
            self._news = trio.Event()
            batch = self._batch()
            self._room.set()
            if batch:
                try:
                    await self._stream.send(batch)
                except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
                    self._reason = f"broken: {error.__cause__ or error}"
                    break
                self._said = trio.current_time()
            elif self._core.closed:
                self._done = True
                break
            else:
                await self._news.wait()
        self._life.cancel()

    def _batch(self) -> list[Pdu]:
        """Take as much output as one send may carry."""
        batch: list[Pdu] = []
        size = 0
        while size < _BATCH and (pdu := self._core.next_pdu()) is not None:
            if self._tap is not None:
                self._tap(pdu)
            batch.append(pdu)
            size += len(pdu)
        return batch


def portal_text(host: str, port: int) -> str:
    """Spell an address as iSCSI does, an IPv6 host in brackets (RFC 7143 13.8)."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _name(sock: trio.socket.SocketType) -> tuple[str, int]:
    name = sock.getsockname()
    return str(name[0]).partition("%")[0], int(name[1])


def _leaves(group: BaseExceptionGroup[Exception]) -> list[Exception]:
    found: list[Exception] = []
    for one in group.exceptions:
        if isinstance(one, BaseExceptionGroup):
            found += _leaves(one)
        else:
            found.append(one)
    return found
