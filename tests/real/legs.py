"""What crossed the proxy and what did not: both legs of a capture, payload by payload, byte for byte.

Read with a reader of the tests' own, so that neither the proxy nor a dissector is trusted. Every PDU has packets of its
own, cut in the same places on both legs, so equal PDUs are equal payloads.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from pathlib import Path

from tests.capture.blocks import segments

__all__ = ["Difference", "differences", "initiator_stream"]

_SYN, _ACK = 0x02, 0x10


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Payloads of one direction of a connection that came in, and what was delivered in their place.

    `last` tells that nothing was delivered after them.
    """

    conn: int
    to_target: bool
    received: tuple[bytes, ...]
    delivered: tuple[bytes, ...]
    last: bool


@dataclass(slots=True)
class _Leg:
    client: tuple[bytes, int]
    sent: dict[bool, list[bytes]] = field(default_factory=lambda: {True: [], False: []})


def _legs(path: Path) -> tuple[list[_Leg], list[_Leg]]:
    """Read the initiator legs and the target legs, each in the order in which they were opened."""
    found: tuple[list[_Leg], list[_Leg]] = ([], [])
    open_now: dict[tuple[int, frozenset[tuple[bytes, int]]], _Leg] = {}
    for segment in segments(path.read_bytes()):
        key = (segment.interface, frozenset((segment.source, segment.destination)))
        if segment.flags & (_SYN | _ACK) == _SYN:
            open_now[key] = _Leg(segment.source)
            found[segment.interface].append(open_now[key])
        elif segment.payload:
            leg = open_now[key]
            leg.sent[segment.source == leg.client].append(segment.payload)
    return found


def _itself(payload: bytes) -> bytes:
    return payload


def differences(path: Path, alike: Callable[[bytes], bytes] = _itself) -> list[Difference]:
    """List all that differs between the two legs of each connection; whatever is not listed is equal.

    Payloads are equal where `alike` makes the same of both.
    """
    initiators, targets = _legs(path)
    assert len(initiators) == len(targets)
    found = []
    for conn, (initiator, target) in enumerate(zip(initiators, targets, strict=True), start=1):
        for to_target in (True, False):
            received, delivered = initiator.sent[to_target], target.sent[to_target]
            if not to_target:
                received, delivered = delivered, received
            one, other = [alike(payload) for payload in received], [alike(payload) for payload in delivered]
            for kind, a, b, c, d in SequenceMatcher(None, one, other, autojunk=False).get_opcodes():
                if kind != "equal":
                    found.append(
                        Difference(
                            conn=conn,
                            to_target=to_target,
                            received=tuple(received[a:b]),
                            delivered=tuple(delivered[c:d]),
                            last=d == len(delivered),
                        )
                    )
    return found


def initiator_stream(path: Path) -> bytes:
    """Give all that the initiator of the first connection sent."""
    return b"".join(_legs(path)[0][0].sent[True])
