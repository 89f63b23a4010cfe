"""`split_text`: one login or text PDU in several rounds, unseen by its sender."""

from __future__ import annotations

from iscsiproxy.engine.splitting import Plan, Rounds, plan
from iscsiproxy.engine.work import ActError, Built, Pause, Work
from iscsiproxy.language.spec import ActSpec, Literal_, Param, ParamKind, ValueKind
from iscsiproxy.wire.opcodes import Opcode
from iscsiproxy.wire.pdu import Pdu

__all__ = ["SPEC", "run", "split_of"]

_LOGIN = (Opcode.LOGIN_REQUEST, Opcode.LOGIN_RESPONSE)

SPEC = ActSpec(
    name="split_text",
    help="several rounds for one, unseen by the sender, who gets one answer with the keys of all",
    main="by",
    params=(
        Param(
            name="by",
            kind=ParamKind.CHOICE,
            help="C: inside the bytes; T: more rounds of login; F: text with F=0, then empty with F=1",
            required=True,
            choices=("C", "T", "F"),
        ),
        Param(
            name="at", kind=ParamKind.CUTS, help="where the text is cut; C: the middle of the second key, else its end"
        ),
        Param(
            name="rounds",
            kind=ParamKind.NUMBER,
            help="how many rounds",
            default=Literal_(value=2, kind=ValueKind.NUMBER),
        ),
        Param(name="add", kind=ParamKind.ROUNDS, help="what a round says besides; its answers are taken out"),
        Param(name="finish", kind=ParamKind.FLAG, help="no: the first round is never continued", default=True),
    ),
    on=frozenset({Opcode.LOGIN_REQUEST, Opcode.LOGIN_RESPONSE, Opcode.TEXT_REQUEST, Opcode.TEXT_RESPONSE}),
    fate=True,
)


def run(act: Built, work: Work) -> Pause | None:
    """Put the first round in place of what is in hand, and see to the others."""
    hand = work.need_hand()
    split = _plan(act, work, hand.pdu)
    changes = Rounds(work.host, hand, work.rule.name, split).begin(hand)
    sizes = ", ".join(str(len(piece)) for piece in split.pieces)
    ending = "" if split.finish else ", never continued"
    work.fired(act.act, f"{len(split.pieces)} rounds by {split.by}, with {sizes} bytes{ending}", changes)
    return None


def split_of(act: Built, work: Work, pdu: Pdu) -> Plan | None:
    """Give how a template's text is to be split; None if it is not. Raises ActError if it cannot be."""
    inner = act.params["split_text"]
    if inner is None:
        return None
    if pdu.opcode != Opcode.TEXT_REQUEST:
        raise ActError(f"split_text: a {pdu.label} is not sent in rounds")
    return _plan(inner, work, pdu)


def _plan(act: Built, work: Work, pdu: Pdu) -> Plan:
    by, login = act.params["by"], pdu.opcode in _LOGIN
    if by == ("F" if login else "T"):
        raise ActError(f"a {pdu.label} has no {by}")
    if by != "C" and pdu["C"]:
        raise ActError("the text goes on in another PDU (C=1)")
    add = {
        number: [item if isinstance(item, str) else str(work.value(item, "add")) for item in items]
        for number, items in (act.params["add"] or {}).items()
    }
    if add and work.look is not None:
        work.host.apart.add(work.look.conn)
    return plan(
        pdu.data,
        by=by,
        cuts=act.params["at"] or (),
        rounds=work.value(act.params["rounds"], "rounds"),
        add=add,
        finish=act.params["finish"],
    )
