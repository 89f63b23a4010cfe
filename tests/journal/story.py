"""Tell what happened, event by event: a story is a list of events that numbers and dates itself."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, TypedDict

from iscsiproxy.session.events import (
    Change,
    Closed,
    Connected,
    Decided,
    Delivered,
    Event,
    Fired,
    FullFeature,
    How,
    Noted,
    Received,
    Unframed,
    Violated,
)
from iscsiproxy.wire.opcodes import End, Opcode
from iscsiproxy.wire.pdu import Pdu

__all__ = ["INITIATOR", "KEYS", "TARGET", "Story", "change", "command", "data_in", "login", "response", "text"]

INITIATOR, TARGET = End.INITIATOR, End.TARGET
KEYS = ("InitiatorName=iqn.2003-01.org.example:host", "TargetName=iqn.2003-01.org.example:disk", "SessionType=Normal")


def text(*pairs: str) -> bytes:
    """Write text data."""
    return b"".join(pair.encode() + b"\0" for pair in pairs)


def login(*pairs: str, opcode: Opcode = Opcode.LOGIN_REQUEST, **values: int) -> Pdu:
    """Make a Login Request, or Login Response, that asks for the full feature phase."""
    fields = {"ITT": 0x10, "T": 1, "CSG": 1, "NSG": 3, "CmdSN" if opcode == Opcode.LOGIN_REQUEST else "StatSN": 1}
    if opcode == Opcode.LOGIN_REQUEST:
        fields["I"] = 1
    return Pdu.build(opcode, text(*pairs)).with_fields({**fields, **values})


def command(ITT: int = 1, data: bytes = b"", **values: int) -> Pdu:  # noqa: N803 - the standard's name
    """Make a READ(10), or with data a WRITE(10)."""
    cdb = bytes([0x2A if data else 0x28, 0, 0, 0, 0, 0, 0, 0, 8, 0])
    fields = {"F": 1, "W" if data else "R": 1, "EDTL": 4096, "ATTR": 1, "ITT": ITT, "CmdSN": ITT, "ExpStatSN": 1}
    return Pdu.build(Opcode.SCSI_COMMAND, data, CDB=cdb).with_fields({**fields, **values})


def data_in(ITT: int = 1, data: bytes = bytes(4096), **values: int) -> Pdu:  # noqa: N803 - the standard's name
    """Make a Data-In with status."""
    fields = {"F": 1, "S": 1, "ITT": ITT, "TTT": 0xFFFFFFFF, "StatSN": ITT, "ExpCmdSN": ITT + 1, "MaxCmdSN": ITT + 32}
    return Pdu.build(Opcode.DATA_IN, data).with_fields({**fields, **values})


def response(ITT: int = 1, data: bytes = b"", **values: int) -> Pdu:  # noqa: N803 - the standard's name
    """Make a SCSI Response."""
    fields = {"F": 1, "ITT": ITT, "StatSN": ITT, "ExpCmdSN": ITT + 1, "MaxCmdSN": ITT + 32}
    return Pdu.build(Opcode.SCSI_RESPONSE, data).with_fields({**fields, **values})


def change(what: str, old: object, new: object) -> Change:
    """Make a change."""
    return Change(what=what, old=str(old), new=str(new))


class _When(TypedDict):
    n: int
    at: float
    conn: int


class Story:
    """Events in their order; each call adds one, a millisecond after the last, and gives its `n`."""

    def __init__(self, conn: int = 1, first: int = 1) -> None:
        self.conn = conn
        self.events: list[Event] = []
        self._n = first - 1

    def _when(self) -> _When:
        self._n += 1
        return {"n": self._n, "at": self._n / 1000, "conn": self.conn}

    def _add(self, event: Event) -> int:
        self.events.append(event)
        return event.n

    def connected(
        self,
        initiator: str = "127.0.0.1:40001",
        listen: str = "127.0.0.1:3261",
        local: str = "127.0.0.1:40002",
        target: str = "127.0.0.1:3260",
    ) -> int:
        return self._add(Connected(initiator=initiator, listen=listen, local=local, target=target, **self._when()))

    def came(
        self,
        pdu: Pdu,
        *,
        leg: End | None = None,
        header_digest_ok: bool | None = None,
        data_digest_ok: bool | None = None,
        partial: bool = False,
    ) -> int:
        """Have a PDU come in, by default on the leg of its sender."""
        return self._add(
            Received(
                leg=leg or pdu.sender,
                pdu=pdu,
                header_digest_ok=header_digest_ok,
                data_digest_ok=data_digest_ok,
                partial=partial,
                **self._when(),
            )
        )

    def went(
        self,
        pdu: Pdu,
        of: int | None,
        *,
        leg: End | None = None,
        changes: Iterable[Change] = (),
        rules: Sequence[str] = (),
        start: int = 0,
        sent: int = -1,
    ) -> int:
        """Have a PDU go out, by default on the leg of who awaits it."""
        return self._add(
            Delivered(
                leg=leg or pdu.sender.other,
                pdu=pdu,
                of=of,
                changes=tuple(changes),
                rules=tuple(rules),
                start=start,
                sent=sent,
                **self._when(),
            )
        )

    def passed(self, pdu: Pdu) -> int:
        """Have a PDU come in and go out as it came."""
        n = self.came(pdu, header_digest_ok=pdu.header_digest_ok(), data_digest_ok=pdu.data_digest_ok())
        self.went(pdu, n)
        return n

    def logged_in(self, *pairs: str) -> None:
        """Have a connection enter the full feature phase."""
        self.connected()
        self.passed(login(*KEYS, *pairs))
        self.passed(login(*pairs, opcode=Opcode.LOGIN_RESPONSE, TSIH=1, ExpCmdSN=1, MaxCmdSN=32))
        for leg in End:
            self.full_feature(leg, *pairs)

    def full_feature(self, leg: End, *pairs: str) -> int:
        keys = tuple((key, value) for key, _, value in (pair.partition("=") for pair in pairs))
        return self._add(FullFeature(leg=leg, keys=keys, **self._when()))

    def fired(
        self, rule: str, act: str, of: int | None, what: str, *changes: Change, label: str = "SCSI-Command ITT=0x1"
    ) -> int:
        return self._add(Fired(rule=rule, act=act, of=of, label=label, text=what, changes=changes, **self._when()))

    def decided(self, rule: str, what: Literal["matched", "failed", "shadowed"], of: int | None, why: str) -> int:
        return self._add(Decided(rule=rule, what=what, of=of, text=why, **self._when()))

    def noted(self, rule: str, of: int | None, what: str) -> int:
        return self._add(Noted(rule=rule, of=of, text=what, **self._when()))

    def violated(self, leg: End, by: End, of: int, what: str, section: str = "11.2") -> int:
        return self._add(Violated(leg=leg, by=by, of=of, text=what, section=section, **self._when()))

    def unframed(self, leg: End, reason: str) -> int:
        return self._add(Unframed(leg=leg, reason=reason, **self._when()))

    def closed(self, leg: End, how: How = "fin", by: Literal["peer", "proxy", "fault"] = "peer") -> int:
        return self._add(Closed(leg=leg, how=how, by=by, **self._when()))

    def ended(self) -> None:
        """Have the initiator close, and all that follows from that."""
        self.closed(INITIATOR)
        self.closed(TARGET, by="proxy")
        self.closed(TARGET)
        self.closed(INITIATOR, by="proxy")
