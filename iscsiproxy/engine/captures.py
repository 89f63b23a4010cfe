"""Captures: what `as NAME` has bound, and what belongs to it."""

from __future__ import annotations

from iscsiproxy.engine.facts import Captured, Look
from iscsiproxy.wire.fields import BHS_LENGTH, NO_TAG
from iscsiproxy.wire.opcodes import End, Opcode
from iscsiproxy.wire.pdu import Pdu

__all__ = ["MAX_COLLECTED", "REQUESTS", "Book", "belongs", "goes_on", "same_session"]

#: How many captures `as each` keeps.
MAX_COLLECTED = 4096
#: What begins a task of its own, or begins one again (RFC 7143 4.2.5).
REQUESTS = frozenset(
    {Opcode.NOP_OUT, Opcode.SCSI_COMMAND, Opcode.TMF_REQUEST, Opcode.TEXT_REQUEST, Opcode.LOGOUT_REQUEST}
)
#: What has a tag that a request may have later: a login is no task of a session, but its tag ends with it.
_TAGGED = REQUESTS | {Opcode.LOGIN_REQUEST, Opcode.LOGIN_RESPONSE}


class Book(dict[str, Captured]):
    """The captures of one scenario by name, found by the tag of their task and by the PDU they were made of too."""

    def __init__(self) -> None:
        super().__init__()
        self._by_tag: dict[int, list[Captured]] = {}
        self._by_n: dict[int, list[Captured]] = {}

    def bind(self, name: str, look: Look, *, each: bool, made: bool = False) -> None:
        """Bind a name to what is looked at, or add to what it has collected; `made`: to what an act has made of it."""
        old = self.get(name)
        if not each or old is None:
            if old is not None:
                self._forget(old)
            self[name] = captured = _captured(look)
            captured.members.append(captured)
        else:
            old.count += 1
            if len(old.members) == MAX_COLLECTED:
                return
            captured = _captured(look)
            old.members.append(captured)
        if captured.command is not None and captured.command["ITT"] != NO_TAG:
            self._by_tag.setdefault(captured.command["ITT"], []).append(captured)
        if captured.pdu is not None and look.n is not None and not made:
            self._by_n.setdefault(look.n, []).append(captured)

    def request(self, look: Look) -> None:
        """Take note of a request: it may give the tag of a captured task to another one."""
        pdu = look.pdu
        if pdu is None or not self._by_tag:
            return
        for captured in self._by_tag.get(pdu["ITT"], ()):
            if not captured.superseded and same_session(look, captured) and not goes_on(pdu, captured.command):
                captured.superseded = True

    def delivered(self, n: int | None, leg: End, pdu: Pdu) -> None:
        """Take note of how a captured PDU was delivered; what comes behind it under its number are copies."""
        for captured in self._by_n.get(n, ()) if n is not None else ():
            captured.faces.setdefault(leg, pdu)

    def _forget(self, captured: Captured) -> None:
        for one in captured.members:
            for index, key in (
                (self._by_tag, one.command["ITT"] if one.command is not None else None),
                (self._by_n, one.look.n),
            ):
                if key is not None and one in index.get(key, ()):
                    index[key].remove(one)
                    if not index[key]:
                        del index[key]


def _captured(look: Look) -> Captured:
    view, pdu = look.view, look.pdu  # read now: what the state says now is what the capture will say of itself later
    command = None if view.task is None else view.task.command
    if command is None and pdu is not None and pdu.opcode in _TAGGED:
        command = Pdu(pdu.bhs, pdu.ahs)
    return Captured(look, look.session, [], command)


def goes_on(pdu: Pdu, command: Pdu | None) -> bool:
    """Tell whether a request with the tag of a task is a retry of its command, or goes on with its text."""
    if command is None or pdu.opcode != command.opcode:
        return False
    if pdu.opcode == Opcode.TEXT_REQUEST and pdu["TTT"] != NO_TAG:
        return True
    return pdu["CmdSN"] == command["CmdSN"] and pdu["I"] == command["I"]


def _embedded(pdu: Pdu) -> Pdu | None:
    """Give the header inside a Reject (RFC 7143 11.17)."""
    return Pdu(pdu.data[:BHS_LENGTH]) if len(pdu.data) >= BHS_LENGTH else None


def belongs(look: Look, captured: Captured) -> bool:
    """Tell whether what is looked at belongs to a capture."""
    origin, pdu = captured.face(look.leg), look.pdu
    if origin is None:
        return look.conn == captured.look.conn
    return pdu is not None and not captured.superseded and _names(pdu, origin) and same_session(look, captured)


def _names(pdu: Pdu, origin: Pdu) -> bool:
    """Tell whether a PDU refers to another one, or to the task of it."""
    opcode = pdu.opcode
    if origin.opcode == Opcode.NOP_IN and origin["TTT"] != NO_TAG:
        return opcode == Opcode.NOP_OUT and pdu["TTT"] == origin["TTT"]
    inner = _embedded(origin) if origin.opcode == Opcode.REJECT else origin
    if inner is None:
        return False
    tag = inner["ITT"]
    if opcode == Opcode.REJECT:
        header = _embedded(pdu)
        # What has no tag is known by its whole header.
        return header is not None and (header["ITT"] == tag if tag != NO_TAG else header.bhs == inner.bhs)
    if tag == NO_TAG:
        return False
    if opcode == Opcode.TMF_REQUEST and pdu["RefTaskTag"] == tag:
        return True
    if origin.opcode == Opcode.R2T and opcode == Opcode.DATA_OUT and pdu["TTT"] != origin["TTT"]:
        return False
    return pdu["ITT"] == tag


def same_session(look: Look, captured: Captured) -> bool:
    """Before there is a session, a connection stands for it."""
    if captured.session == 0:
        return look.conn == captured.look.conn
    return look.session == captured.session
