from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import pytest

from iscsiproxy.session import events
from iscsiproxy.session.events import (
    Bound,
    Change,
    Closed,
    Connected,
    ConnectFailed,
    Decided,
    Delivered,
    Drawn,
    Event,
    Fired,
    FullFeature,
    IoDone,
    Noted,
    Pinged,
    Received,
    Refused,
    Staged,
    Unframed,
    Violated,
)
from iscsiproxy.session.wording import kind_of, line_of
from iscsiproxy.wire.describe import summary
from iscsiproxy.wire.opcodes import End, Opcode
from iscsiproxy.wire.pdu import Pdu

__all__: list[str] = []

_PING = Pdu.build(Opcode.NOP_OUT, I=1, F=1, ITT=7)
_CHANGES = (Change(what="CmdSN", old="1", new="2"), Change(what="F", old="0", new="1"))


def _events() -> Iterator[tuple[Event, str, str]]:
    at: dict[str, Any] = {"n": 1, "at": 0.5, "conn": 2}
    ends: dict[str, Any] = {"initiator": "a:1", "listen": "b:2"}
    yield Connected(**at, **ends, local="c:3", target="d:4"), "connected", "connected a:1 -> b:2 | c:3 -> d:4"
    yield (
        ConnectFailed(**at, initiator="a:1", target="d:4", reason="Connection refused"),
        "connectfailed",
        "target d:4 cannot be reached: Connection refused; a:1 was closed",
    )
    yield Refused(**at, **ends), "refused", "a:1 -> b:2 was refused"
    yield FullFeature(**at, leg=End.TARGET, keys=()), "fullfeature", "full feature phase on the target leg"
    yield Closed(**at, leg=End.TARGET, how="rst", by="peer"), "closed", "RST on the target leg, by peer"
    yield (
        Unframed(**at, leg=End.INITIATOR, reason="no opcode"),
        "unframed",
        "no PDUs any more on the initiator leg (no opcode); its bytes pass through raw",
    )
    yield (
        Violated(**at, leg=End.TARGET, by=End.INITIATOR, text="a Data-Out in login", section="RFC 7143 6.3", of=3),
        "violated",
        "initiator: a Data-Out in login (RFC 7143 6.3)",
    )
    fired: dict[str, Any] = {"rule": "x/cut", "act": "set", "of": 3, "label": "NOP-Out ITT=0x7", "text": "changed"}
    yield Fired(**at, **fired), "fired", "FAULT x/cut set: changed: NOP-Out ITT=0x7"
    yield (
        Fired(**at, **fired, changes=_CHANGES),
        "fired",
        "FAULT x/cut set: changed (CmdSN 1 -> 2; F 0 -> 1): NOP-Out ITT=0x7",
    )
    yield Decided(**at, rule="x/cut", what="held", of=3, text="until 1s"), "decided", "held x/cut: until 1s"
    yield Noted(**at, rule="x/cut", of=3, text="here"), "noted", "note x/cut: here"
    yield Noted(**at, rule="", of=None, text="internal error"), "noted", "internal error"
    yield Bound(**at, rule="x/cut", name="lost", of=3), "bound", "lost of x is #3"
    pinged: dict[str, Any] = {"barrier": 4, "end": End.TARGET}
    yield Pinged(**at, **pinged, what="sent"), "pinged", "barrier 4 to the target: sent"
    yield Pinged(**at, **pinged, what="hung", text="cut"), "pinged", "barrier 4 to the target: hung, cut"
    yield IoDone(**at, what="error", text="write: lost"), "iodone", "I/O error: write: lost"
    yield Staged(**at, stage="steady"), "staged", "stage steady"
    yield Staged(**at, stage="fault", text="x"), "staged", "stage fault: x"
    yield Drawn(**at, number=5, fault="x", what="armed", commands=9), "drawn", "fault 5 armed: x"
    ping = summary(_PING)
    yield Received(**at, leg=End.INITIATOR, pdu=_PING), "received", f"initiator >  {ping}"
    yield Received(**at, leg=End.TARGET, pdu=_PING), "received", f"   target >  {ping}"
    yield Delivered(**at, leg=End.TARGET, pdu=_PING, of=3), "delivered", f"   target <  {ping}"
    yield Delivered(**at, leg=End.TARGET, pdu=_PING, of=3, rules=("x/cut",)), "delivered", f"   target <* {ping}"
    yield Delivered(**at, leg=End.TARGET, pdu=_PING, of=3, changes=_CHANGES), "delivered", f"   target <* {ping}"


_EVENTS: Final = tuple(_events())


@pytest.mark.parametrize(
    ("event", "kind", "line"), _EVENTS, ids=[f"{kind}-{at}" for at, (_, kind, _) in enumerate(_EVENTS)]
)
def test_an_event_in_words(event: Event, kind: str, line: str) -> None:
    assert (kind_of(event), line_of(event)) == (kind, line)


def test_no_event_is_without_words() -> None:
    all_kinds = {getattr(events, name) for name in events.__all__} - {Change, Event, events.How}
    assert {type(event) for event, _, _ in _EVENTS} == all_kinds
    assert not [line for event, _, _ in _EVENTS if (line := line_of(event)) == repr(event)]
