"""`stall`: neither read nor write for a while, at a place inside the PDU if wanted."""

from __future__ import annotations

from iscsiproxy.engine.actions.close import END
from iscsiproxy.engine.actions.delay import AT_MOST
from iscsiproxy.engine.actions.places import offset_of
from iscsiproxy.engine.commands import Resume, Send, Stall
from iscsiproxy.engine.firing import Built, Pause, Work
from iscsiproxy.language.spec import ActSpec, Param, ParamKind, Place

__all__ = ["SPEC", "run"]

SPEC = ActSpec(
    name="stall",
    help="neither read nor write until a moment; the bytes of the PDU before the place go first",
    main="until",
    params=(
        Param(name="until", kind=ParamKind.MOMENT, help="when it goes on", required=True),
        END,
        Param(name="at", kind=ParamKind.PLACE, help="how much of the PDU goes first", default=Place(part="start")),
        AT_MOST,
    ),
    events=True,
)


def run(act: Built, work: Work) -> Pause | None:
    """Send what is to go, stall, and wait."""
    commands, end = work.host.commands, act.params["end"]
    hand = work.hand if work.hand is not None and not work.hand.gone else None
    tokens = []
    if hand is not None:
        pdu = hand.outgoing()
        offset = offset_of(act.params["at"], pdu)
        if hand.sent < offset < len(pdu):
            commands.append(
                Send(
                    slot=hand.n,
                    pdu=pdu,
                    changes=tuple(hand.changes),
                    rules=(*hand.rules, work.rule.name),
                    start=hand.sent,
                    stop=offset,
                )
            )
            hand.sent = offset
        elif offset == len(pdu):
            work.chain.let_go(finish=False)
        hand.held = True
        tokens.append(work.host.token())
        commands.append(Stall(conn=hand.look.conn, end=end, token=tokens[0], slot=hand.n))
        if hand.gone:
            work.chain.finish()
    else:
        for conn in work.connections(None):
            tokens.append(work.host.token())
            commands.append(Stall(conn=conn, end=end, token=tokens[-1]))
    until = " or ".join(moment.text for moment in act.params["until"])
    work.host.reached(work.rule.name)
    work.fired(act.act, f"stalled until {until}")

    def resume(expired: bool) -> bool:
        work.host.commands += [Resume(token=token) for token in tokens]
        work.report("expired" if expired else "released", f"stall until {until}")
        return not expired

    return Pause(act.params["until"], act.params["at_most"], resume)
