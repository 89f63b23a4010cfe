"""`close`: end the connection, at a place inside the PDU if wanted."""

from __future__ import annotations

from iscsiproxy.engine.actions.places import offset_of
from iscsiproxy.engine.commands import Close
from iscsiproxy.engine.work import Built, Pause, Work
from iscsiproxy.language.spec import ActSpec, Param, ParamKind, Place

__all__ = ["END", "SPEC", "run"]

END = Param(
    name="end",
    kind=ParamKind.CHOICE,
    help="on which leg",
    default="both",
    choices=("initiator", "target", "both"),
)

SPEC = ActSpec(
    name="close",
    help="close the connection; with a place, just that much of the PDU goes first",
    main="how",
    params=(
        Param(
            name="how",
            kind=ParamKind.CHOICE,
            help="by RST, by FIN, or by a FIN of our sending side only",
            default="rst",
            choices=("rst", "fin", "half"),
        ),
        END,
        Param(name="at", kind=ParamKind.PLACE, help="how much of the PDU goes first", default=Place(part="end")),
        Param(name="conn", kind=ParamKind.NAME, help="another connection than that of the PDU: a capture of it"),
    ),
    events=True,
)


def run(act: Built, work: Work) -> Pause | None:
    """Send what is to go, close, and end all acts on this PDU."""
    how, end = act.params["how"], act.params["end"]
    targets = work.connections(act.params["conn"])
    hand = work.hand
    if hand is None or hand.finished or targets != [hand.look.conn]:
        work.host.commands += [Close(conn=conn, how=how, end=end) for conn in targets]
        work.fired(act.act, f"{how} on {_legs(end)}")
        work.host.reached(work.rule.name)
        return None
    pdu = hand.outgoing()
    offset = offset_of(act.params["at"], pdu)
    cut = not (hand.gone or hand.dropped) and offset < len(pdu)
    if cut:
        if offset > hand.sent:
            work.chain.send(offset, by=work.rule.name)
        hand.gone = True
    else:
        hand.held = True
        work.chain.let_go()
    work.fired(act.act, f"{how} on {_legs(end)}{f' behind byte {offset} of {len(pdu)}' if cut else ''}")
    work.host.commands.append(Close(conn=hand.look.conn, how=how, end=end, slot=hand.n))
    work.chain.finish()
    work.chain.over = True
    work.host.reached(work.rule.name)
    return None


def _legs(end: str) -> str:
    return "both legs" if end == "both" else f"the {end} leg"
