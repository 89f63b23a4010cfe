"""`pass`: the PDU goes now; later acts run after it."""

from __future__ import annotations

from iscsiproxy.engine.work import ActError, Built, Pause, Work
from iscsiproxy.language.spec import ActSpec

__all__ = ["SPEC", "run"]

SPEC = ActSpec(name="pass", help="let the PDU go now; later acts run after it")


def run(act: Built, work: Work) -> Pause | None:
    """Send what is in hand."""
    hand = work.hand
    if hand is None or hand.gone:
        raise ActError("no PDU is in hand")
    hand.held = True  # later acts may have to come behind it in the stream
    hand.fate = work.rule.name
    work.chain.let_go()
    work.fired(act.act, "sent on")
    return None
