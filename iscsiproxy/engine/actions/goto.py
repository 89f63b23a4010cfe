"""`goto`: put this machine into another state."""

from __future__ import annotations

from iscsiproxy.engine.work import Built, Pause, Work
from iscsiproxy.language.spec import ActSpec, Param, ParamKind

__all__ = ["SPEC", "run"]

SPEC = ActSpec(
    name="goto",
    help="go to another state of this machine",
    main="state",
    params=(Param(name="state", kind=ParamKind.STATE, help="the state to go to", required=True),),
    events=True,
)


def run(act: Built, work: Work) -> Pause | None:
    """Change the state now: the next PDU meets the rules of the new one."""
    state = act.params["state"]
    mark = len(work.host.commands)
    work.host.goto(work.rule, state, looked=work.look is not None)
    # What the new state begins with comes behind the report of the change.
    begun = work.host.commands[mark:]
    del work.host.commands[mark:]
    work.fired(act.act, f"to state {state}")
    work.host.commands += begun
    return None
