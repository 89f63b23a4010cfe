"""`probe`: send a request of our own, and wait for its answer."""

from __future__ import annotations

from collections.abc import Callable

from iscsiproxy.engine.actions.inject import PDU
from iscsiproxy.engine.actions.set_ import PARTS
from iscsiproxy.engine.actions.split_text import split_of
from iscsiproxy.engine.facts import Look, fresh_tag
from iscsiproxy.engine.sending import amid_unsolicited, own_connection, send
from iscsiproxy.engine.settling import covered, settle
from iscsiproxy.engine.templates import SPLIT, TEMPLATE, given, make, meant_for, numbers_of
from iscsiproxy.engine.work import ActError, Built, Outcome, Pause, Work
from iscsiproxy.language.spec import ActSpec, Param, ParamKind
from iscsiproxy.session.events import Delivered
from iscsiproxy.wire.codes import SCSI_STATUS
from iscsiproxy.wire.describe import summary
from iscsiproxy.wire.opcodes import Opcode, opcode_of

__all__ = ["SPEC", "run"]

#: How long an answer is waited for, in seconds.
_AT_MOST = 60.0

SPEC = ActSpec(
    name="probe",
    help="send a request between two tasks' data, when the window has room, and wait for its answer",
    main="pdu",
    params=(
        PDU,
        Param(name="wait", kind=ParamKind.FLAG, help="wait for the answer", default=True),
        Param(
            name="settle",
            kind=ParamKind.CHOICE,
            help="the status that tells the initiator of its tasks that a task management function ends; no: none",
            default="TASK_ABORTED",
            choices=(*SCSI_STATUS.values(), "no"),
        ),
        *TEMPLATE,
        SPLIT,
    ),
    fields=True,
    of="pdu",
    extra=PARTS,
    events=True,
)


def run(act: Built, work: Work) -> Pause | None:
    """Send it, and hold what is in hand until the answer is there."""
    opcode = opcode_of(act.params["pdu"])
    assert opcode is not None
    conn = own_connection(work, act.params["conn"])
    here = work.on(conn)
    values = given(act, here)
    if opcode == Opcode.NOP_IN and "TTT" not in values and here.look is not None:
        values["TTT"] = fresh_tag(here.look)  # without one it asks for no answer (RFC 7143 11.19)
    pdu, _ = make(opcode, values, act, here)
    hand = work.hand
    held = (
        hand is not None and not (hand.gone or hand.dropped) and (hand.look.conn, hand.look.leg) == (conn, pdu.sender)
    )
    if held and hand is not None and act.params["wait"] and amid_unsolicited(hand):
        raise ActError("it waits for the end of this command's unsolicited data, and that for its answer: `wait: no`")
    chain, waiting, fill = work.chain, False, numbers_of(pdu, values)
    shown = summary(pdu, without=fill)
    covers: list[Callable[[Look], bool]] = []

    def answered(answer: Look | None) -> None:
        if answer is not None and opcode == Opcode.TMF_REQUEST and act.params["settle"] != "no":
            settle(work, pdu, answer, act.params["settle"], covers[-1])
        if waiting:
            work.host.proceed(chain, "met" if answer is not None else "ended")

    errand = send(
        work,
        pdu,
        conn=conn,
        fill=fill,
        exact=meant_for(pdu.sender.other, act, here),
        name=act.params["as"],
        patient=True,
        answered=answered,
        split=split_of(act, here, pdu),
    )
    bind = errand.written

    def written(event: Delivered) -> None:
        if bind is not None:
            bind(event)
        if opcode == Opcode.TMF_REQUEST:
            covers.append(covered(work, conn, values.get("CmdSN")))
        if waiting:
            # It has met the victim now; an end of the connection may be all the answer there is.
            work.fired(act.act, f"{shown} was sent to the {pdu.sender.other}")

    errand.written = written
    if not act.params["wait"] or errand.tag is None:  # what has no tag to be known by has no answer either
        work.fired(act.act, f"{shown} was sent to the {pdu.sender.other}")
        return None
    waiting = True
    work.report("held", f"until {shown} is answered")

    def resume(outcome: Outcome) -> bool:
        if outcome == "expired":
            work.report("expired", f"no answer to {shown} in {_AT_MOST:g} s")
        return outcome == "met"

    return Pause((), _AT_MOST, resume)
