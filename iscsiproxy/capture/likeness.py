"""Tell from 48 bytes whether they look like the header of a PDU.

Any 48 bytes are a header to who trusts them. Where nobody says that a PDU begins, this does: opcodes of the right
direction, bits that are always 1, lengths that such a PDU can have (`looks_alike`), and, stricter, every reserved bit 0
(`looks_exact`). One header may be an accident; `sync` looks at rows of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from iscsiproxy.wire.fields import BHS_LENGTH, FIELDS, Field
from iscsiproxy.wire.opcodes import End, Opcode, sender_of
from iscsiproxy.wire.reserved import RESERVED_MASKS

__all__ = ["is_login", "looks_alike", "looks_exact", "places"]

#: Their first flag bit is always 1 (RFC 7143 11)
_FINAL = frozenset(
    {
        Opcode.NOP_OUT,
        Opcode.TMF_REQUEST,
        Opcode.LOGOUT_REQUEST,
        Opcode.SNACK,
        Opcode.NOP_IN,
        Opcode.SCSI_RESPONSE,
        Opcode.TMF_RESPONSE,
        Opcode.LOGOUT_RESPONSE,
        Opcode.R2T,
        Opcode.ASYNC,
        Opcode.REJECT,
    }
)
#: They never have data (RFC 7143 11)
_BARE = frozenset(
    {
        Opcode.TMF_REQUEST,
        Opcode.LOGOUT_REQUEST,
        Opcode.SNACK,
        Opcode.TMF_RESPONSE,
        Opcode.LOGOUT_RESPONSE,
        Opcode.R2T,
    }
)
#: What their data may be at most: text of a login, sense data and its length, a header; all others may have any
_SHORT: Mapping[int, int] = {
    Opcode.LOGIN_REQUEST: 1 << 16,
    Opcode.LOGIN_RESPONSE: 1 << 16,
    Opcode.SCSI_RESPONSE: 1 << 17,
    Opcode.ASYNC: 1 << 17,
    Opcode.REJECT: 1 << 12,
}
_OPCODE = FIELDS[Opcode.LOGIN_REQUEST]["Opcode"]
_BITS = 8 * BHS_LENGTH


def _mask(field: Field) -> int:
    """Give the bits of a field in a header that is one big number."""
    return field.mask << _BITS - 8 * (field.offset + field.size)


def _reserved(opcode: int, most: int = BHS_LENGTH) -> int:
    return sum(bits << _BITS - 8 * (byte + 1) for byte, bits in RESERVED_MASKS[opcode].items() if byte < most)


def _always_zero(opcode: int) -> int:
    """Give the bits that no such PDU has, even from who cares little for reserved bits."""
    fields = FIELDS[opcode]
    bits = _reserved(opcode, 1)
    if opcode != Opcode.SCSI_COMMAND:
        bits |= _mask(fields["TotalAHSLength"])  # an extended CDB and a bidirectional length are all there is (11.2.2)
    if opcode in _BARE:
        bits |= _mask(fields["DataSegmentLength"])
    return bits


_ONES = {int(opcode): _mask(FIELDS[opcode]["F"]) if opcode in _FINAL else 0 for opcode in FIELDS}
_ZEROS = {int(opcode): _always_zero(opcode) for opcode in FIELDS}
_STRICT = {int(opcode): _always_zero(opcode) | _reserved(opcode) for opcode in FIELDS}
_SENDERS = {int(opcode): sender_of(opcode) for opcode in FIELDS}


def looks_alike(header: bytes, sender: End) -> bool:
    """Tell whether these bytes may be a header that `sender` sends."""
    if len(header) < BHS_LENGTH:
        return False
    opcode = _OPCODE.get(header)
    return _SENDERS.get(opcode) is sender and _fits(header, opcode, _ZEROS[opcode])


def looks_exact(header: bytes, sender: End) -> bool:
    """Tell whether these bytes may be a header that `sender` sends, with every reserved bit 0."""
    if len(header) < BHS_LENGTH:
        return False
    opcode = _OPCODE.get(header)
    return _SENDERS.get(opcode) is sender and _fits(header, opcode, _STRICT[opcode])


def is_login(header: bytes) -> bool:
    """Tell whether these bytes are the header of a Login Request, as a connection begins with one (RFC 7143 6.3)."""
    if len(header) < BHS_LENGTH:
        return False
    opcode = _OPCODE.get(header)
    if opcode != Opcode.LOGIN_REQUEST or not _fits(header, opcode, _ZEROS[opcode]):
        return False
    return FIELDS[opcode]["CSG"].get(header) < 2


def places(data: bytes, sender: End) -> Iterator[int]:
    """Give the offsets at which there is a header that `sender` may send, with every reserved bit 0."""
    for match in _PATTERNS[sender].finditer(data):
        yield match.start()


def _fits(header: bytes, opcode: int, zeros: int) -> bool:
    value = int.from_bytes(header, "big")
    ones = _ONES[opcode]
    if value & zeros or value & ones != ones:
        return False
    most = _SHORT.get(opcode)
    return most is None or FIELDS[opcode]["DataSegmentLength"].get(header) <= most


def _pattern(opcode: int) -> bytes:
    """Write the headers of an opcode as a regular expression: a class for each byte, as far as there is one."""
    zeros = _STRICT[opcode].to_bytes(BHS_LENGTH, "big")
    ones = bytearray(_ONES[opcode].to_bytes(BHS_LENGTH, "big"))
    mask = FIELDS[opcode]["Opcode"].mask
    parts = []
    for at, (zero, one) in enumerate(zip(zeros, ones, strict=True)):
        allowed = [byte for byte in range(256) if not byte & zero and byte & one == one]
        if at == 0:
            allowed = [byte for byte in allowed if byte & mask == opcode]
        if len(allowed) == 256:
            parts.append(b".")
        else:
            parts.append(b"[" + b"".join(b"\\x%02x" % byte for byte in allowed) + b"]")
    return b"".join(parts)


#: All places count, those inside another one too: hence a lookahead.
_PATTERNS = {
    end: re.compile(
        b"(?s)(?=" + b"|".join(_pattern(opcode) for opcode, sender in _SENDERS.items() if sender is end) + b")"
    )
    for end in End
}
