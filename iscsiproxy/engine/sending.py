"""Put a PDU of the proxy's own on its way, for an act."""

from __future__ import annotations

from collections.abc import Callable

from iscsiproxy.engine.authored import Errand, author_of
from iscsiproxy.engine.facts import Look
from iscsiproxy.engine.hand import Hand
from iscsiproxy.engine.splitting import OwnRounds, Plan, first_piece
from iscsiproxy.engine.work import ActError, Work
from iscsiproxy.session.events import Delivered
from iscsiproxy.wire.fields import NO_TAG
from iscsiproxy.wire.opcodes import End, Opcode
from iscsiproxy.wire.pdu import Pdu

__all__ = ["amid_unsolicited", "begin_copy", "own_connection", "send"]


def own_connection(work: Work, name: str | None) -> int:
    """Give the one connection to send on. Raises ActError if it is not clear which."""
    found = work.connections(name)
    if len(found) != 1:
        raise ActError("there is no connection to send on" if not found else "there are several connections")
    return found[0]


def send(
    work: Work,
    pdu: Pdu,
    *,
    conn: int,
    fill: frozenset[str] = frozenset(),
    name: str | None = None,
    patient: bool = False,
    raw: bool = False,
    exact: frozenset[str] = frozenset(),
    borrowed: bool = False,
    answered: Callable[[Look | None], None] | None = None,
    split: Plan | None = None,
) -> Errand:
    """Send a PDU to the end that its name addresses, before what is in hand if that goes the same way.

    `name` is bound to it when it has gone; `answered`, `borrowed` as in `Errand`, the rest as in `Author`. With `split`
    it goes in pieces.
    """
    host, hand = work.host, work.hand
    to, whole = pdu.sender.other, pdu
    if split is not None:
        pdu = first_piece(whole, split)
    errand = Errand(
        host.errands.ticket(), conn, to, pdu, work.rule.name, host.session(conn), answered, borrowed=borrowed
    )
    if name is not None:
        errand.written = _binder(work, name)
    host.errands.begin(errand)
    if split is not None and split.finish:
        host.standing.append(OwnRounds(host, errand, whole, split))
    slot = None
    cut = hand is not None and hand.sent and not hand.gone  # and no PDU may stand inside another one
    if hand is not None and not (hand.finished or cut) and hand.look.conn == conn and hand.look.leg is not to:
        if patient and amid_unsolicited(hand):
            go = author_of(errand, fill=fill, patient=True, raw=raw, exact=exact)
            if hand.gone and not hand.dropped:
                host.when_delivered(hand.n, lambda _: host.commands.append(go))
            else:
                host.commands.append(go)
            return errand
        slot = hand.n
        hand.held = True
    patient = patient and slot is None
    host.commands.append(author_of(errand, fill=fill, slot=slot, patient=patient, raw=raw, exact=exact))
    return errand


def amid_unsolicited(hand: Hand) -> bool:
    """Tell whether what goes beside the PDU in hand comes between a command and its unsolicited data."""
    pdu = hand.look.pdu
    if pdu is not None and pdu.opcode == Opcode.DATA_OUT:
        return pdu["TTT"] == NO_TAG and not (hand.gone and pdu["F"])
    return pdu is not None and pdu.opcode == Opcode.SCSI_COMMAND and hand.gone and not pdu["F"]


def begin_copy(work: Work, pdu: Pdu, name: str | None, *, own_tag: bool) -> Callable[[], int]:
    """Give what makes the errand of a copy when it goes; answers to a tag of its own reach nobody."""

    def begin() -> int:
        host, look = work.host, work.look
        assert look is not None
        to = End(look.leg).other
        ticket = host.errands.ticket()
        errand = Errand(ticket, look.conn, to, pdu, work.rule.name, host.session(look.conn), borrowed=not own_tag)
        if name is not None:
            errand.written = _binder(work, name)
        host.errands.begin(errand)
        return ticket

    return begin


def _binder(work: Work, name: str) -> Callable[[Delivered], None]:
    return lambda event: work.host.made(work.rule, name, event)
