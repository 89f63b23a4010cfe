"""`disarm`: take another rule of the scenario out of force."""

from __future__ import annotations

from iscsiproxy.engine.actions.arm import RULE
from iscsiproxy.engine.work import Built, Pause, Work
from iscsiproxy.language.spec import ActSpec

__all__ = ["SPEC", "run"]

SPEC = ActSpec(name="disarm", help="take another rule out of force", main="rule", params=(RULE,), events=True)


def run(act: Built, work: Work) -> Pause | None:
    """Disarm the rule; what it has begun goes on to its end."""
    name = act.params["rule"]
    news = work.host.arm(work.rule, name, on=False)
    work.fired(act.act, f"{name} is out of force{'' if news else ' already'}")
    return None
