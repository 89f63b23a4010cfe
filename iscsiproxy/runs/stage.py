"""A stage of one's own: embedded target, proxy and everything that happens between them, on loopback.

What is run on it is the code that ships: real sockets, the relay, the scenario files. The stage is gone at the end of
its block, whatever happened on it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from random import Random

import trio

from iscsiproxy.errors import InternalError
from iscsiproxy.language.spec import Scenario
from iscsiproxy.peers.scsi.device import Device
from iscsiproxy.peers.scsi.inquiry import UnitIdentity
from iscsiproxy.peers.scsi.medium import MemoryMedium
from iscsiproxy.peers.scsi.unit import LogicalUnit
from iscsiproxy.peers.target.conduct import Conduct
from iscsiproxy.peers.target.node import Node
from iscsiproxy.peers.target.server import TargetServer
from iscsiproxy.peers.target.settings import TargetSettings
from iscsiproxy.proxy import Address, Proxy, Route, Sink
from iscsiproxy.session.events import Event

__all__ = ["BLOCK", "IQN", "Stage", "stage"]

IQN = "iqn.2026-01.example.iscsiproxy:demo"
#: Length of a logical block, in bytes.
BLOCK = 512
_LOOPBACK = "127.0.0.1"


@dataclass(slots=True)
class Stage:
    """What is on the stage. `portal` is the proxy's address, `events` all that the proxy has told so far."""

    portal: Address
    target: Address
    node: Node
    server: TargetServer
    proxy: Proxy
    events: list[Event] = field(default_factory=list)


@asynccontextmanager
async def stage(
    *,
    seed: int,
    blocks: int,
    scenarios: Sequence[Scenario] = (),
    settings: TargetSettings | None = None,
    conduct: Conduct | None = None,
    on_event: Callable[[Event], None] | None = None,
) -> AsyncIterator[Stage]:
    """Set up a target with one LUN of that many blocks in memory, and an armed proxy before it.

    Raises InternalError at the end if a part of ours crashed: what was seen then proves nothing.
    """
    unit = LogicalUnit(0, MemoryMedium(blocks, BLOCK), UnitIdentity.derive(IQN, 0), target_name=IQN)
    node = Node({IQN: Device({0: unit})}, settings or TargetSettings(), conduct)
    server = TargetServer(node)
    events: list[Event] = []

    def keep(event: Event) -> None:
        events.append(event)
        if on_event is not None:
            on_event(event)

    async with trio.open_nursery() as nursery:
        ((host, port), *_) = await nursery.start(server.serve, ((_LOOPBACK, 0),))
        target = Address(host, port)
        proxy = Proxy(
            [Route(Address(_LOOPBACK, 0), target)],
            scenarios=scenarios,
            rng=Random(seed),
            sinks=[Sink(keep, pdus=True)],
        )
        routes = await nursery.start(proxy.run)
        yield Stage(portal=routes[0].listen, target=target, node=node, server=server, proxy=proxy, events=events)
        await proxy.shutdown()
        nursery.cancel_scope.cancel()
    crashes = [*server.crashes, *(proxy.relay.crashes if proxy.relay is not None else ())]
    if crashes:
        raise InternalError(f"{len(crashes)} crashes on the stage, the first: {crashes[0]!r}")
