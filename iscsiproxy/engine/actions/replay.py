"""`replay`: send a capture again as it was first sent."""

from __future__ import annotations

from iscsiproxy.engine.actions.set_ import PARTS, assign
from iscsiproxy.engine.hand import resealed
from iscsiproxy.engine.sending import own_connection, send
from iscsiproxy.engine.templates import given, meant_for
from iscsiproxy.engine.work import ActError, Built, Pause, Work
from iscsiproxy.language.spec import ActSpec, Param, ParamKind
from iscsiproxy.wire.describe import summary

__all__ = ["SPEC", "run"]

SPEC = ActSpec(
    name="replay",
    help="send a capture again as it was first sent, but for the fields given; a collection in its order",
    main="what",
    params=(
        Param(name="what", kind=ParamKind.NAME, help="what was captured", required=True, pdus=frozenset(range(64))),
        Param(name="conn", kind=ParamKind.NAME, help="the connection to send it on, if not that in hand"),
        Param(name="as", kind=ParamKind.NEW_NAME, help="a name for what is sent"),
    ),
    fields=True,
    of="what",
    extra=PARTS,
    events=True,
)


def run(act: Built, work: Work) -> Pause | None:
    """Send it, before what is in hand."""
    name = act.params["what"]
    captured = work.rule.captures.get(name)
    if captured is None:
        raise ActError(f"{name} is not bound")
    if work.look is None and act.params["conn"] is None:
        conn = captured.look.conn
    else:
        conn = own_connection(work, act.params["conn"])
    changed = given(act, work)
    for one in captured.members:
        if one.pdu is None:
            raise ActError(f"{name} is an event")
        to = one.pdu.sender.other
        seen, meant = one.seen_on(to), meant_for(to, act, work)
        pdu = one.face(to) if seen else one.pdu
        assert pdu is not None
        again, changes = assign(pdu, changed)
        if again is not pdu:
            again = resealed(pdu, again)
        own_tag = again.get("ITT") != pdu.get("ITT")
        # What the receiver never saw is in the numbers of its sender.
        exact = frozenset(again.fields) if seen else frozenset()
        exact = (exact - act.fields.keys()) | meant
        send(work, again, conn=conn, name=act.params["as"], raw=True, exact=exact, borrowed=not own_tag)
        work.fired(act.act, f"{summary(again)} was sent again", changes)
    return None
