"""`drop`: the PDU does not go; the hole it leaves is the fault."""

from __future__ import annotations

from iscsiproxy.engine.work import Built, Pause, Work
from iscsiproxy.language.spec import ActSpec, Param, ParamKind

__all__ = ["NUMBERS", "SPEC", "run"]

NUMBERS = Param(
    name="numbers",
    kind=ParamKind.CHOICE,
    help="raw: what the receiver misses or meets twice is the fault; translate: hide it from both ends",
    default="raw",
    choices=("raw", "translate"),
)

SPEC = ActSpec(name="drop", help="the PDU does not go", params=(NUMBERS,), fate=True)


def run(act: Built, work: Work) -> Pause | None:
    """Settle the fate of what is in hand."""
    hand = work.need_hand()
    hand.dropped = True
    hand.hidden = act.params["numbers"] == "translate"
    hand.fate = work.rule.name
    work.fired(act.act, "not sent")
    work.once_it_stands(lambda: work.host.reached(work.rule.name))
    return None
