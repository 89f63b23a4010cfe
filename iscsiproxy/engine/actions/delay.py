"""`delay`: keep what is in hand, and what follows it, until a moment."""

from __future__ import annotations

from iscsiproxy.engine.commands import Detach
from iscsiproxy.engine.work import Built, Outcome, Pause, Work
from iscsiproxy.language.spec import ActSpec, Param, ParamKind

__all__ = ["AT_MOST", "SPEC", "limit_of", "run", "until_text"]

AT_MOST = Param(
    name="at_most",
    kind=ParamKind.DURATION,
    help="go on after this long, come what may; no: wait for ever",
    default=60.0,
    choices=("no",),
)

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
    hand = work.hand if work.hand is not None and not (work.hand.gone or work.hand.dropped) else None
    until, limit = until_text(act), limit_of(act)
    if hand is not None:
        hand.orphan = act.params["orphans"]
        if act.params["overtake"]:
            hand.aside = True
            work.host.commands.append(Detach(slot=hand.n))
        work.report("held", f"until {until}")

    def resume(outcome: Outcome) -> bool:
        if outcome == "expired":
            work.report("expired", f"{until} did not come in {limit:g} s")
        if outcome != "met":
            return False
        if hand is not None:
            hand.mark(work.rule.name)
        work.fired(act.act, f"held until {until}" if hand is not None else f"waited until {until}")
        return True

    return Pause(act.params["until"], limit, resume)


def limit_of(act: Built) -> float | None:
    """Give the seconds of `at_most`, or None for `no`."""
    at_most = act.params["at_most"]
    return None if at_most == "no" else float(at_most)


def until_text(act: Built) -> str:
    """Give the moments of `until` as they were written."""
    return " or ".join(path.moment.text for path in act.params["until"])
