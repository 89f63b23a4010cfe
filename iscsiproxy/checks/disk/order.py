"""Which of two commands takes effect first, and what a read may therefore find (RFC 3783 4; RFC 7143 4.2.2.1).

- One that was over before the other was issued precedes it, always, in one session or in two. All that is in flight
  together in different sessions may come in any order: CmdSN orders the commands of one session alone.
- Of two writes of one session in flight together, that with the lower CmdSN precedes: targets deliver commands in CmdSN
  order (RFC 7143 4.2.2.1), and reordering of SIMPLE commands must leave on the medium what ORDERED ones would have left
  (SPC-4 7.5.8, QUEUE ALGORITHM MODIFIER 0). If the Control mode page allows unrestricted reordering, only ORDERED
  commands are in this order (SAM-5 8.6). While nobody has told which of the two it is, the order is held to, and a
  finding that depends on it says that it is not certain.
- A read in flight beside a write of its session may find it or not: the rule of SPC-4 is about what is on the medium in
  the end. Only if every command involved is ORDERED, a read finds exactly what came before it.
- Immediate commands are outside of the order of CmdSN (RFC 7143 4.2.2.1), HEAD OF QUEUE commands overtake (SAM-5 8.5).
"""

from __future__ import annotations

from iscsiproxy.checks.disk.ops import Op, State
from iscsiproxy.checks.disk.spans import Candidate, Span
from iscsiproxy.wire.serial import lt

__all__ = ["allowed", "precedes", "racing", "strictly"]


def strictly(one: Op, other: Op) -> bool:
    """Tell whether the first of two commands that were in flight together had to be done before the second."""
    return (
        one.ordered
        and other.ordered
        and one.order is not None
        and other.order is not None
        and one.session == other.session
        and lt(one.order, other.order)
        and not (one.over is not None and one.over < other.issued)
        and not (other.over is not None and other.over < one.issued)
    )


def precedes(one: Op, other: Op, *, restricted: bool) -> bool:
    """Tell whether a write takes effect before another, if at all."""
    if one.over is not None and one.over < other.issued:
        return True
    if other.over is not None and other.over < one.issued:
        return False
    return (
        one.order is not None
        and other.order is not None
        and one.session == other.session
        and (restricted or one.ordered or other.ordered)
        and lt(one.order, other.order)
    )


def allowed(read: Op, span: Span, *, restricted: bool) -> list[Candidate]:
    """Give the candidates of a span that a read may find."""
    found = []
    for one in span.candidates:
        if one.op is read or (one.until is not None and one.until < read.issued):
            continue
        if read.ordered and _ruled_out(read, one.op, span, restricted=restricted):
            continue
        found.append(one)
    return found


def _ruled_out(read: Op, op: Op, span: Span, *, restricted: bool) -> bool:
    """Tell whether strict order hides a write from a read: it comes later, or one that came between replaced it."""
    if strictly(read, op):
        return True
    return any(
        winner.state is State.GOOD and strictly(winner, read) and precedes(op, winner, restricted=restricted)
        for winner in (one.op for one in span.candidates)
        if winner is not op
    )


def racing(read: Op, op: Op) -> bool:
    """Tell whether a write was at work, or could be, while a read was."""
    return op.writes and (op.over is None or op.over > read.issued) and not strictly(op, read)
