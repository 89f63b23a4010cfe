"""`note`: leave a text in the journal."""

from __future__ import annotations

from iscsiproxy.engine.work import Built, Pause, Work
from iscsiproxy.language.spec import ActSpec, Param, ParamKind

__all__ = ["SPEC", "run"]

SPEC = ActSpec(
    name="note",
    help="leave a text in the journal",
    main="text",
    params=(Param(name="text", kind=ParamKind.TEXT, help="what to say", required=True),),
    events=True,
)


def run(act: Built, work: Work) -> Pause | None:
    """Write the note."""
    work.report("noted", act.params["text"])
    return None
