"""`pass`: the PDU goes now; later acts run after it."""

from __future__ import annotations

from iscsiproxy.engine.firing import Built, Pause, Work
from iscsiproxy.language.spec import ActSpec

__all__ = ["SPEC", "run"]

SPEC = ActSpec(name="pass", help="let the PDU go now; later acts run after it")


def run(act: Built, work: Work) -> Pause | None:
    """Send what is in hand."""
    work.need_hand()
    work.chain.let_go()
    work.fired(act.act, "sent on")
    return None
