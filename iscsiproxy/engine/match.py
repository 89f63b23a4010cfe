"""Patterns compiled: which PDUs and events they mean, and what belongs to a capture (LANGUAGE: patterns)."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Literal

from iscsiproxy.engine.facts import Captured, Look
from iscsiproxy.engine.picks import Counter
from iscsiproxy.engine.values import Fn, compile_expr
from iscsiproxy.language.spec import Pattern
from iscsiproxy.wire.fields import BHS_LENGTH, NO_TAG
from iscsiproxy.wire.opcodes import End, Opcode
from iscsiproxy.wire.pdu import Pdu

__all__ = ["MAX_COLLECTED", "Matcher", "belongs", "bind", "scope_of", "supersedes"]

#: How many captures `as each` keeps.
MAX_COLLECTED = 4096
_CONNECTION_EVENTS = frozenset({"connect", "full-feature", "close"})


class Matcher:
    """One pattern in one place of the file, with its own counts."""

    def __init__(self, pattern: Pattern, victim: Literal["initiator", "target", "both"]) -> None:
        self.pattern = pattern
        self.opcodes = frozenset[int]().union(*(item.opcodes for item in pattern.items))
        self.events = frozenset(item.name for item in pattern.items if not item.opcodes)
        self.counter = Counter(pattern.picks)
        always = frozenset[int]().union(*(item.opcodes for item in pattern.items if not item.status))
        self._status_only = self.opcodes - always
        self._where: Fn | None = None if pattern.where is None else compile_expr(pattern.where)
        self._sender = victim if pattern.sender == "victim" else pattern.sender

    def __repr__(self) -> str:
        return f"<Matcher {self.pattern.text}>"

    def test(self, look: Look) -> bool:
        """Tell whether the pattern, without its picks, means what is looked at."""
        pattern, pdu = self.pattern, look.pdu
        if pdu is not None:
            opcode = pdu.opcode
            if opcode not in self.opcodes:
                return False
            if opcode in self._status_only and not _is_status(pdu):
                return False
            # A PDU is seen where it arrives, unless the pattern names a leg.
            if pattern.leg is not look.leg and not (pattern.leg is None and look.arrival):
                return False
        elif look.event not in self.events or (pattern.leg is not None and pattern.leg is not look.leg):
            return False
        if not self._from(look):
            return False
        if pattern.of is not None:
            captured = look.captures.get(pattern.of)
            if captured is None or not any(belongs(look, one) for one in captured.members):
                return False
        return self._where is None or bool(self._where(look))

    def take(self, look: Look) -> bool:
        """Count the match and tell whether the picks let it through."""
        return self.counter.plain or self.counter.take(scope_of(self.pattern.picks.per, look), look.rng)

    def _from(self, look: Look) -> bool:
        if look.by_proxy:
            return self._sender == "proxy"
        if self._sender in (None, "both"):
            return True
        sender = look.pdu.sender if look.pdu is not None else look.leg
        return self._sender == sender.value


def scope_of(per: str, look: Look) -> Hashable:
    """Name the scope that a match counts in."""
    if per == "run":
        return None
    if per == "connection":
        return look.conn
    if per == "session":
        return look.session
    task = look.view.task
    if task is None:
        return (look.session, None)
    return (look.session, task.command["ITT"], task.command.get("CmdSN"))


def _is_status(pdu: Pdu) -> bool:
    """Whether the PDU advances StatSN (RFC 7143 4.2.2.2)."""
    if pdu.opcode == Opcode.DATA_IN:
        return bool(pdu["S"])
    return pdu.opcode != Opcode.NOP_IN or pdu["ITT"] != NO_TAG


def bind(captures: dict[str, Captured], name: str, look: Look, *, each: bool) -> None:
    """Bind a capture to what is looked at, or add to it."""
    old = captures.get(name)
    if each and old is not None:
        old.count += 1
        if len(old.members) < MAX_COLLECTED:
            old.members.append(_captured(look))
        return
    captures[name] = _captured(look)


def _captured(look: Look) -> Captured:
    view = look.view  # read now: what the state says now is what the capture will say of itself later
    number = None if look.pdu is None or look.pdu.sender is End.TARGET else look.pdu.get("CmdSN")
    if number is None and view.task is not None:
        number = view.task.command.get("CmdSN")
    captured = Captured(look, look.session, [], CmdSN=number)
    captured.members.append(captured)
    return captured


def belongs(look: Look, captured: Captured) -> bool:
    """Tell whether what is looked at belongs to a capture (LANGUAGE: `of`)."""
    origin, pdu = captured.pdu, look.pdu
    if origin is None:
        return look.conn == captured.look.conn and captured.look.event in _CONNECTION_EVENTS
    if pdu is None or look.session != captured.session:
        return False
    if origin.opcode == Opcode.NOP_IN and origin["TTT"] != NO_TAG:
        return pdu.opcode == Opcode.NOP_OUT and pdu["TTT"] == origin["TTT"]
    itt = origin["ITT"]
    if pdu.opcode == Opcode.REJECT:
        return len(pdu.data) >= BHS_LENGTH and not captured.superseded and Pdu(pdu.data[:BHS_LENGTH])["ITT"] == itt
    if captured.superseded:
        return False
    if pdu.opcode == Opcode.TMF_REQUEST and pdu["RefTaskTag"] == itt:
        return True
    if origin.opcode == Opcode.R2T and pdu.opcode == Opcode.DATA_OUT:
        return pdu["ITT"] == itt and pdu["TTT"] == origin["TTT"]
    return itt != NO_TAG and pdu["ITT"] == itt


def supersedes(pdu: Pdu, captured: Captured) -> bool:
    """Tell whether a new request takes over the ITT of a capture: another task from now on, not a retry of it."""
    origin = captured.pdu
    if origin is None or pdu.sender is not End.INITIATOR or "CmdSN" not in pdu.fields or pdu["ITT"] != origin["ITT"]:
        return False
    return origin["ITT"] != NO_TAG and captured.CmdSN is not None and pdu["CmdSN"] != captured.CmdSN
