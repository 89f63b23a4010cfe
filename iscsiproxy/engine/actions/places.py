"""Places inside a PDU, for acts that cut it."""

from __future__ import annotations

from iscsiproxy.engine.work import ActError
from iscsiproxy.language.spec import Place
from iscsiproxy.wire.pdu import Pdu

__all__ = ["offset_of"]

_PARTS = ("header", "ahs", "header-digest", "data", "pad", "data-digest")


def offset_of(place: Place, pdu: Pdu) -> int:
    """Give how many bytes of the PDU come before the place. Raises ActError if the PDU has no such place."""
    length = len(pdu)
    starts = {"start": 0, "end": length}
    at = 0
    for name, part in zip(_PARTS, pdu.parts, strict=True):
        starts[name] = at
        at += len(part)
    offset = starts[place.part] + place.offset
    if offset > length:
        raise ActError(f"{place.part}+{place.offset} is behind the end of this PDU of {length} bytes")
    return offset
