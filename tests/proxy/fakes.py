"""A target and an initiator that do exactly what a test says, and a proxy between them, over loopback TCP."""

from __future__ import annotations

import socket
import struct
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from random import Random
from typing import TypeVar

import trio

from iscsiproxy.engine import SPECS
from iscsiproxy.language import load_all
from iscsiproxy.language.spec import Scenario
from iscsiproxy.proxy import Address, Proxy, Route, Settings, Sink
from iscsiproxy.proxy.pair import Pair
from iscsiproxy.proxy.relay import Relay
from iscsiproxy.session.events import Event
from iscsiproxy.wire.framing import NEED_DATA, Framer
from iscsiproxy.wire.opcodes import Opcode
from iscsiproxy.wire.pdu import Pdu
from iscsiproxy.wire.text import encode_text

__all__ = [
    "NONE",
    "Bench",
    "FakeTarget",
    "Peer",
    "bench",
    "login_request",
    "login_response",
    "nop_in",
    "nop_out",
    "pdus_of",
    "scenario",
]

#: The reserved tag (RFC 7143 11.2.1.8)
NONE = 0xFFFFFFFF
_HOST = "127.0.0.1"
_NAMES = {"InitiatorName": "iqn.2001-04.example:i", "TargetName": "iqn.2001-04.example:t", "SessionType": "Normal"}

AnyEvent = TypeVar("AnyEvent", bound=Event)


def login_request(keys: dict[str, str] | None = None) -> Pdu:
    """Make a login that goes to the full feature phase in one round."""
    data = encode_text({**_NAMES, **(keys or {})}.items())
    return Pdu.build(Opcode.LOGIN_REQUEST, data, I=1, T=1, CSG=1, NSG=3, ISID=0x80123456789A, ITT=1, CmdSN=1)


def login_response(keys: dict[str, str] | None = None, **values: int) -> Pdu:
    """Make the answer to it."""
    data = encode_text({"TargetPortalGroupTag": "1", **(keys or {})}.items())
    fields = {"T": 1, "CSG": 1, "NSG": 3, "ISID": 0x80123456789A, "TSIH": 7, "ITT": 1, "StatSN": 1}
    return Pdu.build(Opcode.LOGIN_RESPONSE, data).with_fields({**fields, "ExpCmdSN": 1, "MaxCmdSN": 64, **values})


def nop_out(itt: int, data: bytes = b"") -> Pdu:
    """Make an immediate ping."""
    return Pdu.build(Opcode.NOP_OUT, data, I=1, F=1, ITT=itt, TTT=NONE, CmdSN=1, ExpStatSN=2)


def nop_in(itt: int, data: bytes = b"") -> Pdu:
    """Make the answer to a ping."""
    return Pdu.build(Opcode.NOP_IN, data, F=1, ITT=itt, TTT=NONE, StatSN=2, ExpCmdSN=1, MaxCmdSN=64)


def pdus_of(data: bytes) -> list[Pdu]:
    """Cut bytes without digests into PDUs; all of it must be PDUs."""
    framer = Framer()
    framer.receive_data(data)
    pdus = []
    while (event := framer.next_event()) is not NEED_DATA:
        assert isinstance(event, Pdu)
        pdus.append(event)
    assert not framer.inside_pdu
    return pdus


def scenario(rules: str, name: str = "made_up") -> Scenario:
    """Read the rules of a scenario, as YAML; the rest of it is of no interest."""
    text = f"scenario: {name}\ntitle: Made up\nvictim: target\ncites: [RFC 7143 1]\nrules:\n{rules}"
    (read,) = load_all(text, file=f"{name}.yaml", acts=SPECS)
    return read


class Peer:
    """One end of a TCP connection that speaks PDUs."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self._framer = Framer()
        self._digests = (False, False)

    def digests(self, *, header: bool, data: bool) -> None:
        """Use digests from here on."""
        self._digests = header, data
        self._framer.header_digest, self._framer.data_digest = header, data

    async def send(self, *pdus: Pdu) -> None:
        """Send PDUs, with the digests that were switched on."""
        header, data = self._digests
        await self.raw(b"".join(pdu.sealed(header=header, data=data).raw for pdu in pdus))

    async def raw(self, data: bytes) -> None:
        """Send bytes."""
        await self.stream.send_all(data)

    async def pdu(self) -> Pdu:
        """Receive a PDU."""
        while (event := self._framer.next_event()) is NEED_DATA:
            data = await self.stream.receive_some(65536)
            assert data, "the connection has ended"
            self._framer.receive_data(data)
        assert isinstance(event, Pdu)
        return event

    async def exactly(self, count: int) -> bytes:
        """Receive that many bytes."""
        data = self._framer.take_rest()
        assert len(data) <= count
        while len(data) < count:
            more = await self.stream.receive_some(min(count - len(data), 1 << 20))
            assert more, f"the connection has ended after {len(data)} bytes"
            data += more
        return data

    async def rest(self) -> bytes:
        """Receive everything up to a FIN; raises trio.BrokenResourceError for a RST."""
        data = self._framer.take_rest()
        while more := await self.stream.receive_some(1 << 20):
            data += more
        return data

    async def until_reset(self) -> bytes:
        """Receive everything up to a RST."""
        data = self._framer.take_rest()
        try:
            while True:
                more = await self.stream.receive_some(1 << 20)
                assert more, "a FIN instead of a RST"
                data += more
        except trio.BrokenResourceError:
            return data

    async def fin(self) -> None:
        """Close the sending side."""
        await self.stream.send_eof()

    def reset(self) -> None:
        """Close with a RST."""
        self.stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.stream.socket.close()

    def close(self) -> None:
        """Close the socket."""
        self.stream.socket.close()


class FakeTarget:
    """Listens; a test takes its connections one by one."""

    def __init__(self, listener: trio.SocketListener) -> None:
        self._listener = listener
        self.address = Address.of(listener.socket.getsockname())

    @classmethod
    async def listen(cls) -> FakeTarget:
        """Open a listener on a free port."""
        (listener,) = await trio.open_tcp_listeners(0, host=_HOST)
        return cls(listener)

    async def accept(self) -> Peer:
        """Take the next connection."""
        return Peer(await self._listener.accept())

    def close(self) -> None:
        """Listen no more."""
        self._listener.socket.close()


@dataclass
class Bench:
    """A running proxy, the fake targets behind it, and the events so far."""

    proxy: Proxy
    routes: tuple[Route, ...]
    targets: list[FakeTarget]
    events: list[Event] = field(default_factory=list)
    _peers: list[Peer] = field(default_factory=list)
    _news: trio.Event = field(default_factory=trio.Event)

    def take(self, event: Event) -> None:
        """Be the sink of the proxy."""
        self.events.append(event)
        self._news.set()
        self._news = trio.Event()

    @property
    def relay(self) -> Relay:
        """What the pairs share."""
        assert self.proxy.relay is not None
        return self.proxy.relay

    def pair(self, conn: int = 1) -> Pair:
        """Give the pair of a live connection."""
        pair = self.relay.pairs[conn]
        assert isinstance(pair, Pair)
        return pair

    def of(self, kind: type[AnyEvent]) -> list[AnyEvent]:
        """List the events of a kind."""
        return [event for event in self.events if isinstance(event, kind)]

    async def until(self, true: Callable[[], object]) -> None:
        """Wait until something has become true by an event."""
        while not true():
            await self._news.wait()

    async def event(self, kind: type[AnyEvent], count: int = 1) -> AnyEvent:
        """Wait for the `count`th event of a kind."""
        await self.until(lambda: len(self.of(kind)) >= count)
        return self.of(kind)[count - 1]

    async def dial(self, address: Address | None = None) -> Peer:
        """Connect an initiator, to the first route if not told otherwise."""
        to = address or self.routes[0].listen
        initiator = Peer(await trio.open_tcp_stream(to.host, to.port))
        self._peers.append(initiator)
        return initiator

    async def connect(self, route: int = 0) -> tuple[Peer, Peer]:
        """Connect an initiator, and give it and the target's end."""
        initiator = await self.dial(self.routes[route].listen)
        target = await self.targets[route].accept()
        self._peers.append(target)
        return initiator, target

    async def login(
        self, asked: dict[str, str] | None = None, answered: dict[str, str] | None = None, route: int = 0
    ) -> tuple[Peer, Peer]:
        """Connect and log in."""
        initiator, target = await self.connect(route)
        await initiator.send(login_request(asked))
        assert (await target.pdu()).opcode == Opcode.LOGIN_REQUEST
        await target.send(login_response(answered))
        assert (await initiator.pdu()).opcode == Opcode.LOGIN_RESPONSE
        return initiator, target

    async def no_pairs(self) -> None:
        """Wait until every pair has ended."""
        while self.relay.pairs:
            await trio.lowlevel.checkpoint()

    def close(self) -> None:
        """Close whatever a test has left open."""
        for peer in self._peers:
            peer.close()
        for target in self.targets:
            target.close()


@asynccontextmanager
async def bench(
    *scenarios: Scenario,
    settings: Settings | None = None,
    targets: int = 1,
    pdus: bool = False,
    sinks: Sequence[Sink] = (),
    seed: int = 1,
    open_to_rules: bool = False,
    patience: float = 20,
) -> AsyncIterator[Bench]:
    """Run a proxy before some fake targets; with `pdus`, PDUs are among the events. All may take so many seconds."""
    fakes = [await FakeTarget.listen() for _ in range(targets)]
    routes = [Route(Address(_HOST, 0), fake.address) for fake in fakes]
    with trio.fail_after(patience):
        async with trio.open_nursery() as nursery:

            def take(event: Event) -> None:
                made.take(event)

            proxy = Proxy(
                routes,
                scenarios=scenarios,
                rng=Random(seed),
                sinks=[Sink(take, pdus=pdus), *sinks],
                settings=settings,
                open_to_rules=open_to_rules,
            )
            made = Bench(proxy, (), fakes)
            try:
                made.routes = await nursery.start(proxy.run)
                yield made
            finally:
                made.close()
                nursery.cancel_scope.cancel()
