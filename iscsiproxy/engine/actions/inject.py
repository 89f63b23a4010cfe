"""`inject`: send a PDU of our own."""

from __future__ import annotations

from iscsiproxy.engine.actions.set_ import PARTS
from iscsiproxy.engine.actions.split_text import split_of
from iscsiproxy.engine.sending import own_connection, send
from iscsiproxy.engine.templates import SPLIT, TEMPLATE, given, make, meant_for, numbers_of
from iscsiproxy.engine.work import ActError, Built, Pause, Work
from iscsiproxy.language.spec import ActSpec, Param, ParamKind
from iscsiproxy.wire.describe import summary
from iscsiproxy.wire.opcodes import opcode_of

__all__ = ["PDU", "SPEC", "run"]

PDU = Param(name="pdu", kind=ParamKind.PDU, help="what to send", required=True)

SPEC = ActSpec(
    name="inject",
    help="send a new PDU towards the end its name addresses, before what is in hand; its answer reaches nobody else",
    main="pdu",
    params=(PDU, *TEMPLATE, SPLIT),
    fields=True,
    of="pdu",
    extra=PARTS,
    events=True,
)


def run(act: Built, work: Work) -> Pause | None:
    """Send it on every connection that is acted on."""
    opcode = opcode_of(act.params["pdu"])
    assert opcode is not None
    name, own = act.params["as"], act.params["conn"]
    conns = [own_connection(work, own)] if name is not None else work.connections(own)
    if not conns:
        raise ActError("there is no connection to send on")
    for conn in conns:
        here = work.on(conn)
        values = given(act, here)
        pdu, _ = make(opcode, values, act, here)
        split = split_of(act, here, pdu)
        fill = numbers_of(pdu, values)
        exact = meant_for(pdu.sender.other, act, here)
        send(work, pdu, conn=conn, fill=fill, name=name, split=split, exact=exact)
        work.fired(act.act, f"{summary(pdu, without=fill)} was sent to the {pdu.sender.other}")
    return None
