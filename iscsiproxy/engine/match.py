"""Patterns compiled: which PDUs and events they mean."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from copy import copy
from typing import Literal

from iscsiproxy.engine.captures import belongs
from iscsiproxy.engine.facts import Look
from iscsiproxy.engine.picks import Counter
from iscsiproxy.engine.values import Fn, compile_expr
from iscsiproxy.language.spec import Binary, Call, Expr, In, Logic, Not, Pattern, Range, Ref, Unary
from iscsiproxy.wire.fields import NO_TAG
from iscsiproxy.wire.opcodes import Opcode
from iscsiproxy.wire.pdu import Pdu

__all__ = ["Matcher", "captures_in", "scope_of"]


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
        self._anyone = self._sender in (None, "both")
        self._victim = victim
        self._leg = pattern.leg
        #: The captures without which nothing matches.
        self._needs = frozenset(() if pattern.where is None else captures_in(pattern.where))

    def __repr__(self) -> str:
        return f"<Matcher {self.pattern.text}>"

    def anew(self) -> Matcher:
        """Give the same pattern with counts of its own."""
        other = copy(self)
        other.counter = Counter(self.pattern.picks)
        return other

    def test(self, look: Look) -> bool:
        """Tell whether the pattern, without its picks, means what is looked at."""
        pdu, leg = look.pdu, self._leg
        if pdu is not None:
            opcode = pdu.opcode
            if opcode not in self.opcodes or (opcode in self._status_only and not _is_status(pdu)):
                return False
            # A PDU is seen where it arrives, unless the pattern names a leg; what the proxy made, where it goes to.
            if leg is not look.leg and not (leg is None and (look.arrival or look.by_proxy)):
                return False
        elif (
            look.event not in self.events
            or (leg is not None and leg is not look.leg)
            or (look.event == "escalation" and not self._escalates(look))
        ):
            return False
        return self._fits(look)

    def _fits(self, look: Look) -> bool:
        """Tell whether all that stands behind the items of the pattern is true of what is looked at."""
        if (look.by_proxy or not self._anyone) and not self._from(look):
            return False
        of = self.pattern.of
        if of is not None:
            captured = look.captures.get(of)
            if captured is None or not any(belongs(look, one) for one in captured.members):
                return False
        if self._needs and not self._needs <= look.captures.keys():
            return False
        return self._where is None or bool(self._where(look))

    def take(self, look: Look) -> bool:
        """Count the match and tell whether the picks let it through."""
        return self.counter.plain or self.counter.take(scope_of(self.pattern.picks.per, look), look.rng)

    def _escalates(self, look: Look) -> bool:
        """Whether the victim did it, and the pattern has not met it already by its plainer name."""
        if "close" in self.events if look.how else Opcode.ASYNC in self.opcodes:
            return False
        return self._victim in ("both", look.leg.value)

    def _from(self, look: Look) -> bool:
        if look.by_proxy:
            return self._sender == "proxy"
        sender = look.pdu.sender if look.pdu is not None else look.leg
        return self._sender == sender.value


def captures_in(expr: Expr) -> Iterator[str]:
    """Name every capture that an expression speaks of."""
    match expr:
        case Ref():
            if expr.scope == "capture":
                yield expr.capture
        case Unary() | Not():
            yield from captures_in(expr.operand)
        case Binary():
            yield from captures_in(expr.left)
            yield from captures_in(expr.right)
        case In():
            for one in (expr.operand, *expr.items):
                yield from captures_in(one)
        case Range():
            for one in (expr.operand, expr.low, expr.high):
                yield from captures_in(one)
        case Call():
            for one in expr.arguments:
                yield from captures_in(one)
        case Logic():
            for one in expr.operands:
                yield from captures_in(one)
        case _:
            pass


def scope_of(per: str, look: Look) -> Hashable:
    """Name the scope that a match counts in. A retry is the same task, a tag used again is another one."""
    if per == "run":
        return None
    if per == "connection":
        return look.conn
    if per == "session":
        # Before there is a session, a connection stands for it.
        return look.session or (look.conn,)
    task = look.view.task
    if task is None:
        return (look.session, None)
    command = task.command
    return (look.session, command.opcode, command["ITT"], command.get("I"), command.get("CmdSN"))


def _is_status(pdu: Pdu) -> bool:
    """Whether the PDU advances StatSN (RFC 7143 4.2.2.2)."""
    if pdu.opcode == Opcode.DATA_IN:
        return bool(pdu["S"])
    return pdu.opcode != Opcode.NOP_IN or pdu["ITT"] != NO_TAG
