"""`arm`: bring another rule of the scenario into force."""

from __future__ import annotations

from iscsiproxy.engine.work import Built, Pause, Work
from iscsiproxy.language.spec import ActSpec, Param, ParamKind

__all__ = ["RULE", "SPEC", "run"]

RULE = Param(name="rule", kind=ParamKind.RULE, help="the name of the rule", required=True)

SPEC = ActSpec(name="arm", help="bring another rule into force", main="rule", params=(RULE,), events=True)


def run(act: Built, work: Work) -> Pause | None:
    """Arm the rule, from the next PDU on; its picks and sequences start anew unless it was in force already."""
    name = act.params["rule"]
    news = work.host.arm(work.rule, name, on=True)
    work.fired(act.act, f"{name} is in force{'' if news else ' already'}")
    return None
