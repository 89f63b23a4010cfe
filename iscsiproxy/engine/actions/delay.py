"""`delay`: keep what is in hand, and what follows it, until a moment."""

from __future__ import annotations

from iscsiproxy.engine.commands import Detach
from iscsiproxy.engine.firing import Built, Pause, Work
from iscsiproxy.language.spec import ActSpec, Param, ParamKind

__all__ = ["AT_MOST", "SPEC", "run"]

AT_MOST = Param(name="at_most", kind=ParamKind.DURATION, help="go on after this long, come what may", default=60.0)

SPEC = ActSpec(
    name="delay",
    help="keep the PDU, and what follows it, until a moment; with nothing in hand, just wait",
    main="until",
    params=(
        Param(name="until", kind=ParamKind.MOMENT, help="when it goes on", required=True),
        Param(name="overtake", kind=ParamKind.FLAG, help="what follows may go first", default=False),
        AT_MOST,
        Param(
            name="orphans",
            kind=ParamKind.CHOICE,
            help="what becomes of a held PDU whose sender has gone",
            default="drop",
            choices=("drop", "deliver"),
        ),
    ),
    events=True,
)


def run(act: Built, work: Work) -> Pause | None:
    """Hold until the moment comes."""
    hand = work.hand if work.hand is not None and not work.hand.gone else None
    until = " or ".join(moment.text for moment in act.params["until"])
    if hand is not None:
        hand.orphan = act.params["orphans"]
        if act.params["overtake"]:
            work.host.commands.append(Detach(slot=hand.n))
            hand.held = True
        work.report("held", f"until {until}")

    def resume(expired: bool) -> bool:
        if expired:
            work.report("expired", f"{until} did not come in {act.params['at_most']:g} s")
            return False
        if hand is not None:
            hand.mark(work.rule.name)
        work.fired(act.act, f"held until {until}" if hand is not None else f"waited until {until}")
        return True

    return Pause(act.params["until"], act.params["at_most"], resume)
