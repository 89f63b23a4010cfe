"""`stall`: neither read nor write for a while, at a place inside the PDU if wanted."""

from __future__ import annotations

from iscsiproxy.engine.actions.close import END
from iscsiproxy.engine.actions.delay import AT_MOST, limit_of, until_text
from iscsiproxy.engine.actions.places import offset_of
from iscsiproxy.engine.commands import Resume, Stall
from iscsiproxy.engine.work import Built, Outcome, Pause, Work
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
    end, hand = act.params["end"], work.hand
    tokens: list[int] = []
    if hand is not None and not hand.finished:
        pdu = hand.outgoing()
        offset = offset_of(act.params["at"], pdu)
        if not (hand.gone or hand.dropped):
            if offset == len(pdu):
                hand.held = True
                work.chain.let_go()
            elif offset > hand.sent:
                work.chain.send(offset, by=work.rule.name)
        hand.held = True
        tokens.append(work.host.token())
        work.host.commands.append(Stall(conn=hand.look.conn, end=end, token=tokens[0], slot=hand.n))
    else:
        for conn in work.connections(None):
            tokens.append(work.host.token())
            work.host.commands.append(Stall(conn=conn, end=end, token=tokens[-1]))
    until = until_text(act)
    work.host.reached(work.rule.name)
    work.fired(act.act, f"stalled until {until}")

    def resume(outcome: Outcome) -> bool:
        work.host.commands += [Resume(token=token) for token in tokens]
        work.report("released" if outcome == "met" else outcome, f"stall until {until}")
        return outcome == "met"

    return Pause(act.params["until"], limit_of(act), resume, silences=end)
