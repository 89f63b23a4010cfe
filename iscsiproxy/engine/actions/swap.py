"""`swap`: put another request in the place of this one."""

from __future__ import annotations

from functools import partial

from iscsiproxy.engine.actions.set_ import PARTS
from iscsiproxy.engine.actions.split_text import split_of
from iscsiproxy.engine.splitting import Rounds
from iscsiproxy.engine.swapping import Swapped
from iscsiproxy.engine.templates import SPLIT, TEMPLATE, given, make
from iscsiproxy.engine.work import ActError, Built, Pause, Work
from iscsiproxy.language.spec import ActSpec, Param, ParamKind
from iscsiproxy.session.events import Change
from iscsiproxy.wire.describe import summary
from iscsiproxy.wire.fields import NO_TAG
from iscsiproxy.wire.opcodes import End, Opcode, opcode_of

__all__ = ["SPEC", "run"]

#: What the new request has of the old one: so nothing has to be renumbered.
_KEPT = ("I", "ITT", "CmdSN", "ExpStatSN")
_TEST_UNIT_READY = 0x00
#: Only a request with a CmdSN can stand in the place of another one.
_REQUESTS = frozenset(
    {Opcode.NOP_OUT, Opcode.SCSI_COMMAND, Opcode.TMF_REQUEST, Opcode.TEXT_REQUEST, Opcode.LOGOUT_REQUEST}
)
_PDU = Param(name="pdu", kind=ParamKind.PDU, help="what to send", required=True, pdus=_REQUESTS)

SPEC = ActSpec(
    name="swap",
    help="another request in the place of this one, with its ITT, CmdSN and I; the answer becomes the one awaited",
    main="pdu",
    params=(_PDU, *TEMPLATE, SPLIT),
    fields=True,
    of="pdu",
    extra=PARTS,
    on=frozenset({Opcode.NOP_OUT, Opcode.SCSI_COMMAND}),
    fate=True,
)


def run(act: Built, work: Work) -> Pause | None:
    """Change what is in hand, and see that its answer is changed back."""
    hand = work.need_hand()
    old = hand.pdu
    if old["ITT"] == NO_TAG:
        raise ActError("a NOP-Out without a tag is answered by nothing")
    if old.opcode == Opcode.SCSI_COMMAND and (old.cdb or b"\xff")[0] != _TEST_UNIT_READY:
        raise ActError("only TEST UNIT READY has an answer that can be made up")
    opcode = opcode_of(act.params["pdu"])
    assert opcode is not None
    values = given(act, work)
    made, _ = make(opcode, {**values, **{name: old[name] for name in _KEPT if name not in values}}, act, work)
    change = Change(what="PDU", old=summary(old), new=summary(made))
    hand.change(made, [change], work.rule.name)
    hand.fate = work.rule.name
    look = work.look
    assert look is not None
    swapped = Swapped(work.host.standing, look.conn, work.host.session(look.conn), old, made["ITT"])
    place = len(work.host.standing)  # before the rounds that its text may be sent in
    work.once_it_stands(lambda: work.host.standing.insert(place, swapped))
    split = split_of(act, work, made)
    if split is not None:
        Rounds(work.host, hand, work.rule.name, split).begin(hand)
    name = act.params["as"]
    if name is not None:
        call = partial(work.host.made, work.rule, name)
        work.once_it_stands(lambda: work.host.when_delivered(hand.n, call))
    work.fired(act.act, f"{summary(made)} in the place of {summary(old)}", [change])
    assert look.leg is End.INITIATOR
    return None
