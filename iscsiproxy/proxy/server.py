"""The proxy as a whole: listeners, and a pair for every connection that comes.

`Proxy.run` owns every task and socket. What goes wrong with one connection is that connection's end: the others, and
the listeners, go on.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

import trio

from iscsiproxy.errors import UsageError
from iscsiproxy.language.spec import Scenario
from iscsiproxy.proxy.address import Address
from iscsiproxy.proxy.leg import Leg
from iscsiproxy.proxy.pair import Pair
from iscsiproxy.proxy.portals import Portals
from iscsiproxy.proxy.relay import Relay, Settings, Sink
from iscsiproxy.session.events import Closed, ConnectFailed
from iscsiproxy.wire.opcodes import End

__all__ = ["Proxy", "Route"]

_BACKLOG = 1024
#: How long held PDUs have to go out when the proxy stops, in seconds.
_SETTLE = 1.0
#: Listeners opened for portals that a target announces: enough for any real target, few enough for a hostile one.
_MAX_OPENED = 64
#: Nothing can be accepted now, but soon again.
_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


@dataclass(frozen=True, slots=True)
class Route:
    """Listen at one address (port 0: any free one), connect to the other."""

    listen: Address
    target: Address


class Proxy:
    """A proxy for some routes. `run` may be called once; without `armed` the rules wait for `arm`.

    With `open_to_rules` more may come and go while it runs, as `relay.engine` is asked.
    """

    def __init__(
        self,
        routes: Sequence[Route],
        *,
        scenarios: Sequence[Scenario] = (),
        rng: Random,
        sinks: Sequence[Sink] = (),
        settings: Settings | None = None,
        armed: bool = True,
        open_to_rules: bool = False,
    ) -> None:
        self._asked = tuple(routes)
        self._scenarios = tuple(scenarios)
        self._rng = rng
        self._sinks = tuple(sinks)
        self._settings = settings or Settings()
        self._armed = armed
        self._open_to_rules = open_to_rules
        self._routes: dict[Address, Address] = {}
        self._portals = Portals(self._routes, self._open_listener)
        self._opened = 0
        self._connections = 0
        self.relay: Relay | None = None
        self._nursery: trio.Nursery | None = None

    def __repr__(self) -> str:
        return f"<Proxy {self._portals!r} {self._connections} connections so far>"

    @property
    def routes(self) -> tuple[tuple[Address, Address], ...]:
        """Where it listens, and the target behind it; with what was opened for portals that a target has announced."""
        return tuple(self._routes.items())

    async def run(self, *, task_status: trio.TaskStatus[tuple[Route, ...]] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until `shutdown`, or until cancelled; then every connection is closed with a FIN.

        Starts with the routes as they are bound. Raises UsageError if an address cannot be listened at.
        """
        relay = Relay(
            scenarios=self._scenarios,
            rng=self._rng,
            sinks=self._sinks,
            settings=self._settings,
            start=trio.current_time(),
            armed=self._armed,
            open_to_rules=self._open_to_rules,
        )
        self.relay = relay
        listeners = await self._bind()
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                nursery.start_soon(relay.run_timers)
                nursery.start_soon(relay.poller.run)
                for listener, target in listeners:
                    nursery.start_soon(self._serve, listener, target)
                if self._armed:
                    relay.begin()
                task_status.started(tuple(Route(listen, target) for listen, target in self._routes.items()))
        finally:
            self._nursery = None
            relay.poller.close()
            for listener, _ in listeners:
                listener.close()

    def arm(self) -> None:
        """Bring the rules into force, where they were not to be from the start."""
        if self.relay is not None and not self._armed:
            self._armed = True
            for tracker in self.relay.trackers.values():
                tracker.recount()
            self.relay.begin()
            self.relay.refresh()

    async def shutdown(self) -> None:
        """Clear every fault, let what was held go out, and make `run` return."""
        if self.relay is not None:
            self.relay.end()
            with trio.move_on_after(_SETTLE):
                for pair in list(self.relay.pairs.values()):
                    await pair.settled()
        if self._nursery is not None:
            self._nursery.cancel_scope.cancel()

    async def _bind(self) -> list[tuple[socket.socket, Address]]:
        listeners: list[tuple[socket.socket, Address]] = []
        for route in self._asked:
            try:
                found = await trio.socket.getaddrinfo(
                    route.listen.host, route.listen.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
                )
                listener = _listen(found[0][0], found[0][4])
            except OSError as error:
                for other, _ in listeners:
                    other.close()
                raise UsageError(f"cannot listen at {route.listen}: {error.strerror or error}") from error
            listeners.append((listener, route.target))
            self._routes[Address.of(listener.getsockname())] = route.target
        return listeners

    def _open_listener(self, host: str, target: Address) -> Address | None:
        """Open a listener for a portal that a target has announced."""
        if self._nursery is None or self._opened >= _MAX_OPENED:
            return None
        try:
            listener = _listen(socket.AF_INET6 if ":" in host else socket.AF_INET, (host, 0))
        except OSError:
            return None
        self._opened += 1
        address = Address.of(listener.getsockname())
        self._routes[address] = target
        self._nursery.start_soon(self._serve, listener, target)
        return address

    async def _serve(self, listener: socket.socket, target: Address) -> None:
        """Accept until cancelled. Closes `listener`."""
        assert self._nursery is not None
        with listener:
            while True:
                try:
                    sock, _ = listener.accept()
                except BlockingIOError:
                    await trio.lowlevel.wait_readable(listener)
                except OSError as error:
                    # The connection went away before we took it, or descriptors are short: both pass.
                    await trio.sleep(0.1 if error.errno in _EXHAUSTED else 0)
                else:
                    self._nursery.start_soon(self._handle, sock, target)

    async def _handle(self, sock: socket.socket, target: Address) -> None:
        """Serve one initiator. Closes `sock`; raises nothing but cancellation."""
        relay = self.relay
        assert relay is not None
        self._connections += 1
        conn = self._connections
        try:
            initiator = Leg(sock, End.INITIATOR)
        except OSError:
            sock.close()
            return
        try:
            if relay.refuses(conn, initiator=str(initiator.peer), listen=str(initiator.local)):
                initiator.reset()
                relay.happened(
                    Closed(n=relay.next_n(), at=relay.now, conn=conn, leg=End.INITIATOR, how="rst", by="fault")
                )
                return
            try:
                with trio.fail_after(self._settings.connect_timeout):
                    stream = await trio.open_tcp_stream(target.host, target.port)
                leg = _target_leg(socket.socket(fileno=stream.socket.detach()))
            except (OSError, trio.TooSlowError) as error:
                reason = _reason(error, self._settings.connect_timeout)
                relay.emit(
                    ConnectFailed(
                        n=relay.next_n(),
                        at=relay.now,
                        conn=conn,
                        initiator=str(initiator.peer),
                        target=str(target),
                        reason=reason,
                    )
                )
                await _turn_away(initiator)
                return
            await Pair(relay, conn, initiator, leg, self._portals).run()
        except Exception as error:  # noqa: BLE001 - reported, and the run is no pass
            # Our own fault must cost this connection only; whoever runs the proxy is told, and the run is no pass.
            relay.crashed(error, conn)
            initiator.reset()
        finally:
            initiator.close()
            relay.forget(conn)


def _target_leg(sock: socket.socket) -> Leg:
    """Make the leg. Raises OSError, and closes `sock`, if the target has gone already."""
    try:
        return Leg(sock, End.TARGET)
    except OSError:
        sock.close()
        raise


async def _turn_away(initiator: Leg) -> None:
    """Close an initiator with a FIN, not a RST: what it has sent is read first."""
    initiator.shut()
    waste = bytearray(4096)
    with trio.move_on_after(2.0):
        while True:
            try:
                await initiator.readable()
                if not initiator.receive_into(waste):
                    return
            except BlockingIOError:
                continue
            except OSError:
                return


def _listen(family: int, name: tuple[object, ...]) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(name)
        listener.listen(_BACKLOG)
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener


def _reason(error: BaseException, seconds: float) -> str:
    if isinstance(error, trio.TooSlowError):
        return f"no answer in {seconds:g} s"
    # trio groups what several addresses answered; the last one is as good as any.
    while isinstance(error.__cause__, BaseException):
        error = error.__cause__
    if isinstance(error, BaseExceptionGroup):
        error = error.exceptions[-1]
    if isinstance(error, OSError) and error.errno is not None and error.errno in errno.errorcode:
        return os.strerror(error.errno)  # without the address that trio puts before it
    return getattr(error, "strerror", None) or str(error)
