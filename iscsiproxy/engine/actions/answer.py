"""`answer`: answer in the place of the target."""

from __future__ import annotations

from typing import Any

from iscsiproxy.engine.actions.set_ import PARTS
from iscsiproxy.engine.facts import Captured, Look
from iscsiproxy.engine.sending import send
from iscsiproxy.engine.settling import Unsolicited
from iscsiproxy.engine.templates import TEMPLATE, given, make, meant_for, numbers_of
from iscsiproxy.engine.work import ActError, Built, Pause, Work
from iscsiproxy.language.spec import ActSpec, Param, ParamKind
from iscsiproxy.language.vocabulary import ANSWERS
from iscsiproxy.wire.describe import summary
from iscsiproxy.wire.fields import NO_TAG
from iscsiproxy.wire.opcodes import End, Opcode, opcode_of, sender_of
from iscsiproxy.wire.pdu import Pdu

__all__ = ["SPEC", "run"]

#: What a repeated status has of the time it is repeated at (RFC 7143 11.16).
_CURRENT = frozenset({"ExpCmdSN", "MaxCmdSN"})

_FROM_INITIATOR, _FROM_TARGET = (
    frozenset(opcode for opcode in range(64) if sender_of(opcode) is end) for end in (End.INITIATOR, End.TARGET)
)

SPEC = ActSpec(
    name="answer",
    help="answer in the place of the victim; the request goes no further, and its numbers are hidden",
    main="pdu",
    params=(
        Param(name="pdu", kind=ParamKind.PDU, help="what to answer; its response, if not given", pdus=_FROM_TARGET),
        Param(
            name="to",
            kind=ParamKind.NAME,
            help="the request that is answered, if it is not the one in hand",
            pdus=_FROM_INITIATOR,
        ),
        Param(
            name="with",
            kind=ParamKind.NAME,
            help="a captured answer to send again, ExpCmdSN and MaxCmdSN current",
            pdus=_FROM_TARGET,
        ),
        Param(name="early", kind=ParamKind.FLAG, help="at the header: do not wait for unsolicited data", default=False),
        *TEMPLATE,
    ),
    fields=True,
    of="pdu",
    extra=PARTS,
    on=frozenset({*ANSWERS, Opcode.SNACK}),
    fate=True,
)


def run(act: Built, work: Work) -> Pause | None:
    """Swallow what is in hand, and send the answer."""
    hand = work.need_hand()
    request = _request(act, work)
    answer, fill, raw, exact = _answer(act, work, request)
    hand.swallow(work.rule.name)
    pdu = request.pdu
    assert pdu is not None
    host = work.host
    session = host.session(request.conn)
    goes_on = pdu.opcode == Opcode.SCSI_COMMAND and not pdu["F"]

    def go() -> None:
        send(work, answer, conn=request.conn, fill=fill, name=act.params["as"], raw=raw, exact=exact, borrowed=True)

    def settle() -> None:
        if pdu.opcode == Opcode.SCSI_COMMAND:
            host.settled.add(session, pdu["ITT"])
        if goes_on and not act.params["early"]:
            # A status comes behind all unsolicited data (RFC 7143 11.4.2).
            host.standing.append(Unsolicited(host.standing, session, pdu["ITT"], request.conn, go))
        else:
            go()
        host.reached(work.rule.name)

    work.once_it_stands(settle)
    work.fired(act.act, f"answered by {summary(answer, without=fill)}")
    return None


def _request(act: Built, work: Work) -> Look:
    name = act.params["to"]
    if name is None:
        assert work.look is not None
        return work.look if work.hand is None else work.look.of(work.hand.pdu)
    return _captured(work, name).look


def _captured(work: Work, name: str) -> Captured:
    captured = work.rule.captures.get(name)
    if captured is None or captured.pdu is None:
        raise ActError(f"{name} is not bound")
    return captured


def _answer(act: Built, work: Work, request: Look) -> tuple[Pdu, frozenset[str], bool, frozenset[str]]:
    """Make the answer; say which numbers are to be put in, whether it is no news, and which stay as they are."""
    again = act.params["with"]
    if again is not None:
        captured = _captured(work, again)
        seen = captured.seen_on(End.INITIATOR)
        pdu = captured.face(End.INITIATOR) if seen else captured.pdu
        assert pdu is not None
        if pdu.sender is not End.TARGET:
            raise ActError(f"{again} is no answer of a target")
        # What the initiator never saw is in the numbers of the target.
        exact = frozenset(pdu.fields) if seen else frozenset[str]()
        return pdu, _CURRENT & frozenset(pdu.fields), True, exact
    asked = request.pdu
    assert asked is not None
    opcode = opcode_of(act.params["pdu"]) if act.params["pdu"] is not None else ANSWERS.get(asked.opcode)
    if opcode is None:
        raise ActError(f"a {asked.label} has no response of its own; say which `pdu`")
    values = {**_defaults(opcode, asked), **given(act, work)}
    if opcode == Opcode.LOGIN_RESPONSE and request.view.conn.StatSN is None:
        # Nothing has been counted yet: any StatSN is the first one (RFC 7143 4.2.2.2).
        first = {"StatSN": asked["ExpStatSN"], "ExpCmdSN": asked["CmdSN"], "MaxCmdSN": asked["CmdSN"]}
        pdu, _ = make(opcode, {**first, **values}, act, work)
        return pdu, frozenset(), True, frozenset(pdu.fields)
    pdu, _ = make(opcode, values, act, work)
    return pdu, numbers_of(pdu, values), False, meant_for(End.INITIATOR, act, work)


def _defaults(opcode: int, asked: Pdu) -> dict[str, Any]:
    """Give what an answer has of its request."""
    values: dict[str, Any] = {}
    if opcode == Opcode.REJECT:
        values["data"] = asked.bhs + asked.ahs  # RFC 7143 11.17.4
        return values
    if "ITT" in asked.fields:
        values["ITT"] = asked["ITT"]
    if opcode == Opcode.NOP_IN and asked.opcode == Opcode.NOP_OUT:
        values["data"] = asked.data  # RFC 7143 11.19
        values["TTT"] = NO_TAG
    if opcode == Opcode.SCSI_RESPONSE and asked.opcode == Opcode.SCSI_COMMAND and asked["EDTL"]:
        values |= {"U": 1, "ResidualCount": asked["EDTL"]}  # nothing was moved (RFC 7143 11.4.5)
    if opcode == Opcode.LOGIN_RESPONSE and asked.opcode == Opcode.LOGIN_REQUEST:
        values |= {name: asked[name] for name in ("ISID", "TSIH", "CSG")}
    return values
