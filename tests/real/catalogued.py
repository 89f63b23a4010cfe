"""One fault of the catalogue between real peers: rules, the traffic that meets them, and all that a run leaves behind.

What differs between the legs is read from the capture byte by byte; what that means is tshark's to say, on the leg of
the victim. What the victim then does is told and not judged: it is the habit of one version, not the protocol.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from tests.real import initiators, tshark
from tests.real.address import Address, Chap
from tests.real.legs import Difference, differences
from tests.real.process import Finished
from tests.real.proxied import running_proxy
from tests.real.tgtd import running_tgtd

__all__ = ["DISARMED", "HEADER", "LOGIN_REQUEST", "Run", "Traffic", "edited", "pairs", "play", "qemu_io"]

HEADER = 48
LOGIN_REQUEST = 0x03
#: Rules that never fire.
DISARMED = "rules:\n  - when: SNACK nth 1000\n    do: drop\n"

#: The PDUs that carry a CmdSN and, unless they are immediate, use it up.
_COMMANDS = (0x00, 0x01, 0x02, 0x04, 0x06)
#: The PDUs of a target that use a StatSN up; a Data-In does with a status, a NOP-In with a tag.
_STATUS = (0x21, 0x22, 0x23, 0x24, 0x26, 0x32, 0x3F)
_NOP_IN, _DATA_IN = 0x20, 0x25
_INITIATORS = frozenset({0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x10})
_TARGETS = frozenset({0x20, 0x21, 0x22, 0x23, 0x24, 0x25, 0x26, 0x31, 0x32, 0x3F})
_YES = ("1", "True")

End = Literal["initiator", "target"]


def qemu_io(*orders: str, header_digest: str | None = None, within: float = 10.0) -> Callable[[Address], Any]:
    """Make a driver of a `qemu-io` run."""

    async def drive(address: Address) -> Finished:
        return await initiators.qemu_io(address, *orders, header_digest=header_digest, within=within)

    return drive


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """What an initiator does, and how target and negotiation are set up for it.

    `told` are keys that the target is told in place of what the initiator offered.
    """

    name: str
    drive: Callable[[Address], Awaitable[Finished]]
    parameters: Mapping[str, str] = field(default_factory=dict)
    chap: Chap | None = None
    told: Mapping[str, str] = field(default_factory=dict)

    def __repr__(self) -> str:
        """Name it."""
        return f"<Traffic {self.name}>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What a run left behind.

    `differences` are those between the legs; `beyond` are those that remain where the numbers that a proxy may
    translate are not looked at (CmdSN, ExpCmdSN, MaxCmdSN, StatSN, ExpStatSN).
    """

    events: Sequence[Mapping[str, Any]]
    differences: Sequence[Difference]
    beyond: Sequence[Difference]
    frames: Sequence[tshark.Frame]
    finished: Finished

    def named(self, event: str) -> list[Mapping[str, Any]]:
        """List the events of one kind."""
        return [one for one in self.events if one["event"] == event]

    def leg(self, end: End, *opcodes: int) -> list[tshark.Pdu]:
        """List what tshark saw on a leg, of these opcodes or of all."""
        return [one for one in tshark.pdus(self.frames, interface=f"{end} leg") if not opcodes or one.opcode in opcodes]

    def struck(self, end: End) -> list[tshark.Pdu]:
        """List the PDUs of a leg that a rule has touched, as their comments say."""
        return [pdu for frame in self.struck_frames(end) for pdu in frame.pdus]

    def struck_frames(self, end: End) -> list[tshark.Frame]:
        """List the packets of a leg that a rule has touched."""
        return [
            frame
            for frame in self.frames
            if frame.interface == f"{end} leg"
            if any("rule shown/" in one and "rule shown/negotiate" not in one for one in frame.comments)
        ]

    def cmdsns(self, end: End) -> list[list[int]]:
        """Give the CmdSNs that were used up on a leg, connection by connection."""
        return self._numbers(
            end,
            "iscsi.cmdsn",
            lambda pdu: pdu.opcode in _COMMANDS and pdu.text("iscsi.I") not in _YES,
        )

    def statsns(self, end: End) -> list[list[int]]:
        """Give the StatSNs that were used up on a leg, connection by connection."""
        return self._numbers(
            end,
            "iscsi.statsn",
            lambda pdu: (
                pdu.opcode in _STATUS
                or (pdu.opcode == _DATA_IN and pdu.text("iscsi.scsidata.S") in _YES)
                or (pdu.opcode == _NOP_IN and pdu.number("iscsi.initiatortasktag") != 0xFFFFFFFF)
            ),
        )

    def _numbers(self, end: End, name: str, counts: Callable[[tshark.Pdu], bool]) -> list[list[int]]:
        found: dict[frozenset[int], list[int]] = defaultdict(list)
        for frame in self.frames:
            if frame.interface == f"{end} leg":
                for pdu in filter(counts, frame.pdus):
                    number = pdu.number(name)
                    assert number is not None, pdu
                    found[frozenset((frame.source, frame.destination))].append(number)
        return list(found.values())

    @property
    def story(self) -> str:
        """What the peers visibly did: how the initiator ended, and who closed."""
        how = "had to be ended" if self.finished.timed_out else f"ended with status {self.finished.returncode}"
        closed = dict.fromkeys(
            f"the {one['leg']} closed connection {one['conn']}" for one in self.named("closed") if one["by"] == "peer"
        )
        return "; ".join((f"{self.finished.command[0]} {how} after {self.finished.seconds:.1f} s", *closed))


def pairs(payload: bytes) -> list[bytes]:
    """Split the text of a login or text PDU, without digests, into its `KEY=VALUE`."""
    return [pair for pair in payload[HEADER : HEADER + int.from_bytes(payload[5:8], "big")].split(b"\0") if pair]


def edited(difference: Difference) -> tuple[set[str], set[str]]:
    """Give the pairs that a text lost and gained, and make sure that nothing else differs but the lengths."""
    (old,), (new,) = difference.received, difference.delivered
    assert (old[:5], old[8:HEADER]) == (new[:5], new[8:HEADER])
    assert len(new) == HEADER + (int.from_bytes(new[5:8], "big") + 3) // 4 * 4
    assert new[HEADER:].rstrip(b"\0").split(b"\0") == pairs(new), "a pair for every NUL"
    before, after = ({pair.decode() for pair in pairs(payload)} for payload in (old, new))
    return before - after, after - before


def _unnumbered(payload: bytes) -> bytes:
    """Blank the numbers that a proxy translates: bytes 24 to 31 of a request, 24 to 35 of an answer."""
    opcode = payload[0] & 0x3F
    until = 32 if opcode in _INITIATORS else 36 if opcode in _TARGETS else 24
    return payload if len(payload) < HEADER else payload[:24] + bytes(until - 24) + payload[until:]


async def play(rules: str, traffic: Traffic, directory: Path) -> Run:
    """Play rules between a fresh tgtd and an initiator, and collect what they left."""
    scenario, capture = directory / "shown.yaml", directory / "capture.pcapng"
    told = ", ".join(f"{key}: {value}" for key, value in traffic.told.items())
    negotiate = f"negotiate: {{target: {{{told}}}}}\n" if told else ""
    scenario.write_text(f"scenario: shown\nvictim: both\n{negotiate}{rules}")
    async with running_tgtd(parameters=traffic.parameters, chap=traffic.chap) as target:
        options = ("-v", "--faults", str(scenario), "--seed", "1", "--capture", str(capture))
        async with running_proxy(target, *options) as proxy:
            finished = await traffic.drive(target.address(host=proxy.host, port=proxy.port))
            status = await proxy.stop()
        assert status == 0
        frames = await tshark.read(capture, ports=(target.port, proxy.port))
    closed = {one["conn"] for one in proxy.named("closed") if (one["leg"], one["by"]) == ("target", "peer")}

    def counts(one: Difference) -> bool:
        """Leave out what came when the target had gone, and what the target was to be told."""
        too_late = one.conn in closed and one.to_target and one.last and not one.delivered
        return not too_late and not (told and _is_told(one, traffic.told))

    return Run(
        events=proxy.events,
        differences=[one for one in differences(capture) if counts(one)],
        beyond=[one for one in differences(capture, _unnumbered) if counts(one)],
        frames=frames,
        finished=finished,
    )


def _is_told(difference: Difference, told: Mapping[str, str]) -> bool:
    """Tell whether this is the login in which the target is told these keys, and nothing else."""
    if not difference.to_target or {payload[0] & 0x3F for payload in difference.received} != {LOGIN_REQUEST}:
        return False
    return edited(difference)[1] == {f"{key}={value}" for key, value in told.items()}
