"""`close`: end the connection, at a place inside the PDU if wanted."""

from __future__ import annotations

from iscsiproxy.engine.actions.places import offset_of
from iscsiproxy.engine.commands import Close, Finish, Send
from iscsiproxy.engine.firing import Built, Pause, Work
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
    fate=True,
)


def run(act: Built, work: Work) -> Pause | None:
    """Send what is to go, close, and end all acts on this PDU."""
    how, end = act.params["how"], act.params["end"]
    commands = work.host.commands
    hand = work.hand if work.hand is not None and not work.hand.gone else None
    targets = work.connections(act.params["conn"])
    if hand is None or targets != [hand.look.conn]:
        for conn in targets:
            commands.append(Close(conn=conn, how=how, end=end))
        work.fired(act.act, f"{how} on {_legs(end)}")
        work.host.reached(work.rule.name)
        return None
    pdu = hand.outgoing()
    offset = offset_of(act.params["at"], pdu)
    if not hand.dropped and offset > hand.sent:
        stop = None if offset == len(pdu) else offset
        commands.append(
            Send(
                slot=hand.n,
                pdu=pdu,
                changes=tuple(hand.changes),
                rules=tuple(hand.rules),
                start=hand.sent,
                stop=stop,
            )
        )
    gone = f" behind byte {offset} of {len(pdu)}" if offset < len(pdu) else ""
    work.fired(act.act, f"{how} on {_legs(end)}{gone}")
    commands += [Close(conn=hand.look.conn, how=how, end=end, slot=hand.n), Finish(slot=hand.n)]
    hand.gone = True
    work.chain.over = True
    work.host.reached(work.rule.name)
    return None


def _legs(end: str) -> str:
    return "both legs" if end == "both" else f"the {end} leg"
