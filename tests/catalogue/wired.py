"""Scenarios on real sockets, where what matters is not the bytes but how they come: in which segments, and when."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import trio

from iscsiproxy.engine import SPECS
from iscsiproxy.language import load_all
from iscsiproxy.wire.opcodes import End
from iscsiproxy.wire.pdu import Pdu
from tests.catalogue.harness import Claims
from tests.proxy.fakes import bench

__all__ = ["Arrival", "wired"]


@dataclass(frozen=True, slots=True)
class Arrival:
    """Bytes that a peer got at once, and when, in seconds since the first of them could have been sent."""

    at: float
    data: bytes


async def wired(rules: str, *pdus: Pdu, params: Mapping[str, str] | None = None) -> list[Arrival]:
    """Log in, say PDUs of one end, and give how they came at the other; armed, and disarmed: all at once.

    The bytes have to be those that were said, both times.
    """
    scenario = load_all(f"scenario: x\nvictim: both\n{rules}", file="x.yaml", acts=SPECS, params=params)
    victim, whole = pdus[0].sender.other, b"".join(pdu.raw for pdu in pdus)
    runs: list[list[Arrival]] = []
    for armed in (False, True):
        async with bench(*(scenario if armed else [])) as the:
            initiator, target = await the.login()
            one, other = (initiator, target) if victim is End.TARGET else (target, initiator)
            began, got = trio.current_time(), list[Arrival]()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(one.send, *pdus)
                while sum(len(arrival.data) for arrival in got) < len(whole):
                    data = bytes(await other.stream.receive_some(1 << 20))
                    assert data, "the connection has ended"
                    got.append(Arrival(trio.current_time() - began, data))
            assert b"".join(arrival.data for arrival in got) == whole
            runs.append(got)
    Claims.made.add(victim)
    return runs[1]
