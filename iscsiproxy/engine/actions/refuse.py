"""`refuse`: this connection is not accepted."""

from __future__ import annotations

from iscsiproxy.engine.work import Built, Pause, Work
from iscsiproxy.language.spec import ActSpec

__all__ = ["SPEC", "run"]

SPEC = ActSpec(name="refuse", help="do not accept this connection", on=frozenset(), events=True, fate=True)


def run(act: Built, work: Work) -> Pause | None:
    """Have the initiator reset at once; the target never hears of it."""
    work.host.refuse(work.conn)
    work.fired(act.act, "not accepted")
    work.host.reached(work.rule.name)
    return None
