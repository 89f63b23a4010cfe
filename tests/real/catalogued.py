"""One fault of the catalogue between real peers: a scenario, its traffic, and all that a run of both leaves behind.

What differs between the legs is read from the capture byte by byte; what that means is tshark's to say, on the leg of
the victim. What the victim then does is told and not judged: it is this version of it, not the protocol.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trio

from tests.real import initiators, tshark
from tests.real.address import Address, Chap
from tests.real.legs import Difference, differences
from tests.real.process import Finished
from tests.real.proxied import running_proxy
from tests.real.tgtd import running_tgtd

__all__ = ["Run", "Traffic", "play"]

HEADER = 48


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """What an initiator does, and how the target is set up for it."""

    name: str
    drive: Callable[[Address], Awaitable[Finished]]
    parameters: Mapping[str, str] = field(default_factory=dict)
    chap: Chap | None = None

    def __repr__(self) -> str:
        """Name it."""
        return f"<Traffic {self.name}>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What a run left behind."""

    events: list[dict[str, Any]]
    differences: list[Difference]
    frames: list[tshark.Frame]
    finished: Finished

    def named(self, event: str) -> list[dict[str, Any]]:
        """List the events of one kind."""
        return [one for one in self.events if one["event"] == event]

    def leg(self, end: str, *opcodes: int) -> list[tshark.Pdu]:
        """List what tshark saw on a leg, of these opcodes or of all."""
        return [one for one in tshark.pdus(self.frames, interface=f"{end} leg") if not opcodes or one.opcode in opcodes]

    def commented(self, end: str, rule: str = "rule ") -> list[tshark.Pdu]:
        """List the PDUs of a leg that carry the name of a rule in a comment."""
        return tshark.pdus(self.frames, interface=f"{end} leg", comment=rule)

    @property
    def story(self) -> str:
        """What the peers visibly did: how the initiator ended, and who closed."""
        how = "had to be ended" if self.finished.timed_out else f"ended with status {self.finished.returncode}"
        closed = [f"the {one['leg']} closed connection {one['conn']}" for one in self.named("closed") if one["by"] == "peer"]
        return "; ".join((f"{self.finished.command[0]} {how} after {self.finished.seconds:.1f} s", *closed))


async def play(rules: str, traffic: Traffic, directory: Path, *, victim: str = "both") -> Run:
    """Play rules between a fresh tgtd and an initiator, and collect what they left."""
    scenario, capture = directory / "shown.yaml", directory / "capture.pcapng"
    scenario.write_text(f"scenario: shown\nvictim: {victim}\n{rules}")
    async with running_tgtd(parameters=traffic.parameters, chap=traffic.chap) as target:
        options = ("-v", "--faults", str(scenario), "--seed", "1", "--capture", str(capture))
        async with running_proxy(target, *options) as proxy:
            finished = await traffic.drive(target.address(host=proxy.host, port=proxy.port))
            status = await proxy.stop()
        assert status == 0
        frames = await tshark.read(capture, ports=(target.port, proxy.port))
    return Run(events=proxy.events, differences=differences(capture), frames=frames, finished=finished)
