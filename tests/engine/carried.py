"""A write and a read carried through the whole proxy between the embedded peers, and what each leg saw of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from random import Random

import trio

from iscsiproxy.engine import SPECS
from iscsiproxy.language import load
from iscsiproxy.language.spec import Scenario
from iscsiproxy.peers.initiator import commands
from iscsiproxy.peers.initiator.session import open_session
from iscsiproxy.peers.initiator.settings import InitiatorSettings
from iscsiproxy.peers.target.settings import TargetSettings
from iscsiproxy.proxy import Address, Proxy, Route, Sink
from iscsiproxy.runs.stage import BLOCK, IQN, Stage, stage
from iscsiproxy.session.events import Decided, Delivered, Event, Fired, Received, Violated
from iscsiproxy.wire.opcodes import End, Opcode
from iscsiproxy.wire.pdu import Pdu

__all__ = ["DATA", "Carried", "carry"]

#: What is written and read back: four segments, in two bursts.
DATA = bytes(number * 7 % 251 for number in range(64 * BLOCK))
_TARGET = TargetSettings(
    max_burst_length=16384,
    initial_r2t=True,
    immediate_data=False,
)


@dataclass(frozen=True)
class Carried:
    """What came of it; `again` is what was read."""

    events: Sequence[Event]
    again: bytes

    def seen(self, leg: End, *opcodes: int) -> list[Pdu]:
        """Give what was on a leg, with these opcodes, or all."""
        return [
            event.pdu
            for event in self.events
            if isinstance(event, Received | Delivered)
            and event.leg is leg
            and (not opcodes or event.pdu.opcode in opcodes)
        ]

    @property
    def fired(self) -> list[str]:
        """What faults did."""
        return [event.text for event in self.events if isinstance(event, Fired)]

    @property
    def complaints(self) -> list[str]:
        """What was against the standard on either leg, and what no act could do."""
        return [
            event.text
            for event in self.events
            if isinstance(event, Violated) or (isinstance(event, Decided) and event.what in ("failed", "expired"))
        ]

    def trace(self, leg: End) -> list[tuple[End, bytes]]:
        """Give all headers on a leg, by who has sent them; what a digest was made of stands in them."""
        pdus = [pdu for pdu in self.seen(leg) if pdu.opcode not in (Opcode.LOGIN_REQUEST, Opcode.LOGIN_RESPONSE)]
        return sorted(((pdu.sender, pdu.bhs) for pdu in pdus), key=lambda one: one[0].value)


@asynccontextmanager
async def _before(behind: Stage, rules: str) -> AsyncIterator[tuple[Address, list[Event]]]:
    """Run another proxy before the one on the stage, if there are rules for it."""
    if not rules:
        yield behind.portal, behind.events
        return
    events: list[Event] = []
    async with trio.open_nursery() as nursery:
        route = Route(Address("127.0.0.1", 0), behind.portal)
        sinks = [Sink(events.append, pdus=True)]
        proxy = Proxy([route], scenarios=_scenarios(rules), rng=Random(2), sinks=sinks)
        routes = await nursery.start(proxy.run)
        yield routes[0].listen, events
        await proxy.shutdown()
        nursery.cancel_scope.cancel()


def _scenarios(rules: str) -> list[Scenario]:
    return [load(f"scenario: x\nvictim: both\n{rules}", file="x.yaml", acts=SPECS)] if rules else []


async def carry(
    rules: str = "", *, before: str = "", digests: bool = False, r2ts: int = 1, segment: int = 8192
) -> Carried:
    """Write, read back, and do nothing else; what is told is of a proxy `before` the other, if there is one.

    Both ends take `segment` bytes at a time; so many `r2ts` of a task may be open.
    """
    kinds = ("CRC32C",) if digests else ("None",)
    settings = InitiatorSettings(
        target=IQN,
        header_digests=kinds,
        data_digests=kinds,
        max_recv_data_segment_length=segment,
        max_outstanding_r2t=r2ts,
    )
    target = replace(_TARGET, max_outstanding_r2t=r2ts, max_recv_data_segment_length=segment)
    with trio.fail_after(20):
        async with (
            stage(seed=1, blocks=256, scenarios=_scenarios(rules), settings=target) as here,
            _before(here, before) as (portal, events),
            open_session((portal.host, portal.port), settings) as session,
        ):
            await session.command(0, commands.test_unit_ready())
            assert (await session.command(0, commands.write10(8, 64), data_out=DATA)).good
            read = await session.command(0, commands.read10(8, 64), read_length=len(DATA))
            assert read.good
            assert (await session.command(0, commands.test_unit_ready())).good
    return Carried(events, read.data)
