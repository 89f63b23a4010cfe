"""`text`: add and remove keys of a login or text negotiation, across PDUs."""

from __future__ import annotations

from iscsiproxy.engine.editing import Editor, limit_of
from iscsiproxy.engine.work import Built, Pause, Work
from iscsiproxy.language.spec import ActSpec, Param, ParamKind
from iscsiproxy.wire.opcodes import Opcode

__all__ = ["SPEC", "run"]

SPEC = ActSpec(
    name="text",
    help="edit the keys of a text, also where it goes on in further PDUs",
    params=(
        Param(name="add", kind=ParamKind.TEXTS, help="KEY=VALUE pairs to put at its end; a key may be there already"),
        Param(name="remove", kind=ParamKind.KEYS, help="keys to take out, wherever they are"),
        Param(name="raw", kind=ParamKind.BYTES, help="these bytes instead of the text"),
        Param(name="append", kind=ParamKind.BYTES, help="these bytes behind its last key, whatever they are"),
        Param(
            name="fill",
            kind=ParamKind.NUMBER,
            help="keys X-pad.example.N are added until the text, with what is appended, has so many bytes",
        ),
        Param(
            name="long",
            kind=ParamKind.FLAG,
            help="yes: it may get longer than its receiver takes, and goes in one PDU; no: then it stays as it was",
            default=False,
        ),
    ),
    on=frozenset(
        {Opcode.LOGIN_REQUEST, Opcode.LOGIN_RESPONSE, Opcode.TEXT_REQUEST, Opcode.TEXT_RESPONSE},
    ),
    changes=True,
)


def run(act: Built, work: Work) -> Pause | None:
    """Edit what is in hand, and see that what follows of the same text is edited too."""
    hand = work.need_hand()
    if work.rule.name in hand.edited:
        work.fired(act.act, "the text that began in an earlier PDU was edited")
        return None
    add = tuple(item if isinstance(item, str) else str(work.value(item, "add")) for item in act.params["add"] or ())
    fill = None if act.params["fill"] is None else work.value(act.params["fill"], "fill")
    editor = Editor(
        work.rule.name,
        add,
        tuple(act.params["remove"] or ()),
        act.params["raw"],
        append=act.params["append"] or b"",
        fill=fill,
        long=act.params["long"],
    )
    pdu, changes = editor.apply(hand.pdu, limit_of(hand.look))
    if pdu["C"]:
        work.host.editors.begin(hand.look, editor)
    hand.change(pdu, changes, work.rule.name)
    if changes:
        work.host.apart.add(hand.look.conn)
    work.fired(act.act, "edited" if changes else "nothing to edit", changes)
    return None
