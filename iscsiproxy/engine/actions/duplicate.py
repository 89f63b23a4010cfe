"""`duplicate`: send copies right behind the PDU."""

from __future__ import annotations

from iscsiproxy.engine.actions.drop import NUMBERS
from iscsiproxy.engine.actions.set_ import PARTS, assign
from iscsiproxy.engine.hand import Copy
from iscsiproxy.engine.sending import begin_copy
from iscsiproxy.engine.work import ActError, Built, Pause, Work
from iscsiproxy.language.spec import ActSpec, Literal_, Param, ParamKind, ValueKind

__all__ = ["SPEC", "run"]

#: More copies than this of one PDU are a mistake.
_MAX_COPIES = 10_000

SPEC = ActSpec(
    name="duplicate",
    help="send copies right behind the PDU, with other values in the fields given",
    params=(
        Param(
            name="count",
            kind=ParamKind.NUMBER,
            help="how many copies",
            default=Literal_(value=1, kind=ValueKind.NUMBER),
        ),
        Param(name="as", kind=ParamKind.NEW_NAME, help="a name for the copy"),
        NUMBERS,
    ),
    fields=True,
    extra=PARTS,
)


def run(act: Built, work: Work) -> Pause | None:
    """Add copies behind what is in hand."""
    hand = work.need_hand()
    count = work.value(act.params["count"], "count")
    if not 1 <= count <= _MAX_COPIES:
        raise ActError(f"count is {count}, expected 1 to {_MAX_COPIES}")
    name, extra = act.params["as"], act.params["numbers"] == "translate"
    # A number that was written down goes as it was written, unless the copy gets one of its own.
    written = {name for name, expr in act.act.fields.items() if isinstance(expr, Literal_)}
    exact = frozenset() if extra else frozenset(hand.exact - act.fields.keys() | written)
    for _ in range(count):
        pdu, changes = assign(hand.pdu, {field: work.value(fn, field) for field, fn in act.fields.items()})
        sealed = hand.outgoing() if pdu is hand.pdu else hand.sealed(pdu)
        own_tag = pdu.get("ITT") != hand.pdu.get("ITT")
        begin = begin_copy(work, sealed, name, own_tag=own_tag)
        hand.copies.append(Copy(sealed, tuple(changes), work.rule.name, begin, extra, hand.added, exact))
        work.fired(act.act, "a copy goes right behind it", changes)
    return None
