"""`resize`: cut or fill the data segment."""

from __future__ import annotations

from iscsiproxy.engine.work import ActError, Built, Pause, Work
from iscsiproxy.language.spec import ActSpec, Literal_, Param, ParamKind, ValueKind
from iscsiproxy.session.events import Change

__all__ = ["SPEC", "run"]

#: What DataSegmentLength can say (RFC 7143 11.2.1.6)
_LONGEST = (1 << 24) - 1

SPEC = ActSpec(
    name="resize",
    help="cut the data segment, or fill it up, to a length",
    main="to",
    params=(
        Param(name="to", kind=ParamKind.NUMBER, help="the new length in bytes", required=True),
        Param(
            name="fill",
            kind=ParamKind.NUMBER,
            help="the byte to fill with",
            default=Literal_(value=0, kind=ValueKind.NUMBER),
        ),
    ),
    changes=True,
)


def run(act: Built, work: Work) -> Pause | None:
    """Change the length of what is in hand."""
    hand = work.need_hand()
    to, fill = work.value(act.params["to"], "to"), work.value(act.params["fill"], "fill")
    if not 0 <= to <= _LONGEST:
        raise ActError(f"to is {to}, expected 0 to {_LONGEST}")
    if not 0 <= fill <= 255:
        raise ActError(f"fill is {fill}, expected 0 to 255")
    data = hand.pdu.data
    changes = [Change(what="length", old=str(len(data)), new=str(to))] if to != len(data) else []
    hand.change(hand.pdu.with_data(data[:to].ljust(to, bytes([fill]))), changes, work.rule.name)
    work.fired(act.act, f"data segment of {to} bytes", changes)
    return None
